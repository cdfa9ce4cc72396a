//! Retained messages for a new subscription: asked for in slices, as fast as the subscriber takes them, and complete
//! however many there are.
//!
//! A topic's retained message lives on one shard. A scan goes through the shards one after another and asks each for the
//! next slice only when the subscriber has taken the one before, so that neither its queue nor the mesh fills up. The
//! shard that is asked keeps nothing of the scan. An answer that finds the subscriber without room is dropped, and asked
//! for again when there is room: nothing is kept on the way.

use crate::ShardId;
use crate::journal::{Lane, SavedRetained};
use crate::routing::{Cursor, FilterId, Slice, has_wildcards, hash_topic};
use crate::shard::Core;
use crate::shard::connection::{Connection, Phase};
use crate::shard::local::Local;
use crate::shard::mail::{Mail, Publisher, Retain, RetainedAsk, RetainedFenced, RetainedFound};
use crate::shard::retentions::{Retention, Tag};
use crate::shard::scans::Place;
use crate::shard::timers::{TICK_MS, Timer};
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::session::{DeliverOptions, Outgoing};
use std::rc::Rc;

/// Retained topics that are looked at for one slice, all of which may match.
const SLICE_TOPICS_MAX: usize = 128;
/// Bytes from which on a slice is full.
const SLICE_BYTES_MAX: usize = 256 << 10;
/// Slices of one turn: a thousand topics to look at, some hundred microseconds.
const STEPS_MAX: usize = 8;
/// How long a SUBACK, and what follows it, waits for the scan to end at most, milliseconds. Scans share the turns of the shards: of
/// many, or over very many topics, one may take minutes. So it is well below the second after which the least patient client
/// misses its PINGRESP, and above what a busy machine keeps a shard from its turns.
pub(super) const AWAIT_MS: u64 = 250;

impl Core {
    /// Starts to look for the retained messages of a filter that a session has subscribed to.
    pub(crate) fn start_scan(&mut self, session: u32, filter: &str, has_wildcards: bool) {
        // Most subscribers have nothing to wait for, and a shard that is alone knows it.
        let nothing_retained = self.shards == 1
            && if has_wildcards {
                self.retained.is_empty()
            } else {
                self.retained.get(filter, self.local.now).is_none()
            };
        if let Some(filter) = self.subscriptions.find(filter).filter(|_| !nothing_retained) {
            self.scans.add(session, filter);
        }
    }

    /// Has the SUBACK wait for the retained messages of its filters: who publishes because of that SUBACK is heard after them,
    /// as from a broker that has everything in one place.
    pub(crate) fn await_retained(&mut self, number: u32, session: u32) {
        if !self.scans.is_under_way(session) {
            return;
        }
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        // Who subscribes again meanwhile does not make what is there already wait longer.
        if !std::mem::replace(&mut connection.awaits_retained, true) {
            // The timer only wakes the shard: then the connection is flushed. It may come up a tick later.
            let at = self.local.now.plus_ms(AWAIT_MS - TICK_MS);
            connection.deadline = self.timers.file(Timer::Connection(number), at);
        }
    }

    /// Whether a connection's output is still to wait for retained messages. It is not when there are more than are sent at
    /// once, which come as the client takes them, nor when looking for them takes long.
    pub(crate) fn is_awaiting_retained(&self, connection: &Connection) -> bool {
        connection.awaits_retained
            && connection.phase == Phase::Live
            && self.local.now < connection.deadline
            && self.scans.is_under_way(connection.session)
            && self.local.has_room(connection.session)
    }

    /// Takes scans a step further whose subscriber has room. True when there may be more to do at once.
    pub(crate) fn step_scans(&mut self) -> bool {
        self.start_fence();
        for _ in 0..STEPS_MAX {
            let Some(session) = self.scans.next_ready() else { return false };
            self.step_scan(session);
        }
        self.scans.has_ready()
    }

    /// Asks all shards what they have published for those who have subscribed since the last time.
    fn start_fence(&mut self) {
        let Some(fence) = self.scans.begin_fence(self.id, self.shards, self.retentions.sent()) else { return };
        let id = self.id;
        for shard in (0..self.shards).filter(|shard| *shard != id) {
            self.post(shard, Mail::RetainedFence(fence));
        }
    }

    /// Another shard asks what this one has published. The announcement of the subscription that it asks for came before.
    pub(crate) fn take_retained_fence(&mut self, from: ShardId, fence: u64) {
        let sent = self.retentions.sent().into();
        self.post(from, Mail::RetainedFenced(Box::new(RetainedFenced { fence, sent })));
    }

    /// A subscriber may have room again.
    pub(crate) fn wake_scan(&mut self, session: u32) {
        if !self.scans.is_empty() {
            self.scans.wake(session);
        }
    }

