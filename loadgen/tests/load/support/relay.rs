//! A relay between one publisher and one subscriber and their broker, which hands on what the broker says after a known time
//! and writes down when each message came in and went out.
//!
//! With one message outstanding at a time (`--max --window 1`, QoS 0) its notes bound what a generator may report, however
//! busy the machine is: a message is due after the one before went out, comes in after it was due, arrives after it went
//! out, and has arrived before the next one comes in.

use ringtail_mqtt::codec::{self, Frame};
use ringtail_mqtt::packet::PacketType;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Before the time to hand something on the relay stops sleeping and watches the clock: sleeps end late.
const WATCH: Duration = Duration::from_micros(200);

type Shared = Arc<(Mutex<Notes>, Condvar)>;

/// Bytes, when they came, and when they are to be handed on.
type Chunk = (Instant, Instant, Vec<u8>);

/// A relay that runs; its threads end with the process.
pub(crate) struct Relay {
    /// What `--target` takes.
    pub(crate) target: String,
    notes: Shared,
}

/// When messages passed, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    /// The last client was let in.
    pub(crate) joined: Instant,
    /// Came from the publisher.
    pub(crate) came: Vec<Instant>,
    /// Was held between broker and subscriber for so long.
    pub(crate) held: Vec<Duration>,
    /// Began to go out to the subscriber.
    pub(crate) went: Vec<Instant>,
    /// Every message came and went by itself.
    pub(crate) one_by_one: bool,
    /// The last client hung up.
    pub(crate) ended: Option<Instant>,
    /// Clients that are there.
    open: usize,
}

impl Relay {
    /// Starts a relay to `broker` that delays what the broker says by `delay`, on the Unix socket at `path`, or on a free
    /// port.
    pub(crate) fn start(broker: SocketAddr, delay: Duration, path: Option<PathBuf>) -> Self {
        let (came, held, went) = (Vec::new(), Vec::new(), Vec::new());
        let notes = Notes { joined: Instant::now(), came, held, went, one_by_one: true, ended: None, open: 0 };
        let notes = Shared::new((Mutex::new(notes), Condvar::new()));
        let ours = Arc::clone(&notes);
        let join = move |read, write| {
            lock(&ours).note_begin();
            let stream = TcpStream::connect(broker).expect("the broker");
            stream.set_nodelay(true).expect("a socket");
            let again = stream.try_clone().expect("a socket");
            pass(read, Box::new(again), Duration::ZERO, Arc::clone(&ours), [Notes::note_in, Notes::note_end]);
            pass(Box::new(stream), write, delay, Arc::clone(&ours), [Notes::note_out, Notes::note_nothing]);
        };
        let target = match path {
            Some(path) => listen_unix(path, join),
            None => listen_tcp(join),
        };
        Self { target, notes }
    }

    /// What it has written down, once every client has hung up.
    pub(crate) fn notes(&self) -> Notes {
        let is_open = |n: &mut Notes| n.ended.is_none() || n.open > 0;
        self.notes.1.wait_while(lock(&self.notes), is_open).unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Notes {
    fn note_in(&mut self, came: Instant, _went: Instant) {
        self.came.push(came);
    }

    fn note_out(&mut self, came: Instant, went: Instant) {
        self.held.push(went - came);
        self.went.push(went);
    }

    fn note_begin(&mut self) {
        self.open += 1;
        self.joined = Instant::now();
    }

    fn note_end(&mut self, _began: Instant, ended: Instant) {
        self.open -= 1;
        self.ended = Some(ended);
    }

    fn note_nothing(&mut self, _began: Instant, _ended: Instant) {}
}

fn lock(notes: &Shared) -> MutexGuard<'_, Notes> {
    notes.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes down when something began and when it ended.
type Note = fn(&mut Notes, Instant, Instant);

type Reader = Box<dyn Read + Send>;
type Writer = Box<dyn Write + Send>;

fn listen_tcp(join: impl Fn(Reader, Writer) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_nodelay(true).expect("a socket");
            join(Box::new(stream.try_clone().expect("a socket")), Box::new(stream));
        }
    });
    format!("mqtt://{address}")
}

fn listen_unix(path: PathBuf, join: impl Fn(Reader, Writer) + Send + 'static) -> String {
    let listener = UnixListener::bind(&path).expect("a path of our own");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            join(Box::new(UnixStream::try_clone(&stream).expect("a socket")), Box::new(stream));
        }
    });
    format!("unix://{}", path.display())
}

/// Hands on what `from` says to `to`, `delay` later, and notes the messages among it with the times at which they came and
/// began to go out, and at last the time between the beginning of it all and its end.
fn pass(mut from: Reader, mut to: Writer, delay: Duration, notes: Shared, [note, note_end]: [Note; 2]) {
    let (sender, chunks) = mpsc::channel::<Chunk>();
    let at_end = Arc::clone(&notes);
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let came = Instant::now();
            // When the other side has gone, there is nobody to hand it to.
            if sender.send((came, came + delay, buffer[..n].to_vec())).is_err() {
                break;
            }
        }
        note_end(&mut lock(&at_end), began, Instant::now());
        at_end.1.notify_all();
    });
    std::thread::spawn(move || {
        for (came, due, bytes) in chunks {
            wait_until(due);
            let is_message = bytes[0] >> 4 == PacketType::Publish as u8;
            let went = Instant::now();
            if is_message {
                let is_one = matches!(codec::frame(&bytes, 1 << 16), Ok(Frame::Complete { total_bytes, .. }) if total_bytes == bytes.len());
                let mut notes = lock(&notes);
                notes.one_by_one &= is_one;
                note(&mut notes, came, went);
            }
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
}

fn wait_until(due: Instant) {
    let left = || due.saturating_duration_since(Instant::now());
    while left() > WATCH {
        std::thread::sleep(left() - WATCH);
    }
    while !left().is_zero() {
        std::hint::spin_loop();
    }
}
