//! How far messages to retain have come on their way from the shard that routed them to the shard that keeps them.
//!
//! The shards count them, for each pair of them. So a message to retain has a [`Tag`] that says which shard routed it and
//! as which of those for its keeper, and a shard can say up to where it has sent and taken them. With that a new
//! subscriber's shard tells what comes to the subscriber as it is published from what it has to ask for: see
//! [`scans`](super::scans).

use crate::ShardId;

/// Which message to retain it is, among those of all shards for one keeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u64);

impl Tag {
    const COUNT_BITS: u32 = 56;

    pub(crate) fn new(origin: ShardId, count: u64) -> Self {
        Self(u64::from(origin) << Self::COUNT_BITS | count)
    }

    /// The shard that routed it.
    pub(crate) fn origin(self) -> ShardId {
        (self.0 >> Self::COUNT_BITS) as ShardId
    }

    /// It is this one of those from there to the keeper, counted from 1; 0 for what a data folder held.
    pub(crate) fn count(self) -> u64 {
        self.0 & ((1 << Self::COUNT_BITS) - 1)
    }
}

/// Where a message to retain goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub keeper: ShardId,
    pub tag: Tag,
}

/// The counts of one shard.
pub(crate) struct Retentions {
    id: ShardId,
    /// How many it has sent to each keeper.
    sent: Box<[u64]>,
    /// How many it has taken from each shard.
    taken: Box<[u64]>,
}

impl Retentions {
    pub(crate) fn new(id: ShardId, shards: u8) -> Self {
        let zeros = || vec![0; usize::from(shards)].into_boxed_slice();
        Self { id, sent: zeros(), taken: zeros() }
    }

    /// The next message that this shard sends to a keeper.
    pub(crate) fn next(&self, keeper: ShardId) -> Retention {
        Retention { keeper, tag: Tag::new(self.id, self.sent[usize::from(keeper)] + 1) }
    }

    /// That message is on its way; one that could not be sent does not count.
    pub(crate) fn note_sent(&mut self, keeper: ShardId) {
        self.sent[usize::from(keeper)] += 1;
    }

    /// A message for this keeper has been taken.
    pub(crate) fn note_taken(&mut self, tag: Tag) {
        self.taken[usize::from(tag.origin())] = tag.count();
    }

    pub(crate) fn sent(&self) -> &[u64] {
        &self.sent
    }

    pub(crate) fn taken(&self) -> &[u64] {
        &self.taken
    }
}

/// How many messages to retain each shard had sent to each other at one moment of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fence {
    /// A row for each shard, with a column for each keeper.
    sent: Box<[u64]>,
    shards: usize,
}

impl Fence {
    pub(crate) fn new(shards: u8) -> Self {
        let shards = usize::from(shards);
        Self { sent: vec![0; shards * shards].into(), shards }
    }

    /// What one of the shards had sent to each keeper.
    pub(crate) fn note(&mut self, origin: ShardId, sent: &[u64]) {
        let start = usize::from(origin) * self.shards;
        self.sent[start..start + self.shards].copy_from_slice(sent);
    }

    /// Whether a message was sent to its keeper before.
    pub(crate) fn is_after(&self, tag: Tag, keeper: ShardId) -> bool {
        tag.count() <= self.sent_by(usize::from(tag.origin()), keeper)
    }

    /// Whether a keeper has everything that was sent to it before; it has `taken` so many from each shard.
    pub(crate) fn is_reached(&self, keeper: ShardId, taken: &[u64]) -> bool {
        taken.iter().enumerate().all(|(origin, taken)| *taken >= self.sent_by(origin, keeper))
    }

    fn sent_by(&self, origin: usize, keeper: ShardId) -> u64 {
        self.sent[origin * self.shards + usize::from(keeper)]
    }
}
