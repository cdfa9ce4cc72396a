//! Whether every message arrived once, whole and in order: one [`Tracker`] a pair of publisher and receiver.
//!
//! A tracker knows the next number it waits for and the numbers it has skipped. A message that comes after a later one is
//! *reordered*, one that came before is *duplicated*, and what was skipped and never came is *lost*.

use crate::scenario::expect::Expected;
use serde::{Deserialize, Serialize};

/// Skipped ranges that a tracker keeps; beyond it the oldest counts as lost for good.
const GAPS_MAX: usize = 1 << 16;

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new, and no later one came before it.
    InOrder,
    /// It is new, but a later one came first.
    Late,
    /// It came before.
    Duplicate,
}

/// What one receiver has of one publisher: 32 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tracker {
    /// The publisher's client number.
    pub(crate) publisher: u32,
    /// The number behind the highest that came.
    next: u32,
    /// Messages that came again.
    pub(crate) duplicated: u32,
    /// Messages that came after a later one.
    pub(crate) reordered: u32,
    /// Skipped ranges `from..to`, in order; none while nothing is missing.
    gaps: Option<Box<Gaps>>,
    /// The pair's QoS.
    pub(crate) qos: u8,
    /// The receiver is a shared subscription, whose members need not keep order among each other.
    is_shared: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Gaps {
    ranges: std::collections::VecDeque<(u32, u32)>,
    given_up: u64,
}

impl Tracker {
    /// A tracker of a pair that has had nothing yet.
    pub(crate) fn new(expected: Expected, is_shared: bool) -> Self {
        let Expected { publisher, qos } = expected;
        Self { publisher, next: 0, duplicated: 0, reordered: 0, gaps: None, qos, is_shared }
    }

    /// Notes the arrival of message `sequence`.
    pub(crate) fn arrive(&mut self, sequence: u32) -> Arrival {
        if sequence == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if sequence > self.next {
            let gaps = self.gaps.get_or_insert_default();
            gaps.ranges.push_back((self.next, sequence));
            if gaps.ranges.len() > GAPS_MAX
                && let Some((from, to)) = gaps.ranges.pop_front()
            {
                gaps.given_up += u64::from(to - from);
            }
            self.next = sequence + 1;
            return Arrival::InOrder;
        }
        if self.gaps.as_mut().is_some_and(|gaps| gaps.fill(sequence)) {
            self.reordered += u32::from(!self.is_shared);
            Arrival::Late
        } else {
            self.duplicated += 1;
            Arrival::Duplicate
        }
    }

    /// Notes that a member of a shared subscription got a message after a later one.
    pub(crate) fn note_reordered_member(&mut self) {
        self.reordered += u32::from(self.is_shared);
    }

    /// True for a shared subscription's.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Messages below the highest that came, that did not.
    pub(crate) fn skipped(&self) -> u64 {
        self.gaps
            .as_ref()
            .map_or(0, |gaps| gaps.given_up + gaps.ranges.iter().map(|(from, to)| u64::from(to - from)).sum::<u64>())
    }

    /// Different messages that came.
    pub(crate) fn received(&self) -> u64 {
        u64::from(self.next) - self.skipped()
    }

    /// Whether message `sequence` came.
    pub(crate) fn has(&self, sequence: u32) -> bool {
        sequence < self.next
            && !self
                .gaps
                .as_ref()
                .is_some_and(|gaps| gaps.ranges.iter().any(|(from, to)| (*from..*to).contains(&sequence)))
    }

    /// Messages of the `sent` first that never came, but for those of `excused`.
    pub(crate) fn lost(&self, sent: u32, excused: &[u32]) -> u64 {
        let missing = u64::from(sent.max(self.next)) - self.received();
        missing - excused.iter().filter(|s| !self.has(**s)).count().min(missing as usize) as u64
    }
}

impl Gaps {
    /// Takes `sequence` out of the ranges; false when it is in none.
    fn fill(&mut self, sequence: u32) -> bool {
        let at = self.ranges.partition_point(|(_, to)| *to <= sequence);
        let Some((from, to)) = self.ranges.get(at).copied().filter(|(from, _)| *from <= sequence) else { return false };
        match (from == sequence, to == sequence + 1) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].0 += 1,
            (false, true) => self.ranges[at].1 -= 1,
            (false, false) => {
                self.ranges[at].1 = sequence;
                self.ranges.insert(at + 1, (sequence + 1, to));
            }
        }
        true
    }
}

