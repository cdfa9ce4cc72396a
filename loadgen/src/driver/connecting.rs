//! From nothing to a client that is connected and subscribed, and back.

use super::client::Phase;
use super::worker::Worker;
use crate::scenario::plan::Group;
use crate::target::Address;
use ringtail_mqtt::codec::{self, EncodeError, SubscribeFiltersBuf};
use ringtail_mqtt::packet::{
    ConnAck, Connect, Packet, PacketId, Properties, ProtocolVersion, QoS, ReasonPacket, SubAck, Subscribe,
    SubscriptionOptions, UserProperties,
};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_shards::wire::{SendBuffer, Slot};
use std::cmp::Reverse;
use std::io;
use std::net::SocketAddr;

use crate::histogram::Metric;

/// The wait after the first failure of a connection; it doubles up to 64 times as much.
const RETRY_NS: u64 = 20_000_000;
const RETRY_DOUBLINGS_MAX: u8 = 6;
/// Connections that one turn begins: the rest of the loop has to go on during a storm.
const BEGINS_PER_TURN: usize = 64;

/// Connections of a worker that close at a time in the teardown.
const CLOSING_MAX: u32 = 256;
/// A teardown in which nothing moves for so long is over.
const TEARDOWN_STALL_NS: u64 = 3_000_000_000;

/// How far the teardown is.
#[derive(Debug, Default)]
pub(super) struct Teardown {
    has_begun: bool,
    /// Who goes next.
    next: u32,
    /// Connections that are being closed, now or ever.
    closing: u32,
    /// Where it stood when it moved last, and when that was.
    seen: (u32, u64),
    moved_ns: u64,
}

