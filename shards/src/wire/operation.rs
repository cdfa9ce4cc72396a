//! What an entry of the ring is about: packed into the 64 bits that come back with its completion.
//!
//! ```text
//!  63      56 55            32 31                     0
//! +----------+----------------+------------------------+
//! |   kind   |      slot      |  token, or a slab key  |
//! +----------+----------------+------------------------+
//! ```

use super::Slot;

/// The kinds of operation, and of message from a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nobody waits for it: a cancellation, or a wake-up that could not be delivered.
    Ignored,
    Receive,
    Send,
    Accept,
    Connect,
    Install,
    Shutdown,
    Close,
    HandOver,
    Sync,
    Write,
    Bell,
    /// A neighbour's wake-up; made by the neighbour, not by this ring.
    Rung,
    /// A neighbour's descriptor; the low 56 bits are the neighbour's token.
    Arrived,
}

/// The bits of an arrived descriptor's token.
pub(super) const HANDOVER_TOKEN_BITS: u32 = 56;

const KINDS: [Kind; 14] = [
    Kind::Ignored,
    Kind::Receive,
    Kind::Send,
    Kind::Accept,
    Kind::Connect,
    Kind::Install,
    Kind::Shutdown,
    Kind::Close,
    Kind::HandOver,
    Kind::Sync,
    Kind::Write,
    Kind::Bell,
    Kind::Rung,
    Kind::Arrived,
];

/// A kind, a slot and a token (or a slab's key) in one word.
pub(super) const fn pack(kind: Kind, slot: Slot, token: u32) -> u64 {
    (kind as u64) << 56 | (slot.0 as u64) << 32 | token as u64
}

/// A word for an operation that has no slot.
pub(super) const fn pack_key(kind: Kind, key: usize) -> u64 {
    (kind as u64) << 56 | key as u32 as u64
}

/// A word for a descriptor on its way to a neighbour.
pub(super) const fn pack_handover(token: u64) -> u64 {
    (Kind::Arrived as u64) << HANDOVER_TOKEN_BITS | token
}

pub(super) fn kind(word: u64) -> Kind {
    KINDS.get((word >> 56) as usize).copied().unwrap_or(Kind::Ignored)
}

pub(super) const fn slot(word: u64) -> Slot {
    Slot((word >> 32) as u32 & 0x00ff_ffff)
}

pub(super) const fn token(word: u64) -> u32 {
    word as u32
}

pub(super) const fn key(word: u64) -> usize {
    word as u32 as usize
}

pub(super) const fn handover_token(word: u64) -> u64 {
    word & ((1 << HANDOVER_TOKEN_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back() {
        for (number, expected) in KINDS.into_iter().enumerate() {
            assert_eq!(expected as usize, number);
            let word = pack(expected, Slot(0x00ab_cdef), 0x8765_4321);
            assert_eq!((kind(word), slot(word), token(word)), (expected, Slot(0x00ab_cdef), 0x8765_4321));
        }
        let word = pack_handover((1 << 56) - 1);
        assert_eq!((kind(word), handover_token(word)), (Kind::Arrived, (1 << 56) - 1));
    }
}
