//! A message from its publisher to every subscriber: this shard's at once, the others' by one mail for each shard.

use crate::ShardId;
use crate::journal::{Attempt, Lane};
use crate::routing::hash_topic;
use crate::shard::Core;
use crate::shard::mail::{Forwarded, Mail, Publisher};
use crate::shard::retentions::Retention;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::session::{DeliverOptions, Outgoing};

/// Who published a message on this shard.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub publisher: Publisher,
    /// The session, for subscriptions with No Local [MQTT-3.8.3-3].
    pub session: u32,
    /// Of a QoS 2 PUBLISH that may come again after a crash.
    pub attempt: Option<Attempt>,
}

impl Core {
    /// Routes a message. True when somebody, somewhere, subscribes to its topic.
    pub(crate) fn publish(&mut self, message: &MessageRef<'_>, origin: Option<&Origin>) -> bool {
        self.begin_publication(origin.and_then(|o| o.attempt.as_ref()));
        let hash = hash_topic(&self.seed, message.topic_name);
        let retention = message.retain.then(|| self.retentions.next(self.keeper_of(message.topic_name)));
        let mut routed = self.publish_here(message, hash, retention, origin.map(|o| o.session));
        if self.shards > 1 {
            routed |= self.forward(message, hash, retention, origin.map(|o| o.publisher));
        }
        if self.remote.has_groups() {
            routed |= self.publish_to_groups(message, hash, origin);
        }
        if let Some(retention) = retention {
            self.retain(message, retention, origin.map(|o| o.publisher));
        }
        if !routed {
            self.local.counters.publish_unmatched += 1;
        }
        routed
    }

    /// Delivers to this shard's subscribers.
    fn publish_here(
        &mut self,
        message: &MessageRef<'_>,
        hash: u64,
        retention: Option<Retention>,
        from: Option<u32>,
    ) -> bool {
        if let Some(Retention { keeper, tag }) = retention.filter(|_| !self.scans.is_empty()) {
            self.scans.note(hash, tag, keeper);
        }
        let Self { subscriptions, matches, local, encoder, .. } = self;
        subscriptions.matches(message.topic_name, hash, matches);
        if matches.is_empty() {
            return false;
        }
        let mut outgoing = Outgoing::new(*message, encoder);
        matches.for_each(subscriptions, from, |delivery| {
            let options = DeliverOptions {
                qos: message.qos.min(delivery.options.maximum_qos()),
                // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
                retain: message.retain && delivery.options.retain_as_published(),
                subscription_ids: delivery.subscription_ids,
            };
            local.deliver(delivery.session, &mut outgoing, &options);
        });
        local.end_message();
        // Who has subscribed matches, also where No Local keeps the message from it.
        true
    }

    /// Sends the message to every other shard that has subscribers for it.
    fn forward(
        &mut self,
        message: &MessageRef<'_>,
        topic_hash: u64,
        retention: Option<Retention>,
        publisher: Option<Publisher>,
    ) -> bool {
        let mut shards = self.remote.shards_for(message.topic_name, topic_hash);
        shards.remove(self.id);
        let attempt = self.send_attempt(shards);
        for shard in shards {
            let forwarded = Forwarded { message: Message::from(*message), topic_hash, retention, publisher, attempt };
            self.local.counters.publish_forwarded += 1;
            if self.send(shard, Mail::Publish(Box::new(forwarded)), message.qos) {
                self.note_asked(publisher);
                self.note_sent(
                    shard,
                    Lane::Messages,
                    self.durable_shards.contains(shard) && message.qos > QoS::AtMostOnce,
                );
            }
        }
        !shards.is_empty()
    }

    /// Sends a message to another shard, or says that it did not. QoS 0 is dropped when the ring and its overflow are full, the
    /// others never.
    pub(crate) fn send(&mut self, to: ShardId, mail: Mail, qos: QoS) -> bool {
        if qos > QoS::AtMostOnce {
            return self.post(to, mail);
        } else if self.port.send(to, mail).is_err() {
            self.local.counters.dropped_mesh_full += 1;
            return false;
        }
        true
    }

    /// A message that another shard forwarded.
    pub(crate) fn take_forwarded(&mut self, from: ShardId, forwarded: &Forwarded) {
        self.begin_publication(forwarded.attempt.as_ref());
        self.publish_here(&forwarded.message.as_ref(), forwarded.topic_hash, forwarded.retention, None);
        self.answer_publication(from, Lane::Messages, forwarded.publisher);
        self.answer_ask(forwarded.publisher);
        match forwarded.publisher {
            Some(publisher) => self.hold_remote_for_full(publisher),
            None => self.local.full.clear(),
        }
    }
}
