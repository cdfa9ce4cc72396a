//! How a shard waits between turns: not at all, a little to take more at once, or parked until something happens.

use crate::config::Pacing;
use crate::shard::Core;
use crate::shard::clock::Clock;
use crate::wire::Wait;
use std::time::Duration;

/// Pieces of input in one turn from which on waiting for more pays: the more connections have something to say, the more of
/// them say twice as much a little later. What was sent does not count: one publisher to many subscribers leaves nothing
/// to wait for.
const LOADED: usize = 8;
/// Completions that a paced wait asks for.
const PACE_COMPLETIONS: u32 = 256;
/// Over how many microseconds the load is measured.
const WINDOW_US: u64 = 2_000;
/// A shard that spends more than this share of a CPU is saturated: it waits a step longer, to take more at once. Below, a wait
/// would cost those who have CPU time to spare their latency.
const BUSY_ABOVE_PERCENT: u64 = 96;
/// A shard that spends less than this share has time to spare: it waits a step less.
const BUSY_BELOW_PERCENT: u64 = 85;
/// The step.
const PACE_STEP_US: u32 = 10;
/// How long the journal waits at least before it tries again what it could not do, milliseconds.
const JOURNAL_MS: u64 = 10;
/// How often a stopping shard looks whether its time is over, milliseconds.
const STOPPING_LOOKS_MS: u64 = 50;

/// The state of waiting.
pub(crate) struct Idle {
    spin_us: u64,
    pace_max_us: u32,
    /// How long a paced wait may last now.
    pace_us: u32,
    last_work_us: u64,
    work: usize,
    input: usize,
    more: bool,
    window_start_us: u64,
    window_cpu_us: u64,
}

impl Idle {
    pub(crate) fn new(spin_us: u32, pacing: Pacing) -> Self {
        let pace_max_us = match pacing {
            Pacing::Latency => 0,
            Pacing::Balanced => 100,
            Pacing::Throughput => 300,
        };
        Self {
            spin_us: spin_us.into(),
            pace_max_us,
            pace_us: 0,
            last_work_us: 0,
            work: 0,
            input: 0,
            more: false,
            window_start_us: 0,
            window_cpu_us: 0,
        }
    }

    /// How to wait before the next turn.
    pub(crate) fn wait(&mut self, core: &mut Core, clock: &Clock) -> Wait {
        let now_us = clock.now_us();
        if self.more || !core.requests.is_empty() {
            return Wait::No;
        }
        if self.work > 0 {
            self.last_work_us = now_us;
            if self.input >= LOADED && self.pace_us > 0 {
                return Wait::Pace { completions: PACE_COMPLETIONS, up_to_us: self.pace_us };
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

    /// The wait is over. Once in a while, looks how busy the shard was and paces it by that. Busy is what the thread
    /// spent of the CPU: most of a loaded shard's work is done by the kernel inside the call that also waits, so the time
    /// in that call says nothing.
    pub(crate) fn woke(&mut self, now_us: u64, clock: &Clock) {
        let window_us = now_us - self.window_start_us;
        if window_us < WINDOW_US || self.pace_max_us == 0 {
            return;
        }
        let cpu_us = clock.cpu_us();
        self.pace_by((cpu_us - self.window_cpu_us) * 100 / window_us);
        self.window_start_us = now_us;
        self.window_cpu_us = cpu_us;
    }

    fn pace_by(&mut self, busy_percent: u64) {
        if busy_percent > BUSY_ABOVE_PERCENT {
            self.pace_us = (self.pace_us + PACE_STEP_US).min(self.pace_max_us);
        } else if busy_percent < BUSY_BELOW_PERCENT {
            self.pace_us = self.pace_us.saturating_sub(PACE_STEP_US);
        }
    }

    /// What the turn did: `work` completions and mails, of which `input` came from clients and other shards, and whether
    /// there is `more` to do at once.
    pub(crate) fn note(&mut self, work: usize, input: usize, more: bool) {
        self.work = work;
        self.input = input;
        self.more = more;
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
        let ms = ms.into_iter().chain(journal_ms).min();
        let stopping_ms = self.stopping.then_some(STOPPING_LOOKS_MS);
        ms.or(stopping_ms).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::shard::rig::Rig;

    #[test]
    fn waits_for_more_only_when_saturated_and_only_for_many() {
        let mut rig = Rig::new(Config::default());
        let (core, clock) = (&mut rig.cores[0], Clock::new());
        let mut idle = Idle::new(0, Pacing::Balanced);
        let mut paces = |idle: &mut Idle, work, input, more| {
            idle.note(work, input, more);
            matches!(idle.wait(core, &clock), Wait::Pace { .. })
        };
        idle.pace_by(BUSY_ABOVE_PERCENT);
        assert!(!paces(&mut idle, 100, 100, false), "not saturated");
        idle.pace_by(100);
        assert!(paces(&mut idle, 100, 100, false));
        assert!(!paces(&mut idle, 500, 1, false), "one publisher to many subscribers");
        assert!(!paces(&mut idle, 100, 100, true), "there is more to do at once");
        idle.pace_by(BUSY_BELOW_PERCENT);
        assert!(paces(&mut idle, 100, 100, false), "neither up nor down");
        idle.pace_by(BUSY_BELOW_PERCENT - 1);
        assert!(!paces(&mut idle, 100, 100, false));
        (0..100).for_each(|_| idle.pace_by(100));
        assert_eq!(idle.pace_us, 100);
        let mut latency = Idle::new(0, Pacing::Latency);
        latency.pace_by(100);
        assert!(!paces(&mut latency, 100, 100, false));
    }
}
