//! The codec on the packets that a broker handles most: PUBLISH in each QoS, and PUBACK.

use criterion::{Criterion, criterion_group, criterion_main};
use ringtail_mqtt::codec::{
    DecodeError, Frame, PublishHead, UserPropertiesBuf, decode, encode_ack, encode_publish, frame,
};
use ringtail_mqtt::packet::{
    Packet, PacketId, PacketType, ProtocolVersion, Publish, PublishProperties, QoS, SubscriptionIdentifiers,
};
use ringtail_mqtt::reason::ReasonCode;
use std::hint::black_box;

const TOPIC_NAME: &str = "site/7/line/3/temperature";
const PAYLOAD: [u8; 64] = *b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn publish(qos: QoS, properties: PublishProperties<'static>) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic_name: TOPIC_NAME,
        packet_id: PacketId::new(7).filter(|_| qos > QoS::AtMostOnce),
        properties,
        payload: &PAYLOAD,
    }
}

/// Every PUBLISH of the benches, with its name and version.
fn publishes() -> Vec<(String, ProtocolVersion, Publish<'static>)> {
    let users = Box::leak(Box::<UserPropertiesBuf>::default());
    users.push("trace", "4bf92f3577b34da6").expect("two short strings");
    let properties = PublishProperties {
        content_type: Some("application/json"),
        message_expiry_interval_s: Some(60),
        subscription_identifiers: SubscriptionIdentifiers::default(),
        user_properties: users.as_properties(),
        ..PublishProperties::default()
    };
    let mut publishes = Vec::new();
    for qos in QOS {
        let plain = publish(qos, PublishProperties::default());
        publishes.push((format!("3.1.1/qos{}", qos as u8), ProtocolVersion::V3_1_1, plain));
        publishes.push((format!("5.0/qos{}", qos as u8), ProtocolVersion::V5, plain));
        publishes.push((format!("5.0/qos{}/properties", qos as u8), ProtocolVersion::V5, publish(qos, properties)));
    }
    publishes
}

fn encoded(publish: &Publish<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_publish(publish, version, &mut bytes).expect("a packet within every limit");
    bytes
}

/// Takes the packet as a session does, where it stands: returned to criterion it would be moved, which costs more than
/// the decoding.
fn consume(packet: Result<Packet<'_>, DecodeError>) {
    black_box(&packet);
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, version, publish) in publishes() {
        let bytes = encoded(&publish, version);
        group.bench_function(format!("publish/{name}"), |bencher| {
            bencher.iter(|| consume(decode(black_box(&bytes), black_box(version))));
        });
    }
    let puback = [0x40, 2, 0, 7];
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        group.bench_function(format!("puback/{version:?}"), |bencher| {
            bencher.iter(|| consume(decode(black_box(&puback), black_box(version))));
        });
    }
    group.finish();
}

fn framing(criterion: &mut Criterion) {
    let (_, version, publish) = publishes().remove(0);
    let bytes = encoded(&publish, version);
    criterion.bench_function("frame/publish", |bencher| {
        bencher.iter(|| matches!(frame(black_box(&bytes), black_box(1 << 20)), Ok(Frame::Complete { .. })));
    });
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = Vec::with_capacity(4_096);
    for (name, version, publish) in publishes() {
        group.bench_function(format!("publish/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_publish(black_box(&publish), black_box(version), &mut out).map(|()| out.len())
            });
        });
    }
    let packet_id = PacketId::MIN;
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        group.bench_function(format!("puback/{version:?}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_ack(PacketType::PubAck, black_box(packet_id), ReasonCode::Success, black_box(version), &mut out);
                out.len()
            });
        });
        group.bench_function(format!("publish head/{version:?}"), |bencher| {
            let head = PublishHead {
                dup: false,
                qos: QoS::AtLeastOnce,
                retain: false,
                topic_name: TOPIC_NAME,
                packet_id: Some(packet_id),
                forwarded_properties: &[],
                message_expiry_interval_s: None,
                topic_alias: None,
                subscription_identifiers: &[],
                payload_bytes: PAYLOAD.len(),
            };
            bencher.iter(|| {
                out.clear();
                black_box(&head).encode(black_box(version), &mut out)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, framing, encoding);
criterion_main!(benches);
