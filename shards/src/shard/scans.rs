//! Which scans for retained messages are under way, whose turn it is, and what has overtaken them.
//!
//! A session has one scan, whatever number of its filters wait in it: so it has one question to another shard at most, and
//! its subscriptions bound what is kept here. Options are not kept: the subscription has them, and without it nobody wants
//! the messages.
//!
//! A retained message that comes from another shard may be older than one that was published since the client subscribed
//! and that it has been given as it was published. Giving it the older one afterwards would leave it with a value that
//! holds no more. So the topics of what is published with RETAIN are noted while scans are under way.

use crate::ShardId;
use crate::routing::{Cursor, FilterId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Topics that are noted. When there are more, the notes begin anew, and what was asked before is asked again.
const NOTES_MAX: usize = 16_384;

/// The scans of a shard's subscribers.
#[derive(Default)]
pub(crate) struct Scans {
    by_session: HashMap<u32, Scan>,
    /// Sessions whose scan may be able to go on.
    ready: VecDeque<u32>,
    /// Counts what is asked for, by subscribers and of other shards.
    moment: u64,
    /// By the hash of its topic, when a message was last published to be retained.
    notes: HashMap<u64, u64>,
    /// Up to this moment notes may have been forgotten.
    forgotten: u64,
}

/// The scans of one session, one after the other.
#[derive(Default)]
struct Scan {
    /// The filters whose turn is still to come, and when each was subscribed to.
    waiting: BTreeMap<FilterId, u64>,
    current: Option<Current>,
    /// The moment of the question whose answer is to come.
    asked: Option<u64>,
    is_ready: bool,
}

/// How far the scan for a filter is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Current {
    pub filter: FilterId,
    /// When it was subscribed to.
    since: u64,
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

impl Scans {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_session.is_empty()
    }

    /// Whether a scan may be able to go on.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A session has subscribed to a filter. If it is scanned for already, that begins anew.
    pub(crate) fn add(&mut self, session: u32, filter: FilterId) {
        self.moment += 1;
        self.forget_filter(session, filter);
        self.by_session.entry(session).or_default().waiting.insert(filter, self.moment);
        self.wake(session);
    }

    /// The session wants no more of the scan for `filter`.
    pub(crate) fn forget_filter(&mut self, session: u32, filter: FilterId) {
        if let Some(scan) = self.by_session.get_mut(&session) {
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
    /// filter starts, or that it is wanted no more. `None` while an answer is to come, and when there is no scan.
    pub(crate) fn current(
        &mut self,
        session: u32,
        mut begin: impl FnMut(FilterId) -> Option<Place>,
    ) -> Option<&mut Current> {
        let scan = self.by_session.get_mut(&session)?;
        if scan.asked.is_some() {
            return None;
        }
        while scan.current.is_none()
            && let Some((filter, since)) = scan.waiting.pop_first()
        {
            scan.current = begin(filter).map(|place| Current { filter, since, place });
        }
        if scan.current.is_none() {
            self.forget(session);
            return None;
        }
        self.by_session.get_mut(&session)?.current.as_mut()
    }

    /// The scan goes on after a slice that ended at `after`.
    pub(crate) fn go_on(&mut self, session: u32, after: Option<Cursor>) {
        let Some(scan) = self.by_session.get_mut(&session) else { return };
        scan.current = scan.current.take().and_then(|current| {
            let Current { filter, since, place } = current;
            Some(Current { filter, since, place: place.next(after)? })
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

    /// The answer to a question has come. `None` when nobody wants it any more, or when it has to be asked again.
    pub(crate) fn answered(&mut self, session: u32, asked: u64) -> Option<Current> {
        let scan = self.by_session.get_mut(&session)?;
        scan.asked.take_if(|of_scan| *of_scan == asked)?;
        let current = scan.current.clone().filter(|_| asked > self.forgotten);
        if current.is_none() {
            self.wake(session);
        }
        current
    }

    /// A message was published to be retained; `topic_hash` is that of its topic.
    pub(crate) fn note(&mut self, topic_hash: u64) {
        if self.notes.len() >= NOTES_MAX {
            self.notes.clear();
            self.forgotten = self.moment;
        }
        self.notes.insert(topic_hash, self.moment);
    }

    /// Whether something was noted at all.
    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Whether the subscriber has been given something newer for a topic since it subscribed.
    pub(crate) fn has_newer(&self, current: &Current, topic_hash: u64) -> bool {
        self.notes.get(&topic_hash).is_some_and(|noted| *noted >= current.since)
    }
}
