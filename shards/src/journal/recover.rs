//! From the records of a log back to sessions, messages and retained messages.
//!
//! Records come in the order in which they were appended or moved, so that a record may come a second time, from a new
//! place, and one that was moved comes after others that it was written before. Nothing here depends on the order of records
//! of different kinds; of two records for the same thing, the one with the higher number holds.

use super::exchange::{Exchange, Inbound, Taken};
use super::folder::{KeptMessage, KeptSession, KeptSubscription, KeptWill};
use super::record::{self, Body, QueuedBody, SessionBody};
use super::state::{Entry, MessageLog, SessionLog, Stage, State};
use crate::routing::OptionBits;
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::PacketId;
use ringtail_storage::{Offset, Record, RecordRef};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A record and its number.
#[derive(Clone, Copy)]
struct Place {
    seq: u64,
    at: RecordRef,
}

/// What was found, as far as it has not ended.
#[derive(Default)]
pub(super) struct Replay {
    sessions: HashMap<u64, FoundSession>,
    messages: HashMap<u64, (Place, Rc<Message>)>,
    retained: HashMap<Box<str>, (Place, Rc<Message>)>,
    taken: HashMap<Exchange, Vec<FoundTaken>>,
    key_max: u64,
    /// The first record that is none of ours.
    unreadable: Option<Offset>,
}

#[derive(Default)]
struct FoundSession {
    kept: Option<(Place, KeptSession)>,
    subscriptions: HashMap<Box<str>, (Place, OptionBits, u32)>,
    entries: BTreeMap<u64, FoundEntry>,
    inbound: HashMap<PacketId, Place>,
}

#[derive(Default)]
struct FoundEntry {
    queued: Option<(Place, QueuedBody)>,
    sent: Option<(Place, PacketId)>,
    released: Option<(Place, PacketId)>,
}

/// A record of what an exchange has brought.
struct FoundTaken {
    place: Place,
    message: u64,
    sessions: Vec<u64>,
    groups: Vec<u64>,
}

/// What a shard begins with.
#[derive(Default)]
pub(crate) struct Restored {
    /// Sessions, with their keys in the log.
    pub sessions: Vec<(u64, KeptSession)>,
    pub retained: Vec<(Rc<Message>, RecordRef)>,
}

impl Replay {
    /// Takes a record; `release` is told of records that are of no use.
    pub(super) fn take(&mut self, record: &Record<'_>, mut release: impl FnMut(RecordRef)) {
        let Some(body) = record::read(record.kind, record.body) else {
            self.unreadable.get_or_insert(record.at.start());
            return;
        };
        self.key_max = self.key_max.max(record.key);
        let place = Place { seq: record.seq, at: record.at };
        match body {
            Body::Message(message) => {
                let before = self.messages.insert(record.key, (place, Rc::new(message.into())));
                before.into_iter().for_each(|(before, _)| release(before.at));
            }
            Body::Retained(message) => {
                let before = self.retained.insert(message.topic_name.into(), (place, Rc::new(message.into())));
                before.into_iter().for_each(|(before, _)| release(before.at));
            }
            Body::Cleared { topic_name } => {
                self.retained.remove(topic_name).into_iter().for_each(|(before, _)| release(before.at));
            }
            Body::Taken { exchange, message, sessions, groups } => {
                // Nobody may get a key that an exchange names, so as not to be taken for its owner.
                self.key_max = sessions.iter().copied().fold(self.key_max, u64::max);
                let found = self.taken.entry(exchange).or_default();
                found
                    .extract_if(.., |before| before.place.seq == place.seq)
                    .for_each(|before| release(before.place.at));
                found.push(FoundTaken { place, message, sessions, groups });
            }
            Body::Forgotten(exchange) => {
                self.taken.remove(&exchange).into_iter().flatten().for_each(|before| release(before.place.at));
            }
            Body::SessionEnded => {
                self.sessions
                    .remove(&record.key)
                    .into_iter()
                    .for_each(|session| session.places().for_each(&mut release));
            }
            body => self.sessions.entry(record.key).or_default().take(body, place, &mut release),
        }
    }

    /// The place of a record that this program does not know.
    pub(super) fn unreadable(&self) -> Option<Offset> {
        self.unreadable
    }

