//! Every row of the packet table, decoded whole and byte by byte, and encoded again.

mod codec_table;

use codec_table::{Expected, Row, rows};
use ringtail_mqtt::codec::{DecodeError, Frame, connect_version, decode, encode, frame};
use ringtail_mqtt::packet::{Packet, ProtocolVersion};
use ringtail_mqtt::reason::ReasonCode;
use std::collections::HashSet;
use std::mem::discriminant;

/// Each row in each of its versions.
fn each(mut check: impl FnMut(&Row, ProtocolVersion)) {
    for row in rows() {
        for version in row.versions {
            check(&row, *version);
        }
    }
}

#[test]
fn names_are_unique_and_there_are_rows_enough() {
    let rows = rows();
    let names: HashSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(rows.len() > 200, "{} rows", rows.len());
}

#[test]
fn whole_packets_are_decoded_or_refused() {
    each(|row, version| {
        let decoded = decode(row.bytes, version);
        match &row.expected {
            Expected::Packet(packet) | Expected::OtherEncoding(packet) => {
                assert_eq!(decoded.as_ref(), Ok(packet), "{} in {version:?}", row.name);
            }
            Expected::Refused(error) => assert_eq!(decoded, Err(*error), "{} in {version:?}", row.name),
        }
    });
}

#[test]
fn packets_are_encoded_again() {
    let mut out = Vec::new();
    each(|row, version| {
        out.clear();
        match &row.expected {
            Expected::Packet(packet) => {
                assert_eq!(encode(packet, version, &mut out), Ok(()), "{} in {version:?}", row.name);
                assert_eq!(out, row.bytes, "{} in {version:?}", row.name);
            }
            Expected::OtherEncoding(packet) => {
                assert_eq!(encode(packet, version, &mut out), Ok(()), "{} in {version:?}", row.name);
                assert_ne!(out, row.bytes, "{} in {version:?}", row.name);
                assert_eq!(decode(&out, version).as_ref(), Ok(packet), "{} in {version:?}", row.name);
            }
            Expected::Refused(_) => {}
        }
    });
}

#[test]
fn frames_grow_byte_by_byte() {
    for row in rows() {
        let accepted = !matches!(row.expected, Expected::Refused(_));
        let mut refused_as = None;
        for length in 0..=row.bytes.len() {
            let found = frame(&row.bytes[..length], u32::MAX);
            match (found, refused_as) {
                // What is refused once stays refused for the same reason, whatever follows.
                (found, Some(error)) => assert_eq!(found, Err(error), "{} at {length}", row.name),
                (Err(error), None) => refused_as = Some(error),
                (Ok(Frame::Incomplete { needed_bytes }), None) => {
                    assert!(needed_bytes > length, "{} at {length}: {needed_bytes}", row.name);
                    assert!(!accepted || length < row.bytes.len(), "{} is never complete", row.name);
                    assert!(!accepted || needed_bytes <= row.bytes.len().max(2), "{} asks too much", row.name);
                }
                (Ok(Frame::Complete { total_bytes, header_bytes, first_byte }), None) => {
                    assert!(total_bytes <= length && header_bytes <= total_bytes, "{} at {length}", row.name);
                    assert!(!accepted || total_bytes == row.bytes.len(), "{} ends at {total_bytes}", row.name);
                    assert_eq!(first_byte, row.bytes[0]);
                }
            }
        }
        assert!(!accepted || refused_as.is_none(), "{} is refused: {refused_as:?}", row.name);
    }
}

#[test]
fn no_packet_is_one_with_a_byte_less_or_more() {
    each(|row, version| {
        if matches!(row.expected, Expected::Refused(_)) {
            return;
        }
        for length in 0..row.bytes.len() {
            assert!(decode(&row.bytes[..length], version).is_err(), "{} cut at {length}", row.name);
        }
        let longer = [row.bytes, &[0]].concat();
        assert_eq!(decode(&longer, version), Err(DecodeError::TrailingBytes), "{}", row.name);
    });
}

