//! What has to be safe before something may be sent.
//!
//! A barrier is made at the end of a turn in which somebody asked for one. It is open when this shard's log is durable up to
//! where it stood when what the turn appended had been written to it, and every shard that the turn sent messages to has said
//! that those are safe. Barriers open in their order, so that one number says for everything whether it may leave.
//!
//! What other shards are told of their messages waits for this shard's log, and for the next hop where a message was passed
//! on, but never for this shard's own publishers: two shards that publish to each other must not wait in a circle.
//!
//! Depends on `ringtail-storage` for [`Durable`], which only a log can make: without one no barrier opens.

use super::pending::Pending;
use crate::{ShardId, ShardSet};
use ringtail_storage::{Durable, Offset};
use std::collections::VecDeque;

/// The number of a barrier; they grow.
pub(crate) type BarrierId = u64;

/// What is counted apart, because one overtakes the other on its way, or waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Messages for subscribers, from the publisher's shard.
    Messages,
    /// Messages for a shared subscription that were passed on once,
    PassedOnce,
    /// twice,
    PassedTwice,
    /// and for the last time.
    PassedLast,
    /// Messages to retain.
    Retained,
}

const LANES: [Lane; 5] = [Lane::Messages, Lane::PassedOnce, Lane::PassedTwice, Lane::PassedLast, Lane::Retained];

impl Lane {
    /// Times that a message is passed on at most.
    pub(crate) const PASSES_MAX: usize = 3;

    /// The lane of a message that was passed on so many times.
    pub(crate) const fn passed(times: usize) -> Self {
        match times {
            0 => Self::Messages,
            1 => Self::PassedOnce,
            2 => Self::PassedTwice,
            _ => Self::PassedLast,
        }
    }

    /// Where a message of this lane goes when it is passed on.
    const fn next(self) -> Option<Self> {
        match self {
            Self::Messages => Some(Self::PassedOnce),
            Self::PassedOnce => Some(Self::PassedTwice),
            Self::PassedTwice => Some(Self::PassedLast),
            Self::PassedLast | Self::Retained => None,
        }
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
    /// What the turn sent to other shards and has to wait for, by lane.
    needs: [ShardSet; LANES.len()],
    /// The shards that this turn took messages of, by lane.
    answers: [ShardSet; LANES.len()],
    /// What is to be written when the turn's messages are safe elsewhere.
    afterwards: Vec<Pending>,
    closed: VecDeque<Barrier>,
    unanswered: [VecDeque<Answer>; LANES.len()],
    failed: bool,
    /// By shard: what was sent to it, what it said is safe, and what was taken of it.
    counts: Box<[[Counts; LANES.len()]]>,
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
    afterwards: Vec<Pending>,
}

struct Answer {
    upto: Option<Offset>,
    needs: Vec<Count>,
    counts: Vec<Count>,
}

impl Barriers {
    pub(crate) fn new(shards: u8) -> Self {
        Self {
            current: 1,
            opened: 0,
            asked: false,
            needs: Default::default(),
            answers: Default::default(),
            afterwards: Vec::new(),
            closed: VecDeque::new(),
            unanswered: Default::default(),
            failed: false,
            counts: vec![Default::default(); usize::from(shards)].into(),
        }
    }

    /// The barrier that what this turn has appended lies behind.
    pub(crate) fn ask(&mut self) -> BarrierId {
        self.asked = true;
        self.current
    }

    /// As [`Barriers::ask`], for what is to be written once the turn's messages are safe elsewhere.
    pub(super) fn ask_afterwards(&mut self, pending: Pending) {
        self.asked = true;
        self.afterwards.push(pending);
    }

    /// As [`Barriers::ask_afterwards`], once all messages that were ever sent are safe elsewhere.
    pub(super) fn ask_after_all(&mut self, pending: Pending) {
        for (shard, lanes) in self.counts.iter().enumerate() {
            for lane in LANES.into_iter().filter(|lane| lanes[*lane as usize].safe < lanes[*lane as usize].sent) {
                self.needs[lane as usize].insert(shard as ShardId);
            }
        }
        self.ask_afterwards(pending);
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
    }

    /// Another shard says how many of this one's messages are safe.
    pub(crate) fn is_safe(&mut self, (from, lane, count): Count) {
        let safe = &mut self.counts[usize::from(from)][lane as usize].safe;
        *safe = count.max(*safe);
    }

    /// The turn is over.
    pub(crate) fn end_turn(&mut self) {
        let (needs, answers) = (std::mem::take(&mut self.needs), std::mem::take(&mut self.answers));
        for (lane, shards) in LANES.into_iter().zip(answers) {
            if !shards.is_empty() {
                let needs = lane.next().map(|next| self.count(next, needs[next as usize], |counts| counts.sent));
                let counts = self.count(lane, shards, |counts| counts.taken);
                let answer = Answer { upto: None, needs: needs.unwrap_or_default(), counts };
                self.unanswered[lane as usize].push_back(answer);
            }
        }
        if std::mem::take(&mut self.asked) {
            let each = LANES.into_iter().zip(needs);
            let needs = each.flat_map(|(lane, shards)| self.count(lane, shards, |counts| counts.sent)).collect();
            let afterwards = std::mem::take(&mut self.afterwards);
            self.closed.push_back(Barrier { id: self.current, upto: None, needs, afterwards });
            self.current += 1;
        }
    }

