//! The properties of MQTT 5.0 (section 2.2.2.2): one of them, how it is
//! written, and a section of them.

use super::error::{DecodeError, EncodeError};
use super::property_set::{PropertySet, id};
use super::read::Reader;
use super::write;
use crate::packet::QoS;
use std::num::{NonZeroU16, NonZeroU32};

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property<'a> {
    PayloadFormatIndicator(bool),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(NonZeroU32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQoS(QoS),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

impl<'a> Property<'a> {
    pub(super) const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => id::PAYLOAD_FORMAT_INDICATOR,
            Self::MessageExpiryInterval(_) => id::MESSAGE_EXPIRY_INTERVAL,
            Self::ContentType(_) => id::CONTENT_TYPE,
            Self::ResponseTopic(_) => id::RESPONSE_TOPIC,
            Self::CorrelationData(_) => id::CORRELATION_DATA,
            Self::SubscriptionIdentifier(_) => id::SUBSCRIPTION_IDENTIFIER,
            Self::SessionExpiryInterval(_) => id::SESSION_EXPIRY_INTERVAL,
            Self::AssignedClientIdentifier(_) => id::ASSIGNED_CLIENT_IDENTIFIER,
            Self::ServerKeepAlive(_) => id::SERVER_KEEP_ALIVE,
            Self::AuthenticationMethod(_) => id::AUTHENTICATION_METHOD,
            Self::AuthenticationData(_) => id::AUTHENTICATION_DATA,
            Self::RequestProblemInformation(_) => id::REQUEST_PROBLEM_INFORMATION,
            Self::WillDelayInterval(_) => id::WILL_DELAY_INTERVAL,
            Self::RequestResponseInformation(_) => id::REQUEST_RESPONSE_INFORMATION,
            Self::ResponseInformation(_) => id::RESPONSE_INFORMATION,
            Self::ServerReference(_) => id::SERVER_REFERENCE,
            Self::ReasonString(_) => id::REASON_STRING,
            Self::ReceiveMaximum(_) => id::RECEIVE_MAXIMUM,
            Self::TopicAliasMaximum(_) => id::TOPIC_ALIAS_MAXIMUM,
            Self::TopicAlias(_) => id::TOPIC_ALIAS,
            Self::MaximumQoS(_) => id::MAXIMUM_QOS,
            Self::RetainAvailable(_) => id::RETAIN_AVAILABLE,
            Self::User(..) => id::USER_PROPERTY,
            Self::MaximumPacketSize(_) => id::MAXIMUM_PACKET_SIZE,
            Self::WildcardSubscriptionAvailable(_) => id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            Self::SubscriptionIdentifierAvailable(_) => id::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
            Self::SharedSubscriptionAvailable(_) => id::SHARED_SUBSCRIPTION_AVAILABLE,
        }
    }

    /// Reads the value of property `id` and keeps the rules of its description.
    fn read_value(id: u8, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match id {
            id::PAYLOAD_FORMAT_INDICATOR => Self::PayloadFormatIndicator(flag(id, reader)?),
            id::MESSAGE_EXPIRY_INTERVAL => Self::MessageExpiryInterval(reader.four_byte_integer()?),
            id::CONTENT_TYPE => Self::ContentType(reader.string()?),
            id::RESPONSE_TOPIC => Self::ResponseTopic(response_topic(reader)?),
            id::CORRELATION_DATA => Self::CorrelationData(reader.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => Self::SubscriptionIdentifier(
                NonZeroU32::new(reader.variable_byte_integer()?).ok_or(DecodeError::PropertyValue(id))?,
            ),
            id::SESSION_EXPIRY_INTERVAL => Self::SessionExpiryInterval(reader.four_byte_integer()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => Self::AssignedClientIdentifier(reader.string()?),
            id::SERVER_KEEP_ALIVE => Self::ServerKeepAlive(reader.two_byte_integer()?),
            id::AUTHENTICATION_METHOD => Self::AuthenticationMethod(reader.string()?),
            id::AUTHENTICATION_DATA => Self::AuthenticationData(reader.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Self::RequestProblemInformation(flag(id, reader)?),
            id::WILL_DELAY_INTERVAL => Self::WillDelayInterval(reader.four_byte_integer()?),
            id::REQUEST_RESPONSE_INFORMATION => Self::RequestResponseInformation(flag(id, reader)?),
            id::RESPONSE_INFORMATION => Self::ResponseInformation(reader.string()?),
            id::SERVER_REFERENCE => Self::ServerReference(reader.string()?),
            id::REASON_STRING => Self::ReasonString(reader.string()?),
            id::RECEIVE_MAXIMUM => {
                Self::ReceiveMaximum(NonZeroU16::new(reader.two_byte_integer()?).ok_or(DecodeError::PropertyValue(id))?)
            }
            id::TOPIC_ALIAS_MAXIMUM => Self::TopicAliasMaximum(reader.two_byte_integer()?),
            id::TOPIC_ALIAS => {
                Self::TopicAlias(NonZeroU16::new(reader.two_byte_integer()?).ok_or(DecodeError::TopicAliasZero)?)
            }
            // 2 is the default and may not be said (3.2.2.3.4).
            id::MAXIMUM_QOS if flag(id, reader)? => Self::MaximumQoS(QoS::AtLeastOnce),
            id::MAXIMUM_QOS => Self::MaximumQoS(QoS::AtMostOnce),
            id::RETAIN_AVAILABLE => Self::RetainAvailable(flag(id, reader)?),
            id::USER_PROPERTY => Self::User(reader.string()?, reader.string()?),
            id::MAXIMUM_PACKET_SIZE => match reader.four_byte_integer()? {
                0 => return Err(DecodeError::PropertyValue(id)),
                bytes => Self::MaximumPacketSize(bytes),
            },
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => Self::WildcardSubscriptionAvailable(flag(id, reader)?),
            id::SUBSCRIPTION_IDENTIFIER_AVAILABLE => Self::SubscriptionIdentifierAvailable(flag(id, reader)?),
            id::SHARED_SUBSCRIPTION_AVAILABLE => Self::SharedSubscriptionAvailable(flag(id, reader)?),
            _ => return Err(DecodeError::PropertyNotAllowed(id)),
        })
    }

    /// Appends identifier and value.
    pub(super) fn append(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.id());
        match *self {
            Self::PayloadFormatIndicator(flag)
            | Self::RequestProblemInformation(flag)
            | Self::RequestResponseInformation(flag)
            | Self::RetainAvailable(flag)
            | Self::WildcardSubscriptionAvailable(flag)
            | Self::SubscriptionIdentifierAvailable(flag)
            | Self::SharedSubscriptionAvailable(flag) => out.push(u8::from(flag)),
            Self::MaximumQoS(qos) => out.push(qos as u8),
            Self::ServerKeepAlive(value) | Self::TopicAliasMaximum(value) => {
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::ReceiveMaximum(value) | Self::TopicAlias(value) => out.extend_from_slice(&value.get().to_be_bytes()),
            Self::MessageExpiryInterval(value)
            | Self::SessionExpiryInterval(value)
            | Self::WillDelayInterval(value)
            | Self::MaximumPacketSize(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::SubscriptionIdentifier(identifier) => {
                write::append_variable_byte_integer(identifier.get() as usize, out)
                    .map_err(|_| EncodeError::SubscriptionIdentifier)?;
            }
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientIdentifier(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => write::append_binary(text.as_bytes(), out)?,
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => write::append_binary(bytes, out)?,
            Self::User(name, value) => {
                write::append_binary(name.as_bytes(), out)?;
                write::append_binary(value.as_bytes(), out)?;
            }
        }
        Ok(())
    }
}

/// A byte that may be 0 or 1 only.
fn flag(id: u8, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue(id)),
    }
}

/// A topic name without wildcards [MQTT-3.3.2-14], not empty [MQTT-4.7.3-1].
fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    match reader.topic_name() {
        Ok("") | Err(DecodeError::TopicName) => Err(DecodeError::ResponseTopic),
        other => other,
    }
}

