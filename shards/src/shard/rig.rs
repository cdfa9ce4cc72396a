//! Shards without a kernel, joined by a mesh, and clients that are sequences of bytes. Where they have logs, those stand on
//! disks that forget, and that fail on request.

use crate::ShardId;
use crate::config::Config;
use crate::journal::{CommitWire, Journal, LogDisk, LogFile};
use crate::mesh::mesh;
use crate::routing::Seed;
use crate::shard::Core;
use crate::shard::connection::Phase;
use crate::wire::{SendBuffer, Slot, Wire, WireConfig};
use ringtail_mqtt::codec::{self, Frame, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::time::Millis;
use ringtail_storage::{CrashDisk, SegmentFile};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

pub(super) struct Rig {
    pub(super) cores: Vec<Core>,
    pub(super) now: Millis,
    rings: Vec<LogRing>,
}

/// What the log of a shard has asked of its ring, until the next turn carries it out.
#[derive(Default)]
struct LogRing(VecDeque<Operation>);

enum Operation {
    Write { file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64 },
    Sync { file: Arc<LogFile>, token: u64 },
}

impl CommitWire for LogRing {
    fn write(&mut self, file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64, _token: u64) {
        self.0.push_back(Operation::Write { file, bytes, position });
    }

    fn fsync(&mut self, file: Arc<LogFile>, token: u64) {
        self.0.push_back(Operation::Sync { file, token });
    }
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
        let cores: Vec<Core> =
            cores.map(|(id, port)| Core::new(id as ShardId, seed, Arc::clone(&config), port, now)).collect();
        let rings = cores.iter().map(|_| LogRing::default()).collect();
        Self { cores, now, rings }
    }

    /// Shards that begin with what is on the disks, one for each.
    pub(super) fn on(config: Config, disks: &[CrashDisk]) -> Self {
        let wire = Wire::new(&WireConfig { slots: 1, receive_buffers: 2, ..WireConfig::default() }).unwrap();
        let storage = config.storage.clone();
        let mut rig = Self::new(config);
        let mut known = Vec::new();
        for (shard, disk) in disks.iter().enumerate() {
            let opened =
                Journal::open(LogDisk::Crash(disk.clone()), storage.clone(), disks.len() as u8, shard, wire.bell());
            let (journal, restored) = opened.unwrap();
            let core = &mut rig.cores[shard];
            known.push(core.restore(journal, restored));
        }
        for (from, known) in known.iter().enumerate() {
            for core in rig.cores.iter_mut().filter(|core| usize::from(core.id) != from) {
                core.take_start(from as ShardId, known);
            }
        }
        rig
    }

    /// A client of `shard` with a clean session and no keep-alive, connected.
    pub(super) fn connect(&mut self, shard: usize, client_id: &str) -> Client {
        self.connect_for(shard, client_id, 0)
    }

    pub(super) fn connect_for(&mut self, shard: usize, client_id: &str, keep_alive_s: u16) -> Client {
        let client = self.opens(shard, client_id, ProtocolVersion::V3_1_1, false, keep_alive_s);
        assert_eq!(self.reads(client), ["CONNACK"]);
        client
    }

    /// A client of `shard` sends CONNECT, for a session that lasts or for one that ends with its connection.
    pub(super) fn opens(
        &mut self,
        shard: usize,
        client_id: &str,
        version: ProtocolVersion,
        durable: bool,
        keep_alive_s: u16,
    ) -> Client {
        let expires = (durable && version == ProtocolVersion::V5).then_some(u32::MAX);
        self.opens_as(shard, client_id, version, (!durable, expires), keep_alive_s)
    }

    /// As [`Rig::opens`], with Clean Start and the Session Expiry Interval.
    pub(super) fn opens_as(
        &mut self,
        shard: usize,
        client_id: &str,
        version: ProtocolVersion,
        (clean_start, expires): (bool, Option<u32>),
        keep_alive_s: u16,
    ) -> Client {
        let core = &mut self.cores[shard];
        let mut ids = (0..).map(|n| format!("{client_id}-{n}"));
        let client_id = ids.find(|id| usize::from(core.home_of(id)) == shard).unwrap();
        let number = core.admit(Slot::numbered(0), SocketAddr::from(([127, 0, 0, 1], 1)).into());
        let client = Client { shard, number };
        let connect = Packet::Connect(Box::new(Connect {
            version,
            bridge: false,
            clean_start,
            keep_alive_s,
            properties: Properties { session_expiry_interval_s: expires, ..Properties::default() },
            client_id: &client_id,
            will: None,
            username: None,
            password: None,
        }));
        let mut bytes = Vec::new();
        codec::encode(&connect, version, &mut bytes).unwrap();
        self.cores[shard].take_bytes(number, &bytes);
        client
    }

    /// The client's bytes arrive. They are handled; everything else waits for [`Rig::turn`].
    pub(super) fn sends(&mut self, client: Client, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        let core = &mut self.cores[client.shard];
        let Some(connection) = core.local.connections.get(client.number) else { return };
        codec::encode(packet, connection.version, &mut bytes).unwrap();
        core.take_bytes(client.number, &bytes);
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
        self.carry_out(shard);
        let core = &mut self.cores[shard];
        core.take_due_timers();
        let more = core.take_steps();
        core.end_turn(&mut self.rings[shard]);
        core.tell_changed_groups();
        // Nobody sleeps here.
        let _ = core.port.flush();
        more
    }

    /// Does what the log of the shard has asked for in the turn before.
    fn carry_out(&mut self, shard: usize) {
        let (core, ring) = (&mut self.cores[shard], &mut self.rings[shard]);
        for operation in std::mem::take(&mut ring.0) {
            match operation {
                Operation::Write { file, bytes: (bytes, from), position } => {
                    let result = file.write_at(position, &bytes[from..]);
                    drop((file, bytes));
                    core.take_wrote(result, ring);
                }
                Operation::Sync { file, token } => {
                    let result = file.sync();
                    drop(file);
                    core.take_synced(token, result);
                }
            }
        }
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

    /// The client takes everything that may leave for it, as packets in words: `PUBLISH topic=payload`, with `retained`
    /// behind it, or the name, with the reason behind it where that is an error.
    pub(super) fn reads(&mut self, client: Client) -> Vec<String> {
        let core = &mut self.cores[client.shard];
        let opened = core.local.opened();
        let mut bytes = Vec::new();
        let mut version = ProtocolVersion::V3_1_1;
        if let Some(connection) = core.local.connections.get_mut(client.number) {
            version = connection.version;
            while let Some(send) = connection.take_send(opened, usize::MAX) {
                match send {
                    SendBuffer::Bytes(sent) => bytes.extend_from_slice(&sent),
                    SendBuffer::Segments(sent) => sent.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes())),
                }
            }
        }
        if !bytes.is_empty() {
            core.take_sent(client.number, true);
        }
        let mut rest = bytes.as_slice();
        let mut words = Vec::new();
        while let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(rest, u32::MAX) {
            words.push(in_words(&codec::decode(&rest[..total_bytes], version).unwrap()));
            rest = &rest[total_bytes..];
        }
        assert!(rest.is_empty(), "half a packet");
        words
    }

    /// Turns and reads until nothing more comes.
    pub(super) fn reads_all(&mut self, client: Client) -> Vec<String> {
        let mut words = Vec::new();
        // A commit over the end of a segment takes some turns, and its answer crosses the mesh.
        let mut quiet = VecDeque::from([false; 12]);
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

pub(super) fn in_words(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let payload: String = String::from_utf8_lossy(publish.payload).chars().take(16).collect();
            let retained = if publish.retain { " retained" } else { "" };
            format!("PUBLISH {}={payload}{retained}", publish.topic_name)
        }
        Packet::ConnAck(connack) => with_reason("CONNACK", Some(connack.reason)),
        Packet::SubAck(suback) => with_reason("SUBACK", suback.reasons.iter().find(|reason| reason.is_error())),
        Packet::UnsubAck(_) => "UNSUBACK".into(),
        Packet::PubAck(ack) => with_reason("PUBACK", Some(ack.reason)),
        Packet::PubRec(ack) => with_reason("PUBREC", Some(ack.reason)),
        Packet::Disconnect(disconnect) => with_reason("DISCONNECT", Some(disconnect.reason)),
        packet => format!("{packet:?}"),
    }
}

fn with_reason(name: &str, reason: Option<ReasonCode>) -> String {
    reason.filter(|reason| reason.is_error()).map_or_else(|| name.into(), |reason| format!("{name} {reason:?}"))
}
