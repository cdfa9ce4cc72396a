//! Runs in pairs, a base and a new one beside each other: which pairs count, and whether they were run as pairs.
//!
//! A pair is left out when the generator disturbed one of its runs. Only the generator's own figures decide that, never the
//! broker's, so that a slow broker cannot drop out of the comparison and those that stay are a fair sample. Fewer pairs make
//! wider intervals, which is how their loss is paid for; only a machine that disturbs most of them cannot be measured on.

use crate::report::Report;

/// A run's lateness disturbs when its 99th percentile is so many times that of the median run ...
const LATENESS_FACTOR: f64 = 3.0;
/// ... and above so many microseconds.
const LATENESS_US: f64 = 50.0;
/// The share of pairs that may be left out; with more the comparison is no longer one.
pub(crate) const LEFT_OUT_MAX: f64 = 0.5;

/// A pair that does not count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeftOut {
    /// Its number, from 1.
    pub(crate) pair: usize,
    /// Why.
    pub(crate) why: String,
}

/// Takes the disturbed pairs out of both sides, which are of the same length.
pub(crate) fn sift(base: &mut Vec<Report>, new: &mut Vec<Report>) -> Vec<LeftOut> {
    let mut lateness: Vec<f64> = base.iter().chain(new.iter()).map(|r| r.lateness_us.p99).collect();
    lateness.sort_by(f64::total_cmp);
    let usual_us = lateness.get(lateness.len() / 2).copied().unwrap_or(0.0);
    let late_us = LATENESS_US.max(LATENESS_FACTOR * usual_us);
    let mut left_out = Vec::new();
    for (at, (b, n)) in base.iter().zip(new.iter()).enumerate() {
        if let Some(why) = disturbed(b, late_us).or_else(|| disturbed(n, late_us)) {
            left_out.push(LeftOut { pair: at + 1, why });
        }
    }
    for LeftOut { pair, .. } in left_out.iter().rev() {
        base.remove(pair - 1);
        new.remove(pair - 1);
    }
    left_out
}

fn disturbed(run: &Report, late_us: f64) -> Option<String> {
    let lateness_us = run.lateness_us.p99;
    if run.outcome != "complete" {
        return Some(format!("a run was {}", run.outcome));
    }
    if run.mode == "open" && lateness_us > late_us {
        return Some(format!("the generator was {lateness_us:.0} us late at its 99th percentile, above {late_us:.0}"));
    }
    run.generator.limit.clone()
}

/// True when each pair's two runs came directly one after the other, and each side was first in some.
pub(crate) fn are_pairs(base: &[Report], new: &[Report]) -> bool {
    let mut starts: Vec<u64> = base.iter().chain(new).map(|r| r.started_unix_ms).collect();
    starts.sort_unstable();
    let place = |run: &Report| starts.partition_point(|s| *s < run.started_unix_ms);
    let beside = |(b, n): (&Report, &Report)| place(b).abs_diff(place(n)) == 1;
    let base_first = base.iter().zip(new).filter(|(b, n)| b.started_unix_ms < n.started_unix_ms).count();
    base.iter().zip(new).all(beside) && (1..base.len().max(1)).contains(&base_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(started_unix_ms: u64) -> Report {
        let mut report =
            Report { started_unix_ms, outcome: "complete".into(), mode: "open".into(), ..Report::default() };
        report.lateness_us.p99 = 15.0;
        report
    }

    #[test]
    fn what_the_generator_disturbed_is_left_out_with_its_partner() {
        let (mut base, mut new) = ((0..8).map(run).collect::<Vec<_>>(), (10..18).map(run).collect::<Vec<_>>());
        base[1].lateness_us.p99 = 400.0;
        new[3].generator.limit = Some("the machine stood still".into());
        new[4].outcome = "interrupted".into();
        // Late, but by no more than happens.
        base[6].lateness_us.p99 = 45.0;
        // A slow broker is no reason.
        new[7].latency_us.p99 = 1e6;
        let left_out = sift(&mut base, &mut new);
        assert_eq!(left_out.iter().map(|l| l.pair).collect::<Vec<_>>(), [2, 4, 5]);
        assert!(left_out[0].why.contains("400 us late") && left_out[1].why.contains("stood still"), "{left_out:?}");
        let starts = |runs: &[Report]| runs.iter().map(|r| r.started_unix_ms).collect::<Vec<_>>();
        assert_eq!((starts(&base), starts(&new)), (vec![0, 2, 5, 6, 7], vec![10, 12, 15, 16, 17]));
    }

    #[test]
    fn pairs_are_told_from_sides_that_ran_apart() {
        let side = |starts: [u64; 4]| starts.map(run);
        assert!(are_pairs(&side([1, 4, 6, 7]), &side([2, 3, 5, 8])));
        assert!(!are_pairs(&side([1, 3, 5, 7]), &side([2, 4, 6, 8])), "base is always first");
        assert!(!are_pairs(&side([1, 2, 3, 4]), &side([5, 6, 7, 8])), "one side after the other");
    }
}
