//! A shard's end of the mesh: its rings to and from every neighbour, its overflows, and its sleeping flag.

use super::asleep::{Asleep, full_fence};
use super::ring::{Consumer, Full, Producer, ring};
use super::sync::Arc;
use crate::config::SHARDS_MAX;
use crate::{ShardId, ShardSet};
use std::collections::VecDeque;

/// More neighbours were asked for than a [`ShardSet`] can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} shards (the control thread counts as one) are more than the {SHARDS_MAX} that a mesh connects")]
pub struct TooManyNeighbours {
    /// How many ports were asked for.
    pub asked: usize,
}

/// Connects `ports` neighbours, each with each and with itself; port `i` of the result is for shard `i`.
///
/// A control thread is one neighbour more: ask for a port more than there are shards and give it the last one. Each ring has
/// `slots` slots (see [`ring`]) and each port keeps at most `overflow_max` messages a neighbour beside a full ring.
///
/// Costs `ports * ports * slots * size_of::<T>()` bytes of address space, and of memory once that many messages passed.
///
/// # Errors
/// [`TooManyNeighbours`] above [`SHARDS_MAX`] ports.
pub fn mesh<T: Send>(ports: usize, slots: usize, overflow_max: usize) -> Result<Vec<Port<T>>, TooManyNeighbours> {
    if ports > SHARDS_MAX {
        return Err(TooManyNeighbours { asked: ports });
    }
    let flags: Vec<_> = (0..ports).map(|_| Arc::new(Asleep::new())).collect();
    let mut made: Vec<Port<T>> = flags.iter().map(|flag| Port::new(flag.clone(), overflow_max)).collect();
    // Neighbour `j` is the j-th that a port learns of, so producers go out row by row and consumers column by column.
    for sender in 0..ports {
        for receiver in 0..ports {
            let (to, from) = ring(slots);
            made[sender].to.push(Outgoing { ring: to, overflow: VecDeque::new(), asleep: flags[receiver].clone() });
            made[receiver].from.push(from);
        }
    }
    Ok(made)
}

/// What goes to one neighbour.
struct Outgoing<T: Send> {
    ring: Producer<T>,
    /// What found the ring full, in order; later messages go behind it.
    overflow: VecDeque<T>,
    /// The neighbour's flag.
    asleep: Arc<Asleep>,
}

impl<T: Send> Outgoing<T> {
    /// Moves the overflow into the ring as far as there is room. True when nothing is left of it.
    fn refill(&mut self) -> bool {
        while let Some(message) = self.overflow.pop_front() {
            if let Err(Full(message)) = self.ring.push(message) {
                self.overflow.push_front(message);
                return false;
            }
        }
        true
    }
}

/// A shard's end of the mesh. See the [module](super) for the order of calls.
pub struct Port<T: Send> {
    to: Vec<Outgoing<T>>,
    from: Vec<Consumer<T>>,
    /// This shard's own flag, which the neighbours read.
    asleep: Arc<Asleep>,
    overflow_max: usize,
    /// Neighbours that were sent something since the last flush.
    unflushed: ShardSet,
    /// Neighbours whose ring to here got room since the last flush: they may wait for it.
    relieved: ShardSet,
    /// Neighbours with an overflow.
    congested: ShardSet,
    /// Whose turn it is to be drained first.
    first: usize,
}

impl<T: Send> Port<T> {
    fn new(asleep: Arc<Asleep>, overflow_max: usize) -> Self {
        Self {
            to: Vec::new(),
            from: Vec::new(),
            asleep,
            overflow_max,
            unflushed: ShardSet::default(),
            relieved: ShardSet::default(),
            congested: ShardSet::default(),
            first: 0,
        }
    }

    /// Number of ports of the mesh, this one included. Every `ShardId` below it may be sent to.
    #[must_use]
    pub fn neighbours(&self) -> usize {
        self.to.len()
    }

    /// Sends a message behind all that was sent to `shard` before: to the ring, or to the overflow when the ring is full. The
    /// neighbour sees it after [`Port::flush`], or when the ring is full.
    ///
    /// # Errors
    /// [`Full`] when the overflow is full as well. Nothing was lost; the caller drops or keeps what comes back.
    #[inline]
    pub fn send(&mut self, shard: ShardId, message: T) -> Result<(), Full<T>> {
        let outgoing = &mut self.to[usize::from(shard)];
        self.unflushed.insert(shard);
        if !self.congested.contains(shard) {
            let Err(Full(message)) = outgoing.ring.push(message) else { return Ok(()) };
            return self.overflow(shard, message);
        }
        self.overflow(shard, message)
    }

