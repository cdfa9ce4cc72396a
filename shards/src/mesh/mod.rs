//! The mesh: a ring from every shard to every other, so that shards talk without a lock and without a shared queue.
//!
//! [`mesh`] makes all rings at start and deals each shard its [`Port`]. A port sends to any neighbour, takes what the
//! neighbours sent, and says whom to wake. It never waits and makes no system call: ringing a neighbour's doorbell and
//! parking on one's own belong to the caller. A turn of a shard goes:
//!
//! ```text
//!   drain .. handle: send, send, send .. flush -> ring those neighbours .. nothing to do? prepare_to_sleep -> park -> awake
//! ```
//!
//! Architecture invariants: messages from one shard to another arrive in the order in which they were sent, also through a
//! time of overflow; a wake-up is never lost ([`asleep`]); every queue has a bound.
//!
//! Depends on nothing but atomics. `unsafe` is in [`ring`] alone.

mod asleep;
#[cfg(all(test, loom))]
mod models;
mod port;
mod ring;
mod sync;

pub use port::{Port, TooManyNeighbours, mesh};
pub use ring::{Consumer, Full, Producer, ring};
