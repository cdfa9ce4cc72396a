//! A wire without a kernel: connections are pairs of queues, the disk is slow, and everything happens when chance says so.
//!
//! It keeps the contract of [`crate::wire::Wire`]: the order of a connection's events, what a stopped receive still brings,
//! that a closed connection has one last event. What a file's write brought is in the file at once, as in the page cache, and
//! is lost with the power until a sync that began later has ended.

use super::random::Random;
use crate::ShardId;
use crate::journal::{CommitWire, LogFile};
use crate::shard::turn_wire::TurnWire;
use crate::wire::{Event, Received, SendBuffer, Slot};
use ringtail_storage::SegmentFile;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Bytes that one receive brings at most.
const RECEIVE_BYTES: usize = 600;

/// What lies between a client and the broker.
#[derive(Default)]
pub(super) struct Link {
    pub to_server: VecDeque<u8>,
    pub to_client: VecDeque<u8>,
    /// The client has closed, or is cut off.
    pub client_gone: bool,
    /// The broker says nothing more.
    pub server_gone: bool,
    /// Bytes that the client's side takes before the client reads.
    pub room_bytes: usize,
}

pub(super) type Links = Vec<Link>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receive {
    Off,
    Armed,
    Stopping,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Lingering,
    Now,
}

struct State {
    link: usize,
    token: u32,
    receive: Receive,
    once: bool,
    send: Option<(SendBuffer, Vec<u8>)>,
    closing: Closing,
    moving: bool,
}

enum FileCall {
    Write { file: Arc<LogFile>, bytes: Arc<Vec<u8>>, from: usize, position: u64, token: u64 },
    Sync { file: Arc<LogFile>, token: u64, after: u64 },
}

/// What stood in a file before a write that no sync has followed.
struct Before {
    number: u64,
    file: Arc<LogFile>,
    position: u64,
    bytes: Vec<u8>,
}

/// A connection on its way to another shard.
pub(super) struct Moving {
    pub slot: usize,
    pub to: ShardId,
    pub token: u64,
}

#[derive(Default)]
pub(super) struct SimWire {
    slots: Vec<Option<State>>,
    /// What happened and was not reaped.
    events: Vec<Event>,
    pub moving: Vec<Moving>,
    calls: VecDeque<FileCall>,
    unsynced: Vec<Before>,
    written: u64,
    /// A sync in so many fails; 0 when none does.
    failing_syncs: usize,
}

impl SimWire {
    pub(super) fn new(failing_syncs: usize) -> Self {
        Self { failing_syncs, ..Self::default() }
    }

    /// A client comes.
    pub(super) fn accept(&mut self, link: usize) {
        let slot = self.take_slot(link);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        self.events.push(Event::Accepted { listener: 0, slot, peer });
    }

    fn take_slot(&mut self, link: usize) -> Slot {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        let (receive, closing) = (Receive::Off, Closing::No);
        self.slots[index] =
            Some(State { link, token: u32::MAX, receive, once: false, send: None, closing, moving: false });
        Slot::numbered(index as u32)
    }

    /// A neighbour's connection arrives.
    pub(super) fn arrive(&mut self, link: usize, token: u64) {
        let slot = self.take_slot(link);
        self.events.push(Event::Arrived { slot, token });
    }

    /// A connection leaves for a neighbour, or cannot: its link if it did.
    pub(super) fn depart(&mut self, slot: usize, possible: bool) -> Option<usize> {
        let state = self.slots[slot].as_mut()?;
        let (token, index) = (state.token, Slot::numbered(slot as u32));
        state.moving = false;
        if !possible {
            let error = io::Error::from_raw_os_error(libc::ENFILE);
            self.events.push(Event::HandoverFailed { slot: index, token, error });
            return None;
        }
        let link = self.slots[slot].take()?.link;
        self.events.push(Event::Closed { slot: index, token });
        Some(link)
    }

