//! Where a message goes: the routing state of one shard.
//!
//! - [`Subscriptions`]: this shard's own subscriptions, exact.
//! - [`Shared`]: this shard's members of shared subscriptions, and which of them takes a message.
//! - [`Remote`]: which shards have subscribers or group members for a topic; compact, may name a shard too many, never
//!   one too few.
//! - [`Retained`]: the retained messages of the topics that this shard owns.
//!
//! ```text
//!   SUBSCRIBE -> Subscriptions::subscribe --announce--> every shard: Remote::apply
//!   PUBLISH   -> Subscriptions::matches                  this shard's sessions
//!             -> Remote::shards_for                      the shards that match again in their own Subscriptions
//!             -> Remote::groups_for -> GroupShards::pick the one shard that delivers to a group, by Shared::pick
//! ```
//!
//! Depends on `ringtail-mqtt` for filters, options and messages. Architecture invariants: nothing here reads a clock,
//! blocks or does I/O; nothing allocates while a topic is matched, once the scratch space has grown; every table grows
//! in small steps, so that no subscription pays for a rehash of all the others; no `unsafe`.

mod announcement;
#[cfg(test)]
mod collisions;
mod filters;
mod hash;
mod levels;
mod matches;
mod remote;
mod retained;
mod shared;
mod strategy;
mod subscribers;
mod subscriptions;
mod text;
mod trie;
#[cfg(test)]
#[path = "../../tests/routing_words/mod.rs"]
mod words;

pub use announcement::Announcement;
pub(crate) use filters::has_wildcards;
pub use hash::{Seed, hash_topic};
pub use matches::{Delivery, Matches};
pub use remote::{GroupShards, Remote};
pub use retained::{Cursor, Full, Retained, Slice};
pub use shared::{GroupId, Joined, Shared};
pub use strategy::Strategy;
pub use subscribers::{OptionBits, Subscriber};
pub use subscriptions::{FilterId, Removed, Subscribed, Subscriptions, Unsubscribed};
