//! The window: what was sent to the client and is not acknowledged yet.
//!
//! ```text
//!   first                                     next_id
//!     v                                          v
//!   [ in flight | free | in flight | to resend ]
//!     `----------- sent on this ---' `-unsent--'
//!                 connection
//! ```
//! Packet Identifiers are consecutive, so that an acknowledgement finds its entry by subtraction. One that comes out of
//! order leaves a free entry behind, which goes when it gets to the front. After a reconnect all entries are `unsent`.

use super::kept::Kept;
use crate::packet::PacketId;
use crate::qos::{Acknowledged, Sending};
use crate::reason::ReasonCode;
use std::collections::VecDeque;
use std::num::NonZeroU16;

/// Packet Identifiers go round through this many values.
const IDS: u32 = 65_535;

/// Entries that an empty window keeps memory for until the session is at rest: 1 KiB, so that a busy client does not
/// cost an allocation for every message.
const SPARE_ENTRIES: usize = 32;

#[derive(Debug)]
pub(super) struct Window {
    entries: VecDeque<Kept>,
    /// The identifier of `entries[0]`, or of the next one.
    first: PacketId,
    /// Entries at the back that were not sent on this connection.
    unsent: u16,
    /// Places of the client's Receive Maximum that are taken.
    active: u16,
}

impl Window {
    pub(super) fn new(first: PacketId) -> Self {
        Self { entries: VecDeque::new(), first, unsent: 0, active: 0 }
    }

    /// Entries that the window may span: an identifier that stays unacknowledged while later ones go is passed over for
    /// three windows more, and then holds up the rest, so that it costs a bounded number of free entries.
    fn span_max(maximum: u16) -> usize {
        (usize::from(maximum) * 4 + 64).min(IDS as usize)
    }

