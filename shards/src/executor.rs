//! The only module that knows glommio: a pinned executor for each shard.
//!
//! The executor runs the shard's turn as one task and, beside it, background tasks in a queue with few shares. The shard
//! parks in its own wire ring, not in glommio's: nothing of the message path waits for glommio's rings, and a task in the
//! background is only ever runnable, never waiting. So the turn parks only when [`Background::is_idle`], and yields to
//! the executor otherwise.

use glommio::{ExecutorJoinHandle, Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// Memory that glommio sets aside for I/O buffers of its own, bytes: the smallest that it takes, since the wire has its own.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Depth of glommio's rings, which carry next to nothing.
const RING_DEPTH: usize = 16;
/// Shares of the background queue, of 1,000 for the turn.
const BACKGROUND_SHARES: usize = 50;

/// An executor could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the executor of shard {shard} did not start: {reason}")]
pub struct ExecutorError {
    shard: usize,
    reason: String,
}

/// A running executor.
pub(crate) struct Executor<T: Send + 'static> {
    shard: usize,
    handle: ExecutorJoinHandle<T>,
}

/// Starts an executor on `core` (anywhere when `None`) that runs the future that `make` gives.
pub(crate) fn spawn<F, T>(
    shard: usize,
    core: Option<usize>,
    make: impl FnOnce() -> F + Send + 'static,
) -> Result<Executor<T>, ExecutorError>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .name(&format!("shard-{shard}"))
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .spawn(make)
        .map(|handle| Executor { shard, handle })
        .map_err(|error| ExecutorError { shard, reason: error.to_string() })
}

impl<T: Send + 'static> Executor<T> {
    /// Waits for the future to end.
    pub(crate) fn join(self) -> Result<T, ExecutorError> {
        let shard = self.shard;
        self.handle.join().map_err(|error| ExecutorError { shard, reason: error.to_string() })
    }
}

/// Work beside the turn, in slices, on the same executor.
pub(crate) struct Background {
    queue: TaskQueueHandle,
    running: Rc<Cell<usize>>,
}

impl Background {
    /// Call on the executor's own thread.
    pub(crate) fn new() -> Self {
        let queue = glommio::executor().create_task_queue(
            Shares::Static(BACKGROUND_SHARES),
            Latency::Matters(Duration::from_millis(100)),
            "background",
        );
        Self { queue, running: Rc::default() }
    }

    /// Runs `job`, which yields by [`yield_now`] between slices.
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + 'static) {
        self.running.set(self.running.get() + 1);
        let running = Rc::clone(&self.running);
        let counted = async move {
            job.await;
            running.set(running.get() - 1);
        };
        match glommio::spawn_local_into(counted, self.queue) {
            Ok(task) => drop(task.detach()),
            Err(error) => {
                self.running.set(self.running.get() - 1);
                tracing::error!("a background job did not start: {error}");
            }
        }
    }

    /// True when no job is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.get() == 0
    }
}

/// Lets the executor run the other queue, if that has something to run and its shares say so. A task that yields within
/// its queue only would go on until glommio's timer takes the core away from it.
pub(crate) async fn yield_now() {
    glommio::executor().yield_task_queue_now().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_between_the_slices_of_a_background_job() {
        let executor = spawn(0, None, || async {
            let background = Background::new();
            let turns = Rc::new(Cell::new(0));
            let seen = Rc::new(Cell::new((0, 0)));
            let (turns_seen, seen_last) = (Rc::clone(&turns), Rc::clone(&seen));
            background.spawn(async move {
                let first = turns_seen.get();
                for _ in 0..1_000 {
                    yield_now().await;
                }
                seen_last.set((first, turns_seen.get()));
            });
            while !background.is_idle() {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
            seen.get()
        });
        let (first, last) = executor.unwrap().join().unwrap();
        assert!(last > first, "the job had the core from its first slice to its last");
    }
}
