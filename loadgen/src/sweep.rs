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
    /// `complete`, `interrupted` or `failed`.
    pub(crate) outcome: &'static str,
    /// The highest rate that was kept; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) knee_per_s: Option<f64>,
    /// The bound on the 99th percentile that a rate had to keep, microseconds.
    pub(crate) p99_max_us: f64,
    /// The runs in order of time.
    pub(crate) runs: Vec<Step>,
    /// What ended it before its time, if not Ctrl-C.
    #[serde(skip)]
    pub(crate) failure: Option<Error>,
}

/// A run of a sweep.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Messages a second that were due.
    pub(crate) rate_per_s: f64,
    /// Whether the broker kept up; absent when the run was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<bool>,
    /// Its report.
    pub(crate) report: Report,
}

impl Rates {
    /// Parses `10k..200k`.
    ///
    /// # Errors
    /// A sentence about what is not understood.
    pub(crate) fn parse(text: &str, steps: usize) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Usage(format!("--sweep {text}: {what}, like 10k..200k"));
        let (from, to) = text.split_once("..").ok_or_else(|| wrong("it is two rates"))?;
        let rate = |text: &str| crate::cli::rate(text).map_err(|_| wrong("it is two rates"));
        let (from, to) = (rate(from)?, rate(to)?);
        if from <= 0.0 {
            return Err(wrong("it begins above 0"));
        }
        if to <= from {
            return Err(wrong("it goes from the lower rate to the higher"));
        }
        Ok(Self { from, to, steps })
    }

    fn list(&self) -> impl Iterator<Item = f64> {
        let (from, ratio, last) = (self.from, self.to / self.from, self.steps.max(2) - 1);
        (0..=last).map(move |i| (from * ratio.powf(i as f64 / last as f64)).round())
    }
}

/// Whether the broker kept up with the rate of `report`, and with its clients.
fn is_kept(report: &Report, deliveries_per_message: f64, p99_max_us: f64) -> bool {
    report.delivered_per_s >= report.rate_per_s * deliveries_per_message * DELIVERED_MIN
        && report.latency_us.p99 <= p99_max_us
        && report.connections.absent == 0
}

/// Goes through `rates` with `run`, which makes one run, and tells `shown` of each. What was found is there however it ends.
pub(crate) fn sweep(
    rates: &Rates,
    deliveries_per_message: f64,
    p99_max_us: f64,
    run: impl FnMut(f64) -> Result<Report, Error>,
    shown: impl FnMut(&Step),
) -> Sweep {
    let found = Sweep { outcome: "complete", knee_per_s: None, p99_max_us, runs: Vec::new(), failure: None };
    let mut going = Going { found, deliveries_per_message, run, shown };
    going.find(rates);
    going.found
}

/// A sweep that goes on.
struct Going<R, S> {
    found: Sweep,
    deliveries_per_message: f64,
    run: R,
    shown: S,
}

impl<R: FnMut(f64) -> Result<Report, Error>, S: FnMut(&Step)> Going<R, S> {
    /// Goes up until a rate is not kept, then halves; ends where a run comes to no verdict.
    fn find(&mut self, rates: &Rates) -> Option<()> {
        let mut high = None;
        for rate in rates.list() {
            if !self.step(rate)? {
                high = Some(rate);
                break;
            }
        }
        let (mut low, mut high) = self.found.knee_per_s.zip(high)?;
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt().round();
            if self.step(middle)? { low = middle } else { high = middle }
        }
        Some(())
    }

    /// Makes a run, and says whether its rate was kept: each that is asked for is above those that were.
    fn step(&mut self, rate_per_s: f64) -> Option<bool> {
        let report = match (self.run)(rate_per_s) {
            Ok(report) => report,
            Err(error) => {
                (self.found.outcome, self.found.failure) = ("failed", Some(error));
                return None;
            }
        };
        let is_complete = report.outcome == "complete";
        let kept = is_complete.then(|| is_kept(&report, self.deliveries_per_message, self.found.p99_max_us));
        if kept == Some(true) {
            self.found.knee_per_s = Some(rate_per_s);
        }
        if !is_complete {
            self.found.outcome = "interrupted";
        }
        // What was interrupted before its load began has measured nothing.
        if is_complete || report.duration_s > 0.0 {
            let step = Step { rate_per_s, kept, report };
            (self.shown)(&step);
            self.found.runs.push(step);
        }
        kept
    }
}

impl Sweep {
    /// What was found, as a sentence.
    pub(crate) fn conclusion(&self) -> String {
        let lost = self.runs.iter().filter(|s| s.kept == Some(false));
        let lowest = lost.min_by(|a, b| a.rate_per_s.total_cmp(&b.rate_per_s));
        let of = lowest.is_some_and(|s| s.report.generator.limit.is_some());
        let whose = if of { " of the generator, not of the broker: see --workers and --cores" } else { "" };
        let is_complete = self.outcome == "complete";
        let early = if is_complete { "" } else { "; it ended early" };
        let advice = if is_complete { ": end higher" } else { early };
        let rate = self.knee_per_s.map(thousands);
        match (rate, lowest) {
            (Some(knee), Some(_)) => format!("the knee{whose}: {knee} messages a second{early}"),
            (Some(rate), None) => format!("every rate was kept, up to {rate} messages a second{advice}"),
            (None, Some(_)) => format!("the lowest rate was not kept: begin lower{early}"),
            (None, None) => "it ended before there was a verdict on any rate".to_owned(),
        }
    }
}

