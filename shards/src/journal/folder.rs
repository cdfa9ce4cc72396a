//! The data folder: opened for so many shards, whatever number it was written with, and read and written as a whole.

use super::disk::LogDisk;
use super::exchange::{Exchange, TAKEN_MAX};
use super::record::{self, QueuedBody, SessionBody, WillBody, kind};
use super::recover::{Replay, Restored};
use super::state::State;
use crate::ShardId;
use crate::config::{SHARDS_MAX, Storage, Sync};
use crate::home::Homes;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::{PacketId, ProtocolVersion, QoS, SubscriptionOptions};
use ringtail_mqtt::time::Millis;
use ringtail_storage::{
    Access, Acknowledge, AppendError, Backing, DataFolder, Disk, Kind, Layout, Log, LogOptions, Offset, Recovery,
    StorageError, tools,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a folder that is in use is waited for, and how often it is looked at.
const IN_USE_MAX: Duration = Duration::from_secs(3);
const IN_USE_LOOKS: Duration = Duration::from_millis(20);

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The log says why.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A record is none that this program writes.
    #[error(
        "{} holds a record at {at} that this program does not know; run the program that wrote it, nothing was changed",
        dir.display()
    )]
    Unknown {
        /// The log's folder.
        dir: PathBuf,
        /// The record.
        at: Offset,
    },
    /// There is no room, or a message is larger than a segment.
    #[error("{source}; raise storage.limit_bytes or storage.segment_bytes, nothing was changed")]
    Append {
        /// What the log said.
        #[from]
        source: AppendError,
    },
    /// The thread that waits for the disk could not be started.
    #[error("the thread of the log could not be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// A durable session, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// The Client Identifier.
    pub client_id: Box<str>,
    /// The protocol version of its last connection.
    pub version: ProtocolVersion,
    /// The Session Expiry Interval, seconds.
    pub expiry_s: u32,
    /// When its connection went; `None` if it had one.
    pub detached_at: Option<Millis>,
    /// The will that is still to be published.
    pub will: Option<KeptWill>,
    /// Its subscriptions.
    pub subscriptions: Vec<KeptSubscription>,
    /// Its messages: those that were sent, then those that wait, each in their order.
    pub messages: Vec<KeptMessage>,
    /// Identifiers of the client's own QoS 2 PUBLISHes that it has not released.
    pub inbound: Vec<PacketId>,
    /// Its own QoS 2 PUBLISHes that some subscribers have and others may lack, so that the client will send them again.
    pub in_doubt: Vec<KeptExchange>,
}

/// A client's own QoS 2 PUBLISH that a crash has interrupted: who is to be passed over when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptExchange {
    /// The client's identifier.
    pub packet_id: PacketId,
    /// What tells the message from another with that identifier.
    pub fingerprint: u64,
    /// Client Identifiers of the sessions that have the message.
    pub sessions: Vec<Box<str>>,
    /// Shared subscriptions that have it, by a hash that is always the same.
    pub groups: Vec<u64>,
}

/// A will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWill {
    /// The Will Message.
    pub message: Message,
    /// The Will Delay Interval, seconds.
    pub delay_s: u32,
    /// Its Message Expiry Interval, seconds.
    pub message_expiry_s: Option<u32>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSubscription {
    /// The filter as SUBSCRIBE had it, `$share/` and the Share Name included.
    pub filter: Box<str>,
    /// The Subscription Options.
    pub options: SubscriptionOptions,
    /// The Subscription Identifier, or 0.
    pub subscription_id: u32,
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// Its number in the session.
    pub sequence: u64,
    /// The message; `None` once PUBREC has come.
    pub message: Option<Rc<Message>>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
    /// The Subscription Identifiers of the delivery.
    pub subscription_ids: Vec<u32>,
    /// Present if it was sent.
    pub packet_id: Option<PacketId>,
}

impl KeptMessage {
    pub(super) fn released(sequence: u64, packet_id: PacketId) -> Self {
        Self {
            sequence,
            message: None,
            qos: QoS::ExactlyOnce,
            retain: false,
            subscription_ids: Vec::new(),
            packet_id: Some(packet_id),
        }
    }
}

/// Everything that a data folder keeps.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The durable sessions.
    pub sessions: Vec<KeptSession>,
    /// The retained messages.
    pub retained: Vec<Rc<Message>>,
}

/// A data folder that is open for writing, and the logs in it.
pub(crate) struct ShardFolder {
    /// Holds the lock.
    _folder: DataFolder,
    dirs: Vec<PathBuf>,
}

