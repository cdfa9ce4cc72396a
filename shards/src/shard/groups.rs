//! Shared subscriptions: one member of each matching group takes the message [MQTT-4.8.2-4].
//!
//! The publisher's shard picks the shard, that shard picks the member. A shard of which no member can take the message
//! (nobody connected, or window and outbox full) passes it on; when no shard has an able member, the message is queued for
//! one that is there, or that will be back.

use crate::journal::Lane;
use crate::shard::Core;
use crate::shard::mail::{GroupForwarded, Mail, Publisher};
use crate::shard::publish::Origin;
use crate::{ShardId, ShardSet};
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::session::{DeliverOptions, Outgoing};

/// A group that a message matched.
#[derive(Clone, Copy)]
pub(crate) struct GroupPick {
    /// Names the group on every shard.
    group: u64,
    /// What the choice of the member depends on.
    choice: u64,
    /// The shard that is to choose the member.
    shard: ShardId,
}

/// A message on its way to a group.
struct ToGroup<'a> {
    message: &'a MessageRef<'a>,
    topic_hash: u64,
    publisher: Option<Publisher>,
    passed_over: ShardSet,
    /// Times that other shards have passed it on.
    passes: u8,
}

impl Core {
    /// Gives a message to one member of each group that matches. True when there is such a group.
    pub(crate) fn publish_to_groups(&mut self, message: &MessageRef<'_>, hash: u64, origin: Option<&Origin>) -> bool {
        let strategy = self.config.shared_strategy;
        let publisher_hash = origin.map_or(0, |o| u64::from(o.session) << 8 | u64::from(o.publisher.shard));
        let choice = strategy.key(publisher_hash, hash);
        let mut groups = std::mem::take(&mut self.groups);
        let Self { remote, local, homes, .. } = self;
        let mut routed = false;
        remote.groups_for(message.topic_name, hash, |group| {
            routed = true;
            if local.group_has_message(|| homes.group(group.name(), group.filter())) {
                return;
            }
            let shard = group.pick(choice, ShardSet::default());
            groups.extend(shard.map(|shard| GroupPick { group: group.key(), choice, shard }));
        });
        let publisher = origin.map(|o| o.publisher);
        for pick in groups.drain(..) {
            let to = ToGroup { message, topic_hash: hash, publisher, passed_over: ShardSet::default(), passes: 0 };
            if !self.give_to_group(to, pick) {
                self.note_asked(publisher);
            }
        }
        self.groups = groups;
        routed
    }

    /// Gives the message to a member on the picked shard, or on the next that has an able one. False when that is another.
    fn give_to_group(&mut self, mut to: ToGroup<'_>, mut pick: GroupPick) -> bool {
        loop {
            if pick.shard != self.id {
                return !self.forward_to_group(&to, pick, false);
            }
            if self.deliver_to_member(to.message, pick, false) {
                return true;
            }
            to.passed_over.insert(self.id);
            let Some(shard) = self.pick_again(&to, pick) else { break };
            pick.shard = shard;
        }
        // Nobody can take it now.
        to.passed_over = ShardSet::default();
        match self.pick_again(&to, pick) {
            _ if to.message.qos == QoS::AtMostOnce => self.local.counters.dropped_no_member += 1,
            None => self.local.counters.dropped_no_member += 1,
            Some(shard) if shard == self.id => {
                if !self.deliver_to_member(to.message, pick, true) {
                    self.local.counters.dropped_no_member += 1;
                }
            }
            Some(shard) => return !self.forward_to_group(&to, GroupPick { shard, ..pick }, true),
        }
        true
    }

    /// Another shard with members of the group.
    fn pick_again(&mut self, to: &ToGroup<'_>, pick: GroupPick) -> Option<ShardId> {
        let mut picked = None;
        self.remote.groups_for(to.message.topic_name, to.topic_hash, |group| {
            if group.key() == pick.group {
                picked = group.pick(pick.choice, to.passed_over);
            }
        });
        picked
    }

    /// True when the message is on its way.
    fn forward_to_group(&mut self, to: &ToGroup<'_>, pick: GroupPick, last_resort: bool) -> bool {
        // The shard may pass it on to any other.
        let attempt = self.send_attempt(self.durable_shards.union(ShardSet::of(pick.shard)));
        let forwarded = GroupForwarded {
            message: Message::from(*to.message),
            topic_hash: to.topic_hash,
            group: pick.group,
            choice: pick.choice,
            passes: to.passes,
            passed_over: to.passed_over,
            last_resort: last_resort || usize::from(to.passes) >= Lane::PASSES_MAX,
            publisher: to.publisher,
            attempt,
        };
        self.local.counters.publish_forwarded += 1;
        let sent = self.send(pick.shard, Mail::Group(Box::new(forwarded)), to.message.qos);
        if sent {
            self.note_sent(
                pick.shard,
                Lane::passed(to.passes.into()),
                !self.durable_shards.is_empty() && to.message.qos > QoS::AtMostOnce,
            );
        }
        sent
    }

    /// Another shard picked this one.
    pub(crate) fn take_group_forwarded(&mut self, from: ShardId, forwarded: GroupForwarded) {
        let GroupForwarded { message, topic_hash, group, choice, passes, passed_over, last_resort, publisher, attempt } =
            forwarded;
        self.begin_publication(attempt.as_ref());
        let message = message.as_ref();
        let pick = GroupPick { group, choice, shard: self.id };
        let to = ToGroup { message: &message, topic_hash, publisher, passed_over, passes: passes + 1 };
        let settled = if last_resort {
            if !self.deliver_to_member(to.message, pick, true) {
                self.local.counters.dropped_no_member += 1;
            }
            true
        } else {
            self.give_to_group(to, pick)
        };
        self.answer_publication(from, Lane::passed(passes.into()), publisher);
        if settled {
            self.answer_ask(publisher);
        }
        match publisher {
            Some(publisher) => self.hold_remote_for_full(publisher),
            None => self.local.full.clear(),
        }
    }

    /// Gives the message to a member on this shard; false when none can take it. With `queue` a member need not be able to
    /// take it at once.
    fn deliver_to_member(&mut self, message: &MessageRef<'_>, pick: GroupPick, queue: bool) -> bool {
        let Self { shared, local, encoder, homes, .. } = self;
        let Some(group) = shared.by_key(pick.group) else { return false };
        let name = || shared.name(group).map_or(0, |(name, filter)| homes.group(name, filter));
        if local.group_has_message(name) {
            return true;
        }
        let name = local.is_attempt().then(name);
        let member = shared.pick(
            group,
            pick.choice,
            |session| queue && local.sessions.get(session).is_some() || local.can_take(session, message.qos),
            |session| local.sessions.get(session).map_or(u32::MAX, |entry| entry.session.inflight_len() as u32),
        );
        let Some(member) = member else { return false };
        let ids = [member.subscription_id];
        let options = DeliverOptions {
            qos: message.qos.min(member.options.maximum_qos()),
            retain: message.retain && member.options.retain_as_published(),
            subscription_ids: if member.subscription_id == 0 { &[] } else { &ids },
        };
        local.deliver_to_group(name);
        local.deliver(member.session, &mut Outgoing::new(*message, encoder), &options);
        local.deliver_to_group(None);
        local.end_message();
        true
    }
}
