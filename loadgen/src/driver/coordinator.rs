//! The coordinator: the thread that starts workers, moves the run from stage to stage and makes the report of it.

use super::clock::Clock;
use super::crew::{Crew, Part, slots_max, workers};
use super::outcome::{self, Outcome};
use super::remote;
use super::retained;
use super::samples::{Sample, Samples};
use super::shared::{Shared, Tally, Times};
use super::worker::Idle;
use crate::error::Error;
use crate::histogram::{self, Histograms, Metric, Summary};
use crate::live::{Live, Look};
use crate::payload::TICK_NS;
use crate::process;
use crate::report::log::LoggedInterval;
use crate::report::{Broker, Connections, FORMAT, Generator, Report};
use crate::scenario::expect::{Expectation, expect};
use crate::scenario::plan::Plan;
use crate::target::Target;
use crate::transport::{TlsOptions, Transports};
use rustix::time::{ClockId, clock_gettime};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// How long the target may take to accept the first connection.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait between two attempts at reaching it.
const REACH_AGAIN: Duration = Duration::from_millis(50);
/// The load begins so long after the last client is ready: every worker has noticed by then, parked or not.
const LEAD_NS: u64 = 100_000_000;
/// A ramp in which no client becomes ready for so long is over.
const RAMP_STALL_NS: u64 = 15_000_000_000;
/// Workers that come late have so long after the load to send what was due in it, however short the wait for answers is.
const THROUGH_NS: u64 = 1_000_000_000;
/// Longest time that one look at the ramp counts for.
const RAMP_STEP_MAX_NS: u64 = 100_000_000;

/// How to run a plan.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The broker.
    pub(crate) target: Target,
    /// What the command line says of TLS.
    pub(crate) tls: TlsOptions,
    /// What lies between MQTT and the sockets.
    pub(crate) transports: Transports,
    /// Workers; `None`: one, or as many as the connections need.
    pub(crate) workers: Option<u32>,
    /// Cores that workers are pinned to in turn; empty: not pinned.
    pub(crate) cores: Vec<usize>,
    /// What a worker does while it waits.
    pub(crate) idle: Option<Idle>,
    /// Messages outstanding in a closed loop; `None`: an open loop.
    pub(crate) window: Option<u64>,
    /// Unacknowledged messages of a publisher.
    pub(crate) inflight_max: u16,
    /// Other hosts that make the load, `HOST:PORT` of their agents; empty: this one does.
    pub(crate) agents: Vec<String>,
    /// Source addresses; empty: as the target needs.
    pub(crate) sources: Vec<IpAddr>,
    /// The broker's process.
    pub(crate) broker_pid: Option<i32>,
    /// Lines of progress where there is no terminal.
    pub(crate) progress: bool,
    /// How long the broker may be away at the start and in the ramp.
    pub(crate) patience: Duration,
    /// Share of the subscribers that are away while there is load.
    pub(crate) offline_share: f64,
    /// Look at the end whether every topic has its last message.
    pub(crate) check_retained: bool,
    /// Keep the histograms of every second, for an interval log.
    pub(crate) keeps_log: bool,
    /// Set by Ctrl-C; cleared when the load has ended for it, so that the next one ends the wait behind the load.
    pub(crate) interrupted: Arc<AtomicBool>,
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its report.
    pub(crate) report: Report,
    /// Its histograms second by second.
    pub(crate) log: Vec<LoggedInterval>,
    /// The whole histogram of latencies.
    pub(crate) histograms: Histograms,
    /// When the load began.
    pub(crate) started: SystemTime,
    /// Why it ended before its time, if not by Ctrl-C.
    pub(crate) failure: Option<Error>,
    /// Ctrl-C ended the wait for what was under way.
    pub(crate) is_wait_cut: bool,
}

/// Runs `plan`. Ctrl-C, and a broker that goes away, still give a report of what was measured.
///
/// # Errors
/// When no load could begin: an unreachable broker, a kernel without what is needed, an impossible plan.
pub(crate) fn run(plan: Plan, options: &Options) -> Result<Finished, Error> {
    let expectation = Arc::new(expect(&plan)?);
    reach(options)?;
    let rss_before_bytes = options.broker_pid.map(|pid| usage(pid).map(|u| u.rss_bytes)).transpose()?;
    let mut run = Run::start(plan, options, expectation)?;
    run.ramp();
    run.load();
    run.drain();
    run.finish(rss_before_bytes)
}

