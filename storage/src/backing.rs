//! What a log stands on: a folder of files of fixed length. [`Disk`](crate::Disk) is the real one, and
//! [`CrashDisk`](crate::CrashDisk) forgets and tears what was not synced.
//!
//! Depends on the standard library. It must stay narrow enough that a test can stand in for every call.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// A file of fixed length, written by one log. Shared with the threads that write, sync and read it.
pub trait SegmentFile: fmt::Debug + Send + Sync + 'static {
    /// The file's length in bytes.
    fn bytes(&self) -> u64;

    /// Fills `buf` from byte `at`. An error when the file ends before that.
    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes some of `bytes` at byte `at` and says how many; none of it is on disk before a [`sync`](Self::sync).
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Brings all that was written to disk. After an error nothing that was not on disk before may be taken to be.
    fn sync(&self) -> io::Result<()>;

    /// The first byte at or after `from` that was ever written, as far as the file system knows; `None` when there is none.
    fn next_written(&self, from: u64) -> io::Result<Option<u64>>;

    /// The file in memory, where that is to be had.
    fn mapped(&self) -> Option<&[u8]>;

    /// The descriptor for an fsync or a write on a ring, where there is one.
    fn raw_fd(&self) -> Option<RawFd>;

    /// Says that these bytes will be read soon.
    fn read_ahead(&self, from: u64, bytes: u64);

    /// Writes all of `bytes`, however many calls that takes.
    fn write_all_at(&self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(at, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    bytes = &bytes[written.min(bytes.len())..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A folder that holds one log. Clones are the same folder, for the threads that run a log's [`Job`](crate::Job)s.
pub trait Backing: fmt::Debug + Clone + Send + 'static {
    /// Its files.
    type File: SegmentFile;

    /// The path of the file of this name, or of the folder for an empty name: for messages to people.
    fn path(&self, name: &str) -> PathBuf;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros for which the room is set aside, or fails for want of room.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file, for writing too where the folder was opened for writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name; whatever had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Brings the folder's names to disk.
    fn sync_names(&self) -> io::Result<()>;

    /// Bytes that nobody outside can guess.
    fn entropy(&self) -> io::Result<[u8; 16]>;
}
