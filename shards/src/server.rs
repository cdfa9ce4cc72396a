//! Starting and stopping a set of shards.
//!
//! Every shard builds its wire on its own thread (a ring belongs to the thread that made it), tells the others its handle,
//! and serves once all have. Nothing here is on the message path.

use crate::ShardId;
use crate::config::Config;
use crate::counters::{Counters, PublishedCounters};
use crate::executor::{self, Background, Executor, ExecutorError};
use crate::journal::{FolderError, Journal, ShardFolder, open_disk, open_folder};
use crate::mesh::{Port, TooManyNeighbours, mesh};
use crate::routing::Seed;
use crate::shard::{Clock, Control, Core, Idle, Known, Mail, Quiet, Shard};
use crate::wire::{self, Wire, WireConfig, WireError, WireHandle};
use ringtail_mqtt::time::Millis;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// Connections that wait to be accepted, of each listener of each shard.
const BACKLOG: i32 = 4_096;
/// Mails that wait beside a full ring. Publishers are held back long before; so only a storm of other mail comes near.
const OVERFLOW_MAX: usize = 1 << 20;

/// The shards did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address to listen on is not to be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A wire ring could not be made.
    #[error("shard {shard}: {source}")]
    Wire {
        /// The shard.
        shard: usize,
        /// Why.
        source: WireError,
    },
    /// An executor could not be started.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// More shards than the mesh connects.
    #[error(transparent)]
    Mesh(#[from] TooManyNeighbours),
    /// A shard ended before it served.
    #[error("shard {0} ended while it started")]
    Ended(usize),
}

/// A shard ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Its ring failed.
    #[error("shard {shard} failed: {source}")]
    Failed {
        /// The shard.
        shard: usize,
        /// Why.
        source: io::Error,
    },
    /// Its executor failed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// Where a shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// The shard.
    pub shard: usize,
    /// The core it is pinned to.
    pub core: Option<usize>,
}

/// A running set of shards.
pub struct Server {
    listeners: Vec<SocketAddr>,
    places: Vec<ShardPlace>,
    controls: Vec<Arc<Control>>,
    executors: Vec<Executor<io::Result<()>>>,
    ended: Option<mpsc::Receiver<ShardEnded>>,
    /// A word of each shard that has no clients any more, once the server stops.
    quiet: mpsc::Receiver<()>,
    /// Keeps other processes away from the data folder.
    _folder: Option<ShardFolder>,
}

/// Waits for a shard to end; see [`Server::watch`].
pub struct Watch(Option<mpsc::Receiver<ShardEnded>>);

impl Watch {
    /// Returns when a shard has ended: because the server was stopped, or because the shard failed, which
    /// [`Server::stop`] then reports.
    pub fn wait(self) {
        if let Some(ended) = self.0 {
            // An error means that every shard has ended.
            let _ = ended.recv();
        }
    }
}

/// A shard has ended.
struct ShardEnded;

/// What a starting shard tells the thread that starts it.
struct Started {
    shard: usize,
    made: Result<Made, SeatError>,
}

/// What the others need of a shard.
struct Made {
    handle: WireHandle,
    control: Arc<Control>,
    known: Known,
}

/// The word to begin.
#[derive(Clone)]
struct Go {
    neighbours: Arc<[WireHandle]>,
    known: Arc<[Known]>,
}

/// A shard did not get ready.
enum SeatError {
    Wire(WireError),
    Folder(FolderError),
}

impl SeatError {
    fn of(self, shard: usize) -> StartError {
        match self {
            Self::Wire(source) => StartError::Wire { shard, source },
            Self::Folder(source) => StartError::Folder(source),
        }
    }
}

