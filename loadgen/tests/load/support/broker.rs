//! A small broker with faults on order: it loses, repeats, swaps, corrupts or delays messages, stalls, refuses, hangs up.
//!
//! A thread a connection, one lock around everything: it is here to be wrong on purpose, not to be fast.

use ringtail_mqtt::codec::{self, Frame, ReasonCodesBuf, encode_ack};
use ringtail_mqtt::packet::{
    AckProperties, ConnAck, Packet, PacketId, PacketType, Properties, ProtocolVersion, Publish, PublishProperties, QoS,
    SubAck,
};
use ringtail_mqtt::reason::ReasonCode;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// Handles nothing from so long after the first PUBLISH, for so long.
    pub(crate) stall: Option<(Duration, Duration)>,
}

/// A running broker; its threads end with the process.
pub(crate) struct TestBroker {
    pub(crate) address: SocketAddr,
}

struct Subscription {
    filter: String,
    qos: QoS,
    version: ProtocolVersion,
    to: Sender<(Instant, Vec<u8>)>,
    next_id: u16,
    swapped: Option<(Instant, Vec<u8>)>,
}

#[derive(Default)]
struct State {
    /// By client identifier.
    subscriptions: HashMap<String, Subscription>,
    deliveries: u64,
    first_publish: Option<Instant>,
}

#[derive(Clone)]
struct Shared {
    faults: Faults,
    state: Arc<Mutex<State>>,
}

impl TestBroker {
    /// Starts one on a free port.
    pub(crate) fn start(faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared { faults, state: Arc::default() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                // A client that goes away ends its thread with an error, which is what it should do.
                std::thread::spawn(move || {
                    let _ = Connection::new(stream, shared).serve();
                });
            }
        });
        Self { address }
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
}

impl Connection {
    fn new(stream: TcpStream, shared: Shared) -> Self {
        stream.set_nodelay(true).expect("a socket");
        let (to, from) = mpsc::channel();
        let writer = stream.try_clone().expect("a socket");
        std::thread::spawn(move || write(writer, &from));
        Self { stream, shared, to, version: ProtocolVersion::V3_1_1, client_id: String::new() }
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
                if self.shared.faults.hang_up {
                    return None;
                }
                let reason = self.shared.faults.refuse.unwrap_or(ReasonCode::Success);
                let connack = ConnAck { session_present: false, reason, properties: Properties::default() };
                self.say(self.encode(&Packet::ConnAck(Box::new(connack))))
            }
            Packet::Subscribe(subscribe) => {
                let mut reasons = ReasonCodesBuf::default();
                for (filter, options) in subscribe.filters.iter() {
                    reasons.push(match options.maximum_qos {
                        QoS::AtMostOnce => ReasonCode::Success,
                        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
                        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
                    });
                    let subscription = Subscription {
                        filter: filter.to_owned(),
                        qos: options.maximum_qos,
                        version: self.version,
                        to: self.to.clone(),
                        next_id: 1,
                        swapped: None,
                    };
                    self.shared.lock().subscriptions.insert(self.client_id.clone(), subscription);
                }
                let (packet_id, properties) = (subscribe.packet_id, AckProperties::default());
                let suback = SubAck { packet_id, properties, reasons: reasons.as_codes() };
                self.say(self.encode(&Packet::SubAck(suback)))
            }
            Packet::Publish(publish) => self.publish(publish),
            Packet::PubRec(ack) => self.ack(PacketType::PubRel, ack.packet_id),
            Packet::PubRel(ack) => self.ack(PacketType::PubComp, ack.packet_id),
            Packet::PingReq => self.say(self.encode(&Packet::PingResp)),
            Packet::Disconnect(_) => None,
            _ => Some(()),
        }
    }

    fn publish(&self, publish: &Publish<'_>) -> Option<()> {
        self.shared.stall();
        self.shared.deliver(publish);
        match (publish.qos, publish.packet_id) {
            (QoS::AtLeastOnce, Some(id)) => self.ack(PacketType::PubAck, id),
            (QoS::ExactlyOnce, Some(id)) => self.ack(PacketType::PubRec, id),
            _ => Some(()),
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps through the stall with the lock held, so that everybody waits.
    fn stall(&self) {
        let Some((after, length)) = self.faults.stall else { return };
        let mut state = self.lock();
        let begin = *state.first_publish.get_or_insert_with(Instant::now) + after;
        let now = Instant::now();
        if now >= begin && now < begin + length {
            std::thread::sleep(begin + length - now);
        }
    }

    fn deliver(&self, publish: &Publish<'_>) {
        let mut state = self.lock();
        let State { subscriptions, deliveries, .. } = &mut *state;
        let at = Instant::now() + self.faults.delay;
        let mut astray = Vec::new();
        for (_, s) in subscriptions.iter_mut().filter(|(_, s)| matches(&s.filter, publish.topic_name)) {
            *deliveries += 1;
            let is_now = |every: Option<u64>| every.is_some_and(|n| deliveries.is_multiple_of(n));
            if is_now(self.faults.lose_every) {
                continue;
            }
            let payload = corrupted(publish.payload, is_now(self.faults.corrupt_every));
            let message = s.encode(publish, &payload);
            if is_now(self.faults.swap_every) && s.swapped.is_none() {
                s.swapped = Some((at, message));
                continue;
            }
            // A subscriber that has gone away gets nothing.
            let _ = s.to.send((at, message));
            if is_now(self.faults.repeat_every) {
                let again = s.encode(publish, &payload);
                let _ = s.to.send((at, again));
            }
            if let Some(swapped) = s.swapped.take() {
                let _ = s.to.send(swapped);
            }
            if is_now(self.faults.misroute_every) {
                astray.push(s.filter.clone());
            }
        }
        for filter in astray {
            if let Some(other) = subscriptions.values_mut().find(|s| s.filter != filter) {
                let message = other.encode(publish, publish.payload);
                let _ = other.to.send((at, message));
            }
        }
    }
}

impl Subscription {
    fn encode(&mut self, publish: &Publish<'_>, payload: &[u8]) -> Vec<u8> {
        let qos = publish.qos.min(self.qos);
        let packet_id = PacketId::new(self.next_id).filter(|_| qos > QoS::AtMostOnce);
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let properties = PublishProperties::default();
        let (dup, retain, topic_name) = (false, false, publish.topic_name);
        let packet = Packet::Publish(Publish { dup, qos, retain, topic_name, packet_id, properties, payload });
        let mut out = Vec::new();
        codec::encode(&packet, self.version, &mut out).expect("a message that was decoded");
        out
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
