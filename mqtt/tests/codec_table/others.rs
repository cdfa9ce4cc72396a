//! PINGREQ, PINGRESP, DISCONNECT and AUTH.

use super::*;
use ringtail_mqtt::packet::{Properties, ReasonPacket};
use ringtail_mqtt::reason::ReasonCode;

fn disconnect(reason: ReasonCode, properties: Properties<'static>) -> Packet<'static> {
    Packet::Disconnect(Box::new(ReasonPacket { reason, properties }))
}

fn auth(reason: ReasonCode, properties: Properties<'static>) -> Packet<'static> {
    Packet::Auth(Box::new(ReasonPacket { reason, properties }))
}

pub(super) fn rows() -> Vec<Row> {
    let none = Properties::default();
    let farewell = Properties {
        session_expiry_interval_s: Some(1),
        server_reference: Some("s"),
        reason_string: Some("w"),
        user_properties: users(&[("k", "v")]),
        ..none
    };
    let method = Properties { authentication_method: Some("M"), ..none };
    let challenge = Properties {
        authentication_data: Some(b"d"),
        reason_string: Some("w"),
        user_properties: users(&[("k", "v")]),
        ..method
    };
    vec![
        packet("PINGREQ", ALL, b"\xc0\x00", Packet::PingReq),
        packet("PINGRESP", ALL, b"\xd0\x00", Packet::PingResp),
        refused("PINGREQ with a byte", ALL, b"\xc0\x01\x00", DecodeError::TrailingBytes),
        refused("PINGRESP with a byte", ALL, b"\xd0\x01\x00", DecodeError::TrailingBytes),
        packet("DISCONNECT", ALL, b"\xe0\x00", disconnect(ReasonCode::Success, none)),
        packet("DISCONNECT with will", ONLY_5, b"\xe0\x01\x04", disconnect(ReasonCode::DisconnectWithWill, none)),
        packet("DISCONNECT by a takeover", ONLY_5, b"\xe0\x01\x8e", disconnect(ReasonCode::SessionTakenOver, none)),
        packet(
            "DISCONNECT with every property",
            ONLY_5,
            b"\xe0\x16\x98\x14\x11\x00\x00\x00\x01\x1c\x00\x01s\x1f\x00\x01w\x26\x00\x01k\x00\x01v",
            disconnect(ReasonCode::AdministrativeAction, farewell),
        ),
        other_encoding("DISCONNECT that says 0", ONLY_5, b"\xe0\x01\x00", disconnect(ReasonCode::Success, none)),
        other_encoding(
            "DISCONNECT with no property",
            ONLY_5,
            b"\xe0\x02\x00\x00",
            disconnect(ReasonCode::Success, none),
        ),
        refused("DISCONNECT with a reason before 5.0", BEFORE_5, b"\xe0\x01\x00", DecodeError::TrailingBytes),
        refused("DISCONNECT with a reason of PUBACK", ONLY_5, b"\xe0\x01\x10", DecodeError::ReasonCode(0x10)),
        refused("DISCONNECT with a reason of CONNACK", ONLY_5, b"\xe0\x01\x84", DecodeError::ReasonCode(0x84)),
        refused("DISCONNECT with an unknown reason", ONLY_5, b"\xe0\x01\xa3", DecodeError::ReasonCode(0xa3)),
        refused("DISCONNECT with a section too long", ONLY_5, b"\xe0\x02\x00\x01", DecodeError::Truncated),
        refused("DISCONNECT with a byte too many", ONLY_5, b"\xe0\x03\x00\x00\x00", DecodeError::TrailingBytes),
        refused(
            "DISCONNECT with an Authentication Method",
            ONLY_5,
            b"\xe0\x06\x00\x04\x15\x00\x01M",
            DecodeError::PropertyNotAllowed(0x15),
        ),
        refused(
            "DISCONNECT with Session Expiry Interval twice",
            ONLY_5,
            b"\xe0\x0c\x00\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01",
            DecodeError::PropertyRepeated(0x11),
        ),
        packet("AUTH", ONLY_5, b"\xf0\x00", auth(ReasonCode::Success, none)),
        packet("AUTH again", ONLY_5, b"\xf0\x06\x19\x04\x15\x00\x01M", auth(ReasonCode::ReAuthenticate, method)),
        packet(
            "AUTH with every property",
            ONLY_5,
            b"\xf0\x15\x18\x13\x15\x00\x01M\x16\x00\x01d\x1f\x00\x01w\x26\x00\x01k\x00\x01v",
            auth(ReasonCode::ContinueAuthentication, challenge),
        ),
        refused("AUTH with a reason only", ONLY_5, b"\xf0\x01\x18", DecodeError::Truncated),
        refused("AUTH with a reason of CONNACK", ONLY_5, b"\xf0\x02\x8c\x00", DecodeError::ReasonCode(0x8c)),
        refused("AUTH without a method", ONLY_5, b"\xf0\x02\x18\x00", DecodeError::AuthenticationMethodMissing),
        refused(
            "AUTH with data only",
            ONLY_5,
            b"\xf0\x06\x18\x04\x16\x00\x01d",
            DecodeError::AuthenticationMethodMissing,
        ),
        refused(
            "AUTH with two methods",
            ONLY_5,
            b"\xf0\x0a\x18\x08\x15\x00\x01M\x15\x00\x01M",
            DecodeError::PropertyRepeated(0x15),
        ),
        refused(
            "AUTH with a Session Expiry Interval",
            ONLY_5,
            b"\xf0\x07\x18\x05\x11\x00\x00\x00\x01",
            DecodeError::PropertyNotAllowed(0x11),
        ),
    ]
}
