//! The thread that waits for the disk where a shard must not: it makes the log's next segment and removes old ones.

use super::disk::LogDisk;
use crate::wire::Bell;
use ringtail_storage::{Finished, Job};
use std::io;
use std::sync::mpsc;
use std::thread;

/// The shard's end of the thread, which ends with it.
pub(crate) struct Jobs {
    jobs: mpsc::Sender<Job<LogDisk>>,
    finished: mpsc::Receiver<Finished<LogDisk>>,
    out: usize,
}

impl Jobs {
    /// Starts the thread; it rings the bell when a job is done.
    pub(crate) fn start(shard: usize, bell: Bell) -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job<LogDisk>>();
        let (done, finished) = mpsc::channel();
        thread::Builder::new().name(format!("storage-{shard}")).spawn(move || {
            for job in todo {
                if done.send(job.run()).is_err() {
                    return;
                }
                bell.ring();
            }
        })?;
        Ok(Self { jobs, finished, out: 0 })
    }

    /// Gives the thread a job. One that cannot be given any more is of no use either: the log makes do.
    pub(crate) fn give(&mut self, job: Job<LogDisk>) {
        if self.jobs.send(job).is_ok() {
            self.out += 1;
        }
    }

    /// The next job that is done.
    pub(crate) fn take(&mut self) -> Option<Finished<LogDisk>> {
        if self.out == 0 {
            return None;
        }
        // A test that turns a shard by hand finds it done by the next turn.
        let finished = if cfg!(test) { self.finished.recv().ok() } else { self.finished.try_recv().ok() }?;
        self.out -= 1;
        Some(finished)
    }
}
