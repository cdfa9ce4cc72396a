//! The connections of the clients: what comes on any of them becomes an event of one channel.

use crate::raw::Packet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use std::thread;

/// A packet that came, or the end of the connection.
pub(crate) struct Event {
    pub(crate) client: usize,
    /// Which of the client's connections it was.
    pub(crate) link: u64,
    pub(crate) packet: Option<Packet>,
}

/// A connection; dropping it closes the socket without a word.
pub(crate) struct Link {
    pub(crate) number: u64,
    stream: TcpStream,
}

impl Link {
    pub(crate) fn open(address: SocketAddr, client: usize, number: u64, events: Sender<Event>) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut reading = stream.try_clone().unwrap();
        thread::spawn(move || {
            let mut received = Vec::new();
            let mut chunk = [0; 65_536];
            loop {
                while let Some(packet) = take_packet(&mut received) {
                    if events.send(Event { client, link: number, packet: Some(packet) }).is_err() {
                        return;
                    }
                }
                match reading.read(&mut chunk) {
                    Ok(count) if count > 0 => received.extend(&chunk[..count]),
                    _ => break,
                }
            }
            // Nobody may be listening by now.
            let _ = events.send(Event { client, link: number, packet: None });
        });
        Self { number, stream }
    }

    /// Sends; what a broker that has closed the connection does not take is lost.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = (&self.stream).write_all(bytes);
    }

    /// Says that nothing more will be sent, without DISCONNECT.
    pub(crate) fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn take_packet(received: &mut Vec<u8>) -> Option<Packet> {
    let first = *received.first()?;
    let (mut length, mut at) = (0, 1);
    loop {
        let byte = *received.get(at)?;
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        assert!(at < 5, "the broker sent a length of more than four bytes");
    }
    if received.len() < at + length {
        return None;
    }
    let body = received[at..at + length].to_vec();
    received.drain(..at + length);
    Some(Packet { kind: first >> 4, flags: first & 0xF, body })
}
