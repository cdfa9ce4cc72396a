//! Which member of a shared subscription takes a message; the specification leaves it to the server (4.8.2).

use super::hash::mix;

/// How a member is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Any.
    Random,
    /// The same one until it cannot take a message.
    Sticky,
    /// The same one for all messages of a publisher, while the members stay the same.
    HashPublisher,
    /// The same one for all messages of a topic, while the members stay the same.
    HashTopic,
    /// The one with the fewest messages in flight.
    LeastInflight,
}

impl Strategy {
    /// What the choice depends on, to be given to [`GroupShards::pick`](super::GroupShards::pick) and on to
    /// [`Shared::pick`](super::Shared::pick): the publisher (any number that is its own), the hash of the topic, or
    /// nothing.
    #[must_use]
    pub const fn key(self, publisher: u64, topic_hash: u64) -> u64 {
        match self {
            // The shard is chosen by the lower half, the member by the upper.
            Self::HashPublisher => mix(publisher),
            Self::HashTopic => mix(topic_hash),
            _ => 0,
        }
    }
}
