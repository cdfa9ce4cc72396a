//! The sessions of a shard: by number, and by client id.

use crate::arena::Arena;
use crate::routing::{FilterId, GroupId, Seed, hash_topic};
use crate::table::{Ref, Table};
use ringtail_mqtt::session::Session;
use ringtail_mqtt::time::Millis;

/// No session, or no connection.
pub(crate) const NONE: u32 = u32::MAX;

/// A session and what the shard keeps beside it.
pub(crate) struct SessionEntry {
    pub session: Session,
    /// The connection it is bound to, or [`NONE`].
    pub connection: u32,
    /// When its entry of the timers comes up; [`Millis::NEVER`] when it has none.
    pub timer_at: Millis,
    /// Its key in the log, or 0: it ends with its connection.
    pub log: u64,
    /// Its subscriptions, ordinary and shared.
    pub memberships: Vec<Membership>,
}

/// A subscription, as the router numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Membership {
    Filter(FilterId),
    Group(GroupId),
}

/// All sessions of a shard.
pub(crate) struct Sessions {
    arena: Arena<SessionEntry>,
    by_client_id: Table<Ref>,
    seed: Seed,
}

impl Sessions {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { arena: Arena::new(), by_client_id: Table::new(), seed }
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<u32> {
        let is = |known: &Ref| self.get(known.id).is_some_and(|entry| entry.session.client_id() == client_id);
        self.by_client_id.find(hash_topic(&self.seed, client_id), is).map(|known| known.id)
    }

    /// Adds a session whose client id is not there yet.
    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let hash = hash_topic(&self.seed, session.client_id());
        let entry =
            SessionEntry { session, connection: NONE, timer_at: Millis::NEVER, log: 0, memberships: Vec::new() };
        let number = self.arena.insert(entry);
        self.by_client_id.insert(hash, Ref::new(hash, number));
        number
    }

    /// Ends a session whose number the router still knows: nobody else gets it before [`Sessions::release`].
    pub(crate) fn retire(&mut self, number: u32) -> Option<SessionEntry> {
        let entry = self.arena.retire(number)?;
        self.by_client_id.remove(hash_topic(&self.seed, entry.session.client_id()), |known| known.id == number);
        Some(entry)
    }

    /// The number of an ended session may be given to another.
    pub(crate) fn release(&mut self, number: u32) {
        self.arena.release(number);
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut SessionEntry> {
        self.arena.get_mut(number)
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&SessionEntry> {
        self.arena.get(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }
}
