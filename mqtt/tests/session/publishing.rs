//! What a client publishes, and how it is acknowledged.

use crate::rig::*;
use ringtail_mqtt::codec::{SubscriptionIdentifiersBuf, UserPropertiesBuf};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use ringtail_mqtt::time::Millis;
use std::num::NonZeroU16;

#[test]
fn a_publish_goes_to_the_router_as_it_came() {
    let mut rig = Rig::v5();
    let properties = PublishProperties {
        message_expiry_interval_s: Some(10),
        content_type: Some("text/plain"),
        topic_alias: NonZeroU16::new(1),
        correlation_data: Some(b"7"),
        ..PublishProperties::default()
    };
    let inbound = rig.routed(publish_with(QoS::AtLeastOnce, 5, TOPIC_NAME, properties));
    assert_eq!((inbound.qos, inbound.packet_id), (QoS::AtLeastOnce, Some(id(5))));
    let message = inbound.message();
    assert_eq!((message.topic_name, message.payload, message.retain), (TOPIC_NAME, &b"on"[..], false));
    assert_eq!(message.expires_at, rig.now.plus_s(10));
    // Content Type and Correlation Data alone: expiry and alias are the server's to write anew.
    assert_eq!(message.properties, b"\x03\x00\x0atext/plain\x09\x00\x017");
    assert!(rig.out.is_empty(), "acknowledged once the broker accepts it");
}

/// [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11]
#[test]
fn accepted_messages_are_acknowledged() {
    let mut rig = Rig::v5();
    rig.routed(publish(QoS::AtMostOnce, 0));
    assert!(rig.out.is_empty());
    rig.routed(publish(QoS::AtLeastOnce, 5));
    rig.accept(5, QoS::AtLeastOnce);
    assert_eq!(rig.sent(), [puback(5)]);
    rig.routed(publish(QoS::ExactlyOnce, 6));
    rig.accept(6, QoS::ExactlyOnce);
    assert_eq!(rig.sent(), [pubrec(6)]);
    assert_eq!(rig.answers(pubrel(6)), [pubcomp(6)]);
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-12]
#[test]
fn a_repeated_qos_2_publish_is_not_routed_again_before_pubrel() {
    let mut rig = Rig::v5();
    rig.routed(publish(QoS::ExactlyOnce, 6));
    rig.accept(6, QoS::ExactlyOnce);
    rig.sent();
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 6)), [pubrec(6)]);
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    rig.sent();
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 6)), [pubrec(6)]);
    assert_eq!(rig.answers(pubrel(6)), [pubcomp(6)]);
    rig.routed(publish(QoS::ExactlyOnce, 6));
}

/// A QoS 1 identifier is free as soon as it is acknowledged [MQTT-4.3.2-5].
#[test]
fn a_repeated_qos_1_publish_is_routed_again() {
    let mut rig = Rig::v5();
    for _ in 0..2 {
        rig.routed(publish(QoS::AtLeastOnce, 6));
        rig.accept(6, QoS::AtLeastOnce);
        assert_eq!(rig.sent(), [puback(6)]);
    }
}

#[test]
fn an_unknown_pubrel_is_answered() {
    let not_found = ack(9, ReasonCode::PacketIdentifierNotFound);
    assert_eq!(Rig::v5().answers(pubrel(9)), [Packet::PubComp(not_found)]);
    assert_eq!(Rig::connected(connect_v4(false)).answers(pubrel(9)), [pubcomp(9)]);
}

#[test]
fn pubrel_before_pubrec_is_a_protocol_error() {
    let mut rig = Rig::v5();
    rig.routed(publish(QoS::ExactlyOnce, 6));
    let _ticket = rig.session.accept_later(id(6), QoS::ExactlyOnce);
    assert_eq!(rig.violation(pubrel(6)), ReasonCode::ProtocolError);
}

/// [MQTT-4.3.3-9]: the identifier of a refused message is free at once.
#[test]
fn a_refused_message_frees_its_identifier() {
    let mut rig = Rig::v5();
    for _ in 0..2 {
        rig.routed(publish(QoS::ExactlyOnce, 6));
        rig.session.accept(id(6), QoS::ExactlyOnce, ReasonCode::NotAuthorized, &mut rig.out);
        assert_eq!(rig.sent(), [Packet::PubRec(refusal(6, ReasonCode::NotAuthorized))]);
    }
}

#[test]
fn a_refused_message_gives_its_place_back() {
    let limits = Limits { receive_maximum: 1, ..Limits::default() };
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&connect_v5()).expect("accepted");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
        rig.routed(publish(qos, 1));
        let ticket = rig.session.accept_later(id(1), qos);
        rig.committed(ticket, ReasonCode::QuotaExceeded);
    }
}

