//! Commits: bringing what is staged to disk in groups, and saying what may be acknowledged.
//!
//! One write is out at a time and concerns one segment; what is appended meanwhile goes into the next. A failed write or
//! sync is final for the segment: the kernel may have thrown the bytes away and would report success the next time, so the
//! log stops and nothing that it had not reported durable becomes so (see [`Log::rewrite_unsynced`]).

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::{Log, Segment};
use crate::backing::{Backing, SegmentFile};
use crate::chain::segment_name;
use crate::error::StorageError;
use crate::format::{MARK_BYTES, Role};
use crate::options::Acknowledge;
use crate::position::{Durable, Offset, RecordRef};

/// How far a commit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To the kernel.
    Written,
    /// To the disk.
    Synced,
}

/// Work for the caller's ring: write [`bytes`](Commit::bytes) at [`position`](Commit::position), then, where it
/// [`syncs`](Commit::syncs), sync the descriptor (data only). Then give it back to [`Log::committed`].
///
/// On a ring: a write and an fsync that is linked to it. The bytes stay where they are as long as this lives, so keep it until
/// both have completed. A write that came up short is no error: tell [`wrote`](Commit::wrote) and submit again.
#[derive(Debug)]
#[must_use = "the log starts no other commit before this one is given back"]
pub struct Commit<F> {
    number: u64,
    file: Arc<F>,
    bytes: Arc<Vec<u8>>,
    base: u32,
    written: usize,
    syncs: bool,
}

impl<F: SegmentFile> Commit<F> {
    /// What is still to be written; empty when all is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Where in the file the bytes belong.
    pub fn position(&self) -> u64 {
        u64::from(self.base) + self.written as u64
    }

    /// What is still to be written, as a ring needs it: bytes that stay where they are as long as a clone of this lives, where
    /// in them to begin, and [where in the file](Commit::position) that belongs.
    ///
    /// The clones must be gone when the commit is given back, or the log has to ask for other memory.
    pub fn ring_write(&self) -> (Arc<Vec<u8>>, usize, u64) {
        (Arc::clone(&self.bytes), self.written, self.position())
    }

    /// The file, which stays open as long as a clone of this lives.
    pub fn file(&self) -> Arc<F> {
        Arc::clone(&self.file)
    }

    /// Takes note that the first `count` of [`bytes`](Commit::bytes) were written.
    pub fn wrote(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
    }

    /// Whether the file is to be synced after the write.
    pub fn syncs(&self) -> bool {
        self.syncs
    }

    /// The file's descriptor; `None` on a backing that has none.
    pub fn raw_fd(&self) -> Option<RawFd> {
        self.file.raw_fd()
    }

    /// Does it all, on the thread that calls.
    ///
    /// # Errors
    /// What the operating system reports; to be passed on to [`Log::committed`] as it is.
    pub fn carry_out(&mut self) -> io::Result<()> {
        self.file.write_all_at(self.position(), self.bytes())?;
        self.written = self.bytes.len();
        if self.syncs { self.file.sync() } else { Ok(()) }
    }
}

/// What the log remembers of a commit that is out.
#[derive(Debug)]
pub(super) struct InFlight {
    number: u64,
    bytes: Arc<Vec<u8>>,
    base: Offset,
    upto: Offset,
    syncs: bool,
}

impl InFlight {
    pub(super) fn segment(&self) -> u32 {
        self.base.segment()
    }

    /// Where the bytes begin in their segment, and the bytes.
    pub(super) fn staged(&self) -> (u32, &[u8]) {
        (self.base.byte(), &self.bytes)
    }

    /// The bytes of a record, when they are among these.
    pub(super) fn slice(&self, at: RecordRef) -> Option<&[u8]> {
        let from = at.start().byte().checked_sub(self.base.byte())? as usize;
        if at.start().segment() == self.segment() { self.bytes.get(from..from + at.bytes() as usize) } else { None }
    }
}

impl<B: Backing> Log<B> {
    /// The next commit, or `None` when there is nothing to commit, one is out that must come back first, or the log is stopped.
    /// A commit covers one segment, so after a change of segment it takes two: ask again when one has come back.
    ///
    /// Where records count as durable when they are on disk ([`Acknowledge::Synced`]), ask for [`Reach::Synced`] in a turn that
    /// has acknowledgements waiting. Where written is enough, ask for [`Reach::Written`] every turn, and for
    /// [`Reach::Synced`] at the interval: writes go on while that sync is out.
    pub fn commit_target(&mut self, reach: Reach) -> Option<Commit<B::File>> {
        if self.stopped {
            return None;
        }
        // Old segments wait for the log to be on disk without their records.
        let reach = if self.retired.is_empty() { reach } else { Reach::Synced };
        match (self.options.acknowledge, reach) {
            (Acknowledge::Synced, Reach::Synced) => self.commit_sealed().or_else(|| self.commit_active()),
            (_, Reach::Written) => self.commit_write(false),
            (Acknowledge::Written, Reach::Synced) => self.commit_sync().or_else(|| self.commit_write(false)),
        }
    }

