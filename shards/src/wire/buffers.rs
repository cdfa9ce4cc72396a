//! The receive buffers, lent to the kernel through a provided-buffer ring.
//!
//! A buffer is either the kernel's (its index stands in the ring) or somebody's [`Received`], never both. Dropping the
//! `Received` puts the index back; the kernel sees it when the tail is published, once a turn.

use io_uring::types::BufRingEntry;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

const PAGE_BYTES: usize = 4096;

/// The memory of the buffers and of the ring that lends them.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// Of the ring and of the memory, for their release.
    layouts: (Layout, Layout),
    count: u16,
    buffer_bytes: u32,
    /// Where the next index is put; ahead of what the kernel sees until `publish`.
    tail: Cell<u16>,
    published: Cell<u16>,
    lent: Cell<u16>,
}

/// Bytes that a connection received. They stay until this value is dropped, which gives the buffer back.
pub struct Received {
    buffers: Rc<Buffers>,
    index: u16,
    len_bytes: u32,
}

impl Buffers {
    /// `count` buffers of `buffer_bytes`, all of them in the ring. `None` unless `count` is a power of two up to 32,768 and
    /// the buffers have a size that can be allocated.
    pub(super) fn new(count: u16, buffer_bytes: u32) -> Option<Rc<Self>> {
        if !count.is_power_of_two() || buffer_bytes == 0 {
            return None;
        }
        let entries = usize::from(count);
        let ring = Layout::from_size_align(entries * size_of::<BufRingEntry>(), PAGE_BYTES).ok()?;
        let memory = Layout::from_size_align(entries * buffer_bytes as usize, PAGE_BYTES).ok()?;
        let buffers = Rc::new(Self {
            entries: allocate(ring).cast(),
            memory: touch(allocate(memory), memory),
            layouts: (ring, memory),
            count,
            buffer_bytes,
            tail: Cell::new(0),
            published: Cell::new(0),
            lent: Cell::new(count),
        });
        for index in 0..count {
            buffers.give_back(index);
        }
        buffers.publish();
        Some(buffers)
    }

    /// The address of the ring, for its registration.
    pub(super) fn ring_address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    /// Buffers that are the kernel's to fill, counting those that it sees after the next `publish`.
    pub(super) fn free(&self) -> usize {
        usize::from(self.count - self.lent.get())
    }

    /// Shows the kernel what was given back since the last time.
    pub(super) fn publish(&self) {
        if self.published.get() == self.tail.get() {
            return;
        }
        self.published.set(self.tail.get());
        // SAFETY: `entries` is the first entry of a live, zeroed ring; the kernel only reads the tail, and only this thread
        // writes it, always through this atomic.
        let tail = unsafe { &*BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>() };
        tail.store(self.tail.get(), Ordering::Release);
    }

    /// Takes over a buffer that a completion named: the kernel has filled `len_bytes` of it and is done with it.
    ///
    /// # Safety
    ///
    /// A completion has named `index` since the buffer was last given back, and this is called once for it.
    pub(super) unsafe fn take(self: &Rc<Self>, index: u16, len_bytes: u32) -> Received {
        debug_assert!(index < self.count && len_bytes <= self.buffer_bytes);
        self.lent.set(self.lent.get() + 1);
        Received { buffers: Rc::clone(self), index, len_bytes }
    }

    fn give_back(&self, index: u16) {
        let tail = self.tail.get();
        let at = usize::from(tail & (self.count - 1));
        // SAFETY: `at` is below `count`, the number of entries. The entry is not the kernel's: at most `count` indexes exist
        // and this one is not in the ring, so the entry that it takes was consumed. The reserved field of the first entry,
        // which is the tail, is not written by these setters.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(at);
            entry.set_addr(self.memory.as_ptr().add(usize::from(index) * self.buffer_bytes as usize) as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(index);
        }
        self.tail.set(tail.wrapping_add(1));
        self.lent.set(self.lent.get() - 1);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let (ring, memory) = self.layouts;
        // SAFETY: both were allocated with these layouts, and the wire lets go of its buffers only when no receive is armed.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), ring);
            dealloc(self.memory.as_ptr(), memory);
        }
    }
}

#[cfg(test)]
impl Received {
    /// Bytes in a buffer of their own, for tests of what receives without a kernel. `None` when there are none.
    pub(crate) fn filled(bytes: &[u8]) -> Option<Self> {
        let len_bytes = bytes.len() as u32;
        let buffers = Buffers::new(1, len_bytes)?;
        // SAFETY: the memory was made for as many bytes, and nobody else knows it yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffers.memory.as_ptr(), bytes.len()) };
        buffers.lent.set(1);
        Some(Self { buffers, index: 0, len_bytes })
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = usize::from(self.index) * self.buffers.buffer_bytes as usize;
        // SAFETY: the buffer lies within the memory and belongs to `self` until it is dropped (`Buffers::take`); the memory
        // was zeroed when it was allocated, so every byte of it is initialised.
        unsafe { std::slice::from_raw_parts(self.buffers.memory.as_ptr().add(start), self.len_bytes as usize) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.buffers.give_back(self.index);
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received").field("index", &self.index).field("len_bytes", &self.len_bytes).finish()
    }
}

/// Has the kernel back every page now. All buffers go round under load, so each page would be touched anyway: better here
/// than in the middle of a turn.
fn touch(memory: NonNull<u8>, layout: Layout) -> NonNull<u8> {
    for offset in (0..layout.size()).step_by(PAGE_BYTES) {
        // SAFETY: the offset lies inside the allocation of `layout`, which nobody else knows yet.
        unsafe { memory.add(offset).write_volatile(0) };
    }
    memory
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: `Buffers::new`, the only caller, makes layouts of a size above zero.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}
