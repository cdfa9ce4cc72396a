//! What happened to a session or to a retained message, as far as it must survive.
//!
//! Each call notes what is to be written and sets room aside for it, so that a full disk is an answer now and not a surprise
//! at the commit.

use super::pending::{Pending, What};
use super::record::{self, SessionBody};
use super::state::{Entry, MessageLog, SessionLog, Stage};
use super::{Attempt, BarrierId, Exchange, Journal, Note, SavedRetained};
use crate::routing::OptionBits;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::PacketId;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{DeliverOptions, Progress};
use ringtail_storage::{AppendError, FullCause, RecordRef, Reserved};
use std::rc::Rc;

/// A message of more bytes is written when it comes, not when its commit begins: it would hold too much of the room.
const EAGER_BYTES: usize = 1 << 20;

/// The part of a segment for which retained messages hold room: others must find some in the same turn.
const RETAINED_SHARE: u64 = 16;

/// Whether the client may be told before the barrier of the turn is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Fence {
    No,
    Yes,
}

/// Something could not be kept; see [`Journal::refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A session that is to become durable, with the room for it.
#[must_use]
pub(crate) struct PreparedSession {
    body: Box<[u8]>,
    reserved: Reserved,
}

impl Journal {
    /// A publication begins; with `attempt` it is a QoS 2 PUBLISH that may come again after a crash.
    pub(crate) fn begin_publication(&mut self, attempt: Option<Attempt>) {
        self.begin_attempt(attempt);
        self.touched = false;
        self.refused = false;
    }

    /// Whether the publication changed what is kept, here or on a shard that is waited for.
    pub(crate) fn was_touched(&self) -> bool {
        self.touched || self.barriers.waits_for_others()
    }

    /// The publication could not be sent to everybody.
    pub(crate) fn refuse_publication(&mut self) {
        self.refused = true;
    }

    /// Whether the publication could not be kept for somebody.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Whether the publication changed what is kept here, in a log that keeps nothing any more.
    pub(crate) fn was_lost(&self) -> bool {
        self.failed && self.touched
    }

    /// Whether the log has failed for good.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Why nothing more is kept: the reason for a client.
    pub(crate) fn refusal(&self) -> ReasonCode {
        if self.failed { ReasonCode::ImplementationSpecificError } else { ReasonCode::QuotaExceeded }
    }

    /// Sets room aside for a session that is to become durable.
    pub(crate) fn prepare_session(&mut self, body: &SessionBody<'_>) -> Result<PreparedSession, Refused> {
        let body = record::session(body);
        let reserved = self.reserve(body.len())?;
        Ok(PreparedSession { body, reserved })
    }

    /// A session becomes durable: its key. `number` is the shard's own of it.
    pub(crate) fn open_session(&mut self, number: u32, PreparedSession { body, reserved }: PreparedSession) -> u64 {
        let key = self.new_key();
        self.state.sessions.insert(key, SessionLog { number, ..SessionLog::default() });
        self.push(What::Session { body }, key, reserved);
        key
    }

    /// A durable session that was read from the log has this number.
    pub(crate) fn number_session(&mut self, key: u64, number: u32) {
        if let Some(session) = self.state.sessions.get_mut(&key) {
            session.number = number;
        }
    }

    /// A durable session has got or lost its connection, or its will.
    pub(crate) fn change_session(&mut self, key: u64, body: &SessionBody<'_>) {
        let what = What::Session { body: record::session(body) };
        // While nothing is written, clients that come again and again must not pile up.
        if self.stuck
            && let Some(waiting) =
                self.pending.iter_mut().find(|p| p.key == key && matches!(p.what, What::Session { .. }))
        {
            waiting.what = what;
            return;
        }
        self.pending.push(Pending { what, key, reserved: None });
    }

