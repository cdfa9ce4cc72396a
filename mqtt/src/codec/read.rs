//! A cursor over the bytes of one packet. Every read is checked against what is left.

use super::error::DecodeError;
use crate::packet::{PacketId, PacketType};
use crate::reason::ReasonCode;
use crate::topic;
use ascii::AsAsciiStr;

/// Reads fields from the front of what is left of a packet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// All that is left.
    #[inline]
    pub(super) const fn rest(self) -> &'a [u8] {
        self.left
    }

    /// Refuses bytes after the last field.
    #[inline]
    pub(super) const fn finish(self) -> Result<(), DecodeError> {
        if self.left.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.left.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.left = rest;
        Ok(*array)
    }

    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.left.split_at_checked(bytes).ok_or(DecodeError::Truncated)?;
        self.left = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn two_byte_integer(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn four_byte_integer(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Byte Integer (5.0, 1.5.5).
    #[inline]
    pub(super) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        match Varint::read(self.left)? {
            Varint::Incomplete => Err(DecodeError::Truncated),
            Varint::Complete { value, bytes } => {
                self.left = &self.left[bytes..];
                Ok(value)
            }
        }
    }

    /// Binary Data: two bytes of length and the bytes.
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let bytes = self.two_byte_integer()?;
        self.take(bytes as usize)
    }

    /// A UTF-8 Encoded String: well-formed [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2]. U+FEFF is a character like
    /// any other [MQTT-1.5.4-3].
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = utf8(self.binary()?)?;
        if topic::contains_null(text) { Err(DecodeError::NullCharacter) } else { Ok(text) }
    }

    /// A string that holds no wildcard [MQTT-3.3.2-2]; it may be empty.
    #[inline]
    pub(super) fn topic_name(&mut self) -> Result<&'a str, DecodeError> {
        let text = utf8(self.binary()?)?;
        match topic::first_forbidden_in_name(text) {
            None => Ok(text),
            Some(0) => Err(DecodeError::NullCharacter),
            Some(_) => Err(DecodeError::TopicName),
        }
    }

    /// A Packet Identifier [MQTT-2.2.1-3].
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.two_byte_integer()?).ok_or(DecodeError::PacketIdZero)
    }

    /// A reason code that packets of this type may carry.
    pub(super) fn reason_code(&mut self, packet_type: PacketType) -> Result<ReasonCode, DecodeError> {
        let byte = self.byte()?;
        ReasonCode::from_byte(byte).filter(|reason| reason.is_of(packet_type)).ok_or(DecodeError::ReasonCode(byte))
    }
}

/// Well-formed UTF-8, surrogates excluded [MQTT-1.5.4-1]. Short ASCII, which most strings are, takes a third of the time
/// of [`std::str::from_utf8`], which goes byte by byte up to the next aligned word.
#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    match bytes.as_ascii_str() {
        Ok(text) => Ok(text.as_str()),
        Err(_) => std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8),
    }
}

/// A Variable Byte Integer at the front of some bytes.
pub(super) enum Varint {
    /// Its end is not there yet.
    Incomplete,
    Complete {
        value: u32,
        bytes: usize,
    },
}

impl Varint {
    /// Reads at most four bytes and refuses needless ones [MQTT-1.5.5-1].
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(&byte) if byte < 0x80 => Ok(Self::Complete { value: u32::from(byte), bytes: 1 }),
            Some(_) => Self::read_long(bytes),
            None => Ok(Self::Incomplete),
        }
    }

    fn read_long(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut value = 0;
        for (index, &byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte < 0x80 {
                // A last byte of 0 adds nothing, so the encoding is not the shortest one.
                return if byte == 0 && index > 0 {
                    Err(DecodeError::VariableByteInteger)
                } else {
                    Ok(Self::Complete { value, bytes: index + 1 })
                };
            }
        }
        if bytes.len() < 4 { Ok(Self::Incomplete) } else { Err(DecodeError::VariableByteInteger) }
    }
}
