//! The clock of a shard, read once a turn.

use ringtail_mqtt::time::Millis;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 at the start, from there on monotonic: so a deadline means the same after a restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_ms: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let start_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        Self { start: Instant::now(), start_ms }
    }

    pub(crate) fn now(&self) -> Millis {
        self.at(self.now_us())
    }

    /// The time at a reading of [`Clock::now_us`].
    pub(crate) fn at(&self, now_us: u64) -> Millis {
        Millis(self.start_ms + now_us / 1_000)
    }

    /// CPU time of this thread, microseconds, the kernel's work for it included. A system call: not for every turn.
    pub(crate) fn cpu_us(&self) -> u64 {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        spent.tv_sec as u64 * 1_000_000 + spent.tv_nsec as u64 / 1_000
    }

    /// Microseconds since the start.
    pub(crate) fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}
