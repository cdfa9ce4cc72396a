//! How large the next segment is.
//!
//! Between the two bounds of the options it goes by three things. By what is live: a log of many small segments wastes little
//! in each of them, and gives back the room of the oldest soon. By what was reserved at a time, so that a segment lasts for
//! some commits. And by haste: when the next segment was needed before it was made, or had to be larger than was foreseen,
//! those after it are larger, and it takes some changes of segment in good time until that is forgotten.
//!
//! The segment made ahead is never smaller than the size that the log counts with.

use super::{Log, Purpose, Spare};
use crate::backing::Backing;
use crate::error::{AppendError, FullCause};
use crate::format::{self, MARK_BYTES, RECORD_HEADER_BYTES, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::options::LogOptions;

/// What is live takes about so many segments, where the bounds allow it.
const SEGMENTS_OF_LIVE: u64 = 16;

/// So many times as much as was reserved at a time goes into half of a segment, where the bounds allow it.
const HALF_PER_RESERVED: usize = 4;

/// Where a segment turns out too small, the next is so many times as large: each that is made in haste holds the owner up.
const GROWTH: u64 = 4;

/// What every change of segment in good time takes from the size that haste asked for, in shares of it.
const FORGETS: u64 = 16;

/// Bytes of a segment that are no records': its header, its opening mark and its seal.
pub(super) const FRAME_BYTES: usize = SEGMENT_HEADER_BYTES as usize + 2 * MARK_BYTES;

/// The size that the log counts with, and what it goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) bytes: u64,
    /// What haste asked for.
    hasty: u64,
    /// What something that is to be appended needs.
    needed: u64,
    /// The most that was reserved at a time since the size was last settled.
    reserved_most: usize,
}

impl Sizes {
    /// For a log with so many live bytes, and perhaps a segment that was made ahead.
    pub(super) fn of(options: &LogOptions, live_bytes: u64, spare_bytes: Option<u64>) -> Sizes {
        let bytes = spare_bytes.unwrap_or_else(|| rounded(options, live_bytes / SEGMENTS_OF_LIVE));
        Sizes { bytes, hasty: 0, needed: 0, reserved_most: 0 }
    }

    #[inline]
    pub(super) fn note_reserved(&mut self, bytes: usize) {
        self.reserved_most = self.reserved_most.max(bytes);
    }

    /// The next segment is made in good time.
    pub(super) fn forget(&mut self) {
        self.hasty -= self.hasty / FORGETS;
    }

    /// What could not be had large may be had small.
    pub(super) fn ask_less(&mut self) {
        self.hasty = 0;
    }

    /// The next segment was needed before it was there.
    pub(super) fn hasten(&mut self) {
        self.hasty = GROWTH * self.bytes;
    }
}

/// `bytes` rounded up to what a segment may have.
fn rounded(options: &LogOptions, bytes: u64) -> u64 {
    let step = options.segment_bytes_min;
    bytes.next_multiple_of(step).clamp(step, options.segment_bytes)
}

/// What a segment holds.
pub(super) fn capacity_of(segment_bytes: u64) -> usize {
    (segment_bytes as usize).saturating_sub(FRAME_BYTES)
}

/// Half of what a segment holds: what one record may take, what all reserved ones may, and what growth leaves for the rest.
pub(super) fn half_of(segment_bytes: u64) -> usize {
    capacity_of(segment_bytes) / 2 / format::ALIGN * format::ALIGN
}

/// Bytes of the smallest segment half of which holds `bytes`.
pub(super) fn segment_bytes_for(bytes: usize) -> u64 {
    ((FRAME_BYTES + 2 * bytes) as u64).min(SEGMENT_BYTES_MAX)
}

/// Bytes of the largest body.
pub(super) fn body_bytes_max(segment_bytes: u64) -> usize {
    half_of(segment_bytes) - RECORD_HEADER_BYTES
}