    /// A session is over, or durable no more.
    pub(crate) fn end_session(&mut self, key: u64) {
        let Some(session) = self.state.sessions.remove(&key) else { return };
        for entry in &session.entries {
            if entry.stage.needs_message() {
                self.unuse(entry.message);
            }
        }
        let entries = session.entries.iter().flat_map(|entry| entry.stage.records());
        let places = session.subscriptions.values().filter_map(|at| *at);
        let held = session.inbound.values().filter_map(|inbound| inbound.at);
        entries.chain(places).chain(held).chain(session.at).for_each(|at| self.log.release(at));
        if session.at.is_some() {
            self.pending.push(Pending { what: What::SessionEnded, key, reserved: None });
        }
        for (packet_id, inbound) in &session.inbound {
            self.abandon_exchange(Exchange { home: self.shard, session: key, packet_id: *packet_id }, inbound);
        }
    }

    /// A subscription is made, or replaced; `filter` has the form of SUBSCRIBE.
    pub(crate) fn subscribe(&mut self, key: u64, filter: &str, options: OptionBits, id: u32) -> Result<(), Refused> {
        let head = record::subscribed_head(options, id);
        let reserved = self.reserve(head.len() + filter.len())?;
        if let Some(session) = self.state.sessions.get_mut(&key) {
            session.subscriptions.entry(filter.into()).or_default();
        }
        self.push(What::Subscribed { head, filter: filter.into() }, key, reserved);
        Ok(())
    }

    /// A subscription has ended.
    pub(crate) fn unsubscribe(&mut self, key: u64, filter: &str) {
        let Some(session) = self.state.sessions.get_mut(&key) else { return };
        if let Some(Some(at)) = session.subscriptions.remove(filter) {
            self.log.release(at);
            self.pending.push(Pending { what: What::Unsubscribed { filter: filter.into() }, key, reserved: None });
        }
    }

    /// Sees to it that a message for a durable session will find room, before the session gets it.
    pub(crate) fn admit(&mut self, message: &Rc<Message>, options: &DeliverOptions<'_>) -> Result<Reserved, Refused> {
        let admitted = self.try_admit(message, options);
        self.refused |= admitted.is_err();
        admitted
    }

    fn try_admit(&mut self, message: &Rc<Message>, options: &DeliverOptions<'_>) -> Result<Reserved, Refused> {
        if self.message.is_none() {
            let shown = Message::as_ref(message);
            let bytes = record::message_bytes(&shown);
            let key = self.new_key();
            let (at, unwritten) = if bytes > EAGER_BYTES {
                (Some(self.write_message(key, message)?), None)
            } else {
                (None, Some((Rc::clone(message), Some(self.reserve(bytes)?))))
            };
            self.state.messages.insert(key, MessageLog { at, unwritten, uses: 0 });
            self.message = Some(key);
        }
        self.reserve(record::queued_bytes(options.subscription_ids.len()))
    }

    /// The session has a message for its client, that was [admitted](Journal::admit).
    pub(crate) fn queued(&mut self, key: u64, sequence: u64, options: &DeliverOptions<'_>, reserved: Reserved) {
        let (Some(message), Some(session)) = (self.message, self.state.sessions.get_mut(&key)) else {
            return self.log.unreserve(reserved);
        };
        self.touched = true;
        self.current.note_delivered(key);
        if let Some(known) = self.state.messages.get_mut(&message) {
            known.uses += 1;
        }
        let entry = Entry { sequence, message, qos: options.qos, packet_id: None, stage: Stage::Unwritten };
        session.entries.push_back(entry);
        let what = What::Queued {
            sequence,
            qos: options.qos,
            retain: options.retain,
            subscription_ids: options.subscription_ids.into(),
        };
        self.push(what, key, reserved);
    }

    /// A message was admitted, and the session had no use for it.
    pub(crate) fn not_queued(&mut self, reserved: Reserved) {
        self.log.unreserve(reserved);
    }

    /// What is left of the message that was delivered: nothing, when no session has queued it.
    pub(crate) fn end_message(&mut self) {
        if let Some(key) = self.message.take()
            && self.state.messages.get(&key).is_some_and(|message| message.uses == 0)
            && let Some(message) = self.state.messages.remove(&key)
        {
            self.forget(message);
        }
    }

