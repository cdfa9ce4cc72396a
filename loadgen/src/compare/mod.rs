//! Two sides of several runs each, compared figure by figure, with a verdict that CI can trust.

pub(crate) mod bootstrap;
pub(crate) mod markdown;
pub(crate) mod pairs;
pub(crate) mod rules;

use crate::error::Error;
use crate::report::Report;
use bootstrap::{PAIRS_MIN, RUNS_MIN, Ratio};
use pairs::LeftOut;
use rules::{FIGURES, Figure, Rule, Verdict};
use std::path::{Path, PathBuf};

/// A comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The first run's scenario.
    pub(crate) scenario: String,
    /// The runs of the base that count.
    pub(crate) base: Vec<Report>,
    /// The runs of the new side that count.
    pub(crate) new: Vec<Report>,
    /// Run `i` of the base and run `i` of the new side are a pair.
    pub(crate) paired: bool,
    /// Pairs that were left out.
    pub(crate) left_out: Vec<LeftOut>,
    /// How sure the verdicts are, all of them together.
    pub(crate) confidence: f64,
    /// Each figure that both sides have.
    pub(crate) rows: Vec<Row>,
    /// Each rule with its verdict.
    pub(crate) judged: Vec<Judged>,
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
    /// Their ratio, with its 95% interval; absent with too few runs.
    pub(crate) ratio: Option<Ratio>,
}

/// A rule's verdict and what it rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// The rule.
    pub(crate) rule: Rule,
    /// The figure's ratio, with the interval of [`Comparison::confidence_of_each`].
    pub(crate) ratio: Option<Ratio>,
    /// The verdict.
    pub(crate) verdict: Verdict,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No rule is broken.
    Passed,
    /// A rule is broken.
    Failed,
    /// The runs cannot tell.
    Unclear,
}

/// How runs are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// Run `i` of one side is the partner of run `i` of the other.
    pub(crate) paired: bool,
    /// How sure the verdicts are to be, all of them together; between 0 and 1.
    pub(crate) confidence: f64,
}

impl Comparison {
    /// Compares the reports in `new` with those in `base`.
    ///
    /// # Errors
    /// [`Error::Usage`] when pairs are not two and two, and when rules are given and there are too few runs to judge by.
    pub(crate) fn new(mut base: Vec<Report>, mut new: Vec<Report>, rules: &[Rule], how: How) -> Result<Self, Error> {
        let How { paired, confidence } = how;
        let (b, n) = (base.len(), new.len());
        if paired && b != n {
            return Err(Error::Usage(format!("--paired needs as many runs of base as of new; there are {b} and {n}")));
        }
        let least = if paired { PAIRS_MIN } else { RUNS_MIN };
        if !rules.is_empty() && b.min(n) < least {
            return Err(Error::Usage(format!(
                "--fail-if needs {least} runs of each side to judge by; there are {b} and {n}"
            )));
        }
        let warnings = warnings(&base, &new, paired);
        let scenario = base.first().map_or_else(String::new, |r| r.scenario.clone());
        let left_out = if paired { pairs::sift(&mut base, &mut new) } else { Vec::new() };
        let rows = FIGURES.into_iter().filter_map(|figure| row(figure, &base, &new, paired)).collect();
        let mut comparison =
            Self { scenario, base, new, paired, left_out, confidence, rows, judged: Vec::new(), warnings };
        comparison.judged = rules.iter().map(|rule| comparison.judge(*rule, rules.len())).collect();
        Ok(comparison)
    }

    fn judge(&self, rule: Rule, rules: usize) -> Judged {
        let confidence = confidence_of_each(self.confidence, rules);
        let ratio = ratio(rule.figure, &self.base, &self.new, self.paired, confidence);
        Judged { rule, ratio, verdict: rule.judge(ratio) }
    }

    /// How sure the verdict of one rule is.
    pub(crate) fn confidence_of_each(&self) -> f64 {
        confidence_of_each(self.confidence, self.judged.len())
    }

    /// What it comes to. A comparison whose pairs were mostly disturbed says nothing, whatever the others say.
    pub(crate) fn outcome(&self) -> Outcome {
        let any = |verdict| self.judged.iter().any(|j| j.verdict == verdict);
        if self.judged.is_empty() {
            Outcome::Passed
        } else if self.has_too_many_left_out() {
            Outcome::Unclear
        } else if any(Verdict::Broken) {
            Outcome::Failed
        } else if any(Verdict::Blind) || any(Verdict::Absent) {
            // A figure that is not there is not one that is well.
            Outcome::Unclear
        } else {
            Outcome::Passed
        }
    }

    /// Whether more pairs were left out than may be.
    pub(crate) fn has_too_many_left_out(&self) -> bool {
        self.left_out.len() as f64 > pairs::LEFT_OUT_MAX * (self.base.len() + self.left_out.len()) as f64
    }

