//! Too much at once: readers that do not read, and everybody with the same name.

use crate::broker::Broker;
use crate::bystanders::Bystanders;
use crate::on_shards;
use crate::raw::*;
use Version::V5;
use std::thread;

const SESSION_TAKEN_OVER: u8 = 0x8E;
const MIB: usize = 1 << 20;

/// Publishes `bytes` bytes to `topic` in payloads of 64 KiB, each acknowledged.
fn flood(publisher: &mut Raw, topic: &str, bytes: usize, qos: u8) {
    let payload = vec![b'x'; 64 << 10];
    for _ in 0..bytes / payload.len() {
        if qos == 0 {
            publisher.send(Publish::new(topic, &payload).bytes(V5));
        } else {
            assert_eq!(publisher.publish(Publish::new(topic, &payload)) & 0x80, 0);
        }
    }
    publisher.ping();
}

/// A subscriber that does not read, under a flood: the publisher comes to its end, others are not held up, and the
/// broker keeps no more than its bounds say.
fn unread(shards: usize, qos: u8) {
    let broker = Broker::with(shards)
        .set("mqtt.outbox_bytes_max", MIB)
        .set("mqtt.queue_bytes_max", MIB)
        .set("mqtt.slow_consumer_grace_ms", 100)
        .start();
    let bystanders = Bystanders::start(&broker);
    let mut deaf: Vec<Raw> = (0..3).map(|n| Raw::client(&broker, V5, &format!("deaf-{n}"))).collect();
    for client in &mut deaf {
        client.subscribe("flood", qos);
    }
    let mut publisher = Raw::client(&broker, V5, "flooder");
    flood(&mut publisher, "flood", 8 * MIB, qos);
    let before = broker.memory_bytes();
    flood(&mut publisher, "flood", 128 * MIB, qos);
    let grown = broker.memory_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "the broker grew by {grown} bytes under 128 MiB that nobody read");
    bystanders.are_unharmed();
    // Its connection is still good for what it can take, or was closed with a reason.
    let mut client = deaf.remove(0);
    let first = client.next().unwrap();
    assert!(matches!(first.kind, PUBLISH | DISCONNECT), "{first:?}");
    drop(deaf);
    bystanders.stop();
}

on_shards! {
    fn a_subscriber_that_never_reads_qos_0(shards) {
        unread(shards, 0);
    }

    fn a_subscriber_that_never_reads_qos_1(shards) {
        unread(shards, 1);
    }

    /// A client that asks and asks and never reads an answer: it is held back or closed, and costs its bound at most.
    fn a_client_that_never_reads_its_answers(shards) {
        let broker = Broker::with(shards).set("mqtt.outbox_bytes_max", MIB).start();
        let bystanders = Bystanders::start(&broker);
        let mut deaf = Raw::client(&broker, V5, "deaf");
        let before = broker.memory_bytes();
        let pings = packet(PINGREQ, 0, &[]).repeat(MIB / 2);
        for _ in 0..64 {
            if !deaf.send_within(&pings, std::time::Duration::from_millis(500)) {
                break;
            }
        }
        let grown = broker.memory_bytes().saturating_sub(before);
        assert!(grown < 48 * MIB, "the broker grew by {grown} bytes for answers that nobody read");
        bystanders.stop();
    }

    fn one_name_for_all(shards) {
        const CLIENTS: usize = 100;
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        let mut connected: Vec<Raw> = thread::scope(|scope| {
            let connecting: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(|| Raw::connect(&broker, &Connect::lasting(V5, "everybody")))).collect();
            connecting.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let mut survivors = 0;
        for client in &mut connected {
            // To a connection that was closed a write may fail; what it was told is there to read nevertheless.
            let _ = client.try_send(packet(PINGREQ, 0, &[]));
            match client.next() {
                Some(packet) if packet.kind == PINGRESP => survivors += 1,
                Some(packet) => {
                    assert_eq!((packet.kind, packet.reason()), (DISCONNECT, SESSION_TAKEN_OVER));
                    assert_eq!(client.next(), None);
                }
                // The reset that answers a late write may overtake the DISCONNECT.
                None => {}
            }
        }
        assert_eq!(survivors, 1, "of the connections of one session");
        bystanders.stop();
    }

    fn connections_come_and_go(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        thread::scope(|scope| {
            for thread in 0..4 {
                let broker = &broker;
                scope.spawn(move || {
                    for n in 0..200 {
                        let mut client = Raw::client(broker, V5, &format!("passing-{thread}-{n}"));
                        client.subscribe(&format!("passing/{n}/#"), 0);
                        if n % 2 == 0 {
                            client.send(packet(DISCONNECT, 0, &[]));
                            assert_eq!(client.next(), None);
                        }
                    }
                });
            }
        });
        bystanders.stop();
    }
}
