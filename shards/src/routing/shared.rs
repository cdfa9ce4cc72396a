//! This shard's members of shared subscriptions (4.8.2), and which of them takes a message.

use super::announcement::Announcement;
use super::hash::{Seed, mix};
use super::strategy::Strategy;
use super::subscribers::{List, Place, Subscriber};
use crate::arena::Arena;
use crate::table::{Ref, Table};

/// Members among which the one with the fewest messages in flight is looked for at once: bounds the cost of a message
/// to a large group, whose members' turns still come round.
const INFLIGHT_WINDOW: usize = 256;

/// A shared subscription that has members on this shard; the number is free again when it has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct GroupId(u32);

/// What [`Shared::join`] did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The group, to be kept by the session.
    pub group: GroupId,
    /// The session was a member already; the new options replaced the old.
    pub existed: bool,
    /// What all shards, this one too, must hear before the SUBACK leaves.
    pub announcement: Option<Announcement>,
}

/// The shared subscriptions of the sessions of one shard.
pub struct Shared {
    seed: Seed,
    strategy: Strategy,
    groups: Arena<Group>,
    by_key: Table<Ref>,
    picks: u64,
}

struct Group {
    name: Box<str>,
    filter: Box<str>,
    online: List,
    offline: List,
    /// The session that took the last message.
    last: u32,
}

impl Group {
    fn announcement(&self) -> Announcement {
        Announcement::Group {
            group: self.name.clone(),
            filter: self.filter.clone(),
            online: self.online.len() as u32,
            offline: self.offline.len() as u32,
        }
    }
}

impl Shared {
    /// No groups yet. `seed` is that of all shards.
    #[must_use]
    pub fn new(seed: Seed, strategy: Strategy) -> Self {
        Self { seed, strategy, groups: Arena::new(), by_key: Table::new(), picks: 0 }
    }

    /// Groups that have a member on this shard.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// True without any group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.len() == 0
    }

    /// Makes a session a member, or replaces its options. `filter` is without `$share/` and the Share Name.
    pub fn join(&mut self, group: &str, filter: &str, online: bool, subscriber: Subscriber) -> Joined {
        let id = self.find(group, filter).unwrap_or_else(|| self.insert(group, filter));
        let Some(found) = self.groups.get_mut(id.0) else {
            return Joined { group: id, existed: false, announcement: None };
        };
        let (here, there) =
            if online { (&mut found.online, &mut found.offline) } else { (&mut found.offline, &mut found.online) };
        let moved = there.remove(subscriber.session).is_some();
        let existed = here.insert(subscriber).is_some();
        Joined { group: id, existed: existed || moved, announcement: (!existed).then(|| found.announcement()) }
    }

    fn insert(&mut self, group: &str, filter: &str) -> GroupId {
        let id = self.groups.insert(Group {
            name: group.into(),
            filter: filter.into(),
            online: List::Empty,
            offline: List::Empty,
            last: u32::MAX,
        });
        let key = self.seed.hash_group(group, filter);
        self.by_key.insert(key, Ref::new(key, id));
        GroupId(id)
    }

    /// The group of a Share Name and a filter.
    #[must_use]
    pub fn find(&self, group: &str, filter: &str) -> Option<GroupId> {
        let key = self.seed.hash_group(group, filter);
        let is = |entry: &Ref| self.groups.get(entry.id).is_some_and(|g| *g.name == *group && *g.filter == *filter);
        self.by_key.find(key, is).map(|entry| GroupId(entry.id))
    }

    /// The group of a [`GroupShards::key`](super::GroupShards::key).
    #[must_use]
    pub fn by_key(&self, key: u64) -> Option<GroupId> {
        let is =
            |entry: &Ref| self.groups.get(entry.id).is_some_and(|g| self.seed.hash_group(&g.name, &g.filter) == key);
        self.by_key.find(key, is).map(|entry| GroupId(entry.id))
    }

    /// The Share Name and the filter of a group.
    #[must_use]
    pub fn name(&self, group: GroupId) -> Option<(&str, &str)> {
        self.groups.get(group.0).map(|group| (&*group.name, &*group.filter))
    }

    /// A session's membership.
    #[must_use]
    pub fn member(&self, group: GroupId, session: u32) -> Option<&Subscriber> {
        let group = self.groups.get(group.0)?;
        group.online.get(session).or_else(|| group.offline.get(session))
    }

    /// Ends a membership; what all shards must hear, or `None` when there was none.
    pub fn leave(&mut self, group: GroupId, session: u32) -> Option<Announcement> {
        let found = self.groups.get_mut(group.0)?;
        found.online.remove(session).or_else(|| found.offline.remove(session))?;
        let announcement = found.announcement();
        if found.online.is_empty() && found.offline.is_empty() {
            let key = self.seed.hash_group(&found.name, &found.filter);
            self.by_key.remove(key, |entry| entry.id == group.0);
            self.groups.remove(group.0);
        }
        Some(announcement)
    }

    /// Says that a member's client has connected or gone; what all shards must hear, or `None` when nothing changed.
    pub fn set_online(&mut self, group: GroupId, session: u32, online: bool) -> Option<Announcement> {
        let found = self.groups.get_mut(group.0)?;
        let (to, from) =
            if online { (&mut found.online, &mut found.offline) } else { (&mut found.offline, &mut found.online) };
        to.insert(from.remove(session)?);
        Some(found.announcement())
    }

    /// The member that takes a message, `None` if none can: one that is online, else one that is not. A member for
    /// which `can_take` is false is passed over. `key` is that of [`Strategy::key`]; `inflight` is asked by
    /// [`Strategy::LeastInflight`] only.
    pub fn pick(
        &mut self,
        group: GroupId,
        key: u64,
        mut can_take: impl FnMut(u32) -> bool,
        mut inflight: impl FnMut(u32) -> u32,
    ) -> Option<Subscriber> {
        let group = self.groups.get_mut(group.0)?;
        self.picks += 1;
        let choice = match self.strategy {
            Strategy::Random => mix(self.picks),
            // The lower half has chosen the shard.
            _ => key >> 32,
        };
        let picked =
            [&group.online, &group.offline].into_iter().filter(|members| !members.is_empty()).find_map(|members| {
                let first = first_candidate(members, self.strategy, group.last, choice);
                let mut able = members.round_from(first).filter(|member| can_take(member.session));
                match self.strategy {
                    Strategy::LeastInflight => {
                        able.take(INFLIGHT_WINDOW).min_by_key(|member| inflight(member.session)).copied()
                    }
                    _ => able.next().copied(),
                }
            })?;
        group.last = picked.session;
        Some(picked)
    }
}

/// The member that is asked first; the others follow it.
fn first_candidate(members: &List, strategy: Strategy, last: u32, choice: u64) -> Place {
    match strategy {
        Strategy::RoundRobin | Strategy::LeastInflight => members.place_of(last.wrapping_add(1)),
        Strategy::Sticky => members.place_of(last),
        Strategy::Random | Strategy::HashPublisher | Strategy::HashTopic => {
            members.place_at((choice % members.len() as u64) as usize)
        }
    }
}
