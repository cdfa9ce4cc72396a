//! The report, or a comparison, as one page that needs nothing but itself.

mod comparison;
mod curve;
mod plot;

pub(crate) use comparison::render as render_comparison;

use super::table::{bytes, thousands};
use super::{Interval, Report};
use crate::error::Error;
use crate::histogram::{self, Metric, Summary};
use hdrhistogram::Histogram;
use plot::{Axis, Cell, Series, escape, heat_map, lines};
use std::fmt::Write;
use std::path::Path;

/// A page around `body`.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title>\n<style>{}</style></head>\n<body>{body}<div id=\"tip\"></div>\
         <footer>ringtail-load {}. Latencies run from the time a message was due.</footer>\n<script>{}</script></body></html>\n",
        escape(title),
        include_str!("page.css"),
        env!("CARGO_PKG_VERSION"),
        include_str!("page.js"),
    )
}

/// The report as a page. `path` is the report's file, for errors.
///
/// # Errors
/// [`Error::Report`] when a histogram in it does not decode.
pub(crate) fn render(report: &Report, path: &Path) -> Result<String, Error> {
    let mut body = String::new();
    let load = match report.mode.as_str() {
        "closed" => "closed loop".to_owned(),
        _ => format!("{} messages a second, open loop", thousands(report.rate_per_s)),
    };
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"sub\">{} &middot; {load} &middot; {} clients &middot; {:.1} s measured &middot; <time \
         id=\"t\">{}</time></p>",
        escape(&report.scenario),
        escape(&report.target),
        thousands(report.clients as f64),
        report.duration_s,
        date(report.started_unix_ms)
    );
    warnings(report, &mut body);
    tiles(report, &mut body);
    latency_table(report, &mut body);
    let names = [
        (Metric::Latency, "from due", "a"),
        (Metric::Uncorrected, "uncorrected", "b"),
        (Metric::Lateness, "generator's lateness", "d"),
    ];
    let mut curves = Vec::new();
    for (metric, name, class) in names {
        if let Some(text) = report.histograms.get(metric.name()) {
            curves.push((name.to_owned(), class, histogram::decode(text, path)?));
        }
    }
    body.push_str(&percentiles("Latency by percentile", &curves));
    over_time(report, &mut body);
    pairs(report, &mut body);
    Ok(page(&format!("{} - {}", report.scenario, report.target), &body))
}

fn warnings(report: &Report, body: &mut String) {
    let limit = report.generator.limit.iter().map(|l| format!("The generator was the limit, not the broker: {l}."));
    let outcome = (report.outcome != "complete")
        .then(|| format!("This run was {}; these are the figures up to then.", report.outcome));
    let error = report.connections.first_error.iter().map(|e| format!("First trouble: {e}."));
    for text in outcome.into_iter().chain(limit).chain(report.broken_promises()).chain(error) {
        let _ = write!(body, "<div class=\"warn\">{}</div>", escape(&text));
    }
}

fn tiles(r: &Report, body: &mut String) {
    let micro = |v: f64| if v >= 10_000.0 { format!("{:.1} ms", v / 1e3) } else { format!("{v:.1} us") };
    let mut tile = |value: String, name: &str, is_bad: bool| {
        let class = if is_bad { " bad" } else { "" };
        let _ = write!(body, "<div class=\"tile{class}\"><b>{}</b><span>{}</span></div>", escape(&value), escape(name));
    };
    tile(format!("{}/s", thousands(r.published_per_s)), "published", false);
    tile(format!("{}/s", thousands(r.delivered_per_s)), "delivered", false);
    tile(micro(r.latency_us.p50), "latency p50", false);
    tile(micro(r.latency_us.p99), "latency p99", false);
    tile(micro(r.latency_us.max), "latency max", false);
    for (count, name) in
        [(r.lost, "lost"), (r.duplicated, "duplicated"), (r.reordered, "out of order"), (r.corrupted, "corrupted")]
    {
        tile(thousands(count as f64), name, count > 0);
    }
    if let Some(b) = &r.broker {
        tile(format!("{:.3} us", b.cpu_us_per_delivery), "broker CPU a delivery", false);
        tile(bytes(b.rss_bytes), "broker resident", false);
    }
    tile(format!("{:.0}%", r.generator.busy * 100.0), "generator busy", r.generator.limit.is_some());
    let all = std::mem::take(body);
    let start = all.find("<div class=\"tile").unwrap_or(all.len());
    let _ = write!(body, "{}<div class=\"tiles\">{}</div>", &all[..start], &all[start..]);
}

