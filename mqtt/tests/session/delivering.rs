//! What the broker delivers, and how the client acknowledges it.

use crate::rig::*;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::outbox::{SHARE_PAYLOAD_BYTES, Segment};
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use std::num::NonZeroU16;
use std::rc::Rc;

fn window_of(receive_maximum: u16) -> Rig {
    let properties = Properties { receive_maximum: NonZeroU16::new(receive_maximum), ..Properties::default() };
    Rig::connected(connect_with(properties))
}

#[test]
fn each_qos_goes_out_as_it_is() {
    let mut rig = Rig::v5();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let options = DeliverOptions { qos, retain: qos == QoS::AtLeastOnce, subscription_ids: &[] };
        assert!(matches!(rig.deliver_as(message("on"), &options), Delivered::Sent { .. }));
        let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
        assert_eq!((publish.qos, publish.retain, publish.dup), (qos, options.retain, false)); // [MQTT-4.3.2-2]
        assert_eq!(publish.packet_id, NonZeroU16::new(qos as u16));
        assert_eq!((publish.topic_name, publish.payload), (TOPIC_NAME, &b"on"[..]));
    }
}

/// [MQTT-3.3.4-3], [MQTT-3.3.4-4]
#[test]
fn subscription_identifiers_go_to_v5_alone() {
    let message = MessageRef { properties: b"\x03\x00\x01t", ..message("on") };
    let options = DeliverOptions { subscription_ids: &[7, 300], ..DeliverOptions::default() };
    let mut rig = Rig::v5();
    let _ = rig.deliver_as(message, &options);
    let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
    let identifiers: Vec<u32> = publish.properties.subscription_identifiers.iter().map(|id| id.get()).collect();
    assert_eq!((identifiers, publish.properties.content_type), (vec![7, 300], Some("t")));

    let mut rig = Rig::connected(connect_v4(true));
    let _ = rig.deliver_as(message, &options);
    let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
    assert_eq!((publish.properties, publish.payload), (PublishProperties::default(), &b"on"[..]));
}

/// Many subscribers of every kind, one message: what is encoded once must be right for each.
#[test]
fn a_message_is_encoded_for_every_shape() {
    let mut rigs = [Rig::v5(), Rig::connected(connect_v4(true)), Rig::v5(), Rig::connected(connect_v4(true))];
    let mut encoder = Encoder::default();
    let mut outgoing = Outgoing::new(MessageRef { properties: b"\x03\x00\x01t", ..message("on") }, &mut encoder);
    for round in 1..=2 {
        for rig in &mut rigs {
            for (qos, retain) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
                let qos = QoS::from_bits(qos).expect("a QoS");
                let options = DeliverOptions { qos, retain, subscription_ids: &[] };
                let _ = rig.session.deliver(&mut outgoing, &options, &rig.limits, rig.now, &mut rig.out);
            }
            let content_type = (rig.session.version() == ProtocolVersion::V5).then_some("t");
            let first = round * 4 - 3;
            let packet_ids = [0, first, first + 1, 0, first + 2, first + 3];
            for (n, packet) in rig.sent().into_iter().enumerate() {
                let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
                assert_eq!((publish.qos as usize, publish.retain), (n % 3, n >= 3));
                assert_eq!(publish.packet_id, NonZeroU16::new(packet_ids[n]));
                assert_eq!((publish.topic_name, publish.payload), (TOPIC_NAME, &b"on"[..]));
                assert_eq!(publish.properties.content_type, content_type);
            }
        }
    }
}

#[test]
fn an_encoder_forgets_the_message_before() {
    let mut rig = Rig::v5();
    for payload in ["one", "two"] {
        let topic_name = format!("rooms/{payload}");
        let _ = rig.deliver_as(MessageRef { topic_name: &topic_name, ..message(payload) }, &DeliverOptions::default());
        let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
        assert_eq!((publish.topic_name, publish.payload), (&*topic_name, payload.as_bytes()));
    }
}

