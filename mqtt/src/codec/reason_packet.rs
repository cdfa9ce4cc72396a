//! DISCONNECT (section 3.14) and AUTH (section 3.15).

use super::error::{DecodeError, EncodeError};
use super::property_set::PropertySet;
use super::read::Reader;
use crate::packet::{PacketType, Properties, ProtocolVersion, ReasonPacket};
use crate::reason::ReasonCode;

/// An empty body is a Normal disconnection, one byte a reason without properties.
pub(super) fn decode_disconnect(body: &[u8], version: ProtocolVersion) -> Result<ReasonPacket<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Ok(ReasonPacket { reason: ReasonCode::Success, properties: Properties::default() });
    }
    if version < ProtocolVersion::V5 {
        return Err(DecodeError::TrailingBytes);
    }
    let reason = reader.reason_code(PacketType::Disconnect)?; // [MQTT-3.14.2-1]
    if reader.is_empty() {
        return Ok(ReasonPacket { reason, properties: Properties::default() });
    }
    let properties = Properties::decode(&mut reader, PropertySet::of_packet(PacketType::Disconnect))?;
    reader.finish()?;
    Ok(ReasonPacket { reason, properties })
}

/// An empty body is Success without properties; any other has an Authentication Method (3.15.2.2.2).
pub(super) fn decode_auth(body: &[u8], version: ProtocolVersion) -> Result<ReasonPacket<'_>, DecodeError> {
    if version < ProtocolVersion::V5 {
        return Err(DecodeError::PacketTypeReserved);
    }
    let mut reader = Reader::new(body);
    if reader.is_empty() {
        return Ok(ReasonPacket { reason: ReasonCode::Success, properties: Properties::default() });
    }
    let reason = reader.reason_code(PacketType::Auth)?; // [MQTT-3.15.2-1]
    let properties = Properties::decode(&mut reader, PropertySet::of_packet(PacketType::Auth))?;
    reader.finish()?;
    if properties.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationMethodMissing);
    }
    Ok(ReasonPacket { reason, properties })
}

/// Appends the body, which is empty before 5.0.
pub(super) fn append_disconnect(
    packet: &ReasonPacket<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let has_properties = !packet.properties.is_empty();
    if version < ProtocolVersion::V5 || (packet.reason == ReasonCode::Success && !has_properties) {
        return Ok(());
    }
    out.push(packet.reason as u8);
    if has_properties {
        packet.properties.append(PropertySet::of_packet(PacketType::Disconnect), out)?;
    }
    Ok(())
}

/// Appends the body.
pub(super) fn append_auth(
    packet: &ReasonPacket<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if version < ProtocolVersion::V5 {
        return Err(EncodeError::NotInVersion);
    }
    if packet.reason == ReasonCode::Success && packet.properties.is_empty() {
        return Ok(());
    }
    out.push(packet.reason as u8);
    packet.properties.append(PropertySet::of_packet(PacketType::Auth), out)
}
