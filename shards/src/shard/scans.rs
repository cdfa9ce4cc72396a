//! Which scans for retained messages are under way, whose turn it is, and what comes to their subscribers anyway.
//!
//! A session has one scan, whatever number of its filters wait in it: so it has one question to another shard at most, and
//! its subscriptions bound what is kept here. Options are not kept: the subscription has them, and without it nobody wants
//! the messages.
//!
//! A message that is published to be retained must come once to a subscriber that subscribes at about the same time: as it
//! is published when the subscription is there, as retained when it is not [MQTT-3.3.1-9]. Several shards have a part in
//! that: the one that routes the message, the one that keeps it, and the subscriber's.
//!
//! ```text
//!   subscriber's shard    SUBSCRIBE ─ announcement, fence? ──> every shard that routes
//!                         <────── what was published before, its count sent to each keeper
//!                         from here on: of up to that count ask the keeper; what is beyond comes by itself
//! ```
//! So before a filter's scan begins, a [`Fence`] goes to all shards and back. A shard that answers knows the subscription,
//! so what it routes afterwards comes to the subscriber, and the keeper is not to be believed when it says the same. What
//! it routed before either came (rings keep their order, so it came before the answer, and is noted) or is the keeper's to
//! tell, once the keeper has taken that much. Subscriptions that come while a fence is out share the next one.
//!
//! The notes also keep a value that holds no more from coming after the one that replaced it: the keeper may not have taken
//! that yet when it is asked.

use crate::ShardId;
use crate::routing::{Cursor, FilterId};
use crate::shard::retentions::{Fence, Tag};
use ringtail_mqtt::message::Message;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

/// Messages that are noted while no fence is out; twice as many while one is. When there are more, what came after the last
/// fence goes, and what was asked before is asked again.
const NOTES_MAX: usize = 16_384;

/// The scans of a shard's subscribers.
#[derive(Default)]
pub(crate) struct Scans {
    by_session: HashMap<u32, Scan>,
    /// Sessions whose scan may be able to go on.
    ready: VecDeque<u32>,
    /// Counts what is asked for, by subscribers and of other shards.
    moment: u64,
    /// Sessions that have subscribed since the last fence began.
    unfenced: BTreeSet<u32>,
    fencing: Option<Fencing>,
    /// The last fence that has come back.
    fence: Option<Rc<Fence>>,
    /// By the hash of its topic and the shard that routed it, the last message that was published to be retained.
    notes: HashMap<(u64, ShardId), Noted>,
    /// Up to this moment notes may have been forgotten.
    forgotten: u64,
}

/// The scans of one session, one after the other.
#[derive(Default)]
struct Scan {
    /// The filters whose fence is still to come back, and when each was subscribed to.
    unfenced: BTreeMap<FilterId, u64>,
    /// The filters whose turn is still to come, when each was subscribed to, and the last fence that came back for one of
    /// them: it serves the others as well, since what came live before it is noted.
    waiting: BTreeMap<FilterId, u64>,
    fence: Option<Rc<Fence>>,
    current: Option<Current>,
    /// The moment of the question whose answer is to come.
    asked: Option<u64>,
    is_ready: bool,
}

/// What the scan for a filter is to find.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Begin {
    /// When it was subscribed to.
    since: u64,
    fence: Rc<Fence>,
}

/// A fence that is out.
struct Fencing {
    /// When it began; names it.
    moment: u64,
    sessions: BTreeSet<u32>,
    fence: Fence,
    /// How many shards have not answered.
    missing: u8,
}

/// When a message was routed here, and as which of its shard.
struct Noted {
    moment: u64,
    count: u64,
    keeper: ShardId,
}

/// How far the scan for a filter is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Current {
    pub filter: FilterId,
    begin: Begin,
    pub place: Place,
}

/// Where a scan goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The shard to ask next.
    pub shard: ShardId,
    /// The last shard to ask.
    pub last: ShardId,
    /// The last topic that was looked at there.
    pub after: Option<Cursor>,
}

impl Place {
    /// The place after a slice that ended at `after`; `None` after the last.
    pub(crate) fn next(self, after: Option<Cursor>) -> Option<Self> {
        match after {
            Some(_) => Some(Self { after, ..self }),
            None if self.shard < self.last => Some(Self { shard: self.shard + 1, after: None, ..self }),
            None => None,
        }
    }
}

