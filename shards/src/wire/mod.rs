//! The wire: one io_uring of a shard, its receive buffers, its table of direct descriptors, and safe operations on them.
//!
//! Depends on the kernel (Linux 6.1 or newer) and on [`ringtail_mqtt::outbox::Segment`] for what it sends; knows no protocol.
//! Must never block but in [`Wire::turn`], never lend the kernel memory that a caller could free or write (a send owns its
//! bytes, a receive gets a buffer of the wire's), and never reuse a descriptor while an operation on it is under way.
//! This module and those under it are one of the three places where the program has `unsafe` code.
//!
//! ```text
//!   receive, send, close ...  ->  entries  --turn-->  kernel  -->  completions  ->  events
//! ```
//!
//! A wire belongs to the thread that made it. Others reach it through a [`WireHandle`] (from another wire) or a [`Bell`].

mod accept;
mod buffers;
mod close;
mod connect;
mod event;
mod kernel;
mod neighbour;
mod operation;
mod receive;
mod renew;
mod ring;
mod send;
mod slots;
mod sockets;
mod sync;

pub use buffers::Received;
pub use event::{Event, Wait};
pub use kernel::{Missing, check_kernel, raise_descriptor_limit};
pub use neighbour::{Bell, WireHandle};
pub use send::SendBuffer;
pub use slots::Slot;
pub use sockets::listen_reuseport;

use accept::Accepts;
use buffers::Buffers;
use close::Closes;
use connect::Connects;
use io_uring::cqueue;
use neighbour::Neighbours;
use operation::Kind;
use renew::Renewal;
use ring::Ring;
use send::Sends;
use slots::Slots;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use sync::Syncs;

/// Most completions that one turn takes: it bounds what a shard handles before it looks at its neighbours and timers again.
pub const COMPLETIONS_PER_TURN: usize = 1024;

/// The kernel's own bound of a table of direct descriptors.
pub const SLOTS_MAX: u32 = 1 << 20;

/// The size of a wire.
#[derive(Clone, Debug)]
pub struct WireConfig {
    /// Direct descriptors: the connections that the wire can hold. At most RLIMIT_NOFILE ([`raise_descriptor_limit`]) and
    /// [`SLOTS_MAX`].
    pub slots: u32,
    /// Entries of the submission queue; more are submitted in several calls.
    pub entries: u32,
    /// Entries of the completion queue, several times `entries`; the kernel keeps what does not fit, at a cost.
    pub completions: u32,
    /// Receive buffers; a power of two up to 32,768.
    pub receive_buffers: u16,
    /// Bytes of a receive buffer.
    pub receive_buffer_bytes: u32,
    /// How long a closed connection's peer may take the last bytes and close its side, milliseconds.
    pub linger_ms: u32,
    /// The kernel keeps what was closed until all older operations are over, as Linux does before 6.13.
    pub kernel_frees_late: bool,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            slots: 1024,
            entries: 4096,
            completions: 32_768,
            receive_buffers: 512,
            receive_buffer_bytes: 16 << 10,
            linger_ms: 2_000,
            kernel_frees_late: kernel::frees_late(),
        }
    }
}

