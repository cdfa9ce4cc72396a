//! An append-only log in a folder of mapped segments. It knows bytes and places, and no MQTT.
//!
//! Depends on nothing of ours.

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
#[allow(unsafe_code)]
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
pub use log::{Appended, CleanProgress, Commit, Finished, Job, Log, LogStats, Owner, Reach};
pub use options::{Acknowledge, LogOptions};
pub use position::{Durable, Offset, RecordRef};
pub use reader::Record;
pub use recovery::{Recovery, TornTail};
