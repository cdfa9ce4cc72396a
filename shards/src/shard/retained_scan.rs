//! Retained messages for a new subscription: asked for in slices, as fast as the subscriber takes them, and complete
//! however many there are.
//!
//! A topic's retained message lives on one shard. A scan goes through the shards one after another and asks each for the
//! next slice only when the subscriber has taken the one before, so that neither its queue nor the mesh fills up. The
//! shard that is asked keeps nothing of the scan.

use crate::ShardId;
use crate::journal::Lane;
use crate::routing::Cursor;
use crate::shard::Core;
use crate::shard::mail::{Mail, Publisher, RetainedAsk, RetainedFound};
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::{QoS, SubscriptionOptions};
use ringtail_mqtt::session::{DeliverOptions, Outgoing};
use slab::Slab;
use std::rc::Rc;

/// Retained topics that are looked at for one slice, all of which may match: little enough for a subscriber's queue and
/// for one turn.
const SLICE_TOPICS_MAX: usize = 128;
/// Scans that are taken a step further in one turn.
const STEPS_MAX: usize = 32;

/// A scan under way.
struct Scan {
    /// Who gets the messages; `None` once nobody wants them and only an answer is still to come.
    session: Option<u32>,
    filter: Box<str>,
    options: SubscriptionOptions,
    subscription_id: u32,
    /// The shard to ask next.
    shard: ShardId,
    /// The last shard to ask.
    last: ShardId,
    /// The last topic that was looked at there.
    after: Option<Cursor>,
    /// An answer is to come.
    asked: bool,
}

/// All scans of a shard's subscribers.
#[derive(Default)]
pub(crate) struct Scans {
    slab: Slab<Scan>,
    next: usize,
}

impl Scans {
    pub(crate) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// The session wants no more of the scan for `filter`.
    pub(crate) fn forget_filter(&mut self, session: u32, filter: &str) {
        for (_, scan) in &mut self.slab {
            if scan.session == Some(session) && *scan.filter == *filter {
                scan.session = None;
            }
        }
        self.slab.retain(|_, scan| scan.session.is_some() || scan.asked);
    }

    /// The session wants no more of its scans.
    pub(crate) fn forget(&mut self, session: u32) {
        if self.slab.is_empty() {
            return;
        }
        self.slab.retain(|_, scan| {
            if scan.session == Some(session) {
                scan.session = None;
            }
            scan.session.is_some() || scan.asked
        });
    }
}

impl Core {
    /// Starts to look for the retained messages of a filter.
    pub(crate) fn start_scan(&mut self, session: u32, filter: &str, wild: bool, options: SubscriptionOptions, id: u32) {
        let (shard, last) = if wild {
            (0, self.shards - 1)
        } else {
            let keeper = self.keeper_of(filter);
            (keeper, keeper)
        };
        if !self.scans.slab.is_empty() {
            // One scan a subscription: the newer one takes the place of the older, which has its options no more.
            self.scans.forget_filter(session, filter);
        }
        self.scans.slab.insert(Scan {
            session: Some(session),
            filter: filter.into(),
            options,
            subscription_id: id,
            shard,
            last,
            after: None,
            asked: false,
        });
    }

    /// Takes scans a step further whose subscriber has room. True when there may be more to do at once.
    pub(crate) fn step_scans(&mut self) -> bool {
        let end = self.scans.slab.capacity();
        let mut stepped = 0;
        // Every scan is looked at, from where the last turn stopped, so that none is forgotten when the shard sleeps.
        for _ in 0..end {
            let number = self.scans.next % end;
            self.scans.next = number + 1;
            stepped += usize::from(self.step_scan(number));
            if stepped == STEPS_MAX {
                break;
            }
        }
        stepped > 0
    }

    fn step_scan(&mut self, number: usize) -> bool {
        let Some(scan) = self.scans.slab.get_mut(number) else { return false };
        let Some(session) = scan.session else { return false };
        if scan.asked || !self.local.has_room(session) {
            return false;
        }
        if scan.shard != self.id {
            scan.asked = true;
            let ask = RetainedAsk { scan: number as u32, filter: scan.filter.clone(), after: scan.after.take() };
            let to = scan.shard;
            self.post(to, Mail::RetainedAsk(Box::new(ask)));
            return false;
        }
        let (filter, after) = (scan.filter.clone(), scan.after.take());
        let (messages, after) = self.retained_slice(&filter, after.as_ref());
        self.take_slice(number, &messages, after);
        true
    }

    /// A slice of this shard's retained messages.
    fn retained_slice(&self, filter: &str, after: Option<&Cursor>) -> (Vec<Message>, Option<Cursor>) {
        let mut messages = Vec::new();
        let after = self.retained.scan(filter, after, SLICE_TOPICS_MAX, self.local.now, |message| {
            messages.push(Message::clone(message));
        });
        (messages, after)
    }

    /// Another shard asks for a slice.
    pub(crate) fn take_retained_ask(&mut self, from: ShardId, ask: &RetainedAsk) {
        let (messages, after) = self.retained_slice(&ask.filter, ask.after.as_ref());
        let found = RetainedFound { scan: ask.scan, messages, after };
        self.post(from, Mail::RetainedFound(Box::new(found)));
    }

    /// Another shard answers.
    pub(crate) fn take_retained_found(&mut self, found: RetainedFound) {
        let number = found.scan as usize;
        if let Some(scan) = self.scans.slab.get_mut(number) {
            scan.asked = false;
            self.take_slice(number, &found.messages, found.after);
        }
    }

    /// Gives a slice to its subscriber and moves the scan on.
    fn take_slice(&mut self, number: usize, messages: &[Message], after: Option<Cursor>) {
        let Some(scan) = self.scans.slab.get_mut(number) else { return };
        if let Some(session) = scan.session {
            let ids: &[u32] = if scan.subscription_id == 0 { &[] } else { &[scan.subscription_id] };
            for message in messages {
                let options = DeliverOptions {
                    qos: message.qos.min(scan.options.maximum_qos),
                    retain: true, // [MQTT-3.3.1-8]
                    subscription_ids: ids,
                };
                self.local.deliver(session, &mut Outgoing::new(message.as_ref(), &mut self.encoder), &options);
                self.local.end_message();
            }
            self.local.full.clear();
        }
        let done = scan.session.is_none() || (after.is_none() && scan.shard == scan.last);
        if done {
            self.scans.slab.remove(number);
            return;
        }
        if after.is_none() {
            scan.shard += 1;
        }
        scan.after = after;
    }

    /// Keeps, replaces or forgets the retained message of a topic, on the shard that keeps it.
    pub(crate) fn retain(&mut self, message: &MessageRef<'_>, publisher: Option<Publisher>) {
        let keeper = self.keeper_of(message.topic_name);
        let message = Message::from(*message);
        if keeper == self.id {
            self.take_retain(message);
        } else {
            let wait = message.qos > QoS::AtMostOnce;
            self.post(keeper, Mail::Retain(Box::new((message, publisher))));
            self.note_sent(keeper, Lane::Retained, wait);
        }
    }

    /// A message to retain on this shard, from another.
    pub(crate) fn take_retain_mail(&mut self, from: ShardId, message: Message, publisher: Option<Publisher>) {
        self.begin_publication();
        self.take_retain(message);
        self.answer_publication(from, Lane::Retained, publisher);
    }

    /// A message to retain on this shard.
    fn take_retain(&mut self, message: Message) {
        if message.payload().is_empty() {
            self.forget_retained(message.topic_name()); // [MQTT-3.3.1-6], [MQTT-3.3.1-7]
        } else {
            self.keep_retained(Rc::new(message));
        }
    }
}
