//! Shared subscriptions: which member takes a message, alone on a shard and over several shards.

mod routing_words;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringtail_mqtt::topic::matches;
use ringtail_shards::routing::{
    Announcement, GroupId, OptionBits, Remote, Seed, Shared, Strategy as Pick, Subscriber, hash_topic,
};
use ringtail_shards::{ShardId, ShardSet};
use routing_words::{filter, topic_name};
use std::collections::{BTreeMap, BTreeSet};

const STRATEGIES: [Pick; 6] =
    [Pick::RoundRobin, Pick::Random, Pick::Sticky, Pick::HashPublisher, Pick::HashTopic, Pick::LeastInflight];

fn seed() -> Seed {
    Seed::new([1, 2])
}

fn subscriber(session: u32) -> Subscriber {
    Subscriber { session, subscription_id: session + 1, options: OptionBits::default() }
}

fn group_of(strategy: Pick, online: u32, offline: u32) -> (Shared, GroupId) {
    let mut shared = Shared::new(seed(), strategy);
    for session in 0..online + offline {
        shared.join("g", "a/+", session < online, subscriber(session));
    }
    let group = shared.find("g", "a/+").unwrap();
    (shared, group)
}

/// Members online and offline.
type ByShard = BTreeMap<ShardId, (u32, u32)>;

/// How often each session is picked when all can take.
fn picks(shared: &mut Shared, group: GroupId, times: u32, key: impl Fn(u32) -> u64) -> BTreeMap<u32, u32> {
    let mut picks = BTreeMap::new();
    for time in 0..times {
        let picked = shared.pick(group, key(time), |_| true, |_| 0).unwrap();
        *picks.entry(picked.session).or_insert(0) += 1;
    }
    picks
}

