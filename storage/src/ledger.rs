//! How much of each segment is still needed.
//!
//! Depends on [`crate::position`] only. It counts bytes and knows no record: the owner says which record has died.

use std::collections::VecDeque;

use crate::position::RecordRef;

/// Live bytes by segment. Part of a [`Log`](crate::Log), and in the hands of its owner while the log is being recovered.
#[derive(Debug, Default)]
pub struct Ledger {
    /// In the order of the log, so with ascending numbers, mostly without gaps.
    segments: VecDeque<Life>,
    live_bytes: u64,
}

#[derive(Debug)]
struct Life {
    id: u32,
    live_bytes: u64,
}

impl Ledger {
    /// Says that the record is no longer needed. To be said once a record: the segment that holds it goes when all are dead.
    ///
    /// A record whose segment is gone is passed over.
    #[inline]
    pub fn release(&mut self, record: RecordRef) {
        self.subtract(record.at.segment(), u64::from(record.len));
    }

    /// Bytes of all records that were appended or recovered and not released. Tombstones do not count.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn add_segment(&mut self, id: u32) {
        self.segments.push_back(Life { id, live_bytes: 0 });
    }

    /// Adds those of `ids`, which ascend, that are not known.
    pub(crate) fn add_missing(&mut self, ids: impl Iterator<Item = u32>) {
        for id in ids {
            if let Err(index) = self.segments.binary_search_by_key(&id, |life| life.id) {
                self.segments.insert(index, Life { id, live_bytes: 0 });
            }
        }
    }

    pub(crate) fn drop_segment(&mut self, id: u32) {
        if let Some(index) = self.index(id)
            && let Some(life) = self.segments.remove(index)
        {
            self.live_bytes -= life.live_bytes;
        }
    }

    #[inline]
    pub(crate) fn retain(&mut self, record: RecordRef) {
        if let Some(index) = self.index(record.at.segment()) {
            self.segments[index].live_bytes += u64::from(record.len);
            self.live_bytes += u64::from(record.len);
        }
    }

    pub(crate) fn live_bytes_of(&self, id: u32) -> u64 {
        self.index(id).map_or(0, |index| self.segments[index].live_bytes)
    }

    #[inline]
    fn subtract(&mut self, id: u32, bytes: u64) {
        if let Some(index) = self.index(id) {
            let life = &mut self.segments[index];
            debug_assert!(life.live_bytes >= bytes, "a record of segment {id} was released twice");
            let bytes = bytes.min(life.live_bytes);
            life.live_bytes -= bytes;
            self.live_bytes -= bytes;
        }
    }

    #[inline]
    fn index(&self, id: u32) -> Option<usize> {
        let guess = id.checked_sub(self.segments.front()?.id)? as usize;
        match self.segments.get(guess) {
            Some(life) if life.id == id => Some(guess),
            // Numbers are skipped after a failed sync, so the segment can only stand before its guess.
            _ => self.segments.binary_search_by_key(&id, |life| life.id).ok(),
        }
    }
}
