//! What a shard keeps on disk: its durable sessions, their messages, and its retained messages, as records of its log.
//!
//! ```text
//!   SUBSCRIBE, PUBLISH, PUBREC ...  ->  pending  --begin of a commit-->  records  --write, sync-->  Durable
//!                                          |                                                          |
//!   PUBACK of a subscriber  ---------------'  what is acknowledged before is never written            v
//!                                                                       barriers open, acknowledgements leave
//! ```
//!
//! - [`events`]: what happened to a session or a retained message; [`exchange`]: to a QoS 2 PUBLISH on several shards.
//! - [`pending`]: from there to records, when a commit begins.
//! - [`clean`]: giving room back, along with the commits.
//! - [`barrier`]: what must be safe before something may be sent.
//! - [`recover`] and [`folder`]: back from records to sessions, and to another number of shards.
//!
//! Depends on `ringtail-storage` for the log. Architecture invariant: nothing that a client may take for a promise leaves the
//! shard before the barrier that stands for it is open, and only a [`Durable`](ringtail_storage::Durable) of the log opens one.

mod barrier;
mod clean;
mod commit;
mod disk;
mod events;
mod exchange;
mod folder;
mod jobs;
#[cfg(test)]
mod model;
mod pending;
mod record;
mod recover;
mod state;

pub(crate) use barrier::{BarrierId, Count, Lane};
pub(crate) use commit::CommitWire;
pub(crate) use disk::{LogDisk, LogFile, open_disk};
pub(crate) use events::{Fence, PreparedSession};
pub(crate) use exchange::{Attempt, Exchange, TakenBefore};
pub use folder::{
    Contents, FolderError, KeptExchange, KeptMessage, KeptSession, KeptSubscription, KeptWill, read_contents,
    read_shard, shards_of, write_contents,
};
pub(crate) use folder::{ShardFolder, open_folder};
pub use record::kind_name;
pub(crate) use record::{SessionBody, WillBody};
pub(crate) use recover::Restored;

use crate::ShardId;
use crate::config::Storage;
use crate::routing::Retained;
use crate::shard::Tag;
use crate::wire::Bell;
use barrier::Barriers;
use jobs::Jobs;
use pending::Pending;
use ringtail_mqtt::time::Millis;
use ringtail_storage::{Commit, Log, LogStats, RecordRef};
use state::State;

/// What is noted about a retained message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Note {
    /// Which of those published it is.
    pub(crate) tag: Tag,
    at: Option<RecordRef>,
    /// The number of the pending write that holds, or 0.
    pending: u64,
}

impl Note {
    /// The message stands in the log.
    pub(crate) fn restore(&mut self, at: RecordRef) {
        self.at = Some(at);
    }
}

/// The retained messages of a shard, with their places in the log.
pub(crate) type SavedRetained = Retained<Note>;

/// The journal of one shard.
pub(crate) struct Journal {
    shard: ShardId,
    log: Log<LogDisk>,
    storage: Storage,
    state: State,
    pending: Vec<Pending>,
    /// The log has refused what is pending, and this was said.
    stuck: bool,
    /// Bytes of retained messages among what is pending.
    retained_bytes: u64,
    /// The key that the next session or message gets.
    next_key: u64,
    /// The key of the message that is being delivered, once a session has queued it.
    message: Option<u64>,
    /// The publication under way has changed what is kept here.
    touched: bool,
    /// The publication under way could not be kept for somebody.
    refused: bool,
    /// The QoS 2 PUBLISH of a durable session that is being delivered.
    current: exchange::Current,
    /// What other shards are to be told to forget.
    forgotten: Vec<(ShardId, Exchange)>,
    pub(crate) barriers: Barriers,
    jobs: Jobs,
    writing: Option<Commit<LogFile>>,
    syncing: Option<Commit<LogFile>>,
    sync_at: Millis,
    /// When a full log asks for room again.
    retry_at: Millis,
    /// Something was written that no sync has followed.
    unsynced: bool,
    pace: clean::Pace,
    /// Commits that are over.
    commits: u64,
    scratch: Vec<u8>,
    /// The log has failed for good: nothing more can be kept before a new start.
    failed: bool,
    /// What other shards are to be told of a failure.
    just_failed: Option<Vec<Count>>,
    /// Connections that hold something back, by number.
    pub(crate) fenced: Vec<u32>,
}

impl Journal {
    /// Opens the log on `disk` and reads what it holds. `bell` wakes the shard that owns it.
    ///
    /// # Errors
    /// [`FolderError`].
    pub(crate) fn open(
        disk: LogDisk,
        storage: Storage,
        shards: u8,
        shard: usize,
        bell: Bell,
    ) -> Result<(Self, Restored), FolderError> {
        let (log, state, restored, key_max, recovery) = folder::open_log(disk, &storage)?;
        if let Some(torn) = &recovery.torn_tail {
            tracing::info!(shard, "{} ends at byte {}: {}", torn.path.display(), torn.byte, torn.what);
        }
        let journal = Self {
            shard: shard as ShardId,
            next_key: log.next_seq().max(key_max),
            log,
            storage,
            state,
            pending: Vec::new(),
            stuck: false,
            retained_bytes: 0,
            message: None,
            touched: false,
            refused: false,
            current: exchange::Current::default(),
            forgotten: Vec::new(),
            barriers: Barriers::new(shards),
            jobs: Jobs::start(shard, bell).map_err(FolderError::Thread)?,
            writing: None,
            syncing: None,
            sync_at: Millis::default(),
            retry_at: Millis::default(),
            unsynced: false,
            pace: clean::Pace::default(),
            commits: 0,
            scratch: Vec::new(),
            failed: false,
            just_failed: None,
            fenced: Vec::new(),
        };
        Ok((journal, restored))
    }

    /// What the log holds and has done.
    pub(crate) fn stats(&self) -> LogStats {
        self.log.stats()
    }

    /// Commits that are over.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Durable sessions.
    pub(crate) fn sessions(&self) -> usize {
        self.state.sessions.len()
    }

    /// QoS 2 PUBLISHes of which it is kept who has them.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.state.taken.len()
    }

    /// Nothing is kept, waits to be written or is waited for.
    #[cfg(test)]
    pub(crate) fn check_empty(&self) {
        assert!(self.state.sessions.is_empty() && self.state.messages.is_empty() && self.state.taken.is_empty());
        assert!(self.forgotten.is_empty());
        assert!(self.pending.is_empty() && self.writing.is_none() && self.syncing.is_none());
        assert!(!self.barriers.wait_for_log() && !self.barriers.waits_for_others());
        assert_eq!(self.log.stats().live_bytes, 0);
    }

    fn new_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }
}
