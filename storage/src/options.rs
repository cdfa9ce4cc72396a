//! What a log is opened with.
//!
//! Depends on [`crate::format`] for the bounds. Reads no file and no environment: the program fills it in.

use crate::error::StorageError;
use crate::format::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// When a record counts as [`Durable`](crate::Durable).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// When it is on disk: survives a loss of power.
    Synced,
    /// When the kernel has it: survives a kill of the process, and loses what was not synced with the power.
    Written,
}

/// The settings of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of the largest segment, from 512 (for tests) to 1 GiB. A record takes half of one at most. A log that holds a
    /// larger record goes on with segments that fit it.
    pub segment_bytes: u64,
    /// Bytes of the smallest segment. Between the two the log chooses: larger ones cost fewer changes, smaller ones give room
    /// back sooner.
    pub segment_bytes_min: u64,
    /// Bytes that all segments may take on disk, at least four of the largest. Up to two of them are kept for what frees room.
    pub limit_bytes: u64,
    /// Bytes that may wait in memory for a commit. When more come than the disk takes, an append writes them itself.
    pub staged_bytes_max: usize,
    /// When a record counts as durable.
    pub acknowledge: Acknowledge,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
            segment_bytes_min: 1 << 20,
            limit_bytes: 16 << 30,
            staged_bytes_max: 4 << 20,
            acknowledge: Acknowledge::Synced,
        }
    }
}

/// Segments that a log needs at the least: one to append to, one ahead of it, and one on its way out while another is freed.
const SEGMENTS_MIN: u64 = 4;

impl LogOptions {
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        let may_be = |bytes: u64| (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) && bytes.is_multiple_of(8);
        if !may_be(self.segment_bytes) || !may_be(self.segment_bytes_min) {
            return Err(StorageError::Options("a segment has 512 bytes to 1 GiB, in multiples of 8"));
        }
        if self.segment_bytes_min > self.segment_bytes {
            return Err(StorageError::Options("the smallest segment is larger than the largest"));
        }
        if self.limit_bytes / self.segment_bytes < SEGMENTS_MIN {
            return Err(StorageError::Options("the limit must allow at least four segments"));
        }
        if self.staged_bytes_max == 0 {
            return Err(StorageError::Options("something must be allowed to wait for a commit"));
        }
        Ok(())
    }
}
