//! Where a client and a retained message belong.
//!
//! The same on every run with as many shards, since what is kept on disk lies with the shard that it belongs to.

use crate::ShardId;
use crate::routing::{Seed, hash_topic};

/// The places of so many shards.
#[derive(Clone, Copy)]
pub(crate) struct Homes {
    seed: Seed,
    shards: u8,
}

impl Homes {
    pub(crate) fn new(shards: u8) -> Self {
        Self { seed: Seed::new(KEY), shards }
    }

    /// The shard of a client identifier's session, or of a topic's retained message.
    pub(crate) fn of(&self, name: &str) -> ShardId {
        (hash_topic(&self.seed, name) % u64::from(self.shards)) as ShardId
    }

    /// What names a shared subscription on disk.
    pub(crate) fn group(&self, share_name: &str, filter: &str) -> u64 {
        self.seed.hash_group(share_name, filter)
    }
}

/// Known to all: who chooses client ids to crowd one shard slows down that shard's clients only, and gains no more than by
/// connecting as often.
const KEY: [u64; 2] = [0x7269_6e67_7461_696c, 0x686f_6d65];
