//! Places in a log, and the proof that a place is on disk.
//!
//! Depends on nothing. Only the log mints a [`Durable`]; nothing here may offer another way to make one.

use std::fmt;

/// A place in a log: a segment and a byte in it. Later places compare greater, also over a change of segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(u64);

impl Offset {
    pub(crate) const fn new(segment: u32, byte: u32) -> Offset {
        Offset((segment as u64) << 32 | byte as u64)
    }

    pub(crate) const fn from_bits(bits: u64) -> Offset {
        Offset(bits)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// The number of the segment; 0 is before the first.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte in the segment's file.
    pub const fn byte(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} byte {}", self.segment(), self.byte())
    }
}

/// Where a record stands: what its owner keeps to release it, to read it again, and to know when it is on disk. 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordRef {
    pub(crate) at: Offset,
    pub(crate) len: u32,
}

impl RecordRef {
    /// The first byte of the record.
    pub const fn start(self) -> Offset {
        self.at
    }

    /// The byte after the record. The record is on disk when the log is, up to here.
    pub const fn end(self) -> Offset {
        Offset(self.at.0 + self.len as u64)
    }

    /// Bytes that the record takes in the log, header and padding included.
    pub const fn bytes(self) -> u32 {
        self.len
    }
}

/// The key to an acknowledgement: everything before the place in it is as safe as the log was opened to make it.
///
/// Only a [`Log`](crate::Log) makes one. A function that sends an acknowledgement takes one and asks it
/// [`covers`](Durable::covers), so that no acknowledgement can leave before its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Durable(Offset);

impl Durable {
    pub(crate) const fn mint(upto: Offset) -> Durable {
        Durable(upto)
    }

    /// Everything before this place is safe.
    pub const fn upto(self) -> Offset {
        self.0
    }

    /// Whether the record, also one that has been moved since, is safe.
    pub fn covers(self, record: RecordRef) -> bool {
        self.reaches(record.end())
    }

    /// Whether everything before `end` is safe.
    pub fn reaches(self, end: Offset) -> bool {
        end <= self.0
    }
}
