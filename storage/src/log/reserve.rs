//! Room for records that their owner holds back: what is acknowledged before the next commit need never be written, but when
//! a message is taken it must be known that it will fit.

use super::{Appended, Log, Purpose, body_bytes, size};
use crate::backing::Backing;
use crate::error::{AppendError, FullCause};
use crate::format::{self, Kind};

/// Room in a log for one record, to be used by [`Log::append_reserved`] or [`Log::append_tombstone_reserved`], or given up by
/// [`Log::unreserve`]. Dropped, it leaves that room unused until the log is opened again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the room stays set aside until it is used or given up"]
pub struct Reserved {
    /// Header and padding included.
    bytes: u32,
}

impl<B: Backing> Log<B> {
    /// Sets room aside for a record with a body of at most `body_bytes` bytes, so that a later [`Log::append_reserved`] does
    /// not fail for want of it, whatever is appended, cleaned or committed in between, and also when the disk has become full.
    /// A write that fails is another matter: a log that [stopped](Log::is_stopped) and was made good by
    /// [`Log::rewrite_unsynced`] may have used the room up.
    ///
    /// Makes a system call only when the next segment was not made ahead in time.
    ///
    /// # Errors
    /// As [`Log::append`], and [`FullCause::Reserved`] when half of the largest segment does not hold all that is reserved.
    #[inline]
    pub fn reserve(&mut self, body_bytes: usize) -> Result<Reserved, AppendError> {
        self.demand(body_bytes, Purpose::Grow)?;
        let bytes = format::record_bytes(body_bytes);
        if self.reserved_bytes + bytes > size::half_of(self.options.segment_bytes) {
            return Err(self.full_error(FullCause::Reserved));
        }
        self.fit_half(self.reserved_bytes + bytes, Purpose::Grow)?;
        self.keep_room(bytes, Purpose::Grow)?;
        self.reserved_bytes += bytes;
        self.sizes.note_reserved(self.reserved_bytes);
        self.refresh_room();
        Ok(Reserved { bytes: bytes as u32 })
    }

    /// Sees to it that what is reserved goes into one segment, so that one write can hold it all, with as much again for what is
    /// appended between. To be called before the reserved records come. Where the next segment is not ready it does nothing.
    pub fn keep_together(&mut self) {
        // No more than a segment holds, as at most half of one is reserved.
        let wanted = 2 * self.reserved_bytes;
        if wanted > self.active_room() && self.has_spare() && !self.stopped {
            // What hinders it hinders the appends as well, which say so.
            let _ = self.roll(Purpose::Keep);
        }
    }

    /// Gives up room that was set aside.
    #[inline]
    pub fn unreserve(&mut self, reserved: Reserved) {
        self.reserved_bytes = self.reserved_bytes.saturating_sub(reserved.bytes as usize);
        self.refresh_room();
    }

    /// [`Log::append`] into room that was set aside. A larger record than that room was meant for is like any other.
    ///
    /// # Errors
    /// [`AppendError::Stopped`] after a failed write. The room is given up in any case.
    #[inline]
    pub fn append_reserved(
        &mut self,
        reserved: Reserved,
        kind: Kind,
        key: u64,
        body: &[&[u8]],
    ) -> Result<Appended, AppendError> {
        self.use_reserved(reserved, body, Purpose::Grow)?;
        let appended = self.put_next(kind, false, key, body);
        self.ledger.retain(appended.at);
        Ok(appended)
    }

    /// [`Log::append_tombstone`] into room that was set aside.
    ///
    /// # Errors
    /// As [`Log::append_reserved`].
    #[inline]
    pub fn append_tombstone_reserved(
        &mut self,
        reserved: Reserved,
        kind: Kind,
        key: u64,
        body: &[&[u8]],
    ) -> Result<Appended, AppendError> {
        self.use_reserved(reserved, body, Purpose::Free)?;
        Ok(self.put_next(kind, true, key, body))
    }

    /// Turns `reserved` into room for `body` to be staged. `otherwise` is what a body that is too large for it counts as.
    #[inline]
    fn use_reserved(&mut self, reserved: Reserved, body: &[&[u8]], otherwise: Purpose) -> Result<(), AppendError> {
        let len = body_bytes(body);
        let need = format::record_bytes(len);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(reserved.bytes as usize);
        if need > self.room {
            let fits = need <= reserved.bytes as usize;
            self.make_room(need, len, if fits { Purpose::Keep } else { otherwise })?;
        }
        Ok(())
    }
}
