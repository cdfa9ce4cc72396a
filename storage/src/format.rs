//! The bytes of a segment: its header, the header of a record, and the log's own marks.
//!
//! Depends on nothing but a checksum. It reads and writes slices; it never touches a file. `FORMAT.md` beside this crate
//! draws what is coded here, and `tests/golden.rs` pins it: a change of one means a new [`FORMAT_VERSION`].

use crate::position::Offset;

/// The version of the format that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// The first bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"RTLOGSEG";

/// Bytes of a segment's header; the first record starts here.
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 64;

/// Bytes of a record before its body.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;

/// Records start on multiples of this, so that a search after damage has few places to try.
pub(crate) const ALIGN: usize = 8;

/// The largest segment: bodies and places in a segment fit 32 bits with room to spare.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// The smallest segment: header, opening mark, seal and something between them.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 512;

/// Set in the kind byte of a record that only ends the life of others.
const TOMBSTONE: u8 = 0x80;

/// Set in the length of a record whose write goes on behind it.
const FOLLOWED: u32 = 1 << 31;

/// The kind of the log's own marks.
const MARK: u8 = 0x7F;

/// The kind of what a repair lays over bytes that it gave up.
pub(crate) const VOID: u8 = 0x7E;

/// Bytes of a mark's body.
pub(crate) const MARK_BODY_BYTES: usize = 32;

/// Bytes of a mark in the log.
pub(crate) const MARK_BYTES: usize = record_bytes(MARK_BODY_BYTES);

/// What a record is, in the caller's own numbering: 1 to 125. The log gives it no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(u8);

impl Kind {
    /// The kind of this number, or `None` outside 1 to 125.
    pub const fn new(number: u8) -> Option<Kind> {
        if number >= 1 && number < VOID { Some(Kind(number)) } else { None }
    }

    /// The kind of this number, which the compiler checks.
    pub const fn of<const NUMBER: u8>() -> Kind {
        const { assert!(NUMBER >= 1 && NUMBER < VOID, "a kind is a number from 1 to 125") };
        Kind(NUMBER)
    }

    /// The number that was given to [`Kind::new`].
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Bytes that a record with a body of `body_len` bytes takes in a segment, padding included.
pub(crate) const fn record_bytes(body_len: usize) -> usize {
    (RECORD_HEADER_BYTES + body_len).next_multiple_of(ALIGN)
}

/// A segment's header in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: u32,
    pub(crate) len: u64,
    /// The same in every segment of one log, so that a stray copy from another log is seen.
    pub(crate) log_id: [u8; 16],
    /// Unknown to whoever chooses the bodies: without it a body could carry bytes that pass as records.
    pub(crate) salt: u32,
}

/// Why the first bytes of a file are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Magic,
    Newer(u16),
    Checksum,
    Fields,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&(SEGMENT_HEADER_BYTES as u16).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.log_id);
        bytes[40..44].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The version is judged before the checksum: a newer format may keep its checksum elsewhere.
    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<SegmentHeader, HeaderFault> {
        if bytes[0..8] != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let version = u16::from_le_bytes(array(bytes, 8));
        if version > FORMAT_VERSION {
            return Err(HeaderFault::Newer(version));
        }
        if u32::from_le_bytes(array(bytes, 60)) != crc32c::crc32c(&bytes[..60]) {
            return Err(HeaderFault::Checksum);
        }
        let header = SegmentHeader {
            id: u32::from_le_bytes(array(bytes, 12)),
            len: u64::from_le_bytes(array(bytes, 16)),
            log_id: array(bytes, 24),
            salt: u32::from_le_bytes(array(bytes, 40)),
        };
        let sized = (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&header.len);
        if version == 0 || header.id == 0 || !sized { Err(HeaderFault::Fields) } else { Ok(header) }
    }

    /// What the checksum of the record at `at` is bound to besides its bytes: the segment's salt and the place, so that a
    /// record is valid nowhere else.
    #[inline]
    pub(crate) fn seed(&self, at: u32) -> u32 {
        self.salt.wrapping_add(at)
    }
}

/// The fields of a record's header, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) body_len: u32,
    /// Another record of the same write follows, without which this one counts for nothing.
    pub(crate) followed: bool,
    /// Kind in the low seven bits, [`TOMBSTONE`] above.
    kind: u8,
    /// Below 2^56.
    pub(crate) seq: u64,
    pub(crate) key: u64,
}

/// Sequence numbers share a word with the kind.
const SEQ_BITS: u32 = 56;

impl RecordHeader {
    /// Of a record that is followed until [`end_write`] says otherwise.
    pub(crate) fn new(kind: Kind, tombstone: bool, seq: u64, key: u64, body_len: u32) -> RecordHeader {
        let kind = kind.0 | if tombstone { TOMBSTONE } else { 0 };
        RecordHeader { body_len, followed: true, kind, seq, key }
    }

    pub(crate) fn void(body_len: u32) -> RecordHeader {
        RecordHeader { body_len, followed: false, kind: VOID, seq: 0, key: 0 }
    }