impl Step {
    /// The step as a row of a table.
    pub(crate) fn row(&self) -> String {
        let r = &self.report;
        let cpu = r.broker.map_or_else(String::new, |b| format!("{:.3}", b.cpu_us_per_delivery));
        let verdict = match (&r.generator.limit, self.kept) {
            (_, None) => "interrupted",
            (Some(_), Some(true)) => "kept, though the generator was disturbed",
            (Some(_), Some(false)) => "not kept, THE GENERATOR WAS THE LIMIT",
            (None, Some(true)) => "kept",
            (None, Some(false)) => "not kept",
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
        let sweep = sweep(&rates, 2.0, 10_000.0, broker(50_000.0), |s| shown.push(s.rate_per_s));
        assert_eq!(shown[..4], [10_000.0, 20_000.0, 40_000.0, 80_000.0]);
        assert_eq!(shown.len(), 4 + HALVINGS, "nothing above the first rate that was not kept");
        let knee = sweep.knee_per_s.expect("a knee");
        assert!((40_000.0..=50_000.0).contains(&knee) && knee > 45_000.0, "{knee}");
        assert_eq!(
            (sweep.outcome, sweep.conclusion()),
            ("complete", format!("the knee: {} messages a second", thousands(knee)))
        );
    }

    #[test]
    fn a_broker_that_keeps_all_or_nothing() {
        let rates = Rates::parse("1k..4k", 3).expect("rates");
        let swept = |of, deliveries| sweep(&rates, deliveries, 10_000.0, broker(of), |_| {});
        let (all, nothing) = (swept(1e9, 2.0), swept(0.0, 2.0));
        assert_eq!((all.knee_per_s, nothing.knee_per_s), (Some(4_000.0), None));
        assert_eq!(all.conclusion(), "every rate was kept, up to 4,000 messages a second: end higher");
        assert_eq!(nothing.conclusion(), "the lowest rate was not kept: begin lower");
        assert_eq!(swept(1e9, 3.0).knee_per_s, None, "two of three deliveries are not 99%");
    }

    #[test]
    fn what_was_found_before_an_end_is_there() {
        let rates = Rates::parse("1k..4k", 3).expect("rates");
        let mut shown = 0;
        let mut at = |end: &dyn Fn(Report) -> Result<Report, Error>| {
            let run = |rate| broker(1e9)(rate).and_then(|report| if rate < 2_000.0 { Ok(report) } else { end(report) });
            sweep(&rates, 2.0, 10_000.0, run, |_| shown += 1)
        };
        let interrupted = |duration_s| move |r| Ok(Report { outcome: "interrupted".into(), duration_s, ..r });
        let (in_ramp, in_load) = (at(&interrupted(0.0)), at(&interrupted(0.5)));
        let failed = at(&|_| Err(Error::Machine("a worker ended".to_owned())));
        for (sweep, outcome, runs) in
            [(&in_ramp, "interrupted", 1), (&in_load, "interrupted", 2), (&failed, "failed", 1)]
        {
            assert_eq!((sweep.outcome, sweep.knee_per_s, sweep.runs.len()), (outcome, Some(1_000.0), runs));
            assert_eq!(sweep.conclusion(), "every rate was kept, up to 1,000 messages a second; it ended early");
        }
        assert!(in_load.runs[1].kept.is_none() && in_load.runs[1].row().contains("interrupted"));
        assert!(failed.failure.is_some() && shown == 4);
    }

    #[test]
    fn a_knee_of_the_generator_is_not_taken_for_the_brokers() {
        let rates = Rates::parse("1k..4k", 3).expect("rates");
        let late = |rate| {
            let mut report = broker(1_500.0)(rate)?;
            report.generator.limit = (rate > 1_500.0).then(|| "it was late".to_owned());
            Ok(report)
        };
        let sweep = sweep(&rates, 2.0, 10_000.0, late, |_| {});
        assert!(sweep.conclusion().contains("of the generator, not of the broker"), "{}", sweep.conclusion());
    }

    #[test]
    fn clients_that_went_away_are_not_kept_up_with() {
        let report = |absent| {
            let mut report = broker(1e9)(1_000.0).expect("a report");
            report.connections.absent = absent;
            report
        };
        assert!(is_kept(&report(0), 2.0, 10_000.0) && !is_kept(&report(1), 2.0, 10_000.0));
    }

    #[test]
    fn ranges() {
        for (text, what) in [
            ("10k", "two rates"),
            ("5..x", "two rates"),
            ("0..5", "above 0"),
            ("5..5", "the lower rate to the higher"),
            ("200k..10k", "the lower rate to the higher"),
        ] {
            let error = Rates::parse(text, 5).expect_err(text).to_string();
            assert!(error.contains(what) && error.contains(text), "{error}");
        }
    }
}
