//! Packets that may not leave yet: they say that something is safe which is not on disk, or not safe on another shard.
//!
//! A connection's packets leave in their order, so whatever is said after such a packet waits with it.

use crate::journal::BarrierId;
use crate::shard::connection::Connection;
use crate::shard::local::Local;
use crate::shard::send::take_send;
use crate::wire::SendBuffer;
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::PacketType;
use std::collections::VecDeque;

/// The first byte of a CONNACK, which is the first packet of its connection.
const CONNACK: u8 = (PacketType::ConnAck as u8) << 4;

/// Batches that wait at most: one for the commit under way, one for the next. Later packets join the last.
const BATCHES_MAX: usize = 2;

/// What a connection holds back.
#[derive(Default)]
pub(crate) struct HeldBack {
    /// Before this is open, nothing leaves that is in the outbox.
    barrier: BarrierId,
    batches: VecDeque<Batch>,
    /// It is in the journal's list of connections to look at when barriers open.
    listed: bool,
}

struct Batch {
    barrier: BarrierId,
    packets: Outbox,
}

impl HeldBack {
    /// Takes what is in the outbox, up to `bytes_max` together with what waits already; the rest stays and counts as the
    /// outbox's, with its limits.
    fn take(&mut self, outbox: &mut Outbox, bytes_max: usize) {
        let waiting: usize = self.batches.iter().map(|batch| batch.packets.len_bytes()).sum();
        if outbox.is_empty() || waiting >= bytes_max {
            return;
        }
        let is_full = self.batches.len() >= BATCHES_MAX;
        match self.batches.back_mut() {
            Some(last) if is_full || last.barrier >= self.barrier => {
                last.barrier = last.barrier.max(self.barrier);
                last.packets.append(outbox);
            }
            _ => self.batches.push_back(Batch { barrier: self.barrier, packets: std::mem::take(outbox) }),
        }
    }
}

impl Connection {
    /// The next send, of what may leave when barriers up to `opened` are open.
    pub(crate) fn take_send(&mut self, opened: BarrierId, bytes_max: usize) -> Option<SendBuffer> {
        let Some(held) = &mut self.held_back else { return take_send(&mut self.outbox) };
        if held.barrier > opened || !held.batches.is_empty() {
            held.take(&mut self.outbox, bytes_max);
        }
        while let Some(first) = held.batches.front_mut() {
            if first.barrier > opened {
                return None;
            }
            if let Some(send) = take_send(&mut first.packets) {
                return Some(send);
            }
            held.batches.pop_front();
        }
        if held.barrier > opened {
            return None;
        }
        self.held_back = None;
        take_send(&mut self.outbox)
    }

    /// True when nothing waits to be sent.
    pub(crate) fn is_silent(&self) -> bool {
        self.outbox.is_empty() && self.held_back.as_ref().is_none_or(|held| held.batches.is_empty())
    }

    /// Forgets what may not leave yet. False when the client has not even been let in: then nothing may be said to it at all
    /// [MQTT-3.2.0-1].
    pub(crate) fn forget_held_back(&mut self, opened: BarrierId) -> bool {
        let Some(held) = &mut self.held_back else { return true };
        if held.barrier <= opened {
            return true;
        }
        let closed = held.batches.iter().position(|batch| batch.barrier > opened);
        let first = closed.map_or(&self.outbox, |index| &held.batches[index].packets).first_byte();
        held.batches.truncate(closed.unwrap_or(held.batches.len()));
        held.barrier = opened;
        self.outbox.clear();
        first != Some(CONNACK)
    }

    /// Forgets what waits to be sent.
    pub(crate) fn forget_packets(&mut self) {
        self.outbox.clear();
        self.held_back = None;
    }
}

impl Local {
    /// The barriers that are open.
    pub(crate) fn opened(&self) -> BarrierId {
        self.journal.as_ref().map_or(BarrierId::MAX, |journal| journal.barriers.opened())
    }

    /// What the connection is told from here on leaves only when what this turn appends is safe. A log that has failed makes
    /// nothing safe any more: then the connection ends with the turn, and is not told.
    pub(crate) fn fence(&mut self, number: u32) {
        if self.journal.as_ref().is_some_and(|journal| journal.has_failed()) {
            self.doomed.push(number);
        }
        self.fence_publisher(number);
    }

    /// As [`Local::fence`], for what has been refused already where it had to be kept in a log that has failed.
    pub(crate) fn fence_publisher(&mut self, number: u32) {
        let Some(journal) = &mut self.journal else { return };
        let barrier = journal.barriers.ask();
        let Some(connection) = self.connections.get_mut(number) else { return };
        if let Some(entry) = self.sessions.get(connection.session)
            && entry.log != 0
        {
            journal.fence_session(entry.log, barrier);
        }
        self.hold_back(number, barrier);
    }

    /// What the connection is told from here on leaves only when the barrier is open.
    pub(crate) fn hold_back(&mut self, number: u32, barrier: BarrierId) {
        let (Some(journal), Some(connection)) = (&mut self.journal, self.connections.get_mut(number)) else { return };
        let held = connection.held_back.get_or_insert_default();
        held.barrier = barrier;
        if !std::mem::replace(&mut held.listed, true) {
            journal.fenced.push(number);
        }
    }

    /// Barriers have opened: looks again at the connections that hold something back.
    pub(crate) fn release_held_back(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for number in journal.fenced.drain(..) {
            let Some(connection) = self.connections.get_mut(number) else { continue };
            connection.held_back.iter_mut().for_each(|held| held.listed = false);
            self.connections.mark_dirty(number);
        }
    }

    /// After a look at a connection: notes that it still holds something back.
    pub(crate) fn note_held_back(&mut self, number: u32) {
        let held = self.connections.get_mut(number).and_then(|connection| connection.held_back.as_mut());
        if let (Some(held), Some(journal)) = (held, &mut self.journal)
            && !std::mem::replace(&mut held.listed, true)
        {
            journal.fenced.push(number);
        }
    }
}
