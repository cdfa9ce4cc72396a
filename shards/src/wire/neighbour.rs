//! What others may do with a wire: ring it, or hand it a connection.

use super::operation::{self, Kind};
use super::slots::{Closing, NO_SEND, Receive};
use super::{Event, Slot, Wire, errno};
use io_uring::squeue::Flags;
use io_uring::types::{DestinationSlot, Fd, Fixed};
use io_uring::{cqueue, opcode};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// What a neighbouring wire needs to reach this one. It keeps the ring's descriptor open, not the wire.
#[derive(Clone, Debug)]
pub struct WireHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: OwnedFd,
    bell: File,
}

/// Wakes a wire from a thread that has no ring: [`Event::Rung`].
#[derive(Clone, Debug)]
pub struct Bell {
    shared: Arc<Shared>,
}

impl Bell {
    /// Rings. Costs a system call.
    pub fn ring(&self) {
        // The counter cannot overflow in practice, and a full counter has rung already.
        let _ = (&self.shared.bell).write(&1_u64.to_ne_bytes());
    }
}

impl WireHandle {
    pub(super) fn new(ring: RawFd) -> io::Result<Self> {
        // SAFETY: the wire that is being made holds the ring open through the call.
        let ring = unsafe { BorrowedFd::borrow_raw(ring) }.try_clone_to_owned()?;
        // SAFETY: eventfd takes no pointers.
        let bell = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if bell < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, and nobody else's.
        let bell = unsafe { File::from_raw_fd(bell) };
        Ok(Self { shared: Arc::new(Shared { ring, bell }) })
    }
}

/// The neighbours that this wire has reached; kept, because an entry names a descriptor until it is submitted.
#[derive(Default)]
pub(super) struct Neighbours {
    known: Vec<WireHandle>,
}

impl Neighbours {
    fn descriptor(&mut self, of: &WireHandle) -> Fd {
        if !self.known.iter().any(|known| Arc::ptr_eq(&known.shared, &of.shared)) {
            self.known.push(of.clone());
        }
        Fd(of.shared.ring.as_raw_fd())
    }
}

impl Wire {
    /// What neighbours need to ring this wire or to hand it connections.
    #[must_use]
    pub fn handle(&self) -> WireHandle {
        self.handle.clone()
    }

    /// What threads without a ring need to wake this wire.
    #[must_use]
    pub fn bell(&self) -> Bell {
        Bell { shared: Arc::clone(&self.handle.shared) }
    }

    /// Wakes a neighbour, submitted together with everything else at the next turn: the neighbour gets [`Event::Rung`].
    pub fn ring_neighbour(&mut self, to: &WireHandle) {
        let descriptor = self.neighbours.descriptor(to);
        let entry = opcode::MsgRingData::new(descriptor, 0, operation::pack_key(Kind::Rung, 0), None)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(operation::pack_key(Kind::Ignored, 0));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    /// Moves a connection to a neighbour, which gets [`Event::Arrived`] with the low 56 bits of `token`; here it ends with
    /// [`Event::Closed`], which may take until the neighbour's next turn. No operation may be under way on it (the bytes of a
    /// `receive_once` have come, nothing is being sent): otherwise, and when the neighbour cannot take it,
    /// [`Event::HandoverFailed`] comes and it stays.
    pub fn send_descriptor(&mut self, slot: Slot, to: &WireHandle, token: u64) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        if state.closing != Closing::No || state.busy || state.send != NO_SEND || state.receive != Receive::Off {
            let error = io::Error::from_raw_os_error(libc::EBUSY);
            self.pending.push(Event::HandoverFailed { slot, token: state.token, error });
            return;
        }
        state.busy = true;
        let descriptor = self.neighbours.descriptor(to);
        let any = DestinationSlot::auto_target();
        let word = operation::pack_handover(token);
        let entry = opcode::MsgRingSendFd::new(descriptor, Fixed(slot.0), any, word)
            .build()
            .user_data(operation::pack(Kind::HandOver, slot, 0));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_hand_over(&mut self, slot: Slot, result: i32, events: &mut Vec<Event>) {
        let state = self.slots.of_completion(slot);
        state.busy = false;
        if result < 0 {
            events.push(Event::HandoverFailed { slot, token: state.token, error: errno(result) });
        } else {
            state.parted = true;
            self.close_now(slot);
        }
    }

    /// Watches the bell; each stroke completes once, and the counter is never read.
    pub(super) fn watch_bell(&mut self) {
        let entry = opcode::PollAdd::new(Fd(self.handle.shared.bell.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(operation::pack_key(Kind::Bell, 0));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_bell(&mut self, flags: u32) {
        self.rung = true;
        if !cqueue::more(flags) {
            self.watch_bell();
        }
    }
}
