//! PUBLISH (section 3.3), the packet that matters for speed.

use super::error::{DecodeError, EncodeError};
use super::properties;
use super::property_set::PropertySet;
use super::publish_head::Head;
use super::read::Reader;
use crate::packet::{Packet, PacketType, ProtocolVersion, Publish, PublishProperties, QoS};

const ALLOWED: PropertySet = PropertySet::of_packet(PacketType::Publish);

/// Decodes the body; the flags of `first_byte` came past `frame`.
#[inline]
pub(super) fn decode(first_byte: u8, body: &[u8], version: ProtocolVersion) -> Result<Packet<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let topic_name = reader.topic_name()?; // [MQTT-3.3.2-1], [MQTT-3.3.2-2]
    let qos = QoS::from_bits(first_byte >> 1 & 0b11).ok_or(DecodeError::QoS)?;
    let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
    let section = if version == ProtocolVersion::V5 { properties::take_section(&mut reader)? } else { &[] };
    let packet = |properties| {
        Packet::Publish(Publish {
            dup: first_byte & 0b1000 != 0,
            qos,
            retain: first_byte & 0b0001 != 0,
            topic_name,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    };
    if section.is_empty() {
        if topic_name.is_empty() {
            return Err(name_missing(version));
        }
        // Apart from the packet with properties, so that it is written once and where the caller wants it.
        return Ok(packet(PublishProperties::default()));
    }
    let properties = PublishProperties::decode_section(section, ALLOWED)?;
    if topic_name.is_empty() && properties.topic_alias.is_none() {
        return Err(name_missing(version));
    }
    Ok(packet(properties))
}

const fn name_missing(version: ProtocolVersion) -> DecodeError {
    match version {
        ProtocolVersion::V5 => DecodeError::TopicNameMissing,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => DecodeError::TopicName, // [MQTT-4.7.3-1]
    }
}

/// Appends a PUBLISH. The broker forwards messages with [`super::PublishHead`] instead; this is for clients and tests.
///
/// # Errors
/// An [`EncodeError`]; `out` is then as it was.
pub fn encode_publish(publish: &Publish<'_>, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let result = append(publish, version, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

pub(super) fn append(publish: &Publish<'_>, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if publish.qos > QoS::AtMostOnce && publish.packet_id.is_none() {
        return Err(EncodeError::PacketIdMissing);
    }
    let properties_bytes = (version == ProtocolVersion::V5).then(|| publish.properties.encoded_bytes());
    let head = Head {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic_name: publish.topic_name,
        packet_id: publish.packet_id,
        properties_bytes,
        payload_bytes: publish.payload.len(),
    };
    head.append(out)?;
    out.reserve(properties_bytes.unwrap_or(0) + publish.payload.len());
    if properties_bytes.is_some_and(|bytes| bytes > 0) {
        publish.properties.append(ALLOWED, out)?;
    }
    out.extend_from_slice(publish.payload);
    Ok(())
}
