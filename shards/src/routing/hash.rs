//! The keyed hash of topics and levels.
//!
//! Clients choose what is hashed, so the hash is keyed (SipHash-1-3): nobody outside can make topics that collide.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// The secret key of the process, drawn once at start; all shards share it, so that a hash means the same on each.
#[derive(Clone, Copy)]
pub struct Seed {
    keyed: SipHasher13,
    #[cfg(test)]
    mask: u64,
}

impl Seed {
    /// A seed of two random numbers. The same numbers give the same hashes, which a simulation relies on.
    #[must_use]
    pub fn new(key: [u64; 2]) -> Self {
        Self {
            keyed: SipHasher13::new_with_keys(key[0], key[1]),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    /// A seed whose hashes keep only the bits of `mask`, so that a test meets collisions.
    #[cfg(test)]
    pub(crate) fn weak(mask: u64) -> Self {
        Self { mask, ..Self::new([1, 2]) }
    }

    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let hash = self.keyed.hash(bytes);
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }

    /// The hash of a shared subscription; a share name holds no `/`, so the two parts cannot be confused.
    pub(crate) fn hash_group(&self, group: &str, filter: &str) -> u64 {
        let mut keyed = self.keyed;
        keyed.write(group.as_bytes());
        keyed.write(b"/");
        keyed.write(filter.as_bytes());
        keyed.finish()
    }
}

/// The hash of a topic name, or of a filter without wildcards: what tells the shards where it lives.
#[inline]
#[must_use]
pub fn hash_topic(seed: &Seed, topic: &str) -> u64 {
    seed.hash(topic.as_bytes())
}

/// Spreads the bits of a counter or a key over 64 bits.
#[inline]
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
