//! Shards without a kernel, joined by a mesh, and clients that are sequences of bytes.

use crate::ShardId;
use crate::config::Config;
use crate::mesh::mesh;
use crate::routing::Seed;
use crate::shard::Core;
use crate::shard::connection::Phase;
use crate::wire::Slot;
use ringtail_mqtt::codec::{self, Frame, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use ringtail_mqtt::packet::*;
use ringtail_mqtt::time::Millis;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

pub(super) struct Rig {
    pub(super) cores: Vec<Core>,
    pub(super) now: Millis,
}

/// A client: its shard, and its connection there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub(super) shard: usize,
    pub(super) number: u32,
}

impl Rig {
    pub(super) fn new(config: Config) -> Self {
        let now = Millis(1_000_000);
        let config = Arc::new(config);
        let ports = mesh(config.shards, config.mesh_slots, 1 << 20).unwrap();
        let seed = Seed::new([7, 8]);
        let cores = ports.into_iter().enumerate();
        let cores = cores.map(|(id, port)| Core::new(id as ShardId, seed, Arc::clone(&config), port, now)).collect();
        Self { cores, now }
    }

    /// A client of `shard` with a clean session and no keep-alive, connected.
    pub(super) fn connect(&mut self, shard: usize, client_id: &str) -> Client {
        self.connect_for(shard, client_id, 0)
    }

    pub(super) fn connect_for(&mut self, shard: usize, client_id: &str, keep_alive_s: u16) -> Client {
        let core = &mut self.cores[shard];
        let mut ids = (0..).map(|n| format!("{client_id}-{n}"));
        let client_id = ids.find(|id| usize::from(core.home_of(id)) == shard).unwrap();
        let number = core.admit(Slot::numbered(0), SocketAddr::from(([127, 0, 0, 1], 1)).into());
        let client = Client { shard, number };
        self.sends(
            client,
            &Packet::Connect(Box::new(Connect {
                version: ProtocolVersion::V3_1_1,
                bridge: false,
                clean_start: true,
                keep_alive_s,
                properties: Properties::default(),
                client_id: &client_id,
                will: None,
                username: None,
                password: None,
            })),
        );
        assert_eq!(self.reads(client), ["CONNACK"]);
        client
    }

    /// The client's bytes arrive. They are handled; everything else waits for [`Rig::turn`].
    pub(super) fn sends(&mut self, client: Client, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, ProtocolVersion::V3_1_1, &mut bytes).unwrap();
        self.cores[client.shard].take_bytes(client.number, &bytes);
    }

    pub(super) fn publishes(&mut self, client: Client, topic_name: &str, payload: &[u8], qos: QoS, retain: bool) {
        let packet_id = (qos > QoS::AtMostOnce).then_some(NonZeroU16::MIN);
        let properties = PublishProperties::default();
        self.sends(
            client,
            &Packet::Publish(Publish { dup: false, qos, retain, topic_name, packet_id, properties, payload }),
        );
    }

    pub(super) fn subscribes(&mut self, client: Client, filters: &[&str], maximum_qos: QoS) {
        let options = SubscriptionOptions { maximum_qos, ..SubscriptionOptions::default() };
        let mut buf = SubscribeFiltersBuf::new(filters[0], options).unwrap();
        filters[1..].iter().for_each(|filter| buf.push(filter, options).unwrap());
        self.sends(
            client,
            &Packet::Subscribe(Subscribe {
                packet_id: NonZeroU16::MIN,
                subscription_identifier: None,
                user_properties: UserProperties::default(),
                filters: buf.as_filters(),
            }),
        );
    }

    pub(super) fn unsubscribes(&mut self, client: Client, filter: &str) {
        let buf = UnsubscribeFiltersBuf::new(filter).unwrap();
        self.sends(
            client,
            &Packet::Unsubscribe(Unsubscribe {
                packet_id: NonZeroU16::MIN,
                user_properties: UserProperties::default(),
                filters: buf.as_filters(),
            }),
        );
    }

    /// A turn of one shard, without its wire; true when it has more to do at once.
    pub(super) fn turn_of(&mut self, shard: usize) -> bool {
        let core = &mut self.cores[shard];
        core.local.now = self.now;
        core.drain_mesh();
        core.take_due_timers();
        let more = core.take_steps();
        core.tell_changed_groups();
        // Nobody sleeps here.
        let _ = core.port.flush();
        more
    }

    /// A turn of every shard.
    pub(super) fn turn(&mut self) {
        for shard in 0..self.cores.len() {
            self.turn_of(shard);
        }
    }

    /// Time passes, with a turn every few milliseconds.
    pub(super) fn waits(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(5) {
            self.now = self.now.plus_ms(5);
            self.turn();
        }
    }

    pub(super) fn is_held(&self, client: Client) -> bool {
        self.cores[client.shard].local.connections.get(client.number).is_some_and(|connection| connection.held)
    }

    pub(super) fn is_live(&self, client: Client) -> bool {
        let connection = self.cores[client.shard].local.connections.get(client.number);
        connection.is_some_and(|connection| connection.phase == Phase::Live)
    }

    /// The client takes everything that its outbox holds, as packets in words: `PUBLISH topic=payload`, with `retained`
    /// behind it, or the name alone.
    pub(super) fn reads(&mut self, client: Client) -> Vec<String> {
        let core = &mut self.cores[client.shard];
        let mut bytes = Vec::new();
        if let Some(connection) = core.local.connections.get_mut(client.number) {
            while let Some(segment) = connection.outbox.pop_segment() {
                bytes.extend_from_slice(segment.as_bytes());
            }
        }
        if !bytes.is_empty() {
            core.take_sent(client.number, true);
        }
        let mut rest = bytes.as_slice();
        let mut words = Vec::new();
        while let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(rest, u32::MAX) {
            words.push(in_words(&codec::decode(&rest[..total_bytes], ProtocolVersion::V3_1_1).unwrap()));
            rest = &rest[total_bytes..];
        }
        assert!(rest.is_empty(), "half a packet");
        words
    }

    /// Turns and reads until nothing more comes.
    pub(super) fn reads_all(&mut self, client: Client) -> Vec<String> {
        let mut words = Vec::new();
        let mut quiet = VecDeque::from([false; 4]);
        while quiet.contains(&false) {
            self.turn();
            let more = self.reads(client);
            quiet.pop_front();
            quiet.push_back(more.is_empty());
            words.extend(more);
        }
        words
    }
}

fn in_words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let payload: String = String::from_utf8_lossy(publish.payload).chars().take(16).collect();
            let retained = if publish.retain { " retained" } else { "" };
            format!("PUBLISH {}={payload}{retained}", publish.topic_name)
        }
        Packet::ConnAck(_) => "CONNACK".into(),
        Packet::SubAck(_) => "SUBACK".into(),
        Packet::UnsubAck(_) => "UNSUBACK".into(),
        Packet::PubAck(_) => "PUBACK".into(),
        packet => format!("{packet:?}"),
    }
}
