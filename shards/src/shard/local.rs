//! What every delivery touches: sessions, connections, the pool and the counters, apart from the tries, so that a message
//! can be matched and delivered at the same time.

use crate::counters::Counters;
use crate::journal::{Fence, Journal};
use crate::shard::connection::{Connections, Phase};
use crate::shard::pool::Pool;
use crate::shard::sessions::{NONE, SessionEntry, Sessions};
use ringtail_mqtt::limits::{Limits, QueuePolicy};
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{DeliverOptions, Delivered, DropReason, Outgoing, Pumped, Ticket};
use ringtail_mqtt::time::Millis;

/// The delivering half of a shard.
pub(crate) struct Local {
    pub sessions: Sessions,
    pub connections: Connections,
    pub pool: Pool,
    pub counters: Counters,
    pub limits: Limits,
    /// The time of this turn.
    pub now: Millis,
    /// Subscribers that were found full since the publisher's last packet: whoever publishes is held back for them.
    pub full: Vec<u32>,
    /// What is kept on disk; `None` without a data folder.
    pub journal: Option<Box<Journal>>,
    /// The queue of somebody was full who should have got the message at hand, and its publisher is to know.
    pub rejected: bool,
    /// Connections that would have to be told of something that a failed log does not keep.
    pub doomed: Vec<u32>,
    /// Where a session without a connection writes, which is nothing.
    nowhere: Outbox,
}

impl Local {
    pub(crate) fn new(sessions: Sessions, limits: Limits, now: Millis) -> Self {
        Self {
            sessions,
            connections: Connections::new(),
            pool: Pool::default(),
            counters: Counters::default(),
            limits,
            now,
            full: Vec::new(),
            journal: None,
            rejected: false,
            doomed: Vec::new(),
            nowhere: Outbox::default(),
        }
    }

    /// Gives a message to a session: into its connection's outbox, its window or its queue.
    #[inline(always)] // into the loop over the subscribers of a message
    pub(crate) fn deliver(&mut self, session: u32, outgoing: &mut Outgoing<'_>, options: &DeliverOptions<'_>) {
        let Self { sessions, connections, pool, limits, nowhere, .. } = self;
        let Some(entry) = sessions.get_mut(session) else { return };
        if entry.log != 0 && options.qos > QoS::AtMostOnce {
            return self.deliver_durable(session, outgoing, options);
        }
        let delivered = match connections.writable(entry.connection, pool) {
            Some(outbox) => {
                let delivered = entry.session.deliver(outgoing, options, limits, self.now, outbox);
                // Half of a limit is where publishers are slowed down, so that the limit itself is seldom met.
                if outbox.len_bytes() > limits.outbox_bytes_max / 2
                    || entry.session.queue_len() > limits.queue_messages_max as usize / 2
                {
                    self.full.push(session);
                }
                delivered
            }
            None => entry.session.deliver(outgoing, options, limits, self.now, nowhere),
        };
        self.count(delivered);
    }

    /// Gives a message of QoS 1 or 2 to a session that must not lose it.
    fn deliver_durable(&mut self, session: u32, outgoing: &mut Outgoing<'_>, options: &DeliverOptions<'_>) {
        let Self { sessions, connections, pool, limits, nowhere, journal, .. } = self;
        let (Some(entry), Some(journal)) = (sessions.get_mut(session), journal) else { return };
        if journal.has_message(entry.log) {
            return;
        }
        let Ok(reserved) = journal.admit(outgoing.shared(), options) else {
            self.counters.dropped_storage_full += 1;
            return;
        };
        let connection = entry.connection;
        let outbox = connections.writable(connection, pool);
        let delivered = entry.session.deliver(outgoing, options, limits, self.now, outbox.unwrap_or(nowhere));
        match delivered {
            Delivered::Sent { sequence } | Delivered::Queued { sequence, .. } => {
                journal.queued(entry.log, sequence, options, reserved);
            }
            Delivered::Dropped(_) => journal.not_queued(reserved),
        }
        if entry.session.queue_len() > limits.queue_messages_max as usize / 2 && connection != NONE {
            self.full.push(session);
        }
        self.count(delivered);
        self.note_progress(session);
    }

    /// Tells the log what has happened to a durable session's messages, and holds its client's packets back where they say more
    /// than is safe.
    #[inline]
    pub(crate) fn note_progress(&mut self, session: u32) {
        if self.journal.is_some() {
            self.log_progress(session);
        }
    }

