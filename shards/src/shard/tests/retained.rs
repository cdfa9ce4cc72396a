//! Retained messages for new subscribers.

use crate::config::Config;
use crate::shard::rig::Rig;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::QoS;

const QOS_0: QoS = QoS::AtMostOnce;

fn rig(shards: usize) -> Rig {
    Rig::new(Config { shards, ..Config::default() })
}

/// A topic that `shard` keeps.
fn topic_of(rig: &Rig, shard: usize, name: &str) -> String {
    let mut topics = (0..).map(|n| format!("{name}/{n}"));
    topics.find(|topic| usize::from(rig.cores[0].keeper_of(topic)) == shard).unwrap()
}

#[test]
fn the_suback_comes_first_and_all_shards_are_asked() {
    let mut rig = rig(3);
    let publisher = rig.connect(0, "p");
    let mut topics: Vec<String> = (0..3).map(|shard| topic_of(&rig, shard, "t")).collect();
    for topic in &topics {
        rig.publishes(publisher, topic, b"on", QOS_0, true);
    }
    rig.turn();
    rig.turn();
    let subscriber = rig.connect(1, "s");
    rig.subscribes(subscriber, &["t/#", &topics[2]], QOS_0);
    let mut read = rig.reads_all(subscriber);
    assert_eq!(read.remove(0), "SUBACK");
    topics.push(topics[2].clone());
    let mut expected: Vec<String> = topics.iter().map(|topic| format!("PUBLISH {topic}=on retained")).collect();
    expected.sort();
    read.sort();
    assert_eq!(read, expected);
    assert!(rig.cores[1].scans.is_empty());
}

/// The answer with the old value is under way when the new one reaches the subscriber's shard.
#[test]
fn nothing_older_comes_after_something_newer() {
    let mut rig = rig(3);
    let (first, second) = (rig.connect(2, "p"), rig.connect(0, "q"));
    let topic = topic_of(&rig, 2, "t");
    rig.publishes(first, &topic, b"old", QOS_0, true);
    let subscriber = rig.connect(1, "s");
    rig.subscribes(subscriber, &[&topic, "other"], QOS_0);
    rig.turn_of(1); // asks
    rig.turn_of(0); // knows the subscription
    rig.turn_of(2); // answers with the old value
    rig.publishes(second, &topic, b"new", QOS_0, true);
    rig.turn_of(0);
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=new")]);
    // Who subscribes now gets the new one.
    rig.subscribes(subscriber, &[&topic], QOS_0);
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &format!("PUBLISH {topic}=new retained")]);
}

/// More than an outbox takes, of QoS 0, from this shard and from another: none is dropped, and the outbox keeps its bound.
#[test]
fn large_messages_come_as_fast_as_they_are_taken() {
    let limits = Limits { outbox_bytes_max: 64 << 10, ..Limits::default() };
    let mut rig = Rig::new(Config { shards: 2, limits, ..Config::default() });
    let publisher = rig.connect(0, "p");
    for n in 0..100 {
        rig.publishes(publisher, &format!("t/{n}"), &[b'x'; 8 << 10], QOS_0, true);
    }
    let subscriber = rig.connect(1, "s");
    rig.subscribes(subscriber, &["t/#"], QOS_0);
    let mut read = 0;
    for _ in 0..1_000 {
        rig.turn();
        let outbox_bytes = rig.cores[1].local.connections.get(subscriber.number).unwrap().outbox.len_bytes();
        assert!(outbox_bytes <= 64 << 10, "{outbox_bytes}");
        read += rig.reads(subscriber).len();
    }
    assert_eq!(read, 1 + 100);
    assert_eq!(rig.cores[1].local.counters.dropped_outbox_full, 0);
}

/// A subscriber that reads nothing costs no work, and what it is waiting for comes when it reads.
#[test]
fn a_scan_without_room_sleeps_until_there_is_some() {
    let mut rig = rig(2);
    let publisher = rig.connect(0, "p");
    for n in 0..2_000 {
        rig.publishes(publisher, &format!("t/{n}"), &[b'x'; 2 << 10], QOS_0, true);
    }
    let subscriber = rig.connect(1, "s");
    rig.subscribes(subscriber, &["t/#"], QOS_0);
    for _ in 0..100 {
        rig.turn();
    }
    assert!(!rig.turn_of(1), "it spins while nothing can be done");
    assert!(!rig.cores[1].scans.is_empty());
    assert_eq!(rig.reads_all(subscriber).len(), 1 + 2_000);
    assert!(rig.cores[1].scans.is_empty());
}

#[test]
fn who_unsubscribes_or_goes_is_given_nothing_more() {
    let mut rig = rig(2);
    let publisher = rig.connect(0, "p");
    let topic = topic_of(&rig, 0, "t");
    rig.publishes(publisher, &topic, b"on", QOS_0, true);
    let subscriber = rig.connect(1, "s");
    rig.subscribes(subscriber, &["t/#", &topic], QOS_0);
    rig.turn_of(1);
    rig.unsubscribes(subscriber, "t/#");
    rig.unsubscribes(subscriber, &topic);
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", "UNSUBACK", "UNSUBACK"]);
    assert!(rig.cores[1].scans.is_empty());
    rig.subscribes(subscriber, &[&topic], QOS_0);
    rig.turn_of(1);
    rig.cores[1].detach(subscriber.number, ringtail_mqtt::session::DetachCause::Lost);
    assert!(rig.cores[1].scans.is_empty());
    // The answer meets another session of the same number.
    let next = rig.connect(1, "n");
    rig.subscribes(next, &[&topic], QOS_0);
    assert_eq!(rig.reads_all(next), ["SUBACK", &format!("PUBLISH {topic}=on retained")]);
}

/// Subscribing again and again to the same filters asks for no more than there are.
#[test]
fn scans_are_bounded_by_subscriptions() {
    let mut rig = rig(2);
    let publisher = rig.connect(0, "p");
    let topic = topic_of(&rig, 0, "t");
    rig.publishes(publisher, &topic, b"on", QOS_0, true);
    let subscriber = rig.connect(1, "s");
    for _ in 0..100 {
        rig.subscribes(subscriber, &["t/#", "#", &topic], QOS_0);
    }
    let read = rig.reads_all(subscriber);
    let found = read.iter().filter(|word| word.starts_with("PUBLISH")).count();
    assert_eq!((read.len() - found, found), (100, 3));
}
