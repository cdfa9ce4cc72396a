//! A bounded ring from one shard to another: one producer, one consumer, no lock.
//!
//! ```text
//!            head                 tail            written
//!              v                    v                v
//!   [ free ... | published ........ | written ...... | free ... ]
//!              ^ the consumer reads | only the producer knows
//! ```
//!
//! `head <= tail <= written <= head + slots`. The counters only grow (they wrap with `usize`); a slot is the counter's low
//! bits. The producer owns the slots from `tail` to `head + slots`, the consumer those from `head` to `tail`.
//!
//! Both sides work in batches: the producer writes many slots and stores `tail` once, the consumer reads many and stores
//! `head` once. So each cache line that both touch crosses between the cores once a batch, not once a message.
//!
//! Architecture invariant: neither side ever waits. A full ring is a value ([`Full`]), an empty one is a count of 0.

use super::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell};
use crossbeam::utils::CachePadded;
use std::mem::MaybeUninit;

/// The ring has no free slot. The message comes back to the caller, who keeps it in order or drops it.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full")]
pub struct Full<T>(pub T);

/// Without the message, so that any message can be in an error.
impl<T> std::fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Full(..)")
    }
}

/// The counter that one side writes, and what else that side tells the other. On a cache line of its own.
#[derive(Debug)]
struct Side {
    counter: AtomicUsize,
    /// This side is gone: its counter is final.
    closed: AtomicBool,
    /// The producer met a full ring and waits for room. Unused by the consumer.
    starved: AtomicBool,
}

impl Side {
    fn new() -> CachePadded<Self> {
        CachePadded::new(Self {
            counter: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            starved: AtomicBool::new(false),
        })
    }
}

struct Shared<T> {
    /// Written by the consumer.
    head: CachePadded<Side>,
    /// Written by the producer.
    tail: CachePadded<Side>,
    /// A power of two of them.
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is touched by one side at a time: the producer until it publishes `tail` past it (release), the consumer
// from when it has seen that `tail` (acquire) until it releases `head` past it. So sharing a ring moves messages between
// threads and never shares one, which asks for `T: Send` and no more.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above; the ring owns its messages.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    #[inline]
    fn slot(&self, counter: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[counter & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let mut head = self.head.counter.load(Ordering::Relaxed);
        let tail = self.tail.counter.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: both sides are gone, and published all that they wrote and took when they went (their `Drop`). What is
            // left from `head` to `tail` was written and never read.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// Makes a ring of at least `slots` slots (rounded up to a power of two, at least 2).
///
/// The slots are reserved, not touched: a large ring costs memory only as messages first pass through it.
#[must_use]
pub fn ring<T: Send>(slots: usize) -> (Producer<T>, Consumer<T>) {
    let slots = slots.max(2).next_power_of_two();
    let slots = (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let shared = Arc::new(Shared { head: Side::new(), tail: Side::new(), slots });
    (
        Producer { shared: shared.clone(), written: 0, published: 0, head_seen: 0 },
        Consumer { shared, next: 0, tail_seen: 0 },
    )
}

/// The writing end of a ring.
pub struct Producer<T: Send> {
    shared: Arc<Shared<T>>,
    /// Messages ever written.
    written: usize,
    /// Messages ever published: what `tail` holds.
    published: usize,
    /// `head` when it was last read; the true one may be further.
    head_seen: usize,
}

impl<T: Send> Producer<T> {
    /// Writes a message, which the consumer sees after [`Producer::publish`].
    ///
    /// # Errors
    /// [`Full`] when every slot is taken. What was written so far is then published, so that the consumer can make room.
    #[inline]
    pub fn push(&mut self, message: T) -> Result<(), Full<T>> {
        if !self.has_room() {
            self.publish();
            return Err(Full(message));
        }
        self.shared.slot(self.written).with_mut(|slot| {
            // SAFETY: `written - head < slots` (has_room), so the consumer has read this slot's last message and released it
            // with the `head` that was loaded with acquire; and it does not read it again before `publish`.
            unsafe { (*slot).write(message) };
        });
        self.written = self.written.wrapping_add(1);
        Ok(())
    }

    /// Makes everything written so far visible to the consumer.
    #[inline]
    pub fn publish(&mut self) {
        if self.published != self.written {
            self.published = self.written;
            self.shared.tail.counter.store(self.written, Ordering::Release);
        }
    }

    /// True when a push would find a slot. Reads the consumer's cache line only when the ring looks full.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        let slots = self.shared.slots.len();
        if self.written.wrapping_sub(self.head_seen) < slots {
            return true;
        }
        self.head_seen = self.shared.head.counter.load(Ordering::Acquire);
        self.written.wrapping_sub(self.head_seen) < slots
    }

    /// True when the consumer is gone: nobody reads what is pushed from now on.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.head.closed.load(Ordering::Acquire)
    }

    /// Says whether this side waits for room; see [`Consumer::is_starved`].
    pub(super) fn set_starved(&self, starved: bool) {
        self.shared.tail.starved.store(starved, Ordering::Relaxed);
    }
}

impl<T: Send> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
        self.shared.tail.closed.store(true, Ordering::Release);
    }
}

