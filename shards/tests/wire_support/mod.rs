//! A wire with a listener, and its events one by one.
#![allow(dead_code, reason = "each test program uses a part")]

use ringtail_shards::wire::{Event, SendBuffer, Slot, Wait, Wire, WireConfig, listen_reuseport};
use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) wire: Wire,
    pub(crate) address: SocketAddr,
    events: VecDeque<Event>,
    outboxes: HashMap<u32, Outbox>,
}

#[derive(Default)]
struct Outbox {
    slot: Option<Slot>,
    waiting: Vec<u8>,
    sending: bool,
    ended: bool,
}

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn small() -> WireConfig {
    WireConfig {
        slots: 64,
        entries: 64,
        completions: 1024,
        receive_buffers: 64,
        receive_buffer_bytes: 4096,
        linger_ms: 5_000,
        ..WireConfig::default()
    }
}

/// Bytes that differ by place and by seed.
pub(crate) fn pattern(seed: usize, len_bytes: usize) -> Vec<u8> {
    (0..len_bytes).map(|i| (((i + seed) * 31) ^ (i >> 9)) as u8).collect()
}

impl Server {
    pub(crate) fn new(config: &WireConfig) -> Self {
        Self::at(local(), config)
    }

    pub(crate) fn at(address: SocketAddr, config: &WireConfig) -> Self {
        let mut wire = Wire::new(config).unwrap();
        let listener = listen_reuseport(address, 128).unwrap();
        let address = listener.local_addr().unwrap();
        wire.listen(listener, 0);
        Self { wire, address, events: VecDeque::new(), outboxes: HashMap::new() }
    }

    /// The next event; fails when none comes.
    pub(crate) fn next(&mut self) -> Event {
        let start = Instant::now();
        loop {
            if let Some(event) = self.events.pop_front() {
                if let Event::Accepted { slot, .. } = event {
                    self.outboxes.insert(slot.index() as u32, Outbox { slot: Some(slot), ..Outbox::default() });
                }
                return event;
            }
            let mut events = Vec::new();
            self.wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
            self.events.extend(events);
            assert!(!self.events.is_empty() || start.elapsed() < PATIENCE, "nothing happened");
        }
    }

    /// Takes what is there, to be had from `next`; true when an event that `wanted` describes is among what waits.
    pub(crate) fn poll(&mut self, wanted: impl Fn(&Event) -> bool) -> bool {
        let mut events = Vec::new();
        self.wire.turn(Wait::No, &mut events).unwrap();
        self.events.extend(events);
        self.events.iter().any(wanted)
    }

    /// A client that has been accepted, and its slot.
    pub(crate) fn connect(&mut self) -> (TcpStream, Slot) {
        let client = TcpStream::connect(self.address).unwrap();
        (client, self.accept())
    }

    pub(crate) fn accept(&mut self) -> Slot {
        match self.next() {
            Event::Accepted { slot, .. } => slot,
            other => panic!("{other:?}"),
        }
    }

    /// Sends `bytes` after what waits already; the token is the index of the slot.
    pub(crate) fn queue(&mut self, token: u32, bytes: &[u8]) {
        self.outboxes.get_mut(&token).unwrap().waiting.extend_from_slice(bytes);
        self.flush(token);
    }

    pub(crate) fn sent(&mut self, token: u32, _: SendBuffer) {
        self.outboxes.get_mut(&token).unwrap().sending = false;
        self.flush(token);
    }

    /// Closes when everything is sent.
    pub(crate) fn end(&mut self, token: u32) {
        self.outboxes.get_mut(&token).unwrap().ended = true;
        self.flush(token);
    }

    fn flush(&mut self, token: u32) {
        let outbox = self.outboxes.get_mut(&token).unwrap();
        let slot = outbox.slot.unwrap();
        if outbox.sending {
        } else if !outbox.waiting.is_empty() {
            outbox.sending = true;
            self.wire.send(slot, token, SendBuffer::Bytes(std::mem::take(&mut outbox.waiting)));
        } else if outbox.ended {
            self.wire.close(slot);
        }
    }
}
