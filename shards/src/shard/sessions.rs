//! The sessions of a shard: by number, and by client id.

use crate::routing::{FilterId, GroupId, Seed, hash_topic};
use hashbrown::HashTable;
use ringtail_mqtt::session::Session;
use ringtail_mqtt::time::Millis;
use slab::Slab;

/// No session, or no connection.
pub(crate) const NONE: u32 = u32::MAX;

/// A session and what the shard keeps beside it.
pub(crate) struct SessionEntry {
    pub session: Session,
    /// The connection it is bound to, or [`NONE`].
    pub connection: u32,
    /// When its entry of the timers comes up; [`Millis::NEVER`] when it has none.
    pub timer_at: Millis,
    /// Its subscriptions, ordinary and shared.
    pub memberships: Vec<Membership>,
}

/// A subscription, as the router numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    Filter(FilterId),
    Group(GroupId),
}

/// All sessions of a shard.
pub(crate) struct Sessions {
    slab: Slab<SessionEntry>,
    by_client_id: HashTable<u32>,
    seed: Seed,
}

impl Sessions {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { slab: Slab::new(), by_client_id: HashTable::new(), seed }
    }

    fn hash(&self, client_id: &str) -> u64 {
        hash_topic(&self.seed, client_id)
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<u32> {
        let hash = self.hash(client_id);
        self.by_client_id.find(hash, |n| self.slab[*n as usize].session.client_id() == client_id).copied()
    }

    /// Adds a session whose client id is not there yet.
    pub(crate) fn insert(&mut self, session: Session) -> u32 {
        let hash = self.hash(session.client_id());
        let number = self.slab.insert(SessionEntry {
            session,
            connection: NONE,
            timer_at: Millis::NEVER,
            memberships: Vec::new(),
        }) as u32;
        let (slab, seed) = (&self.slab, &self.seed);
        let rehash = |n: &u32| hash_topic(seed, slab[*n as usize].session.client_id());
        self.by_client_id.insert_unique(hash, number, rehash);
        number
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<SessionEntry> {
        let entry = self.slab.try_remove(number as usize)?;
        let hash = self.hash(entry.session.client_id());
        if let Ok(found) = self.by_client_id.find_entry(hash, |n| *n == number) {
            found.remove();
        }
        if self.slab.is_empty() {
            self.slab.shrink_to_fit();
            self.by_client_id = HashTable::new();
        }
        Some(entry)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut SessionEntry> {
        self.slab.get_mut(number as usize)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&SessionEntry> {
        self.slab.get(number as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}
