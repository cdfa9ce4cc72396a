//! A data folder that is full: what would have to be kept is refused with the reason, everything else goes on, nothing that
//! was acknowledged is lost, and it ends by itself when there is room.

use crate::broker::{Broker, Setup};
use crate::on_shards;
use crate::raw::*;
use Version::{V5, V311};
use std::path::Path;
use tempfile::TempDir;

pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
/// Several to a segment of 1 MiB.
const PAYLOAD_BYTES: usize = 60_000;
/// More than four segments hold.
const FULL_BY_NOW: usize = 100;

/// A broker whose logs are full after some 4 MB, and whose queues are not.
fn narrow(shards: usize, folder: &Path) -> Setup {
    Broker::with(shards)
        .keep_in(folder)
        .set("storage.limit_bytes", 4 << 20)
        .set("storage.segment_bytes", 1 << 20)
        .set("mqtt.queue_bytes_max", 1 << 30)
        .set("mqtt.queue_messages_max", 1_000_000)
}

pub(crate) fn payload(n: usize) -> Vec<u8> {
    let mut payload = vec![b'.'; PAYLOAD_BYTES];
    let number = format!("{n} ");
    payload[..number.len()].copy_from_slice(number.as_bytes());
    payload
}

fn number(payload: &[u8]) -> usize {
    let end = payload.iter().position(|byte| *byte == b' ').unwrap();
    std::str::from_utf8(&payload[..end]).unwrap().parse().unwrap()
}

/// A durable session that is subscribed and away.
pub(crate) fn sleeper(broker: &Broker, client_id: &str, filter: &str) {
    let mut client = Raw::connect(broker, &Connect::lasting(V5, client_id));
    client.subscribe(filter, 1);
    client.send(packet(DISCONNECT, 0, &[]));
    assert_eq!(client.next(), None);
}

/// Publishes until the log has no room; returns the numbers of what was acknowledged.
pub(crate) fn fill(publisher: &mut Raw, topic: &str) -> Vec<usize> {
    let mut kept = Vec::new();
    for n in 0..FULL_BY_NOW {
        // A publisher on another shard is told by DISCONNECT, one on the same by PUBACK.
        publisher.send(Publish::new(topic, payload(n)).qos(1, 1).bytes(V5));
        match publisher.next() {
            Some(packet) if packet.kind == PUBACK && packet.reason() < 0x80 => kept.push(n),
            Some(packet) => {
                assert_eq!(packet.reason(), QUOTA_EXCEEDED, "{packet:?}");
                return kept;
            }
            None => panic!("closed without a reason"),
        }
    }
    panic!("{FULL_BY_NOW} messages were kept, and the log is never full");
}

/// Connects the sleeper and takes so many messages; returns their numbers.
pub(crate) fn drain(broker: &Broker, client_id: &str, count: usize) -> (Raw, Vec<usize>) {
    let mut client = Raw::connect(broker, &Connect::lasting(V5, client_id));
    let numbers = (0..count).map(|_| number(&client.message().payload)).collect();
    (client, numbers)
}

/// Publishes until a message is taken again: room comes when the broker has cleaned up behind the last acknowledgement.
pub(crate) fn publish_until_taken(broker: &Broker, publish: &Publish) {
    let deadline = std::time::Instant::now() + crate::program::DEADLINE;
    while std::time::Instant::now() < deadline {
        let mut publisher = Raw::client(broker, V5, "again");
        publisher.send(publish.clone().qos(1, 1).bytes(V5));
        match publisher.next() {
            Some(packet) if packet.kind == PUBACK && packet.reason() < 0x80 => return,
            Some(packet) => assert_eq!(packet.reason(), QUOTA_EXCEEDED),
            None => panic!("closed without a reason"),
        }
    }
    panic!("the log has room, and refuses what is new");
}

