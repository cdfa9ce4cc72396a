//! From bytes to packets to deliveries that are checked and timed.

use super::client::Phase;
use super::worker::Worker;
use crate::delivery::Arrival;
use crate::histogram::Metric;
use crate::payload::Stamp;
use ringtail_mqtt::codec::{self, Frame, PACKET_BYTES_MAX, encode_ack};
use ringtail_mqtt::packet::{Packet, PacketType, Publish, QoS};
use ringtail_mqtt::reason::ReasonCode;

impl Worker {
    /// Handles bytes of a client's connection, by way of its transport.
    pub(super) fn on_bytes(&mut self, at: u32, bytes: &[u8], now: u64) {
        let Some(transport) = &mut self.clients[at as usize].transport else { return self.on_plain(at, bytes, now) };
        let mut plain = std::mem::take(&mut self.plain);
        let result = transport.receive(bytes, &mut plain);
        if transport.has_more() {
            self.mark(at);
        }
        self.on_plain(at, &plain, now);
        plain.clear();
        self.plain = plain;
        if let Err(why) = result {
            self.on_ended(at, &why);
        }
    }

    /// Handles bytes of MQTT.
    fn on_plain(&mut self, at: u32, bytes: &[u8], now: u64) {
        let client = &mut self.clients[at as usize];
        if client.partial.is_empty() {
            let used = self.on_packets(at, bytes, now);
            if used < bytes.len() && self.clients[at as usize].phase != Phase::Closing {
                self.clients[at as usize].partial.extend_from_slice(&bytes[used..]);
            }
            return;
        }
        let mut partial = std::mem::take(&mut client.partial);
        partial.extend_from_slice(bytes);
        let used = self.on_packets(at, &partial, now);
        if self.clients[at as usize].phase != Phase::Closing && used < partial.len() {
            partial.drain(..used);
            self.clients[at as usize].partial = partial;
        }
    }

    /// Handles the whole packets at the start of `bytes` and returns how many bytes they are.
    fn on_packets(&mut self, at: u32, bytes: &[u8], now: u64) -> usize {
        let version = self.layout.lots[usize::from(self.clients[at as usize].group)].version;
        let mut used = 0;
        while used < bytes.len() && self.clients[at as usize].phase != Phase::Closing {
            let packet = match codec::frame(&bytes[used..], PACKET_BYTES_MAX as u32) {
                Ok(Frame::Incomplete { needed_bytes }) => {
                    self.expect_bytes(at, needed_bytes);
                    return used;
                }
                Ok(Frame::Complete { total_bytes, .. }) => {
                    used += total_bytes;
                    codec::decode(&bytes[used - total_bytes..used], version)
                }
                Err(error) => Err(error),
            };
            match packet {
                Ok(packet) => self.on_packet(at, &packet, now),
                Err(error) => self.on_ended(at, &format!("it sent a malformed packet ({error})")),
            }
        }
        used
    }

    /// Makes room for a large packet at once, instead of growing with every piece.
    fn expect_bytes(&mut self, at: u32, needed_bytes: usize) {
        const PIECE_BYTES: usize = 16 << 10;
        let partial = &mut self.clients[at as usize].partial;
        if needed_bytes > PIECE_BYTES && partial.capacity() == 0 {
            partial.reserve_exact(needed_bytes);
        }
    }

