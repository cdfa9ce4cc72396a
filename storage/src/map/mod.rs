//! The only room of this crate with `unsafe`: a file mapped for reading.
//!
//! Depends on memmap2. The rules that make a shared mapping sound, and who keeps them:
//! - one writer: the folder's lock lets in one process, and in it one [`Log`](crate::Log) owns the files;
//! - no truncation while mapped: a segment has its full length from its creation, and is never shortened;
//! - written once: a byte changes from zero to its value by one `write` and never again while mapped, and the log hands out
//!   slices only of what has been written (records before its published end), so that no slice sees a byte change.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// A whole segment in memory, read-only.
#[derive(Debug)]
pub(crate) struct Map(Mmap);

impl Map {
    /// Maps `bytes` bytes of `file`, which must be at least as long.
    pub(crate) fn new(file: &File, bytes: usize) -> io::Result<Map> {
        if file.metadata()?.len() < bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the file is a segment of a folder that this process has locked; it is never shortened, and the parts of it
        // that the log lends out are not written again while it is open (see the rules above).
        let map = unsafe { MmapOptions::new().len(bytes).map(file)? };
        Ok(Map(map))
    }

    /// The segment. Callers look only at what the log has published.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
