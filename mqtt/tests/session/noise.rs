//! A client that keeps no rule at all, driven by bytes: shared by a property test and a fuzz target.

use ringtail_mqtt::codec::{self, Frame};
use ringtail_mqtt::limits::{Limits, QueuePolicy};
use ringtail_mqtt::message::MessageRef;
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use ringtail_mqtt::time::Millis;
use std::num::NonZeroU16;

const TOPIC_NAMES: [&str; 4] = ["", "a", "rooms/kitchen/light", "a/b/c/d/e/f/g/h"];

/// Does what `bytes` say, a byte for what and some for how, and checks the session's invariants after every step.
pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let policy = if bytes.next() % 2 == 0 { QueuePolicy::DropOldest } else { QueuePolicy::DropNewest };
    let mut world = World::new(policy);
    world.connect_as(&mut Bytes(&[2, 2, 2, 60, 2]));
    while !bytes.0.is_empty() {
        world.step(&mut bytes);
        world.session.invariants(&world.limits);
    }
    world.check_sent();
}

/// What is left of the bytes; 0 for ever after their end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `end`.
    fn below(&mut self, end: u8) -> u8 {
        self.next() % end
    }

    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct World {
    session: Session,
    limits: Limits,
    now: Millis,
    out: Outbox,
    tickets: Vec<Ticket>,
    packet_bytes_max: usize,
}

impl World {
    fn new(queue_policy: QueuePolicy) -> Self {
        let limits = Limits {
            receive_maximum: 3,
            inflight_max: 3,
            queue_messages_max: 3,
            queue_bytes_max: 600,
            queue_policy,
            outbox_bytes_max: 200,
            topic_alias_maximum: 2,
            topic_alias_outbound_max: 2,
            topic_levels_max: 4,
            session_expiry_max_s: 3,
            ..Limits::default()
        };
        Self {
            session: Session::new("noise"),
            limits,
            now: Millis(0),
            out: Outbox::default(),
            tickets: Vec::new(),
            packet_bytes_max: usize::MAX,
        }
    }

    fn detach(&mut self, cause: DetachCause) {
        if !self.session.is_connected() {
            return;
        }
        let detached = self.session.detach(cause, self.now);
        self.out = Outbox::default();
        if detached.ends_now {
            self.replace();
        }
    }

    fn replace(&mut self) {
        let _ = self.session.end(self.now);
        self.session = Session::new("noise");
        self.tickets.clear(); // the broker forgets whom it decides for
    }

    fn receive(&mut self, packet: &Packet<'_>) {
        match self.session.receive(packet, &self.limits, self.now, &mut self.out) {
            Action::Publish(inbound) => {
                assert!(!inbound.message().topic_name.is_empty(), "an alias is resolved");
                if let Some(packet_id) = inbound.packet_id {
                    if packet_id.get() % 2 == 0 {
                        self.tickets.push(self.session.accept_later(packet_id, inbound.qos));
                    } else {
                        self.session.accept(packet_id, inbound.qos, ReasonCode::Success, &mut self.out);
                    }
                }
            }
            Action::Pump => {
                let _ = self.session.pump(&self.limits, self.now, &mut self.out);
            }
            Action::Close(reason) => {
                self.session.disconnect(reason, Some("elsewhere"), &mut self.out);
                self.check_sent();
                self.detach(DetachCause::Lost);
            }
            Action::Disconnect { with_will, .. } => self.detach(DetachCause::ClientDisconnect { with_will }),
            Action::None | Action::Refused(_) | Action::Subscribe(_) | Action::Unsubscribe(_) | Action::Auth(_) => {}
        }
    }

    fn connect(&mut self, connect: &Connect<'_>) {
        self.detach(DetachCause::Lost);
        if let Ok(admission) = Admission::of(connect, &Accepted::default(), &self.limits) {
            self.session.connect(admission, &self.limits, self.now, &mut self.out);
            self.packet_bytes_max = connect.properties.maximum_packet_size_bytes.map_or(usize::MAX, |max| max as usize);
        }
    }

    fn deliver(&mut self, bytes: &mut Bytes<'_>) {
        let qos = QoS::from_bits(bytes.below(3)).unwrap_or_default();
        let (expiry_s, payload_bytes, ids) = (bytes.below(4), bytes.below(80), bytes.below(3));
        let message = MessageRef {
            topic_name: TOPIC_NAMES[1 + usize::from(payload_bytes % 3)],
            properties: b"\x01\x01",
            payload: &[b'x'; 80][..usize::from(payload_bytes)],
            qos: QoS::ExactlyOnce,
            retain: false,
            expires_at: if expiry_s == 0 { Millis::NEVER } else { self.now.plus_s(u32::from(expiry_s)) },
        };
        let options = DeliverOptions { qos, retain: false, subscription_ids: &[7, 300][..usize::from(ids)] };
        let mut encoder = Encoder::default();
        let mut outgoing = Outgoing::new(message, &mut encoder);
        let _ = self.session.deliver(&mut outgoing, &options, &self.limits, self.now, &mut self.out);
    }