/// [MQTT-3.1.2-29], [MQTT-3.4.2-2], [MQTT-3.5.2-2]
#[test]
fn a_refusal_is_explained_to_who_wants_it_and_has_room() {
    let unwanted = Properties { request_problem_information: Some(false), ..Properties::default() };
    let small = Properties { maximum_packet_size_bytes: Some(20), ..Properties::default() };
    for properties in [unwanted, small] {
        let mut rig = Rig::connected(connect_with(properties));
        rig.session.accept(id(1), QoS::AtLeastOnce, ReasonCode::NotAuthorized, &mut rig.out);
        rig.session.accept(id(2), QoS::ExactlyOnce, ReasonCode::NotAuthorized, &mut rig.out);
        let refused = |packet_id| ack(packet_id, ReasonCode::NotAuthorized);
        assert_eq!(rig.sent(), [Packet::PubAck(refused(1)), Packet::PubRec(refused(2))]);
    }
}

/// Whatever it means, it is not the message that waits for PUBREL.
#[test]
fn a_qos_1_publish_repeats_no_qos_2_publish() {
    let mut rig = Rig::v5();
    rig.accept(6, QoS::ExactlyOnce);
    rig.routed(publish(QoS::AtLeastOnce, 6));
}

/// [MQTT-3.3.5-2]: 3.1.1 has no negative acknowledgement.
#[test]
fn before_5_0_a_refused_message_is_acknowledged_all_the_same() {
    let mut rig = Rig::connected(connect_v4(true));
    rig.routed(publish(QoS::AtLeastOnce, 5));
    rig.session.accept(id(5), QoS::AtLeastOnce, ReasonCode::NotAuthorized, &mut rig.out);
    assert_eq!(rig.sent(), [puback(5)]);
    rig.routed(publish(QoS::ExactlyOnce, 6));
    rig.session.accept(id(6), QoS::ExactlyOnce, ReasonCode::NotAuthorized, &mut rig.out);
    assert_eq!(rig.sent(), [pubrec(6)]);
    assert_eq!(rig.answers(pubrel(6)), [pubcomp(6)]);
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]
#[test]
fn acknowledgements_leave_in_the_order_of_the_publishes() {
    let mut rig = Rig::v5();
    let first = rig.session.accept_later(id(1), QoS::AtLeastOnce);
    let second = rig.session.accept_later(id(2), QoS::ExactlyOnce);
    rig.accept(3, QoS::AtLeastOnce);
    let fourth = rig.session.accept_later(id(4), QoS::AtLeastOnce);
    assert!(rig.out.is_empty());
    rig.committed(second, ReasonCode::Success);
    assert!(rig.out.is_empty());
    rig.committed(first, ReasonCode::Success);
    assert_eq!(rig.sent(), [puback(1), pubrec(2), puback(3)]);
    rig.committed(fourth, ReasonCode::QuotaExceeded);
    assert_eq!(rig.sent(), [Packet::PubAck(refusal(4, ReasonCode::QuotaExceeded))]);
}

/// A message that waits for its commit is not routed again, and its PUBREC comes with the commit, also on the
/// connection after.
#[test]
fn a_commit_that_outlives_the_connection_is_answered_on_the_next() {
    let mut rig = Rig::v5();
    let first = rig.session.accept_later(id(1), QoS::ExactlyOnce);
    let second = rig.session.accept_later(id(2), QoS::ExactlyOnce);
    let third = rig.session.accept_later(id(3), QoS::AtLeastOnce);
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 1)), []);
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    rig.sent();

    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 1)), []);
    rig.committed(first, ReasonCode::Success);
    assert_eq!(rig.sent(), [pubrec(1)]);
    rig.committed(second, ReasonCode::Success);
    rig.committed(third, ReasonCode::Success);
    assert_eq!(rig.sent(), [], "nobody asked again");
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 2)), [pubrec(2)]);
    rig.routed(publish(QoS::AtLeastOnce, 3));
}

#[test]
fn a_commit_while_nobody_is_connected_holds_the_identifier() {
    let mut rig = Rig::v5();
    let ticket = rig.session.accept_later(id(1), QoS::ExactlyOnce);
    let _ = rig.lose();
    rig.committed(ticket, ReasonCode::Success);
    assert!(rig.out.is_empty());
    rig.connect(&connect_v5()).expect("accepted");
    rig.sent();
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 1)), [pubrec(1)]);
}

/// [MQTT-3.3.4-7]
#[test]
fn receive_maximum_is_enforced() {
    let limits = Limits { receive_maximum: 2, ..Limits::default() };
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&connect_v5()).expect("accepted");
    rig.sent();
    rig.routed(publish(QoS::ExactlyOnce, 1));
    rig.accept(1, QoS::ExactlyOnce);
    rig.routed(publish(QoS::AtLeastOnce, 2));
    let ticket = rig.session.accept_later(id(2), QoS::AtLeastOnce);
    assert_eq!(rig.violation(publish(QoS::AtLeastOnce, 3)), ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(rig.violation(publish(QoS::ExactlyOnce, 3)), ReasonCode::ReceiveMaximumExceeded);
    // QoS 0 and repetitions take no place.
    rig.routed(publish(QoS::AtMostOnce, 0));
    rig.sent();
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 1)), [pubrec(1)]);
    // PUBACK and PUBCOMP give a place back each.
    rig.committed(ticket, ReasonCode::Success);
    rig.routed(publish(QoS::ExactlyOnce, 3));
    rig.accept(3, QoS::ExactlyOnce);
    rig.sent();
    rig.answers(pubrel(1));
    rig.routed(publish(QoS::ExactlyOnce, 4));
}

