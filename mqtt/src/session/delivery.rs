//! A message of the router's for this client: sent, queued, or dropped for a reason.

use super::Session;
use super::kept::{Kept, awaiting};
use super::outgoing::{Outgoing, ShapeOf, append_payload, remaining_expiry_s};
use super::progress::Progress;
use super::pump::{write_aliased, write_head};
use crate::codec::PublishHead;
use crate::limits::Limits;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::packet::{PacketId, QoS};
use crate::time::Millis;
use std::rc::Rc;

/// How a message goes to one subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliverOptions<'a> {
    /// The lower of the message's QoS and the subscription's [MQTT-3.8.4-8].
    pub qos: QoS,
    /// The RETAIN flag that the subscriber sees [MQTT-3.3.1-12], [MQTT-3.3.1-13].
    pub retain: bool,
    /// The Subscription Identifiers of the subscriptions that matched [MQTT-3.3.4-3]; 3.x clients get none.
    pub subscription_ids: &'a [u32],
}

/// What became of a message. The sequence numbers are those of [`Progress`]; 0 for QoS 0, which is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivered {
    /// It is in the outbox.
    Sent {
        /// The number of the message.
        sequence: u64,
    },
    /// It waits for the client, the window or the outbox.
    Queued {
        /// The number of the message.
        sequence: u64,
        /// Older messages that were dropped to make room.
        evicted: u32,
    },
    /// The client will not get it.
    Dropped(DropReason),
}

/// Why a client does not get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue has no room for it, and the policy keeps the older ones.
    QueueFull,
    /// QoS 0, and too many bytes wait for the connection.
    OutboxFull,
    /// Larger than the client accepts [MQTT-3.1.2-25].
    PacketTooLarge,
    /// Its Message Expiry Interval has passed [MQTT-3.3.2-5].
    Expired,
    /// QoS 0 or a session that ends with its connection, and the client is not there.
    Offline,
}

impl Session {
    /// Sends or queues a message. What has QoS 1 or 2 never overtakes what waits [MQTT-4.6.0-5], [MQTT-4.6.0-6].
    pub fn deliver(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        options: &DeliverOptions<'_>,
        limits: &Limits,
        now: Millis,
        out: &mut Outbox,
    ) -> Delivered {
        if outgoing.message().expires_at <= now {
            return Delivered::Dropped(DropReason::Expired);
        }
        let room = out.len_bytes() < limits.outbox_bytes_max;
        if options.qos > QoS::AtMostOnce {
            return self.deliver_acknowledged(outgoing, options, limits, now, room, out);
        }
        if !self.connected {
            return Delivered::Dropped(DropReason::Offline);
        }
        if !room {
            return Delivered::Dropped(DropReason::OutboxFull);
        }
        if self.write_outgoing(outgoing, options, None, now, out) {
            Delivered::Sent { sequence: 0 }
        } else {
            Delivered::Dropped(DropReason::PacketTooLarge)
        }
    }

    fn deliver_acknowledged(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        options: &DeliverOptions<'_>,
        limits: &Limits,
        now: Millis,
        room: bool,
        out: &mut Outbox,
    ) -> Delivered {
        let transient = self.is_transient();
        let sequence = self.next_sequence;
        if !(self.connected && room && self.window_has_room()) {
            if !self.connected && transient {
                return Delivered::Dropped(DropReason::Offline);
            }
            let kept = self.keep(Some(Rc::clone(outgoing.shared())), options);
            return match self.enqueue(kept, limits, now) {
                Some(evicted) => Delivered::Queued { sequence, evicted },
                None => Delivered::Dropped(DropReason::QueueFull),
            };
        }
        let packet_id = self.window.next_id(); // not in use [MQTT-2.2.1-4]
        if !self.write_outgoing(outgoing, options, Some(packet_id), now, out) {
            return Delivered::Dropped(DropReason::PacketTooLarge);
        }
        // Only another connection of the same session can ask for the message again [MQTT-4.4.0-1].
        let message = (!transient).then(|| Rc::clone(outgoing.shared()));
        let kept = self.keep(message, options);
        self.window.push(kept);
        self.record(|_| Progress::Sent { sequence, packet_id });
        Delivered::Sent { sequence }
    }

    fn keep(&mut self, message: Option<Rc<Message>>, options: &DeliverOptions<'_>) -> Kept {
        let sequence_low = self.next_sequence as u32;
        self.next_sequence += 1;
        Kept {
            message,
            subscription_ids: options.subscription_ids.into(),
            sequence_low,
            state: awaiting(options.qos),
            retain: options.retain,
            counted: false,
        }
    }

    /// Queues an entry: how many older ones had to leave, or `None` if it was not queued.
    pub(super) fn enqueue(&mut self, kept: Kept, limits: &Limits, now: Millis) -> Option<u32> {
        let mut evicted = 0;
        let mut queue = self.queue.take().unwrap_or_default();
        let pushed = queue.push(kept, limits, now, |oldest| {
            evicted += 1;
            let sequence_low = oldest.sequence_low;
            self.record(|session| Progress::Done { sequence: session.sequence(sequence_low) });
        });
        self.queue = (!queue.is_empty()).then_some(queue);
        pushed.is_ok().then_some(evicted)
    }

    /// Appends a PUBLISH; false if it is too large for the client.
    #[inline]
    fn write_outgoing(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        options: &DeliverOptions<'_>,
        packet_id: Option<PacketId>,
        now: Millis,
        out: &mut Outbox,
    ) -> bool {
        if self.extras.is_none() && options.subscription_ids.is_empty() {
            let shape = ShapeOf { qos: options.qos, retain: options.retain, packet_id };
            return outgoing.write(shape, &self.client(), now, out);
        }
        self.write_apart(outgoing, options, packet_id, now, out)
    }

    /// Appends a PUBLISH that is this client's alone: with Subscription Identifiers or a Topic Alias.
    #[inline(never)]
    fn write_apart(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        options: &DeliverOptions<'_>,
        packet_id: Option<PacketId>,
        now: Millis,
        out: &mut Outbox,
    ) -> bool {
        let client = self.client();
        let DeliverOptions { qos, retain, subscription_ids } = *options;
        let message = outgoing.message();
        let head = PublishHead {
            dup: false,
            qos,
            retain,
            topic_name: message.topic_name,
            packet_id,
            forwarded_properties: message.properties,
            message_expiry_interval_s: remaining_expiry_s(&message, now),
            topic_alias: None,
            subscription_identifiers: subscription_ids,
            payload_bytes: message.payload.len(),
        };
        let aliases = self.extras.as_mut().and_then(|extras| extras.outbound_aliases.as_mut());
        let written = match aliases {
            Some(aliases) => write_aliased(head, outgoing.topic_hash(), aliases, &client, out),
            None => write_head(&head, &client, out),
        };
        if written {
            append_payload(message.payload, || outgoing.shared(), out);
        }
        written
    }
}
