//! What a run shows while it goes on: a small dashboard on a terminal, a line a second elsewhere if that is asked for.

use crate::histogram::Summary;
use crate::report::Interval;
use crate::report::table::thousands;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Where progress goes.
#[derive(Debug)]
pub(crate) enum Live {
    /// Nowhere.
    Quiet,
    /// Lines on standard error, the last one of the ramp at this time.
    Lines(Instant),
    /// A dashboard on the terminal behind standard error.
    Dashboard(Box<Dashboard>),
}

/// The lines of a dashboard.
#[derive(Debug)]
pub(crate) struct Dashboard {
    all: MultiProgress,
    connections: ProgressBar,
    time: ProgressBar,
    rates: ProgressBar,
    latency: ProgressBar,
    trouble: ProgressBar,
}

/// One second for the eye.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    /// The second.
    pub(crate) interval: &'a Interval,
    /// Its latencies, or those of the second before.
    pub(crate) latency: Summary,
    /// Seconds of load in all.
    pub(crate) total_s: f64,
    /// Connections that failed, were refused or were dropped.
    pub(crate) trouble: u64,
    /// The first thing that went wrong.
    pub(crate) first_error: Option<String>,
}

impl Live {
    /// A dashboard on a terminal; elsewhere lines if `lines`.
    pub(crate) fn new(lines: bool) -> Self {
        match (std::io::stderr().is_terminal(), lines) {
            (true, _) => Self::Dashboard(Box::default()),
            (false, true) => Self::Lines(Instant::now()),
            (false, false) => Self::Quiet,
        }
    }

    /// The ramp: how many clients are ready.
    pub(crate) fn ramp(&mut self, connected: u64, wanted: u64) {
        match self {
            Self::Quiet => {}
            Self::Lines(last) => {
                if last.elapsed() >= Duration::from_secs(1) {
                    *last = Instant::now();
                    // Progress that nobody reads any more is no error.
                    let _ = writeln!(std::io::stderr(), "{connected} of {wanted} connected");
                }
            }
            Self::Dashboard(d) => {
                d.connections.set_length(wanted);
                d.connections.set_position(connected);
            }
        }
    }

    /// A second of the load is over.
    pub(crate) fn second(&self, look: &Look<'_>) {
        let i = look.interval;
        let per_s = |count: u64| thousands(count as f64 / i.length_s.max(1e-3));
        let rates = format!("published {}/s, delivered {}/s", per_s(i.published), per_s(i.delivered));
        let l = look.latency;
        let latency = format!("latency p50 {:.0} us, p99 {:.0} us, max {:.0} us", l.p50, l.p99, l.max);
        match self {
            Self::Quiet => {}
            Self::Lines(_) => {
                // Progress that nobody reads any more is no error.
                let _ = writeln!(
                    std::io::stderr(),
                    "{:7.1} s  {rates}; {latency}; {} connected, {} in trouble",
                    i.at_s,
                    i.connected,
                    look.trouble
                );
            }
            Self::Dashboard(d) => {
                d.connections.set_position(i.connected);
                d.time.set_length(look.total_s as u64);
                d.time.set_position(i.at_s.max(0.0) as u64);
                let cores = i.broker_cores.map_or_else(String::new, |c| format!("   broker {c:.2} cores"));
                d.rates.set_message(format!("{rates}{cores}"));
                d.latency.set_message(latency);
                if let Some(error) = &look.first_error {
                    d.trouble.set_message(format!("{} in trouble; first: {error}", look.trouble));
                }
            }
        }
    }

    /// The load is over, and for at most `longest_s` the run waits for what is under way.
    pub(crate) fn wait(&self, longest_s: f64) {
        let text =
            format!("the load is over; waiting for what is under way, at most {longest_s:.1} s (Ctrl-C: no longer)");
        match self {
            Self::Quiet => {}
            Self::Lines(_) => {
                // Progress that nobody reads any more is no error.
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Self::Dashboard(d) => d.rates.set_message(text),
        }
    }

    /// Takes the dashboard away, so that the report has the terminal.
    pub(crate) fn end(&self) {
        if let Self::Dashboard(d) = self {
            // A terminal that cannot be cleared keeps its last lines.
            let _ = d.all.clear();
        }
    }
}

impl Default for Dashboard {
    fn default() -> Self {
        let all = MultiProgress::new();
        let style =
            |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let line = |template: &str| {
            let bar = all.add(ProgressBar::new(0));
            bar.set_style(style(template));
            bar
        };
        Self {
            connections: line("connected {bar:40} {human_pos}/{human_len}"),
            time: line("seconds   {bar:40} {pos}/{len}"),
            rates: line("{wide_msg}"),
            latency: line("{wide_msg}"),
            trouble: line("{wide_msg:.red}"),
            all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_understood() {
        let dashboard = Dashboard::default();
        dashboard.connections.set_length(10);
        assert_eq!(dashboard.connections.length(), Some(10));
        for template in ["connected {bar:40} {human_pos}/{human_len}", "{wide_msg:.red}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
