//! The flag by which a shard tells its neighbours that they must ring, and the order that makes it safe.
//!
//! The shard that goes to sleep raises its flag and then looks at its rings once more; a neighbour publishes and then looks
//! at the flag. Both put a full fence between the two, so at least one of them sees the other: either the shard sees the
//! message and stays awake, or the neighbour sees the flag and rings. A wake-up cannot be lost.

use super::sync::{AtomicBool, Ordering, fence};
use crossbeam::utils::CachePadded;

/// A shard's word that it is about to park, or has parked.
#[derive(Debug)]
pub(super) struct Asleep(CachePadded<AtomicBool>);

impl Asleep {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicBool::new(false)))
    }

    /// Called by the shard that is going to sleep, before it looks at its rings for the last time.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Called by the shard that woke up.
    pub(super) fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Called by a neighbour after it published and passed [`full_fence`]. True when the caller must ring; of several
    /// neighbours only one is told so.
    pub(super) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Orders what was published before it against the [`Asleep`] flags and starved flags that are read after it.
pub(super) fn full_fence() {
    fence(Ordering::SeqCst);
}
