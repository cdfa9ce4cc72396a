//! A full queue that refuses: the publisher is told, whichever shard the queue is on, and everybody else gets the message.

use crate::config::Config;
use crate::shard::rig::{Client, Rig};
use ProtocolVersion::{V3_1_1, V5};
use ringtail_mqtt::limits::{Limits, QueuePolicy};
use ringtail_mqtt::packet::{ProtocolVersion, QoS};
use ringtail_mqtt::session::DetachCause;
use ringtail_storage::CrashDisk;

const QOS_1: QoS = QoS::AtLeastOnce;
const QOS_2: QoS = QoS::ExactlyOnce;

const TAKEN: &[&str] = &["PUBACK"];
const REFUSED: &[&str] = &["PUBACK QuotaExceeded"];

/// Queues of three messages, on one shard and on two, in memory and on disk.
fn each(case: impl Fn(Rig)) {
    let limits = Limits { queue_messages_max: 3, queue_policy: QueuePolicy::Reject, ..Limits::default() };
    for shards in [1, 2] {
        let config = Config { shards, limits: limits.clone(), ..Config::default() };
        case(Rig::new(config.clone()));
        let disks: Vec<CrashDisk> = (0..shards).map(|shard| CrashDisk::new(512, shard as u64)).collect();
        case(Rig::on(config, &disks));
    }
}

/// A session on the last shard that subscribes, and is away.
fn sleeper(rig: &mut Rig, filter: &str) {
    let client = comes(rig);
    rig.subscribes(client, &[filter], QOS_2);
    assert_eq!(rig.reads_all(client), ["SUBACK"]);
    rig.cores[client.shard].detach(client.number, DetachCause::Lost);
}

fn comes(rig: &mut Rig) -> Client {
    let client = rig.opens(rig.cores.len() - 1, "sleeper", V5, true, 0);
    assert_eq!(rig.reads_all(client)[0], "CONNACK");
    client
}

fn publisher(rig: &mut Rig, version: ProtocolVersion) -> Client {
    let client = rig.opens(0, "p", version, false, 0);
    assert_eq!(rig.reads_all(client), ["CONNACK"]);
    client
}

fn publishes(rig: &mut Rig, client: Client, topic: &str, qos: QoS) -> Vec<String> {
    rig.publishes(client, topic, b"on", qos, false);
    rig.reads_all(client)
}

#[test]
fn the_publisher_is_told_and_others_get_the_message() {
    each(|mut rig| {
        sleeper(&mut rig, "q/#");
        let other = rig.connect(0, "other");
        rig.subscribes(other, &["q/a"], QOS_1);
        assert_eq!(rig.reads_all(other), ["SUBACK"]);
        let client = publisher(&mut rig, V5);
        for told in [TAKEN, TAKEN, TAKEN, REFUSED, REFUSED] {
            assert_eq!(publishes(&mut rig, client, "q/a", QOS_1), told);
            assert_eq!(rig.reads_all(other), ["PUBLISH q/a=on"]);
        }
        assert_eq!(publishes(&mut rig, client, "q/a", QOS_2), ["PUBREC QuotaExceeded"]);
        assert_eq!(publishes(&mut rig, client, "q/a", QOS_2), ["PUBREC QuotaExceeded"], "a new one, not a repetition");
        assert_eq!(publishes(&mut rig, client, "elsewhere", QOS_1), TAKEN);
        assert_eq!(rig.cores[0].local.counters.publish_refused, 4);

        let sleeper = rig.opens(rig.cores.len() - 1, "sleeper", V5, true, 0);
        assert_eq!(rig.reads_all(sleeper), ["CONNACK", "PUBLISH q/a=on", "PUBLISH q/a=on", "PUBLISH q/a=on"]);
        assert_eq!(publishes(&mut rig, client, "q/a", QOS_1), TAKEN, "there is room again");
    });
}

/// Before 5.0 there is no acknowledgement that refuses [MQTT-3.3.5-2].
#[test]
fn a_publisher_that_cannot_be_told_is_closed() {
    for qos in [QOS_1, QOS_2] {
        each(|mut rig| {
            sleeper(&mut rig, "q");
            for _ in 0..3 {
                let client = publisher(&mut rig, V3_1_1);
                assert_eq!(publishes(&mut rig, client, "q", QOS_1), TAKEN);
            }
            let client = publisher(&mut rig, V3_1_1);
            assert_eq!(publishes(&mut rig, client, "q", qos), [""; 0]);
            assert!(!rig.is_live(client));
        });
    }
}

#[test]
fn acknowledgements_keep_their_order() {
    each(|mut rig| {
        sleeper(&mut rig, "q");
        let client = publisher(&mut rig, V5);
        for _ in 0..3 {
            assert_eq!(publishes(&mut rig, client, "q", QOS_1), TAKEN);
        }
        // What another shard has to say comes later than what this one knows.
        for topic in ["elsewhere", "q", "elsewhere", "q", "elsewhere"] {
            rig.publishes(client, topic, b"on", QOS_1, false);
        }
        let told = ["PUBACK", "PUBACK QuotaExceeded", "PUBACK", "PUBACK QuotaExceeded", "PUBACK"];
        assert_eq!(rig.reads_all(client), told);
    });
}

