//! Property Identifiers of MQTT 5.0 (section 2.2.2.2), and which packet may carry which.

use crate::packet::PacketType;

/// Property Identifiers. All fit one byte of the Variable Byte Integer that they are.
pub(super) mod id {
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// A set of Property Identifiers, a bit each: the highest identifier is 42.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PropertySet(u64);

impl PropertySet {
    pub(super) const fn of(ids: &[u8]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < ids.len() {
            bits |= 1 << ids[index];
            index += 1;
        }
        Self(bits)
    }

    #[inline]
    pub(super) const fn with(self, id: u8) -> Self {
        Self(self.0 | 1 << id)
    }

    #[inline]
    pub(super) const fn contains(self, id: u8) -> bool {
        id < 64 && self.0 >> id & 1 == 1
    }

    /// What a Server forwards unaltered: [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17],
    /// [MQTT-3.3.2-20].
    pub(super) const FORWARDED: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::USER_PROPERTY,
    ]);

    /// Those of a will.
    pub(super) const WILL: Self = Self::FORWARDED.with(id::WILL_DELAY_INTERVAL).with(id::MESSAGE_EXPIRY_INTERVAL);

    pub(super) const PUBLISH: Self =
        Self::FORWARDED.with(id::MESSAGE_EXPIRY_INTERVAL).with(id::TOPIC_ALIAS).with(id::SUBSCRIPTION_IDENTIFIER);
    const ACK: Self = Self::of(&[id::REASON_STRING, id::USER_PROPERTY]);
    const SUBSCRIBE: Self = Self::of(&[id::SUBSCRIPTION_IDENTIFIER, id::USER_PROPERTY]);
    const UNSUBSCRIBE: Self = Self::of(&[id::USER_PROPERTY]);
    const DISCONNECT: Self = Self::ACK.with(id::SESSION_EXPIRY_INTERVAL).with(id::SERVER_REFERENCE);
    const AUTH: Self = Self::ACK.with(id::AUTHENTICATION_METHOD).with(id::AUTHENTICATION_DATA);
    const CONNECT: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::REQUEST_PROBLEM_INFORMATION,
        id::REQUEST_RESPONSE_INFORMATION,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::USER_PROPERTY,
        id::MAXIMUM_PACKET_SIZE,
    ]);
    const CONNACK: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::ASSIGNED_CLIENT_IDENTIFIER,
        id::SERVER_KEEP_ALIVE,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::RESPONSE_INFORMATION,
        id::SERVER_REFERENCE,
        id::REASON_STRING,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::MAXIMUM_QOS,
        id::RETAIN_AVAILABLE,
        id::USER_PROPERTY,
        id::MAXIMUM_PACKET_SIZE,
        id::WILDCARD_SUBSCRIPTION_AVAILABLE,
        id::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        id::SHARED_SUBSCRIPTION_AVAILABLE,
    ]);

    /// The properties that a packet may carry (table 2-4).
    pub(super) const fn of_packet(packet_type: PacketType) -> Self {
        match packet_type {
            PacketType::Connect => Self::CONNECT,
            PacketType::ConnAck => Self::CONNACK,
            PacketType::Publish => Self::PUBLISH,
            PacketType::PubAck
            | PacketType::PubRec
            | PacketType::PubRel
            | PacketType::PubComp
            | PacketType::SubAck
            | PacketType::UnsubAck => Self::ACK,
            PacketType::Subscribe => Self::SUBSCRIBE,
            PacketType::Unsubscribe => Self::UNSUBSCRIBE,
            PacketType::PingReq | PacketType::PingResp => Self::of(&[]),
            PacketType::Disconnect => Self::DISCONNECT,
            PacketType::Auth => Self::AUTH,
        }
    }
}
