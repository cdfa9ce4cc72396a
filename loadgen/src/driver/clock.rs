//! One monotonic clock for every publisher and subscriber of a run.

use std::time::Instant;

/// Nanoseconds since the clock was made; every worker has a copy of the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Now, nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}
