//! Sending messages when they are due, or as fast as a window allows.

use super::client::Phase;
use super::publisher::{InFlight, Pending, State};
use super::shared::Times;
use super::worker::{ClosedLoop, Worker};
use crate::histogram::Metric;
use crate::payload::Stamp;
use ringtail_mqtt::codec::{PublishHead, encode_ack};
use ringtail_mqtt::packet::{Ack, PacketId, PacketType, QoS};
use ringtail_mqtt::reason::ReasonCode;

/// Messages that one turn makes due: after a stall the loop still has to receive.
const DUE_PER_TURN: usize = 1_024;
/// Messages that one turn of a closed loop sends.
const CLOSED_PER_TURN: usize = 256;
/// Bytes of one send: what is pending beyond goes with the next.
const SEND_BYTES_MAX: usize = 256 << 10;
/// Messages of a worker that may be due and not sent, 16 bytes each; more are dropped and counted.
const PENDING_MAX: u64 = 4_000_000;
/// A closed loop in which nothing arrives for so long gives up what is outstanding.
const STALL_NS: u64 = 1_000_000_000;

impl Worker {
    /// Takes what is due from the schedules and puts it to its clients' pending messages.
    pub(super) fn publish_due(&mut self, now: u64) {
        let since_start = now - self.times.start_ns;
        let until = since_start.min(self.times.end_ns - self.times.start_ns - 1);
        for lot in 0..self.layout.lots.len() {
            for _ in 0..DUE_PER_TURN {
                let lot = &mut self.layout.lots[lot];
                let Some(arrivals) = &mut lot.arrivals else { break };
                if arrivals.peek_ns().is_none_or(|at| at > until) {
                    break;
                }
                let Some(due) = arrivals.take() else { break };
                let at = lot.first + (due.index - lot.share.first) / lot.share.stride;
                self.make_due(at, self.times.start_ns + due.at_ns);
            }
        }
    }

