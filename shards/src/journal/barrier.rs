//! What has to be safe before something may be sent.
//!
//! A barrier is made at the end of a turn in which somebody asked for one. It is open when this shard's log is durable up to
//! where it stood when what the turn appended had been written to it, and every shard that the turn forwarded messages to has
//! said that those are safe. Barriers open in their order, so that one number says for everything whether it may leave.
//!
//! What another shard is told of its own messages waits for this shard's log alone, and for what those messages made this shard
//! pass on: were it behind a barrier, two shards whose clients publish to one another would wait for each other for ever.
//!
//! An identifier of QoS 2 whose message went to other shards is written last, when the message is safe there. Were it on disk
//! first, a crash in between would leave a broker that takes the message sent again for one that it has delivered.
//!
//! Depends on `ringtail-storage` for [`Durable`], which only a log can make: without one no barrier opens.

use crate::{ShardId, ShardSet};
use ringtail_mqtt::packet::PacketId;
use ringtail_storage::{Durable, Offset, Reserved};
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
    /// The shards that the publication under way was sent to and has to wait for.
    passed_on: [ShardSet; 2],
    /// The shards that this turn took messages of, with those that the messages were passed on to.
    taken: Vec<(ShardId, Lane, [ShardSet; 2])>,
    /// Identifiers that this turn took, to be written when what the turn sent is safe.
    held: Vec<HeldLater>,
    closed: VecDeque<Barrier>,
    /// Barriers that have such identifiers.
    holding: usize,
    /// What other shards are to be told, for each of them in its order.
    answers: VecDeque<Answer>,
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
    held: Vec<HeldLater>,
}

/// A QoS 2 identifier of a session, with the room that its record will take.
pub(super) struct HeldLater {
    pub session: u64,
    pub packet_id: PacketId,
    pub reserved: Reserved,
}

/// So many of another shard's messages are safe, once the log ends behind `upto` and those that were passed on are safe.
struct Answer {
    told: Count,
    upto: Option<Offset>,
    needs: Vec<Count>,
}

impl Barriers {
    pub(crate) fn new(shards: u8) -> Self {
        Self {
            current: 1,
            opened: 0,
            asked: false,
            needs: Default::default(),
            passed_on: Default::default(),
            taken: Vec::new(),
            held: Vec::new(),
            closed: VecDeque::new(),
            holding: 0,
            answers: VecDeque::new(),
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
            self.passed_on[lane as usize].insert(to);
        }
    }

    /// A publication begins.
    pub(crate) fn begin_publication(&mut self) {
        self.passed_on = Default::default();
    }