    /// Keeps a message that found no room.
    #[cold]
    fn overflow(&mut self, shard: ShardId, message: T) -> Result<(), Full<T>> {
        let outgoing = &mut self.to[usize::from(shard)];
        if outgoing.overflow.len() >= self.overflow_max {
            return Err(Full(message));
        }
        outgoing.overflow.push_back(message);
        self.congested.insert(shard);
        Ok(())
    }

    /// The neighbours to which some messages wait in the overflow. Whoever sends to these should be held back; and what was
    /// sent to them has not reached their ring (a SUBACK that promises otherwise must wait).
    #[must_use]
    pub const fn congested(&self) -> ShardSet {
        self.congested
    }

    /// Ends a turn's sending: moves the overflows on as far as there is room, publishes to every neighbour at once, and
    /// returns the neighbours whose doorbell the caller must ring now, because they sleep.
    #[must_use = "a neighbour that is not rung sleeps on"]
    pub fn flush(&mut self) -> ShardSet {
        for shard in self.congested {
            let outgoing = &mut self.to[usize::from(shard)];
            let done = outgoing.refill();
            self.unflushed.insert(shard);
            // Raised before the fence below, and the room is looked for once more after the fence of `prepare_to_sleep`: so
            // the neighbour that makes room rings, or this shard sees the room.
            outgoing.ring.set_starved(!done);
            if done {
                self.congested.remove(shard);
            }
        }
        for shard in self.unflushed {
            self.to[usize::from(shard)].ring.publish();
        }
        let mut wake = ShardSet::default();
        if self.unflushed.is_empty() && self.relieved.is_empty() {
            return wake;
        }
        full_fence();
        for shard in self.relieved {
            if self.from[usize::from(shard)].is_starved() {
                self.unflushed.insert(shard);
            }
        }
        for shard in self.unflushed {
            if self.to[usize::from(shard)].asleep.take() {
                wake.insert(shard);
            }
        }
        self.unflushed = ShardSet::default();
        self.relieved = ShardSet::default();
        wake
    }

    /// Takes messages that the neighbours sent, at most `messages_max` in all, each neighbour's in order. A neighbour with much
    /// to say does not push the others out: when there is too much for one call, each gets its share.
    ///
    /// Returns true when everything was taken that had been published when the call began. While it returns false, the
    /// caller must not act on what it read from elsewhere after those messages were sent: what it read may be caused by them.
    pub fn drain(&mut self, messages_max: usize, mut take: impl FnMut(ShardId, T)) -> bool {
        let mut waiting = 0_usize;
        for from in &mut self.from {
            waiting += from.look();
        }
        let complete = waiting <= messages_max;
        let share = if complete { messages_max } else { (messages_max / self.from.len()).max(1) };
        let mut left = waiting.min(messages_max);
        while left > 0 {
            for _ in 0..self.from.len() {
                let from = &mut self.from[self.first];
                // Below SHARDS_MAX, so the cast keeps all of it.
                let shard = self.first as ShardId;
                let taken = from.take_seen(share.min(left), |message| take(shard, message));
                if taken > 0 {
                    self.relieved.insert(shard);
                    left -= taken;
                }
                self.first = (self.first + 1) % self.from.len();
            }
        }
        if !complete {
            self.first = (self.first + 1) % self.from.len();
        }
        complete
    }

    /// True when a neighbour has published something that was not drained.
    #[must_use]
    pub fn has_incoming(&self) -> bool {
        self.from.iter().any(Consumer::has_incoming)
    }

    /// The neighbours that are gone: they read nothing any more, and send nothing but what [`Port::drain`] still finds.
    #[must_use]
    pub fn gone(&self) -> ShardSet {
        let mut gone = ShardSet::default();
        for (shard, to) in self.to.iter().enumerate() {
            if to.ring.is_closed() {
                gone.insert(shard as ShardId);
            }
        }
        gone
    }

    /// To be called before parking. When it returns true the shard may park: a neighbour that publishes from now on, or that
    /// makes room for an overflow of this shard, will be told to ring. When false there is something to do: take a turn.
    #[must_use = "parking with something to do may last for ever"]
    pub fn prepare_to_sleep(&mut self) -> bool {
        if !self.unflushed.is_empty() || !self.relieved.is_empty() {
            return false;
        }
        self.asleep.raise();
        let mut congested = self.congested;
        if self.has_incoming() || congested.any(|shard| self.to[usize::from(shard)].ring.has_room()) {
            self.asleep.lower();
            return false;
        }
        true
    }