impl Current {
    /// Whether the shard that is asked knows enough to answer, when it has `taken` so many messages from each shard.
    pub(crate) fn is_answerable(&self, taken: &[u64]) -> bool {
        self.begin.fence.is_reached(self.place.shard, taken)
    }
}

impl Scans {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_session.is_empty()
    }

    /// Whether a session has a scan that has not ended.
    pub(crate) fn is_under_way(&self, session: u32) -> bool {
        self.by_session.contains_key(&session)
    }

    /// Whether a scan may be able to go on.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A session has subscribed to a filter. If it is scanned for already, that begins anew.
    pub(crate) fn add(&mut self, session: u32, filter: FilterId) {
        self.moment += 1;
        self.forget_filter(session, filter);
        self.by_session.entry(session).or_default().unfenced.insert(filter, self.moment);
        self.unfenced.insert(session);
    }

    /// Begins a fence, unless one is out or nobody needs one: `sent` is what this shard, `id` of `shards`, has sent. What is
    /// returned names the fence.
    pub(crate) fn begin_fence(&mut self, id: ShardId, shards: u8, sent: &[u64]) -> Option<u64> {
        if self.fencing.is_some() || self.unfenced.is_empty() {
            return None;
        }
        self.moment += 1;
        let sessions = std::mem::take(&mut self.unfenced);
        let fence = Fence::new(shards);
        self.fencing = Some(Fencing { moment: self.moment, sessions, fence, missing: shards });
        self.fenced(self.moment, id, sent);
        Some(self.moment)
    }

    /// A shard answers the fence of `moment`.
    pub(crate) fn fenced(&mut self, moment: u64, origin: ShardId, sent: &[u64]) {
        let Some(fencing) = self.fencing.as_mut().filter(|fencing| fencing.moment == moment) else { return };
        fencing.fence.note(origin, sent);
        fencing.missing -= 1;
        if fencing.missing > 0 {
            return;
        }
        let Some(Fencing { sessions, fence, .. }) = self.fencing.take() else { return };
        let fence = Rc::new(fence);
        self.fence = Some(Rc::clone(&fence));
        for session in sessions {
            let Some(scan) = self.by_session.get_mut(&session) else { continue };
            let waiting = &mut scan.waiting;
            scan.unfenced.retain(|filter, since| {
                let is_before = *since < moment;
                if is_before {
                    waiting.insert(*filter, *since);
                }
                !is_before
            });
            scan.fence = Some(Rc::clone(&fence));
            self.wake(session);
        }
    }

    /// The session wants no more of the scan for `filter`.
    pub(crate) fn forget_filter(&mut self, session: u32, filter: FilterId) {
        if let Some(scan) = self.by_session.get_mut(&session) {
            scan.unfenced.remove(&filter);
            scan.waiting.remove(&filter);
            scan.current.take_if(|current| current.filter == filter);
        }
    }

    /// The session wants no more of any scan.
    pub(crate) fn forget(&mut self, session: u32) {
        if self.by_session.remove(&session).is_some() && self.by_session.is_empty() {
            *self = Self { moment: self.moment, ..Self::default() };
        }
    }

    /// A session may have room again.
    pub(crate) fn wake(&mut self, session: u32) {
        if let Some(scan) = self.by_session.get_mut(&session)
            && !std::mem::replace(&mut scan.is_ready, true)
        {
            self.ready.push_back(session);
        }
    }

    /// The next session whose scan may be able to go on.
    pub(crate) fn next_ready(&mut self) -> Option<u32> {
        let session = self.ready.pop_front()?;
        if let Some(scan) = self.by_session.get_mut(&session) {
            scan.is_ready = false;
        }
        Some(session)
    }

    /// What a session's scan is at; it begins with the next filter when it is at none. `begin` says where the scan for a
    /// filter starts, or that it is wanted no more. `None` while an answer or a fence is to come, and when there is no scan.
    pub(crate) fn current(
        &mut self,
        session: u32,
        mut place: impl FnMut(FilterId) -> Option<Place>,
    ) -> Option<&mut Current> {
        let scan = self.by_session.get_mut(&session)?;
        if scan.asked.is_some() {
            return None;
        }
        while scan.current.is_none()
            && let Some(fence) = &scan.fence
            && let Some((filter, since)) = scan.waiting.pop_first()
        {
            let begin = Begin { since, fence: Rc::clone(fence) };
            scan.current = place(filter).map(|place| Current { filter, begin, place });
        }
        if scan.current.is_none() {
            if scan.unfenced.is_empty() {
                self.forget(session);
            }
            return None;
        }
        self.by_session.get_mut(&session)?.current.as_mut()
    }

    /// The scan goes on after a slice that ended at `after`.
    pub(crate) fn go_on(&mut self, session: u32, after: Option<Cursor>) {
        let Some(scan) = self.by_session.get_mut(&session) else { return };
        scan.current = scan.current.take().and_then(|current| {
            let Current { filter, begin, place } = current;
            Some(Current { filter, begin, place: place.next(after)? })
        });
        self.wake(session);
    }

    /// Another shard is asked. What is returned names the question.
    pub(crate) fn ask(&mut self, session: u32) -> u64 {
        self.moment += 1;
        if let Some(scan) = self.by_session.get_mut(&session) {
            scan.asked = Some(self.moment);
        }
        self.moment
    }

    /// The answer to a question has come from a shard that has `taken` so many messages from each. `None` when nobody wants
    /// it any more, or when it has to be asked again.
    pub(crate) fn answered(&mut self, session: u32, asked: u64, taken: &[u64]) -> Option<Current> {
        let scan = self.by_session.get_mut(&session)?;
        scan.asked.take_if(|of_scan| *of_scan == asked)?;
        let is_good = |current: &Current| asked > self.forgotten && current.is_answerable(taken);
        let current = scan.current.clone().filter(is_good);
        if current.is_none() {
            self.wake(session);
        }
        current
    }

    /// A message was published to be retained, and is routed here; `topic_hash` is that of its topic.
    pub(crate) fn note(&mut self, topic_hash: u64, tag: Tag, keeper: ShardId) {
        if self.notes.len() >= NOTES_MAX {
            self.forget_notes();
        }
        self.notes.insert((topic_hash, tag.origin()), Noted { moment: self.moment, count: tag.count(), keeper });
    }

    /// Makes room for notes. Of what came after the last fence no scan needs a note, but for those that still need a fence.
    fn forget_notes(&mut self) {
        let is_fenced = self.fencing.is_none() && self.unfenced.is_empty();
        if !is_fenced && self.notes.len() < 2 * NOTES_MAX {
            return;
        }
        if let Some(fence) = self.fence.as_ref().filter(|_| is_fenced) {
            self.notes.retain(|(_, origin), noted| fence.is_after(Tag::new(*origin, noted.count), noted.keeper));
        }
        if !is_fenced || self.notes.len() > NOTES_MAX / 2 {
            self.notes.clear();
        }
        self.forgotten = self.moment;
    }

    /// Leaves of the messages that their keeper has found those that are to be given to the subscriber. The keeper had `taken`
    /// so many from each shard.
    pub(crate) fn strike_out<M: Borrow<Message>>(
        &self,
        current: &Current,
        messages: &mut Vec<(M, Tag)>,
        hash_topic: impl Fn(&str) -> u64,
        taken: &[u64],
    ) {
        let Current { begin: Begin { since, fence }, place, .. } = current;
        messages.retain(|(message, tag)| {
            // What was routed after the fence comes as it is published.
            fence.is_after(*tag, place.shard)
                && (self.notes.is_empty()
                    || self.is_news(*since, hash_topic(message.borrow().topic_name()), *tag, taken))
        });
    }

    /// Whether a message is neither what has come since then nor what that has replaced.
    fn is_news(&self, since: u64, topic_hash: u64, tag: Tag, taken: &[u64]) -> bool {
        (0..).zip(taken).all(|(origin, taken)| match self.notes.get(&(topic_hash, origin)) {
            // It came as it was published, or what came later from the same shard has replaced it.
            Some(noted) if noted.moment >= since && origin == tag.origin() => noted.count < tag.count(),
            // What came from another shard replaces it, unless the keeper had that already.
            Some(noted) if noted.moment >= since => noted.count <= *taken,
            _ => true,
        })
    }
}