    /// True when nothing is under way but waiting for the clients.
    pub(super) fn is_quiet(&self) -> bool {
        let waits = |state: &State| state.send.is_none() && state.closing == Closing::No;
        self.events.is_empty()
            && self.moving.is_empty()
            && self.calls.is_empty()
            && self.slots.iter().flatten().all(waits)
    }

    pub(super) fn connections(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// What has happened; with `all`, whatever can happen does.
    pub(super) fn reap(&mut self, links: &mut Links, random: &mut Random, all: bool) -> Vec<Event> {
        let first = random.below(self.slots.len().max(1));
        for index in (first..self.slots.len()).chain(0..first) {
            if all || !random.once_in(4) {
                self.step(index, links, random, all);
            }
        }
        while !self.calls.is_empty() && (all || random.once_in(2)) {
            self.file_call(random);
        }
        std::mem::take(&mut self.events)
    }

    fn step(&mut self, index: usize, links: &mut Links, random: &mut Random, all: bool) {
        let Some(state) = self.slots[index].as_mut().filter(|state| !state.moving) else { return };
        let link = &mut links[state.link];
        let token = state.token;
        if state.closing == Closing::Now
            && let Some((buffer, _)) = state.send.take()
        {
            let result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
            self.events.push(Event::Sent { token, buffer, result });
        }
        if state.closing == Closing::No {
            receive(state, link, random, all, &mut self.events);
        }
        send(state, link, random, all, &mut self.events);
        if state.closing == Closing::Lingering {
            link.to_server.clear();
            link.server_gone = state.send.is_none();
        }
        let lingered = state.closing == Closing::Lingering && state.send.is_none();
        if state.closing == Closing::Now || (lingered && (link.client_gone || all || random.once_in(8))) {
            link.server_gone = true;
            self.slots[index] = None;
            self.events.push(Event::Closed { slot: Slot::numbered(index as u32), token });
        }
    }

    fn file_call(&mut self, random: &mut Random) {
        match self.calls.pop_front() {
            None => {}
            Some(FileCall::Write { file, bytes, from, position, token }) => {
                let rest = &bytes[from..];
                let count = if random.once_in(6) { 1 + random.below(rest.len()) } else { rest.len() };
                let mut before = vec![0; count];
                let result = file.read_at(position, &mut before).and_then(|()| {
                    file.write_all_at(position, &rest[..count])?;
                    Ok(count)
                });
                self.written += 1;
                self.unsynced.push(Before { number: self.written, file, position, bytes: before });
                self.events.push(Event::Wrote { token, result });
            }
            Some(FileCall::Sync { file, token, after }) => {
                let fails = self.failing_syncs > 0 && random.once_in(self.failing_syncs);
                let result = if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) };
                // After a failed sync the kernel calls the pages clean, and whether they got to the disk is anybody's guess.
                if !fails {
                    self.unsynced.retain(|before| before.number > after || !Arc::ptr_eq(&before.file, &file));
                }
                self.events.push(Event::Synced { token, result });
            }
        }
    }

    /// The power goes: of what no sync has covered, any part is lost.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        while let Some(before) = self.unsynced.pop() {
            if random.once_in(2) {
                before.file.write_all_at(before.position, &before.bytes).unwrap();
            }
        }
    }

    fn state(&mut self, slot: Slot) -> Option<&mut State> {
        self.slots.get_mut(slot.index())?.as_mut()
    }
}

fn receive(state: &mut State, link: &mut Link, random: &mut Random, all: bool, events: &mut Vec<Event>) {
    let token = state.token;
    if state.receive == Receive::Off {
        return;
    }
    if !link.to_server.is_empty() && (state.receive == Receive::Armed || random.once_in(2)) {
        let most = link.to_server.len().min(RECEIVE_BYTES);
        let count = if all || random.once_in(2) { most } else { 1 + random.below(most) };
        let bytes: Vec<u8> = link.to_server.drain(..count).collect();
        events.extend(Received::filled(&bytes).map(|buffer| Event::Received { token, buffer }));
        if state.once {
            state.receive = Receive::Off;
            return;
        }
    }
    if link.to_server.is_empty() && link.client_gone && (all || random.once_in(2)) {
        state.receive = Receive::Off;
        events.push(Event::Ended { token, error: None });
    } else if state.receive == Receive::Stopping && (all || random.once_in(2)) {
        state.receive = Receive::Off;
        events.push(Event::Stopped { token });
    }
}

