//! A run whose load other hosts make: for each agent a thread that passes on what the coordinator decides and what the
//! agent tells; and, on the agent's side, the run that it serves.
//!
//! All hosts reckon with the coordinator's clock. Its offset from an agent's is measured before and after the run; half of
//! the fastest round trip, and what the clocks drifted, is reported as the error of latencies between hosts.

use super::clock::Clock;
use super::coordinator::Options;
use super::crew::{Crew, Part, slots_max, workers};
use super::outcome::Outcome;
use super::shared::{Shared, Stage, Tally};
use super::worker::{Idle, Second};
use crate::agent::link::{FromAgent, Link, PROTOCOL, ToAgent};
use crate::error::Error;
use crate::process;
use crate::scenario::expect::expect;
use crate::scenario::plan::Plan;
use crate::target::Target;
use crate::transport::{TlsOptions, Transports};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

/// How long an agent may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// An agent that says nothing for so long during a run is lost.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often either side looks at what it has to say.
const STEP: Duration = Duration::from_millis(10);
/// How old an agent's counters may be, with the network between.
const COUNTERS_LAG: Duration = Duration::from_millis(400);
/// Questions for the time; the one that is answered fastest counts.
const CLOCK_QUESTIONS: usize = 20;

/// What an agent is started with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentStart {
    plan: Plan,
    part: Part,
    /// What is added to the agent's clock, nanoseconds, to have the coordinator's.
    clock_offset_ns: i64,
    target: String,
    tls: TlsOptions,
    cores: Vec<usize>,
    idle: Option<Idle>,
    inflight_max: u16,
    sources: Vec<IpAddr>,
    offline_share: f64,
}

/// What the clocks of two hosts differ by.
#[derive(Clone, Copy, Debug)]
struct Offset {
    ns: i64,
    error_ns: u64,
}

/// Connects to the agents and starts them.
///
/// # Errors
/// [`Error::Unreachable`] for an agent that is not there, [`Error::Machine`] for one of another version or whose rings are
/// too small.
pub(super) fn crew(plan: &Arc<Plan>, options: &Options, clock: Clock) -> Result<Crew, Error> {
    if options.window.is_some() {
        return Err(Error::Usage("--max is for one host: leave --agents out, or give a --rate".to_owned()));
    }
    let mut links = Vec::with_capacity(options.agents.len());
    let mut slots = u32::MAX;
    for name in &options.agents {
        let unreachable = |source| Error::Unreachable { target: format!("the agent {name}"), source };
        let (link, agent_slots) = connect(name, clock).map_err(unreachable)?;
        slots = slots.min(agent_slots);
        links.push(link);
    }
    let agents = links.len() as u32;
    let own = workers(plan, options.workers, slots, agents)?;
    let (full, from_agents) = mpsc::channel();
    let all = own * agents;
    let mut crew = Crew::new(Shared::new(links.len()), u64::from(all), COUNTERS_LAG, from_agents);
    for (seat, (link, offset)) in links.into_iter().enumerate() {
        let start = AgentStart {
            plan: Plan::clone(plan),
            part: Part { first: seat as u32 * own, own, all },
            clock_offset_ns: offset.ns,
            target: options.target.url.clone(),
            tls: options.tls.clone(),
            cores: options.cores.clone(),
            idle: options.idle,
            inflight_max: options.inflight_max,
            sources: options.sources.clone(),
            offline_share: options.offline_share,
        };
        let mut proxy = Proxy { link, seat, shared: Arc::clone(&crew.shared), full: full.clone(), clock, offset };
        let name = options.agents[seat].clone();
        crew.spawn(name.clone(), move || proxy.run(start).map_err(|e| format!("the agent {name}: {e}")))?;
    }
    Ok(crew)
}

fn connect(name: &str, clock: Clock) -> io::Result<((Link, Offset), u32)> {
    let address = name.to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))?;
    let mut link = Link::new(TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?)?;
    let slots = match answer(&mut link)? {
        FromAgent::Hello { protocol: PROTOCOL, slots_max, .. } => slots_max,
        FromAgent::Hello { version, .. } => {
            return Err(io::Error::other(format!("it is version {version}, which does not go with this one")));
        }
        _ => return Err(io::Error::other("it is no agent")),
    };
    let offset = measure(&mut link, clock)?;
    Ok(((link, offset), slots))
}

