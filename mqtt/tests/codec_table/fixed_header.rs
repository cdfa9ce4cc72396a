//! What the fixed header alone decides.

use super::*;

pub(super) fn rows() -> Vec<Row> {
    vec![
        refused("packet type 0", ALL, b"\x00\x00", DecodeError::PacketTypeReserved),
        refused("AUTH before 5.0", BEFORE_5, b"\xf0\x00", DecodeError::PacketTypeReserved),
        refused("CONNECT with flags", ALL, b"\x11\x00", DecodeError::FixedHeaderFlags),
        refused("CONNACK with flags", ALL, b"\x28\x02\x00\x00", DecodeError::FixedHeaderFlags),
        refused("PUBACK with flags", ALL, b"\x42\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PUBREC with flags", ALL, b"\x51\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PUBREL without its flag", ALL, b"\x60\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PUBREL with another flag", ALL, b"\x63\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PUBREL with DUP", FROM_3_1_1, b"\x6a\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PUBCOMP with flags", ALL, b"\x72\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("SUBSCRIBE without its flag", ALL, b"\x80\x06\x00\x01\x00\x01a\x00", DecodeError::FixedHeaderFlags),
        refused("SUBSCRIBE with DUP", FROM_3_1_1, b"\x8a\x06\x00\x01\x00\x01a\x00", DecodeError::FixedHeaderFlags),
        refused("SUBACK with flags", ALL, b"\x92\x03\x00\x01\x00", DecodeError::FixedHeaderFlags),
        refused("UNSUBSCRIBE without its flag", ALL, b"\xa0\x05\x00\x01\x00\x01a", DecodeError::FixedHeaderFlags),
        refused("UNSUBSCRIBE with DUP", FROM_3_1_1, b"\xaa\x05\x00\x01\x00\x01a", DecodeError::FixedHeaderFlags),
        refused("UNSUBACK with flags", ALL, b"\xb2\x02\x00\x01", DecodeError::FixedHeaderFlags),
        refused("PINGREQ with flags", ALL, b"\xc1\x00", DecodeError::FixedHeaderFlags),
        refused("PINGRESP with flags", ALL, b"\xd4\x00", DecodeError::FixedHeaderFlags),
        refused("DISCONNECT with flags", ALL, b"\xe8\x00", DecodeError::FixedHeaderFlags),
        refused("AUTH with flags", ALL, b"\xf1\x00", DecodeError::FixedHeaderFlags),
        refused("PUBLISH with QoS 3", ALL, b"\x36\x05\x00\x01a\x00\x01", DecodeError::QoS),
        refused("PUBLISH with QoS 3 and DUP", ALL, b"\x3e\x05\x00\x01a\x00\x01", DecodeError::QoS),
        refused("PUBLISH with DUP and QoS 0", ALL, b"\x38\x03\x00\x01a", DecodeError::DupWithQoS0),
        refused("remaining length of five bytes", ALL, b"\xc0\x80\x80\x80\x80\x00", DecodeError::VariableByteInteger),
        refused("remaining length without an end", ALL, b"\x30\xff\xff\xff\xff", DecodeError::VariableByteInteger),
        refused("remaining length 0 in two bytes", ALL, b"\xc0\x80\x00", DecodeError::VariableByteInteger),
        refused("remaining length 3 in two bytes", ALL, b"\x30\x83\x00\x00\x01a", DecodeError::VariableByteInteger),
        refused(
            "remaining length 3 in four bytes",
            ALL,
            b"\x30\x83\x80\x80\x00\x00\x01a",
            DecodeError::VariableByteInteger,
        ),
        refused("nothing", ALL, b"", DecodeError::Truncated),
        refused("no remaining length", ALL, b"\xc0", DecodeError::Truncated),
        refused("half a remaining length", ALL, b"\x30\x80", DecodeError::Truncated),
        refused("a body that is shorter than announced", ALL, b"\x30\x04\x00\x01a", DecodeError::Truncated),
        refused("two packets", ALL, b"\xc0\x00\xc0\x00", DecodeError::TrailingBytes),
    ]
}
