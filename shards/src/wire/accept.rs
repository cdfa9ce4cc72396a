//! Accepting: a few operations a listener, each with room for the peer's address, into slots that the kernel picks.
//!
//! An operation that accepts when the table of descriptors is full loses its client, so no more are armed than slots are
//! free; the others wait, and so do the clients, in the listener's backlog.

use super::operation::{self, Kind};
use super::{Event, Slot, Wire, errno};
use io_uring::opcode;
use io_uring::types::{DestinationSlot, Fd};
use socket2::{SockAddr, SockAddrStorage};
use std::cell::UnsafeCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Accepts that wait at each listener: the connections that one turn can take from it.
const ACCEPTS_PER_LISTENER: usize = 32;

/// Pause before a listener goes on when the process or the system is out of descriptors or memory.
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Accepts {
    listeners: Vec<Listener>,
    /// Fixed at `listen`: the operations of listener `i` stand from `i * ACCEPTS_PER_LISTENER` on.
    operations: Vec<Accept>,
    armed: usize,
    /// Those of them that are being cancelled.
    cancelled: usize,
}

struct Listener {
    socket: TcpListener,
    tag: u32,
    armed: usize,
    /// It accepts no more.
    stopped: bool,
    retry_at: Option<Instant>,
    /// The table of descriptors is full, and this was reported.
    full: bool,
}

struct Accept {
    listener: usize,
    armed: bool,
    cancelled: bool,
    peer: Box<UnsafeCell<Peer>>,
}

/// Where the kernel puts the peer's address.
struct Peer {
    address: SockAddrStorage,
    address_bytes: libc::socklen_t,
}

impl Accepts {
    pub(super) fn armed(&self) -> usize {
        self.armed
    }

    /// When the first listener that pauses goes on.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.listeners.iter().filter_map(|l| l.retry_at).min()
    }

    /// Arms nothing from now on.
    pub(super) fn stop(&mut self) {
        for listener in &mut self.listeners {
            (listener.stopped, listener.retry_at) = (true, None);
        }
    }

    /// Closes the listeners that have stopped and lets their operations go, once no operation is armed.
    fn forget_stopped(&mut self) {
        if self.armed == 0 && self.listeners.iter().all(|l| l.stopped) {
            self.listeners.clear();
            self.operations.clear();
        }
    }

    /// Forgets the operations without freeing what the kernel may still write.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.operations));
    }
}

impl Wire {
    /// Accepts the listener's connections from now on, each into a free slot, with an [`Event::Accepted`].
    pub fn listen(&mut self, listener: TcpListener, tag: u32) {
        let index = self.accepts.listeners.len();
        let listener = Listener { socket: listener, tag, armed: 0, stopped: false, retry_at: None, full: false };
        self.accepts.listeners.push(listener);
        for _ in 0..ACCEPTS_PER_LISTENER {
            let peer = Box::new(UnsafeCell::new(Peer { address: SockAddrStorage::zeroed(), address_bytes: 0 }));
            self.accepts.operations.push(Accept { listener: index, armed: false, cancelled: false, peer });
        }
        let mut events = Vec::new();
        self.fill_accepts(&mut events);
        self.pending.append(&mut events);
    }

    /// Accepts no more. What was accepted already still comes out of the next turns; then the listening sockets close.
    pub fn stop_listening(&mut self) {
        self.accepts.stop();
        (0..self.accepts.operations.len()).for_each(|key| self.cancel_accept(key));
        self.accepts.forget_stopped();
    }

    fn cancel_accept(&mut self, key: usize) {
        let operation = &mut self.accepts.operations[key];
        if operation.armed && !std::mem::replace(&mut operation.cancelled, true) {
            self.accepts.cancelled += 1;
            self.cancel(operation::pack_key(Kind::Accept, key));
        }
    }

    /// A slot was taken by something else than an accept: an accept that would find the table full must not wait for a
    /// client, whom it would lose.
    pub(super) fn yield_slot(&mut self) {
        if self.accepts.armed - self.accepts.cancelled > self.slots.free()
            && let Some(key) = self.accepts.operations.iter().rposition(|o| o.armed && !o.cancelled)
        {
            self.cancel_accept(key);
        }
    }

