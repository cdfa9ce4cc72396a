//! A client's own QoS 2 PUBLISH on its way to other shards, so that it is delivered once over a crash.
//!
//! The publisher's shard may say [`HELD`](super::record::kind::HELD) only when every shard has the message safe. A crash before
//! that leaves the message on some shards and not on others, and the client sends it again. So each shard that delivers it to
//! durable sessions notes in the same commit which of them, and which groups, have it: [`TAKEN`](super::record::kind::TAKEN).
//! Those are passed over when the message comes again, and not another message under the same identifier. The publisher's shard
//! has everybody forget the exchange before PUBCOMP lets the client use the identifier for another message.
//!
//! Depends on the journal alone. Architecture invariant: an exchange that a shard has taken is known to the publisher's shard,
//! by having sent the message or by being told at the start, until it has told that shard to forget it.

use super::pending::{Pending, What};
use super::record;
use super::state::State;
use super::{Fence, Journal};
use crate::{ShardId, ShardSet};
use ringtail_mqtt::message::MessageRef;
use ringtail_mqtt::packet::PacketId;
use ringtail_storage::RecordRef;

/// A client's own QoS 2 PUBLISH, from the PUBLISH to its PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Exchange {
    /// The shard of the publisher's session.
    pub home: ShardId,
    /// The key of that session in the shard's log.
    pub session: u64,
    pub packet_id: PacketId,
}

/// An attempt of an exchange to reach the subscribers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub exchange: Exchange,
    /// Its own among those of its home since the start: it may come to a shard by several ways.
    number: u64,
    /// The client says that it may not be the first.
    pub dup: bool,
    /// The [`fingerprint`] of the message.
    message: u64,
}

/// What tells a message from another that a client sends under the same identifier: a repetition has the same topic and
/// payload.
pub(crate) fn fingerprint(message: &MessageRef<'_>) -> u64 {
    let sum = crc32c::crc32c_append(crc32c::crc32c(message.topic_name.as_bytes()), message.payload);
    (message.payload.len() as u64) << 32 | u64::from(sum)
}

#[cfg(test)]
impl Attempt {
    pub(super) const fn new(exchange: Exchange, number: u64, dup: bool, message: u64) -> Self {
        Self { exchange, number, dup, message }
    }
}

/// An exchange that came to another shard before the start; see [`Journal::learn_taken`].
#[derive(Clone, Debug)]
pub(crate) struct TakenBefore {
    exchange: Exchange,
    message: u64,
    groups: Vec<u64>,
}

/// What an exchange has brought to this shard.
#[derive(Default)]
pub(super) struct Taken {
    /// A number of its own, so that what is pending for an earlier use of the identifier does not count.
    pub number: u64,
    /// The last attempt that brought something.
    pub attempt: u64,
    /// The [`fingerprint`] of the message.
    pub message: u64,
    /// Keys of the sessions that have the message, in order.
    pub sessions: Vec<u64>,
    /// The shared subscriptions that have it; see [`crate::home::Homes::group`].
    pub groups: Vec<u64>,
    pub at: Vec<RecordRef>,
}

/// The client's own QoS 2 identifier, in its session on its shard.
#[derive(Default)]
pub(super) struct Inbound {
    /// The client is to be told, or has been told, that the message is taken; else it may come again.
    pub held: bool,
    /// Of [`record::kind::HELD`]; `None` until it is written.
    pub at: Option<RecordRef>,
    /// A number of its own for each attempt.
    pub number: u64,
    /// It is written when other shards have the message safe.
    pub waits: bool,
    /// Other shards that may know the exchange.
    pub elsewhere: ShardSet,
    /// Shared subscriptions that have a message on other shards, each behind the [`fingerprint`] of that.
    pub groups: Vec<(u64, u64)>,
}

/// The attempt at hand, and what has come of it.
#[derive(Default)]
pub(super) struct Current {
    attempt: Option<Attempt>,
    /// The shared subscription that is being delivered to.
    group: Option<u64>,
    sessions: Vec<u64>,
    groups: Vec<u64>,
    sent_to: ShardSet,
}

