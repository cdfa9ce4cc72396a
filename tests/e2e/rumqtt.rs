//! rumqttc, the client that Rust programs use, in both versions of the protocol.

use crate::broker::Broker;
use crate::on_shards;
use crate::program::DEADLINE;

const MESSAGES: usize = 200;
const PACKET_BYTES_MAX: u32 = 10_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    topic: String,
    qos: u8,
    retain: bool,
    payload: Vec<u8>,
}

/// A connected client of either version.
trait Session: Sized {
    /// Connects and waits for the CONNACK; says also whether there was a session. A lasting session outlives its connection.
    fn connect(broker: &Broker, client_id: &str, lasting: bool) -> (Self, bool);

    /// Subscribes and waits for the SUBACK.
    fn subscribe(&mut self, filter: &str, qos: u8);

    /// Publishes without waiting.
    fn send(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]);

    /// Waits until so many publications of QoS 1 or 2 have been acknowledged to the end.
    fn acknowledged(&mut self, publications: usize);

    /// The next message.
    fn message(&mut self) -> Message;

    fn publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]) {
        self.send(topic, qos, retain, payload);
        self.acknowledged(1);
    }

    fn new(broker: &Broker, client_id: &str) -> Self {
        Self::connect(broker, client_id, false).0
    }
}

/// Implements [`Session`]: the crate has the same names twice, with different types.
macro_rules! session {
    ($version:ident, $client:path, $packet:path, $qos:path, $text:expr, $options:expr) => {
        mod $version {
            use super::*;
            use $client::{Client, Connection, Event, MqttOptions};
            use $packet as Packet;

            pub(super) struct Connected {
                client: Client,
                connection: Connection,
            }

            impl Connected {
                /// Reads on until a packet is what `wanted` looks for.
                fn wait_for<T>(&mut self, mut wanted: impl FnMut(&Packet) -> Option<T>) -> T {
                    loop {
                        let event = self.connection.recv_timeout(DEADLINE).expect("nothing came in time");
                        if let Event::Incoming(packet) = event.expect("the connection failed")
                            && let Some(found) = wanted(&packet)
                        {
                            return found;
                        }
                    }
                }
            }

            impl Session for Connected {
                fn connect(broker: &Broker, client_id: &str, lasting: bool) -> (Self, bool) {
                    let address = broker.address();
                    let mut options = MqttOptions::new(client_id, address.ip().to_string(), address.port());
                    let prepare: fn(&mut MqttOptions, bool) = $options;
                    prepare(&mut options, lasting);
                    let (client, connection) = Client::new(options, 2 * MESSAGES);
                    let mut session = Self { client, connection };
                    let present = session.wait_for(|packet| match packet {
                        Packet::ConnAck(connack) => Some(connack.session_present),
                        _ => None,
                    });
                    (session, present)
                }

                fn subscribe(&mut self, filter: &str, qos: u8) {
                    self.client.subscribe(filter, $qos(qos).unwrap()).unwrap();
                    self.wait_for(|packet| matches!(packet, Packet::SubAck(_)).then_some(()));
                }

                fn send(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]) {
                    self.client.publish(topic, $qos(qos).unwrap(), retain, payload.to_vec()).unwrap();
                }

                fn acknowledged(&mut self, publications: usize) {
                    for _ in 0..publications {
                        self.wait_for(|packet| matches!(packet, Packet::PubAck(_) | Packet::PubComp(_)).then_some(()));
                    }
                }

                fn message(&mut self) -> Message {
                    self.wait_for(|packet| match packet {
                        Packet::Publish(publish) => Some(Message {
                            topic: $text(&publish.topic),
                            qos: publish.qos as u8,
                            retain: publish.retain,
                            payload: publish.payload.to_vec(),
                        }),
                        _ => None,
                    })
                }
            }
        }
    };
}

session!(v4, rumqttc, rumqttc::Packet, rumqttc::qos, String::from, |options, lasting| {
    options.set_clean_session(!lasting).set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
});
session!(
    v5,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::mqttbytes::qos,
    |topic: &[u8]| String::from_utf8(topic.to_vec()).unwrap(),
    |options, lasting| {
        options.set_clean_start(!lasting).set_max_packet_size(Some(PACKET_BYTES_MAX));
        options.set_session_expiry_interval(lasting.then_some(1_000));
    }
);

