//! What is to be written at the next commit, and the writing.
//!
//! Between an event and the commit that would write it, most messages to clients that are connected are acknowledged: those
//! are found gone here and are never written.

use super::record::{self, QueuedBody, kind};
use super::state::{MessageLog, Stage};
use super::{Exchange, Journal, SavedRetained};
use crate::ShardId;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::{PacketId, QoS};
use ringtail_storage::{AppendError, Kind, RecordRef, Reserved};

/// Something to write.
pub(super) struct Pending {
    pub what: What,
    /// The session; 0 for retained messages.
    pub key: u64,
    /// Room that was set aside; what ends the life of records has room anyway.
    pub reserved: Option<Reserved>,
}

pub(super) enum What {
    Session {
        body: Box<[u8]>,
    },
    SessionEnded,
    Subscribed {
        head: [u8; 5],
        filter: Box<str>,
    },
    Unsubscribed {
        filter: Box<str>,
    },
    Queued {
        sequence: u64,
        qos: QoS,
        retain: bool,
        subscription_ids: Box<[u32]>,
    },
    Sent {
        sequence: u64,
    },
    Released {
        sequence: u64,
    },
    /// The session's list of what is done.
    Done,
    Held {
        packet_id: PacketId,
        /// Holds if the identifier's attempt has the same.
        number: u64,
    },
    HeldDone {
        packet_id: PacketId,
    },
    Retained {
        topic_name: Box<str>,
        /// Holds if the topic's note has the same.
        number: u64,
    },
    Cleared {
        topic_name: Box<str>,
    },
    Taken {
        exchange: Exchange,
        /// Holds if what is taken has the same.
        number: u64,
        body: Box<[u8]>,
    },
    Forgotten {
        exchange: Exchange,
    },
    /// Nothing to write: the shard is to be told to forget the exchange.
    Forget {
        shard: ShardId,
        exchange: Exchange,
    },
}

/// Messages that one record says are done: 32 KiB, which fits the smallest segment.
const DONE_MAX: usize = 4096;

impl Journal {
    /// Puts everything that is pending, and still holds, into the log; without `retained`, all but retained messages. What the
    /// log refuses stays pending, and everything behind it, so that the order holds.
    pub(super) fn write_pending(&mut self, mut retained: Option<&mut SavedRetained>) {
        let mut refused = false;
        self.log.keep_together();
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        for mut item in pending.by_ref() {
            if retained.is_none() && matches!(item.what, What::Retained { .. }) {
                self.pending.push(item);
                continue;
            }
            if let Err(error) = self.write(&mut item, retained.as_deref_mut()) {
                // It is tried again every few milliseconds, and said once.
                if !self.stuck {
                    tracing::error!(
                        "the log does not take a record; what waits behind it is not acknowledged: {error}"
                    );
                }
                refused = true;
                self.pending.push(item);
                break;
            }
        }
        self.stuck = refused;
        self.pending.extend(pending);
    }

    fn write(&mut self, item: &mut Pending, retained: Option<&mut SavedRetained>) -> Result<(), AppendError> {
        let Pending { what, key, reserved } = item;
        self.write_what(what, *key, reserved, retained)?;
        // It was not needed any more.
        reserved.take().into_iter().for_each(|reserved| self.log.unreserve(reserved));
        Ok(())
    }