    fn on_packet(&mut self, at: u32, packet: &Packet<'_>, now: u64) {
        match packet {
            Packet::Publish(publish) => self.on_publish(at, publish, now),
            Packet::PubAck(ack) => self.on_publish_ack(at, PacketType::PubAck, ack, now),
            Packet::PubRec(ack) => self.on_publish_ack(at, PacketType::PubRec, ack, now),
            Packet::PubComp(ack) => self.on_publish_ack(at, PacketType::PubComp, ack, now),
            Packet::PubRel(ack) => {
                if let Some(subscriber) = &mut self.clients[at as usize].subscriber {
                    subscriber.unreleased.remove(ack.packet_id.get());
                }
                self.acknowledge(at, PacketType::PubComp, ack.packet_id); // [MQTT-4.3.3-11]
            }
            Packet::ConnAck(connack) => self.on_connack(at, connack, now),
            Packet::SubAck(suback) => self.on_suback(at, suback, now),
            Packet::Disconnect(disconnect) => {
                self.on_ended(at, &format!("the broker sent DISCONNECT ({:?})", disconnect.reason));
            }
            Packet::PingResp | Packet::UnsubAck(_) | Packet::Auth(_) => {}
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                self.on_ended(at, &format!("it sent a {:?}, which only clients send", packet.packet_type()));
            }
        }
    }

    fn acknowledge(&mut self, at: u32, kind: PacketType, packet_id: ringtail_mqtt::packet::PacketId) {
        let version = self.layout.lots[usize::from(self.clients[at as usize].group)].version;
        encode_ack(kind, packet_id, ReasonCode::Success, version, self.writable(at));
    }

    fn on_publish(&mut self, at: u32, publish: &Publish<'_>, now: u64) {
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(packet_id)) => self.acknowledge(at, PacketType::PubAck, packet_id), // [MQTT-4.3.2-4]
            (QoS::ExactlyOnce, Some(packet_id)) => {
                self.acknowledge(at, PacketType::PubRec, packet_id); // [MQTT-4.3.3-8]
                let subscriber = self.clients[at as usize].subscriber.get_or_insert_default();
                if !subscriber.unreleased.insert(packet_id.get()) {
                    return; // sent again before PUBREL: the same delivery [MQTT-4.3.3-10]
                }
            }
            _ => {}
        }
        self.tally.delivered += 1;
        self.tally.delivered_measured += u64::from(self.times.is_measured(now));
        match Stamp::read(self.setup.plan.run, publish.payload) {
            Some(stamp) => self.on_stamp(at, stamp, publish.retain, now),
            None => self.tally.corrupted += 1,
        }
    }

    fn on_stamp(&mut self, at: u32, stamp: Stamp, retain: bool, now: u64) {
        let Some(arrival) = self.check(at, stamp) else {
            self.tally.unexpected += 1;
            return;
        };
        if arrival == Arrival::Duplicate {
            return;
        }
        self.tally.received += 1;
        let returned_ns = self.clients[at as usize].subscriber.as_ref().map_or(0, |s| s.returned_ns);
        if retain || stamp.due_ns < returned_ns {
            self.histograms.record(Metric::CatchUp, now.saturating_sub(returned_ns));
        } else if self.times.is_measured(stamp.due_ns) {
            let latency = now.saturating_sub(stamp.due_ns);
            self.histograms.record(Metric::Latency, latency);
            self.histograms.record(Metric::Uncorrected, latency.saturating_sub(stamp.delay_ns));
        }
    }

    /// Notes the arrival with the receiver that expects it; `None` when none does.
    fn check(&mut self, at: u32, stamp: Stamp) -> Option<Arrival> {
        let subscriber = self.clients[at as usize].subscriber.as_mut()?;
        let mut found = None;
        for receiver in &subscriber.receivers {
            let Some(tracker) = self.layout.receivers[*receiver as usize].find(stamp.publisher) else { continue };
            let is_last = subscriber.receivers.len() == 1;
            if !is_last && tracker.has(stamp.sequence) {
                // Another receiver of this client may wait for its own copy; if none does, this is a duplicate.
                found = Some(*receiver);
                continue;
            }
            found = Some(*receiver);
            break;
        }
        let tracker = self.layout.receivers[found? as usize].find(stamp.publisher)?;
        let arrival = tracker.arrive(stamp.sequence);
        if tracker.is_shared() && arrival != Arrival::Duplicate {
            let last = subscriber.last_shared.entry(stamp.publisher).or_insert(stamp.sequence);
            if stamp.sequence < *last {
                tracker.note_reordered_member();
            }
            *last = stamp.sequence.max(*last);
        }
        Some(arrival)
    }
}
