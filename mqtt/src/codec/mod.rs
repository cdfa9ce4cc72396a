//! Bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! ```text
//!   received bytes --frame()--> one packet's bytes --decode()--> Packet<'_> (borrows, copies nothing)
//!   Packet<'_> --encode()--> appended bytes
//! ```
//! [`frame`] judges the fixed header as soon as it is seen, so that a packet that is too large or has reserved flags is
//! refused before anything is buffered for it. [`decode`] is strict: what it returns keeps every rule that one packet
//! alone can break; [`Packet::check_from_client`] and [`Packet::check_from_server`] add the rules of the direction.
//!
//! Depends on [`crate::packet`] and [`crate::reason`]. Architecture invariant: no state between packets, no I/O, and no
//! input makes it panic.

mod ack;
mod connack;
mod connect;
mod error;
mod filters;
mod frame;
mod properties;
mod property;
mod property_lists;
mod property_set;
mod publish;
mod publish_head;
mod read;
mod reason_packet;
mod sender;
mod subscribe;
mod write;

pub use ack::encode_ack;
pub use connect::connect_version;
pub use error::{DecodeError, EncodeError};
pub use filters::{
    InvalidReasonCode, ReasonCodesBuf, SubscribeFiltersBuf, SubscribeFiltersIter, UnsubscribeFiltersBuf,
    UnsubscribeFiltersIter,
};
pub use frame::{Frame, frame};
pub use property_lists::{
    SubscriptionIdentifiersBuf, SubscriptionIdentifiersIter, UserPropertiesBuf, UserPropertiesIter,
};
pub use publish::encode_publish;
pub use publish_head::PublishHead;

use crate::packet::{Packet, PacketType, ProtocolVersion};
use read::Reader;

/// The largest remaining length that a fixed header can say (5.0, 2.1.4).
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// The largest packet that the protocol allows, bytes with the fixed header.
pub const PACKET_BYTES_MAX: usize = 1 + 4 + REMAINING_LENGTH_MAX;

/// Decodes one complete packet, fixed header included; `version` is the connection's, and a CONNECT brings its own.
///
/// # Errors
/// A [`DecodeError`] for everything that the version does not allow; its reason code says how to answer.
#[inline(always)] // a packet that is returned from out of line is copied, which costs more than to decode it
pub fn decode(bytes: &[u8], version: ProtocolVersion) -> Result<Packet<'_>, DecodeError> {
    if let Some(packet) = ack::decode_short(bytes) {
        return Ok(packet);
    }
    let (first_byte, body) = frame::split(bytes)?;
    if first_byte >> 4 == PacketType::Publish as u8 {
        return publish::decode(first_byte, body, version);
    }
    decode_other(first_byte, body, version)
}

/// Everything but PUBLISH and short acknowledgements, kept out of line for the sake of those two.
#[inline(never)]
fn decode_other(first_byte: u8, body: &[u8], version: ProtocolVersion) -> Result<Packet<'_>, DecodeError> {
    let packet_type = PacketType::from_first_byte(first_byte).ok_or(DecodeError::PacketTypeReserved)?;
    if version > ProtocolVersion::V3_1 && first_byte != packet_type.first_byte() {
        // Before 3.1.1 PUBREL, SUBSCRIBE and UNSUBSCRIBE could carry the DUP flag; that one alone comes past `frame`.
        return Err(DecodeError::FixedHeaderFlags);
    }
    match packet_type {
        PacketType::Connect => connect::decode(body).map(|connect| Packet::Connect(Box::new(connect))),
        PacketType::ConnAck => connack::decode(body, version).map(|connack| Packet::ConnAck(Box::new(connack))),
        PacketType::Publish => publish::decode(first_byte, body, version),
        PacketType::PubAck => ack::decode(packet_type, body, version).map(Packet::PubAck),
        PacketType::PubRec => ack::decode(packet_type, body, version).map(Packet::PubRec),
        PacketType::PubRel => ack::decode(packet_type, body, version).map(Packet::PubRel),
        PacketType::PubComp => ack::decode(packet_type, body, version).map(Packet::PubComp),
        PacketType::Subscribe => subscribe::decode(body, version).map(Packet::Subscribe),
        PacketType::SubAck => subscribe::decode_ack(packet_type, body, version).map(Packet::SubAck),
        PacketType::Unsubscribe => subscribe::decode_unsubscribe(body, version).map(Packet::Unsubscribe),
        PacketType::UnsubAck => subscribe::decode_ack(packet_type, body, version).map(Packet::UnsubAck),
        PacketType::PingReq => Reader::new(body).finish().map(|()| Packet::PingReq),
        PacketType::PingResp => Reader::new(body).finish().map(|()| Packet::PingResp),
        PacketType::Disconnect => {
            reason_packet::decode_disconnect(body, version).map(|packet| Packet::Disconnect(Box::new(packet)))
        }
        PacketType::Auth => reason_packet::decode_auth(body, version).map(|packet| Packet::Auth(Box::new(packet))),
    }
}

/// Appends `packet` to `out`. `version` is the connection's, and a CONNECT brings its own. What a version has no room
/// for is left out (properties and reasons before 5.0).
///
/// # Errors
/// An [`EncodeError`] for what cannot be said in this version or at all; `out` is then as it was.
pub fn encode(packet: &Packet<'_>, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let result = encode_packet(packet, version, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn encode_packet(packet: &Packet<'_>, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if let Packet::Publish(publish) = packet {
        return publish::append(publish, version, out);
    }
    let packet_type = packet.packet_type();
    out.push(packet_type.first_byte());
    write::length_prefixed(out, |out| match packet {
        Packet::Connect(connect) => connect::append(connect, out),
        Packet::ConnAck(connack) => connack::append(connack, version, out),
        Packet::Publish(_) | Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack::append(packet_type, ack, version, out)
        }
        Packet::Subscribe(subscribe) => subscribe::append(subscribe, version, out),
        Packet::Unsubscribe(unsubscribe) => subscribe::append_unsubscribe(unsubscribe, version, out),
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => subscribe::append_ack(packet_type, ack, version, out),
        Packet::Disconnect(disconnect) => reason_packet::append_disconnect(disconnect, version, out),
        Packet::Auth(auth) => reason_packet::append_auth(auth, version, out),
    })
}

/// Appends a PINGRESP, which is the same in every version.
#[inline]
pub fn encode_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::PingResp.first_byte(), 0]);
}