    fn write_what(
        &mut self,
        what: &What,
        key: u64,
        reserved: &mut Option<Reserved>,
        retained: Option<&mut SavedRetained>,
    ) -> Result<(), AppendError> {
        match what {
            What::Session { body } => {
                if self.state.sessions.contains_key(&key) {
                    let at = self.append(reserved, kind::SESSION, key, &[body])?;
                    let before = self.state.sessions.get_mut(&key).and_then(|session| session.at.replace(at));
                    before.into_iter().for_each(|at| self.log.release(at));
                }
            }
            What::SessionEnded => self.tombstone(kind::SESSION_ENDED, key, &[])?,
            What::Subscribed { head, filter } => {
                if self.state.sessions.get(&key).is_some_and(|session| session.subscriptions.contains_key(filter)) {
                    let at = self.append(reserved, kind::SUBSCRIBED, key, &[head, filter.as_bytes()])?;
                    let session = self.state.sessions.get_mut(&key);
                    let place = session.and_then(|session| session.subscriptions.get_mut(filter));
                    place.and_then(|place| place.replace(at)).into_iter().for_each(|at| self.log.release(at));
                }
            }
            What::Unsubscribed { filter } => self.tombstone(kind::UNSUBSCRIBED, key, &[filter.as_bytes()])?,
            What::Queued { sequence, qos, retain, subscription_ids } => {
                self.write_queued(key, (*sequence, *qos, *retain), subscription_ids, reserved)?;
            }
            What::Sent { sequence } => self.write_sent(key, *sequence)?,
            What::Released { sequence } => self.write_released(key, *sequence)?,
            What::Done => self.write_done(key)?,
            What::Held { packet_id, number } => self.write_held(key, *packet_id, *number, reserved)?,
            What::HeldDone { packet_id } => {
                self.tombstone(kind::HELD_DONE, key, &[&packet_id.get().to_le_bytes()])?;
            }
            What::Retained { topic_name, number } => {
                if let Some(retained) = retained {
                    self.write_retained(topic_name, *number, reserved, retained)?;
                }
            }
            What::Cleared { topic_name } => self.tombstone(kind::CLEARED, 0, &[topic_name.as_bytes()])?,
            What::Taken { exchange, number, body } => {
                if self.state.taken.get(exchange).is_some_and(|taken| taken.number == *number) {
                    let at = self.append(reserved, kind::TAKEN, 0, &[body])?;
                    self.state.taken.entry(*exchange).or_default().at.push(at);
                }
            }
            What::Forgotten { exchange } => self.tombstone(kind::FORGOTTEN, 0, &[&record::exchange(exchange)])?,
            What::Forget { shard, exchange } if *shard == self.shard => drop(self.forget_taken(exchange)),
            What::Forget { shard, exchange } => self.forgotten.push((*shard, *exchange)),
        }
        Ok(())
    }

    fn append(
        &mut self,
        reserved: &mut Option<Reserved>,
        kind: Kind,
        key: u64,
        body: &[&[u8]],
    ) -> Result<RecordRef, AppendError> {
        match reserved.take() {
            Some(reserved) => self.log.append_reserved(reserved, kind, key, body),
            // Refused before, when it had room set aside: it must be taken as soon as anything can be.
            None => self.log.append_vital(kind, key, body),
        }
        .map(|appended| appended.at)
    }

    fn tombstone(&mut self, kind: Kind, key: u64, body: &[&[u8]]) -> Result<(), AppendError> {
        self.log.append_tombstone(kind, key, body).map(drop)
    }

    fn write_queued(
        &mut self,
        key: u64,
        (sequence, qos, retain): (u64, QoS, bool),
        subscription_ids: &[u32],
        reserved: &mut Option<Reserved>,
    ) -> Result<(), AppendError> {
        let entry = self.state.sessions.get_mut(&key).and_then(|session| session.entry_mut(sequence));
        let Some(entry) = entry.filter(|entry| matches!(entry.stage, Stage::Unwritten)) else { return Ok(()) };
        let (message, packet_id) = (entry.message, entry.packet_id);
        self.write_shared(message)?;
        let subscription_ids = subscription_ids.to_vec();
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        record::queued(&QueuedBody { sequence, message, qos, retain, packet_id, subscription_ids }, &mut body);
        let appended = self.append(reserved, kind::QUEUED, key, &[&body]);
        self.scratch = body;
        let queued = appended?;
        if let Some(entry) = self.state.sessions.get_mut(&key).and_then(|session| session.entry_mut(sequence)) {
            entry.stage = Stage::Queued { queued };
        }
        Ok(())
    }

