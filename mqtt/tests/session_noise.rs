//! A client that keeps no rule at all: whatever it sends, in whatever order, the session neither panics nor breaks its
//! invariants, and what it sends itself stays within the protocol.

use proptest::prelude::*;
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

#[derive(Clone, Debug)]
enum Step {
    Publish { qos: u8, packet_id: u16, topic: usize, alias: u16, dup: bool, retain: bool },
    Ack { kind: u8, packet_id: u16, failed: bool },
    Other(u8),
    Deliver { qos: u8, expiry_s: u32, bytes: usize, ids: usize },
    Decide { failed: bool },
    Connect { receive_maximum: u16, aliases: u16, packet_bytes: u32, version: u8, expiry_s: u32 },
    Detach { with_will: bool },
    Wait(u32),
    Sent,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 1..6_u16;
    let step = prop_oneof![
        4 => (0..3_u8, id.clone(), 0..4_usize, 0..4_u16, any::<bool>(), any::<bool>()).prop_map(
            |(qos, packet_id, topic, alias, dup, retain)| Step::Publish { qos, packet_id, topic, alias, dup, retain }
        ),
        6 => (4..8_u8, id, any::<bool>()).prop_map(|(kind, packet_id, failed)| Step::Ack { kind, packet_id, failed }),
        1 => (0..6_u8).prop_map(Step::Other),
        6 => (0..3_u8, 0..4_u32, 0..80_usize, 0..3_usize)
            .prop_map(|(qos, expiry_s, bytes, ids)| Step::Deliver { qos, expiry_s, bytes, ids }),
        3 => any::<bool>().prop_map(|failed| Step::Decide { failed }),
        1 => (1..5_u16, 0..3_u16, 20..120_u32, 3..6_u8, 0..3_u32).prop_map(
            |(receive_maximum, aliases, packet_bytes, version, expiry_s)| Step::Connect {
                receive_maximum, aliases, packet_bytes, version, expiry_s
            }
        ),
        1 => any::<bool>().prop_map(|with_will| Step::Detach { with_will }),
        1 => (0..3_u32).prop_map(Step::Wait),
        2 => Just(Step::Sent),
    ];
    proptest::collection::vec(step, 1..100)
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
                self.session.disconnect(reason, Some("noise"), &mut self.out);
                self.check_sent();
                self.detach(DetachCause::Lost);
            }
            Action::Disconnect { with_will, .. } => self.detach(DetachCause::ClientDisconnect { with_will }),
            Action::None | Action::Subscribe(_) | Action::Unsubscribe(_) | Action::Auth(_) => {}
        }
    }

    fn connect(&mut self, connect: &Connect<'_>) {
        self.detach(DetachCause::Lost);
        let connected =
            self.session.connect(connect, &Accepted::default(), &self.limits, self.now, &mut self.out).is_ok();
        if connected {
            self.packet_bytes_max = connect.properties.maximum_packet_size_bytes.map_or(usize::MAX, |max| max as usize);
        }
    }

    fn deliver(&mut self, qos: u8, expiry_s: u32, bytes: usize, ids: usize) {
        let message = MessageRef {
            topic_name: TOPIC_NAMES[1 + bytes % 3],
            properties: b"\x01\x01",
            payload: &[b'x'; 80][..bytes],
            qos: QoS::ExactlyOnce,
            retain: false,
            expires_at: if expiry_s == 0 { Millis::NEVER } else { self.now.plus_s(expiry_s) },
        };
        let qos = QoS::from_bits(qos).expect("a QoS");
        let options = DeliverOptions { qos, retain: false, subscription_ids: &[7, 300][..ids] };
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

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish { qos, packet_id, topic, alias, dup, retain } => {
                let topic_alias = NonZeroU16::new(alias);
                if topic_alias.is_none() && TOPIC_NAMES[topic].is_empty() {
                    return; // the codec's to refuse
                }
                self.receive(&Packet::Publish(Publish {
                    dup,
                    qos: QoS::from_bits(qos).expect("a QoS"),
                    retain,
                    topic_name: TOPIC_NAMES[topic],
                    packet_id: NonZeroU16::new(packet_id).filter(|_| qos > 0),
                    properties: PublishProperties { topic_alias, ..PublishProperties::default() },
                    payload: b"noise",
                }));
            }
            Step::Ack { kind, packet_id, failed } => {
                let reason = if failed { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
                let packet_id = NonZeroU16::new(packet_id).expect("not 0");
                let ack = Ack { packet_id, reason, properties: AckProperties::default() };
                self.receive(&match kind {
                    4 => Packet::PubAck(ack),
                    5 => Packet::PubRec(ack),
                    6 => Packet::PubRel(ack),
                    _ => Packet::PubComp(ack),
                });
            }
            Step::Other(kind) => {
                let reason = ReasonCode::Success;
                let session_expiry_interval_s = (kind > 2).then(|| u32::from(kind) - 3);
                let properties = Properties { session_expiry_interval_s, ..Properties::default() };
                self.receive(&match kind {
                    0 => Packet::PingReq,
                    1 => Packet::PingResp,
                    2 => Packet::Auth(Box::new(ReasonPacket { reason: ReasonCode::ReAuthenticate, properties })),
                    _ => Packet::Disconnect(Box::new(ReasonPacket { reason, properties })),
                });
            }
            Step::Deliver { qos, expiry_s, bytes, ids } => self.deliver(qos, expiry_s, bytes, ids),
            Step::Decide { failed } => {
                if let Some(ticket) = self.tickets.pop() {
                    let reason = if failed { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
                    self.session.committed(ticket, reason, &mut self.out);
                }
            }
            Step::Connect { receive_maximum, aliases, packet_bytes, version, expiry_s } => {
                let v5 = version == 5;
                let properties = Properties {
                    receive_maximum: NonZeroU16::new(receive_maximum).filter(|_| v5),
                    topic_alias_maximum: v5.then_some(aliases),
                    maximum_packet_size_bytes: v5.then_some(packet_bytes),
                    session_expiry_interval_s: v5.then_some(expiry_s),
                    ..Properties::default()
                };
                self.connect(&Connect {
                    version: [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5]
                        [usize::from(version) - 3],
                    bridge: false,
                    clean_start: aliases == 0,
                    keep_alive_s: receive_maximum,
                    properties,
                    client_id: "noise",
                    will: None,
                    username: None,
                    password: None,
                });
            }
            Step::Detach { with_will } => self.detach(DetachCause::ClientDisconnect { with_will }),
            Step::Wait(s) => {
                self.now = self.now.plus_s(s);
                match self.session.on_timeout(self.now) {
                    Timeout::KeepAlive => self.detach(DetachCause::Lost),
                    Timeout::Expired(_) => self.replace(),
                    Timeout::None | Timeout::Will(_) => {}
                }
            }
            Step::Sent => {
                self.check_sent();
                let _ = self.session.pump(&self.limits, self.now, &mut self.out);
            }
        }
        self.session.invariants(&self.limits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_packets_breaks_the_session(steps in steps(), drop_oldest in any::<bool>()) {
        let mut world = World::new(if drop_oldest { QueuePolicy::DropOldest } else { QueuePolicy::DropNewest });
        world.step(&Step::Connect { receive_maximum: 2, aliases: 2, packet_bytes: 60, version: 5, expiry_s: 2 });
        for step in &steps {
            world.step(step);
        }
        world.check_sent();
    }
}