    /// True when a new message may be sent with at most `maximum` unacknowledged [MQTT-4.9.0-2], and none waits before it.
    pub(super) fn has_room(&self, maximum: u16) -> bool {
        self.active < maximum && self.unsent == 0 && self.entries.len() < Self::span_max(maximum)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// Places of the client's Receive Maximum that are taken.
    pub(super) fn active(&self) -> u16 {
        self.active
    }

    /// The identifier that the next [`Window::push`] gives.
    pub(super) fn next_id(&self) -> PacketId {
        self.id_at(self.entries.len())
    }

    fn id_at(&self, index: usize) -> PacketId {
        let id = (u32::from(self.first.get()) - 1 + index as u32) % IDS + 1;
        NonZeroU16::new(id as u16).unwrap_or(NonZeroU16::MIN) // 1..=65,535 by construction
    }

    fn index_of(&self, id: PacketId) -> Option<usize> {
        let (id, first) = (u32::from(id.get()), u32::from(self.first.get()));
        let index = if id >= first { id - first } else { id + IDS - first };
        (self.entries.get(index as usize)?.state != Sending::Free).then_some(index as usize)
    }

    /// Adds an entry that is sent now and takes a place.
    pub(super) fn push(&mut self, mut kept: Kept) -> PacketId {
        let id = self.next_id();
        kept.counted = true;
        self.active += 1;
        self.entries.push_back(kept);
        id
    }

    /// Moves an entry on. The entry that is done is given back, the one that goes on drops its message.
    ///
    /// # Errors
    /// Those of [`Sending::next`].
    pub(super) fn acknowledge(&mut self, id: PacketId, event: Acknowledged) -> Result<Step, ReasonCode> {
        let Some(index) = self.index_of(id) else { return Err(ReasonCode::PacketIdentifierNotFound) };
        let entry = &mut self.entries[index];
        let before = entry.state;
        let after = before.next(event)?;
        let sequence_low = entry.sequence_low;
        if after == Sending::Free {
            self.free(index);
            return Ok(Step::Done { sequence_low });
        }
        entry.state = after;
        entry.message = None;
        Ok(if before == after { Step::Again } else { Step::Released { sequence_low } })
    }

    /// Ends the entry at `index`.
    fn free(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        self.active -= u16::from(entry.counted);
        if index > 0 {
            *entry = Kept::free();
            return;
        }
        self.pop_front();
        while self.entries.front().is_some_and(|entry| entry.state == Sending::Free) {
            self.pop_front();
        }
        self.unsent = self.unsent.min(self.entries.len() as u16); // a span is at most IDS
        if self.entries.is_empty() && self.entries.capacity() > SPARE_ENTRIES {
            self.entries = VecDeque::new();
        }
    }

    /// Gives back the memory of an empty window: the session is at rest.
    pub(super) fn trim(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn pop_front(&mut self) {
        self.entries.pop_front();
        self.first = self.first.checked_add(1).unwrap_or(PacketId::MIN);
    }

    /// A new connection: everything in flight is to be sent again, and no place is taken [MQTT-4.9.0-1].
    pub(super) fn restart(&mut self) {
        self.trim();
        self.unsent = self.entries.len() as u16;
        self.active = 0;
        for entry in &mut self.entries {
            entry.counted = false;
        }
    }

    /// The oldest entry that is to be sent again, if the client's Receive Maximum allows it. PUBREL takes no place.
    pub(super) fn next_unsent(&mut self, maximum: u16) -> Option<(PacketId, &mut Kept)> {
        while self.unsent > 0 {
            let index = self.entries.len() - usize::from(self.unsent);
            match self.entries[index].state {
                Sending::Free => self.unsent -= 1,
                Sending::AwaitPubComp => return Some((self.id_at(index), &mut self.entries[index])),
                _ if self.active < maximum => return Some((self.id_at(index), &mut self.entries[index])),
                _ => return None,
            }
        }
        None
    }

    /// What [`Window::next_unsent`] gave was sent.
    pub(super) fn resent(&mut self) {
        let index = self.entries.len() - usize::from(self.unsent);
        let entry = &mut self.entries[index];
        if entry.state != Sending::AwaitPubComp {
            entry.counted = true;
            self.active += 1;
        }
        self.unsent -= 1;
    }

    /// What [`Window::next_unsent`] gave will never be sent: it ends as if it were complete [MQTT-3.1.2-25].
    pub(super) fn give_up_unsent(&mut self) {
        let index = self.entries.len() - usize::from(self.unsent);
        self.unsent -= 1;
        self.free(index);
    }

    /// Puts back an entry of a session that is rebuilt; identifiers come in the order in which they were given.
    ///
    /// # Errors
    /// [`ReasonCode::PacketIdentifierInUse`] when `id` is not after the others.
    pub(super) fn restore(&mut self, id: PacketId, kept: Kept) -> Result<(), ReasonCode> {
        if self.entries.is_empty() {
            self.first = id;
        }
        let (wanted, next) = (u32::from(id.get()), u32::from(self.next_id().get()));
        let gap = if wanted >= next { wanted - next } else { wanted + IDS - next } as usize;
        if self.entries.len() + gap >= Self::span_max(u16::MAX) {
            return Err(ReasonCode::PacketIdentifierInUse);
        }
        self.entries.extend(std::iter::repeat_with(Kept::free).take(gap));
        self.entries.push_back(kept);
        self.unsent = self.entries.len() as u16;
        Ok(())
    }

    /// Bytes of memory beyond the struct itself.
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Kept>()
    }

    /// What always holds.
    pub(super) fn invariants(&self) {
        let counted = self.entries.iter().filter(|entry| entry.counted).count();
        debug_assert_eq!(counted, usize::from(self.active), "places taken");
        debug_assert!(usize::from(self.unsent) <= self.entries.len(), "unsent entries are entries");
        debug_assert!(
            self.entries.front().is_none_or(|entry| entry.state != Sending::Free),
            "free entries leave the front"
        );
        let idle = self.entries.iter().filter(|entry| entry.state == Sending::Free);
        debug_assert!(
            idle.into_iter().all(|entry| entry.message.is_none() && !entry.counted),
            "a free entry holds nothing"
        );
        debug_assert!(!self.entries.is_empty() || self.entries.capacity() <= SPARE_ENTRIES, "an empty window is small");
    }
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The exchange is over and its identifier free.
    Done { sequence_low: u32 },
    /// The client has the message: PUBREL is next.
    Released { sequence_low: u32 },
    /// The client repeated PUBREC: PUBREL once more.
    Again,
}