    /// What was sent is packets of a server, none larger than the client accepts.
    fn check_sent(&mut self) {
        let mut bytes = Vec::new();
        while let Some(segment) = self.out.pop_segment() {
            bytes.extend_from_slice(segment.as_bytes());
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(rest, u32::MAX) else { panic!("{rest:?}") };
            assert!(total_bytes <= self.packet_bytes_max, "[MQTT-3.1.2-24]");
            let packet = codec::decode(&rest[..total_bytes], self.session.version()).expect("a packet");
            packet.check_from_server().expect("a server's packet");
            rest = &rest[total_bytes..];
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        if !self.session.is_connected() {
            return self.step_alone(bytes);
        }
        match bytes.below(64) {
            0 => self.connect_as(bytes),
            1 => self.detach(DetachCause::ClientDisconnect { with_will: bytes.below(2) == 0 }),
            2 => self.wait(bytes.below(3)),
            3 | 4 => {
                self.check_sent();
                let _ = self.session.pump(&self.limits, self.now, &mut self.out);
            }
            5..=14 => self.decide(bytes),
            15..=34 => self.deliver(bytes),
            35..=44 => self.publish(bytes),
            45..=58 => self.acknowledge(bytes),
            59 => self.other(bytes),
            _ => {
                let length = usize::from(bytes.next());
                self.receive_bytes(bytes.take(length));
            }
        }
    }

    /// A step while no client is there.
    fn step_alone(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(8) {
            0 => self.wait(bytes.below(3)),
            1 => self.decide(bytes),
            2 | 3 => self.deliver(bytes),
            4 => self.acknowledge(bytes),
            _ => self.connect_as(bytes),
        }
    }

    fn connect_as(&mut self, bytes: &mut Bytes<'_>) {
        let version =
            [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5][usize::from(bytes.below(3))];
        let receive_maximum = NonZeroU16::new(u16::from(bytes.below(5)));
        let properties = Properties {
            receive_maximum,
            topic_alias_maximum: Some(u16::from(bytes.below(3))),
            maximum_packet_size_bytes: Some(u32::from(bytes.next()) + 20),
            session_expiry_interval_s: Some(u32::from(bytes.below(3))),
            ..Properties::default()
        };
        self.connect(&Connect {
            version,
            bridge: false,
            clean_start: bytes.below(2) == 1,
            keep_alive_s: receive_maximum.map_or(0, NonZeroU16::get),
            properties: if version == ProtocolVersion::V5 { properties } else { Properties::default() },
            client_id: "noise",
            will: None,
            username: None,
            password: None,
        });
    }

    fn wait(&mut self, s: u8) {
        self.now = self.now.plus_s(u32::from(s));
        match self.session.on_timeout(self.now) {
            Timeout::KeepAlive => self.detach(DetachCause::Lost),
            Timeout::Expired(_) => self.replace(),
            Timeout::None | Timeout::Will(_) => {}
        }
    }

    fn decide(&mut self, bytes: &mut Bytes<'_>) {
        if !self.tickets.is_empty() {
            let ticket = self.tickets.remove(usize::from(bytes.next()) % self.tickets.len());
            let reason = if bytes.below(4) == 0 { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
            self.session.committed(ticket, reason, &mut self.out);
        }
    }

    fn publish(&mut self, bytes: &mut Bytes<'_>) {
        let qos = QoS::from_bits(bytes.below(3)).unwrap_or_default();
        let topic_name = TOPIC_NAMES[usize::from(bytes.below(16) / 5)];
        let topic_alias = NonZeroU16::new(u16::from(bytes.below(4)));
        if topic_name.is_empty() && topic_alias.is_none() {
            return; // the codec's to refuse
        }
        self.receive(&Packet::Publish(Publish {
            dup: bytes.below(2) == 1,
            qos,
            retain: false,
            topic_name,
            packet_id: (qos > QoS::AtMostOnce).then(|| small_id(bytes)),
            properties: PublishProperties { topic_alias, ..PublishProperties::default() },
            payload: b"noise",
        }));
    }

    fn acknowledge(&mut self, bytes: &mut Bytes<'_>) {
        let kind = bytes.below(4);
        let packet_id = small_id(bytes);
        let reason = if bytes.below(4) == 0 { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
        let ack = Ack { packet_id, reason, properties: AckProperties::default() };
        self.receive(&match kind {
            0 => Packet::PubAck(ack),
            1 => Packet::PubRec(ack),
            2 => Packet::PubRel(ack),
            _ => Packet::PubComp(ack),
        });
    }

    fn other(&mut self, bytes: &mut Bytes<'_>) {
        let kind = bytes.below(6);
        let session_expiry_interval_s = kind.checked_sub(3).map(u32::from);
        let properties = Properties { session_expiry_interval_s, ..Properties::default() };
        let with = |reason| Box::new(ReasonPacket { reason, properties });
        self.receive(&match kind {
            0 => Packet::PingReq,
            1 => Packet::PingResp,
            2 => Packet::Auth(with(ReasonCode::ReAuthenticate)),
            _ => Packet::Disconnect(with(ReasonCode::Success)),
        });
    }

    /// Whatever the codec makes of the bytes.
    fn receive_bytes(&mut self, bytes: &[u8]) {
        match codec::decode(bytes, self.session.version()) {
            Ok(Packet::Connect(connect)) if !self.session.is_connected() => self.connect(&connect),
            Ok(packet) => self.receive(&packet),
            Err(_) => {}
        }
    }
}

fn small_id(bytes: &mut Bytes<'_>) -> PacketId {
    NonZeroU16::MIN.saturating_add(u16::from(bytes.below(5)))
}
