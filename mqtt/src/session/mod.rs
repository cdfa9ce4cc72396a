//! The session state machine: packets and the time go in, bytes are appended to an [`Outbox`](crate::outbox::Outbox) and one decision comes out.
//!
//! One [`Session`] a Client Identifier; it survives its connections. The calls, in their order:
//!
//! ```text
//!   new ─┬─> connect ──> receive* / accept* / committed* / deliver* / pump* ──> [disconnect] ──> detach ─┬─> end
//!        ^      ^                                                                                        │
//!  restore_*    └──────────────────────── deliver* (queues), on_timeout ─────────────────────────────────┘
//! ```
//!
//! From the wire: [`Session::connect`], with an [`Admission`], and [`Session::receive`]. From the broker: [`Session::accept`],
//! [`Session::accept_later`] with [`Session::committed`], [`Session::deliver`], [`Session::pump`],
//! [`Session::disconnect`], [`Session::detach`], [`Session::end`]. To the timers: [`Session::poll_timeout`] and
//! [`Session::on_timeout`].
//!
//! What a session costs: the struct, its Client Identifier, and a box for each thing that is in use: window, queue,
//! unacknowledged PUBLISHes, topic aliases, will. Each is freed as soon as it is empty. Subscriptions live with the
//! router, not here.
//!
//! Depends on the codec, the messages and the tables of [`crate::qos`]. Architecture invariant: no I/O, no clock, no
//! await; no packet can make it panic; nothing in it grows without a bound of [`Limits`].

mod alias;
mod connect;
mod delivery;
mod ending;
mod inbound;
mod kept;
mod outbound;
mod outgoing;
mod progress;
mod publish;
mod pump;
mod queue;
mod receive;
mod settings;

pub use connect::{Accepted, Admission};
pub use delivery::{DeliverOptions, Delivered, DropReason};
pub use ending::{DetachCause, Detached, Timeout};
pub use inbound::Ticket;
pub use outgoing::{Encoder, Outgoing};
pub use progress::{Progress, RestoredMessage};
pub use publish::Inbound;
pub use pump::Pumped;
pub use receive::Action;

use crate::limits::Limits;
use crate::packet::{PacketId, ProtocolVersion, QoS};
use crate::time::Millis;
use alias::{InboundAliases, OutboundAliases};
use ending::PendingWill;
use inbound::Ledger;
use outbound::Window;
use queue::Queue;
use settings::Settings;

/// The state that the server keeps for one client.
#[derive(Debug)]
pub struct Session {
    client_id: Box<str>,
    settings: Settings,
    connected: bool,
    /// Connected: when the last packet came. Detached: when the connection went.
    since: Millis,
    /// The sequence number of the next message that is kept for the client.
    next_sequence: u64,
    window: Window,
    queue: Option<Box<Queue>>,
    ledger: Option<Box<Ledger>>,
    extras: Option<Box<Extras>>,
    will: Option<Box<PendingWill>>,
    #[expect(clippy::box_collection, reason = "a session without a log pays eight bytes instead of 24")]
    progress: Option<Box<Vec<Progress>>>,
}

const _: () = assert!(size_of::<Session>() <= 136, "an idle session is to cost well under 250 bytes");

/// What few connections use; it goes with the connection.
#[derive(Debug, Default)]
struct Extras {
    inbound_aliases: InboundAliases,
    outbound_aliases: Option<OutboundAliases>,
}

impl Session {
    /// A session without a connection.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            settings: Settings::default(),
            connected: false,
            since: Millis::default(),
            next_sequence: 1,
            window: Window::new(PacketId::MIN),
            queue: None,
            ledger: None,
            extras: None,
            will: None,
            progress: None,
        }
    }

    /// The Client Identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// True between [`Session::connect`] and [`Session::detach`].
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The protocol version of the last connection.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.settings.version
    }

    /// The Session Expiry Interval as it holds now, seconds; `u32::MAX` never expires.
    #[must_use]
    pub fn session_expiry_s(&self) -> u32 {
        self.settings.session_expiry_s
    }

    /// True when the session ends with its connection: nothing of it has to be stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.settings.session_expiry_s == 0
    }

    /// The largest packet that may be sent to the client [MQTT-3.1.2-24], for those that the session does not write
    /// itself (SUBACK, UNSUBACK).
    #[must_use]
    pub fn maximum_packet_size_bytes(&self) -> u32 {
        self.settings.maximum_packet_size_bytes
    }

    /// True when acknowledgements of the server may carry Reason Strings and User Properties [MQTT-3.1.2-29].
    #[must_use]
    pub fn wants_problem_information(&self) -> bool {
        self.settings.problem_information
    }

    /// True when something waits that [`Session::pump`] can move once there is room.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.queue.is_some() || self.window.has_unsent()
    }

    /// Messages that wait in the queue.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// PUBLISHes of this connection that the client has not acknowledged completely.
    #[must_use]
    pub fn inflight_len(&self) -> usize {
        usize::from(self.window.active())
    }

    /// True when a message of `qos` would be sent at once: connected, with room in the window and in the outbox, of
    /// which `outbox_bytes` are taken. A shared subscription chooses a member by this.
    #[must_use]
    pub fn can_take(&self, qos: QoS, limits: &Limits, outbox_bytes: usize) -> bool {
        self.connected && outbox_bytes < limits.outbox_bytes_max && (qos == QoS::AtMostOnce || self.window_has_room())
    }

    /// True when a message of QoS 1 or 2 need not wait behind another or for the client.
    fn window_has_room(&self) -> bool {
        self.queue.is_none() && self.window.has_room(self.settings.window_max)
    }

    /// Bytes of memory that the session holds, shared messages counted whole.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.client_id.len()
            + self.window.memory_bytes()
            + self.queue.as_ref().map_or(0, |queue| queue.memory_bytes())
            + self.ledger.as_ref().map_or(0, |ledger| ledger.memory_bytes())
            + self.extras.as_ref().map_or(0, |extras| extras.memory_bytes())
            + self.will.as_ref().map_or(0, |will| will.memory_bytes())
    }

    /// Checks in debug builds what always holds between two calls; for tests and fuzzing.
    pub fn invariants(&self, limits: &Limits) {
        self.window.invariants();
        if let Some(queue) = &self.queue {
            queue.invariants();
            debug_assert!(queue.len() <= limits.queue_messages_max as usize, "the queue is bounded");
        }
        if let Some(ledger) = &self.ledger {
            ledger.invariants();
        }
        if let Some(extras) = &self.extras {
            debug_assert!(self.connected, "extras go with the connection");
            debug_assert!(extras.inbound_aliases.len() <= usize::from(limits.topic_alias_maximum), "aliases in");
            let outbound = extras.outbound_aliases.as_ref().map_or(0, OutboundAliases::len);
            debug_assert!(outbound <= usize::from(limits.topic_alias_outbound_max), "aliases out");
        }
        debug_assert!(self.window.active() <= self.settings.window_max, "the client's Receive Maximum [MQTT-3.3.4-9]");
    }

    /// The sequence number whose low half an entry carries: fewer than 2^32 entries are kept at a time.
    fn sequence(&self, low: u32) -> u64 {
        let back = (self.next_sequence as u32).wrapping_sub(low);
        self.next_sequence.saturating_sub(u64::from(back))
    }
}

impl Extras {
    fn memory_bytes(&self) -> usize {
        let outbound = self.outbound_aliases.as_ref().map_or(0, OutboundAliases::memory_bytes);
        size_of::<Self>() + self.inbound_aliases.memory_bytes() + outbound
    }
}