    #[inline(never)] // so that its caller stays small enough to be inlined
    fn log_progress(&mut self, session: u32) {
        let Self { sessions, journal, .. } = self;
        let Some(journal) = journal else { return };
        let Some(entry) = sessions.get_mut(session) else { return };
        if entry.log == 0 {
            return;
        }
        let (log, connection) = (entry.log, entry.connection);
        let mut fence = Fence::No;
        for step in entry.session.drain_progress() {
            if journal.progress(log, step) == Fence::Yes {
                fence = Fence::Yes;
            }
        }
        if fence == Fence::Yes {
            self.fence(connection);
        }
    }

    #[inline]
    fn count(&mut self, delivered: Delivered) {
        match delivered {
            Delivered::Sent { .. } => self.counters.publish_sent += 1,
            Delivered::Queued { evicted, .. } => {
                self.counters.publish_queued += 1;
                self.counters.dropped_queue_full += u64::from(evicted);
            }
            Delivered::Dropped(reason) => self.count_dropped(reason),
        }
    }

    #[cold]
    fn count_dropped(&mut self, reason: DropReason) {
        if reason == DropReason::QueueFull {
            self.rejected |= self.limits.queue_policy == QueuePolicy::Reject;
        }
        let counters = &mut self.counters;
        *match reason {
            DropReason::QueueFull => &mut counters.dropped_queue_full,
            DropReason::OutboxFull => &mut counters.dropped_outbox_full,
            DropReason::PacketTooLarge => &mut counters.dropped_packet_too_large,
            DropReason::Expired => &mut counters.dropped_expired,
            DropReason::Offline => &mut counters.dropped_offline,
        } += 1;
    }

    /// It is known what has become of a PUBLISH of the session's client: its acknowledgement leaves in its turn.
    pub(crate) fn commit(&mut self, session: u32, ticket: Ticket, reason: ReasonCode) {
        let Self { sessions, connections, pool, nowhere, .. } = self;
        let Some(entry) = sessions.get_mut(session) else { return };
        let outbox = connections.writable(entry.connection, pool);
        entry.session.committed(ticket, reason, outbox.unwrap_or(nowhere));
    }

    pub(crate) fn count_pumped(&mut self, pumped: Pumped) {
        self.counters.publish_sent += u64::from(pumped.sent);
        self.counters.dropped_expired += u64::from(pumped.expired);
        self.counters.dropped_packet_too_large += u64::from(pumped.packet_too_large);
    }

    /// The session of a connection and the outbox to answer into; `None` unless the connection is live.
    pub(crate) fn live(&mut self, number: u32) -> Option<(&mut SessionEntry, &mut Outbox)> {
        self.connections.mark_dirty(number);
        self.answers(number)
    }

    /// As [`Local::live`], while the connection's packets are being handled: it is marked when all are done.
    #[inline]
    pub(crate) fn answers(&mut self, number: u32) -> Option<(&mut SessionEntry, &mut Outbox)> {
        let session = self.connections.get(number).filter(|c| c.phase == Phase::Live)?.session;
        let entry = self.sessions.get_mut(session)?;
        Some((entry, self.connections.answers(number, &mut self.pool)?))
    }

    /// Moves what the session has queued into its outbox, after room was made.
    pub(crate) fn pump(&mut self, session: u32) {
        let Self { sessions, connections, pool, limits, .. } = self;
        if let Some(entry) = sessions.get_mut(session)
            && entry.session.has_backlog()
            && let Some(outbox) = connections.writable(entry.connection, pool)
        {
            let pumped = entry.session.pump(limits, self.now, outbox);
            self.count_pumped(pumped);
            self.note_progress(session);
        }
    }

    /// True when a message of `qos` would go out to a session's client at once.
    pub(crate) fn can_take(&self, session: u32, qos: QoS) -> bool {
        self.sessions.get(session).is_some_and(|entry| {
            let waiting = self.connections.get(entry.connection).map_or(0, |c| c.outbox.len_bytes());
            entry.session.can_take(qos, &self.limits, waiting)
        })
    }

    /// True when a session has a connection.
    pub(crate) fn is_connected(&self, session: u32) -> bool {
        self.sessions.get(session).is_some_and(|entry| entry.session.is_connected())
    }

    /// True when a session can take more than it was given: connected, nothing queued and little waiting to be sent.
    pub(crate) fn has_room(&self, session: u32) -> bool {
        self.sessions.get(session).is_some_and(|entry| {
            !entry.session.has_backlog()
                && self
                    .connections
                    .get(entry.connection)
                    .is_some_and(|c| c.phase == Phase::Live && c.outbox.len_bytes() < self.limits.outbox_bytes_max / 4)
        })
    }
}
