//! How a shard waits between turns: not at all, a little to take more at once, or parked until something happens.

use crate::config::Pacing;
use crate::counters::Counters;
use crate::shard::Core;
use crate::shard::clock::Clock;
use crate::shard::pace::{Pace, Paced};
use crate::wire::Wait;
use std::time::Duration;

/// How long the journal waits at least before it tries again what it could not do, milliseconds.
const JOURNAL_MS: u64 = 10;
/// How often a stopping shard looks whether its time is over, milliseconds.
const STOPPING_LOOKS_MS: u64 = 50;

/// The state of waiting.
pub(crate) struct Idle {
    spin_us: u64,
    pace: Pace,
    last_work_us: u64,
    work: usize,
    input: usize,
    more: bool,
}

impl Idle {
    pub(crate) fn new(spin_us: u32, pacing: Pacing) -> Self {
        let pace = Pace::new(pacing);
        Self { spin_us: spin_us.into(), pace, last_work_us: 0, work: 0, input: 0, more: false }
    }

    /// How to wait before the next turn.
    pub(crate) fn wait(&mut self, core: &mut Core, clock: &Clock) -> Wait {
        let now_us = clock.now_us();
        if self.more || !core.requests.is_empty() {
            return Wait::No;
        }
        if self.work > 0 {
            self.last_work_us = now_us;
            if let Some(Paced { completions, up_to_us }) = self.pace.wait(self.input) {
                return Wait::Pace { completions, up_to_us };
            }
            // With neighbours, parking means that they must ring: look once more before.
            if core.shards > 1 {
                return Wait::No;
            }
        }
        if self.spin_us > 0 && now_us - self.last_work_us < self.spin_us {
            return Wait::No;
        }
        if !core.port.prepare_to_sleep() {
            return Wait::No;
        }
        core.local.counters.parks += 1;
        Wait::Park { until: core.sleep_for() }
    }

    /// The wait is over.
    #[inline]
    pub(crate) fn woke(&mut self, now_us: u64, clock: &Clock, counters: &Counters) {
        if self.pace.is_due(now_us) {
            self.pace.look(now_us, clock.cpu_us(), counters);
        }
    }

    /// What the turn did: `work` completions and mails, of which `input` came from clients and other shards, and whether
    /// there is `more` to do at once.
    pub(crate) fn note(&mut self, work: usize, input: usize, more: bool) {
        self.work = work;
        self.input = input;
        self.more = more;
        self.pace.note(input);
    }
}

impl Core {
    /// How long nothing need be done unless something comes.
    fn sleep_for(&self) -> Option<Duration> {
        let timer_ms = self.timers.next().map(|at| at.0.saturating_sub(self.local.now.0));
        let ms = match (timer_ms, self.holds.next_ms()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let journal_ms = self.journal_turn().map(|at| at.0.saturating_sub(self.local.now.0).max(JOURNAL_MS));
        let stopping_ms = self.stopping.then_some(STOPPING_LOOKS_MS);
        ms.into_iter().chain(journal_ms).chain(stopping_ms).min().map(Duration::from_millis)
    }
}
