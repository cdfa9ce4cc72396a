//! SUBSCRIBE, UNSUBSCRIBE and their acknowledgements (sections 3.8 to 3.11).

use super::error::{DecodeError, EncodeError};
use super::filters::{self, options_from_byte};
use super::properties;
use super::property_set::PropertySet;
use super::read::Reader;
use super::write;
use crate::packet::{
    AckProperties, PacketType, ProtocolVersion, ReasonCodes, SubAck, Subscribe, SubscribeFilters, Unsubscribe,
    UnsubscribeFilters, UserProperties,
};
use crate::topic::SHARE_PREFIX;

const SUBSCRIBE_ALLOWED: PropertySet = PropertySet::of_packet(PacketType::Subscribe);
const UNSUBSCRIBE_ALLOWED: PropertySet = PropertySet::of_packet(PacketType::Unsubscribe);

pub(super) fn decode(body: &[u8], version: ProtocolVersion) -> Result<Subscribe<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let (subscription_identifier, user_properties) = if version == ProtocolVersion::V5 {
        properties::decode_subscription(&mut reader, SUBSCRIBE_ALLOWED)?
    } else {
        (None, UserProperties::default())
    };
    let encoded = reader.rest();
    if encoded.is_empty() {
        return Err(DecodeError::PayloadEmpty); // [MQTT-3.8.3-2]
    }
    while !reader.is_empty() {
        let filter = reader.string()?; // [MQTT-3.8.3-1]
        let options = options_from_byte(reader.byte()?, version)?;
        if options.no_local && filter.starts_with(SHARE_PREFIX) {
            return Err(DecodeError::SubscriptionOptions); // [MQTT-3.8.3-4]
        }
    }
    let filters = SubscribeFilters(encoded);
    Ok(Subscribe { packet_id, subscription_identifier, user_properties, filters })
}

pub(super) fn decode_unsubscribe(body: &[u8], version: ProtocolVersion) -> Result<Unsubscribe<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let user_properties = if version == ProtocolVersion::V5 {
        properties::decode_subscription(&mut reader, UNSUBSCRIBE_ALLOWED)?.1
    } else {
        UserProperties::default()
    };
    let encoded = reader.rest();
    if encoded.is_empty() {
        return Err(DecodeError::PayloadEmpty); // [MQTT-3.10.3-2]
    }
    while !reader.is_empty() {
        reader.string()?; // [MQTT-3.10.3-1]
    }
    Ok(Unsubscribe { packet_id, user_properties, filters: UnsubscribeFilters(encoded) })
}

/// Decodes SUBACK or UNSUBACK. An UNSUBACK has reasons only in 5.0.
pub(super) fn decode_ack(
    packet_type: PacketType,
    body: &[u8],
    version: ProtocolVersion,
) -> Result<SubAck<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let properties = if version == ProtocolVersion::V5 {
        AckProperties::decode(&mut reader, PropertySet::of_packet(packet_type))?
    } else {
        AckProperties::default()
    };
    let reasons = ReasonCodes(reader.rest());
    if packet_type == PacketType::UnsubAck && version < ProtocolVersion::V5 {
        reader.finish()?;
        return Ok(SubAck { packet_id, properties, reasons });
    }
    if reader.is_empty() {
        return Err(DecodeError::PayloadEmpty);
    }
    while !reader.is_empty() {
        let reason = reader.reason_code(packet_type)?; // [MQTT-3.9.3-2], [MQTT-3.11.3-2]
        if version < ProtocolVersion::V5 && !matches!(reason as u8, 0..=2 | 0x80) {
            return Err(DecodeError::ReasonCode(reason as u8)); // 3.1.1: [MQTT-3.9.3-2]
        }
    }
    Ok(SubAck { packet_id, properties, reasons })
}

/// Appends the body of a SUBSCRIBE.
pub(super) fn append(
    subscribe: &Subscribe<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&subscribe.packet_id.get().to_be_bytes());
    if version == ProtocolVersion::V5 {
        let identifier = subscribe.subscription_identifier;
        properties::append_subscription(identifier, subscribe.user_properties, SUBSCRIBE_ALLOWED, out)?;
        out.extend_from_slice(subscribe.filters.0);
        return Ok(());
    }
    for (filter, options) in subscribe.filters {
        write::append_binary(filter.as_bytes(), out)?;
        out.push(options.maximum_qos as u8);
    }
    Ok(())
}

/// Appends the body of an UNSUBSCRIBE.
pub(super) fn append_unsubscribe(
    unsubscribe: &Unsubscribe<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&unsubscribe.packet_id.get().to_be_bytes());
    if version == ProtocolVersion::V5 {
        properties::append_subscription(None, unsubscribe.user_properties, UNSUBSCRIBE_ALLOWED, out)?;
    }
    out.extend_from_slice(unsubscribe.filters.0);
    Ok(())
}

/// Appends the body of a SUBACK or UNSUBACK.
pub(super) fn append_ack(
    packet_type: PacketType,
    ack: &SubAck<'_>,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&ack.packet_id.get().to_be_bytes());
    if version == ProtocolVersion::V5 {
        ack.properties.append(PropertySet::of_packet(packet_type), out)?;
        out.extend_from_slice(ack.reasons.0);
    } else if packet_type == PacketType::SubAck {
        out.extend(ack.reasons.iter().map(filters::suback_return_code));
    }
    Ok(())
}
