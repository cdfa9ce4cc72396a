//! Shards, clients, and who moves next.

use super::client::{Client, FILTERS, Published, State, TOPICS};
use super::random::Random;
use super::tell;
use super::wire::{Link, Links, SimWire};
use crate::ShardId;
use crate::config::{Config, Storage};
use crate::journal::{FolderError, Journal, ShardFolder, open_disk, open_folder};
use crate::mesh::mesh;
use crate::routing::Seed;
use crate::shard::{Core, Request};
use crate::wire::{Bell, Event};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::{ProtocolVersion, QoS};
use ringtail_mqtt::time::Millis;
use ringtail_mqtt::topic::matches;
use ringtail_storage::StorageError;
use std::path::Path;
use std::sync::Arc;

/// Rounds in which everybody moves, after which everything must be done.
const ROUNDS_MAX: usize = 4_000;

/// Where the shards keep their logs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub dir: &'a Path,
    pub bell: &'a Bell,
}

/// What a seed decides about the whole run.
pub(super) struct Profile {
    pub shards: usize,
    pub steps: usize,
    pub limits: Limits,
    pub mesh_slots: usize,
    /// A sync in so many fails; 0 when none does.
    pub failing_syncs: usize,
    /// The broker is killed, or loses power, once in so many steps; 0 when it is not.
    pub crashes: usize,
}

impl Profile {
    pub(super) fn of(random: &mut Random) -> Self {
        let limits = Limits {
            inflight_max: random.of(&[1, 2, 8, 1_024]),
            queue_messages_max: random.of(&[10_000, 10_000, 10_000, 8]),
            outbox_bytes_max: random.of(&[4 << 20, 2_000]),
            ..Limits::default()
        };
        Self {
            shards: random.of(&[1, 2, 2, 3, 3, 4]),
            steps: random.of(&[200, 400, 800]),
            limits,
            mesh_slots: random.of(&[2, 4, 64]),
            failing_syncs: 0,
            crashes: 0,
        }
    }
}

pub(super) struct World<'a> {
    pub random: Random,
    pub profile: Profile,
    place: Option<Place<'a>>,
    folder: Option<ShardFolder>,
    pub cores: Vec<Core>,
    wires: Vec<SimWire>,
    /// What a shard has reaped and not yet handled: others may move in between.
    reaped: Vec<Option<Vec<Event>>>,
    links: Links,
    pub clients: Vec<Client>,
    pub messages: Vec<Published>,
    /// Messages that found a full queue before the broker was killed last.
    dropped_before: u64,
    now: Millis,
    /// A shard that does not move for a while, and until when: what goes to it fills its rings.
    stalled: (usize, u64),
    /// Counts what the clients see and do.
    moment: u64,
}

impl<'a> World<'a> {
    pub(super) fn new(mut random: Random, profile: Profile, place: Option<Place<'a>>) -> Self {
        let clients = (0..3 + random.below(3)).map(|number| {
            let version = random.of(&[ProtocolVersion::V5, ProtocolVersion::V5, ProtocolVersion::V3_1_1]);
            let receive_maximum = if version == ProtocolVersion::V5 { random.of(&[1, 3, 1_000]) } else { u16::MAX };
            Client::new(number, version, !random.once_in(3), receive_maximum)
        });
        let clients = clients.collect();
        let mut world = Self {
            random,
            profile,
            place,
            folder: None,
            cores: Vec::new(),
            wires: Vec::new(),
            reaped: Vec::new(),
            links: Vec::new(),
            clients,
            messages: Vec::new(),
            dropped_before: 0,
            now: Millis(1_000_000),
            stalled: (0, 0),
            moment: 0,
        };
        world.start();
        world
    }

