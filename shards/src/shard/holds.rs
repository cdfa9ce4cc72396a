//! Back-pressure: who publishes to somebody that is full is not read for a while, so that TCP slows the publisher down.
//!
//! A hold ends when the subscriber has room again, and in any case after the grace time: from then on that subscriber is
//! slow, its messages meet its limits (QoS 0 is dropped, its queue follows its policy) and nobody waits for it, until it
//! has caught up. So one that never reads costs its publishers one grace time, and nobody else anything.

use crate::ShardSet;
use crate::shard::connection::Phase;
use crate::shard::mail::{Mail, Publisher};
use crate::shard::{Core, Request};
use ringtail_mqtt::packet::Packet;
use ringtail_mqtt::time::Millis;
use std::collections::HashMap;

/// How long a publisher on another shard is held for one message that met a full subscriber, milliseconds.
const REMOTE_HOLD_MS: u64 = 10;

/// How often holds are reviewed although nothing happens, milliseconds.
const REVIEW_MS: u64 = 5;

/// The publishers that are held, and the subscribers that are slow.
#[derive(Default)]
pub(crate) struct Holds {
    held: Vec<Hold>,
    /// Full subscribers, and since when they are.
    full: HashMap<u32, Millis>,
    /// Publishers on other shards that were asked to wait, and when.
    told: HashMap<Publisher, Millis>,
    /// When the holds were reviewed last: once a millisecond is enough.
    reviewed: Millis,
}

struct Hold {
    connection: u32,
    until: Until,
}

enum Until {
    /// A subscriber of this shard has room.
    Room { session: u32 },
    /// A moment, for a subscriber of another shard.
    Time(Millis),
    /// The overflow of the mesh is empty.
    Mesh,
    /// Its own outbox has drained.
    Answers,
    /// Fewer of its PUBLISHes wait for other shards.
    Verdicts,
}

impl Holds {
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.full.is_empty() && self.told.is_empty()
    }

    /// How many connections are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The connection has ended.
    pub(crate) fn forget(&mut self, connection: u32) {
        self.held.retain(|hold| hold.connection != connection);
    }

    /// When the turn must look again although nothing happens.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        (!self.is_empty()).then_some(REVIEW_MS)
    }
}

impl Core {
    /// Holds the connection back if what it published met a full subscriber of this shard or a full ring.
    #[inline]
    pub(crate) fn hold_for_full(&mut self, number: u32) {
        if !self.local.full.is_empty() || !self.port.congested().is_empty() {
            self.hold_for_what_is_full(number);
        }
    }

    #[cold]
    fn hold_for_what_is_full(&mut self, number: u32) {
        self.hold_for_mesh(number);
        if let Some(session) = self.worth_waiting_for(number)
            && !self.must_be_read(number)
        {
            self.hold(number, Until::Room { session });
        }
    }

    /// Holds back a client that does not read its own answers: they pile up in its outbox.
    pub(crate) fn hold_for_own_answers(&mut self, number: u32) {
        if self.local.connections.get(number).is_some_and(|c| c.outbox.len_bytes() > self.local.limits.outbox_bytes_max)
        {
            self.hold(number, Until::Answers);
        }
    }

    /// Holds back a client of 3.x, which knows no Receive Maximum, when too many of its PUBLISHes wait for other shards.
    pub(crate) fn hold_for_verdicts(&mut self, number: u32) {
        if self.has_many_waiting(number) {
            self.hold(number, Until::Verdicts);
        }
    }

    fn has_many_waiting(&self, number: u32) -> bool {
        let session = self.local.connections.get(number).and_then(|c| self.local.sessions.get(c.session));
        session.is_some_and(|entry| entry.session.wants_pause(&self.local.limits))
    }

    /// Asks another shard to hold its publisher back if its message met a full subscriber here.
    pub(crate) fn hold_remote_for_full(&mut self, publisher: Publisher) {
        if self.worth_waiting_for(u32::MAX).is_none() {
            return;
        }
        // Once for each hold, however many of its messages are under way.
        let now = self.local.now;
        let publisher = Publisher { packet_id: None, ask: 0, ..publisher };
        let told = self.holds.told.insert(publisher, now);
        match told.filter(|told| now < told.plus_ms(REMOTE_HOLD_MS)) {
            Some(told) => drop(self.holds.told.insert(publisher, told)),
            None => drop(self.post(publisher.shard, Mail::Hold(Box::new(publisher)))),
        }
    }