fn every_qos<S: Session>(shards: usize) {
    let broker = Broker::start(shards);
    let mut publisher = S::new(&broker, "publisher");
    for granted in 0..=2 {
        let mut subscriber = S::new(&broker, &format!("subscriber-{granted}"));
        subscriber.subscribe("qos/#", granted);
        for sent in 0..=2 {
            let topic = format!("qos/{sent}");
            publisher.send(&topic, sent, false, b"payload");
            if sent > 0 {
                publisher.acknowledged(1);
            } else {
                // The broker reads in order, and this client only sends while it waits for something.
                publisher.publish("elsewhere", 1, false, b"");
            }
            let due = Message { topic, qos: sent.min(granted), retain: false, payload: b"payload".to_vec() };
            assert_eq!(subscriber.message(), due);
        }
    }
}

fn retained<S: Session>(shards: usize) {
    let broker = Broker::start(shards);
    let mut publisher = S::new(&broker, "publisher");
    for topic in ["kept/a", "kept/b", "kept/c/d"] {
        publisher.publish(topic, 1, true, b"old");
        publisher.publish(topic, 2, true, topic.as_bytes());
    }
    publisher.publish("kept/b", 1, true, b"");
    let mut late = S::new(&broker, "late");
    late.subscribe("kept/#", 1);
    let mut came = [late.message(), late.message()];
    came.sort_by(|a, b| a.topic.cmp(&b.topic));
    let due = |topic: &str| Message { topic: topic.to_owned(), qos: 1, retain: true, payload: topic.into() };
    assert_eq!(came, [due("kept/a"), due("kept/c/d")]);
    publisher.publish("kept/live", 1, false, b"");
    assert_eq!(late.message().topic, "kept/live");
}

fn order<S: Session>(shards: usize) {
    let broker = Broker::start(shards);
    let mut subscribers: Vec<S> = (0..6).map(|n| S::new(&broker, &format!("subscriber-{n}"))).collect();
    for subscriber in &mut subscribers {
        subscriber.subscribe("order/+", 2);
    }
    let mut publisher = S::new(&broker, "publisher");
    for qos in [1, 2] {
        for n in 0..MESSAGES {
            publisher.send(&format!("order/{qos}"), qos, false, n.to_string().as_bytes());
        }
        publisher.acknowledged(MESSAGES);
        for subscriber in &mut subscribers {
            for n in 0..MESSAGES {
                assert_eq!(subscriber.message().payload, n.to_string().as_bytes(), "QoS {qos}");
            }
        }
    }
}

fn session_resumes<S: Session>(shards: usize) {
    let broker = Broker::start(shards);
    let (mut subscriber, present) = S::connect(&broker, "sleeper", true);
    assert!(!present);
    subscriber.subscribe("session/#", 1);
    drop(subscriber);
    let mut publisher = S::new(&broker, "publisher");
    for n in 0..MESSAGES {
        publisher.send("session/queue", 1, false, n.to_string().as_bytes());
    }
    publisher.acknowledged(MESSAGES);
    let (mut back, present) = S::connect(&broker, "sleeper", true);
    assert!(present);
    for n in 0..MESSAGES {
        assert_eq!(back.message().payload, n.to_string().as_bytes());
    }
    drop(back);
    let (_clean, present) = S::connect(&broker, "sleeper", false);
    assert!(!present);
}

fn large<S: Session>(shards: usize) {
    let broker = Broker::start(shards);
    let payload: Vec<u8> = (0..2_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut publisher = S::new(&broker, "publisher");
    let mut subscriber = S::new(&broker, "subscriber");
    subscriber.subscribe("large", 2);
    for qos in [1, 2] {
        publisher.publish("large", qos, false, &payload);
        assert!(subscriber.message().payload == payload, "8 MB came otherwise with QoS {qos}");
    }
}

on_shards! {
    fn v4_every_qos(shards) { every_qos::<v4::Connected>(shards); }
    fn v5_every_qos(shards) { every_qos::<v5::Connected>(shards); }
    fn v4_retained(shards) { retained::<v4::Connected>(shards); }
    fn v5_retained(shards) { retained::<v5::Connected>(shards); }
    fn v4_order(shards) { order::<v4::Connected>(shards); }
    fn v5_order(shards) { order::<v5::Connected>(shards); }
    fn v4_session_resumes(shards) { session_resumes::<v4::Connected>(shards); }
    fn v5_session_resumes(shards) { session_resumes::<v5::Connected>(shards); }
    fn v4_large(shards) { large::<v4::Connected>(shards); }
    fn v5_large(shards) { large::<v5::Connected>(shards); }
}
