//! A small broker with faults on order: it loses, repeats, swaps, corrupts or delays messages, stalls, refuses, hangs up.
//! It keeps sessions, and can be "killed": every connection ends, and what a crash could lose is lost on order.
//!
//! A thread a connection, one lock around everything: it is here to be wrong on purpose, not to be fast.

use super::notes::Notes;
use ringtail_mqtt::codec::{self, Frame, ReasonCodesBuf, encode_ack};
use ringtail_mqtt::packet::{
    AckProperties, ConnAck, Packet, PacketId, PacketType, Properties, ProtocolVersion, Publish, PublishProperties, QoS,
    SubAck,
};
use ringtail_mqtt::reason::ReasonCode;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The DUP flag of a PUBLISH's first byte.
const DUP: u8 = 0x08;

/// How long a test waits for what must happen.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the broker does wrong. Message numbers count all deliveries from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Every delivery waits for so long.
    pub(crate) delay: Duration,
    /// Loses every so-manieth delivery, though the publisher has its PUBACK.
    pub(crate) lose_every: Option<u64>,
    /// Delivers every so-manieth message twice, the second time as a new message.
    pub(crate) repeat_every: Option<u64>,
    /// Delivers every so-manieth message after the next one of the same subscriber.
    pub(crate) swap_every: Option<u64>,
    /// Changes a byte of the payload of every so-manieth delivery.
    pub(crate) corrupt_every: Option<u64>,
    /// Delivers every so-manieth message to a subscriber of something else as well.
    pub(crate) misroute_every: Option<u64>,
    /// Refuses connections.
    pub(crate) refuse: Option<ReasonCode>,
    /// Closes each connection after its CONNECT.
    pub(crate) hang_up: bool,
    /// At the PUBLISH of this number, for so long, nobody is heard or answered.
    pub(crate) stall: Option<(u64, Duration)>,
    /// A kill loses the sessions.
    pub(crate) lose_sessions: bool,
    /// A kill loses the messages that wait for their subscribers.
    pub(crate) lose_queues: bool,
    /// A kill loses the Packet Identifiers of QoS 2 that wait for PUBREL.
    pub(crate) lose_incoming: bool,
    /// Acknowledges nothing after this many PUBLISHes until it is killed, so that the kill meets messages under way.
    pub(crate) deaf_after: Option<u64>,
    /// Retains nothing.
    pub(crate) lose_retained: bool,
}

/// A running broker; its threads end with the process.
pub(crate) struct TestBroker {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

struct Subscription {
    filters: Vec<String>,
    qos: QoS,
    version: ProtocolVersion,
    to: Sender<(Instant, Vec<u8>)>,
    next_id: u16,
    swapped: Option<(Instant, Vec<u8>)>,
    /// What is not acknowledged: PUBLISH, or PUBREL once PUBREC has come.
    kept: VecDeque<(PacketId, Vec<u8>)>,
}

#[derive(Default)]
struct State {
    /// By client identifier.
    subscriptions: HashMap<String, Subscription>,
    deliveries: u64,
    publishes: u64,
    /// Client identifiers with a session.
    sessions: HashSet<String>,
    /// Messages of QoS 2 that wait for their PUBREL.
    incoming: HashSet<(String, PacketId)>,
    retained: HashMap<String, Vec<u8>>,
    /// By the client's address.
    connections: HashMap<SocketAddr, TcpStream>,
    notes: Notes,
    /// How often it was killed.
    kills: u64,
    /// It is not there until then.
    away_until: Option<Instant>,
}

#[derive(Clone)]
struct Shared {
    faults: Faults,
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

impl TestBroker {
    /// Starts one on a free port.
    pub(crate) fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared { faults, state: Arc::default(), changed: Arc::default() };
        let all = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = all.clone();
                if !shared.admit(&stream) {
                    continue;
                }
                // A client that goes away ends its thread with an error, which is what it should do.
                std::thread::spawn(move || {
                    let _ = Connection::new(stream, shared).serve();
                });
            }
        });
        Self { address, shared }
    }

    /// Ends every connection, is away for so long, and has lost by then what the faults say.
    pub(crate) fn kill(&self, away: Duration) {
        let mut state = self.shared.lock();
        state.kills += 1;
        state.away_until = Some(Instant::now() + away);
        for stream in state.connections.drain().map(|(_, stream)| stream) {
            // One that is closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if self.shared.faults.lose_sessions {
            state.sessions.clear();
            state.subscriptions.clear();
        }
        if self.shared.faults.lose_queues {
            state.subscriptions.values_mut().for_each(|s| s.kept.clear());
        }
        if self.shared.faults.lose_incoming {
            state.incoming.clear();
        }
    }

    /// Waits until so many PUBLISHes have come.
    pub(crate) fn wait_for_publishes(&self, publishes: u64) {
        let state = self.shared.wait_while(|state| state.publishes < publishes);
        assert!(state.publishes >= publishes, "{} of {publishes} messages came", state.publishes);
    }

    /// Waits until subscribers have acknowledged so many messages.
    pub(crate) fn wait_for_acknowledgements(&self, messages: usize) {
        let few = |state: &State| state.notes.acknowledged() < messages;
        assert!(!few(&self.shared.wait_while(few)), "fewer than {messages} messages were acknowledged");
    }

    /// Takes what it has written down since the last time, once every connection has ended.
    pub(crate) fn take_notes(&self) -> Notes {
        let mut state = self.shared.wait_while(|state| !state.connections.is_empty());
        assert!(state.connections.is_empty(), "{} connections are still open", state.connections.len());
        std::mem::take(&mut state.notes)
    }

    /// What `--target` takes.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

