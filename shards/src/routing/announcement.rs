//! What a shard tells all shards about its subscriptions.

/// A change of what a shard has subscribers for. Announcements of one shard are applied in their order.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Announcement {
    /// The shard has a first subscriber of this filter.
    Add(Box<str>),
    /// The shard has no subscriber of this filter any more.
    Remove(Box<str>),
    /// What the shard now has of the members of a shared subscription.
    Group {
        /// The Share Name.
        group: Box<str>,
        /// The Topic Filter, without `$share/` and the Share Name.
        filter: Box<str>,
        /// The shard's members that are connected.
        online: u32,
        /// The shard's members that are not, whose sessions wait.
        offline: u32,
    },
}
