//! A client that keeps the protocol, and notes what it was promised and what it got.

use super::tell;
use super::wire::Link;
use ringtail_mqtt::codec::{self, Frame, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::topic::matches;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

/// Messages that a client has unacknowledged at most.
const WINDOW: usize = 6;

pub(super) const TOPICS: [&str; 12] =
    ["a/0", "a/1", "b/0", "b/1", "s/0", "s/1", "c/0", "c/1", "c/2", "c/3", "c/4", "c/5"];
/// No message goes to a client by two of its shared subscriptions: each would give it a copy. Those of `c` are few
/// clients', so that there is something new to announce most of the time.
pub(super) const FILTERS: [&str; 13] =
    ["a/0", "b/1", "a/+", "b/#", "a/1/#", "$share/g/s/0", "$share/g/s/1", "c/0", "c/1", "c/2", "c/3", "c/4", "c/5"];

/// A message, by its place in the list of all.
pub(super) type MessageId = usize;

/// A message as its publisher knows it.
pub(super) struct Published {
    pub publisher: usize,
    pub topic_name: &'static str,
    pub qos: QoS,
    pub retain: bool,
    pub payload: Vec<u8>,
    /// The moment before its first byte was sent.
    pub sent_at: u64,
    /// The moment when the broker took it over.
    pub acknowledged_at: Option<u64>,
}

/// A subscription as its client knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subscription {
    Asked {
        packet_id: PacketId,
        qos: QoS,
    },
    /// Since the moment when SUBACK was read.
    Live {
        since: u64,
        qos: QoS,
    },
    Leaving {
        packet_id: PacketId,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Publish,
    Release,
}

struct Sending {
    packet_id: PacketId,
    message: MessageId,
    phase: Phase,
}

/// What a client was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub message: MessageId,
    pub qos: QoS,
    pub retain: bool,
    /// Sent when its subscription was there: what came before may be sent again behind what came later.
    pub ordered: bool,
    /// Counts the sessions of the client.
    pub session: u64,
    /// That session was to outlive its connection.
    pub kept: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Off,
    Connecting,
    Live,
}

pub(super) struct Client {
    pub number: usize,
    pub client_id: String,
    pub version: ProtocolVersion,
    /// It wants its session to outlive its connections.
    pub durable: bool,
    /// This connection's session does.
    keeps: bool,
    /// It wants a new session, and the broker has not said that it has one.
    clean: bool,
    receive_maximum: u16,
    pub link: Option<usize>,
    pub state: State,
    bytes: Vec<u8>,
    /// The broker has said that it has a session.
    known: bool,
    next_id: u16,
    /// How many sessions it has forgotten.
    session: u64,
    sending: Vec<Sending>,
    /// Acknowledgements that it has not sent yet, and the identifiers that they free.
    owed: VecDeque<(Vec<u8>, Option<PacketId>)>,
    /// QoS 1 and 2 messages that it has not acknowledged.
    held: BTreeMap<PacketId, (MessageId, QoS)>,
    /// What takes the places of its Receive Maximum on this connection.
    open: BTreeSet<PacketId>,
    pub subscriptions: BTreeMap<&'static str, Subscription>,
    pub deliveries: Vec<Delivery>,
}

impl Client {
    pub(super) fn new(number: usize, version: ProtocolVersion, durable: bool, receive_maximum: u16) -> Self {
        Self {
            number,
            client_id: format!("client-{number}"),
            version,
            durable,
            keeps: false,
            clean: false,
            receive_maximum,
            link: None,
            state: State::Off,
            bytes: Vec::new(),
            known: false,
            next_id: 0,
            session: 0,
            sending: Vec::new(),
            owed: VecDeque::new(),
            held: BTreeMap::new(),
            open: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            deliveries: Vec::new(),
        }
    }

    fn tell(&self, what: &str, packet: &Packet<'_>) {
        tell(|| format!("{} on {:?} {what} {packet:?}", self.client_id, self.link));
    }

