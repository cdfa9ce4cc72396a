//! For tools that look at a stopped log or at a copy of one: reading it, judging it, repairing it.
//!
//! Depends on [`crate::recovery`] and [`crate::chain`]. Only [`repair`] changes anything, and only what it reports.

mod repair;
mod verify;

pub use repair::{Repair, Repaired, repair};
pub use verify::{Flaw, SegmentReport, Verdict, verify};

use crate::backing::Backing;
use crate::chain::Survey;
use crate::error::StorageError;
use crate::reader::{Record, Window};
use crate::recovery::{Recovery, Replay};

/// Reads the log as [`Log::open_on`](crate::Log::open_on) would and gives every record to `visit`, in the same order and with
/// the same errors, but changes nothing: for exports, and for spreading a log's records over others.
///
/// # Errors
/// As [`Log::open`](crate::Log::open).
pub fn replay<B: Backing>(backing: &B, visit: impl FnMut(Record<'_>)) -> Result<Recovery, StorageError> {
    let mut window = Window::default();
    let mut survey = Survey::take(backing, &mut window)?;
    survey.all_readable()?;
    let replayed = Replay::new(backing, &survey, &mut window).run(visit)?;
    Ok(replayed.report(backing))
}