/// Opens the data folder for `shards` shards. One that was written with another number is written anew first.
///
/// # Errors
/// [`FolderError`]; what the folder held, it holds still.
pub(crate) fn open_folder(dir: &Path, shards: u32, storage: &Storage) -> Result<ShardFolder, FolderError> {
    let mut folder = when_free(|| DataFolder::open(dir, Access::Write))?;
    let layout = match folder.layout() {
        Some(layout) if layout.shards == shards => layout,
        before => {
            let contents = match before {
                Some(before) => {
                    tracing::info!(
                        before = before.shards,
                        now = shards,
                        "the data folder is spread over the shards anew"
                    );
                    contents_of(&folder, before)?
                }
                None => Contents::default(),
            };
            write_layout(&mut folder, shards, storage, &contents)?
        }
    };
    let dirs = (0..shards).map(|shard| folder.shard_dir(layout, shard)).collect();
    Ok(ShardFolder { _folder: folder, dirs })
}

/// Opens what may still be locked by a broker that was killed a moment ago: the kernel gives up a process's files only after it
/// has taken down its rings, and tells nobody when.
pub(super) fn when_free<T>(open: impl Fn() -> Result<T, StorageError>) -> Result<T, StorageError> {
    let began = Instant::now();
    loop {
        match open() {
            Err(StorageError::InUse { .. }) if began.elapsed() < IN_USE_MAX => thread::sleep(IN_USE_LOOKS),
            outcome => return outcome,
        }
    }
}

impl ShardFolder {
    /// The folders of the shards' logs.
    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
}

/// Everything that a stopped or copied data folder holds.
///
/// # Errors
/// [`FolderError`].
pub fn read_contents(dir: &Path) -> Result<Contents, FolderError> {
    let folder = DataFolder::open(dir, Access::Read)?;
    folder.layout().map_or_else(|| Ok(Contents::default()), |layout| contents_of(&folder, layout))
}

/// Puts `contents` into a data folder in place of whatever it holds, for `shards` shards.
///
/// # Errors
/// [`FolderError`]; the folder then holds what it held.
pub fn write_contents(dir: &Path, shards: u32, storage: &Storage, contents: &Contents) -> Result<(), FolderError> {
    let mut folder = DataFolder::open(dir, Access::Write)?;
    write_layout(&mut folder, shards, storage, contents).map(drop)
}

fn contents_of(folder: &DataFolder, layout: Layout) -> Result<Contents, FolderError> {
    let mut contents = Contents::default();
    let (mut publishers, mut taken) = (HashMap::new(), Vec::new());
    for shard in 0..layout.shards {
        let (state, restored) = read_log(&folder.shard_dir(layout, shard))?;
        let mut client_ids = HashMap::new();
        for (key, session) in restored.sessions {
            client_ids.insert(key, session.client_id.clone());
            publishers.insert((shard, key), contents.sessions.len());
            contents.sessions.push(session);
        }
        contents.retained.extend(restored.retained.into_iter().map(|(message, _)| message));
        for (exchange, found) in state.taken {
            let sessions = found.sessions.iter().filter_map(|key| client_ids.get(key).cloned()).collect();
            let (packet_id, fingerprint) = (exchange.packet_id, found.message);
            let kept = KeptExchange { packet_id, fingerprint, sessions, groups: found.groups };
            taken.push(((u32::from(exchange.home), exchange.session), kept));
        }
    }
    for (publisher, kept) in taken {
        if let Some(session) = publishers.get(&publisher).and_then(|index| contents.sessions.get_mut(*index)) {
            session.add_doubt(kept);
        }
    }
    Ok(contents)
}

impl KeptSession {
    /// A shard has taken one of the client's PUBLISHes. What is held is in no doubt.
    fn add_doubt(&mut self, kept: KeptExchange) {
        if self.inbound.contains(&kept.packet_id) {
            return;
        }
        let is_same =
            |known: &&mut KeptExchange| (known.packet_id, known.fingerprint) == (kept.packet_id, kept.fingerprint);
        match self.in_doubt.iter_mut().find(is_same) {
            Some(known) => {
                known.sessions.extend(kept.sessions);
                known.groups.extend(kept.groups);
            }
            None => self.in_doubt.push(kept),
        }
    }
}