    fn encode(&self, packet: &Packet<'_>) -> Vec<u8> {
        self.tell("writes", packet);
        let mut bytes = Vec::new();
        codec::encode(packet, self.version, &mut bytes).unwrap();
        bytes
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.next_id = self.next_id % 50 + 1;
            let packet_id = NonZeroU16::new(self.next_id).unwrap();
            let asked = self.subscriptions.values().any(|subscription| match subscription {
                Subscription::Asked { packet_id: used, .. } | Subscription::Leaving { packet_id: used } => {
                    *used == packet_id
                }
                Subscription::Live { .. } => false,
            });
            if !asked && self.sending.iter().all(|sending| sending.packet_id != packet_id) {
                return packet_id;
            }
        }
    }

    /// CONNECT on a new link. With `clean` nothing of the session before is wanted.
    pub(super) fn connect(&mut self, link_id: usize, link: &mut Link, clean: bool) {
        let clean = clean || self.clean;
        let clean_start = !self.durable || clean;
        let v5 = self.version == ProtocolVersion::V5;
        let properties = Properties {
            session_expiry_interval_s: (v5 && self.durable).then_some(100_000),
            receive_maximum: NonZeroU16::new(self.receive_maximum).filter(|_| v5),
            ..Properties::default()
        };
        let client_id = &self.client_id;
        let (version, bridge, keep_alive_s) = (self.version, false, 0);
        let (will, username, password) = (None, None, None);
        let connect =
            Connect { version, bridge, clean_start, keep_alive_s, properties, client_id, will, username, password };
        link.to_server.extend(self.encode(&Packet::Connect(Box::new(connect))));
        self.lose_link();
        if clean_start {
            self.forget_session();
        }
        // Before 5.0 a session that begins clean ends with its connection.
        (self.keeps, self.clean) = (self.durable && (v5 || !clean), clean);
        (self.link, self.state) = (Some(link_id), State::Connecting);
    }

    /// The connection is no more.
    pub(super) fn lose_link(&mut self) {
        (self.link, self.state) = (None, State::Off);
        self.bytes.clear();
        self.owed.clear();
        self.open.clear();
        // What was asked for on the old connection was perhaps done, and will not be answered.
        self.subscriptions.retain(|_, subscription| matches!(subscription, Subscription::Live { .. }));
        if !self.keeps {
            self.forget_session();
        }
    }

    fn forget_session(&mut self) {
        self.session += 1;
        self.known = false;
        self.sending.clear();
        self.held.clear();
        self.subscriptions.clear();
    }

    /// After a crash of the broker a message of QoS 1 may come under another identifier.
    pub(super) fn broker_crashed(&mut self) {
        self.lose_link();
        self.held.retain(|_, (_, qos)| *qos == QoS::ExactlyOnce);
    }

    /// False while a CONNECT is under way that asks for a new session: met late by the broker, when the client has come again,
    /// it would end that session, too.
    pub(super) fn may_go(&self) -> bool {
        self.state != State::Connecting || !self.clean
    }

    pub(super) fn may_publish(&self) -> bool {
        self.state == State::Live && self.sending.len() < WINDOW
    }

    /// True when nothing that it sent waits for an answer, and it owes none.
    pub(super) fn is_content(&self) -> bool {
        let settled = |subscription: &Subscription| matches!(subscription, Subscription::Live { .. });
        self.state == State::Live
            && self.sending.is_empty()
            && self.owed.is_empty()
            && self.held.is_empty()
            && self.subscriptions.values().all(settled)
    }

    pub(super) fn publish(&mut self, link: &mut Link, message: MessageId, published: &Published) {
        let packet_id = (published.qos > QoS::AtMostOnce).then(|| self.free_id());
        link.to_server.extend(self.publish_bytes(packet_id, published, false));
        if let Some(packet_id) = packet_id {
            self.sending.push(Sending { packet_id, message, phase: Phase::Publish });
        }
    }

    fn publish_bytes(&self, packet_id: Option<PacketId>, published: &Published, dup: bool) -> Vec<u8> {
        let Published { qos, retain, topic_name, payload, .. } = published;
        let (qos, retain, properties) = (*qos, *retain, PublishProperties::default());
        self.encode(&Packet::Publish(Publish { dup, qos, retain, topic_name, packet_id, properties, payload }))
    }

    /// Forgets what a topic's retained message was.
    pub(super) fn clear(&mut self, link: &mut Link, topic_name: &str) {
        let (dup, qos, retain, packet_id, payload) = (false, QoS::AtMostOnce, true, None, &b""[..]);
        let properties = PublishProperties::default();
        let publish = Publish { dup, qos, retain, topic_name, packet_id, properties, payload };
        link.to_server.extend(self.encode(&Packet::Publish(publish)));
    }

    pub(super) fn subscribe(&mut self, link: &mut Link, filter: &'static str, maximum_qos: QoS) {
        let packet_id = self.free_id();
        let options = SubscriptionOptions { maximum_qos, ..SubscriptionOptions::default() };
        let filters = SubscribeFiltersBuf::new(filter, options).unwrap();
        let (subscription_identifier, user_properties) = (None, UserProperties::default());
        let filters = filters.as_filters();
        let subscribe = Subscribe { packet_id, subscription_identifier, user_properties, filters };
        link.to_server.extend(self.encode(&Packet::Subscribe(subscribe)));
        self.subscriptions.insert(filter, Subscription::Asked { packet_id, qos: maximum_qos });
    }

    pub(super) fn unsubscribe(&mut self, link: &mut Link, filter: &'static str) {
        let packet_id = self.free_id();
        let filters = UnsubscribeFiltersBuf::new(filter).unwrap();
        let unsubscribe =
            Unsubscribe { packet_id, user_properties: UserProperties::default(), filters: filters.as_filters() };
        link.to_server.extend(self.encode(&Packet::Unsubscribe(unsubscribe)));
        self.subscriptions.insert(filter, Subscription::Leaving { packet_id });
    }

    pub(super) fn disconnect(&mut self, link: &mut Link) {
        let (reason, properties) = (ReasonCode::Success, Properties::default());
        link.to_server.extend(self.encode(&Packet::Disconnect(Box::new(ReasonPacket { reason, properties }))));
        link.client_gone = true;
        self.lose_link();
    }

    /// Sends up to `count` of the acknowledgements that it owes.
    pub(super) fn pay(&mut self, link: &mut Link, count: usize) {
        for (bytes, frees) in self.owed.drain(..count.min(self.owed.len())) {
            link.to_server.extend(bytes);
            if let Some(packet_id) = frees {
                self.open.remove(&packet_id);
                self.held.remove(&packet_id);
            }
        }
    }

    /// Reads `count` bytes. Returns a filter whose SUBACK came.
    pub(super) fn read(
        &mut self,
        link: &mut Link,
        count: usize,
        now: u64,
        messages: &mut [Published],
    ) -> Option<&'static str> {
        let count = count.min(link.to_client.len());
        self.bytes.extend(link.to_client.drain(..count));
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Frame::Complete { total_bytes, .. } = codec::frame(rest, u32::MAX).unwrap() {
            let packet = codec::decode(&rest[..total_bytes], self.version).unwrap();
            packet.check_from_server().unwrap();
            rest = &rest[total_bytes..];
            self.take(&packet, link, now, messages);
            if self.state == State::Off {
                return None;
            }
        }
        self.bytes = rest.to_vec();
        if link.server_gone && link.to_client.is_empty() {
            link.client_gone = true;
            self.lose_link();
        }
        let is_new =
            |subscription: &Subscription| matches!(subscription, Subscription::Live { since, .. } if *since == now);
        self.subscriptions.iter().find(|(_, subscription)| is_new(subscription)).map(|(filter, _)| *filter)
    }

    fn take(&mut self, packet: &Packet<'_>, link: &mut Link, now: u64, messages: &mut [Published]) {
        self.tell("reads", packet);
        let connecting = self.state == State::Connecting;
        assert_eq!(connecting, matches!(packet, Packet::ConnAck(_)), "client {}: {packet:?}", self.number);
        match packet {
            Packet::ConnAck(connack) => self.take_connack(connack, link, messages),
            Packet::Publish(publish) => self.take_publish(publish, messages),
            Packet::PubAck(ack) => {
                let first = self.sending.iter().find(|s| messages[s.message].qos == QoS::AtLeastOnce);
                assert_eq!(first.map(|s| s.packet_id), Some(ack.packet_id), "PUBACKs come in order");
                self.acknowledged(ack, QoS::AtLeastOnce, now, messages);
            }
            Packet::PubRec(ack) => {
                self.acknowledged(ack, QoS::ExactlyOnce, now, messages);
                if !ack.reason.is_error() {
                    link.to_server.extend(self.encode(&Packet::PubRel(plain(ack.packet_id))));
                }
            }
            Packet::PubComp(ack) => {
                let at = self.sending.iter().position(|s| s.packet_id == ack.packet_id && s.phase == Phase::Release);
                self.sending.remove(at.expect("a PUBCOMP that was asked for"));
            }
            Packet::PubRel(ack) => {
                let bytes = self.encode(&Packet::PubComp(plain(ack.packet_id)));
                self.owed.push_back((bytes, Some(ack.packet_id)));
            }
            Packet::SubAck(ack) => self.take_suback(ack, now),
            Packet::UnsubAck(ack) => self.subscriptions.retain(
                |_, subscription| !matches!(subscription, Subscription::Leaving { packet_id } if *packet_id == ack.packet_id),
            ),
            Packet::Disconnect(_) => {
                link.client_gone = true;
                self.lose_link();
            }
            packet => panic!("client {}: {packet:?}", self.number),
        }
    }

    fn take_connack(&mut self, connack: &ConnAck<'_>, link: &mut Link, messages: &[Published]) {
        if connack.reason != ReasonCode::Success {
            link.client_gone = true;
            return self.lose_link();
        }
        assert!(connack.session_present || !self.known, "client {}: its session was lost", self.number);
        if !connack.session_present {
            self.forget_session();
        }
        (self.state, self.known, self.clean) = (State::Live, self.keeps, false);
        // [MQTT-4.4.0-1]: what was not acknowledged is sent again, in order.
        for sending in &self.sending {
            let packet_id = sending.packet_id;
            link.to_server.extend(match sending.phase {
                Phase::Publish => self.publish_bytes(Some(packet_id), &messages[sending.message], true),
                Phase::Release => self.encode(&Packet::PubRel(plain(packet_id))),
            });
        }
    }

    fn take_suback(&mut self, ack: &SubAck<'_>, now: u64) {
        for subscription in self.subscriptions.values_mut() {
            if let Subscription::Asked { packet_id, qos } = *subscription
                && packet_id == ack.packet_id
            {
                assert_eq!(ack.reasons.iter().next(), Some(granted(qos)));
                *subscription = Subscription::Live { since: now, qos };
            }
        }
    }

    /// The broker has taken a message over, or refused it.
    fn acknowledged(&mut self, ack: &Ack<'_>, qos: QoS, now: u64, messages: &mut [Published]) {
        let is = |s: &Sending| s.packet_id == ack.packet_id && messages[s.message].qos == qos;
        let at = self.sending.iter().position(is).expect("an acknowledgement of what was sent");
        let message = self.sending[at].message;
        if ack.reason.is_error() || qos == QoS::AtLeastOnce {
            self.sending.remove(at);
        } else {
            self.sending[at].phase = Phase::Release;
        }
        if !ack.reason.is_error() {
            messages[message].acknowledged_at.get_or_insert(now);
        }
    }

    fn take_publish(&mut self, publish: &Publish<'_>, messages: &[Published]) {
        if publish.payload.is_empty() {
            return; // a retained message was cleared
        }
        let message = usize::from_str_radix(std::str::from_utf8(&publish.payload[..8]).unwrap(), 16).unwrap();
        let published = &messages[message];
        assert_eq!((publish.topic_name, publish.payload), (published.topic_name, &published.payload[..]));
        assert!(publish.qos <= published.qos, "a QoS is never raised");
        let ordered = self.subscriptions.iter().any(|(filter, subscription)| {
            let is_older = |since| since < published.sent_at && matches(filter, publish.topic_name);
            matches!(*subscription, Subscription::Live { since, .. } if is_older(since))
        });
        let (qos, retain, session, kept) = (publish.qos, publish.retain, self.session, self.keeps);
        let delivery = Delivery { message, qos, retain, ordered, session, kept };
        let Some(packet_id) = publish.packet_id else { return self.deliveries.push(delivery) };
        let fresh = match self.held.insert(packet_id, (message, publish.qos)) {
            None => true,
            Some((before, _)) => {
                assert_eq!(before, message, "client {}: identifier {packet_id} is in use", self.number);
                assert!(publish.dup, "client {}: {packet_id} comes again without DUP", self.number);
                false
            }
        };
        self.open.insert(packet_id);
        assert!(self.open.len() <= usize::from(self.receive_maximum), "[MQTT-3.3.4-9]");
        if fresh || publish.qos == QoS::AtLeastOnce {
            self.deliveries.push(delivery);
        }
        let owed = match publish.qos {
            QoS::ExactlyOnce => (self.encode(&Packet::PubRec(plain(packet_id))), None),
            _ => (self.encode(&Packet::PubAck(plain(packet_id))), Some(packet_id)),
        };
        self.owed.push_back(owed);
    }
}

fn plain(packet_id: PacketId) -> Ack<'static> {
    Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() }
}

fn granted(qos: QoS) -> ReasonCode {
    [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2][qos as usize]
}
