//! The protocol's field types, appended to a buffer.

use super::REMAINING_LENGTH_MAX;
use super::error::EncodeError;

/// Bytes that a Variable Byte Integer takes.
#[inline]
pub(super) const fn variable_byte_integer_bytes(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// A Variable Byte Integer in as few bytes as it needs [MQTT-1.5.5-1].
#[inline]
pub(super) fn append_variable_byte_integer(value: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if value < 0x80 {
        out.push(value as u8);
        return Ok(());
    }
    let (bytes, length) = variable_byte_integer(value)?;
    out.extend_from_slice(&bytes[..length]);
    Ok(())
}

fn variable_byte_integer(mut value: usize) -> Result<([u8; 4], usize), EncodeError> {
    if value > REMAINING_LENGTH_MAX {
        return Err(EncodeError::PacketTooLarge);
    }
    let length = variable_byte_integer_bytes(value);
    let mut bytes = [0; 4];
    for (index, byte) in bytes[..length].iter_mut().enumerate() {
        let more = if index + 1 < length { 0x80 } else { 0 };
        *byte = (value & 0x7F) as u8 | more;
        value >>= 7;
    }
    Ok((bytes, length))
}

/// Binary Data, or a UTF-8 Encoded String.
#[inline]
pub(super) fn append_binary(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends what `write` writes, with its length as a Variable Byte Integer in front. One byte is kept free for the
/// length, which fits nearly always; otherwise what was written moves up.
pub(super) fn length_prefixed(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let at = out.len();
    out.push(0);
    write(out)?;
    let (bytes, length) = variable_byte_integer(out.len() - at - 1)?;
    if length == 1 {
        out[at] = bytes[0];
    } else {
        out.splice(at..=at, bytes[..length].iter().copied());
    }
    Ok(())
}
