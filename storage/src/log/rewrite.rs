//! Making good after a failed write or sync.
//!
//! After such a failure nobody can say what of the unsynced bytes is on disk, and asking again would not tell: the kernel
//! reports an error once and forgets. So the segment is left as it is, and everything that was not known to be on disk is
//! written to a new one, from memory where it still is, else from the file if its checksums hold.

use std::io;
use std::sync::Arc;

use super::commit::InFlight;
use super::{Log, Owner, Purpose, Segment};
use crate::backing::{Backing, SegmentFile};
use crate::error::{AppendError, FullCause, StorageError};
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::position::{Durable, Offset};
use crate::reader::{Cursor, Item, Record, Source, Stop, Window};

/// A failed write can spoil what it shares a page with, so records from here on are written again, durable or not.
const PAGE_BYTES: u32 = 4096;

/// A segment some of whose bytes are in memory and perhaps nowhere else.
struct Overlay<'a, F> {
    file: &'a F,
    /// Each with the byte of the file that it begins at.
    patches: Vec<(u32, &'a [u8])>,
}

impl<F: SegmentFile> Source for Overlay<'_, F> {
    fn fill(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let within = |(base, bytes): &&(u32, &[u8])| {
            at >= u64::from(*base) && at + buf.len() as u64 <= u64::from(*base) + bytes.len() as u64
        };
        if let Some((base, bytes)) = self.patches.iter().find(within) {
            let from = (at - u64::from(*base)) as usize;
            buf.copy_from_slice(&bytes[from..from + buf.len()]);
            return Ok(());
        }
        self.file.read_at(at, buf)?;
        for (base, bytes) in &self.patches {
            let from = at.max(u64::from(*base));
            let to = (at + buf.len() as u64).min(u64::from(*base) + bytes.len() as u64);
            if from < to {
                let (target, source) = ((from - at) as usize, (from - u64::from(*base)) as usize);
                let len = (to - from) as usize;
                buf[target..target + len].copy_from_slice(&bytes[source..source + len]);
            }
        }
        Ok(())
    }
}

/// A segment that is in doubt from a byte on.
struct Doubtful<F> {
    header: SegmentHeader,
    file: Arc<F>,
    from: u32,
    limit: u32,
}

/// What was staged when the log stopped.
struct Unwritten {
    active: u32,
    stage: (u32, Vec<u8>),
    writing: Option<InFlight>,
}

impl Unwritten {
    fn overlay<'a, F>(&'a self, segment: &'a Doubtful<F>) -> Overlay<'a, F> {
        let id = segment.header.id;
        let in_flight = self.writing.as_ref().filter(|in_flight| in_flight.segment() == id).map(InFlight::staged);
        let stage = (self.active == id).then_some((self.stage.0, self.stage.1.as_slice()));
        Overlay { file: &*segment.file, patches: in_flight.into_iter().chain(stage).collect() }
    }
}

impl<B: Backing> Log<B> {
    /// Makes a [stopped](Log::is_stopped) log good: writes everything that was not known to be on disk, whether `owner` needs it
    /// or not, to a new segment, waits until it is there, and goes on in it. All that was appended is durable then. A commit that is
    /// still out is of no use any more.
    ///
    /// # Errors
    /// When the bytes can no longer be had, there is no room or writing fails again; the log stays stopped. What was durable
    /// before is in the folder, and a new start recovers it.
    pub fn rewrite_unsynced(&mut self, owner: &mut impl Owner) -> Result<Durable, StorageError> {
        if !self.stopped {
            return Ok(self.durable);
        }
        if self.beyond_repair {
            return Err(StorageError::Stopped { dir: self.dir.to_path_buf() });
        }
        let mut window = Window::default();
        // Also when it stays where it is: the bytes are those of a write.
        self.end_write();
        let unwritten = Unwritten {
            active: self.active.header.id,
            stage: (self.stage_base, std::mem::take(&mut self.stage)),
            writing: self.writing.take(),
        };
        self.syncing = None;
        // What was promised already comes before what was only to be.
        let reserved_bytes = std::mem::take(&mut self.reserved_bytes);
        let outcome = self.rewrite(&unwritten, owner, &mut window);
        self.reserved_bytes = reserved_bytes;
        if outcome.is_err() {
            self.stopped = true;
            self.refresh_room();
            if self.active.header.id == unwritten.active {
                // Nothing has moved: leave all as it was found, so that it can be tried again.
                self.stage = unwritten.stage.1;
                self.writing = unwritten.writing;
            } else {
                self.beyond_repair = true;
            }
        } else if self.keep_room(0, Purpose::Keep).is_ok() {
            self.refresh_room();
        }
        outcome
    }

    fn rewrite(
        &mut self,
        unwritten: &Unwritten,
        owner: &mut impl Owner,
        window: &mut Window,
    ) -> Result<Durable, StorageError> {
        let doubtful = self.doubtful(unwritten, window)?;
        for segment in &doubtful {
            self.for_each(segment, unwritten, window, |_, _| Ok(()))?;
        }
        let previous = self.leave_behind(&doubtful)?;
        // The opening mark cuts off what is in doubt, of which a part may be durable, so it must come to disk after the copies.
        let opening = std::mem::take(&mut self.stage);
        let opened = Arc::clone(&self.active.file);
        self.stage_base += opening.len() as u32;
        self.stopped = false;
        for segment in &doubtful {
            self.for_each(segment, unwritten, window, |log, record| {
                if !record.tombstone && owner.is_live(record) {
                    let to = log.move_record(record).map_err(|e| log.no_rewrite(e))?;
                    owner.moved(record, to);
                    return Ok(());
                }
                // Also what has died: what ends it may still be to be appended, and until then an older record, of which it is
                // the end, must not hold again.
                log.copy_record(record).map(drop).map_err(|e| log.no_rewrite(e))
            })?;
        }
        self.spill()?;
        self.sync_segments()?;
        let opening = opened.write_all_at(SEGMENT_HEADER_BYTES.into(), &opening).and_then(|()| opened.sync());
        opening.map_err(|e| StorageError::io(&self.dir, "rewrite what was not on disk in", e))?;
        for segment in doubtful.iter().filter(|segment| segment.header.id != previous.segment()) {
            self.ledger.drop_segment(segment.header.id);
            self.retire(segment.header);
        }
        self.note_all_synced();
        Ok(self.durable)
    }