on_shards! {
    fn a_full_log_refuses_and_recovers(shards) {
        let folder = TempDir::new().unwrap();
        let broker = narrow(shards, folder.path()).start();
        sleeper(&broker, "sleeper", "queue");
        let kept = fill(&mut Raw::client(&broker, V5, "publisher"), "queue");
        // How many depends on how soon the next segment is made.
        assert!(kept.len() > 2, "{kept:?}");

        // 3.1.1 has no way to say why.
        let mut old = Raw::client(&broker, V311, "old");
        old.send(Publish::new("queue", payload(0)).qos(1, 1).bytes(V311));
        assert_eq!(old.until_closed(), []);

        // What need not be kept goes on, at every QoS.
        let mut reader = Raw::client(&broker, V5, "reader");
        reader.subscribe("live", 1);
        let mut live = Raw::client(&broker, V5, "live");
        assert_eq!(live.publish(Publish::new("live", "on")), 0);
        assert_eq!(reader.message().payload, b"on");
        live.send(Publish::new("live", "twice").qos(2, 2).bytes(V5));
        assert_eq!(live.expect(PUBREC).reason(), 0);

        let (client, numbers) = drain(&broker, "sleeper", kept.len());
        assert_eq!(numbers, kept);
        drop(client);
        publish_until_taken(&broker, &Publish::new("queue", payload(1_000)));
        let (_client, numbers) = drain(&broker, "sleeper", 1);
        assert_eq!(numbers, [1_000]);
    }

    fn a_full_log_survives_a_kill(shards) {
        let folder = TempDir::new().unwrap();
        let broker = narrow(shards, folder.path()).start();
        sleeper(&broker, "sleeper", "queue");
        let kept = fill(&mut Raw::client(&broker, V5, "publisher"), "queue");
        broker.kill();

        let broker = narrow(shards, folder.path()).start();
        let (client, numbers) = drain(&broker, "sleeper", kept.len());
        assert_eq!(numbers, kept);
        drop(client);
        publish_until_taken(&broker, &Publish::new("queue", payload(1_000)));
    }

    fn a_full_log_takes_no_new_sessions_and_subscriptions(shards) {
        let folder = TempDir::new().unwrap();
        let broker = narrow(shards, folder.path()).start();
        sleeper(&broker, "sleeper", "queue");
        let mut publisher = Raw::client(&broker, V5, "publisher");
        fill(&mut publisher, "queue");
        // A small record may still find room where a large one did not. The same client id is on the same shard, which is
        // the full one.
        let mut client = Raw::connect(&broker, &Connect::lasting(V5, "sleeper"));
        let filter = "x".repeat(60_000);
        let mut refused = false;
        for n in 0..100 {
            client.send(subscribe(V5, 2, &[(&format!("{n}/{filter}"), 1)]));
            let suback = loop {
                let packet = client.next().unwrap();
                if packet.kind != PUBLISH {
                    break packet;
                }
            };
            assert_eq!(suback.kind, SUBACK, "{suback:?}");
            if suback.body.last() == Some(&QUOTA_EXCEEDED) {
                refused = true;
                break;
            }
        }
        assert!(refused, "a hundred large filters were kept by a log that is full");

        // A session that need not be kept is welcome, and its subscriptions are.
        let mut clean = Raw::client(&broker, V5, "clean");
        clean.subscribe(&filter, 1);
        clean.ping();
    }

    fn retained_messages_have_the_same_bound(shards) {
        let folder = TempDir::new().unwrap();
        let broker = narrow(shards, folder.path()).start();
        let mut publisher = Raw::client(&broker, V5, "publisher");
        // Each shard keeps its own.
        let mut kept = Vec::new();
        let mut refused = 0;
        for n in 0..FULL_BY_NOW * shards {
            publisher.send(Publish::new(format!("kept/{n}"), payload(n)).retain().qos(1, 1).bytes(V5));
            match publisher.next() {
                Some(packet) if packet.kind == PUBACK && packet.reason() < 0x80 => kept.push(n),
                Some(packet) => {
                    assert_eq!(packet.reason(), QUOTA_EXCEEDED, "{packet:?}");
                    refused += 1;
                    if packet.kind == DISCONNECT {
                        publisher = Raw::client(&broker, V5, "publisher");
                    }
                }
                None => panic!("closed without a reason"),
            }
        }
        assert!(kept.len() > 2 && refused > 0, "{kept:?}");
        broker.kill();

        let broker = narrow(shards, folder.path()).start();
        let mut reader = Raw::client(&broker, V5, "reader");
        reader.subscribe("kept/#", 1);
        let mut found: Vec<_> = kept.iter().map(|_| number(&reader.message().payload)).collect();
        found.sort_unstable();
        assert_eq!(found, kept);
        // Clearing makes room.
        let mut publisher = Raw::client(&broker, V5, "publisher");
        for n in &kept {
            assert_eq!(publisher.publish(Publish::new(format!("kept/{n}"), "").retain()), 0);
        }
        // On every shard.
        for n in 0..8 {
            publish_until_taken(&broker, &Publish::new(format!("again/{n}"), payload(n)).retain());
        }
    }
}