    /// A step of a message of the session.
    pub(crate) fn progress(&mut self, key: u64, step: Progress) -> Fence {
        match step {
            Progress::Sent { sequence, packet_id } => self.sent(key, sequence, packet_id),
            Progress::Released { sequence } => self.released(key, sequence),
            Progress::Done { sequence } => self.done(key, sequence),
            Progress::InboundDone { packet_id } => self.inbound_done(key, packet_id),
        }
    }

    fn sent(&mut self, key: u64, sequence: u64, packet_id: PacketId) -> Fence {
        let Some(session) = self.state.sessions.get_mut(&key) else { return Fence::No };
        let Some(entry) = session.entry_mut(sequence) else { return Fence::No };
        entry.packet_id = Some(packet_id);
        let written = matches!(entry.stage, Stage::Queued { .. });
        let qos = entry.qos;
        if written {
            self.pending.push(Pending { what: What::Sent { sequence }, key, reserved: None });
        }
        // Were it sent under another identifier after a crash, the client would take it for another message.
        if qos == ringtail_mqtt::packet::QoS::ExactlyOnce { Fence::Yes } else { Fence::No }
    }

    fn released(&mut self, key: u64, sequence: u64) -> Fence {
        let Some(session) = self.state.sessions.get_mut(&key) else { return Fence::No };
        let Some(entry) = session.entry_mut(sequence) else { return Fence::No };
        if matches!(entry.stage, Stage::Unwritten) {
            entry.stage = Stage::ReleasedUnwritten;
            let message = entry.message;
            self.unuse(message);
        }
        self.pending.push(Pending { what: What::Released { sequence }, key, reserved: None });
        // After PUBREL the client takes the same identifier for a new message.
        Fence::Yes
    }

    fn done(&mut self, key: u64, sequence: u64) -> Fence {
        let Some(session) = self.state.sessions.get_mut(&key) else { return Fence::No };
        let Some(entry) = session.find(sequence).and_then(|index| session.entries.remove(index)) else {
            return Fence::No;
        };
        let written = entry.stage.records().next().is_some();
        if written {
            if session.done.is_empty() {
                self.pending.push(Pending { what: What::Done, key, reserved: None });
            }
            session.done.push(sequence);
        }
        entry.stage.records().for_each(|at| self.log.release(at));
        if entry.stage.needs_message() {
            self.unuse(entry.message);
        }
        Fence::No
    }

    /// The client's own QoS 2 PUBLISH is taken. On disk that is only once the message is safe wherever it went: were it known
    /// before, a client that repeats it after a crash would be told that all is well. Until then, what this shard delivered
    /// of it is kept.
    pub(crate) fn hold_inbound(&mut self, key: u64, packet_id: PacketId) -> Result<(), Refused> {
        let reserved = self.reserve(size_of::<PacketId>())?;
        let (number, sent_to) = (self.new_key(), self.take_sent_to());
        let waits = self.barriers.waits_for_others();
        if let Some(session) = self.state.sessions.get_mut(&key) {
            let inbound = session.inbound.entry(packet_id).or_default();
            inbound.held = true;
            inbound.number = number;
            inbound.waits = waits;
            inbound.elsewhere = inbound.elsewhere.union(sent_to);
            inbound.groups = Vec::new();
            self.touched = true;
        }
        let held = Pending { what: What::Held { packet_id, number }, key, reserved: Some(reserved) };
        if waits {
            self.note_taken();
            self.barriers.ask_afterwards(held);
        } else {
            self.pending.push(held);
        }
        Ok(())
    }

    /// The client's own QoS 2 PUBLISH turned out to be refused on another shard: it will come again.
    pub(crate) fn forget_inbound(&mut self, key: u64, packet_id: PacketId) {
        let Some(session) = self.state.sessions.get_mut(&key) else { return };
        let Some(inbound) = session.inbound.get_mut(&packet_id) else { return };
        inbound.held = false;
        if let Some(at) = inbound.at.take() {
            self.log.release(at);
            self.pending.push(Pending { what: What::HeldDone { packet_id }, key, reserved: None });
        }
    }

