//! CONNECT and CONNACK.

use super::*;
use ringtail_mqtt::packet::{ConnAck, Connect, Properties, PublishProperties, QoS, Will};
use ringtail_mqtt::reason::ReasonCode;
use std::num::NonZeroU16;

fn plain(version: ProtocolVersion, client_id: &'static str) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::default(),
        client_id,
        will: None,
        username: None,
        password: None,
    }
}

fn connect(connect: Connect<'static>) -> Packet<'static> {
    Packet::Connect(Box::new(connect))
}

fn will(topic_name: &'static str, payload: &'static [u8]) -> Will<'static> {
    Will { qos: QoS::AtMostOnce, retain: false, properties: PublishProperties::default(), topic_name, payload }
}

/// CONNECT brings its own version, so that each row holds whatever the connection's version is said to be.
pub(super) fn accepted() -> Vec<Row> {
    let everything_5 = Properties {
        session_expiry_interval_s: Some(10),
        authentication_method: Some("M"),
        authentication_data: Some(b"\x00\xff"),
        request_problem_information: Some(false),
        request_response_information: Some(true),
        receive_maximum: NonZeroU16::new(0x0102),
        topic_alias_maximum: Some(5),
        maximum_packet_size_bytes: Some(0x0001_0000),
        user_properties: users(&[("a", "1"), ("a", "2")]),
        ..Properties::default()
    };
    let everything_will = PublishProperties {
        message_expiry_interval_s: Some(7),
        will_delay_interval_s: Some(8),
        payload_format_indicator: Some(true),
        content_type: Some("t"),
        response_topic: Some("r"),
        correlation_data: Some(b"c"),
        user_properties: users(&[("k", "v")]),
        ..PublishProperties::default()
    };
    vec![
        packet("CONNECT 3.1", ALL, b"\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02id", connect(plain(V3_1, "id"))),
        packet("CONNECT 3.1.1", ALL, b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id", connect(plain(V3_1_1, "id"))),
        packet("CONNECT 5.0", ALL, b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02id", connect(plain(V5, "id"))),
        packet(
            "CONNECT 3.1 of a bridge",
            ALL,
            b"\x10\x10\x00\x06MQIsdp\x83\x02\x00\x3c\x00\x02id",
            connect(Connect { bridge: true, ..plain(V3_1, "id") }),
        ),
        packet(
            "CONNECT 3.1.1 of a bridge",
            ALL,
            b"\x10\x0e\x00\x04MQTT\x84\x02\x00\x3c\x00\x02id",
            connect(Connect { bridge: true, ..plain(V3_1_1, "id") }),
        ),
        packet(
            "CONNECT 3.1 with a client id longer than 23 characters",
            ALL,
            b"\x10\x26\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x18abcdefghijklmnopqrstuvwx",
            connect(plain(V3_1, "abcdefghijklmnopqrstuvwx")),
        ),
        packet(
            "CONNECT 3.1.1 without client id",
            ALL,
            b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
            connect(Connect { keep_alive_s: 0, ..plain(V3_1_1, "") }),
        ),
        packet(
            "CONNECT 3.1.1 that resumes a session, with user name and password",
            ALL,
            b"\x10\x16\x00\x04MQTT\x04\xc0\xff\xff\x00\x02id\x00\x01u\x00\x03\x00p\xff",
            connect(Connect {
                clean_start: false,
                keep_alive_s: 65_535,
                username: Some("u"),
                password: Some(b"\x00p\xff"),
                ..plain(V3_1_1, "id")
            }),
        ),
        packet(
            "CONNECT 3.1.1 with user name only",
            ALL,
            b"\x10\x10\x00\x04MQTT\x04\x82\x00\x3c\x00\x02id\x00\x00",
            connect(Connect { username: Some(""), ..plain(V3_1_1, "id") }),
        ),
        packet(
            "CONNECT 3.1.1 with a will",
            ALL,
            b"\x10\x16\x00\x04MQTT\x04\x06\x00\x3c\x00\x02id\x00\x01w\x00\x03bye",
            connect(Connect { will: Some(will("w", b"bye")), ..plain(V3_1_1, "id") }),
        ),
        packet(
            "CONNECT 3.1.1 with a retained will of QoS 2 and everything",
            ALL,
            b"\x10\x1b\x00\x04MQTT\x04\xf6\x00\x3c\x00\x02id\x00\x03a/b\x00\x00\x00\x01u\x00\x01p",
            connect(Connect {
                will: Some(Will { qos: QoS::ExactlyOnce, retain: true, ..will("a/b", b"") }),
                username: Some("u"),
                password: Some(b"p"),
                ..plain(V3_1_1, "id")
            }),
        ),
        packet(
            "CONNECT 5.0 with password only",
            ALL,
            b"\x10\x12\x00\x04MQTT\x05\x42\x00\x3c\x00\x00\x02id\x00\x01p",
            connect(Connect { password: Some(b"p"), ..plain(V5, "id") }),
        ),
        packet(
            "CONNECT 5.0 with every property",
            ALL,
            b"\x10\x3a\x00\x04MQTT\x05\x02\x00\x3c\x2b\x11\x00\x00\x00\x0a\x15\x00\x01M\x16\x00\x02\x00\xff\x17\x00\x19\x01\
              \x21\x01\x02\x22\x00\x05\x27\x00\x01\x00\x00\x26\x00\x01a\x00\x011\x26\x00\x01a\x00\x012\x00\x02id",
            connect(Connect { properties: everything_5, ..plain(V5, "id") }),
        ),
        other_encoding(
            "CONNECT 5.0 with properties in another order",
            ALL,
            b"\x10\x3a\x00\x04MQTT\x05\x02\x00\x3c\x2b\x26\x00\x01a\x00\x011\x21\x01\x02\x27\x00\x01\x00\x00\x22\x00\x05\
              \x19\x01\x17\x00\x26\x00\x01a\x00\x012\x16\x00\x02\x00\xff\x15\x00\x01M\x11\x00\x00\x00\x0a\x00\x02id",
            connect(Connect { properties: everything_5, ..plain(V5, "id") }),
        ),
        packet(
            "CONNECT 5.0 with every property of a will",
            ALL,
            b"\x10\x35\x00\x04MQTT\x05\x0e\x00\x3c\x00\x00\x02id\x1f\x02\x00\x00\x00\x07\x18\x00\x00\x00\x08\x01\x01\
              \x03\x00\x01t\x08\x00\x01r\x09\x00\x01c\x26\x00\x01k\x00\x01v\x00\x01w\x00\x01x",
            connect(Connect {
                will: Some(Will { qos: QoS::AtLeastOnce, properties: everything_will, ..will("w", b"x") }),
                ..plain(V5, "id")
            }),
        ),
        packet(
            "CONNECT 3.1.1 with text of every length in UTF-8",
            ALL,
            b"\x10\x16\x00\x04MQTT\x04\x02\x00\x3c\x00\x0aa\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e",
            connect(plain(V3_1_1, "a\u{e9}\u{20ac}\u{1d11e}")),
        ),
        packet(
            "CONNECT 3.1.1 with U+FEFF, which is kept",
            ALL,
            b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04\xef\xbb\xbfa",
            connect(plain(V3_1_1, "\u{feff}a")),
        ),
        other_encoding(
            "CONNECT 3.1 whose user name is announced and missing",
            ALL,
            b"\x10\x10\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x02id",
            connect(plain(V3_1, "id")),
        ),
        other_encoding(
            "CONNECT 3.1 whose password is announced and missing",
            ALL,
            b"\x10\x13\x00\x06MQIsdp\x03\xc2\x00\x3c\x00\x02id\x00\x01u",
            connect(Connect { username: Some("u"), ..plain(V3_1, "id") }),
        ),
    ]
}

pub(super) fn refused() -> Vec<Row> {
    use DecodeError::*;
    [
        ("CONNECT of nothing", &b"\x10\x00"[..], Truncated),
        ("CONNECT of another protocol", b"\x10\x0e\x00\x04MQTS\x04\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT in lower case", b"\x10\x0e\x00\x04mqtt\x04\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT without protocol name", b"\x10\x0a\x00\x00\x04\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT level 6", b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT level 3 of MQTT", b"\x10\x0e\x00\x04MQTT\x03\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT level 4 of MQIsdp", b"\x10\x10\x00\x06MQIsdp\x04\x02\x00\x3c\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT 5.0 of a bridge", b"\x10\x0f\x00\x04MQTT\x85\x02\x00\x3c\x00\x00\x02id", UnsupportedProtocolVersion),
        ("CONNECT level 6 and nothing more", b"\x10\x07\x00\x04MQTT\x06", UnsupportedProtocolVersion),
        ("CONNECT without level", b"\x10\x06\x00\x04MQTT", Truncated),
        ("CONNECT without flags", b"\x10\x07\x00\x04MQTT\x04", Truncated),
        ("CONNECT with half a keep alive", b"\x10\x09\x00\x04MQTT\x04\x02\x00", Truncated),
        ("CONNECT without client id", b"\x10\x0a\x00\x04MQTT\x04\x02\x00\x3c", Truncated),
        ("CONNECT with the reserved flag", b"\x10\x0e\x00\x04MQTT\x04\x03\x00\x3c\x00\x02id", ConnectFlags),
        ("CONNECT 5.0 with the reserved flag", b"\x10\x0f\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x02id", ConnectFlags),
        ("CONNECT with a will QoS and no will", b"\x10\x0e\x00\x04MQTT\x04\x0a\x00\x3c\x00\x02id", ConnectFlags),
        ("CONNECT with will retain and no will", b"\x10\x0e\x00\x04MQTT\x04\x22\x00\x3c\x00\x02id", ConnectFlags),
        (
            "CONNECT 3.1.1 with password only",
            b"\x10\x11\x00\x04MQTT\x04\x42\x00\x3c\x00\x02id\x00\x01p",
            ConnectFlags,
        ),
        ("CONNECT 3.1 with password only", b"\x10\x13\x00\x06MQIsdp\x03\x42\x00\x3c\x00\x02id\x00\x01p", ConnectFlags),
        ("CONNECT with will QoS 3", b"\x10\x13\x00\x04MQTT\x04\x1e\x00\x3c\x00\x02id\x00\x01w\x00\x00", QoS),
        ("CONNECT whose will topic is empty", b"\x10\x12\x00\x04MQTT\x04\x06\x00\x3c\x00\x02id\x00\x00\x00\x00", TopicName),
        ("CONNECT whose will topic is a filter", b"\x10\x13\x00\x04MQTT\x04\x06\x00\x3c\x00\x02id\x00\x01#\x00\x00", TopicName),
        ("CONNECT without will payload", b"\x10\x11\x00\x04MQTT\x04\x06\x00\x3c\x00\x02id\x00\x01w", Truncated),
        ("CONNECT without user name", b"\x10\x0e\x00\x04MQTT\x04\x82\x00\x3c\x00\x02id", Truncated),
        ("CONNECT without password", b"\x10\x11\x00\x04MQTT\x04\xc2\x00\x3c\x00\x02id\x00\x01u", Truncated),
        ("CONNECT with a byte too many", b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x02id\x00", TrailingBytes),
        ("CONNECT with a surrogate", b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03\xed\xa0\x80", Utf8),
        ("CONNECT with overlong UTF-8", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xc0\xaf", Utf8),
        ("CONNECT with half a character", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xe2\x82", Utf8),
        ("CONNECT above U+10FFFF", b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04\xf4\x90\x80\x80", Utf8),
        ("CONNECT with U+0000", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02i\x00", NullCharacter),
        (
            "CONNECT with U+0000 deep in a client id",
            b"\x10\x23\x00\x04MQTT\x04\x02\x00\x3c\x00\x17abcdefghijklmnopq\x00stuvw",
            NullCharacter,
        ),
        ("CONNECT 5.0 without properties", b"\x10\x0a\x00\x04MQTT\x05\x02\x00\x3c", Truncated),
        ("CONNECT 5.0 with a section too long", b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x05\x00\x02id", Truncated),
        ("CONNECT 5.0 with a value cut off", b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x02\x21\x00\x00\x02id", Truncated),
        (
            "CONNECT 5.0 with a needlessly long section length",
            b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x80\x00\x00\x02id",
            VariableByteInteger,
        ),
        (
            "CONNECT 5.0 with an unknown property",
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x02\x7f\x00\x00\x02id",
            PropertyNotAllowed(0x7f),
        ),
        (
            "CONNECT 5.0 with property 0",
            b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x01\x00\x00\x02id",
            PropertyNotAllowed(0),
        ),
        (
            "CONNECT 5.0 with a property identifier of two bytes",
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x02\x91\x01\x00\x02id",
            PropertyNotAllowed(0x91),
        ),
        (
            "CONNECT 5.0 with a property of PUBLISH",
            b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x03\x23\x00\x01\x00\x02id",
            PropertyNotAllowed(0x23),
        ),
        (
            "CONNECT 5.0 with a will property among its own",
            b"\x10\x14\x00\x04MQTT\x05\x02\x00\x3c\x05\x18\x00\x00\x00\x01\x00\x02id",
            PropertyNotAllowed(0x18),
        ),
        (
            "CONNECT 5.0 with Session Expiry Interval twice",
            b"\x10\x19\x00\x04MQTT\x05\x02\x00\x3c\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x02id",
            PropertyRepeated(0x11),
        ),
        (
            "CONNECT 5.0 with Receive Maximum 0",
            b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x00\x00\x02id",
            PropertyValue(0x21),
        ),
        (
            "CONNECT 5.0 with Maximum Packet Size 0",
            b"\x10\x14\x00\x04MQTT\x05\x02\x00\x3c\x05\x27\x00\x00\x00\x00\x00\x02id",
            PropertyValue(0x27),
        ),
        (
            "CONNECT 5.0 with Request Problem Information 2",
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x02\x17\x02\x00\x02id",
            PropertyValue(0x17),
        ),
        (
            "CONNECT 5.0 with Request Response Information 255",
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x02\x19\xff\x00\x02id",
            PropertyValue(0x19),
        ),
        (
            "CONNECT 5.0 with Authentication Data only",
            b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x04\x16\x00\x01d\x00\x02id",
            AuthenticationMethodMissing,
        ),
        (
            "CONNECT 5.0 with U+0000 in a User Property",
            b"\x10\x16\x00\x04MQTT\x05\x02\x00\x3c\x07\x26\x00\x01a\x00\x01\x00\x00\x02id",
            NullCharacter,
        ),
        (
            "CONNECT 5.0 with half a User Property",
            b"\x10\x13\x00\x04MQTT\x05\x02\x00\x3c\x04\x26\x00\x01a\x00\x02id",
            Truncated,
        ),
        (
            "CONNECT 5.0 with a Topic Alias in its will",
            b"\x10\x18\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x02id\x03\x23\x00\x01\x00\x01w\x00\x00",
            PropertyNotAllowed(0x23),
        ),
        (
            "CONNECT 5.0 with a Subscription Identifier in its will",
            b"\x10\x17\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x02id\x02\x0b\x01\x00\x01w\x00\x00",
            PropertyNotAllowed(0x0b),
        ),
        (
            "CONNECT 5.0 with Will Delay Interval twice",
            b"\x10\x1f\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x02id\x0a\x18\x00\x00\x00\x01\x18\x00\x00\x00\x01\x00\x01w\x00\x00",
            PropertyRepeated(0x18),
        ),
        (
            "CONNECT 5.0 whose will's Response Topic is a filter",
            b"\x10\x19\x00\x04MQTT\x05\x06\x00\x3c\x00\x00\x02id\x04\x08\x00\x01+\x00\x01w\x00\x00",
            ResponseTopic,
        ),
    ]
    .into_iter()
    .map(|(name, bytes, error)| super::refused(name, ALL, bytes, error))
    .collect()
}

pub(super) fn connack() -> Vec<Row> {
    let connack = |session_present, reason, properties| {
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
    };
    let code = |reason| connack(false, reason, Properties::default());
    let everything = Properties {
        session_expiry_interval_s: Some(1),
        assigned_client_identifier: Some("c"),
        server_keep_alive_s: Some(2),
        authentication_method: Some("M"),
        authentication_data: Some(b"d"),
        response_information: Some("r"),
        server_reference: Some("s"),
        reason_string: Some("w"),
        receive_maximum: NonZeroU16::new(3),
        topic_alias_maximum: Some(4),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size_bytes: Some(5),
        wildcard_subscription_available: Some(true),
        subscription_identifier_available: Some(false),
        shared_subscription_available: Some(true),
        user_properties: users(&[("k", "")]),
        ..Properties::default()
    };
    vec![
        packet("CONNACK before 5.0", BEFORE_5, b"\x20\x02\x00\x00", code(ReasonCode::Success)),
        packet(
            "CONNACK 3.1.1 of a resumed session",
            ONLY_3_1_1,
            b"\x20\x02\x01\x00",
            connack(true, ReasonCode::Success, Properties::default()),
        ),
        packet("CONNACK code 1", BEFORE_5, b"\x20\x02\x00\x01", code(ReasonCode::UnsupportedProtocolVersion)),
        packet("CONNACK code 2", BEFORE_5, b"\x20\x02\x00\x02", code(ReasonCode::ClientIdentifierNotValid)),
        packet("CONNACK code 3", BEFORE_5, b"\x20\x02\x00\x03", code(ReasonCode::ServerUnavailable)),
        packet("CONNACK code 4", BEFORE_5, b"\x20\x02\x00\x04", code(ReasonCode::BadUserNameOrPassword)),
        packet("CONNACK code 5", BEFORE_5, b"\x20\x02\x00\x05", code(ReasonCode::NotAuthorized)),
        packet("CONNACK 5.0", ONLY_5, b"\x20\x03\x00\x00\x00", code(ReasonCode::Success)),
        packet("CONNACK 5.0 that refuses", ONLY_5, b"\x20\x03\x00\x87\x00", code(ReasonCode::NotAuthorized)),
        packet(
            "CONNACK 5.0 with every property",
            ONLY_5,
            b"\x20\x3e\x01\x00\x3b\x11\x00\x00\x00\x01\x12\x00\x01c\x13\x00\x02\x15\x00\x01M\x16\x00\x01d\x1a\x00\x01r\
              \x1c\x00\x01s\x1f\x00\x01w\x21\x00\x03\x22\x00\x04\x24\x01\x25\x00\x27\x00\x00\x00\x05\x28\x01\x29\x00\x2a\x01\
              \x26\x00\x01k\x00\x00",
            connack(true, ReasonCode::Success, everything),
        ),
        other_encoding("CONNACK 3.1 with a reserved byte", ONLY_3_1, b"\x20\x02\x05\x00", code(ReasonCode::Success)),
        super::refused("CONNACK code 6", BEFORE_5, b"\x20\x02\x00\x06", DecodeError::ReasonCode(6)),
        super::refused("CONNACK with reserved flags", ONLY_3_1_1, b"\x20\x02\x02\x00", DecodeError::ConnectAcknowledgeFlags),
        super::refused(
            "CONNACK 5.0 with reserved flags",
            ONLY_5,
            b"\x20\x03\x80\x00\x00",
            DecodeError::ConnectAcknowledgeFlags,
        ),
        super::refused(
            "CONNACK that refuses and has a session",
            ONLY_3_1_1,
            b"\x20\x02\x01\x05",
            DecodeError::ConnectAcknowledgeFlags,
        ),
        super::refused(
            "CONNACK 5.0 that refuses and has a session",
            ONLY_5,
            b"\x20\x03\x01\x87\x00",
            DecodeError::ConnectAcknowledgeFlags,
        ),
        super::refused("CONNACK 5.0 with a code of SUBACK", ONLY_5, b"\x20\x03\x00\x01\x00", DecodeError::ReasonCode(1)),
        super::refused("CONNACK 5.0 without properties", ONLY_5, b"\x20\x02\x00\x00", DecodeError::Truncated),
        super::refused("CONNACK before 5.0 with properties", BEFORE_5, b"\x20\x03\x00\x00\x00", DecodeError::TrailingBytes),
        super::refused("CONNACK of one byte", ALL, b"\x20\x01\x00", DecodeError::Truncated),
        super::refused(
            "CONNACK 5.0 with Maximum QoS 2",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x24\x02",
            DecodeError::PropertyValue(0x24),
        ),
        super::refused(
            "CONNACK 5.0 with Retain Available 2",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x25\x02",
            DecodeError::PropertyValue(0x25),
        ),
        super::refused(
            "CONNACK 5.0 with Wildcard Subscription Available 2",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x28\x02",
            DecodeError::PropertyValue(0x28),
        ),
        super::refused(
            "CONNACK 5.0 with Subscription Identifiers Available 2",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x29\x02",
            DecodeError::PropertyValue(0x29),
        ),
        super::refused(
            "CONNACK 5.0 with Shared Subscription Available 2",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x2a\x02",
            DecodeError::PropertyValue(0x2a),
        ),
        super::refused(
            "CONNACK 5.0 with Reason String twice",
            ONLY_5,
            b"\x20\x09\x00\x00\x06\x1f\x00\x00\x1f\x00\x00",
            DecodeError::PropertyRepeated(0x1f),
        ),
        super::refused(
            "CONNACK 5.0 with a property of CONNECT",
            ONLY_5,
            b"\x20\x05\x00\x00\x02\x17\x00",
            DecodeError::PropertyNotAllowed(0x17),
        ),
        super::refused(
            "CONNACK 5.0 with Authentication Data only",
            ONLY_5,
            b"\x20\x06\x00\x00\x03\x16\x00\x00",
            DecodeError::AuthenticationMethodMissing,
        ),
    ]
}