    /// True when the publication under way waits for another shard.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.passed_on.iter().any(|to| !to.is_empty())
    }

    /// The identifier of the publication under way, which waits for another shard, is to be written later.
    pub(super) fn hold_later(&mut self, held: HeldLater) {
        self.asked = true;
        self.held.push(held);
    }

    /// True when this turn waits for another shard.
    pub(crate) fn waits_for_others(&self) -> bool {
        self.needs.iter().any(|needs| !needs.is_empty())
    }

    /// A message of another shard was taken, which wants to know when it is safe.
    pub(crate) fn taken(&mut self, from: ShardId, lane: Lane) {
        self.counts[usize::from(from)][lane as usize].taken += 1;
        let passed_on = std::mem::take(&mut self.passed_on);
        match self.taken.iter_mut().find(|(other, of, _)| (*other, *of) == (from, lane)) {
            Some((.., to)) => {
                LANES.into_iter().for_each(|lane| to[lane as usize] = to[lane as usize].union(passed_on[lane as usize]))
            }
            None => self.taken.push((from, lane, passed_on)),
        }
    }

    /// Another shard says how many of this one's messages are safe.
    pub(crate) fn is_safe(&mut self, (from, lane, count): Count) {
        let safe = &mut self.counts[usize::from(from)][lane as usize].safe;
        *safe = count.max(*safe);
    }

    /// The turn is over.
    pub(crate) fn end_turn(&mut self) {
        let needs = std::mem::take(&mut self.needs);
        for (from, lane, passed_on) in std::mem::take(&mut self.taken) {
            let told = (from, lane, self.counts[usize::from(from)][lane as usize].taken);
            self.answers.push_back(Answer { told, upto: None, needs: self.sent_to(passed_on) });
        }
        if std::mem::take(&mut self.asked) {
            let held = std::mem::take(&mut self.held);
            self.holding += usize::from(!held.is_empty());
            self.closed.push_back(Barrier { id: self.current, upto: None, needs: self.sent_to(needs), held });
            self.current += 1;
        }
    }

    /// All that these shards were sent so far.
    fn sent_to(&self, shards: [ShardSet; 2]) -> Vec<Count> {
        let each = LANES.into_iter().zip(shards).flat_map(|(lane, shards)| shards.map(move |shard| (shard, lane)));
        each.map(|(shard, lane)| (shard, lane, self.counts[usize::from(shard)][lane as usize].sent)).collect()
    }

    /// The identifiers whose time has come: to be written before [`Self::written`] is called next.
    pub(super) fn take_held(&mut self) -> Vec<HeldLater> {
        let mut due = Vec::new();
        for at in 0..if self.holding > 0 { self.closed.len() } else { 0 } {
            if !self.closed[at].held.is_empty() && self.are_safe(&self.closed[at].needs) {
                self.closed[at].upto = None;
                due.append(&mut self.closed[at].held);
                self.holding -= 1;
            }
        }
        due
    }

    /// Everything that the turns so far appended is in the log, which ends at `tail`.
    pub(crate) fn written(&mut self, tail: Offset) {
        // Those in the middle that are not known had identifiers to write.
        let barriers = self.closed.iter_mut().map(|barrier| &mut barrier.upto);
        barriers.filter(|upto| upto.is_none()).for_each(|upto| *upto = Some(tail));
        let answers = self.answers.iter_mut().rev().map(|answer| &mut answer.upto);
        answers.take_while(|upto| upto.is_none()).for_each(|upto| *upto = Some(tail));
    }

    /// Opens what can be opened, and says which shards are to be told how many of their messages are safe.
    pub(crate) fn open(&mut self, durable: Durable, tell: impl FnMut(Count)) -> bool {
        self.answer(durable, tell);
        let before = self.opened;
        while let Some(barrier) = self.closed.front() {
            if !barrier.held.is_empty() || !reaches(durable, barrier.upto) || !self.are_safe(&barrier.needs) {
                break;
            }
            self.opened = barrier.id;
            self.closed.pop_front();
        }
        self.opened > before
    }

    /// Tells other shards what can be told. One that cannot be told yet keeps no other waiting.
    fn answer(&mut self, durable: Durable, mut tell: impl FnMut(Count)) {
        let mut waiting = [ShardSet::default(); 2];
        let on_disk = self.answers.iter().take_while(|answer| reaches(durable, answer.upto)).count();
        let mut left = Vec::new();
        for _ in 0..on_disk {
            let Some(answer) = self.answers.pop_front() else { break };
            let (to, lane, _) = answer.told;
            let waits = &mut waiting[lane as usize];
            if !waits.contains(to) && self.are_safe(&answer.needs) {
                tell(answer.told);
            } else {
                waits.insert(to);
                left.push(answer);
            }
        }
        left.into_iter().rev().for_each(|answer| self.answers.push_front(answer));
    }

    fn are_safe(&self, needs: &[Count]) -> bool {
        needs.iter().all(|(shard, lane, sent)| self.counts[usize::from(*shard)][*lane as usize].safe >= *sent)
    }

    /// True when something waits for the log.
    pub(crate) fn wait_for_log(&self) -> bool {
        self.closed.back().is_some_and(|barrier| barrier.upto.is_none())
            || self.answers.back().is_some_and(|answer| answer.upto.is_none())
    }
}

fn reaches(durable: Durable, upto: Option<Offset>) -> bool {
    upto.is_some_and(|upto| durable.reaches(upto))
}
