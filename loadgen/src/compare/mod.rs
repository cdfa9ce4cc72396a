//! Two sides of several runs each, compared figure by figure, with a verdict that CI can trust.

pub(crate) mod bootstrap;
pub(crate) mod markdown;
pub(crate) mod rules;

use crate::error::Error;
use crate::report::Report;
use bootstrap::{RUNS_MIN, Ratio};
use rules::{FIGURES, Figure, Rule, Verdict};
use std::path::{Path, PathBuf};

/// A comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The runs of the base.
    pub(crate) base: Vec<Report>,
    /// The runs of the new side.
    pub(crate) new: Vec<Report>,
    /// Each figure that both sides have.
    pub(crate) rows: Vec<Row>,
    /// Each rule with its verdict.
    pub(crate) verdicts: Vec<(Rule, Verdict)>,
    /// What makes the sides unequal, or the runs doubtful.
    pub(crate) warnings: Vec<String>,
}

/// A figure of both sides.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Which.
    pub(crate) figure: Figure,
    /// The median run of the base.
    pub(crate) base: f64,
    /// The median run of the new side.
    pub(crate) new: f64,
    /// Their ratio; absent with too few runs.
    pub(crate) ratio: Option<Ratio>,
}

impl Comparison {
    /// Compares the reports in `new` with those in `base`.
    ///
    /// # Errors
    /// [`Error::Usage`] when rules are given and a side has too few runs to judge by.
    pub(crate) fn new(base: Vec<Report>, new: Vec<Report>, rules: &[Rule]) -> Result<Self, Error> {
        if !rules.is_empty() && base.len().min(new.len()) < RUNS_MIN {
            let (b, n) = (base.len(), new.len());
            return Err(Error::Usage(format!(
                "--fail-if needs {RUNS_MIN} runs of each side to judge by; there are {b} and {n}"
            )));
        }
        let rows: Vec<Row> = FIGURES.into_iter().filter_map(|figure| row(figure, &base, &new)).collect();
        let ratio = |figure: Figure| rows.iter().find(|r| r.figure.name() == figure.name()).and_then(|r| r.ratio);
        let verdicts = rules.iter().map(|rule| (*rule, rule.judge(ratio(rule.figure)))).collect();
        Ok(Self { warnings: warnings(&base, &new), rows, verdicts, base, new })
    }

    /// Whether a rule is broken; with `strict`, an unclear or absent one counts too.
    pub(crate) fn has_failed(&self, strict: bool) -> bool {
        self.verdicts.iter().any(|(_, v)| *v == Verdict::Broken || strict && *v != Verdict::Kept)
    }
}

/// Reads the reports of one side.
///
/// # Errors
/// As [`Report::read`].
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Report>, Error> {
    paths.iter().map(|path| Report::read(Path::new(path))).collect()
}

