//! Giving room back. The oldest segment goes first, always: what is still needed of it is appended again, and its file is
//! removed when that is on disk.
//!
//! Because segments go in the order of the log, a record is gone before a tombstone that was appended after it, and a
//! tombstone in the oldest segment has nothing left to end: it is never moved. The price is that records which live for long
//! are moved once in a while: at 2.5 times the live bytes ([`USED_PER_LIVE_TENTHS`]), two bytes for three appended.

use std::io;

use super::size::{FRAME_BYTES, capacity_of, half_of};
use super::{Log, Purpose, Spare};
use crate::backing::{Backing, SegmentFile};
use crate::chain::segment_name;
use crate::error::{AppendError, Damage, StorageError};
use crate::format::{self, MARK_BODY_BYTES, MARK_BYTES, RecordHeader, Role, SEGMENT_HEADER_BYTES};
use crate::position::{Offset, RecordRef};
use crate::reader::{Cursor, Item, Record, Stop, Window};

/// The log is cleaned when its segments take more than this many times its live bytes, in tenths. Below the three times that
/// the log promises, so that the work can be spread.
const USED_PER_LIVE_TENTHS: u64 = 25;

/// A log may take so many segments beside what is live in any case, so that a small one is not cleaned all the time.
const SEGMENTS_GRANTED: u64 = 2;

/// Bytes that are read at once: slices are small.
const WINDOW_BYTES: usize = 32 << 10;

/// Bytes that the disk is asked to fetch in advance.
const AHEAD_BYTES: u32 = 512 << 10;

/// Who knows which records are still needed.
pub trait Owner {
    /// Whether the owner still needs the record in this very place: it has not released it, and it has not been told that the
    /// record [moved](Owner::moved) from there.
    fn is_live(&mut self, record: &Record<'_>) -> bool;

    /// The record stands at `to` from now on, with the same number, key and body. The log has released the old place.
    fn moved(&mut self, record: &Record<'_>, to: RecordRef);
}

/// What a slice of cleaning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanProgress {
    /// There is nothing to do.
    Idle,
    /// Something must come first: a commit, because the oldest segment is not on disk yet, or the [`Job`](super::Job) that
    /// makes the next segment, which is wanted now.
    Waiting,
    /// So many bytes of the oldest segment were looked at; there is more to do.
    Scanned(u32),
    /// The oldest segment is no longer needed; its file goes with the next commit that syncs.
    Freed,
    /// There is no room for what must be moved.
    Full,
}

/// How far the cleaning of the oldest segment is.
#[derive(Debug)]
pub(super) struct Cleaner {
    segment: u32,
    at: u32,
    /// The disk was told that the segment will be read up to here.
    announced: u32,
    /// There is no room to move it.
    blocked: bool,
    window: Window,
}

impl Default for Cleaner {
    fn default() -> Cleaner {
        Cleaner { segment: 0, at: 0, announced: 0, blocked: false, window: Window::of(WINDOW_BYTES) }
    }
}

impl Cleaner {
    /// Begins with a segment, if that is not done.
    fn begin(&mut self, segment: u32) {
        if self.segment != segment {
            self.segment = segment;
            self.at = SEGMENT_HEADER_BYTES;
            self.announced = SEGMENT_HEADER_BYTES;
            self.window.reset();
        }
    }

    /// Has the disk fetch what the next slices read, so that they need not wait for it.
    fn announce(&mut self, file: &impl SegmentFile) {
        let from = self.announced.max(self.at);
        if from - self.at < AHEAD_BYTES / 2 {
            file.read_ahead(from.into(), AHEAD_BYTES.into());
            self.announced = from.saturating_add(AHEAD_BYTES);
        }
    }
}

impl<B: Backing> Log<B> {
    /// Whether [`Log::clean_slice`] has something to do: the log takes more than 2.5 times its live bytes, and more than
    /// those and two segments, or its oldest segment is all dead, or it is full and a quarter of such a segment's bytes as what
    /// is live asks for are dead.
    pub fn wants_cleaning(&self) -> bool {
        let Some(front) = self.sealed.front() else { return false };
        if self.ledger.live_bytes_of(front.header.id) == 0 {
            return true;
        }
        match self.full {
            // What ends the life of records takes the room that cleaning needs as well: there is no time to lose.
            Some(_) => self.dead_bytes() > self.size_by_live() / 4,
            None => {
                let (segment_bytes, live) = (self.sizes.bytes, self.ledger.live_bytes());
                let used = self.sealed_bytes + self.active.header.len;
                used > (live * USED_PER_LIVE_TENTHS / 10).max(live + SEGMENTS_GRANTED * segment_bytes)
            }
        }
    }

