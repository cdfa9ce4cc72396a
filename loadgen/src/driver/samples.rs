//! The run second by second: counters and the broker's usage as the coordinator samples them, histograms as workers send
//! them.

use super::shared::{Tally, Times};
use super::worker::Second;
use crate::histogram::{Histograms, Metric, Summary};
use crate::process::Usage;
use crate::report::log::LoggedInterval;
use crate::report::{Interval, heat};
use std::collections::BTreeMap;
use std::time::Duration;

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
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// In order of time.
    pub(super) list: Vec<Sample>,
    /// Histograms of the measured part's seconds.
    seconds: BTreeMap<u64, Histograms>,
}

impl Samples {
    /// Adds the histograms that a worker sent, and gives emptied ones back when nothing needs these.
    pub(super) fn add(&mut self, second: Second) -> Option<Histograms> {
        match self.seconds.entry(second.number) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(second.histograms);
                None
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let mut histograms = second.histograms;
                entry.get_mut().add(&histograms);
                histograms.clear();
                Some(histograms)
            }
        }
    }

    /// The sum of all seconds' histograms.
    pub(super) fn total(&self) -> Histograms {
        let mut total = Histograms::new();
        self.seconds.values().for_each(|h| total.add(h));
        total
    }

    /// The latest second's histograms.
    pub(super) fn latest(&self) -> Option<&Histograms> {
        self.seconds.values().next_back()
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

    fn interval(&self, from: &Sample, to: &Sample, times: Times) -> Interval {
        let length_ns = to.at_ns - from.at_ns;
        let seconds = (to.at_ns as f64 - times.measure_ns as f64) / 1e9;
        // Samples are taken at whole seconds of the measured part, a little late.
        let histograms = (seconds > 0.5).then(|| self.seconds.get(&(seconds.round() as u64 - 1))).flatten();
        let latency = histograms.map(|h| h.get(Metric::Latency));
        let broker = from.broker.zip(to.broker);
        Interval {
            at_s: round((to.at_ns as f64 - times.start_ns as f64) / 1e9),
            length_s: round(length_ns as f64 / 1e9),
            published: to.tally.published - from.tally.published,
            delivered: to.tally.delivered - from.tally.delivered,
            connected: to.tally.connected,
            latency_us: latency.map_or_else(Summary::default, Summary::of),
            heat: latency.map_or_else(Vec::new, heat),
            broker_cores: broker
                .map(|(f, t)| round(t.cpu_ns.saturating_sub(f.cpu_ns) as f64 / length_ns.max(1) as f64)),
            broker_rss_bytes: to.broker.map(|b| b.rss_bytes),
        }
    }

    /// The seconds for an interval log.
    pub(super) fn into_log(self, times: Times) -> Vec<LoggedInterval> {
        let offset_ns = times.measure_ns - times.start_ns;
        let interval = |(number, histograms)| LoggedInterval {
            start: Duration::from_nanos(offset_ns) + Duration::from_secs(number),
            length: Duration::from_secs(1),
            histograms,
        };
        self.seconds.into_iter().map(interval).collect()
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
        let mut samples = Samples::default();
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
}
