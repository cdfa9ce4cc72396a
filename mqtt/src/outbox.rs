//! What a connection has to say: bytes that collect until the next send, large payloads shared instead of copied.
//!
//! ```text
//!   segments (older)                    tail (newest)
//!   [bytes][shared payload][bytes] ...  [bytes........]
//! ```
//! An idle connection's outbox holds no memory.

use crate::message::Message;
use std::collections::VecDeque;
use std::rc::Rc;

/// A payload of at least this many bytes is shared by reference instead of copied; below, a copy costs less than a
/// second piece in the send.
pub const SHARE_PAYLOAD_BYTES: usize = 16 * 1024;

/// One piece of an outbox.
#[derive(Debug)]
pub enum Segment {
    /// Encoded packets, or the head of one.
    Bytes(Vec<u8>),
    /// The payload of a message.
    Payload(Rc<Message>),
}

impl Segment {
    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Payload(message) => message.payload(),
        }
    }
}

/// Bytes waiting for the connection's next send.
#[derive(Debug, Default)]
pub struct Outbox {
    tail: Vec<u8>,
    #[expect(clippy::box_collection, reason = "an idle connection pays eight bytes instead of 32")]
    segments: Option<Box<VecDeque<Segment>>>,
    segment_bytes: usize,
}

impl Outbox {
    /// An empty outbox that will collect into `buffer`, which is cleared.
    #[must_use]
    pub fn with_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { tail: buffer, segments: None, segment_bytes: 0 }
    }

    /// Where encoded packets are appended.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends the payload of `message` by reference.
    pub fn push_payload(&mut self, message: &Rc<Message>) {
        let segments = self.segments.get_or_insert_default();
        if !self.tail.is_empty() {
            self.segment_bytes += self.tail.len();
            segments.push_back(Segment::Bytes(std::mem::take(&mut self.tail)));
        }
        self.segment_bytes += message.payload().len();
        segments.push_back(Segment::Payload(Rc::clone(message)));
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.segment_bytes + self.tail.len()
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// True when the tail has no memory of its own, so that the owner may lend it a pooled buffer.
    #[must_use]
    pub fn wants_buffer(&self) -> bool {
        self.tail.capacity() == 0
    }

    /// Lends the tail a buffer, which is cleared; for an outbox that [wants one](Self::wants_buffer).
    pub fn lend(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.tail = buffer;
    }

    /// Moves everything that waits in `later` behind what waits here.
    pub fn append(&mut self, later: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, later);
            return;
        }
        if later.segments.is_none() {
            self.tail.extend_from_slice(&later.tail);
            later.tail.clear();
            return;
        }
        let segments = self.segments.get_or_insert_default();
        if !self.tail.is_empty() {
            self.segment_bytes += self.tail.len();
            segments.push_back(Segment::Bytes(std::mem::take(&mut self.tail)));
        }
        segments.extend(later.segments.take().into_iter().flat_map(|segments| *segments));
        self.segment_bytes += std::mem::take(&mut later.segment_bytes);
        self.tail = std::mem::take(&mut later.tail);
    }

    /// The first byte that waits.
    #[must_use]
    pub fn first_byte(&self) -> Option<u8> {
        let oldest = self.segments.as_ref().and_then(|segments| segments.front());
        oldest.map_or(&self.tail[..], Segment::as_bytes).first().copied()
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the oldest piece; `None` when empty.
    pub fn pop_segment(&mut self) -> Option<Segment> {
        if let Some(segment) = self.segments.as_mut().and_then(|s| s.pop_front()) {
            self.segment_bytes -= segment.as_bytes().len();
            if self.segment_bytes == 0 {
                self.segments = None;
            }
            return Some(segment);
        }
        (!self.tail.is_empty()).then(|| Segment::Bytes(std::mem::take(&mut self.tail)))
    }
}
