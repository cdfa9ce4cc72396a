//! The queue: bounds, policy, expiry and order.

use crate::rig::*;
use ringtail_mqtt::limits::{Limits, QueuePolicy};
use ringtail_mqtt::message::MessageRef;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::session::*;

fn offline(limits: Limits) -> Rig {
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&connect_v5()).expect("accepted");
    let _ = rig.lose();
    rig.session.track_progress(true);
    rig
}

fn payloads(rig: &mut Rig) -> Vec<&'static str> {
    rig.sent().iter().skip(1).map(|packet| publish_of(packet).1).collect()
}

fn queued(sequence: u64, evicted: u32) -> Delivered {
    Delivered::Queued { sequence, evicted }
}

#[test]
fn messages_wait_for_the_client_in_their_order() {
    let mut rig = offline(Limits::default());
    assert_eq!(rig.deliver("one", QoS::AtLeastOnce), queued(1, 0));
    assert_eq!(rig.deliver("two", QoS::ExactlyOnce), queued(2, 0));
    assert_eq!(rig.deliver("three", QoS::AtMostOnce), Delivered::Dropped(DropReason::Offline));
    let pumped = rig.connect(&connect_v5()).expect("accepted");
    assert_eq!(pumped, Pumped { sent: 2, ..Pumped::default() });
    assert_eq!(payloads(&mut rig), ["one", "two"]);
    let sent = |sequence| Progress::Sent { sequence, packet_id: id(sequence as u16) };
    assert_eq!(rig.progress(), [sent(1), sent(2)]);
}

#[test]
fn a_session_that_ends_with_its_connection_has_no_queue_without_it() {
    let mut rig = Rig::connected(connect_v4(true));
    let _ = rig.lose();
    assert_eq!(rig.deliver("one", QoS::AtLeastOnce), Delivered::Dropped(DropReason::Offline));
}

#[test]
fn the_oldest_makes_room() {
    let mut rig = offline(Limits { queue_messages_max: 2, ..Limits::default() });
    for (payload, sequence, evicted) in [("one", 1, 0), ("two", 2, 0), ("three", 3, 1)] {
        assert_eq!(rig.deliver(payload, QoS::AtLeastOnce), queued(sequence, evicted));
    }
    assert_eq!(rig.progress(), [Progress::Done { sequence: 1 }]);
    rig.connect(&connect_v5()).expect("accepted");
    assert_eq!(payloads(&mut rig), ["two", "three"]);
}

#[test]
fn the_newest_is_not_queued() {
    for queue_policy in [QueuePolicy::DropNewest, QueuePolicy::Reject] {
        let mut rig = offline(Limits { queue_messages_max: 2, queue_policy, ..Limits::default() });
        let _ = rig.deliver("one", QoS::AtLeastOnce);
        let _ = rig.deliver("two", QoS::AtLeastOnce);
        assert_eq!(rig.deliver("three", QoS::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
        rig.connect(&connect_v5()).expect("accepted");
        assert_eq!(payloads(&mut rig), ["one", "two"]);
    }
}

/// An expired message makes room under either policy.
#[test]
fn an_expired_message_makes_room_for_the_newest() {
    let limits = Limits { queue_messages_max: 1, queue_policy: QueuePolicy::DropNewest, ..Limits::default() };
    let mut rig = offline(limits);
    let options = DeliverOptions { qos: QoS::AtLeastOnce, ..DeliverOptions::default() };
    let _ = rig.deliver_as(MessageRef { expires_at: rig.now.plus_s(5), ..message("one") }, &options);
    assert_eq!(rig.deliver("two", QoS::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
    rig.now = rig.now.plus_s(5);
    assert!(matches!(rig.deliver("three", QoS::AtLeastOnce), Delivered::Queued { evicted: 1, .. }));
}

#[test]
fn bytes_are_bounded() {
    let mut rig = offline(Limits { queue_bytes_max: 4_000, ..Limits::default() });
    let long = "x".repeat(1_700);
    assert_eq!(rig.deliver(&long, QoS::AtLeastOnce), queued(1, 0));
    assert_eq!(rig.deliver(&long, QoS::AtLeastOnce), queued(2, 0));
    assert_eq!(rig.deliver(&long, QoS::AtLeastOnce), queued(3, 1));
    let longer = "x".repeat(4_000);
    assert_eq!(rig.deliver(&longer, QoS::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
    assert_eq!(rig.session.queue_len(), 2);
    assert!(rig.session.memory_bytes() < 4_000 + 500, "{}", rig.session.memory_bytes());
}

#[test]
fn a_queue_of_none_takes_none() {
    let mut rig = offline(Limits { queue_messages_max: 0, ..Limits::default() });
    assert_eq!(rig.deliver("one", QoS::AtLeastOnce), Delivered::Dropped(DropReason::QueueFull));
    assert!(!rig.session.has_backlog());
}

/// [MQTT-3.3.2-5]
#[test]
fn expired_messages_are_not_sent() {
    let mut rig = offline(Limits::default());
    let options = DeliverOptions { qos: QoS::AtLeastOnce, ..DeliverOptions::default() };
    for (payload, expiry_s) in [("one", 5), ("two", 100), ("three", 5)] {
        let expires_at = rig.now.plus_s(expiry_s);
        let _ = rig.deliver_as(MessageRef { expires_at, ..message(payload) }, &options);
    }
    rig.now = rig.now.plus_s(40);
    let pumped = rig.connect(&connect_v5()).expect("accepted");
    assert_eq!(pumped, Pumped { sent: 1, expired: 2, packet_too_large: 0 });
    let packets = rig.sent();
    let Packet::Publish(publish) = &packets[1] else { panic!("{packets:?}") };
    assert_eq!(publish.properties.message_expiry_interval_s, Some(60)); // [MQTT-3.3.2-6]
    let done = |sequence| Progress::Done { sequence };
    assert_eq!(rig.progress(), [done(1), Progress::Sent { sequence: 2, packet_id: id(1) }, done(3)]);
}

/// [MQTT-3.1.2-25]
#[test]
fn a_queued_message_too_large_for_the_next_connection_is_dropped() {
    let mut rig = offline(Limits::default());
    let _ = rig.deliver(&"x".repeat(100), QoS::AtLeastOnce);
    let _ = rig.deliver("two", QoS::AtLeastOnce);
    let small = Properties { maximum_packet_size_bytes: Some(60), ..Properties::default() };
    let pumped = rig.connect(&connect_with(small)).expect("accepted");
    assert_eq!(pumped, Pumped { sent: 1, expired: 0, packet_too_large: 1 });
    assert_eq!(payloads(&mut rig), ["two"]);
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]
#[test]
fn nothing_overtakes_the_queue() {
    let mut rig = Rig::v5();
    rig.limits.outbox_bytes_max = 1;
    let _ = rig.deliver("one", QoS::AtLeastOnce);
    let _ = rig.deliver("two", QoS::AtLeastOnce);
    rig.sent();
    // There is room again, but "two" goes first.
    assert!(matches!(rig.deliver("three", QoS::AtLeastOnce), Delivered::Queued { .. }));
    assert!(!rig.session.can_take(QoS::AtLeastOnce, &rig.limits, 0));
    rig.pump();
    assert_eq!(rig.sent_publishes(), [(2, "two", false)]);
    rig.pump();
    assert_eq!(rig.sent_publishes(), [(3, "three", false)]);
}
