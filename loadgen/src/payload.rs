//! What every payload begins with: who sent it, which message it is, when it was due and when it left.
//!
//! ```text
//!  0        2               5                    9                        14          16
//!  | check  | publisher     | sequence           | due                    | delay     | body ...
//!  | u16    | u24           | u32                | u40, 100 ns            | u16 float |
//! ```
//! All big-endian. `check` is the low half of the CRC-32C, seeded with the run's number, over everything behind it, so
//! that a changed byte and a message of another run are both noticed. `due` counts from the run's first due time.
//! `delay` is how much later than due the message was handed over, 11 bits of mantissa and 5 of exponent: the
//! uncorrected latency is measured from there.

/// Bytes of the header: the shortest payload.
pub(crate) const HEADER_BYTES: usize = 16;
/// Clients that a run may have: publishers are numbered in 24 bits.
pub(crate) const PUBLISHERS_MAX: u32 = 1 << 24;

/// Nanoseconds of a tick of `due` and `delay`.
pub(crate) const TICK_NS: u64 = 100;
const DUE_MAX_TICKS: u64 = (1 << 40) - 1;
const MANTISSA_BITS: u32 = 11;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The publisher's client number.
    pub(crate) publisher: u32,
    /// The message's number, from 0, among those of the publisher.
    pub(crate) sequence: u32,
    /// When it was due, nanoseconds after the run's start.
    pub(crate) due_ns: u64,
    /// How much later it was handed over, nanoseconds.
    pub(crate) delay_ns: u64,
}

impl Stamp {
    /// Writes the payload's header and `body` to the end of `out`.
    pub(crate) fn write(&self, run: u32, body: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&self.publisher.to_be_bytes()[1..]);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&(self.due_ns / TICK_NS).min(DUE_MAX_TICKS).to_be_bytes()[3..]);
        out.extend_from_slice(&encode_delay(self.delay_ns / TICK_NS).to_be_bytes());
        out.extend_from_slice(body);
        let check = checksum(run, &out[at + 2..]);
        out[at..at + 2].copy_from_slice(&check.to_be_bytes());
    }

    /// Reads the header of `payload`; `None` when it is too short or its checksum is wrong.
    pub(crate) fn read(run: u32, payload: &[u8]) -> Option<Self> {
        let (header, _) = payload.split_first_chunk::<HEADER_BYTES>()?;
        let [c0, c1, p0, p1, p2, s0, s1, s2, s3, d0, d1, d2, d3, d4, l0, l1] = *header;
        if u16::from_be_bytes([c0, c1]) != checksum(run, &payload[2..]) {
            return None;
        }
        Some(Self {
            publisher: u32::from_be_bytes([0, p0, p1, p2]),
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            due_ns: u64::from_be_bytes([0, 0, 0, d0, d1, d2, d3, d4]) * TICK_NS,
            delay_ns: decode_delay(u16::from_be_bytes([l0, l1])) * TICK_NS,
        })
    }
}

fn checksum(run: u32, bytes: &[u8]) -> u16 {
    crc32c::crc32c_append(run, bytes) as u16
}

/// A count of ticks as mantissa and exponent: exact to one part in 1,024, up to 2^31 mantissas (12 hours).
fn encode_delay(ticks: u64) -> u16 {
    let bits = u64::BITS - ticks.leading_zeros();
    let exponent = bits.saturating_sub(MANTISSA_BITS).min(31);
    let mantissa = (ticks >> exponent).min((1 << MANTISSA_BITS) - 1);
    (exponent as u16) << MANTISSA_BITS | mantissa as u16
}

fn decode_delay(code: u16) -> u64 {
    u64::from(code & ((1 << MANTISSA_BITS) - 1)) << (code >> MANTISSA_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stamp: Stamp, body: &[u8]) -> Vec<u8> {
        let mut out = vec![0xEE];
        stamp.write(7, body, &mut out);
        out.split_off(1)
    }

    #[test]
    fn a_stamp_comes_back() {
        for stamp in [
            Stamp { publisher: 0, sequence: 0, due_ns: 0, delay_ns: 0 },
            Stamp { publisher: 0xAB_CDEF, sequence: u32::MAX, due_ns: 12_345_678_900, delay_ns: 204_700 },
        ] {
            for body in [&b""[..], b"body"] {
                let payload = written(stamp, body);
                assert_eq!(payload.len(), HEADER_BYTES + body.len());
                assert_eq!(Stamp::read(7, &payload), Some(stamp));
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_another_run_are_noticed() {
        let payload = written(Stamp { publisher: 5, sequence: 6, due_ns: 7_000, delay_ns: 800 }, b"some body");
        for bit in 0..payload.len() * 8 {
            let mut changed = payload.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp::read(7, &changed), None, "bit {bit}");
        }
        assert_eq!(Stamp::read(8, &payload), None);
        assert_eq!(Stamp::read(7, &payload[..15]), None);
    }

    #[test]
    fn a_delay_keeps_three_digits() {
        for ticks in [0, 1, 2_047, 2_048, 99_999, 12_345_678, 1 << 40] {
            let back = decode_delay(encode_delay(ticks));
            assert!(back <= ticks && ticks - back <= ticks / 1_024, "{ticks} -> {back}");
        }
    }
}
