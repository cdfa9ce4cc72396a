//! Which files of a folder are the log, and in which order.
//!
//! Depends on [`crate::reader`]. A segment's opening mark says where the log stood before it, so the newest segment in use
//! leads back to the oldest. Whatever is not reached that way is void: made ahead and never used, or given up.

use std::collections::BTreeMap;
use std::io;

use crate::backing::{Backing, SegmentFile};
use crate::error::{Damage, StorageError};
use crate::format::{self, FORMAT_VERSION, HeaderFault, Mark, Role, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::position::Offset;
use crate::reader::{Cursor, Item, Window};

/// The file name of a segment.
pub(crate) fn segment_name(id: u32) -> String {
    format!("{id:010}.seg")
}

/// The name of a segment's file while it is being made.
pub(crate) fn unfinished_name(id: u32) -> String {
    format!("{id:010}.new")
}

/// The number of the segment whose file has this name.
pub(crate) fn segment_id(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    let id = if digits.len() == 10 { digits.parse().ok()? } else { return None };
    (id > 0).then_some(id)
}

/// A segment's file whose header holds.
#[derive(Debug)]
pub(crate) struct Surveyed<F> {
    pub(crate) header: SegmentHeader,
    pub(crate) file: F,
    /// The first record, when it is the mark that it must be in a segment in use.
    pub(crate) opening: Option<Mark>,
}

/// All that a folder holds.
#[derive(Debug)]
pub(crate) struct Survey<F> {
    pub(crate) segments: BTreeMap<u32, Surveyed<F>>,
    /// Segments that cannot be read at all, each with the reason.
    pub(crate) unreadable: BTreeMap<u32, StorageError>,
    /// Files that were being made.
    pub(crate) unfinished: Vec<String>,
}

impl<F: SegmentFile> Survey<F> {
    /// Opens every segment of the folder and reads its header and its opening mark.
    pub(crate) fn take<B: Backing<File = F>>(backing: &B, window: &mut Window) -> Result<Survey<F>, StorageError> {
        let names = backing.names().map_err(|e| StorageError::io(&backing.path(""), "list", e))?;
        let mut survey = Survey { segments: BTreeMap::new(), unreadable: BTreeMap::new(), unfinished: Vec::new() };
        for name in names {
            match segment_id(&name) {
                Some(id) => match look_at(backing, id, window) {
                    Ok(surveyed) => drop(survey.segments.insert(id, surveyed)),
                    Err(e @ (StorageError::Damaged { .. } | StorageError::Newer { .. })) => {
                        survey.unreadable.insert(id, e);
                    }
                    Err(e) => return Err(e),
                },
                None if name.ends_with(".new") => survey.unfinished.push(name),
                None => {}
            }
        }
        survey.refuse_foreign(backing)?;
        Ok(survey)
    }

    /// The first segment that cannot be read, as an error.
    pub(crate) fn all_readable(&mut self) -> Result<(), StorageError> {
        match self.unreadable.pop_first() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// The highest number that is taken.
    pub(crate) fn highest_id(&self) -> u32 {
        let readable = self.segments.keys().next_back().copied().unwrap_or(0);
        readable.max(self.unreadable.keys().next_back().copied().unwrap_or(0))
    }

    fn refuse_foreign<B: Backing>(&self, backing: &B) -> Result<(), StorageError> {
        let Some(log_id) = self.segments.values().next().map(|surveyed| surveyed.header.log_id) else {
            return Ok(());
        };
        match self.segments.iter().find(|(_, surveyed)| surveyed.header.log_id != log_id) {
            Some((id, _)) => Err(StorageError::Foreign { path: backing.path(&segment_name(*id)) }),
            None => Ok(()),
        }
    }
}

fn look_at<B: Backing>(backing: &B, id: u32, window: &mut Window) -> Result<Surveyed<B::File>, StorageError> {
    let path = backing.path(&segment_name(id));
    let file = backing.open(&segment_name(id)).map_err(|e| StorageError::io(&path, "open", e))?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = file.read_at(0, &mut bytes);
    let damaged = |what| StorageError::Damaged { path: path.clone(), byte: 0, what };
    match read {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged(Damage::FileLength)),
        Err(e) => return Err(StorageError::io(&path, "read", e)),
        Ok(()) => {}
    }
    let header = SegmentHeader::decode(&bytes).map_err(|fault| match fault {
        HeaderFault::Newer(found) => {
            StorageError::Newer { path: path.clone(), found: found.into(), supported: FORMAT_VERSION.into() }
        }
        HeaderFault::Magic | HeaderFault::Checksum | HeaderFault::Fields => damaged(Damage::Header),
    })?;
    if header.id != id {
        return Err(damaged(Damage::Header));
    }
    if file.bytes() != header.len {
        return Err(damaged(Damage::FileLength));
    }
    window.reset();
    let mut cursor = Cursor::from_start(&file, header, header.len as u32);
    let opening = match cursor.next(window).map_err(|e| StorageError::io(&path, "read", e))? {
        Ok(Item::Mark(mark, _)) if mark.role == Role::Open => Some(mark),
        _ => None,
    };
    Ok(Surveyed { header, file, opening })
}

/// One segment of the log and where the log leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) id: u32,
    /// The log continues elsewhere from this byte, or here to the end of the segment in the last link.
    pub(crate) limit: u32,
}

/// The segments of the log in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) links: Vec<Link>,
    /// The oldest link continues this place, whose segment has no file: it was dropped, or it is lost.
    pub(crate) before: Option<Offset>,
    /// The oldest link's own opening mark does not hold, so nothing can be said of what was before it.
    pub(crate) headless: bool,
}

impl Chain {
    /// Follows the opening marks back from the newest segment in use whose number is below `bound`. `None` when there is none.
    pub(crate) fn trace<F>(survey: &Survey<F>, bound: u32) -> Result<Option<Chain>, (u32, Damage)> {
        let in_use =
            |(id, surveyed): (&u32, &Surveyed<F>)| surveyed.opening.map(|mark| (*id, surveyed.header.len, mark));
        let Some((id, len, mut opening)) = survey.segments.range(..bound).rev().find_map(in_use) else {
            return Ok(None);
        };
        let mut links = vec![Link { id, limit: len as u32 }];
        let mut chain = Chain { links: Vec::new(), before: None, headless: false };
        let mut id = id;
        while opening.previous.segment() != 0 {
            let previous = opening.previous;
            if previous.segment() >= id {
                return Err((id, Damage::Chain));
            }
            let Some(surveyed) = survey.segments.get(&previous.segment()) else {
                chain.before = Some(previous);
                break;
            };
            let inside = SEGMENT_HEADER_BYTES..=surveyed.header.len as u32;
            if !inside.contains(&previous.byte()) || !(previous.byte() as usize).is_multiple_of(format::ALIGN) {
                return Err((id, Damage::Chain));
            }
            id = previous.segment();
            links.push(Link { id, limit: previous.byte() });
            match surveyed.opening {
                Some(mark) => opening = mark,
                None => {
                    chain.headless = true;
                    break;
                }
            }
        }
        links.reverse();
        chain.links = links;
        Ok(Some(chain))
    }
}
