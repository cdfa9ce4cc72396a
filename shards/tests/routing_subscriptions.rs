//! The trie and the hash table against the definition of a match, over random filters and topic names.

mod routing_words;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringtail_mqtt::packet::{QoS, SubscriptionOptions};
use ringtail_mqtt::topic::matches;
use ringtail_shards::routing::{Matches, OptionBits, Seed, Subscriptions, hash_topic};
use routing_words::{filter, topic_name};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Subscribe { filter: String, session: u32, qos: u8, no_local: bool, id: u32 },
    Unsubscribe { filter: String, session: u32 },
    EndSession { session: u32 },
    Publish { topic_name: String, publisher: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0..12u32;
    prop_oneof![
        6 => (filter(), session.clone(), 0..3u8, any::<bool>(), 0..3u32).prop_map(
            |(filter, session, qos, no_local, id)| Step::Subscribe { filter, session, qos, no_local, id }
        ),
        3 => (filter(), session.clone()).prop_map(|(filter, session)| Step::Unsubscribe { filter, session }),
        1 => session.clone().prop_map(|session| Step::EndSession { session }),
        4 => (topic_name(), session).prop_map(|(topic_name, publisher)| Step::Publish { topic_name, publisher }),
    ]
}

fn options(qos: u8, no_local: bool) -> SubscriptionOptions {
    SubscriptionOptions { maximum_qos: QoS::from_bits(qos).unwrap(), no_local, ..Default::default() }
}

/// The subscriptions as a plain map, and deliveries by the definition.
#[derive(Default)]
struct Model(BTreeMap<(String, u32), (SubscriptionOptions, u32)>);

impl Model {
    fn has(&self, filter: &str) -> bool {
        self.0.keys().any(|(known, _)| known == filter)
    }

    fn deliveries(&self, topic_name: &str, publisher: u32) -> BTreeMap<u32, (QoS, Vec<u32>)> {
        let mut deliveries = BTreeMap::new();
        for ((filter, session), (options, id)) in &self.0 {
            if matches(filter, topic_name) && !(options.no_local && *session == publisher) {
                let (qos, ids) = deliveries.entry(*session).or_insert((QoS::AtMostOnce, Vec::new()));
                *qos = options.maximum_qos.max(*qos);
                ids.extend(Some(*id).filter(|id| *id != 0));
            }
        }
        deliveries.values_mut().for_each(|(_, ids)| ids.sort_unstable());
        deliveries
    }
}

/// What [`Matches::for_each`] delivers, in its order.
fn deliveries(
    subscriptions: &Subscriptions,
    seed: &Seed,
    topic_name: &str,
    publisher: u32,
    found: &mut Matches,
) -> Vec<(u32, (QoS, Vec<u32>))> {
    subscriptions.matches(topic_name, hash_topic(seed, topic_name), found);
    let mut deliveries = Vec::new();
    found.for_each(subscriptions, Some(publisher), |delivery| {
        let mut ids = delivery.subscription_ids.to_vec();
        ids.sort_unstable();
        deliveries.push((delivery.session, (delivery.options.maximum_qos(), ids)));
    });
    deliveries
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn deliveries_are_those_of_the_definition(steps in vec(step(), 1..120)) {
        let seed = Seed::new([3, 4]);
        let mut subscriptions = Subscriptions::new(seed);
        let mut model = Model::default();
        let mut ids = BTreeMap::new();
        let mut found = Matches::default();
        for step in steps {
            match step {
                Step::Subscribe { filter, session, qos, no_local, id } => {
                    let known = model.has(&filter);
                    let options = options(qos, no_local);
                    let existed = model.0.insert((filter.clone(), session), (options, id)).is_some();
                    let done = subscriptions.subscribe(&filter, session, options, id);
                    prop_assert_eq!((done.existed, done.announce), (existed, !known));
                    prop_assert_eq!(subscriptions.filter(done.filter), Some(filter.as_str()));
                    let kept = subscriptions.subscriber(done.filter, session).unwrap();
                    prop_assert_eq!((SubscriptionOptions::from(kept.options), kept.subscription_id), (options, id));
                    ids.insert((session, filter), done.filter);
                }
                Step::Unsubscribe { filter, session } => {
                    let existed = model.0.remove(&(filter.clone(), session)).is_some();
                    let done = subscriptions.unsubscribe(&filter, session);
                    let expected = existed.then(|| (ids.remove(&(session, filter.clone())).unwrap(), !model.has(&filter)));
                    prop_assert_eq!(done.map(|done| (done.filter, done.announce)), expected);
                }
                Step::EndSession { session } => {
                    let (gone, kept) = ids.into_iter().partition(|((owner, _), _)| *owner == session);
                    ids = kept;
                    let gone: BTreeMap<(u32, String), _> = gone;
                    for ((_, filter), id) in gone {
                        model.0.remove(&(filter.clone(), session));
                        let done = subscriptions.remove(id, session).unwrap();
                        prop_assert_eq!(done.announce.as_deref(), (!model.has(&filter)).then_some(filter.as_str()));
                        prop_assert_eq!(subscriptions.remove(id, session), None);
                    }
                }
                Step::Publish { topic_name, publisher } => {
                    let deliveries = deliveries(&subscriptions, &seed, &topic_name, publisher, &mut found);
                    let expected: Vec<_> = model.deliveries(&topic_name, publisher).into_iter().collect();
                    prop_assert_eq!(deliveries, expected, "{}", topic_name);
                }
            }
            prop_assert_eq!(subscriptions.len(), model.0.len());
        }
    }
}

