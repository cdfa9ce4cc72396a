//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! The order that makes a subscription hold from its SUBACK on, on every shard: the announcement goes into every
//! neighbour's ring before the SUBACK is sent (a turn publishes its rings before it submits its sends, and keeps a SUBACK
//! back whose announcement waits in an overflow). Whoever publishes because of that SUBACK is read by a neighbour
//! afterwards, and a neighbour drains its rings between reading its sockets and handling what it read.

use crate::routing::{Announcement, Subscriber};
use crate::shard::Core;
use crate::shard::inbound::Flow;
use crate::shard::sessions::Membership;
use ringtail_mqtt::codec::{self, ReasonCodesBuf};
use ringtail_mqtt::packet::{
    AckProperties, Packet, PacketId, PacketType, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    Unsubscribe,
};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::DetachCause;
use ringtail_mqtt::topic::Filter;
use std::collections::HashSet;

/// Filters of one SUBSCRIBE that are looked at, since it is handled in one turn: some milliseconds. The others are refused.
const FILTERS_MAX: usize = 8_192;

impl Core {
    pub(crate) fn take_subscribe(&mut self, number: u32, session: u32, subscribe: &Subscribe<'_>) -> Flow {
        let id = subscribe.subscription_identifier.map_or(0, std::num::NonZeroU32::get);
        let bridge = self.local.connections.get(number).is_some_and(|c| c.bridge);
        let mut reasons = ReasonCodesBuf::default();
        for (position, (text, options)) in subscribe.filters.into_iter().enumerate() {
            if position >= FILTERS_MAX {
                self.local.counters.subscriptions_refused += 1;
                reasons.push(ReasonCode::QuotaExceeded);
                continue;
            }
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
        self.await_retained(number, session);
        self.hold_for_mesh(number);
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
        let full = entry.memberships.len() >= limits.subscriptions_max as usize;
        let retain_available = limits.retain_available;
        if full && !self.has_subscription(&filter, session) {
            return Err(ReasonCode::QuotaExceeded);
        }
        self.keep_subscription(session, text, options, id)?;
        let existed = match filter.share {
            Some(share) => self.join(share, filter.filter, session, options, id),
            None => self.add_filter(filter.filter, session, options, id),
        };
        let wants_retained = match options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !existed, // [MQTT-3.3.1-10]
            RetainHandling::DoNotSend => false,    // [MQTT-3.3.1-11]
        };
        // [MQTT-4.8.2]: a shared subscription gets no retained messages when it is made.
        if wants_retained && filter.share.is_none() && retain_available {
            self.start_scan(session, filter.filter, filter.has_wildcards);
        }
        Ok(match options.maximum_qos {
            QoS::AtMostOnce => ReasonCode::Success,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        })
    }

    pub(crate) fn take_unsubscribe(&mut self, number: u32, session: u32, unsubscribe: &Unsubscribe<'_>) -> Flow {
        let mut removed = HashSet::new();
        let mut reasons = ReasonCodesBuf::default();
        for text in unsubscribe.filters {
            let filter = Filter::parse(text, self.local.limits.topic_levels_max).ok();
            let Some(membership) = filter.and_then(|filter| self.unsubscribe(&filter, session)) else {
                reasons.push(ReasonCode::NoSubscriptionExisted);
                continue;
            };
            removed.insert(membership);
            reasons.push(ReasonCode::Success);
            self.forget_subscription(session, text);
        }
        if let Some(entry) = self.local.sessions.get_mut(session) {
            entry.memberships.retain(|membership| !removed.contains(membership));
        }
        self.answer(number, PacketType::UnsubAck, unsubscribe.packet_id, &reasons);
        self.hold_for_mesh(number);
        Flow::Continue
    }

    fn has_subscription(&self, filter: &Filter<'_>, session: u32) -> bool {
        match filter.share {
            Some(share) => {
                self.shared.find(share, filter.filter).is_some_and(|group| self.shared.member(group, session).is_some())
            }
            None => self.subscriptions.contains(filter.filter, session),
        }
    }

