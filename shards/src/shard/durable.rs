//! Where the shard meets its journal: what it has it keep, and what it lets nobody know before that is safe.

use crate::journal::{
    Attempt, CommitWire, Count, Exchange, Fence, Journal, KeptSession, Lane, PreparedSession, Restored, SessionBody,
    TakenBefore, WillBody,
};
use crate::routing::{Announcement, OptionBits, Subscriber};
use crate::shard::connection::Phase;
use crate::shard::local::Local;
use crate::shard::mail::{Mail, Publisher, Refused};
use crate::shard::sessions::{Membership, SessionEntry};
use crate::shard::{Core, Shard, Tag};
use crate::{ShardId, ShardSet};
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::{Connect, PacketId, ProtocolVersion, QoS, SubscriptionOptions};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{Admission, DetachCause, Inbound, Progress, RestoredMessage, Session};
use ringtail_mqtt::time::Millis;
use ringtail_mqtt::topic::Filter;
use std::io;
use std::rc::Rc;

impl Shard {
    /// Brings everything to disk.
    pub(crate) fn close_journal(&mut self) -> io::Result<()> {
        let Core { local, retained, .. } = &mut self.core;
        local.journal.take().map_or(Ok(()), |journal| journal.close(retained).map_err(io::Error::other))
    }
}

/// What a shard brought back from its log that the others must know before the first client comes.
#[derive(Default)]
pub(crate) struct Known {
    announcements: Vec<Announcement>,
    durable: bool,
    taken: Vec<TakenBefore>,
}

impl Core {
    /// The end of a turn: what it left goes to disk, and what has become safe may be said.
    pub(crate) fn end_turn(&mut self, wire: &mut impl CommitWire) {
        for number in std::mem::take(&mut self.local.doomed) {
            self.local.counters.storage_refused += 1;
            self.refuse_publisher(number, ReasonCode::ImplementationSpecificError);
        }
        self.send_forgotten();
        let Self { local, retained, .. } = self;
        let Some(journal) = &mut local.journal else { return };
        let mut safe = Vec::new();
        let opened = journal.end_turn(local.now, retained, wire, |count| safe.push(count));
        // Before anything is flushed, and before any barrier opens: nothing that waited for the log may leave.
        if journal.has_just_failed() {
            self.refuse_all_held_back(ReasonCode::ImplementationSpecificError);
            self.tell_all(|| Mail::LogFailed);
            safe.extend(self.local.journal.as_mut().and_then(|journal| journal.take_failure()).into_iter().flatten());
        }
        for (shard, lane, count) in safe {
            self.post(shard, Mail::Safe(lane, count));
        }
        // Before the publisher may use the identifier again.
        self.send_forgotten();
        if opened {
            self.local.release_held_back();
        }
    }

    /// Puts back what the log held, and returns what the other shards have to know of it.
    pub(crate) fn restore(&mut self, journal: Journal, restored: Restored) -> Known {
        let mut announcements = Vec::new();
        self.local.journal = Some(Box::new(journal));
        for (key, kept) in restored.sessions {
            self.restore_session(key, kept, &mut announcements);
        }
        for (message, at) in restored.retained {
            match self.retained.set(message) {
                Ok(note) => note.restore(at),
                Err(error) => {
                    self.local.counters.retained_refused_full += 1;
                    tracing::warn!(shard = self.id, "a retained message in the data folder is not used: {error}");
                }
            }
        }
        let mut known = Known { announcements, ..Known::default() };
        if let Some(journal) = &mut self.local.journal {
            known.taken = journal.taken_before();
            journal.learn_taken(self.id, &known.taken);
            known.durable = journal.sessions() > 0;
        }
        self.take_durable(self.id, known.durable);
        known
    }