/// The properties of a section one after the other.
pub(super) struct PropertyReader<'a> {
    reader: Reader<'a>,
    allowed: PropertySet,
    repeatable: PropertySet,
    seen: PropertySet,
}

impl<'a> PropertyReader<'a> {
    /// Reads a property section (without its length) of a packet that may carry `allowed`.
    #[inline]
    pub(super) fn new(section: &'a [u8], allowed: PropertySet) -> Self {
        const IN_PUBLISH: PropertySet = PropertySet::of(&[id::USER_PROPERTY, id::SUBSCRIPTION_IDENTIFIER]);
        const ELSEWHERE: PropertySet = PropertySet::of(&[id::USER_PROPERTY]);
        let repeatable = if allowed == PropertySet::PUBLISH { IN_PUBLISH } else { ELSEWHERE };
        Self { reader: Reader::new(section), allowed, repeatable, seen: PropertySet::default() }
    }

    /// The next property, or `None` at the end of the section.
    pub(super) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.byte()?;
        if !self.allowed.contains(id) {
            return Err(DecodeError::PropertyNotAllowed(id));
        }
        if self.seen.contains(id) && !self.repeatable.contains(id) {
            return Err(DecodeError::PropertyRepeated(id));
        }
        self.seen = self.seen.with(id);
        Property::read_value(id, &mut self.reader).map(Some)
    }
}