    /// The segments that hold something in doubt, in order, each from the first record that is.
    fn doubtful(&mut self, unwritten: &Unwritten, window: &mut Window) -> Result<Vec<Doubtful<B::File>>, StorageError> {
        let stage_end = self.stage_base + unwritten.stage.1.len() as u32;
        let active = (&self.active, stage_end);
        let sealed = self.sealed.iter().map(|segment| (segment, segment.limit));
        let mut doubtful: Vec<Doubtful<B::File>> = sealed
            .chain([active])
            .filter(|(segment, limit)| Offset::new(segment.header.id, *limit) > self.synced)
            .map(|(segment, limit)| Doubtful {
                header: segment.header,
                file: Arc::clone(&segment.file),
                from: SEGMENT_HEADER_BYTES,
                limit,
            })
            .collect();
        if let Some(first) = doubtful.first_mut()
            && first.header.id == self.synced.segment()
        {
            first.from = self.first_doubtful(first, unwritten, window)?;
        }
        Ok(doubtful)
    }

    /// The first record of a segment that shares a page with what is in doubt, or the first of the write that it belongs to: a
    /// write is not to be cut in two.
    fn first_doubtful(
        &self,
        segment: &Doubtful<B::File>,
        unwritten: &Unwritten,
        window: &mut Window,
    ) -> Result<u32, StorageError> {
        let page = self.synced.byte() / PAGE_BYTES * PAGE_BYTES;
        let overlay = unwritten.overlay(segment);
        let mut cursor = Cursor::from_start(&overlay, segment.header, segment.limit);
        window.reset();
        let mut from = cursor.at;
        loop {
            if !cursor.followed {
                from = cursor.at;
            }
            match cursor.next(window) {
                Ok(Ok(_)) if cursor.at > page => return Ok(from),
                Ok(Ok(_)) => {}
                Ok(Err(Stop::Limit)) => return Ok(from),
                Ok(Err(stop)) => return Err(self.unreadable(segment.header.id, cursor.at, stop)),
                Err(e) => return Err(self.unread(segment.header.id, e)),
            }
        }
    }

    /// Begins a new segment that continues the log before all that is in doubt, and says from where.
    fn leave_behind(&mut self, doubtful: &[Doubtful<B::File>]) -> Result<Offset, StorageError> {
        let Some(first) = doubtful.first() else { return Ok(self.tail()) };
        let first_id = first.header.id;
        let next = self.next_segment(Purpose::Move).map_err(|e| self.no_rewrite(e))?;
        let sound = self.sealed.partition_point(|segment| segment.header.id < first_id);
        // A segment in doubt from its first record on is left out altogether.
        let keeps_first = first.from > SEGMENT_HEADER_BYTES;
        let previous = match keeps_first {
            true => Offset::new(first_id, first.from),
            false => {
                sound.checked_sub(1).and_then(|index| self.sealed.get(index)).map_or(Offset::default(), Segment::end)
            }
        };
        let first_needed = match (self.sealed.front(), keeps_first) {
            (Some(front), _) if sound > 0 => front.header.id,
            (_, true) => first_id,
            (_, false) => next.header.id,
        };
        let mut left = self.sealed.split_off(sound);
        left.push_back(self.begin(next, previous, first_needed));
        if keeps_first && let Some(mut partial) = left.pop_front() {
            partial.limit = first.from;
            partial.synced = true;
            self.sealed.push_back(partial);
        }
        self.sealed_bytes = self.sealed.iter().map(|segment| segment.header.len).sum();
        Ok(previous)
    }

    fn for_each(
        &mut self,
        segment: &Doubtful<B::File>,
        unwritten: &Unwritten,
        window: &mut Window,
        mut visit: impl FnMut(&mut Log<B>, &Record<'_>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let overlay = unwritten.overlay(segment);
        let mut cursor = Cursor::new(&overlay, segment.header, segment.from, segment.limit);
        window.reset();
        loop {
            match cursor.next(window) {
                Ok(Ok(Item::Record(record))) => visit(self, &record)?,
                Ok(Ok(Item::Mark(..) | Item::Void)) => {}
                Ok(Err(Stop::Limit)) => return Ok(()),
                Ok(Err(stop)) => return Err(self.unreadable(segment.header.id, cursor.at, stop)),
                Err(e) => return Err(self.unread(segment.header.id, e)),
            }
        }
    }

    fn no_rewrite(&self, error: AppendError) -> StorageError {
        let (path, action) = (self.dir.to_path_buf(), "rewrite what was not on disk in");
        match error {
            AppendError::Full { cause: FullCause::Disk | FullCause::Limit, .. } => {
                StorageError::NoRoom { path, action }
            }
            AppendError::Full { .. } => StorageError::Io { path, action, source: io::Error::other(error) },
            AppendError::TooLarge { .. } | AppendError::Stopped { .. } => StorageError::Stopped { dir: path },
        }
    }
}
