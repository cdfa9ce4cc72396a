//! A client's PUBLISH: what the server accepts, and the message that goes to the router.

use super::receive::Action;
use super::{Extras, Session};
use crate::codec::encode_ack;
use crate::limits::Limits;
use crate::message::MessageRef;
use crate::outbox::Outbox;
use crate::packet::{PacketId, PacketType, ProtocolVersion, Publish, PublishProperties, QoS};
use crate::qos::Receiving;
use crate::reason::ReasonCode;
use crate::time::Millis;
use crate::topic::validate_topic_name;
use std::borrow::Cow;
use std::num::NonZeroU16;
use std::rc::Rc;

/// An application message that a client published.
#[derive(Clone, Debug)]
pub struct Inbound<'p> {
    topic_name: TopicName<'p>,
    properties: Cow<'p, [u8]>,
    payload: &'p [u8],
    retain: bool,
    expires_at: Millis,
    /// The QoS of the PUBLISH.
    pub qos: QoS,
    /// Its identifier; present exactly when `qos` is above 0.
    pub packet_id: Option<PacketId>,
    /// The client says that it may have sent the message before (3.3.1.1).
    pub dup: bool,
}

#[derive(Clone, Debug)]
enum TopicName<'p> {
    Received(&'p str),
    Aliased(Rc<str>),
}

impl TopicName<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Received(topic_name) => topic_name,
            Self::Aliased(topic_name) => topic_name,
        }
    }
}

impl Inbound<'_> {
    /// The message, with its alias resolved.
    #[must_use]
    pub fn message(&self) -> MessageRef<'_> {
        MessageRef {
            topic_name: self.topic_name.as_str(),
            properties: &self.properties,
            payload: self.payload,
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
        }
    }
}

impl Session {
    pub(super) fn on_publish<'p>(
        &mut self,
        publish: &Publish<'p>,
        limits: &Limits,
        now: Millis,
        out: &mut Outbox,
    ) -> Action<'p> {
        if publish.qos > limits.maximum_qos {
            return Action::Close(ReasonCode::QoSNotSupported); // [MQTT-3.2.2-11]
        }
        if publish.retain && !limits.retain_available {
            return Action::Close(ReasonCode::RetainNotSupported); // [MQTT-3.2.2-14]
        }
        let topic_name = match self.topic_name(publish, limits) {
            Ok(topic_name) => topic_name,
            Err(reason) => return Action::Close(reason),
        };
        if let Some(packet_id) = publish.packet_id {
            if publish.qos == QoS::ExactlyOnce && self.is_repeated(packet_id, out) {
                return Action::None;
            }
            if let Err(reason) = self.check_receive_maximum(limits) {
                return Action::Close(reason);
            }
        }
        let properties = match forwarded_properties(publish) {
            Ok(properties) => properties,
            Err(reason) => return Action::Close(reason),
        };
        if let Some(reason) = refusal(topic_name.as_str(), &publish.properties, publish.payload, limits) {
            if let Some(packet_id) = publish.packet_id {
                self.accept(packet_id, publish.qos, reason, out);
            }
            return Action::Refused(reason);
        }
        // Put together here and not before, so that it is written once and where the caller wants it.
        Action::Publish(Inbound {
            topic_name,
            properties,
            payload: publish.payload,
            retain: publish.retain,
            expires_at: publish.properties.message_expiry_interval_s.map_or(Millis::NEVER, |s| now.plus_s(s)),
            qos: publish.qos,
            packet_id: publish.packet_id,
            dup: publish.dup,
        })
    }

    #[inline]
    fn topic_name<'p>(&mut self, publish: &Publish<'p>, limits: &Limits) -> Result<TopicName<'p>, ReasonCode> {
        if let Some(alias) = publish.properties.topic_alias {
            return self.aliased_topic_name(publish, alias, limits);
        }
        check_levels(publish.topic_name, limits)?;
        Ok(TopicName::Received(publish.topic_name))
    }

    /// Sets or resolves a topic alias.
    #[inline(never)] // so that its caller stays small enough to be inlined
    fn aliased_topic_name<'p>(
        &mut self,
        publish: &Publish<'p>,
        alias: NonZeroU16,
        limits: &Limits,
    ) -> Result<TopicName<'p>, ReasonCode> {
        if publish.topic_name.is_empty() {
            let aliases = self.extras.as_ref().map(|extras| &extras.inbound_aliases);
            let Some(aliases) = aliases else { return Err(ReasonCode::ProtocolError) };
            return aliases.get(alias, limits.topic_alias_maximum).map(TopicName::Aliased);
        }
        check_levels(publish.topic_name, limits)?;
        let Extras { inbound_aliases, .. } = &mut **self.extras.get_or_insert_default();
        inbound_aliases.set(alias, limits.topic_alias_maximum, publish.topic_name)?;
        Ok(TopicName::Received(publish.topic_name))
    }

    /// True when this QoS 2 identifier was routed already: then PUBREC is all that may follow [MQTT-4.3.3-10], at once
    /// or, where the broker has not decided yet, together with the decision.
    fn is_repeated(&mut self, packet_id: PacketId, out: &mut Outbox) -> bool {
        let Some(ledger) = &mut self.ledger else { return false };
        match ledger.state_of(packet_id) {
            Receiving::Free => return false,
            Receiving::AwaitCommit => ledger.answer_again(packet_id),
            Receiving::AwaitPubRel => {
                let version = self.settings.version;
                encode_ack(PacketType::PubRec, packet_id, ReasonCode::Success, version, out.bytes_mut());
            }
        }
        true
    }

    /// One more PUBLISH above QoS 0 must have a place [MQTT-3.3.4-7]. Before 5.0 there is no such maximum to announce;
    /// what then bounds them is that identifiers run out.
    fn check_receive_maximum(&self, limits: &Limits) -> Result<(), ReasonCode> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let maximum = match self.settings.version {
            ProtocolVersion::V5 => limits.receive_maximum.max(1),
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => u16::MAX,
        };
        let full = ledger.taken() >= maximum || ledger.pending_len() >= usize::from(u16::MAX);
        if full { Err(ReasonCode::ReceiveMaximumExceeded) } else { Ok(()) }
    }
}

