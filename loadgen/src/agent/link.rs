//! How a coordinator and an agent talk: frames of JSON, each behind its length in four bytes, over one TCP connection.
//!
//! ```text
//!   coordinator                     agent
//!      <------------------------- Hello      what it is, what a ring of its holds
//!      Clock -------------------> Clock      twenty times, for the offset of the clocks; once more at the end
//!      Start -------------------> Tally, Second, Trouble ...
//!      Load, EndLoad, Teardown -> Outcomes, or Failed
//! ```

use crate::driver::{AgentStart, Outcome, Tally, Times};
use crate::histogram::Histograms;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The version of what is said here.
pub(crate) const PROTOCOL: u32 = 1;
/// Largest frame: the outcome of millions of pairs, or a plan with its payload.
const FRAME_BYTES_MAX: usize = 512 << 20;
/// How long the other side may take to accept what is said.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a coordinator says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// Asks for the time.
    Clock,
    /// Begins a run.
    Start(Box<AgentStart>),
    /// Lets the load begin.
    Load(Times),
    /// Ends the load at this time, if that is earlier.
    EndLoad(u64),
    /// Lets everybody disconnect.
    Teardown,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromAgent {
    /// What it is.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The program's version.
        version: String,
        /// Connections that a ring holds there.
        slots_max: u32,
    },
    /// Its clock, nanoseconds.
    Clock(u64),
    /// Its counters.
    Tally(Box<Tally>),
    /// The first thing that went wrong.
    Trouble(String),
    /// What was measured in a second.
    Second {
        /// Which second.
        number: u64,
        /// The histograms.
        histograms: Histograms,
    },
    /// What its workers have in the end.
    Outcomes(Vec<Outcome>),
    /// Why it could not go on.
    Failed(String),
}

/// A connection between the two.
pub(crate) struct Link {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Link {
    /// Over `stream`.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Says `message`.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a message that is too large.
    pub(crate) fn say<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        let mut frame = vec![0; 4];
        serde_json::to_writer(&mut frame, message)?;
        let bytes = frame.len() - 4;
        let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "more than a frame can hold"))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)
    }

    /// Waits for the other side to say something, at most `timeout`; `None` when it has not, or not all of it.
    ///
    /// # Errors
    /// What the system says, `UnexpectedEof` when the other side has gone, `InvalidData` for what is not understood.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self, timeout: Duration) -> io::Result<Option<T>> {
        if let Some(message) = self.take()? {
            return Ok(Some(message));
        }
        self.stream.set_read_timeout(Some(timeout))?;
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                self.take()
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((length, rest)) = self.received.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "a frame is too long"));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(frame)?;
        self.received.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
        let mut link = Link::new(listener.accept().expect("a connection").0).expect("a link");
        let wait = Duration::from_millis(1);
        stream.write_all(&[0, 0, 0, 3, b'1']).expect("written");
        assert!(link.hear::<u32>(wait).expect("no error").is_none());
        stream.write_all(b"23\0\0\0\x019").expect("written");
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.extend(link.hear::<u32>(Duration::from_secs(5)).expect("no error"));
        }
        assert_eq!(heard, [123, 9]);
        stream.write_all(&[0xFF; 8]).expect("written");
        assert!(link.hear::<u32>(Duration::from_secs(5)).is_err_and(|e| e.kind() == ErrorKind::InvalidData));
    }
}
