//! Opening a log: reading what is there, and making ready to append after it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::job::{self, Job};
use super::roll::Spare;
use super::size::{self, Sizes};
use super::{Cleaner, Log, LogStats, Segment};
use crate::backing::{Backing, SegmentFile};
use crate::chain::{Survey, segment_name};
use crate::disk::{Access, Disk};
use crate::error::StorageError;
use crate::format::{Role, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::ledger::Ledger;
use crate::options::LogOptions;
use crate::position::Durable;
use crate::reader::{self, Record, Window};
use crate::recovery::{Ending, Recovery, Replay, Replayed};

impl Log<Disk> {
    /// Opens the log in the folder `dir`, which is made when it is not there, and locks it. Every record that it holds is given
    /// to `recover` once, in the order in which it was appended or moved.
    ///
    /// A record that `recover` knows to have died is to be released in the [`Ledger`] that comes with each. A record whose
    /// number was seen before has been moved: it takes the place of the earlier one, which is to be released.
    ///
    /// # Errors
    /// [`StorageError`], one for each thing that can be wrong with the folder; nothing has been changed then.
    pub fn open(
        dir: &Path,
        options: LogOptions,
        recover: impl FnMut(Record<'_>, &mut Ledger),
    ) -> Result<(Log<Disk>, Recovery), StorageError> {
        Log::open_on(Disk::open(dir, Access::Write)?, options, recover)
    }
}

/// The files of segments that are not part of the log.
struct Rest<F> {
    spare: Option<(SegmentHeader, F)>,
    /// Names and bytes.
    void: Vec<(String, u64)>,
}

impl<B: Backing> Log<B> {
    /// [`Log::open`] on any backing.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        backing: B,
        options: LogOptions,
        mut recover: impl FnMut(Record<'_>, &mut Ledger),
    ) -> Result<(Log<B>, Recovery), StorageError> {
        options.check()?;
        let mut window = Window::default();
        let mut survey = Survey::take(&backing, &mut window)?;
        survey.all_readable()?;
        let mut ledger = Ledger::default();
        let mut counted = 0;
        let replayed = Replay::new(&backing, &survey, &mut window).run(|record| {
            let id = record.at.start().segment();
            if id != counted {
                ledger.add_segment(id);
                counted = id;
            }
            if !record.tombstone {
                ledger.retain(record.at);
            }
            recover(record, &mut ledger);
        })?;
        let report = replayed.report(&backing);
        let log = Log::resume(backing, options, survey, replayed, ledger, &mut window)?;
        Ok((log, report))
    }

    /// A log that goes on where `replayed` ends.
    fn resume(
        backing: B,
        options: LogOptions,
        mut survey: Survey<B::File>,
        replayed: Replayed,
        ledger: Ledger,
        window: &mut Window,
    ) -> Result<Log<B>, StorageError> {
        // What was written with larger segments must find room when it is moved.
        let segment_bytes = options.segment_bytes.max(size::segment_bytes_for(replayed.largest as usize));
        let options = LogOptions { segment_bytes, ..options };
        options.check()?;
        let highest_id = survey.highest_id();
        let mut sealed = take_links(&mut survey, &replayed);
        sync_recovered(&backing, &sealed, &replayed)?;
        let rest = sort_rest(&backing, survey, replayed.end.segment(), &options, window)?;
        let sizes = Sizes::of(&options, ledger.live_bytes(), rest.spare.as_ref().map(|(header, _)| header.len));
        let (active, spare, fresh) = match (replayed.ending, sealed.pop_back()) {
            (Ending::Open, Some(mut last)) => {
                last.limit = last.header.len as u32;
                last.synced = false;
                (last, rest.spare, false)
            }
            (_, last) => {
                sealed.extend(last);
                let log_id = sealed.back().map(|segment| segment.header.log_id);
                (begin_segment(&backing, sizes.bytes, rest.spare, log_id, highest_id + 1)?, None, true)
            }
        };
        let next_id = highest_id.max(active.header.id) + 1;
        let sealed_bytes = sealed.iter().map(|segment| segment.header.len).sum();
        let beside: u64 = rest.void.iter().map(|(_, bytes)| bytes).sum();
        let disk_bytes = sealed_bytes + active.header.len + spare.as_ref().map_or(0, |(header, _)| header.len) + beside;
        let mut log = Log {
            room: 0,
            reserved_bytes: 0,
            next_seq: replayed.next_seq,
            stage: Vec::new(),
            stage_last: None,
            stage_base: if fresh { SEGMENT_HEADER_BYTES } else { replayed.end.byte() },
            active,
            ledger,
            sealed,
            sealed_bytes,
            sizes,
            spare: spare.map_or(Spare::Wanted, |(header, file)| Spare::Ready(Segment::new(header, file))),
            next_id,
            retired: VecDeque::new(),
            jobs: VecDeque::new(),
            disk_bytes,
            going_bytes: beside,
            written: replayed.end,
            synced: replayed.end,
            durable: Durable::mint(replayed.end),
            writing: None,
            syncing: None,
            commits: 0,
            emptied: Vec::new(),
            unmarked: false,
            stopped: false,
            beyond_repair: false,
            full: None,
            cleaner: Cleaner::default(),
            stats: LogStats::default(),
            options,
            dir: Arc::from(backing.path("")),
            backing,
        };
        log.jobs.extend(rest.void.into_iter().map(|(name, bytes)| Job::remove(&log.backing, name, bytes)));
        log.count_empty_segments();
        if fresh {
            log.stage_mark(Role::Open, replayed.end, log.front_id(), 0);
            log.sync_now()?;
        }
        log.refresh_room();
        Ok(log)
    }

    /// The ledger has met the segments that hold records; it must know the others too.
    fn count_empty_segments(&mut self) {
        let ids = self.sealed.iter().chain([&self.active]).map(|segment| segment.header.id);
        self.ledger.add_missing(ids);
    }
}

/// The log's segments, as sealed ones.
fn take_links<F: SegmentFile>(survey: &mut Survey<F>, replayed: &Replayed) -> VecDeque<Segment<F>> {
    let mut segments = VecDeque::with_capacity(replayed.links.len());
    for link in &replayed.links {
        if let Some(surveyed) = survey.segments.remove(&link.id) {
            let limit = if link.id == replayed.end.segment() { replayed.end.byte() } else { link.limit };
            segments.push_back(Segment { limit, synced: true, ..Segment::new(surveyed.header, surveyed.file) });
        }
    }
    segments
}

/// After a kill of the process the last records may be in the kernel only, and what is built on them must not come to disk
/// before them.
fn sync_recovered<B: Backing>(
    backing: &B,
    segments: &VecDeque<Segment<B::File>>,
    replayed: &Replayed,
) -> Result<(), StorageError> {
    let known = replayed.newest.map_or(0, |mark| mark.durable.segment());
    for segment in segments.iter().filter(|segment| segment.header.id >= known) {
        let path = || backing.path(&segment_name(segment.header.id));
        segment.file.sync().map_err(|e| StorageError::io(&path(), "sync", e))?;
    }
    Ok(())
}

/// Finds among the files that are left one that was made ahead and can be used, and names the others.
fn sort_rest<B: Backing>(
    backing: &B,
    survey: Survey<B::File>,
    newest: u32,
    options: &LogOptions,
    window: &mut Window,
) -> Result<Rest<B::File>, StorageError> {
    // How much of an unfinished one is there is not known.
    let unfinished = survey.unfinished.into_iter().map(|name| (name, options.segment_bytes));
    let mut rest = Rest { spare: None, void: unfinished.collect() };
    let usable = options.segment_bytes_min..=options.segment_bytes;
    // A segment must have a higher number than every one that was ever begun, so only the last can be used, and only after
    // `newest`.
    let last = survey.segments.keys().next_back().copied().filter(|last| *last > newest);
    for (id, surveyed) in survey.segments {
        let fits = Some(id) == last && surveyed.opening.is_none() && usable.contains(&surveyed.header.len);
        let blank = fits && {
            let blank = reader::is_blank(&surveyed.file, SEGMENT_HEADER_BYTES, window);
            blank.map_err(|e| StorageError::io(&backing.path(&segment_name(id)), "read", e))?
        };
        if blank {
            rest.spare = Some((surveyed.header, surveyed.file));
        } else {
            rest.void.push((segment_name(id), surveyed.header.len));
        }
    }
    Ok(rest)
}

/// A segment to begin with: the one made ahead, or a new one.
fn begin_segment<B: Backing>(
    backing: &B,
    bytes: u64,
    spare: Option<(SegmentHeader, B::File)>,
    log_id: Option<[u8; 16]>,
    id: u32,
) -> Result<Segment<B::File>, StorageError> {
    if let Some((header, file)) = spare {
        return Ok(Segment::new(header, file));
    }
    let entropy = || backing.entropy().map_err(|e| StorageError::io(&backing.path(""), "choose a salt for", e));
    let log_id = match log_id {
        Some(log_id) => log_id,
        None => entropy()?,
    };
    let header = SegmentHeader { id, len: bytes, log_id, salt: job::salt(&entropy()?) };
    let file = job::make_segment(backing, header)?;
    Ok(Segment::new(header, file))
}