    /// A sealed segment comes before the active one: nothing is durable before what precedes it.
    fn commit_sealed(&mut self) -> Option<Commit<B::File>> {
        if self.writing.is_some() {
            return None;
        }
        let segment = self.sealed.iter().find(|segment| segment.end() > self.synced)?;
        let (file, upto) = (Arc::clone(&segment.file), segment.end());
        let (commit, in_flight) = self.send_out(file, Arc::default(), upto, upto, true);
        self.writing = Some(in_flight);
        Some(commit)
    }

    /// All that is staged, and a sync.
    fn commit_active(&mut self) -> Option<Commit<B::File>> {
        if self.writing.is_some() || self.tail() <= self.synced {
            return None;
        }
        self.mark_commit();
        self.commit_write(true)
    }

    /// All that is staged.
    fn commit_write(&mut self, syncs: bool) -> Option<Commit<B::File>> {
        if self.writing.is_some() || (!syncs && self.tail() <= self.written) {
            return None;
        }
        self.end_write();
        let base = Offset::new(self.active.header.id, self.stage_base);
        let upto = self.tail();
        let staged = std::mem::replace(&mut self.stage, std::mem::take(&mut self.emptied));
        self.stage_base = upto.byte();
        self.refresh_room();
        let (commit, in_flight) = self.send_out(Arc::clone(&self.active.file), Arc::new(staged), base, upto, syncs);
        self.writing = Some(in_flight);
        Some(commit)
    }

    /// A sync of what was written, beside which writes go on.
    fn commit_sync(&mut self) -> Option<Commit<B::File>> {
        if self.syncing.is_some() {
            return None;
        }
        self.mark_commit();
        let sealed = self.sealed.iter().find(|segment| segment.end() > self.synced);
        let segment = sealed.unwrap_or(&self.active);
        let upto = segment.end().min(self.written);
        // What is still being written to a sealed segment would escape the sync.
        if upto <= self.synced || upto.segment() != segment.header.id || (sealed.is_some() && upto < segment.end()) {
            return None;
        }
        let file = Arc::clone(&segment.file);
        let (commit, in_flight) = self.send_out(file, Arc::default(), upto, upto, true);
        self.syncing = Some(in_flight);
        Some(commit)
    }

    /// Puts the mark that goes before a sync into the stage.
    fn mark_commit(&mut self) {
        // Without one, damage to this commit cannot be told from a torn tail before the next mark: no reason to run full.
        let taken = MARK_BYTES + self.room_of_cleaning();
        if self.unmarked && self.active_room() >= taken && self.has_room_beside(taken) {
            self.stage_mark(Role::Commit, Offset::default(), self.front_id(), 0);
        }
    }

    fn send_out(
        &mut self,
        file: Arc<B::File>,
        bytes: Arc<Vec<u8>>,
        base: Offset,
        upto: Offset,
        syncs: bool,
    ) -> (Commit<B::File>, InFlight) {
        self.commits += 1;
        let number = self.commits;
        let in_flight = InFlight { number, bytes: Arc::clone(&bytes), base, upto, syncs };
        (Commit { number, file, bytes, base: base.byte(), written: 0, syncs }, in_flight)
    }

    /// Takes a commit back with what came of it, and says how far acknowledgements may go now.
    ///
    /// # Errors
    /// When the write or the sync failed, or some bytes were not written: the log is [stopped](Log::is_stopped), and what was
    /// not durable before is in doubt.
    pub fn committed(&mut self, commit: Commit<B::File>, outcome: io::Result<()>) -> Result<Durable, StorageError> {
        let outcome = outcome.and_then(|()| match commit.bytes() {
            [] => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        });
        let number = commit.number;
        drop(commit);
        if let Some(in_flight) = self.syncing.take_if(|in_flight| in_flight.number == number) {
            self.take_back(in_flight, outcome)?;
        } else if let Some(in_flight) = self.writing.take_if(|in_flight| in_flight.number == number) {
            let spilled_upto = Offset::new(self.active.header.id, self.stage_base);
            if outcome.is_ok() {
                self.written = self.written.max(in_flight.upto).max(spilled_upto);
            }
            self.take_back(in_flight, outcome)?;
        }
        self.advance();
        Ok(self.durable)
    }

