//! Reading a whole log from its folder, and telling a torn tail from damage.
//!
//! Depends on [`crate::chain`] and [`crate::reader`]. It changes nothing in the folder.
//!
//! What was not synced before a power loss can be there in any part and any order, so a bad record with good ones after it is
//! quite usual: the *torn tail*, which nobody was promised. The marks tell it from damage. Each says how far the log was on
//! disk when the mark was written, so a bad place before what any later mark says was on disk is damage, and an error.

use std::path::PathBuf;

use crate::backing::Backing;
use crate::chain::{Chain, Link, Survey, segment_name};
use crate::error::{Damage, StorageError};
use crate::format::{Mark, Role, SEGMENT_HEADER_BYTES};
use crate::position::Offset;
use crate::reader::{self, Cursor, Item, Record, Stop, Window};

/// What was found in a log when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Records that were given to the owner.
    pub records: u64,
    /// Bytes of those records in the log.
    pub bytes: u64,
    /// Segments that were read.
    pub segments: usize,
    /// The unfinished end that was left out, if there was one.
    pub torn_tail: Option<TornTail>,
    /// The log was closed in order and nothing was written after that.
    pub closed_cleanly: bool,
}

/// What a crash left unfinished at the end of a log. Nothing in it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file.
    pub path: PathBuf,
    /// The first byte that was left out.
    pub byte: u64,
    /// Why it is no record.
    pub what: Damage,
}

/// How the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// No segment is in use.
    Empty,
    /// At zeros: records can follow there.
    Open,
    /// At a seal, and the next segment was not begun on disk.
    Sealed,
    /// At bytes that were not on disk before the crash.
    Torn(Damage),
}

/// A log as far as it could be read.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) links: Vec<Link>,
    pub(crate) end: Offset,
    /// Where no record can be read: at the end, or behind it in the middle of a write.
    bad: Offset,
    pub(crate) ending: Ending,
    /// What the newest mark says.
    pub(crate) newest: Option<Mark>,
    /// Greater than the number of every record.
    pub(crate) next_seq: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Bytes of the largest record.
    pub(crate) largest: u32,
    /// A clean stop was the last thing written.
    closed: bool,
}

impl Replayed {
    fn new() -> Replayed {
        Replayed {
            links: Vec::new(),
            end: Offset::default(),
            bad: Offset::default(),
            ending: Ending::Empty,
            newest: None,
            next_seq: 1,
            records: 0,
            bytes: 0,
            largest: 0,
            closed: false,
        }
    }

    fn note_mark(&mut self, mark: Mark, seq: u64) {
        self.newest = Some(mark);
        self.closed = mark.role == Role::Close;
        self.next_seq = self.next_seq.max(seq);
    }

    fn note_record(&mut self, record: &Record<'_>) {
        self.next_seq = self.next_seq.max(record.seq + 1);
        self.closed = false;
        self.records += 1;
        self.bytes += u64::from(record.at.len);
        self.largest = self.largest.max(record.at.len);
    }

    /// What the owner of the log is told.
    pub(crate) fn report<B: Backing>(&self, backing: &B) -> Recovery {
        let torn_tail = match self.ending {
            Ending::Torn(what) => {
                let path = backing.path(&segment_name(self.end.segment()));
                Some(TornTail { path, byte: self.end.byte().into(), what })
            }
            Ending::Empty | Ending::Open | Ending::Sealed => None,
        };
        Recovery {
            records: self.records,
            bytes: self.bytes,
            segments: self.links.len(),
            torn_tail,
            closed_cleanly: self.closed,
        }
    }
}

/// One reading of a folder.
pub(crate) struct Replay<'a, B: Backing> {
    backing: &'a B,
    survey: &'a Survey<B::File>,
    window: &'a mut Window,
}

