//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use super::*;
use ringtail_mqtt::packet::{Ack, AckProperties};
use ringtail_mqtt::reason::ReasonCode;

fn ack(id: u16, reason: ReasonCode) -> Ack<'static> {
    Ack { packet_id: packet_id(id), reason, properties: AckProperties::default() }
}

pub(super) fn rows() -> Vec<Row> {
    let success = |id| ack(id, ReasonCode::Success);
    let with = |reason, reason_string, list: &[(&str, &str)]| Ack {
        properties: AckProperties { reason_string, user_properties: users(list) },
        ..ack(1, reason)
    };
    vec![
        packet("PUBACK", ALL, b"\x40\x02\x00\x01", Packet::PubAck(success(1))),
        packet("PUBREC", ALL, b"\x50\x02\x01\x00", Packet::PubRec(success(256))),
        packet("PUBREL", ALL, b"\x62\x02\xff\xff", Packet::PubRel(success(65_535))),
        packet("PUBCOMP", ALL, b"\x70\x02\x12\x34", Packet::PubComp(success(0x1234))),
        other_encoding("PUBREL again", ONLY_3_1, b"\x6a\x02\x00\x01", Packet::PubRel(success(1))),
        packet(
            "PUBACK without subscribers",
            ONLY_5,
            b"\x40\x03\x00\x01\x10",
            Packet::PubAck(ack(1, ReasonCode::NoMatchingSubscribers)),
        ),
        packet("PUBREC over quota", ONLY_5, b"\x50\x03\x00\x01\x97", Packet::PubRec(ack(1, ReasonCode::QuotaExceeded))),
        packet(
            "PUBREL unknown",
            ONLY_5,
            b"\x62\x03\x00\x01\x92",
            Packet::PubRel(ack(1, ReasonCode::PacketIdentifierNotFound)),
        ),
        packet(
            "PUBCOMP unknown",
            ONLY_5,
            b"\x70\x03\x00\x01\x92",
            Packet::PubComp(ack(1, ReasonCode::PacketIdentifierNotFound)),
        ),
        other_encoding("PUBACK that says Success", ONLY_5, b"\x40\x03\x00\x01\x00", Packet::PubAck(success(1))),
        other_encoding("PUBACK with an empty section", ONLY_5, b"\x40\x04\x00\x01\x00\x00", Packet::PubAck(success(1))),
        other_encoding(
            "PUBCOMP with an error and an empty section",
            ONLY_5,
            b"\x70\x04\x00\x01\x92\x00",
            Packet::PubComp(ack(1, ReasonCode::PacketIdentifierNotFound)),
        ),
        packet(
            "PUBACK with properties",
            ONLY_5,
            b"\x40\x10\x00\x01\x87\x0c\x1f\x00\x02no\x26\x00\x01k\x00\x01v",
            Packet::PubAck(with(ReasonCode::NotAuthorized, Some("no"), &[("k", "v")])),
        ),
        packet(
            "PUBREC with User Properties",
            ONLY_5,
            b"\x50\x10\x00\x01\x00\x0c\x26\x00\x01k\x00\x00\x26\x00\x00\x00\x01v",
            Packet::PubRec(with(ReasonCode::Success, None, &[("k", ""), ("", "v")])),
        ),
        refused("PUBACK of nothing", ALL, b"\x40\x00", DecodeError::Truncated),
        refused("PUBACK of one byte", ALL, b"\x40\x01\x00", DecodeError::Truncated),
        refused("PUBACK with packet id 0", ALL, b"\x40\x02\x00\x00", DecodeError::PacketIdZero),
        refused("PUBREC with packet id 0", ALL, b"\x50\x02\x00\x00", DecodeError::PacketIdZero),
        refused("PUBREL with packet id 0", ALL, b"\x62\x02\x00\x00", DecodeError::PacketIdZero),
        refused("PUBCOMP with packet id 0", ALL, b"\x70\x02\x00\x00", DecodeError::PacketIdZero),
        refused("PUBACK with a reason before 5.0", BEFORE_5, b"\x40\x03\x00\x01\x00", DecodeError::TrailingBytes),
        refused("PUBREL with a reason before 5.0", BEFORE_5, b"\x62\x03\x00\x01\x92", DecodeError::TrailingBytes),
        refused("PUBACK with an unknown reason", ONLY_5, b"\x40\x03\x00\x01\x05", DecodeError::ReasonCode(0x05)),
        refused("PUBACK with a reason of PUBREL", ONLY_5, b"\x40\x03\x00\x01\x92", DecodeError::ReasonCode(0x92)),
        refused("PUBREC with a reason of SUBACK", ONLY_5, b"\x50\x03\x00\x01\x02", DecodeError::ReasonCode(0x02)),
        refused("PUBREL with a reason of PUBACK", ONLY_5, b"\x62\x03\x00\x01\x10", DecodeError::ReasonCode(0x10)),
        refused("PUBCOMP with a reason of PUBACK", ONLY_5, b"\x70\x03\x00\x01\x80", DecodeError::ReasonCode(0x80)),
        refused("PUBACK with a section too long", ONLY_5, b"\x40\x04\x00\x01\x00\x01", DecodeError::Truncated),
        refused("PUBACK with a byte too many", ONLY_5, b"\x40\x05\x00\x01\x00\x00\x00", DecodeError::TrailingBytes),
        refused(
            "PUBACK with Reason String twice",
            ONLY_5,
            b"\x40\x0a\x00\x01\x00\x06\x1f\x00\x00\x1f\x00\x00",
            DecodeError::PropertyRepeated(0x1f),
        ),
        refused(
            "PUBREL with a property of PUBLISH",
            ONLY_5,
            b"\x62\x06\x00\x01\x00\x02\x01\x00",
            DecodeError::PropertyNotAllowed(0x01),
        ),
    ]
}
