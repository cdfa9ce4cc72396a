//! Reading past damage: what is wrong with a log, everywhere, and what can still be read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::backing::Backing;
use crate::chain::{Survey, Surveyed, segment_name};
use crate::error::{Damage, StorageError};
use crate::format::Mark;
use crate::position::Offset;
use crate::reader::{Cursor, Item, Record, Stop, Window};

/// One thing that is wrong with a log.
#[derive(Debug)]
pub enum Flaw {
    /// Bytes that were known to be on disk are not what was written.
    Gap {
        /// The segment's file.
        path: PathBuf,
        /// The first byte that cannot be read.
        byte: u64,
        /// Bytes from there to the next record that can be read, or to the segment's end.
        bytes: u64,
        /// What is wrong with the first.
        what: Damage,
    },
    /// A whole segment cannot be read or is not there.
    Segment(StorageError),
}

/// What is in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The segment's file.
    pub path: PathBuf,
    /// Its number.
    pub id: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// The end of its last record.
    pub used_bytes: u64,
    /// Records of the owner's.
    pub records: u64,
    /// Those of them that are tombstones.
    pub tombstones: u64,
}

/// What [`verify`] found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The segments in use, in order.
    pub segments: Vec<SegmentReport>,
    /// What is wrong. None of it is the torn tail that a crash leaves.
    pub flaws: Vec<Flaw>,
    /// Where a torn tail begins: unfinished records that nobody was promised.
    pub torn_tail: Option<Offset>,
}

impl Verdict {
    /// Whether the log can be opened as it is.
    pub fn is_sound(&self) -> bool {
        self.flaws.is_empty()
    }
}

/// A stretch without a record that can be read, between or after records.
struct Gap {
    place: Offset,
    bytes: u64,
    what: Damage,
}

/// Reads every segment of the log, past all that is wrong, and gives every record that can be read to `visit`.
///
/// Records that [`Log::open`](crate::Log::open) leaves out (those behind a torn place) are given too.
///
/// # Errors
/// When the folder or a file cannot be read at all.
pub fn verify<B: Backing>(backing: &B, mut visit: impl FnMut(Record<'_>)) -> Result<Verdict, StorageError> {
    let mut window = Window::default();
    let mut survey = Survey::take(backing, &mut window)?;
    let mut verdict = Verdict::default();
    let mut gaps = Vec::new();
    let mut newest = None;
    for (id, surveyed) in &survey.segments {
        let (report, mark) = read_past(backing, *id, surveyed, &mut window, &mut gaps, &mut visit)?;
        newest = mark.or(newest);
        if surveyed.opening.is_some() || report.used_bytes > 0 {
            verdict.segments.push(report);
        }
    }
    let durable = newest.map_or(Offset::default(), |mark: Mark| mark.durable);
    for gap in gaps {
        if gap.place < durable {
            let path = backing.path(&segment_name(gap.place.segment()));
            verdict.flaws.push(Flaw::Gap { path, byte: gap.place.byte().into(), bytes: gap.bytes, what: gap.what });
        } else if verdict.torn_tail.is_none() {
            verdict.torn_tail = Some(gap.place);
        }
    }
    let unreadable: BTreeSet<u32> = survey.unreadable.keys().copied().collect();
    verdict.flaws.extend(std::mem::take(&mut survey.unreadable).into_values().map(Flaw::Segment));
    let first = newest.map_or(0, |mark| mark.first);
    for missing in named_segments(&survey) {
        if missing >= first && !survey.segments.contains_key(&missing) && !unreadable.contains(&missing) {
            let path = backing.path(&segment_name(missing));
            verdict.flaws.push(Flaw::Segment(StorageError::Missing { path }));
        }
    }
    Ok(verdict)
}

/// The segments that opening marks say came before theirs.
fn named_segments<F>(survey: &Survey<F>) -> BTreeSet<u32> {
    let openings = survey.segments.values().filter_map(|surveyed| surveyed.opening);
    openings.map(|mark| mark.previous.segment()).filter(|id| *id != 0).collect()
}

/// Reads one segment to its end and notes every gap. Zeros after the last record are no gap.
fn read_past<B: Backing>(
    backing: &B,
    id: u32,
    surveyed: &Surveyed<B::File>,
    window: &mut Window,
    gaps: &mut Vec<Gap>,
    visit: &mut impl FnMut(Record<'_>),
) -> Result<(SegmentReport, Option<Mark>), StorageError> {
    let path = backing.path(&segment_name(id));
    let bytes = surveyed.header.len;
    let mut report = SegmentReport { path: path.clone(), id, bytes, used_bytes: 0, records: 0, tombstones: 0 };
    let mut newest = None;
    let unread = |e| StorageError::io(&path, "read", e);
    window.reset();
    let mut cursor = Cursor::from_start(&surveyed.file, surveyed.header, bytes as u32);
    loop {
        let from = cursor.at;
        let what = match cursor.next(window).map_err(unread)? {
            Ok(item) => {
                match item {
                    Item::Record(record) => {
                        report.records += 1;
                        report.tombstones += u64::from(record.tombstone);
                        visit(record);
                    }
                    Item::Mark(mark, _) => newest = Some(mark),
                    Item::Void => {}
                }
                report.used_bytes = cursor.at.into();
                continue;
            }
            Err(Stop::Limit) => break,
            Err(Stop::Zeros) => Damage::Zeros,
            Err(Stop::Bad(what)) => what,
        };
        let goes_on = cursor.skip_damage(window).map_err(unread)?;
        if goes_on || what != Damage::Zeros {
            let to = if goes_on { cursor.at } else { bytes as u32 };
            gaps.push(Gap { place: Offset::new(id, from), bytes: u64::from(to - from), what });
        }
        if !goes_on {
            break;
        }
    }
    Ok((report, newest))
}