fn send(state: &mut State, link: &mut Link, random: &mut Random, all: bool, events: &mut Vec<Event>) {
    let Some((_, rest)) = &mut state.send else { return };
    if !link.client_gone {
        let room = link.room_bytes.saturating_sub(link.to_client.len()).min(rest.len());
        let count = if all || room == 0 || random.once_in(2) { room } else { 1 + random.below(room) };
        link.to_client.extend(rest.drain(..count));
    } else if !all && random.once_in(2) {
        return;
    }
    if (rest.is_empty() || link.client_gone)
        && let Some((buffer, rest)) = state.send.take()
    {
        let result = if rest.is_empty() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ECONNRESET)) };
        events.push(Event::Sent { token: state.token, buffer, result });
    }
}

fn bytes_of(buffer: &SendBuffer) -> Vec<u8> {
    match buffer {
        SendBuffer::Bytes(bytes) => bytes.clone(),
        SendBuffer::Segments(segments) => segments.iter().flat_map(|segment| segment.as_bytes().to_vec()).collect(),
    }
}

impl CommitWire for SimWire {
    fn write(&mut self, file: Arc<LogFile>, (bytes, from): (Arc<Vec<u8>>, usize), position: u64, token: u64) {
        self.calls.push_back(FileCall::Write { file, bytes, from, position, token });
    }

    fn fsync(&mut self, file: Arc<LogFile>, token: u64) {
        self.calls.push_back(FileCall::Sync { file, token, after: self.written });
    }
}

impl TurnWire for SimWire {
    fn adopt(&mut self, slot: Slot, token: u32) {
        if let Some(state) = self.state(slot) {
            state.token = token;
        }
    }

    fn receive_once(&mut self, slot: Slot, token: u32) {
        self.receive(slot, token);
        if let Some(state) = self.state(slot) {
            state.once = true;
        }
    }

    fn receive(&mut self, slot: Slot, token: u32) {
        if let Some(state) = self.state(slot).filter(|state| state.closing == Closing::No) {
            (state.token, state.once, state.receive) = (token, false, Receive::Armed);
        }
    }

    fn stop_receiving(&mut self, slot: Slot, _token: u32) {
        if let Some(state) = self.state(slot).filter(|state| state.receive == Receive::Armed) {
            state.receive = Receive::Stopping;
        }
    }

    fn send(&mut self, slot: Slot, token: u32, buffer: SendBuffer) {
        let bytes = bytes_of(&buffer);
        match self.state(slot) {
            Some(state) if state.closing == Closing::No => {
                assert!(state.send.is_none() && !state.moving, "one send at a time");
                (state.token, state.send) = (token, Some((buffer, bytes)));
            }
            _ => {
                let result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
                self.events.push(Event::Sent { token, buffer, result });
            }
        }
    }

    fn close(&mut self, slot: Slot) {
        if let Some(state) = self.state(slot).filter(|state| state.closing == Closing::No && !state.moving) {
            state.closing = Closing::Lingering;
        }
    }

    fn close_now(&mut self, slot: Slot) {
        if let Some(state) = self.state(slot).filter(|state| !state.moving) {
            state.closing = Closing::Now;
        }
    }

    fn send_descriptor(&mut self, slot: Slot, to: ShardId, token: u64) {
        let Some(state) = self.state(slot) else { return };
        assert!(state.send.is_none() && state.receive == Receive::Off, "nothing is under way on what moves");
        state.moving = true;
        self.moving.push(Moving { slot: slot.index(), to, token });
    }

    fn ring_neighbour(&mut self, _to: ShardId) {}
}
