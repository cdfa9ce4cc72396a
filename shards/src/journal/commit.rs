//! Commits: from what is pending to the disk, one at a time, on the shard's wire.

use super::barrier::Count;
use super::disk::LogFile;
use super::state::Holder;
use super::{Journal, SavedRetained};
use crate::config::Sync;
use ringtail_mqtt::time::Millis;
use ringtail_storage::{Commit, Reach, StorageError};
use std::io;
use std::sync::Arc;

/// What the events of a shard's commits carry.
pub(crate) struct CommitTokens;

impl CommitTokens {
    /// A write, and its sync where it has one.
    pub(crate) const WRITE: u64 = 0;
    /// A sync beside which writes go on.
    pub(crate) const SYNC: u64 = 1;
}

/// Where commits are written: the shard's wire, or a simulated disk.
pub(crate) trait CommitWire {
    /// Writes `bytes`, from the index on, at `position`; [`Event::Wrote`](crate::wire::Event::Wrote) says how many.
    fn write(&mut self, file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64, token: u64);

    /// Brings the file's bytes to disk; [`Event::Synced`](crate::wire::Event::Synced) says whether.
    fn fsync(&mut self, file: Arc<LogFile>, token: u64);
}

/// How often a full log is asked whether there is room again, milliseconds.
const RETRY_MS: u64 = 1_000;

impl Journal {
    /// At the end of every turn: brings to disk what the turn left, as far as nothing is under way, and opens the barriers that
    /// can be opened; `tell` is told which shards are to hear how many of their messages are safe. True when a barrier opened.
    pub(crate) fn end_turn(
        &mut self,
        now: Millis,
        retained: &mut SavedRetained,
        wire: &mut impl CommitWire,
        tell: impl FnMut(Count),
    ) -> bool {
        while let Some(finished) = self.jobs.take() {
            if let Err(error) = self.log.finish_job(finished) {
                tracing::warn!("{error}");
            }
        }
        self.barriers.end_turn();
        let afterwards = self.barriers.take_afterwards();
        self.pending.extend(afterwards);
        self.look_after_log(now, retained);
        // Before the next write: under load there is always one under way.
        self.start_sync(now, wire);
        if self.writing.is_none() && !self.failed {
            if !self.pending.is_empty() || self.barriers.wait_for_log() {
                self.write_pending(Some(retained));
                self.retained_bytes = 0;
                // What the writing itself has left for the next commit concerns no barrier.
                if !self.stuck {
                    self.barriers.written(self.log.tail());
                }
            }
            // Behind what the barriers wait for, but in the same write.
            self.clean(now, retained);
            self.start_commit(wire);
        }
        if self.failed {
            self.pending.clear(); // nobody will ever write it
        }
        while let Some(job) = self.log.take_job() {
            self.jobs.give(job);
        }
        // Who waits for what a failed log has lost must be refused before any barrier opens.
        self.just_failed.is_none() && self.barriers.open(self.log.durable(), tell)
    }

    /// Makes the log good when something other than a commit has stopped it, or there was no room to do it then, and asks one
    /// that is full again, now and then.
    fn look_after_log(&mut self, now: Millis, retained: &mut SavedRetained) {
        let again = self.log.full().is_some() && now >= self.retry_at;
        if again {
            self.retry_at = now.plus_ms(RETRY_MS);
            self.log.retry_room();
        }
        if self.log.is_stopped() && !self.failed && (again || self.log.full().is_none()) {
            self.make_good(retained);
        }
    }

    fn start_commit(&mut self, wire: &mut impl CommitWire) {
        let reach = if self.storage.sync == Sync::Always { Reach::Synced } else { Reach::Written };
        if let Some(commit) = self.log.commit_target(reach) {
            self.unsynced |= reach == Reach::Written;
            submit(&commit, CommitTokens::WRITE, wire);
            self.writing = Some(commit);
        }
    }

    /// With `sync = "interval"`: a sync of what was written, when it is due.
    fn start_sync(&mut self, now: Millis, wire: &mut impl CommitWire) {
        let due = self.storage.sync == Sync::Interval && self.unsynced && now >= self.sync_at;
        if !due || self.syncing.is_some() || self.failed {
            return;
        }
        match self.log.commit_target(Reach::Synced) {
            Some(commit) if commit.bytes().is_empty() => {
                self.sync_at = now.plus_ms(self.storage.sync_interval_ms.into());
                // What is being written now needs another.
                self.unsynced = self.writing.is_some();
                submit(&commit, CommitTokens::SYNC, wire);
                self.syncing = Some(commit);
            }
            Some(commit) => {
                submit(&commit, CommitTokens::WRITE, wire);
                self.writing = Some(commit);
            }
            None => self.unsynced = self.writing.is_some(),
        }
    }

