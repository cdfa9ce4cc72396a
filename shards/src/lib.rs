//! What runs on a core: the executor, the wire (io_uring), the mesh (rings between shards), routing (tries) and the turn.
//!
//! Depends on `ringtail-mqtt` and `ringtail-storage`. Architecture invariants: a shard owns everything that it touches;
//! no lock and no shared map is on the message path; nothing blocks but the park at the end of a turn.

pub mod config;
pub mod mesh;

// The model checker replaces the mesh's atomics by its own; nothing else of the crate is compiled for it.
#[cfg(not(loom))]
mod arena;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod executor;
#[cfg(not(loom))]
mod home;
#[cfg(not(loom))]
pub mod journal;
#[cfg(not(loom))]
pub mod routing;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod shard;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
pub mod wire;

#[cfg(not(loom))]
pub use counters::Counters;
#[cfg(not(loom))]
pub use executor::ExecutorError;
#[cfg(not(loom))]
pub use server::{Server, ShardPlace, StartError, StopError, Watch, start};

/// A set of shards, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardSet(u128);

/// The number of a shard, below [`config::SHARDS_MAX`].
pub type ShardId = u8;

impl ShardSet {
    /// The set of one shard.
    #[must_use]
    pub const fn of(shard: ShardId) -> Self {
        Self(1 << shard)
    }

    /// True when no shard is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True when `shard` is in the set.
    #[must_use]
    pub const fn contains(self, shard: ShardId) -> bool {
        self.0 >> shard & 1 == 1
    }

    /// Adds a shard.
    pub const fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard;
    }

    /// Removes a shard.
    pub const fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << shard);
    }

    /// The shards of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Iterator for ShardSet {
    type Item = ShardId;

    fn next(&mut self) -> Option<ShardId> {
        let shard = self.0.trailing_zeros() as ShardId;
        (self.0 != 0).then(|| {
            self.remove(shard);
            shard
        })
    }
}
