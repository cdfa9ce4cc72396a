//! What a comparison of pairs finds and what it does not, over many seeds: synthetic runs of a machine that drifts.

use super::{Comparison, How, Outcome, markdown};
use crate::arrivals::SplitMix;
use crate::histogram::{Summary, empty, record};
use crate::report::{Broker, Report};

/// As `scripts/latency-ci` judges.
const RULES: [&str; 3] = ["p50 > 1.03 see 1.10", "cpu_us_per_delivery > 1.03 see 1.10", "p99 > 1.05"];
const MESSAGES: u32 = 600;

/// About normal around 0 with a standard deviation of 1.
fn normal(rng: &mut SplitMix) -> f64 {
    (0..12).map(|_| f64::from(rng.below(1_000)) / 1_000.0).sum::<f64>() - 6.0
}

/// A run whose latencies are some 100 us times `speed`, with a tail; the broker's CPU time moves with it.
fn run(started_unix_ms: u64, speed: f64, rng: &mut SplitMix) -> Report {
    let mut h = empty();
    for _ in 0..MESSAGES {
        let tail = if rng.below(20) == 0 { f64::from(rng.below(100)) } else { 0.0 };
        let us = (80.0 + f64::from(rng.below(40)) + tail) * speed;
        record(&mut h, (us * 1_000.0) as u64, 1);
    }
    Report {
        started_unix_ms,
        outcome: "complete".into(),
        mode: "open".into(),
        latency_us: Summary::of(&h),
        broker: Some(Broker { cpu_us_per_delivery: 17.0 * speed, ..Broker::default() }),
        ..Report::default()
    }
}

/// So many pairs, the new side slower by `factor`. The machine drifts by a third from pair to pair, and each run has luck of
/// its own with a standard deviation of `luck`.
fn pairs(count: u64, factor: f64, luck: f64, seed: u64) -> Comparison {
    let mut rng = SplitMix(seed);
    let (mut base, mut new) = (Vec::new(), Vec::new());
    for pair in 0..count {
        let machine = 1.0 + f64::from(rng.below(330)) / 1_000.0;
        let first = u64::from(pair % 2 == 0 || rng.below(2) == 0);
        let own = (normal(&mut rng) * luck).exp();
        base.push(run(2 * pair + 1 - first, machine * own, &mut rng));
        let own = (normal(&mut rng) * luck).exp();
        new.push(run(2 * pair + first, machine * factor * own, &mut rng));
    }
    let rules = RULES.map(|r| r.parse().expect(r));
    Comparison::new(base, new, &rules, How { paired: true, confidence: 0.95 }).expect("enough pairs")
}

#[test]
fn a_shift_of_a_tenth_to_a_fifth_is_caught() {
    for (factor, luck) in [(1.10, 0.02), (1.20, 0.05)] {
        let found = (0..10).filter(|seed| pairs(20, factor, luck, *seed).outcome() == Outcome::Failed).count();
        assert!(found >= 9, "{factor}: {found} of 10");
    }
}

#[test]
fn ten_equal_pairs_raise_no_alarm() {
    for luck in [0.01, 0.03, 0.20] {
        let failed = (0..10).filter(|seed| pairs(10, 1.0, luck, *seed).outcome() == Outcome::Failed).count();
        assert_eq!(failed, 0, "{luck}: of 10");
    }
}

/// Fewer pairs see less, and raise no more alarms.
#[test]
fn half_of_the_pairs_judge_as_fairly_as_all() {
    let left = |factor, seed| {
        let Comparison { mut base, new, .. } = pairs(20, factor, 0.02, seed);
        base.iter_mut().step_by(2).for_each(|r| r.generator.limit = Some("it was late".into()));
        let rules = RULES.map(|r| r.parse().expect(r));
        let judged = Comparison::new(base, new, &rules, How { paired: true, confidence: 0.95 }).expect("pairs");
        assert_eq!(judged.left_out.len(), 10);
        judged.outcome()
    };
    let failed = |factor| (0..20).filter(|seed| left(factor, *seed) == Outcome::Failed).count();
    assert_eq!(failed(1.0), 0, "alarms of 20");
    assert!(failed(1.15) >= 18, "found of 20: {}", failed(1.15));
}

#[test]
fn quiet_runs_pass_and_noisy_ones_say_that_they_cannot_tell() {
    for seed in 0..5 {
        assert_eq!(pairs(20, 1.0, 0.01, seed).outcome(), Outcome::Passed, "quiet, seed {seed}");
        assert_eq!(pairs(10, 1.0, 0.30, seed).outcome(), Outcome::Unclear, "noisy, seed {seed}");
    }
}

/// Equal pairs of a quiet median, on a machine that now and then takes the CPU away: the 99th percentile is up to `wild` times
/// as long in one run as in another.
fn pairs_with_a_wild_tail(wild: f64, rules: &[&str], seed: u64) -> Comparison {
    let Comparison { mut base, mut new, .. } = pairs(20, 1.0, 0.01, seed);
    let mut rng = SplitMix(seed);
    for report in base.iter_mut().chain(&mut new) {
        report.latency_us.p99 *= wild.powf(f64::from(rng.below(1_000)) / 1_000.0);
    }
    let rules: Vec<_> = rules.iter().map(|r| r.parse().expect(r)).collect();
    Comparison::new(base, new, &rules, How { paired: true, confidence: 0.95 }).expect("enough pairs")
}

#[test]
fn a_tail_that_nobody_asked_to_decide_is_named_and_decides_nothing() {
    for seed in 0..5 {
        let comparison = pairs_with_a_wild_tail(100.0, &RULES, seed);
        assert_eq!(comparison.outcome(), Outcome::Passed, "seed {seed}");
        let said = markdown::conclusion(&comparison);
        assert_eq!(said, "No rule is broken. These runs cannot tell: `p99 > 1.05`.", "seed {seed}");
        let asked = pairs_with_a_wild_tail(100.0, &["p50 > 1.03 see 1.10", "p99 > 1.05 see 1.25"], seed);
        assert_eq!(asked.outcome(), Outcome::Unclear, "seed {seed}");
        assert!(markdown::conclusion(&asked).ends_with("ask to see: `p99 > 1.05 see 1.25`."), "seed {seed}");
    }
}

#[test]
fn a_generator_that_was_often_late_ends_in_no_verdict() {
    for (late, outcome) in [(2, Outcome::Failed), (5, Outcome::Failed), (6, Outcome::Unclear)] {
        let comparison = pairs(10, 1.5, 0.01, 1);
        let (mut base, new) = (comparison.base, comparison.new);
        base.iter_mut().take(late).for_each(|r| r.generator.limit = Some("it was late".into()));
        let rules = RULES.map(|r| r.parse().expect(r));
        let judged = Comparison::new(base, new, &rules, How { paired: true, confidence: 0.95 }).expect("pairs");
        assert_eq!((judged.outcome(), judged.left_out.len()), (outcome, late));
    }
}
