//! CONNECT and CONNACK.

use crate::rig::*;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use std::num::NonZeroU16;

fn connack(limits: Limits, connect: &Connect<'_>) -> ConnAck<'static> {
    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(connect).expect("accepted");
    rig.connack()
}

#[test]
fn connack_says_what_differs_from_what_the_client_takes_for_granted() {
    let properties = connack(Limits::default(), &connect_v5()).properties;
    let expected = Properties {
        receive_maximum: NonZeroU16::new(1_024),
        topic_alias_maximum: Some(64),
        user_properties: properties.user_properties,
        ..Properties::default()
    };
    assert_eq!(properties, expected);
}

#[test]
fn connack_announces_every_limit() {
    let limits = Limits {
        packet_bytes_max: 4_096,
        receive_maximum: 7,
        topic_alias_maximum: 3,
        keep_alive_max_s: 20,
        session_expiry_max_s: 100,
        maximum_qos: QoS::AtLeastOnce,
        retain_available: false,
        wildcard_available: false,
        shared_available: false,
        ..Limits::default()
    };
    let properties = connack(limits, &connect_v5()).properties;
    let expected = Properties {
        receive_maximum: NonZeroU16::new(7),
        topic_alias_maximum: Some(3),
        server_keep_alive_s: Some(20),
        session_expiry_interval_s: Some(100),
        maximum_packet_size_bytes: Some(4_096),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        wildcard_subscription_available: Some(false),
        shared_subscription_available: Some(false),
        user_properties: properties.user_properties,
        ..Properties::default()
    };
    assert_eq!(properties, expected);
}

/// [MQTT-3.2.2-2], [MQTT-3.2.2-16]
#[test]
fn connack_carries_what_the_broker_decided() {
    let mut rig = Rig::new();
    let accepted = Accepted { session_present: true, assigned_client_id: Some("auto-1"), ..Accepted::default() };
    rig.connect_as(&connect_v5(), &accepted).expect("accepted");
    let connack = rig.connack();
    assert!(connack.session_present);
    assert_eq!(connack.properties.assigned_client_identifier, Some("auto-1"));
    assert!(rig.session.is_connected());
}

#[test]
fn before_5_0_connack_is_four_bytes() {
    let mut rig = Rig::new();
    rig.connect_as(&connect_v4(false), &Accepted { session_present: true, ..Accepted::default() }).expect("accepted");
    assert_eq!(rig.sent_bytes(), [0x20, 2, 1, 0]);
}

/// [MQTT-3.2.2-21]: only a v5 client can be told.
#[test]
fn the_keep_alive_limit_holds_for_v5_alone() {
    let limits = Limits { keep_alive_max_s: 20, ..Limits::default() };
    let mut rig = Rig { limits: limits.clone(), ..Rig::new() };
    rig.connect(&connect_v4(true)).expect("accepted");
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(90));

    let mut rig = Rig { limits, ..Rig::new() };
    rig.connect(&Connect { keep_alive_s: 0, ..connect_v5() }).expect("accepted");
    assert_eq!(rig.connack().properties.server_keep_alive_s, Some(20));
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(30)); // [MQTT-3.1.2-22]
}

/// [MQTT-3.2.2-12], [MQTT-3.2.2-13]
#[test]
fn a_will_beyond_what_the_server_offers_is_refused() {
    let with_will = Connect { will: Some(Will { retain: true, ..will(0) }), ..connect_v5() };
    let cases = [
        (Limits { maximum_qos: QoS::AtMostOnce, ..Limits::default() }, ReasonCode::QoSNotSupported),
        (Limits { retain_available: false, ..Limits::default() }, ReasonCode::RetainNotSupported),
        (Limits { topic_levels_max: 2, ..Limits::default() }, ReasonCode::TopicNameInvalid),
    ];
    for (limits, reason) in cases {
        let mut rig = Rig { limits, ..Rig::new() };
        assert_eq!(rig.connect(&with_will), Err(reason));
        assert!(!rig.session.is_connected() && rig.out.is_empty(), "nothing has happened");
    }
}

/// [MQTT-4.12.0-1]
#[test]
fn an_authentication_method_that_the_broker_did_not_run_is_refused() {
    let method = Properties { authentication_method: Some("SCRAM"), ..Properties::default() };
    let mut rig = Rig::new();
    assert_eq!(rig.connect(&connect_with(method)), Err(ReasonCode::BadAuthenticationMethod));

    let accepted = Accepted { authentication_data: Some(b"proof"), ..Accepted::default() };
    rig.connect_as(&connect_with(method), &accepted).expect("accepted");
    let properties = rig.connack().properties;
    assert_eq!(properties.authentication_method, Some("SCRAM")); // [MQTT-4.12.0-5]
    assert_eq!(properties.authentication_data, Some(&b"proof"[..]));
}

