//! From an outbox to what the wire sends.

use crate::wire::SendBuffer;
use ringtail_mqtt::outbox::{Outbox, Segment};

/// Pieces of one send at most: what one gather takes, and a bound for what one connection sends at once.
const PIECES_MAX: usize = 64;
/// Bytes of shared payloads in one send, so that a connection with large messages does not keep them all pinned.
const SEND_BYTES: usize = 4 << 20;

/// Takes the next send out of an outbox; `None` when there is nothing to say.
#[inline]
pub(crate) fn take_send(outbox: &mut Outbox) -> Option<SendBuffer> {
    let first = outbox.pop_segment()?;
    if outbox.is_empty()
        && let Segment::Bytes(bytes) = first
    {
        return Some(SendBuffer::Bytes(bytes));
    }
    let mut len_bytes = first.as_bytes().len();
    let mut segments = vec![first];
    while segments.len() < PIECES_MAX
        && len_bytes < SEND_BYTES
        && let Some(segment) = outbox.pop_segment()
    {
        len_bytes += segment.as_bytes().len();
        segments.push(segment);
    }
    Some(SendBuffer::Segments(segments))
}
