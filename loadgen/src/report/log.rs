//! HdrHistogram's own files: the interval log (`.hlog`) and the percentile distribution (`.hgrm`).

use crate::error::Error;
use crate::histogram::{Histograms, Metric, Summary, decode, encode};
use crate::report::{FORMAT, Interval, Report, heat};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag};
use std::collections::BTreeMap;
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
    /// What was measured in it: histograms by name, encoded.
    pub(crate) encoded: BTreeMap<String, String>,
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
            let histograms = Histograms::try_from(interval.encoded.clone())?;
            for metric in LOGGED {
                let histogram = histograms.get(metric);
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

/// Reads an interval log, this program's or another's in nanoseconds, as a report that has latencies alone.
///
/// # Errors
/// [`Error::File`] when it cannot be read, [`Error::Report`] when it is no interval log or holds no histogram.
pub(crate) fn read_hlog(path: &Path) -> Result<Report, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let mut total = Histograms::new();
    let mut report = Report { format: FORMAT, outcome: "complete".to_owned(), ..Report::default() };
    report.scenario = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    for entry in IntervalLogIterator::new(&bytes) {
        match entry.map_err(|e| Error::report(path, format!("not an interval log: {e:?}")))? {
            LogEntry::StartTime(at) => report.started_unix_ms = at.as_millis() as u64,
            LogEntry::BaseTime(_) => {}
            LogEntry::Interval(entry) => {
                let histogram = decode(entry.encoded_histogram(), path)?;
                let name = entry.tag().map_or(Metric::Latency.name(), |tag| tag.as_str());
                let Some(metric) = Metric::ALL.into_iter().find(|m| m.name() == name) else { continue };
                total.add_to(metric, &histogram);
                if metric == Metric::Latency {
                    report.intervals.push(Interval {
                        at_s: (entry.start_timestamp() + entry.duration()).as_secs_f64(),
                        length_s: entry.duration().as_secs_f64(),
                        delivered: histogram.len(),
                        latency_us: Summary::of(&histogram),
                        heat: heat(&histogram),
                        ..Interval::default()
                    });
                }
            }
        }
    }
    if report.intervals.is_empty() {
        return Err(Error::report(path, "there is no interval in it"));
    }
    report.duration_s = report.intervals.iter().map(|i| i.length_s).sum();
    report.delivered = total.get(Metric::Latency).len();
    report.delivered_per_s = (report.delivered as f64 / report.duration_s.max(1e-3) * 10.0).round() / 10.0;
    let summary = |metric| Summary::of(total.get(metric));
    report.latency_us = summary(Metric::Latency);
    report.latency_uncorrected_us = summary(Metric::Uncorrected);
    report.acknowledgement_us = summary(Metric::Acknowledgement);
    report.lateness_us = summary(Metric::Lateness);
    let recorded = LOGGED.into_iter().filter(|m| !total.get(*m).is_empty());
    report.histograms = recorded.map(|m| (m.name().to_owned(), encode(total.get(m)))).collect();
    Ok(report)
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

    #[test]
    fn an_interval_log_reads_back() {
        let mut histograms = Histograms::new();
        histograms.record(Metric::Latency, 1_000);
        histograms.record(Metric::Lateness, 7);
        let (start, length) = (Duration::from_secs(3), Duration::from_secs(1));
        let interval = LoggedInterval { start, length, encoded: histograms.encoded() };
        let path = std::env::temp_dir().join(format!("ringtail-load-{}.hlog", std::process::id()));
        write_hlog(&path, SystemTime::now(), &[interval]).expect("write");
        let report = Report::read(&path).expect("read");
        std::fs::write(&path, "not a log").expect("write");
        assert!(matches!(Report::read(&path), Err(Error::Report { .. })));
        std::fs::remove_file(&path).expect("remove");
        let [interval] = report.intervals.as_slice() else { panic!("{:?}", report.intervals) };
        assert_eq!((interval.at_s, interval.length_s, interval.delivered), (4.0, 1.0, 1));
        assert_eq!((report.latency_us.max, report.lateness_us.max, report.delivered_per_s), (1.0, 0.0, 1.0));
        assert!(report.histograms.keys().eq(["latency", "lateness"]), "{:?}", report.histograms.keys());
    }

    #[test]
    fn a_distribution_ends_at_the_largest_value() {
        let mut h = crate::histogram::empty();
        for us in 1..=1_000u64 {
            crate::histogram::record(&mut h, us * 1_000, 1);
        }
        let mut out = Vec::new();
        hgrm(&h, &mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        let last = text.lines().rfind(|l| !l.starts_with('#')).expect("rows");
        assert!(last.contains("1.000000000000") && last.trim_end().ends_with("1000"), "{last}");
        assert!(text.contains("Total count    =         1000"), "{text}");
    }
}
