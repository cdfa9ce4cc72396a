//! CONNACK (section 3.2).

use super::error::{DecodeError, EncodeError};
use super::property_set::PropertySet;
use super::read::Reader;
use crate::packet::{ConnAck, PacketType, Properties, ProtocolVersion};
use crate::reason::ReasonCode;

const ALLOWED: PropertySet = PropertySet::of_packet(PacketType::ConnAck);
const SESSION_PRESENT: u8 = 0x01;

pub(super) fn decode(body: &[u8], version: ProtocolVersion) -> Result<ConnAck<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let flags = reader.byte()?;
    let reason = if version == ProtocolVersion::V5 {
        reader.reason_code(PacketType::ConnAck)? // [MQTT-3.2.2-8]
    } else {
        let code = reader.byte()?;
        ReasonCode::from_connect_return_code(code).ok_or(DecodeError::ReasonCode(code))?
    };
    let properties =
        if version == ProtocolVersion::V5 { Properties::decode(&mut reader, ALLOWED)? } else { Properties::default() };
    reader.finish()?;
    // 3.1 has no such flags and reserves the byte without asking for a value.
    let session_present = version > ProtocolVersion::V3_1 && flags & SESSION_PRESENT != 0;
    let reserved = version > ProtocolVersion::V3_1 && flags & !SESSION_PRESENT != 0; // [MQTT-3.2.2-1]
    if reserved || (session_present && reason != ReasonCode::Success) {
        return Err(DecodeError::ConnectAcknowledgeFlags); // [MQTT-3.2.2-6]
    }
    Ok(ConnAck { session_present, reason, properties })
}

/// Appends the body.
pub(super) fn append(connack: &ConnAck<'_>, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let session_present = connack.session_present
        && connack.reason == ReasonCode::Success // [MQTT-3.2.2-6]
        && version > ProtocolVersion::V3_1;
    out.push(if session_present { SESSION_PRESENT } else { 0 });
    if version == ProtocolVersion::V5 {
        out.push(connack.reason as u8);
        connack.properties.append(ALLOWED, out)
    } else {
        out.push(connack.reason.connect_return_code());
        Ok(())
    }
}
