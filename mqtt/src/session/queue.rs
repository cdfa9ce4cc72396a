//! What waits for the window: messages of QoS 1 and 2 in the order of their arrival, bounded in count and bytes.

use super::kept::Kept;
use crate::limits::{Limits, QueuePolicy};
use crate::time::Millis;
use std::collections::VecDeque;

/// A queue that holds memory only while something waits: it is dropped when it becomes empty.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Kept>,
    bytes: usize,
}

impl Queue {
    /// Adds an entry, for which older ones may have to leave; those go to `evicted`.
    ///
    /// # Errors
    /// Gives `kept` back when the bounds have no room for it.
    pub(super) fn push(
        &mut self,
        kept: Kept,
        limits: &Limits,
        now: Millis,
        mut evicted: impl FnMut(&Kept),
    ) -> Result<(), Kept> {
        let bytes = kept.memory_bytes();
        if limits.queue_messages_max == 0 || bytes > limits.queue_bytes_max {
            return Err(kept);
        }
        while self.entries.len() >= limits.queue_messages_max as usize || self.bytes + bytes > limits.queue_bytes_max {
            let Some(oldest) = self.entries.front() else { break };
            if limits.queue_policy != QueuePolicy::DropOldest && !is_expired(oldest, now) {
                return Err(kept);
            }
            evicted(oldest);
            self.pop();
        }
        self.bytes += bytes;
        self.entries.push_back(kept);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = self.entries.pop_front()?;
        self.bytes -= kept.memory_bytes();
        Some(kept)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory of the entries and of the queue itself.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.entries.capacity() * size_of::<Kept>() + self.bytes
            - self.entries.len() * size_of::<Kept>()
    }

    /// What always holds.
    pub(super) fn invariants(&self) {
        debug_assert_eq!(self.bytes, self.entries.iter().map(Kept::memory_bytes).sum::<usize>(), "bytes of the queue");
        debug_assert!(self.entries.iter().all(|kept| kept.message.is_some() && !kept.counted), "what waits is whole");
        debug_assert!(!self.is_empty(), "an empty queue is dropped");
    }
}

/// True when the message must not be sent any more [MQTT-3.3.2-5].
pub(super) fn is_expired(kept: &Kept, now: Millis) -> bool {
    kept.message.as_ref().is_none_or(|message| message.expires_at <= now)
}
