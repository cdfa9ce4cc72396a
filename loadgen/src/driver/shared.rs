//! What workers and the coordinator tell each other while a run goes on: times, a stage, and counters.
//!
//! Each counter has one writer and is only ever stored whole, once a turn; nothing on the message path is shared.

use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Connections are being made.
    Ramp = 0,
    /// Messages are sent from [`Shared::start_ns`] to [`Shared::end_ns`], and waited for afterwards.
    Load = 1,
    /// Everybody disconnects.
    Teardown = 2,
}

/// Shared by the coordinator and all workers of a run.
#[derive(Debug)]
pub(crate) struct Shared {
    stage: AtomicU8,
    start_ns: AtomicU64,
    measure_ns: AtomicU64,
    end_ns: AtomicU64,
    clock_error_ns: AtomicU64,
    first_error: Mutex<Option<String>>,
    /// One a worker.
    pub(crate) counters: Box<[Counters]>,
}

/// The times of a run on its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// The load begins.
    pub(crate) start_ns: u64,
    /// The measured part begins.
    pub(crate) measure_ns: u64,
    /// Load and measured part end.
    pub(crate) end_ns: u64,
}

impl Times {
    /// True when a message that was due then counts.
    pub(crate) fn is_measured(&self, at_ns: u64) -> bool {
        (self.measure_ns..self.end_ns).contains(&at_ns)
    }
}

impl Shared {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            stage: AtomicU8::new(Stage::Ramp as u8),
            start_ns: AtomicU64::new(u64::MAX),
            measure_ns: AtomicU64::new(u64::MAX),
            end_ns: AtomicU64::new(u64::MAX),
            clock_error_ns: AtomicU64::new(0),
            first_error: Mutex::new(None),
            counters: (0..workers).map(|_| Counters::default()).collect(),
        }
    }

    /// The stage.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Ramp,
            1 => Stage::Load,
            _ => Stage::Teardown,
        }
    }

    /// Lets the load begin at `times`, which lie in the future.
    pub(crate) fn begin_load(&self, times: Times) {
        self.start_ns.store(times.start_ns, Ordering::Relaxed);
        self.measure_ns.store(times.measure_ns, Ordering::Relaxed);
        self.end_ns.store(times.end_ns, Ordering::Relaxed);
        self.stage.store(Stage::Load as u8, Ordering::Release);
    }

    /// Ends the load early.
    pub(crate) fn end_load(&self, now_ns: u64) {
        self.end_ns.fetch_min(now_ns, Ordering::Relaxed);
    }

    /// Lets everybody disconnect.
    pub(crate) fn begin_teardown(&self) {
        self.stage.store(Stage::Teardown as u8, Ordering::Release);
    }

    /// The times of the load; all of them far away before it is known.
    pub(crate) fn times(&self) -> Times {
        Times {
            start_ns: self.start_ns.load(Ordering::Relaxed),
            measure_ns: self.measure_ns.load(Ordering::Relaxed),
            end_ns: self.end_ns.load(Ordering::Relaxed),
        }
    }

    /// Notes what went wrong, if it is the first.
    pub(crate) fn note_error(&self, error: impl FnOnce() -> String) {
        // A worker that panicked while it held the lock has left an error or none; either will do.
        let mut first = self.first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.get_or_insert_with(error);
    }

    /// The first thing that went wrong.
    pub(crate) fn first_error(&self) -> Option<String> {
        self.first_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Notes by how much the clock of another host may differ; the largest counts.
    pub(crate) fn note_clock_error(&self, ns: u64) {
        self.clock_error_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// The largest difference noted, nanoseconds.
    pub(crate) fn clock_error_ns(&self) -> u64 {
        self.clock_error_ns.load(Ordering::Relaxed)
    }

    /// The sum of all workers' counters.
    pub(crate) fn total(&self) -> Tally {
        self.counters.iter().map(Counters::load).fold(Tally::default(), Tally::plus)
    }
}

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts of one worker, or of all.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct Tally { $($(#[$doc])* pub(crate) $name: u64),+ }

        /// A worker's [`Tally`] where others can see it; on cache lines of its own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters { $($name: AtomicU64),+ }

        impl Counters {
            /// Shows `tally`.
            pub(crate) fn store(&self, tally: &Tally) {
                $(self.$name.store(tally.$name, Ordering::Relaxed);)+
            }

            /// What was shown last.
            pub(crate) fn load(&self) -> Tally {
                Tally { $($name: self.$name.load(Ordering::Relaxed)),+ }
            }
        }

        impl Tally {
            /// The sum.
            #[must_use]
            pub(crate) fn plus(self, other: Self) -> Self {
                Self { $($name: self.$name + other.$name),+ }
            }
        }
    };
}

tally![
    /// Messages published.
    published,
    /// Of them in the measured time.
    published_measured,
    /// Messages delivered.
    delivered,
    /// Of them in the measured time.
    delivered_measured,
    /// Deliveries that the published messages must make.
    expected,
    /// Different messages delivered, of those.
    received,
    /// Messages that are due but not sent, and those that wait for an acknowledgement.
    waiting,
    /// Messages that were due while their publisher could not send: no connection, a full socket or a full window.
    held_back,
    /// Messages that were due and dropped, because too many waited.
    missed_sends,
    /// Workers that have made due all that was due before the load's end.
    through,
    /// Messages of QoS 1 and 2 that were sent again after a reconnection.
    resent,
    /// Messages that the broker refused with a reason code.
    rejected,
    /// Payloads with a wrong checksum.
    corrupted,
    /// Messages for somebody who had not subscribed.
    unexpected,
    /// Connections that are up and subscribed.
    connected,
    /// Clients that are to be up, now or once the load is over.
    wanted,
    /// Clients that were to be up when the run ended and were not.
    absent,
    /// CONNACKs with success.
    established,
    /// CONNACKs and SUBACKs with another reason.
    refused,
    /// Connections that failed before CONNACK.
    failed,
    /// Connections that the other side ended.
    dropped,
    /// Sessions that were to be kept and were not.
    sessions_lost,
    /// Connections that are open in some way.
    open,
    /// Time not spent waiting during the measured part, nanoseconds.
    busy_ns,
    /// CPU time of an agent's process, nanoseconds; of a worker nothing.
    agent_cpu_ns,
    /// Resident memory of an agent's process, bytes; of a worker nothing.
    agent_rss_bytes,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stays_and_totals_add_up() {
        let shared = Shared::new(2);
        shared.note_error(|| "one".into());
        shared.note_error(|| "two".into());
        assert_eq!(shared.first_error().as_deref(), Some("one"));
        for counters in &shared.counters {
            counters.store(&Tally { published: 3, busy_ns: 4, ..Tally::default() });
        }
        assert_eq!(shared.total(), Tally { published: 6, busy_ns: 8, ..Tally::default() });
    }

    #[test]
    fn the_load_can_only_end_earlier() {
        let shared = Shared::new(1);
        assert!(!shared.times().is_measured(5));
        shared.begin_load(Times { start_ns: 10, measure_ns: 20, end_ns: 30 });
        assert_eq!(shared.stage(), Stage::Load);
        shared.end_load(40);
        shared.end_load(25);
        assert!(shared.times().is_measured(20) && !shared.times().is_measured(25) && !shared.times().is_measured(19));
    }
}
