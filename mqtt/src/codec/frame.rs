//! The fixed header: where a packet ends, and whether its first bytes are allowed at all.

use super::error::DecodeError;
use super::read::Varint;
use crate::packet::PacketType;

/// What the bytes at the start of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The beginning of a packet.
    Incomplete {
        /// Bytes of the packet that are known to be needed, those already there included; it may turn out to be more.
        needed_bytes: usize,
    },
    /// At least one packet.
    Complete {
        /// Bytes of the packet, fixed header included.
        total_bytes: usize,
        /// Bytes of its fixed header.
        header_bytes: usize,
        /// Packet type and flags.
        first_byte: u8,
    },
}

/// Finds the first packet in `bytes`, of which at most `packet_bytes_max` (fixed header included) are accepted.
///
/// # Errors
/// A [`DecodeError`] as soon as the bytes that are there cannot become a packet: reserved type or flags, a remaining
/// length of five bytes or with needless ones [MQTT-1.5.5-1], a packet above the limit.
#[inline]
pub fn frame(bytes: &[u8], packet_bytes_max: u32) -> Result<Frame, DecodeError> {
    let Some((&first_byte, rest)) = bytes.split_first() else {
        return Ok(Frame::Incomplete { needed_bytes: 2 });
    };
    FIRST_BYTES[first_byte as usize]?;
    let (remaining_length, length_bytes) = match Varint::read(rest)? {
        Varint::Incomplete => return Ok(Frame::Incomplete { needed_bytes: bytes.len() + 1 }),
        Varint::Complete { value, bytes } => (value as usize, bytes),
    };
    let header_bytes = 1 + length_bytes;
    let total_bytes = header_bytes + remaining_length;
    if total_bytes > packet_bytes_max as usize {
        return Err(DecodeError::PacketTooLarge);
    }
    if bytes.len() < total_bytes {
        return Ok(Frame::Incomplete { needed_bytes: total_bytes });
    }
    Ok(Frame::Complete { total_bytes, header_bytes, first_byte })
}

/// First byte and body of exactly one packet.
#[inline]
pub(super) fn split(bytes: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    match frame(bytes, u32::MAX)? {
        Frame::Complete { total_bytes, header_bytes, first_byte } if total_bytes == bytes.len() => {
            Ok((first_byte, &bytes[header_bytes..]))
        }
        Frame::Complete { .. } => Err(DecodeError::TrailingBytes),
        Frame::Incomplete { .. } => Err(DecodeError::Truncated),
    }
}

/// The verdict on each first byte: looked up, because every packet of every kind passes here.
const FIRST_BYTES: [Result<(), DecodeError>; 256] = {
    let mut verdicts = [Ok(()); 256];
    let mut byte = 0;
    while byte < verdicts.len() {
        verdicts[byte] = check_first_byte(byte as u8);
        byte += 1;
    }
    verdicts
};

/// Type and flags [MQTT-2.1.3-1], as far as they can be judged without knowing the version.
const fn check_first_byte(first_byte: u8) -> Result<(), DecodeError> {
    const DUP: u8 = 0b1000;
    const QOS: u8 = 0b0110;
    let Some(packet_type) = PacketType::from_first_byte(first_byte) else {
        return Err(DecodeError::PacketTypeReserved);
    };
    match packet_type {
        PacketType::Publish if first_byte & (DUP | QOS) == DUP => Err(DecodeError::DupWithQoS0), // [MQTT-3.3.1-2]
        PacketType::Publish if first_byte & QOS == QOS => Err(DecodeError::QoS),                 // [MQTT-3.3.1-4]
        PacketType::Publish => Ok(()),
        // 3.1 allows DUP on these three; `decode` refuses it for later versions.
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe
            if first_byte & !DUP == packet_type.first_byte() =>
        {
            Ok(())
        }
        _ if first_byte == packet_type.first_byte() => Ok(()),
        _ => Err(DecodeError::FixedHeaderFlags),
    }
}
