//! Receives that are armed anew, so that old kernels let go of what was closed.
//!
//! Before Linux 6.13 the kernel frees the descriptors that were closed in the order of their closing, and each not before all
//! operations that were begun earlier are over, those of other connections too. A connection that idles for days has one
//! receive, begun when it came: every socket that was closed since would stay in memory, and its peer would never hear of
//! the close. So on such a kernel a connection is shut down before it is closed, and when more have been closed than there are
//! connections, every receive is cancelled and armed again, some in each turn. That is at most one for each close, and what is
//! kept is at most about twice what is open. A send that its peer does not take has the same effect, and cannot be renewed.
//!
//! Depends on the slots and on what a stopped receive does that is wanted again. Must never touch a connection that is being
//! closed, or whose receive is for one buffer.

use super::operation::{self, Kind};
use super::slots::{Closing, Receive, Slots};
use super::{Slot, Wire};

/// Closes before which nothing is renewed, however few connections there are.
const CLOSES_MIN: usize = 256;
/// Receives that one turn cancels at most, and slots that it looks at.
const RENEWED_PER_TURN: usize = 64;
const LOOKS_PER_TURN: usize = 4_096;

/// Whether, and how far, receives are being renewed.
pub(super) struct Renewal {
    /// The kernel frees late.
    needed: bool,
    /// Connections closed since the last round began.
    closed: usize,
    /// The slot where the round goes on.
    cursor: Option<usize>,
}

impl Renewal {
    pub(super) fn new(needed: bool) -> Self {
        Self { needed, closed: 0, cursor: None }
    }

    /// True when a connection must be shut down before it is closed.
    pub(super) fn is_needed(&self) -> bool {
        self.needed
    }

    /// A connection was closed; begins a round when it is time.
    pub(super) fn note_close(&mut self, slots: &Slots) {
        if self.needed {
            self.closed += 1;
            if self.cursor.is_none() && self.closed > CLOSES_MIN.max(slots.used()) {
                (self.cursor, self.closed) = (Some(0), 0);
            }
        }
    }
}

impl Wire {
    /// Goes on with a round, if one is under way.
    #[inline]
    pub(super) fn renew_receives(&mut self) {
        if let Some(from) = self.renewal.cursor {
            self.renew_from(from);
        }
    }

    #[cold]
    fn renew_from(&mut self, from: usize) {
        let until = (from + LOOKS_PER_TURN).min(self.slots.seen());
        let mut renewed = 0;
        let mut at = from;
        while at < until && renewed < RENEWED_PER_TURN {
            let slot = Slot(at as u32);
            at += 1;
            let Some(state) = self.slots.get_mut(slot) else { continue };
            if state.receive == Receive::Armed && state.closing == Closing::No && !state.once {
                state.receive = Receive::Resuming;
                let word = operation::pack(Kind::Receive, slot, state.token);
                self.cancel(word);
                renewed += 1;
            }
        }
        self.renewal.cursor = (at < self.slots.seen()).then_some(at);
    }
}