    /// Bytes that would be gone if all that is live were moved.
    fn dead_bytes(&self) -> u64 {
        const NEVER_GONE: u64 = SEGMENT_HEADER_BYTES as u64 + 2 * MARK_BYTES as u64;
        let sealed: u64 = self.sealed.iter().map(|segment| u64::from(segment.limit).saturating_sub(NEVER_GONE)).sum();
        let active = u64::from(self.tail().byte()).saturating_sub(NEVER_GONE);
        (sealed + active).saturating_sub(self.ledger.live_bytes())
    }

    /// Room that the cleaning of the oldest segment, once begun, still needs: as long as that is there, nobody else gets it.
    pub(super) fn room_of_cleaning(&self) -> usize {
        let begun = self.sealed.front().filter(|front| front.header.id == self.cleaner.segment);
        let need = begun.map_or(0, |front| self.ledger.live_bytes_of(front.header.id) as usize + MARK_BYTES);
        if need <= self.active_room() { need } else { 0 }
    }

    /// Whether `bytes` of a full log's room may go to what ends the life of records. While it is being cleaned, there must be
    /// room left to move any segment.
    ///
    /// What moves a segment takes no more than it gives back, so that room stays however many are moved, as long as nobody else
    /// takes of it.
    pub(super) fn may_free(&self, bytes: usize) -> bool {
        if self.cleaner.blocked || !self.wants_cleaning() {
            return true;
        }
        let largest = self.options.segment_bytes;
        let needed = capacity_of(largest) + if self.is_of_many_sizes() { half_of(largest) } else { 0 };
        let left = self.options.limit_bytes.saturating_sub(self.disk_bytes - self.going_bytes) as usize;
        self.active_room() + self.spare_capacity() + left.saturating_sub(FRAME_BYTES) >= needed + bytes
    }

    /// Whether the oldest segment, of which `live` bytes are live, can be moved to its end. Begun and not finished, it would
    /// take the room of a full log and give none.
    fn can_move(&mut self, live: u64) -> bool {
        let need = live as usize + MARK_BYTES + self.reserved_bytes;
        // In two parts, of which the first may end before the largest record.
        let divided = need + (live as usize).min(half_of(self.options.segment_bytes)) - self.active_room().min(need);
        self.full.is_none() || self.active_room() >= need || self.fit_moved(need.min(divided)).is_ok()
    }

    /// Looks through up to about `budget_bytes` of the oldest segment and moves what `owner` still needs. What it moves goes
    /// with the next commit, so small slices keep commits short; when it scans three bytes for each byte appended, the log
    /// stays below three times its live bytes and a few segments.
    ///
    /// # Errors
    /// When the oldest segment cannot be read or is damaged: it stays, and so does what is in memory. When a write fails, the
    /// log is [stopped](Log::is_stopped).
    pub fn clean_slice(&mut self, budget_bytes: u32, owner: &mut impl Owner) -> Result<CleanProgress, StorageError> {
        if self.stopped {
            return Err(StorageError::Stopped { dir: self.dir.to_path_buf() });
        }
        let front = match self.sealed.front() {
            Some(front) if self.wants_cleaning() => front,
            _ => return Ok(CleanProgress::Idle),
        };
        if front.end() > self.synced {
            return Ok(CleanProgress::Waiting);
        }
        let id = front.header.id;
        let live = self.ledger.live_bytes_of(id);
        if live == 0 {
            return self.retire_front();
        }
        self.cleaner.blocked = !self.can_move(live);
        if self.cleaner.blocked {
            return Ok(CleanProgress::Full);
        }
        self.cleaner.begin(id);
        let mut window = std::mem::replace(&mut self.cleaner.window, Window::of(0));
        let progress = self.scan_front(budget_bytes, owner, &mut window);
        if progress.is_err() {
            window.reset();
        }
        self.cleaner.window = window;
        match progress? {
            Some(progress) => Ok(progress),
            None => self.retire_front(),
        }
    }

