//! A histogram as a curve over its percentiles.

use super::super::table::thousands;
use super::plot::Series;
use hdrhistogram::Histogram;

/// Points of a curve for each halving of what is left above.
const POINTS_PER_HALVING: u32 = 5;

/// The curve: at `1 / (1 - percentile)` the value in microseconds.
pub(super) fn series(name: &str, class: &'static str, histogram: &Histogram<u64>) -> Series {
    let count = histogram.len().max(1) as f64;
    let points = histogram
        .iter_quantiles(POINTS_PER_HALVING)
        .map(|v| {
            let quantile = v.quantile_iterated_to();
            let x = if quantile < 1.0 { (1.0 / (1.0 - quantile)).min(count) } else { count };
            let us = v.value_iterated_to() as f64 / 1e3;
            (x, us, format!("{us:.1} us at {}%", percent(quantile)))
        })
        .collect();
    Series { name: name.to_owned(), class, points }
}

/// The label of `1 / (1 - percentile)`: 10 is 90%.
pub(super) fn percentile_text(x: f64) -> String {
    format!("{}%", percent(1.0 - 1.0 / x))
}

fn percent(quantile: f64) -> String {
    let nines = if quantile < 1.0 { (-(1.0 - quantile).log10()).ceil().max(0.0) as usize } else { 0 };
    let text = format!("{:.*}", nines.saturating_sub(1).max(1), quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number as a label: whole with groups of digits, or with the decimals that it has.
pub(super) fn number_text(value: f64) -> String {
    if value >= 1_000.0 { thousands(value) } else { format!("{}", (value * 1e6).round() / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        let labels: Vec<String> = [1.0, 10.0, 100.0, 1e3, 1e4].map(percentile_text).into();
        assert_eq!(labels, ["0%", "90%", "99%", "99.9%", "99.99%"]);
        assert_eq!([10_000.0, 10.0, 0.1].map(number_text), ["10,000", "10", "0.1"]);
    }

    #[test]
    fn a_curve_rises_to_the_largest_value() {
        let mut h = crate::histogram::empty();
        (1..=1_000u64).for_each(|us| crate::histogram::record(&mut h, us * 1_000, 1));
        let points = series("x", "a", &h).points;
        assert!(points.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1));
        assert!(points.last().is_some_and(|p| p.0 == 1_000.0 && (p.1 / 1_000.0 - 1.0).abs() < 0.001));
    }
}