impl Worker {
    /// Begins the connections that are due: first ones and those that try again.
    pub(super) fn advance_ramp(&mut self, now: u64) {
        for _ in 0..BEGINS_PER_TURN {
            let Some(at) = self.ramp.next(now, self.under_way) else { break };
            self.begin_connect(at, now);
        }
        while let Some(Reverse((due, at))) = self.retries.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            if self.under_way >= self.ramp.under_way_max {
                break;
            }
            debug_assert!(due <= now);
            self.retries.pop();
            let client = &self.clients[at as usize];
            if client.wanted && client.phase == Phase::Offline {
                self.begin_connect(at, now);
            }
        }
    }

    /// Begins a connection of a client that has none.
    pub(super) fn begin_connect(&mut self, at: u32, now: u64) {
        let sources = &self.setup.sources;
        let bind = match sources.len() {
            0 => None,
            n => {
                let number = self.group(at).first + self.clients[at as usize].index;
                Some(SocketAddr::new(sources[number as usize % n], 0))
            }
        };
        let client = &mut self.clients[at as usize];
        (client.phase, client.began_ns) = (Phase::Connecting, now);
        self.under_way += 1;
        self.tally.open += 1;
        match &self.setup.address {
            Address::Ip(address) => self.wire.connect(*address, bind, at),
            Address::Unix(path) => self.wire.connect_unix(path, at),
        }
    }

    pub(super) fn on_connected(&mut self, at: u32, result: io::Result<Slot>, now: u64) {
        match result {
            Ok(slot) => {
                let client = &mut self.clients[at as usize];
                client.slot = Some(slot);
                self.wire.receive(slot, at);
                if !client.wanted {
                    self.close_now(at);
                    return;
                }
                client.phase = Phase::AwaitConnAck;
                if let Err(error) = self.open(at) {
                    self.shared.note_error(|| error);
                    self.close_now(at);
                }
            }
            Err(error) => {
                self.tally.failed += 1;
                self.tally.open -= 1;
                self.under_way -= 1;
                self.shared.note_error(|| format!("a connection failed: {error}"));
                self.clients[at as usize].phase = Phase::Offline;
                self.try_again(at, now);
            }
        }
    }

    /// Opens the transport, and says CONNECT.
    fn open(&mut self, at: u32) -> Result<(), String> {
        let group = &self.setup.plan.groups[usize::from(self.clients[at as usize].group)];
        let values = group.values(self.clients[at as usize].index, self.setup.plan.run);
        let seed = self.setup.clock.now_ns() ^ u64::from(at) << 40;
        self.clients[at as usize].transport = self.setup.transports.open(values, seed)?;
        self.send_connect(at).map_err(|error| format!("CONNECT cannot be made: {error}"))
    }

    fn send_connect(&mut self, at: u32) -> Result<(), EncodeError> {
        let group = &self.setup.plan.groups[usize::from(self.clients[at as usize].group)];
        let values = group.values(self.clients[at as usize].index, self.setup.plan.run);
        let (client_id, username) = (group.client_id.fill(values), group.username.as_ref().map(|u| u.fill(values)));
        let password = group.password.as_ref().map(|p| p.fill(values));
        let version = self.layout.lots[usize::from(self.clients[at as usize].group)].version;
        let connect = Connect {
            version,
            bridge: false,
            // A kept session is opened once, and then come back to.
            clean_start: group.clean_start && !(group.is_persistent() && self.clients[at as usize].was_up),
            keep_alive_s: group.keep_alive_s,
            properties: connect_properties(group, version),
            client_id: &client_id,
            will: None,
            username: username.as_deref(),
            password: password.as_deref().map(str::as_bytes),
        };
        let packet = Packet::Connect(Box::new(connect));
        let mut out = std::mem::take(self.writable(at));
        let result = codec::encode(&packet, version, &mut out);
        self.clients[at as usize].out = out;
        result
    }

    pub(super) fn on_connack(&mut self, at: u32, connack: &ConnAck<'_>, now: u64) {
        if self.clients[at as usize].phase != Phase::AwaitConnAck {
            self.on_ended(at, "it sent a second CONNACK");
            return;
        }
        if connack.reason != ReasonCode::Success {
            self.tally.refused += 1;
            self.shared.note_error(|| format!("the broker refused a connection: {:?}", connack.reason));
            self.close_now(at);
            return;
        }
        self.tally.established += 1;
        let began_ns = self.clients[at as usize].began_ns;
        self.histograms.record(Metric::Connect, now.saturating_sub(began_ns));
        if self.is_session_lost(at, connack) {
            self.tally.sessions_lost += 1;
            self.shared.note_error(|| "the broker did not keep a session that it was asked to keep".to_owned());
        }
        let client = &mut self.clients[at as usize];
        if let (Some(publisher), Some(maximum)) = (&mut client.publisher, connack.properties.receive_maximum) {
            publisher.limit_window(maximum.get());
        }
        self.resume_window(at, connack.session_present);
        let client = &mut self.clients[at as usize];
        let late = self.times.start_ns != u64::MAX && now >= self.times.start_ns;
        let (is_first, by_plan) = (!client.was_up, client.left_by_plan);
        let Some(subscriber) = &mut client.subscriber else {
            self.is_up(at);
            return;
        };
        if !connack.session_present {
            subscriber.unreleased.clear();
        }
        if late && (is_first || by_plan) {
            subscriber.returned_ns = client.began_ns;
        }
        if connack.session_present && !is_first {
            self.is_up(at);
        } else {
            self.clients[at as usize].phase = Phase::AwaitSubAck;
            if let Err(error) = self.send_subscribe(at) {
                self.shared.note_error(|| format!("SUBSCRIBE cannot be made: {error}"));
                self.close_now(at);
            }
        }
    }

    fn is_session_lost(&self, at: u32, connack: &ConnAck<'_>) -> bool {
        self.clients[at as usize].was_up && self.group(at).is_persistent() && !connack.session_present
    }

    fn send_subscribe(&mut self, at: u32) -> Result<(), EncodeError> {
        let group = &self.setup.plan.groups[usize::from(self.clients[at as usize].group)];
        let Some(subscribe) = &group.subscribe else { return Ok(()) };
        let options = SubscriptionOptions {
            maximum_qos: QoS::from_bits(subscribe.qos).unwrap_or_default(),
            ..Default::default()
        };
        let values = group.values(self.clients[at as usize].index, self.setup.plan.run);
        let mut filters = subscribe.filters.iter().map(|f| f.fill(values));
        let mut list = SubscribeFiltersBuf::new(&filters.next().unwrap_or_default(), options)?;
        for filter in filters {
            list.push(&filter, options)?;
        }
        let version = self.layout.lots[usize::from(self.clients[at as usize].group)].version;
        let packet = Packet::Subscribe(Subscribe {
            // The publisher's window counts up from 1; this one is behind it, and gone before the window gets there.
            packet_id: PacketId::MAX,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            filters: list.as_filters(),
        });
        let mut out = std::mem::take(self.writable(at));
        let result = codec::encode(&packet, version, &mut out);
        self.clients[at as usize].out = out;
        result
    }

    pub(super) fn on_suback(&mut self, at: u32, suback: &SubAck<'_>, now: u64) {
        if self.clients[at as usize].phase != Phase::AwaitSubAck {
            return;
        }
        if let Some(reason) = suback.reasons.iter().find(|r| r.is_error()) {
            self.tally.refused += 1;
            self.shared.note_error(|| format!("the broker refused a subscription: {reason:?}"));
        }
        let is_persistent = self.group(at).is_persistent();
        let start_ns = self.times.start_ns;
        let client = &mut self.clients[at as usize];
        // Who subscribes only after the load began has missed some of it; with a kept session that would be a loss.
        if let Some(subscriber) = &mut client.subscriber
            && now >= start_ns
            && !(is_persistent && client.was_up)
        {
            subscriber.interrupted = true;
        }
        self.is_up(at);
    }

    fn is_up(&mut self, at: u32) {
        let client = &mut self.clients[at as usize];
        client.phase = Phase::Up;
        client.attempts = 0;
        client.left_by_plan = false;
        client.was_up = true;
        self.under_way -= 1;
        self.tally.connected += 1;
        self.mark(at);
    }

    /// The other side, or the network, ended the connection.
    pub(super) fn on_ended(&mut self, at: u32, why: &str) {
        if self.clients[at as usize].phase == Phase::Closing {
            return;
        }
        self.tally.dropped += 1;
        self.shared.note_error(|| format!("a connection ended: {why}"));
        self.close_now(at);
    }

    /// Closes without a word; nothing for a client without a connection.
    pub(super) fn close_now(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else { return };
        self.leave(at);
        self.wire.close_now(slot);
    }

    /// Sends DISCONNECT and closes; `forget` lets a kept session go with it (5 only).
    pub(super) fn disconnect(&mut self, at: u32, forget: bool) {
        let Some(slot) = self.slot(at) else { return };
        let client = &self.clients[at as usize];
        if client.phase == Phase::Closing {
            return;
        }
        let version = self.layout.lots[usize::from(client.group)].version;
        let is_kept = self.group(at).is_persistent();
        if self.clients[at as usize].sending || self.clients[at as usize].phase < Phase::AwaitSubAck {
            self.close_now(at);
            return;
        }
        let session_expiry_interval_s = (forget && is_kept && version == ProtocolVersion::V5).then_some(0);
        let properties = Properties { session_expiry_interval_s, ..Properties::default() };
        let packet = Packet::Disconnect(Box::new(ReasonPacket { reason: ReasonCode::Success, properties }));
        // A DISCONNECT of so few properties can always be made.
        let _ = codec::encode(&packet, version, &mut self.clients[at as usize].out);
        let bytes = self.take_send(at).unwrap_or_default();
        self.leave(at);
        if !bytes.is_empty() {
            self.clients[at as usize].sending = true;
            self.wire.send(slot, at, SendBuffer::Bytes(bytes));
        }
        self.wire.close(slot);
    }

    fn leave(&mut self, at: u32) {
        let client = &mut self.clients[at as usize];
        match client.phase {
            Phase::Up => self.tally.connected -= 1,
            Phase::Connecting | Phase::AwaitConnAck | Phase::AwaitSubAck => self.under_way -= 1,
            Phase::Offline | Phase::Closing => {}
        }
        self.teardown.closing += 1;
        client.phase = Phase::Closing;
        client.out = Vec::new();
        client.partial = Vec::new();
        client.transport = None;
    }

    pub(super) fn on_closed(&mut self, at: u32, now: u64) {
        let client = &mut self.clients[at as usize];
        client.slot = None;
        client.phase = Phase::Offline;
        client.sending = false;
        self.tally.open -= 1;
        self.teardown.closing = self.teardown.closing.saturating_sub(1);
        if client.wanted && client.left_by_plan {
            self.begin_connect(at, now);
        } else {
            self.try_again(at, now);
        }
    }

    fn try_again(&mut self, at: u32, now: u64) {
        let client = &mut self.clients[at as usize];
        if client.wanted {
            let wait = RETRY_NS << client.attempts.min(RETRY_DOUBLINGS_MAX);
            client.attempts = client.attempts.saturating_add(1);
            self.retries.push(Reverse((now + wait, at)));
        }
    }

    /// Lets every client go in order, so many at a time that a broker can follow. True when all have gone, or when nothing
    /// moves any more.
    pub(super) fn tear_down(&mut self, now: u64) -> bool {
        if !self.teardown.has_begun {
            self.teardown.has_begun = true;
            self.retries.clear();
            self.miss_due();
            self.tally.absent = self.tally.wanted.saturating_sub(self.tally.connected);
            self.clients.iter_mut().for_each(|client| client.wanted = false);
        }
        if (self.teardown.next, self.tally.open) != self.teardown.seen {
            self.teardown.seen = (self.teardown.next, self.tally.open);
            self.teardown.moved_ns = now;
        }
        while self.teardown.closing < CLOSING_MAX && (self.teardown.next as usize) < self.clients.len() {
            self.disconnect(self.teardown.next, true);
            self.teardown.next += 1;
        }
        self.tally.open == 0 || now > self.teardown.moved_ns + TEARDOWN_STALL_NS
    }
}

fn connect_properties(group: &Group, version: ProtocolVersion) -> Properties<'static> {
    if version != ProtocolVersion::V5 {
        return Properties::default();
    }
    Properties {
        session_expiry_interval_s: (group.session_expiry_s > 0).then_some(group.session_expiry_s),
        receive_maximum: group.receive_maximum.and_then(std::num::NonZeroU16::new),
        ..Properties::default()
    }
}
