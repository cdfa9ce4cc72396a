//! The run second by second: counters and the broker's usage as the coordinator samples them, histograms as workers send
//! them.
//!
//! A second's histograms take 1.6 MB, so a long run cannot keep them all: only the latest seconds are whole, of older ones
//! there are figures, and for an interval log the histograms as they are written there.

use super::shared::{Tally, Times};
use super::worker::Second;
use crate::histogram::{Histograms, Metric, Summary};
use crate::process::Usage;
use crate::report::log::LoggedInterval;
use crate::report::{Interval, heat};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

/// Seconds that are whole, because workers may still add to them. A worker cannot be further behind: it has no more
/// histograms to fill.
const OPEN_SECONDS: usize = 4;

/// A look at the counters and at the broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// When, on the run's clock.
    pub(super) at_ns: u64,
    /// All workers' counters.
    pub(super) tally: Tally,
    /// The broker's usage.
    pub(super) broker: Option<Usage>,
    /// The generator's CPU time, nanoseconds.
    pub(super) own_cpu_ns: u64,
}

/// All that was sampled in a run.
#[derive(Debug)]
pub(super) struct Samples {
    /// In order of time.
    pub(super) list: Vec<Sample>,
    /// Histograms of the measured part's latest seconds.
    open: BTreeMap<u64, Histograms>,
    /// What is left of the seconds before.
    closed: BTreeMap<u64, Closed>,
    /// The sum of all seconds' histograms.
    total: Histograms,
    /// Whether the seconds' histograms are kept for an interval log.
    keeps_log: bool,
}

/// What is kept of a second that nobody adds to any more.
#[derive(Debug)]
struct Closed {
    latency_us: Summary,
    heat: Vec<(u16, u64)>,
    /// Its histograms by name and encoded, for an interval log.
    encoded: Option<BTreeMap<String, String>>,
}

impl Samples {
    /// None yet.
    pub(super) fn new(keeps_log: bool) -> Self {
        let (open, closed) = (BTreeMap::new(), BTreeMap::new());
        Self { list: Vec::new(), open, closed, total: Histograms::new(), keeps_log }
    }

    /// Adds the histograms that a worker sent, and gives emptied ones back when nothing needs these.
    pub(super) fn add(&mut self, second: Second) -> Option<Histograms> {
        let Second { number, mut histograms } = second;
        self.total.add(&histograms);
        // What comes too late for its second counts in the first one that is open.
        let first_open = self.closed.last_key_value().map_or(0, |(last, _)| last + 1);
        match self.open.entry(number.max(first_open)) {
            Entry::Vacant(entry) => {
                entry.insert(histograms);
                if self.open.len() > OPEN_SECONDS { self.close_oldest() } else { None }
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().add(&histograms);
                histograms.clear();
                Some(histograms)
            }
        }
    }

    /// Closes the oldest second that is open, and gives its histograms, emptied.
    fn close_oldest(&mut self) -> Option<Histograms> {
        let (number, mut histograms) = self.open.pop_first()?;
        let latency = histograms.get(Metric::Latency);
        let encoded = self.keeps_log.then(|| histograms.encoded());
        self.closed.insert(number, Closed { latency_us: Summary::of(latency), heat: heat(latency), encoded });
        histograms.clear();
        Some(histograms)
    }

    /// The sum of all seconds' histograms.
    pub(super) fn total(&self) -> &Histograms {
        &self.total
    }

    /// The latest second's histograms.
    pub(super) fn latest(&self) -> Option<&Histograms> {
        self.open.values().next_back()
    }

    /// The largest resident memory of the broker.
    pub(super) fn rss_max_bytes(&self) -> u64 {
        self.list.iter().filter_map(|s| Some(s.broker?.rss_bytes)).max().unwrap_or(0)
    }

    /// The longest time that the machine stood still: by how much a sample came too late, nanoseconds.
    pub(super) fn longest_stop_ns(&self) -> u64 {
        let late = |w: &[Sample]| (w[1].at_ns - w[0].at_ns).saturating_sub(1_000_000_000);
        self.list.windows(2).map(late).max().unwrap_or(0)
    }

    /// The report's intervals: between each two samples since the load began.
    pub(super) fn intervals(&self, times: Times) -> Vec<Interval> {
        let during = |s: &Sample| s.at_ns + 500_000_000 >= times.start_ns;
        self.list.windows(2).filter(|w| during(&w[0])).map(|w| self.interval(&w[0], &w[1], times)).collect()
    }

    /// The last of these.
    pub(super) fn last_interval(&self, times: Times) -> Option<Interval> {
        self.list.last_chunk().map(|[from, to]| self.interval(from, to, times))
    }

    /// The latencies of a second, and how they are spread.
    fn latency(&self, second: u64) -> Option<(Summary, Vec<(u16, u64)>)> {
        let closed = self.closed.get(&second).map(|c| (c.latency_us, c.heat.clone()));
        closed.or_else(|| {
            let latency = self.open.get(&second)?.get(Metric::Latency);
            Some((Summary::of(latency), heat(latency)))
        })
    }

