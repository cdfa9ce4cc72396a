//! A connection as its shard sees it, and the table of them.
//!
//! An idle connection holds this struct and nothing else: no receive buffer (those belong to the wire's ring) and no send
//! buffer (the outbox borrows one from the pool when there is something to say).

use crate::arena::Arena;
use crate::shard::fence::HeldBack;
use crate::shard::mail::Publisher;
use crate::shard::pool::Pool;
use crate::wire::Slot;
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::ProtocolVersion;
use ringtail_mqtt::time::Millis;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A client's address, as far as it is shown: smaller than a `SocketAddr`, so that a connection fits two cache lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    ip: IpAddr,
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: address.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No whole CONNECT yet.
    Connecting,
    /// Bound to its session.
    Live,
    /// Refused or ended: what the outbox holds is sent, then the descriptor is closed.
    Draining,
    /// The descriptor is being closed, or moved to another shard.
    Closing,
}

/// One connection.
pub(crate) struct Connection {
    pub slot: Slot,
    pub phase: Phase,
    pub version: ProtocolVersion,
    /// A receive is armed; its last event is still to come.
    pub receiving: bool,
    /// A send is in flight; its event is still to come.
    pub sending: bool,
    /// The client has said its last, by DISCONNECT or by closing: nothing need wait for it.
    pub over: bool,
    /// The client said that it is a bridge (3.x).
    pub bridge: bool,
    /// In the list of connections to flush.
    pub dirty: bool,
    /// Not read, because a subscriber or a ring cannot take more.
    pub held: bool,
    /// A SUBACK is in the outbox whose announcement waits for room in a ring.
    pub awaits_mesh: bool,
    /// A SUBACK is in the outbox, and retained messages that are to leave with it may still be on their way here.
    pub awaits_retained: bool,
    /// When a connection without CONNECT, or one that does not take its last bytes, is closed; while it is live, when its
    /// output has waited long enough for retained messages.
    pub deadline: Millis,
    /// The session it is bound to while [`Phase::Live`].
    pub session: u32,
    /// Tells it from those that had its number before.
    pub serial: u32,
    pub peer: Peer,
    /// The start of a packet whose end has not come.
    pub partial: Vec<u8>,
    pub outbox: Outbox,
    /// What may not leave before a barrier of the log is open.
    pub held_back: Option<Box<HeldBack>>,
}

const _: () = assert!(size_of::<Connection>() <= 128, "an idle connection costs what this struct costs");

impl Connection {
    pub(crate) fn new(slot: Slot, peer: Peer, deadline: Millis) -> Self {
        Self {
            slot,
            phase: Phase::Connecting,
            version: ProtocolVersion::V3_1_1,
            receiving: false,
            sending: false,
            dirty: false,
            held: false,
            over: false,
            bridge: false,
            awaits_mesh: false,
            awaits_retained: false,
            deadline,
            session: u32::MAX,
            serial: 0,
            peer,
            partial: Vec::new(),
            outbox: Outbox::default(),
            held_back: None,
        }
    }

    #[inline]
    fn writable(&mut self, pool: &mut Pool) -> &mut Outbox {
        if self.outbox.wants_buffer() {
            self.outbox.lend(pool.take());
        }
        &mut self.outbox
    }
}

/// The connections of a shard by number. The number is the wire's token.
pub(crate) struct Connections {
    arena: Arena<Connection>,
    last_serial: u32,
    /// Connections with something to say.
    pub dirty: Vec<u32>,
}

impl Connections {
    pub(crate) const fn new() -> Self {
        Self { arena: Arena::new(), last_serial: 0, dirty: Vec::new() }
    }

    pub(crate) fn insert(&mut self, mut connection: Connection) -> u32 {
        self.last_serial = self.last_serial.wrapping_add(1);
        connection.serial = self.last_serial;
        self.arena.insert(connection)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Connection> {
        self.arena.get_mut(number)
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Connection> {
        self.arena.get(number)
    }

    /// The outbox to write to, with a buffer and marked to be flushed; `None` when there is no such connection.
    #[inline]
    pub(crate) fn writable(&mut self, number: u32, pool: &mut Pool) -> Option<&mut Outbox> {
        let connection = self.arena.get_mut(number)?;
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(number);
        }
        Some(connection.writable(pool))
    }

    /// The outbox of a connection whose packets are being handled; who handles them marks it when all are done.
    #[inline]
    pub(crate) fn answers(&mut self, number: u32, pool: &mut Pool) -> Option<&mut Outbox> {
        Some(self.arena.get_mut(number)?.writable(pool))
    }

    /// The connection of a publisher, unless it has ended; another one may have its number by now.
    pub(crate) fn of(&self, publisher: &Publisher) -> Option<&Connection> {
        self.arena.get(publisher.connection).filter(|connection| connection.serial == publisher.serial)
    }

    /// Remembers that the connection has something to say.
    pub(crate) fn mark_dirty(&mut self, number: u32) {
        self.mark_dirty_at(number, usize::MAX);
    }

    /// As [`Connections::mark_dirty`], and at `place` of those to flush if more are there already.
    pub(crate) fn mark_dirty_at(&mut self, number: u32, place: usize) {
        if let Some(connection) = self.arena.get_mut(number)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.insert(place.min(self.dirty.len()), number);
        }
    }

    /// Forgets a connection whose last event has come.
    pub(crate) fn remove(&mut self, number: u32) {
        self.arena.remove(number);
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    /// The numbers of all connections.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.arena.ids().collect()
    }
}
