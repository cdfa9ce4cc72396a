//! Property sections of the packets: from bytes to the structs of [`crate::packet`] and back.

use super::error::{DecodeError, EncodeError};
use super::property::{Property, PropertyReader, RawProperties};
use super::property_set::{PropertySet, id};
use super::read::Reader;
use super::write;
use crate::packet::{AckProperties, Properties, PublishProperties, QoS, SubscriptionIdentifiers, UserProperties};
use std::num::NonZeroU32;

/// Takes a property section and its length off the front.
#[inline]
pub(super) fn take_section<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let bytes = reader.variable_byte_integer()?;
    reader.take(bytes as usize)
}

/// Appends properties as a section with its length in front.
fn append_section<'a>(
    properties: impl Iterator<Item = Property<'a>>,
    user_properties: UserProperties<'a>,
    allowed: PropertySet,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    write::length_prefixed(out, |out| {
        for property in properties {
            append_allowed(property, allowed, out)?;
        }
        user_properties.raw().for_each(|property| out.extend_from_slice(property.encoded));
        Ok(())
    })
}

fn append_allowed(property: Property<'_>, allowed: PropertySet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if allowed.contains(property.id()) {
        property.append(out)
    } else {
        Err(EncodeError::PropertyNotAllowed(property.id()))
    }
}

impl<'a> Properties<'a> {
    /// Reads a section with its length in front.
    pub(super) fn decode(reader: &mut Reader<'a>, allowed: PropertySet) -> Result<Self, DecodeError> {
        let section = take_section(reader)?;
        let mut properties = Self { user_properties: UserProperties(section), ..Self::default() };
        let mut section = PropertyReader::new(section, allowed);
        while let Some(property) = section.next()? {
            properties.set(property);
        }
        // 3.1.2.11.10: Authentication Data belongs to a method.
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing);
        }
        Ok(properties)
    }

    fn set(&mut self, property: Property<'a>) {
        match property {
            Property::SessionExpiryInterval(value) => self.session_expiry_interval_s = Some(value),
            Property::AssignedClientIdentifier(value) => self.assigned_client_identifier = Some(value),
            Property::ServerKeepAlive(value) => self.server_keep_alive_s = Some(value),
            Property::AuthenticationMethod(value) => self.authentication_method = Some(value),
            Property::AuthenticationData(value) => self.authentication_data = Some(value),
            Property::RequestProblemInformation(value) => self.request_problem_information = Some(value),
            Property::RequestResponseInformation(value) => self.request_response_information = Some(value),
            Property::ResponseInformation(value) => self.response_information = Some(value),
            Property::ServerReference(value) => self.server_reference = Some(value),
            Property::ReasonString(value) => self.reason_string = Some(value),
            Property::ReceiveMaximum(value) => self.receive_maximum = Some(value),
            Property::TopicAliasMaximum(value) => self.topic_alias_maximum = Some(value),
            Property::MaximumQoS(value) => self.maximum_qos = Some(value),
            Property::RetainAvailable(value) => self.retain_available = Some(value),
            Property::MaximumPacketSize(value) => self.maximum_packet_size_bytes = Some(value),
            Property::WildcardSubscriptionAvailable(value) => self.wildcard_subscription_available = Some(value),
            Property::SubscriptionIdentifierAvailable(value) => self.subscription_identifier_available = Some(value),
            Property::SharedSubscriptionAvailable(value) => self.shared_subscription_available = Some(value),
            // User properties are read from the section when somebody asks; the others are of no packet that has these.
            _ => {}
        }
    }

    /// True when there is nothing to encode.
    pub(super) fn is_empty(&self) -> bool {
        self.without_user_properties().next().is_none() && self.user_properties.is_empty()
    }

    /// Appends the section with its length in front.
    pub(super) fn append(&self, allowed: PropertySet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        append_section(self.without_user_properties(), self.user_properties, allowed, out)
    }

    fn without_user_properties(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        [
            self.session_expiry_interval_s.map(Property::SessionExpiryInterval),
            self.assigned_client_identifier.map(Property::AssignedClientIdentifier),
            self.server_keep_alive_s.map(Property::ServerKeepAlive),
            self.authentication_method.map(Property::AuthenticationMethod),
            self.authentication_data.map(Property::AuthenticationData),
            self.request_problem_information.map(Property::RequestProblemInformation),
            self.request_response_information.map(Property::RequestResponseInformation),
            self.response_information.map(Property::ResponseInformation),
            self.server_reference.map(Property::ServerReference),
            self.reason_string.map(Property::ReasonString),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.topic_alias_maximum.map(Property::TopicAliasMaximum),
            // 2 is what the absence of the property says (3.2.2.3.4).
            self.maximum_qos.filter(|qos| *qos < QoS::ExactlyOnce).map(Property::MaximumQoS),
            self.retain_available.map(Property::RetainAvailable),
            self.maximum_packet_size_bytes.map(Property::MaximumPacketSize),
            self.wildcard_subscription_available.map(Property::WildcardSubscriptionAvailable),
            self.subscription_identifier_available.map(Property::SubscriptionIdentifierAvailable),
            self.shared_subscription_available.map(Property::SharedSubscriptionAvailable),
        ]
        .into_iter()
        .flatten()
    }
}

