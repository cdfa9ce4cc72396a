//! A worker: one thread, one ring, its share of the clients, and the loop that drives them.
//!
//! ```text
//!   due messages -> flush: one send a client -> turn: submit, take completions -> lateness -> handle what arrived
//! ```
//! A worker never blocks but in the wire's turn. While there is load it spins, so that its own waking up is no part of a
//! latency; with [`Idle::Park`] it sleeps until the next message is due.

use super::client::{Client, Phase};
use super::clock::Clock;
use super::connecting::Teardown;
use super::happenings::Happenings;
use super::layout::Layout;
use super::offline::Offline;
use super::ramp::Ramp;
use super::shared::{Shared, Stage, Tally, Times};
use crate::histogram::{Histograms, Metric};
use crate::scenario::expect::Expectation;
use crate::scenario::plan::{Group, Plan};
use crate::target::Address;
use crate::transport::Transports;
use ringtail_shards::wire::{Event, SendBuffer, Slot, Wait, Wire, WireConfig};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// Buffers that a worker keeps for the next sends, and the largest one that it keeps.
const SPARE_BUFFERS_MAX: usize = 4_096;
const SPARE_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Receive buffers of all workers together, 16 KiB each, and the most of one.
const RECEIVE_BUFFERS: u32 = 4_096;
const RECEIVE_BUFFERS_MAX: u32 = 512;
/// Longest sleep: how soon a parked worker notices a change of stage.
const PARK_MAX_NS: u64 = 20_000_000;

/// What a worker does while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(crate) enum Idle {
    /// Asks the kernel again and again: exact, and takes a whole core while there is load.
    Spin,
    /// Sleeps until something arrives or is due: shares a core, adds wake-ups to latencies.
    Park,
}

/// The bounds of a closed loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedLoop {
    /// Messages outstanding in all.
    pub(crate) window: u64,
}

/// What a worker is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The plan.
    pub(crate) plan: Arc<Plan>,
    /// Who must get what.
    pub(crate) expectation: Arc<Expectation>,
    /// The broker.
    pub(crate) address: Address,
    /// What lies between MQTT and the sockets.
    pub(crate) transports: Transports,
    /// Source addresses that clients take in turn; empty: the kernel's choice.
    pub(crate) sources: Arc<[IpAddr]>,
    /// The run's clock.
    pub(crate) clock: Clock,
    /// Its place among the counters.
    pub(crate) seat: u32,
    /// Number of this worker, over all hosts.
    pub(crate) worker: u32,
    /// How many there are.
    pub(crate) workers: u32,
    /// Direct descriptors of the ring.
    pub(crate) slots: u32,
    /// Connections that may be under way at a time.
    pub(crate) under_way_max: u32,
    /// What it does while it waits.
    pub(crate) idle: Idle,
    /// A closed loop instead of due times.
    pub(crate) closed: Option<ClosedLoop>,
    /// Unacknowledged messages of a publisher.
    pub(crate) inflight_max: u16,
    /// Share of the subscribers that are away while there is load.
    pub(crate) offline_share: f64,
}

/// The histograms of a second of the measured part.
#[derive(Debug)]
pub(crate) struct Second {
    /// Which one, from 0.
    pub(crate) number: u64,
    /// What was measured in it.
    pub(crate) histograms: Histograms,
}

/// Full histograms of one second to the coordinator, empty ones back.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Where full ones go.
    pub(crate) full: Sender<Second>,
    /// Where empty ones come from.
    pub(crate) empty: Receiver<Histograms>,
}

/// One worker.
pub(crate) struct Worker {
    pub(super) setup: Setup,
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    pub(super) clients: Vec<Client>,
    pub(super) layout: LayoutRest,
    pub(super) ramp: Ramp,
    pub(super) happenings: Happenings,
    pub(super) offline: Offline,
    /// Clients that try again, by time.
    pub(super) retries: BinaryHeap<Reverse<(u64, u32)>>,
    /// Clients between the start of their connection and SUBACK.
    pub(super) under_way: u32,
    /// Clients that have something to send.
    pub(super) dirty: Vec<u32>,
    spare: Vec<Vec<u8>>,
    /// What a transport made of the bytes that are being handled.
    pub(super) plain: Vec<u8>,
    /// Due times of the messages that the next turn hands to the kernel.
    pub(super) handed: Vec<u64>,
    /// Messages pending in all publishers.
    pub(super) pending: u64,
    pub(super) tally: Tally,
    pub(super) times: Times,
    pub(super) histograms: Histograms,
    exchange: Exchange,
    next_exchange_ns: u64,
    /// How far the teardown is.
    pub(super) teardown: Teardown,
    /// Where the closed loop goes on among the publishers.
    pub(super) closed_at: usize,
    /// Outstanding messages that the closed loop has given up, and since when nothing arrived.
    pub(super) stalled: (u64, u64, u64),
}

/// What is left of a [`Layout`] without the clients.
pub(super) struct LayoutRest {
    pub(super) lots: Vec<super::layout::Lot>,
    pub(super) receivers: Vec<crate::delivery::Trackers>,
    pub(super) receiver_ids: Vec<u32>,
    pub(super) publishers: Vec<u32>,
}

