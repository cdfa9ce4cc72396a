//! The rules that depend on who sends a packet.

use super::error::DecodeError;
use crate::packet::{Packet, PacketType, Publish, ReasonPacket};
use crate::reason::ReasonCode;

impl Publish<'_> {
    /// As [`Packet::check_from_client`].
    ///
    /// # Errors
    /// [`DecodeError::WrongSender`].
    #[inline]
    pub fn check_from_client(&self) -> Result<(), DecodeError> {
        // Only a Server says which subscriptions a message is for.
        if self.properties.subscription_identifiers.is_empty() { Ok(()) } else { Err(DecodeError::WrongSender) }
    }
}

impl Packet<'_> {
    /// The packet's type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// What a Server checks of a packet that a Client sent (table 2-1, [MQTT-3.3.4-6]).
    ///
    /// # Errors
    /// [`DecodeError::WrongSender`] or [`DecodeError::ReasonCode`].
    #[inline]
    pub fn check_from_client(&self) -> Result<(), DecodeError> {
        match self {
            Self::Publish(publish) => publish.check_from_client(),
            Self::PubAck(_) | Self::PubRec(_) | Self::PubRel(_) | Self::PubComp(_) => Ok(()),
            Self::Connect(_) | Self::Subscribe(_) | Self::Unsubscribe(_) | Self::PingReq => Ok(()),
            Self::Disconnect(disconnect) => check_reason(disconnect, is_client_disconnect),
            Self::Auth(auth) => check_reason(auth, |reason| reason != ReasonCode::Success),
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) | Self::PingResp => Err(DecodeError::WrongSender),
        }
    }

    /// What a Client checks of a packet that a Server sent (table 2-1, [MQTT-3.14.2-2]).
    ///
    /// # Errors
    /// [`DecodeError::WrongSender`] or [`DecodeError::ReasonCode`].
    #[inline]
    pub fn check_from_server(&self) -> Result<(), DecodeError> {
        match self {
            Self::Publish(_) => Ok(()),
            Self::PubAck(_) | Self::PubRec(_) | Self::PubRel(_) | Self::PubComp(_) => Ok(()),
            Self::ConnAck(_) | Self::SubAck(_) | Self::UnsubAck(_) | Self::PingResp => Ok(()),
            Self::Disconnect(disconnect) if disconnect.properties.session_expiry_interval_s.is_some() => {
                Err(DecodeError::WrongSender)
            }
            Self::Disconnect(disconnect) => check_reason(disconnect, |reason| reason != ReasonCode::DisconnectWithWill),
            Self::Auth(auth) => check_reason(auth, |reason| reason != ReasonCode::ReAuthenticate),
            Self::Connect(_) | Self::Subscribe(_) | Self::Unsubscribe(_) | Self::PingReq => {
                Err(DecodeError::WrongSender)
            }
        }
    }
}

fn check_reason(packet: &ReasonPacket<'_>, is_allowed: impl Fn(ReasonCode) -> bool) -> Result<(), DecodeError> {
    if is_allowed(packet.reason) { Ok(()) } else { Err(DecodeError::ReasonCode(packet.reason as u8)) }
}

/// The reasons that table 3-10 gives to a Client.
fn is_client_disconnect(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Success
            | ReasonCode::DisconnectWithWill
            | ReasonCode::UnspecifiedError
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::TopicNameInvalid
            | ReasonCode::ReceiveMaximumExceeded
            | ReasonCode::TopicAliasInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::MessageRateTooHigh
            | ReasonCode::QuotaExceeded
            | ReasonCode::AdministrativeAction
            | ReasonCode::PayloadFormatInvalid
    )
}