impl<'a> AckProperties<'a> {
    /// Reads a section with its length in front.
    pub(super) fn decode(reader: &mut Reader<'a>, allowed: PropertySet) -> Result<Self, DecodeError> {
        let section = take_section(reader)?;
        let mut properties = Self { reason_string: None, user_properties: UserProperties(section) };
        let mut section = PropertyReader::new(section, allowed);
        while let Some(property) = section.next()? {
            if let Property::ReasonString(text) = property {
                properties.reason_string = Some(text);
            }
        }
        Ok(properties)
    }

    /// True when there is nothing to encode.
    pub(super) fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }

    /// Appends the section with its length in front.
    pub(super) fn append(&self, allowed: PropertySet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        append_section(self.reason_string.map(Property::ReasonString).into_iter(), self.user_properties, allowed, out)
    }
}

/// The properties of SUBSCRIBE and UNSUBSCRIBE.
pub(super) fn decode_subscription<'a>(
    reader: &mut Reader<'a>,
    allowed: PropertySet,
) -> Result<(Option<NonZeroU32>, UserProperties<'a>), DecodeError> {
    let section = take_section(reader)?;
    let mut subscription_identifier = None;
    let mut properties = PropertyReader::new(section, allowed);
    while let Some(property) = properties.next()? {
        if let Property::SubscriptionIdentifier(identifier) = property {
            subscription_identifier = Some(identifier);
        }
    }
    Ok((subscription_identifier, UserProperties(section)))
}

/// Appends the properties of SUBSCRIBE and UNSUBSCRIBE.
pub(super) fn append_subscription(
    subscription_identifier: Option<NonZeroU32>,
    user_properties: UserProperties<'_>,
    allowed: PropertySet,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let identifier = subscription_identifier.map(Property::SubscriptionIdentifier);
    append_section(identifier.into_iter(), user_properties, allowed, out)
}

impl<'a> PublishProperties<'a> {
    /// Reads a section without its length.
    pub(super) fn decode_section(section: &'a [u8], allowed: PropertySet) -> Result<Self, DecodeError> {
        let mut properties = Self { user_properties: UserProperties(section), ..Self::default() };
        let mut reader = PropertyReader::new(section, allowed);
        while let Some(property) = reader.next()? {
            match property {
                Property::PayloadFormatIndicator(value) => properties.payload_format_indicator = Some(value),
                Property::MessageExpiryInterval(value) => properties.message_expiry_interval_s = Some(value),
                Property::TopicAlias(value) => properties.topic_alias = Some(value),
                Property::ResponseTopic(value) => properties.response_topic = Some(value),
                Property::CorrelationData(value) => properties.correlation_data = Some(value),
                Property::ContentType(value) => properties.content_type = Some(value),
                Property::WillDelayInterval(value) => properties.will_delay_interval_s = Some(value),
                Property::SubscriptionIdentifier(_) => {
                    properties.subscription_identifiers = SubscriptionIdentifiers(section);
                }
                // User properties are read from the section when somebody asks; no other is allowed here.
                _ => {}
            }
        }
        Ok(properties)
    }