/// The counts that an announcement of a group tells.
fn counts(announcement: Option<Announcement>) -> Option<(u32, u32)> {
    match announcement? {
        Announcement::Group { online, offline, .. } => Some((online, offline)),
        other => panic!("{other:?} is not of a group"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A member is picked if one is able, only an able one, and one that is online before one that is not.
    #[test]
    fn only_able_members_are_picked(
        strategy in select(&STRATEGIES[..]),
        online in 0..6u32,
        offline in 0..6u32,
        rounds in vec((any::<u16>(), any::<u64>()), 1..20),
    ) {
        prop_assume!(online + offline > 0);
        let (mut shared, group) = group_of(strategy, online, offline);
        for (able, key) in rounds {
            let can_take = |session: u32| able >> session & 1 == 1;
            let picked = shared.pick(group, key, can_take, |session| session ^ u32::from(able)).map(|member| member.session);
            let able_online: Vec<u32> = (0..online).filter(|session| can_take(*session)).collect();
            let able_offline: Vec<u32> = (online..online + offline).filter(|session| can_take(*session)).collect();
            let expected = if able_online.is_empty() { able_offline } else { able_online };
            match picked {
                None => prop_assert!(expected.is_empty()),
                Some(session) => prop_assert!(expected.contains(&session)),
            }
            if strategy == Pick::LeastInflight {
                prop_assert_eq!(picked, expected.into_iter().min_by_key(|session| session ^ u32::from(able)));
            }
        }
    }

    /// Each member gets the same number of messages, however many join and leave before.
    #[test]
    fn in_turn_is_fair(members in 1..1_500u32, gone in 0..700u32, rounds in 1..4u32) {
        let (mut shared, group) = group_of(Pick::RoundRobin, members, 3);
        picks(&mut shared, group, members / 2, |_| 0);
        let gone = gone.min(members - 1);
        for session in 0..gone {
            prop_assert_eq!(counts(shared.leave(group, session)), Some((members - session - 1, 3)));
        }
        let picks = picks(&mut shared, group, (members - gone) * rounds, |_| 0);
        prop_assert_eq!(picks, (gone..members).map(|session| (session, rounds)).collect::<BTreeMap<_, _>>());
    }

    /// Over several shards: each online member gets its share, offline ones nothing while one is online.
    #[test]
    fn shards_are_picked_by_their_members(
        members in vec((0..5u32, 0..5u32), 1..6),
        passed in any::<u8>(),
        rounds in 1..5u32,
    ) {
        let mut remote = Remote::new(seed(), Pick::RoundRobin);
        for (shard, (online, offline)) in (0..).zip(&members) {
            remote.apply(shard, &announcement("g", "a/#", *online, *offline));
        }
        let passed_over = (0..8).filter(|shard| passed >> shard & 1 == 1).fold(ShardSet::default(), |mut set, shard| {
            set.insert(shard);
            set
        });
        let able = || (0..).zip(&members).filter(|(shard, _)| !passed_over.contains(*shard));
        let anyone_online = able().any(|(_, (online, _))| *online > 0);
        let weights: BTreeMap<ShardId, u32> = able()
            .map(|(shard, (online, offline))| (shard, if anyone_online { *online } else { *offline }))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        let total: u32 = weights.values().sum();
        let mut picks = BTreeMap::new();
        for _ in 0..total.max(1) * rounds {
            remote.groups_for("a/b", hash_topic(&seed(), "a/b"), |group| {
                let picked = group.pick(0, passed_over);
                assert_eq!(picked.is_none(), total == 0);
                picked.into_iter().for_each(|shard| *picks.entry(shard).or_insert(0) += 1);
            });
        }
        let expected: BTreeMap<ShardId, u32> =
            weights.into_iter().map(|(shard, weight)| (shard, weight * rounds)).collect();
        prop_assert_eq!(picks, expected);
    }

    /// Every group whose filter matches is visited, and no other, whatever was announced before.
    #[test]
    fn groups_are_matched_as_the_definition(
        announcements in vec((0..3u8, select(&["g", "h"][..]), filter(), 0..2u32, 0..2u32), 1..60),
        topics in vec(topic_name(), 10),
    ) {
        let mut remote = Remote::new(seed(), Pick::RoundRobin);
        let mut model: BTreeMap<(String, &str), ByShard> = BTreeMap::new();
        for (shard, group, filter, online, offline) in announcements {
            remote.apply(shard, &announcement(group, &filter, online, offline));
            let members = model.entry((filter, group)).or_default();
            members.insert(shard, (online, offline));
            members.retain(|_, counts| *counts != (0, 0));
        }
        model.retain(|_, members| !members.is_empty());
        for topic in &topics {
            let mut visited = BTreeSet::new();
            remote.groups_for(topic, hash_topic(&seed(), topic), |group| {
                visited.insert((group.key(), group.name().to_owned(), group.shards().collect::<Vec<_>>()));
            });
            let expected = model.iter().filter(|((filter, _), _)| matches(filter, topic)).map(|((filter, group), members)| {
                (key_of(group, filter), (*group).to_owned(), members.keys().copied().collect::<Vec<_>>())
            });
            prop_assert_eq!(visited, expected.collect::<BTreeSet<_>>());
        }
        for ((filter, group), members) in &model {
            for shard in members.keys() {
                remote.apply(*shard, &announcement(group, filter, 0, 0));
            }
        }
        prop_assert!(remote.is_empty());
    }
}

fn announcement(group: &str, filter: &str, online: u32, offline: u32) -> Announcement {
    Announcement::Group { group: group.into(), filter: filter.into(), online, offline }
}

/// The key that the shards know a group by: one that leads back to it.
fn key_of(group: &str, filter: &str) -> u64 {
    let mut remote = Remote::new(seed(), Pick::RoundRobin);
    remote.apply(0, &announcement(group, filter, 1, 0));
    let topic = filter.replace(['+', '#'], "x");
    let mut key = None;
    remote.groups_for(&topic, hash_topic(&seed(), &topic), |group| key = Some(group.key()));
    let mut shared = Shared::new(seed(), Pick::RoundRobin);
    let joined = shared.join(group, filter, true, subscriber(0)).group;
    assert_eq!(shared.by_key(key.unwrap()), Some(joined));
    key.unwrap()
}

#[test]
fn each_strategy_keeps_its_word() {
    let (mut shared, group) = group_of(Pick::Random, 10, 0);
    let random = picks(&mut shared, group, 10_000, |_| 0);
    assert!(random.len() == 10 && random.values().all(|picks| (800..1_200).contains(picks)), "{random:?}");

    let (mut shared, group) = group_of(Pick::Sticky, 10, 0);
    let sticky = picks(&mut shared, group, 100, |_| 0);
    let sticks_to = *sticky.keys().next().unwrap();
    assert_eq!(sticky.len(), 1);
    let other = shared.pick(group, 0, |session| session != sticks_to, |_| 0).unwrap().session;
    assert_ne!(other, sticks_to);
    assert_eq!(picks(&mut shared, group, 100, |_| 0), BTreeMap::from([(other, 100)]));

    for strategy in [Pick::HashPublisher, Pick::HashTopic] {
        let (mut shared, group) = group_of(strategy, 10, 0);
        let key = |topic: u32| strategy.key(hash_topic(&seed(), "me"), hash_topic(&seed(), &topic.to_string()));
        let spread = picks(&mut shared, group, 1_000, key);
        assert_eq!(spread.len(), if strategy == Pick::HashTopic { 10 } else { 1 });
        for topic in 0..20 {
            assert_eq!(picks(&mut shared, group, 5, |_| key(topic)).len(), 1);
        }
    }
}

/// Publishers whose numbers differ little are spread over the shards, and over the members of each.
#[test]
fn publishers_are_spread() {
    let (mut shared, group) = group_of(Pick::HashPublisher, 8, 0);
    let mut remote = Remote::new(seed(), Pick::HashPublisher);
    for shard in 0..4 {
        remote.apply(shard, &announcement("g", "a/+", 8, 0));
    }
    let mut reached = BTreeSet::new();
    for publisher in 0..1_000 {
        let key = Pick::HashPublisher.key(publisher << 8, 0);
        remote.groups_for("a/b", hash_topic(&seed(), "a/b"), |to| {
            let shard = to.pick(key, ShardSet::default()).unwrap();
            reached.insert((shard, shared.pick(group, key, |_| true, |_| 0).unwrap().session));
        });
    }
    assert_eq!(reached.len(), 4 * 8);
}

#[test]
fn a_member_joins_moves_and_leaves() {
    let mut shared = Shared::new(seed(), Pick::RoundRobin);
    let joined = shared.join("g", "a", true, subscriber(7));
    let group = joined.group;
    assert_eq!((joined.existed, counts(joined.announcement)), (false, Some((1, 0))));
    assert_eq!(shared.name(group), Some(("g", "a")));

    let again = shared.join("g", "a", true, Subscriber { subscription_id: 5, ..subscriber(7) });
    assert_eq!((again.group, again.existed, again.announcement), (group, true, None));
    assert_eq!(shared.member(group, 7).map(|member| member.subscription_id), Some(5));

    let second = shared.join("g", "a", false, subscriber(8));
    assert_eq!((second.group, counts(second.announcement)), (group, Some((1, 1))));
    assert_eq!(counts(shared.set_online(group, 8, true)), Some((2, 0)));
    assert_eq!(shared.set_online(group, 8, true), None);
    assert_eq!(shared.set_online(group, 9, true), None);
    assert_eq!(counts(shared.set_online(group, 7, false)), Some((1, 1)));
    assert_ne!(shared.join("h", "a", true, subscriber(7)).group, group);

    assert_eq!(shared.leave(group, 9), None);
    assert_eq!(counts(shared.leave(group, 7)), Some((1, 0)));
    assert_eq!(counts(shared.leave(group, 8)), Some((0, 0)));
    assert_eq!((shared.leave(group, 8), shared.find("g", "a"), shared.len()), (None, None, 1));
}

/// A shard that sticks, and one chosen by hash, stay the same until they cannot take.
#[test]
fn a_shard_is_picked_by_the_strategy() {
    for strategy in [Pick::Sticky, Pick::HashTopic, Pick::Random] {
        let mut remote = Remote::new(seed(), strategy);
        for shard in 0..4 {
            remote.apply(shard, &announcement("g", "a", 2, 1));
        }
        let mut pick = |key: u64, passed_over: ShardSet| {
            let mut picked = None;
            remote.groups_for("a", hash_topic(&seed(), "a"), |group| picked = group.pick(key, passed_over));
            picked.unwrap()
        };
        let first = pick(1_000, ShardSet::default());
        let shards: BTreeSet<ShardId> = (0..200).map(|_| pick(1_000, ShardSet::default())).collect();
        if strategy == Pick::Random {
            assert_eq!(shards.len(), 4);
        } else {
            assert_eq!(shards, BTreeSet::from([first]));
        }
        assert_ne!(pick(1_000, ShardSet::of(first)), first);
        let by_key: BTreeSet<ShardId> = (0..200).map(|key| pick(key, ShardSet::default())).collect();
        assert_eq!(by_key.len(), if strategy == Pick::Sticky { 1 } else { 4 });
    }
}