    /// Moves what is live from the place where the last slice stopped. `None` at the segment's end.
    fn scan_front(
        &mut self,
        budget_bytes: u32,
        owner: &mut impl Owner,
        window: &mut Window,
    ) -> Result<Option<CleanProgress>, StorageError> {
        let Some(front) = self.sealed.front() else { return Ok(None) };
        let (file, header, limit) = (std::sync::Arc::clone(&front.file), front.header, front.limit);
        let start = self.cleaner.at;
        let stop_at = start.saturating_add(budget_bytes).min(limit);
        let mut cursor = Cursor::new(&*file, header, start, limit);
        while cursor.at < stop_at {
            match cursor.next(window) {
                Ok(Ok(Item::Record(record))) => {
                    if !record.tombstone && owner.is_live(&record) {
                        if self.awaits_segment(format::record_bytes(record.body.len()) + MARK_BYTES) {
                            return Ok(Some(CleanProgress::Waiting));
                        }
                        match self.move_record(&record) {
                            Ok(to) => owner.moved(&record, to),
                            Err(AppendError::Stopped { .. }) => {
                                return Err(StorageError::Stopped { dir: self.dir.to_path_buf() });
                            }
                            Err(AppendError::Full { .. } | AppendError::TooLarge { .. }) => {
                                return Ok(Some(CleanProgress::Full));
                            }
                        }
                    }
                }
                Ok(Ok(Item::Mark(..) | Item::Void)) => {}
                Ok(Err(stop)) => return Err(self.unreadable(header.id, cursor.at, stop)),
                Err(e) => return Err(self.unread(header.id, e)),
            }
            self.cleaner.at = cursor.at;
        }
        if cursor.at == limit {
            return Ok(None);
        }
        self.cleaner.announce(&*file);
        Ok(Some(CleanProgress::Scanned(cursor.at - start)))
    }

    /// Whether `need` bytes must wait for the next segment, because it is being made and nobody is in such a hurry that it must
    /// be made here.
    fn awaits_segment(&self, need: usize) -> bool {
        self.full.is_none() && matches!(self.spare, Spare::Making(_)) && !self.has_room_beside(need)
    }

    /// Appends a record again, as it was.
    pub(super) fn move_record(&mut self, record: &Record<'_>) -> Result<RecordRef, AppendError> {
        let to = self.copy_record(record)?;
        if !record.tombstone {
            self.ledger.release(record.at);
            self.ledger.retain(to);
        }
        Ok(to)
    }

    /// Appends a copy that nobody counts as live: of a record that is not, or of a tombstone.
    pub(super) fn copy_record(&mut self, record: &Record<'_>) -> Result<RecordRef, AppendError> {
        let need = format::record_bytes(record.body.len());
        if need > self.room {
            self.make_room(need, record.body.len(), Purpose::Move)?;
        }
        let header = RecordHeader::new(record.kind, record.tombstone, record.seq, record.key, record.body.len() as u32);
        let to = self.stage_record(&header, &[record.body]);
        self.stats.moved_bytes += u64::from(to.len);
        self.unmarked = true;
        Ok(to)
    }

    /// The oldest segment is not needed from here on; a mark says so, and its file goes when the mark is on disk.
    fn retire_front(&mut self) -> Result<CleanProgress, StorageError> {
        if self.awaits_segment(MARK_BYTES) {
            return Ok(CleanProgress::Waiting);
        }
        let purpose = if self.has_room_beside(MARK_BYTES) { Purpose::Keep } else { Purpose::Move };
        match self.make_room(MARK_BYTES, MARK_BODY_BYTES, purpose) {
            Ok(()) => {}
            Err(AppendError::Stopped { .. }) => {
                return Err(StorageError::Stopped { dir: self.dir.to_path_buf() });
            }
            Err(_) => return Ok(CleanProgress::Full),
        }
        if let Some(front) = self.sealed.pop_front() {
            self.ledger.drop_segment(front.header.id);
            self.stage_mark(Role::Commit, Offset::default(), self.front_id(), 0);
            self.sealed_bytes -= front.header.len;
            self.retire(front.header);
        }
        if let Some(front) = self.sealed.front() {
            front.file.read_ahead(0, AHEAD_BYTES.into());
        }
        Ok(CleanProgress::Freed)
    }

    pub(super) fn unreadable(&self, id: u32, at: u32, stop: Stop) -> StorageError {
        let what = match stop {
            Stop::Bad(what) => what,
            Stop::Zeros | Stop::Limit => Damage::Zeros,
        };
        StorageError::Damaged { path: self.backing.path(&segment_name(id)), byte: at.into(), what }
    }

    pub(super) fn unread(&self, id: u32, source: io::Error) -> StorageError {
        StorageError::io(&self.backing.path(&segment_name(id)), "read", source)
    }
}