    /// Appends the record to `target`: this header, the body whose parts follow one another, the padding.
    #[inline]
    pub(crate) fn encode(&self, seed: u32, body: &[&[u8]], target: &mut Vec<u8>) {
        let start = target.len();
        let end = start + record_bytes(self.body_len as usize);
        target.reserve(end - start);
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let length = self.body_len | if self.followed { FOLLOWED } else { 0 };
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..16].copy_from_slice(&(self.seq | u64::from(self.kind) << SEQ_BITS).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.key.to_le_bytes());
        target.extend_from_slice(&bytes);
        for part in body {
            target.extend_from_slice(part);
        }
        target.resize(end, 0);
        let crc = checksum(seed, length, &target[start + CHECKED_FROM..]);
        target[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> RecordHeader {
        let kind_and_seq = u64::from_le_bytes(array(bytes, 8));
        let length = u32::from_le_bytes(array(bytes, 4));
        RecordHeader {
            body_len: length & !FOLLOWED,
            followed: length & FOLLOWED != 0,
            kind: (kind_and_seq >> SEQ_BITS) as u8,
            seq: kind_and_seq & ((1 << SEQ_BITS) - 1),
            key: u64::from_le_bytes(array(bytes, 16)),
        }
    }

    /// The caller's kind, or `None` for what the log wrote for itself.
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::new(self.kind & !TOMBSTONE)
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.kind & TOMBSTONE != 0
    }

    pub(crate) fn is_mark(&self) -> bool {
        self.kind == MARK && self.body_len as usize == MARK_BODY_BYTES
    }

    /// Whether a valid record may carry this kind at all.
    pub(crate) fn is_known(&self) -> bool {
        self.kind().is_some() || self.is_mark() || self.kind == VOID
    }
}

/// The checksum covers a record from here on: whole words, also of the padding, as those are the quickest to check.
const CHECKED_FROM: usize = 8;

/// The checksum of a record: seed and length set its beginning, the rest of the record follows.
#[inline]
fn checksum(seed: u32, length: u32, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(seed ^ length.rotate_left(16), rest)
}

/// Whether `record`, with its padding, carries the checksum of its place.
#[inline]
pub(crate) fn is_intact(record: &[u8], seed: u32) -> bool {
    let Some(header) = record.first_chunk::<RECORD_HEADER_BYTES>() else { return false };
    let (crc, length) = (u32::from_le_bytes(array(header, 0)), u32::from_le_bytes(array(header, 4)));
    crc == checksum(seed, length, &record[CHECKED_FROM..])
}

/// Makes a record the last of its write. `record` begins with it, and holds it whole.
pub(crate) fn end_write(record: &mut [u8], seed: u32) {
    let Some(header) = record.first_chunk::<RECORD_HEADER_BYTES>().map(RecordHeader::decode) else { return };
    let bytes = record_bytes(header.body_len as usize);
    let crc = checksum(seed, header.body_len, &record[CHECKED_FROM..bytes]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record[4..8].copy_from_slice(&header.body_len.to_le_bytes());
}

/// Why a mark was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first record of every segment in use.
    Open = 1,
    /// Before a commit.
    Commit = 2,
    /// The last record of a segment that was filled.
    Seal = 3,
    /// Before a clean stop.
    Close = 4,
}

/// What the log writes for itself: how far it was known to be on disk, and how the segments hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) role: Role,
    /// Everything before this was on disk when the mark was written: damage there is damage, not a torn tail.
    pub(crate) durable: Offset,
    /// In an opening mark: where the log ended before this segment. Zero at the beginning of the log.
    pub(crate) previous: Offset,
    /// The oldest segment that the log still needs.
    pub(crate) first: u32,
    /// In a seal: the segment that follows. Else zero.
    pub(crate) next: u32,
}

impl Mark {
    pub(crate) fn header(next_seq: u64) -> RecordHeader {
        RecordHeader { body_len: MARK_BODY_BYTES as u32, followed: false, kind: MARK, seq: next_seq, key: 0 }
    }

    pub(crate) fn encode(&self) -> [u8; MARK_BODY_BYTES] {
        let mut bytes = [0; MARK_BODY_BYTES];
        bytes[0..8].copy_from_slice(&self.durable.to_bits().to_le_bytes());
        bytes[8..16].copy_from_slice(&self.previous.to_bits().to_le_bytes());
        bytes[16..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.next.to_le_bytes());
        bytes[24] = self.role as u8;
        bytes
    }

    pub(crate) fn decode(body: &[u8]) -> Option<Mark> {
        let bytes: &[u8; MARK_BODY_BYTES] = body.try_into().ok()?;
        let role = match bytes[24] {
            1 => Role::Open,
            2 => Role::Commit,
            3 => Role::Seal,
            4 => Role::Close,
            _ => return None,
        };
        Some(Mark {
            role,
            durable: Offset::from_bits(u64::from_le_bytes(array(bytes, 0))),
            previous: Offset::from_bits(u64::from_le_bytes(array(bytes, 8))),
            first: u32::from_le_bytes(array(bytes, 16)),
            next: u32::from_le_bytes(array(bytes, 20)),
        })
    }
}

/// `N` bytes of `bytes` from `at`. Every caller passes constants that lie inside the array.
fn array<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