    /// The highest key of a session or a message.
    pub(super) fn key_max(&self) -> u64 {
        self.key_max
    }

    /// What holds, and where it stands; `release` is told of records that turned out to be of no use.
    pub(super) fn finish(self, mut release: impl FnMut(RecordRef)) -> (State, Restored) {
        let (mut state, mut restored) = (State::default(), Restored::default());
        let mut messages = self.messages;
        for (key, session) in self.sessions {
            if session.kept.is_none() {
                session.places().for_each(&mut release);
                continue;
            }
            let (log, kept) = session.finish(&messages, &mut state.messages, &mut release);
            state.sessions.insert(key, log);
            restored.sessions.extend(kept.map(|kept| (key, kept)));
        }
        for (key, (place, _)) in messages.drain() {
            if !state.messages.contains_key(&key) {
                release(place.at);
            }
        }
        state.taken = self.taken.into_iter().map(|(exchange, found)| (exchange, taken(found))).collect();
        restored.retained = self.retained.into_values().map(|(place, message)| (message, place.at)).collect();
        (state, restored)
    }
}

impl FoundSession {
    fn take(&mut self, body: Body<'_>, place: Place, mut release: impl FnMut(RecordRef)) {
        match body {
            Body::Session(body) => keep(&mut self.kept, place, kept_session(&body), release),
            Body::Subscribed { options, subscription_id, filter } => {
                let before = self.subscriptions.insert(filter.into(), (place, options, subscription_id));
                before.into_iter().for_each(|(before, ..)| release(before.at));
            }
            Body::Unsubscribed { filter } => {
                self.subscriptions.remove(filter).into_iter().for_each(|(before, ..)| release(before.at));
            }
            Body::Queued(body) => {
                let entry = self.entries.entry(body.sequence).or_default();
                match entry.released {
                    Some(_) => release(place.at),
                    None => keep(&mut entry.queued, place, body, release),
                }
            }
            Body::Sent { sequence, packet_id } => {
                let entry = self.entries.entry(sequence).or_default();
                match entry.released {
                    Some(_) => release(place.at),
                    None => keep(&mut entry.sent, place, packet_id, release),
                }
            }
            Body::Released { sequence, packet_id } => {
                let entry = self.entries.entry(sequence).or_default();
                entry.queued.take().into_iter().for_each(|(before, _)| release(before.at));
                entry.sent.take().into_iter().for_each(|(before, _)| release(before.at));
                keep(&mut entry.released, place, packet_id, release);
            }
            Body::Done(sequences) => {
                for entry in sequences.iter().filter_map(|sequence| self.entries.remove(sequence)) {
                    entry.places().for_each(&mut release);
                }
            }
            Body::Held { packet_id } => {
                self.inbound.insert(packet_id, place).into_iter().for_each(|before| release(before.at));
            }
            Body::HeldDone { packet_id } => {
                self.inbound.remove(&packet_id).into_iter().for_each(|before| release(before.at));
            }
            Body::SessionEnded
            | Body::Message(_)
            | Body::Retained(_)
            | Body::Cleared { .. }
            | Body::Taken { .. }
            | Body::Forgotten(_) => {}
        }
    }