fn answer(link: &mut Link) -> io::Result<FromAgent> {
    let until = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < until {
        if let Some(message) = link.hear(STEP)? {
            return Ok(message);
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn measure(link: &mut Link, clock: Clock) -> io::Result<Offset> {
    let mut best: Option<Offset> = None;
    for _ in 0..CLOCK_QUESTIONS {
        let asked = clock.now_ns();
        link.say(&ToAgent::Clock)?;
        let FromAgent::Clock(theirs) = answer(link)? else { return Err(io::Error::other("it does not tell the time")) };
        let heard = clock.now_ns();
        let error_ns = (heard - asked) / 2;
        let ns = (asked + error_ns) as i64 - theirs as i64;
        if best.is_none_or(|b| error_ns < b.error_ns) {
            best = Some(Offset { ns, error_ns });
        }
    }
    best.ok_or_else(|| ErrorKind::TimedOut.into())
}

/// An agent as a member of the crew.
struct Proxy {
    link: Link,
    seat: usize,
    shared: Arc<Shared>,
    full: Sender<Second>,
    clock: Clock,
    offset: Offset,
}

impl Proxy {
    fn run(&mut self, start: AgentStart) -> io::Result<Vec<Outcome>> {
        self.link.say(&ToAgent::Start(Box::new(start)))?;
        let (mut stage, mut end_ns, mut heard) = (Stage::Ramp, u64::MAX, Instant::now());
        loop {
            self.pass_on(&mut stage, &mut end_ns)?;
            let message = self.link.hear(STEP)?;
            if message.is_some() {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE_MAX {
                return Err(ErrorKind::TimedOut.into());
            }
            match message {
                None | Some(FromAgent::Hello { .. } | FromAgent::Clock(_)) => {}
                Some(FromAgent::Tally(tally)) => self.shared.counters[self.seat].store(&tally),
                Some(FromAgent::Trouble(error)) => self.shared.note_error(|| error),
                Some(FromAgent::Second { number, histograms }) => {
                    // A coordinator that has gone away wants no histograms.
                    let _ = self.full.send(Second { number, histograms });
                }
                Some(FromAgent::Failed(error)) => return Err(io::Error::other(error)),
                Some(FromAgent::Outcomes(outcomes)) => {
                    // Without an answer the first measurement has to do.
                    let after = measure(&mut self.link, self.clock).unwrap_or(self.offset);
                    let drift_ns = after.ns.abs_diff(self.offset.ns);
                    self.shared.note_clock_error(self.offset.error_ns.max(drift_ns + after.error_ns));
                    return Ok(outcomes);
                }
            }
        }
    }

    /// Tells the agent what the coordinator has decided since.
    fn pass_on(&mut self, stage: &mut Stage, end_ns: &mut u64) -> io::Result<()> {
        let (now, times) = (self.shared.stage(), self.shared.times());
        if *stage == Stage::Ramp && now > Stage::Ramp && times.start_ns != u64::MAX {
            self.link.say(&ToAgent::Load(times))?;
            *end_ns = times.end_ns;
        }
        if times.end_ns < *end_ns {
            self.link.say(&ToAgent::EndLoad(times.end_ns))?;
            *end_ns = times.end_ns;
        }
        if *stage < Stage::Teardown && now == Stage::Teardown {
            self.link.say(&ToAgent::Teardown)?;
        }
        *stage = now;
        Ok(())
    }
}

/// Serves the run of the coordinator at the other end of `link`.
///
/// # Errors
/// A sentence, after it was told to the coordinator as well, if that is still there.
pub(crate) fn serve_run(mut link: Link) -> Result<(), String> {
    let outcome = serve(&mut link);
    if let Err(error) = &outcome {
        // Who has gone away needs no reason.
        let _ = link.say(&FromAgent::Failed(error.clone()));
    }
    outcome
}

fn serve(link: &mut Link) -> Result<(), String> {
    let text = |e: io::Error| e.to_string();
    let began = Clock::start();
    let hello = FromAgent::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        slots_max: slots_max().map_err(|e| e.to_string())?,
    };
    link.say(&hello).map_err(text)?;
    let start = loop {
        match link.hear(ANSWER_TIMEOUT).map_err(text)? {
            Some(ToAgent::Clock) => link.say(&FromAgent::Clock(began.now_ns())).map_err(text)?,
            Some(ToAgent::Start(start)) => break *start,
            Some(_) => return Err("the coordinator did not begin with a start".to_owned()),
            None => {}
        }
    };
    let clock = began.moved(start.clock_offset_ns);
    let (plan, part) = (Arc::new(start.plan), start.part);
    let expectation = Arc::new(expect(&plan).map_err(|e| e.to_string())?);
    let target = Target::parse(&start.target).map_err(|e| e.to_string())?;
    let options = Options {
        transports: Transports::new(&target, &start.tls).map_err(|e| e.to_string())?,
        target,
        tls: start.tls,
        workers: Some(part.own),
        cores: start.cores,
        idle: start.idle,
        window: None,
        inflight_max: start.inflight_max,
        agents: Vec::new(),
        sources: start.sources,
        broker_pid: None,
        progress: false,
        patience: Duration::ZERO,
        offline_share: start.offline_share,
        check_retained: false,
        keeps_log: false,
        interrupted: Arc::new(AtomicBool::new(false)),
    };
    let mut crew = Crew::of_workers(&plan, &expectation, &options, clock, part).map_err(|e| e.to_string())?;
    let result = report(link, &mut crew);
    // The workers end in any case, also when the coordinator has gone away.
    crew.shared.end_load(clock.now_ns());
    crew.shared.begin_teardown();
    let (outcomes, failure) = crew.join();
    result.map_err(text)?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    link.say(&FromAgent::Tally(Box::new(tally(&crew.shared)))).map_err(text)?;
    tell_seconds(link, &mut crew).map_err(text)?;
    link.say(&FromAgent::Outcomes(outcomes)).map_err(text)?;
    // Its last questions are those for the time; then it hangs up.
    let until = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < until {
        match link.hear(STEP) {
            Ok(Some(ToAgent::Clock)) => link.say(&FromAgent::Clock(began.now_ns())).map_err(text)?,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Does what the coordinator says and tells what the workers count, until they are gone.
fn report(link: &mut Link, crew: &mut Crew) -> io::Result<()> {
    let mut has_trouble = false;
    let mut told = Instant::now();
    while !crew.is_over() {
        match link.hear(STEP)? {
            None | Some(ToAgent::Clock | ToAgent::Start(_)) => {}
            Some(ToAgent::Load(times)) => crew.shared.begin_load(times),
            Some(ToAgent::EndLoad(at_ns)) => crew.shared.end_load(at_ns),
            Some(ToAgent::Teardown) => crew.shared.begin_teardown(),
        }
        if told.elapsed() < STEP {
            continue;
        }
        told = Instant::now();
        link.say(&FromAgent::Tally(Box::new(tally(&crew.shared))))?;
        tell_seconds(link, crew)?;
        if let Some(error) = crew.shared.first_error().filter(|_| !has_trouble) {
            link.say(&FromAgent::Trouble(error))?;
            has_trouble = true;
        }
    }
    Ok(())
}

fn tell_seconds(link: &mut Link, crew: &mut Crew) -> io::Result<()> {
    let mut seconds = Vec::new();
    crew.collect(|second| {
        seconds.push(second);
        None
    });
    for Second { number, histograms } in seconds {
        link.say(&FromAgent::Second { number, histograms })?;
    }
    Ok(())
}

/// The workers' counters, with the process's CPU and memory.
fn tally(shared: &Shared) -> Tally {
    let usage = process::usage(std::process::id() as i32);
    Tally {
        // A share of time is that of the busiest worker.
        busy_ns: shared.counters.iter().map(|c| c.load().busy_ns).max().unwrap_or(0),
        agent_cpu_ns: usage.map_or(0, |u| u.cpu_ns),
        agent_rss_bytes: usage.map_or(0, |u| u.rss_bytes),
        ..shared.total()
    }
}
