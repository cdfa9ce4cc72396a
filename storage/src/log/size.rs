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

/// What every change of segment in good time takes from the size that haste asked for, in shares of it.
const FORGETS: u64 = 8;

/// Bytes of a segment that are no records': its header, its opening mark and its seal.
const FRAME_BYTES: usize = SEGMENT_HEADER_BYTES as usize + 2 * MARK_BYTES;

/// The size that the log counts with, and what it goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) bytes: u64,
    /// What haste asked for.
    hasty: u64,
    /// The most that was reserved at a time since the size was last settled.
    reserved_most: usize,
}

impl Sizes {
    /// For a log with so many live bytes, and perhaps a segment that was made ahead.
    pub(super) fn of(options: &LogOptions, live_bytes: u64, spare_bytes: Option<u64>) -> Sizes {
        let bytes = spare_bytes.unwrap_or_else(|| rounded(options, live_bytes / SEGMENTS_OF_LIVE));
        Sizes { bytes, hasty: 0, reserved_most: 0 }
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
        self.hasty = 2 * self.bytes;
    }
}

/// `bytes` rounded up to what a segment may have.
fn rounded(options: &LogOptions, bytes: u64) -> u64 {
    let step = options.segment_bytes_min;
    bytes.next_multiple_of(step).clamp(step, options.segment_bytes)
}

/// Half of what a segment holds beside its header, its opening mark and its seal: what one record may take, what all reserved
/// ones may, and what growth leaves for the rest.
pub(super) fn half_of(segment_bytes: u64) -> usize {
    (segment_bytes as usize - FRAME_BYTES) / 2 / format::ALIGN * format::ALIGN
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
    /// Settles the size of the segment that is about to be made.
    pub(super) fn settle_size(&mut self) {
        let live = self.ledger.live_bytes() / SEGMENTS_OF_LIVE;
        let reserved = std::mem::replace(&mut self.sizes.reserved_most, self.reserved_bytes);
        let wanted = live.max(self.sizes.hasty).max(segment_bytes_for(HALF_PER_RESERVED * reserved));
        self.sizes.bytes = rounded(&self.options, wanted);
    }

    /// Sees to it that half of the next segment holds `bytes`.
    pub(super) fn fit_half(&mut self, bytes: usize, purpose: Purpose) -> Result<(), AppendError> {
        self.fit_segment(segment_bytes_for(bytes), purpose)
    }

    /// Sees to it that the next segment, for records of `bytes` altogether, holds them.
    pub(super) fn fit_whole(&mut self, bytes: usize, purpose: Purpose) -> Result<(), AppendError> {
        self.fit_segment((FRAME_BYTES + bytes) as u64, purpose)
    }

    /// Counts with segments of at least `bytes` from here on. A smaller one that was made ahead goes when there is a larger
    /// one, and stays when that can't be had.
    fn fit_segment(&mut self, bytes: u64, purpose: Purpose) -> Result<(), AppendError> {
        let bytes = rounded(&self.options, bytes);
        if bytes <= self.sizes.bytes {
            return Ok(());
        }
        match &self.spare {
            Spare::Ready(spare) if spare.header.len >= bytes => {}
            Spare::Ready(spare) => {
                let (id, len) = (spare.header.id, spare.header.len);
                let larger = self.make_segment(bytes, purpose).map_err(|cause| self.too_full(cause))?;
                self.spare = Spare::Ready(larger);
                self.remove_unused(id, len);
            }
            // It is too small, and goes when it has been made.
            Spare::Making(_) => self.spare = Spare::Wanted,
            Spare::Wanted | Spare::Refused => {}
        }
        self.sizes.bytes = bytes;
        self.sizes.hasty = self.sizes.hasty.max(bytes);
        self.refresh_room();
        Ok(())
    }

    /// There is a next segment, but no larger one to be had.
    fn too_full(&mut self, cause: FullCause) -> AppendError {
        self.full = Some(cause);
        self.refresh_room();
        self.full_error(cause)
    }
}
