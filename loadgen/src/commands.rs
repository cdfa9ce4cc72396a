//! The commands that make load: `run`, `verify` and `sweep`.

use crate::cli::{RunArgs, SweepArgs, VerifyArgs};
use crate::driver::{self, Finished, Idle, Options};
use crate::error::{Error, exit};
use crate::histogram::Metric;
use crate::report::{html, log, table};
use crate::scenario;
use crate::scenario::expect::expect;
use crate::scenario::plan::{Overrides, Plan};
use crate::sweep::{self, Rates, Step};
use crate::target::Target;
use crate::transport::{TlsOptions, Transports};
use crate::{print, write};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unacknowledged messages of a publisher in a closed loop, unless said otherwise; an open loop has the protocol's bound.
const CLOSED_INFLIGHT: u16 = 64;
/// Seconds for which a broker keeps the sessions of `verify`.
const VERIFY_SESSION_EXPIRY_S: u32 = 3_600;

/// `run`: makes load and reports.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, Error> {
    let file = scenario::load(&args.scenario)?;
    let plan = Plan::new(&file, &args.scenario, &overrides(args), run_number())?;
    check_files(args)?;
    finish(args, driver::run(plan, &options(args)?)?, false)
}

/// `verify`: makes load over sessions that must survive anything, and fails when a promise is broken.
pub(crate) fn verify(args: &VerifyArgs) -> Result<ExitCode, Error> {
    let run = &args.run;
    if !(0.0..=1.0).contains(&args.offline) {
        return Err(Error::Usage(format!("--offline {}: it is a share, from 0 to 1", args.offline)));
    }
    let mut file = scenario::load(&run.scenario)?;
    file.drain_s = file.drain_s.max(args.patience);
    for group in &mut file.groups {
        group.clean_start = false;
        group.session_expiry_s = group.session_expiry_s.max(VERIFY_SESSION_EXPIRY_S);
        if let Some(publish) = group.publish.as_mut().filter(|_| args.retained) {
            publish.retain = true;
        }
    }
    let plan = Plan::new(&file, &run.scenario, &overrides(run), args.run_id.unwrap_or_else(run_number))?;
    let options = Options {
        // Waking up late spoils no promise, and the broker has the cores.
        idle: run.idle.or(Some(Idle::Park)),
        inflight_max: run.inflight.unwrap_or(CLOSED_INFLIGHT),
        patience: Duration::from_secs_f64(args.patience),
        offline_share: args.offline,
        check_retained: args.retained,
        ..options(run)?
    };
    check_files(run)?;
    finish(run, driver::run(plan, &options)?, true)
}