    fn interval(&self, from: &Sample, to: &Sample, times: Times) -> Interval {
        let length_ns = to.at_ns - from.at_ns;
        let seconds = (to.at_ns as f64 - times.measure_ns as f64) / 1e9;
        // Samples are taken at whole seconds of the measured part, a little late.
        let latency = (seconds > 0.5).then(|| self.latency(seconds.round() as u64 - 1)).flatten();
        let (latency_us, heat) = latency.unwrap_or_default();
        let broker = from.broker.zip(to.broker);
        Interval {
            at_s: round((to.at_ns as f64 - times.start_ns as f64) / 1e9),
            length_s: round(length_ns as f64 / 1e9),
            published: to.tally.published - from.tally.published,
            delivered: to.tally.delivered - from.tally.delivered,
            connected: to.tally.connected,
            latency_us,
            heat,
            broker_cores: broker
                .map(|(f, t)| round(t.cpu_ns.saturating_sub(f.cpu_ns) as f64 / length_ns.max(1) as f64)),
            broker_rss_bytes: to.broker.map(|b| b.rss_bytes),
        }
    }

    /// The seconds for an interval log; none when they were not kept.
    pub(super) fn into_log(mut self, times: Times) -> Vec<LoggedInterval> {
        while self.close_oldest().is_some() {}
        let offset_ns = times.measure_ns - times.start_ns;
        let interval = |(number, closed): (u64, Closed)| {
            Some(LoggedInterval {
                start: Duration::from_nanos(offset_ns) + Duration::from_secs(number),
                length: Duration::from_secs(1),
                encoded: closed.encoded?,
            })
        };
        self.closed.into_iter().filter_map(interval).collect()
    }
}

fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_several_workers_add_up_and_meet_their_samples() {
        let mut samples = Samples::new(true);
        let second = |number, ns| {
            let mut histograms = Histograms::new();
            histograms.record(Metric::Latency, ns);
            Second { number, histograms }
        };
        assert!(samples.add(second(0, 1_000)).is_none());
        assert!(samples.add(second(0, 3_000)).is_some_and(|h| h.get(Metric::Latency).is_empty()));
        samples.add(second(1, 9_000));
        let times = Times { start_ns: 1_000_000_000, measure_ns: 2_000_000_000, end_ns: 4_000_000_000 };
        for at_s in 0..5u64 {
            let tally = Tally { published: at_s * 10, ..Tally::default() };
            let broker = Some(Usage { cpu_ns: at_s * 500_000_000, rss_bytes: at_s });
            samples.list.push(Sample { at_ns: at_s * 1_000_000_000 + 2_000_000, tally, broker, own_cpu_ns: 0 });
        }
        let intervals = samples.intervals(times);
        let rows: Vec<_> = intervals.iter().map(|i| (i.published, i.latency_us.count, i.broker_cores)).collect();
        assert_eq!(rows, [(10, 0, Some(0.5)), (10, 2, Some(0.5)), (10, 1, Some(0.5))]);
        assert_eq!(intervals[1].heat.iter().map(|(_, n)| n).sum::<u64>(), 2);
        assert_eq!((samples.total().get(Metric::Latency).len(), samples.rss_max_bytes()), (3, 4));
        let log = samples.into_log(times);
        assert_eq!(log.iter().map(|i| i.start.as_secs()).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_long_run_keeps_few_histograms_whole_and_loses_none() {
        const SECONDS: u64 = 100;
        for keeps_log in [false, true] {
            let mut samples = Samples::new(keeps_log);
            let mut pool: Vec<Histograms> = (0..OPEN_SECONDS + 1).map(|_| Histograms::new()).collect();
            for number in 0..SECONDS {
                // Two workers, the second of which is two seconds behind, with histograms from a pool that must do.
                for number in [Some(number), number.checked_sub(2)].into_iter().flatten() {
                    let mut histograms = pool.pop().expect("those of older seconds have come back");
                    histograms.record(Metric::Latency, (number + 1) * 1_000_000);
                    pool.extend(samples.add(Second { number, histograms }));
                }
            }
            assert_eq!(samples.open.len(), OPEN_SECONDS);
            assert_eq!(samples.total().get(Metric::Latency).len(), 2 * SECONDS - 2);
            let (latency, heat) = samples.latency(0).expect("the first second");
            assert_eq!((latency.count, heat.iter().map(|(_, n)| n).sum::<u64>()), (2, 2));
            assert!((latency.max / 1_000.0 - 1.0).abs() < 0.001, "{latency:?}");
            let times = Times { start_ns: 0, measure_ns: 0, end_ns: SECONDS * 1_000_000_000 };
            let log = samples.into_log(times);
            assert_eq!(log.len() as u64, if keeps_log { SECONDS } else { 0 });
            let histograms = log.into_iter().map(|i| Histograms::try_from(i.encoded).expect("histograms"));
            let counts: Vec<u64> = histograms.map(|h| h.get(Metric::Latency).len()).collect();
            assert!(counts.iter().rev().skip(2).all(|n| *n == 2), "{counts:?}");
        }
    }

    #[test]
    fn what_comes_after_its_second_was_closed_still_counts() {
        let mut samples = Samples::new(true);
        let second = |number| {
            let mut histograms = Histograms::new();
            histograms.record(Metric::Latency, 5_000);
            Second { number, histograms }
        };
        for number in 0..=OPEN_SECONDS as u64 {
            samples.add(second(number));
        }
        assert!(samples.add(second(0)).is_some(), "there is one of the first second that is open");
        assert_eq!(samples.latency(0).map(|(latency, _)| latency.count), Some(1));
        assert_eq!(samples.latency(1).map(|(latency, _)| latency.count), Some(2));
        assert_eq!(samples.total().get(Metric::Latency).len(), OPEN_SECONDS as u64 + 2);
    }
}