/// The level under which the server alone publishes (4.7.2).
const SERVER_TOPICS: &str = "$SYS/";

/// Why a message of a client, or its will, goes to nobody although the packet is in order.
#[inline]
pub(super) fn refusal(
    topic_name: &str,
    properties: &PublishProperties<'_>,
    payload: &[u8],
    limits: &Limits,
) -> Option<ReasonCode> {
    if topic_name.starts_with(SERVER_TOPICS) {
        return Some(ReasonCode::NotAuthorized);
    }
    // Whoever says that the payload is text has said that it is UTF-8 (3.3.2.3.2, 3.1.3.2.3).
    let is_text = limits.payload_format_checked && properties.payload_format_indicator == Some(true);
    (is_text && str::from_utf8(payload).is_err()).then_some(ReasonCode::PayloadFormatInvalid)
}

/// The limits' say about a topic name, over what the codec has checked.
#[inline]
pub(super) fn check_levels(topic_name: &str, limits: &Limits) -> Result<(), ReasonCode> {
    // A name has at most one level more than it has bytes, so that nearly none needs a count.
    let short = topic_name.len() < usize::from(limits.topic_levels_max);
    if short || validate_topic_name(topic_name, limits.topic_levels_max).is_ok() {
        return Ok(());
    }
    Err(ReasonCode::TopicNameInvalid)
}

/// What travels with the message to every subscriber.
#[inline]
fn forwarded_properties<'p>(publish: &Publish<'p>) -> Result<Cow<'p, [u8]>, ReasonCode> {
    match publish.properties.forwarded_raw() {
        Some(section) => Ok(Cow::Borrowed(section)),
        None => copied_properties(publish),
    }
}

/// The same where something else stood in between.
#[inline(never)] // so that its caller stays small enough to be inlined
fn copied_properties<'p>(publish: &Publish<'p>) -> Result<Cow<'p, [u8]>, ReasonCode> {
    let mut section = Vec::new();
    match publish.properties.append_forwarded(&mut section) {
        Ok(()) => Ok(Cow::Owned(section)),
        Err(_) => Err(ReasonCode::MalformedPacket),
    }
}
