//! What the log holds of sessions and messages, and where: enough to end a record's life when its time has come.
//!
//! It keeps no content that the session does not keep as well, only places.

use super::exchange::{Exchange, Inbound, Taken};
use super::record::{self, Body};
use super::{Note, SavedRetained};
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::{PacketId, QoS};
use ringtail_storage::{Owner, Record, RecordRef, Reserved};
use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

/// All sessions and messages of a log, by their keys.
#[derive(Default)]
pub(super) struct State {
    pub sessions: HashMap<u64, SessionLog>,
    pub messages: HashMap<u64, MessageLog>,
    /// QoS 2 PUBLISHes whose message came here and may come again.
    pub taken: HashMap<Exchange, Taken>,
}

/// A session's records.
#[derive(Default)]
pub(super) struct SessionLog {
    /// The shard's own number of the session.
    pub number: u32,
    /// Of [`record::kind::SESSION`]; `None` until it is written.
    pub at: Option<RecordRef>,
    pub subscriptions: HashMap<Box<str>, Option<RecordRef>>,
    /// Ascending by sequence number.
    pub entries: VecDeque<Entry>,
    pub inbound: HashMap<PacketId, Inbound>,
    /// Sequence numbers that the log must learn to be done.
    pub done: Vec<u64>,
    /// What was appended on the session's behalf, and the client must not be told before it is safe, lies behind this.
    pub barrier: u64,
}

/// A message of a session.
pub(super) struct Entry {
    pub sequence: u64,
    pub message: u64,
    pub qos: QoS,
    pub packet_id: Option<PacketId>,
    pub stage: Stage,
}

/// What the log has of an entry.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// Nothing yet.
    Unwritten,
    /// PUBREC has come before anything was written.
    ReleasedUnwritten,
    Queued {
        queued: RecordRef,
    },
    Sent {
        queued: RecordRef,
        sent: RecordRef,
    },
    Released {
        released: RecordRef,
    },
}

/// A message that sessions share.
pub(super) struct MessageLog {
    /// `None` until it is written.
    pub at: Option<RecordRef>,
    /// Until it is written: the message, and the room that was set aside for it.
    pub unwritten: Option<(Rc<Message>, Option<Reserved>)>,
    /// Entries that need it.
    pub uses: u32,
}

impl Stage {
    /// The records of the entry itself.
    pub(super) fn records(self) -> impl Iterator<Item = RecordRef> {
        let (a, b) = match self {
            Self::Unwritten | Self::ReleasedUnwritten => (None, None),
            Self::Queued { queued } => (Some(queued), None),
            Self::Sent { queued, sent } => (Some(queued), Some(sent)),
            Self::Released { released } => (Some(released), None),
        };
        a.into_iter().chain(b)
    }

    /// True while the entry needs its message.
    pub(super) fn needs_message(self) -> bool {
        matches!(self, Self::Unwritten | Self::Queued { .. } | Self::Sent { .. })
    }
}

impl SessionLog {
    pub(super) fn find(&self, sequence: u64) -> Option<usize> {
        // What is acknowledged is usually the oldest, what is sent the newest.
        match self.entries.front() {
            Some(front) if front.sequence == sequence => Some(0),
            _ => self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok(),
        }
    }

    pub(super) fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let index = self.find(sequence)?;
        self.entries.get_mut(index)
    }
}

impl State {
    /// An entry needs its message no more; the message if it was the last.
    pub(super) fn unuse(&mut self, message: u64) -> Option<MessageLog> {
        let known = self.messages.get_mut(&message)?;
        known.uses -= 1;
        if known.uses > 0 { None } else { self.messages.remove(&message) }
    }
}

/// Answers for the log which records are still needed.
pub(super) struct Holder<'a> {
    pub state: &'a mut State,
    pub retained: &'a mut SavedRetained,
}

impl Holder<'_> {
    /// Where the holder believes the record that `record` is a copy of to be.
    fn place(&mut self, record: &Record<'_>) -> Option<&mut RecordRef> {
        let body = record::read(record.kind, record.body)?;
        if let Body::Message(_) = body {
            return self.state.messages.get_mut(&record.key)?.at.as_mut();
        }
        if let Body::Retained(message) = body {
            let (_, Note { at, .. }) = self.retained.note_mut(message.topic_name)?;
            return at.as_mut();
        }
        if let Body::Taken { exchange, .. } = body {
            return self.state.taken.get_mut(&exchange)?.at.iter_mut().find(|at| **at == record.at);
        }
        let session = self.state.sessions.get_mut(&record.key)?;
        match body {
            Body::Session(_) => session.at.as_mut(),
            Body::Subscribed { filter, .. } => session.subscriptions.get_mut(filter)?.as_mut(),
            Body::Held { packet_id } => session.inbound.get_mut(&packet_id)?.at.as_mut(),
            Body::Queued(queued) => match &mut session.entry_mut(queued.sequence)?.stage {
                Stage::Queued { queued } | Stage::Sent { queued, .. } => Some(queued),
                _ => None,
            },
            Body::Sent { sequence, .. } => match &mut session.entry_mut(sequence)?.stage {
                Stage::Sent { sent, .. } => Some(sent),
                _ => None,
            },
            Body::Released { sequence, .. } => match &mut session.entry_mut(sequence)?.stage {
                Stage::Released { released } => Some(released),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Owner for Holder<'_> {
    fn is_live(&mut self, record: &Record<'_>) -> bool {
        self.place(record).is_some_and(|place| *place == record.at)
    }

    fn moved(&mut self, record: &Record<'_>, to: RecordRef) {
        if let Some(place) = self.place(record) {
            *place = to;
        }
    }
}
