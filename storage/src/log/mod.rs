//! The log: appended to by one owner, committed in groups, read back, and kept small.
//!
//! ```text
//!  append ──> stage (memory) ──commit──> active segment ──roll──> sealed segments ──clean──> removed
//!                    │ written + fsync            │                      │
//!                    └───────> Durable            └── spare, made ahead  └── live records go back to the stage
//! ```
//!
//! Depends on the rest of the crate. It owns no thread and no clock, and makes no system call in [`Log::append`] but at a
//! change of segment or when more is staged than the settings allow: whoever has the ring or the thread carries the
//! [`Commit`]s and [`Job`]s out.

mod clean;
mod commit;
mod job;
mod open;
mod reserve;
mod rewrite;
mod roll;
mod size;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

pub use clean::{CleanProgress, Owner};
pub use commit::{Commit, Reach};
pub use job::{Finished, Job};
pub(crate) use job::{make_segment, salt};
pub use reserve::Reserved;

use crate::backing::{Backing, SegmentFile};
use crate::disk::Disk;
use crate::error::{AppendError, FullCause, ReadError};
use crate::format::{self, Kind, Mark, RECORD_HEADER_BYTES, RecordHeader, Role, SegmentHeader};
use crate::ledger::Ledger;
use crate::options::LogOptions;
use crate::position::{Durable, Offset, RecordRef};
use crate::reader::Record;

use clean::Cleaner;
use commit::InFlight;
use roll::Spare;
use size::Sizes;

/// A segment and its file.
#[derive(Debug)]
struct Segment<F> {
    header: SegmentHeader,
    file: Arc<F>,
    /// Records end here. In the active segment: they end at the log's tail, and this is the segment's length.
    limit: u32,
    /// Whether all of a sealed segment is on disk.
    synced: bool,
    /// Whether a job that syncs it is out.
    syncing: bool,
}

impl<F> Segment<F> {
    fn end(&self) -> Offset {
        Offset::new(self.header.id, self.limit)
    }
}

/// A segment that is no longer needed.
#[derive(Debug)]
struct Retired {
    /// It may be removed when the log is on disk up to here.
    after: Offset,
    id: u32,
    bytes: u64,
}

/// A record that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its number: greater than that of every record before it, and its own for ever.
    pub seq: u64,
    /// Where it stands: for its release, its reading, and its acknowledgement.
    pub at: RecordRef,
}

/// What a log holds and has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// Segments that hold records.
    pub segments: usize,
    /// Bytes that the log takes on disk, the segment made ahead included.
    pub disk_bytes: u64,
    /// Bytes that wait in memory for a commit.
    pub staged_bytes: usize,
    /// Bytes of records that were not released.
    pub live_bytes: u64,
    /// Records appended.
    pub appended_records: u64,
    /// Bytes appended, headers and padding included.
    pub appended_bytes: u64,
    /// Bytes of records that were moved to free their segments.
    pub moved_bytes: u64,
    /// Syncs that were done.
    pub syncs: u64,
    /// Bytes of records that were reserved and neither appended nor given up.
    pub reserved_bytes: usize,
    /// Why new records are refused at the moment.
    pub full: Option<FullCause>,
}

/// Who appends, and so what may be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// New records. They leave the kept half of the last segment alone when no further one can be had.
    Grow,
    /// New records whose room was reserved.
    Keep,
    /// What ends the life of records, or must be appended for other reasons also when the log is full.
    Free,
    /// What is moved so that a segment can go. The last of the limit is for these alone.
    Move,
}

/// An append-only log in a folder. See the [crate's page](crate) for an example.
#[derive(Debug)]
pub struct Log<B: Backing = Disk> {
    /// Bytes that an append for growth may take without a closer look.
    room: usize,
    /// Bytes of records for which there must be room at any time.
    reserved_bytes: usize,
    next_seq: u64,
    /// What waits for the next commit; it belongs into the active segment from byte `stage_base` on.
    stage: Vec<u8>,
    stage_base: u32,
    /// Where in the stage its last record begins that is none of the log's own.
    stage_last: Option<usize>,
    active: Segment<B::File>,
    ledger: Ledger,

    sealed: VecDeque<Segment<B::File>>,
    /// Bytes of the sealed segments' files.
    sealed_bytes: u64,
    spare: Spare<B::File>,
    sizes: Sizes,
    next_id: u32,
    retired: VecDeque<Retired>,
    jobs: VecDeque<Job<B>>,
    /// Bytes of all segments' files that exist or are being made or removed.
    disk_bytes: u64,
    /// Of these, bytes of files that will be removed.
    going_bytes: u64,