    /// To be called after parking, whatever ended it, so that the neighbours stop ringing.
    pub fn awake(&self) {
        self.asleep.lower();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn two(slots: usize, overflow_max: usize) -> (Port<u32>, Port<u32>) {
        let mut ports = mesh(2, slots, overflow_max).unwrap();
        let second = ports.pop().unwrap();
        (ports.pop().unwrap(), second)
    }

    fn drained(port: &mut Port<u32>, messages_max: usize) -> (Vec<(ShardId, u32)>, bool) {
        let mut taken = Vec::new();
        let complete = port.drain(messages_max, |from, message| taken.push((from, message)));
        (taken, complete)
    }

    #[test]
    fn every_port_reaches_every_port() {
        let mut ports: Vec<Port<(ShardId, ShardId)>> = mesh(5, 4, 0).unwrap();
        for (sender, port) in (0..).zip(&mut ports) {
            assert_eq!(port.neighbours(), 5);
            for receiver in 0..5 {
                port.send(receiver, (sender, receiver)).unwrap();
            }
            assert!(port.flush().is_empty(), "nobody sleeps");
        }
        for (receiver, port) in (0..).zip(&mut ports) {
            let mut senders = Vec::new();
            assert!(port.has_incoming());
            assert!(port.drain(100, |from, (sender, to)| {
                assert_eq!((sender, to), (from, receiver));
                senders.push(from);
            }));
            assert_eq!(senders, [0, 1, 2, 3, 4]);
            assert!(!port.has_incoming());
        }
    }

    #[test]
    fn more_ports_than_a_set_can_name_are_refused() {
        assert_eq!(mesh::<u8>(SHARDS_MAX, 2, 0).unwrap().len(), SHARDS_MAX);
        assert_eq!(mesh::<u8>(SHARDS_MAX + 1, 2, 0).err(), Some(TooManyNeighbours { asked: SHARDS_MAX + 1 }));
    }

    #[test]
    fn an_overflow_keeps_the_order_and_has_a_bound() {
        let (mut a, mut b) = two(2, 3);
        for n in 0..5 {
            a.send(1, n).unwrap();
        }
        assert_eq!(a.send(1, 5), Err(Full(5)));
        assert_eq!(a.congested(), ShardSet::of(1));
        assert!(a.flush().is_empty());
        assert_eq!(drained(&mut b, 1), (vec![(0, 0)], false));
        // There is a slot now, but an overflow too: this one must not overtake it.
        assert_eq!(a.send(1, 5), Err(Full(5)));
        assert!(a.flush().is_empty());
        a.send(1, 5).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(drained(&mut b, 9).0.into_iter().map(|(_, n)| n));
            assert!(a.flush().is_empty());
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
        assert!(a.congested().is_empty());
    }

    #[test]
    fn one_overflow_does_not_hold_up_another_neighbour() {
        let mut ports = mesh(3, 2, 8).unwrap();
        for n in 0..4 {
            ports[0].send(1, n).unwrap();
        }
        ports[0].send(2, 9).unwrap();
        assert_eq!(ports[0].congested(), ShardSet::of(1));
        assert!(ports[0].flush().is_empty());
        assert_eq!(drained(&mut ports[2], 9), (vec![(0, 9)], true));
    }

    #[test]
    fn a_drain_that_is_cut_short_gives_each_neighbour_a_share() {
        let mut ports = mesh(3, 64, 0).unwrap();
        for n in 0..30 {
            ports[0].send(2, n).unwrap();
        }
        ports[1].send(2, 100).unwrap();
        assert!(ports[0].flush().is_empty());
        assert!(ports[1].flush().is_empty());
        let (taken, complete) = drained(&mut ports[2], 9);
        assert!(!complete);
        assert_eq!(taken.len(), 9, "the bound is used up: {taken:?}");
        assert!(taken.contains(&(1, 100)), "the quiet neighbour was pushed out: {taken:?}");
        let of_first: Vec<u32> = taken.iter().filter(|(from, _)| *from == 0).map(|(_, n)| *n).collect();
        assert_eq!(of_first, (0..8).collect::<Vec<_>>());
        let (rest, complete) = drained(&mut ports[2], 100);
        assert!(complete);
        assert_eq!(rest, (8..30).map(|n| (0, n)).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_sleeper_is_rung_and_only_once() {
        let mut ports = mesh(3, 8, 0).unwrap();
        assert!(ports[2].prepare_to_sleep());
        ports[0].send(2, 1).unwrap();
        ports[0].send(1, 1).unwrap();
        assert_eq!(ports[0].flush(), ShardSet::of(2));
        ports[0].send(2, 2).unwrap();
        assert!(ports[0].flush().is_empty(), "rung already");
        ports[1].send(2, 3).unwrap();
        assert!(ports[1].flush().is_empty(), "rung already");
        ports[2].awake();
        assert!(!ports[2].prepare_to_sleep(), "something came in");
        assert_eq!(drained(&mut ports[2], 9).0, [(0, 1), (0, 2), (1, 3)]);
        assert!(!ports[2].prepare_to_sleep(), "the room was not announced yet");
        assert!(ports[2].flush().is_empty());
        assert!(ports[2].prepare_to_sleep());
        ports[2].awake();
        ports[0].send(2, 4).unwrap();
        assert!(ports[0].flush().is_empty(), "awake");
    }

    #[test]
    fn unflushed_messages_keep_a_shard_awake() {
        let (mut a, _b) = two(2, 0);
        a.send(1, 1).unwrap();
        assert!(!a.prepare_to_sleep());
        assert!(a.flush().is_empty());
        assert!(a.prepare_to_sleep());
    }

    #[test]
    fn a_sleeper_with_an_overflow_is_rung_when_there_is_room() {
        let (mut a, mut b) = two(2, 9);
        for n in 0..4 {
            a.send(1, n).unwrap();
        }
        assert!(a.flush().is_empty());
        assert!(a.prepare_to_sleep());
        assert_eq!(drained(&mut b, 1).0, [(0, 0)]);
        assert_eq!(b.flush(), ShardSet::of(0));
        a.awake();
        assert!(!a.prepare_to_sleep(), "there is room");
        assert!(a.flush().is_empty());
        assert_eq!(drained(&mut b, 9).0, [(0, 1), (0, 2)]);
        assert!(b.flush().is_empty());
        assert!(a.flush().is_empty());
        assert!(a.congested().is_empty());
        assert!(a.prepare_to_sleep());
        assert_eq!(drained(&mut b, 9).0, [(0, 3)]);
        assert!(b.flush().is_empty(), "nobody waits for this room");
    }

    #[test]
    fn a_port_that_is_gone_is_seen() {
        let (mut a, b) = two(2, 0);
        assert!(a.gone().is_empty());
        drop(b);
        assert_eq!(a.gone(), ShardSet::of(1));
        a.send(1, 1).unwrap();
        assert!(a.flush().is_empty());
    }

    /// Three threads that park for want of anything to do and overflow their two-slot rings all the time. A lost wake-up
    /// would show as a park that lasts to its limit.
    #[test]
    fn three_sleepy_shards_pass_everything_in_order() {
        use std::sync::{Arc, Barrier, OnceLock};
        use std::thread::{self, Thread};
        use std::time::{Duration, Instant};
        const MESSAGES: u32 = if cfg!(miri) { 40 } else { 20_000 };
        const PARK_MAX: Duration = Duration::from_secs(20);

        fn run(me: usize, mut port: Port<u32>, threads: &[OnceLock<Thread>; 3]) -> Port<u32> {
            let (mut sent, mut seen) = ([0; 3], [0; 3]);
            loop {
                port.drain(3, |from, n| {
                    assert_eq!(n, seen[usize::from(from)], "{from} to {me}");
                    seen[usize::from(from)] += 1;
                });
                for (to, sent) in (0..).zip(&mut sent) {
                    while *sent < MESSAGES && port.send(to, *sent).is_ok() {
                        *sent += 1;
                    }
                }
                for neighbour in port.flush() {
                    threads[usize::from(neighbour)].get().unwrap().unpark();
                }
                if (sent, seen) == ([MESSAGES; 3], [MESSAGES; 3]) && port.congested().is_empty() {
                    return port;
                }
                if port.prepare_to_sleep() {
                    let parked = Instant::now();
                    thread::park_timeout(PARK_MAX);
                    port.awake();
                    assert!(parked.elapsed() < PARK_MAX, "{me} slept through its wake-up");
                }
            }
        }

        let threads: Arc<[OnceLock<Thread>; 3]> = Arc::default();
        let started = Arc::new(Barrier::new(3));
        let mut running = Vec::new();
        for (me, port) in mesh(3, 2, 4).unwrap().into_iter().enumerate() {
            let (threads, started) = (threads.clone(), started.clone());
            running.push(thread::spawn(move || {
                threads[me].set(thread::current()).unwrap();
                started.wait();
                run(me, port, &threads)
            }));
        }
        // The ports live until all are done: a port that goes is not what this is about.
        let ports: Vec<Port<u32>> = running.into_iter().map(|shard| shard.join().unwrap()).collect();
        assert_eq!(ports.len(), 3);
    }
}
