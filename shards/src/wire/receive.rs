//! Receiving: multishot into the wire's buffers, stopped for back-pressure, started again by itself when buffers ran out.

use super::operation::{self, Kind};
use super::slots::{Closing, Receive};
use super::{Event, Received, Slot, Wire, buffers, errno};
use io_uring::squeue::Flags;
use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{cqueue, opcode};

impl Wire {
    /// Receives into one buffer: one [`Event::Received`] or [`Event::Ended`] comes. For a connection that may be handed over
    /// after its first bytes: no operation is left on it.
    pub fn receive_once(&mut self, slot: Slot, token: u32) {
        self.start_receive(slot, token, true);
    }

    /// Receives until the peer closes or `stop_receiving`: an [`Event::Received`] for each buffer, at last [`Event::Ended`]
    /// or [`Event::Stopped`]. Nothing is read from the socket while the wire has no free buffer, and nothing is lost.
    pub fn receive(&mut self, slot: Slot, token: u32) {
        self.start_receive(slot, token, false);
    }

    /// Leaves what the peer sends in the socket from now on. What was taken already still arrives, then [`Event::Stopped`],
    /// or [`Event::Ended`] if the peer closed meanwhile. A `receive` before that undoes the stop: neither comes.
    pub fn stop_receiving(&mut self, slot: Slot, token: u32) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        match state.receive {
            Receive::Armed => {
                state.receive = Receive::Stopping;
                self.cancel(operation::pack(Kind::Receive, slot, token));
            }
            Receive::Resuming => state.receive = Receive::Stopping,
            Receive::Starved => {
                state.receive = Receive::Off;
                self.pending.push(Event::Stopped { token });
            }
            Receive::Off | Receive::Stopping => {}
        }
    }

    fn start_receive(&mut self, slot: Slot, token: u32, once: bool) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        if state.closing != Closing::No {
            return;
        }
        (state.token, state.once) = (token, once);
        match state.receive {
            Receive::Off => self.arm_receive(slot),
            Receive::Stopping => state.receive = Receive::Resuming,
            Receive::Armed | Receive::Starved | Receive::Resuming => {}
        }
    }

    /// Arms the receive of a connection that has none; it queues behind those that wait for a buffer, if some do.
    pub(super) fn arm_receive(&mut self, slot: Slot) {
        if self.starved.is_empty() {
            self.submit_receive(slot, false);
        } else {
            self.starve(slot);
        }
    }

    fn starve(&mut self, slot: Slot) {
        if let Some(state) = self.slots.get_mut(slot) {
            state.receive = Receive::Starved;
            self.starved.push_back((slot, state.token));
        }
    }

    /// Gives the receive to the kernel; `rationed`, it takes one buffer and then queues again.
    fn submit_receive(&mut self, slot: Slot, rationed: bool) {
        let Some(state) = self.slots.get_mut(slot) else { return };
        state.receive = Receive::Armed;
        let entry = if state.once || rationed {
            opcode::Recv::new(Fixed(slot.0), std::ptr::null_mut(), 0)
                .buf_group(buffers::GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
        } else {
            opcode::RecvMulti::new(Fixed(slot.0), buffers::GROUP).build()
        };
        let entry = entry.user_data(operation::pack(Kind::Receive, slot, state.token));
        self.armed_receives += 1;
        // SAFETY: the entry names no memory; the kernel takes a buffer of the group, which lives as long as receives are armed.
        unsafe { self.ring.push(&entry) };
    }

    /// Cancels the operation of that word; its last completion says how it ended.
    pub(super) fn cancel(&mut self, word: u64) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(word))
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(operation::pack_key(Kind::Ignored, 0));
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_receive(&mut self, word: u64, result: i32, flags: u32, events: &mut Vec<Event>) {
        let buffer = cqueue::buffer_select(flags).map(|index| {
            // SAFETY: this completion names the buffer, and is handled once.
            unsafe { self.buffers.take(index, result.max(0) as u32) }
        });
        let (slot, token) = (operation::slot(word), operation::token(word));
        if let Some(buffer) = buffer.filter(|_| result > 0) {
            self.deliver(slot, token, buffer, events);
        }
        if !cqueue::more(flags) {
            self.end_receive(slot, token, result, events);
        }
    }

    fn deliver(&mut self, slot: Slot, token: u32, buffer: Received, events: &mut Vec<Event>) {
        // What comes after a close is read only so that the peer gets our last bytes instead of a reset.
        if self.closes.is_empty() || self.slots.of_completion(slot).closing == Closing::No {
            events.push(Event::Received { token, buffer });
        }
    }

    /// The kernel's operation is over; decides whether the receive is.
    fn end_receive(&mut self, slot: Slot, token: u32, result: i32, events: &mut Vec<Event>) {
        self.armed_receives -= 1;
        let state = self.slots.of_completion(slot);
        let was = std::mem::take(&mut state.receive);
        let broken = match -result {
            0 => true,
            libc::ECANCELED => was == Receive::Armed,
            error => error > 0 && !matches!(error, libc::ENOBUFS | libc::EINTR | libc::EAGAIN),
        };
        state.ended |= broken;
        match state.closing {
            Closing::Now | Closing::Submitted => self.advance_close(slot),
            Closing::No if broken => {
                events.push(Event::Ended { token, error: (result < 0).then(|| errno(result)) });
            }
            Closing::No if was == Receive::Stopping => events.push(Event::Stopped { token }),
            _ if result == -libc::ENOBUFS => self.starve(slot),
            Closing::Lingering => self.advance_close(slot),
            Closing::No if state.once && result > 0 => {}
            Closing::No => self.arm_receive(slot),
        }
    }

    /// Arms the receives that found no buffer, as many as there are buffers now, those that waited longest first, and each
    /// for one buffer: a connection that always has more would otherwise take them all, every time.
    pub(super) fn feed_starved(&mut self) {
        for _ in 0..self.starved.len().min(self.buffers.free()) {
            let Some((slot, token)) = self.starved.pop_front() else { return };
            if self.slots.get_mut(slot).is_some_and(|s| s.receive == Receive::Starved && s.token == token) {
                self.submit_receive(slot, true);
            }
        }
    }
}
