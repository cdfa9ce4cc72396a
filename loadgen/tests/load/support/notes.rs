//! When messages passed the test's broker, and what follows from it for their latencies.
//!
//! The due time in a payload counts from the start of the generator's clock, which is after the test started its process
//! and before the first CONNECT came. A message arrives after it was sent on, and before its acknowledgement comes back.

use super::bounds::Bounds;
use ringtail_mqtt::packet::PacketId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Nanoseconds of a payload's steps.
const STEP_NS: u64 = 100;

/// What a broker has written down since the first CONNECT.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    first_connect: Option<Instant>,
    deliveries: Vec<Delivery>,
    /// Those that are not acknowledged.
    open: HashMap<(String, PacketId), usize>,
    /// When each publisher was last sent an acknowledgement, or just before.
    freed: HashMap<String, Instant>,
}

/// A delivery of QoS 1 or 2.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    due: Duration,
    /// It was not handed over before.
    free: Instant,
    /// It was not sent on before.
    sent: Instant,
    acknowledged: Option<Instant>,
}

impl Notes {
    /// A CONNECT came.
    pub(crate) fn on_connect(&mut self) {
        self.first_connect.get_or_insert_with(Instant::now);
    }

    /// A publisher's message is about to be acknowledged.
    pub(crate) fn on_free(&mut self, publisher: &str) {
        self.freed.insert(publisher.to_owned(), Instant::now());
    }

    /// A message is sent on, at `sent`.
    pub(crate) fn on_sent(&mut self, from: &str, to: (String, PacketId), payload: &[u8], sent: Instant) {
        let Some(&[d0, d1, d2, d3, d4]) = payload.get(9..14).and_then(|due| due.first_chunk()) else { return };
        let due = Duration::from_nanos(u64::from_be_bytes([0, 0, 0, d0, d1, d2, d3, d4]) * STEP_NS);
        let free = self.freed.get(from).copied().or(self.first_connect).expect("it is connected");
        self.open.insert(to, self.deliveries.len());
        self.deliveries.push(Delivery { due, free, sent, acknowledged: None });
    }

    /// PUBACK or PUBREC came.
    pub(crate) fn on_acknowledged(&mut self, by: (String, PacketId)) {
        if let Some(at) = self.open.remove(&by) {
            self.deliveries[at].acknowledged = Some(Instant::now());
        }
    }

    /// How many deliveries were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.deliveries.len() - self.open.len()
    }

    /// What the latencies can have been of a run that began after `started`, with clocks that agree to `clock_error`.
    pub(crate) fn latencies(&self, started: Instant, clock_error: Duration) -> Bounds {
        let first_connect = self.first_connect.expect("somebody connected");
        let mut bounds = Bounds::new();
        for d in &self.deliveries {
            assert!(d.sent + clock_error >= started + d.due, "a message was sent before it was due");
            bounds.add((d.sent - first_connect).saturating_sub(d.due), (d.arrived() - started).saturating_sub(d.due));
        }
        bounds
    }

    /// What the uncorrected latencies can have been of publishers that send one message at a time.
    pub(crate) fn latencies_uncorrected(&self) -> Bounds {
        let mut bounds = Bounds::new();
        self.deliveries.iter().for_each(|d| bounds.add(Duration::ZERO, d.arrived() - d.free));
        bounds
    }
}

impl Delivery {
    /// When it had arrived at the latest.
    fn arrived(&self) -> Instant {
        self.acknowledged.expect("the report counts what was acknowledged")
    }
}
