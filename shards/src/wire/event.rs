//! What comes out of a turn, and how a turn waits.

use super::{Received, SendBuffer, Slot};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How [`Wire::turn`](super::Wire::turn) waits for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Takes what is there.
    No,
    /// Sleeps until something happens, or for the time given.
    Park {
        /// The longest sleep; `None` sleeps until something happens.
        until: Option<Duration>,
    },
    /// Collects up to `completions` beside those of what is submitted with it, for at most `up_to_us` microseconds, then takes
    /// what is there (perhaps nothing).
    Pace {
        /// Completions that end the wait early.
        completions: u32,
        /// The longest wait, microseconds.
        up_to_us: u32,
    },
}

/// What happened on the wire.
///
/// `token` is what the owner gave for the connection when it called `adopt`, `receive`, `receive_once` or `send` last. Every
/// operation of a connection is over when its [`Event::Closed`] arrives, which is always the last event of a connection:
/// from then on the token and the slot may be used again, and not before.
#[derive(Debug)]
pub enum Event {
    /// A connection was accepted.
    Accepted {
        /// The tag given to `listen`.
        listener: u32,
        /// Its descriptor.
        slot: Slot,
        /// The address of the peer.
        peer: SocketAddr,
    },
    /// A connection could not be accepted. The wire goes on listening by itself: at once, after a pause when the process or
    /// the system is out of descriptors or memory, and when a slot becomes free when the table of descriptors is full
    /// (reported as `ENFILE` once, while further clients wait in the listener's backlog).
    AcceptFailed {
        /// The tag given to `listen`.
        listener: u32,
        /// Why.
        error: io::Error,
        /// The table, the process or the system has no room for a connection; otherwise this one connection was gone before
        /// it was accepted.
        full: bool,
    },
    /// A connection that `connect` began is there, or is not.
    Connected {
        /// The token given to `connect`.
        token: u32,
        /// Its descriptor, or why there is none.
        result: io::Result<Slot>,
    },
    /// Bytes arrived. After a `receive_once` nothing more comes.
    Received {
        /// The connection's token.
        token: u32,
        /// The bytes.
        buffer: Received,
    },
    /// The receive is over: the peer has closed its direction, or the connection broke.
    Ended {
        /// The connection's token.
        token: u32,
        /// `None` when the peer closed in order.
        error: Option<io::Error>,
    },
    /// The receive was stopped by `stop_receiving`; every byte that had been taken from the socket came before.
    Stopped {
        /// The connection's token.
        token: u32,
    },
    /// A send is over, and the connection may send again.
    Sent {
        /// The connection's token.
        token: u32,
        /// What was sent, given back so that its memory can be used again.
        buffer: SendBuffer,
        /// Whether every byte was handed to the kernel.
        result: io::Result<()>,
    },
    /// A neighbour handed a connection over.
    Arrived {
        /// Its descriptor in this wire.
        slot: Slot,
        /// What the neighbour gave to `send_descriptor`.
        token: u64,
    },
    /// A connection could not be handed over and is still here.
    HandoverFailed {
        /// Its descriptor in this wire.
        slot: Slot,
        /// The connection's token.
        token: u32,
        /// Why; `ENFILE` when the neighbour's table of descriptors is full.
        error: io::Error,
    },
    /// Somebody rang: at least once since the last turn.
    Rung,
    /// Bytes were written to a file, perhaps not all.
    Wrote {
        /// What was given to `write`.
        token: u64,
        /// How many.
        result: io::Result<usize>,
    },
    /// A file's bytes are on the disk, or are not.
    Synced {
        /// What was given to `fsync`.
        token: u64,
        /// Whether the bytes are durable.
        result: io::Result<()>,
    },
    /// The last event of a connection: the descriptor is free, and so is the token.
    Closed {
        /// The descriptor that became free.
        slot: Slot,
        /// The connection's token.
        token: u32,
    },
}

// Every completion becomes an event: it fits a cache line.
const _: () = assert!(size_of::<Event>() <= 64);
