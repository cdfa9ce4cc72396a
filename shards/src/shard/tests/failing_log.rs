//! A log that fails under a running shard: nothing is acknowledged that is not kept, what would have to be kept is refused
//! with the reason, everything else goes on, and nothing that was acknowledged is lost.

use crate::config::{Config, Storage};
use crate::shard::rig::{Client, Rig};
use ProtocolVersion::{V3_1_1, V5};
use ringtail_mqtt::packet::{Packet, Properties, ProtocolVersion, QoS, ReasonPacket};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_storage::CrashDisk;
use ringtail_storage::crash::seeded;
use std::collections::BTreeSet;

const QOS_1: QoS = QoS::AtLeastOnce;
const SEGMENT_BYTES: u64 = 32 << 10;
/// Several to a segment.
const PAYLOAD_BYTES: usize = 2_000;
/// More than the disks of these tests have room for.
const FULL_BY_NOW: usize = 100;
/// As often as a full log looks again.
const RETRY_MS: u64 = 1_100;

const FULL: &str = "QuotaExceeded";
const BROKEN: &str = "ImplementationSpecificError";

fn config(shards: usize) -> Config {
    let storage = Storage { segment_bytes: SEGMENT_BYTES, limit_bytes: 1 << 24, ..Storage::default() };
    Config { shards, storage, ..Config::default() }
}

/// Shards on disks of their own, a durable session on the last one that is away, and a publisher on the first.
struct Scene {
    rig: Rig,
    disks: Vec<CrashDisk>,
    publisher: Client,
    published: usize,
    /// The numbers of the messages that were acknowledged.
    acknowledged: Vec<usize>,
}

impl Scene {
    fn new(shards: usize) -> Self {
        let disks: Vec<CrashDisk> = (0..shards).map(|shard| CrashDisk::new(512, shard as u64)).collect();
        let mut rig = Rig::on(config(shards), &disks);
        let sleeper = rig.opens(shards - 1, "sleeper", V5, true, 0);
        assert_eq!(rig.reads_all(sleeper), ["CONNACK"]);
        rig.subscribes(sleeper, &["q"], QOS_1);
        assert_eq!(rig.reads_all(sleeper), ["SUBACK"]);
        leaves(&mut rig, sleeper);
        let publisher = rig.opens(0, "p", V5, false, 0);
        assert_eq!(rig.reads_all(publisher), ["CONNACK"]);
        Self { rig, disks, publisher, published: 0, acknowledged: Vec::new() }
    }

    /// The disk of the shard that has the durable session.
    fn disk(&self) -> &CrashDisk {
        &self.disks[self.disks.len() - 1]
    }

    fn sends_next(&mut self) {
        if !self.rig.is_live(self.publisher) {
            self.publisher = self.rig.opens(0, "p", V5, false, 0);
            assert_eq!(self.rig.reads_all(self.publisher), ["CONNACK"]);
        }
        self.rig.publishes(self.publisher, "q", &payload(self.published), QOS_1, false);
        self.published += 1;
    }

    /// Publishes one message, and says what its publisher was told.
    fn publishes(&mut self) -> Vec<String> {
        self.sends_next();
        let told = self.rig.reads_all(self.publisher);
        if told == ["PUBACK"] {
            self.acknowledged.push(self.published - 1);
        }
        told
    }

    /// Publishes until a message is refused, and says what its publisher was told.
    fn fills(&mut self) -> Vec<String> {
        (0..FULL_BY_NOW).map(|_| self.publishes()).find(|told| told != &["PUBACK"]).expect("the disk is never full")
    }

    /// What the publisher is told of a message that is refused: by its acknowledgement where that has not left yet.
    fn refusal(&self, reason: &str) -> String {
        let packet = if self.disks.len() == 1 { "PUBACK" } else { "DISCONNECT" };
        format!("{packet} {reason}")
    }

    /// What has nothing to do with the log goes on, at every QoS and over all shards.
    fn others_go_on(&mut self) {
        let subscriber = self.rig.connect(self.disks.len() - 1, "reader");
        self.rig.subscribes(subscriber, &["live/#"], QoS::ExactlyOnce);
        assert_eq!(self.rig.reads_all(subscriber), ["SUBACK"]);
        let publisher = self.rig.connect(0, "talker");
        for (qos, answer) in [(QoS::AtMostOnce, None), (QOS_1, Some("PUBACK")), (QoS::ExactlyOnce, Some("PUBREC"))] {
            self.rig.publishes(publisher, "live/on", b"on", qos, false);
            assert_eq!(self.rig.reads_all(publisher), Vec::from_iter(answer));
            assert_eq!(self.rig.reads_all(subscriber), ["PUBLISH live/on=on"]);
        }
        leaves(&mut self.rig, subscriber);
        leaves(&mut self.rig, publisher);
    }

