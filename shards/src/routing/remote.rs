//! What all shards have, as far as a publisher's shard must know it: which shards have a subscriber for a topic, and
//! how many members of which shared subscriptions.
//!
//! Filters without wildcards are known by their 64-bit hash alone: 12 bytes each. A collision sends a message to a
//! shard that has no use for it; that shard matches again and drops it.

use super::announcement::Announcement;
use super::filters::{FilterMap, has_wildcards};
use super::hash::{Seed, mix};
use super::strategy::Strategy;
use super::trie::Walk;
use crate::arena::Arena;
use crate::table::{Entry, Table};
use crate::{ShardId, ShardSet};

/// Which shards a message goes to.
pub struct Remote {
    seed: Seed,
    strategy: Strategy,
    exact: Table<Fingerprint>,
    /// The sets of the fingerprints that more than one shard has.
    sets: Arena<ShardSet>,
    wildcards: FilterMap<ShardSet>,
    groups: FilterMap<Vec<GroupShards>>,
    walk: Walk,
    matched: Vec<u32>,
}

/// A filter without wildcards, by its hash.
#[derive(Clone, Copy)]
struct Fingerprint {
    hash: [u32; 2],
    shards: Shards,
}

const _: () = assert!(size_of::<Fingerprint>() == 12);

/// One shard; or, with the top bit, the number of a set.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shards(u32);

impl Shards {
    const SET: u32 = 1 << 31;
    const NONE: Self = Self(u32::MAX);

    fn of(self, sets: &Arena<ShardSet>) -> ShardSet {
        if self.0 & Self::SET == 0 {
            return ShardSet::of(self.0 as ShardId);
        }
        sets.get(self.0 & !Self::SET).copied().unwrap_or_default()
    }
}

impl Entry for Fingerprint {
    const EMPTY: Self = Self { hash: [0; 2], shards: Shards::NONE };

    #[inline]
    fn is_empty(&self) -> bool {
        self.shards == Shards::NONE
    }

    #[inline]
    fn tag(&self) -> u32 {
        self.hash[1]
    }
}

impl Fingerprint {
    #[inline]
    fn is(&self, hash: u64) -> bool {
        self.hash[0] == hash as u32
    }
}

/// The members of one shared subscription, by shard.
pub struct GroupShards {
    name: Box<str>,
    filter: Box<str>,
    key: u64,
    strategy: Strategy,
    members: Vec<Members>,
    /// Messages so far: whose turn it is.
    turn: u64,
    last: Option<ShardId>,
}

#[derive(Clone, Copy)]
struct Members {
    shard: ShardId,
    online: u32,
    offline: u32,
}

impl Remote {
    /// Nothing known yet. `seed` is that of all shards.
    #[must_use]
    pub fn new(seed: Seed, strategy: Strategy) -> Self {
        Self {
            seed,
            strategy,
            exact: Table::new(),
            sets: Arena::new(),
            wildcards: FilterMap::new(seed),
            groups: FilterMap::new(seed),
            walk: Walk::default(),
            matched: Vec::new(),
        }
    }

    /// Takes in what shard `from` has announced. A shard applies the announcements of groups that it makes itself, too.
    pub fn apply(&mut self, from: ShardId, announcement: &Announcement) {
        match announcement {
            Announcement::Add(filter) if has_wildcards(filter) => self.add_wildcard(from, filter),
            Announcement::Add(filter) => self.add_exact(from, self.seed.hash(filter.as_bytes())),
            Announcement::Remove(filter) if has_wildcards(filter) => self.remove_wildcard(from, filter),
            Announcement::Remove(filter) => self.remove_exact(from, self.seed.hash(filter.as_bytes())),
            Announcement::Group { group, filter, online, offline } => {
                self.set_members(group, filter, Members { shard: from, online: *online, offline: *offline });
            }
        }
    }

    /// The shards that may have subscribers for `topic_name`, whose hash is `hash`.
    #[inline]
    pub fn shards_for(&mut self, topic_name: &str, hash: u64) -> ShardSet {
        let exact = self.exact.find(hash, |entry| entry.is(hash));
        let mut shards = exact.map_or(ShardSet::default(), |entry| entry.shards.of(&self.sets));
        self.wildcards.matches(topic_name, hash, &mut self.walk, |id| {
            shards = shards.union(self.wildcards.get(id).copied().unwrap_or_default());
        });
        shards
    }

    /// True when a shared subscription is known; most servers have none, and need not ask which match.
    #[inline]
    #[must_use]
    pub fn has_groups(&self) -> bool {
        self.groups.len() > 0
    }

    /// Calls `visit` for each shared subscription that matches `topic_name`, whose hash is `hash`.
    pub fn groups_for(&mut self, topic_name: &str, hash: u64, mut visit: impl FnMut(&mut GroupShards)) {
        let Self { groups, walk, matched, .. } = self;
        matched.clear();
        groups.matches(topic_name, hash, walk, |id| matched.push(id));
        for id in matched {
            groups.get_mut(*id).into_iter().flatten().for_each(&mut visit);
        }
    }

    /// Filters without wildcards (by hash), filters with, and filters of shared subscriptions that are known.
    #[must_use]
    pub fn len(&self) -> (usize, usize, usize) {
        (self.exact.len(), self.wildcards.len(), self.groups.len())
    }

