//! Closing: in order (the peer gets the last bytes) or at once, and the end of the wire itself.
//!
//! ```text
//!   close ──> the send under way ends ──> shutdown of our direction ──> the peer closes, or the time is over ─┐
//!   close_now ────────────── the operations under way are cancelled ─────────────────────────────────────────┴─> Closed
//! ```
//! Closing a TCP socket that holds unread bytes, or gets some afterwards, resets the connection, and a reset may destroy
//! what the peer has not read: the DISCONNECT that says why. So our direction is closed first and the rest is read away.

use super::operation::{self, Kind};
use super::slots::{Closing, NO_SEND, Receive};
use super::{Event, Slot, Wire};
use io_uring::opcode;
use io_uring::types::{CancelBuilder, Fixed};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the end of a wire waits for the kernel to let go of its memory, and how long at once.
const LET_GO_LIMIT: Duration = Duration::from_secs(10);
const LET_GO_STEP: Duration = Duration::from_millis(100);

/// The connections that are being closed, and the deadlines of those that linger. All linger equally long, so the oldest
/// is due first.
pub(super) struct Closes {
    linger: Duration,
    deadlines: VecDeque<(Instant, Slot, u32)>,
    last_number: u32,
    under_way: usize,
}

impl Closes {
    pub(super) fn new(linger: Duration) -> Self {
        Self { linger, deadlines: VecDeque::new(), last_number: 0, under_way: 0 }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|&(at, ..)| at)
    }

    /// True when no connection is being closed.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way == 0
    }
}

impl Wire {
    /// Closes in order: what was given to `send` reaches the peer if the peer takes it within
    /// [`WireConfig::linger_ms`](super::WireConfig::linger_ms). What the peer still sends is dropped. [`Event::Closed`] is
    /// the last event.
    pub fn close(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        if state.closing != Closing::No || state.busy {
            return;
        }
        self.closes.under_way += 1;
        self.closes.last_number = self.closes.last_number.wrapping_add(1);
        (state.closing, state.close_number) = (Closing::Lingering, self.closes.last_number);
        self.closes.deadlines.push_back((Instant::now() + self.closes.linger, slot, state.close_number));
        self.advance_close(slot);
    }

    /// Closes at once: for a peer that has said its last, or that does not take what is sent. A send under way comes back
    /// with an error. [`Event::Closed`] is the last event. May follow a `close` that takes too long.
    pub fn close_now(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        let handed_over = state.busy && state.closing == Closing::No;
        if handed_over || matches!(state.closing, Closing::Now | Closing::Submitted) {
            return;
        }
        self.closes.under_way += usize::from(state.closing == Closing::No);
        state.closing = Closing::Now;
        let (send, receive, token) = (state.send, state.receive, state.token);
        if receive == Receive::Starved {
            state.receive = Receive::Off;
        }
        if send != NO_SEND {
            self.cancel(operation::pack(Kind::Send, slot, send));
        }
        if receive == Receive::Armed {
            self.cancel(operation::pack(Kind::Receive, slot, token));
        }
        self.advance_close(slot);
    }

    /// The next step of a close, taken when it begins and whenever an operation of the connection is over.
    pub(super) fn advance_close(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        if state.closing == Closing::Lingering {
            if state.send != NO_SEND {
                return;
            }
            if !state.ended {
                if !state.shut {
                    (state.shut, state.busy) = (true, true);
                    self.shut_down(slot, libc::SHUT_WR);
                }
                self.read_away(slot);
                return;
            }
        }
        if state.is_idle() && matches!(state.closing, Closing::Lingering | Closing::Now) {
            if self.renewal.is_needed() && !state.parted {
                (state.parted, state.busy) = (true, true);
                self.shut_down(slot, libc::SHUT_RDWR);
                return;
            }
            state.closing = Closing::Submitted;
            let entry = opcode::Close::new(Fixed(slot.0)).build().user_data(operation::pack(Kind::Close, slot, 0));
            // SAFETY: the entry names no memory.
            unsafe { self.ring.push(&entry) };
        }
    }

    fn shut_down(&mut self, slot: Slot, how: libc::c_int) {
        let entry = opcode::Shutdown::new(Fixed(slot.0), how).build();
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry.user_data(operation::pack(Kind::Shutdown, slot, 0))) };
    }

    /// Keeps a receive armed until the peer closes.
    fn read_away(&mut self, slot: Slot) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        match state.receive {
            Receive::Off => {
                state.once = false;
                self.arm_receive(slot);
            }
            Receive::Armed | Receive::Starved | Receive::Stopping | Receive::Resuming => {}
        }
    }

    pub(super) fn on_shutdown(&mut self, slot: Slot, result: i32) {
        let state = self.slots.of_completion(slot);
        state.busy = false;
        if result < 0 {
            // The connection is gone already; nothing will reach the peer.
            self.close_now(slot);
        }
        self.advance_close(slot);
    }

    pub(super) fn on_close(&mut self, slot: Slot, events: &mut Vec<Event>) {
        self.closes.under_way -= 1;
        let token = self.slots.vacate(slot);
        self.renewal.note_close(&self.slots);
        events.push(Event::Closed { slot, token });
        self.fill_accepts(events);
    }

    /// Closes what has lingered too long.
    pub(super) fn close_overdue(&mut self, now: Instant) {
        while let Some(&(at, slot, number)) = self.closes.deadlines.front() {
            let over = self.slots.get_mut(slot).is_none_or(|s| s.close_number != number);
            if at > now && !over {
                return;
            }
            self.closes.deadlines.pop_front();
            if !over {
                self.close_now(slot);
            }
        }
    }

    /// Takes the wire's memory back from the kernel; what the kernel does not give back in time is leaked.
    pub(super) fn let_go(&mut self) {
        let cancel_all = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        let (start, mut events) = (Instant::now(), Vec::new());
        self.accepts.stop();
        while self.operations() > 0 && start.elapsed() < LET_GO_LIMIT {
            // SAFETY: the entry names no memory; its word is that of an operation which nobody waits for.
            unsafe { self.ring.push(&cancel_all) };
            if self.ring.wait(1, Some(LET_GO_STEP)).is_err() {
                break;
            }
            self.reap(&mut events);
            events.clear();
        }
        if self.operations() > 0 {
            self.sends.leak();
            self.accepts.leak();
            self.connects.leak();
            self.syncs.leak();
            std::mem::forget(std::rc::Rc::clone(&self.buffers));
        }
        // Handles of neighbours keep the ring alive; its connections end now. A failure means that they end with the ring.
        let _ = self.ring.submitter().unregister_files();
    }

    /// Operations whose memory or files the kernel has.
    fn operations(&self) -> usize {
        self.armed_receives + self.sends.len() + self.accepts.armed() + self.connects.len() + self.syncs.len()
    }
}