/// Everything that one receiver has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trackers {
    /// By publisher.
    list: Box<[Tracker]>,
    /// Where the last message was found: publishers take turns, so the next one is likely behind it.
    last: usize,
}

impl Trackers {
    /// Trackers for the publishers of a receiver, which are in order.
    pub(crate) fn new(publishers: &[Expected], is_shared: bool) -> Self {
        Self { list: publishers.iter().map(|e| Tracker::new(*e, is_shared)).collect(), last: 0 }
    }

    /// The tracker of `publisher`; `None` when no message of it should come here.
    pub(crate) fn find(&mut self, publisher: u32) -> Option<&mut Tracker> {
        let guess = if self.last + 1 < self.list.len() { self.last + 1 } else { 0 };
        self.last = if self.list.get(guess)?.publisher == publisher {
            guess
        } else {
            self.list.binary_search_by_key(&publisher, |t| t.publisher).ok()?
        };
        self.list.get_mut(self.last)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tracker> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrivals::SplitMix;
    use std::collections::BTreeSet;

    const PAIR: Expected = Expected { publisher: 3, qos: 1 };

    fn after(sequences: &[u32]) -> Tracker {
        let mut tracker = Tracker::new(PAIR, false);
        for s in sequences {
            tracker.arrive(*s);
        }
        tracker
    }

    #[test]
    fn rows_of_arrivals() {
        // arrivals, sent -> lost, duplicated, reordered
        let rows: [(&[u32], u32, u64, u32, u32); 7] = [
            (&[], 4, 4, 0, 0),
            (&[0, 1, 2, 3], 4, 0, 0, 0),
            (&[0, 1, 3], 4, 1, 0, 0),
            (&[0, 1, 3, 2], 4, 0, 0, 1),
            (&[0, 1, 1, 2], 4, 1, 1, 0),
            (&[5, 0, 0, 4], 6, 3, 1, 2),
            (&[0, 9, 5, 3, 5], 12, 8, 1, 2),
        ];
        for (sequences, sent, lost, duplicated, reordered) in rows {
            let t = after(sequences);
            assert_eq!((t.lost(sent, &[]), t.duplicated, t.reordered), (lost, duplicated, reordered), "{sequences:?}");
        }
    }

    #[test]
    fn what_was_never_acknowledged_is_excused_only_when_it_is_missing() {
        let t = after(&[0, 1, 3]);
        assert_eq!(t.lost(6, &[2, 5]), 1, "4 is lost, 2 and 5 are excused");
        assert_eq!(t.lost(6, &[0, 1]), 3, "what arrived excuses nothing");
        assert_eq!(t.lost(0, &[]), 1, "a message from the future cannot make the count negative");
    }

    #[test]
    fn against_a_set_that_remembers_everything() {
        let mut rng = SplitMix(42);
        for _ in 0..200 {
            let (mut tracker, mut seen, mut duplicates, mut reordered) =
                (Tracker::new(PAIR, false), BTreeSet::new(), 0, 0);
            for base in 0..100 {
                let sequence = (base + rng.below(9)).saturating_sub(4);
                let late = seen.last().is_some_and(|last| sequence < *last);
                if !seen.insert(sequence) {
                    duplicates += 1;
                } else if late {
                    reordered += 1;
                }
                tracker.arrive(sequence);
                assert_eq!((tracker.duplicated, tracker.reordered), (duplicates, reordered));
            }
            assert_eq!(tracker.received(), seen.len() as u64);
            assert!((0..120).all(|s| tracker.has(s) == seen.contains(&s)));
        }
    }

    #[test]
    fn members_of_a_shared_subscription_keep_no_order_among_each_other() {
        let mut t = Tracker::new(PAIR, true);
        assert_eq!([1, 0].map(|s| t.arrive(s)), [Arrival::InOrder, Arrival::Late]);
        assert_eq!(t.reordered, 0);
        t.note_reordered_member();
        assert_eq!(t.reordered, 1);
    }

    #[test]
    fn publishers_are_found_in_turn_and_at_random() {
        let publishers: Vec<Expected> = [2, 5, 9].map(|publisher| Expected { publisher, qos: 0 }).into();
        let mut trackers = Trackers::new(&publishers, false);
        for publisher in [2, 5, 9, 2, 9, 5, 5] {
            assert_eq!(trackers.find(publisher).map(|t| t.publisher), Some(publisher));
        }
        assert!(trackers.find(4).is_none());
        assert!(Trackers::default().find(1).is_none());
    }

    #[test]
    fn a_tracker_is_small() {
        assert!(size_of::<Tracker>() <= 32, "{}", size_of::<Tracker>());
    }
}
