//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! The order that makes a subscription hold from its SUBACK on, on every shard: the announcement goes into every
//! neighbour's ring before the SUBACK is sent (a turn publishes its rings before it submits its sends, and keeps a SUBACK
//! back whose announcement waits in an overflow). Whoever publishes because of that SUBACK is read by a neighbour
//! afterwards, and a neighbour drains its rings between reading its sockets and handling what it read.

use crate::shard::inbound::Flow;
use crate::shard::Core;
use ringtail_mqtt::codec::{self, ReasonCodesBuf};
use ringtail_mqtt::packet::{
    AckProperties, Packet, PacketId, PacketType, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions, Unsubscribe,
};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::DetachCause;
use ringtail_mqtt::topic::Filter;

impl Core {
    pub(crate) fn take_subscribe(&mut self, number: u32, session: u32, subscribe: &Subscribe<'_>) -> Flow {
        let id = subscribe.subscription_identifier.map_or(0, std::num::NonZeroU32::get);
        let bridge = self.local.connections.get(number).is_some_and(|c| c.bridge);
        let mut reasons = ReasonCodesBuf::default();
        for (text, options) in subscribe.filters {
            match self.subscribe(session, bridge, text, options, id) {
                Ok(reason) => reasons.push(reason),
                // [MQTT-3.8.3-4]: No Local on a shared subscription ends the connection.
                Err(reason @ ReasonCode::ProtocolError) => {
                    self.local.counters.connections_closed_malformed += 1;
                    self.disconnect(number, reason, DetachCause::Lost);
                    return Flow::Stop;
                }
                Err(reason) => {
                    self.local.counters.subscriptions_refused += 1;
                    tracing::debug!(shard = self.id, filter = text, ?reason, "topic filter refused");
                    reasons.push(reason);
                }
            }
        }
        // [MQTT-3.8.4-1]..[MQTT-3.8.4-6]: one SUBACK, a code for each filter, in their order.
        self.answer(number, PacketType::SubAck, subscribe.packet_id, &reasons);
        Flow::Continue
    }

    fn subscribe(
        &mut self,
        session: u32,
        bridge: bool,
        text: &str,
        mut options: SubscriptionOptions,
        id: u32,
    ) -> Result<ReasonCode, ReasonCode> {
        let limits = &self.local.limits;
        let filter = Filter::parse(text, limits.topic_levels_max).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        if filter.share.is_some() && options.no_local {
            return Err(ReasonCode::ProtocolError);
        }
        if filter.share.is_some() && !limits.shared_available {
            return Err(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if filter.has_wildcards && !limits.wildcard_available {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        let entry = self.local.sessions.get_mut(session).ok_or(ReasonCode::UnspecifiedError)?;
        options.maximum_qos = options.maximum_qos.min(limits.maximum_qos);
        if bridge {
            // A bridge of 3.x has no other way to ask for what 5.0 calls No Local and Retain As Published.
            options.no_local = filter.share.is_none();
            options.retain_as_published = true;
        }
        if entry.filters.len() >= limits.subscriptions_max as usize && !self.subscriptions.has(&filter, session) {
            return Err(ReasonCode::QuotaExceeded);
        }
        let retain_available = limits.retain_available;
        let made = self.subscriptions.subscribe(&filter, session, options, id);
        if !made.existed {
            entry.filters.push(made.filter);
            self.local.counters.subscriptions += 1;
        }
        if let Some(announcement) = made.announcement {
            self.announce(announcement);
        }
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !made.existed, // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,         // [MQTT-3.3.1-11]
        };
        // [MQTT-4.8.2]: a shared subscription gets no retained messages when it is made.
        if wants_retained && filter.share.is_none() && retain_available {
            self.start_scan(session, filter.filter, filter.has_wildcards, options, id);
        }
        Ok(match options.maximum_qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        })
    }

    pub(crate) fn take_unsubscribe(&mut self, number: u32, session: u32, unsubscribe: &Unsubscribe<'_>) -> Flow {
        let mut reasons = ReasonCodesBuf::default();
        for text in unsubscribe.filters {
            let removed = Filter::parse(text, self.local.limits.topic_levels_max)
                .ok()
                .and_then(|filter| self.subscriptions.unsubscribe(&filter, session));
            let Some(removed) = removed else {
                reasons.push(ReasonCode::NoSubscriptionExisted);
                continue;
            };
            self.local.counters.subscriptions -= 1;
            if let Some(entry) = self.local.sessions.get_mut(session) {
                entry.filters.retain(|filter| *filter != removed.filter);
            }
            if let Some(announcement) = removed.announcement {
                self.announce(announcement);
            }
            reasons.push(ReasonCode::Success);
        }
        self.answer(number, PacketType::UnsubAck, unsubscribe.packet_id, &reasons);
        Flow::Continue
    }

    /// Sends SUBACK or UNSUBACK, which waits for the mesh if an announcement does.
    fn answer(
        &mut self,
        number: u32,
        packet_type: PacketType,
        packet_id: PacketId,
        reasons: &ReasonCodesBuf,
    ) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.awaits_mesh |= !self.port.congested().is_empty();
        let version = connection.version;
        let ack = SubAck { packet_id, properties: AckProperties::default(), reasons: reasons.as_codes() };
        let packet = if packet_type == PacketType::SubAck { Packet::SubAck(ack) } else { Packet::UnsubAck(ack) };
        if let Some(outbox) = self.local.connections.writable(number, &mut self.local.pool)
            && let Err(error) = codec::encode(&packet, version, outbox.bytes_mut())
        {
            tracing::error!(shard = self.id, "an acknowledgement could not be encoded: {error}");
        }
    }
}
