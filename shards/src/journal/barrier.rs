//! What has to be safe before something may be sent.
//!
//! A barrier is made at the end of a turn in which somebody asked for one. It is open when this shard's log is durable up to
//! where it stood when what the turn appended had been written to it, and every shard that the turn forwarded messages to has
//! said that those are safe. Barriers open in their order, so that one number says for everything whether it may leave.
//!
//! What another shard waits for does not wait for a barrier to open, or two shards that forward to each other would wait for
//! ever: it is told as soon as the log is durable, unless the message was passed on; then it waits for answers of a later
//! [`Lane`], and those of the last wait for the log alone.
//!
//! Depends on `ringtail-storage` for [`Durable`], which only a log can make: without one no barrier opens.

use crate::ShardId;
use ringtail_storage::{Durable, Offset};
use std::collections::VecDeque;

/// The number of a barrier; they grow.
pub(crate) type BarrierId = u64;

/// What is counted apart, because one overtakes the other on its way, or must not wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Messages for subscribers.
    Messages,
    /// Messages to retain.
    Retained,
    /// Messages for shared subscriptions that so many shards have passed over.
    PassedOn(u8),
    /// Those that every shard has passed over.
    LastResort,
}

impl Lane {
    /// Where its counts stand.
    fn index(self) -> usize {
        match self {
            Self::Messages => 0,
            Self::Retained => 1,
            Self::LastResort => 2,
            Self::PassedOn(times) => 3 + usize::from(times),
        }
    }

    /// True when an answer in `other` waits for one in this lane, in the same turn.
    fn holds_up(self, other: Self) -> bool {
        self > other && self > Self::Retained
    }
}

/// So many of a shard's messages, counted from the start.
pub(crate) type Count = (ShardId, Lane, u64);

/// The barriers of a shard.
pub(crate) struct Barriers {
    /// The one that this turn asks for.
    current: BarrierId,
    opened: BarrierId,
    asked: bool,
    /// What the turn sent to other shards and has to wait for.
    needs: Vec<(ShardId, Lane)>,
    /// The shards that this turn took messages of.
    answers: Vec<(ShardId, Lane)>,
    closed: VecDeque<Barrier>,
    failed: bool,
    /// By shard and lane: what was sent to it, what it said is safe, and what was taken of it.
    counts: Box<[Vec<Counts>]>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    sent: u64,
    safe: u64,
    taken: u64,
}

struct Barrier {
    id: BarrierId,
    /// Where the log ended when the turn's records were in it; unknown until they are.
    upto: Option<Offset>,
    needs: Vec<Count>,
    answers: Vec<Count>,
}

impl Barriers {
    pub(crate) fn new(shards: u8) -> Self {
        Self {
            current: 1,
            opened: 0,
            asked: false,
            needs: Vec::new(),
            answers: Vec::new(),
            closed: VecDeque::new(),
            failed: false,
            counts: vec![Vec::new(); usize::from(shards)].into(),
        }
    }

    /// The barrier that what this turn has appended lies behind.
    pub(crate) fn ask(&mut self) -> BarrierId {
        self.asked = true;
        self.current
    }

    /// Everything behind barriers up to this one may leave.
    pub(crate) fn opened(&self) -> BarrierId {
        self.opened
    }

    /// A message was sent to another shard; with `wait` this turn's barrier waits until it is safe there.
    pub(crate) fn sent(&mut self, to: ShardId, lane: Lane, wait: bool) {
        self.counts_mut(to, lane).sent += 1;
        if wait {
            note(&mut self.needs, to, lane);
        }
    }

    fn counts_mut(&mut self, shard: ShardId, lane: Lane) -> &mut Counts {
        let counts = &mut self.counts[usize::from(shard)];
        if counts.len() <= lane.index() {
            counts.resize(lane.index() + 1, Counts::default());
        }
        &mut counts[lane.index()]
    }

    fn counts(&self, shard: ShardId, lane: Lane) -> Counts {
        self.counts[usize::from(shard)].get(lane.index()).copied().unwrap_or_default()
    }

    /// True when this turn waits for another shard.
    pub(crate) fn waits_for_others(&self) -> bool {
        !self.needs.is_empty()
    }

