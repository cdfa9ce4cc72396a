//! Who must get what: every publisher's topic matched against every subscription, before the run.
//!
//! A *receiver* is a subscribing client, or a shared subscription as a whole. The checker ([`crate::delivery`]) keeps one
//! entry for each pair of publisher and receiver, so that a pair that never gets a message is noticed too.

use super::plan::Plan;
use crate::error::Error;
use std::collections::HashMap;

/// Pairs of publisher and receiver that a run may have: 32 bytes each in the checker.
const PAIRS_MAX: u64 = 50_000_000;

/// What a client receives for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expectation {
    /// The publishers of each receiver, in order of their number.
    pub(crate) receivers: Vec<Receiver>,
    /// For each client its receivers: itself and the shared subscriptions that it is a member of.
    pub(crate) receivers_of_client: HashMap<u32, Vec<u32>>,
    /// Deliveries that one message of each publisher makes, by client number; publishers without a receiver are absent.
    pub(crate) fan_out: HashMap<u32, u32>,
}

/// A subscriber, or a shared subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// The publishers whose messages it gets, in order of their number.
    pub(crate) publishers: Vec<Expected>,
    /// For a shared subscription, its name and filter.
    pub(crate) shared: Option<String>,
}

/// A publisher of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The publisher's client number.
    pub(crate) publisher: u32,
    /// The lower of the QoS of message and subscription.
    pub(crate) qos: u8,
}

#[derive(Default)]
struct Node {
    children: HashMap<String, Node>,
    /// Receivers whose filter ends here, with their QoS.
    here: Vec<(u32, u8)>,
    /// Receivers whose filter goes on with `#`.
    all: Vec<(u32, u8)>,
}

impl Node {
    fn insert(&mut self, filter: &str, receiver: u32, qos: u8) {
        let mut node = self;
        for level in filter.split('/') {
            if level == "#" {
                node.all.push((receiver, qos));
                return;
            }
            node = node.children.entry(level.to_owned()).or_default();
        }
        node.here.push((receiver, qos));
    }

    fn collect(&self, levels: &[&str], is_first: bool, found: &mut Vec<(u32, u8)>) {
        // A wildcard in the first level does not match names that begin with $ [MQTT-4.7.2-1].
        let wild = !(is_first && levels.first().is_some_and(|l| l.starts_with('$')));
        if wild {
            found.extend_from_slice(&self.all);
        }
        let Some((level, rest)) = levels.split_first() else {
            found.extend_from_slice(&self.here);
            return;
        };
        if let Some(child) = self.children.get(*level) {
            child.collect(rest, false, found);
        }
        if wild && let Some(child) = self.children.get("+") {
            child.collect(rest, false, found);
        }
    }
}

impl Expectation {
    /// Deliveries that a message makes, on average over the publishers' rates.
    pub(crate) fn deliveries_per_message(&self, plan: &Plan) -> f64 {
        let (mut deliveries, mut messages) = (0.0, 0.0);
        for group in &plan.groups {
            let Some(publish) = &group.publish else { continue };
            messages += publish.rate_per_s * f64::from(group.clients);
            let fan_outs = (group.first..group.first + group.clients).filter_map(|p| self.fan_out.get(&p));
            deliveries += publish.rate_per_s * fan_outs.map(|f| f64::from(*f)).sum::<f64>();
        }
        if messages > 0.0 { deliveries / messages } else { 0.0 }
    }
}

/// Matches a plan's publishers with its subscriptions.
///
/// # Errors
/// [`Error::Scenario`] when there are more pairs than the checker can hold.
pub(crate) fn expect(plan: &Plan) -> Result<Expectation, Error> {
    let mut expectation = Expectation::default();
    let mut root = Node::default();
    let mut shared: HashMap<String, u32> = HashMap::new();
    for group in &plan.groups {
        let Some(subscribe) = &group.subscribe else { continue };
        for index in 0..group.clients {
            let mut own = None;
            for filter in &subscribe.filters {
                let filter = filter.fill(group.values(index, plan.run));
                let (receiver, filter) = match filter.strip_prefix("$share/").and_then(|f| f.split_once('/')) {
                    Some((_, inner)) => {
                        let (receiver, is_new) = shared_receiver(&mut shared, &mut expectation.receivers, &filter);
                        if is_new {
                            root.insert(inner, receiver, subscribe.qos);
                        }
                        (receiver, None)
                    }
                    None => (*own.get_or_insert_with(|| add(&mut expectation.receivers, None)), Some(filter)),
                };
                if let Some(filter) = filter {
                    root.insert(&filter, receiver, subscribe.qos);
                }
                let of_client = expectation.receivers_of_client.entry(group.first + index).or_default();
                if !of_client.contains(&receiver) {
                    of_client.push(receiver);
                }
            }
        }
    }
    match_publishers(plan, &root, &mut expectation)?;
    Ok(expectation)
}

