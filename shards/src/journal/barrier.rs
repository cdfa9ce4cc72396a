//! What has to be safe before something may be sent.
//!
//! A barrier is made at the end of a turn in which somebody asked for one. It is open when this shard's log is durable up to
//! where it stood when what the turn appended had been written to it, and every shard that the turn forwarded messages to has
//! said that those are safe. Barriers open in their order, so that one number says for everything whether it may leave.
//!
//! Depends on `ringtail-storage` for [`Durable`], which only a log can make: without one no barrier opens.

use crate::{ShardId, ShardSet};
use ringtail_storage::{Durable, Offset};
use std::collections::VecDeque;

/// The number of a barrier; they grow.
pub(crate) type BarrierId = u64;

/// What is counted apart, because one overtakes the other on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Messages for subscribers.
    Messages,
    /// Messages to retain.
    Retained,
}

const LANES: [Lane; 2] = [Lane::Messages, Lane::Retained];

/// So many of a shard's messages, counted from the start.
pub(crate) type Count = (ShardId, Lane, u64);

/// The barriers of a shard.
pub(crate) struct Barriers {
    /// The one that this turn asks for.
    current: BarrierId,
    opened: BarrierId,
    asked: bool,
    /// What the turn sent to other shards and has to wait for.
    needs: [ShardSet; 2],
    /// The shards that this turn took messages of.
    answers: [ShardSet; 2],
    closed: VecDeque<Barrier>,
    failed: bool,
    /// By shard: what was sent to it, what it said is safe, and what was taken of it.
    counts: Box<[[Counts; 2]]>,
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
            needs: Default::default(),
            answers: Default::default(),
            closed: VecDeque::new(),
            failed: false,
            counts: vec![Default::default(); usize::from(shards)].into(),
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
        self.counts[usize::from(to)][lane as usize].sent += 1;
        if wait {
            self.needs[lane as usize].insert(to);
        }
    }

    /// True when this turn waits for another shard.
    pub(crate) fn waits_for_others(&self) -> bool {
        self.needs.iter().any(|needs| !needs.is_empty())
    }

    /// A message of another shard was taken, which wants to know when it is safe.
    pub(crate) fn taken(&mut self, from: ShardId, lane: Lane) {
        self.counts[usize::from(from)][lane as usize].taken += 1;
        self.answers[lane as usize].insert(from);
        self.asked = true;
    }

    /// Another shard says how many of this one's messages are safe.
    pub(crate) fn is_safe(&mut self, (from, lane, count): Count) {
        let safe = &mut self.counts[usize::from(from)][lane as usize].safe;
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

    fn count(&self, shards: [ShardSet; 2], count: impl Fn(&Counts) -> u64) -> Vec<Count> {
        let lanes = LANES.into_iter().zip(shards);
        let each = lanes.flat_map(|(lane, shards)| shards.map(move |shard| (shard, lane)));
        each.map(|(shard, lane)| (shard, lane, count(&self.counts[usize::from(shard)][lane as usize]))).collect()
    }

    /// Everything that the turns so far appended is in the log, which ends at `tail`.
    pub(crate) fn written(&mut self, tail: Offset) {
        for barrier in self.closed.iter_mut().rev().take_while(|barrier| barrier.upto.is_none()) {
            barrier.upto = Some(tail);
        }
    }

    /// Opens what can be opened, and says which shards are to be told how many of their messages are safe.
    pub(crate) fn open(&mut self, durable: Durable, mut tell: impl FnMut(Count)) -> bool {
        let before = self.opened;
        while let Some(barrier) = self.closed.front() {
            let here = self.failed || barrier.upto.is_some_and(|upto| durable.reaches(upto));
            let safe = |shard: ShardId, lane: Lane| self.counts[usize::from(shard)][lane as usize].safe;
            if !here || barrier.needs.iter().any(|(shard, lane, sent)| safe(*shard, *lane) < *sent) {
                break;
            }
            self.opened = barrier.id;
            barrier.answers.iter().copied().for_each(&mut tell);
            self.closed.pop_front();
        }
        self.opened > before
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