/// The reading end of a ring.
pub struct Consumer<T: Send> {
    shared: Arc<Shared<T>>,
    /// Messages ever taken.
    next: usize,
    /// `tail` when it was last read; the true one may be further.
    tail_seen: usize,
}

impl<T: Send> Consumer<T> {
    /// Takes up to `messages_max` messages in the order in which they were pushed, then frees their slots at once. Returns how
    /// many it took. Messages that are published during the call wait for the next.
    #[inline]
    pub fn drain(&mut self, messages_max: usize, take: impl FnMut(T)) -> usize {
        self.look();
        self.take_seen(messages_max, take)
    }

    /// Reads how far the producer has published; returns how many messages wait.
    #[inline]
    pub(super) fn look(&mut self) -> usize {
        self.tail_seen = self.shared.tail.counter.load(Ordering::Acquire);
        self.tail_seen.wrapping_sub(self.next)
    }

    /// [`Consumer::drain`], of the messages that the last [`Consumer::look`] saw.
    #[inline]
    pub(super) fn take_seen(&mut self, messages_max: usize, mut take: impl FnMut(T)) -> usize {
        let count = self.tail_seen.wrapping_sub(self.next).min(messages_max);
        for _ in 0..count {
            // SAFETY: `next` is before the `tail` that `look` loaded with acquire, so the producer has written this slot and
            // leaves it alone until `head` passes it. `next` moves on before anything can fail, so it is read once.
            let message = self.shared.slot(self.next).with(|slot| unsafe { (*slot).assume_init_read() });
            self.next = self.next.wrapping_add(1);
            take(message);
        }
        if count > 0 {
            self.release();
        }
        count
    }

    /// True when the producer has published messages that were not taken.
    #[inline]
    #[must_use]
    pub fn has_incoming(&self) -> bool {
        self.tail_seen != self.next || self.shared.tail.counter.load(Ordering::Acquire) != self.next
    }

    /// True when the producer is gone. What it published before is still there to take.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.tail.closed.load(Ordering::Acquire)
    }

    /// True when the producer met a full ring and waits for the room that was made. To be read after
    /// [`super::asleep::full_fence`] that follows the last [`Consumer::drain`].
    pub(super) fn is_starved(&self) -> bool {
        self.shared.tail.starved.load(Ordering::Relaxed)
    }

    #[inline]
    fn release(&self) {
        self.shared.head.counter.store(self.next, Ordering::Release);
    }
}

