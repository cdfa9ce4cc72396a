//! What can go wrong, each with the path and what is safe to do, in one sentence.
//!
//! Depends on [`crate::position`] only. Nothing in this crate panics on account of a disk or of a file's bytes: it ends here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a log or a data folder cannot be opened, read, repaired or kept.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process holds the lock of the folder.
    #[error("{} is in use by another process; stop that process or choose another folder", dir.display())]
    InUse {
        /// The folder that is locked.
        dir: PathBuf,
    },
    /// The operating system refuses access.
    #[error("permission denied to {action} {}; give the broker's user read and write access to the data folder", path.display())]
    Permission {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// The file system is mounted read-only.
    #[error("cannot {action} {}: the file system is read-only; remount it writable, nothing was changed", path.display())]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// The disk or the quota is full.
    #[error("no room to {action} {}; free space on that file system, nothing that was stored is lost", path.display())]
    NoRoom {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
    },
    /// The folder is not there and was not to be made.
    #[error("{} does not exist; check the path", path.display())]
    NotFound {
        /// The file or folder.
        path: PathBuf,
    },
    /// Bytes that were known to be on disk are not what was written.
    #[error(
        "{} is damaged at byte {byte}: {what}; copy the folder, then run a repair, which says what it gives up",
        path.display()
    )]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// The first byte that is wrong.
        byte: u64,
        /// What is wrong there.
        what: Damage,
    },
    /// A segment that the log still needs has no file.
    #[error(
        "{} is missing and the log needs it; put it back from a backup, or run a repair, which says what it gives up",
        path.display()
    )]
    Missing {
        /// Where the file should be.
        path: PathBuf,
    },
    /// A newer program wrote the file.
    #[error(
        "{} has format version {found} and this program reads up to {supported}; run the newer program, nothing was changed",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// A segment of another log stands in this folder.
    #[error("{} belongs to another log; move it out of the folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A setting is out of its range.
    #[error("the log's settings do not fit: {0}")]
    Options(&'static str),
    /// A write or a sync failed earlier, and what was not yet acknowledged is in doubt.
    #[error("the log in {} stopped after a failed write; see its first error", dir.display())]
    Stopped {
        /// The log's folder.
        dir: PathBuf,
    },
    /// Anything else that the operating system reports.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// The operating system's report.
        source: io::Error,
    },
}

/// What is wrong with bytes that should be sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The segment's header does not hold.
    #[error("the segment's header does not hold")]
    Header,
    /// The file is not as long as its header says.
    #[error("the file is not as long as its header says")]
    FileLength,
    /// A record's checksum does not fit.
    #[error("a record's checksum does not fit")]
    Checksum,
    /// A record reaches past the end of its segment.
    #[error("a record reaches past the end of its segment")]
    Length,
    /// Zeros stand where records were.
    #[error("zeros stand where records were")]
    Zeros,
    /// The layout file is not what was written.
    #[error("the layout file is not what was written")]
    Layout,
    /// The segments do not continue one another.
    #[error("the segments do not continue one another")]
    Chain,
}

impl StorageError {
    /// The typed error for what the operating system said when `action` was tried on `path`.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> StorageError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied => StorageError::Permission { path, action },
            io::ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly { path, action },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::NoRoom { path, action },
            io::ErrorKind::NotFound => StorageError::NotFound { path },
            _ => StorageError::Io { path, action, source },
        }
    }

    /// Whether the cause is a lack of room, which passes when there is some.
    pub fn is_no_room(&self) -> bool {
        matches!(self, StorageError::NoRoom { .. })
    }
}

/// Why a record was not appended. The log is as it was before.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// There is no room: for new records; see [`Log::append_tombstone`](crate::Log::append_tombstone) for the rest.
    #[error("the log in {} is full ({cause}); new records are refused until there is room", dir.display())]
    Full {
        /// The log's folder.
        dir: Arc<Path>,
        /// What is full.
        cause: FullCause,
    },
    /// The record is larger than a segment can hold.
    #[error("a body of {len} bytes is more than the {max} that a segment holds")]
    TooLarge {
        /// Bytes of the body.
        len: usize,
        /// Bytes of the largest body.
        max: usize,
    },
    /// A write or a sync failed; see [`Log::rewrite_unsynced`](crate::Log::rewrite_unsynced).
    #[error("the log in {} stopped after a failed write", dir.display())]
    Stopped {
        /// The log's folder.
        dir: Arc<Path>,
    },
}

/// What is full when a log is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FullCause {
    /// The file system has no room for another segment.
    #[error("no room on the disk")]
    Disk,
    /// The log has reached its own limit.
    #[error("its limit is reached")]
    Limit,
    /// The next segment could not be made for another reason, which [`Log::finish_job`](crate::Log::finish_job) reported.
    #[error("no segment could be made")]
    Segment,
    /// So much was [reserved](crate::Log::reserve) that half of a segment would not hold it. A commit helps.
    #[error("too much is reserved and not yet appended")]
    Reserved,
}

/// Why a record cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log holds no such place: the record was released and its segment is gone.
    #[error("no record at {0}")]
    Gone(crate::Offset),
    /// The bytes at the place are not the record that was written.
    #[error("the record at {0} is damaged")]
    Damaged(crate::Offset),
    /// The operating system could not read it.
    #[error("cannot read the record: {0}")]
    Io(#[from] io::Error),
}