    /// The message itself, once for all its entries.
    fn write_shared(&mut self, key: u64) -> Result<(), AppendError> {
        let Some(MessageLog { at, unwritten, .. }) = self.state.messages.get_mut(&key) else { return Ok(()) };
        let Some((message, reserved)) = unwritten else { return Ok(()) };
        let shown = Message::as_ref(message);
        let head = record::message_head(&shown);
        let body: [&[u8]; 4] = [&head, shown.topic_name.as_bytes(), shown.properties, shown.payload];
        let appended = match reserved.take() {
            Some(reserved) => self.log.append_reserved(reserved, kind::MESSAGE, key, &body),
            None => self.log.append_vital(kind::MESSAGE, key, &body),
        };
        *at = Some(appended?.at);
        *unwritten = None;
        Ok(())
    }

    fn write_held(
        &mut self,
        key: u64,
        packet_id: PacketId,
        number: u64,
        reserved: &mut Option<Reserved>,
    ) -> Result<(), AppendError> {
        let inbound = self.state.sessions.get(&key).and_then(|session| session.inbound.get(&packet_id));
        if !inbound.is_some_and(|inbound| inbound.held && inbound.number == number && inbound.at.is_none()) {
            return Ok(());
        }
        let at = self.append(reserved, kind::HELD, key, &[&packet_id.get().to_le_bytes()])?;
        let session = self.state.sessions.get_mut(&key);
        if let Some(inbound) = session.and_then(|session| session.inbound.get_mut(&packet_id)) {
            inbound.at = Some(at);
        }
        // What this shard has taken of the exchange is said by this as well.
        self.forget_taken(&Exchange { home: self.shard, session: key, packet_id });
        Ok(())
    }

    fn write_sent(&mut self, key: u64, sequence: u64) -> Result<(), AppendError> {
        let entry = self.state.sessions.get_mut(&key).and_then(|session| session.entry_mut(sequence));
        if let Some(entry) = entry
            && let (Stage::Queued { queued }, Some(packet_id)) = (entry.stage, entry.packet_id)
        {
            let body = record::numbered(sequence, packet_id);
            let sent = self.log.append_vital(kind::SENT, key, &[&body])?.at;
            entry.stage = Stage::Sent { queued, sent };
        }
        Ok(())
    }

    fn write_released(&mut self, key: u64, sequence: u64) -> Result<(), AppendError> {
        let entry = self.state.sessions.get_mut(&key).and_then(|session| session.entry_mut(sequence));
        let Some(entry) = entry else { return Ok(()) };
        let Some(packet_id) = entry.packet_id else { return Ok(()) };
        let (before, message) = (entry.stage, entry.message);
        let body = record::numbered(sequence, packet_id);
        let released = self.log.append_vital(kind::RELEASED, key, &[&body])?.at;
        entry.stage = Stage::Released { released };
        before.records().for_each(|at| self.log.release(at));
        if before.needs_message()
            && let Some(message) = self.state.unuse(message)
        {
            self.forget(message);
        }
        Ok(())
    }

    fn write_done(&mut self, key: u64) -> Result<(), AppendError> {
        let Some(session) = self.state.sessions.get_mut(&key) else { return Ok(()) };
        let mut body = std::mem::take(&mut self.scratch);
        let mut written = Ok(());
        while written.is_ok() && !session.done.is_empty() {
            let rest = session.done.len().saturating_sub(DONE_MAX);
            body.clear();
            session.done[rest..].iter().for_each(|sequence| body.extend_from_slice(&sequence.to_le_bytes()));
            written = self.log.append_tombstone(kind::DONE, key, &[&body]).map(drop);
            if written.is_ok() {
                session.done.truncate(rest);
            }
        }
        self.scratch = body;
        written
    }

    fn write_retained(
        &mut self,
        topic_name: &str,
        number: u64,
        reserved: &mut Option<Reserved>,
        retained: &mut SavedRetained,
    ) -> Result<(), AppendError> {
        let Some((message, note)) = retained.note_mut(topic_name) else { return Ok(()) };
        if note.pending != number {
            return Ok(());
        }
        let shown = message.as_ref().as_ref();
        let head = record::message_head(&shown);
        let body: [&[u8]; 4] = [&head, shown.topic_name.as_bytes(), shown.properties, shown.payload];
        let at = self.append(reserved, kind::RETAINED, 0, &body)?;
        note.pending = 0;
        note.at.replace(at).into_iter().for_each(|at| self.log.release(at));
        Ok(())
    }
}
