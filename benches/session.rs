//! What the session costs a message, without codec and network: deliveries, acknowledgements, and what a client publishes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::{
    Ack, AckProperties, Connect, Packet, PacketId, Properties, ProtocolVersion, Publish, PublishProperties, QoS,
};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{Accepted, Action, Admission, DeliverOptions, Delivered, Encoder, Outgoing, Session};
use ringtail_mqtt::time::Millis;
use std::hint::black_box;
use std::rc::Rc;

const NOW: Millis = Millis(1_000);
const TOPIC_NAME: &str = "plant/7/line/3/temperature";

struct Bench {
    session: Session,
    limits: Limits,
    out: Outbox,
    next_id: u16,
}

impl Bench {
    fn new(version: ProtocolVersion, clean_start: bool, topic_alias_maximum: u16) -> Self {
        let mut bench = Self {
            session: Session::new("bench-1"),
            limits: Limits::default(),
            out: Outbox::with_buffer(Vec::with_capacity(1 << 20)),
            next_id: 1,
        };
        let topic_alias_maximum = Some(topic_alias_maximum);
        let session_expiry_interval_s = Some(if clean_start { 0 } else { 3_600 });
        let properties = Properties { topic_alias_maximum, session_expiry_interval_s, ..Properties::default() };
        let connect = Connect {
            version,
            bridge: false,
            clean_start,
            keep_alive_s: 60,
            properties,
            client_id: "bench-1",
            will: None,
            username: None,
            password: None,
        };
        let admission = Admission::of(&connect, &Accepted::default(), &bench.limits).expect("accepted");
        bench.session.connect(admission, &bench.limits, NOW, &mut bench.out);
        bench
    }

    fn deliver(&mut self, outgoing: &mut Outgoing<'_>, qos: QoS) -> Delivered {
        let options = DeliverOptions { qos, ..DeliverOptions::default() };
        self.session.deliver(outgoing, &options, &self.limits, NOW, &mut self.out)
    }

    fn receive(&mut self, packet: &Packet<'_>) {
        match self.session.receive(packet, &self.limits, NOW, &mut self.out) {
            Action::Publish(inbound) => {
                if let Some(packet_id) = inbound.packet_id {
                    self.session.accept(packet_id, inbound.qos, ReasonCode::Success, &mut self.out);
                }
            }
            Action::None | Action::Pump => {}
            action => panic!("{action:?}"),
        }
    }

    /// The next identifier of the server's, as a client sees it.
    fn take_id(&mut self) -> PacketId {
        let id = PacketId::new(self.next_id).expect("not 0");
        self.next_id = if self.next_id == u16::MAX { 1 } else { self.next_id + 1 };
        id
    }

    fn sent(&mut self) {
        self.out.bytes_mut().clear();
    }
}

fn ack(packet_id: PacketId) -> Ack<'static> {
    Ack { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() }
}

fn message(payload: &[u8]) -> Rc<Message> {
    let message = MessageRef {
        topic_name: TOPIC_NAME,
        properties: &[],
        payload,
        qos: QoS::ExactlyOnce,
        retain: false,
        expires_at: Millis::NEVER,
    };
    Rc::new(message.into())
}

/// One message to many subscribers, which is where a broker spends its time.
fn fan_out(c: &mut Criterion) {
    const SUBSCRIBERS: u64 = 1_000;
    let mut group = c.benchmark_group("session/deliver_qos0_to_1000");
    group.throughput(Throughput::Elements(SUBSCRIBERS));
    for payload_bytes in [64, 1024, 32 * 1024] {
        let message = message(&vec![7; payload_bytes]);
        let mut bench = Bench::new(ProtocolVersion::V5, true, 0);
        let mut encoder = Encoder::default();
        group.bench_function(format!("{payload_bytes}_bytes"), |b| {
            b.iter(|| {
                let mut outgoing = Outgoing::from_shared(&message, &mut encoder);
                for _ in 0..SUBSCRIBERS {
                    let _ = black_box(bench.deliver(&mut outgoing, QoS::AtMostOnce));
                    bench.sent();
                    while bench.out.pop_segment().is_some() {}
                }
            });
        });
    }
    group.finish();
}

/// One subscriber: the head is encoded for it alone.
fn single(c: &mut Criterion) {
    let mut group = c.benchmark_group("session/deliver_to_one");
    for (name, topic_alias_maximum) in [("plain", 0), ("aliased", 16)] {
        let mut bench = Bench::new(ProtocolVersion::V5, true, topic_alias_maximum);
        let mut encoder = Encoder::default();
        let message = message(&[7; 64]);
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut outgoing = Outgoing::new(Message::as_ref(&message), &mut encoder);
                let _ = black_box(bench.deliver(&mut outgoing, QoS::AtMostOnce));
                bench.sent();
            });
        });
    }
    group.finish();
}

/// A delivery and its acknowledgements, with `depth` messages in flight.
fn rounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("session/round");
    let message = message(&[7; 64]);
    let mut encoder = Encoder::default();
    for (name, clean_start) in [("clean", true), ("persistent", false)] {
        for depth in [0, 100] {
            let mut bench = Bench::new(ProtocolVersion::V5, clean_start, 0);
            let mut outgoing = Outgoing::from_shared(&message, &mut encoder);
            for _ in 0..depth {
                let _ = bench.deliver(&mut outgoing, QoS::AtLeastOnce);
            }
            group.bench_function(format!("qos1_{name}_behind_{depth}"), |b| {
                b.iter(|| {
                    let _ = black_box(bench.deliver(&mut outgoing, QoS::AtLeastOnce));
                    let packet_id = bench.take_id();
                    bench.receive(&Packet::PubAck(ack(packet_id)));
                    bench.sent();
                });
            });
        }
    }
    let mut bench = Bench::new(ProtocolVersion::V5, false, 0);
    let mut outgoing = Outgoing::from_shared(&message, &mut encoder);
    group.bench_function("qos2_persistent", |b| {
        b.iter(|| {
            let _ = black_box(bench.deliver(&mut outgoing, QoS::ExactlyOnce));
            let packet_id = bench.take_id();
            bench.receive(&Packet::PubRec(ack(packet_id)));
            bench.receive(&Packet::PubComp(ack(packet_id)));
            bench.sent();
        });
    });
    group.finish();
}

/// What a client publishes: PUBLISH in, and its acknowledgements.
fn inbound(c: &mut Criterion) {
    let mut group = c.benchmark_group("session/receive_publish");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut bench = Bench::new(ProtocolVersion::V5, false, 0);
        group.bench_function(format!("qos{}", qos as u8), |b| {
            b.iter(|| {
                let packet_id = bench.take_id();
                bench.receive(&Packet::Publish(Publish {
                    dup: false,
                    qos,
                    retain: false,
                    topic_name: TOPIC_NAME,
                    packet_id: (qos > QoS::AtMostOnce).then_some(packet_id),
                    properties: PublishProperties::default(),
                    payload: &[7; 64],
                }));
                if qos == QoS::ExactlyOnce {
                    bench.receive(&Packet::PubRel(ack(packet_id)));
                }
                bench.sent();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out, single, rounds, inbound);
criterion_main!(benches);
