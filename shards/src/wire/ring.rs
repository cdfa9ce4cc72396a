//! The ring itself: entries in, completions out, and the one system call between them.

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// `IORING_REGISTER_RING_FDS` and `IORING_UNREGISTER_RING_FDS` of the kernel's interface.
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// `struct io_uring_rsrc_update` of the kernel's interface.
#[repr(C)]
struct RingFdUpdate {
    offset: u32,
    reserved: u32,
    descriptor: u64,
}

pub(super) struct Ring {
    uring: IoUring,
    /// Index of the ring among those that this thread registered, which saves the look-up of the descriptor at each call.
    registered: Option<u32>,
    park_flags: EnterFlags,
    /// Entries that found the queue full and the kernel without memory to take some; older than any that comes.
    waiting: VecDeque<squeue::Entry>,
}

impl Ring {
    /// A ring of the calling thread, which alone may use it.
    pub(super) fn new(entries: u32, completions: u32) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions)
            .build(entries)?;
        // A parked thread waits for clients, not for a disk: it must not count as I/O wait where the kernel can tell.
        let idle = if uring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let registered = register_ring_fd(uring.as_raw_fd()).ok();
        Ok(Self { uring, registered, park_flags: EnterFlags::GETEVENTS | idle, waiting: VecDeque::new() })
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.uring.submitter()
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// Queues an entry for the next submission; submits what is queued when the queue is full.
    ///
    /// # Safety
    ///
    /// Memory that the entry names stays valid and is not touched until the operation's last completion.
    #[inline]
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as promised by the caller.
        if !self.waiting.is_empty() || unsafe { self.uring.submission().push(entry) }.is_err() {
            self.waiting.push_back(entry.clone());
            self.queue_waiting();
        }
    }

    /// Moves entries that wait into the queue, submitting when it is full, until none waits or the kernel takes none.
    fn queue_waiting(&mut self) {
        while let Some(entry) = self.waiting.front() {
            // SAFETY: `push` was called with the entry, and its promise still holds: the entry has not completed.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                self.waiting.pop_front();
                continue;
            }
            let queued = self.uring.submission().len() as u32;
            match self.enter(queued, 0, EnterFlags::empty(), None) {
                Ok(taken) if taken > 0 => {}
                // Out of memory, or completions to be reaped first: they wait for the next turn.
                _ => return,
            }
        }
    }

    /// True when a completion is there to be taken.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.uring.completion().is_empty()
    }

    /// Submits what is queued and takes over finished work without waiting. No system call when there is nothing to do.
    pub(super) fn poll(&mut self) -> io::Result<()> {
        self.queue_waiting();
        let queue = self.uring.submission();
        let (queued, work) = (queue.len() as u32, queue.taskrun() || queue.cq_overflow());
        drop(queue);
        if queued == 0 && !work {
            return Ok(());
        }
        self.enter(queued, 0, EnterFlags::GETEVENTS, None).map(drop).or_else(expected)
    }

    /// Submits what is queued and waits for `completions` of them, for at most `limit`.
    pub(super) fn wait(&mut self, completions: u32, limit: Option<Duration>) -> io::Result<()> {
        self.queue_waiting();
        let queued = self.uring.submission().len() as u32;
        let completions = completions.clamp(1, self.uring.params().cq_entries());
        let result = match limit {
            None => self.enter(queued, completions, self.park_flags, None),
            Some(limit) => {
                let limit = Timespec::from(limit);
                let arguments = SubmitArgs::new().timespec(&limit);
                self.enter(queued, completions, self.park_flags | EnterFlags::EXT_ARG, Some(&arguments))
            }
        };
        result.map(drop).or_else(expected)
    }

    /// Moves at most `limit` completions to `taken`.
    pub(super) fn take_completions(&mut self, taken: &mut Vec<cqueue::Entry>, limit: usize) {
        taken.extend(self.uring.completion().take(limit));
    }

    fn enter(
        &self,
        submit: u32,
        complete: u32,
        flags: EnterFlags,
        arguments: Option<&SubmitArgs<'_, '_>>,
    ) -> io::Result<u32> {
        let (descriptor, flags) = match self.registered {
            Some(index) => (index as RawFd, flags | EnterFlags::REGISTERED_RING),
            None => (self.uring.as_raw_fd(), flags),
        };
        let (pointer, bytes) = match arguments {
            Some(arguments) => (std::ptr::from_ref(arguments).cast::<libc::c_void>(), size_of::<SubmitArgs<'_, '_>>()),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: `SubmitArgs` is the kernel's `io_uring_getevents_arg` (it is transparent) and lives through the call; the
        // entries' memory is the promise of those who pushed them.
        let result = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, descriptor, submit, complete, flags.bits(), pointer, bytes)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as u32) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(index) = self.registered {
            let mut update = RingFdUpdate { offset: index, reserved: 0, descriptor: 0 };
            // A failure leaves a used entry in the thread's table of rings, which ends with the thread.
            let _ = register(self.uring.as_raw_fd(), UNREGISTER_RING_FDS, &mut update);
        }
    }
}

/// The ends of a wait that are no failure: the time is over, a signal came, or the kernel asks for a reap first.
fn expected(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
        _ => Err(error),
    }
}

fn register_ring_fd(descriptor: RawFd) -> io::Result<u32> {
    let mut update = RingFdUpdate { offset: u32::MAX, reserved: 0, descriptor: descriptor as u64 };
    register(descriptor, REGISTER_RING_FDS, &mut update)?;
    Ok(update.offset)
}

fn register(descriptor: RawFd, operation: libc::c_uint, update: &mut RingFdUpdate) -> io::Result<()> {
    // SAFETY: both operations read and write one `io_uring_rsrc_update`, which lives through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, descriptor, operation, std::ptr::from_mut(update), 1) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