    /// The places of all its records.
    fn places(&self) -> impl Iterator<Item = RecordRef> + '_ {
        let own = self.kept.iter().map(|(place, _)| place.at);
        let subscriptions = self.subscriptions.values().map(|(place, ..)| place.at);
        let inbound = self.inbound.values().map(|place| place.at);
        own.chain(subscriptions).chain(inbound).chain(self.entries.values().flat_map(FoundEntry::places))
    }

    fn finish(
        self,
        messages: &HashMap<u64, (Place, Rc<Message>)>,
        used: &mut HashMap<u64, MessageLog>,
        mut release: impl FnMut(RecordRef),
    ) -> (SessionLog, Option<KeptSession>) {
        let mut log = SessionLog { at: self.kept.as_ref().map(|(place, _)| place.at), ..SessionLog::default() };
        let mut kept = self.kept.map(|(_, kept)| kept);
        let mut waiting = Vec::new();
        for (sequence, entry) in self.entries {
            let Some((stage, message)) = entry.finish(sequence, messages) else {
                entry.places().for_each(&mut release);
                continue;
            };
            let key = entry.queued.as_ref().map_or(0, |(_, queued)| queued.message);
            if message.message.is_some()
                && let Some((place, _)) = messages.get(&key)
            {
                used.entry(key).or_insert(MessageLog { at: Some(place.at), unwritten: None, uses: 0 }).uses += 1;
            }
            log.entries.push_back(Entry {
                sequence,
                message: key,
                qos: message.qos,
                packet_id: message.packet_id,
                stage,
            });
            // What was sent comes before what waits [MQTT-4.6.0-1].
            match (&mut kept, message.packet_id) {
                (Some(kept), Some(_)) => kept.messages.push(message),
                _ => waiting.push(message),
            }
        }
        for (filter, (place, options, subscription_id)) in self.subscriptions {
            if let Some(kept) = &mut kept {
                let options = options.into();
                kept.subscriptions.push(KeptSubscription { filter: filter.clone(), options, subscription_id });
            }
            log.subscriptions.insert(filter, Some(place.at));
        }
        if let Some(kept) = &mut kept {
            kept.messages.append(&mut waiting);
            kept.inbound.extend(self.inbound.keys());
        }
        let held = |place: Place| Inbound { held: true, at: Some(place.at), ..Inbound::default() };
        log.inbound = self.inbound.into_iter().map(|(packet_id, place)| (packet_id, held(place))).collect();
        (log, kept)
    }
}

impl FoundEntry {
    fn places(&self) -> impl Iterator<Item = RecordRef> + '_ {
        let queued = self.queued.iter().map(|(place, _)| place.at);
        let sent = self.sent.iter().map(|(place, _)| place.at);
        queued.chain(sent).chain(self.released.iter().map(|(place, _)| place.at))
    }

    /// `None` when a part of it is missing, so that it can be of no use.
    fn finish(&self, sequence: u64, messages: &HashMap<u64, (Place, Rc<Message>)>) -> Option<(Stage, KeptMessage)> {
        if let Some((place, packet_id)) = self.released {
            let stage = Stage::Released { released: place.at };
            return Some((stage, KeptMessage::released(sequence, packet_id)));
        }
        let (place, queued) = self.queued.as_ref()?;
        let (_, message) = messages.get(&queued.message)?;
        let stage = match self.sent {
            Some((sent, _)) => Stage::Sent { queued: place.at, sent: sent.at },
            None => Stage::Queued { queued: place.at },
        };
        let message = KeptMessage {
            sequence,
            message: Some(Rc::clone(message)),
            qos: queued.qos,
            retain: queued.retain,
            subscription_ids: queued.subscription_ids.clone(),
            packet_id: self.sent.map(|(_, packet_id)| packet_id).or(queued.packet_id),
        };
        Some((stage, message))
    }
}

/// Keeps the one with the higher number; of two copies of a record the later place.
fn keep<T>(slot: &mut Option<(Place, T)>, place: Place, value: T, mut release: impl FnMut(RecordRef)) {
    match slot {
        Some((before, _)) if before.seq > place.seq => release(place.at),
        _ => slot.replace((place, value)).into_iter().for_each(|(before, _)| release(before.at)),
    }
}

fn taken(found: Vec<FoundTaken>) -> Taken {
    let last = found.iter().max_by_key(|found| found.place.seq);
    let mut taken = Taken { message: last.map_or(0, |last| last.message), ..Taken::default() };
    for FoundTaken { place, message, sessions, groups } in found {
        taken.at.push(place.at);
        if message == taken.message {
            taken.sessions.extend(sessions);
            taken.groups.extend(groups);
        }
    }
    taken.sessions.sort_unstable();
    taken
}

fn kept_session(body: &SessionBody<'_>) -> KeptSession {
    KeptSession {
        client_id: body.client_id.into(),
        version: body.version,
        expiry_s: body.expiry_s,
        detached_at: body.detached_at,
        will: body.will.as_ref().map(|will| KeptWill {
            message: will.message.into(),
            delay_s: will.delay_s,
            message_expiry_s: will.message_expiry_s,
        }),
        subscriptions: Vec::new(),
        messages: Vec::new(),
        inbound: Vec::new(),
        in_doubt: Vec::new(),
    }
}
