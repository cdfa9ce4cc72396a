//! PUBLISH.

use super::*;
use ringtail_mqtt::codec::SubscriptionIdentifiersBuf;
use ringtail_mqtt::packet::{Publish, PublishProperties, QoS, SubscriptionIdentifiers};
use std::num::{NonZeroU16, NonZeroU32};

fn plain(topic_name: &'static str, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic_name,
        packet_id: None,
        properties: PublishProperties::default(),
        payload,
    }
}

fn acknowledged(qos: QoS, id: u16) -> Publish<'static> {
    Publish { qos, packet_id: Some(packet_id(id)), ..plain("a/b", b"hi") }
}

fn identifiers(identifiers: &[u32]) -> SubscriptionIdentifiers<'static> {
    let list: &'static mut SubscriptionIdentifiersBuf = Box::leak(Box::default());
    for identifier in identifiers.iter().copied().filter_map(NonZeroU32::new) {
        list.push(identifier).expect("rows use identifiers of the protocol");
    }
    list.as_identifiers()
}

pub(super) fn accepted() -> Vec<Row> {
    let everything = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval_s: Some(9),
        topic_alias: NonZeroU16::new(3),
        response_topic: Some("r/s"),
        correlation_data: Some(b"\x00\x01"),
        content_type: Some("t"),
        subscription_identifiers: identifiers(&[1, 268_435_455]),
        user_properties: users(&[("k", "v"), ("k", "w")]),
        will_delay_interval_s: None,
    };
    let with = |properties| Packet::Publish(Publish { properties, ..plain("a", b"p") });
    vec![
        packet("PUBLISH QoS 0", BEFORE_5, b"\x30\x05\x00\x01ahi", Packet::Publish(plain("a", b"hi"))),
        packet("PUBLISH QoS 0 5.0", ONLY_5, b"\x30\x06\x00\x01a\x00hi", Packet::Publish(plain("a", b"hi"))),
        packet("PUBLISH without payload", BEFORE_5, b"\x30\x03\x00\x01a", Packet::Publish(plain("a", b""))),
        packet("PUBLISH without payload 5.0", ONLY_5, b"\x30\x04\x00\x01a\x00", Packet::Publish(plain("a", b""))),
        packet(
            "PUBLISH retained",
            BEFORE_5,
            b"\x31\x04\x00\x01a\x00",
            Packet::Publish(Publish { retain: true, ..plain("a", b"\x00") }),
        ),
        packet(
            "PUBLISH QoS 1",
            BEFORE_5,
            b"\x32\x09\x00\x03a/b\x00\x07hi",
            Packet::Publish(acknowledged(QoS::AtLeastOnce, 7)),
        ),
        packet(
            "PUBLISH QoS 1 5.0",
            ONLY_5,
            b"\x32\x0a\x00\x03a/b\x00\x07\x00hi",
            Packet::Publish(acknowledged(QoS::AtLeastOnce, 7)),
        ),
        packet(
            "PUBLISH QoS 1 again",
            BEFORE_5,
            b"\x3a\x09\x00\x03a/b\xff\xffhi",
            Packet::Publish(Publish { dup: true, ..acknowledged(QoS::AtLeastOnce, 65_535) }),
        ),
        packet(
            "PUBLISH QoS 2",
            BEFORE_5,
            b"\x34\x09\x00\x03a/b\x01\x00hi",
            Packet::Publish(acknowledged(QoS::ExactlyOnce, 256)),
        ),
        packet(
            "PUBLISH QoS 2 again, retained, 5.0",
            ONLY_5,
            b"\x3d\x0a\x00\x03a/b\x01\x00\x00hi",
            Packet::Publish(Publish { dup: true, retain: true, ..acknowledged(QoS::ExactlyOnce, 256) }),
        ),
        packet("PUBLISH to $SYS", BEFORE_5, b"\x30\x08\x00\x06$SYS/a", Packet::Publish(plain("$SYS/a", b""))),
        packet("PUBLISH to a space", BEFORE_5, b"\x30\x03\x00\x01 ", Packet::Publish(plain(" ", b""))),
        packet("PUBLISH to a separator", BEFORE_5, b"\x30\x03\x00\x01/", Packet::Publish(plain("/", b""))),
        packet(
            "PUBLISH to a long name with characters beyond ASCII",
            BEFORE_5,
            b"\x30\x1b\x00\x19a/gr\xc3\xb6\xc3\x9fe/\xf0\x9d\x84\x9e/0123456789",
            Packet::Publish(plain("a/gr\u{f6}\u{df}e/\u{1d11e}/0123456789", b"")),
        ),
        packet(
            "PUBLISH with every property",
            ONLY_5,
            b"\x30\x33\x00\x01a\x2e\x02\x00\x00\x00\x09\x23\x00\x03\x0b\x01\x0b\xff\xff\xff\x7f\x01\x01\x03\x00\x01t\
              \x08\x00\x03r/s\x09\x00\x02\x00\x01\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01wp",
            with(everything),
        ),
        other_encoding(
            "PUBLISH with every property in another order",
            ONLY_5,
            b"\x30\x33\x00\x01a\x2e\x26\x00\x01k\x00\x01v\x0b\x01\x08\x00\x03r/s\x26\x00\x01k\x00\x01w\x23\x00\x03\
              \x09\x00\x02\x00\x01\x0b\xff\xff\xff\x7f\x03\x00\x01t\x01\x01\x02\x00\x00\x00\x09p",
            with(everything),
        ),
        packet(
            "PUBLISH by alias",
            ONLY_5,
            b"\x30\x07\x00\x00\x03\x23\x00\x01p",
            Packet::Publish(Publish {
                properties: PublishProperties { topic_alias: NonZeroU16::new(1), ..PublishProperties::default() },
                ..plain("", b"p")
            }),
        ),
        packet(
            "PUBLISH of unspecified bytes",
            ONLY_5,
            b"\x30\x07\x00\x01a\x02\x01\x00p",
            with(PublishProperties { payload_format_indicator: Some(false), ..PublishProperties::default() }),
        ),
        packet(
            "PUBLISH with the longest remaining length of one byte",
            BEFORE_5,
            b"\x30\x7f\x00\x01a0123456789012345678901234567890123456789012345678901234567890123456789\
              012345678901234567890123456789012345678901234567890123",
            Packet::Publish(plain(
                "a",
                b"0123456789012345678901234567890123456789012345678901234567890123456789\
                  012345678901234567890123456789012345678901234567890123",
            )),
        ),
        packet(
            "PUBLISH with the shortest remaining length of two bytes",
            BEFORE_5,
            b"\x30\x80\x01\x00\x01a0123456789012345678901234567890123456789012345678901234567890123456789\
              0123456789012345678901234567890123456789012345678901234",
            Packet::Publish(plain(
                "a",
                b"0123456789012345678901234567890123456789012345678901234567890123456789\
                  0123456789012345678901234567890123456789012345678901234",
            )),
        ),
    ]
}