impl<T: Send> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.release();
        self.shared.head.closed.store(true, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    fn drained<T: Send>(from: &mut Consumer<T>, messages_max: usize) -> Vec<T> {
        let mut taken = Vec::new();
        from.drain(messages_max, |message| taken.push(message));
        taken
    }

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let (mut to, mut from) = ring(4);
        to.push(1).unwrap();
        to.push(2).unwrap();
        assert!(!from.has_incoming());
        assert_eq!(drained(&mut from, 9), []);
        to.publish();
        assert!(from.has_incoming());
        assert_eq!(drained(&mut from, 9), [1, 2]);
        assert!(!from.has_incoming());
    }

    #[test]
    fn a_full_ring_gives_the_message_back_and_publishes_the_rest() {
        let (mut to, mut from) = ring(2);
        to.push("a").unwrap();
        to.push("b").unwrap();
        assert_eq!(to.push("c"), Err(Full("c")));
        assert_eq!(drained(&mut from, 1), ["a"]);
        to.push("c").unwrap();
        assert_eq!(to.push("d"), Err(Full("d")));
        assert_eq!(drained(&mut from, 9), ["b", "c"]);
    }

    #[test]
    fn slots_are_rounded_up_to_a_power_of_two() {
        for (asked, made) in [(0, 2), (1, 2), (2, 2), (3, 4), (4, 4), (1_000, 1_024)] {
            let (mut to, _from) = ring(asked);
            let pushed = (0..).take_while(|&n| to.push(n).is_ok()).count();
            assert_eq!(pushed, made, "asked for {asked}");
        }
    }

    #[test]
    fn counters_may_wrap() {
        let (mut to, mut from) = ring(4);
        let near_the_end = usize::MAX - 5;
        to.shared.head.counter.store(near_the_end, Ordering::Relaxed);
        to.shared.tail.counter.store(near_the_end, Ordering::Relaxed);
        (to.written, to.published, to.head_seen) = (near_the_end, near_the_end, near_the_end);
        (from.next, from.tail_seen) = (near_the_end, near_the_end);
        for round in 0..10 {
            for n in 0..3 {
                to.push(round * 3 + n).unwrap();
            }
            to.publish();
            assert_eq!(drained(&mut from, 9), [round * 3, round * 3 + 1, round * 3 + 2]);
        }
    }

    #[test]
    fn each_side_sees_that_the_other_is_gone() {
        let (mut to, mut from) = ring(4);
        to.push(1).unwrap();
        assert!(!from.is_closed());
        drop(to);
        assert!(from.is_closed());
        assert_eq!(drained(&mut from, 9), [1], "going away publishes what was written");

        let (to, from) = ring::<u8>(4);
        assert!(!to.is_closed());
        drop(from);
        assert!(to.is_closed());
    }

    #[test]
    fn every_message_is_dropped_once() {
        let counted = std::sync::Arc::new(());
        let (mut to, mut from) = ring(8);
        for _ in 0..6 {
            to.push(counted.clone()).unwrap();
        }
        to.publish();
        for _ in 0..2 {
            to.push(counted.clone()).unwrap();
        }
        from.drain(3, drop);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1 + 8 - 3);
        drop(from);
        drop(to);
        assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    }

    #[test]
    fn a_panic_while_draining_loses_and_repeats_nothing_else() {
        let (mut to, mut from) = ring(4);
        (0..3).for_each(|n| to.push(n).unwrap());
        to.publish();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            from.drain(9, |n| assert_ne!(n, 1, "as the test wants"));
        }));
        assert!(caught.is_err());
        assert_eq!(drained(&mut from, 9), [2]);
    }

    #[test]
    fn two_threads_pass_everything_in_order() {
        const MESSAGES: u64 = if cfg!(miri) { 300 } else { 300_000 };
        for slots in [2, 64] {
            let (mut to, mut from) = ring::<Box<u64>>(slots);
            let producer = thread::spawn(move || {
                let mut next = 0;
                while next < MESSAGES {
                    for _ in 0..1 + next % 7 {
                        if next == MESSAGES || to.push(Box::new(next)).is_err() {
                            break;
                        }
                        next += 1;
                    }
                    to.publish();
                    thread::yield_now();
                }
            });
            let mut expected = 0;
            while expected < MESSAGES {
                let before = expected;
                from.drain(5, |message| {
                    assert_eq!(*message, expected);
                    expected += 1;
                });
                if expected == before {
                    thread::yield_now();
                }
            }
            producer.join().unwrap();
            assert!(from.is_closed());
        }
    }
}
