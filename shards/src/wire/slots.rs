//! What the wire remembers of each direct descriptor: which of its operations are under way.
//!
//! A record is 20 bytes. The kernel hands out the lowest free slot, so the records stand in chunks that are made when the
//! first of their slots is used: one array for a million slots would cost a huge page before the first connection.

/// A direct descriptor: an index into the ring's own table of files, not a file descriptor of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// For tests of what has slots but no kernel.
    #[cfg(test)]
    pub(crate) const fn numbered(number: u32) -> Self {
        Self(number)
    }

    /// The index, below [`WireConfig::slots`](super::WireConfig::slots).
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// No send is under way.
pub(super) const NO_SEND: u32 = u32::MAX;

/// How far a connection's receive is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Receive {
    /// Nothing is armed.
    #[default]
    Off,
    /// The kernel has the operation.
    Armed,
    /// The buffers ran out; it is armed again when some are free.
    Starved,
    /// A cancellation is on its way; the operation's last completion has not come.
    Stopping,
    /// As `Stopping`, and wanted again.
    Resuming,
}

/// How far a connection's close is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Closing {
    #[default]
    No,
    /// The peer may still take the last bytes.
    Lingering,
    /// As soon as the operations under way are over.
    Now,
    /// The close is the kernel's.
    Submitted,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotState {
    pub(super) token: u32,
    /// Key of the send under way, or [`NO_SEND`].
    pub(super) send: u32,
    /// Which close this is, so that the deadline of an earlier one does not count.
    pub(super) close_number: u32,
    pub(super) receive: Receive,
    pub(super) closing: Closing,
    /// The receive is for one buffer only.
    pub(super) once: bool,
    pub(super) used: bool,
    /// The peer will send nothing more.
    pub(super) ended: bool,
    /// The sending direction was closed, or is being closed.
    pub(super) shut: bool,
    /// The peer knows of the end, or the connection is another ring's by now: the descriptor may go without a word.
    pub(super) parted: bool,
    /// An operation that is neither a receive nor a send is under way: a shutdown or a handover.
    pub(super) busy: bool,
}

impl SlotState {
    const UNUSED: Self = Self {
        token: 0,
        send: NO_SEND,
        close_number: 0,
        receive: Receive::Off,
        closing: Closing::No,
        once: false,
        used: false,
        ended: false,
        shut: false,
        parted: false,
        busy: false,
    };

    /// True when the kernel has no operation of the connection.
    pub(super) fn is_idle(&self) -> bool {
        self.send == NO_SEND && !self.busy && matches!(self.receive, Receive::Off | Receive::Starved)
    }
}

/// Records of a chunk, 5 KiB.
const CHUNK_SLOTS: usize = 256;

/// The table of direct descriptors.
pub(super) struct Slots {
    chunks: Vec<Box<[SlotState; CHUNK_SLOTS]>>,
    count: usize,
    used: usize,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self { chunks: Vec::new(), count: count as usize, used: 0 }
    }

    /// Slots that hold no connection.
    pub(super) fn free(&self) -> usize {
        self.count - self.used
    }

    /// Slots that hold a connection.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Above the highest slot that was ever used.
    pub(super) fn seen(&self) -> usize {
        self.chunks.len() * CHUNK_SLOTS
    }

    /// The kernel has put a connection into `slot`.
    pub(super) fn open(&mut self, slot: Slot) {
        while self.chunks.len() <= slot.index() / CHUNK_SLOTS {
            self.chunks.push(Box::new([SlotState::UNUSED; CHUNK_SLOTS]));
        }
        *self.of_completion(slot) = SlotState { used: true, ..SlotState::UNUSED };
        self.used += 1;
    }

    /// The kernel has freed `slot`; returns the token of its connection.
    pub(super) fn vacate(&mut self, slot: Slot) -> u32 {
        self.used -= 1;
        std::mem::replace(self.of_completion(slot), SlotState::UNUSED).token
    }

    /// The connection in `slot`, if there is one.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut SlotState> {
        let chunk = self.chunks.get_mut(slot.index() / CHUNK_SLOTS)?;
        Some(&mut chunk[slot.index() % CHUNK_SLOTS]).filter(|state| state.used)
    }

    /// The connection of an operation that has just completed; an operation holds its slot in use.
    #[inline]
    pub(super) fn of_completion(&mut self, slot: Slot) -> &mut SlotState {
        &mut self.chunks[slot.index() / CHUNK_SLOTS][slot.index() % CHUNK_SLOTS]
    }
}