    written: Offset,
    synced: Offset,
    durable: Durable,
    /// The write that is out, with its bytes, and with its sync where that belongs to it.
    writing: Option<InFlight>,
    /// The sync that is out beside it.
    syncing: Option<InFlight>,
    commits: u64,
    /// A buffer that came back from a commit.
    emptied: Vec<u8>,
    /// Records that no mark has followed.
    unmarked: bool,
    stopped: bool,
    /// Making good has failed as well, so nothing more can be done before a new start.
    beyond_repair: bool,
    /// Why new records are refused, until there is a spare segment again.
    full: Option<FullCause>,

    cleaner: Cleaner,
    stats: LogStats,
    options: LogOptions,
    dir: Arc<Path>,
    backing: B,
}

impl<B: Backing> Log<B> {
    /// Appends a record that is needed until it is [released](Log::release). Its body is `body`, part after part.
    ///
    /// It is in memory only until a commit; [`Durable::covers`] says when it may be acknowledged.
    ///
    /// # Errors
    /// [`AppendError::Full`] when there is no room, which can pass; [`AppendError::TooLarge`];
    /// [`AppendError::Stopped`] after a failed write.
    #[inline]
    pub fn append(&mut self, kind: Kind, key: u64, body: &[&[u8]]) -> Result<Appended, AppendError> {
        let need = format::record_bytes(body_bytes(body));
        if need > self.room {
            self.make_room(need, body_bytes(body), Purpose::Grow)?;
        }
        let appended = self.put_next(kind, false, key, body);
        self.ledger.retain(appended.at);
        Ok(appended)
    }

    /// Appends a record that does nothing but end the life of earlier ones. It is never live itself and needs no release: it
    /// goes with its segment, which stays at least as long as those of the records before it.
    ///
    /// When the log is full, room is kept for these.
    ///
    /// # Errors
    /// As [`Log::append`].
    #[inline]
    pub fn append_tombstone(&mut self, kind: Kind, key: u64, body: &[&[u8]]) -> Result<Appended, AppendError> {
        let need = format::record_bytes(body_bytes(body));
        if need > self.room {
            self.make_room(need, body_bytes(body), Purpose::Free)?;
        }
        Ok(self.put_next(kind, true, key, body))
    }

    /// [`Log::append`] for a small record that lets larger ones go, or without which the owner could not go on: it may use the
    /// room that is kept for those when the log is full.
    ///
    /// # Errors
    /// As [`Log::append`].
    #[inline]
    pub fn append_vital(&mut self, kind: Kind, key: u64, body: &[&[u8]]) -> Result<Appended, AppendError> {
        let len = body_bytes(body);
        let need = format::record_bytes(len);
        if need > self.room {
            self.make_room(need, len, Purpose::Free)?;
        }
        let appended = self.put_next(kind, false, key, body);
        self.ledger.retain(appended.at);
        Ok(appended)
    }

    /// Says that a record is no longer needed; see [`Ledger::release`].
    #[inline]
    pub fn release(&mut self, record: RecordRef) {
        self.ledger.release(record);
    }

    /// The record at a place, checked against its checksum. `scratch` is used when the record must be read from the file.
    ///
    /// A record of a segment that is not in memory makes the caller wait for the disk.
    ///
    /// # Errors
    /// [`ReadError`] when the place is gone or damaged or cannot be read.
    pub fn read<'a>(&'a self, at: RecordRef, scratch: &'a mut Vec<u8>) -> Result<Record<'a>, ReadError> {
        if at.end() > self.tail() {
            return Err(ReadError::Gone(at.at));
        }
        let segment = self.segment(at.at.segment()).ok_or(ReadError::Gone(at.at))?;
        let record = self.bytes_of(segment, at, scratch)?;
        let Some(header) = record.first_chunk::<RECORD_HEADER_BYTES>().map(RecordHeader::decode) else {
            return Err(ReadError::Damaged(at.at));
        };
        let body_end = RECORD_HEADER_BYTES + header.body_len as usize;
        let seed = segment.header.seed(at.at.byte());
        match (record.get(RECORD_HEADER_BYTES..body_end), header.kind()) {
            (Some(body), Some(kind)) if format::is_intact(record, seed) => {
                Ok(Record { kind, tombstone: header.is_tombstone(), seq: header.seq, key: header.key, body, at })
            }
            _ => Err(ReadError::Damaged(at.at)),
        }
    }

