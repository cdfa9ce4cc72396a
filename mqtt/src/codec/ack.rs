//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7).

use super::error::{DecodeError, EncodeError};
use super::property_set::PropertySet;
use super::read::Reader;
use crate::packet::{Ack, AckProperties, Packet, PacketId, PacketType, ProtocolVersion};
use crate::reason::ReasonCode;

/// Decodes the four bytes that most acknowledgements are. It stands apart from [`decode`] because the packet is made
/// where the caller wants it; moved there field by field it would take several times as long.
#[inline]
pub(super) fn decode_short(bytes: &[u8]) -> Option<Packet<'_>> {
    const PUBACK: u8 = PacketType::PubAck.first_byte();
    const PUBREC: u8 = PacketType::PubRec.first_byte();
    const PUBREL: u8 = PacketType::PubRel.first_byte();
    const PUBCOMP: u8 = PacketType::PubComp.first_byte();
    let [first_byte, 2, high, low] = *bytes else {
        return None;
    };
    let packet_id = PacketId::new(u16::from_be_bytes([high, low]))?;
    let ack = Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() };
    match first_byte {
        PUBACK => Some(Packet::PubAck(ack)),
        PUBREC => Some(Packet::PubRec(ack)),
        PUBREL => Some(Packet::PubRel(ack)),
        PUBCOMP => Some(Packet::PubComp(ack)),
        _ => None,
    }
}

/// Decodes the body: two bytes are an acknowledgement without reason and properties, three one without properties.
pub(super) fn decode(packet_type: PacketType, body: &[u8], version: ProtocolVersion) -> Result<Ack<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    if reader.is_empty() {
        return Ok(Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() });
    }
    if version < ProtocolVersion::V5 {
        return Err(DecodeError::TrailingBytes);
    }
    let reason = reader.reason_code(packet_type)?; // [MQTT-3.4.2-1] and its like
    let properties = if reader.is_empty() {
        AckProperties::default()
    } else {
        AckProperties::decode(&mut reader, PropertySet::of_packet(packet_type))?
    };
    reader.finish()?;
    Ok(Ack { packet_id, reason, properties })
}

pub(super) fn append(
    packet_type: PacketType,
    ack: &Ack<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&ack.packet_id.get().to_be_bytes());
    if version < ProtocolVersion::V5 || (ack.reason == ReasonCode::Success && ack.properties.is_empty()) {
        return Ok(());
    }
    out.push(ack.reason as u8);
    if ack.properties.is_empty() {
        return Ok(());
    }
    ack.properties.append(PropertySet::of_packet(packet_type), out)
}

/// Appends an acknowledgement without properties: `packet_type` is PUBACK, PUBREC, PUBREL or PUBCOMP. The reason is sent
/// only in 5.0, and there only if it is not Success.
#[inline]
pub fn encode_ack(
    packet_type: PacketType,
    packet_id: PacketId,
    reason: ReasonCode,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    let [high, low] = packet_id.get().to_be_bytes();
    if version < ProtocolVersion::V5 || reason == ReasonCode::Success {
        out.extend_from_slice(&[packet_type.first_byte(), 2, high, low]);
    } else {
        out.extend_from_slice(&[packet_type.first_byte(), 3, high, low, reason as u8]);
    }
}