/// How many shards there were when these logs, each with its shard, were written: the fewest under which everything lies
/// where it belongs, since a shard whose log is lost does not show. `None` when there is no such number.
#[must_use]
pub fn shards_of(logs: &[(u32, Contents)]) -> Option<u32> {
    let fewest = logs.iter().map(|(shard, _)| shard + 1).max()?;
    (fewest..=SHARDS_MAX as u32).find(|shards| {
        let homes = Homes::new(*shards as u8);
        logs.iter().all(|(shard, contents)| {
            let own = |name: &str| u32::from(homes.of(name)) == *shard;
            contents.sessions.iter().all(|session| own(&session.client_id))
                && contents.retained.iter().all(|message| own(message.topic_name()))
        })
    })
}

/// What the log of one shard holds of sessions and retained messages, whose folder is `dir`.
///
/// # Errors
/// [`FolderError`].
pub fn read_shard(dir: &Path) -> Result<Contents, FolderError> {
    let (_, restored) = read_log(dir)?;
    Ok(Contents {
        sessions: restored.sessions.into_iter().map(|(_, session)| session).collect(),
        retained: restored.retained.into_iter().map(|(message, _)| message).collect(),
    })
}

fn read_log(dir: &Path) -> Result<(State, Restored), FolderError> {
    let disk = Disk::open(dir, Access::Read)?;
    let mut replay = Replay::default();
    tools::replay(&disk, |record| replay.take(&record, drop))?;
    known(&replay, dir)?;
    Ok(replay.finish(drop))
}

fn known(replay: &Replay, dir: &Path) -> Result<(), FolderError> {
    replay.unreadable().map_or(Ok(()), |at| Err(FolderError::Unknown { dir: dir.to_owned(), at }))
}

fn write_layout(
    folder: &mut DataFolder,
    shards: u32,
    storage: &Storage,
    contents: &Contents,
) -> Result<Layout, FolderError> {
    let layout = folder.next_layout(shards);
    let homes = Homes::new(shards as u8);
    let keys = session_keys(&contents.sessions, homes);
    for shard in 0..shards {
        let mut writer = Writer::open(&folder.shard_dir(layout, shard), storage)?;
        let own = |name: &str| u32::from(homes.of(name)) == shard;
        let sessions = || contents.sessions.iter().filter(|session| own(&session.client_id));
        writer.key = sessions().count() as u64;
        sessions().zip(1..).try_for_each(|(session, key)| writer.session(key, session))?;
        write_in_doubt(&mut writer, &contents.sessions, &keys, own)?;
        let retained = contents.retained.iter().filter(|message| own(message.topic_name()));
        retained.into_iter().try_for_each(|message| writer.message(kind::RETAINED, 0, message))?;
        writer.log.close()?;
    }
    folder.adopt(layout)?;
    Ok(layout)
}

/// Writes what the shard whose names are its `own` has taken of exchanges that are in doubt.
fn write_in_doubt(
    writer: &mut Writer,
    sessions: &[KeptSession],
    keys: &HashMap<&str, (ShardId, u64)>,
    own: impl Fn(&str) -> bool,
) -> Result<(), FolderError> {
    for publisher in sessions.iter().filter(|session| !session.in_doubt.is_empty()) {
        let Some((home, session)) = keys.get(&*publisher.client_id).copied() else { continue };
        for kept in &publisher.in_doubt {
            let exchange = Exchange { home, session, packet_id: kept.packet_id };
            let here = kept.sessions.iter().filter(|client_id| own(client_id));
            let mut takers: Vec<u64> =
                here.filter_map(|client_id| keys.get(&**client_id)).map(|(_, key)| *key).collect();
            takers.sort_unstable();
            let groups = if own(&publisher.client_id) { &kept.groups[..] } else { &[] };
            writer.taken(&exchange, kept.fingerprint, &takers, groups)?;
        }
    }
    Ok(())
}

/// The shard and the key that each session gets: keys are given in order.
fn session_keys(sessions: &[KeptSession], homes: Homes) -> HashMap<&str, (ShardId, u64)> {
    let mut counts = HashMap::new();
    let mut key = |session: &KeptSession| {
        let home = homes.of(&session.client_id);
        let count = counts.entry(home).or_insert(0);
        *count += 1;
        (home, *count)
    };
    sessions.iter().map(|session| (&*session.client_id, key(session))).collect()
}

/// A log that is written from nothing.
struct Writer {
    log: Log<Disk>,
    /// The last key that was given.
    key: u64,
    /// Messages that were written, by their place in memory.
    messages: HashMap<*const Message, u64>,
}

impl Writer {
    fn open(dir: &Path, storage: &Storage) -> Result<Self, FolderError> {
        let (log, _) = Log::open(dir, log_options(storage), |_, _| {})?;
        Ok(Self { log, key: 0, messages: HashMap::new() })
    }