/// `sweep`: raises the rate until the broker no longer keeps up.
pub(crate) fn sweep(args: &SweepArgs) -> Result<ExitCode, Error> {
    let rates = Rates::parse(&args.sweep, usize::from(args.steps))?;
    let run = &args.run;
    if run.max || run.rate.is_some() || run.hlog.is_some() || run.html.is_some() {
        return Err(Error::Usage(
            "sweep sets the rates itself and makes many runs: it takes no --rate, --max, --hlog, --html".to_owned(),
        ));
    }
    if args.p99_max <= 0.0 {
        return Err(Error::Usage("--p99-max 0: no latency is below it".to_owned()));
    }
    let file = scenario::load(&run.scenario)?;
    let options = options(run)?;
    let plan = Plan::new(&file, &run.scenario, &overrides(run), run_number())?;
    let deliveries = expect(&plan)?.deliveries_per_message(&plan);
    // A rate that cannot be is to be known before the others have taken their time.
    plan.clone().set_rate(Some(rates.to))?;
    check_files(run)?;
    let mut head = Some(Step::head());
    let sweep = sweep::sweep(
        &rates,
        deliveries,
        args.p99_max * 1e6,
        |rate| {
            let mut plan = Plan { run: run_number(), ..plan.clone() };
            plan.set_rate(Some(rate))?;
            let finished = driver::run(plan, &options)?;
            finished.failure.map_or(Ok(finished.report), Err)
        },
        |step| print(&(head.take().unwrap_or_default() + &step.row())),
    );
    if head.is_none() || sweep.failure.is_none() {
        print(&format!("{}\n", sweep.conclusion()));
    }
    if let Some(path) = run.json.as_ref().filter(|_| !sweep.runs.is_empty() || sweep.failure.is_none()) {
        let text = serde_json::to_string_pretty(&sweep).map_err(|e| Error::report(path, e))?;
        write(path, &(text + "\n"))?;
    }
    let is_interrupted = sweep.outcome == "interrupted";
    match sweep.failure {
        Some(failure) => Err(failure),
        None if is_interrupted => Ok(ExitCode::from(exit::INTERRUPTED)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn overrides(args: &RunArgs) -> Overrides {
    Overrides {
        scale: args.scale,
        rate_per_s: args.rate,
        duration_s: args.duration,
        warmup_s: args.warmup,
        drain_s: args.drain,
        connect_rate_per_s: args.connect_rate,
        qos: args.qos,
        payload_bytes: args.payload,
        version: Some(args.mqtt),
        seed: args.seed,
        username: args.username.clone(),
        password: args.password.clone(),
    }
}

fn options(args: &RunArgs) -> Result<Options, Error> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // A signal that finds the one before not taken notice of ends the program at once: the run may not end by itself.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|e| Error::Machine(format!("a signal handler could not be set: {e}")))?;
    }
    let target = Target::parse(&args.target)?;
    let tls =
        TlsOptions { ca: args.ca.clone(), cert: args.cert.clone(), key: args.key.clone(), insecure: args.insecure };
    Ok(Options {
        transports: Transports::new(&target, &tls)?,
        target,
        workers: args.workers,
        cores: args.cores.clone(),
        idle: args.idle,
        tls,
        window: args.max.then_some(args.window),
        inflight_max: args.inflight.unwrap_or(if args.max { CLOSED_INFLIGHT } else { u16::MAX - 1 }),
        agents: args.agents.clone(),
        sources: args.source.clone().unwrap_or_default().0,
        broker_pid: args.broker_pid,
        progress: args.progress,
        patience: Duration::ZERO,
        offline_share: 0.0,
        check_retained: false,
        keeps_log: args.hlog.is_some(),
        interrupted,
    })
}

/// A number that differs from run to run.
fn run_number() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    crate::arrivals::SplitMix(now ^ u64::from(std::process::id()) << 32).next() as u32
}

/// Whether the files that are asked for can be written: nobody wants to learn that after the run.
fn check_files(args: &RunArgs) -> Result<(), Error> {
    let distribution = args.hlog.as_ref().map(|path| path.with_extension("hgrm"));
    let paths = [&args.json, &args.html, &args.hlog, &distribution];
    paths.into_iter().flatten().try_for_each(|path| check_file(path).map_err(|e| Error::file(path, e)))
}

/// Opens a file that is there as it is; makes one that is not, and takes it away again.
fn check_file(path: &Path) -> std::io::Result<()> {
    if path.exists() {
        return OpenOptions::new().append(true).open(path).map(drop);
    }
    File::create_new(path)?;
    std::fs::remove_file(path)
}

fn finish(args: &RunArgs, finished: Finished, is_verify: bool) -> Result<ExitCode, Error> {
    let Finished { report, log, histograms, started, failure, is_wait_cut } = finished;
    print(&table::render(&report));
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    if let Some(path) = &args.html {
        write(path, &html::render(&report, path)?)?;
    }
    if let Some(path) = &args.hlog {
        log::write_hlog(path, started, &log)?;
        log::write_hgrm(&path.with_extension("hgrm"), histograms.get(Metric::Latency))?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    let broken = report.broken_promises();
    if is_verify {
        broken.iter().for_each(|b| print(&format!("BROKEN: {b}\n")));
        if !broken.is_empty() {
            return Ok(ExitCode::from(exit::FAILED));
        }
        print(if is_wait_cut {
            "not verified: the wait for what was under way was interrupted\n"
        } else {
            "verified: every promise was kept\n"
        });
    } else if report.outcome == "complete" && report.connections.absent > 0 {
        let first = report.connections.first_error.unwrap_or_else(|| "nothing was heard of them".to_owned());
        return Err(Error::Dropped { absent: report.connections.absent, wanted: report.clients, first });
    }
    Ok(if report.outcome == "interrupted" { ExitCode::from(exit::INTERRUPTED) } else { ExitCode::SUCCESS })
}
