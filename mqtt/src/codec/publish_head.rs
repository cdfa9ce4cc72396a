//! The broker's way of sending a message: everything of a PUBLISH but its payload, from properties that are encoded
//! already.

use super::REMAINING_LENGTH_MAX;
use super::error::EncodeError;
use super::property::Property;
use super::property_lists::subscription_identifier_bytes;
use super::property_set::id;
use super::write;
use crate::packet::{PacketId, PacketType, ProtocolVersion, QoS};
use std::num::NonZeroU16;

/// A PUBLISH to be forwarded, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishHead<'a> {
    /// A re-delivery [MQTT-3.3.1-1].
    pub dup: bool,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The RETAIN flag of this delivery.
    pub retain: bool,
    /// Empty where `topic_alias` stands for it.
    pub topic_name: &'a str,
    /// Above QoS 0: the identifier, or `None` for two bytes 0 that the caller fills in at the offset that
    /// [`Self::encode`] returns. Not written at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Encoded properties that travel unaltered, without a length; see
    /// [`crate::packet::PublishProperties::append_forwarded`]. Left out before 5.0, as are the three that follow.
    pub forwarded_properties: &'a [u8],
    /// What is left of the Message Expiry Interval [MQTT-3.3.2-6].
    pub message_expiry_interval_s: Option<u32>,
    /// A Topic Alias within what the client allows [MQTT-3.3.2-9].
    pub topic_alias: Option<NonZeroU16>,
    /// The identifiers of the matching subscriptions [MQTT-3.3.4-3], each from 1 to 268,435,455.
    pub subscription_identifiers: &'a [u32],
    /// Bytes of the payload that will follow.
    pub payload_bytes: usize,
}

impl PublishHead<'_> {
    /// Appends fixed header and variable header, and returns where in `out` the Packet Identifier stands (`None` at
    /// QoS 0).
    ///
    /// # Errors
    /// [`EncodeError::PacketTooLarge`] and [`EncodeError::FieldTooLong`], neither of which a caller sees that compared
    /// [`Self::encoded_bytes`] with the client's Maximum Packet Size; `out` is then as it was.
    #[inline]
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        let start = out.len();
        let packet_id_at = self.head(version).append(out)?;
        if version == ProtocolVersion::V5
            && let Err(error) = self.append_properties(out)
        {
            out.truncate(start);
            return Err(error);
        }
        Ok(packet_id_at)
    }

    /// Bytes of the whole packet, fixed header and payload included: what a Maximum Packet Size counts [MQTT-3.1.2-24].
    #[must_use]
    pub fn encoded_bytes(&self, version: ProtocolVersion) -> usize {
        self.head(version).packet_bytes()
    }

    #[inline]
    fn head(&self, version: ProtocolVersion) -> Head<'_> {
        Head {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic_name: self.topic_name,
            packet_id: self.packet_id,
            properties_bytes: (version == ProtocolVersion::V5).then(|| self.properties_bytes()),
            payload_bytes: self.payload_bytes,
        }
    }

    #[inline]
    fn properties_bytes(&self) -> usize {
        let expiry = if self.message_expiry_interval_s.is_some() { 1 + 4 } else { 0 };
        let alias = if self.topic_alias.is_some() { 1 + 2 } else { 0 };
        let identifiers: usize =
            self.subscription_identifiers.iter().map(|identifier| subscription_identifier_bytes(*identifier)).sum();
        self.forwarded_properties.len() + expiry + alias + identifiers
    }

    fn append_properties(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(seconds) = self.message_expiry_interval_s {
            Property::MessageExpiryInterval(seconds).append(out)?;
        }
        if let Some(alias) = self.topic_alias {
            Property::TopicAlias(alias).append(out)?;
        }
        for identifier in self.subscription_identifiers {
            out.push(id::SUBSCRIPTION_IDENTIFIER);
            write::append_variable_byte_integer(*identifier as usize, out)
                .map_err(|_| EncodeError::SubscriptionIdentifier)?;
        }
        out.extend_from_slice(self.forwarded_properties);
        Ok(())
    }
}

/// What comes before the properties of any PUBLISH.
pub(super) struct Head<'a> {
    pub(super) dup: bool,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) topic_name: &'a str,
    pub(super) packet_id: Option<PacketId>,
    /// Bytes of the property section without its length; `None` before 5.0.
    pub(super) properties_bytes: Option<usize>,
    pub(super) payload_bytes: usize,
}

impl Head<'_> {
    #[inline]
    fn remaining_length(&self) -> usize {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = self.properties_bytes.map_or(0, |bytes| write::variable_byte_integer_bytes(bytes) + bytes);
        2 + self.topic_name.len() + packet_id + properties + self.payload_bytes
    }

    #[inline]
    pub(super) fn packet_bytes(&self) -> usize {
        let remaining_length = self.remaining_length();
        1 + write::variable_byte_integer_bytes(remaining_length) + remaining_length
    }

    /// Appends everything up to the length of the property section, and returns where the Packet Identifier stands.
    /// Writes nothing on an error.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        let remaining_length = self.remaining_length();
        if remaining_length > REMAINING_LENGTH_MAX {
            return Err(EncodeError::PacketTooLarge);
        }
        let topic_bytes = u16::try_from(self.topic_name.len()).map_err(|_| EncodeError::FieldTooLong)?;
        out.push(
            PacketType::Publish.first_byte() | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain),
        );
        write::append_variable_byte_integer(remaining_length, out)?;
        out.extend_from_slice(&topic_bytes.to_be_bytes());
        out.extend_from_slice(self.topic_name.as_bytes());
        let packet_id_at = (self.qos > QoS::AtMostOnce).then(|| {
            out.extend_from_slice(&self.packet_id.map_or(0, PacketId::get).to_be_bytes());
            out.len() - 2
        });
        if let Some(bytes) = self.properties_bytes {
            write::append_variable_byte_integer(bytes, out)?;
        }
        Ok(packet_id_at)
    }
}
