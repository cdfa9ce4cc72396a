//! Which clients a worker has, and what it needs to know of their groups.
//!
//! Clients of a group go round the workers; members of shared subscriptions all live on the last worker, because a shared
//! subscription has one record of what it received.

use super::client::{Client, Subscriber};
use super::publisher::Publisher;
use crate::arrivals::{Arrivals, Share};
use crate::delivery::Trackers;
use crate::scenario::expect::Expectation;
use crate::scenario::file::Version;
use crate::scenario::plan::{Group, Plan};
use ringtail_mqtt::codec::{EncodeError, UserPropertiesBuf};
use ringtail_mqtt::packet::{ProtocolVersion, PublishProperties, QoS};
use std::collections::HashMap;

/// A worker's part of a group.
#[derive(Debug)]
pub(crate) struct Lot {
    /// Which clients of the group.
    pub(crate) share: Share,
    /// Place of the first one in the worker's list.
    pub(crate) first: u32,
    /// The group's version.
    pub(crate) version: ProtocolVersion,
    /// QoS of its messages.
    pub(crate) qos: QoS,
    /// Encoded properties of its messages.
    pub(crate) properties: Vec<u8>,
    /// When its messages are due; `None` when it publishes nothing.
    pub(crate) arrivals: Option<Arrivals>,
}

/// Everything that a worker is given to drive.
#[derive(Debug)]
pub(crate) struct Layout {
    /// One a group, also for groups of which the worker has no client.
    pub(crate) lots: Vec<Lot>,
    /// The clients, group after group.
    pub(crate) clients: Vec<Client>,
    /// What the worker's receivers have of each publisher.
    pub(crate) receivers: Vec<Trackers>,
    /// The worker's receivers by their number in the expectation, in the same order.
    pub(crate) receiver_ids: Vec<u32>,
    /// Places of the clients that publish.
    pub(crate) publishers: Vec<u32>,
}

/// The clients of `group` that worker `worker` of `workers` has.
pub(crate) fn share(group: &Group, worker: u32, workers: u32) -> Share {
    let of = group.clients;
    if group.subscribe.as_ref().is_some_and(|s| s.is_shared) {
        return Share { first: if worker + 1 == workers { 0 } else { of }, stride: 1, of };
    }
    Share { first: worker.min(of), stride: workers, of }
}

/// The most clients that one worker has.
pub(crate) fn clients_of_a_worker_max(plan: &Plan, workers: u32) -> u32 {
    let clients = |worker| plan.groups.iter().map(|g| share(g, worker, workers).clients()).sum();
    (0..workers).map(clients).max().unwrap_or(0)
}

/// Lays out the clients of a worker. `window_max` bounds the unacknowledged messages of a publisher.
///
/// # Errors
/// What cannot be encoded in the groups' properties.
pub(crate) fn lay_out(
    plan: &Plan,
    expectation: &Expectation,
    (worker, workers): (u32, u32),
    window_max: u16,
) -> Result<Layout, EncodeError> {
    let mut layout = Layout {
        lots: Vec::with_capacity(plan.groups.len()),
        clients: Vec::new(),
        receivers: Vec::new(),
        receiver_ids: Vec::new(),
        publishers: Vec::new(),
    };
    let mut places = HashMap::new();
    for (number, group) in plan.groups.iter().enumerate() {
        let share = share(group, worker, workers);
        layout.lots.push(lot(plan, number, group, share, layout.clients.len() as u32, worker)?);
        for index in (0..share.clients()).map(|own| share.first + own * share.stride) {
            let mut client = Client::new(number as u16, index, group.connect);
            let global = group.first + index;
            if group.subscribe.is_some() {
                let receivers = expectation.receivers_of_client.get(&global).map_or(&[][..], Vec::as_slice);
                let receivers = receivers.iter().map(|r| layout.receiver(*r, expectation, &mut places)).collect();
                client.subscriber = Some(Box::new(Subscriber { receivers, ..Subscriber::default() }));
            }
            if let Some(publish) = &group.publish {
                let topic = publish.topic.fill(group.values(index, plan.run));
                let fan_out = expectation.fan_out.get(&global).copied().unwrap_or(0);
                client.publisher = Some(Box::new(Publisher::new(topic, fan_out, window_max)));
                layout.publishers.push(layout.clients.len() as u32);
            }
            layout.clients.push(client);
        }
    }
    Ok(layout)
}

