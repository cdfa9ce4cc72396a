//! Who is held back, and who is not.

use crate::config::Config;
use crate::shard::Mail;
use crate::shard::rig::{Client, Rig};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::session::DetachCause;

const QOS_1: QoS = QoS::AtLeastOnce;

/// Subscribers are full soon, and slow for long.
fn rig(shards: usize) -> Rig {
    let limits = Limits { inflight_max: 2, queue_messages_max: 10, ..Limits::default() };
    Rig::new(Config { shards, limits, slow_consumer_grace_ms: 60_000, ..Config::default() })
}

fn subscribed(rig: &mut Rig, shard: usize, topic: &str) -> Client {
    let client = rig.connect(shard, topic);
    rig.subscribes(client, &[topic], QOS_1);
    assert_eq!(rig.reads_all(client), ["SUBACK"]);
    client
}

fn fills(rig: &mut Rig, publisher: Client, topic: &str) {
    for _ in 0..9 {
        rig.publishes(publisher, topic, b"on", QOS_1, false);
    }
}

#[test]
fn two_that_publish_to_each_other_do_not_wait_for_each_other() {
    for shards in [1, 2] {
        let mut rig = rig(shards);
        let (a, b) = (subscribed(&mut rig, 0, "a"), subscribed(&mut rig, shards - 1, "b"));
        fills(&mut rig, a, "b");
        rig.turn();
        rig.turn();
        assert!(rig.is_held(a), "it met a full subscriber");
        fills(&mut rig, b, "a");
        rig.turn();
        assert!(!rig.is_held(b), "it is full itself");
        rig.waits(20);
        assert!(!rig.is_held(a), "by now it is full, too");
    }
}

#[test]
fn the_keep_alive_of_a_held_client_does_not_run_out() {
    let mut rig = rig(1);
    let slow = subscribed(&mut rig, 0, "slow");
    let publisher = rig.connect_for(0, "p", 1);
    fills(&mut rig, publisher, "slow");
    rig.waits(10_000);
    assert!(rig.is_held(publisher) && rig.is_live(publisher));
    rig.cores[0].detach(slow.number, DetachCause::Lost);
    rig.waits(1_000);
    assert!(!rig.is_held(publisher) && rig.is_live(publisher));
    rig.waits(1_000);
    assert!(!rig.is_live(publisher), "from its release on it runs");
}

#[test]
fn a_held_client_that_goes_leaves_nothing_behind() {
    let mut rig = rig(1);
    subscribed(&mut rig, 0, "slow");
    let publisher = rig.connect(0, "p");
    fills(&mut rig, publisher, "slow");
    assert_eq!(rig.cores[0].holds.len(), 1);
    rig.cores[0].detach(publisher.number, DetachCause::Lost);
    rig.cores[0].drain(publisher.number);
    assert_eq!(rig.cores[0].holds.len(), 0);
}

#[test]
fn what_was_meant_for_a_publisher_that_has_gone_does_not_hold_the_next_of_its_number() {
    let mut rig = rig(2);
    subscribed(&mut rig, 1, "slow");
    let publisher = rig.connect(0, "p");
    fills(&mut rig, publisher, "slow");
    rig.turn();
    rig.cores[0].detach(publisher.number, DetachCause::Lost);
    rig.cores[0].drain(publisher.number);
    rig.cores[0].local.connections.remove(publisher.number);
    let next = rig.connect(0, "n");
    assert_eq!(next.number, publisher.number);
    rig.turn();
    assert!(!rig.is_held(next));
}

#[test]
fn a_publisher_elsewhere_is_told_once() {
    let mut rig = rig(2);
    subscribed(&mut rig, 1, "slow");
    let publisher = rig.connect(0, "p");
    for _ in 0..3 {
        fills(&mut rig, publisher, "slow");
    }
    rig.turn_of(0);
    rig.turn_of(1);
    let mut holds = 0;
    rig.cores[0].port.drain(usize::MAX, |_, mail| holds += usize::from(matches!(mail, Mail::Hold(_))));
    assert_eq!(holds, 1);
}
