//! Reading a segment record by record, and looking for what the log wrote about itself after a bad place.
//!
//! Depends on [`crate::format`]. It reads through a window with explicit reads, so that a bad sector is an error and no
//! signal. It decides nothing: whether a bad place is a torn tail or damage is for [`crate::recovery`].

use std::io;

use crate::backing::SegmentFile;
use crate::error::Damage;
use crate::format::{self, Kind, Mark, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::position::{Offset, RecordRef};

/// A record as its owner wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The owner's kind.
    pub kind: Kind,
    /// Whether the record only ends the life of others; see [`Log::append_tombstone`](crate::Log::append_tombstone).
    pub tombstone: bool,
    /// The number that the log gave it: greater than that of every record appended before, and kept when it is moved.
    pub seq: u64,
    /// The owner's key.
    pub key: u64,
    /// The owner's bytes.
    pub body: &'a [u8],
    /// Where it stands.
    pub at: RecordRef,
}

/// Bytes that a window reads at once where all is read from one end to the other.
const WINDOW_BYTES: usize = 256 << 10;

/// Something that can be read from a byte on: a file, or what waits to be written to it.
pub(crate) trait Source {
    fn fill(&self, at: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl<F: SegmentFile> Source for F {
    fn fill(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read_at(at, buf)
    }
}

/// A part of a source, kept to be looked at piece by piece. Reused from segment to segment.
#[derive(Debug)]
pub(crate) struct Window {
    /// Bytes to read at once.
    step: usize,
    bytes: Vec<u8>,
    start: u32,
    /// Bytes of `bytes` that hold what the source has.
    filled: usize,
}

impl Default for Window {
    fn default() -> Window {
        Window::of(WINDOW_BYTES)
    }
}

impl Window {
    /// One that reads so many bytes at once, or a record that is larger.
    pub(crate) fn of(step: usize) -> Window {
        Window { step, bytes: Vec::new(), start: 0, filled: 0 }
    }

    /// Forgets what it holds; to be called before another source is read.
    pub(crate) fn reset(&mut self) {
        self.filled = 0;
    }

    /// The `len` bytes from `at`, where `at + len <= limit` and the source has bytes up to `limit`.
    fn get<S: Source>(&mut self, source: &S, at: u32, len: usize, limit: u32) -> io::Result<&[u8]> {
        let held = at >= self.start && (at - self.start) as usize + len <= self.filled;
        if !held {
            let want = len.max(self.step).min((limit - at) as usize);
            if self.bytes.len() < want {
                self.bytes.resize(want, 0);
            }
            self.filled = 0;
            source.fill(u64::from(at), &mut self.bytes[..want])?;
            self.start = at;
            self.filled = want;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..from + len])
    }
}

/// What stands at a place of a segment.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A record of the log's owner.
    Record(Record<'a>),
    /// A mark of the log's own.
    Mark(Mark, u64),
    /// Bytes that a repair gave up.
    Void,
}

/// Where reading stopped, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At the limit, exactly.
    Limit,
    /// At zeros: nothing was written here.
    Zeros,
    /// At bytes that are no record.
    Bad(Damage),
}

/// Reads the records of one segment in order.
pub(crate) struct Cursor<'s, S> {
    source: &'s S,
    header: SegmentHeader,
    /// The next record starts here.
    pub(crate) at: u32,
    /// The last record is followed by another of the same write.
    pub(crate) followed: bool,
    /// Records end here at the latest.
    limit: u32,
}

impl<'s, S: Source> Cursor<'s, S> {
    /// From byte `at`, a record's first, to byte `limit`.
    pub(crate) fn new(source: &'s S, header: SegmentHeader, at: u32, limit: u32) -> Cursor<'s, S> {
        Cursor { source, header, at, followed: false, limit }
    }

    /// From the segment's first record on.
    pub(crate) fn from_start(source: &'s S, header: SegmentHeader, limit: u32) -> Cursor<'s, S> {
        Cursor::new(source, header, SEGMENT_HEADER_BYTES, limit)
    }

    /// The next item, or why there is none.
    pub(crate) fn next<'w>(&mut self, window: &'w mut Window) -> io::Result<Result<Item<'w>, Stop>> {
        let header = match self.header_at(window)? {
            Ok(header) => header,
            Err(stop) => return Ok(Err(stop)),
        };
        let padded = format::record_bytes(header.body_len as usize);
        let at = self.at;
        let record = window.get(self.source, at, padded, self.limit)?;
        if !format::is_intact(record, self.header.seed(at)) || !header.is_known() {
            return Ok(Err(Stop::Bad(Damage::Checksum)));
        }
        self.at = at + padded as u32;
        let body = &record[RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + header.body_len as usize];
        if let Some(kind) = header.kind() {
            let place = RecordRef { at: Offset::new(self.header.id, at), len: padded as u32 };
            let tombstone = header.is_tombstone();
            self.followed = header.followed;
            return Ok(Ok(Item::Record(Record { kind, tombstone, seq: header.seq, key: header.key, body, at: place })));
        }
        if header.is_mark() {
            return Ok(Mark::decode(body).map(|mark| Item::Mark(mark, header.seq)).ok_or(Stop::Bad(Damage::Checksum)));
        }
        // What was given up may have been the last of its write.
        self.followed = false;
        Ok(Ok(Item::Void))
    }

