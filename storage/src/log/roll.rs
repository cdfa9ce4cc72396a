//! Making room: a commit's worth of memory, and the next segment when one is full.
//!
//! The next segment is made ahead by a [`Job`](super::Job); when that was not carried out in time, the append that needs it
//! makes it itself.
//!
//! One rule keeps what was [reserved](super::reserve), and keeps room for what frees room. No record, no sum of reserved ones,
//! takes more than half of a segment, and the other half is *kept*. So with the next segment ready, everything fits there,
//! whatever the active one has left. Without it, the active one must have room for all that is reserved, and growth leaves
//! the kept half beside that.

use std::sync::Arc;

use super::size::half_of;
use super::{Log, Purpose, Segment, job};
use crate::backing::{Backing, SegmentFile};
use crate::error::{AppendError, FullCause, StorageError};
use crate::format::{MARK_BYTES, Role, SEGMENT_HEADER_BYTES, SegmentHeader};
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

impl<B: Backing> Log<B> {
    /// Sees to it that a record of `need` bytes, of which `len` are its body's, can be staged.
    #[cold]
    pub(super) fn make_room(&mut self, need: usize, len: usize, purpose: Purpose) -> Result<(), AppendError> {
        self.demand(len, purpose)?;
        if need > self.active_room() {
            match self.full {
                Some(_) if purpose == Purpose::Move => self.fit_moved(need)?,
                _ => self.fit_half(need, purpose)?,
            }
            self.roll(purpose)?;
        } else if self.stage.len() + need > self.options.staged_bytes_max {
            self.spill().map_err(|_| AppendError::Stopped { dir: Arc::clone(&self.dir) })?;
        }
        let outcome = self.keep_room(need, purpose);
        self.refresh_room();
        outcome
    }

    /// Whether a body of `len` bytes can be taken at all.
    pub(super) fn demand(&self, len: usize, purpose: Purpose) -> Result<(), AppendError> {
        let max = self.body_bytes_max();
        if self.stopped {
            Err(AppendError::Stopped { dir: Arc::clone(&self.dir) })
        } else if len > max {
            Err(AppendError::TooLarge { len, max })
        } else if let (Some(cause), Purpose::Grow) = (self.full, purpose) {
            Err(AppendError::Full { dir: Arc::clone(&self.dir), cause })
        } else {
            Ok(())
        }
    }

    /// Sees to it that when `taken` bytes of the active segment are gone, there is still room for what was reserved, and after
    /// growth also for what frees room.
    pub(super) fn keep_room(&mut self, taken: usize, purpose: Purpose) -> Result<(), AppendError> {
        let kept = match purpose {
            Purpose::Grow => half_of(self.sizes.bytes),
            // The mark that lets a segment go is to find room, if no more can be had.
            Purpose::Free => self.room_of_cleaning().max(MARK_BYTES),
            Purpose::Move => MARK_BYTES,
            Purpose::Keep => 0,
        };
        if let (Some(cause), Purpose::Free) = (self.full, purpose)
            && !self.may_free(taken)
        {
            return Err(self.full_error(cause));
        }
        if self.has_room_beside(taken + kept) {
            return Ok(());
        }
        self.ready_spare(purpose)
    }

    /// Sees to it that the next segment is there.
    pub(super) fn ready_spare(&mut self, purpose: Purpose) -> Result<(), AppendError> {
        let next = self.next_segment(purpose)?;
        self.spare = Spare::Ready(next);
        Ok(())
    }

    /// Whether the next segment is there.
    pub(super) fn has_spare(&self) -> bool {
        matches!(self.spare, Spare::Ready(_))
    }

    /// Whether there is room for all that was reserved when `bytes` of the active segment are gone.
    pub(super) fn has_room_beside(&self, bytes: usize) -> bool {
        self.has_spare() || self.active_room() >= bytes + self.reserved_bytes
    }

    /// Bytes of the active segment that records may take. The seal has its own.
    pub(super) fn active_room(&self) -> usize {
        (self.active.limit as usize).saturating_sub(self.tail().byte() as usize + MARK_BYTES)
    }

    /// Works out how much may be appended without a closer look.
    pub(super) fn refresh_room(&mut self) {
        let staged = self.options.staged_bytes_max.saturating_sub(self.stage.len());
        // A larger record needs the closer look as well.
        let staged = staged.min(half_of(self.options.segment_bytes));
        self.room = match self.spare {
            _ if self.stopped || self.full.is_some() => 0,
            Spare::Ready(_) => staged.min(self.active_room()),
            _ => {
                let kept = half_of(self.sizes.bytes) + self.reserved_bytes;
                staged.min(self.active_room().saturating_sub(kept))
            }
        };
    }

