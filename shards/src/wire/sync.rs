//! Writing to a file, and making its bytes durable, without waiting for the disk.

use super::operation::{self, Kind};
use super::{Event, Wire, errno};
use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags};
use slab::Slab;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// What one write takes at most; the kernel takes little more than 2 GiB.
const WRITE_BYTES_MAX: usize = 1 << 30;

#[derive(Default)]
pub(super) struct Syncs {
    under_way: Slab<Sync>,
}

/// A sync or a write.
struct Sync {
    token: u64,
    /// Keeps the descriptor open until the operation is over.
    file: Box<dyn AsFd>,
    /// Keeps the bytes of a write where they are until it is over.
    bytes: Arc<Vec<u8>>,
}

impl Syncs {
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets the files without closing what the kernel may still use.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.under_way));
    }
}

impl Wire {
    /// Writes what the file holds to the disk (fdatasync); [`Event::Synced`] says when it is there. Bytes that are written
    /// after this call may or may not be covered. The wire keeps `file`, for example an `Rc<File>`, until then.
    pub fn fsync(&mut self, file: impl AsFd + 'static, token: u64) {
        let key = self.syncs.under_way.insert(Sync { token, file: Box::new(file), bytes: Arc::default() });
        let descriptor = Fd(self.syncs.under_way[key].file.as_fd().as_raw_fd());
        let entry = opcode::Fsync::new(descriptor)
            .flags(FsyncFlags::DATASYNC)
            .build()
            .user_data(operation::pack_key(Kind::Sync, key));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    /// Writes `bytes`, from the index that comes with them, to the file at byte `position`; [`Event::Wrote`] says how many
    /// were taken, which may be fewer. The wire keeps the file and the bytes until then.
    pub fn write(&mut self, file: impl AsFd + 'static, bytes: (Arc<Vec<u8>>, usize), position: u64, token: u64) {
        let (bytes, from) = bytes;
        let key = self.syncs.under_way.insert(Sync { token, file: Box::new(file), bytes });
        let Sync { file, bytes, .. } = &self.syncs.under_way[key];
        let rest = bytes.get(from..).unwrap_or_default();
        let rest = &rest[..rest.len().min(WRITE_BYTES_MAX)];
        let entry = opcode::Write::new(Fd(file.as_fd().as_raw_fd()), rest.as_ptr(), rest.len() as u32)
            .offset(position)
            .build()
            .user_data(operation::pack_key(Kind::Write, key));
        // SAFETY: the bytes stay where they are, and nobody can change them, as long as the clone of their `Arc` lives that the
        // table has until the completion; the table of a wire that is dropped earlier is leaked.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_write(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let Sync { token, .. } = self.syncs.under_way.remove(key);
        events.push(Event::Wrote { token, result: if result < 0 { Err(errno(result)) } else { Ok(result as usize) } });
    }

    pub(super) fn on_sync(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let Sync { token, .. } = self.syncs.under_way.remove(key);
        events.push(Event::Synced { token, result: if result < 0 { Err(errno(result)) } else { Ok(()) } });
    }
}