    /// Starts the shards, with what the folder holds.
    fn start(&mut self) {
        let Profile { shards, ref limits, mesh_slots, failing_syncs, .. } = self.profile;
        let (limits, slow_consumer_grace_ms) = (limits.clone(), 3_600_000);
        let storage = Storage { segment_bytes: 256 << 10, limit_bytes: 8 << 20, ..Storage::default() };
        let config = Config { shards, limits, mesh_slots, slow_consumer_grace_ms, storage, ..Config::default() };
        let config = Arc::new(config);
        let ports = mesh(shards, mesh_slots, 1 << 20).unwrap();
        let seed = Seed::new([7, 8]);
        let cores = ports.into_iter().enumerate();
        self.cores =
            cores.map(|(id, port)| Core::new(id as ShardId, seed, Arc::clone(&config), port, self.now)).collect();
        self.wires = (0..shards).map(|_| SimWire::new(failing_syncs)).collect();
        self.reaped = (0..shards).map(|_| None).collect();
        let Some(Place { dir, bell }) = self.place else { return };
        let folder = open_when_free(dir, shards as u32, &config.storage);
        let mut known = Vec::new();
        for (shard, core) in self.cores.iter_mut().enumerate() {
            let dir = &folder.dirs()[shard];
            let disk = open_disk(dir).unwrap();
            let opened = Journal::open(disk, config.storage.clone(), shards as u8, shard, bell.clone());
            let (journal, restored) = opened.unwrap();
            known.push(core.restore(journal, restored));
        }
        for core in &mut self.cores {
            for (other, known) in known.iter().enumerate() {
                if other != usize::from(core.id) {
                    core.take_start(other as ShardId, known);
                }
            }
        }
        self.folder = Some(folder);
    }

    /// The broker is killed, perhaps by a loss of power, and starts again, perhaps with another number of shards.
    pub(super) fn crash(&mut self) {
        self.dropped_before = self.dropped();
        self.cores.clear();
        let power = self.random.once_in(2);
        if power {
            self.wires.iter_mut().for_each(|wire| wire.lose_power(&mut self.random));
        }
        self.wires.clear();
        self.folder = None;
        for link in &mut self.links {
            (link.client_gone, link.server_gone) = (true, true);
        }
        self.clients.iter_mut().for_each(Client::broker_crashed);
        if self.random.once_in(3) {
            self.profile.shards = 1 + self.random.below(4);
        }
        tell(|| format!("the broker is killed, power lost: {power}; {} shards from here on", self.profile.shards));
        self.now = self.now.plus_ms(100);
        self.start();
    }

    /// Begins with everybody there and subscribed to something, then lets chance have its way.
    pub(super) fn run(&mut self) {
        self.settle();
        (0..self.clients.len() * 2).for_each(|_| self.client_subscribes());
        for _ in 0..self.profile.steps {
            self.step();
        }
    }

    fn step(&mut self) {
        self.moment += 1;
        let crashes = self.profile.crashes;
        match self.random.below(100) {
            0..42 => {
                let shard = self.random.below(self.cores.len());
                if self.stalled.0 != shard || self.stalled.1 < self.moment {
                    self.shard_moves(shard, false);
                }
            }
            42..60 => self.client_reads(),
            60..72 => self.client_pays(),
            72..85 => self.client_publishes(),
            85..90 => self.client_subscribes(),
            90..94 => self.client_connects(),
            94 => self.client_leaves(),
            95 if crashes > 0 && self.random.once_in(crashes) => self.crash(),
            96 if self.random.once_in(8) => self.now = self.now.plus_ms(2_500),
            97 => {
                let shard = self.random.below(self.cores.len());
                self.stalled = (shard, self.moment + self.random.below(60) as u64);
            }
            _ => self.now = self.now.plus_ms(1 + self.random.below(12) as u64),
        }
    }

    /// A shard reaps, or handles what it has reaped; with `all`, both, and everything that can happen happens.
    fn shard_moves(&mut self, shard: usize, all: bool) {
        let Self { random, wires, links, .. } = self;
        if self.reaped[shard].is_none() {
            self.reaped[shard] = Some(wires[shard].reap(links, random, all));
            if !all && random.once_in(2) {
                return;
            }
        }
        let Some(mut events) = self.reaped[shard].take() else { return };
        let core = &mut self.cores[shard];
        core.local.now = self.now;
        core.port.awake();
        let _ = core.turn(&mut events, &mut self.wires[shard]);
        self.move_connections(shard, all);
    }

