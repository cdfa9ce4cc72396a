//! A comparison as a page: both sides' curves on one plot, every run thin behind them, and the table of ratios.

use super::plot::{Axis, escape, lines};
use super::{curve, page};
use crate::compare::pairs::LeftOut;
use crate::compare::rules::Verdict;
use crate::compare::{Comparison, Row, markdown};
use crate::error::Error;
use crate::histogram::{self, Metric};
use crate::report::Report;
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::path::Path;

/// The comparison as a page.
///
/// # Errors
/// [`Error::Report`] when a run's histogram does not decode.
pub(crate) fn render(comparison: &Comparison) -> Result<String, Error> {
    let scenario = &comparison.scenario;
    let runs = markdown::runs(comparison);
    let mut body = format!("<h1>{}</h1><p class=\"sub\">{runs}</p>", escape(scenario));
    if !comparison.judged.is_empty() {
        let (conclusion, confidence) = (markdown::conclusion(comparison), markdown::confidence(comparison));
        let _ = write!(body, "<p><b>{conclusion}</b></p><p class=\"sub\">{confidence}</p>");
    }
    for judged in &comparison.judged {
        let class = if matches!(judged.verdict, Verdict::Kept) { "sub" } else { "warn" };
        let text = markdown::sentence(judged).replace(['*', '`'], "");
        let _ = write!(body, "<div class=\"{class}\">{}</div>", escape(&text));
    }
    for LeftOut { pair, why } in &comparison.left_out {
        let _ = write!(body, "<div class=\"warn\">pair {pair} was left out: {}.</div>", escape(why));
    }
    for warning in &comparison.warnings {
        let _ = write!(body, "<div class=\"warn\">{}.</div>", escape(warning));
    }
    body.push_str(&table(&comparison.rows));
    body.push_str(&curves(comparison)?);
    Ok(page(&format!("{scenario}: base and new"), &body))
}

fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "<div class=\"scroll\"><table><tr><th>figure</th><th>base</th><th>new</th><th>new / base</th><th>95% interval</th></tr>",
    );
    for Row { figure, base, new, ratio } in rows {
        let (base, new) = (markdown::amount(*base), markdown::amount(*new));
        let _ = write!(out, "<tr><td>{}</td><td>{base}</td><td>{new}</td>", figure.name());
        let _ = match ratio {
            Some(r) => write!(out, "<td>{:.3}</td><td>{:.3} - {:.3}</td></tr>", r.estimate, r.low, r.high),
            None => write!(out, "<td></td><td></td></tr>"),
        };
    }
    out.push_str("</table></div><p class=\"sub\">Latencies in microseconds; medians of the runs.</p>");
    out
}

fn curves(comparison: &Comparison) -> Result<String, Error> {
    let mut series = Vec::new();
    let (mut low, mut high, mut count) = (f64::MAX, 1.0f64, 100.0f64);
    for (name, class, thin, runs) in
        [("base", "a", "a thin", &comparison.base), ("new", "b", "b thin", &comparison.new)]
    {
        let mut whole = histogram::empty();
        for run in runs {
            let Some(h) = latency(run)? else { continue };
            series.push(curve::series(name, thin, &h));
            histogram::merge(&mut whole, &h);
        }
        if !whole.is_empty() {
            low = low.min(whole.min() as f64 / 1e3);
            high = high.max(whole.max() as f64 / 1e3);
            count = count.max(whole.len() as f64);
            series.push(curve::series(name, class, &whole));
        }
    }
    if series.is_empty() {
        return Ok(String::new());
    }
    let x = Axis::log("percentile", (1.0, count), curve::percentile_text);
    let y = Axis::log("microseconds", (low.max(0.1), high), curve::number_text);
    Ok(lines("Latency by percentile: all runs of a side together, each run thin", &x, &y, &series))
}

fn latency(run: &Report) -> Result<Option<Histogram<u64>>, Error> {
    let text = run.histograms.get(Metric::Latency.name());
    text.map(|t| histogram::decode(t, Path::new(&run.scenario))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::How;

    #[test]
    fn both_sides_are_drawn() {
        let run = |us: u64| {
            let mut h = histogram::empty();
            (1..=1_000u64).for_each(|i| histogram::record(&mut h, us * 1_000 + i, 1));
            let mut report = Report { latency_us: crate::histogram::Summary::of(&h), ..Report::default() };
            report.histograms.insert("latency".into(), histogram::encode(&h));
            report
        };
        let (base, new) = ([100, 101, 102].map(run).to_vec(), [200, 201, 202].map(run).to_vec());
        let how = How { paired: false, confidence: 0.95 };
        let comparison = Comparison::new(base, new, &["p99 > 1.1".parse().expect("rule")], how).expect("runs");
        let page = render(&comparison).expect("a page");
        assert!(
            page.contains("FAIL: p99") && page.contains("class=\"line b\"") && page.contains("class=\"line a thin\"")
        );
        assert_eq!(page.matches("<path").count(), 8);
        assert!(!page.contains("NaN"));
    }
}
