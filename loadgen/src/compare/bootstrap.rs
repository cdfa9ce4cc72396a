//! The ratio of two sides with its confidence interval, by bootstrap over runs or over pairs of runs.
//!
//! A run is one observation: messages of one run share its luck (what else the machine did, where memory came to lie), so
//! that resampling messages would give intervals far too narrow. Runs are resampled instead. Of sides that ran apart each is
//! resampled by itself, and the ratio of the geometric means taken each time. Of runs in pairs, one beside the other, whole
//! pairs are resampled: what slows the machine for some seconds slows both of a pair and leaves their ratio alone. A fifth
//! of the pairs is trimmed off each end, so that one run that the machine disturbed decides nothing; what slows less than a
//! fifth of the runs is therefore not seen either. With a handful of observations the plain percentile interval is too
//! narrow; it is widened by the factor that Student's t asks for.

use crate::arrivals::SplitMix;

/// Resamplings: of the narrowest tail that rules ask for some ten are left, and the interval's ends move by a few hundredths
/// of its width above this.
const RESAMPLES: usize = 4_000;
/// A fixed seed: the same reports always give the same verdict.
const SEED: u64 = 0x5249_4E47;
/// Fewest runs of a side that a verdict may stand on.
pub(crate) const RUNS_MIN: usize = 3;
/// Fewest pairs that a verdict may stand on: of five, three are left when the ends are trimmed.
pub(crate) const PAIRS_MIN: usize = 5;
/// The share of the pairs that is trimmed off each end.
const TRIMMED: f64 = 0.2;
/// The normal quantile of 0.8: a change counts as visible when four of five comparisons would show it.
const POWER_Z: f64 = 0.841_621;

/// A ratio and where it may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// New over base.
    pub(crate) estimate: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// The factor by which the true ratio must be beyond a limit for four of five comparisons as noisy as this one to put
    /// their whole interval beyond it.
    pub(crate) margin: f64,
}

/// The ratio of `new` to `base`, values of one metric, one a run, at a confidence between 0 and 1; `None` with fewer than
/// [`RUNS_MIN`] runs of a side or a value that is not above 0.
pub(crate) fn ratio(base: &[f64], new: &[f64], confidence: f64) -> Option<Ratio> {
    if base.len().min(new.len()) < RUNS_MIN || !all_positive(base) || !all_positive(new) {
        return None;
    }
    let logs = |values: &[f64]| values.iter().map(|v| v.ln()).collect::<Vec<_>>();
    let (base, new) = (logs(base), logs(new));
    let mut rng = SplitMix(SEED);
    let (mut one, mut other) = (Vec::new(), Vec::new());
    let mut draw = || {
        resample(&new, &mut rng, &mut one);
        resample(&base, &mut rng, &mut other);
        mean(&one) - mean(&other)
    };
    let draws = (0..RESAMPLES).map(|_| draw()).collect();
    let tail = tail(base.len().min(new.len()), base.len() + new.len() - 2, confidence);
    Some(interval(mean(&new) - mean(&base), draws, tail))
}

/// As [`ratio`], of runs in pairs: `base[i]` and `new[i]` ran one beside the other. `None` with fewer than [`PAIRS_MIN`].
pub(crate) fn paired_ratio(base: &[f64], new: &[f64], confidence: f64) -> Option<Ratio> {
    if base.len() != new.len() || base.len() < PAIRS_MIN || !all_positive(base) || !all_positive(new) {
        return None;
    }
    let mut logs: Vec<f64> = base.iter().zip(new).map(|(b, n)| (n / b).ln()).collect();
    let mut rng = SplitMix(SEED);
    let mut drawn = Vec::new();
    let mut draw = || {
        resample(&logs, &mut rng, &mut drawn);
        trimmed_mean(&mut drawn)
    };
    let draws = (0..RESAMPLES).map(|_| draw()).collect();
    Some(interval(trimmed_mean(&mut logs), draws, tail(base.len(), base.len() - 1, confidence)))
}

fn all_positive(values: &[f64]) -> bool {
    values.iter().all(|v| *v > 0.0 && v.is_finite())
}

fn interval(estimate: f64, mut draws: Vec<f64>, tail: f64) -> Ratio {
    draws.sort_by(f64::total_cmp);
    let at = |quantile: f64| draws[(quantile * (RESAMPLES - 1) as f64).round() as usize];
    let (low, high) = (at(tail), at(1.0 - tail));
    let centre = mean(&draws);
    let error = (draws.iter().map(|d| (d - centre).powi(2)).sum::<f64>() / RESAMPLES as f64).sqrt();
    let margin = ((high - low) / 2.0 + POWER_Z * error).exp();
    Ratio { estimate: estimate.exp(), low: low.exp(), high: high.exp(), margin }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of what is left when [`TRIMMED`] of the values is taken off each end; leaves them sorted.
fn trimmed_mean(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let off = (values.len() as f64 * TRIMMED) as usize;
    mean(&values[off..values.len() - off])
}

/// As many of `values` as there are, drawn with replacement into `drawn`.
fn resample(values: &[f64], rng: &mut SplitMix, drawn: &mut Vec<f64>) {
    drawn.clear();
    let n = values.len() as u32;
    drawn.extend((0..n).map(|_| values[rng.below(n) as usize]));
}

/// The share of resamplings to leave out at each end, for samples of `n` and so many degrees of freedom.
fn tail(n: usize, degrees: usize, confidence: f64) -> f64 {
    let n = n as f64;
    normal_below(-(n / (n - 1.0)).sqrt() * student_above((1.0 - confidence) / 2.0, degrees as f64))
}

/// What Student's t is above with probability `tail` (Abramowitz and Stegun, 26.7.5; to three digits from 4 degrees).
fn student_above(tail: f64, degrees: f64) -> f64 {
    let z = normal_above(tail);
    let power = |n: i32| z.powi(n);
    let terms = [
        (power(3) + z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * z) / 384.0,
        (79.0 * power(9) + 776.0 * power(7) + 1_482.0 * power(5) - 1_920.0 * power(3) - 945.0 * z) / 92_160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / degrees) + z
}

/// The z that a normal variable is above with probability `tail`, below a half.
fn normal_above(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_below(-middle) > tail { low = middle } else { high = middle }
    }
    low
}