    fn step_scan(&mut self, session: u32) {
        if !self.local.has_room(session) {
            return; // what makes room wakes the scan
        }
        let Self { scans, subscriptions, retained, retentions, local, homes, seed, .. } = self;
        let (id, last) = (self.id, self.shards - 1);
        let begin = |filter| {
            subscriptions.subscriber(filter, session)?;
            let text = subscriptions.filter(filter)?;
            let everywhere = Place { shard: 0, last, after: None };
            let keeper = homes.of(text);
            let of_topic = Place { shard: keeper, last: keeper, after: None };
            Some(if has_wildcards(text) { everywhere } else { of_topic })
        };
        let Some(current) = scans.current(session, begin) else { return };
        let Some(text) = subscriptions.filter(current.filter) else { return };
        let place = &current.place;
        if place.shard == id {
            if !current.is_answerable(retentions.taken()) {
                return scans.wake(session); // what is missing is in a ring
            }
            let current = current.clone();
            let (mut messages, after) = retained_slice(retained, local, text, current.place.after.as_ref());
            scans.strike_out(&current, &mut messages, |topic_name| hash_topic(seed, topic_name), retentions.taken());
            self.give_slice(session, current.filter, messages.into_iter().map(|(message, _)| message));
            self.scans.go_on(session, after);
        } else {
            let (to, filter, after) = (place.shard, text.into(), place.after.clone());
            let asked = scans.ask(session);
            self.post(to, Mail::RetainedAsk(Box::new(RetainedAsk { session, asked, filter, after })));
        }
    }

    /// Another shard asks for a slice.
    pub(crate) fn take_retained_ask(&mut self, from: ShardId, ask: RetainedAsk) {
        let RetainedAsk { session, asked, filter, after } = ask;
        let (messages, after) = retained_slice(&self.retained, &self.local, &filter, after.as_ref());
        let messages = messages.iter().map(|(message, tag)| (Message::clone(message), *tag)).collect();
        let taken = self.retentions.taken().into();
        self.post(from, Mail::RetainedFound(Box::new(RetainedFound { session, asked, messages, taken, after })));
    }

    /// Another shard answers.
    pub(crate) fn take_retained_found(&mut self, found: RetainedFound) {
        let RetainedFound { session, asked, mut messages, taken, after } = found;
        let Some(current) = self.scans.answered(session, asked, &taken) else { return };
        if !self.local.has_room(session) {
            return;
        }
        self.scans.strike_out(&current, &mut messages, |topic_name| hash_topic(&self.seed, topic_name), &taken);
        self.give_slice(session, current.filter, messages.into_iter().map(|(message, _)| Rc::new(message)));
        self.scans.go_on(session, after);
    }

    /// Gives a slice to its subscriber.
    fn give_slice(&mut self, session: u32, filter: FilterId, messages: impl IntoIterator<Item = Rc<Message>>) {
        let Some(subscriber) = self.subscriptions.subscriber(filter, session).copied() else { return };
        let ids = [subscriber.subscription_id];
        for message in messages {
            let options = DeliverOptions {
                qos: message.qos.min(subscriber.options.maximum_qos()),
                retain: true, // [MQTT-3.3.1-8]
                subscription_ids: if subscriber.subscription_id == 0 { &[] } else { &ids },
            };
            self.local.deliver(session, &mut Outgoing::from_shared(&message, &mut self.encoder), &options);
            self.local.end_message();
        }
        self.local.full.clear();
    }

    /// Keeps, replaces or forgets the retained message of a topic, on the shard that keeps it.
    pub(crate) fn retain(&mut self, message: &MessageRef<'_>, to: Retention, publisher: Option<Publisher>) {
        let Retention { keeper, tag } = to;
        let message = Message::from(*message);
        if keeper == self.id {
            self.retentions.note_sent(keeper);
            self.take_retain(message, tag);
        } else {
            let wait = message.qos > QoS::AtMostOnce;
            // What the keeper has against it is said by a mail of its own.
            let publisher = publisher.map(|publisher| Publisher { ask: 0, ..publisher });
            if self.post(keeper, Mail::Retain(Box::new(Retain { message, tag, publisher }))) {
                self.retentions.note_sent(keeper);
                self.note_sent(keeper, Lane::Retained, wait);
            }
        }
    }

    /// A message to retain on this shard, from another.
    pub(crate) fn take_retain_mail(&mut self, from: ShardId, retain: Retain) {
        let Retain { message, tag, publisher } = retain;
        self.begin_publication(None);
        self.take_retain(message, tag);
        self.answer_publication(from, Lane::Retained, publisher);
    }

    /// A message to retain on this shard.
    fn take_retain(&mut self, message: Message, tag: Tag) {
        self.retentions.note_taken(tag);
        if message.payload().is_empty() {
            self.forget_retained(message.topic_name()); // [MQTT-3.3.1-6], [MQTT-3.3.1-7]
        } else {
            self.keep_retained(Rc::new(message), tag);
        }
    }
}

/// A slice of a shard's retained messages, small enough for a subscriber's outbox and queue.
fn retained_slice(
    retained: &SavedRetained,
    local: &Local,
    filter: &str,
    after: Option<&Cursor>,
) -> (Vec<(Rc<Message>, Tag)>, Option<Cursor>) {
    let limits = &local.limits;
    let slice = Slice {
        topics_max: SLICE_TOPICS_MAX.min(limits.queue_messages_max as usize / 2),
        bytes_max: SLICE_BYTES_MAX.min(limits.outbox_bytes_max / 4).min(limits.queue_bytes_max / 4),
    };
    let mut messages = Vec::new();
    let after = retained.scan(filter, after, slice, local.now, |message, note| {
        messages.push((Rc::clone(message), note.tag));
    });
    (messages, after)
}
