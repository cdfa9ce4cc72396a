//! Filters and topics whose hashes collide: what a process meets once in its life, if ever, must be right too.

use super::words::{filter, topic_name};
use super::{Announcement, Matches, OptionBits, Remote, Seed, Strategy, Subscriptions, hash_topic};
use crate::ShardId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringtail_mqtt::topic::matches;
use std::collections::BTreeSet;

const SHARDS: ShardId = 3;

fn add(filter: &str) -> Announcement {
    Announcement::Add(filter.into())
}

fn remove(filter: &str) -> Announcement {
    Announcement::Remove(filter.into())
}

/// One shard's subscriptions against a set of them, every announcement taken in by `remote`.
struct Home {
    shard: ShardId,
    subscriptions: Subscriptions,
    model: BTreeSet<(String, u32)>,
}

impl Home {
    fn toggle(&mut self, filter: &str, session: u32, remote: &mut Remote) {
        if self.model.insert((filter.into(), session)) {
            let done = self.subscriptions.subscribe(filter, session, OptionBits::default(), 0);
            assert!(!done.existed);
            if done.announce {
                remote.apply(self.shard, &add(filter));
            }
        } else {
            self.model.remove(&(filter.into(), session));
            let done = self.subscriptions.unsubscribe(filter, session);
            if done.expect("the model has the subscription").announce {
                remote.apply(self.shard, &remove(filter));
            }
        }
    }

    fn expected(&self, topic_name: &str) -> Vec<u32> {
        let matching = self.model.iter().filter(|(filter, _)| matches(filter, topic_name));
        matching.map(|(_, session)| *session).collect::<BTreeSet<u32>>().into_iter().collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_is_missed_or_confused(
        mask in select(&[0, 1, 3, 1 << 32, 0x3_0000_0003, u64::MAX][..]),
        toggles in vec((0..SHARDS, filter(), 0..3u32), 1..100),
        names in vec(topic_name(), 10),
    ) {
        let seed = Seed::weak(mask);
        let mut remote = Remote::new(seed, Strategy::RoundRobin);
        let mut homes: Vec<Home> = (0..SHARDS)
            .map(|shard| Home { shard, subscriptions: Subscriptions::new(seed), model: BTreeSet::new() })
            .collect();
        let mut found = Matches::default();
        for (shard, filter, session) in &toggles {
            homes[usize::from(*shard)].toggle(filter, *session, &mut remote);
            for name in &names {
                let hash = hash_topic(&seed, name);
                let shards = remote.shards_for(name, hash);
                for home in &homes {
                    let expected = home.expected(name);
                    home.subscriptions.matches(name, hash, &mut found);
                    let mut sessions = Vec::new();
                    found.for_each(&home.subscriptions, None, |delivery| sessions.push(delivery.session));
                    prop_assert_eq!(&sessions, &expected, "{}", name);
                    prop_assert!(expected.is_empty() || shards.contains(home.shard), "{} misses {}", name, home.shard);
                    prop_assert!(mask != u64::MAX || !expected.is_empty() || !shards.contains(home.shard));
                }
            }
        }
        for home in &mut homes {
            for (filter, session) in home.model.clone() {
                home.toggle(&filter, session, &mut remote);
            }
            prop_assert!(home.subscriptions.is_bare());
        }
        prop_assert!(remote.is_empty());
    }
}