    fn restore_session(&mut self, key: u64, kept: KeptSession, announcements: &mut Vec<Announcement>) {
        let now = self.local.now;
        let detached_at = kept.detached_at.unwrap_or(now);
        let mut session = Session::restore(&kept.client_id, kept.version, kept.expiry_s, 1, detached_at);
        session.track_progress(true);
        let mut unused = Vec::new();
        for message in &kept.messages {
            let restored = RestoredMessage {
                sequence: message.sequence,
                message: message.message.clone(),
                qos: message.qos,
                retain: message.retain,
                subscription_ids: &message.subscription_ids,
                packet_id: message.packet_id,
            };
            if let Err(reason) = session.restore_message(restored, &self.local.limits, now) {
                self.local.counters.dropped_queue_full += 1;
                unused.push(message.sequence);
                tracing::warn!(client_id = %kept.client_id, ?reason, "a message in the data folder is not used");
            }
        }
        kept.inbound.iter().for_each(|packet_id| session.restore_inbound(*packet_id));
        if let Some(will) = kept.will {
            session.restore_will(will.message, will.delay_s, will.message_expiry_s);
        }
        let number = self.local.sessions.insert(session);
        if let Some(entry) = self.local.sessions.get_mut(number) {
            entry.log = key;
        }
        if let Some(journal) = &mut self.local.journal {
            journal.number_session(key, number);
        }
        for subscription in &kept.subscriptions {
            self.restore_subscription(
                number,
                &subscription.filter,
                subscription.options,
                subscription.subscription_id,
                announcements,
            );
        }
        self.local.note_progress(number);
        if let Some(journal) = &mut self.local.journal {
            for sequence in unused {
                let _ = journal.progress(key, Progress::Done { sequence });
            }
        }
        self.file_timer(number);
    }

    fn restore_subscription(
        &mut self,
        session: u32,
        text: &str,
        options: SubscriptionOptions,
        id: u32,
        announcements: &mut Vec<Announcement>,
    ) {
        let Ok(filter) = Filter::parse(text, u16::MAX) else {
            return tracing::warn!(shard = self.id, filter = text, "a topic filter in the data folder is not used");
        };
        match filter.share {
            Some(share) => {
                let subscriber = Subscriber { session, options: options.into(), subscription_id: id };
                let joined = self.shared.join(share, filter.filter, false, subscriber);
                self.remember(session, Membership::Group(joined.group));
                if let Some(announcement) = joined.announcement {
                    self.remote.apply(self.id, &announcement);
                    announcements.push(announcement);
                }
            }
            None => {
                let made = self.subscriptions.subscribe(filter.filter, session, options, id);
                self.remember(session, Membership::Filter(made.filter));
                if made.announce {
                    announcements.push(Announcement::Add(filter.filter.into()));
                }
            }
        }
    }

    /// What another shard had when it started.
    pub(crate) fn take_start(&mut self, from: ShardId, known: &Known) {
        known.announcements.iter().for_each(|announcement| self.remote.apply(from, announcement));
        self.take_durable(from, known.durable);
        if let Some(journal) = &mut self.local.journal {
            journal.learn_taken(from, &known.taken);
        }
    }

    /// A publication begins, by a client, a will, or another shard.
    #[inline]
    pub(crate) fn begin_publication(&mut self, attempt: Option<&Attempt>) {
        self.local.rejected = false;
        if self.local.journal.is_some() {
            self.local.log_publication(attempt);
        }
    }

    /// The message at hand is about to go to these shards, or by way of them: what goes with it.
    pub(crate) fn send_attempt(&mut self, shards: ShardSet) -> Option<Attempt> {
        let journal = self.local.journal.as_mut()?;
        journal.note_sent_to(shards);
        journal.current_attempt()
    }

    /// Tells other shards of the QoS 2 PUBLISHes that will not come again; this turn's barrier waits until that is safe where
    /// there is something to forget.
    pub(crate) fn send_forgotten(&mut self) {
        let Some(journal) = &mut self.local.journal else { return };
        for (shard, exchange) in journal.take_forgotten() {
            if self.post(shard, Mail::Forget(exchange.session, exchange.packet_id)) {
                self.note_sent(shard, Lane::Messages, self.durable_shards.contains(shard));
            }
        }
    }