/// [MQTT-4.3.2-3], [MQTT-4.3.3-4]
#[test]
fn acknowledgements_end_the_exchange() {
    let mut rig = Rig::v5();
    let _ = rig.deliver("one", QoS::AtLeastOnce);
    let _ = rig.deliver("two", QoS::ExactlyOnce);
    let _ = rig.deliver("three", QoS::ExactlyOnce);
    rig.sent();
    assert_eq!(rig.answers(puback(1)), []);
    assert_eq!(rig.answers(pubrec(2)), [pubrel(2)]);
    assert_eq!(rig.answers(pubrec(2)), [pubrel(2)]);
    assert_eq!(rig.answers(pubcomp(2)), []);
    assert_eq!(rig.session.inflight_len(), 1);
    // [MQTT-4.4.0-2]: a failure ends it, too.
    assert_eq!(rig.answers(Packet::PubRec(ack(3, ReasonCode::QuotaExceeded))), []);
    assert_eq!(rig.session.inflight_len(), 0);
}

#[test]
fn unknown_acknowledgements_are_passed_over() {
    let mut rig = Rig::v5();
    assert_eq!(rig.answers(puback(9)), []);
    assert_eq!(rig.answers(pubcomp(9)), []);
    assert_eq!(rig.answers(Packet::PubRec(ack(9, ReasonCode::UnspecifiedError))), []);
    let not_found = Packet::PubRel(ack(9, ReasonCode::PacketIdentifierNotFound));
    assert_eq!(rig.answers(pubrec(9)), [not_found]);
    assert_eq!(Rig::connected(connect_v4(false)).answers(pubrec(9)), [pubrel(9)]);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    let mut rig = Rig::v5();
    let _ = rig.deliver("one", QoS::AtLeastOnce);
    let _ = rig.deliver("two", QoS::ExactlyOnce);
    assert_eq!(rig.violation(pubrec(1)), ReasonCode::ProtocolError);
    assert_eq!(rig.violation(puback(2)), ReasonCode::ProtocolError);
    assert_eq!(rig.violation(pubcomp(2)), ReasonCode::ProtocolError);
}

/// [MQTT-3.3.4-9]: a place is free after PUBACK, PUBCOMP or a failed PUBREC, not after PUBREC.
#[test]
fn the_window_is_never_exceeded() {
    let mut rig = window_of(2);
    assert_eq!(rig.deliver("one", QoS::ExactlyOnce), Delivered::Sent { sequence: 1 });
    assert_eq!(rig.deliver("two", QoS::AtLeastOnce), Delivered::Sent { sequence: 2 });
    assert_eq!(rig.deliver("three", QoS::AtLeastOnce), Delivered::Queued { sequence: 3, evicted: 0 });
    assert_eq!(rig.deliver("four", QoS::AtMostOnce), Delivered::Sent { sequence: 0 });
    rig.sent();
    assert!(matches!(rig.receive(pubrec(1)), Action::None));
    assert_eq!(rig.pump(), Pumped::default());
    assert!(matches!(rig.receive(pubcomp(1)), Action::Pump));
    assert_eq!(rig.pump(), Pumped { sent: 1, ..Pumped::default() });
    assert_eq!(rig.sent(), [pubrel(1), publish_named(3, "three")]);
}

