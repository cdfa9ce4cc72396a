//! The ratio of two sides with its confidence interval, by bootstrap over runs.
//!
//! A run is one observation: messages of one run share its luck (what else the machine did, where memory came to lie), so
//! that resampling messages would give intervals far too narrow. Runs are resampled instead, on both sides, and the ratio
//! of the geometric means taken each time. With a handful of runs the plain percentile interval is too narrow as well; it
//! is widened by the factor that Student's t asks for.

use crate::arrivals::SplitMix;

/// Resamplings: the interval's ends move by less than their last printed digit above this.
const RESAMPLES: usize = 10_000;
/// A fixed seed: the same reports always give the same verdict.
const SEED: u64 = 0x5249_4E47;
/// Fewest runs of a side that a verdict may stand on.
pub(crate) const RUNS_MIN: usize = 3;

/// A ratio and where it may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// New over base.
    pub(crate) estimate: f64,
    /// Lower end of the 95% interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// The ratio of `new` to `base`, values of one metric, one a run; `None` with fewer than [`RUNS_MIN`] runs of a side or a
/// value that is not above 0.
pub(crate) fn ratio(base: &[f64], new: &[f64]) -> Option<Ratio> {
    if base.len() < RUNS_MIN || new.len() < RUNS_MIN || base.iter().chain(new).any(|v| !(*v > 0.0 && v.is_finite())) {
        return None;
    }
    let logs = |values: &[f64]| values.iter().map(|v| v.ln()).collect::<Vec<_>>();
    let (base, new) = (logs(base), logs(new));
    let mut rng = SplitMix(SEED);
    let mut differences: Vec<f64> =
        (0..RESAMPLES).map(|_| resample(&new, &mut rng) - resample(&base, &mut rng)).collect();
    differences.sort_by(f64::total_cmp);
    let tail = tail(base.len(), new.len());
    let at = |quantile: f64| differences[(quantile * (RESAMPLES - 1) as f64).round() as usize].exp();
    Some(Ratio { estimate: (mean(&new) - mean(&base)).exp(), low: at(tail), high: at(1.0 - tail) })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn resample(values: &[f64], rng: &mut SplitMix) -> f64 {
    let n = values.len() as u32;
    (0..n).map(|_| values[rng.below(n) as usize]).sum::<f64>() / f64::from(n)
}

/// The share of resamplings to leave out at each end for a 95% interval of samples this small.
fn tail(base: usize, new: usize) -> f64 {
    let n = base.min(new) as f64;
    normal_below(-(n / (n - 1.0)).sqrt() * student_975(base + new - 2))
}

/// The 97.5% quantile of Student's t.
fn student_975(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    TABLE.get(degrees.wrapping_sub(1)).copied().unwrap_or(1.96)
}

/// The normal distribution's share below `z`, which is negative (Abramowitz and Stegun, 26.2.17).
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
    fn the_normal_tail() {
        for (z, share) in [(-1.959_964, 0.025), (-2.575_829, 0.005), (-0.000_001, 0.5)] {
            assert!((normal_below(z) - share).abs() < 1e-5, "{z}");
        }
    }

    #[test]
    fn a_known_ratio_is_inside_its_interval() {
        let r = ratio(&[100.0, 101.0, 99.0, 100.5, 99.5], &[120.0, 121.0, 119.0, 120.5, 119.5]).expect("ratio");
        assert!((r.estimate - 1.2).abs() < 0.005, "{r:?}");
        assert!(r.low > 1.18 && r.high < 1.22 && r.low < r.estimate && r.estimate < r.high, "{r:?}");
    }

    #[test]
    fn one_wild_run_widens_the_interval_instead_of_moving_it_off_1() {
        let r = ratio(&[100.0, 104.0, 98.0, 101.0, 99.0], &[101.0, 99.0, 20_000.0, 103.0, 98.0]).expect("ratio");
        assert!(r.low < 1.05 && r.high > 5.0, "{r:?}");
    }

    #[test]
    fn too_few_runs_have_no_interval() {
        assert_eq!(ratio(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(ratio(&[1.0, 2.0, 0.0], &[1.0, 2.0, 3.0]), None);
    }

    /// Draws 5 runs a side from one distribution, again and again: the interval holds 1 about as often as it says.
    #[test]
    fn the_interval_covers() {
        let mut rng = SplitMix(11);
        let mut draw = || {
            let sum: f64 = (0..12).map(|_| rng.below(1_000) as f64 / 1_000.0).sum();
            (100.0 * ((sum - 6.0) * 0.1).exp()).max(1.0)
        };
        let inside = (0..100)
            .filter(|_| {
                let base: Vec<f64> = (0..5).map(|_| draw()).collect();
                let new: Vec<f64> = (0..5).map(|_| draw()).collect();
                ratio(&base, &new).is_some_and(|r| r.low <= 1.0 && 1.0 <= r.high)
            })
            .count();
        assert!((90..=100).contains(&inside), "{inside} of 100");
    }
}
