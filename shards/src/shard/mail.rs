//! What shards say to each other through the mesh.

use crate::journal::{Attempt, Exchange, Lane};
use crate::routing::{Announcement, Cursor};
use crate::shard::connection::Peer;
use crate::shard::retentions::{Retention, Tag};
use crate::shard::verdicts::Ask;
use crate::{ShardId, ShardSet};
use ringtail_mqtt::message::Message;
use ringtail_mqtt::packet::PacketId;
use ringtail_mqtt::reason::ReasonCode;

/// One message from a shard to another. Kept to two words, so that a slot of the mesh is small.
pub(crate) enum Mail {
    /// A message for the subscribers of the receiving shard.
    Publish(Box<Forwarded>),
    /// A message for one member, on the receiving shard, of a shared subscription.
    Group(Box<GroupForwarded>),
    /// The sender has, or has no longer, subscribers of a filter or members of a group.
    Announce(Box<Announcement>),
    /// The bytes of a connection whose descriptor comes, or came, by the wire.
    HandOver(Box<HandOver>),
    /// The descriptor of a hand-over will not come: the receiving shard has no room for it.
    HandOverFailed(u64),
    /// A message to retain; without a payload, one to forget [MQTT-3.3.1-6].
    Retain(Box<Retain>),
    /// What has the receiving shard published to be retained? Asked for new subscribers that it knows of; the number names
    /// the question.
    RetainedFence(u64),
    /// The answer.
    RetainedFenced(Box<RetainedFenced>),
    /// A subscriber asks for a slice of retained messages.
    RetainedAsk(Box<RetainedAsk>),
    /// A slice of retained messages.
    RetainedFound(Box<RetainedFound>),
    /// A subscriber cannot keep up: the publisher's socket is not to be read for a moment.
    Hold(Box<Publisher>),
    /// So many of the receiving shard's messages to the sender, counted from the start, are safe there.
    Safe(Lane, u64),
    /// The sender has durable sessions from now on, or has none any more.
    Durable(bool),
    /// The sender's log has failed: what it did not call safe is not.
    LogFailed,
    /// What the publisher sent could not be kept: it must not be acknowledged.
    Refused(Box<Refused>),
    /// What became of the PUBLISH that the sender was asked about: the reason when somebody's queue was full.
    Verdict(Ask, Option<ReasonCode>),
    /// The QoS 2 PUBLISH of the sender's session with this key, and with this identifier, will not come again.
    Forget(u64, PacketId),
}

/// A publisher's connection, named so that another shard can ask to hold it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Publisher {
    pub shard: ShardId,
    pub connection: u32,
    /// What tells the connection from later ones of that number: mail about it may come when it has ended.
    pub serial: u32,
    /// The identifier of the PUBLISH, above QoS 0.
    pub packet_id: Option<PacketId>,
    /// Whoever gets the PUBLISH is to say what became of it, unless this is 0.
    pub ask: Ask,
}

/// A PUBLISH that could not be kept.
pub(crate) struct Refused {
    pub publisher: Publisher,
    /// At QoS 2, where the session is durable: it outlives the connection.
    pub exchange: Option<Exchange>,
    pub reason: ReasonCode,
}

/// A message on its way to another shard.
pub(crate) struct Forwarded {
    pub message: Message,
    /// The topic's hash, so that it is computed once.
    pub topic_hash: u64,
    /// Where else it goes, when it is to be retained.
    pub retention: Option<Retention>,
    pub publisher: Option<Publisher>,
    /// Of a QoS 2 PUBLISH that may come again after a crash.
    pub attempt: Option<Attempt>,
}

/// A message on its way to the shard that retains it.
pub(crate) struct Retain {
    pub message: Message,
    pub tag: Tag,
    pub publisher: Option<Publisher>,
}

/// A message on its way to one member of a shared subscription.
pub(crate) struct GroupForwarded {
    pub message: Message,
    pub topic_hash: u64,
    /// Names the group on every shard.
    pub group: u64,
    /// What the choice of the member depends on.
    pub choice: u64,
    /// Times that the message was passed on.
    pub passes: u8,
    /// Shards whose members could not take the message.
    pub passed_over: ShardSet,
    /// No shard has a member that can take it now: queue it for a member here, connected or not.
    pub last_resort: bool,
    pub publisher: Option<Publisher>,
    /// As in [`Forwarded`].
    pub attempt: Option<Attempt>,
}

/// A connection that moves to the shard of its client id.
pub(crate) struct HandOver {
    /// Pairs the bytes with the descriptor.
    pub token: u64,
    pub peer: Peer,
    /// What was read so far: a whole CONNECT, and perhaps more.
    pub bytes: Vec<u8>,
}

/// How much a shard had published to be retained when it was asked.
pub(crate) struct RetainedFenced {
    /// That of the question.
    pub fence: u64,
    /// For each shard that keeps such messages, how many were sent there.
    pub sent: Box<[u64]>,
}

/// The question for a slice of retained messages.
pub(crate) struct RetainedAsk {
    /// The asker's session and name for the question.
    pub session: u32,
    pub asked: u64,
    pub filter: Box<str>,
    /// The last topic of the slice before.
    pub after: Option<Cursor>,
}

/// A slice of retained messages.
pub(crate) struct RetainedFound {
    /// Those of the question.
    pub session: u32,
    pub asked: u64,
    pub messages: Vec<(Message, Tag)>,
    /// How many messages to retain the answering shard had taken from each.
    pub taken: Box<[u64]>,
    /// Where the next slice begins; `None` when there is nothing more.
    pub after: Option<Cursor>,
}

const _: () = assert!(size_of::<Mail>() <= 16);