pub(super) fn refused() -> Vec<Row> {
    use DecodeError::*;
    let rows: Vec<(&'static str, &'static [ProtocolVersion], &'static [u8], DecodeError)> = vec![
        ("PUBLISH of nothing", ALL, b"\x30\x00", Truncated),
        ("PUBLISH with half a topic name", ALL, b"\x30\x03\x00\x02a", Truncated),
        ("PUBLISH QoS 1 without packet id", ALL, b"\x32\x03\x00\x01a", Truncated),
        ("PUBLISH QoS 1 with half a packet id", ALL, b"\x32\x04\x00\x01a\x00", Truncated),
        ("PUBLISH QoS 1 with packet id 0", ALL, b"\x32\x06\x00\x01a\x00\x00\x00", PacketIdZero),
        ("PUBLISH QoS 2 with packet id 0", ALL, b"\x34\x06\x00\x01a\x00\x00\x00", PacketIdZero),
        ("PUBLISH to an empty name", BEFORE_5, b"\x30\x03\x00\x00p", TopicName),
        ("PUBLISH to an empty name without alias", ONLY_5, b"\x30\x04\x00\x00\x00p", TopicNameMissing),
        ("PUBLISH to an empty name with another property", ONLY_5, b"\x30\x06\x00\x00\x02\x01\x00p", TopicNameMissing),
        ("PUBLISH to #", ALL, b"\x30\x04\x00\x01#\x00", TopicName),
        ("PUBLISH to a/+", ALL, b"\x30\x06\x00\x03a/+\x00", TopicName),
        ("PUBLISH to a long name with +", ALL, b"\x30\x17\x00\x14aaaaaaaaaaaaaaaaaa+a\x00", TopicName),
        ("PUBLISH to a name of eleven bytes with #", ALL, b"\x30\x0e\x00\x0ba#aaaaaaaaa\x00", TopicName),
        ("PUBLISH to U+0000", ALL, b"\x30\x05\x00\x02a\x00\x00", NullCharacter),
        ("PUBLISH to ill-formed UTF-8", ALL, b"\x30\x05\x00\x02a\xff\x00", Utf8),
        ("PUBLISH 5.0 without properties", ONLY_5, b"\x30\x03\x00\x01a", Truncated),
        ("PUBLISH with a section too long", ONLY_5, b"\x30\x05\x00\x01a\x02p", Truncated),
        ("PUBLISH with Topic Alias 0", ONLY_5, b"\x30\x07\x00\x01a\x03\x23\x00\x00", TopicAliasZero),
        (
            "PUBLISH with Topic Alias twice",
            ONLY_5,
            b"\x30\x0a\x00\x01a\x06\x23\x00\x01\x23\x00\x01",
            PropertyRepeated(0x23),
        ),
        ("PUBLISH with Payload Format Indicator 2", ONLY_5, b"\x30\x06\x00\x01a\x02\x01\x02", PropertyValue(0x01)),
        (
            "PUBLISH with Payload Format Indicator twice",
            ONLY_5,
            b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00",
            PropertyRepeated(0x01),
        ),
        (
            "PUBLISH with Message Expiry Interval twice",
            ONLY_5,
            b"\x30\x0e\x00\x01a\x0a\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01",
            PropertyRepeated(0x02),
        ),
        (
            "PUBLISH with Content Type twice",
            ONLY_5,
            b"\x30\x0a\x00\x01a\x06\x03\x00\x00\x03\x00\x00",
            PropertyRepeated(0x03),
        ),
        (
            "PUBLISH with Response Topic twice",
            ONLY_5,
            b"\x30\x0c\x00\x01a\x08\x08\x00\x01a\x08\x00\x01a",
            PropertyRepeated(0x08),
        ),
        (
            "PUBLISH with Correlation Data twice",
            ONLY_5,
            b"\x30\x0a\x00\x01a\x06\x09\x00\x00\x09\x00\x00",
            PropertyRepeated(0x09),
        ),
        ("PUBLISH with Response Topic #", ONLY_5, b"\x30\x08\x00\x01a\x04\x08\x00\x01#", ResponseTopic),
        ("PUBLISH with Response Topic a/+", ONLY_5, b"\x30\x0a\x00\x01a\x06\x08\x00\x03a/+", ResponseTopic),
        ("PUBLISH with an empty Response Topic", ONLY_5, b"\x30\x07\x00\x01a\x03\x08\x00\x00", ResponseTopic),
        ("PUBLISH with U+0000 in Response Topic", ONLY_5, b"\x30\x08\x00\x01a\x04\x08\x00\x01\x00", NullCharacter),
        ("PUBLISH with ill-formed Content Type", ONLY_5, b"\x30\x08\x00\x01a\x04\x03\x00\x01\x80", Utf8),
        ("PUBLISH with Subscription Identifier 0", ONLY_5, b"\x30\x06\x00\x01a\x02\x0b\x00", PropertyValue(0x0b)),
        (
            "PUBLISH with a Subscription Identifier of five bytes",
            ONLY_5,
            b"\x30\x0a\x00\x01a\x06\x0b\xff\xff\xff\xff\x01",
            VariableByteInteger,
        ),
        (
            "PUBLISH with a Will Delay Interval",
            ONLY_5,
            b"\x30\x09\x00\x01a\x05\x18\x00\x00\x00\x01",
            PropertyNotAllowed(0x18),
        ),
        ("PUBLISH with a Reason String", ONLY_5, b"\x30\x07\x00\x01a\x03\x1f\x00\x00", PropertyNotAllowed(0x1f)),
        ("PUBLISH whose property has no value", ONLY_5, b"\x30\x05\x00\x01a\x01\x01", Truncated),
    ];
    rows.into_iter().map(|(name, versions, bytes, error)| super::refused(name, versions, bytes, error)).collect()
}
