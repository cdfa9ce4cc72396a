//! Making a damaged log one that opens, by giving up what cannot be read, explicitly and with a report.
//!
//! Works one finding at a time: it opens the log as a start would, mends what that stumbles on, and tries again.

use std::io;
use std::path::PathBuf;

use crate::backing::{Backing, SegmentFile};
use crate::chain::{Survey, segment_id, segment_name};
use crate::error::{Damage, StorageError};
use crate::format::{
    self, MARK_BYTES, Mark, RECORD_HEADER_BYTES, RecordHeader, Role, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::log::{make_segment, salt};
use crate::position::Offset;
use crate::reader::{Cursor, Item, Stop, Window};

/// What to do at damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Give up the records that cannot be read, and keep those behind them.
    Skip,
    /// Give up everything from the first damage on: the log is then as it was at an earlier time.
    Truncate,
}

/// One thing that a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repaired {
    /// Bytes of a segment were given up.
    GaveUp {
        /// The segment's file.
        path: PathBuf,
        /// The first byte.
        byte: u64,
        /// How many.
        bytes: u64,
    },
    /// A file that is no readable segment has another name now.
    SetAside {
        /// The file as it was named.
        path: PathBuf,
    },
    /// A segment without records stands in for one that is lost.
    Replaced {
        /// The segment's file.
        path: PathBuf,
    },
    /// A segment behind the damage was removed.
    Removed {
        /// The segment's file.
        path: PathBuf,
    },
}

/// Repairs the log until it opens, and says what was given up. A log that opens is left as it is.
///
/// # Errors
/// What a repair cannot mend: a newer format, a segment of another log, a disk that does not read or write, no room.
pub fn repair<B: Backing>(backing: &B, how: Repair) -> Result<Vec<Repaired>, StorageError> {
    let mut done = Vec::new();
    let mut seen = None;
    loop {
        let error = match super::replay(backing, |_| {}) {
            Ok(_) => return Ok(done),
            Err(error) => error,
        };
        // The same finding twice in a row: mending did not help, and would go on for ever.
        let place = place_of(&error);
        if place.is_none() || place == seen {
            return Err(error);
        }
        seen = place;
        Mender { backing, how, window: Window::default(), done: &mut done }.mend(error)?;
    }
}

fn place_of(error: &StorageError) -> Option<(PathBuf, u64)> {
    match error {
        StorageError::Damaged { path, byte, .. } => Some((path.clone(), *byte)),
        StorageError::Missing { path } => Some((path.clone(), u64::MAX)),
        _ => None,
    }
}

fn id_of(path: &std::path::Path) -> Option<u32> {
    segment_id(path.file_name()?.to_str()?)
}

struct Mender<'a, B: Backing> {
    backing: &'a B,
    how: Repair,
    window: Window,
    done: &'a mut Vec<Repaired>,
}

