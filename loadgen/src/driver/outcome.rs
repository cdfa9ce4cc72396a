//! What a worker hands back at the end, and the checks of delivery over all workers.

use super::worker::Worker;
use crate::delivery::Trackers;
use crate::histogram::Histograms;
use crate::report::{Checks, PairAtFault};
use crate::scenario::expect::Expectation;
use crate::scenario::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Pairs that a report names.
const PAIRS_MAX: usize = 100;

/// What a worker hands back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What its receivers have.
    pub(crate) receivers: Vec<Received>,
    /// What its publishers sent.
    pub(crate) publishers: Vec<Sent>,
    /// What it measured since the last second that it sent.
    pub(crate) histograms: Histograms,
}

/// What a receiver has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    /// Its number in the expectation.
    pub(crate) receiver: u32,
    /// What it has of each publisher.
    pub(crate) trackers: Trackers,
    /// It was away without a session: what it misses nobody had to keep.
    pub(crate) interrupted: bool,
}

/// What a publisher sent.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Its client number.
    pub(crate) publisher: u32,
    /// How many.
    pub(crate) messages: u32,
    /// Those that were never acknowledged, or refused.
    pub(crate) excused: Vec<u32>,
    /// Messages that were due and never sent.
    pub(crate) missed: u64,
}

impl Sent {
    /// The number of the last message that was acknowledged.
    pub(crate) fn last_acknowledged(&self) -> Option<u32> {
        (0..self.messages).rev().find(|sequence| !self.excused.contains(sequence))
    }
}

/// The checks of a run.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// By QoS, as in the report.
    pub(crate) by_qos: BTreeMap<String, Checks>,
    /// The worst pairs, as in the report.
    pub(crate) pairs: Vec<PairAtFault>,
    /// Deliveries missed by receivers that were away without a session.
    pub(crate) missed_while_away: u64,
    /// Deliveries that nobody waited for to the end.
    pub(crate) under_way: u64,
    /// Messages never acknowledged or refused.
    pub(crate) unacknowledged: u64,
    /// Messages that were due and never sent.
    pub(crate) missed_sends: u64,
}

impl Worker {
    /// What the worker found, at the end of its run.
    pub(crate) fn into_outcome(self) -> Outcome {
        let mut interrupted = vec![None; self.layout.receivers.len()];
        let mut publishers = Vec::with_capacity(self.layout.publishers.len());
        for client in self.clients {
            if let Some(subscriber) = &client.subscriber {
                for receiver in &subscriber.receivers {
                    // A shared subscription was away only if all of its members were.
                    let all = interrupted[*receiver as usize].get_or_insert(true);
                    *all &= subscriber.interrupted;
                }
            }
            if let Some(mut publisher) = client.publisher {
                publisher.abandon_window();
                publishers.push(Sent {
                    publisher: self.setup.plan.groups[usize::from(client.group)].first + client.index,
                    messages: publisher.next_sequence,
                    excused: publisher.excused,
                    missed: publisher.pending.len() as u64,
                });
            }
        }
        let receivers = self.layout.receiver_ids.into_iter().zip(self.layout.receivers).zip(interrupted);
        let receivers = receivers
            .map(|((receiver, trackers), interrupted)| Received {
                receiver,
                trackers,
                interrupted: interrupted.unwrap_or(false),
            })
            .collect();
        Outcome { receivers, publishers, histograms: self.histograms }
    }
}