    /// A QoS 2 PUBLISH of another shard's client will not come again.
    pub(crate) fn take_forget(&mut self, exchange: Exchange) {
        if let Some(journal) = &mut self.local.journal {
            journal.forget_taken(&exchange);
            journal.barriers.taken(exchange.home, Lane::Messages);
        }
    }

    /// A message went to another shard; with `wait` its acknowledgement waits until it is safe there.
    pub(crate) fn note_sent(&mut self, to: ShardId, lane: Lane, wait: bool) {
        if let Some(journal) = &mut self.local.journal {
            journal.barriers.sent(to, lane, wait);
        }
    }

    /// A message of another shard was taken: it will be told when it is safe, or now when it cannot be kept.
    pub(crate) fn answer_publication(&mut self, from: ShardId, lane: Lane, publisher: Option<Publisher>) {
        let Some(journal) = &mut self.local.journal else { return };
        journal.note_taken();
        let exchange = journal.current_attempt().map(|attempt| attempt.exchange);
        journal.end_attempt();
        journal.barriers.taken(from, lane);
        // At QoS 0 nobody waits for an answer, and who has asked gets it in any case.
        if journal.was_refused()
            && let Some(publisher) = publisher.filter(|publisher| publisher.packet_id.is_some() && publisher.ask == 0)
        {
            // Before the publisher's shard can be told that the message is safe: refusals are taken first there.
            let reason = journal.refusal();
            if publisher.shard == self.id {
                self.take_refused(Refused { publisher, exchange, reason });
            } else {
                self.post(publisher.shard, Mail::Refused(Box::new(Refused { publisher, exchange, reason })));
            }
        }
    }

    /// A message of this shard's publisher could not be kept somewhere: it is not acknowledged, and may come again.
    pub(crate) fn take_refused(&mut self, refused: Refused) {
        let Refused { publisher, exchange, reason } = refused;
        let number = exchange.and_then(|exchange| self.local.journal.as_ref()?.number_of(exchange.session));
        let mut told = self.local.connections.of(&publisher).map(|_| publisher.connection);
        if let (Some(exchange), Some(number)) = (exchange, number) {
            self.local.forget_inbound(number, exchange);
            // The client may have come again in the meantime, and been answered.
            told = self.local.sessions.get(number).map(|entry| entry.connection);
        }
        if let Some(told) = told
            && self.local.connections.get(told).is_some_and(|connection| connection.held_back.is_some())
        {
            self.local.counters.storage_refused += 1;
            self.refuse_publisher(told, reason);
        }
    }