    /// Where the records of a write begin at the cursor: from where on they are not there, and why, or `None` when all are.
    pub(crate) fn look_ahead(&self, window: &mut Window) -> io::Result<Option<(u32, Damage)>> {
        let mut ahead = Cursor { followed: false, ..*self };
        if !self.header_at(window)?.is_ok_and(|header| header.followed) {
            return Ok(None);
        }
        loop {
            match ahead.next(window)? {
                Ok(_) if ahead.followed => {}
                Ok(_) => return Ok(None),
                // An end that would be in order is none in the middle of a write.
                Err(Stop::Limit | Stop::Zeros) => return Ok(Some((ahead.at, Damage::Zeros))),
                Err(Stop::Bad(what)) => return Ok(Some((ahead.at, what))),
            }
        }
    }

    /// The header at the cursor, when a record that it heads could end before the limit.
    fn header_at(&self, window: &mut Window) -> io::Result<Result<RecordHeader, Stop>> {
        let left = (self.limit - self.at) as usize;
        if left < RECORD_HEADER_BYTES {
            return Ok(Err(if left == 0 { Stop::Limit } else { Stop::Zeros }));
        }
        let bytes = window.get(self.source, self.at, RECORD_HEADER_BYTES, self.limit)?;
        let Some(header) = bytes.first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(Err(Stop::Bad(Damage::Length)));
        };
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Err(Stop::Zeros));
        }
        let header = RecordHeader::decode(header);
        if header.body_len as usize > left || format::record_bytes(header.body_len as usize) > left {
            return Ok(Err(Stop::Bad(Damage::Length)));
        }
        Ok(Ok(header))
    }

    /// Finds the next place after the cursor, from 24 bytes on, where an intact record stands, and moves there. The work is
    /// bounded: bytes that pretend to be headers of long records can make it give up early, and it then looks for marks only.
    pub(crate) fn skip_damage(&mut self, window: &mut Window) -> io::Result<bool> {
        let mut budget = 64 * u64::from(self.limit);
        let mut at = self.at + RECORD_HEADER_BYTES as u32;
        while (at as usize) + RECORD_HEADER_BYTES <= self.limit as usize {
            let mut probe = Cursor { at, ..*self };
            if let Ok(header) = probe.header_at(window)?
                && header.is_known()
                && (header.is_mark() || budget > 0)
            {
                budget = budget.saturating_sub(u64::from(header.body_len) + RECORD_HEADER_BYTES as u64);
                if probe.next(window)?.is_ok() {
                    self.at = at;
                    return Ok(true);
                }
            }
            at += format::ALIGN as u32;
        }
        Ok(false)
    }

    /// The farthest place that any intact mark from the cursor on says was on disk.
    pub(crate) fn newest_durable(&mut self, window: &mut Window) -> io::Result<Offset> {
        let mut newest = Offset::default();
        let mut at = self.at;
        while (at as usize) + format::MARK_BYTES <= self.limit as usize {
            let mut probe = Cursor { at, ..*self };
            if let Ok(header) = probe.header_at(window)?
                && header.is_mark()
                && let Ok(Item::Mark(mark, _)) = probe.next(window)?
            {
                newest = newest.max(mark.durable);
            }
            at += format::ALIGN as u32;
        }
        Ok(newest)
    }
}

/// Whether the file holds nothing but zeros from byte `from` on.
pub(crate) fn is_blank<F: SegmentFile>(file: &F, from: u32, window: &mut Window) -> io::Result<bool> {
    let limit = file.bytes() as u32;
    let mut at = from;
    window.reset();
    while at < limit {
        match file.next_written(u64::from(at))? {
            Some(written) if written < u64::from(limit) => at = at.max(written as u32),
            _ => return Ok(true),
        }
        let step = WINDOW_BYTES.min((limit - at) as usize);
        if window.get(file, at, step, limit)?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += step as u32;
    }
    Ok(true)
}
