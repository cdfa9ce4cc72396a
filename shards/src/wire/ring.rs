//! The ring itself: entries in, completions out, and the one system call between them.

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};
use rustix::thread::set_current_timer_slack;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

pub(super) struct Ring {
    uring: IoUring,
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
        // Waits of microseconds end on time, not up to 50 us late. A kernel that keeps its slack only makes them longer.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        // A parked thread waits for clients, not for a disk: it must not count as I/O wait where the kernel can tell.
        let idle = if uring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        Ok(Self { uring, park_flags: EnterFlags::GETEVENTS | idle, waiting: VecDeque::new() })
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

    /// Entries that the next submission takes.
    pub(super) fn queued(&mut self) -> u32 {
        self.uring.submission().len() as u32
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
    ) -> io::Result<usize> {
        // SAFETY: the kernel reads `SubmitArgs` (as EXT_ARG says that it is) during the call only; the memory that entries
        // name is the promise of those who pushed them.
        unsafe { self.uring.submitter().enter(submit, complete, flags.bits(), arguments) }
    }
}

/// The ends of a wait that are no failure: the time is over, a signal came, or the kernel asks for a reap first.
fn expected(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
        _ => Err(error),
    }
}