fn add(receivers: &mut Vec<Receiver>, shared: Option<String>) -> u32 {
    receivers.push(Receiver { publishers: Vec::new(), shared });
    receivers.len() as u32 - 1
}

fn shared_receiver(shared: &mut HashMap<String, u32>, receivers: &mut Vec<Receiver>, filter: &str) -> (u32, bool) {
    if let Some(receiver) = shared.get(filter) {
        return (*receiver, false);
    }
    let receiver = add(receivers, Some(filter.to_owned()));
    shared.insert(filter.to_owned(), receiver);
    (receiver, true)
}

fn match_publishers(plan: &Plan, root: &Node, expectation: &mut Expectation) -> Result<(), Error> {
    let mut found = Vec::new();
    let mut pairs = 0u64;
    for group in &plan.groups {
        let Some(publish) = &group.publish else { continue };
        for index in 0..group.clients {
            let publisher = group.first + index;
            let topic = publish.topic.fill(group.values(index, plan.run));
            let levels: Vec<&str> = topic.split('/').collect();
            found.clear();
            root.collect(&levels, true, &mut found);
            // One delivery a receiver, at the highest QoS of its filters that match [MQTT-3.3.5-1].
            found.sort_unstable_by_key(|(receiver, qos)| (*receiver, std::cmp::Reverse(*qos)));
            found.dedup_by_key(|(receiver, _)| *receiver);
            pairs += found.len() as u64;
            if pairs > PAIRS_MAX {
                let what = format!("more than {PAIRS_MAX} pairs of publisher and subscriber; --scale it down");
                return Err(Error::scenario(&plan.name, what));
            }
            for (receiver, qos) in &found {
                let expected = Expected { publisher, qos: (*qos).min(publish.qos) };
                expectation.receivers[*receiver as usize].publishers.push(expected);
            }
            if !found.is_empty() {
                expectation.fan_out.insert(publisher, found.len() as u32);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::plan::Overrides;
    use super::*;

    fn expectation(text: &str) -> Expectation {
        let file = toml::from_str(text).expect("TOML");
        expect(&Plan::new(&file, "t", &Overrides::default(), 1).expect("plan")).expect("expectation")
    }

    #[test]
    fn wildcards_dollar_names_and_overlaps() {
        let e = expectation(
            r##"
name = "t"
[[group]]
name = "sub"
clients = 1
subscribe = { filters = ["a/+/c", "a/#", "#"], qos = 1 }
[[group]]
name = "deep"
clients = 1
publish = { topic = "a/b/c", qos = 2, rate_per_s = 1 }
[[group]]
name = "parent"
clients = 1
publish = { topic = "a", rate_per_s = 1 }
[[group]]
name = "dollar"
clients = 1
publish = { topic = "$x/b", rate_per_s = 1 }
"##,
        );
        assert_eq!(
            e.receivers[0].publishers,
            [Expected { publisher: 1, qos: 1 }, Expected { publisher: 2, qos: 0 }],
            "one entry a publisher however many filters match; $x is not matched by #"
        );
        assert_eq!(e.fan_out, HashMap::from([(1, 1), (2, 1)]));
    }

    #[test]
    fn a_shared_subscription_is_one_receiver() {
        let e = expectation(
            r#"
name = "t"
[[group]]
name = "sub"
clients = 3
subscribe = { filters = ["$share/g/t/#", "own/{i}"], qos = 1 }
[[group]]
name = "pub"
clients = 2
publish = { topic = "t/{i}", qos = 1, rate_per_s = 1 }
"#,
        );
        assert_eq!(e.receivers.iter().filter(|r| r.shared.is_some()).count(), 1);
        assert_eq!(e.receivers.len(), 4);
        assert_eq!(e.fan_out, HashMap::from([(3, 1), (4, 1)]));
        assert!(e.receivers_of_client.values().all(|r| r.len() == 2 && r.contains(&0)));
    }

    #[test]
    fn pairs_match_one_to_one() {
        let file = super::super::load("p2p-1k-1k-1k-1k").expect("built in");
        let e = expect(&Plan::new(&file, "t", &Overrides::default(), 1).expect("plan")).expect("expectation");
        assert_eq!(e.receivers.len(), 1_000);
        for (i, receiver) in e.receivers.iter().enumerate() {
            assert_eq!(receiver.publishers, [Expected { publisher: 1_000 + i as u32, qos: 1 }]);
        }
    }
}
