//! Making room: a commit's worth of memory, and the next segment when one is full.
//!
//! The next segment is made ahead by a [`Job`](super::Job); when that was not carried out in time, the append that needs it
//! makes it itself.

use std::sync::Arc;

use super::{Log, Purpose, Segment, body_bytes, job};
use crate::backing::{Backing, SegmentFile};
use crate::error::{AppendError, FullCause, StorageError};
use crate::format::{self, MARK_BYTES, RECORD_HEADER_BYTES, Role, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::position::Offset;

/// The segment that comes after the active one.
#[derive(Debug)]
pub(super) enum Spare<F> {
    /// Nobody has been asked to make it.
    Wanted,
    /// The job for the segment of this number is out.
    Making(u32),
    /// It is there.
    Ready(Segment<F>),
    /// It could not be had, and nobody has asked again.
    Refused,
}

/// Bytes of the largest body that fits a segment beside its header, its opening mark and its seal.
pub(super) fn body_bytes_max(segment_bytes: u64) -> usize {
    let left = segment_bytes as usize - SEGMENT_HEADER_BYTES as usize - 2 * MARK_BYTES;
    left / format::ALIGN * format::ALIGN - RECORD_HEADER_BYTES
}

impl<B: Backing> Log<B> {
    /// Sees to it that a record of `need` bytes can be staged.
    #[cold]
    pub(super) fn make_room(&mut self, need: usize, body: &[&[u8]], purpose: Purpose) -> Result<(), AppendError> {
        if self.stopped {
            return Err(AppendError::Stopped { dir: Arc::clone(&self.dir) });
        }
        let (len, max) = (body_bytes(body), self.body_bytes_max());
        if len > max {
            return Err(AppendError::TooLarge { len, max });
        }
        if let (Some(cause), Purpose::Grow) = (self.full, purpose) {
            return Err(AppendError::Full { dir: Arc::clone(&self.dir), cause });
        }
        if need > self.active_room() {
            self.roll()?;
        } else if self.stage.len() + need > self.options.staged_bytes_max {
            self.spill().map_err(|_| AppendError::Stopped { dir: Arc::clone(&self.dir) })?;
        }
        self.refresh_room();
        Ok(())
    }

    /// Bytes of the active segment that records may take. The seal has its own.
    pub(super) fn active_room(&self) -> usize {
        (self.active.limit as usize).saturating_sub(self.tail().byte() as usize + MARK_BYTES)
    }

    /// Works out how much may be appended without a closer look.
    pub(super) fn refresh_room(&mut self) {
        let staged = self.options.staged_bytes_max.saturating_sub(self.stage.len());
        let refused = self.stopped || self.full.is_some();
        self.room = if refused { 0 } else { staged.min(self.active_room()) };
    }

    /// Writes what is staged, so that it no longer takes memory.
    pub(super) fn spill(&mut self) -> Result<(), StorageError> {
        if let Err(e) = self.active.file.write_all_at(self.stage_base.into(), &self.stage) {
            return Err(self.stop("write", self.active.header.id, e));
        }
        self.stage_base += self.stage.len() as u32;
        self.stage.clear();
        self.stage.shrink_to(self.options.staged_bytes_max);
        if self.writing.is_none() {
            self.written = self.tail();
        }
        Ok(())
    }

    /// Goes on in the next segment.
    pub(super) fn roll(&mut self) -> Result<(), AppendError> {
        let next = self.next_segment()?;
        self.stage_mark(Role::Seal, Offset::default(), self.front_id(), next.header.id);
        if self.spill().is_err() {
            self.remove_unused(next.header.id);
            return Err(AppendError::Stopped { dir: Arc::clone(&self.dir) });
        }
        let end = self.tail();
        let first = self.front_id();
        let mut sealed = self.begin(next, end, first);
        sealed.limit = end.byte();
        self.sealed.push_back(sealed);
        Ok(())
    }

    /// Makes `next` the active segment, which continues the log from `previous`, and gives back the one that was active.
    /// `first` is the oldest segment that is still needed.
    pub(super) fn begin(&mut self, next: Segment<B::File>, previous: Offset, first: u32) -> Segment<B::File> {
        self.ledger.add_segment(next.header.id);
        let before = std::mem::replace(&mut self.active, next);
        self.stage_base = SEGMENT_HEADER_BYTES;
        self.stage_mark(Role::Open, previous, first, 0);
        self.refresh_room();
        before
    }

    /// The segment made ahead, or one made now.
    pub(super) fn next_segment(&mut self) -> Result<Segment<B::File>, AppendError> {
        match std::mem::replace(&mut self.spare, Spare::Wanted) {
            Spare::Ready(next) => Ok(next),
            Spare::Refused => Err(self.refuse(self.full.unwrap_or(FullCause::Segment))),
            Spare::Wanted | Spare::Making(_) => {
                if self.files >= self.options.segments_max() {
                    return Err(self.refuse(FullCause::Limit));
                }
                let header = self.next_header().map_err(|_| self.refuse(FullCause::Segment))?;
                self.files += 1;
                match job::make_segment(&self.backing, header) {
                    Ok(file) => {
                        self.full = None;
                        Ok(Segment::new(header, file))
                    }
                    Err(e) => {
                        self.files -= 1;
                        Err(self.refuse(cause_of(&e)))
                    }
                }
            }
        }
    }

    /// A header for a segment of a number that was never used before.
    pub(super) fn next_header(&mut self) -> Result<SegmentHeader, StorageError> {
        let entropy = self.backing.entropy().map_err(|e| StorageError::io(&self.dir, "choose a salt for", e))?;
        let id = self.next_id;
        self.next_id += 1;
        Ok(SegmentHeader {
            id,
            len: self.options.segment_bytes,
            log_id: self.active.header.log_id,
            salt: job::salt(&entropy),
        })
    }

    pub(super) fn refuse(&mut self, cause: FullCause) -> AppendError {
        self.spare = Spare::Refused;
        self.full = Some(cause);
        self.refresh_room();
        AppendError::Full { dir: Arc::clone(&self.dir), cause }
    }

    /// Asks again for the segment that could not be had: to be called now and then while the log is [full](Log::full), as the
    /// log has no clock. New records are taken again when the [`Job`](super::Job) that follows succeeds.
    pub fn retry_room(&mut self) {
        if let Spare::Refused = self.spare {
            self.spare = Spare::Wanted;
        }
    }
}

/// What is full when a segment could not be made.
pub(super) fn cause_of(error: &StorageError) -> FullCause {
    if error.is_no_room() { FullCause::Disk } else { FullCause::Segment }
}

impl<F: SegmentFile> Segment<F> {
    /// A segment that nothing was written to.
    pub(super) fn new(header: SegmentHeader, file: F) -> Segment<F> {
        Segment { header, file: Arc::new(file), limit: header.len as u32, synced: false, syncing: false }
    }
}