    /// When the shard must turn although nothing happens.
    pub(crate) fn next_turn(&self) -> Option<Millis> {
        let sync = self.storage.sync == Sync::Interval && self.unsynced && self.syncing.is_none();
        // What the log has refused is tried again.
        let again = self.writing.is_none() && !self.failed && !self.pending.is_empty();
        let retry = self.log.full().map(|_| self.retry_at);
        let next = if again { Some(Millis::default()) } else { sync.then_some(self.sync_at) };
        next.into_iter().chain(retry).chain(self.pace.next()).min()
    }

    /// A write of a commit is over.
    pub(crate) fn wrote(
        &mut self,
        result: io::Result<usize>,
        retained: &mut SavedRetained,
        wire: &mut impl CommitWire,
    ) {
        let Some(mut commit) = self.writing.take() else { return };
        match result {
            Ok(0) => self.committed(commit, Err(io::ErrorKind::WriteZero.into()), retained),
            Ok(count) => {
                commit.wrote(count);
                if commit.bytes().is_empty() && !commit.syncs() {
                    return self.committed(commit, Ok(()), retained);
                }
                submit(&commit, CommitTokens::WRITE, wire);
                self.writing = Some(commit);
            }
            Err(error) => self.committed(commit, Err(error), retained),
        }
    }

    /// The sync of a commit is over.
    pub(crate) fn synced(&mut self, token: u64, result: io::Result<()>, retained: &mut SavedRetained) {
        let commit = if token == CommitTokens::WRITE { self.writing.take() } else { self.syncing.take() };
        if let Some(commit) = commit {
            self.committed(commit, result, retained);
        }
    }

    fn committed(&mut self, commit: Commit<LogFile>, outcome: io::Result<()>, retained: &mut SavedRetained) {
        self.commits += 1;
        let Err(error) = self.log.committed(commit, outcome) else { return };
        // What was not safe yet is in doubt: the kernel may have thrown it away, and would not say so again.
        tracing::error!("{error}; what had not been acknowledged is written again, elsewhere");
        self.make_good(retained);
    }

    fn make_good(&mut self, retained: &mut SavedRetained) {
        let mut holder = Holder { state: &mut self.state, retained };
        match self.log.rewrite_unsynced(&mut holder) {
            Ok(_) => {}
            // Whoever waits can wait for room.
            Err(error) if error.is_no_room() && self.log.is_whole() => tracing::error!("{error}"),
            Err(error) => {
                tracing::error!("nothing more is kept before a new start: {error}");
                self.failed = true;
                self.just_failed = Some(self.barriers.fail());
            }
        }
    }

    /// True between a failure for good and [`Journal::take_failure`]: whoever waits is to be refused.
    pub(crate) fn has_just_failed(&self) -> bool {
        self.just_failed.is_some()
    }

    /// Once, when nothing more can be kept before a new start, and all who waited have been refused: how many of their messages
    /// other shards are not to wait for any longer.
    pub(crate) fn take_failure(&mut self) -> Option<Vec<Count>> {
        let taken = self.just_failed.take();
        if taken.is_some() {
            self.barriers.open_all();
        }
        taken
    }

    /// Brings everything to disk and closes the log.
    ///
    /// # Errors
    /// What the disk says; what was acknowledged is safe all the same.
    pub(crate) fn close(mut self, retained: &mut SavedRetained) -> Result<(), StorageError> {
        self.write_pending(Some(retained));
        if let Some(commit) = self.writing.take().or(self.syncing.take()) {
            drop(commit);
        }
        self.log.close()
    }
}

fn submit(commit: &Commit<LogFile>, token: u64, wire: &mut impl CommitWire) {
    if commit.bytes().is_empty() {
        wire.fsync(commit.file(), token);
    } else {
        let (bytes, from, position) = commit.ring_write();
        wire.write(commit.file(), (bytes, from), position, token);
    }
}
