//! One monotonic clock for every publisher and subscriber of a run.

use std::time::Instant;

/// Nanoseconds since the clock was made; every worker has a copy of the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    /// What another host's clock, whose time this one tells, is ahead.
    ahead_ns: i64,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), ahead_ns: 0 }
    }

    /// This clock, `ahead_ns` further.
    pub(crate) fn moved(self, ahead_ns: i64) -> Self {
        Self { ahead_ns: self.ahead_ns + ahead_ns, ..self }
    }

    /// Now, nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        (self.began.elapsed().as_nanos() as u64).saturating_add_signed(self.ahead_ns)
    }
}
