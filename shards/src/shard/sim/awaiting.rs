//! How long a client's output waits for the retained messages of what it has subscribed to, while the other shard, which is
//! to be asked for them, takes no turns.

use super::random::Random;
use super::wire::{Link, Links, SimWire};
use crate::ShardId;
use crate::config::Config;
use crate::mesh::mesh;
use crate::routing::Seed;
use crate::shard::Core;
use crate::shard::retained_scan::AWAIT_MS;
use crate::shard::rig::{Rig, in_words};
use crate::shard::timers::TICK_MS;
use ringtail_mqtt::codec::{self, Frame, SubscribeFiltersBuf};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::time::Millis;
use ringtail_storage::CrashDisk;
use std::num::NonZeroU16;
use std::sync::Arc;

const VERSION: ProtocolVersion = ProtocolVersion::V3_1_1;
/// The shard of the subscriber.
const HERE: usize = 0;
/// The one that keeps the message.
const THERE: usize = 1;

/// Two shards, and a client of each; that of the shard [`THERE`] has published a message to be retained.
struct Scene {
    cores: Vec<Core>,
    wires: Vec<SimWire>,
    links: Links,
    random: Random,
    now: Millis,
    topic: String,
}

impl Scene {
    fn new() -> Self {
        let now = Millis(1_000_000);
        let config = Arc::new(Config { shards: 2, ..Config::default() });
        let ports = mesh(config.shards, config.mesh_slots, 1 << 20).unwrap().into_iter().enumerate();
        let core = |(id, port)| Core::new(id as ShardId, Seed::new([7, 8]), Arc::clone(&config), port, now);
        let cores: Vec<Core> = ports.map(core).collect();
        let mut topics = (0..).map(|n| format!("t/{n}"));
        let topic = topics.find(|topic| usize::from(cores[HERE].keeper_of(topic)) == THERE).unwrap();
        let wires = vec![SimWire::new(0), SimWire::new(0)];
        let mut scene = Self { cores, wires, links: Links::new(), random: Random::new(1), now, topic };
        [HERE, THERE].into_iter().for_each(|shard| scene.connects(shard));
        scene.publishes();
        scene
    }

    fn connects(&mut self, shard: usize) {
        let mut ids = (0..).map(|n| format!("c-{n}"));
        let client_id = ids.find(|id| usize::from(self.cores[HERE].home_of(id)) == shard).unwrap();
        let connect = Connect {
            version: VERSION,
            bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            properties: Properties::default(),
            client_id: &client_id,
            will: None,
            username: None,
            password: None,
        };
        // The number of a client's link is that of its shard.
        self.links.push(Link { room_bytes: usize::MAX, ..Link::default() });
        self.wires[shard].accept(shard);
        self.sends(shard, &Packet::Connect(Box::new(connect)));
        self.moves(shard);
        assert_eq!(self.reads(shard), ["CONNACK"]);
    }

    fn publishes(&mut self) {
        let topic = self.topic.clone();
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic_name: &topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload: b"on",
        };
        self.sends(THERE, &Packet::Publish(publish));
        self.moves(THERE);
    }

    fn subscribes(&mut self) {
        let filters = SubscribeFiltersBuf::new("t/#", SubscriptionOptions::default()).unwrap();
        let subscribe = Subscribe {
            packet_id: NonZeroU16::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            filters: filters.as_filters(),
        };
        self.sends(HERE, &Packet::Subscribe(subscribe));
        self.moves(HERE);
    }

    fn sends(&mut self, client: usize, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, VERSION, &mut bytes).unwrap();
        self.links[client].to_server.extend(bytes);
    }

    /// The shard takes turns at this time until nothing more happens.
    fn moves(&mut self, shard: usize) {
        for _ in 0..8 {
            let mut events = self.wires[shard].reap(&mut self.links, &mut self.random, true);
            let core = &mut self.cores[shard];
            core.local.now = self.now;
            core.port.awake();
            let _ = core.turn(&mut events, &mut self.wires[shard]);
        }
    }

    /// The subscriber's shard alone goes on until then.
    fn is_alone_for(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now.plus_ms(1);
            self.moves(HERE);
        }
    }

    /// What has come to a client, in words.
    fn reads(&mut self, client: usize) -> Vec<String> {
        let bytes: Vec<u8> = self.links[client].to_client.drain(..).collect();
        let mut rest = bytes.as_slice();
        let mut words = Vec::new();
        while let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(rest, u32::MAX) {
            words.push(in_words(&codec::decode(&rest[..total_bytes], VERSION).unwrap()));
            rest = &rest[total_bytes..];
        }
        words
    }

    fn retained(&self) -> String {
        format!("PUBLISH {}=on retained", self.topic)
    }
}

