//! Those who make a run's load: this process's workers, or the agents of other hosts. Each is a thread that shows its
//! counters, hands over a second's histograms at its end, and in the end gives its outcome.

use super::clock::Clock;
use super::coordinator::Options;
use super::layout::{self, lay_out};
use super::outcome::Outcome;
use super::shared::Shared;
use super::worker::{ClosedLoop, Exchange, Idle, Second, Setup, Worker};
use crate::error::Error;
use crate::histogram::Histograms;
use crate::scenario::expect::Expectation;
use crate::scenario::plan::Plan;
use ringtail_shards::wire::{Missing, SLOTS_MAX, check_kernel, raise_descriptor_limit};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Descriptors of a ring beyond its clients: connections that are still closing when the next one opens.
const SLOTS_SPARE: u32 = 256;
/// Descriptors that everything but rings' tables takes: connections under way, files, histograms' channels.
const DESCRIPTORS_RESERVED: u64 = 2_048;

/// What a thread of the crew ends with: its outcomes, or a sentence.
pub(super) type Ending = Result<Vec<Outcome>, String>;

/// Which of a run's workers a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The first of them.
    pub(crate) first: u32,
    /// How many.
    pub(crate) own: u32,
    /// Workers of all hosts.
    pub(crate) all: u32,
}

/// The crew of a run.
pub(super) struct Crew {
    pub(super) shared: Arc<Shared>,
    /// Workers of all its threads.
    pub(super) workers: u64,
    /// How old its counters may be.
    pub(super) counters_lag: Duration,
    threads: Vec<JoinHandle<Ending>>,
    full: Receiver<Second>,
    /// Where emptied histograms go back, one a worker.
    empty: Vec<Sender<Histograms>>,
}

impl Crew {
    /// Starts the `part` of a plan's workers that this process has.
    ///
    /// # Errors
    /// [`Error::Machine`] when a thread cannot be started.
    pub(super) fn of_workers(
        plan: &Arc<Plan>,
        expectation: &Arc<Expectation>,
        options: &Options,
        clock: Clock,
        part: Part,
    ) -> Result<Self, Error> {
        do_without_huge_pages();
        let (full, from_workers) = mpsc::channel();
        let mut crew = Self::new(Shared::new(part.own as usize), u64::from(part.own), Duration::ZERO, from_workers);
        let sources = if options.sources.is_empty() {
            options.target.default_sources(plan.clients())
        } else {
            options.sources.clone()
        };
        let setup = Setup {
            plan: Arc::clone(plan),
            expectation: Arc::clone(expectation),
            address: options.target.address.clone(),
            transports: options.transports.clone(),
            sources: sources.into(),
            clock,
            seat: 0,
            worker: part.first,
            workers: part.all,
            slots: layout::clients_of_a_worker_max(plan, part.all) + SLOTS_SPARE,
            under_way_max: under_way_max(part.own),
            idle: options.idle.unwrap_or_else(|| default_idle(part.own)),
            closed: options.window.map(|window| ClosedLoop { window }),
            inflight_max: options.inflight_max,
            offline_share: options.offline_share,
        };
        for seat in 0..part.own {
            let (to_worker, empty) = mpsc::channel();
            // Full at the end of a second while the coordinator may still add up the last one.
            let _ = (to_worker.send(Histograms::new()), to_worker.send(Histograms::new()));
            crew.empty.push(to_worker);
            let setup = Setup { seat, worker: part.first + seat, ..setup.clone() };
            let core = (!options.cores.is_empty()).then(|| options.cores[seat as usize % options.cores.len()]);
            let (shared, exchange) = (Arc::clone(&crew.shared), Exchange { full: full.clone(), empty });
            crew.spawn(format!("load-{seat}"), move || work(setup, core, shared, exchange))?;
        }
        Ok(crew)
    }

    /// A crew without threads.
    pub(super) fn new(shared: Shared, workers: u64, counters_lag: Duration, full: Receiver<Second>) -> Self {
        let (threads, empty) = (Vec::new(), Vec::new());
        Self { shared: Arc::new(shared), workers, counters_lag, threads, full, empty }
    }