/// Why a wire could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A size in the configuration is out of its range.
    #[error("{0}")]
    Config(&'static str),
    /// The kernel gave no ring.
    #[error("io_uring_setup failed: {0}")]
    Setup(#[source] io::Error),
    /// The table of direct descriptors could not be made.
    #[error("a table of {slots} direct descriptors could not be registered (RLIMIT_NOFILE bounds it): {error}")]
    Slots {
        /// The slots asked for.
        slots: u32,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// The receive buffers could not be registered.
    #[error("the receive buffers could not be registered: {0}")]
    Buffers(#[source] io::Error),
    /// The eventfd of the bell could not be made.
    #[error("the bell could not be made: {0}")]
    Bell(#[source] io::Error),
}

/// The ring of a shard and everything that its kernel side refers to.
pub struct Wire {
    ring: Ring,
    buffers: Rc<Buffers>,
    slots: Slots,
    sends: Sends,
    accepts: Accepts,
    connects: Connects,
    syncs: Syncs,
    closes: Closes,
    renewal: Renewal,
    neighbours: Neighbours,
    handle: WireHandle,
    /// Receives that wait for a free buffer, oldest first; an entry whose slot says otherwise is void.
    starved: VecDeque<(Slot, u32)>,
    /// Receives that the kernel has.
    armed_receives: usize,
    /// Events of calls that needed no kernel; they come out of the next turn.
    pending: Vec<Event>,
    taken: Vec<cqueue::Entry>,
    rung: bool,
}

impl Wire {
    /// A wire of the calling thread.
    ///
    /// # Errors
    ///
    /// When a size is out of its range or the kernel refuses; [`check_kernel`] says what an operator can do.
    pub fn new(config: &WireConfig) -> Result<Self, WireError> {
        if config.slots == 0 || config.slots > SLOTS_MAX {
            return Err(WireError::Config("the slots of a wire are between 1 and 1,048,576"));
        }
        let buffers = Buffers::new(config.receive_buffers, config.receive_buffer_bytes)
            .ok_or(WireError::Config("receive buffers have a size, and their number is a power of two up to 32,768"))?;
        let ring = Ring::new(config.entries, config.completions).map_err(WireError::Setup)?;
        ring.submitter()
            .register_files_sparse(config.slots)
            .map_err(|error| WireError::Slots { slots: config.slots, error })?;
        // SAFETY: the ring's memory lives in `buffers`, which the wire keeps for as long as the kernel may use it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.ring_address(), buffers.count(), buffers::GROUP, 0)
        }
        .map_err(WireError::Buffers)?;
        let handle = WireHandle::new(ring.raw_fd()).map_err(WireError::Bell)?;
        let mut wire = Self {
            ring,
            buffers,
            slots: Slots::new(config.slots),
            sends: Sends::default(),
            accepts: Accepts::default(),
            connects: Connects::default(),
            syncs: Syncs::default(),
            closes: Closes::new(Duration::from_millis(u64::from(config.linger_ms))),
            renewal: Renewal::new(config.kernel_frees_late),
            neighbours: Neighbours::default(),
            handle,
            starved: VecDeque::new(),
            armed_receives: 0,
            pending: Vec::new(),
            taken: Vec::with_capacity(COMPLETIONS_PER_TURN),
            rung: false,
        };
        wire.watch_bell();
        Ok(wire)
    }

    /// Receive buffers that the kernel may fill.
    #[must_use]
    pub fn free_buffers(&self) -> usize {
        self.buffers.free()
    }

    /// Slots that hold no connection.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.slots.free()
    }

    /// Gives a connection that was accepted or that arrived the token of its events, from before its first operation on.
    pub fn adopt(&mut self, slot: Slot, token: u32) {
        if let Some(state) = self.slots.get_mut(slot) {
            state.token = token;
        }
    }

    /// Submits everything that was asked for since the last turn, waits as `wait` says, and appends what happened to
    /// `events`, at most about [`COMPLETIONS_PER_TURN`]. Does not wait when something is there already, and may return
    /// early with no event. Costs no system call when there is nothing to submit, to take or to wait for.
    ///
    /// # Errors
    ///
    /// Only when the ring itself is broken.
    pub fn turn(&mut self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        self.buffers.publish();
        self.feed_starved();
        self.renew_receives();
        self.keep_time();
        if !self.pending.is_empty() || self.ring.has_completions() {
            self.ring.poll()?;
        } else {
            match wait {
                Wait::No => self.ring.poll()?,
                Wait::Park { until } => self.ring.wait(1, self.park_limit(until))?,
                Wait::Pace { completions, up_to_us } => {
                    let completions = completions + self.ring.queued();
                    self.ring.wait(completions, Some(Duration::from_micros(u64::from(up_to_us))))?;
                }
            }
        }
        events.append(&mut self.pending);
        self.reap(events);
        Ok(())
    }

    fn reap(&mut self, events: &mut Vec<Event>) {
        let mut taken = std::mem::take(&mut self.taken);
        self.ring.take_completions(&mut taken, COMPLETIONS_PER_TURN);
        for completion in taken.drain(..) {
            self.complete(&completion, events);
        }
        self.taken = taken;
        if std::mem::take(&mut self.rung) {
            events.push(Event::Rung);
        }
    }

    fn complete(&mut self, completion: &cqueue::Entry, events: &mut Vec<Event>) {
        let (word, result) = (completion.user_data(), completion.result());
        match operation::kind(word) {
            Kind::Receive => self.on_receive(word, result, completion.flags(), events),
            Kind::Send => self.on_send(word, result, events),
            Kind::Accept => self.on_accept(operation::key(word), result, events),
            Kind::Connect => self.on_connect(operation::key(word), result, events),
            Kind::Install => self.on_install(operation::key(word), result, events),
            Kind::Shutdown => self.on_shutdown(operation::slot(word), result),
            Kind::Close => self.on_close(operation::slot(word), events),
            Kind::HandOver => self.on_hand_over(operation::slot(word), result, events),
            Kind::Sync => self.on_sync(operation::key(word), result, events),
            Kind::Write => self.on_write(operation::key(word), result, events),
            Kind::Bell => self.on_bell(completion.flags()),
            Kind::Rung => self.rung = true,
            Kind::Arrived => {
                let slot = Slot(result as u32);
                self.slots.open(slot);
                self.yield_slot();
                events.push(Event::Arrived { slot, token: operation::handover_token(word) });
            }
            Kind::Ignored => {}
        }
    }

    /// What is due by the clock, which is read only when something waits for it.
    fn keep_time(&mut self) {
        if self.next_deadline().is_some() {
            let now = Instant::now();
            self.close_overdue(now);
            self.retry_accepts(now);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.closes.next_deadline().into_iter().chain(self.accepts.next_retry()).min()
    }

    fn park_limit(&self, until: Option<Duration>) -> Option<Duration> {
        let deadline = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        until.into_iter().chain(deadline).min()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The error that a completion's negative result stands for.
fn errno(result: i32) -> io::Error {
    io::Error::from_raw_os_error(-result)
}