/// The normal distribution's share below `z`, which is not above 0 (Abramowitz and Stegun, 26.2.17).
fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 - 0.231_641_9 * z);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    density * series.iter().fold(0.0, |sum, c| (sum + c) * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_and_students() {
        for (z, share) in [(-1.959_964, 0.025), (-2.575_829, 0.005), (-0.000_001, 0.5)] {
            assert!((normal_below(z) - share).abs() < 1e-5, "{z}");
        }
        for (tail, degrees, t) in [(0.025, 4.0, 2.776), (0.025, 9.0, 2.262), (0.025, 19.0, 2.093), (0.005, 9.0, 3.250)]
        {
            assert!((student_above(tail, degrees) / t - 1.0).abs() < 2e-3, "{tail} {degrees}");
        }
    }

    #[test]
    fn a_known_ratio_is_inside_its_interval() {
        let (base, new) = ([100.0, 101.0, 99.0, 100.5, 99.5], [120.0, 121.0, 119.0, 120.5, 119.5]);
        for r in [ratio(&base, &new, 0.95), paired_ratio(&base, &new, 0.95)] {
            let r = r.expect("ratio");
            assert!((r.estimate - 1.2).abs() < 0.005, "{r:?}");
            assert!(r.low > 1.18 && r.high < 1.22 && r.low < r.estimate && r.estimate < r.high, "{r:?}");
            assert!(r.margin > 1.0 && r.margin < 1.04, "{r:?}");
        }
    }

    #[test]
    fn one_wild_run_widens_the_interval_instead_of_moving_it_off_1() {
        let (base, new) = ([100.0, 104.0, 98.0, 101.0, 99.0], [101.0, 99.0, 20_000.0, 103.0, 98.0]);
        let r = ratio(&base, &new, 0.95).expect("ratio");
        assert!(r.low < 1.05 && r.high > 5.0, "{r:?}");
        let many = |five: &[f64; 5]| five.repeat(4);
        let (base, mut new) = (many(&base), many(&base));
        new[7] *= 200.0;
        let r = paired_ratio(&base, &new, 0.95).expect("ratio");
        assert!(r.low >= 0.99 && r.high < 1.01, "one of twenty pairs decides nothing: {r:?}");
    }

    #[test]
    fn a_drift_that_both_of_a_pair_share_leaves_their_ratio_alone() {
        let base: Vec<f64> = (0..10).map(|i| 100.0 * f64::from(i + 1)).collect();
        let new: Vec<f64> = base.iter().map(|b| b * 1.1).collect();
        let paired = paired_ratio(&base, &new, 0.99).expect("ratio");
        assert!(paired.low > 1.099 && paired.high < 1.101, "{paired:?}");
        let apart = ratio(&base, &new, 0.99).expect("ratio");
        assert!(apart.low < 0.8 && apart.margin > 1.5, "{apart:?}");
    }

    #[test]
    fn too_few_runs_have_no_interval() {
        assert_eq!(ratio(&[1.0, 2.0], &[1.0, 2.0, 3.0], 0.95), None);
        assert_eq!(ratio(&[1.0, 2.0, 0.0], &[1.0, 2.0, 3.0], 0.95), None);
        assert_eq!(paired_ratio(&[1.0; 4], &[1.0; 4], 0.95), None);
        assert_eq!(paired_ratio(&[1.0; 6], &[1.0; 5], 0.95), None);
    }

    /// About normal around 0 with a standard deviation of 1.
    fn normal(rng: &mut SplitMix) -> f64 {
        (0..12).map(|_| f64::from(rng.below(1_000)) / 1_000.0).sum::<f64>() - 6.0
    }

    /// Draws both sides from one distribution, again and again: the interval holds 1 about as often as it says, whether
    /// noise is normal or one value of ten is far off.
    #[test]
    fn the_interval_covers() {
        type Of = fn(&[f64], &[f64], f64) -> Option<Ratio>;
        for (of, n, wild) in [(ratio as Of, 5, 1.0), (paired_ratio, 10, 1.0), (paired_ratio, 10, 10.0)] {
            let mut rng = SplitMix(11);
            let mut draw = || {
                let factor = if rng.below(10) == 0 { wild } else { 1.0 };
                100.0 * (normal(&mut rng) * factor * 0.1).exp()
            };
            let inside = (0..200)
                .filter(|_| {
                    let base: Vec<f64> = (0..n).map(|_| draw()).collect();
                    let new: Vec<f64> = (0..n).map(|_| draw()).collect();
                    of(&base, &new, 0.95).is_some_and(|r| r.low <= 1.0 && 1.0 <= r.high)
                })
                .count();
            assert!((182..=200).contains(&inside), "{inside} of 200 with {n}, {wild}");
        }
    }
}
