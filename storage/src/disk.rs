//! A log's folder on a real file system.
//!
//! Depends on [`crate::map`] for reading through memory, and on rustix for what the standard library has no call for. It
//! knows nothing of records.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::Errno;

use crate::backing::{Backing, SegmentFile};
use crate::error::StorageError;
use crate::map::Map;

/// What a folder is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For a log: the folder is made when it is not there, and nobody else may have it open.
    Write,
    /// For looking at a stopped log or at a copy: nothing is changed; others may look too.
    Read,
}

/// A folder that holds one log, locked against other processes as long as a clone of this lives.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: Arc<LockedFolder>,
}

impl Disk {
    /// Opens and locks the folder.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has it, [`StorageError::NotFound`] when it is to be read and is not
    /// there, and what the operating system says of permissions and of a read-only file system.
    pub fn open(dir: &Path, access: Access) -> Result<Disk, StorageError> {
        Ok(Disk { folder: Arc::new(LockedFolder::open(dir, access)?) })
    }
}

/// A folder and its lock.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    dir: PathBuf,
    /// The folder itself, open: it carries the lock, and syncing it brings names to disk.
    handle: File,
    access: Access,
}

impl LockedFolder {
    pub(crate) fn open(dir: &Path, access: Access) -> Result<LockedFolder, StorageError> {
        if access == Access::Write && !dir.is_dir() {
            make_folder(dir).map_err(|e| StorageError::io(dir, "create", e))?;
        }
        let handle = File::open(dir).map_err(|e| StorageError::io(dir, "open", e))?;
        let operation = match access {
            Access::Write => FlockOperation::NonBlockingLockExclusive,
            Access::Read => FlockOperation::NonBlockingLockShared,
        };
        match rustix::fs::flock(&handle, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StorageError::InUse { dir: dir.to_path_buf() }),
            Err(e) => return Err(StorageError::io(dir, "lock", e.into())),
        }
        Ok(LockedFolder { dir: dir.to_path_buf(), handle, access })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Makes a folder that only its owner can read, with its parents, and brings its name to disk.
fn make_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

impl Backing for Disk {
    type File = DiskFile;

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.dir.clone() } else { self.folder.dir.join(name) }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.folder.dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<DiskFile> {
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        if let Err(e) = set_aside(&file, bytes) {
            // The name must not stay behind with half of the room that it asked for.
            return Err(fs::remove_file(&path).err().unwrap_or(e));
        }
        Ok(DiskFile { file, bytes, map: OnceLock::new() })
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        let write = self.folder.access == Access::Write;
        let file = OpenOptions::new().read(true).write(write).open(self.path(name))?;
        let bytes = file.metadata()?.len();
        Ok(DiskFile { file, bytes, map: OnceLock::new() })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.sync_names()
    }

    fn entropy(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        Ok(bytes)
    }
}

/// Sets room aside, so that a full disk shows now and not when a record is written.
fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, bytes),
        outcome => Ok(outcome?),
    }
}

/// The same on file systems that cannot set room aside.
fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let step = zeros.len().min((bytes - at) as usize);
        file.write_all_at(&zeros[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// A segment's file.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    bytes: u64,
    /// Made by the first read through memory, so that a segment that nobody reads costs no address space.
    map: OnceLock<Option<Map>>,
}

impl AsFd for DiskFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl SegmentFile for DiskFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, at)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(&self.file, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn next_written(&self, from: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.file, SeekFrom::Data(from)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            // A file system that knows no holes: everything counts as written.
            Err(Errno::INVAL) => Ok(Some(from)),
            Err(e) => Err(e.into()),
        }
    }

    fn mapped(&self) -> Option<&[u8]> {
        self.map.get_or_init(|| Map::new(&self.file, self.bytes as usize).ok()).as_ref().map(Map::as_slice)
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.file.as_raw_fd())
    }

    fn read_ahead(&self, from: u64, bytes: u64) {
        // Advice only: a file system that does not take it reads when it is asked to.
        let _ = rustix::fs::fadvise(&self.file, from, std::num::NonZeroU64::new(bytes), Advice::WillNeed);
    }
}
