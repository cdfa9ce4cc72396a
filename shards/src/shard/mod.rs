//! One shard: everything that a core owns, and how it is put together.
//!
//! [`Shard`] is the wire and the [`Core`]; they stand apart so that packets can borrow from the wire's receive buffers
//! while the core handles them. What the core wants of the wire it files as a [`Request`], carried out when the buffer has
//! been given back.

mod authentication;
mod clock;
mod connection;
mod durable;
mod ended;
mod ending;
mod fence;
mod groups;
mod handshake;
mod holds;
mod idle;
mod inbound;
mod local;
mod mail;
mod pace;
mod pool;
mod publish;
mod retained_scan;
mod retentions;
#[cfg(test)]
mod rig;
mod scans;
mod send;
mod sessions;
#[cfg(test)]
mod sim;
mod subscribe;
mod sweep;
#[cfg(test)]
mod tests;
mod timers;
mod turn;
mod turn_wire;
mod verdicts;

pub(crate) use clock::Clock;
pub(crate) use durable::Known;
pub(crate) use idle::Idle;
pub(crate) use mail::Mail;
pub(crate) use retentions::Tag;

use crate::config::Config;
use crate::counters::{Counters, PublishedCounters};
use crate::home::Homes;
use crate::journal::SavedRetained;
use crate::mesh::Port;
use crate::routing::{Matches, Remote, Retained, Seed, Shared, Subscriptions};
use crate::shard::authentication::Authenticating;
use crate::shard::connection::{Connection, Peer, Phase};
use crate::shard::ended::Ended;
use crate::shard::groups::GroupPick;
use crate::shard::holds::Holds;
use crate::shard::local::Local;
use crate::shard::mail::HandOver;
use crate::shard::retentions::Retentions;
use crate::shard::scans::Scans;
use crate::shard::sessions::{NONE, Sessions};
use crate::shard::timers::{Timer, Timers};
use crate::shard::verdicts::Verdicts;
use crate::wire::{Bell, Event, Slot, Wire, WireHandle};
use crate::{ShardId, ShardSet};
use ringtail_mqtt::session::Encoder;
use ringtail_mqtt::time::Millis;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};

/// A shard.
pub(crate) struct Shard {
    pub wire: Wire,
    pub core: Core,
    pub events: Vec<Event>,
    pub neighbours: Arc<[WireHandle]>,
    pub control: Arc<Control>,
    pub clock: Clock,
    pub idle: Idle,
    pub quiet: Quiet,
    /// When the counters are published next.
    pub counters_at: Millis,
}

/// What the thread that started a shard shares with it.
pub(crate) struct Control {
    /// Raised to make the shard stop; ring the bell afterwards.
    pub stop: AtomicBool,
    /// Raised when all shards are quiet, to make them end; ring the bell afterwards.
    pub end: AtomicBool,
    pub bell: Bell,
    pub counters: PublishedCounters,
}

/// Says once that a shard of a stopping server has no clients any more, or has ended.
pub(crate) struct Quiet(Option<mpsc::Sender<()>>);

impl Quiet {
    pub(crate) fn new(sender: mpsc::Sender<()>) -> Self {
        Self(Some(sender))
    }