proptest! {
    /// Long lists that overlap: more subscribers than are sorted, so that the lists are merged.
    #[test]
    fn long_lists_are_merged(
        lists in vec((select(&["a/b", "a/+", "+/b", "#"][..]), vec((0..1_000u32, 0..3u8, any::<bool>(), 0..3u32), 60..700)), 2..6),
        publisher in 0..1_000u32,
    ) {
        let seed = Seed::new([3, 4]);
        let mut subscriptions = Subscriptions::new(seed);
        let mut model = Model::default();
        for (filter, subscribers) in lists {
            for (session, qos, no_local, id) in subscribers {
                model.0.insert((filter.to_owned(), session), (options(qos, no_local), id));
                subscriptions.subscribe(filter, session, options(qos, no_local), id);
            }
        }
        let deliveries = deliveries(&subscriptions, &seed, "a/b", publisher, &mut Matches::default());
        prop_assert_eq!(deliveries, model.deliveries("a/b", publisher).into_iter().collect::<Vec<_>>());
    }
}

/// A list of many blocks, alone and merged with others, against a plain map.
#[test]
fn a_filter_with_a_hundred_thousand_subscribers() {
    const SESSIONS: u32 = 100_000;
    let seed = Seed::new([5, 6]);
    let mut subscriptions = Subscriptions::new(seed);
    let hash = hash_topic(&seed, "a/b");
    let mut found = Matches::default();
    // A stride that is coprime to the number visits every session, in no simple order.
    let scattered = || (0..SESSIONS).map(|i| (u64::from(i) * 62_989 % u64::from(SESSIONS)) as u32);
    for session in scattered() {
        assert_eq!(
            subscriptions.subscribe("a/b", session, OptionBits::default(), 0).announce,
            subscriptions.len() == 1
        );
    }
    let few = subscriptions.subscribe("a/+", 77_777, options(2, false), 9).filter;
    subscriptions.subscribe("#", 5, options(1, false), 8);
    subscriptions.matches("a/b", hash, &mut found);
    let mut next = 0;
    found.for_each(&subscriptions, None, |delivery| {
        assert_eq!(delivery.session, next);
        let (qos, ids): (_, &[u32]) = match next {
            5 => (QoS::AtLeastOnce, &[8]),
            77_777 => (QoS::ExactlyOnce, &[9]),
            _ => (QoS::AtMostOnce, &[]),
        };
        assert_eq!((delivery.options.maximum_qos(), delivery.subscription_ids), (qos, ids));
        next += 1;
    });
    assert_eq!(next, SESSIONS);

    assert!(subscriptions.remove(few, 77_777).is_some());
    for session in scattered().filter(|session| session % 7 != 0) {
        assert!(subscriptions.unsubscribe("a/b", session).is_some());
    }
    subscriptions.matches("a/b", hash, &mut found);
    let mut left = Vec::new();
    found.for_each(&subscriptions, None, |delivery| left.push(delivery.session));
    assert_eq!(left, (0..SESSIONS).filter(|session| session % 7 == 0 || *session == 5).collect::<Vec<_>>());
    for session in scattered().filter(|session| session % 7 == 0) {
        assert!(subscriptions.unsubscribe("a/b", session).is_some());
    }
    assert_eq!((subscriptions.len(), subscriptions.filters()), (1, 1));
}

#[test]
fn removal_returns_memory() {
    let mut subscriptions = Subscriptions::new(Seed::new([7, 8]));
    let empty = subscriptions.memory_bytes();
    let filters = |i: u32| [format!("devices/{i}/state"), format!("devices/{i}/+/state"), format!("{}/{i}/#", i % 100)];
    let mut ids = Vec::new();
    for i in 0..20_000 {
        ids.extend(filters(i).map(|filter| (subscriptions.subscribe(&filter, i, OptionBits::default(), 0).filter, i)));
    }
    assert_eq!((subscriptions.len(), subscriptions.filters()), (60_000, 60_000));
    assert!(subscriptions.memory_bytes() > empty + 60_000 * 64);
    for (id, session) in ids {
        assert!(subscriptions.remove(id, session).is_some_and(|removed| removed.announce.is_some()));
    }
    assert_eq!((subscriptions.len(), subscriptions.filters()), (0, 0));
    assert!(subscriptions.memory_bytes() < empty + 128 * 1_024, "{}", subscriptions.memory_bytes());
}