    /// An ordinary subscription; true when it replaced one [MQTT-3.8.4-3].
    fn add_filter(&mut self, filter: &str, session: u32, options: SubscriptionOptions, id: u32) -> bool {
        let made = self.subscriptions.subscribe(filter, session, options, id);
        if !made.existed {
            self.remember(session, Membership::Filter(made.filter));
        }
        if made.announce {
            self.announce(Announcement::Add(filter.into()));
        }
        made.existed
    }

    /// A membership of a shared subscription; true when it replaced one.
    fn join(&mut self, share: &str, filter: &str, session: u32, options: SubscriptionOptions, id: u32) -> bool {
        let subscriber = Subscriber { session, options: options.into(), subscription_id: id };
        let joined = self.shared.join(share, filter, true, subscriber);
        if !joined.existed {
            self.remember(session, Membership::Group(joined.group));
        }
        if let Some(announcement) = joined.announcement {
            self.announce(announcement);
        }
        joined.existed
    }

    pub(crate) fn remember(&mut self, session: u32, membership: Membership) {
        self.local.counters.subscriptions += 1;
        if let Some(entry) = self.local.sessions.get_mut(session) {
            // Most sessions have one subscription, and there are many sessions.
            if entry.memberships.is_empty() {
                entry.memberships.reserve_exact(1);
            }
            entry.memberships.push(membership);
        }
    }

    /// Ends a subscription in the router; its membership is the caller's to forget.
    fn unsubscribe(&mut self, filter: &Filter<'_>, session: u32) -> Option<Membership> {
        let (membership, announcement) = match filter.share {
            Some(share) => {
                let group = self.shared.find(share, filter.filter)?;
                (Membership::Group(group), Some(self.shared.leave(group, session)?))
            }
            None => {
                let removed = self.subscriptions.unsubscribe(filter.filter, session)?;
                self.scans.forget_filter(session, removed.filter); // [MQTT-3.10.4-2]
                let announcement = removed.announce.then(|| Announcement::Remove(filter.filter.into()));
                (Membership::Filter(removed.filter), announcement)
            }
        };
        self.local.counters.subscriptions -= 1;
        announcement.into_iter().for_each(|announcement| self.announce(announcement));
        Some(membership)
    }

    /// Sends SUBACK or UNSUBACK, which waits for the mesh if an announcement does.
    fn answer(&mut self, number: u32, packet_type: PacketType, packet_id: PacketId, reasons: &ReasonCodesBuf) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.awaits_mesh |= !self.port.congested().is_empty() || !self.changed_groups.is_empty();
        let Some((entry, outbox)) = self.local.live(number) else { return };
        let (version, bytes) = (entry.session.version(), outbox.bytes_mut());
        let start = bytes.len();
        // The first refusal is explained, if the client wants that [MQTT-3.1.2-29] and takes a packet of this size
        // [MQTT-3.9.2-1], [MQTT-3.11.2-1].
        let refusal = reasons.as_codes().iter().find(|reason| reason.is_error());
        let refusal = refusal.filter(|_| entry.session.wants_problem_information());
        for reason_string in [refusal.map(ReasonCode::explanation), None] {
            let properties = AckProperties { reason_string, ..AckProperties::default() };
            let ack = SubAck { packet_id, properties, reasons: reasons.as_codes() };
            let packet = if packet_type == PacketType::SubAck { Packet::SubAck(ack) } else { Packet::UnsubAck(ack) };
            if let Err(error) = codec::encode(&packet, version, bytes) {
                tracing::error!(shard = self.id, "an acknowledgement could not be encoded: {error}");
            }
            if reason_string.is_none() || bytes.len() - start <= entry.session.maximum_packet_size_bytes() as usize {
                return;
            }
            bytes.truncate(start);
        }
    }
}