#[test]
fn a_shared_subscription_refuses_when_no_member_has_room() {
    each(|mut rig| {
        sleeper(&mut rig, "$share/g/q");
        let client = publisher(&mut rig, V5);
        for told in [TAKEN, TAKEN, TAKEN, REFUSED] {
            assert_eq!(publishes(&mut rig, client, "q", QOS_1), told);
        }
    });
}

/// A publisher that goes, or whose session ends, before the other shard has answered.
#[test]
fn nobody_waits_for_an_answer_in_vain() {
    each(|mut rig| {
        sleeper(&mut rig, "q");
        for _ in 0..5 {
            let client = publisher(&mut rig, V5);
            rig.publishes(client, "q", b"on", QOS_2, false);
            rig.cores[0].detach(client.number, DetachCause::Lost);
        }
        let client = publisher(&mut rig, V5);
        assert_eq!(publishes(&mut rig, client, "elsewhere", QOS_1), TAKEN);
        assert_eq!(publishes(&mut rig, client, "q", QOS_1), REFUSED);
        assert!(rig.cores.iter().all(|core| core.verdicts.is_empty()));
    });
}

/// A publisher whose session outlives the connection that it published on is acknowledged on the next one.
#[test]
fn a_session_that_lasts_gets_its_acknowledgements_later() {
    each(|mut rig| {
        sleeper(&mut rig, "q");
        let client = rig.opens(0, "lasting", V5, true, 0);
        assert_eq!(rig.reads_all(client), ["CONNACK"]);
        rig.publishes(client, "q", b"on", QOS_1, false);
        rig.cores[0].detach(client.number, DetachCause::Lost);
        let client = rig.opens(0, "lasting", V5, true, 0);
        assert_eq!(rig.reads_all(client), ["CONNACK"]);
        for _ in 0..2 {
            assert_eq!(publishes(&mut rig, client, "q", QOS_1), TAKEN, "nothing stands in the way");
        }
        assert!(rig.cores.iter().all(|core| core.verdicts.is_empty()));
    });
}

/// The bound in bytes refuses as the one in messages does.
#[test]
fn a_queue_is_bounded_in_bytes_as_well() {
    for shards in [1, 2] {
        let limits = Limits { queue_bytes_max: 10_000, queue_policy: QueuePolicy::Reject, ..Limits::default() };
        let mut rig = Rig::new(Config { shards, limits, ..Config::default() });
        sleeper(&mut rig, "q");
        let client = publisher(&mut rig, V5);
        for told in [TAKEN, TAKEN, REFUSED] {
            rig.publishes(client, "q", &[b'.'; 4_500], QOS_1, false);
            assert_eq!(rig.reads_all(client), told);
        }
        assert_eq!(publishes(&mut rig, client, "q", QOS_1), TAKEN, "a smaller one fits");
    }
}

/// What is refused is forgotten wherever it went, also where it comes later than the word to forget it could.
#[test]
fn a_refused_message_is_forgotten_where_it_came_by_way_of_another_shard() {
    let limits = Limits { queue_messages_max: 3, queue_policy: QueuePolicy::Reject, ..Limits::default() };
    let config = Config { shards: 3, limits, ..Config::default() };
    let mut rig = Rig::on(config, &[1, 2, 3].map(|seed| CrashDisk::new(512, seed)));
    let [sleeper, client, away, member] = [(0, "sleeper"), (0, "p"), (1, "away"), (2, "member")].map(|(shard, id)| {
        let client = rig.opens(shard, id, V5, true, 0);
        assert_eq!(rig.reads_all(client), ["CONNACK"]);
        client
    });
    for (subscriber, filters) in [(sleeper, &["q", "full"][..]), (away, &["$share/g/q"])] {
        rig.subscribes(subscriber, filters, QOS_2);
        assert_eq!(rig.reads_all(subscriber), ["SUBACK"]);
    }
    rig.cores[0].detach(sleeper.number, DetachCause::Lost);
    for _ in 0..3 {
        assert_eq!(publishes(&mut rig, client, "full", QOS_1), TAKEN);
    }
    // The publisher's shard knows of one member only, that of shard 1, which has just left and knows of the other.
    rig.subscribes(member, &["$share/g/q"], QOS_2);
    rig.turn_of(2);
    rig.turn_of(1);
    rig.cores[1].detach(away.number, DetachCause::Lost);
    rig.publishes(client, "q", b"on", QOS_2, false);
    for shard in [0, 2, 1, 2] {
        rig.turn_of(shard);
    }
    assert_eq!(rig.reads_all(client), ["PUBREC QuotaExceeded"]);
    assert_eq!(rig.reads_all(member), ["SUBACK", "PUBLISH q=on"]);
    for core in &rig.cores {
        let taken = core.local.journal.as_ref().map(|journal| journal.taken_before().len());
        assert_eq!(taken, Some(0), "shard {}", core.id);
    }
}