    /// A client of the shard that has the durable session, and a topic whose retained message that shard keeps.
    fn keeper(&mut self, name: &str) -> (Client, String) {
        let shard = self.disks.len() - 1;
        let mut topics = (0..).map(|n| format!("kept/{n}"));
        let topic = topics.find(|topic| usize::from(self.rig.cores[0].keeper_of(topic)) == shard).unwrap();
        let client = self.rig.opens(shard, name, V5, false, 0);
        assert_eq!(self.rig.reads_all(client), ["CONNACK"]);
        (client, topic)
    }

    /// What would have to be kept is refused with the reason, where the protocol has a place for it.
    fn is_refused(&mut self, reason: &str) {
        let shard = self.disks.len() - 1;
        let rig = &mut self.rig;
        let told = |answer: &str| [format!("{answer} {reason}")];

        let client = rig.opens(shard, "new", V5, true, 0);
        assert_eq!(rig.reads_all(client), told("CONNACK"));
        assert!(!rig.is_live(client));
        let client = rig.opens(shard, "old", V3_1_1, true, 0);
        assert_eq!(rig.reads_all(client), ["CONNACK ServerUnavailable"]);
        assert!(!rig.is_live(client));

        // Whoever has the client identifier already is left alone.
        let there = rig.opens(shard, "there", V5, false, 0);
        assert_eq!(rig.reads_all(there), ["CONNACK"]);
        let client = rig.opens(shard, "there", V5, true, 0);
        assert_eq!(rig.reads_all(client), told("CONNACK"));
        assert_eq!((rig.reads_all(there), rig.is_live(there)), (Vec::new(), true));
        leaves(rig, there);

        let (client, topic) = self.keeper("keeper");
        let rig = &mut self.rig;
        rig.publishes(client, &topic, &payload(0), QOS_1, true);
        assert_eq!(rig.reads_all(client), told("PUBACK"));

        for topic in ["q", &topic] {
            let client = rig.opens(shard, "ancient", V3_1_1, false, 0);
            rig.publishes(client, topic, &payload(0), QOS_1, topic != "q");
            assert_eq!(rig.reads_all(client), ["CONNACK"]);
            assert!(!rig.is_live(client), "3.1.1 has no other way to say it");
        }
    }

    /// Whatever a loss of power leaves of the disks, the sleeper gets what was acknowledged, in order, and nothing twice.
    fn survives(&self) {
        for seed in 0..40 {
            let disks: Vec<CrashDisk> = self.disks.iter().map(|disk| disk.crash(&mut seeded(seed))).collect();
            for disk in &disks {
                disk.set_room_bytes(u64::MAX);
            }
            let mut rig = Rig::on(config(disks.len()), &disks);
            let found = sleeper_finds(&mut rig);
            assert!(found.is_sorted_by(|a, b| a < b), "seed {seed}: {found:?}");
            let found: BTreeSet<usize> = found.into_iter().collect();
            let lost: Vec<_> = self.acknowledged.iter().filter(|n| !found.contains(n)).collect();
            assert!(lost.is_empty(), "seed {seed}: {lost:?} of {:?}", self.acknowledged);
            assert!(found.iter().all(|n| *n < self.published), "seed {seed}: {found:?}");
        }
    }
}

fn payload(n: usize) -> Vec<u8> {
    let mut payload = format!("{n} ").into_bytes();
    payload.resize(PAYLOAD_BYTES, b'.');
    payload
}

/// The numbers of the messages that wait for the durable session.
fn sleeper_finds(rig: &mut Rig) -> Vec<usize> {
    let sleeper = rig.opens(rig.cores.len() - 1, "sleeper", V5, true, 0);
    let mut words = rig.reads_all(sleeper).into_iter();
    assert_eq!(words.next().unwrap(), "CONNACK");
    let number = |word: String| word.strip_prefix("PUBLISH q=").unwrap().split(' ').next().unwrap().parse().unwrap();
    words.map(number).collect()
}