/// A property of a section that was checked when it was decoded or built.
#[derive(Clone, Copy)]
pub(super) struct RawProperty<'a> {
    pub(super) id: u8,
    /// The encoded value.
    pub(super) value: &'a [u8],
    /// Identifier and value.
    pub(super) encoded: &'a [u8],
}

/// The properties of a checked section, passed over without looking at their values.
#[derive(Clone)]
pub(super) struct RawProperties<'a>(Reader<'a>);

impl<'a> RawProperties<'a> {
    #[inline]
    pub(super) const fn new(section: &'a [u8]) -> Self {
        Self(Reader::new(section))
    }
}

impl<'a> Iterator for RawProperties<'a> {
    type Item = RawProperty<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawProperty<'a>> {
        let encoded = self.0.rest();
        let (&id, value) = encoded.split_first()?;
        let mut reader = Reader::new(value);
        skip_value(id, &mut reader).ok()?;
        let value_bytes = value.len() - reader.rest().len();
        self.0 = reader;
        Some(RawProperty { id, value: &value[..value_bytes], encoded: &encoded[..1 + value_bytes] })
    }
}

/// Passes over the value of property `id` by its data type (table 2-4).
fn skip_value(id: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match id {
        id::PAYLOAD_FORMAT_INDICATOR
        | id::REQUEST_PROBLEM_INFORMATION
        | id::REQUEST_RESPONSE_INFORMATION
        | id::MAXIMUM_QOS
        | id::RETAIN_AVAILABLE
        | id::WILDCARD_SUBSCRIPTION_AVAILABLE
        | id::SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | id::SHARED_SUBSCRIPTION_AVAILABLE => reader.take(1)?,
        id::SERVER_KEEP_ALIVE | id::RECEIVE_MAXIMUM | id::TOPIC_ALIAS_MAXIMUM | id::TOPIC_ALIAS => reader.take(2)?,
        id::MESSAGE_EXPIRY_INTERVAL
        | id::SESSION_EXPIRY_INTERVAL
        | id::WILL_DELAY_INTERVAL
        | id::MAXIMUM_PACKET_SIZE => reader.take(4)?,
        id::SUBSCRIPTION_IDENTIFIER => return reader.variable_byte_integer().map(|_| ()),
        id::USER_PROPERTY => {
            reader.binary()?;
            reader.binary()?
        }
        _ => reader.binary()?,
    };
    Ok(())
}