    /// True when no shard has announced anything that still holds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0, 0)
    }

    /// Bytes of memory that the tables take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.exact.memory_bytes()
            + self.sets.memory_bytes()
            + self.wildcards.memory_bytes()
            + self.groups.memory_bytes()
    }

    fn add_exact(&mut self, from: ShardId, hash: u64) {
        let Some(entry) = self.exact.find_mut(hash, |entry| entry.is(hash)) else {
            let hash_halves = [hash as u32, (hash >> 32) as u32];
            self.exact.insert(hash, Fingerprint { hash: hash_halves, shards: Shards(u32::from(from)) });
            return;
        };
        let mut shards = entry.shards.of(&self.sets);
        if shards.contains(from) {
            return;
        }
        shards.insert(from);
        if entry.shards.0 & Shards::SET == 0 {
            entry.shards = Shards(self.sets.insert(shards) | Shards::SET);
        } else if let Some(set) = self.sets.get_mut(entry.shards.0 & !Shards::SET) {
            *set = shards;
        }
    }

    fn remove_exact(&mut self, from: ShardId, hash: u64) {
        let Some(entry) = self.exact.find_mut(hash, |entry| entry.is(hash)) else { return };
        let mut shards = entry.shards.of(&self.sets);
        shards.remove(from);
        let set = entry.shards.0 & !Shards::SET;
        let in_sets = entry.shards.0 & Shards::SET != 0;
        match (shards.next(), shards.next()) {
            (None, _) => {
                self.exact.remove(hash, |entry| entry.is(hash));
            }
            (Some(one), None) if in_sets => {
                entry.shards = Shards(u32::from(one));
                self.sets.remove(set);
            }
            _ => {
                if let Some(set) = self.sets.get_mut(set).filter(|_| in_sets) {
                    set.remove(from);
                }
            }
        }
    }

    fn add_wildcard(&mut self, from: ShardId, filter: &str) {
        let (id, _) = self.wildcards.find_or_insert(filter);
        if let Some(shards) = self.wildcards.get_mut(id) {
            shards.insert(from);
        }
    }

    fn remove_wildcard(&mut self, from: ShardId, filter: &str) {
        let Some(id) = self.wildcards.find(filter) else { return };
        let Some(shards) = self.wildcards.get_mut(id) else { return };
        shards.remove(from);
        if shards.is_empty() {
            self.wildcards.remove(id);
        }
    }

    fn set_members(&mut self, group: &str, filter: &str, members: Members) {
        let (id, _) = self.groups.find_or_insert(filter);
        let Some(groups) = self.groups.get_mut(id) else { return };
        let place = groups.iter().position(|known| *known.name == *group).unwrap_or_else(|| {
            let key = self.seed.hash_group(group, filter);
            groups.push(GroupShards::new((group, filter), key, self.strategy));
            groups.len() - 1
        });
        groups[place].set(members);
        if groups[place].members.is_empty() {
            groups.swap_remove(place);
        }
        if groups.is_empty() {
            self.groups.remove(id);
        }
    }
}

impl GroupShards {
    fn new((name, filter): (&str, &str), key: u64, strategy: Strategy) -> Self {
        Self { name: name.into(), filter: filter.into(), key, strategy, members: Vec::new(), turn: 0, last: None }
    }

    /// The Share Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The filter, without `$share/` and the Share Name.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// What names the group on its members' shards: [`Shared::by_key`](super::Shared::by_key).
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The shards with members.
    #[must_use]
    pub fn shards(&self) -> ShardSet {
        self.members.iter().fold(ShardSet::default(), |shards, members| shards.union(ShardSet::of(members.shard)))
    }

    /// The shard whose member takes a message: weighted by the members online, or by those offline when none is online
    /// anywhere. Shards of `passed_over`, where no member could take it, do not count. `key` is that of
    /// [`Strategy::key`].
    pub fn pick(&mut self, key: u64, passed_over: ShardSet) -> Option<ShardId> {
        let online = self.weigh(passed_over, |members| members.online);
        let (total, weight): (u64, fn(&Members) -> u32) = match online {
            0 => (self.weigh(passed_over, |members| members.offline), |members| members.offline),
            online => (online, |members| members.online),
        };
        if total == 0 {
            return None;
        }
        let able = |members: &&Members| !passed_over.contains(members.shard) && weight(members) > 0;
        let sticks = self.last.filter(|last| self.members.iter().filter(able).any(|members| members.shard == *last));
        let mut position = match self.strategy {
            Strategy::Sticky if sticks.is_some() => return sticks,
            Strategy::HashPublisher | Strategy::HashTopic => u64::from(key as u32) % total,
            Strategy::Random => mix(self.turn ^ self.key) % total,
            _ => self.turn % total,
        };
        self.turn += 1;
        let chosen = self.members.iter().filter(able).find(|members| {
            let here = position < u64::from(weight(members));
            position = position.saturating_sub(u64::from(weight(members)));
            here
        });
        self.last = chosen.map(|members| members.shard);
        self.last
    }

    fn weigh(&self, passed_over: ShardSet, weight: impl Fn(&Members) -> u32) -> u64 {
        let able = self.members.iter().filter(|members| !passed_over.contains(members.shard));
        able.map(|members| u64::from(weight(members))).sum()
    }

    fn set(&mut self, members: Members) {
        self.members.retain(|known| known.shard != members.shard);
        if members.online > 0 || members.offline > 0 {
            let place = self.members.partition_point(|known| known.shard < members.shard);
            self.members.insert(place, members);
        }
    }
}