    fn move_connections(&mut self, shard: usize, all: bool) {
        for moving in std::mem::take(&mut self.wires[shard].moving) {
            if !all && self.random.once_in(2) {
                self.wires[shard].moving.push(moving);
                continue;
            }
            let possible = all || !self.random.once_in(12);
            if let Some(link) = self.wires[shard].depart(moving.slot, possible) {
                self.wires[usize::from(moving.to)].arrive(link, moving.token);
            }
        }
    }

    fn any_client(&mut self) -> usize {
        self.random.below(self.clients.len())
    }

    fn client_reads(&mut self) {
        let client = self.any_client();
        let Some(link) = self.clients[client].link else { return };
        let link = &mut self.links[link];
        let count = if self.random.once_in(2) { usize::MAX } else { 1 + self.random.below(40) };
        let filter = self.clients[client].read(link, count, self.moment, &mut self.messages);
        // What a SUBACK causes comes as soon as can be.
        if let Some(topic_name) = filter.and_then(|filter| TOPICS.iter().find(|topic_name| matches(filter, topic_name)))
        {
            self.moment += 1;
            let (publisher, qos) = (self.any_client(), self.random.of(&[1, 2]));
            self.publish(publisher, topic_name, qos, false);
        }
    }

    fn client_pays(&mut self) {
        let (client, count) = (self.any_client(), 1 + self.random.below(4));
        if let Some(link) = self.clients[client].link {
            self.clients[client].pay(&mut self.links[link], count);
        }
    }

    fn client_publishes(&mut self) {
        let client = self.any_client();
        let (topic_name, qos) = (self.random.of(&TOPICS), self.random.of(&[0, 1, 1, 2, 2]));
        let retain = self.random.once_in(6);
        self.publish(client, topic_name, qos, retain);
    }