    /// When the next message is due; `None` when no other one is before the load's end.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let next = self.layout.lots.iter().filter_map(|lot| lot.arrivals.as_ref()?.peek_ns()).min()?;
        Some(next.saturating_add(self.times.start_ns)).filter(|at| *at < self.times.end_ns)
    }

    /// Counts what was due before the load's end and can no longer be sent.
    pub(super) fn miss_due(&mut self) {
        if self.setup.closed.is_some() {
            return;
        }
        let Times { start_ns, end_ns, .. } = self.times;
        for arrivals in self.layout.lots.iter_mut().filter_map(|lot| lot.arrivals.as_mut()) {
            while arrivals.peek_ns().is_some_and(|at| at.saturating_add(start_ns) < end_ns) && arrivals.take().is_some()
            {
                self.tally.missed_sends += 1;
            }
        }
    }

    fn make_due(&mut self, at: u32, due_ns: u64) {
        if self.pending >= PENDING_MAX {
            self.tally.missed_sends += 1;
            return;
        }
        let client = &mut self.clients[at as usize];
        let Some(publisher) = &mut client.publisher else { return };
        let held_back = client.phase != Phase::Up || client.sending || !publisher.is_free();
        publisher.pending.push_back(Pending { due_ns, held_back });
        self.pending += 1;
        self.tally.waiting += 1;
        self.tally.held_back += u64::from(held_back);
        if !held_back {
            self.mark(at);
        }
    }

    /// Encodes the pending messages of a client that may send, as many as window and send allow.
    pub(super) fn encode_pending(&mut self, at: u32, now: u64) {
        loop {
            let client = &mut self.clients[at as usize];
            let is_up = client.phase == Phase::Up;
            let Some(publisher) = client.publisher.as_mut().filter(|p| is_up && p.has_room()) else { return };
            if client.out.len() >= SEND_BYTES_MAX {
                return;
            }
            let Some(pending) = publisher.pending.pop_front() else { return };
            self.pending -= 1;
            self.tally.waiting -= 1;
            if !pending.held_back {
                self.handed.push(pending.due_ns);
            }
            self.encode_message(at, pending.due_ns, now);
        }
    }

    /// Encodes a new message of a client into its next send.
    fn encode_message(&mut self, at: u32, due_ns: u64, now: u64) {
        let client = &mut self.clients[at as usize];
        let lot = &self.layout.lots[usize::from(client.group)];
        let Some(publisher) = &mut client.publisher else { return };
        let delay_ns = now.saturating_sub(due_ns);
        let (sequence, packet_id) = publisher.next(due_ns, delay_ns, lot.qos);
        self.tally.published += 1;
        self.tally.published_measured += u64::from(self.times.is_measured(now));
        self.tally.expected += u64::from(publisher.fan_out);
        self.tally.waiting += u64::from(packet_id.is_some());
        self.write_message(at, InFlight { due_ns, delay_ns, sequence, state: State::Sent }, packet_id, false);
    }

    fn write_message(&mut self, at: u32, message: InFlight, packet_id: Option<PacketId>, dup: bool) {
        self.writable(at);
        let client = &mut self.clients[at as usize];
        let group = &self.setup.plan.groups[usize::from(client.group)];
        let lot = &self.layout.lots[usize::from(client.group)];
        let (Some(publish), Some(publisher)) = (&group.publish, &client.publisher) else { return };
        let head = PublishHead {
            dup,
            qos: lot.qos,
            retain: publish.retain,
            topic_name: &publisher.topic,
            packet_id,
            forwarded_properties: &lot.properties,
            message_expiry_interval_s: publish.properties.message_expiry_s,
            topic_alias: None,
            subscription_identifiers: &[],
            payload_bytes: publish.payload_bytes(),
        };
        if let Err(error) = head.encode(lot.version, &mut client.out) {
            self.shared.note_error(|| format!("PUBLISH cannot be made: {error}"));
            return;
        }
        let stamp = Stamp {
            publisher: group.first + client.index,
            sequence: message.sequence,
            due_ns: message.due_ns,
            delay_ns: message.delay_ns,
        };
        stamp.write(self.setup.plan.run, &publish.body, &mut client.out);
    }

    /// Sends what the window of a closed loop allows, publishers in turn.
    pub(super) fn publish_closed(&mut self, closed: ClosedLoop, now: u64) {
        let publishers = self.layout.publishers.len();
        let (mut budget, mut tried) = (CLOSED_PER_TURN, 0);
        let mut room = self.closed_room(closed, now);
        while budget > 0 && tried < publishers && room > 0.0 {
            let at = self.layout.publishers[self.closed_at];
            self.closed_at = (self.closed_at + 1) % publishers;
            let client = &self.clients[at as usize];
            let may_send = client.phase == Phase::Up && client.out.len() < SEND_BYTES_MAX / 4;
            let Some(publisher) = client.publisher.as_ref().filter(|p| may_send && p.has_room()) else {
                tried += 1;
                continue;
            };
            room -= f64::from(publisher.fan_out.max(1));
            self.handed.push(now);
            self.encode_message(at, now, now);
            (budget, tried) = (budget - 1, 0);
        }
    }

    /// Deliveries that may still become outstanding, over all workers. What nobody delivers (QoS 0 that the broker drops)
    /// must not stop the loop for ever: after a second without any arrival it is given up.
    fn closed_room(&mut self, closed: ClosedLoop, now: u64) -> f64 {
        let workers = self.shared.counters.len();
        let total = if workers == 1 { self.tally } else { self.shared.total() };
        let (given_up, received, since) = self.stalled;
        let outstanding = total.expected.saturating_sub(total.received).saturating_sub(given_up) as f64;
        let fan_out = if total.published == 0 { 1.0 } else { total.expected as f64 / total.published as f64 };
        // Publishers without a subscriber are bounded by their windows alone.
        let room = closed.window as f64 * fan_out.max(1.0) - outstanding;
        if received != total.received || room > 0.0 {
            self.stalled = (given_up, total.received, now);
        } else if now - since > STALL_NS {
            self.stalled = (total.expected.saturating_sub(total.received), total.received, now);
        }
        room
    }

    /// PUBACK, PUBREC or PUBCOMP of one of our messages.
    pub(super) fn on_publish_ack(&mut self, at: u32, kind: PacketType, ack: &Ack<'_>, now: u64) {
        let version = self.layout.lots[usize::from(self.clients[at as usize].group)].version;
        let Some(publisher) = &mut self.clients[at as usize].publisher else { return };
        if kind == PacketType::PubRec && !ack.reason.is_error() {
            let known = publisher.received(ack.packet_id);
            let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
            encode_ack(PacketType::PubRel, ack.packet_id, reason, version, self.writable(at)); // [MQTT-4.3.3-4]
            return;
        }
        let Some(message) = publisher.complete(ack.packet_id) else { return };
        self.tally.waiting -= 1;
        if ack.reason.is_error() && kind != PacketType::PubComp {
            self.tally.rejected += 1;
            self.tally.expected -= u64::from(publisher.fan_out);
            publisher.excused.push(message.sequence);
            self.shared.note_error(|| format!("the broker refused a message: {:?}", ack.reason));
        } else if self.times.is_measured(message.due_ns) {
            self.histograms.record(Metric::Acknowledgement, now.saturating_sub(message.due_ns));
        }
        if !publisher.pending.is_empty() {
            self.mark(at);
        }
    }

    /// After a reconnection: sends the window again if there is a session to continue [MQTT-4.4.0-1], or gives it up.
    pub(super) fn resume_window(&mut self, at: u32, session_present: bool) {
        let is_persistent = self.group(at).is_persistent();
        let client = &mut self.clients[at as usize];
        let lot = &self.layout.lots[usize::from(client.group)];
        let (qos, version) = (lot.qos, lot.version);
        let Some(publisher) = client.publisher.as_mut().filter(|p| p.window().next().is_some()) else { return };
        if !is_persistent {
            let before = publisher.waiting() as u64;
            publisher.abandon_window();
            self.tally.waiting -= before - publisher.waiting() as u64;
            return;
        }
        let window: Vec<(PacketId, InFlight)> = publisher.window().collect();
        self.tally.resent += window.len() as u64;
        for (packet_id, message) in window {
            if message.state == State::Released && session_present && qos == QoS::ExactlyOnce {
                encode_ack(PacketType::PubRel, packet_id, ReasonCode::Success, version, self.writable(at));
            } else {
                self.write_message(at, message, Some(packet_id), session_present);
            }
        }
    }
}