    /// The place after the last record that was appended.
    #[inline]
    pub fn tail(&self) -> Offset {
        Offset::new(self.active.header.id, self.stage_base + self.stage.len() as u32)
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// How far acknowledgements may go.
    #[inline]
    pub fn durable(&self) -> Durable {
        self.durable
    }

    /// Whether new records are refused for want of room, and why.
    pub fn full(&self) -> Option<FullCause> {
        self.full
    }

    /// Whether a failed write or sync has stopped the log; see [`Log::rewrite_unsynced`].
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a log that is [stopped](Log::is_stopped) can still be [made good](Log::rewrite_unsynced).
    pub fn is_whole(&self) -> bool {
        !self.beyond_repair
    }

    /// Bytes of the largest body that a record can have: a record takes at most half of the largest segment.
    pub fn body_bytes_max(&self) -> usize {
        size::body_bytes_max(self.options.segment_bytes)
    }

    /// What the log holds and has done.
    pub fn stats(&self) -> LogStats {
        LogStats {
            segments: self.sealed.len() + 1,
            disk_bytes: self.disk_bytes,
            staged_bytes: self.stage.len(),
            reserved_bytes: self.reserved_bytes,
            live_bytes: self.ledger.live_bytes(),
            full: self.full,
            ..self.stats
        }
    }

    #[inline]
    fn put_next(&mut self, kind: Kind, tombstone: bool, key: u64, body: &[&[u8]]) -> Appended {
        let seq = self.next_seq;
        self.next_seq += 1;
        let header = RecordHeader::new(kind, tombstone, seq, key, body_bytes(body) as u32);
        let at = self.stage_record(&header, body);
        self.stats.appended_records += 1;
        self.stats.appended_bytes += u64::from(at.len);
        self.unmarked = true;
        Appended { seq, at }
    }

    /// Puts a record for which there is room into the stage.
    #[inline]
    fn stage_record(&mut self, header: &RecordHeader, body: &[&[u8]]) -> RecordRef {
        let at = self.tail();
        let len = format::record_bytes(header.body_len as usize);
        if header.followed {
            self.stage_last = Some(self.stage.len());
        }
        header.encode(self.active.header.seed(at.byte()), body, &mut self.stage);
        self.room = self.room.saturating_sub(len);
        RecordRef { at, len: len as u32 }
    }

    /// What is staged goes out in one write, which counts whole or not at all: its last record says that it is the last.
    fn end_write(&mut self) {
        if let Some(last) = self.stage_last.take() {
            let seed = self.active.header.seed(self.stage_base + last as u32);
            format::end_write(&mut self.stage[last..], seed);
        }
    }

    /// Puts a mark into the stage. Marks have room of their own in every segment.
    fn stage_mark(&mut self, role: Role, previous: Offset, first: u32, next: u32) {
        let mark = Mark { role, durable: self.synced, previous, first, next };
        self.stage_record(&Mark::header(self.next_seq), &[&mark.encode()]);
        self.unmarked = false;
    }

    /// The oldest segment.
    fn front_id(&self) -> u32 {
        self.sealed.front().map_or(self.active.header.id, |segment| segment.header.id)
    }

    fn segment(&self, id: u32) -> Option<&Segment<B::File>> {
        if id == self.active.header.id {
            return Some(&self.active);
        }
        let index = self.sealed.binary_search_by_key(&id, |segment| segment.header.id).ok()?;
        self.sealed.get(index)
    }

    /// The bytes of a record, wherever they are at the moment.
    fn bytes_of<'a>(
        &'a self,
        segment: &'a Segment<B::File>,
        at: RecordRef,
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], ReadError> {
        let (from, len) = (at.at.byte(), at.len as usize);
        if at.end().byte() > segment.limit {
            return Err(ReadError::Gone(at.at));
        }
        if segment.header.id == self.active.header.id && from >= self.stage_base {
            let from = (from - self.stage_base) as usize;
            return self.stage.get(from..from + len).ok_or(ReadError::Gone(at.at));
        }
        if let Some(bytes) = self.writing.as_ref().and_then(|in_flight| in_flight.slice(at)) {
            return Ok(bytes);
        }
        if let Some(bytes) = segment.file.mapped().and_then(|map| map.get(from as usize..from as usize + len)) {
            return Ok(bytes);
        }
        scratch.resize(len, 0);
        segment.file.read_at(from.into(), scratch)?;
        Ok(scratch)
    }
}

#[inline]
fn body_bytes(body: &[&[u8]]) -> usize {
    body.iter().map(|part| part.len()).sum()
}