/// Sessions and groups that one record names: 32 KiB, which fits the smallest segment.
pub(super) const TAKEN_MAX: usize = 4096;

impl Current {
    pub(super) fn begin(&mut self, attempt: Option<Attempt>) {
        self.attempt = attempt;
        self.group = None;
        self.sessions.clear();
        self.groups.clear();
        self.sent_to = ShardSet::default();
    }

    /// A durable session has got the message at hand.
    pub(super) fn note_delivered(&mut self, session: u64) {
        if self.attempt.is_some() {
            match self.group {
                Some(name) => self.groups.push(name),
                None => self.sessions.push(session),
            }
        }
    }
}

impl State {
    /// The inbound identifier of an exchange, on its publisher's own shard.
    fn inbound_mut(&mut self, exchange: &Exchange) -> Option<&mut Inbound> {
        self.sessions.get_mut(&exchange.session)?.inbound.get_mut(&exchange.packet_id)
    }
}

impl Journal {
    /// The attempt that a QoS 2 PUBLISH of the session with this key is; `None` where nothing can be in doubt.
    pub(crate) fn attempt(
        &mut self,
        session: u64,
        packet_id: PacketId,
        dup: bool,
        message: &MessageRef<'_>,
    ) -> Option<Attempt> {
        (session != 0).then(|| Attempt {
            exchange: Exchange { home: self.shard, session, packet_id },
            number: self.new_key(),
            dup,
            message: fingerprint(message),
        })
    }

    /// The first attempt to deliver a message makes an earlier one with the same identifier void. So does a later one of
    /// another message: a log that failed could not be told to forget, and the first attempt may never have come.
    pub(super) fn begin_attempt(&mut self, attempt: Option<Attempt>) {
        self.current.begin(attempt);
        let Some(Attempt { exchange, number, dup, message }) = attempt else { return };
        let is_over = |taken: &Taken| taken.attempt != number && !(dup && taken.message == message);
        if self.state.taken.get(&exchange).is_some_and(is_over) {
            self.forget_taken(&exchange);
        }
        if !dup
            && exchange.home == self.shard
            && let Some(inbound) = self.state.inbound_mut(&exchange)
        {
            inbound.groups.clear();
        }
    }

    /// True when the session has the message of the attempt at hand already.
    pub(crate) fn has_message(&self, session: u64) -> bool {
        let (Some(attempt), None) = (self.current.attempt, self.current.group) else { return false };
        let taken = self.state.taken.get(&attempt.exchange);
        taken.is_some_and(|taken| taken.sessions.binary_search(&session).is_ok())
    }

    /// True when the shared subscription has the message of the attempt at hand already. `name` is asked only when there is
    /// something to compare with.
    pub(crate) fn group_has_message(&self, name: impl FnOnce() -> u64) -> bool {
        let Some(Attempt { exchange, dup: true, message, .. }) = self.current.attempt else { return false };
        let here = self.state.taken.get(&exchange).map_or(&[][..], |taken| &taken.groups);
        let session = self.state.sessions.get(&exchange.session).filter(|_| exchange.home == self.shard);
        let inbound = session.and_then(|session| session.inbound.get(&exchange.packet_id));
        let elsewhere = inbound.map_or(&[][..], |inbound| &inbound.groups);
        if here.is_empty() && elsewhere.is_empty() {
            return false;
        }
        let name = name();
        here.contains(&name) || elsewhere.contains(&(message, name))
    }

    /// What is delivered from here on goes to a member of a shared subscription, until the next call.
    pub(crate) fn deliver_to_group(&mut self, name: Option<u64>) {
        self.current.group = name.filter(|_| self.current.attempt.is_some());
    }

    /// The attempt at hand, to go with the message to other shards.
    pub(crate) fn current_attempt(&self) -> Option<Attempt> {
        self.current.attempt
    }