    /// Starts a thread of the crew.
    ///
    /// # Errors
    /// [`Error::Machine`] when the system cannot.
    pub(super) fn spawn(&mut self, name: String, body: impl FnOnce() -> Ending + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.clone()).spawn(body);
        self.threads.push(thread.map_err(|e| Error::Machine(format!("{name} could not be started: {e}")))?);
        Ok(())
    }

    /// True when one of its threads has ended.
    pub(super) fn has_lost_one(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// True when all of its threads have ended.
    pub(super) fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Hands the seconds that are full to `take`, which gives histograms back when it needs them no more.
    pub(super) fn collect(&mut self, mut take: impl FnMut(Second) -> Option<Histograms>) {
        while let Ok(second) = self.full.try_recv() {
            let emptied = take(second);
            // Workers take their empty ones from their own channel; they get them in turn.
            if let Some(to) = self.empty.first() {
                let _ = to.send(emptied.unwrap_or_else(Histograms::new));
                self.empty.rotate_left(1);
            }
        }
    }

    /// Waits for its threads to end, and gives their outcomes and the first sentence about what went wrong.
    pub(super) fn join(&mut self) -> (Vec<Outcome>, Option<String>) {
        let (mut outcomes, mut failure) = (Vec::new(), None);
        for thread in std::mem::take(&mut self.threads) {
            match thread.join() {
                Ok(Ok(some)) => outcomes.extend(some),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(_) => failure = failure.or(Some("a worker panicked".to_owned())),
            }
        }
        (outcomes, failure)
    }
}

fn work(setup: Setup, core: Option<usize>, shared: Arc<Shared>, exchange: Exchange) -> Ending {
    if let Some(core) = core {
        pin(core)?;
    }
    let of = (setup.worker, setup.workers);
    let layout = lay_out(&setup.plan, &setup.expectation, of, setup.inflight_max).map_err(|e| e.to_string())?;
    let mut worker = Worker::new(setup, layout, shared, exchange)?;
    worker.run()?;
    Ok(vec![worker.into_outcome()])
}

/// Connections that a ring of this process can hold.
///
/// # Errors
/// [`Error::Machine`] with what the kernel lacks.
pub(super) fn slots_max() -> Result<u32, Error> {
    let machine =
        |missing: Vec<Missing>| missing.into_iter().next().map_or(Ok(()), |m| Err(Error::Machine(m.to_string())));
    machine(check_kernel(1))?;
    let descriptors = raise_descriptor_limit().unwrap_or(1_024).saturating_sub(DESCRIPTORS_RESERVED);
    Ok(descriptors.clamp(1_024, u64::from(SLOTS_MAX)) as u32)
}

/// How many workers on each of `hosts`: what was asked for, or what the connections need; refused when it is too few.
///
/// # Errors
/// [`Error::Machine`] when rings of `slots_max` connections cannot hold them.
pub(super) fn workers(plan: &Plan, wanted: Option<u32>, slots_max: u32, hosts: u32) -> Result<u32, Error> {
    let fits = |workers: u32| layout::clients_of_a_worker_max(plan, workers * hosts) + SLOTS_SPARE <= slots_max;
    match wanted {
        Some(workers) if fits(workers) => Ok(workers),
        Some(workers) => Err(Error::Machine(format!(
            "{} clients do not fit on {workers} worker(s): a ring holds {slots_max} connections here (`ulimit -n`); leave \
             --workers out, or raise the limit",
            plan.clients()
        ))),
        None => (1..=plan.clients())
            .find(|workers| fits(*workers))
            .ok_or_else(|| Error::Machine(format!("a ring holds {slots_max} connections here, too few for this plan"))),
    }
}

/// Connections of one worker that may be under way: all workers' take less than half of the process's descriptors.
fn under_way_max(workers: u32) -> u32 {
    const OF_ONE_WORKER: u64 = 512;
    let descriptors = raise_descriptor_limit().unwrap_or(1_024);
    (descriptors / 2 / u64::from(workers)).clamp(1, OF_ONE_WORKER) as u32
}

/// Spinning is exact, and right when the workers leave the broker a core.
fn default_idle(workers: u32) -> Idle {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if (workers as usize) < cores { Idle::Spin } else { Idle::Park }
}

fn pin(core: usize) -> Result<(), String> {
    let mut cores = rustix::thread::CpuSet::new();
    if core >= rustix::thread::CpuSet::MAX_CPU {
        return Err(format!("--cores: there is no core {core}"));
    }
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores).map_err(|e| format!("--cores: core {core} cannot be used: {e}"))
}

/// Who first touches a huge page waits until the kernel has cleared it, a virtual machine's for milliseconds: a worker that did
/// would put them down to the broker. And the memory of many connections, touched here and there, would be resident in pieces of
/// 2 MiB.
fn do_without_huge_pages() {
    // A kernel that knows of no huge pages has none to disable.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
