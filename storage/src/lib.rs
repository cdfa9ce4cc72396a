//! An append-only log in a folder of memory-mapped segments, for state that must survive: what was acknowledged is there after
//! any crash, in order, and nothing is there that was never written.
//!
//! It knows bytes and places, and nothing of what they mean. Depends on nothing of ours. It starts no thread, reads no clock
//! and knows no ring: one owner (a shard) appends, and carries out what the log asks for, on its ring or on another thread.
//!
//! - [`Log::append`] puts a record into memory and says where it stands; [`Log::append_tombstone`] ends the life of earlier
//!   ones; [`Log::release`] says that a record is no longer needed.
//! - [`Log::reserve`] sees to it that a record which its owner still holds back will find room; then
//!   [`Log::append_reserved`] appends it or [`Log::unreserve`] gives the room up.
//! - [`Log::commit_target`] hands out a [`Commit`], a write and a sync for the owner's ring; [`Log::committed`] takes it back.
//!   Only then does [`Log::durable`] move, and a [`Durable`] is the only key to an acknowledgement.
//! - [`Log::take_job`] hands out what takes long: making segments ahead, removing old ones.
//! - [`Log::clean_slice`] gives room back, in slices.
//! - [`DataFolder`] holds the logs of all shards; [`tools`] look at logs that are stopped.
//!
//! `FORMAT.md` draws the bytes and says how a log is read, and how a torn tail is told from damage.
//!
//! ```
//! use std::collections::BTreeMap;
//! use ringtail_storage::{Kind, Log, LogOptions, Owner, Reach, Record, RecordRef};
//!
//! const SET: Kind = Kind::of::<1>();
//! const CLEARED: Kind = Kind::of::<2>();
//!
//! /// Values by key, and where in the log each stands.
//! #[derive(Default)]
//! struct Values(BTreeMap<u64, (Vec<u8>, RecordRef)>);
//!
//! impl Owner for Values {
//!     fn is_live(&mut self, record: &Record<'_>) -> bool {
//!         self.0.get(&record.key).is_some_and(|(_, at)| *at == record.at)
//!     }
//!     fn moved(&mut self, record: &Record<'_>, to: RecordRef) {
//!         if let Some((_, at)) = self.0.get_mut(&record.key) {
//!             *at = to;
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path();
//! let mut values = Values::default();
//! let (mut log, recovery) = Log::open(dir, LogOptions::default(), |record, ledger| {
//!     let before = match record.kind {
//!         CLEARED => values.0.remove(&record.key),
//!         _ => values.0.insert(record.key, (record.body.to_vec(), record.at)),
//!     };
//!     if let Some((_, at)) = before {
//!         ledger.release(at);
//!     }
//! })?;
//! assert_eq!(recovery.records, 0);
//!
//! let appended = log.append(SET, 7, &[b"twenty", b" degrees"])?;
//! values.0.insert(7, (b"twenty degrees".to_vec(), appended.at));
//! assert!(!log.durable().covers(appended.at), "nobody may be told yet");
//!
//! let mut commit = log.commit_target(Reach::Synced).expect("there is something to commit");
//! let outcome = commit.carry_out(); // or: a write and a linked fsync on a ring
//! let durable = log.committed(commit, outcome)?;
//! assert!(durable.covers(appended.at), "now the acknowledgement may go");
//!
//! while let Some(job) = log.take_job() {
//!     log.finish_job(job.run())?; // better: run it on a thread that may wait
//! }
//! log.clean_slice(64 << 10, &mut values)?;
//! log.close()?;
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]

mod backing;
mod chain;
pub mod crash;
mod disk;
mod error;
mod folder;
mod format;
mod ledger;
mod log;
#[allow(unsafe_code, reason = "the only room for it; see there")]
mod map;
mod options;
mod position;
mod reader;
mod recovery;
pub mod tools;

pub use backing::{Backing, SegmentFile};
pub use crash::{CrashDisk, CrashFile};
pub use disk::{Access, Disk, DiskFile};
pub use error::{AppendError, Damage, FullCause, ReadError, StorageError};
pub use folder::{DataFolder, Layout};
pub use format::{FORMAT_VERSION, Kind};
pub use ledger::Ledger;
pub use log::{Appended, CleanProgress, Commit, Finished, Job, Log, LogStats, Owner, Reach, Reserved};
pub use options::{Acknowledge, LogOptions};
pub use position::{Durable, Offset, RecordRef};
pub use reader::Record;
pub use recovery::{Recovery, TornTail};