fn latency_table(r: &Report, body: &mut String) {
    body.push_str(
        "<h2>Times, microseconds</h2><div class=\"scroll\"><table><tr><th></th><th>count</th><th>p50</th><th>p90</th>\
                   <th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr>",
    );
    let rows = [
        ("latency, from due", &r.latency_us),
        ("latency, uncorrected", &r.latency_uncorrected_us),
        ("acknowledgement", &r.acknowledgement_us),
        ("catch-up", &r.catch_up_us),
        ("connect", &r.connect_us),
        ("lateness of the generator", &r.lateness_us),
    ];
    for (name, Summary { count, p50, p90, p99, p999, p9999, max, .. }) in rows.iter().filter(|(_, s)| s.count > 0) {
        let _ = write!(body, "<tr><td>{name}</td><td>{}</td>", thousands(*count as f64));
        for value in [p50, p90, p99, p999, p9999, max] {
            let _ = write!(body, "<td>{value:.1}</td>");
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
}

/// The curves of whole histograms over their percentiles, the tail stretched.
fn percentiles(title: &str, curves: &[(String, &'static str, Histogram<u64>)]) -> String {
    let with = || curves.iter().map(|(_, _, h)| h).filter(|h| !h.is_empty());
    let count = with().map(Histogram::len).max().unwrap_or(1) as f64;
    let low = with().map(Histogram::min).min().unwrap_or(1) as f64 / 1e3;
    let high = with().map(Histogram::max).max().unwrap_or(1) as f64 / 1e3;
    let x = Axis::log("percentile", (1.0, count.max(100.0)), curve::percentile_text);
    let y = Axis::log("microseconds", (low.max(0.1), high), curve::number_text);
    let series: Vec<Series> = curves.iter().map(|(name, class, h)| curve::series(name, class, h)).collect();
    lines(title, &x, &y, &series)
}

fn over_time(report: &Report, body: &mut String) {
    let intervals: Vec<&Interval> = report.intervals.iter().filter(|i| i.length_s > 0.2).collect();
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return };
    let x = Axis::linear(
        "seconds since the load began",
        ((first.at_s - first.length_s).max(0.0).floor(), last.at_s),
        curve::number_text,
    );
    body.push_str("<h2>Over time</h2>");
    body.push_str(&latency_heat(&intervals, &x));
    let line = |name: &str, class, value: &dyn Fn(&Interval) -> Option<(f64, String)>| Series {
        name: name.to_owned(),
        class,
        points: intervals.iter().filter_map(|i| value(i).map(|(v, text)| (i.at_s, v, text))).collect(),
    };
    let rate = |count: fn(&Interval) -> u64| {
        move |i: &Interval| {
            let per_s = count(i) as f64 / i.length_s;
            Some((per_s, format!("{}/s at {:.0} s", thousands(per_s), i.at_s)))
        }
    };
    chart(
        "Throughput, messages a second",
        "a second",
        &x,
        vec![line("delivered", "a", &rate(|i| i.delivered)), line("published", "b", &rate(|i| i.published))],
        body,
    );
    let cores = |i: &Interval| i.broker_cores.map(|c| (c, format!("{c:.2} cores at {:.0} s", i.at_s)));
    chart("Broker CPU, cores", "cores", &x, vec![line("broker", "c", &cores)], body);
    let memory =
        |i: &Interval| i.broker_rss_bytes.map(|b| (b as f64 / 1_048_576.0, format!("{} at {:.0} s", bytes(b), i.at_s)));
    chart("Broker resident memory, MiB", "MiB", &x, vec![line("broker", "d", &memory)], body);
}

fn chart(title: &str, unit: &'static str, x: &Axis, series: Vec<Series>, body: &mut String) {
    let high = series.iter().flat_map(|s| &s.points).map(|p| p.1).fold(0.0, f64::max);
    if series.iter().any(|s| !s.points.is_empty()) {
        body.push_str(&lines(title, x, &Axis::linear(unit, (0.0, high), curve::number_text), &series));
    }
}

fn latency_heat(intervals: &[&Interval], x: &Axis) -> String {
    let us = |step: u16| (f64::from(step) / 4.0).exp2() / 1e3;
    let steps = || intervals.iter().flat_map(|i| &i.heat).map(|(step, _)| *step);
    let (Some(low), Some(high)) = (steps().min(), steps().max()) else { return String::new() };
    let y = Axis::log("microseconds", (us(low), us(high + 1)), curve::number_text);
    let mut cells = Vec::new();
    for i in intervals {
        let total = i.heat.iter().map(|(_, n)| n).sum::<u64>() as f64;
        for (step, count) in &i.heat {
            let share = *count as f64 / total;
            cells.push(Cell {
                x: (i.at_s - i.length_s, i.at_s),
                y: (us(*step), us(step + 1)),
                // By logarithm: one message in ten thousand is still seen.
                strength: (1.0 + share.log10() / 4.0).clamp(0.0, 1.0),
                text: format!(
                    "{:.0} to {:.0} us at {:.0} s: {} ({:.3}%)",
                    us(*step),
                    us(step + 1),
                    i.at_s,
                    thousands(*count as f64),
                    share * 100.0
                ),
            });
        }
    }
    heat_map("Latency over time: how many messages took how long", x, &y, &cells)
}

fn pairs(report: &Report, body: &mut String) {
    if report.pairs_at_fault.is_empty() {
        return;
    }
    body.push_str("<h2>Pairs with the most faults</h2><div class=\"scroll\"><table><tr><th>publisher</th><th>subscriber</th><th>QoS</th>\
                   <th>lost</th><th>duplicated</th><th>out of order</th></tr>");
    for p in report.pairs_at_fault.iter().take(20) {
        let _ = write!(
            body,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&p.publisher),
            escape(&p.subscriber),
            p.qos,
            p.lost,
            p.duplicated,
            p.reordered
        );
    }
    body.push_str("</table></div>");
}

/// A time as `2026-01-31 12:34:56 UTC`, by the proleptic Gregorian calendar.
fn date(unix_ms: u64) -> String {
    let (days, seconds) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    // Days are counted from 0000-03-01, so that a leap day ends a year.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Broker, heat_step};

    #[test]
    fn dates() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_827_696_000, "2000-02-29 12:34:56 UTC"),
            (4_102_444_799_000, "2099-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(date(ms), text);
        }
    }

    #[test]
    fn a_page_holds_every_part_and_nothing_from_elsewhere() {
        let mut h = histogram::empty();
        (1..=5_000u64).for_each(|us| histogram::record(&mut h, us * 1_000, 1));
        let interval = |at_s| Interval {
            at_s,
            length_s: 1.0,
            delivered: 5_000,
            heat: vec![(heat_step(1_000), 10), (heat_step(5_000_000), 1)],
            broker_cores: Some(0.5),
            broker_rss_bytes: Some(1 << 20),
            ..Interval::default()
        };
        let mut report = Report {
            scenario: "<b>".into(),
            latency_us: Summary::of(&h),
            lost: 3,
            intervals: vec![interval(1.0), interval(2.0)],
            broker: Some(Broker::default()),
            ..Report::default()
        };
        report.histograms.insert("latency".into(), histogram::encode(&h));
        let page = render(&report, Path::new("r.json")).expect("a page");
        for part in [
            "&lt;b&gt;",
            "Latency by percentile",
            "Latency over time",
            "Throughput",
            "Broker CPU",
            "Broker resident",
            "class=\"tile bad\"><b>3",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(
            !page.contains("<b><h1>") && !page.contains("http") && !page.contains("NaN") && !page.contains("inf"),
            "{page}"
        );
        report.histograms.insert("latency".into(), "?".into());
        assert!(render(&report, Path::new("r.json")).is_err());
    }

    #[test]
    fn an_empty_report_is_a_page_too() {
        let page = render(&Report::default(), Path::new("r.json")).expect("a page");
        assert!(page.contains("<h1></h1>") && !page.contains("NaN"));
    }
}