    fn count(&self, lane: Lane, shards: ShardSet, count: impl Fn(&Counts) -> u64) -> Vec<Count> {
        shards.map(|shard| (shard, lane, count(&self.counts[usize::from(shard)][lane as usize]))).collect()
    }

    /// Everything that the turns so far appended is in the log, which ends at `tail`.
    pub(crate) fn written(&mut self, tail: Offset) {
        for barrier in self.closed.iter_mut().rev().filter(|barrier| barrier.upto.is_none()) {
            barrier.upto = Some(tail);
        }
        for answer in self.unanswered.iter_mut().flatten().filter(|answer| answer.upto.is_none()) {
            answer.upto = Some(tail);
        }
    }

    /// What is to be written now that the messages of its turn are safe elsewhere; its barrier waits for the log again.
    pub(super) fn take_afterwards(&mut self) -> Vec<Pending> {
        let Self { closed, counts, .. } = self;
        let mut due = Vec::new();
        for barrier in closed.iter_mut().filter(|barrier| !barrier.afterwards.is_empty()) {
            if are_safe(counts, &barrier.needs) {
                barrier.upto = None;
                due.append(&mut barrier.afterwards);
            }
        }
        due
    }

    /// Opens what can be opened, and says which shards are to be told how many of their messages are safe.
    pub(crate) fn open(&mut self, durable: Durable, mut tell: impl FnMut(Count)) -> bool {
        let Self { closed, unanswered, counts, failed, .. } = self;
        let is_durable = |upto: Option<Offset>| *failed || upto.is_some_and(|upto| durable.reaches(upto));
        for answers in unanswered {
            while answers.front().is_some_and(|a| is_durable(a.upto) && are_safe(counts, &a.needs)) {
                answers.pop_front().into_iter().flat_map(|answer| answer.counts).for_each(&mut tell);
            }
        }
        let opens = |b: &Barrier| b.afterwards.is_empty() && is_durable(b.upto) && are_safe(counts, &b.needs);
        let before = self.opened;
        while let Some(barrier) = closed.front().filter(|barrier| opens(barrier)) {
            self.opened = barrier.id;
            closed.pop_front();
        }
        self.opened > before
    }

    /// The log has failed. What waits for it is not to be told, which is the caller's to see to; what comes from now on has
    /// been refused where it had to be kept, and waits for other shards only. Returns what other shards are to be told, so that
    /// they do not wait for ever either.
    pub(crate) fn fail(&mut self) -> Vec<Count> {
        self.failed = true;
        self.closed.clear();
        self.afterwards.clear();
        self.needs = Default::default();
        self.asked = false;
        self.unanswered = Default::default();
        self.answers = Default::default();
        let all = self.counts.iter().enumerate();
        let each =
            all.flat_map(|(shard, lanes)| LANES.map(|lane| (shard as ShardId, lane, lanes[lane as usize].taken)));
        each.filter(|(_, _, taken)| *taken > 0).collect()
    }

    /// Nobody waits any longer for what the log has failed to keep: what is asked for from here on is another matter.
    pub(crate) fn open_all(&mut self) {
        self.opened = self.current;
        self.current += 1;
    }

    /// True when something waits for the log.
    pub(crate) fn wait_for_log(&self) -> bool {
        self.closed.iter().any(|barrier| barrier.upto.is_none())
            || self.unanswered.iter().flatten().any(|answer| answer.upto.is_none())
    }
}

fn are_safe(counts: &[[Counts; LANES.len()]], needs: &[Count]) -> bool {
    needs.iter().all(|(shard, lane, sent)| counts[usize::from(*shard)][*lane as usize].safe >= *sent)
}

#[cfg(test)]
mod tests {
    use super::super::pending::What;
    use super::*;

    #[test]
    fn what_waits_for_all_is_written_when_messages_of_earlier_turns_are_safe() {
        let mut barriers = Barriers::new(2);
        for lane in [Lane::Messages, Lane::PassedTwice] {
            barriers.sent(1, lane, true);
            barriers.ask();
            barriers.end_turn();
        }
        barriers.ask_after_all(Pending { what: What::Done, key: 7, reserved: None });
        barriers.end_turn();
        assert!(barriers.take_afterwards().is_empty());
        barriers.is_safe((1, Lane::PassedTwice, 1));
        assert!(barriers.take_afterwards().is_empty());
        barriers.is_safe((1, Lane::Messages, 1));
        assert_eq!(barriers.take_afterwards().iter().map(|pending| pending.key).collect::<Vec<_>>(), [7]);
    }
}
