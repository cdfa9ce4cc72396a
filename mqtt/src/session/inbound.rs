//! What the client sends: the PUBLISHes that the server has not acknowledged, and the QoS 2 identifiers that wait for
//! PUBREL.

use crate::packet::{PacketId, QoS};
use crate::qos::{Received, Receiving};
use crate::reason::ReasonCode;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Identifies a PUBLISH whose acknowledgement comes later; see [`super::Session::accept_later`]. It means something to
/// the session that gave it, on this connection and the next ones, and nothing to a session that replaced that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u32);

/// An acknowledgement that has its place, in the order of the PUBLISHes [MQTT-4.6.0-2], [MQTT-4.6.0-3].
#[derive(Clone, Copy, Debug)]
struct Pending {
    packet_id: PacketId,
    qos: QoS,
    /// Known once the server has decided.
    reason: Option<ReasonCode>,
    /// The client still waits for it: false once its connection has gone, unless it sent the message again.
    answer: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    packet_id: PacketId,
    state: Receiving,
}

/// The ledger of a client's own PUBLISHes; it exists only while there is something in it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pending: VecDeque<Pending>,
    /// The ticket of `pending[0]`, or of the next one.
    first_ticket: u32,
    /// QoS 2 identifiers, ordered.
    held: VecDeque<Held>,
    /// Places of the server's Receive Maximum that this connection has taken.
    taken: u16,
}

/// An acknowledgement that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    pub(super) reason: ReasonCode,
    pub(super) answer: bool,
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.held.is_empty()
    }

    /// The ticket that the next entry gets.
    fn next_ticket(&self) -> u32 {
        self.first_ticket.wrapping_add(self.pending.len() as u32)
    }

    /// PUBLISHes that the client may not count as acknowledged on this connection [MQTT-3.3.4-7].
    pub(super) fn taken(&self) -> u16 {
        self.taken
    }

    /// Entries of every connection, which bounds them also for a client that reconnects all the time.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn state_of(&self, packet_id: PacketId) -> Receiving {
        self.find(packet_id).map_or(Receiving::Free, |index| self.held[index].state)
    }

    fn find(&self, packet_id: PacketId) -> Result<usize, usize> {
        // Identifiers usually come in order, and PUBRELs too: the newest is the last, the next to go is the first.
        let (Some(first), Some(last)) = (self.held.front(), self.held.back()) else { return Err(0) };
        match packet_id.cmp(&last.packet_id) {
            Ordering::Greater => Err(self.held.len()),
            Ordering::Equal => Ok(self.held.len() - 1),
            Ordering::Less if first.packet_id == packet_id => Ok(0),
            Ordering::Less => self.held.binary_search_by_key(&packet_id, |held| held.packet_id),
        }
    }

    /// The client's next PUBLISH is in the server's hands.
    pub(super) fn open(&mut self, packet_id: PacketId, qos: QoS, reason: Option<ReasonCode>, answer: bool) -> Ticket {
        let ticket = Ticket(self.next_ticket());
        self.pending.push_back(Pending { packet_id, qos, reason, answer });
        self.taken = self.taken.saturating_add(u16::from(answer));
        if qos == QoS::ExactlyOnce
            && let Err(index) = self.find(packet_id)
        {
            self.held.insert(index, Held { packet_id, state: Receiving::AwaitCommit });
        }
        ticket
    }

    /// The client repeated a QoS 2 PUBLISH whose PUBREC is not due yet: it is answered in its old place.
    pub(super) fn answer_again(&mut self, packet_id: PacketId) {
        let wanted = |p: &&mut Pending| p.packet_id == packet_id && p.qos == QoS::ExactlyOnce;
        if let Some(pending) = self.pending.iter_mut().rev().find(wanted)
            && !pending.answer
        {
            pending.answer = true;
            self.taken = self.taken.saturating_add(1);
        }
    }

    /// The server has decided about a ticket; one that is not open is passed over.
    pub(super) fn decide(&mut self, ticket: Ticket, reason: ReasonCode) {
        let index = ticket.0.wrapping_sub(self.first_ticket) as usize;
        if let Some(pending) = self.pending.get_mut(index)
            && pending.reason.is_none()
        {
            pending.reason = Some(reason);
        }
    }

    /// The next acknowledgement, once everything before it was acknowledged.
    pub(super) fn next_due(&mut self) -> Option<Due> {
        let &Pending { packet_id, qos, reason, answer } = self.pending.front()?;
        let reason = reason?;
        self.pending.pop_front();
        self.first_ticket = self.first_ticket.wrapping_add(1);
        if qos == QoS::ExactlyOnce {
            self.advance(packet_id, if reason.is_error() { Received::Refused } else { Received::Committed });
        }
        if answer && (qos == QoS::AtLeastOnce || reason.is_error()) {
            self.taken = self.taken.saturating_sub(1);
        }
        Some(Due { packet_id, qos, reason, answer })
    }

    /// PUBREL.
    ///
    /// # Errors
    /// Those of [`Receiving::next`].
    pub(super) fn release(&mut self, packet_id: PacketId) -> Result<(), ReasonCode> {
        self.state_of(packet_id).next(Received::PubRel)?;
        self.advance(packet_id, Received::PubRel);
        self.taken = self.taken.saturating_sub(1);
        Ok(())
    }

    /// Moves a held identifier on, where the table has such a step.
    fn advance(&mut self, packet_id: PacketId, event: Received) {
        let Ok(index) = self.find(packet_id) else { return };
        match self.held[index].state.next(event) {
            Ok(Receiving::Free) => {
                self.held.remove(index);
            }
            Ok(state) => self.held[index].state = state,
            Err(_) => {}
        }
    }

    /// The connection has gone: nobody waits for what is pending, which the server will decide about all the same.
    pub(super) fn detach(&mut self) {
        self.pending.iter_mut().for_each(|pending| pending.answer = false);
        self.taken = 0;
    }

    /// Forgets a QoS 2 identifier whose PUBREC was not sent.
    pub(super) fn forget(&mut self, packet_id: PacketId) {
        if let Ok(index) = self.find(packet_id)
            && self.held[index].state == Receiving::AwaitPubRel
        {
            self.held.remove(index);
            self.taken = self.taken.saturating_sub(1);
        }
    }

    /// Puts back a QoS 2 identifier of a session that is rebuilt.
    pub(super) fn restore(&mut self, packet_id: PacketId) {
        if let Err(index) = self.find(packet_id) {
            self.held.insert(index, Held { packet_id, state: Receiving::AwaitPubRel });
        }
    }

    /// Bytes of memory of the ledger and what it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.pending.capacity() * size_of::<Pending>() + self.held.capacity() * size_of::<Held>()
    }

    /// What always holds.
    pub(super) fn invariants(&self) {
        debug_assert!(!self.is_empty(), "an empty ledger is dropped");
        let ids = self.held.iter().map(|held| held.packet_id);
        debug_assert!(ids.is_sorted_by(|a, b| a < b), "identifiers are ordered and distinct");
        debug_assert!(self.held.iter().all(|held| held.state != Receiving::Free), "a free identifier is not held");
        debug_assert!(self.pending.front().is_none_or(|pending| pending.reason.is_none()), "what is due was sent");
        for held in self.held.iter().filter(|held| held.state == Receiving::AwaitCommit) {
            let opens = self.pending.iter().filter(|p| p.packet_id == held.packet_id && p.qos == QoS::ExactlyOnce);
            debug_assert_eq!(opens.count(), 1, "what waits for its commit is pending once");
        }
    }
}