    fn inbound_done(&mut self, key: u64, packet_id: PacketId) -> Fence {
        let Some(session) = self.state.sessions.get_mut(&key) else { return Fence::No };
        let Some(inbound) = session.inbound.remove(&packet_id) else { return Fence::No };
        let exchange = Exchange { home: self.shard, session: key, packet_id };
        let fence = self.end_exchange(exchange, Some(&inbound));
        let Some(at) = inbound.at else { return fence };
        self.log.release(at);
        self.pending.push(Pending { what: What::HeldDone { packet_id }, key, reserved: None });
        // After PUBCOMP the client uses the identifier for a new message.
        Fence::Yes
    }

    /// Sees to it that a message to retain will find room.
    pub(crate) fn admit_retained(
        &mut self,
        message: &Message,
        retained: &mut SavedRetained,
    ) -> Result<Reserved, Refused> {
        let bytes = record::message_bytes(&message.as_ref());
        self.retained_bytes += bytes as u64;
        if self.retained_bytes > self.storage.segment_bytes / RETAINED_SHARE {
            self.write_pending(Some(retained));
            self.retained_bytes = bytes as u64;
        }
        let admitted = self.reserve(bytes);
        self.refused |= admitted.is_err();
        admitted
    }

    /// A message that was [admitted](Journal::admit_retained) is retained; `note` is that of its topic.
    pub(crate) fn retained(&mut self, topic_name: &str, note: &mut Note, reserved: Reserved) {
        self.touched = true;
        // An earlier write that is pending does not hold any more.
        note.pending = self.new_key();
        self.push(What::Retained { topic_name: topic_name.into(), number: note.pending }, 0, reserved);
    }

    /// A retained message is gone: cleared, or expired. After a start an expired one is known by its time.
    pub(crate) fn retained_gone(&mut self, topic_name: &str, note: &Note, expired: bool) {
        self.touched = true;
        let Some(at) = note.at else { return };
        self.log.release(at);
        if !expired {
            self.pending.push(Pending {
                what: What::Cleared { topic_name: topic_name.into() },
                key: 0,
                reserved: None,
            });
        }
    }

    /// The client of a durable session must not be told before this barrier is open.
    pub(crate) fn fence_session(&mut self, key: u64, barrier: BarrierId) {
        if let Some(session) = self.state.sessions.get_mut(&key) {
            session.barrier = barrier;
        }
    }

    /// The barrier before which the client of a durable session must not be told, on whatever connection.
    pub(crate) fn session_barrier(&self, key: u64) -> BarrierId {
        self.state.sessions.get(&key).map_or(0, |session| session.barrier)
    }

    fn push(&mut self, what: What, key: u64, reserved: Reserved) {
        self.pending.push(Pending { what, key, reserved: Some(reserved) });
    }

    fn unuse(&mut self, message: u64) {
        if let Some(message) = self.state.unuse(message) {
            self.forget(message);
        }
    }

    /// Gives back what a message that nobody needs took.
    pub(super) fn forget(&mut self, message: MessageLog) {
        if let Some((_, Some(reserved))) = message.unwritten {
            self.log.unreserve(reserved);
        }
        message.at.into_iter().for_each(|at| self.log.release(at));
    }

    pub(super) fn reserve(&mut self, body_bytes: usize) -> Result<Reserved, Refused> {
        if self.failed {
            return Err(Refused);
        }
        match self.log.reserve(body_bytes) {
            Ok(reserved) => Ok(reserved),
            // Too much is held back. What is pending need not wait for its commit.
            Err(AppendError::Full { cause: FullCause::Reserved, .. }) => {
                self.write_pending(None);
                self.log.reserve(body_bytes).map_err(|_| Refused)
            }
            Err(_) => Err(Refused),
        }
    }

    fn write_message(&mut self, key: u64, message: &Message) -> Result<RecordRef, Refused> {
        if self.failed {
            return Err(Refused);
        }
        let shown = message.as_ref();
        let head = record::message_head(&shown);
        let body: [&[u8]; 4] = [&head, shown.topic_name.as_bytes(), shown.properties, shown.payload];
        self.log.append(record::kind::MESSAGE, key, &body).map(|appended| appended.at).map_err(|_| Refused)
    }
}
