//! A publisher whose session ends while its QoS 2 message is passed from shard to shard for a member of a shared subscription.

use crate::config::Config;
use crate::shard::rig::{Client, Rig};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::ProtocolVersion::V5;
use ringtail_mqtt::packet::QoS;
use ringtail_storage::CrashDisk;

const QOS_2: QoS = QoS::ExactlyOnce;

/// A durable member of the group `g` on a shard.
fn member(rig: &mut Rig, shard: usize) -> Client {
    let client = rig.opens(shard, "m", V5, true, 0);
    assert_eq!(rig.reads_all(client), ["CONNACK"]);
    rig.subscribes(client, &["$share/g/a"], QOS_2);
    assert_eq!(rig.reads_all(client), ["SUBACK"]);
    client
}

/// Some publish on shard 0, and their sessions end before another shard has turned. When all has come to rest: how many messages
/// each shard sent on, and of how many they know who has them.
fn after_the_end(busy: &[usize]) -> ([u64; 2], [usize; 2]) {
    let config = Config { shards: 2, limits: Limits { inflight_max: 1, ..Limits::default() }, ..Config::default() };
    let mut rig = Rig::on(config, &[CrashDisk::new(512, 1), CrashDisk::new(512, 2)]);
    let members = [member(&mut rig, 0), member(&mut rig, 1)];
    for busy in busy {
        let (member, topic) = (members[*busy], format!("fill/{busy}"));
        rig.subscribes(member, &[&topic], QOS_2);
        let filler = rig.connect(*busy, "filler");
        rig.publishes(filler, &topic, b"x", QOS_2, false);
        assert_eq!(rig.reads_all(member), ["SUBACK".to_owned(), format!("PUBLISH {topic}=x")]);
    }
    let ids: Vec<String> = (0..4).map(|n| format!("p{n}")).collect();
    let publishers: Vec<Client> = ids.iter().map(|id| rig.opens(0, id, V5, true, 0)).collect();
    publishers.iter().for_each(|publisher| assert_eq!(rig.reads_all(*publisher), ["CONNACK"]));
    for publisher in publishers {
        rig.publishes(publisher, "a", b"x", QOS_2, false);
    }
    rig.turn_of(0);
    for id in &ids {
        // Clean Start, and a session that ends with the connection.
        rig.opens_as(0, id, V5, (true, None), 0);
    }
    rig.waits(200);
    let sent_on = [0, 1].map(|shard| rig.cores[shard].local.counters.publish_forwarded);
    (sent_on, [0, 1].map(|shard| rig.cores[shard].local.journal.as_ref().unwrap().taken()))
}

#[test]
fn nobody_keeps_who_has_its_message() {
    // Where a member is busy, its shard sends the message back.
    for busy in [&[0][..], &[1], &[0, 1]] {
        let (sent_on, known) = after_the_end(busy);
        assert!(sent_on.iter().all(|count| *count > 0), "{busy:?} are busy: {sent_on:?}");
        assert_eq!(known, [0, 0], "{busy:?} are busy");
    }
}
