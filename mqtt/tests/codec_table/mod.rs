//! The packet table: bytes, the versions that they are read in, and the packet or the refusal that they are.
//!
//! Tests of the codec go through every row; the fuzzer's corpus and tests over a socket begin with the same rows. The
//! bytes are written out from the specification, not made by the codec.
#![allow(dead_code, reason = "each user of the table reads the columns that it needs")]

mod acks;
mod connect;
mod fixed_header;
mod others;
mod publish;
mod subscribe;

use ringtail_mqtt::codec::{DecodeError, UserPropertiesBuf};
use ringtail_mqtt::packet::{Packet, PacketId, ProtocolVersion, UserProperties};

/// One row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) versions: &'static [ProtocolVersion],
    pub(crate) bytes: &'static [u8],
    pub(crate) expected: Expected,
}

/// What the bytes of a row are.
pub(crate) enum Expected {
    /// This packet, which is encoded as these bytes.
    Packet(Packet<'static>),
    /// This packet, which the codec encodes in another way.
    OtherEncoding(Packet<'static>),
    /// No packet.
    Refused(DecodeError),
}

use ProtocolVersion::{V3_1, V3_1_1, V5};

const ALL: &[ProtocolVersion] = &[V3_1, V3_1_1, V5];
const BEFORE_5: &[ProtocolVersion] = &[V3_1, V3_1_1];
const FROM_3_1_1: &[ProtocolVersion] = &[V3_1_1, V5];
const ONLY_3_1: &[ProtocolVersion] = &[V3_1];
const ONLY_3_1_1: &[ProtocolVersion] = &[V3_1_1];
const ONLY_5: &[ProtocolVersion] = &[V5];

/// Every row.
pub(crate) fn rows() -> Vec<Row> {
    [
        fixed_header::rows(),
        connect::accepted(),
        connect::refused(),
        connect::connack(),
        publish::accepted(),
        publish::refused(),
        acks::rows(),
        subscribe::requests(),
        subscribe::acknowledgements(),
        others::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn packet(
    name: &'static str,
    versions: &'static [ProtocolVersion],
    bytes: &'static [u8],
    packet: Packet<'static>,
) -> Row {
    Row { name, versions, bytes, expected: Expected::Packet(packet) }
}

fn other_encoding(
    name: &'static str,
    versions: &'static [ProtocolVersion],
    bytes: &'static [u8],
    packet: Packet<'static>,
) -> Row {
    Row { name, versions, bytes, expected: Expected::OtherEncoding(packet) }
}

fn refused(name: &'static str, versions: &'static [ProtocolVersion], bytes: &'static [u8], error: DecodeError) -> Row {
    Row { name, versions, bytes, expected: Expected::Refused(error) }
}

fn packet_id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("rows use identifiers from 1")
}

/// User Properties that live as long as the table.
fn users(properties: &[(&str, &str)]) -> UserProperties<'static> {
    let list: &'static mut UserPropertiesBuf = Box::leak(Box::default());
    for (name, value) in properties {
        list.push(name, value).expect("rows use short strings");
    }
    list.as_properties()
}