/// The receive buffers of one of so many workers: a power of two.
fn receive_buffers(workers: u32) -> u16 {
    let share = (RECEIVE_BUFFERS / workers.max(1)).clamp(16, RECEIVE_BUFFERS_MAX);
    (share + 1).next_power_of_two() as u16 / 2
}

impl Worker {
    /// A worker of the calling thread.
    ///
    /// # Errors
    /// A sentence about what the kernel refused.
    pub(crate) fn new(setup: Setup, layout: Layout, shared: Arc<Shared>, exchange: Exchange) -> Result<Self, String> {
        let receive_buffers = receive_buffers(setup.workers);
        let config = WireConfig { slots: setup.slots, linger_ms: 200, receive_buffers, ..WireConfig::default() };
        let wire = Wire::new(&config).map_err(|e| e.to_string())?;
        let Layout { lots, clients, receivers, receiver_ids, publishers } = layout;
        let wanted = clients.iter().filter(|c| c.wanted).count() as u64;
        let ramp = Ramp::new(&clients, setup.plan.connect_rate_per_s / f64::from(setup.workers), setup.under_way_max);
        Ok(Self {
            happenings: Happenings::new(&setup.plan, setup.workers),
            wire,
            ramp,
            clients,
            offline: Offline::default(),
            layout: LayoutRest { lots, receivers, receiver_ids, publishers },
            retries: BinaryHeap::new(),
            under_way: 0,
            dirty: Vec::new(),
            spare: Vec::new(),
            plain: Vec::new(),
            handed: Vec::new(),
            pending: 0,
            tally: Tally { wanted, ..Tally::default() },
            times: shared.times(),
            histograms: Histograms::new(),
            exchange,
            next_exchange_ns: u64::MAX,
            teardown: Teardown::default(),
            closed_at: 0,
            stalled: (0, 0, 0),
            setup,
            shared,
        })
    }