    /// Appends the properties that a Server forwards unaltered, without a length in front: Payload Format Indicator,
    /// Content Type, Response Topic, Correlation Data, and User Properties in their order [MQTT-3.3.2-18].
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`], which properties that were decoded never give.
    pub fn append_forwarded(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(section) = self.forwarded_raw() {
            out.extend_from_slice(section);
            return Ok(());
        }
        self.forwarded_single().try_for_each(|property| property.append(out))?;
        self.user_properties.raw().for_each(|property| out.extend_from_slice(property.encoded));
        Ok(())
    }

    /// The forwarded properties as [`Self::append_forwarded`] would give them, where the section that was received
    /// holds these and nothing else. Usually there are none at all, and the answer is an empty slice.
    #[must_use]
    #[inline]
    pub fn forwarded_raw(&self) -> Option<&'a [u8]> {
        let section = self.user_properties.0;
        let has_fields = self.payload_format_indicator.is_some()
            || self.content_type.is_some()
            || self.response_topic.is_some()
            || self.correlation_data.is_some();
        let is_whole = if section.is_empty() { !has_fields } else { self.are_all_in(section) };
        is_whole.then_some(section)
    }

    /// True when a section that is not empty holds the forwarded properties and nothing else.
    #[inline(never)] // so that its caller stays small enough to be inlined
    fn are_all_in(&self, section: &[u8]) -> bool {
        let mut singles = 0;
        for property in RawProperties::new(section) {
            // The fields are public, so they decide, not the section that some of them were read from.
            let field = match property.id {
                id::USER_PROPERTY => continue,
                id::PAYLOAD_FORMAT_INDICATOR => self.payload_format_indicator == Some(property.value == [1]),
                id::CONTENT_TYPE => is_text(property.value, self.content_type.map(str::as_bytes)),
                id::RESPONSE_TOPIC => is_text(property.value, self.response_topic.map(str::as_bytes)),
                id::CORRELATION_DATA => is_text(property.value, self.correlation_data),
                _ => false,
            };
            if !field {
                return false;
            }
            singles += 1;
        }
        let fields = [
            self.payload_format_indicator.is_some(),
            self.content_type.is_some(),
            self.response_topic.is_some(),
            self.correlation_data.is_some(),
        ];
        singles == fields.into_iter().filter(|is_there| *is_there).count()
    }

    fn forwarded_single(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        [
            self.payload_format_indicator.map(Property::PayloadFormatIndicator),
            self.content_type.map(Property::ContentType),
            self.response_topic.map(Property::ResponseTopic),
            self.correlation_data.map(Property::CorrelationData),
        ]
        .into_iter()
        .flatten()
    }

    fn not_forwarded_single(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        [
            self.message_expiry_interval_s.map(Property::MessageExpiryInterval),
            self.topic_alias.map(Property::TopicAlias),
            self.will_delay_interval_s.map(Property::WillDelayInterval),
        ]
        .into_iter()
        .flatten()
    }

    /// Bytes of the section, without the length in front; an identifier is one byte, the length of a text two.
    pub(super) fn encoded_bytes(&self) -> usize {
        let fixed = |is_there: bool, value_bytes: usize| if is_there { 1 + value_bytes } else { 0 };
        let text = |value_bytes: Option<usize>| value_bytes.map_or(0, |bytes| 1 + 2 + bytes);
        let lists = self.subscription_identifiers.raw().chain(self.user_properties.raw());
        fixed(self.payload_format_indicator.is_some(), 1)
            + fixed(self.message_expiry_interval_s.is_some(), 4)
            + fixed(self.topic_alias.is_some(), 2)
            + fixed(self.will_delay_interval_s.is_some(), 4)
            + text(self.response_topic.map(str::len))
            + text(self.correlation_data.map(<[u8]>::len))
            + text(self.content_type.map(str::len))
            + lists.map(|property| property.encoded.len()).sum::<usize>()
    }

    /// Appends the section, without the length in front.
    pub(super) fn append(&self, allowed: PropertySet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for property in self.not_forwarded_single() {
            append_allowed(property, allowed, out)?;
        }
        for property in self.subscription_identifiers.raw() {
            if !allowed.contains(property.id) {
                return Err(EncodeError::PropertyNotAllowed(property.id));
            }
            out.extend_from_slice(property.encoded);
        }
        self.append_forwarded(out)
    }
}

/// Whether an encoded string or binary value is that of the field.
fn is_text(value: &[u8], field: Option<&[u8]>) -> bool {
    field.is_some_and(|field| value.get(2..) == Some(field))
}
