//! What a turn asks of its wire, so that the same turn runs on an io_uring and on a simulated network.
//!
//! The meaning of each call is that of the [`Wire`]'s own. Architecture invariant: nothing here blocks; what a call brings
//! about comes as an event of a later turn.

use crate::ShardId;
use crate::journal::{CommitWire, LogFile};
use crate::wire::{SendBuffer, Slot, Wire, WireHandle};
use std::sync::Arc;

/// A shard's wire, with the ways to its neighbours.
pub(crate) trait TurnWire: CommitWire {
    fn adopt(&mut self, slot: Slot, token: u32);
    fn receive_once(&mut self, slot: Slot, token: u32);
    fn receive(&mut self, slot: Slot, token: u32);
    fn stop_receiving(&mut self, slot: Slot, token: u32);
    fn send(&mut self, slot: Slot, token: u32, buffer: SendBuffer);
    fn close(&mut self, slot: Slot);
    fn close_now(&mut self, slot: Slot);
    fn send_descriptor(&mut self, slot: Slot, to: ShardId, token: u64);
    fn ring_neighbour(&mut self, to: ShardId);
}

/// The real one.
pub(crate) struct Joined<'a> {
    pub wire: &'a mut Wire,
    pub neighbours: &'a [WireHandle],
}

#[cfg(not(test))]
impl CommitWire for Joined<'_> {
    fn write(&mut self, file: Arc<LogFile>, bytes: (Arc<Vec<u8>>, usize), position: u64, token: u64) {
        self.wire.write(file, bytes, position, token);
    }

    fn fsync(&mut self, file: Arc<LogFile>, token: u64) {
        self.wire.fsync(file, token);
    }
}

/// No test of this package gives a wire a log: a disk that forgets has no descriptors.
#[cfg(test)]
impl CommitWire for Joined<'_> {
    fn write(&mut self, _: Arc<LogFile>, _: (Arc<Vec<u8>>, usize), _: u64, _: u64) {}

    fn fsync(&mut self, _: Arc<LogFile>, _: u64) {}
}

impl TurnWire for Joined<'_> {
    fn adopt(&mut self, slot: Slot, token: u32) {
        self.wire.adopt(slot, token);
    }

    fn receive_once(&mut self, slot: Slot, token: u32) {
        self.wire.receive_once(slot, token);
    }

    fn receive(&mut self, slot: Slot, token: u32) {
        self.wire.receive(slot, token);
    }

    fn stop_receiving(&mut self, slot: Slot, token: u32) {
        self.wire.stop_receiving(slot, token);
    }

    fn send(&mut self, slot: Slot, token: u32, buffer: SendBuffer) {
        self.wire.send(slot, token, buffer);
    }

    fn close(&mut self, slot: Slot) {
        self.wire.close(slot);
    }

    fn close_now(&mut self, slot: Slot) {
        self.wire.close_now(slot);
    }

    fn send_descriptor(&mut self, slot: Slot, to: ShardId, token: u64) {
        self.wire.send_descriptor(slot, &self.neighbours[usize::from(to)], token);
    }

    fn ring_neighbour(&mut self, to: ShardId) {
        self.wire.ring_neighbour(&self.neighbours[usize::from(to)]);
    }
}