    /// Another shard's subscriber cannot keep up with this connection.
    pub(crate) fn take_hold(&mut self, publisher: Publisher) {
        if self.local.connections.of(&publisher).is_some() && !self.must_be_read(publisher.connection) {
            self.hold(publisher.connection, Until::Time(self.local.now.plus_ms(REMOTE_HOLD_MS)));
        }
    }

    /// True for a client whose acknowledgements somebody may be waiting for: messages wait for it, and holding it would keep
    /// them waiting. Two clients that publish to each other would wait for each other.
    fn must_be_read(&self, number: u32) -> bool {
        let session = self.local.connections.get(number).and_then(|c| self.local.sessions.get(c.session));
        session.is_some_and(|entry| entry.session.has_backlog())
    }

    /// One of the subscribers that were found full and is within its grace time. The grace of all of them begins now, so
    /// that many cost no more than one. A publisher does not wait for itself: it must read to make room.
    fn worth_waiting_for(&mut self, publisher: u32) -> Option<u32> {
        let mut found = None;
        while let Some(session) = self.local.full.pop() {
            let own = self.local.sessions.get(session).is_some_and(|entry| entry.connection == publisher);
            if self.is_worth_waiting_for(session) && !own {
                found = Some(session);
            }
        }
        found
    }

    /// Holds a client whose packets filled the rings to other shards.
    pub(crate) fn hold_for_mesh(&mut self, number: u32) {
        if !self.port.congested().is_empty() {
            self.hold(number, Until::Mesh);
        }
    }

    /// Before a packet that is announced to all shards: holds the client while the rings are full, so that announcements,
    /// which must not be lost, do not pile up beside them. True when the packet has to wait.
    pub(crate) fn hold_before(&mut self, number: u32, packet: &Packet<'_>) -> bool {
        if self.port.congested().is_empty() || !matches!(packet, Packet::Subscribe(_) | Packet::Unsubscribe(_)) {
            return false;
        }
        self.hold(number, Until::Mesh);
        true
    }

    /// True while the subscriber is within its grace time.
    fn is_worth_waiting_for(&mut self, session: u32) -> bool {
        let now = self.local.now;
        let grace_ms = u64::from(self.config.slow_consumer_grace_ms);
        let since = *self.holds.full.entry(session).or_insert(now);
        now < since.plus_ms(grace_ms)
    }

    fn hold(&mut self, number: u32, until: Until) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        if connection.held || connection.phase != Phase::Live {
            return;
        }
        connection.held = true;
        self.local.counters.publishers_paused += 1;
        self.holds.held.push(Hold { connection: number, until });
        self.requests.push(Request::Hold(number));
    }

    /// Lets go whoever need not wait any longer.
    pub(crate) fn review_holds(&mut self) {
        if self.holds.reviewed == self.local.now {
            return;
        }
        self.holds.reviewed = self.local.now;
        let mut full = std::mem::take(&mut self.holds.full);
        full.retain(|session, _| self.local.is_connected(*session) && !self.local.has_room(*session));
        self.holds.full = full;
        let told_since = self.local.now;
        self.holds.told.retain(|_, told| told_since < told.plus_ms(REMOTE_HOLD_MS));
        let held = std::mem::take(&mut self.holds.held);
        let mut released = Vec::new();
        for hold in held {
            if self.must_wait(&hold) {
                self.holds.held.push(hold);
            } else {
                released.push(hold.connection);
            }
        }
        for number in released {
            self.release(number);
        }
    }

    fn must_wait(&mut self, hold: &Hold) -> bool {
        match hold.until {
            Until::Room { session } => {
                self.holds.full.contains_key(&session)
                    && self.is_worth_waiting_for(session)
                    && !self.must_be_read(hold.connection)
            }
            Until::Time(at) => self.local.now < at && !self.must_be_read(hold.connection),
            Until::Answers => self
                .local
                .connections
                .get(hold.connection)
                .is_some_and(|c| c.outbox.len_bytes() > self.local.limits.outbox_bytes_max / 2),
            Until::Verdicts => self.has_many_waiting(hold.connection),
            Until::Mesh => self.port.congested() != ShardSet::default(),
        }
    }

    fn release(&mut self, number: u32) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.held = false;
        let session = connection.session;
        self.hears_from(session);
        self.resume(number);
    }

    /// What a client that is held has sent is not known, so it counts as heard from.
    pub(crate) fn hears_from(&mut self, session: u32) {
        let now = self.local.now;
        if let Some(entry) = self.local.sessions.get_mut(session) {
            entry.session.restart_keep_alive(now);
        }
    }
}