    pub(crate) fn say(&mut self) {
        if let Some(sender) = self.0.take() {
            // Nobody listens when the server was not stopped but has failed.
            let _ = sender.send(());
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.say();
    }
}

/// Everything of a shard but the wire.
pub(crate) struct Core {
    pub id: ShardId,
    pub shards: u8,
    /// Keys the hash of topics; the same on every shard.
    pub seed: Seed,
    pub homes: Homes,
    pub config: Arc<Config>,
    pub local: Local,
    pub subscriptions: Subscriptions,
    pub shared: Shared,
    pub matches: Matches,
    pub remote: Remote,
    pub retained: SavedRetained,
    pub retentions: Retentions,
    pub scans: Scans,
    pub holds: Holds,
    pub verdicts: Verdicts,
    pub ended: Ended,
    pub port: Port<Mail>,
    pub timers: Timers,
    pub due: Vec<Timer>,
    pub encoder: Encoder,
    pub requests: Vec<Request>,
    /// Halves of hand-overs that wait for the other half, by token.
    pub arriving: HashMap<u64, Arriving>,
    /// Connections of which both halves came in this turn.
    pub arrived: Vec<(Slot, Box<HandOver>)>,
    /// And in the turn before.
    pub arrived_before: Vec<(Slot, Box<HandOver>)>,
    /// Connections on their way to another shard, with the name of the hand-over there.
    pub leaving: HashMap<u32, (ShardId, u64)>,
    pub next_token: u64,
    /// Connections whose CONNECT named an authentication method, until they are closed.
    pub authenticating: HashMap<u32, Authenticating>,
    /// What the rings brought that changes what this shard knows.
    pub changes: Vec<(ShardId, Mail)>,
    /// What else they brought.
    pub inbox: Vec<(ShardId, Mail)>,
    /// What came too late for this turn.
    pub next_inbox: Vec<(ShardId, Mail)>,
    /// Shared subscriptions, by name and filter, whose members have changed in this turn: those online and those not.
    pub changed_groups: HashMap<(Box<str>, Box<str>), (u32, u32)>,
    /// The shared subscriptions that a message matched, with the shard that takes it.
    pub groups: Vec<GroupPick>,
    /// When expired retained messages are swept next.
    pub sweep_at: Millis,
    /// Shards that have durable sessions.
    pub durable_shards: ShardSet,
    /// The shard says goodbye and takes nothing new.
    pub stopping: bool,
}

/// One half of a connection that is handed over.
pub(crate) enum Arriving {
    Descriptor(Slot),
    Bytes(Box<HandOver>),
}

/// What the core wants of the wire.
#[derive(Debug)]
pub(crate) enum Request {
    /// Name a new connection.
    Adopt(u32),
    /// Read the connection until it is held or ends.
    Receive(u32),
    /// Stop reading the connection for now.
    Hold(u32),
    /// Send what is in the outbox, then close.
    Close(u32),
    /// Close without waiting for the client.
    CloseNow(u32),
    /// Move the descriptor to another shard; the bytes have gone by the mesh.
    HandOver { connection: u32, to: ShardId, token: u64 },
}

impl Core {
    pub(crate) fn new(id: ShardId, seed: Seed, config: Arc<Config>, port: Port<Mail>, now: Millis) -> Self {
        let limits = config.limits.clone();
        Self {
            id,
            shards: config.shards as u8,
            seed,
            homes: Homes::new(config.shards as u8),
            local: Local::new(Sessions::new(seed), limits, now),
            subscriptions: Subscriptions::new(seed),
            matches: Matches::new(config.overlapping_copies),
            shared: Shared::new(seed, config.shared_strategy),
            remote: Remote::new(seed, config.shared_strategy),
            retained: Retained::new(config.retained_messages_max, config.retained_bytes_max),
            retentions: Retentions::new(id, config.shards as u8),
            scans: Scans::default(),
            holds: Holds::default(),
            verdicts: Verdicts::default(),
            ended: Ended::default(),
            port,
            timers: Timers::new(now),
            due: Vec::new(),
            encoder: Encoder::default(),
            requests: Vec::new(),
            arriving: HashMap::new(),
            arrived: Vec::new(),
            arrived_before: Vec::new(),
            leaving: HashMap::new(),
            next_token: 0,
            authenticating: HashMap::new(),
            sweep_at: now,
            changes: Vec::new(),
            inbox: Vec::new(),
            next_inbox: Vec::new(),
            changed_groups: HashMap::new(),
            groups: Vec::new(),
            durable_shards: ShardSet::default(),
            stopping: false,
            config,
        }
    }

    /// A connection has come, by the listener or from another shard. It must send CONNECT in time [MQTT-3.1.0-1].
    pub(crate) fn admit(&mut self, slot: Slot, peer: Peer) -> u32 {
        let at = self.local.now.plus_ms(u64::from(self.config.connect_timeout_ms));
        let number = self.local.connections.insert(Connection::new(slot, peer, at));
        self.timers.file(Timer::Connection(number), at);
        self.requests.push(Request::Adopt(number));
        number
    }

    /// The shard that a client id belongs to.
    pub(crate) fn home_of(&self, client_id: &str) -> ShardId {
        self.homes.of(client_id)
    }

    /// The shard that keeps the retained message of a topic.
    pub(crate) fn keeper_of(&self, topic_name: &str) -> ShardId {
        self.homes.of(topic_name)
    }

    /// Sends mail that must not be lost: it waits in the overflow when the ring is full, and whoever caused it is held back.
    /// False when it was lost all the same: then the publication under way is refused.
    pub(crate) fn post(&mut self, to: ShardId, mail: Mail) -> bool {
        let sent = self.port.send(to, mail).is_ok();
        if !sent {
            self.local.counters.mail_lost += 1;
            if let Some(journal) = &mut self.local.journal {
                journal.refuse_publication();
            }
            tracing::error!(shard = self.id, to, "the overflow of the ring to another shard is full; its mail is lost");
        }
        sent
    }

    /// Looks at the session's next deadline and files it, unless an entry that comes up earlier is filed already.
    pub(crate) fn file_timer(&mut self, session: u32) {
        let Some(entry) = self.local.sessions.get_mut(session) else { return };
        let at = entry.session.poll_timeout();
        if at < entry.timer_at {
            entry.timer_at = self.timers.file(Timer::Session(session), at);
        }
    }

    /// The counters, with those that are counts of what exists now.
    pub(crate) fn counted(&mut self) -> Counters {
        let stats = self.local.journal.as_ref().map(|journal| (journal.stats(), journal.commits()));
        let counters = &mut self.local.counters;
        if let Some((stats, commits)) = stats {
            counters.storage_bytes = stats.disk_bytes;
            counters.storage_live_bytes = stats.live_bytes;
            counters.storage_appended_bytes = stats.appended_bytes;
            counters.storage_moved_bytes = stats.moved_bytes;
            counters.storage_syncs = stats.syncs;
            counters.storage_commits = commits;
        }
        counters.connections = self.local.connections.len() as u64;
        counters.sessions = self.local.sessions.len() as u64;
        counters.retained_messages = self.retained.len() as u64;
        counters.clone()
    }

    /// Unbinds a connection from its session.
    pub(crate) fn unbind(&mut self, number: u32) -> Option<u32> {
        let connection = self.local.connections.get_mut(number)?;
        let session = std::mem::replace(&mut connection.session, NONE);
        if connection.phase == Phase::Live {
            connection.phase = Phase::Draining;
        }
        let entry = self.local.sessions.get_mut(session)?;
        entry.connection = NONE;
        Some(session)
    }
}
