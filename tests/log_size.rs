//! The log's size after a day's traffic squeezed into little: durable sessions that come and go, retained messages that change and
//! others that stay, QoS 1 and 2. However much went through and however large a segment may be, the logs take at most three times
//! what is live, and some small segments.
//!
//! `scripts/log-size` runs it for longer and prints what it finds.
#![expect(clippy::print_stdout, reason = "the table is what the script is for")]

#[path = "e2e/broker.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod broker;
#[path = "e2e/program.rs"]
mod program;
#[path = "e2e/raw.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod raw;

use broker::Broker;
use raw::Version::V5;
use raw::*;
use std::path::Path;
use tempfile::TempDir;

/// Of each shard, beyond three times its live bytes: the two that a small log is granted, the one appended to, the one made
/// ahead, and those that go with the next commit, each as small as they come.
const BESIDE_BYTES: u64 = 6 << 20;
const PAYLOAD_BYTES: usize = 2_000;
/// Retained messages for each megabyte that is kept.
const RETAINED: usize = 400;
/// Those of them that change; the others have to be moved time and again.
const CHANGING: usize = 180;
const SLEEPERS: usize = 4;
const QUEUED_A_ROUND: usize = 250;
/// PUBLISHes in flight.
const WINDOW: usize = 50;

/// A number that the script may set.
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// A message for a topic, and its payload's first bytes.
fn publish(topic: String, number: usize) -> Publish {
    let mut payload = number.to_string().into_bytes();
    payload.resize(PAYLOAD_BYTES, b'.');
    Publish::new(topic, payload)
}

/// Publishes all of them and waits until each is acknowledged.
fn publish_all(publisher: &mut Raw, messages: Vec<Publish>, qos: u8) {
    for batch in messages.chunks(WINDOW) {
        for (message, packet_id) in batch.iter().zip(1..) {
            publisher.send(message.clone().qos(qos, packet_id).bytes(V5));
        }
        let answers: &[u8] = if qos == 1 { &[PUBACK] } else { &[PUBREC, PUBCOMP] };
        for answer in answers {
            for packet_id in 1..=batch.len() as u16 {
                assert!(publisher.expect(*answer).reason() < 0x80);
                if *answer == PUBREC {
                    publisher.send(packet_of_id(PUBREL, 2, packet_id));
                }
            }
        }
    }
}

fn sleeper(broker: &Broker, n: usize) -> Raw {
    Raw::connect(broker, &Connect::lasting(V5, &format!("sleeper-{n}")))
}

/// Takes so many messages to their ends.
fn take_all(client: &mut Raw, mut left: usize) {
    while left > 0 {
        let packet = client.next().unwrap();
        let answer = match packet.kind {
            PUBLISH => {
                let publish = Publish::parse(V5, &packet);
                left -= usize::from(publish.qos == 1);
                packet_of_id(if publish.qos == 1 { PUBACK } else { PUBREC }, 0, publish.packet_id)
            }
            PUBREL => {
                left -= 1;
                packet_of_id(PUBCOMP, 0, u16::from_be_bytes([packet.body[0], packet.body[1]]))
            }
            _ => panic!("{packet:?}"),
        };
        client.send(answer);
    }
}

fn leave(mut client: Raw) {
    client.send(packet(DISCONNECT, 0, &[]));
    assert_eq!(client.next(), None);
}

/// A round: changes, messages for all sleepers, and one of them takes all that waits for it.
fn round(broker: &Broker, publisher: &mut Raw, number: usize, changing: usize, waiting: &mut [usize]) {
    let changes = (0..changing * 2).map(|n| publish(format!("kept/{}", (n * 7 + number * 13) % changing), n).retain());
    publish_all(publisher, changes.collect(), 1);
    for qos in [1, 2] {
        publish_all(publisher, (0..QUEUED_A_ROUND / 2).map(|n| publish("queue/all".into(), n)).collect(), qos);
    }
    waiting.iter_mut().for_each(|waiting| *waiting += QUEUED_A_ROUND / 2 * 2);
    let awake = number % SLEEPERS;
    let mut client = sleeper(broker, awake);
    take_all(&mut client, std::mem::take(&mut waiting[awake]));
    client.ping(); // the broker has read the last acknowledgement
    leave(client);
}

fn folder_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { folder_bytes(&entry.path()) } else { length(&entry.path()) }).sum()
}

/// A segment may go while it is looked at.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn stays_small(shards: usize) {
    let rounds = setting("RINGTAIL_LOG_ROUNDS", 20);
    let kept_mb = setting("RINGTAIL_LOG_KEPT_MB", 4);
    let segment_bytes = (setting("RINGTAIL_LOG_SEGMENT_MB", 64) << 20) as u64;
    let folder = TempDir::new().unwrap();
    let mut broker = Broker::with(shards)
        .keep_in(folder.path())
        .set("storage.segment_bytes", segment_bytes)
        .set("log.format", "json")
        .start();
    for n in 0..SLEEPERS {
        let mut client = sleeper(&broker, n);
        client.subscribe("queue/#", 2);
        leave(client);
    }
    let mut publisher = Raw::connect(&broker, &Connect::lasting(V5, "publisher"));
    publish_all(&mut publisher, (0..RETAINED * kept_mb).map(|n| publish(format!("kept/{n}"), n).retain()).collect(), 1);
    println!("{shards} shards: round, MB appended, MB moved, MB of the folder, MB live, folder to live");
    let mut waiting = [0; SLEEPERS];
    let mut live = 0;
    for number in 0..rounds {
        round(&broker, &mut publisher, number, CHANGING * kept_mb, &mut waiting);
        let names = ["storage_bytes", "storage_live_bytes", "storage_appended_bytes", "storage_moved_bytes"];
        let counters = broker.counters(&names);
        let (appended, moved) = (counters[2], counters[3]);
        live = counters[1];
        let bytes = folder_bytes(folder.path());
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let (appended_mb, moved_mb, bytes_mb, live_mb) = (mb(appended), mb(moved), mb(bytes), mb(live));
        let ratio = bytes_mb / live_mb;
        println!("{number:5} {appended_mb:8.1} {moved_mb:8.1} {bytes_mb:8.1} {live_mb:8.1} {ratio:6.2}");
        let bound = 3 * live + BESIDE_BYTES * shards as u64;
        assert!(bytes <= bound && counters[0] <= bound, "{bytes} and {} bytes, {live} of them live", counters[0]);
        if number + 1 == rounds {
            assert!(appended > bound * 3 / 2, "{appended} bytes appended do not show that {bound} is a bound");
            assert!(moved > 0, "what stays was never moved");
        }
    }
    broker.stop();
    let bytes = folder_bytes(folder.path());
    assert!(bytes <= 3 * live + BESIDE_BYTES * shards as u64, "{bytes} bytes after a stop");
}

#[test]
fn on_1_shard() {
    stays_small(1);
}

#[test]
fn on_3_shards() {
    stays_small(3);
}