    /// A message of another shard was taken, which wants to know when it is safe.
    pub(crate) fn taken(&mut self, from: ShardId, lane: Lane) {
        self.counts_mut(from, lane).taken += 1;
        note(&mut self.answers, from, lane);
        self.asked = true;
    }

    /// Another shard says how many of this one's messages are safe.
    pub(crate) fn is_safe(&mut self, (from, lane, count): Count) {
        let safe = &mut self.counts_mut(from, lane).safe;
        *safe = count.max(*safe);
    }

    /// The turn is over.
    pub(crate) fn end_turn(&mut self) {
        let (needs, answers) = (std::mem::take(&mut self.needs), std::mem::take(&mut self.answers));
        if !std::mem::take(&mut self.asked) {
            return;
        }
        let needs = self.count(needs, |counts| counts.sent);
        let answers = self.count(answers, |counts| counts.taken);
        self.closed.push_back(Barrier { id: self.current, upto: None, needs, answers });
        self.current += 1;
    }

    fn count(&self, shards: Vec<(ShardId, Lane)>, count: impl Fn(&Counts) -> u64) -> Vec<Count> {
        shards.into_iter().map(|(shard, lane)| (shard, lane, count(&self.counts(shard, lane)))).collect()
    }

    /// Everything that the turns so far appended is in the log, which ends at `tail`.
    pub(crate) fn written(&mut self, tail: Offset) {
        for barrier in self.closed.iter_mut().rev().take_while(|barrier| barrier.upto.is_none()) {
            barrier.upto = Some(tail);
        }
    }

    /// Opens what can be opened, and says which shards are to be told how many of their messages are safe.
    pub(crate) fn open(&mut self, durable: Durable, mut tell: impl FnMut(Count)) -> bool {
        self.answer(&durable, &mut tell);
        let before = self.opened;
        while let Some(barrier) = self.closed.front() {
            let here = self.is_here(barrier, &durable);
            if !here || barrier.needs.iter().any(|need| self.is_missing(need)) {
                break;
            }
            self.opened = barrier.id;
            self.closed.pop_front();
        }
        self.opened > before
    }

    /// True when what the turn left here waits for nothing.
    fn is_here(&self, barrier: &Barrier, durable: &Durable) -> bool {
        self.failed || barrier.upto.is_some_and(|upto| durable.reaches(upto))
    }

    fn is_missing(&self, (shard, lane, sent): &Count) -> bool {
        self.counts(*shard, *lane).safe < *sent
    }

    /// Tells what is safe here; in each lane in the order of the turns, since a count says the same of all before it.
    fn answer(&mut self, durable: &Durable, tell: &mut impl FnMut(Count)) {
        let mut closed = std::mem::take(&mut self.closed);
        let mut held_up: Option<Lane> = None; // and those before it
        for barrier in &mut closed {
            if !self.is_here(barrier, durable) {
                break;
            }
            if barrier.answers.is_empty() {
                continue;
            }
            let missing = barrier.needs.iter().filter(|need| self.is_missing(need)).map(|(_, lane, _)| *lane);
            let last_missing = missing.max();
            barrier.answers.retain(|answer| {
                let (_, lane, _) = *answer;
                let waits = last_missing.is_some_and(|missing| missing.holds_up(lane));
                if waits {
                    held_up = held_up.max(Some(lane));
                }
                let told = held_up.is_none_or(|held_up| lane > held_up);
                if told {
                    tell(*answer);
                }
                !told
            });
        }
        self.closed = closed;
    }

    /// The log has failed. What waits for it is not to be told, which is the caller's to see to; what comes from now on has
    /// been refused where it had to be kept, and waits for nothing.
    pub(crate) fn fail(&mut self) {
        self.closed.clear();
        self.opened = self.current;
        self.failed = true;
    }

    /// True when something waits for the log.
    pub(crate) fn wait_for_log(&self) -> bool {
        self.closed.back().is_some_and(|barrier| barrier.upto.is_none())
    }
}

fn note(shards: &mut Vec<(ShardId, Lane)>, shard: ShardId, lane: Lane) {
    if !shards.contains(&(shard, lane)) {
        shards.push((shard, lane));
    }
}
