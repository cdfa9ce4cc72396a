//! What can be wrong with bytes, or with a packet that is to become bytes.

use crate::reason::ReasonCode;

/// Why bytes are not a packet. The reason code to answer with is `ReasonCode::from(&error)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// A field reaches past the end of the packet.
    #[error("the packet ends before its last field does")]
    Truncated,
    /// The packet is longer than its fields.
    #[error("bytes follow the last field of the packet")]
    TrailingBytes,
    /// Packet type 0, or AUTH before 5.0.
    #[error("the packet type is reserved")]
    PacketTypeReserved,
    /// Flags of the fixed header that this packet type reserves [MQTT-2.1.3-1].
    #[error("reserved flags of the fixed header are set")]
    FixedHeaderFlags,
    /// More than four bytes, or more than the value needs [MQTT-1.5.5-1].
    #[error("a variable byte integer is longer than it may be")]
    VariableByteInteger,
    /// The packet is larger than the receiver accepts [MQTT-3.1.2-24].
    #[error("the packet is larger than the receiver accepts")]
    PacketTooLarge,
    /// A string that is not well-formed UTF-8 [MQTT-1.5.4-1].
    #[error("a string is not well-formed UTF-8")]
    Utf8,
    /// A string with the character U+0000 [MQTT-1.5.4-2].
    #[error("a string holds the null character")]
    NullCharacter,
    /// Both QoS bits of a PUBLISH or a will are set [MQTT-3.3.1-4], [MQTT-3.1.2-12].
    #[error("the QoS is 3")]
    QoS,
    /// DUP with QoS 0 [MQTT-3.3.1-2].
    #[error("DUP is set on a message of QoS 0")]
    DupWithQoS0,
    /// Packet Identifier 0 [MQTT-2.2.1-3].
    #[error("the packet identifier is 0")]
    PacketIdZero,
    /// A protocol name or level that is none of the three versions [MQTT-3.1.2-1], [MQTT-3.1.2-2].
    #[error("the protocol name and level are those of no supported version")]
    UnsupportedProtocolVersion,
    /// The reserved bit [MQTT-3.1.2-3], will flags without a will [MQTT-3.1.2-11], or a password without a user name before
    /// 5.0 [MQTT-3.1.2-22].
    #[error("the connect flags contradict each other or use the reserved bit")]
    ConnectFlags,
    /// Reserved bits of the Connect Acknowledge Flags [MQTT-3.2.2-1], or a session beside a refusal [MQTT-3.2.2-6].
    #[error("the connect acknowledge flags are not allowed")]
    ConnectAcknowledgeFlags,
    /// A topic name with a wildcard [MQTT-3.3.2-2], or an empty one [MQTT-4.7.3-1].
    #[error("a topic name is empty or holds a wildcard")]
    TopicName,
    /// An empty topic name and no Topic Alias (5.0, 3.3.2.1).
    #[error("the topic name is empty and no topic alias stands for it")]
    TopicNameMissing,
    /// Topic Alias 0 [MQTT-3.3.2-8].
    #[error("the topic alias is 0")]
    TopicAliasZero,
    /// A Response Topic with a wildcard [MQTT-3.3.2-14], or an empty one.
    #[error("the response topic is not a topic name")]
    ResponseTopic,
    /// No such property, or not in this packet (5.0, 2.2.2.2).
    #[error("property {0:#04x} is unknown or not allowed in this packet")]
    PropertyNotAllowed(u8),
    /// A property that may be there once is there again.
    #[error("property {0:#04x} is there more than once")]
    PropertyRepeated(u8),
    /// A value that the property's description excludes.
    #[error("the value of property {0:#04x} is not allowed")]
    PropertyValue(u8),
    /// Authentication Data without Authentication Method, or an AUTH without one.
    #[error("the authentication method is missing")]
    AuthenticationMethodMissing,
    /// A SUBSCRIBE [MQTT-3.8.3-2], UNSUBSCRIBE [MQTT-3.10.3-2] or an acknowledgement of one without a single entry.
    #[error("the packet has no payload")]
    PayloadEmpty,
    /// Reserved bits of Subscription Options [MQTT-3.8.3-5].
    #[error("reserved bits of the subscription options are set")]
    SubscriptionOptionsReserved,
    /// QoS 3, Retain Handling 3, or No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("the subscription options are not allowed")]
    SubscriptionOptions,
    /// A reason code that this packet, or its sender, may not use.
    #[error("reason code {0:#04x} is not one of this packet's")]
    ReasonCode(u8),
    /// A packet or a property of a packet that only the other side may send.
    #[error("only the other side may send this")]
    WrongSender,
}

impl From<&DecodeError> for ReasonCode {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Truncated
            | DecodeError::TrailingBytes
            | DecodeError::PacketTypeReserved
            | DecodeError::FixedHeaderFlags
            | DecodeError::VariableByteInteger
            | DecodeError::Utf8
            | DecodeError::NullCharacter
            | DecodeError::QoS
            | DecodeError::DupWithQoS0
            | DecodeError::ConnectFlags
            | DecodeError::ConnectAcknowledgeFlags
            | DecodeError::PropertyNotAllowed(_)
            | DecodeError::SubscriptionOptionsReserved => Self::MalformedPacket,
            DecodeError::PacketIdZero
            | DecodeError::TopicNameMissing
            | DecodeError::ResponseTopic
            | DecodeError::PropertyRepeated(_)
            | DecodeError::PropertyValue(_)
            | DecodeError::AuthenticationMethodMissing
            | DecodeError::PayloadEmpty
            | DecodeError::SubscriptionOptions
            | DecodeError::ReasonCode(_)
            | DecodeError::WrongSender => Self::ProtocolError,
            DecodeError::PacketTooLarge => Self::PacketTooLarge,
            DecodeError::UnsupportedProtocolVersion => Self::UnsupportedProtocolVersion,
            DecodeError::TopicName => Self::TopicNameInvalid,
            DecodeError::TopicAliasZero => Self::TopicAliasInvalid,
        }
    }
}

/// Why a packet cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field of more than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// More than 268,435,455 bytes after the fixed header.
    #[error("the packet is larger than the protocol allows")]
    PacketTooLarge,
    /// A PUBLISH above QoS 0 without a Packet Identifier [MQTT-2.2.1-3].
    #[error("the packet needs a packet identifier")]
    PacketIdMissing,
    /// A property that this packet may not carry.
    #[error("property {0:#04x} is not allowed in this packet")]
    PropertyNotAllowed(u8),
    /// A value that the protocol excludes.
    #[error("a Subscription Identifier is above 268,435,455")]
    SubscriptionIdentifier,
    /// AUTH, or a password without a user name, before 5.0.
    #[error("this cannot be said in this version of the protocol")]
    NotInVersion,
}
