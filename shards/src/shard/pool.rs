//! Send buffers that go round: from an outbox to the wire and back.

/// Buffers that wait. More than this many at once are given back to the allocator, so that a storm leaves nothing behind.
const BUFFERS_MAX: usize = 256;
/// A buffer that grew beyond this is not kept, bytes.
const BUFFER_BYTES_MAX: usize = 32 << 10;
/// What a new buffer holds before it grows, bytes: a CONNACK and a few small messages.
const BUFFER_BYTES: usize = 512;

/// The pool: at most 8 MiB a shard, and nothing until there is traffic.
#[derive(Default)]
pub(crate) struct Pool {
    buffers: Vec<Vec<u8>>,
}

impl Pool {
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < BUFFERS_MAX && (1..=BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