fn publish_named(packet_id: u16, payload: &'static str) -> Packet<'static> {
    let Packet::Publish(publish) = publish(QoS::AtLeastOnce, packet_id) else { panic!("PUBLISH") };
    Packet::Publish(Publish { payload: payload.as_bytes(), ..publish })
}

#[test]
fn the_servers_own_limit_bounds_the_window() {
    let mut rig = Rig { limits: Limits { inflight_max: 1, ..Limits::default() }, ..Rig::new() };
    rig.connect(&connect_v5()).expect("accepted");
    assert!(matches!(rig.deliver("one", QoS::AtLeastOnce), Delivered::Sent { .. }));
    assert!(matches!(rig.deliver("two", QoS::AtLeastOnce), Delivered::Queued { .. }));
}

/// Identifiers go round, and one that stays behind is not given twice [MQTT-2.2.1-4].
#[test]
fn identifiers_go_round() {
    let mut rig = window_of(3);
    for n in 0..140_000_u32 {
        let _ = rig.deliver("x", QoS::AtLeastOnce);
        let expected = (n % 65_535 + 1) as u16;
        let [(packet_id, ..)] = rig.sent_publishes()[..] else { panic!("one PUBLISH") };
        assert_eq!(packet_id, expected);
        assert!(matches!(rig.session.receive(&puback(packet_id), &rig.limits, rig.now, &mut rig.out), Action::None));
    }
}

#[test]
fn acknowledgements_out_of_order_free_their_places() {
    let mut rig = window_of(3);
    for _ in 0..3 {
        let _ = rig.deliver("x", QoS::AtLeastOnce);
    }
    // The first stays unacknowledged, for as long as the window can remember.
    let mut sent = 3;
    for packet_id in 2.. {
        rig.answers(puback(packet_id));
        if !rig.session.can_take(QoS::AtLeastOnce, &rig.limits, 0) {
            break;
        }
        let _ = rig.deliver("x", QoS::AtLeastOnce);
        sent += 1;
    }
    assert_eq!(sent, 3 * 4 + 64);
    rig.answers(puback(1));
    assert!(rig.session.can_take(QoS::AtLeastOnce, &rig.limits, 0));
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]
#[test]
fn a_message_too_large_for_the_client_is_dropped_for_it_alone() {
    let small = Properties { maximum_packet_size_bytes: Some(60), ..Properties::default() };
    let mut rig = Rig::connected(connect_with(small));
    let long = "x".repeat(100);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(rig.deliver(&long, qos), Delivered::Dropped(DropReason::PacketTooLarge));
    }
    assert!(rig.out.is_empty());
    assert_eq!(rig.session.inflight_len(), 0);

    // To the byte: type, length, topic name, identifier, property length, payload.
    let exact = "x".repeat(60 - 2 - 2 - TOPIC_NAME.len() - 2 - 1);
    assert!(matches!(rig.deliver(&exact, QoS::AtLeastOnce), Delivered::Sent { .. }));
    assert_eq!(rig.sent_bytes().len(), 60);
    assert_eq!(rig.deliver(&format!("{exact}x"), QoS::AtLeastOnce), Delivered::Dropped(DropReason::PacketTooLarge));
}

#[test]
fn a_full_outbox_drops_qos_0_and_queues_the_rest() {
    let mut rig = Rig::v5();
    rig.limits.outbox_bytes_max = 100;
    while rig.out.len_bytes() < 100 {
        assert!(rig.session.can_take(QoS::AtMostOnce, &rig.limits, rig.out.len_bytes()));
        assert!(matches!(rig.deliver("filler", QoS::AtMostOnce), Delivered::Sent { .. }));
    }
    assert!(!rig.session.can_take(QoS::AtMostOnce, &rig.limits, rig.out.len_bytes()));
    assert_eq!(rig.deliver("lost", QoS::AtMostOnce), Delivered::Dropped(DropReason::OutboxFull));
    assert!(matches!(rig.deliver("one", QoS::AtLeastOnce), Delivered::Queued { .. }));
    assert_eq!(rig.pump(), Pumped::default());
    rig.sent();
    assert!(rig.session.has_backlog());
    assert_eq!(rig.pump().sent, 1);
    assert!(!rig.session.has_backlog());
    assert_eq!(rig.sent_publishes(), [(1, "one", false)]);
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[test]
fn what_is_left_of_the_expiry_is_forwarded() {
    let mut rig = Rig::v5();
    let expiring = MessageRef { expires_at: rig.now.plus_ms(9_500), ..message("on") };
    for (later_ms, left_s) in [(0, 10), (500, 9), (8_999, 1)] {
        let now = rig.now;
        rig.now = now.plus_ms(later_ms);
        assert!(matches!(rig.deliver_as(expiring, &DeliverOptions::default()), Delivered::Sent { .. }));
        let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
        assert_eq!(publish.properties.message_expiry_interval_s, Some(left_s));
        rig.now = now;
    }
    rig.now = rig.now.plus_ms(9_500);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let options = DeliverOptions { qos, ..DeliverOptions::default() };
        assert_eq!(rig.deliver_as(expiring, &options), Delivered::Dropped(DropReason::Expired));
    }
}

