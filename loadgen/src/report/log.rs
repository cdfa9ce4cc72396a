//! HdrHistogram's own files: the interval log (`.hlog`) and the percentile distribution (`.hgrm`).

use crate::error::Error;
use crate::histogram::{Histograms, Metric};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The histograms of one second of a run.
#[derive(Debug)]
pub(crate) struct LoggedInterval {
    /// Its begin, after the load's.
    pub(crate) start: Duration,
    /// Its length.
    pub(crate) length: Duration,
    /// What was measured in it.
    pub(crate) histograms: Histograms,
}

/// Metrics that are logged second by second; the first one has no tag, so that viewers show it.
const LOGGED: [Metric; 4] = [Metric::Latency, Metric::Uncorrected, Metric::Acknowledgement, Metric::Lateness];

/// Writes an interval log: latency without a tag, the others with their names as tags.
///
/// # Errors
/// [`Error::File`] when it cannot be written.
pub(crate) fn write_hlog(path: &Path, started: SystemTime, intervals: &[LoggedInterval]) -> Result<(), Error> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    {
        let io = |e: std::io::Error| Error::file(path, e);
        let mut writer = IntervalLogWriterBuilder::new()
            .add_comment(concat!("[Logged with ringtail-load ", env!("CARGO_PKG_VERSION"), "; nanoseconds]"))
            .with_start_time(started)
            .with_base_time(started)
            .with_max_value_divisor(1_000_000.0)
            .begin_log_with(&mut bytes, &mut serializer)
            .map_err(io)?;
        for interval in intervals {
            for metric in LOGGED {
                let histogram = interval.histograms.get(metric);
                if histogram.is_empty() && metric != Metric::Latency {
                    continue;
                }
                let tag = (metric != Metric::Latency).then(|| Tag::new(metric.name())).flatten();
                writer
                    .write_histogram(histogram, interval.start, interval.length, tag)
                    .map_err(|e| Error::report(path, format!("{e:?}")))?;
            }
        }
    }
    std::fs::write(path, bytes).map_err(|e| Error::file(path, e))
}

/// Writes a percentile distribution in microseconds, with HdrHistogram's columns: value, percentile, count, 1/(1-p).
///
/// # Errors
/// [`Error::File`] when it cannot be written.
pub(crate) fn write_hgrm(path: &Path, histogram: &Histogram<u64>) -> Result<(), Error> {
    let mut text = Vec::new();
    hgrm(histogram, &mut text).and_then(|()| std::fs::write(path, text)).map_err(|e| Error::file(path, e))
}

fn hgrm(h: &Histogram<u64>, out: &mut Vec<u8>) -> std::io::Result<()> {
    const UNIT: f64 = 1_000.0;
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for v in h.iter_quantiles(5) {
        total += v.count_since_last_iteration();
        let value = v.value_iterated_to() as f64 / UNIT;
        let quantile = v.quantile_iterated_to();
        if quantile < 1.0 {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10} {:14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {total:10}")?;
        }
    }
    writeln!(out, "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]", h.mean() / UNIT, h.stdev() / UNIT)?;
    writeln!(out, "#[Max     = {:12.3}, Total count    = {:12}]", h.max() as f64 / UNIT, h.len())?;
    writeln!(out, "#[Buckets = {:12}, SubBuckets     = {:12}]", h.buckets(), 2_048)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn an_interval_log_reads_back() {
        let mut histograms = Histograms::new();
        histograms.record(Metric::Latency, 1_000);
        histograms.record(Metric::Lateness, 7);
        let interval = LoggedInterval { start: Duration::from_secs(3), length: Duration::from_secs(1), histograms };
        let path = std::env::temp_dir().join(format!("ringtail-load-{}.hlog", std::process::id()));
        write_hlog(&path, SystemTime::now(), &[interval]).expect("write");
        let bytes = std::fs::read(&path).expect("read");
        std::fs::remove_file(&path).expect("remove");
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(&bytes) {
            if let LogEntry::Interval(entry) = entry.expect("entry") {
                let encoded =
                    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, entry.encoded_histogram());
                let h: Histogram<u64> =
                    Deserializer::new().deserialize(&mut encoded.expect("base64").as_slice()).expect("histogram");
                found.push((entry.tag().map(|t| t.as_str().to_owned()), entry.start_timestamp().as_secs(), h.max()));
            }
        }
        assert_eq!(found, [(None, 3, 1_000), (Some("lateness".to_owned()), 3, 7)]);
    }

    #[test]
    fn a_distribution_ends_at_the_largest_value() {
        let mut h = crate::histogram::empty();
        for us in 1..=1_000u64 {
            h.saturating_record(us * 1_000);
        }
        let mut out = Vec::new();
        hgrm(&h, &mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        let last = text.lines().rfind(|l| !l.starts_with('#')).expect("rows");
        assert!(last.contains("1.000000000000") && last.trim_end().ends_with("1000"), "{last}");
        assert!(text.contains("Total count    =         1000"), "{text}");
    }
}