    fn take_back(&mut self, in_flight: InFlight, outcome: io::Result<()>) -> Result<(), StorageError> {
        if let Err(e) = outcome {
            let segment = in_flight.segment();
            if !in_flight.bytes.is_empty() {
                // They are needed should the log be made good.
                self.writing = Some(in_flight);
            }
            return Err(self.stop("commit", segment, e));
        }
        if in_flight.syncs {
            self.stats.syncs += 1;
            self.synced = self.synced.max(in_flight.upto);
        }
        if let Some(mut bytes) = Arc::into_inner(in_flight.bytes).filter(|bytes| bytes.capacity() > 0) {
            bytes.clear();
            bytes.shrink_to(self.options.staged_bytes_max);
            self.emptied = bytes;
        }
        Ok(())
    }

    /// Brings everything to disk and waits for it: for a stop in order, and for tools.
    ///
    /// # Errors
    /// As [`Log::committed`].
    pub fn sync_now(&mut self) -> Result<Durable, StorageError> {
        if self.stopped {
            return Err(StorageError::Stopped { dir: self.dir.to_path_buf() });
        }
        self.mark_commit();
        self.write_in_flight()?;
        self.spill()?;
        self.sync_segments()?;
        self.note_all_synced();
        Ok(self.durable)
    }

    /// Syncs every segment that is not on disk.
    pub(super) fn sync_segments(&mut self) -> Result<(), StorageError> {
        let unsynced = self.sealed.iter().filter(|segment| segment.end() > self.synced).chain([&self.active]);
        let failed =
            unsynced.map(|segment| (segment.header.id, segment.file.sync())).find(|(_, outcome)| outcome.is_err());
        match failed {
            Some((id, Err(e))) => Err(self.stop("sync", id, e)),
            _ => Ok(()),
        }
    }

    /// Takes note that all is on disk.
    pub(super) fn note_all_synced(&mut self) {
        self.stats.syncs += 1;
        self.written = self.tail();
        self.synced = self.tail();
        self.advance();
    }

    /// Closes the log in order: everything is on disk, and the next start will know that nothing is missing.
    ///
    /// # Errors
    /// As [`Log::sync_now`].
    pub fn close(mut self) -> Result<(), StorageError> {
        self.sync_now()?;
        if self.active_room() >= MARK_BYTES {
            self.stage_mark(Role::Close, Offset::default(), self.front_id(), 0);
            self.sync_now()?;
        }
        while let Some(job) = self.jobs.pop_front() {
            self.finish_job(job.run())?;
        }
        Ok(())
    }

    /// Writes the bytes of the commit that is out once more: they are the same, and whoever has it may be late.
    fn write_in_flight(&mut self) -> Result<(), StorageError> {
        let Some(in_flight) = &self.writing else { return Ok(()) };
        let id = in_flight.segment();
        let (base, bytes) = in_flight.staged();
        let outcome = self.segment(id).map_or(Ok(()), |segment| segment.file.write_all_at(base.into(), bytes));
        outcome.map_err(|e| self.stop("write", id, e))
    }

    /// Takes note that a sealed segment is on disk.
    pub(super) fn note_sealed_synced(&mut self, id: u32) {
        if let Ok(index) = self.sealed.binary_search_by_key(&id, |segment| segment.header.id) {
            self.sealed[index].synced = true;
        }
        let before = self.synced;
        let on_disk =
            self.sealed.iter().skip_while(|segment| segment.end() <= before).take_while(|segment| segment.synced);
        self.synced = on_disk.last().map_or(before, Segment::end);
        self.stats.syncs += 1;
        self.advance();
    }

    /// Works out what has become durable and which segments may go.
    pub(super) fn advance(&mut self) {
        // A commit can come back after the log stopped, and in the middle of what could not be made good.
        if self.stopped {
            return;
        }
        let reached = match self.options.acknowledge {
            Acknowledge::Synced => self.synced,
            Acknowledge::Written => self.written.max(self.synced),
        };
        self.durable = self.durable.max(Durable::mint(reached));
        while let Some(retired) = self.retired.front()
            && retired.after <= self.synced
        {
            let (id, bytes) = (retired.id, retired.bytes);
            self.retired.pop_front();
            self.going_bytes -= bytes; // and again, with its job
            self.remove_unused(id, bytes);
        }
    }

    /// Stops the log: `action` failed on the segment.
    pub(super) fn stop(&mut self, action: &'static str, segment: u32, source: io::Error) -> StorageError {
        self.stopped = true;
        self.refresh_room();
        StorageError::io(&self.backing.path(&segment_name(segment)), action, source)
    }
}