    /// Drives the clients until the run is over and all are gone.
    ///
    /// # Errors
    /// A sentence when the ring breaks.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(2_048);
        let mut now = self.setup.clock.now_ns();
        loop {
            let stage = self.shared.stage();
            self.times = self.shared.times();
            let published = self.tally.published;
            match stage {
                Stage::Ramp => self.advance_ramp(now),
                Stage::Load => self.advance_load(now),
                Stage::Teardown => {
                    if self.tear_down(now) {
                        self.shared.counters[self.setup.seat as usize].store(&self.tally);
                        return Ok(());
                    }
                }
            }
            self.keep_alive(now);
            self.flush(now);
            let is_active = !self.handed.is_empty();
            self.turn(stage, now, &mut events)?;
            let before = now;
            now = self.setup.clock.now_ns();
            self.record_lateness(now);
            let is_busy = is_active || !events.is_empty() || self.tally.published != published;
            for event in events.drain(..) {
                self.handle(event, now);
            }
            if is_busy && self.times.is_measured(before) {
                self.tally.busy_ns += self.setup.clock.now_ns() - before;
            }
            self.exchange_histograms(now);
            self.shared.counters[self.setup.seat as usize].store(&self.tally);
        }
    }

    fn advance_load(&mut self, now: u64) {
        self.advance_ramp(now);
        self.move_offline(now);
        self.happen(now);
        if now < self.times.start_ns {
            return;
        }
        match self.setup.closed {
            Some(closed) if now < self.times.end_ns => self.publish_closed(closed, now),
            Some(_) => {}
            // After the end too: a worker that comes late still has messages that were due before it.
            None => self.publish_due(now),
        }
        self.tally.through =
            u64::from(now >= self.times.end_ns && (self.setup.closed.is_some() || self.next_due_ns().is_none()));
    }

    /// Submits and waits: not at all while something is left to do or the worker spins.
    fn turn(&mut self, stage: Stage, now: u64, events: &mut Vec<Event>) -> Result<(), String> {
        let is_load = stage == Stage::Load && now >= self.times.start_ns;
        // A hand-over must not be timed after a sleep, so a turn that hands something over only submits.
        let wait = if is_load && self.setup.idle == Idle::Spin || !self.handed.is_empty() {
            Wait::No
        } else {
            let until = self.next_ns(now).min(now + PARK_MAX_NS).saturating_sub(now);
            if until == 0 { Wait::No } else { Wait::Park { until: Some(Duration::from_nanos(until)) } }
        };
        self.wire.turn(wait, events).map_err(|e| format!("worker {}: the ring broke: {e}", self.setup.worker))
    }

    /// When something is due next.
    fn next_ns(&self, now: u64) -> u64 {
        let due = self.next_due_ns().unwrap_or(u64::MAX);
        let retry = self.retries.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        due.min(retry).min(self.ramp.next_ns(now, self.under_way)).min(self.happenings.next_ns(self.times.start_ns))
    }

    fn handle(&mut self, event: Event, now: u64) {
        match event {
            Event::Received { token, buffer } => self.on_bytes(token, &buffer, now),
            Event::Sent { token, buffer, result } => self.on_sent(token, buffer, result.is_ok()),
            Event::Connected { token, result } => self.on_connected(token, result, now),
            Event::Ended { token, error } => {
                self.on_ended(
                    token,
                    &error.map_or_else(|| "it was closed by the other side".to_owned(), |e| e.to_string()),
                );
            }
            Event::Closed { token, .. } => self.on_closed(token, now),
            Event::Accepted { .. }
            | Event::AcceptFailed { .. }
            | Event::Stopped { .. }
            | Event::Arrived { .. }
            | Event::HandoverFailed { .. }
            | Event::Rung
            | Event::Wrote { .. }
            | Event::Synced { .. } => {}
        }
    }

    /// Sends what the clients on the list have to say, publishers' pending messages first encoded.
    fn flush(&mut self, now: u64) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for &at in &dirty {
            if !self.clients[at as usize].sending {
                self.flush_client(at, now);
            }
            // Only now: encoding marks the client again, which must find it marked while the list is out.
            self.clients[at as usize].dirty = false;
        }
        dirty.clear();
        self.dirty = dirty;
    }

    fn flush_client(&mut self, at: u32, now: u64) {
        self.encode_pending(at, now);
        let client = &mut self.clients[at as usize];
        let Some(slot) = client.slot.filter(|_| client.phase != Phase::Closing) else { return };
        match self.take_send(at) {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                let client = &mut self.clients[at as usize];
                client.sending = true;
                client.last_sent_s = (now / 1_000_000_000) as u32;
                self.wire.send(slot, at, SendBuffer::Bytes(bytes));
            }
            Err(why) => self.on_ended(at, &why),
        }
    }

    /// The bytes of a client's next send as the socket wants them; what the client said is taken.
    pub(super) fn take_send(&mut self, at: u32) -> Result<Vec<u8>, String> {
        let client = &mut self.clients[at as usize];
        let Some(transport) = &mut client.transport else { return Ok(std::mem::take(&mut client.out)) };
        if client.out.is_empty() && !transport.has_more() {
            return Ok(Vec::new());
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        let result = transport.send(&client.out, &mut bytes);
        let mut out = std::mem::take(&mut client.out);
        out.clear();
        self.keep_spare(out);
        result.map(|()| bytes)
    }

    /// Keeps an empty buffer for later.
    fn keep_spare(&mut self, buffer: Vec<u8>) {
        let size = buffer.capacity();
        if self.spare.len() < SPARE_BUFFERS_MAX && size > 0 && size <= SPARE_BUFFER_BYTES_MAX {
            self.spare.push(buffer);
        }
    }

    /// The client's bytes for the next send, with memory behind them, and the client on the list of those that send.
    pub(super) fn writable(&mut self, at: u32) -> &mut Vec<u8> {
        self.mark(at);
        let client = &mut self.clients[at as usize];
        if client.out.capacity() == 0 {
            client.out = self.spare.pop().unwrap_or_default();
        }
        &mut client.out
    }

    /// Puts the client on the list of those that have something to send.
    pub(super) fn mark(&mut self, at: u32) {
        let client = &mut self.clients[at as usize];
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(at);
        }
    }

    fn on_sent(&mut self, at: u32, buffer: SendBuffer, is_ok: bool) {
        if let SendBuffer::Bytes(mut bytes) = buffer {
            bytes.clear();
            self.keep_spare(bytes);
        }
        let client = &mut self.clients[at as usize];
        client.sending = false;
        if !is_ok && client.phase != Phase::Closing {
            self.on_ended(at, "a send failed");
            return;
        }
        let has_pending = client.publisher.as_ref().is_some_and(|p| !p.pending.is_empty());
        let has_more = client.transport.as_ref().is_some_and(|t| t.has_more());
        if is_ok && (!client.out.is_empty() || has_pending || has_more) {
            self.mark(at);
        }
    }

    fn record_lateness(&mut self, now: u64) {
        for due in self.handed.drain(..) {
            if self.times.is_measured(due) {
                self.histograms.record(Metric::Lateness, now.saturating_sub(due));
            }
        }
    }

    /// Once a second the full histograms go to the coordinator, if it has sent empty ones.
    fn exchange_histograms(&mut self, now: u64) {
        if self.next_exchange_ns == u64::MAX && self.times.start_ns != u64::MAX {
            self.next_exchange_ns = self.times.measure_ns + 1_000_000_000;
        }
        if now < self.next_exchange_ns {
            return;
        }
        self.next_exchange_ns += 1_000_000_000;
        if let Ok(empty) = self.exchange.empty.try_recv() {
            let number = (self.next_exchange_ns - self.times.measure_ns) / 1_000_000_000 - 2;
            let histograms = std::mem::replace(&mut self.histograms, empty);
            // A coordinator that has gone away wants no histograms.
            let _ = self.exchange.full.send(Second { number, histograms });
        }
    }

    /// The group of a client.
    pub(super) fn group(&self, at: u32) -> &Group {
        &self.setup.plan.groups[usize::from(self.clients[at as usize].group)]
    }

    /// The slot of a client whose connection is open.
    pub(super) fn slot(&self, at: u32) -> Option<Slot> {
        self.clients[at as usize].slot
    }
}
