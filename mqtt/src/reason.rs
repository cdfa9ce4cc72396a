//! Reason codes: one type for every acknowledgement and refusal, in 5.0's values; 3.x gets them mapped here alone.

use crate::packet::PacketType;

/// A Reason Code of MQTT 5.0 (section 2.4). The value 0x00 is also Normal disconnection and Granted QoS 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of section 2.4")]
pub enum ReasonCode {
    Success = 0x00,
    GrantedQoS1 = 0x01,
    GrantedQoS2 = 0x02,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    ReAuthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QoSNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedSubscriptionsNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// The code of a byte, or `None` for a value that the specification does not know.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x00 => Self::Success,
            0x01 => Self::GrantedQoS1,
            0x02 => Self::GrantedQoS2,
            0x04 => Self::DisconnectWithWill,
            0x10 => Self::NoMatchingSubscribers,
            0x11 => Self::NoSubscriptionExisted,
            0x18 => Self::ContinueAuthentication,
            0x19 => Self::ReAuthenticate,
            0x80 => Self::UnspecifiedError,
            0x81 => Self::MalformedPacket,
            0x82 => Self::ProtocolError,
            0x83 => Self::ImplementationSpecificError,
            0x84 => Self::UnsupportedProtocolVersion,
            0x85 => Self::ClientIdentifierNotValid,
            0x86 => Self::BadUserNameOrPassword,
            0x87 => Self::NotAuthorized,
            0x88 => Self::ServerUnavailable,
            0x89 => Self::ServerBusy,
            0x8A => Self::Banned,
            0x8B => Self::ServerShuttingDown,
            0x8C => Self::BadAuthenticationMethod,
            0x8D => Self::KeepAliveTimeout,
            0x8E => Self::SessionTakenOver,
            0x8F => Self::TopicFilterInvalid,
            0x90 => Self::TopicNameInvalid,
            0x91 => Self::PacketIdentifierInUse,
            0x92 => Self::PacketIdentifierNotFound,
            0x93 => Self::ReceiveMaximumExceeded,
            0x94 => Self::TopicAliasInvalid,
            0x95 => Self::PacketTooLarge,
            0x96 => Self::MessageRateTooHigh,
            0x97 => Self::QuotaExceeded,
            0x98 => Self::AdministrativeAction,
            0x99 => Self::PayloadFormatInvalid,
            0x9A => Self::RetainNotSupported,
            0x9B => Self::QoSNotSupported,
            0x9C => Self::UseAnotherServer,
            0x9D => Self::ServerMoved,
            0x9E => Self::SharedSubscriptionsNotSupported,
            0x9F => Self::ConnectionRateExceeded,
            0xA0 => Self::MaximumConnectTime,
            0xA1 => Self::SubscriptionIdentifiersNotSupported,
            0xA2 => Self::WildcardSubscriptionsNotSupported,
            _ => return None,
        })
    }

    /// True for 0x80 and above: the operation failed.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// What went wrong, as a Reason String; empty for what is no error.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Success
            | Self::GrantedQoS1
            | Self::GrantedQoS2
            | Self::DisconnectWithWill
            | Self::NoMatchingSubscribers
            | Self::NoSubscriptionExisted
            | Self::ContinueAuthentication
            | Self::ReAuthenticate => "",
            Self::UnspecifiedError => "it went wrong for a reason that has no code",
            Self::MalformedPacket => "the packet is not formed as the specification has it",
            Self::ProtocolError => "the packet is not allowed here, or contradicts itself",
            Self::ImplementationSpecificError => "the server cannot do this now",
            Self::UnsupportedProtocolVersion => "the server speaks 3.1, 3.1.1 and 5.0",
            Self::ClientIdentifierNotValid => "the client identifier is not accepted",
            Self::BadUserNameOrPassword => "the user name or the password is wrong",
            Self::NotAuthorized => "the client may not do this",
            Self::ServerUnavailable => "the server takes no connections now",
            Self::ServerBusy => "the server has no room now; try again later",
            Self::Banned => "the client is banned",
            Self::ServerShuttingDown => "the server is shutting down",
            Self::BadAuthenticationMethod => "the authentication method is not offered",
            Self::KeepAliveTimeout => "nothing came for one and a half times the keep alive",
            Self::SessionTakenOver => "the client identifier has connected again",
            Self::TopicFilterInvalid => "the topic filter is not well-formed or has too many levels",
            Self::TopicNameInvalid => "the topic name has wildcards or too many levels",
            Self::PacketIdentifierInUse => "the packet identifier is in use",
            Self::PacketIdentifierNotFound => "the packet identifier is not in use",
            Self::ReceiveMaximumExceeded => "more messages are unacknowledged than the receive maximum allows",
            Self::TopicAliasInvalid => "the topic alias is 0 or above the topic alias maximum",
            Self::PacketTooLarge => "the packet is larger than the maximum packet size",
            Self::MessageRateTooHigh => "messages come too fast",
            Self::QuotaExceeded => "a limit of the server is reached",
            Self::AdministrativeAction => "an administrator ended the connection",
            Self::PayloadFormatInvalid => "the payload is not the UTF-8 that its format indicator says",
            Self::RetainNotSupported => "retained messages are not available",
            Self::QoSNotSupported => "the QoS is above the maximum QoS",
            Self::UseAnotherServer => "another server takes the client for now",
            Self::ServerMoved => "another server takes the client from now on",
            Self::SharedSubscriptionsNotSupported => "shared subscriptions are not available",
            Self::ConnectionRateExceeded => "connections come too fast",
            Self::MaximumConnectTime => "the connection has lasted as long as it may",
            Self::SubscriptionIdentifiersNotSupported => "subscription identifiers are not available",
            Self::WildcardSubscriptionsNotSupported => "wildcards in topic filters are not available",
        }
    }

    /// The CONNACK return code of 3.1 and 3.1.1 (section 3.2.2.3) nearest to this reason.
    #[must_use]
    pub const fn connect_return_code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => 4,
            Self::NotAuthorized | Self::Banned => 5,
            _ => 3,
        }
    }

    /// The reason of a CONNACK return code of 3.1 and 3.1.1, or `None` for a reserved one.
    #[must_use]
    pub const fn from_connect_return_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }

    /// Whether packets of this type may carry the code (table 2-6), whoever sends them.
    #[must_use]
    pub const fn is_of(self, packet_type: PacketType) -> bool {
        match packet_type {
            PacketType::ConnAck => matches!(
                self as u8,
                0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99 | 0x9A..=0x9D | 0x9F
            ),
            PacketType::PubAck | PacketType::PubRec => {
                matches!(self as u8, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::PubRel | PacketType::PubComp => matches!(self, Self::Success | Self::PacketIdentifierNotFound),
            PacketType::SubAck => {
                matches!(self as u8, 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            PacketType::UnsubAck => matches!(self as u8, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            PacketType::Disconnect => matches!(
                self as u8,
                0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            PacketType::Auth => {
                matches!(self, Self::Success | Self::ContinueAuthentication | Self::ReAuthenticate)
            }
            PacketType::Connect
            | PacketType::Publish
            | PacketType::Subscribe
            | PacketType::Unsubscribe
            | PacketType::PingReq
            | PacketType::PingResp => false,
        }
    }
}
