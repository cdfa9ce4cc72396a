//! The disk that a shard's log stands on. In this package's own tests that can also be one that forgets, and that fails on
//! request, so that whole shards can be watched while it does.
//!
//! Depends on `ringtail-storage` for both. It decides nothing: what follows from a failure is the log's business.

use super::FolderError;
use super::folder::when_free;
use ringtail_storage::{Access, Disk};
use std::path::Path;

#[cfg(test)]
pub(crate) use either::{LogDisk, LogFile};
#[cfg(not(test))]
pub(crate) use ringtail_storage::{Disk as LogDisk, DiskFile as LogFile};

/// Opens and locks the folder of a log.
///
/// # Errors
/// [`FolderError`].
pub(crate) fn open_disk(dir: &Path) -> Result<LogDisk, FolderError> {
    let disk = when_free(|| Disk::open(dir, Access::Write))?;
    #[cfg(test)]
    let disk = LogDisk::Real(disk);
    Ok(disk)
}

/// A real disk or one that forgets.
#[cfg(test)]
mod either {
    use ringtail_storage::{Backing, CrashDisk, CrashFile, Disk, DiskFile, SegmentFile};
    use std::io;
    use std::os::fd::RawFd;
    use std::path::PathBuf;

    #[derive(Clone, Debug)]
    pub(crate) enum LogDisk {
        Real(Disk),
        Crash(CrashDisk),
    }

    #[derive(Debug)]
    pub(crate) enum LogFile {
        Real(DiskFile),
        Crash(CrashFile),
    }

    macro_rules! either {
        ($self:ident, $it:ident => $call:expr) => {
            match $self {
                Self::Real($it) => $call,
                Self::Crash($it) => $call,
            }
        };
    }

    impl Backing for LogDisk {
        type File = LogFile;

        fn path(&self, name: &str) -> PathBuf {
            either!(self, disk => disk.path(name))
        }

        fn names(&self) -> io::Result<Vec<String>> {
            either!(self, disk => disk.names())
        }

        fn create(&self, name: &str, bytes: u64) -> io::Result<LogFile> {
            match self {
                Self::Real(disk) => disk.create(name, bytes).map(LogFile::Real),
                Self::Crash(disk) => disk.create(name, bytes).map(LogFile::Crash),
            }
        }

        fn open(&self, name: &str) -> io::Result<LogFile> {
            match self {
                Self::Real(disk) => Backing::open(disk, name).map(LogFile::Real),
                Self::Crash(disk) => disk.open(name).map(LogFile::Crash),
            }
        }

        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            either!(self, disk => disk.rename(from, to))
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            either!(self, disk => disk.remove(name))
        }

        fn sync_names(&self) -> io::Result<()> {
            either!(self, disk => disk.sync_names())
        }

        fn entropy(&self) -> io::Result<[u8; 16]> {
            either!(self, disk => disk.entropy())
        }
    }

    impl SegmentFile for LogFile {
        fn bytes(&self) -> u64 {
            either!(self, file => file.bytes())
        }

        fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
            either!(self, file => file.read_at(at, buf))
        }

        fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
            either!(self, file => file.write_at(at, bytes))
        }

        fn sync(&self) -> io::Result<()> {
            either!(self, file => file.sync())
        }

        fn next_written(&self, from: u64) -> io::Result<Option<u64>> {
            either!(self, file => file.next_written(from))
        }

        fn mapped(&self) -> Option<&[u8]> {
            either!(self, file => file.mapped())
        }

        fn raw_fd(&self) -> Option<RawFd> {
            either!(self, file => file.raw_fd())
        }

        fn read_ahead(&self, from: u64, bytes: u64) {
            either!(self, file => file.read_ahead(from, bytes));
        }
    }
}