impl<B: Backing> Log<B> {
    /// Settles the size of the segment that is about to be made: no larger than the limit allows, if that will do.
    pub(super) fn settle_size(&mut self, purpose: Purpose) {
        self.sizes.hasty = self.sizes.hasty.min(self.options.segment_bytes); // more would take longer to be forgotten
        let live = self.size_by_live();
        let reserved = std::mem::replace(&mut self.sizes.reserved_most, self.reserved_bytes);
        let wanted = live.max(self.sizes.hasty).max(segment_bytes_for(HALF_PER_RESERVED * reserved));
        let least = segment_bytes_for(self.reserved_bytes).max(self.sizes.needed);
        let allowed = self.limit_bytes(purpose).saturating_sub(self.disk_bytes);
        let allowed = allowed - allowed % self.options.segment_bytes_min;
        self.sizes.bytes = rounded(&self.options, wanted.min(allowed).max(least));
        self.sizes.needed = 0;
    }

    /// Sees to it that half of the next segment holds `bytes`: counts with such segments from here on, and has a smaller one
    /// that was made ahead go when there is a larger one. It stays when that can't be had.
    pub(super) fn fit_half(&mut self, bytes: usize, purpose: Purpose) -> Result<(), AppendError> {
        let least = segment_bytes_for(bytes);
        if least <= self.sizes.bytes {
            // Should it not be there yet, it is made so that this holds.
            self.sizes.needed = least;
            return Ok(());
        }
        let least = rounded(&self.options, least);
        let ample = rounded(&self.options, least.max(GROWTH * self.sizes.bytes));
        match &self.spare {
            Spare::Ready(spare) if spare.header.len >= least => self.sizes.bytes = spare.header.len,
            Spare::Ready(_) => {
                let made = self.replace_spare(ample, purpose);
                made.or_else(|_| self.replace_spare(least, purpose)).map_err(|e| self.too_full(e))?;
            }
            // It is too small, and goes when it has been made.
            Spare::Making(_) => {
                self.spare = Spare::Wanted;
                self.sizes.bytes = ample;
            }
            Spare::Wanted | Spare::Refused => self.sizes.bytes = least,
        }
        self.sizes.needed = least;
        self.sizes.hasty = self.sizes.hasty.max(self.sizes.bytes);
        self.refresh_room();
        Ok(())
    }

    /// Sees to it that there is a next segment, and that it holds records of `bytes` that are moved.
    pub(super) fn fit_moved(&mut self, bytes: usize) -> Result<(), AppendError> {
        if self.spare_capacity() >= bytes {
            return Ok(());
        }
        // All that the limit allows: it is the last that can be had before something has gone.
        let most = self.allowed_bytes();
        let least = rounded(&self.options, (FRAME_BYTES + bytes) as u64);
        if capacity_of(most) < bytes {
            return Err(self.too_full(FullCause::Limit));
        }
        let made = self.replace_spare(most, Purpose::Move);
        made.or_else(|_| self.replace_spare(least, Purpose::Move)).map_err(|e| self.too_full(e))
    }

    /// The size of segments that what is live asks for.
    pub(super) fn size_by_live(&self) -> u64 {
        rounded(&self.options, self.ledger.live_bytes() / SEGMENTS_OF_LIVE)
    }

    /// Whether the log chooses the size of a segment.
    pub(super) fn is_of_many_sizes(&self) -> bool {
        self.options.segment_bytes_min < self.options.segment_bytes
    }

    /// Bytes that a segment may have for which the limit has room, be it the last.
    pub(super) fn allowed_bytes(&self) -> u64 {
        let left = self.options.limit_bytes.saturating_sub(self.disk_bytes);
        let step = self.options.segment_bytes_min;
        (left / step * step).min(self.options.segment_bytes)
    }

    /// Bytes of records that the next segment holds; 0 if it is not there.
    pub(super) fn spare_capacity(&self) -> usize {
        match &self.spare {
            Spare::Ready(spare) => capacity_of(spare.header.len),
            _ => 0,
        }
    }

    /// Makes the next segment, of `bytes`, in the place of one that may be there.
    fn replace_spare(&mut self, bytes: u64, purpose: Purpose) -> Result<(), FullCause> {
        let larger = self.make_segment(bytes, purpose)?;
        if let Spare::Ready(smaller) = std::mem::replace(&mut self.spare, Spare::Ready(larger)) {
            self.remove_unused(smaller.header.id, smaller.header.len);
        }
        self.sizes.bytes = bytes;
        Ok(())
    }

    /// There is no segment to be had that is large enough, whether there is a smaller one or not.
    fn too_full(&mut self, cause: FullCause) -> AppendError {
        self.full = Some(cause);
        self.refresh_room();
        self.full_error(cause)
    }
}