    /// Writes what is staged, so that it no longer takes memory.
    pub(super) fn spill(&mut self) -> Result<(), StorageError> {
        self.end_write();
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
    pub(super) fn roll(&mut self, purpose: Purpose) -> Result<(), AppendError> {
        let next = self.next_segment(purpose)?;
        self.stage_mark(Role::Seal, Offset::default(), self.front_id(), next.header.id);
        if self.spill().is_err() {
            self.remove_unused(next.header.id, next.header.len);
            return Err(AppendError::Stopped { dir: Arc::clone(&self.dir) });
        }
        let end = self.tail();
        let first = self.front_id();
        let mut sealed = self.begin(next, end, first);
        sealed.limit = end.byte();
        self.sealed_bytes += sealed.header.len;
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
    pub(super) fn next_segment(&mut self, purpose: Purpose) -> Result<Segment<B::File>, AppendError> {
        match std::mem::replace(&mut self.spare, Spare::Wanted) {
            Spare::Ready(next) => Ok(next),
            Spare::Refused if !self.may_ask_again(purpose) => Err(self.refuse(self.full.unwrap_or(FullCause::Segment))),
            missing => {
                if !matches!(missing, Spare::Refused) {
                    self.sizes.hasten();
                }
                self.settle_size(purpose);
                let made = self.make_segment(self.sizes.bytes, purpose).map_err(|cause| self.refuse(cause))?;
                self.note_room();
                Ok(made)
            }
        }
    }

    /// Whether a segment that was refused may be had for this purpose all the same.
    fn may_ask_again(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Move => true,
            Purpose::Free => self.full == Some(FullCause::Limit),
            Purpose::Grow | Purpose::Keep => false,
        }
    }

    /// Makes a segment of `bytes` and waits for it.
    pub(super) fn make_segment(&mut self, bytes: u64, purpose: Purpose) -> Result<Segment<B::File>, FullCause> {
        let header = self.next_header(bytes, purpose)?;
        match job::make_segment(&self.backing, header) {
            Ok(file) => Ok(Segment::new(header, file)),
            Err(e) => {
                self.disk_bytes -= bytes;
                Err(cause_of(&e))
            }
        }
    }

    /// A header for a segment of `bytes`, for which there is room under the limit, with a number that was never used before.
    /// The segment counts from here on.
    pub(super) fn next_header(&mut self, bytes: u64, purpose: Purpose) -> Result<SegmentHeader, FullCause> {
        if self.disk_bytes + bytes > self.limit_bytes(purpose) {
            return Err(FullCause::Limit);
        }
        let entropy = self.backing.entropy().map_err(|_| FullCause::Segment)?;
        let id = self.next_id;
        self.next_id += 1;
        self.disk_bytes += bytes;
        Ok(SegmentHeader { id, len: bytes, log_id: self.active.header.log_id, salt: job::salt(&entropy) })
    }

    /// Bytes that all segments may take for this purpose. With segments of one size any is moved into another. With many, what
    /// is moved may have to be divided, which takes half as much again, and what has been moved may have filled the last one up
    /// that what ends the life of records could use.
    pub(super) fn limit_bytes(&self, purpose: Purpose) -> u64 {
        let largest = self.options.segment_bytes;
        let for_others = match purpose {
            Purpose::Move => 0,
            _ if !self.is_of_many_sizes() => largest,
            Purpose::Free | Purpose::Keep => largest + largest / 2,
            Purpose::Grow => largest + largest / 2 + 2 * self.size_by_live(),
        };
        self.options.limit_bytes.saturating_sub(for_others)
    }

    /// There is a segment ahead: new records are taken again, unless it is the one that is for moving alone.
    pub(super) fn note_room(&mut self) {
        if self.disk_bytes <= self.limit_bytes(Purpose::Grow) {
            self.full = None;
        }
    }

    pub(super) fn refuse(&mut self, cause: FullCause) -> AppendError {
        self.spare = Spare::Refused;
        self.sizes.ask_less();
        self.full = Some(cause);
        self.refresh_room();
        self.full_error(cause)
    }

    pub(super) fn full_error(&self, cause: FullCause) -> AppendError {
        AppendError::Full { dir: Arc::clone(&self.dir), cause }
    }

    /// Asks again for the segment that could not be had: to be called now and then while the log is [full](Log::full), as the
    /// log has no clock. New records are taken again when the [`Job`](super::Job) that follows succeeds.
    pub fn retry_room(&mut self) {
        match self.spare {
            Spare::Refused => self.spare = Spare::Wanted,
            Spare::Ready(_) => self.note_room(),
            Spare::Wanted | Spare::Making(_) => {}
        }
        self.refresh_room();
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