#[test]
fn the_suback_waits_for_what_is_retained() {
    let mut scene = Scene::new();
    scene.subscribes();
    scene.is_alone_for(AWAIT_MS - TICK_MS - 1);
    assert_eq!(scene.reads(HERE), [""; 0]);
    for _ in 0..4 {
        scene.moves(THERE);
        scene.moves(HERE);
    }
    assert_eq!(scene.reads(HERE), ["SUBACK", &scene.retained()]);
}

#[test]
fn it_leaves_in_time_although_the_scan_goes_on() {
    let mut scene = Scene::new();
    scene.subscribes();
    scene.is_alone_for(AWAIT_MS - TICK_MS - 1);
    scene.sends(HERE, &Packet::PingReq);
    scene.moves(HERE);
    assert_eq!(scene.reads(HERE), [""; 0]);
    scene.is_alone_for(TICK_MS);
    assert_eq!(scene.reads(HERE), ["SUBACK", "PingResp"]);
    scene.sends(HERE, &Packet::PingReq);
    scene.moves(HERE);
    assert_eq!(scene.reads(HERE), ["PingResp"], "it does not wait anew");
    for _ in 0..4 {
        scene.moves(THERE);
        scene.moves(HERE);
    }
    assert_eq!(scene.reads(HERE), [scene.retained()]);
}

#[test]
fn who_subscribes_again_and_again_waits_no_longer() {
    let mut scene = Scene::new();
    scene.subscribes();
    for _ in 0..AWAIT_MS / 10 {
        scene.is_alone_for(10);
        scene.subscribes();
    }
    assert!(scene.reads(HERE).contains(&"SUBACK".to_owned()));
}

/// A shard that has nothing else to do sleeps until then.
#[test]
fn a_timer_wakes_the_shard_for_it() {
    let mut scene = Scene::new();
    scene.subscribes();
    let next = scene.cores[HERE].timers.next().unwrap();
    assert!(next <= scene.now.plus_ms(AWAIT_MS));
    scene.now = next;
    scene.moves(HERE);
    assert_eq!(scene.reads(HERE), ["SUBACK"]);
}

/// A scan stops at a full outbox, which is then emptied by what waits for the log. A SUBACK that waits for the scan keeps
/// everything behind it from being sent, so no send would ever set the scan going again.
#[test]
fn a_scan_goes_on_when_the_log_holds_back_what_was_in_its_way() {
    let limits = Limits { outbox_bytes_max: 2_000, ..Limits::default() };
    let mut rig = Rig::on(Config { limits, ..Config::default() }, &[CrashDisk::new(512, 0)]);
    let (qos, payload) = (QoS::AtMostOnce, [b'x'; 600]);
    let publisher = rig.connect(HERE, "p");
    rig.publishes(publisher, "kept", b"on", qos, true);
    let subscriber = rig.opens(HERE, "s", ProtocolVersion::V5, true, 0);
    assert_eq!(rig.reads_all(subscriber), ["CONNACK"]);
    rig.subscribes(subscriber, &["kept", "live"], qos);
    rig.publishes(publisher, "live", &payload, qos, false);
    rig.turn_of(HERE);
    rig.cores[HERE].flush_connection(subscriber.number, &mut SimWire::new(0));
    rig.subscribes(subscriber, &["$share/g/none"], qos);
    rig.turn_of(HERE);
    let core = &rig.cores[HERE];
    assert!(!core.is_awaiting_retained(core.local.connections.get(subscriber.number).unwrap()));
    let live = format!("PUBLISH live={}", "x".repeat(16));
    assert_eq!(rig.reads_all(subscriber), ["SUBACK", &live, "SUBACK", "PUBLISH kept=on retained"]);
}