/// Places are counted anew on each connection [MQTT-4.9.0-1].
#[test]
fn a_new_connection_has_all_its_places() {
    let limits = Limits { receive_maximum: 1, ..Limits::default() };
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&connect_v5()).expect("accepted");
    rig.routed(publish(QoS::ExactlyOnce, 1));
    rig.accept(1, QoS::ExactlyOnce);
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    rig.routed(publish(QoS::ExactlyOnce, 2));
}

/// A client of 3.x knows no Receive Maximum: the caller reads no further instead.
#[test]
fn before_5_0_reading_pauses_instead() {
    let limits = Limits { receive_maximum: 2, ..Limits::default() };
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&connect_v4(true)).expect("accepted");
    rig.sent();
    let mut tickets = Vec::new();
    for packet_id in 1..=3 {
        assert_eq!(rig.session.wants_pause(&rig.limits), packet_id == 3);
        rig.routed(publish(QoS::AtLeastOnce, packet_id));
        tickets.push(rig.session.accept_later(id(packet_id), QoS::AtLeastOnce));
    }
    for ticket in tickets {
        rig.committed(ticket, ReasonCode::Success);
    }
    assert!(!rig.session.wants_pause(&rig.limits));
    assert_eq!(rig.sent(), [puback(1), puback(2), puback(3)]);
}

/// [MQTT-3.2.2-11], [MQTT-3.2.2-14]
#[test]
fn what_the_server_does_not_offer_closes_the_connection() {
    let mut rig = Rig::v5();
    rig.limits.maximum_qos = QoS::AtLeastOnce;
    assert_eq!(rig.violation(publish(QoS::ExactlyOnce, 1)), ReasonCode::QoSNotSupported);
    rig.limits.retain_available = false;
    let Packet::Publish(retained) = publish(QoS::AtMostOnce, 0) else { panic!("PUBLISH") };
    let retained = Packet::Publish(Publish { retain: true, ..retained });
    assert_eq!(rig.violation(retained), ReasonCode::RetainNotSupported);
}

#[test]
fn a_topic_name_of_too_many_levels_is_invalid() {
    let mut rig = Rig::v5();
    rig.limits.topic_levels_max = 3;
    rig.routed(publish_with(QoS::AtMostOnce, 0, "a/b/c", PublishProperties::default()));
    let deep = publish_with(QoS::AtMostOnce, 0, "a/b/c/d", PublishProperties::default());
    assert_eq!(rig.violation(deep), ReasonCode::TopicNameInvalid);
}

/// [MQTT-3.3.4-6]
#[test]
fn a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let mut identifiers = SubscriptionIdentifiersBuf::default();
    identifiers.push(std::num::NonZeroU32::MIN).expect("a small one");
    let identifiers: &'static SubscriptionIdentifiersBuf = Box::leak(Box::new(identifiers));
    let properties =
        PublishProperties { subscription_identifiers: identifiers.as_identifiers(), ..PublishProperties::default() };
    let packet = publish_with(QoS::AtMostOnce, 0, TOPIC_NAME, properties);
    assert_eq!(Rig::v5().violation(packet), ReasonCode::ProtocolError);
}

/// [MQTT-3.3.2-17], [MQTT-3.3.2-18]
#[test]
fn user_properties_are_forwarded_in_their_order() {
    let mut pairs = UserPropertiesBuf::default();
    for (name, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
        pairs.push(name, value).expect("short");
    }
    let pairs: &'static UserPropertiesBuf = Box::leak(Box::new(pairs));
    let properties = PublishProperties { user_properties: pairs.as_properties(), ..PublishProperties::default() };
    let mut rig = Rig::v5();
    let inbound = rig.routed(publish_with(QoS::AtMostOnce, 0, TOPIC_NAME, properties));
    let _ = rig.deliver_as(inbound.message(), &DeliverOptions::default());
    let Packet::Publish(publish) = rig.sent_one() else { panic!("PUBLISH") };
    let received: Vec<_> = publish.properties.user_properties.iter().collect();
    assert_eq!(received, [("b", "1"), ("a", "2"), ("b", "3")]);
}

#[test]
fn a_message_without_an_expiry_never_expires() {
    assert_eq!(Rig::v5().routed(publish(QoS::AtMostOnce, 0)).message().expires_at, Millis::NEVER);
}
