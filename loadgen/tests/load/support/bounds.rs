//! Percentiles of what latencies can have been at the least and at the most. Bounds that hold for each message hold for
//! each percentile too, whatever the machine does: a busy one drives them apart, and never makes them wrong.

use super::program::Finished;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Histograms keep three digits ...
const DIGITS: f64 = 0.002;
/// ... and payloads steps of 0.1 us.
const STEP_US: f64 = 0.2;

/// The bounds of some messages.
pub(crate) struct Bounds {
    least: Histogram<u64>,
    most: Histogram<u64>,
}

impl Bounds {
    /// Those of no message.
    pub(crate) fn new() -> Self {
        let empty = || Histogram::new(3).expect("three digits");
        Self { least: empty(), most: empty() }
    }

    /// Adds a message.
    pub(crate) fn add(&mut self, least: Duration, most: Duration) {
        self.least.record(least.as_nanos() as u64).expect("it grows");
        self.most.record(most.as_nanos() as u64).expect("it grows");
    }

    /// A percentile of the one and of the other, in microseconds.
    pub(crate) fn at(&self, quantile: f64) -> (f64, f64) {
        let us = |h: &Histogram<u64>| h.value_at_quantile(quantile) as f64 / 1e3;
        (us(&self.least), us(&self.most))
    }

    /// The report has these messages under `name`, and its percentiles are within the bounds, give or take `slack_us`.
    #[track_caller]
    pub(crate) fn hold(&self, finished: &Finished, name: &str, slack_us: f64) {
        assert_eq!(finished.number(&format!("{name}.count")), self.least.len() as f64, "{}", finished.stdout);
        let quantiles = [("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
        for (percentile, quantile) in quantiles {
            let us = finished.number(&format!("{name}.{percentile}"));
            let (low, high) = self.at(quantile);
            let is_within = us >= low * (1.0 - DIGITS) - slack_us && us <= high * (1.0 + DIGITS) + STEP_US + slack_us;
            assert!(is_within, "{name}.{percentile}: {us} us is not from {low} to {high} us, +-{slack_us}");
        }
    }
}