    /// Whether every rule is surely kept.
    pub(crate) fn is_clear(&self) -> bool {
        self.judged.iter().all(|j| j.verdict == Verdict::Kept)
    }
}

/// Several rules have several chances of a false alarm: each gets its share of what may go wrong (Bonferroni).
fn confidence_of_each(confidence: f64, rules: usize) -> f64 {
    1.0 - (1.0 - confidence) / rules.max(1) as f64
}

/// Reads the reports of one side.
///
/// # Errors
/// As [`Report::read`].
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Report>, Error> {
    paths.iter().map(|path| Report::read(Path::new(path))).collect()
}

fn values(figure: Figure, runs: &[Report]) -> Vec<f64> {
    runs.iter().map(|r| figure.of(r)).collect()
}

fn ratio(figure: Figure, base: &[Report], new: &[Report], paired: bool, confidence: f64) -> Option<Ratio> {
    let of = if paired { bootstrap::paired_ratio } else { bootstrap::ratio };
    of(&values(figure, base), &values(figure, new), confidence)
}

fn row(figure: Figure, base: &[Report], new: &[Report], paired: bool) -> Option<Row> {
    let ratio = ratio(figure, base, new, paired, 0.95);
    let (base, new) = (values(figure, base), values(figure, new));
    if base.iter().chain(&new).all(|v| *v == 0.0) {
        return None;
    }
    Some(Row { figure, ratio, base: median(base), new: median(new) })
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

fn warnings(base: &[Report], new: &[Report], paired: bool) -> Vec<String> {
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
    } else if paired && !pairs::are_pairs(base, new) {
        warnings.push("the runs of each pair were not made one after the other, in changing order".to_owned());
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
mod power;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::SplitMix;
    use crate::histogram::{Summary, empty, record};

    /// A run whose latencies are some 100 us, slowed by `sleep_us`, with noise that differs from run to run.
    fn run(started: u64, sleep_us: u64, rng: &mut SplitMix) -> Report {
        let mut h = empty();
        let luck = u64::from(rng.below(20));
        for _ in 0..2_000 {
            let tail = if rng.below(100) == 0 { u64::from(rng.below(400)) } else { 0 };
            record(&mut h, (90 + luck + u64::from(rng.below(40)) + tail + sleep_us) * 1_000, 1);
        }
        Report { started_unix_ms: started, latency_us: Summary::of(&h), delivered_per_s: 1_000.0, ..Report::default() }
    }

    const APART: How = How { paired: false, confidence: 0.95 };

    fn interleaved(sleep_us: u64, seed: u64) -> Comparison {
        let mut rng = SplitMix(seed);
        let base = (0..5).map(|i| run(2 * i, 0, &mut rng)).collect();
        let new = (0..5).map(|i| run(2 * i + 1, sleep_us, &mut rng)).collect();
        let rules = ["p50 > 1.10", "p99 > 1.10", "p999 > 1.15", "delivered_per_s < 0.95"].map(|r| r.parse().expect(r));
        Comparison::new(base, new, &rules, APART).expect("enough runs")
    }

    #[test]
    fn a_slower_side_is_caught_and_the_same_side_is_not() {
        for seed in 0..4 {
            assert_eq!(interleaved(60, seed).outcome(), Outcome::Failed, "a sleep of 60 us, seed {seed}");
            let same = interleaved(0, seed);
            assert_eq!(same.outcome(), Outcome::Passed, "the same against itself, seed {seed}: {:?}", same.judged);
        }
    }

    #[test]
    fn rules_need_runs_to_judge_by() {
        let mut rng = SplitMix(1);
        let mut runs = |n: u64| (0..n).map(|i| run(i, 0, &mut rng)).collect::<Vec<_>>();
        let rules = ["p99 > 1.1".parse().expect("rule")];
        let pairs = How { paired: true, ..APART };
        assert!(Comparison::new(runs(1), runs(1), &rules, APART).is_err());
        assert!(Comparison::new(runs(4), runs(4), &rules, pairs).is_err());
        assert!(Comparison::new(runs(5), runs(6), &[], pairs).is_err());
        let without_rules = Comparison::new(runs(1), runs(1), &[], APART).expect("no rules, no need");
        assert!(without_rules.warnings.iter().any(|w| w.contains("fewer than 3")));
        assert_eq!(without_rules.outcome(), Outcome::Passed);
    }

    #[test]
    fn unequal_sides_are_pointed_out() {
        let mut rng = SplitMix(1);
        let mut side = |from: u64| (from..from + 3).map(|i| run(i, 0, &mut rng)).collect::<Vec<_>>();
        let (base, mut new) = (side(0), side(10));
        new[0].scenario = "other".into();
        new[1].generator.limit = Some("late".into());
        let warnings = Comparison::new(base, new, &[], APART).expect("no rules").warnings.join("\n");
        for part in ["different scenarios", "1 run(s) were limited", "not run in turn"] {
            assert!(warnings.contains(part), "{part} in {warnings}");
        }
    }
}
