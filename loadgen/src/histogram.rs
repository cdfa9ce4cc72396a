//! The histograms of a run: nanoseconds, three significant digits, up to an hour.

use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The longest time that is told apart from longer ones, nanoseconds.
const LONGEST_NS: u64 = 3_600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Metric {
    /// From the time a message was due to its arrival.
    Latency,
    /// From the time a message was handed to the kernel to its arrival.
    Uncorrected,
    /// From the time a message was due to its PUBACK or PUBCOMP.
    Acknowledgement,
    /// From the time a message was due to its handing over to the kernel.
    Lateness,
    /// From the start of a connection to its CONNACK.
    Connect,
    /// From a client's SUBSCRIBE (or its return) to what had been kept for it: retained and queued messages.
    CatchUp,
}

impl Metric {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Latency, Self::Uncorrected, Self::Acknowledgement, Self::Lateness, Self::Connect, Self::CatchUp];

    /// The name in reports and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Uncorrected => "latency_uncorrected",
            Self::Acknowledgement => "acknowledgement",
            Self::Lateness => "lateness",
            Self::Connect => "connect",
            Self::CatchUp => "catch_up",
        }
    }
}

/// A histogram for each [`Metric`]. Serialized it is a map from names to those that hold something, as [`encode`] writes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, String>", try_from = "BTreeMap<String, String>")]
pub(crate) struct Histograms(Box<[Histogram<u64>; Metric::ALL.len()]>);

impl Histograms {
    /// Empty ones: 100 KB, and more as longer times are recorded, up to 1.6 MB.
    pub(crate) fn new() -> Self {
        Self(Box::new(Metric::ALL.map(|_| empty())))
    }

    /// Notes one time.
    pub(crate) fn record(&mut self, metric: Metric, ns: u64) {
        record(&mut self.0[metric as usize], ns, 1);
    }

    /// The histogram of `metric`.
    pub(crate) fn get(&self, metric: Metric) -> &Histogram<u64> {
        &self.0[metric as usize]
    }

    /// Adds `more` to the histogram of `metric`.
    pub(crate) fn add_to(&mut self, metric: Metric, more: &Histogram<u64>) {
        merge(&mut self.0[metric as usize], more);
    }

    /// Adds all of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(other.0.iter()).filter(|(_, more)| !more.is_empty()) {
            merge(own, more);
        }
    }

    /// Those that hold something, by name, as [`encode`] writes them.
    pub(crate) fn encoded(&self) -> BTreeMap<String, String> {
        let some = Metric::ALL.into_iter().filter(|m| !self.get(*m).is_empty());
        some.map(|m| (m.name().to_owned(), encode(self.get(m)))).collect()
    }

    /// Empties all that hold something.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().filter(|h| !h.is_empty()).for_each(Histogram::reset);
    }
}

impl From<Histograms> for BTreeMap<String, String> {
    fn from(histograms: Histograms) -> Self {
        histograms.encoded()
    }
}

impl TryFrom<BTreeMap<String, String>> for Histograms {
    type Error = Error;

    fn try_from(encoded: BTreeMap<String, String>) -> Result<Self, Error> {
        let mut histograms = Self::new();
        for metric in Metric::ALL {
            if let Some(text) = encoded.get(metric.name()) {
                histograms.add_to(metric, &decode(text, Path::new(metric.name()))?);
            }
        }
        Ok(histograms)
    }
}

/// An empty histogram. It takes memory as far as the longest time that it has seen needs: there are several for each worker,
/// and most times are far below an hour.
pub(crate) fn empty() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the crate accepts this constant; a test makes one")]
    Histogram::new(SIGNIFICANT_DIGITS).expect("constant digits")
}

/// Notes a time so many times; what is longer than is told apart counts as the longest.
pub(crate) fn record(histogram: &mut Histogram<u64>, ns: u64, times: u64) {
    // It grows to what is recorded, which has a bound.
    let _ = histogram.record_n(ns.clamp(1, LONGEST_NS), times);
}

