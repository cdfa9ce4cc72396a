//! What the journal stands on: the disk of its log, and the ring that carries out what a commit asks for. In this package's own
//! tests the disk is one that forgets, and that fails on request, so that whole shards can be watched while it does.
//!
//! Depends on `ringtail-storage` for both disks and on the wire for the ring. It decides nothing: whether a write is right, and
//! what follows from its failure, is the log's business.

use super::FolderError;
#[cfg(not(test))]
use super::folder::when_free;
use crate::wire::Wire;
#[cfg(not(test))]
use ringtail_storage::{Access, Disk};
#[cfg(test)]
pub(crate) use ringtail_storage::{CrashDisk as LogDisk, CrashFile as LogFile};
#[cfg(not(test))]
pub(crate) use ringtail_storage::{Disk as LogDisk, DiskFile as LogFile};
use std::path::Path;
use std::sync::Arc;

/// Carries out writes and syncs, one for each call, and says of each what came of it.
pub(crate) trait Ring {
    /// Writes the bytes, from the index that comes with them, to the file at byte `position`.
    fn write(&mut self, file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64, token: u64);

    /// Brings what was written to disk.
    fn fsync(&mut self, file: Arc<LogFile>, token: u64);
}

#[cfg(not(test))]
impl Ring for Wire {
    fn write(&mut self, file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64, token: u64) {
        Self::write(self, file, bytes, position, token);
    }

    fn fsync(&mut self, file: Arc<LogFile>, token: u64) {
        Self::fsync(self, file, token);
    }
}

/// Opens and locks the folder of a log.
///
/// # Errors
/// [`FolderError`].
#[cfg(not(test))]
pub(crate) fn open_disk(dir: &Path) -> Result<LogDisk, FolderError> {
    Ok(when_free(|| Disk::open(dir, Access::Write))?)
}

/// A log in a folder that no test has.
#[cfg(test)]
pub(crate) fn open_disk(_dir: &Path) -> Result<LogDisk, FolderError> {
    Ok(LogDisk::new(4096, 1))
}

/// What no test does: those that turn a shard have a ring of their own.
#[cfg(test)]
impl Ring for Wire {
    fn write(&mut self, _: Arc<LogFile>, _: (Arc<Vec<u8>>, usize), _: u64, _: u64) {}

    fn fsync(&mut self, _: Arc<LogFile>, _: u64) {}
}
