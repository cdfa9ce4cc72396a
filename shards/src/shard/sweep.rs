//! The background job of a shard, in slices: the sweep of expired retained messages.

use crate::executor::{Background, yield_now};
use crate::routing::Cursor;
use crate::shard::{Core, Shard};
use std::cell::RefCell;
use std::rc::Rc;

/// How often a sweep starts, milliseconds. An expired message is not given to anybody in the meantime; it only takes memory.
const EVERY_MS: u64 = 60_000;
/// Messages that one slice looks at: some tens of microseconds.
const SLICE: usize = 256;

impl Shard {
    /// Starts a sweep when one is due.
    pub(crate) fn start_sweep(shard: &Rc<RefCell<Self>>, background: &Background) {
        let core = &mut shard.borrow_mut().core;
        if core.local.now < core.sweep_at {
            return;
        }
        core.sweep_at = core.local.now.plus_ms(EVERY_MS);
        if !core.retained.is_empty() {
            background.spawn(sweep(Rc::clone(shard)));
        }
    }
}

async fn sweep(shard: Rc<RefCell<Shard>>) {
    let mut cursor = None;
    loop {
        cursor = shard.borrow_mut().core.sweep_slice(cursor.as_ref());
        if cursor.is_none() {
            return;
        }
        yield_now().await;
    }
}

impl Core {
    fn sweep_slice(&mut self, cursor: Option<&Cursor>) -> Option<Cursor> {
        let Self { retained, local, .. } = self;
        retained.sweep(cursor, SLICE, local.now, |(message, note)| {
            if let Some(journal) = &mut local.journal {
                journal.retained_gone(message.topic_name(), &note, true);
            }
        })
    }
}