fn leaves(rig: &mut Rig, client: Client) {
    let (reason, properties) = (ReasonCode::Success, Properties::default());
    rig.sends(client, &Packet::Disconnect(Box::new(ReasonPacket { reason, properties })));
    rig.turn();
}

/// On one shard and on two: there the publisher's is not the one that fails.
fn on_shards(case: impl Fn(Scene)) {
    for shards in [1, 2] {
        case(Scene::new(shards));
    }
}

#[test]
fn a_failure_that_passes_costs_nothing() {
    let failures: [fn(&CrashDisk); 2] = [|disk| disk.fail_syncs(1), |disk| disk.fail_writes(1)];
    for fails in failures {
        on_shards(|mut scene| {
            for round in 0..3 {
                for _ in 0..=round {
                    assert_eq!(scene.publishes(), ["PUBACK"]);
                }
                fails(scene.disk());
                assert_eq!(scene.publishes(), ["PUBACK"], "it was written again");
                scene.survives();
            }
            scene.others_go_on();
        });
    }
}

/// Between the failure and its repair nobody is told anything, and when there is no repair, nobody ever is.
#[test]
fn a_disk_that_stays_broken_keeps_nothing_more_and_loses_nothing() {
    let failures: [fn(&CrashDisk); 2] = [|disk| disk.fail_syncs(u32::MAX), |disk| disk.fail_writes(u32::MAX)];
    for fails in failures {
        on_shards(|mut scene| {
            for _ in 0..5 {
                assert_eq!(scene.publishes(), ["PUBACK"]);
            }
            let clients = [V5, V3_1_1].map(|version| {
                let client = scene.rig.opens(scene.disks.len() - 1, &format!("{version:?}"), version, true, 0);
                scene.rig.subscribes(client, &["gone"], QOS_1);
                assert_eq!(scene.rig.reads_all(client), ["CONNACK", "SUBACK"]);
                client
            });
            let (keeper, topic) = scene.keeper("owner");
            scene.rig.publishes(keeper, &topic, b"on", QOS_1, true);
            assert_eq!(scene.rig.reads_all(keeper), ["PUBACK"]);
            fails(scene.disk());
            scene.sends_next();
            scene.sends_next();
            let told = scene.rig.reads_all(scene.publisher);
            assert_eq!(told, [format!("DISCONNECT {BROKEN}")], "its acknowledgements were under way");
            assert_eq!(scene.publishes(), [scene.refusal(BROKEN)]);
            scene.is_refused(BROKEN);
            scene.others_go_on();
            scene.survives();
            unkept_is_not_confirmed(&mut scene, clients);
            scene.rig.publishes(keeper, &topic, b"", QOS_1, true);
            assert_eq!(scene.rig.reads_all(keeper), [format!("PUBACK {BROKEN}")], "after a start it is there again");

            // It does not come back by itself: what the kernel threw away cannot be told from what it kept.
            scene.disk().fail_syncs(0);
            scene.disk().fail_writes(0);
            scene.rig.waits(RETRY_MS);
            scene.is_refused(BROKEN);
            scene.survives();
        });
    }
}

/// What was kept before the log failed cannot be ended any more, and nobody is told that it was. Who comes for messages that
/// were kept gets them.
fn unkept_is_not_confirmed(scene: &mut Scene, clients: [Client; 2]) {
    let told = [vec![format!("DISCONNECT {BROKEN}")], Vec::new()];
    for (client, told) in clients.into_iter().zip(told) {
        scene.rig.unsubscribes(client, "gone");
        assert_eq!(scene.rig.reads_all(client), told);
        assert!(!scene.rig.is_live(client));
    }
    let shard = scene.disks.len() - 1;
    let endings = [(V5, true, BROKEN), (V5, false, BROKEN), (V3_1_1, true, "ServerUnavailable")];
    for (version, clean_start, reason) in endings {
        let client = scene.rig.opens_as(shard, "sleeper", version, (clean_start, None), 0);
        assert_eq!(scene.rig.reads_all(client), [format!("CONNACK {reason}")]);
    }
    let found = sleeper_finds(&mut scene.rig);
    assert_eq!(found[..scene.acknowledged.len()], scene.acknowledged);
}