    /// The delivery of the message at hand is over.
    pub(crate) fn end_attempt(&mut self) {
        self.current.attempt = None;
    }

    /// The message at hand goes to other shards, or may be passed on to them.
    pub(crate) fn note_sent_to(&mut self, shards: ShardSet) {
        self.current.sent_to = self.current.sent_to.union(shards);
        self.current.sent_to.remove(self.shard);
    }

    /// The shards that the message at hand went to.
    pub(super) fn take_sent_to(&mut self) -> ShardSet {
        std::mem::take(&mut self.current.sent_to)
    }

    /// The delivery of the message at hand is over on this shard: who has it is kept with it.
    pub(crate) fn note_taken(&mut self) {
        let Some(Attempt { exchange, number: attempt, message, .. }) = self.current.attempt else { return };
        if self.current.sessions.is_empty() && self.current.groups.is_empty() {
            return;
        }
        let number = match self.state.taken.get(&exchange) {
            Some(taken) => taken.number,
            None => self.new_key(),
        };
        let taken = self.state.taken.entry(exchange).or_default();
        taken.number = number;
        taken.attempt = attempt;
        taken.message = message;
        taken.sessions.extend_from_slice(&self.current.sessions);
        taken.sessions.sort_unstable();
        taken.groups.extend_from_slice(&self.current.groups);
        let (sessions, groups) = (std::mem::take(&mut self.current.sessions), std::mem::take(&mut self.current.groups));
        for sessions in sessions.chunks(TAKEN_MAX) {
            self.push_taken((exchange, message), number, sessions, &[]);
        }
        for groups in groups.chunks(TAKEN_MAX) {
            self.push_taken((exchange, message), number, &[], groups);
        }
    }

    fn push_taken(&mut self, (exchange, message): (Exchange, u64), number: u64, sessions: &[u64], groups: &[u64]) {
        let body = record::taken(&exchange, message, sessions, groups);
        // Where there is no room it is written as what a full log takes all the same: the messages are on their way.
        let reserved = self.reserve(body.len()).ok();
        self.pending.push(Pending { what: What::Taken { exchange, number, body }, key: 0, reserved });
    }

    /// What an exchange brought here does not matter any more. True when the log had to be told.
    pub(crate) fn forget_taken(&mut self, exchange: &Exchange) -> bool {
        let Some(taken) = self.state.taken.remove(exchange) else { return false };
        let is_written = !taken.at.is_empty();
        taken.at.into_iter().for_each(|at| self.log.release(at));
        if is_written {
            let what = What::Forgotten { exchange: *exchange };
            self.pending.push(Pending { what, key: 0, reserved: None });
        }
        is_written
    }

    /// The publisher's identifier is free, or about to be: nobody needs to know the exchange any more. Whether the client must
    /// wait until that is safe.
    pub(super) fn end_exchange(&mut self, exchange: Exchange, inbound: Option<&Inbound>) -> Fence {
        let mut fence = if self.forget_taken(&exchange) { Fence::Yes } else { Fence::No };
        for shard in inbound.into_iter().flat_map(|inbound| inbound.elsewhere) {
            self.forgotten.push((shard, exchange));
            fence = Fence::Yes;
        }
        fence
    }

    /// The publisher's session is over. Its key names nobody else, so nobody waits for that.
    pub(super) fn abandon_exchange(&mut self, exchange: Exchange, inbound: &Inbound) {
        if inbound.at.is_some() || self.failed {
            let _ = self.end_exchange(exchange, Some(inbound));
            return;
        }
        self.forget_when_settled(exchange, inbound.elsewhere);
    }

    /// As [`Journal::end_exchange`], of a message that may still be on its way to a shard by way of another, also back to this
    /// one: what says to forget it must not overtake it.
    fn forget_when_settled(&mut self, exchange: Exchange, elsewhere: ShardSet) {
        self.forget_taken(&exchange);
        let own = if elsewhere.is_empty() { elsewhere } else { ShardSet::of(self.shard) };
        for shard in elsewhere.union(own) {
            let what = What::Forget { shard, exchange };
            self.barriers.ask_after_all(Pending { what, key: 0, reserved: None });
        }
    }