impl<'a, B: Backing> Replay<'a, B> {
    pub(crate) fn new(backing: &'a B, survey: &'a Survey<B::File>, window: &'a mut Window) -> Replay<'a, B> {
        Replay { backing, survey, window }
    }

    /// Reads the log in order and gives every record to `visit`.
    pub(crate) fn run(&mut self, mut visit: impl FnMut(Record<'_>)) -> Result<Replayed, StorageError> {
        let Some(chain) = self.choose_chain()? else {
            return Ok(Replayed::new());
        };
        let mut replayed = Replayed::new();
        for (index, link) in chain.links.iter().enumerate() {
            let is_last = index + 1 == chain.links.len();
            replayed.links.push(*link);
            let stop = self.read_link(*link, &mut replayed, &mut visit)?;
            replayed.ending = match stop {
                Stop::Limit if !is_last => continue,
                Stop::Limit => self.judge_end(&replayed)?,
                Stop::Zeros if is_last => self.judge_zeros(&replayed)?,
                Stop::Zeros => self.judge_bad(replayed.end, Damage::Zeros)?,
                Stop::Bad(what) => self.judge_write(replayed.end, replayed.bad, what)?,
            };
            break;
        }
        self.demand_first(&chain, &replayed)?;
        Ok(replayed)
    }

    /// The chain whose every link has an opening mark. Links from a segment on whose mark is not there are left out when
    /// nothing says that it ever was.
    fn choose_chain(&mut self) -> Result<Option<Chain>, StorageError> {
        let mut bound = u32::MAX;
        loop {
            let traced = Chain::trace(self.survey, bound).map_err(|(id, what)| self.damaged(id, 0, what))?;
            match traced {
                Some(chain) if chain.headless => {
                    bound = chain.links[0].id;
                    self.judge_bad(Offset::new(bound, SEGMENT_HEADER_BYTES), Damage::Checksum)?;
                }
                Some(chain) => return Ok(Some(chain)),
                None => {
                    if let Some(lowest) = self.survey.segments.keys().next() {
                        self.judge_bad(Offset::new(*lowest, SEGMENT_HEADER_BYTES), Damage::Checksum)?;
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn read_link(
        &mut self,
        link: Link,
        replayed: &mut Replayed,
        visit: &mut impl FnMut(Record<'_>),
    ) -> Result<Stop, StorageError> {
        let Some(surveyed) = self.survey.segments.get(&link.id) else {
            return Err(self.missing(link.id));
        };
        self.window.reset();
        let unread = |e| StorageError::io(&self.backing.path(&segment_name(link.id)), "read", e);
        let mut cursor = Cursor::from_start(&surveyed.file, surveyed.header, link.limit);
        loop {
            // The records of a write are given out when all of them are there.
            if let Some((bad, what)) = cursor.look_ahead(self.window).map_err(unread)? {
                replayed.end = Offset::new(link.id, cursor.at);
                replayed.bad = Offset::new(link.id, bad);
                return Ok(Stop::Bad(what));
            }
            loop {
                match cursor.next(self.window).map_err(unread)? {
                    Ok(Item::Record(record)) => {
                        replayed.note_record(&record);
                        visit(record);
                    }
                    Ok(Item::Mark(mark, seq)) => replayed.note_mark(mark, seq),
                    Ok(Item::Void) => {}
                    Err(stop) => {
                        replayed.end = Offset::new(link.id, cursor.at);
                        replayed.bad = replayed.end;
                        return Ok(stop);
                    }
                }
                if !cursor.followed {
                    break;
                }
            }
        }
    }

    /// The last segment is full to its end.
    fn judge_end(&mut self, replayed: &Replayed) -> Result<Ending, StorageError> {
        match replayed.newest.filter(|mark| mark.role == Role::Seal) {
            Some(seal) => self.judge_sealed(seal.next),
            None => Ok(Ending::Sealed),
        }
    }

    /// The last segment ends at zeros, as it should; it is torn all the same when something stands behind them.
    fn judge_zeros(&mut self, replayed: &Replayed) -> Result<Ending, StorageError> {
        if let Some(seal) = replayed.newest.filter(|mark| mark.role == Role::Seal) {
            return self.judge_sealed(seal.next);
        }
        let end = replayed.end;
        let Some(surveyed) = self.survey.segments.get(&end.segment()) else {
            return Err(self.missing(end.segment()));
        };
        let blank = reader::is_blank(&surveyed.file, end.byte(), self.window);
        match blank.map_err(|e| StorageError::io(&self.backing.path(&segment_name(end.segment())), "read", e))? {
            true => self.judge_rest(end).map(|()| Ending::Open),
            false => self.judge_bad(end, Damage::Zeros),
        }
    }

    /// Segments above the last were made ahead and are blank, or a crash left parts of them; no mark may say more.
    fn judge_rest(&mut self, end: Offset) -> Result<(), StorageError> {
        for (id, surveyed) in self.survey.segments.range(end.segment() + 1..) {
            let blank = reader::is_blank(&surveyed.file, SEGMENT_HEADER_BYTES, self.window);
            if !blank.map_err(|e| StorageError::io(&self.backing.path(&segment_name(*id)), "read", e))? {
                self.judge_bad(Offset::new(*id, SEGMENT_HEADER_BYTES), Damage::Checksum)?;
            }
        }
        Ok(())
    }

    /// The log goes on in segment `next`, whose file was on disk before the seal was written, but it was not begun there.
    fn judge_sealed(&mut self, next: u32) -> Result<Ending, StorageError> {
        if !self.survey.segments.contains_key(&next) {
            return Err(self.missing(next));
        }
        self.judge_bad(Offset::new(next, SEGMENT_HEADER_BYTES), Damage::Checksum)?;
        Ok(Ending::Sealed)
    }

    /// A torn tail, unless a mark at or after the place says that the place was on disk.
    fn judge_bad(&mut self, place: Offset, what: Damage) -> Result<Ending, StorageError> {
        self.judge_write(place, place, what)
    }

    /// [`Replay::judge_bad`] of a write that begins at `place` and goes bad at `bad`.
    fn judge_write(&mut self, place: Offset, bad: Offset, what: Damage) -> Result<Ending, StorageError> {
        if self.newest_durable_from(place)? > place {
            return Err(self.damaged(bad.segment(), bad.byte().into(), what));
        }
        Ok(Ending::Torn(what))
    }

    /// The farthest place that a mark at or after `place` says was on disk.
    pub(crate) fn newest_durable_from(&mut self, place: Offset) -> Result<Offset, StorageError> {
        let mut newest = Offset::default();
        for (id, surveyed) in self.survey.segments.range(place.segment()..) {
            let from = if *id == place.segment() { place.byte() } else { SEGMENT_HEADER_BYTES };
            self.window.reset();
            let mut cursor = Cursor::new(&surveyed.file, surveyed.header, from, surveyed.header.len as u32);
            let found = cursor.newest_durable(self.window);
            newest =
                newest.max(found.map_err(|e| StorageError::io(&self.backing.path(&segment_name(*id)), "read", e))?);
        }
        Ok(newest)
    }

    /// The oldest segment that the newest mark needs must be there.
    fn demand_first(&self, chain: &Chain, replayed: &Replayed) -> Result<(), StorageError> {
        match (chain.before, replayed.newest) {
            (Some(before), Some(mark)) if mark.first <= before.segment() => Err(self.missing(before.segment())),
            _ => Ok(()),
        }
    }

    fn missing(&self, id: u32) -> StorageError {
        StorageError::Missing { path: self.backing.path(&segment_name(id)) }
    }

    fn damaged(&self, id: u32, byte: u64, what: Damage) -> StorageError {
        StorageError::Damaged { path: self.backing.path(&segment_name(id)), byte, what }
    }
}
