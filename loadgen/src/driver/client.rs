//! One client: small, because there may be a million. What only publishers or subscribers need is in boxes.

use super::publisher::Publisher;
use crate::transport::Transport;
use ringtail_shards::wire::Slot;
use std::collections::HashMap;

/// Where a client's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// There is none.
    Offline,
    /// The socket connects.
    Connecting,
    /// CONNECT is sent.
    AwaitConnAck,
    /// SUBSCRIBE is sent.
    AwaitSubAck,
    /// Messages flow.
    Up,
    /// The connection is being closed; its slot and token are not free yet.
    Closing,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Bytes for the next send.
    pub(crate) out: Vec<u8>,
    /// The beginning of a packet whose end has not come.
    pub(crate) partial: Vec<u8>,
    /// What lies between MQTT and the socket, if anything.
    pub(crate) transport: Option<Box<Transport>>,
    /// The publishing side.
    pub(crate) publisher: Option<Box<Publisher>>,
    /// The subscribing side.
    pub(crate) subscriber: Option<Box<Subscriber>>,
    /// When the connection was begun, on the run's clock.
    pub(crate) began_ns: u64,
    /// The connection.
    pub(crate) slot: Option<Slot>,
    /// When something was sent last, seconds on the run's clock.
    pub(crate) last_sent_s: u32,
    /// Number in the group.
    pub(crate) index: u32,
    /// The group.
    pub(crate) group: u16,
    /// Where the connection stands.
    pub(crate) phase: Phase,
    /// Failures in a row.
    pub(crate) attempts: u8,
    /// A send is under way.
    pub(crate) sending: bool,
    /// It is on the list of those that have something to send.
    pub(crate) dirty: bool,
    /// It is to be connected.
    pub(crate) wanted: bool,
    /// It went away because the scenario says so.
    pub(crate) left_by_plan: bool,
    /// It was connected before in this run.
    pub(crate) was_up: bool,
}

impl Client {
    /// A client that has not connected.
    pub(crate) fn new(group: u16, index: u32, wanted: bool) -> Self {
        Self {
            out: Vec::new(),
            partial: Vec::new(),
            transport: None,
            publisher: None,
            subscriber: None,
            began_ns: 0,
            slot: None,
            last_sent_s: 0,
            index,
            group,
            phase: Phase::Offline,
            attempts: 0,
            sending: false,
            dirty: false,
            wanted,
            left_by_plan: false,
            was_up: false,
        }
    }
}

/// The subscribing side of a client.
#[derive(Debug, Default)]
pub(crate) struct Subscriber {
    /// What it receives for: places in the worker's list of receivers.
    pub(crate) receivers: Box<[u32]>,
    /// Packet Identifiers of QoS 2 that are received and not released, a bit each.
    pub(crate) unreleased: BitSet,
    /// Highest number seen of each publisher, for members of shared subscriptions.
    pub(crate) last_shared: HashMap<u32, u32>,
    /// When it came back, by plan or late, on the run's clock; what was due before is catching up.
    pub(crate) returned_ns: u64,
    /// It was away without a session while there was load.
    pub(crate) interrupted: bool,
}

/// A set of small numbers that takes memory up to the highest.
#[derive(Debug, Default)]
pub(crate) struct BitSet(Vec<u64>);

impl BitSet {
    /// Adds `n`; false when it was there.
    pub(crate) fn insert(&mut self, n: u16) -> bool {
        let (word, bit) = (usize::from(n / 64), 1 << (n % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    /// Takes `n` out.
    pub(crate) fn remove(&mut self, n: u16) {
        if let Some(word) = self.0.get_mut(usize::from(n / 64)) {
            *word &= !(1 << (n % 64));
        }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        assert!(size_of::<Client>() <= 120, "{}", size_of::<Client>());
    }

    #[test]
    fn a_bit_set_remembers() {
        let mut set = BitSet::default();
        assert!(set.insert(65_535) && set.insert(1) && !set.insert(1));
        set.remove(1);
        set.remove(40);
        assert!(set.insert(1) && !set.insert(65_535));
        set.clear();
        assert!(set.insert(65_535));
    }
}