impl Layout {
    fn receiver(&mut self, receiver: u32, expectation: &Expectation, places: &mut HashMap<u32, u32>) -> u32 {
        *places.entry(receiver).or_insert_with(|| {
            let of = &expectation.receivers[receiver as usize];
            self.receivers.push(Trackers::new(&of.publishers, of.shared.is_some()));
            self.receiver_ids.push(receiver);
            self.receivers.len() as u32 - 1
        })
    }
}

fn lot(plan: &Plan, number: usize, group: &Group, share: Share, first: u32, worker: u32) -> Result<Lot, EncodeError> {
    let publish = group.publish.as_ref();
    let arrivals = publish.map(|p| {
        let seed = plan.seed.wrapping_mul(0x1_0001).wrapping_add(u64::from(worker) << 32 | number as u64);
        Arrivals::new(share, p.rate_per_s * f64::from(group.clients), p.arrivals, p.messages, seed)
    });
    Ok(Lot {
        share,
        first,
        version: match group.version {
            Version::V3_1_1 => ProtocolVersion::V3_1_1,
            Version::V5 => ProtocolVersion::V5,
        },
        qos: publish.and_then(|p| QoS::from_bits(p.qos)).unwrap_or_default(),
        properties: properties(group)?,
        arrivals,
    })
}

fn properties(group: &Group) -> Result<Vec<u8>, EncodeError> {
    let mut encoded = Vec::new();
    if let Some(publish) = &group.publish {
        let mut user = UserPropertiesBuf::new();
        for (name, value) in &publish.properties.user {
            user.push(name, value)?;
        }
        let properties = PublishProperties {
            content_type: publish.properties.content_type.as_deref(),
            response_topic: publish.properties.response_topic.as_deref(),
            user_properties: user.as_properties(),
            ..PublishProperties::default()
        };
        properties.append_forwarded(&mut encoded)?;
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expect::expect;
    use crate::scenario::plan::Overrides;

    #[test]
    fn every_client_has_one_worker_and_shared_members_the_same() {
        let file = crate::scenario::load("sharesub-1k-5-1k-1k").expect("built in");
        let plan = Plan::new(&file, "t", &Overrides::default(), 1).expect("plan");
        let expectation = expect(&plan).expect("expectation");
        let layouts: Vec<Layout> = (0..3).map(|w| lay_out(&plan, &expectation, (w, 3), 10).expect("layout")).collect();
        let mut clients: Vec<(u16, u32)> =
            layouts.iter().flat_map(|l| l.clients.iter().map(|c| (c.group, c.index))).collect();
        clients.sort_unstable();
        clients.dedup();
        assert_eq!(clients.len(), 1_005);
        let members: Vec<usize> =
            layouts.iter().map(|l| l.clients.iter().filter(|c| c.subscriber.is_some()).count()).collect();
        assert_eq!(members, [0, 0, 5]);
        assert_eq!(layouts[2].receivers.len(), 1);
        assert_eq!(
            clients_of_a_worker_max(&plan, 3) as usize,
            layouts.iter().map(|l| l.clients.len()).max().expect("3")
        );
        for layout in &layouts {
            for lot in &layout.lots {
                let own = lot.share.clients() as usize;
                assert!(
                    layout.clients[lot.first as usize..][..own]
                        .iter()
                        .all(|c| c.group == layout.clients[lot.first as usize].group)
                );
            }
        }
    }
}