#[test]
fn the_expiry_is_written_anew_when_time_passes_during_a_delivery() {
    let mut rig = Rig::v5();
    let expiring = MessageRef { expires_at: rig.now.plus_s(10), ..message("on") };
    let mut outgoing = Outgoing::new(expiring, &mut rig.encoder);
    for (later_s, left_s) in [(0, 10), (3, 7)] {
        let now = rig.now.plus_s(later_s);
        let options = DeliverOptions::default();
        let _ = rig.session.deliver(&mut outgoing, &options, &rig.limits, now, &mut rig.out);
        let bytes = rig.out.bytes_mut();
        assert_eq!(bytes[bytes.len() - 6..bytes.len() - 2], u32::to_be_bytes(left_s));
    }
}

/// Short payloads are copied with their heads, longer ones after them, large ones not at all.
#[test]
fn a_payload_of_any_length_comes_whole() {
    let mut rig = Rig::v5();
    for bytes in [0, 1, 256, 257, SHARE_PAYLOAD_BYTES - 1, SHARE_PAYLOAD_BYTES] {
        let payload = "x".repeat(bytes);
        for subscription_ids in [&[][..], &[1]] {
            let options = DeliverOptions { qos: QoS::AtLeastOnce, retain: false, subscription_ids };
            let _ = rig.deliver_as(message(&payload), &options);
            let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
            assert_eq!(publish.payload, payload.as_bytes());
            rig.answers(puback(publish.packet_id.map_or(0, NonZeroU16::get)));
        }
    }
}

#[test]
fn a_large_payload_is_shared() {
    let payload = "x".repeat(SHARE_PAYLOAD_BYTES);
    let shared: Rc<Message> = Rc::new(message(&payload).into());
    let mut rig = Rig::v5();
    for subscription_ids in [&[][..], &[1]] {
        let mut outgoing = Outgoing::from_shared(&shared, &mut rig.encoder);
        let options = DeliverOptions { subscription_ids, ..DeliverOptions::default() };
        let _ = rig.session.deliver(&mut outgoing, &options, &rig.limits, rig.now, &mut rig.out);
        assert!(matches!(rig.out.pop_segment(), Some(Segment::Bytes(_))));
        let Some(Segment::Payload(sent)) = rig.out.pop_segment() else { panic!("a payload") };
        assert!(Rc::ptr_eq(&sent, &shared));
    }
    assert!(rig.out.is_empty());
}

/// Nothing can ask a session that ends with its connection for a message again, so that none is kept.
#[test]
fn a_session_that_ends_with_its_connection_keeps_no_message() {
    let shared: Rc<Message> = Rc::new(message("on").into());
    for (connect, owners) in [(connect_v4(true), 1), (connect_v4(false), 2)] {
        let mut rig = Rig::connected(connect);
        let mut outgoing = Outgoing::from_shared(&shared, &mut rig.encoder);
        let options = DeliverOptions { qos: QoS::AtLeastOnce, ..DeliverOptions::default() };
        let _ = rig.session.deliver(&mut outgoing, &options, &rig.limits, rig.now, &mut rig.out);
        drop(outgoing);
        assert_eq!(Rc::strong_count(&shared), owners);
        rig.answers(puback(1));
        assert_eq!(Rc::strong_count(&shared), 1);
    }
}

/// [MQTT-4.3.3-6]: after PUBREC the message is the client's.
#[test]
fn a_released_message_is_not_kept() {
    let shared: Rc<Message> = Rc::new(message("on").into());
    let mut rig = Rig::v5();
    let mut outgoing = Outgoing::from_shared(&shared, &mut rig.encoder);
    let options = DeliverOptions { qos: QoS::ExactlyOnce, ..DeliverOptions::default() };
    let _ = rig.session.deliver(&mut outgoing, &options, &rig.limits, rig.now, &mut rig.out);
    drop(outgoing);
    assert_eq!(Rc::strong_count(&shared), 2);
    rig.answers(pubrec(1));
    assert_eq!(Rc::strong_count(&shared), 1);
}