/// Starts the shards of `config`; returns when all of them serve.
///
/// # Errors
/// [`StartError`]; nothing is left running that was started.
pub fn start(config: Config) -> Result<Server, StartError> {
    let listeners = bind(&config)?;
    let addresses = listeners.iter().map(|l| l[0].0).collect();
    let shards = config.shards;
    let folder = match &config.storage_dir {
        Some(dir) => Some(open_folder(dir, shards as u32, &config.storage)?),
        None => None,
    };
    let ports = mesh::<Mail>(shards, config.mesh_slots, OVERFLOW_MAX)?;
    let config = Arc::new(config);
    let seed = Seed::new([(); 2].map(|()| RandomState::new().hash_one("topics")));
    let (started, starts) = mpsc::channel();
    let mut per_shard: Vec<Vec<TcpListener>> = (0..shards).map(|_| Vec::new()).collect();
    for listener in listeners {
        for (shard, (_, listener)) in listener.into_iter().enumerate() {
            per_shard[shard].push(listener);
        }
    }
    let (ended, ends) = mpsc::channel();
    let (quiet, quiets) = mpsc::channel();
    let mut executors = Vec::new();
    let mut go = Vec::new();
    let mut places = Vec::new();
    for (shard, (port, listeners)) in ports.into_iter().zip(per_shard).enumerate() {
        let core = (!config.cores.is_empty()).then(|| config.cores[shard % config.cores.len()]);
        places.push(ShardPlace { shard, core });
        let (sender, receiver) = mpsc::channel();
        go.push(sender);
        let seat = Seat {
            shard,
            seed,
            config: Arc::clone(&config),
            port,
            listeners,
            log_dir: folder.as_ref().map(|folder| folder.dirs()[shard].clone()),
            started: started.clone(),
            quiet: Quiet::new(quiet.clone()),
            go: receiver,
        };
        let ended = ended.clone();
        executors.push(executor::spawn(shard, core, move || async move {
            let result = seat.serve().await;
            // Nobody may be watching.
            let _ = ended.send(ShardEnded);
            result
        })?);
    }
    drop((started, ended, quiet));
    let mut made: Vec<Option<Made>> = (0..shards).map(|_| None).collect();
    for shard in 0..shards {
        let start = starts.recv().map_err(|_| StartError::Ended(shard))?;
        made[start.shard] = Some(start.made.map_err(|error| error.of(start.shard))?);
    }
    let (mut neighbours, mut controls, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for made in made.into_iter().flatten() {
        neighbours.push(made.handle);
        controls.push(made.control);
        known.push(made.known);
    }
    let all = Go { neighbours: neighbours.into(), known: known.into() };
    for (shard, go) in go.iter().enumerate() {
        go.send(all.clone()).map_err(|_| StartError::Ended(shard))?;
    }
    Ok(Server { listeners: addresses, places, controls, executors, ended: Some(ends), quiet: quiets, _folder: folder })
}

/// Binds every address once for each shard. A port 0 is chosen by the first.
fn bind(config: &Config) -> Result<Vec<Vec<(SocketAddr, TcpListener)>>, StartError> {
    let mut bound = Vec::new();
    for address in &config.listeners {
        let mut of_shards = Vec::new();
        let mut address = *address;
        for _ in 0..config.shards {
            let listener = wire::listen_reuseport(address, BACKLOG)
                .and_then(|listener| Ok((listener.local_addr()?, listener)))
                .map_err(|source| StartError::Listen { address, source })?;
            address = listener.0;
            of_shards.push(listener);
        }
        bound.push(of_shards);
    }
    Ok(bound)
}

/// What a shard is started with.
struct Seat {
    shard: usize,
    seed: Seed,
    config: Arc<Config>,
    port: Port<Mail>,
    listeners: Vec<TcpListener>,
    /// The folder of the shard's log.
    log_dir: Option<PathBuf>,
    started: mpsc::Sender<Started>,
    quiet: Quiet,
    go: mpsc::Receiver<Go>,
}

impl Seat {
    /// On the shard's own thread: makes the wire, reads the log, waits for the neighbours, turns.
    async fn serve(self) -> io::Result<()> {
        let Self { shard: number, seed, config, port, listeners, log_dir, started, quiet, go } = self;
        let made = make_shard(number, seed, &config, port, log_dir.as_deref(), quiet);
        let (mut shard, known) = match made {
            Ok(made) => made,
            Err(error) => {
                // The starting thread is gone only if another shard failed before.
                let _ = started.send(Started { shard: number, made: Err(error) });
                return Ok(());
            }
        };
        let made = Made { handle: shard.wire.handle(), control: Arc::clone(&shard.control), known };
        let _ = started.send(Started { shard: number, made: Ok(made) });
        // Nothing else runs on this executor yet, so waiting here holds up nobody. No answer: another shard did not start.
        let Ok(go) = go.recv() else { return Ok(()) };
        for (other, known) in go.known.iter().enumerate() {
            if other != number {
                shard.core.take_start(other as ShardId, known);
            }
        }
        shard.neighbours = go.neighbours;
        for (tag, listener) in listeners.into_iter().enumerate() {
            shard.wire.listen(listener, tag as u32);
        }
        Shard::run(Rc::new(RefCell::new(shard)), Background::new()).await
    }
}

fn make_shard(
    number: usize,
    seed: Seed,
    config: &Arc<Config>,
    port: Port<Mail>,
    log_dir: Option<&Path>,
    quiet: Quiet,
) -> Result<(Shard, Known), SeatError> {
    let wire = Wire::new(&WireConfig {
        slots: config.connections_max,
        receive_buffers: config.receive_buffers,
        receive_buffer_bytes: config.receive_buffer_bytes,
        ..WireConfig::default()
    })
    .map_err(SeatError::Wire)?;
    let control = Arc::new(Control {
        stop: AtomicBool::new(false),
        end: AtomicBool::new(false),
        bell: wire.bell(),
        counters: PublishedCounters::default(),
    });
    let (clock, idle) = (Clock::new(), Idle::new(config.spin_us, config.pacing));
    let mut core = Core::new(number as ShardId, seed, Arc::clone(config), port, clock.now());
    let mut known = Known::default();
    if let Some(dir) = log_dir {
        let opened = open_disk(dir)
            .and_then(|disk| Journal::open(disk, config.storage.clone(), config.shards as u8, number, wire.bell()));
        let (journal, restored) = opened.map_err(SeatError::Folder)?;
        known = core.restore(journal, restored);
    }
    let (events, neighbours, counters_at) = (Vec::new(), Arc::from([]), Millis::default());
    Ok((Shard { wire, core, events, neighbours, control, clock, idle, quiet, counters_at }, known))
}

impl Server {
    /// The addresses that are listened on, with the ports that were chosen.
    #[must_use]
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The shards and their cores.
    #[must_use]
    pub fn shards(&self) -> &[ShardPlace] {
        &self.places
    }

    /// The counters of all shards together, as they were published last (within 100 ms under load, at once when a shard goes to sleep).
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for control in &self.controls {
            sum.add(&control.counters.load());
        }
        sum
    }

    /// To wait for the end of a shard on another thread. The first caller gets it; the watches of later ones end at once.
    pub fn watch(&mut self) -> Watch {
        Watch(self.ended.take())
    }

    /// Tells every client that the server shuts down, lets what was sent reach them, and stops the shards.
    ///
    /// # Errors
    /// [`StopError`] of the first shard that failed, at any time since the start.
    pub fn stop(self) -> Result<Counters, StopError> {
        for control in &self.controls {
            control.stop.store(true, Ordering::Relaxed);
            control.bell.ring();
        }
        // A shard that has ended takes nothing any more, so none ends while another has clients.
        for _ in &self.controls {
            // An error means that every shard has ended.
            let _ = self.quiet.recv();
        }
        for control in &self.controls {
            control.end.store(true, Ordering::Release);
            control.bell.ring();
        }
        let mut first = Ok(());
        for (shard, executor) in self.executors.into_iter().enumerate() {
            let ended = match executor.join() {
                Ok(ended) => ended.map_err(|source| StopError::Failed { shard, source }),
                Err(error) => Err(error.into()),
            };
            first = first.and(ended);
        }
        first?;
        let mut sum = Counters::default();
        for control in &self.controls {
            sum.add(&control.counters.load());
        }
        Ok(sum)
    }
}