    /// Arms as many of the operations as there are free slots for.
    pub(super) fn fill_accepts(&mut self, events: &mut Vec<Event>) {
        if self.accepts.armed == self.accepts.operations.len() {
            return;
        }
        for key in 0..self.accepts.operations.len() {
            self.arm_accept(key, events);
        }
    }

    fn arm_accept(&mut self, key: usize, events: &mut Vec<Event>) {
        let accepts = &mut self.accepts;
        let operation = &mut accepts.operations[key];
        let listener = &mut accepts.listeners[operation.listener];
        if operation.armed || listener.stopped || listener.retry_at.is_some() {
            return;
        }
        if self.slots.free() <= accepts.armed {
            if listener.armed == 0 && !std::mem::replace(&mut listener.full, true) {
                let error = io::Error::from_raw_os_error(libc::ENFILE);
                events.push(Event::AcceptFailed { listener: listener.tag, error, full: true });
            }
            return;
        }
        operation.armed = true;
        listener.armed += 1;
        listener.full = false;
        accepts.armed += 1;
        let peer = operation.peer.get();
        // SAFETY: the operation is not armed, so nobody else reads or writes `peer`.
        let (address, address_bytes) = unsafe {
            (*peer).address_bytes = (*peer).address.size_of();
            (&raw mut (*peer).address, &raw mut (*peer).address_bytes)
        };
        let entry = opcode::Accept::new(Fd(listener.socket.as_raw_fd()), address.cast(), address_bytes)
            .file_index(Some(DestinationSlot::auto_target()))
            .build()
            .user_data(operation::pack_key(Kind::Accept, key));
        // SAFETY: the entry names `peer`, which its box keeps in place and which is not touched while the operation is armed.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_accept(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let accepts = &mut self.accepts;
        let operation = &mut accepts.operations[key];
        let listener = &mut accepts.listeners[operation.listener];
        operation.armed = false;
        listener.armed -= 1;
        accepts.armed -= 1;
        accepts.cancelled -= usize::from(std::mem::take(&mut operation.cancelled));
        if result >= 0 {
            let slot = Slot(result as u32);
            self.slots.open(slot);
            events.push(Event::Accepted { listener: listener.tag, slot, peer: operation.peer() });
        } else if result != -libc::ECANCELED && listener.retry_at.is_none() {
            let full = !is_of_the_connection(-result);
            events.push(Event::AcceptFailed { listener: listener.tag, error: errno(result), full });
            if full {
                listener.retry_at = Some(Instant::now() + RETRY_AFTER);
            }
        }
        self.arm_accept(key, events);
        self.accepts.forget_stopped();
    }

    /// Lets the listeners go on whose pause is over.
    pub(super) fn retry_accepts(&mut self, now: Instant) {
        let mut due = false;
        for listener in self.accepts.listeners.iter_mut().filter(|l| l.retry_at.is_some_and(|at| at <= now)) {
            listener.retry_at = None;
            due = true;
        }
        if due {
            let mut events = Vec::new();
            self.fill_accepts(&mut events);
            self.pending.append(&mut events);
        }
    }
}

impl Accept {
    /// The address that the kernel has written.
    fn peer(&self) -> SocketAddr {
        let peer = self.peer.get();
        // SAFETY: called when the operation is over, so the kernel has written the address and its length and is done. The
        // storage is plain bytes, of which a copy is taken.
        let peer = unsafe { SockAddr::new((&raw const (*peer).address).read(), (*peer).address_bytes) };
        // A TCP listener has peers of IPv4 or IPv6 only.
        peer.as_socket().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

/// True for the errors of the connection that was to be accepted, which say nothing of the next one (accept(2)).
fn is_of_the_connection(error: i32) -> bool {
    matches!(
        error,
        libc::ECONNABORTED
            | libc::EPROTO
            | libc::EPERM
            | libc::ETIMEDOUT
            | libc::EHOSTUNREACH
            | libc::EHOSTDOWN
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::ENONET
            | libc::ENOPROTOOPT
            | libc::EINTR
            | libc::EAGAIN
    )
}