/// Waits until the target accepts a connection, as long as patience allows.
fn reach(options: &Options) -> Result<(), Error> {
    let until = Instant::now() + options.patience;
    loop {
        match options.target.address.connect(REACH_TIMEOUT) {
            Ok(_) => return Ok(()),
            Err(source) if Instant::now() >= until || options.interrupted.load(Ordering::Relaxed) => {
                return Err(Error::Unreachable { target: options.target.url.clone(), source });
            }
            Err(_) => std::thread::sleep(REACH_AGAIN),
        }
    }
}

fn usage(pid: i32) -> Result<process::Usage, Error> {
    process::usage(pid)
        .ok_or_else(|| Error::Usage(format!("--broker-pid {pid}: there is no such process, or it is not readable")))
}

/// A run that goes on.
struct Run<'a> {
    plan: Arc<Plan>,
    options: &'a Options,
    expectation: Arc<Expectation>,
    shared: Arc<Shared>,
    clock: Clock,
    crew: Crew,
    samples: Samples,
    times: Times,
    started: SystemTime,
    ramp_s: f64,
    live: Live,
    failure: Option<Error>,
    /// Ctrl-C ended the load.
    is_load_cut: bool,
    /// Ctrl-C ended the wait for what was under way.
    is_wait_cut: bool,
}

impl<'a> Run<'a> {
    fn start(plan: Plan, options: &'a Options, expectation: Arc<Expectation>) -> Result<Self, Error> {
        let clock = Clock::start();
        let plan = Arc::new(plan);
        let crew = if options.agents.is_empty() {
            let workers = workers(&plan, options.workers, slots_max()?, 1)?;
            let part = Part { first: 0, own: workers, all: workers };
            Crew::of_workers(&plan, &expectation, options, clock, part)?
        } else {
            remote::crew(&plan, options, clock)?
        };
        Ok(Self {
            shared: Arc::clone(&crew.shared),
            options,
            expectation,
            clock,
            crew,
            samples: Samples::new(options.keeps_log),
            times: Times::default(),
            started: SystemTime::now(),
            ramp_s: 0.0,
            live: Live::new(options.progress),
            failure: None,
            is_load_cut: false,
            is_wait_cut: false,
            plan,
        })
    }

    fn is_interrupted(&self) -> bool {
        self.options.interrupted.load(Ordering::Relaxed)
    }

