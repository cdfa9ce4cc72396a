//! From received bytes to packets to what they ask for.
//!
//! Packets are decoded where the kernel put them. Only the start of a packet whose end has not come is copied, to the
//! connection, and never more of it than was received.

use crate::shard::connection::Phase;
use crate::shard::mail::Publisher;
use crate::shard::publish::Origin;
use crate::shard::{Core, Request};
use ringtail_mqtt::codec::{self, DecodeError, Frame};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::{Packet, PacketId, PacketType, QoS};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{Action, DetachCause, Inbound};

/// The largest CONNECT: five fields of 64 KiB each (client id, will topic, will message, user name, password), and as much
/// again for properties.
const CONNECT_BYTES_MAX: u32 = 640 << 10;

/// The largest packet of a client other than PUBLISH: what it asks for is done in one turn, so a SUBSCRIBE with 10,000 filters
/// of 25 characters is as large as one may be.
const CONTROL_BYTES_MAX: u32 = 256 << 10;

/// How many clients are sent what a client's packets brought them before that client is answered. A send of a small message
/// takes microseconds, and where there are thousands of subscribers the publisher must not wait for all of them.
const SERVED_BEFORE_MAX: usize = 8;

/// Whether the bytes behind a packet are to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Stop,
}

impl Core {
    /// Handles what was received on a connection.
    pub(crate) fn take_bytes(&mut self, number: u32, bytes: &[u8]) {
        self.local.counters.receives += 1;
        self.answering(number, |core| core.take_received(number, bytes));
    }

    /// Goes on with what a connection that was held had sent.
    pub(crate) fn resume(&mut self, number: u32) {
        self.answering(number, |core| {
            let Some(connection) = core.local.connections.get_mut(number) else { return };
            core.requests.push(Request::Receive(number));
            let partial = std::mem::take(&mut connection.partial);
            core.take_packets(number, &partial);
        });
    }

    /// Handles packets of a client and has its answers sent. They leave after what the packets had the shard's other clients be
    /// told, at least the first of these: a subscriber should not wait for the acknowledgement of what it waits for.
    fn answering(&mut self, number: u32, handle: impl FnOnce(&mut Self)) {
        let before = self.local.connections.dirty.len();
        handle(self);
        self.local.connections.mark_dirty_at(number, before + SERVED_BEFORE_MAX);
    }

