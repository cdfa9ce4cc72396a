//! What a session leaves behind in the router when it ends: few subscriptions go at once, many in slices, a turn at a time.
//!
//! The session itself is gone at once, for its client and for every message. Only its number stays taken, so that no
//! other session is given what the router still has under it.

use crate::routing::Announcement;
use crate::shard::Core;
use crate::shard::sessions::Membership;
use std::collections::VecDeque;

/// Subscriptions that end in one turn beside everything else, some hundred microseconds.
const SLICE: usize = 512;

/// Ended sessions, by number, with the subscriptions that the router still has.
#[derive(Default)]
pub(crate) struct Ended(VecDeque<(u32, Vec<Membership>)>);

impl Core {
    /// Takes an ended session's subscriptions out of the router, at once when they are few and the other shards can be
    /// told.
    pub(crate) fn end_memberships(&mut self, session: u32, mut memberships: Vec<Membership>) {
        if memberships.len() > SLICE || !self.port.congested().is_empty() {
            self.ended.0.push_back((session, memberships));
            return;
        }
        self.end_slice(session, &mut memberships);
        self.local.sessions.release(session);
    }

    /// Ends a slice of what ended sessions have left. True when there is more to do at once.
    pub(crate) fn step_ended(&mut self) -> bool {
        // The announcements would pile up beside the rings; what makes room there wakes the shard.
        if !self.port.congested().is_empty() {
            return false;
        }
        let Some((session, mut memberships)) = self.ended.0.pop_front() else { return false };
        self.end_slice(session, &mut memberships);
        if memberships.is_empty() {
            self.local.sessions.release(session);
        } else {
            self.ended.0.push_front((session, memberships));
        }
        !self.ended.0.is_empty()
    }

    fn end_slice(&mut self, session: u32, memberships: &mut Vec<Membership>) {
        for membership in memberships.drain(memberships.len().saturating_sub(SLICE)..) {
            self.local.counters.subscriptions -= 1;
            let announcement = match membership {
                Membership::Filter(filter) => self
                    .subscriptions
                    .remove(filter, session)
                    .and_then(|removed| removed.announce)
                    .map(Announcement::Remove),
                Membership::Group(group) => self.shared.leave(group, session),
            };
            announcement.into_iter().for_each(|announcement| self.announce(announcement));
        }
    }
}
