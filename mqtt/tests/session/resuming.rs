//! What is sent again when a client comes back.

use crate::rig::*;
use ringtail_mqtt::message::MessageRef;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::session::*;
use std::num::NonZeroU16;

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]
#[test]
fn unacknowledged_packets_are_sent_again_in_their_order() {
    let mut rig = Rig::v5();
    for (payload, qos) in [("one", QoS::AtLeastOnce), ("two", QoS::ExactlyOnce), ("three", QoS::ExactlyOnce)] {
        let _ = rig.deliver(payload, qos);
    }
    rig.answers(pubrec(2));
    let _ = rig.lose();
    let _ = rig.deliver("four", QoS::AtLeastOnce);
    for _ in 0..2 {
        let pumped = rig.connect(&connect_v5()).expect("accepted");
        assert_eq!(pumped.sent, 4);
        let packets = rig.sent();
        assert_eq!(publish_of(&packets[1]), (1, "one", true));
        assert_eq!(packets[2], pubrel(2)); // [MQTT-4.3.3-6]
        assert_eq!(publish_of(&packets[3]), (3, "three", true));
        let fourth = publish_of(&packets[4]);
        assert_eq!((fourth.0, fourth.1), (4, "four"));
        let _ = rig.lose();
    }
}

/// What was acknowledged out of order leaves a gap, which nothing fills.
#[test]
fn acknowledged_packets_are_not_sent_again() {
    let mut rig = Rig::v5();
    for payload in ["one", "two", "three"] {
        let _ = rig.deliver(payload, QoS::AtLeastOnce);
    }
    rig.answers(puback(2));
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    let packets = rig.sent();
    let resent: Vec<_> = packets[1..].iter().map(publish_of).collect();
    assert_eq!(resent, [(1, "one", true), (3, "three", true)]);
}

/// [MQTT-3.3.4-9]: also what is sent again keeps to the Receive Maximum, which may be a smaller one now. PUBREL takes no
/// place.
#[test]
fn sending_again_keeps_to_the_window() {
    let mut rig = Rig::v5();
    let _ = rig.deliver("one", QoS::ExactlyOnce);
    for payload in ["two", "three", "four"] {
        let _ = rig.deliver(payload, QoS::AtLeastOnce);
    }
    rig.answers(pubrec(1));
    let _ = rig.lose();
    let narrow = Properties { receive_maximum: NonZeroU16::new(1), ..Properties::default() };
    rig.connect(&connect_with(narrow)).expect("accepted");
    let packets = rig.sent();
    assert_eq!(packets[1], pubrel(1));
    assert_eq!(publish_of(&packets[2]), (2, "two", true));
    assert_eq!((packets.len(), rig.session.inflight_len()), (3, 1));
    assert!(matches!(rig.deliver("five", QoS::AtLeastOnce), Delivered::Queued { .. }));

    for (packet_id, payload, dup) in [(3, "three", true), (4, "four", true), (5, "five", false)] {
        assert!(matches!(rig.receive(puback(packet_id - 1)), Action::Pump));
        rig.pump();
        assert_eq!(rig.sent_publishes(), [(packet_id, payload, dup)]);
    }
    assert_eq!(rig.answers(puback(5)), []);
    assert_eq!(rig.answers(pubcomp(1)), []);
    assert!(!rig.session.has_backlog());
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_again_yet_counts() {
    let mut rig = Rig::v5();
    for payload in ["one", "two", "three"] {
        let _ = rig.deliver(payload, QoS::AtLeastOnce);
    }
    let _ = rig.lose();
    let narrow = Properties { receive_maximum: NonZeroU16::new(1), ..Properties::default() };
    rig.connect(&connect_with(narrow)).expect("accepted");
    rig.sent();
    let _ = rig.receive(puback(2));
    let _ = rig.receive(puback(1));
    rig.pump();
    assert_eq!(rig.sent_publishes(), [(3, "three", true)]);
}

/// [MQTT-4.3.3-7]
#[test]
fn what_was_sent_once_is_sent_again_after_its_expiry() {
    let mut rig = Rig::v5();
    let options = DeliverOptions { qos: QoS::ExactlyOnce, ..DeliverOptions::default() };
    let _ = rig.deliver_as(MessageRef { expires_at: rig.now.plus_s(5), ..message("one") }, &options);
    let _ = rig.lose();
    rig.now = rig.now.plus_s(10);
    rig.connect(&connect_v5()).expect("accepted");
    let packets = rig.sent();
    assert_eq!(publish_of(&packets[1]), (1, "one", true));
}

/// [MQTT-3.1.2-25]
#[test]
fn what_has_become_too_large_counts_as_delivered() {
    let mut rig = Rig::v5();
    rig.session.track_progress(true);
    for payload in ["one", &"x".repeat(100), "three"] {
        let _ = rig.deliver(payload, QoS::AtLeastOnce);
    }
    let _ = rig.lose();
    rig.progress();
    let small = Properties { maximum_packet_size_bytes: Some(60), ..Properties::default() };
    let pumped = rig.connect(&connect_with(small)).expect("accepted");
    assert_eq!(pumped, Pumped { sent: 2, expired: 0, packet_too_large: 1 });
    assert_eq!(rig.progress(), [Progress::Done { sequence: 2 }]);
    rig.answers(puback(1));
    rig.answers(puback(3));
    assert_eq!(rig.session.inflight_len(), 0);
}

#[test]
fn a_client_may_come_back_with_another_version() {
    let mut rig = Rig::v5();
    let options = DeliverOptions { qos: QoS::AtLeastOnce, subscription_ids: &[3], ..DeliverOptions::default() };
    let _ = rig.deliver_as(message("one"), &options);
    let _ = rig.lose();
    rig.connect(&connect_v4(false)).expect("accepted");
    let packets = rig.sent();
    assert_eq!(publish_of(&packets[1]), (1, "one", true));
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    let packets = rig.sent();
    let Packet::Publish(publish) = &packets[1] else { panic!("{packets:?}") };
    assert_eq!(publish.properties.subscription_identifiers.iter().count(), 1);
}

/// A slow reader is not flooded: what is sent again waits for the outbox, too.
#[test]
fn sending_again_keeps_to_the_outbox() {
    let mut rig = Rig::v5();
    for _ in 0..10 {
        let _ = rig.deliver("0123456789", QoS::AtLeastOnce);
    }
    let _ = rig.lose();
    rig.limits.outbox_bytes_max = 100;
    rig.connect(&connect_v5()).expect("accepted");
    let mut sent = rig.sent().len() - 1;
    assert!(sent < 10);
    while rig.session.has_backlog() {
        rig.pump();
        sent += rig.sent().len();
    }
    assert_eq!(sent, 10);
}