    fn append(&mut self, kind: Kind, key: u64, body: &[&[u8]]) -> Result<(), FolderError> {
        self.log.append(kind, key, body)?;
        while let Some(job) = self.log.take_job() {
            self.log.finish_job(job.run())?;
        }
        Ok(())
    }

    fn message(&mut self, kind: Kind, key: u64, message: &Message) -> Result<(), FolderError> {
        let shown = message.as_ref();
        let head = record::message_head(&shown);
        self.append(kind, key, &[&head, shown.topic_name.as_bytes(), shown.properties, shown.payload])
    }

    fn taken(
        &mut self,
        exchange: &Exchange,
        message: u64,
        sessions: &[u64],
        groups: &[u64],
    ) -> Result<(), FolderError> {
        for sessions in sessions.chunks(TAKEN_MAX) {
            self.append(kind::TAKEN, 0, &[&record::taken(exchange, message, sessions, &[])])?;
        }
        for groups in groups.chunks(TAKEN_MAX) {
            self.append(kind::TAKEN, 0, &[&record::taken(exchange, message, &[], groups)])?;
        }
        Ok(())
    }

    fn session(&mut self, key: u64, session: &KeptSession) -> Result<(), FolderError> {
        let will = session.will.as_ref().map(|will| WillBody {
            delay_s: will.delay_s,
            message_expiry_s: will.message_expiry_s,
            message: will.message.as_ref(),
        });
        let KeptSession { version, expiry_s, detached_at, .. } = *session;
        let body = SessionBody { version, expiry_s, detached_at, client_id: &session.client_id, will };
        self.append(kind::SESSION, key, &[&record::session(&body)])?;
        for subscription in &session.subscriptions {
            let head = record::subscribed_head(subscription.options.into(), subscription.subscription_id);
            self.append(kind::SUBSCRIBED, key, &[&head, subscription.filter.as_bytes()])?;
        }
        for packet_id in &session.inbound {
            self.append(kind::HELD, key, &[&packet_id.get().to_le_bytes()])?;
        }
        session.messages.iter().try_for_each(|message| self.queued(key, message))
    }

    fn queued(&mut self, session: u64, kept: &KeptMessage) -> Result<(), FolderError> {
        let sequence = kept.sequence;
        let Some(message) = &kept.message else {
            let Some(packet_id) = kept.packet_id else { return Ok(()) };
            return self.append(kind::RELEASED, session, &[&record::numbered(sequence, packet_id)]);
        };
        let key = match self.messages.get(&Rc::as_ptr(message)) {
            Some(key) => *key,
            None => {
                self.key += 1;
                let key = self.key;
                self.message(kind::MESSAGE, key, message)?;
                self.messages.insert(Rc::as_ptr(message), key);
                key
            }
        };
        let mut body = Vec::new();
        let KeptMessage { qos, retain, packet_id, .. } = *kept;
        let subscription_ids = kept.subscription_ids.clone();
        record::queued(&QueuedBody { sequence, message: key, qos, retain, packet_id, subscription_ids }, &mut body);
        self.append(kind::QUEUED, session, &[&body])
    }
}

/// Opens a shard's log and reads what it holds.
pub(super) fn open_log(
    disk: LogDisk,
    storage: &Storage,
) -> Result<(Log<LogDisk>, State, Restored, u64, Recovery), FolderError> {
    let mut replay = Replay::default();
    let dir = disk.path("");
    let (mut log, recovery) = Log::open_on(disk, log_options(storage), |record, ledger| {
        replay.take(&record, |at| ledger.release(at));
    })?;
    known(&replay, &dir)?;
    let key_max = replay.key_max();
    let (state, restored) = replay.finish(|at| log.release(at));
    Ok((log, state, restored, key_max, recovery))
}

/// What waits for a commit waits in memory, so that a commit is one write: at most half of the largest segment is reserved at a
/// time.
fn log_options(storage: &Storage) -> LogOptions {
    let acknowledge = if storage.sync == Sync::Always { Acknowledge::Synced } else { Acknowledge::Written };
    let Storage { segment_bytes, limit_bytes, .. } = *storage;
    // Smaller ones in any case: a full log of one size can be filled up so that it no longer comes free.
    let segment_bytes_min = LogOptions::default().segment_bytes_min.min(segment_bytes / 4 / 8 * 8);
    LogOptions { segment_bytes, segment_bytes_min, limit_bytes, acknowledge, staged_bytes_max: segment_bytes as usize }
}
