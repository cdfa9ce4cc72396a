//! What a broker with a data folder keeps: after a clean stop, and after a crash at least all that it acknowledged.

use crate::broker::Broker;
use crate::on_shards;
use crate::raw::*;
use Version::{V5, V311};
use tempfile::TempDir;

const MESSAGES: usize = 200;
const SLEEPERS: usize = 5;

/// How the broker ends, and with how many shards it starts again.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    Killed,
}

fn sleeper(broker: &Broker, n: usize) -> (Raw, bool) {
    let version = if n.is_multiple_of(2) { V5 } else { V311 };
    let client_id = format!("sleeper-{n}");
    let mut client = Raw::open(broker, version);
    client.send(Connect::lasting(version, &client_id).bytes());
    let connack = client.expect(CONNACK);
    assert_eq!(connack.reason(), 0);
    (client, connack.body[0] & 1 != 0)
}

/// Fills a broker with sessions, queues and retained messages, ends it, starts it with `shards_after` shards, and looks for
/// all of it.
fn survives(shards: usize, shards_after: usize, end: End) {
    let folder = TempDir::new().unwrap();
    let broker = Broker::with(shards).keep_in(folder.path()).start();
    for n in 0..SLEEPERS {
        let (mut client, present) = sleeper(&broker, n);
        assert!(!present);
        client.subscribe(&format!("queue/{n}/#"), 1);
        client.subscribe("queue/all", 1);
        client.send(packet(DISCONNECT, 0, &[]));
        assert_eq!(client.next(), None);
    }
    let mut publisher = Raw::client(&broker, V5, "publisher");
    for m in 0..MESSAGES {
        publisher.publish(Publish::new(format!("queue/{}/x", m % SLEEPERS), m.to_string()));
        publisher.publish(Publish::new("queue/all", m.to_string()));
    }
    publisher.publish(Publish::new("kept/replaced", "old").retain());
    publisher.publish(Publish::new("kept/replaced", "new").retain());
    publisher.publish(Publish::new("kept/cleared", "old").retain());
    publisher.publish(Publish::new("kept/cleared", "").retain());
    // A clean session is gone with its connection, and what it leaves open of QoS 2 with it.
    publisher.send(Publish::new("queue/all", "half").qos(2, 7).bytes(V5));
    publisher.expect(PUBREC);
    match end {
        End::Stopped => broker.stop(),
        End::Killed => broker.kill(),
    }

    let broker = Broker::with(shards_after).keep_in(folder.path()).start();
    for n in 0..SLEEPERS {
        let (mut client, present) = sleeper(&broker, n);
        assert!(present, "the session of sleeper {n}");
        let (mut own, mut all) = (Vec::new(), Vec::new());
        while own.len() < MESSAGES / SLEEPERS || all.len() < MESSAGES {
            let message = client.message();
            let number = String::from_utf8(message.payload).unwrap();
            if number != "half" {
                if message.topic == b"queue/all" { &mut all } else { &mut own }.push(number);
            }
        }
        let due =
            |step: usize, first: usize| (first..MESSAGES).step_by(step).map(|m| m.to_string()).collect::<Vec<_>>();
        assert_eq!(own, due(SLEEPERS, n), "queue/{n}/x");
        assert_eq!(all, due(1, 0), "queue/all");
    }
    let mut reader = Raw::client(&broker, V5, "reader");
    reader.subscribe("kept/#", 1);
    let kept = reader.message();
    assert_eq!((&kept.topic[..], &kept.payload[..], kept.retain), (&b"kept/replaced"[..], &b"new"[..], true));
    Raw::client(&broker, V5, "live").publish(Publish::new("kept/live", ""));
    assert_eq!(reader.message().topic, b"kept/live");
}

on_shards! {
    fn a_clean_stop(shards) {
        survives(shards, shards, End::Stopped);
    }

    fn a_crash(shards) {
        survives(shards, shards, End::Killed);
    }

    fn another_number_of_shards(shards) {
        survives(shards, 4 - shards, End::Killed);
    }

    /// What a client has acknowledged does not come again after a restart, and what it has not does.
    fn acknowledgements_are_kept(shards) {
        let folder = TempDir::new().unwrap();
        let broker = Broker::with(shards).keep_in(folder.path()).start();
        let mut client = Raw::connect(&broker, &Connect::lasting(V5, "reader"));
        client.subscribe("a", 1);
        let mut publisher = Raw::client(&broker, V5, "publisher");
        for n in 0..4 {
            publisher.publish(Publish::new("a", n.to_string()));
        }
        for n in 0..2 {
            assert_eq!(client.message().payload, n.to_string().as_bytes());
        }
        // The broker reads in order: with the answer to this it has read the two PUBACKs.
        client.send(packet(PINGREQ, 0, &[]));
        while client.next().unwrap().kind != PINGRESP {}
        broker.stop();

        let broker = Broker::with(shards).keep_in(folder.path()).start();
        let mut client = Raw::connect(&broker, &Connect::lasting(V5, "reader"));
        for n in 2..4 {
            let message = client.message();
            assert_eq!((message.payload, message.duplicate), (n.to_string().into_bytes(), true));
        }
        Raw::client(&broker, V5, "publisher").publish(Publish::new("a", "new"));
        assert_eq!(client.message().payload, b"new");
    }

    /// A publication of QoS 2 that a restart interrupts is delivered once.
    fn exactly_once_over_a_restart(shards) {
        let folder = TempDir::new().unwrap();
        let broker = Broker::with(shards).keep_in(folder.path()).start();
        let mut reader = Raw::connect(&broker, &Connect::lasting(V5, "reader"));
        reader.subscribe("once", 1);
        let mut publisher = Raw::connect(&broker, &Connect::lasting(V311, "publisher"));
        publisher.send(Publish::new("once", "first").qos(2, 5).bytes(V311));
        publisher.expect(PUBREC);
        broker.kill();

        let broker = Broker::with(shards).keep_in(folder.path()).start();
        let mut publisher = Raw::connect(&broker, &Connect::lasting(V311, "publisher"));
        let again = Publish { duplicate: true, ..Publish::new("once", "first").qos(2, 5) };
        publisher.send(again.bytes(V311));
        publisher.expect(PUBREC);
        publisher.send(packet_of_id(PUBREL, 2, 5));
        publisher.expect(PUBCOMP);
        publisher.publish(Publish::new("once", "second"));
        let mut reader = Raw::connect(&broker, &Connect::lasting(V5, "reader"));
        assert_eq!(reader.message().payload, b"first");
        assert_eq!(reader.message().payload, b"second");
    }
}

/// A stop does not wait for what is far away, such as the end of a session; it comes at any moment of the broker's turns.
#[test]
fn a_broker_that_keeps_sessions_stops_at_once() {
    for shards in [1, 3] {
        let folder = TempDir::new().unwrap();
        let broker = Broker::with(shards).keep_in(folder.path()).start();
        for n in 0..shards * 4 {
            Raw::connect(&broker, &Connect::lasting(V5, &format!("client-{n}")));
        }
        broker.stop();
        for _ in 0..30 {
            Broker::with(shards).keep_in(folder.path()).start().stop();
        }
    }
}
