//! Rates from low to high until the broker no longer keeps up, then the knee between the last two by halving.

use crate::error::Error;
use crate::report::Report;
use crate::report::table::thousands;
use serde::Serialize;

/// Halvings between the last rate that was kept and the first that was not.
const HALVINGS: usize = 3;
/// The share of the deliveries that a rate must reach to count as kept.
const DELIVERED_MIN: f64 = 0.99;

/// What to go through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// The lowest, messages a second.
    pub(crate) from: f64,
    /// The highest.
    pub(crate) to: f64,
    /// How many, evenly by their logarithm.
    pub(crate) steps: usize,
}

/// A sweep that is over.
#[derive(Debug, Serialize)]
pub(crate) struct Sweep {
    /// The highest rate that was kept; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) knee_per_s: Option<f64>,
    /// The bound on the 99th percentile that a rate had to keep, microseconds.
    pub(crate) p99_max_us: f64,
    /// The runs in order of time.
    pub(crate) runs: Vec<Step>,
}

/// A run of a sweep.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Messages a second that were due.
    pub(crate) rate_per_s: f64,
    /// Whether the broker kept up.
    pub(crate) kept: bool,
    /// Its report.
    pub(crate) report: Report,
}

impl Rates {
    /// Parses `10k..200k`.
    ///
    /// # Errors
    /// A sentence about what is not understood.
    pub(crate) fn parse(text: &str, steps: usize) -> Result<Self, Error> {
        let wrong = || Error::Usage(format!("--sweep {text}: it is like 10k..200k"));
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let rate = |text: &str| crate::cli::rate(text).map_err(|_| wrong());
        let (from, to) = (rate(from)?, rate(to)?);
        if !(from > 0.0 && to > from) {
            return Err(wrong());
        }
        Ok(Self { from, to, steps })
    }

    fn list(&self) -> impl Iterator<Item = f64> {
        let (from, ratio, last) = (self.from, self.to / self.from, self.steps.max(2) - 1);
        (0..=last).map(move |i| (from * ratio.powf(i as f64 / last as f64)).round())
    }
}

/// Whether the broker kept up with the rate of `report`.
fn is_kept(report: &Report, deliveries_per_message: f64, p99_max_us: f64) -> bool {
    report.delivered_per_s >= report.rate_per_s * deliveries_per_message * DELIVERED_MIN
        && report.latency_us.p99 <= p99_max_us
}

/// Goes through `rates` with `run`, which makes one run, and tells `shown` of each.
///
/// # Errors
/// Those of `run`.
pub(crate) fn sweep(
    rates: &Rates,
    deliveries_per_message: f64,
    p99_max_us: f64,
    mut run: impl FnMut(f64) -> Result<Report, Error>,
    mut shown: impl FnMut(&Step),
) -> Result<Sweep, Error> {
    let mut runs = Vec::new();
    let mut step = |rate_per_s: f64, runs: &mut Vec<Step>| -> Result<Option<bool>, Error> {
        let report = run(rate_per_s)?;
        let is_over = report.outcome != "complete";
        let kept = is_kept(&report, deliveries_per_message, p99_max_us);
        let step = Step { rate_per_s, kept, report };
        shown(&step);
        runs.push(step);
        Ok((!is_over).then_some(kept))
    };
    let (mut kept, mut lost) = (None, None);
    for rate in rates.list() {
        match step(rate, &mut runs)? {
            Some(true) => kept = Some(rate),
            Some(false) => {
                lost = Some(rate);
                break;
            }
            None => return Ok(Sweep { knee_per_s: kept, p99_max_us, runs }),
        }
    }
    if let (Some(mut low), Some(mut high)) = (kept, lost) {
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt().round();
            match step(middle, &mut runs)? {
                Some(true) => low = middle,
                Some(false) => high = middle,
                None => break,
            }
        }
        kept = Some(low);
    }
    Ok(Sweep { knee_per_s: kept, p99_max_us, runs })
}

impl Step {
    /// The step as a row of a table.
    pub(crate) fn row(&self) -> String {
        let r = &self.report;
        let cpu = r.broker.map_or_else(String::new, |b| format!("{:.3}", b.cpu_us_per_delivery));
        let verdict = match (&r.generator.limit, self.kept) {
            (Some(_), _) => "THE GENERATOR WAS THE LIMIT",
            (None, true) => "kept",
            (None, false) => "not kept",
        };
        let (rate, delivered) = (thousands(self.rate_per_s), thousands(r.delivered_per_s));
        let l = &r.latency_us;
        format!("{rate:>12}{delivered:>14}{:>12.1}{:>12.1}{:>12.1}{cpu:>10}  {verdict}\n", l.p50, l.p99, l.p999)
    }

    /// The head of that table.
    pub(crate) fn head() -> String {
        let columns = ["due/s", "delivered/s", "p50 us", "p99 us", "p99.9 us", "CPU us"];
        let [due, delivered, p50, p99, p999, cpu] = columns;
        format!("{due:>12}{delivered:>14}{p50:>12}{p99:>12}{p999:>12}{cpu:>10}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Summary;

    /// A broker that keeps up to `knee`, two deliveries a message.
    fn broker(knee: f64) -> impl FnMut(f64) -> Result<Report, Error> {
        move |rate| {
            let latency_us = Summary { p99: if rate > knee { 50_000.0 } else { 100.0 }, ..Summary::default() };
            let (rate_per_s, delivered_per_s) = (rate, rate * 2.0);
            Ok(Report { outcome: "complete".into(), rate_per_s, delivered_per_s, latency_us, ..Report::default() })
        }
    }

    #[test]
    fn the_knee_is_found_between_the_steps() {
        let rates = Rates::parse("10k..160k", 5).expect("rates");
        let mut shown = Vec::new();
        let sweep = sweep(&rates, 2.0, 10_000.0, broker(50_000.0), |s| shown.push(s.rate_per_s)).expect("runs");
        assert_eq!(shown[..4], [10_000.0, 20_000.0, 40_000.0, 80_000.0]);
        assert_eq!(shown.len(), 4 + HALVINGS, "nothing above the first rate that was not kept");
        let knee = sweep.knee_per_s.expect("a knee");
        assert!((40_000.0..=50_000.0).contains(&knee) && knee > 45_000.0, "{knee}");
    }

    #[test]
    fn a_broker_that_keeps_all_or_nothing() {
        let rates = Rates::parse("1k..4k", 3).expect("rates");
        let knee = |of| sweep(&rates, 2.0, 10_000.0, broker(of), |_| {}).expect("runs").knee_per_s;
        assert_eq!((knee(1e9), knee(0.0)), (Some(4_000.0), None));
        let too_few = sweep(&rates, 3.0, 10_000.0, broker(1e9), |_| {}).expect("runs");
        assert_eq!(too_few.knee_per_s, None, "two of three deliveries are not 99%");
    }

    #[test]
    fn ranges() {
        for text in ["10k", "0..5", "5..5", "5..x"] {
            assert!(Rates::parse(text, 5).is_err(), "{text}");
        }
    }
}
