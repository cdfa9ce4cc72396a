//! The report as a table for people.

use super::{Checks, Report, Retained};
use crate::histogram::Summary;
use std::fmt::Write;

/// The report as text, some 30 lines of at most 100 columns.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(report, &mut out);
    out
}

fn write_all(r: &Report, out: &mut String) -> std::fmt::Result {
    if r.is_of_log() {
        writeln!(
            out,
            "{}: {:.1} s of an interval log, {} latencies",
            r.scenario,
            r.duration_s,
            thousands(r.delivered as f64)
        )?;
        return write_latencies(r, out);
    }
    let load = if r.mode == "closed" {
        "closed loop".to_owned()
    } else {
        format!("{} msg/s, open loop", thousands(r.rate_per_s))
    };
    writeln!(out, "{} -> {}   {load}, {} clients, {:.1} s measured", r.scenario, r.target, r.clients, r.duration_s)?;
    if r.outcome != "complete" {
        writeln!(out, "{}: these are the figures up to then", r.outcome)?;
    }
    writeln!(out)?;
    writeln!(out, "published  {:>14}/s   {:>14} in all", thousands(r.published_per_s), thousands(r.published as f64))?;
    writeln!(out, "delivered  {:>14}/s   {:>14} in all", thousands(r.delivered_per_s), thousands(r.delivered as f64))?;
    write_checks(r, out)?;
    write_latencies(r, out)?;
    write_connections(r, out)?;
    if let Some(broker) = &r.broker {
        writeln!(
            out,
            "broker     pid {}: {:.3} us CPU a delivery ({:.2} s), {} resident",
            broker.pid,
            broker.cpu_us_per_delivery,
            broker.cpu_s,
            bytes(broker.rss_bytes)
        )?;
    }
    let g = &r.generator;
    writeln!(
        out,
        "generator  {} worker(s), {:.0}% busy, {:.2} s CPU, {} resident",
        g.workers,
        g.busy * 100.0,
        g.cpu_s,
        bytes(g.rss_bytes)
    )?;
    if let Some(error) = g.clock_error_us {
        writeln!(out, "           {} agents, whose clocks agree to {error:.1} us", g.agents)?;
    }
    if let Some(limit) = &g.limit {
        writeln!(out, "           THE GENERATOR WAS THE LIMIT: {limit}")?;
    }
    Ok(())
}

fn write_checks(r: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out)?;
    for (qos, Checks { expected, lost, duplicated, reordered, .. }) in &r.by_qos {
        writeln!(
            out,
            "QoS {qos}      {expected} deliveries expected: {lost} lost, {duplicated} duplicated, {reordered} reordered"
        )?;
    }
    let others = [
        (r.corrupted, "corrupted"),
        (r.unexpected, "delivered to a client that had not subscribed"),
        (r.unacknowledged, "never acknowledged"),
        (r.resent, "sent again after a reconnection"),
        (r.missed_while_away, "missed by clients that were away without a session"),
        (r.under_way, "under way when the wait for them was interrupted: lost or late"),
        (r.missed_sends, "due but never sent"),
    ];
    for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "           {count} {what}")?;
    }
    if let Some(Retained { topics, missing, stale, .. }) = &r.retained {
        writeln!(out, "           {topics} topics must have a retained message: {missing} missing, {stale} old")?;
    }
    for pair in r.pairs_at_fault.iter().take(5) {
        writeln!(
            out,
            "           {} -> {}: {} lost, {} duplicated, {} reordered (QoS {})",
            pair.publisher, pair.subscriber, pair.lost, pair.duplicated, pair.reordered, pair.qos
        )?;
    }
    Ok(())
}

fn write_latencies(r: &Report, out: &mut String) -> std::fmt::Result {
    writeln!(out)?;
    writeln!(
        out,
        "{:<24}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "microseconds", "p50", "p90", "p99", "p99.9", "p99.99", "max"
    )?;
    let rows = [
        ("latency (from due)", &r.latency_us),
        ("latency (uncorrected)", &r.latency_uncorrected_us),
        ("acknowledgement", &r.acknowledgement_us),
        ("catch-up", &r.catch_up_us),
        ("connect", &r.connect_us),
        ("lateness (generator)", &r.lateness_us),
    ];
    for (name, s) in rows.iter().filter(|(_, s)| s.count > 0) {
        let Summary { p50, p90, p99, p999, p9999, max, .. } = s;
        writeln!(out, "{name:<24}{p50:>12.1}{p90:>12.1}{p99:>12.1}{p999:>12.1}{p9999:>12.1}{max:>12.1}")?;
    }
    writeln!(out)
}

fn write_connections(r: &Report, out: &mut String) -> std::fmt::Result {
    let c = &r.connections;
    write!(out, "connected  {} ({}/s)", c.established, thousands(c.established_per_s))?;
    for (count, what) in [
        (c.refused, "refused"),
        (c.failed, "failed"),
        (c.dropped, "dropped by the other side"),
        (c.sessions_lost, "sessions not kept"),
        (c.absent, "not there at the end"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)?;
    match &c.first_error {
        Some(error) => writeln!(out, "           first: {error}"),
        None => Ok(()),
    }
}

/// A number rounded to a whole, its digits in groups of three.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < -0.5 {
        text.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in
            [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567"), (-5_000.0, "-5,000")]
        {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(bytes(1_536), "1.5 KiB");
    }

    #[test]
    fn the_table_says_what_went_wrong() {
        let (target, outcome) = ("mqtt://broker".into(), "interrupted".into());
        let mut report = Report { corrupted: 3, target, outcome, ..Report::default() };
        report.generator.limit = Some("it was late".into());
        report.connections.first_error = Some("refused: not authorized".into());
        let text = render(&report);
        for part in
            ["interrupted", "3 corrupted", "THE GENERATOR WAS THE LIMIT: it was late", "first: refused: not authorized"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.lines().all(|l| l.len() <= 100), "{text}");
    }

    #[test]
    fn the_table_of_an_interval_log_says_nothing_of_what_is_not_in_it() {
        let (latency_us, scenario) = (Summary { count: 7, ..Summary::default() }, "log".into());
        let text = render(&Report { latency_us, scenario, duration_s: 3.0, delivered: 7, ..Report::default() });
        assert!(text.starts_with("log: 3.0 s of an interval log, 7 latencies\n"), "{text}");
        assert!(text.contains("latency (from due)") && !text.contains("published"), "{text}");
    }
}
