//! A relay between clients and a broker that hands every byte on after a known time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Bytes, and when they are to be handed on.
type Chunk = (Instant, Vec<u8>);

/// Starts a relay to `broker` that delays what the broker says by `delay`, and returns what `--target` takes. It listens on
/// the Unix socket at `path`, or on a free port; its threads end with the process.
pub(crate) fn start(broker: SocketAddr, delay: Duration, path: Option<PathBuf>) -> String {
    let connect = move || {
        let stream = TcpStream::connect(broker).expect("the broker");
        stream.set_nodelay(true).expect("a socket");
        stream
    };
    match path {
        Some(path) => {
            let listener = UnixListener::bind(&path).expect("a path of our own");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let again = UnixStream::try_clone(&stream).expect("a socket");
                    join((stream, again), connect(), delay);
                }
            });
            format!("unix://{}", path.display())
        }
        None => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    stream.set_nodelay(true).expect("a socket");
                    let again = stream.try_clone().expect("a socket");
                    join((stream, again), connect(), delay);
                }
            });
            format!("mqtt://{address}")
        }
    }
}

/// Joins a client, as one end to read and one to write, with the broker.
fn join<S: Read + Write + Send + 'static>(client: (S, S), broker: TcpStream, delay: Duration) {
    let again = broker.try_clone().expect("a socket");
    pass(client.0, again, Duration::ZERO);
    pass(broker, client.1, delay);
}

/// Hands on what `from` says to `to`, `delay` later.
fn pass<R: Read + Send + 'static, W: Write + Send + 'static>(mut from: R, mut to: W, delay: Duration) {
    let (sender, chunks) = mpsc::channel::<Chunk>();
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            // When the other side has gone, there is nobody to hand it to.
            if sender.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in chunks {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
}
