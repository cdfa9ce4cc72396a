//! A session against a small client that was written from the specification alone, over a link that breaks: QoS 1 comes
//! at least once and in order, QoS 2 exactly once and in order, in both directions, and no window is ever exceeded.

use proptest::prelude::*;
use ringtail_mqtt::codec::{self, Frame};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::message::MessageRef;
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use ringtail_mqtt::time::Millis;
use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;

const NOW: Millis = Millis(1);
/// What the client may have unacknowledged towards the server.
const RECEIVE_MAXIMUM: u16 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The broker has a message for the client.
    Deliver(QoS),
    /// The client publishes.
    Publish(QoS),
    /// The client reads up to so many packets, and answers each.
    ClientReads(usize),
    /// The server reads up to so many packets.
    ServerReads(usize),
    /// The broker decides about the oldest, or about the newest, PUBLISH that waits for it.
    Commit { oldest: bool },
    /// The connection breaks, with all that is on its way, and the client comes back with this Receive Maximum.
    Reconnect(u16),
    /// The connection breaks and the client stays away.
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let qos = prop_oneof![Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let step = prop_oneof![
        4 => qos.clone().prop_map(Step::Deliver),
        4 => qos.prop_map(Step::Publish),
        4 => (1..4_usize).prop_map(Step::ClientReads),
        4 => (1..4_usize).prop_map(Step::ServerReads),
        3 => any::<bool>().prop_map(|oldest| Step::Commit { oldest }),
        1 => (1..5_u16).prop_map(Step::Reconnect),
        1 => Just(Step::Disconnect),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A PUBLISH of the client's that is not complete.
#[derive(Clone, Debug)]
struct Own {
    packet_id: PacketId,
    qos: QoS,
    payload: u32,
    released: bool,
}

/// The client. It knows nothing of the session but the packets.
#[derive(Default)]
struct Client {
    receive_maximum: u16,
    /// Towards the server, packets in order.
    to_send: VecDeque<Vec<u8>>,
    own: Vec<Own>,
    next_id: u16,
    /// PUBLISHes of this connection, of each QoS, whose first acknowledgement is due, in order.
    awaited: [VecDeque<PacketId>; 3],
    /// Identifiers of QoS 2 messages that were received and not released.
    received: BTreeSet<PacketId>,
    /// Identifiers that take a place of the Receive Maximum on this connection.
    unacknowledged: BTreeSet<PacketId>,
    got: [Vec<u32>; 3],
}

impl Client {
    fn send(&mut self, packet: &Packet<'_>, version: ProtocolVersion) {
        let mut bytes = Vec::new();
        codec::encode(packet, version, &mut bytes).expect("a packet");
        self.to_send.push_back(bytes);
    }

    fn publish(&mut self, qos: QoS, payload: u32, version: ProtocolVersion) {
        if self.own.len() >= usize::from(RECEIVE_MAXIMUM) {
            return; // [MQTT-3.3.4-7]
        }
        self.next_id = self.next_id % 9 + 1; // soon the same again
        let packet_id = NonZeroU16::new(self.next_id).expect("not 0");
        if self.own.iter().any(|own| own.packet_id == packet_id) {
            return;
        }
        let own = Own { packet_id, qos, payload, released: false };
        self.transmit(&own, false, version);
        self.own.push(own);
    }

    fn transmit(&mut self, own: &Own, dup: bool, version: ProtocolVersion) {
        let payload = own.payload.to_string();
        let publish = Publish {
            dup,
            qos: own.qos,
            retain: false,
            topic_name: "up",
            packet_id: Some(own.packet_id),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        self.send(&Packet::Publish(publish), version);
        self.awaited[own.qos as usize].push_back(own.packet_id);
    }

    /// A new connection: what was on its way is gone, and what is not complete is sent again.
    fn connected(&mut self, receive_maximum: u16, version: ProtocolVersion) {
        self.receive_maximum = receive_maximum;
        self.to_send.clear();
        self.awaited = Default::default();
        self.unacknowledged.clear();
        for own in self.own.clone() {
            if own.released {
                self.send(&Packet::PubRel(ack(own.packet_id)), version);
            } else {
                self.transmit(&own, true, version);
            }
        }
    }

    fn receive(&mut self, packet: &Packet<'_>, version: ProtocolVersion) {
        match packet {
            Packet::Publish(publish) => self.on_publish(publish, version),
            Packet::PubRel(pubrel) => {
                self.received.remove(&pubrel.packet_id);
                self.unacknowledged.remove(&pubrel.packet_id);
                self.send(&Packet::PubComp(ack(pubrel.packet_id)), version);
            }
            Packet::PubAck(puback) => {
                assert_eq!(self.awaited[1].pop_front(), Some(puback.packet_id), "[MQTT-4.6.0-2]");
                self.own.retain(|own| own.packet_id != puback.packet_id);
            }
            Packet::PubRec(pubrec) => {
                assert_eq!(self.awaited[2].pop_front(), Some(pubrec.packet_id), "[MQTT-4.6.0-3]");
                let own = self.own.iter_mut().find(|own| own.packet_id == pubrec.packet_id);
                own.expect("PUBREC for one's own PUBLISH").released = true;
                self.send(&Packet::PubRel(ack(pubrec.packet_id)), version);
            }
            Packet::PubComp(pubcomp) => self.own.retain(|own| own.packet_id != pubcomp.packet_id),
            Packet::ConnAck(_) => {}
            packet => panic!("{packet:?}"),
        }
    }

    fn on_publish(&mut self, publish: &Publish<'_>, version: ProtocolVersion) {
        let payload = std::str::from_utf8(publish.payload).expect("text").parse().expect("a number");
        let packet_id = publish.packet_id.expect("QoS above 0");
        assert!(self.unacknowledged.insert(packet_id), "an identifier in use");
        assert!(self.unacknowledged.len() <= usize::from(self.receive_maximum), "Receive Maximum [MQTT-3.3.4-9]");
        if publish.qos == QoS::AtLeastOnce {
            self.got[1].push(payload);
            self.unacknowledged.remove(&packet_id);
            self.send(&Packet::PubAck(ack(packet_id)), version);
            return;
        }
        if self.received.insert(packet_id) {
            self.got[2].push(payload);
        } else {
            assert!(publish.dup, "a QoS 2 identifier is used again before its release");
        }
        self.send(&Packet::PubRec(ack(packet_id)), version);
    }
}

fn ack(packet_id: PacketId) -> Ack<'static> {
    Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() }
}

struct World {
    version: ProtocolVersion,
    session: Session,
    limits: Limits,
    out: Outbox,
    client: Client,
    /// Bytes on their way to the client.
    to_client: Vec<u8>,
    tickets: Vec<Ticket>,
    /// What the broker routed, and what it had for the client.
    routed: [Vec<u32>; 3],
    delivered: [Vec<u32>; 3],
    published: [Vec<u32>; 3],
    next_payload: u32,
}

impl World {
    fn new(version: ProtocolVersion) -> Self {
        let mut world = Self {
            version,
            session: Session::new("model"),
            limits: Limits { receive_maximum: RECEIVE_MAXIMUM, inflight_max: 4, ..Limits::default() },
            out: Outbox::default(),
            client: Client::default(),
            to_client: Vec::new(),
            tickets: Vec::new(),
            routed: Default::default(),
            delivered: Default::default(),
            published: Default::default(),
            next_payload: 0,
        };
        world.reconnect(2);
        world
    }

    fn disconnect(&mut self) {
        if self.session.is_connected() {
            assert!(!self.session.detach(DetachCause::Lost, NOW).ends_now);
        }
        self.out = Outbox::default();
        self.to_client.clear();
        self.client.to_send.clear();
    }

    fn reconnect(&mut self, receive_maximum: u16) {
        self.disconnect();
        // Before 5.0 a client cannot say it, and is held to the server's own limit.
        let receive_maximum = if self.version == ProtocolVersion::V5 { receive_maximum } else { u16::MAX };
        let properties = Properties {
            receive_maximum: NonZeroU16::new(receive_maximum),
            session_expiry_interval_s: Some(100),
            ..Properties::default()
        };
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: false,
            keep_alive_s: 0,
            properties,
            client_id: "model",
            will: None,
            username: None,
            password: None,
        };
        let admission = Admission::of(&connect, &Accepted::default(), &self.limits).expect("accepted");
        self.session.connect(admission, &self.limits, NOW, &mut self.out);
        self.client.connected(receive_maximum.min(self.limits.inflight_max), self.version);
    }

    fn deliver(&mut self, qos: QoS) {
        self.next_payload += 1;
        let payload = self.next_payload.to_string();
        let message = MessageRef {
            topic_name: "down",
            properties: &[],
            payload: payload.as_bytes(),
            qos,
            retain: false,
            expires_at: Millis::NEVER,
        };
        let mut encoder = Encoder::default();
        let mut outgoing = Outgoing::new(message, &mut encoder);
        let options = DeliverOptions { qos, ..DeliverOptions::default() };
        let delivered = self.session.deliver(&mut outgoing, &options, &self.limits, NOW, &mut self.out);
        assert!(!matches!(delivered, Delivered::Dropped(_)), "{delivered:?}");
        self.delivered[qos as usize].push(self.next_payload);
    }

    fn client_reads(&mut self, packets: usize) -> bool {
        while let Some(segment) = self.out.pop_segment() {
            self.to_client.extend_from_slice(segment.as_bytes());
        }
        let mut any = false;
        for _ in 0..packets {
            let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(&self.to_client, u32::MAX) else { break };
            let bytes: Vec<u8> = self.to_client.drain(..total_bytes).collect();
            self.client.receive(&codec::decode(&bytes, self.version).expect("a packet"), self.version);
            any = true;
        }
        any
    }

    fn server_reads(&mut self, packets: usize) -> bool {
        let mut any = false;
        for _ in 0..packets {
            let Some(bytes) = self.client.to_send.pop_front() else { break };
            let packet = codec::decode(&bytes, self.version).expect("a packet");
            match self.session.receive(&packet, &self.limits, NOW, &mut self.out) {
                Action::Publish(inbound) => self.route(&inbound),
                Action::Pump => {
                    self.session.pump(&self.limits, NOW, &mut self.out);
                }
                Action::None => {}
                action => panic!("{action:?} for {packet:?}"),
            }
            any = true;
        }
        any
    }

    fn route(&mut self, inbound: &Inbound<'_>) {
        let payload = std::str::from_utf8(inbound.message().payload).expect("text").parse().expect("a number");
        self.routed[inbound.qos as usize].push(payload);
        let packet_id = inbound.packet_id.expect("QoS above 0");
        // Some are decided at once, some later.
        if payload % 3 == 0 {
            self.session.accept(packet_id, inbound.qos, ReasonCode::Success, &mut self.out);
        } else {
            self.tickets.push(self.session.accept_later(packet_id, inbound.qos));
        }
    }

    fn commit(&mut self, oldest: bool) -> bool {
        if self.tickets.is_empty() {
            return false;
        }
        let ticket = self.tickets.remove(if oldest { 0 } else { self.tickets.len() - 1 });
        self.session.committed(ticket, ReasonCode::Success, &mut self.out);
        true
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Deliver(qos) => self.deliver(qos),
            Step::Publish(qos) if self.session.is_connected() => {
                self.next_payload += 1;
                let before = self.client.own.len();
                self.client.publish(qos, self.next_payload, self.version);
                if self.client.own.len() > before {
                    self.published[qos as usize].push(self.next_payload);
                }
            }
            Step::Publish(_) => {}
            Step::ClientReads(packets) => {
                self.client_reads(packets);
            }
            Step::ServerReads(packets) => {
                self.server_reads(packets);
            }
            Step::Commit { oldest } => {
                self.commit(oldest);
            }
            Step::Reconnect(receive_maximum) => self.reconnect(receive_maximum),
            Step::Disconnect => self.disconnect(),
        }
        self.session.invariants(&self.limits);
    }

    /// Lets everything come to an end.
    fn settle(&mut self) {
        self.reconnect(3);
        while self.client_reads(1) | self.server_reads(1) | self.commit(true) {
            self.session.invariants(&self.limits);
        }
    }

    fn verdict(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(first_of_each(&self.client.got[1]), &*self.delivered[1], "QoS 1 to the client");
        prop_assert_eq!(&self.client.got[2], &self.delivered[2], "QoS 2 to the client");
        prop_assert_eq!(first_of_each(&self.routed[1]), &*self.published[1], "QoS 1 from the client");
        prop_assert_eq!(&self.routed[2], &self.published[2], "QoS 2 from the client");
        prop_assert!(self.client.own.is_empty(), "everything is acknowledged");
        prop_assert!(!self.session.has_backlog() && self.session.inflight_len() == 0, "nothing is left");
        Ok(())
    }
}

/// The order in which messages came for the first time.
fn first_of_each(payloads: &[u32]) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    payloads.iter().copied().filter(|payload| seen.insert(*payload)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_as_its_qos_promises(steps in steps(), v5 in any::<bool>()) {
        let version = if v5 { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 };
        let mut world = World::new(version);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        world.verdict()?;
    }
}