fn row(figure: Figure, base: &[Report], new: &[Report]) -> Option<Row> {
    let values = |runs: &[Report]| runs.iter().map(|r| figure.of(r)).collect::<Vec<_>>();
    let (base, new) = (values(base), values(new));
    if base.iter().chain(&new).all(|v| *v == 0.0) {
        return None;
    }
    Some(Row { figure, ratio: bootstrap::ratio(&base, &new), base: median(base), new: median(new) })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

fn warnings(base: &[Report], new: &[Report]) -> Vec<String> {
    let mut warnings = Vec::new();
    let all = || base.iter().chain(new);
    let differ = |value: fn(&Report) -> String| all().map(value).collect::<std::collections::BTreeSet<_>>().len() > 1;
    if differ(|r| r.scenario.clone()) {
        warnings.push("the runs are of different scenarios".to_owned());
    }
    if differ(|r| format!("{} {} {}", r.mode, r.rate_per_s, r.clients)) {
        warnings.push("the runs differ in load (rate, clients, or open and closed loop)".to_owned());
    }
    let count = |what: fn(&Report) -> bool| all().filter(|r| what(r)).count();
    for (count, what) in [
        (count(|r| r.generator.limit.is_some()), "run(s) were limited by the generator, not by the broker"),
        (count(|r| r.outcome != "complete"), "run(s) were interrupted"),
    ] {
        if count > 0 {
            warnings.push(format!("{count} {what}"));
        }
    }
    if base.len().min(new.len()) < RUNS_MIN {
        warnings.push(format!("fewer than {RUNS_MIN} runs of a side: no confidence interval can be given"));
    } else if !is_interleaved(base, new) {
        warnings.push("the sides were not run in turn: a drift of the machine would look like a difference".to_owned());
    }
    warnings
}

/// True when neither side ran wholly before the other.
fn is_interleaved(base: &[Report], new: &[Report]) -> bool {
    let span = |runs: &[Report]| {
        let times = || runs.iter().map(|r| r.started_unix_ms);
        times().min().zip(times().max())
    };
    match (span(base), span(new)) {
        (Some((b0, b1)), Some((n0, n1))) => b0 < n1 && n0 < b1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::SplitMix;
    use crate::histogram::{Summary, empty};

    /// A run whose latencies are some 100 us, slowed by `sleep_us`, with noise that differs from run to run.
    fn run(started: u64, sleep_us: u64, rng: &mut SplitMix) -> Report {
        let mut h = empty();
        let luck = u64::from(rng.below(20));
        for _ in 0..2_000 {
            let tail = if rng.below(100) == 0 { u64::from(rng.below(400)) } else { 0 };
            h.saturating_record((90 + luck + u64::from(rng.below(40)) + tail + sleep_us) * 1_000);
        }
        Report { started_unix_ms: started, latency_us: Summary::of(&h), delivered_per_s: 1_000.0, ..Report::default() }
    }

    fn interleaved(sleep_us: u64, seed: u64) -> Comparison {
        let mut rng = SplitMix(seed);
        let base = (0..5).map(|i| run(2 * i, 0, &mut rng)).collect();
        let new = (0..5).map(|i| run(2 * i + 1, sleep_us, &mut rng)).collect();
        let rules = ["p50 > 1.10", "p99 > 1.10", "p999 > 1.15", "delivered_per_s < 0.95"].map(|r| r.parse().expect(r));
        Comparison::new(base, new, &rules).expect("enough runs")
    }

    #[test]
    fn a_slower_side_is_caught_and_the_same_side_is_not() {
        for seed in 0..4 {
            assert!(interleaved(60, seed).has_failed(false), "a sleep of 60 us, seed {seed}");
            let same = interleaved(0, seed);
            assert!(!same.has_failed(false), "the same against itself, seed {seed}: {:?}", same.verdicts);
        }
    }

    #[test]
    fn rules_need_runs_to_judge_by() {
        let mut rng = SplitMix(1);
        let mut one = || vec![run(0, 0, &mut rng)];
        assert!(Comparison::new(one(), one(), &["p99 > 1.1".parse().expect("rule")]).is_err());
        let without_rules = Comparison::new(one(), one(), &[]).expect("no rules, no need");
        assert!(without_rules.warnings.iter().any(|w| w.contains("fewer than 3")));
    }

    #[test]
    fn unequal_sides_are_pointed_out() {
        let mut rng = SplitMix(1);
        let mut side = |from: u64| (from..from + 3).map(|i| run(i, 0, &mut rng)).collect::<Vec<_>>();
        let (base, mut new) = (side(0), side(10));
        new[0].scenario = "other".into();
        new[1].generator.limit = Some("late".into());
        let warnings = Comparison::new(base, new, &[]).expect("no rules").warnings.join("\n");
        for part in ["different scenarios", "1 run(s) were limited", "not run in turn"] {
            assert!(warnings.contains(part), "{part} in {warnings}");
        }
    }
}
