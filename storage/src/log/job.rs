//! What a log wants done by a thread that may wait: making the next segment, removing old ones, and syncing full ones.

use std::io;
use std::sync::Arc;

use super::{Log, Purpose, Retired, Segment, roll::Spare, roll::cause_of};
use crate::backing::{Backing, SegmentFile};
use crate::chain::{segment_name, unfinished_name};
use crate::error::StorageError;
use crate::format::SegmentHeader;
use crate::options::Acknowledge;

/// A piece of work that waits for the disk: [`run`](Job::run) it on any thread, and bring what comes of it to
/// [`Log::finish_job`].
#[derive(Debug)]
#[must_use = "the log waits for what comes of it"]
pub struct Job<B: Backing>(Work<B>);

#[derive(Debug)]
enum Work<B: Backing> {
    Make { backing: B, header: SegmentHeader },
    Remove { backing: B, name: String, bytes: u64 },
    Sync { id: u32, file: Arc<B::File> },
}

/// What came of a [`Job`].
#[derive(Debug)]
#[must_use = "the log waits for it"]
pub struct Finished<B: Backing>(Outcome<B>);

#[derive(Debug)]
enum Outcome<B: Backing> {
    Made { header: SegmentHeader, file: Result<B::File, StorageError> },
    Removed { bytes: u64, outcome: Result<(), StorageError> },
    Synced { id: u32, outcome: io::Result<()> },
}

impl<B: Backing> Job<B> {
    /// A job that removes a file of the log's folder, which counts for so many bytes.
    pub(super) fn remove(backing: &B, name: String, bytes: u64) -> Job<B> {
        Job(Work::Remove { backing: backing.clone(), name, bytes })
    }

    /// Does the work and waits for it.
    pub fn run(self) -> Finished<B> {
        match self.0 {
            Work::Make { backing, header } => Finished(Outcome::Made { header, file: make_segment(&backing, header) }),
            Work::Remove { backing, name, bytes } => {
                let removed = match backing.remove(&name) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                    outcome => outcome.map_err(|e| StorageError::io(&backing.path(&name), "remove", e)),
                };
                Finished(Outcome::Removed { bytes, outcome: removed })
            }
            Work::Sync { id, file } => Finished(Outcome::Synced { id, outcome: file.sync() }),
        }
    }
}

/// Makes a segment's file with its header, under its name only when both are on disk.
pub(crate) fn make_segment<B: Backing>(backing: &B, header: SegmentHeader) -> Result<B::File, StorageError> {
    let (unfinished, name) = (unfinished_name(header.id), segment_name(header.id));
    let file = backing
        .create(&unfinished, header.len)
        .map_err(|e| StorageError::io(&backing.path(&name), "set room aside for", e))?;
    let outcome = file
        .write_all_at(0, &header.encode())
        .and_then(|()| file.sync())
        .and_then(|()| backing.rename(&unfinished, &name))
        .and_then(|()| backing.sync_names());
    match outcome {
        Ok(()) => Ok(file),
        Err(e) => {
            // Whichever of the two names it has by now; the next opening of the log removes what cannot be removed here.
            let _ = backing.remove(&unfinished);
            let _ = backing.remove(&name);
            Err(StorageError::io(&backing.path(&name), "make", e))
        }
    }
}

/// A segment's salt out of random bytes.
pub(crate) fn salt(entropy: &[u8; 16]) -> u32 {
    u32::from_le_bytes([entropy[0], entropy[1], entropy[2], entropy[3]])
}

impl<B: Backing> Log<B> {
    /// The next piece of work that should not be done by a thread that must not wait. To be asked for after every commit and
    /// after a change of segment; there is nothing to lose but time when a job is late.
    pub fn take_job(&mut self) -> Option<Job<B>> {
        if let Some(job) = self.jobs.pop_front() {
            return Some(job);
        }
        if self.stopped {
            return None;
        }
        self.sync_job().or_else(|| self.make_job())
    }

    /// Takes in what came of a job.
    ///
    /// # Errors
    /// What the work met. The log copes: without a next segment it becomes [full](Log::full), a file that was not removed is
    /// removed at the next start, and after a failed sync it is [stopped](Log::is_stopped).
    pub fn finish_job(&mut self, finished: Finished<B>) -> Result<(), StorageError> {
        match finished.0 {
            Outcome::Made { header, file } => self.take_made(header, file),
            Outcome::Removed { bytes, outcome } => {
                self.disk_bytes -= bytes;
                self.going_bytes -= bytes;
                self.retry_room();
                outcome
            }
            Outcome::Synced { id, outcome: Ok(()) } => {
                self.note_sealed_synced(id);
                Ok(())
            }
            Outcome::Synced { id, outcome: Err(e) } => Err(self.stop("sync", id, e)),
        }
    }

    fn make_job(&mut self) -> Option<Job<B>> {
        let Spare::Wanted = self.spare else { return None };
        self.sizes.forget();
        self.settle_size(Purpose::Grow);
        match self.next_header(self.sizes.bytes, Purpose::Grow) {
            Ok(header) => {
                self.spare = Spare::Making(header.id);
                Some(Job(Work::Make { backing: self.backing.clone(), header }))
            }
            Err(cause) => {
                self.refuse(cause);
                None
            }
        }
    }

    fn take_made(&mut self, header: SegmentHeader, file: Result<B::File, StorageError>) -> Result<(), StorageError> {
        let expected = matches!(self.spare, Spare::Making(id) if id == header.id);
        match file {
            Ok(file) if expected => {
                self.spare = Spare::Ready(Segment::new(header, file));
                self.note_room();
                self.refresh_room();
                Ok(())
            }
            Ok(_) => {
                // An append could not wait for it and went on in a later one.
                self.remove_unused(header.id, header.len);
                Ok(())
            }
            Err(e) => {
                self.disk_bytes = self.disk_bytes.saturating_sub(header.len);
                if expected {
                    self.refuse(cause_of(&e));
                }
                Err(e)
            }
        }
    }

    /// Where records count as durable when they are written, nobody waits for full segments to be synced, but damage can be
    /// told from a torn tail only in what was.
    fn sync_job(&mut self) -> Option<Job<B>> {
        if self.options.acknowledge != Acknowledge::Written {
            return None;
        }
        let writing = self.writing.as_ref().map(|in_flight| in_flight.segment());
        let segment = self.sealed.iter_mut().find(|segment| !segment.synced && !segment.syncing)?;
        if writing == Some(segment.header.id) {
            return None;
        }
        segment.syncing = true;
        let (id, file) = (segment.header.id, Arc::clone(&segment.file));
        Some(Job(Work::Sync { id, file }))
    }

    /// Has the file of a segment removed that nothing was written to or that is no longer needed.
    pub(super) fn remove_unused(&mut self, id: u32, bytes: u64) {
        self.going_bytes += bytes;
        self.jobs.push_back(Job::remove(&self.backing, segment_name(id), bytes));
    }

    /// Has the file of a segment removed when all that was appended so far is on disk.
    pub(super) fn retire(&mut self, segment: SegmentHeader) {
        self.going_bytes += segment.len;
        self.retired.push_back(Retired { after: self.tail(), id: segment.id, bytes: segment.len });
    }
}