/// A CONNECT that ends a durable session, or makes it one that ends with its connection: once that is told, no loss of power
/// brings the session back.
#[test]
fn the_end_of_a_session_is_told_when_it_is_kept() {
    for (version, clean_start) in [(V5, true), (V5, false), (V3_1_1, true)] {
        on_shards(|mut scene| {
            assert_eq!(scene.publishes(), ["PUBACK"]);
            let shard = scene.disks.len() - 1;
            let client = scene.rig.opens_as(shard, "sleeper", version, (clean_start, None), 0);
            let told = (0..100).find_map(|_| {
                let told = scene.rig.reads(client);
                scene.rig.turn();
                told.into_iter().next()
            });
            assert_eq!(told.as_deref(), Some("CONNACK"));
            for seed in 0..40 {
                let disks: Vec<CrashDisk> = scene.disks.iter().map(|disk| disk.crash(&mut seeded(seed))).collect();
                let mut rig = Rig::on(config(disks.len()), &disks);
                assert_eq!(sleeper_finds(&mut rig), [0; 0], "{version:?}, seed {seed}");
            }
        });
    }
}

#[test]
fn a_full_disk_refuses_until_there_is_room() {
    on_shards(|mut scene| {
        scene.disk().set_room_bytes(2 * SEGMENT_BYTES);
        for _ in 0..3 {
            assert_eq!(scene.fills(), [scene.refusal(FULL)]);
            scene.rig.waits(RETRY_MS);
            assert_eq!(scene.fills(), [scene.refusal(FULL)], "it asks again, and there is none");
            scene.is_refused(FULL);
            scene.others_go_on();
            scene.survives();
            scene.disk().set_room_bytes(3 * SEGMENT_BYTES);
            scene.rig.waits(RETRY_MS);
            assert_eq!(scene.publishes(), ["PUBACK"]);
            scene.survives();
        }
    });
}

/// A subscription of a session that is kept already is refused as any other record.
#[test]
fn a_subscription_is_refused_with_the_reason() {
    on_shards(|mut scene| {
        let shard = scene.disks.len() - 1;
        let clients = [("five", V5), ("three", V3_1_1)].map(|(name, version)| {
            let client = scene.rig.opens(shard, name, version, true, 0);
            assert_eq!(scene.rig.reads_all(client), ["CONNACK"]);
            client
        });
        scene.disk().set_room_bytes(0);
        assert_eq!(scene.fills(), [scene.refusal(FULL)]);
        let filter = "x".repeat(PAYLOAD_BYTES);
        let mut refused = |reason: [&str; 2]| {
            for (client, reason) in clients.into_iter().zip(reason) {
                scene.rig.subscribes(client, &[&filter], QOS_1);
                assert_eq!(scene.rig.reads_all(client), [format!("SUBACK {reason}")]);
            }
        };
        refused([FULL, "UnspecifiedError"]);
        scene.disk().set_room_bytes(u64::MAX);
        scene.rig.waits(RETRY_MS);
        scene.rig.subscribes(clients[0], &[&filter], QOS_1);
        assert_eq!(scene.rig.reads_all(clients[0]), ["SUBACK"]);
    });
}

/// A sync that fails where there is no room to write its bytes again: whoever waits for them is told when there is.
#[test]
fn what_a_failed_sync_left_waits_for_room() {
    on_shards(|mut scene| {
        let client = scene.rig.opens(scene.disks.len() - 1, "subscriber", V5, true, 0);
        scene.rig.subscribes(client, &["gone"], QOS_1);
        assert_eq!(scene.rig.reads_all(client), ["CONNACK", "SUBACK"]);
        scene.disk().set_room_bytes(0);
        assert_eq!(scene.fills(), [scene.refusal(FULL)]);
        scene.disk().fail_syncs(1);
        scene.rig.unsubscribes(client, "gone");
        assert_eq!(scene.rig.reads_all(client), [""; 0]);
        scene.rig.waits(RETRY_MS);
        assert_eq!(scene.rig.reads_all(client), [""; 0]);
        scene.is_refused(FULL);
        if scene.disks.len() == 1 {
            scene.others_go_on(); // what other shards send this one is answered when there is room
        }
        scene.survives();
        scene.disk().set_room_bytes(8 * SEGMENT_BYTES);
        scene.rig.waits(RETRY_MS);
        assert_eq!(scene.rig.reads_all(client), ["UNSUBACK"]);
        assert_eq!(scene.publishes(), ["PUBACK"]);
        scene.survives();
    });
}
