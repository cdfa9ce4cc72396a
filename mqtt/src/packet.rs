//! The control packets as types that borrow from the bytes they were read from.
//!
//! Names are the specification's. Encoding and decoding live in [`crate::codec`].

use crate::reason::ReasonCode;
use std::num::NonZeroU16;

/// Protocol versions that the codec speaks; the value is the Protocol Level of CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
#[repr(u8)]
pub enum ProtocolVersion {
    /// MQTT 3.1, protocol name `MQIsdp`.
    V3_1 = 3,
    /// MQTT 3.1.1.
    #[default]
    V3_1_1 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// The types of control packets (section 2.1.2); the value is the upper half of the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type of a packet that begins with this byte, or `None` for the reserved type 0.
    #[must_use]
    #[inline]
    pub const fn from_first_byte(byte: u8) -> Option<Self> {
        Some(match byte >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of a packet of this type, with the flags that are fixed for it [MQTT-2.1.3-1]; those of PUBLISH are 0.
    #[must_use]
    #[inline]
    pub const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }
}

/// Quality of service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of the two bits, or `None` for the value 3 [MQTT-3.3.1-4].
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A Packet Identifier, never 0 [MQTT-2.2.1-3].
pub type PacketId = NonZeroU16;

/// User Properties in their order: an encoded property section, whose other properties the iterator passes over.
#[derive(Clone, Copy, Default)]
pub struct UserProperties<'a>(pub(crate) &'a [u8]);

/// The properties of CONNECT, CONNACK, DISCONNECT and AUTH; which of them a packet may carry, the codec knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 2.2.2.2 of MQTT 5.0")]
pub struct Properties<'a> {
    pub session_expiry_interval_s: Option<u32>,
    pub assigned_client_identifier: Option<&'a str>,
    pub server_keep_alive_s: Option<u16>,
    pub authentication_method: Option<&'a str>,
    pub authentication_data: Option<&'a [u8]>,
    pub request_problem_information: Option<bool>,
    pub request_response_information: Option<bool>,
    pub response_information: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub reason_string: Option<&'a str>,
    pub receive_maximum: Option<NonZeroU16>,
    pub topic_alias_maximum: Option<u16>,
    pub maximum_qos: Option<QoS>,
    pub retain_available: Option<bool>,
    pub maximum_packet_size_bytes: Option<u32>,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifier_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    pub user_properties: UserProperties<'a>,
}

/// The properties of PUBLISH, and of a will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.3.2.3 of MQTT 5.0")]
pub struct PublishProperties<'a> {
    /// UTF-8 when true.
    pub payload_format_indicator: Option<bool>,
    pub message_expiry_interval_s: Option<u32>,
    pub topic_alias: Option<NonZeroU16>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub content_type: Option<&'a str>,
    /// From a server to a client only; several when subscriptions overlap.
    pub subscription_identifiers: SubscriptionIdentifiers<'a>,
    pub user_properties: UserProperties<'a>,
    /// Of a will only.
    pub will_delay_interval_s: Option<u32>,
}

/// Subscription Identifiers: an encoded property section, whose other properties the iterator passes over.
#[derive(Clone, Copy, Default)]
pub struct SubscriptionIdentifiers<'a>(pub(crate) &'a [u8]);

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.1")]
pub struct Connect<'a> {
    pub version: ProtocolVersion,
    /// The top bit of the protocol level: a bridge that wants no echo of its own messages.
    pub bridge: bool,
    /// Clean Start in 5.0, Clean Session before.
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub properties: Properties<'a>,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// The Will Message of a CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.1")]
pub struct Will<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub properties: PublishProperties<'a>,
    pub topic_name: &'a str,
    pub payload: &'a [u8],
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.2")]
pub struct ConnAck<'a> {
    pub session_present: bool,
    /// A 5.0 code in every version; the codec maps it to the 3.1.1 return code.
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

/// PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.3")]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Empty only where a Topic Alias stands for it.
    pub topic_name: &'a str,
    /// Present exactly when `qos` is above 0.
    pub packet_id: Option<PacketId>,
    pub properties: PublishProperties<'a>,
    pub payload: &'a [u8],
}

/// The properties of an acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 2.2.2.2 of MQTT 5.0")]
pub struct AckProperties<'a> {
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of sections 3.4 to 3.7")]
pub struct Ack<'a> {
    pub packet_id: PacketId,
    pub reason: ReasonCode,
    pub properties: AckProperties<'a>,
}

/// What happens to retained messages when a subscription is made (5.0, 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send them.
    #[default]
    Send = 0,
    /// Send them if the subscription did not exist.
    SendIfNew = 1,
    /// Do not send them.
    DoNotSend = 2,
}

/// Subscription Options (5.0, 3.8.3.1); 3.x has only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct SubscriptionOptions {
    pub maximum_qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.8")]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub subscription_identifier: Option<std::num::NonZeroU32>,
    pub user_properties: UserProperties<'a>,
    pub filters: SubscribeFilters<'a>,
}

/// The filters of a SUBSCRIBE, as encoded and already checked; iterate for `(topic filter, options)`. Never empty
/// [MQTT-3.8.3-2]. The text of a filter is well-formed UTF-8, but not yet checked as a filter: that is answered in SUBACK.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubscribeFilters<'a>(pub(crate) &'a [u8]);

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of section 3.10")]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub user_properties: UserProperties<'a>,
    pub filters: UnsubscribeFilters<'a>,
}

/// The filters of an UNSUBSCRIBE, as encoded and already checked. Never empty [MQTT-3.10.3-2].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a>(pub(crate) &'a [u8]);

/// A list of reason codes, a byte each, checked when it was decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReasonCodes<'a>(pub(crate) &'a [u8]);

/// SUBACK or UNSUBACK: a reason code for each filter, in order. The codec maps them for 3.x (0x80 for every failure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of sections 3.9 and 3.11")]
pub struct SubAck<'a> {
    pub packet_id: PacketId,
    pub properties: AckProperties<'a>,
    pub reasons: ReasonCodes<'a>,
}

/// DISCONNECT or AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of sections 3.14 and 3.15")]
pub struct ReasonPacket<'a> {
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

/// Any control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub enum Packet<'a> {
    Connect(Box<Connect<'a>>),
    ConnAck(Box<ConnAck<'a>>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(SubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Box<ReasonPacket<'a>>),
    Auth(Box<ReasonPacket<'a>>),
}