    /// A client's PUBLISH above QoS 0 was routed: sees to it that its acknowledgement leaves when it is true.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub(crate) fn keep_promise(
        &mut self,
        number: u32,
        session: u32,
        packet_id: PacketId,
        qos: QoS,
    ) -> Result<(), ReasonCode> {
        let refusal = self.refusal_at_hand();
        let Local { journal, sessions, counters, rejected, .. } = &mut self.local;
        if let Some(refusal) = refusal {
            *(if *rejected { &mut counters.publish_refused } else { &mut counters.storage_refused }) += 1;
            self.refuse_attempt(number);
            return Err(refusal);
        }
        let Some(journal) = journal else { return Ok(()) };
        let log = sessions.get(session).map_or(0, |entry| entry.log);
        let held = qos == QoS::ExactlyOnce && log != 0;
        if held && journal.hold_inbound(log, packet_id).is_err() {
            counters.storage_refused += 1;
            let refusal = journal.refusal();
            self.refuse_attempt(number);
            return Err(refusal);
        }
        journal.end_attempt();
        if journal.was_touched() {
            self.local.fence_publisher(number);
        }
        Ok(())
    }

    /// The QoS 2 PUBLISH at hand is refused, although it may have reached somebody.
    fn refuse_attempt(&mut self, number: u32) {
        let can_refuse = self.can_refuse(number);
        let Some(journal) = &mut self.local.journal else { return };
        if !can_refuse {
            journal.leave_attempt();
        } else if journal.drop_attempt() == Fence::Yes {
            self.local.fence(number);
        }
    }

    /// True when the client can be told that its PUBLISH is refused: before 5.0 there is no way but to close.
    pub(crate) fn can_refuse(&self, number: u32) -> bool {
        self.local.connections.get(number).is_some_and(|connection| connection.version == ProtocolVersion::V5)
    }

    /// Ends a connection whose packets cannot be kept, without the acknowledgements that still wait.
    pub(crate) fn refuse_publisher(&mut self, number: u32, reason: ReasonCode) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        if connection.phase != Phase::Live {
            return;
        }
        let (opened, peer) =
            (self.local.journal.as_ref().map_or(0, |journal| journal.barriers.opened()), connection.peer);
        let let_in = connection.forget_held_back(opened);
        tracing::debug!(shard = self.id, %peer, "closed: what it sent could not be kept");
        if let_in {
            self.disconnect(number, reason, DetachCause::Lost);
        } else {
            self.detach(number, DetachCause::Lost);
            self.drain(number);
        }
    }

    /// A log has failed, here or on a shard that may be waited for: whoever waits is not told, and must come again.
    pub(crate) fn refuse_all_held_back(&mut self, reason: ReasonCode) {
        let in_doubt = self.local.journal.as_ref().map_or(Vec::new(), |journal| journal.inbound_in_doubt());
        for (number, exchange) in in_doubt {
            self.local.forget_inbound(number, exchange);
        }
        for number in self.local.connections.numbers() {
            if self.local.connections.get(number).is_some_and(|connection| connection.held_back.is_some()) {
                self.local.counters.storage_refused += 1;
                self.refuse_publisher(number, reason);
            }
        }
    }

    /// Another shard says how many of this one's messages are safe there.
    pub(crate) fn take_safe(&mut self, count: Count) {
        if let Some(journal) = &mut self.local.journal {
            journal.barriers.is_safe(count);
        }
    }

    /// Another shard has durable sessions, or none any more.
    pub(crate) fn take_durable(&mut self, from: ShardId, durable: bool) {
        if durable {
            self.durable_shards.insert(from);
        } else {
            self.durable_shards.remove(from);
        }
    }

    pub(crate) fn take_wrote(&mut self, result: io::Result<usize>, wire: &mut impl CommitWire) {
        let Self { local, retained, .. } = self;
        if let Some(journal) = &mut local.journal {
            journal.wrote(result, retained, wire);
        }
    }

    pub(crate) fn take_synced(&mut self, token: u64, result: io::Result<()>) {
        let Self { local, retained, .. } = self;
        if let Some(journal) = &mut local.journal {
            journal.synced(token, result, retained);
        }
    }

    /// A client is about to get its session, or to go on with `goes_on`: the room for one that is not in the log and is to be.
    /// `found` is the session that it has, which may be about to end.
    ///
    /// # Errors
    /// The reason to refuse the CONNECT: there is no room, or a log that has failed would not keep that the session found is
    /// durable no more, and it would be there again after a start.
    pub(crate) fn prepare_session(
        &mut self,
        connect: &Connect<'_>,
        client_id: &str,
        found: Option<u32>,
        goes_on: Option<u32>,
        admission: &Admission,
    ) -> Result<Option<PreparedSession>, ReasonCode> {
        let (found_is_kept, is_kept) = (self.is_kept(found), self.is_kept(goes_on));
        let Local { journal, counters, .. } = &mut self.local;
        let Some(journal) = journal else { return Ok(None) };
        let expiry_s = admission.session_expiry_s();
        if expiry_s == 0 && found_is_kept && journal.has_failed() {
            counters.storage_refused += 1;
            return Err(journal.refusal());
        }
        if is_kept || expiry_s == 0 {
            return Ok(None);
        }
        let will = admission.pending_will().map(WillBody::of);
        let body = SessionBody { version: connect.version, expiry_s, detached_at: None, client_id, will };
        journal.prepare_session(&body).map(Some).map_err(|_| {
            counters.storage_refused += 1;
            journal.refusal()
        })
    }

    /// Whether there is such a session, and it is in the log.
    pub(crate) fn is_kept(&self, session: Option<u32>) -> bool {
        session.and_then(|session| self.local.sessions.get(session)).is_some_and(|entry| entry.log != 0)
    }

    /// A session has got a connection: from now on it is durable, or it is not any more. `ended_kept` says that the client had
    /// a durable session, which is over.
    pub(crate) fn keep_session(&mut self, session: u32, prepared: Option<PreparedSession>, ended_kept: bool) {
        let Some(entry) = self.local.sessions.get_mut(session) else { return };
        let Some(journal) = &mut self.local.journal else { return };
        let (number, log) = (entry.connection, entry.log);
        let barrier = journal.session_barrier(log);
        if barrier > journal.barriers.opened() {
            // What an earlier connection was not told yet, this one must not be told earlier.
            self.local.hold_back(number, barrier);
        }
        let Some(entry) = self.local.sessions.get_mut(session) else { return };
        let Some(journal) = &mut self.local.journal else { return };
        if entry.session.is_transient() {
            entry.session.track_progress(false);
            entry.log = 0;
            self.forget_session(log);
            if ended_kept || log != 0 {
                // Once the client knows that its session is over, no loss of power may bring it back.
                self.local.fence(number);
            }
            return;
        }
        if let Some(prepared) = prepared {
            entry.log = journal.open_session(session, prepared);
            entry.session.track_progress(true);
            self.announce_durable();
        } else {
            self.note_session(session);
            self.local.note_progress(session);
            if self.local.journal.as_ref().is_some_and(|journal| journal.has_failed()) {
                // What is kept of it was promised before: its messages may still reach it.
                return;
            }
        }
        self.local.fence(number);
    }

    /// What the log has to know of a durable session has changed.
    pub(crate) fn note_session(&mut self, session: u32) {
        let Local { sessions, journal, .. } = &mut self.local;
        let (Some(entry), Some(journal)) = (sessions.get_mut(session), journal) else { return };
        if entry.log != 0 {
            journal.change_session(entry.log, &entry.kept());
        }
    }

    /// A session is over, or durable no more.
    pub(crate) fn forget_session(&mut self, log: u64) {
        if let Some(journal) = self.local.journal.as_mut().filter(|_| log != 0) {
            journal.end_session(log);
            self.announce_durable();
        }
    }

    /// Tells the other shards whether there are durable sessions here, when that has changed.
    fn announce_durable(&mut self) {
        let durable = self.local.journal.as_ref().is_some_and(|journal| journal.sessions() > 0);
        if durable == self.durable_shards.contains(self.id) {
            return;
        }
        self.take_durable(self.id, durable);
        self.tell_all(|| Mail::Durable(durable));
    }

    pub(crate) fn tell_all(&mut self, mail: impl Fn() -> Mail) {
        let own = self.id;
        for shard in (0..self.shards).filter(|shard| *shard != own) {
            self.post(shard, mail());
        }
    }

    /// A subscription is about to be made.
    ///
    /// # Errors
    /// The reason to refuse it.
    pub(crate) fn keep_subscription(
        &mut self,
        session: u32,
        filter: &str,
        options: SubscriptionOptions,
        id: u32,
    ) -> Result<(), ReasonCode> {
        let Local { sessions, journal, counters, .. } = &mut self.local;
        let (Some(entry), Some(journal)) = (sessions.get(session), journal) else { return Ok(()) };
        if entry.log == 0 {
            return Ok(());
        }
        if journal.subscribe(entry.log, filter, OptionBits::from(options), id).is_err() {
            counters.storage_refused += 1;
            return Err(journal.refusal());
        }
        let number = entry.connection;
        self.local.fence(number);
        Ok(())
    }

    /// A subscription has ended.
    pub(crate) fn forget_subscription(&mut self, session: u32, filter: &str) {
        let Local { sessions, journal, .. } = &mut self.local;
        let (Some(entry), Some(journal)) = (sessions.get(session), journal) else { return };
        if entry.log != 0 {
            journal.unsubscribe(entry.log, filter);
            let number = entry.connection;
            self.local.fence(number);
        }
    }

    /// A message to retain on this shard.
    pub(crate) fn keep_retained(&mut self, message: Rc<Message>, tag: Tag) {
        let Self { retained, local, .. } = self;
        let reserved = match &mut local.journal {
            None => None,
            Some(journal) => match journal.admit_retained(&message, retained) {
                Ok(reserved) => Some(reserved),
                Err(_) => {
                    local.counters.retained_refused_full += 1;
                    return;
                }
            },
        };
        let topic_name = Rc::clone(&message);
        let mut kept = retained.set(message);
        if let Ok(note) = &mut kept {
            note.tag = tag;
        }
        match (kept, &mut local.journal, reserved) {
            (Ok(note), Some(journal), Some(reserved)) => journal.retained(topic_name.topic_name(), note, reserved),
            (Ok(_), _, _) => {}
            (Err(error), journal, reserved) => {
                if let (Some(journal), Some(reserved)) = (journal, reserved) {
                    journal.not_queued(reserved);
                }
                local.counters.retained_refused_full += 1;
                tracing::warn!(shard = self.id, "a retained message was not kept: {error}");
            }
        }
    }

    /// The retained message of a topic is cleared.
    pub(crate) fn forget_retained(&mut self, topic_name: &str) {
        if let Some((_, note)) = self.retained.remove(topic_name)
            && let Some(journal) = &mut self.local.journal
        {
            journal.retained_gone(topic_name, &note, false);
        }
    }

    /// When the journal has something to do although nothing happens.
    pub(crate) fn journal_turn(&self) -> Option<Millis> {
        self.local.journal.as_ref().and_then(|journal| journal.next_turn())
    }
}