    /// What other shards are to be told to forget.
    pub(crate) fn take_forgotten(&mut self) -> Vec<(ShardId, Exchange)> {
        std::mem::take(&mut self.forgotten)
    }

    /// The PUBLISH at hand is refused, and the client told so: the identifier is free. Whether it must wait for that.
    pub(crate) fn drop_attempt(&mut self) -> Fence {
        let Some(Attempt { exchange, .. }) = self.current.attempt.take() else { return Fence::No };
        let before = self.state.sessions.get_mut(&exchange.session);
        let before = before.and_then(|session| session.inbound.remove(&exchange.packet_id)).unwrap_or_default();
        let elsewhere = before.elsewhere.union(self.take_sent_to());
        if self.failed || !self.barriers.waits_for_others() {
            return self.end_exchange(exchange, Some(&Inbound { elsewhere, ..before }));
        }
        self.forget_when_settled(exchange, elsewhere);
        Fence::Yes
    }

    /// The PUBLISH at hand is refused, and the client cannot be told: it will come again.
    pub(crate) fn leave_attempt(&mut self) {
        let Some(Attempt { exchange, .. }) = self.current.attempt else { return };
        let sent_to = self.take_sent_to();
        self.note_taken();
        if let Some(session) = self.state.sessions.get_mut(&exchange.session) {
            let inbound = session.inbound.entry(exchange.packet_id).or_default();
            inbound.held = false;
            inbound.elsewhere = inbound.elsewhere.union(sent_to);
        }
    }

    /// The session of a key, if it has one here.
    pub(crate) fn number_of(&self, session: u64) -> Option<u32> {
        self.state.sessions.get(&session).map(|session| session.number)
    }

    /// What a failure of a log leaves in doubt, this shard's or another's: each session with its number, its key, and the
    /// identifier of a QoS 2 PUBLISH that it must not be taken to hold.
    pub(crate) fn inbound_in_doubt(&self) -> Vec<(u32, Exchange)> {
        let durable = self.log.durable();
        let is_in_doubt = |inbound: &Inbound| match inbound.at {
            Some(at) => self.failed && !durable.covers(at),
            None => self.failed || inbound.waits,
        };
        let mut found = Vec::new();
        for (key, session) in &self.state.sessions {
            let held = session.inbound.iter().filter(|(_, inbound)| inbound.held && is_in_doubt(inbound));
            found.extend(held.map(|(packet_id, _)| {
                (session.number, Exchange { home: self.shard, session: *key, packet_id: *packet_id })
            }));
        }
        found
    }

    /// The exchanges that this shard had taken before the start.
    pub(crate) fn taken_before(&self) -> Vec<TakenBefore> {
        let shown = |(exchange, taken): (&Exchange, &Taken)| TakenBefore {
            exchange: *exchange,
            message: taken.message,
            groups: taken.groups.clone(),
        };
        self.state.taken.iter().map(shown).collect()
    }

    /// At the start: a shard, perhaps this one, has taken exchanges; those of this shard's publishers may come again, or be over.
    pub(crate) fn learn_taken(&mut self, from: ShardId, taken: &[TakenBefore]) {
        let own = self.shard;
        for TakenBefore { exchange, message, groups } in taken.iter().filter(|taken| taken.exchange.home == own) {
            // No session may ever get a key under which another one's exchange is known.
            self.next_key = self.next_key.max(exchange.session);
            match self.state.sessions.get_mut(&exchange.session) {
                Some(session) => {
                    let inbound = session.inbound.entry(exchange.packet_id).or_default();
                    if from != own {
                        inbound.elsewhere.insert(from);
                        inbound.groups.extend(groups.iter().map(|name| (*message, *name)));
                    }
                }
                None if from == own => drop(self.forget_taken(exchange)),
                None => self.forgotten.push((from, *exchange)),
            }
        }
    }
}