    pub(super) fn publish(&mut self, client: usize, topic_name: &'static str, qos: u8, retain: bool) {
        if !self.clients[client].may_publish() {
            return;
        }
        let message = self.messages.len();
        let mut payload = format!("{message:08x}").into_bytes();
        payload.resize(8 + self.random.of(&[0, 0, 10, 300]), b'.');
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)];
        let (sent_at, acknowledged_at) = (self.moment, None);
        self.messages.push(Published { publisher: client, topic_name, qos, retain, payload, sent_at, acknowledged_at });
        if let Some(link) = self.clients[client].link {
            self.clients[client].publish(&mut self.links[link], message, &self.messages[message]);
        }
    }

    fn client_subscribes(&mut self) {
        let client = self.any_client();
        let (filter, qos) = (self.random.of(&FILTERS), self.random.of(&[QoS::AtLeastOnce, QoS::ExactlyOnce]));
        let client = &mut self.clients[client];
        let Some(link) = client.link.filter(|_| client.state == State::Live) else { return };
        if client.subscriptions.contains_key(filter) && self.random.once_in(2) {
            client.unsubscribe(&mut self.links[link], filter);
        } else {
            client.subscribe(&mut self.links[link], filter, qos);
        }
    }

    /// A client that is off comes back; one that is there comes again, and the broker has to find out.
    fn client_connects(&mut self) {
        let off = self.clients.iter().position(|client| client.state == State::Off);
        let client = off.unwrap_or_else(|| self.any_client());
        if self.clients[client].may_go() && (off.is_some() || self.random.once_in(6)) {
            let clean = self.random.once_in(20);
            self.connect(client, clean);
        }
    }

    fn connect(&mut self, client: usize, clean: bool) {
        // The end of the old connection is seen some time, or only when a session is taken over.
        if let Some(old) = self.clients[client].link.filter(|_| !self.random.once_in(2)) {
            self.links[old].client_gone = true;
        }
        let shard = self.random.below(self.wires.len());
        let number = self.links.len();
        self.links.push(Link { room_bytes: self.random.of(&[100, 2_000, 100_000]), ..Link::default() });
        self.clients[client].connect(number, &mut self.links[number], clean);
        self.wires[shard].accept(number);
    }

    fn client_leaves(&mut self) {
        let client = self.any_client();
        let Some(link) = self.clients[client].link.filter(|_| self.clients[client].may_go()) else { return };
        let link = &mut self.links[link];
        if self.clients[client].state == State::Live && self.random.once_in(2) {
            self.clients[client].disconnect(link);
        } else {
            link.client_gone = true;
            self.clients[client].lose_link();
        }
    }

    /// Everybody comes back, and everything that is under way ends.
    pub(super) fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            quiet = if self.round() { quiet + 1 } else { 0 };
            if quiet > 6 {
                return;
            }
        }
        let unsettled: Vec<_> = self.clients.iter().filter(|c| !c.is_content()).map(|c| c.number).collect();
        panic!("it goes on and on; not content: {unsettled:?}");
    }

    /// True when nothing has moved.
    fn round(&mut self) -> bool {
        self.moment += 1;
        self.now = self.now.plus_ms(5);
        let mut quiet = true;
        for client in 0..self.clients.len() {
            if self.clients[client].state == State::Off {
                self.connect(client, false);
                quiet = false;
            }
        }
        for shard in 0..self.cores.len() {
            self.shard_moves(shard, true);
        }
        for client in &mut self.clients {
            let Some(link) = client.link else { continue };
            let link = &mut self.links[link];
            quiet &= link.to_client.is_empty();
            client.read(link, usize::MAX, self.moment, &mut self.messages);
            client.pay(link, usize::MAX);
            quiet &= client.is_content() && link.to_server.is_empty();
        }
        let idle = |core: &Core| {
            let waits = |request: &Request| !matches!(request, Request::Adopt(_));
            // Nor does anybody wait for retained messages: a scan that has no end makes this one go on and on.
            let waits_for_mail = core.port.has_incoming() || !core.scans.is_empty();
            core.has_no_mail() && !core.requests.iter().any(waits) && !waits_for_mail
        };
        quiet && self.wires.iter().all(SimWire::is_quiet) && self.cores.iter().all(idle)
    }

    /// Everybody leaves for good, and what was retained is forgotten.
    pub(super) fn empty(&mut self) {
        for topic_name in TOPICS {
            let client = self.any_client();
            self.clear(client, topic_name);
        }
        self.settle();
        for client in 0..self.clients.len() {
            self.clients[client].durable = false;
            self.connect(client, true);
        }
        self.settle();
        for client in &mut self.clients {
            if let Some(link) = client.link {
                client.disconnect(&mut self.links[link]);
            }
        }
        for _ in 0..60 {
            self.now = self.now.plus_ms(100);
            (0..self.cores.len()).for_each(|shard| self.shard_moves(shard, true));
        }
    }

    fn clear(&mut self, client: usize, topic_name: &'static str) {
        let client = &mut self.clients[client];
        if let Some(link) = client.link {
            client.clear(&mut self.links[link], topic_name);
        }
    }

    /// Messages that found a full queue, which may be lost: what the broker counts begins anew with each of its starts.
    pub(super) fn dropped(&self) -> u64 {
        let now: u64 = self.cores.iter().map(|core| core.local.counters.dropped_queue_full).sum();
        self.dropped_before + now
    }

    pub(super) fn connections(&self) -> usize {
        self.wires.iter().map(SimWire::connections).sum()
    }
}

/// The threads of a broker that was killed here end in their own time, and hold its folder until then.
fn open_when_free(dir: &Path, shards: u32, storage: &Storage) -> ShardFolder {
    loop {
        match open_folder(dir, shards, storage) {
            Err(FolderError::Storage(StorageError::InUse { .. })) => std::thread::yield_now(),
            outcome => return outcome.unwrap(),
        }
    }
}