impl Local {
    /// What a QoS 2 PUBLISH of a durable session is, where it may come again after a crash.
    pub(crate) fn attempt(&mut self, session: u32, inbound: &Inbound<'_>) -> Option<Attempt> {
        let journal = self.journal.as_mut().filter(|_| inbound.qos == QoS::ExactlyOnce)?;
        journal.attempt(self.sessions.get(session)?.log, inbound.packet_id?, inbound.dup, &inbound.message())
    }

    /// A publication begins that durable sessions may get.
    #[inline(never)] // so that its caller stays small enough to be inlined
    fn log_publication(&mut self, attempt: Option<&Attempt>) {
        if let Some(journal) = &mut self.journal {
            journal.begin_publication(attempt.copied());
        }
    }

    /// A QoS 2 PUBLISH of a session turned out not to be kept: when it comes again it is no repetition.
    fn forget_inbound(&mut self, session: u32, exchange: Exchange) {
        let Self { sessions, journal, .. } = self;
        if let (Some(entry), Some(journal)) = (sessions.get_mut(session), journal) {
            entry.session.forget_inbound(exchange.packet_id);
            journal.forget_inbound(exchange.session, exchange.packet_id);
        }
    }

    /// True while such a PUBLISH is being delivered.
    pub(crate) fn is_attempt(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.current_attempt().is_some())
    }

    /// True when the shared subscription that `name` names has the message at hand already.
    pub(crate) fn group_has_message(&self, name: impl FnOnce() -> u64) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.group_has_message(name))
    }

    /// What is delivered from here on goes to a member of the shared subscription, until the next call.
    pub(crate) fn deliver_to_group(&mut self, name: Option<u64>) {
        if let Some(journal) = &mut self.journal {
            journal.deliver_to_group(name);
        }
    }

    /// Everybody has got the message at hand.
    pub(crate) fn end_message(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.end_message();
        }
    }
}

impl SessionEntry {
    /// What the log is to know of the session.
    fn kept(&self) -> SessionBody<'_> {
        let session = &self.session;
        SessionBody {
            version: session.version(),
            expiry_s: session.session_expiry_s(),
            detached_at: session.detached_at(),
            client_id: session.client_id(),
            will: session.pending_will().map(WillBody::of),
        }
    }
}
