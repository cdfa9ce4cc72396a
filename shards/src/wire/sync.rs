//! Making a file's bytes durable without waiting for the disk.

use super::operation::{self, Kind};
use super::{Event, Wire, errno};
use io_uring::opcode;
use io_uring::types::{Fd, FsyncFlags};
use slab::Slab;
use std::os::fd::{AsFd, AsRawFd};

#[derive(Default)]
pub(super) struct Syncs {
    under_way: Slab<Sync>,
}

struct Sync {
    token: u64,
    /// Keeps the descriptor open until the operation is over.
    file: Box<dyn AsFd>,
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
        let key = self.syncs.under_way.insert(Sync { token, file: Box::new(file) });
        let descriptor = Fd(self.syncs.under_way[key].file.as_fd().as_raw_fd());
        let entry = opcode::Fsync::new(descriptor)
            .flags(FsyncFlags::DATASYNC)
            .build()
            .user_data(operation::pack_key(Kind::Sync, key));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_sync(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let Sync { token, .. } = self.syncs.under_way.remove(key);
        events.push(Event::Synced { token, result: if result < 0 { Err(errno(result)) } else { Ok(()) } });
    }
}