#[test]
fn the_version_of_a_connect_is_known_before_the_rest() {
    for row in rows() {
        match row.expected {
            Expected::Packet(Packet::Connect(connect)) | Expected::OtherEncoding(Packet::Connect(connect)) => {
                assert_eq!(connect_version(row.bytes), Some(connect.version), "{}", row.name);
            }
            Expected::Refused(DecodeError::UnsupportedProtocolVersion) => {
                assert_eq!(connect_version(row.bytes), None, "{}", row.name);
            }
            Expected::Refused(_) if row.name.starts_with("CONNECT 5.0 ") => {
                assert_eq!(connect_version(row.bytes), Some(ProtocolVersion::V5), "{}", row.name);
            }
            _ => {}
        }
    }
    assert_eq!(connect_version(b"\xc0\x00"), None);
}

/// Every refusal, with the reason code that answers it.
const REFUSALS: &[(DecodeError, ReasonCode)] = &[
    (DecodeError::Truncated, ReasonCode::MalformedPacket),
    (DecodeError::TrailingBytes, ReasonCode::MalformedPacket),
    (DecodeError::PacketTypeReserved, ReasonCode::MalformedPacket),
    (DecodeError::FixedHeaderFlags, ReasonCode::MalformedPacket),
    (DecodeError::VariableByteInteger, ReasonCode::MalformedPacket),
    (DecodeError::Utf8, ReasonCode::MalformedPacket),
    (DecodeError::NullCharacter, ReasonCode::MalformedPacket),
    (DecodeError::QoS, ReasonCode::MalformedPacket),
    (DecodeError::DupWithQoS0, ReasonCode::MalformedPacket),
    (DecodeError::PacketIdZero, ReasonCode::ProtocolError),
    (DecodeError::UnsupportedProtocolVersion, ReasonCode::UnsupportedProtocolVersion),
    (DecodeError::ConnectFlags, ReasonCode::MalformedPacket),
    (DecodeError::ConnectAcknowledgeFlags, ReasonCode::MalformedPacket),
    (DecodeError::TopicName, ReasonCode::TopicNameInvalid),
    (DecodeError::TopicNameMissing, ReasonCode::ProtocolError),
    (DecodeError::TopicAliasZero, ReasonCode::TopicAliasInvalid),
    (DecodeError::ResponseTopic, ReasonCode::ProtocolError),
    (DecodeError::PropertyNotAllowed(0), ReasonCode::MalformedPacket),
    (DecodeError::PropertyRepeated(0), ReasonCode::ProtocolError),
    (DecodeError::PropertyValue(0), ReasonCode::ProtocolError),
    (DecodeError::AuthenticationMethodMissing, ReasonCode::ProtocolError),
    (DecodeError::PayloadEmpty, ReasonCode::ProtocolError),
    (DecodeError::SubscriptionOptionsReserved, ReasonCode::MalformedPacket),
    (DecodeError::SubscriptionOptions, ReasonCode::ProtocolError),
    (DecodeError::ReasonCode(0), ReasonCode::ProtocolError),
];

#[test]
fn every_refusal_has_a_row_and_a_reason() {
    let refused: HashSet<_> = rows()
        .iter()
        .filter_map(|row| match &row.expected {
            Expected::Refused(error) => Some(discriminant(error)),
            _ => None,
        })
        .collect();
    for (error, reason) in REFUSALS {
        assert!(refused.contains(&discriminant(error)), "no row for {error:?}");
        assert_eq!(ReasonCode::from(error), *reason, "{error:?}");
    }
    assert_eq!(refused.len(), REFUSALS.len(), "a row is refused for a reason that the list does not have");
    // What no bytes alone decide: the limit, and who sent the packet.
    assert_eq!(ReasonCode::from(&DecodeError::PacketTooLarge), ReasonCode::PacketTooLarge);
    assert_eq!(ReasonCode::from(&DecodeError::WrongSender), ReasonCode::ProtocolError);
}

#[test]
fn a_packet_above_the_limit_is_refused_by_its_header() {
    assert_eq!(frame(b"\x30\x7f", 128), Err(DecodeError::PacketTooLarge));
    assert_eq!(frame(b"\x30\x7f", 129), Ok(Frame::Incomplete { needed_bytes: 129 }));
    assert_eq!(frame(b"\x30\xff\xff\xff\x7f", 268_435_459), Err(DecodeError::PacketTooLarge));
    assert_eq!(frame(b"\x30\xff\xff\xff\x7f", 268_435_460), Ok(Frame::Incomplete { needed_bytes: 268_435_460 }));
    assert_eq!(frame(b"\xc0\x00", 1), Err(DecodeError::PacketTooLarge));
}