/// Compares what was sent with what was received. What is missing is lost, unless the wait for it was cut short.
pub(crate) fn check(plan: &Plan, expectation: &Expectation, outcomes: &[Outcome], is_wait_cut: bool) -> Checked {
    let mut checked = Checked::default();
    let mut sent: HashMap<u32, &Sent> = HashMap::new();
    for one in outcomes.iter().flat_map(|o| &o.publishers) {
        checked.unacknowledged += one.excused.len() as u64;
        checked.missed_sends += one.missed;
        sent.insert(one.publisher, one);
    }
    let clients: HashMap<u32, u32> = expectation
        .receivers_of_client
        .iter()
        .flat_map(|(client, receivers)| receivers.iter().map(|r| (*r, *client)))
        .filter(|(receiver, _)| expectation.receivers[*receiver as usize].shared.is_none())
        .collect();
    for received in outcomes.iter().flat_map(|o| &o.receivers) {
        for tracker in received.trackers.iter() {
            let Some(sent) = sent.get(&tracker.publisher) else { continue };
            let missing = tracker.lost(sent.messages, &sent.excused);
            let lost = if received.interrupted || is_wait_cut { 0 } else { missing };
            *if received.interrupted { &mut checked.missed_while_away } else { &mut checked.under_way } +=
                missing - lost;
            let by_qos = checked.by_qos.entry(tracker.qos.to_string()).or_default();
            by_qos.expected += tracker.received() + missing;
            by_qos.received += tracker.received();
            by_qos.lost += lost;
            by_qos.duplicated += u64::from(tracker.duplicated);
            by_qos.reordered += u64::from(tracker.reordered);
            if lost > 0 || tracker.duplicated > 0 || tracker.reordered > 0 {
                let shared = expectation.receivers[received.receiver as usize].shared.clone();
                checked.pairs.push(PairAtFault {
                    publisher: name(plan, tracker.publisher),
                    subscriber: shared.unwrap_or_else(|| {
                        clients.get(&received.receiver).map_or_else(String::new, |c| name(plan, *c))
                    }),
                    qos: tracker.qos,
                    lost,
                    duplicated: u64::from(tracker.duplicated),
                    reordered: u64::from(tracker.reordered),
                });
            }
        }
    }
    checked.pairs.sort_by_key(|p| std::cmp::Reverse(p.lost + p.duplicated + p.reordered));
    checked.pairs.truncate(PAIRS_MAX);
    checked
}

/// A client as people know it: `group/index`.
fn name(plan: &Plan, client: u32) -> String {
    let group = plan.group_of(client);
    format!("{}/{}", group.name, client - group.first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::expect::expect;
    use crate::scenario::plan::Overrides;

    #[test]
    fn losses_are_found_by_pair_and_by_qos() {
        let file = toml::from_str(
            r#"
name = "t"
[[group]]
name = "sub"
clients = 2
subscribe = { filters = ["t/{i}"], qos = 1 }
[[group]]
name = "pub"
clients = 2
publish = { topic = "t/{i}", qos = 1, rate_per_s = 1 }
"#,
        )
        .expect("TOML");
        let plan = Plan::new(&file, "t", &Overrides::default(), 1).expect("plan");
        let expectation = expect(&plan).expect("expectation");
        let mut trackers: Vec<Trackers> =
            expectation.receivers.iter().map(|r| Trackers::new(&r.publishers, false)).collect();
        for sequence in [0, 2, 2] {
            trackers[1].find(3).expect("the pair").arrive(sequence);
        }
        let sent = |publisher, excused| Sent { publisher, messages: 4, excused, missed: 5 };
        let received = trackers.into_iter().zip([true, false]).zip(0..);
        let outcome = Outcome {
            receivers: received
                .map(|((trackers, interrupted), receiver)| Received { receiver, trackers, interrupted })
                .collect(),
            publishers: vec![sent(2, vec![]), sent(3, vec![3])],
            histograms: Histograms::new(),
        };
        let cut = check(&plan, &expectation, std::slice::from_ref(&outcome), true);
        assert_eq!((cut.by_qos["1"].lost, cut.under_way, cut.missed_while_away), (0, 1, 4));
        let checked = check(&plan, &expectation, &[outcome], false);
        assert_eq!(checked.under_way, 0);
        assert_eq!(checked.by_qos["1"], Checks { expected: 4 + 3, received: 2, lost: 1, duplicated: 1, reordered: 0 });
        assert_eq!((checked.missed_while_away, checked.unacknowledged, checked.missed_sends), (4, 1, 10));
        let pair = &checked.pairs[0];
        assert_eq!((pair.publisher.as_str(), pair.subscriber.as_str(), pair.lost), ("pub/1", "sub/1", 1));
    }
}