/// Adds `more` to `own`.
pub(crate) fn merge(own: &mut Histogram<u64>, more: &Histogram<u64>) {
    if own.add(more).is_err() {
        // Another program's histogram may have another shape.
        for v in more.iter_recorded() {
            record(own, v.value_iterated_to(), v.count_at_value());
        }
    }
}

/// The figures of a histogram, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Values.
    pub(crate) count: u64,
    /// Smallest.
    pub(crate) min: f64,
    /// Mean.
    pub(crate) mean: f64,
    /// Median.
    pub(crate) p50: f64,
    /// 90%.
    pub(crate) p90: f64,
    /// 99%.
    pub(crate) p99: f64,
    /// 99.9%.
    pub(crate) p999: f64,
    /// 99.99%.
    pub(crate) p9999: f64,
    /// Largest.
    pub(crate) max: f64,
}

impl Summary {
    /// The figures of `histogram`; all 0 when it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            min: us(histogram.min()),
            mean: (histogram.mean() / 100.0).round() / 10.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: us(histogram.max()),
        }
    }
}

/// Nanoseconds as microseconds with one decimal.
pub(crate) fn us(ns: u64) -> f64 {
    (ns as f64 / 100.0).round() / 10.0
}

/// The histogram as HdrHistogram's tools exchange it: V2, deflated, base64.
pub(crate) fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Writing to memory fails only for a histogram too large to exist.
    let _ = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    STANDARD.encode(bytes)
}

/// Reads what [`encode`] wrote, in the file `path`.
///
/// # Errors
/// [`Error::Report`] for text that is not such a histogram.
pub(crate) fn decode(text: &str, path: &Path) -> Result<Histogram<u64>, Error> {
    let bytes = STANDARD.decode(text).map_err(|e| Error::report(path, format!("a histogram is not base64: {e}")))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|e| Error::report(path, format!("a histogram does not decode: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_comes_back_and_keeps_three_digits() {
        let mut h = Histograms::new();
        for us in 1..=10_000u64 {
            h.record(Metric::Latency, us * 1_000);
        }
        let back = decode(&encode(h.get(Metric::Latency)), Path::new("x")).expect("decode");
        assert_eq!(&back, h.get(Metric::Latency));
        let s = Summary::of(&back);
        assert_eq!(s.count, 10_000);
        for (got, wanted) in [(s.p50, 5_000.0), (s.p90, 9_000.0), (s.p99, 9_900.0), (s.max, 10_000.0), (s.min, 1.0)] {
            assert!((got / wanted - 1.0f64).abs() < 0.001, "{got} {wanted}");
        }
        assert!(decode("!", Path::new("x")).is_err());
        assert!(decode("AAAA", Path::new("x")).is_err());
    }

    #[test]
    fn histograms_of_different_lengths_add_up() {
        let (mut short, mut long) = (empty(), empty());
        record(&mut short, 3_000, 2);
        record(&mut long, 50_000_000, 1);
        record(&mut long, 3_000, 1);
        for (own, more) in [(&short, &long), (&long, &short)] {
            let mut sum = own.clone();
            merge(&mut sum, more);
            assert_eq!((sum.len(), sum.count_at(3_000), sum.count_at(50_000_000)), (4, 3, 1));
            assert_eq!(decode(&encode(&sum), Path::new("x")).expect("decode"), sum);
        }
        assert!(short.distinct_values() < long.distinct_values(), "the short one has not grown");
    }

    #[test]
    fn times_beyond_the_range_count_at_its_end() {
        let mut h = Histograms::new();
        h.record(Metric::Lateness, u64::MAX);
        h.record(Metric::Lateness, 0);
        let mut sum = Histograms::new();
        sum.add(&h);
        sum.add(&h);
        assert_eq!(sum.get(Metric::Lateness).len(), 4);
        assert!(sum.get(Metric::Lateness).max() >= LONGEST_NS);
        sum.clear();
        assert!(sum.get(Metric::Lateness).is_empty());
        assert_eq!(Summary::of(sum.get(Metric::Lateness)), Summary::default());
    }
}
