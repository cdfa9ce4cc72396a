//! A message that is published to be retained while its subscriber subscribes comes once, and the last one comes.

use crate::config::Config;
use crate::shard::rig::{Client, Rig};
use ringtail_mqtt::packet::QoS;
use std::collections::HashMap;

const QOS_0: QoS = QoS::AtMostOnce;
const SHARDS: usize = 3;

fn rig() -> Rig {
    Rig::new(Config { shards: SHARDS, ..Config::default() })
}

/// A topic that `shard` keeps.
fn topic_of(rig: &Rig, shard: usize) -> String {
    let mut topics = (0..).map(|n| format!("t/{n}"));
    topics.find(|topic| usize::from(rig.cores[0].keeper_of(topic)) == shard).unwrap()
}

/// While the subscriber's shard asks another one, a message comes that it keeps itself.
#[test]
fn kept_on_the_subscribers_own_shard() {
    for publisher in 0..SHARDS {
        let mut rig = rig();
        let topic = topic_of(&rig, 1);
        let publisher = rig.connect(publisher, "p");
        let subscriber = rig.connect(1, "s");
        rig.subscribes(subscriber, &["t/#"], QOS_0);
        rig.turn();
        rig.turn();
        assert!(!rig.cores[1].scans.is_empty());
        rig.publishes(publisher, &topic, b"on", QOS_0, true);
        assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=on")]);
    }
}

/// The shard that keeps the message has it when it is asked, and the subscriber was given it as it was published.
#[test]
fn kept_on_another_shard() {
    for publisher in 0..SHARDS {
        let mut rig = rig();
        let topic = topic_of(&rig, 2);
        let publisher = rig.connect(publisher, "p");
        let subscriber = rig.connect(1, "s");
        rig.subscribes(subscriber, &[&topic], QOS_0);
        rig.turn_of(1);
        rig.turn_of(0);
        rig.turn_of(2);
        rig.publishes(publisher, &topic, b"on", QOS_0, true);
        assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=on")]);
    }
}

/// The publisher's shard does not know the subscription yet, and the one that keeps the message is asked before it has it.
#[test]
fn published_where_the_subscription_is_not_known_yet() {
    let mut rig = rig();
    let topic = topic_of(&rig, 2);
    let publisher = rig.connect(0, "p");
    let subscriber = rig.connect(1, "s");
    rig.publishes(publisher, &topic, b"on", QOS_0, true);
    rig.subscribes(subscriber, &[&topic], QOS_0);
    for _ in 0..5 {
        rig.turn_of(1);
        rig.turn_of(2);
    }
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=on retained")]);
}

/// What was published before waits beside a full ring when the shard that is to keep it is asked.
#[test]
fn on_its_way_to_where_it_is_kept() {
    let mut rig = Rig::new(Config { shards: SHARDS, mesh_slots: 2, ..Config::default() });
    let topic = topic_of(&rig, 2);
    let publisher = rig.connect(0, "p");
    let subscriber = rig.connect(1, "s");
    for value in ["1", "2", "3"] {
        rig.publishes(publisher, &topic, value.as_bytes(), QOS_0, true);
    }
    rig.turn_of(0);
    rig.subscribes(subscriber, &[&topic], QOS_0);
    for shard in [1, 0, 2, 1, 2, 1] {
        rig.turn_of(shard);
    }
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=3 retained")]);
}

/// Who subscribes again asks again, for what came as it was published as well.
#[test]
fn subscribing_again_asks_again() {
    let mut rig = rig();
    let topic = topic_of(&rig, 2);
    let publisher = rig.connect(0, "p");
    let subscriber = rig.connect(1, "s");
    let retained = format!("PUBLISH {topic}=on retained");
    rig.subscribes(subscriber, &["t/#"], QOS_0);
    rig.turn();
    rig.turn();
    rig.publishes(publisher, &topic, b"on", QOS_0, true);
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=on")]);
    rig.subscribes(subscriber, &["t/#"], QOS_0);
    rig.turn();
    // The scan that is under way begins anew.
    rig.subscribes(subscriber, &["t/#"], QOS_0);
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", "SUBACK", &retained]);
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A publisher on each shard, with topics that each shard keeps, publishes while a subscriber subscribes; whose turn it is
/// is chance. Returns what was published last to each topic, and what the subscriber read.
fn at_random(seed: u64) -> (HashMap<String, usize>, Vec<String>) {
    let mut random = Random(seed);
    // With few slots, what goes to one shard waits while what goes to another is there.
    let mesh_slots = [2, 1_024][random.below(2)];
    let mut rig = Rig::new(Config { shards: SHARDS, mesh_slots, ..Config::default() });
    let publishers: Vec<Client> = (0..SHARDS).map(|shard| rig.connect(shard, "p")).collect();
    let subscriber = rig.connect(random.below(SHARDS), "s");
    // The other shards learn of the subscription, or know it because of another client.
    if random.below(2) == 0 {
        let other = rig.connect(subscriber.shard, "o");
        rig.subscribes(other, &["t/#"], QOS_0);
        rig.turn();
    }
    let (mut last, mut read) = (HashMap::new(), Vec::new());
    let subscribes_at = random.below(60);
    for step in 0..120 {
        match random.below(3) {
            _ if step == subscribes_at => rig.subscribes(subscriber, &["t/#"], QOS_0),
            0 => {
                let publisher = random.below(SHARDS);
                let topic = format!("t/{publisher}/{}", random.below(6));
                rig.publishes(publishers[publisher], &topic, step.to_string().as_bytes(), QOS_0, true);
                last.insert(topic, step);
            }
            _ => drop(rig.turn_of(random.below(SHARDS))),
        }
        read.extend(rig.reads(subscriber));
    }
    // Publishers that filled a ring are held for a while.
    for _ in 0..20 {
        rig.waits(50);
        read.extend(rig.reads(subscriber));
    }
    (last, read)
}

#[test]
fn whatever_order_the_shards_take_their_turns_in() {
    for seed in 0..2_000 {
        let (last, read) = at_random(seed);
        let mut came: HashMap<String, Vec<usize>> = HashMap::new();
        for word in read.iter().filter_map(|word| word.strip_prefix("PUBLISH ")) {
            let (topic, value) = word.trim_end_matches(" retained").split_once('=').unwrap();
            came.entry(topic.to_owned()).or_default().push(value.parse().unwrap());
        }
        for (topic, values) in &came {
            assert!(values.is_sorted_by(|a, b| a < b), "seed {seed}: {topic} was {values:?}, in {read:?}");
        }
        for (topic, value) in last {
            let values = came.get(&topic);
            assert_eq!(values.and_then(|values| values.last()), Some(&value), "seed {seed}: {topic} in {read:?}");
        }
    }
}