    fn take_received(&mut self, number: u32, mut bytes: &[u8]) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        if connection.phase == Phase::Connecting {
            connection.receiving = false; // before CONNECT each receive is asked for
        }
        if connection.held {
            connection.partial.extend_from_slice(bytes);
            return;
        }
        if !connection.partial.is_empty() {
            let mut partial = std::mem::take(&mut connection.partial);
            let whole = match complete(&mut partial, &mut bytes, (connection.phase, &self.local.limits)) {
                Ok(whole) => whole,
                Err(error) => return self.refuse_bytes(number, &error, &partial),
            };
            if !whole {
                connection.partial = partial;
                return self.read_on(number);
            }
            // A CONNECT may move to another shard with all that follows it, so it is handled with what follows it.
            if connection.phase == Phase::Connecting {
                partial.extend_from_slice(bytes);
                bytes = &[];
            }
            if self.take_packets(number, &partial) == Flow::Stop {
                return;
            }
        }
        if self.take_packets(number, bytes) == Flow::Stop {
            return;
        }
        self.read_on(number);
        self.hold_for_own_answers(number);
    }

    /// Keeps reading a connection whose CONNECT has not come whole: it is read one receive at a time.
    fn read_on(&mut self, number: u32) {
        if let Some(connection) = self.local.connections.get(number)
            && connection.phase == Phase::Connecting
            && !connection.receiving
        {
            self.requests.push(Request::Receive(number));
        }
    }

    /// Handles the packets at the front of `bytes` and keeps the rest on the connection.
    fn take_packets(&mut self, number: u32, bytes: &[u8]) -> Flow {
        let mut offset = 0;
        loop {
            let rest = &bytes[offset..];
            let Some(connection) = self.local.connections.get_mut(number) else { return Flow::Stop };
            let (phase, version) = (connection.phase, connection.version);
            if phase != Phase::Connecting && phase != Phase::Live {
                return Flow::Stop;
            }
            if connection.held {
                // What came before the socket was left alone waits until the connection is let go.
                connection.partial.extend_from_slice(rest);
                return Flow::Continue;
            }
            let total = match codec::frame(rest, bytes_max(phase, rest, &self.local.limits)) {
                Ok(Frame::Complete { total_bytes, .. }) => total_bytes,
                Ok(Frame::Incomplete { .. }) => {
                    connection.partial.extend_from_slice(rest);
                    return Flow::Continue;
                }
                Err(error) => {
                    self.refuse_bytes(number, &error, rest);
                    return Flow::Stop;
                }
            };
            let packet = match codec::decode(&rest[..total], version) {
                Ok(packet) => packet,
                Err(error) => {
                    self.refuse_bytes(number, &error, rest);
                    return Flow::Stop;
                }
            };
            if phase == Phase::Live && self.hold_before(number, &packet) {
                continue; // held now: it is kept with what follows it
            }
            self.local.counters.packets_received += 1;
            let flow = match (phase, &packet) {
                (Phase::Live, _) => self.take_packet(number, &packet),
                (_, packet) if self.is_authenticating(number) => self.take_before_connack(number, packet),
                (_, Packet::Connect(connect)) => self.take_connect(number, connect, rest),
                // [MQTT-3.1.0-1]: the first packet must be a CONNECT; there is nobody to tell why.
                _ => {
                    self.local.counters.connections_closed_malformed += 1;
                    self.drain(number);
                    Flow::Stop
                }
            };
            if flow == Flow::Stop {
                return Flow::Stop;
            }
            offset += total;
        }
    }

    /// One packet of a live connection.
    #[inline(always)] // the loop over packets is the one that calls it
    fn take_packet(&mut self, number: u32, packet: &Packet<'_>) -> Flow {
        let now = self.local.now;
        let Some(connection) = self.local.connections.get(number) else { return Flow::Stop };
        let (session, serial) = (connection.session, connection.serial);
        let Self { local, .. } = self;
        let Some(entry) = local.sessions.get_mut(session) else { return Flow::Stop };
        let Some(outbox) = local.connections.answers(number, &mut local.pool) else { return Flow::Stop };
        match entry.session.receive(packet, &local.limits, now, outbox) {
            Action::None => {
                self.local.note_progress(session);
                Flow::Continue
            }
            Action::Publish(inbound) => self.take_publish((number, serial), session, &inbound),
            Action::Refused(reason) => {
                tracing::debug!(shard = self.id, ?reason, "PUBLISH refused");
                self.local.counters.publish_refused += 1;
                Flow::Continue
            }
            Action::Subscribe(subscribe) => self.take_subscribe(number, session, &subscribe),
            Action::Unsubscribe(unsubscribe) => self.take_unsubscribe(number, session, &unsubscribe),
            Action::Pump => {
                self.local.pump(session);
                self.local.note_progress(session);
                self.wake_scan(session);
                Flow::Continue
            }
            Action::Auth(auth) => self.take_auth(number, auth),
            Action::Disconnect { with_will, .. } => {
                self.local.counters.connections_closed_by_client += 1;
                self.detach(number, DetachCause::ClientDisconnect { with_will });
                if let Some(connection) = self.local.connections.get_mut(number) {
                    connection.over = true;
                }
                self.drain(number);
                Flow::Stop
            }
            Action::Close(reason) => {
                self.local.counters.connections_closed_malformed += 1;
                self.disconnect(number, reason, DetachCause::Lost);
                Flow::Stop
            }
        }
    }

    /// A PUBLISH that the session accepted: route it, then acknowledge it.
    fn take_publish(&mut self, (number, serial): (u32, u32), session: u32, inbound: &Inbound<'_>) -> Flow {
        self.local.counters.publish_received += 1;
        let message = inbound.message();
        self.local.counters.publish_received_bytes += message.payload.len() as u64;
        let ask = self.ask_for(inbound);
        let packet_id = inbound.packet_id;
        let publisher = Publisher { shard: self.id, connection: number, serial, packet_id, ask };
        let attempt = self.local.attempt(session, inbound);
        let origin = Origin { publisher, session, attempt };
        let routed = self.publish(&message, Some(&origin));
        if let Some(packet_id) = inbound.packet_id {
            // [MQTT-3.4.2-1]: an acknowledgement may say that nobody was there to receive the message.
            let reason = if routed { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
            let reason = match self.keep_promise(number, session, packet_id, inbound.qos) {
                Ok(()) if self.await_verdict(number, inbound, &origin, reason) => {
                    self.hold_for_full(number);
                    return Flow::Continue;
                }
                Ok(()) => reason,
                Err(refusal) if self.can_refuse(number) => refusal,
                Err(refusal) => {
                    self.refuse_publisher(number, refusal);
                    return Flow::Stop;
                }
            };
            self.acknowledge(number, packet_id, inbound.qos, reason);
        }
        self.hold_for_full(number);
        Flow::Continue
    }

    fn acknowledge(&mut self, number: u32, packet_id: PacketId, qos: QoS, reason: ReasonCode) {
        if let Some((entry, outbox)) = self.local.answers(number) {
            entry.session.accept(packet_id, qos, reason, outbox);
        }
    }

    /// Ends a connection because of its bytes: with the reason, where the protocol has a place for it.
    fn refuse_bytes(&mut self, number: u32, error: &DecodeError, bytes: &[u8]) {
        let Some(connection) = self.local.connections.get(number) else { return };
        tracing::debug!(shard = self.id, peer = %connection.peer, "closed: {error}");
        self.local.counters.connections_closed_malformed += 1;
        if connection.phase == Phase::Live {
            self.disconnect(number, ReasonCode::from(error), DetachCause::Lost);
        } else {
            self.refuse_first_bytes(number, error, bytes);
        }
    }
}

/// The largest packet that is accepted at the front of `bytes`: a client that has not said who it is may not have the server
/// keep much for it, and only a PUBLISH carries what may be large.
fn bytes_max(phase: Phase, bytes: &[u8], limits: &Limits) -> u32 {
    let packet_type = bytes.first().and_then(|byte| PacketType::from_first_byte(*byte));
    let most = match (phase, packet_type) {
        (Phase::Live, Some(PacketType::Publish)) => u32::MAX,
        (Phase::Live, _) => CONTROL_BYTES_MAX,
        _ => CONNECT_BYTES_MAX,
    };
    limits.packet_bytes_max.min(most)
}

/// Moves from `bytes` to `partial` what its first packet lacks. True when that packet is whole.
fn complete(partial: &mut Vec<u8>, bytes: &mut &[u8], (phase, limits): (Phase, &Limits)) -> Result<bool, DecodeError> {
    while let Frame::Incomplete { needed_bytes } = codec::frame(partial, bytes_max(phase, partial, limits))? {
        if bytes.is_empty() {
            return Ok(false);
        }
        let missing = needed_bytes.saturating_sub(partial.len()).clamp(1, bytes.len());
        let (head, tail) = bytes.split_at(missing);
        partial.extend_from_slice(head);
        *bytes = tail;
    }
    Ok(true)
}