#[test]
fn auth_is_given_to_the_caller_when_a_client_may_send_it() {
    let auth = |reason| {
        let properties = Properties { authentication_method: Some("SCRAM"), ..Properties::default() };
        Packet::Auth(Box::new(ReasonPacket { reason, properties }))
    };
    let mut rig = Rig::v5();
    assert!(matches!(rig.receive(auth(ReasonCode::ReAuthenticate)), Action::Auth(_)));
    assert!(matches!(rig.receive(auth(ReasonCode::ContinueAuthentication)), Action::Auth(_)));
    assert_eq!(rig.violation(auth(ReasonCode::Success)), ReasonCode::ProtocolError);
}

/// [MQTT-3.1.2-24]
#[test]
fn a_client_that_has_no_room_for_connack_is_refused() {
    let mut rig = Rig::new();
    let tiny = Properties { maximum_packet_size_bytes: Some(5), ..Properties::default() };
    assert_eq!(rig.connect(&connect_with(tiny)), Err(ReasonCode::PacketTooLarge));
    assert!(rig.out.is_empty());
}

/// [MQTT-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut rig = Rig::v5();
    assert_eq!(rig.violation(Packet::Connect(Box::new(connect_v5()))), ReasonCode::ProtocolError);
}

/// [MQTT-3.1.0-1]
#[test]
fn nothing_is_received_without_a_connection() {
    let mut rig = Rig::new();
    assert_eq!(rig.violation(Packet::PingReq), ReasonCode::ProtocolError);
}

#[test]
fn packets_of_a_server_are_protocol_errors() {
    let connack = ConnAck { session_present: false, reason: ReasonCode::Success, properties: Properties::default() };
    for packet in [Packet::ConnAck(Box::new(connack)), Packet::PingResp] {
        assert_eq!(Rig::v5().violation(packet), ReasonCode::ProtocolError);
    }
}

/// [MQTT-3.12.4-1]
#[test]
fn pingreq_is_answered() {
    assert_eq!(Rig::v5().answers(Packet::PingReq), [Packet::PingResp]);
}

#[test]
fn disconnect_of_the_server_is_for_v5_alone() {
    let mut rig = Rig::connected(connect_v4(true));
    rig.session.disconnect(ReasonCode::ServerBusy, None, &mut rig.out);
    assert!(rig.out.is_empty());

    let mut rig = Rig::v5();
    rig.session.disconnect(ReasonCode::UseAnotherServer, Some("elsewhere"), &mut rig.out);
    let Packet::Disconnect(packet) = rig.sent_one() else { panic!("DISCONNECT") };
    assert_eq!(packet.reason, ReasonCode::UseAnotherServer);
    assert_eq!(packet.properties.reason_string, Some(ReasonCode::UseAnotherServer.explanation()));
    assert_eq!(packet.properties.server_reference, Some("elsewhere"));
}

/// [MQTT-3.14.2-3]
#[test]
fn a_reason_string_that_does_not_fit_or_is_not_wanted_is_left_out() {
    let limits = Limits { receive_maximum: u16::MAX, topic_alias_maximum: 0, ..Limits::default() };
    let small = |bytes| Properties { maximum_packet_size_bytes: Some(bytes), ..Properties::default() };
    let unwanted = Properties { request_problem_information: Some(false), ..Properties::default() };
    for (properties, server_reference) in
        [(small(10), None), (small(20), Some("elsewhere")), (unwanted, Some("elsewhere"))]
    {
        let mut rig = Rig { limits: limits.clone(), ..Rig::new() };
        rig.connect(&connect_with(properties)).expect("accepted");
        rig.sent();
        rig.session.disconnect(ReasonCode::ServerMoved, Some("elsewhere"), &mut rig.out);
        let Packet::Disconnect(packet) = rig.sent_one() else { panic!("DISCONNECT") };
        assert_eq!((packet.reason, packet.properties.reason_string), (ReasonCode::ServerMoved, None));
        assert_eq!(packet.properties.server_reference, server_reference);
    }
}

/// What an operator of a million idle clients pays for each, allocator's rounding aside.
#[test]
fn an_idle_connected_session_is_small() {
    let mut rig = Rig::v5();
    for _ in 0..20 {
        let _ = rig.deliver("x", QoS::AtLeastOnce);
    }
    for packet_id in 1..=20 {
        let _ = rig.receive(puback(packet_id));
    }
    rig.accept(1, QoS::ExactlyOnce);
    rig.sent();
    rig.answers(pubrel(1));
    rig.answers(Packet::PingReq);
    rig.out = Outbox::default();
    assert!(rig.session.memory_bytes() <= 150, "{} bytes", rig.session.memory_bytes());
}