struct Connection {
    stream: TcpStream,
    shared: Shared,
    to: Sender<(Instant, Vec<u8>)>,
    version: ProtocolVersion,
    client_id: String,
    /// [`State::kills`] when it began: after the next one it may change nothing.
    kills: u64,
}

impl Connection {
    fn new(stream: TcpStream, shared: Shared) -> Self {
        stream.set_nodelay(true).expect("a socket");
        let (to, from) = mpsc::channel();
        let writer = stream.try_clone().expect("a socket");
        std::thread::spawn(move || write(writer, &from));
        let kills = shared.lock().kills;
        Self { stream, shared, to, version: ProtocolVersion::V3_1_1, client_id: String::new(), kills }
    }

    fn serve(mut self) -> Option<()> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 << 10];
        loop {
            let n = self.stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
            bytes.extend_from_slice(&buffer[..n]);
            while let Frame::Complete { total_bytes, .. } = codec::frame(&bytes, u32::MAX).ok()? {
                let packet: Vec<u8> = bytes.drain(..total_bytes).collect();
                self.handle(&codec::decode(&packet, self.version).ok()?)?;
            }
        }
    }

    fn say(&self, bytes: Vec<u8>) -> Option<()> {
        self.to.send((Instant::now(), bytes)).ok()
    }

    fn encode(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(packet, self.version, &mut out).expect("a packet of the broker's");
        out
    }

    fn ack(&self, kind: PacketType, id: PacketId) -> Option<()> {
        let mut out = Vec::new();
        encode_ack(kind, id, ReasonCode::Success, self.version, &mut out);
        self.say(out)
    }

    fn handle(&mut self, packet: &Packet<'_>) -> Option<()> {
        match packet {
            Packet::Connect(connect) => {
                self.version = connect.version;
                self.client_id = connect.client_id.to_owned();
                self.shared.lock().notes.on_connect();
                if self.shared.faults.hang_up {
                    return None;
                }
                let reason = self.shared.faults.refuse.unwrap_or(ReasonCode::Success);
                self.open_session(connect.clean_start, reason)
            }
            Packet::Subscribe(subscribe) => {
                let mut reasons = ReasonCodesBuf::default();
                for (filter, options) in subscribe.filters.iter() {
                    reasons.push(match options.maximum_qos {
                        QoS::AtMostOnce => ReasonCode::Success,
                        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                    });
                    self.subscribe(filter, options.maximum_qos);
                }
                let (packet_id, properties) = (subscribe.packet_id, AckProperties::default());
                let suback = SubAck { packet_id, properties, reasons: reasons.as_codes() };
                self.say(self.encode(&Packet::SubAck(suback)))?;
                self.say_retained()
            }
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.forget(ack.packet_id),
            Packet::PubRec(ack) => {
                let mut release = Vec::new();
                encode_ack(PacketType::PubRel, ack.packet_id, ReasonCode::Success, self.version, &mut release);
                self.release(ack.packet_id, &release);
                self.say(release)
            }
            Packet::PubRel(ack) => {
                self.shared.lock().incoming.remove(&(self.client_id.clone(), ack.packet_id));
                self.ack(PacketType::PubComp, ack.packet_id)
            }
            Packet::PingReq => self.say(self.encode(&Packet::PingResp)),
            Packet::Disconnect(_) => None,
            _ => Some(()),
        }
    }

    /// CONNACK, and what the session has kept.
    fn open_session(&self, clean_start: bool, reason: ReasonCode) -> Option<()> {
        let mut state = self.shared.lock();
        if clean_start {
            state.sessions.remove(&self.client_id);
            state.subscriptions.remove(&self.client_id);
        }
        let session_present = !state.sessions.insert(self.client_id.clone());
        let connack = ConnAck { session_present, reason, properties: Properties::default() };
        self.say(self.encode(&Packet::ConnAck(Box::new(connack))))?;
        if let Some(subscription) = state.subscriptions.get_mut(&self.client_id) {
            subscription.to = self.to.clone();
            for (_, packet) in &mut subscription.kept {
                if packet[0] >> 4 == PacketType::Publish as u8 {
                    packet[0] |= DUP;
                }
                self.say(packet.clone())?;
            }
        }
        Some(())
    }

    fn subscribe(&self, filter: &str, qos: QoS) {
        let mut state = self.shared.lock();
        let subscription = state.subscriptions.entry(self.client_id.clone()).or_insert_with(|| Subscription {
            filters: Vec::new(),
            qos,
            version: self.version,
            to: self.to.clone(),
            next_id: 1,
            swapped: None,
            kept: VecDeque::new(),
        });
        if !subscription.filters.iter().any(|f| f == filter) {
            subscription.filters.push(filter.to_owned());
        }
    }

    /// The retained messages of what this client has subscribed to.
    fn say_retained(&self) -> Option<()> {
        let state = self.shared.lock();
        let subscription = state.subscriptions.get(&self.client_id)?;
        for (topic_name, payload) in &state.retained {
            if subscription.filters.iter().any(|f| matches(f, topic_name)) {
                let properties = PublishProperties::default();
                let (dup, qos, retain, packet_id) = (false, QoS::AtMostOnce, true, None);
                let publish = Publish { dup, qos, retain, topic_name, packet_id, properties, payload };
                self.say(self.encode(&Packet::Publish(publish)))?;
            }
        }
        Some(())
    }

    fn forget(&self, packet_id: PacketId) -> Option<()> {
        let mut state = self.shared.lock();
        state.notes.on_acknowledged((self.client_id.clone(), packet_id));
        self.shared.changed.notify_all();
        if let Some(subscription) = state.subscriptions.get_mut(&self.client_id) {
            subscription.kept.retain(|(id, _)| *id != packet_id);
        }
        Some(())
    }

    fn release(&self, packet_id: PacketId, release: &[u8]) {
        let mut state = self.shared.lock();
        state.notes.on_acknowledged((self.client_id.clone(), packet_id));
        if let Some(subscription) = state.subscriptions.get_mut(&self.client_id)
            && let Some((_, packet)) = subscription.kept.iter_mut().find(|(id, _)| *id == packet_id)
        {
            *packet = release.to_vec();
        }
    }

    fn publish(&self, publish: &Publish<'_>) -> Option<()> {
        let faults = self.shared.faults;
        let is_deaf = {
            let mut state = self.shared.lock();
            if state.kills != self.kills {
                return None;
            }
            state.publishes += 1;
            if let Some((_, length)) = faults.stall.filter(|(number, _)| *number == state.publishes) {
                // With the lock held, so that everybody waits.
                std::thread::sleep(length);
            }
            let incoming = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce);
            if incoming.is_none_or(|id| state.incoming.insert((self.client_id.clone(), id))) {
                state.deliver(&self.client_id, publish, faults);
            }
            self.shared.changed.notify_all();
            state.kills == 0 && faults.deaf_after.is_some_and(|n| state.publishes > n)
        };
        if is_deaf {
            return Some(());
        }
        self.shared.lock().notes.on_free(&self.client_id);
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.ack(PacketType::PubAck, id),
            (QoS::ExactlyOnce, Some(id)) => self.ack(PacketType::PubRec, id),
            _ => Some(()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Ok(from) = self.stream.peer_addr() {
            self.shared.lock().connections.remove(&from);
            self.shared.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while `condition` holds, but not for ever.
    fn wait_while(&self, mut condition: impl FnMut(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), TIMEOUT, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes a connection, unless the broker is away.
    fn admit(&self, stream: &TcpStream) -> bool {
        let mut state = self.lock();
        if state.away_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let (Ok(from), Ok(again)) = (stream.peer_addr(), stream.try_clone()) else { return false };
        state.connections.insert(from, again);
        true
    }
}

impl State {
    fn deliver(&mut self, from: &str, publish: &Publish<'_>, faults: Faults) {
        if publish.retain && !faults.lose_retained {
            self.retained.insert(publish.topic_name.to_owned(), publish.payload.to_vec());
        }
        let Self { subscriptions, deliveries, notes, .. } = self;
        let at = Instant::now() + faults.delay;
        let mut astray = Vec::new();
        let is_for = |s: &Subscription| s.filters.iter().any(|f| matches(f, publish.topic_name));
        for (to, s) in subscriptions.iter_mut().filter(|(_, s)| is_for(s)) {
            *deliveries += 1;
            let is_now = |every: Option<u64>| every.is_some_and(|n| deliveries.is_multiple_of(n));
            if is_now(faults.lose_every) {
                continue;
            }
            let payload = corrupted(publish.payload, is_now(faults.corrupt_every));
            let (packet_id, message) = s.encode(publish, &payload);
            if let Some(packet_id) = packet_id {
                notes.on_sent(from, (to.clone(), packet_id), &payload, at);
            }
            if is_now(faults.swap_every) && s.swapped.is_none() {
                s.swapped = Some((at, message));
                continue;
            }
            // A subscriber that has gone away gets nothing.
            let _ = s.to.send((at, message));
            if is_now(faults.repeat_every) {
                let (_, again) = s.encode(publish, &payload);
                let _ = s.to.send((at, again));
            }
            if let Some(swapped) = s.swapped.take() {
                let _ = s.to.send(swapped);
            }
            if is_now(faults.misroute_every) {
                astray.push(s.filters.clone());
            }
        }
        for filters in astray {
            if let Some(other) = subscriptions.values_mut().find(|s| s.filters != filters) {
                let (_, message) = other.encode(publish, publish.payload);
                let _ = other.to.send((at, message));
            }
        }
    }
}

impl Subscription {
    fn encode(&mut self, publish: &Publish<'_>, payload: &[u8]) -> (Option<PacketId>, Vec<u8>) {
        let qos = publish.qos.min(self.qos);
        let packet_id = PacketId::new(self.next_id).filter(|_| qos > QoS::AtMostOnce);
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let properties = PublishProperties::default();
        let (dup, retain, topic_name) = (false, false, publish.topic_name);
        let packet = Packet::Publish(Publish { dup, qos, retain, topic_name, packet_id, properties, payload });
        let mut out = Vec::new();
        codec::encode(&packet, self.version, &mut out).expect("a message that was decoded");
        if let Some(id) = packet_id {
            self.kept.push_back((id, out.clone()));
        }
        (packet_id, out)
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    filter == topic || filter.strip_suffix('#').is_some_and(|prefix| topic.starts_with(prefix))
}

fn corrupted(payload: &[u8], is_now: bool) -> Vec<u8> {
    let mut payload = payload.to_vec();
    if let Some(last) = payload.last_mut().filter(|_| is_now) {
        *last ^= 0x40;
    }
    payload
}

/// Writes what is due, in the order in which it was said.
fn write(mut stream: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((at, bytes)) = from.recv() {
        while let Some(left) = at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left);
        }
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}