    /// Waits until every client that is to connect has.
    fn ramp(&mut self) {
        let wanted: u64 = self.plan.groups.iter().filter(|g| g.connect).map(|g| u64::from(g.clients)).sum();
        let (mut progress, mut progress_ns) = (0, 0);
        // Time without progress, as far as this process was running at all: a machine that was suspended lost nothing.
        let (mut stalled_ns, mut before) = (0, self.clock.now_ns());
        loop {
            let (now, total) = (self.clock.now_ns(), self.shared.total());
            stalled_ns += (now - before).min(RAMP_STEP_MAX_NS);
            before = now;
            self.live.ramp(total.connected, wanted);
            if total.connected >= wanted {
                self.ramp_s = now as f64 / 1e9;
                return;
            }
            if total.connected > progress {
                (progress, progress_ns, stalled_ns) = (total.connected, now, 0);
            }
            self.failure = self.ramp_failure(&total, wanted, stalled_ns);
            if self.failure.is_some() || self.is_interrupted() {
                self.ramp_s = progress_ns.max(1) as f64 / 1e9;
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn ramp_failure(&self, total: &Tally, wanted: u64, stalled_ns: u64) -> Option<Error> {
        let first = || self.shared.first_error().unwrap_or_else(|| "nothing was heard of them".to_owned());
        if self.crew.has_lost_one() {
            return Some(Error::Machine("a worker ended".to_owned()));
        }
        let patience_ns = self.options.patience.as_nanos() as u64;
        let hopeless = total.established == 0 && (total.refused > 0 || total.dropped > 2 || total.failed > 10);
        let refused = total.refused > 0 && stalled_ns > 1_000_000_000;
        let slow = self.plan.connect_rate_per_s > 0.0 && self.plan.connect_rate_per_s < 0.2;
        if (hopeless || refused) && stalled_ns >= patience_ns || stalled_ns > RAMP_STALL_NS.max(patience_ns) && !slow {
            return Some(Error::NotConnected { connected: total.connected, wanted, first: first() });
        }
        None
    }

    /// Lets the load begin, and samples until it ends.
    fn load(&mut self) {
        if self.failure.is_some() || self.is_interrupted() {
            self.times = Times::default();
            return;
        }
        // Due times travel in ticks; the borders are whole ones, so that rounding moves no message across them.
        let start_ns =
            (self.clock.now_ns() + LEAD_NS + self.crew.counters_lag.as_nanos() as u64).next_multiple_of(TICK_NS);
        let measure_ns = (start_ns + self.plan.warmup_ns).next_multiple_of(TICK_NS);
        self.times = Times { start_ns, measure_ns, end_ns: measure_ns + self.plan.duration_ns };
        self.started = SystemTime::now() + Duration::from_nanos(start_ns - self.clock.now_ns());
        self.shared.begin_load(self.times);
        // Samples are at whole seconds of the measured part, and where it begins and ends.
        let warmup_s = self.plan.warmup_ns / 1_000_000_000;
        let mut at_ns = measure_ns - warmup_s * 1_000_000_000;
        if at_ns > start_ns {
            self.sample_at(start_ns);
        }
        while at_ns < self.times.end_ns {
            if self.sample_at(at_ns) {
                return self.end_early();
            }
            at_ns += 1_000_000_000;
        }
        let end_ns = self.times.end_ns;
        if self.sample_at(end_ns) {
            self.end_early();
        }
    }

    fn end_early(&mut self) {
        self.is_load_cut = self.options.interrupted.swap(false, Ordering::Relaxed);
        let now = self.clock.now_ns();
        self.shared.end_load(now);
        self.times.end_ns = self.times.end_ns.min(now).max(self.times.measure_ns);
        self.sample();
    }

    /// Waits until `at_ns` and samples. True, without sampling, when the run is to end now.
    fn sample_at(&mut self, at_ns: u64) -> bool {
        loop {
            let left = at_ns.saturating_sub(self.clock.now_ns());
            if left == 0 {
                self.sample();
                self.collect();
                self.show();
                return false;
            }
            if self.is_interrupted() {
                return true;
            }
            if self.crew.has_lost_one() {
                self.failure = Some(Error::Machine("a worker ended".to_owned()));
                return true;
            }
            std::thread::sleep(Duration::from_nanos(left.min(50_000_000)));
        }
    }

    fn sample(&mut self) {
        self.samples.list.push(Sample {
            at_ns: self.clock.now_ns(),
            tally: self.shared.total(),
            broker: self.options.broker_pid.and_then(process::usage),
            own_cpu_ns: own_cpu_ns() + self.shared.total().agent_cpu_ns,
        });
    }

    /// Shows the last second.
    fn show(&self) {
        let Some(interval) = self.samples.last_interval(self.times) else { return };
        let total = self.shared.total();
        self.live.second(&Look {
            interval: &interval,
            latency: self.samples.latest().map_or_else(Summary::default, |h| Summary::of(h.get(Metric::Latency))),
            total_s: (self.times.end_ns - self.times.start_ns) as f64 / 1e9,
            trouble: total.failed + total.refused + total.dropped,
            first_error: self.shared.first_error(),
        });
    }

    /// Takes the histograms that workers have sent.
    fn collect(&mut self) {
        let samples = &mut self.samples;
        self.crew.collect(|second| samples.add(second));
    }

    /// Waits for what is on its way, then lets everybody disconnect.
    fn drain(&mut self) {
        if self.times.end_ns > 0 && self.failure.is_none() {
            self.live.wait(self.plan.drain_ns as f64 / 1e9);
            self.wait_for_the_rest();
        }
        self.shared.begin_teardown();
    }

    /// Waits until everything has arrived and everybody is there, as long as the plan allows, or until Ctrl-C.
    fn wait_for_the_rest(&mut self) {
        let ended_ns = self.clock.now_ns();
        let mut quiet_since = None;
        loop {
            let total = self.shared.total();
            let is_through = total.through >= self.crew.workers;
            let patience_ns = if is_through { self.plan.drain_ns } else { self.plan.drain_ns.max(THROUGH_NS) };
            if self.clock.now_ns() - ended_ns >= patience_ns {
                return;
            }
            let is_all_here = total.received >= total.expected && total.connected >= total.wanted;
            let now = Instant::now();
            let since = *quiet_since.get_or_insert(now);
            if !(is_through && is_all_here && total.waiting == 0) {
                quiet_since = None;
            } else if now - since >= self.crew.counters_lag {
                return;
            }
            if self.options.interrupted.load(Ordering::Relaxed) {
                self.is_wait_cut = true;
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn finish(mut self, rss_before_bytes: Option<u64>) -> Result<Finished, Error> {
        let (outcomes, failure) = self.crew.join();
        if let Some(failure) = failure {
            self.failure = Some(Error::Machine(failure));
        }
        self.collect();
        self.live.end();
        if self.times.end_ns == 0
            && let Some(failure) = self.failure.take_if(|f| !matches!(f, Error::NotConnected { connected: 1.., .. }))
        {
            return Err(failure);
        }
        let checks_retained = self.options.check_retained && self.failure.is_none() && !self.is_wait_cut;
        let retained = checks_retained.then(|| retained::check(&self.plan, self.options, &outcomes));
        let mut histograms = self.samples.total().clone();
        outcomes.iter().for_each(|o| histograms.add(&o.histograms));
        let mut report = self.report(&outcomes, &histograms, rss_before_bytes);
        report.retained = retained;
        let (started, failure) = (self.started, self.failure.take());
        let is_wait_cut = self.is_wait_cut;
        Ok(Finished { report, log: self.samples.into_log(self.times), histograms, started, failure, is_wait_cut })
    }

    fn report(&self, outcomes: &[Outcome], histograms: &Histograms, rss_before_bytes: Option<u64>) -> Report {
        let total = self.shared.total();
        let checked = outcome::check(&self.plan, &self.expectation, outcomes, self.is_wait_cut);
        let sum = |of: fn(&crate::report::Checks) -> u64| checked.by_qos.values().map(of).sum();
        let measured_s = self.times.end_ns.saturating_sub(self.times.measure_ns) as f64 / 1e9;
        let per_s = |count: u64| if measured_s > 0.0 { (count as f64 / measured_s * 10.0).round() / 10.0 } else { 0.0 };
        let summary = |metric| Summary::of(histograms.get(metric));
        let mut report = Report {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.plan.name.clone(),
            target: self.options.target.url.clone(),
            started_unix_ms: self.started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64),
            outcome: self.outcome_name().to_owned(),
            mode: if self.options.window.is_some() { "closed" } else { "open" }.to_owned(),
            rate_per_s: if self.options.window.is_some() { 0.0 } else { self.plan.rate_per_s() },
            duration_s: measured_s,
            clients: u64::from(self.plan.clients()),
            published: total.published_measured,
            delivered: total.delivered_measured,
            published_per_s: per_s(total.published_measured),
            delivered_per_s: per_s(total.delivered_measured),
            lost: sum(|c| c.lost),
            duplicated: sum(|c| c.duplicated),
            reordered: sum(|c| c.reordered),
            corrupted: total.corrupted,
            unexpected: total.unexpected,
            unacknowledged: checked.unacknowledged,
            resent: total.resent,
            missed_while_away: checked.missed_while_away,
            under_way: checked.under_way,
            missed_sends: checked.missed_sends + total.missed_sends,
            latency_us: summary(Metric::Latency),
            latency_uncorrected_us: summary(Metric::Uncorrected),
            acknowledgement_us: summary(Metric::Acknowledgement),
            lateness_us: summary(Metric::Lateness),
            connect_us: summary(Metric::Connect),
            catch_up_us: summary(Metric::CatchUp),
            by_qos: checked.by_qos,
            pairs_at_fault: checked.pairs,
            connections: self.connections(&total),
            generator: self.generator(&total, measured_s),
            broker: self.broker(total.delivered_measured, rss_before_bytes),
            retained: None,
            intervals: self.samples.intervals(self.times),
            histograms: histograms.encoded(),
        };
        report.generator.limit = limit(&report, self.samples.longest_stop_ns(), self.broker_is_full());
        report
    }

    fn outcome_name(&self) -> &'static str {
        match (&self.failure, self.is_load_cut || self.is_interrupted()) {
            (Some(_), _) => "failed",
            (None, true) => "interrupted",
            (None, false) => "complete",
        }
    }

    fn connections(&self, total: &Tally) -> Connections {
        Connections {
            established: total.established,
            refused: total.refused,
            failed: total.failed,
            dropped: total.dropped,
            sessions_lost: total.sessions_lost,
            absent: if self.is_wait_cut { 0 } else { total.absent },
            established_per_s: (total.established as f64 / self.ramp_s.max(1e-3)).round(),
            first_error: self.shared.first_error(),
        }
    }

    fn generator(&self, total: &Tally, measured_s: f64) -> Generator {
        let busy_ns = self.shared.counters.iter().map(|c| c.load().busy_ns).max().unwrap_or(0);
        let cpu_ns = self.measured().map_or(0, |(from, to)| to.own_cpu_ns - from.own_cpu_ns);
        Generator {
            workers: self.crew.workers,
            agents: self.options.agents.len() as u64,
            clock_error_us: (!self.options.agents.is_empty()).then(|| histogram::us(self.shared.clock_error_ns())),
            cpu_s: cpu_ns as f64 / 1e9,
            busy: if measured_s > 0.0 { (busy_ns as f64 / measured_s / 1e7).round() / 100.0 } else { 0.0 },
            rss_bytes: process::usage(std::process::id() as i32).map_or(0, |u| u.rss_bytes) + total.agent_rss_bytes,
            held_back: total.held_back,
            limit: None,
        }
    }

    fn broker(&self, delivered: u64, rss_before_bytes: Option<u64>) -> Option<Broker> {
        let pid = self.options.broker_pid?;
        let (from, to) = self.measured()?;
        let (before, after) = (from.broker?, to.broker?);
        let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns) as f64;
        Some(Broker {
            pid,
            cpu_s: cpu_ns / 1e9,
            cpu_us_per_delivery: if delivered > 0 { (cpu_ns / delivered as f64).round() / 1e3 } else { 0.0 },
            rss_bytes: after.rss_bytes,
            rss_before_bytes: rss_before_bytes.unwrap_or(0),
            rss_max_bytes: self.samples.rss_max_bytes(),
        })
    }

    /// Whether the broker, as far as it can be seen, had no CPU time left.
    fn broker_is_full(&self) -> bool {
        let full = || {
            let cores = process::cores(self.options.broker_pid?)?;
            let (from, to) = self.measured()?;
            let (before, after) = (from.broker?, to.broker?);
            let share = after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / (to.at_ns - from.at_ns) as f64;
            Some(share > BUSY * cores as f64)
        };
        full().unwrap_or(false)
    }

    /// The samples at the begin and the end of the measured part.
    fn measured(&self) -> Option<(&Sample, &Sample)> {
        let from = self.samples.list.iter().find(|s| s.at_ns >= self.times.measure_ns)?;
        let to = self.samples.list.iter().rfind(|s| s.at_ns > from.at_ns)?;
        Some((from, to))
    }
}

/// The share of its time from which on a worker, or a broker's core, counts as having none left.
const BUSY: f64 = 0.95;

/// Why the generator was the limit, if it was: it came late although the broker took everything, or had no time left while the
/// broker had some.
fn limit(report: &Report, longest_stop_ns: u64, broker_is_full: bool) -> Option<String> {
    const LATE_US: f64 = 1_000.0;
    if longest_stop_ns > 500_000_000 {
        let seconds = longest_stop_ns as f64 / 1e9;
        return Some(format!("the machine, or this process, stood still for {seconds:.1} s"));
    }
    let (lateness, generator) = (&report.lateness_us, &report.generator);
    if report.missed_sends > 0 && generator.held_back == 0 {
        return Some(format!("{} messages that were due never left it", report.missed_sends));
    }
    if report.mode == "open" && lateness.p99 > LATE_US && lateness.p99 > report.latency_us.p99 / 4.0 {
        return Some(format!("1% of the messages left it more than {:.0} us after they were due", lateness.p99));
    }
    if report.mode == "closed" && generator.busy > BUSY && !broker_is_full {
        return Some(format!("a worker was busy {:.0}% of the time; use more --workers", generator.busy * 100.0));
    }
    None
}

fn own_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_worker_is_the_limit_unless_the_broker_has_no_time_left() {
        let mut report = Report { mode: "closed".into(), ..Report::default() };
        report.generator.busy = 0.99;
        assert!(limit(&report, 0, false).is_some_and(|why| why.contains("busy 99%")));
        assert_eq!(limit(&report, 0, true), None);
        report.generator.busy = 0.5;
        assert_eq!(limit(&report, 0, false), None);
        assert!(limit(&report, 600_000_000, true).is_some(), "whoever stands still measures nothing");
    }
}