impl<B: Backing> Mender<'_, B> {
    fn mend(&mut self, error: StorageError) -> Result<(), StorageError> {
        let (id, byte, what) = match &error {
            StorageError::Damaged { path, byte, what } => (id_of(path), *byte, Some(*what)),
            StorageError::Missing { path } => (id_of(path), 0, None),
            _ => return Err(error),
        };
        let Some(id) = id else { return Err(error) };
        if self.how == Repair::Truncate {
            self.remove_above(id)?;
        }
        match what {
            None => self.replace(id),
            Some(Damage::Header | Damage::FileLength | Damage::Chain | Damage::Layout) => {
                self.set_aside(id)?;
                self.replace(id)
            }
            Some(_) => self.mend_records(id, byte as u32),
        }
    }

    fn survey(&mut self) -> Result<Survey<B::File>, StorageError> {
        Survey::take(self.backing, &mut self.window)
    }

    fn path(&self, id: u32) -> PathBuf {
        self.backing.path(&segment_name(id))
    }

    /// Gives up the bytes from `byte` to the next record that can be read, or to the end of what the log has there.
    fn mend_records(&mut self, id: u32, byte: u32) -> Result<(), StorageError> {
        let survey = self.survey()?;
        let Some(surveyed) = survey.segments.get(&id) else { return self.replace(id) };
        let (header, path) = (surveyed.header, self.path(id));
        let end = match self.how {
            Repair::Truncate => header.len as u32,
            Repair::Skip => {
                let limit = limit_of(&survey, id).unwrap_or(header.len as u32);
                self.window.reset();
                let mut cursor = Cursor::new(&surveyed.file, header, byte, limit);
                let found = cursor.skip_damage(&mut self.window);
                if found.map_err(|e| StorageError::io(&path, "read", e))? { cursor.at } else { limit }
            }
        };
        let mut bytes = Vec::new();
        if byte == SEGMENT_HEADER_BYTES {
            self.encode_opening(&survey, &header, &mut bytes)?;
        }
        let left = ((end - byte) as usize).saturating_sub(bytes.len());
        match self.how {
            Repair::Truncate => bytes.resize(bytes.len() + left, 0),
            Repair::Skip => encode_void(&header, byte + bytes.len() as u32, left, &mut bytes),
        }
        write(&surveyed.file, byte, &bytes).map_err(|e| StorageError::io(&path, "repair", e))?;
        self.done.push(Repaired::GaveUp { path, byte: byte.into(), bytes: (end - byte).into() });
        Ok(())
    }

    /// Puts a segment without records in the place of one that is lost, so that the log hangs together again.
    fn replace(&mut self, id: u32) -> Result<(), StorageError> {
        let survey = self.survey()?;
        let Some(other) = survey.segments.values().next().map(|surveyed| surveyed.header) else {
            // There is no log without it: what is left is an empty folder.
            return Ok(());
        };
        let entropy = self.backing.entropy().map_err(|e| StorageError::io(&self.path(id), "choose a salt for", e))?;
        let limit = limit_of(&survey, id).unwrap_or(0);
        // The lost one may have been larger than any that is left.
        let header = SegmentHeader { id, salt: salt(&entropy), len: other.len.max(limit.into()), ..other };
        let mut bytes = Vec::new();
        self.encode_opening(&survey, &header, &mut bytes)?;
        let left = (limit as usize).saturating_sub(SEGMENT_HEADER_BYTES as usize + bytes.len());
        encode_void(&header, SEGMENT_HEADER_BYTES + bytes.len() as u32, left, &mut bytes);
        let file = make_segment(self.backing, header)?;
        let path = self.path(id);
        write(&file, SEGMENT_HEADER_BYTES, &bytes).map_err(|e| StorageError::io(&path, "repair", e))?;
        self.done.push(Repaired::Replaced { path });
        Ok(())
    }

    /// An opening mark that continues the newest segment below.
    fn encode_opening(
        &mut self,
        survey: &Survey<B::File>,
        header: &SegmentHeader,
        bytes: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        let mut ending = Ending { previous: Offset::default(), next_seq: 1, first: header.id };
        let below = survey.segments.range(..header.id).rev().find(|(_, surveyed)| surveyed.opening.is_some());
        if let Some((id, surveyed)) = below {
            let limit = surveyed.header.len as u32;
            self.window.reset();
            let mut cursor = Cursor::from_start(&surveyed.file, surveyed.header, limit);
            let found = Ending::find(*id, &mut cursor, &mut self.window);
            ending = found.map_err(|e| StorageError::io(&self.path(*id), "read", e))?;
        }
        let Ending { previous, next_seq, first } = ending;
        let mark = Mark { role: Role::Open, durable: previous, previous, first, next: 0 };
        Mark::header(next_seq).encode(header.seed(SEGMENT_HEADER_BYTES), &[&mark.encode()], bytes);
        Ok(())
    }

    /// Takes a file that cannot be read out of the log's way; nothing of it is lost.
    fn set_aside(&mut self, id: u32) -> Result<(), StorageError> {
        let (name, path) = (segment_name(id), self.path(id));
        let renamed = self.backing.rename(&name, &format!("{name}.damaged")).and_then(|()| self.backing.sync_names());
        renamed.map_err(|e| StorageError::io(&path, "set aside", e))?;
        self.done.push(Repaired::SetAside { path });
        Ok(())
    }

    fn remove_above(&mut self, id: u32) -> Result<(), StorageError> {
        let survey = self.survey()?;
        let above: Vec<u32> =
            survey.segments.keys().chain(survey.unreadable.keys()).copied().filter(|n| *n > id).collect();
        for id in above {
            let path = self.path(id);
            self.backing.remove(&segment_name(id)).map_err(|e| StorageError::io(&path, "remove", e))?;
            self.done.push(Repaired::Removed { path });
        }
        self.backing.sync_names().map_err(|e| StorageError::io(&self.backing.path(""), "sync", e))
    }
}

/// Where the log leaves segment `id`, as the one after it says.
fn limit_of<F>(survey: &Survey<F>, id: u32) -> Option<u32> {
    let openings = survey.segments.values().filter_map(|surveyed| surveyed.opening);
    openings.map(|mark| mark.previous).filter(|previous| previous.segment() == id).map(Offset::byte).last()
}

/// How a segment ends, as far as it can be read.
struct Ending {
    /// The end of its last record.
    previous: Offset,
    /// A number greater than that of every record in it.
    next_seq: u64,
    /// The oldest segment that its newest mark needs.
    first: u32,
}

impl Ending {
    fn find<F: SegmentFile>(id: u32, cursor: &mut Cursor<'_, F>, window: &mut Window) -> io::Result<Ending> {
        let mut ending = Ending { previous: Offset::new(id, SEGMENT_HEADER_BYTES), next_seq: 1, first: id };
        loop {
            match cursor.next(window)? {
                Ok(item) => {
                    match item {
                        Item::Record(record) => ending.next_seq = ending.next_seq.max(record.seq + 1),
                        Item::Mark(mark, seq) => {
                            ending.next_seq = ending.next_seq.max(seq);
                            ending.first = mark.first;
                        }
                        Item::Void => {}
                    }
                    // The segment is not to be cut in the middle of a write.
                    if !cursor.followed {
                        ending.previous = Offset::new(id, cursor.at);
                    }
                }
                Err(Stop::Limit) => return Ok(ending),
                Err(Stop::Zeros | Stop::Bad(_)) => {
                    if !cursor.skip_damage(window)? {
                        return Ok(ending);
                    }
                }
            }
        }
    }
}

/// Appends a record of `bytes` bytes that says nothing, to stand at `at`. Fewer bytes than a header stay zero.
fn encode_void(header: &SegmentHeader, at: u32, bytes: usize, target: &mut Vec<u8>) {
    match bytes.checked_sub(RECORD_HEADER_BYTES) {
        Some(body_len) => {
            RecordHeader::void(body_len as u32).encode(header.seed(at), &[&vec![0; body_len]], target);
        }
        None => target.resize(target.len() + bytes, 0),
    }
}

fn write<F: SegmentFile>(file: &F, at: u32, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(at.into(), bytes)?;
    file.sync()
}

const _: () = assert!(MARK_BYTES.is_multiple_of(format::ALIGN), "a void starts where a record may");
