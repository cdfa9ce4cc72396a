//! How much room a log takes, however long it runs, and that starting it costs what is live and not what ever was.

mod common;

use common::{Subject, options, options_from_smallest, recover};
use ringtail_storage::crash::{CrashDisk, seeded};
use ringtail_storage::{CleanProgress, FullCause, LogOptions, Reach, StorageError};

const SEGMENT_BYTES: u64 = 4096;

/// What a log may take beyond three times its live bytes: the active segment, the one ahead, one that goes, and what is
/// granted to small logs.
const SEGMENTS_BESIDE: u64 = 5;

fn assert_bounded(subject: &Subject, segment_bytes: u64, when: usize) {
    let stats = subject.log.stats();
    let bound = 3 * stats.live_bytes + SEGMENTS_BESIDE * segment_bytes;
    assert!(stats.disk_bytes <= bound, "operation {when}: {} bytes for {} live", stats.disk_bytes, stats.live_bytes);
}

/// Runs `operations` random ones over `keys` keys, cleaning three bytes for each byte appended, and checks that it stays within
/// bounds with segments of 4 KiB.
fn churn(subject: &mut Subject, operations: usize, keys: u64, seed: u64) {
    churn_within(subject, SEGMENT_BYTES, operations, keys, seed);
}

fn churn_within(subject: &mut Subject, segment_bytes: u64, operations: usize, keys: u64, seed: u64) {
    let mut choose = seeded(seed);
    let mut cleaned_for = subject.log.stats().appended_bytes;
    for operation in 0..operations {
        let key = choose(keys as usize) as u64;
        match choose(4) {
            0 => subject.clear(key).unwrap(),
            _ => subject.set(key, choose(200)).unwrap(),
        }
        if operation % 8 == 7 {
            let appended = subject.log.stats().appended_bytes;
            let budget = 3 * (appended - cleaned_for) as u32;
            cleaned_for = appended;
            assert_ne!(subject.log.clean_slice(budget, &mut subject.keeper).unwrap(), CleanProgress::Full);
            assert!(subject.commit(Reach::Synced));
            subject.work();
            assert_bounded(subject, segment_bytes, operation);
        }
    }
}

#[test]
fn a_log_takes_three_times_what_is_live() {
    for (keys, seed) in [(1, 1), (20, 2), (400, 3), (3000, 4)] {
        let mut subject = Subject::new(CrashDisk::new(512, seed), options(SEGMENT_BYTES));
        churn(&mut subject, 30_000, keys, seed);
        let stats = subject.log.stats();
        assert!(stats.appended_bytes > 40 * SEGMENT_BYTES);
        assert!(
            stats.moved_bytes <= stats.appended_bytes,
            "{keys} keys: {} bytes moved for {} appended",
            stats.moved_bytes,
            stats.appended_bytes
        );
        subject.log.sync_now().unwrap();
        subject.acknowledge();
        let crashed = subject.disk.crash(&mut seeded(seed));
        subject.check(&crashed, options(SEGMENT_BYTES)).unwrap();
        let (_, keeper, recovery) = recover(&crashed, options(SEGMENT_BYTES)).unwrap();
        assert!(recovery.bytes <= 3 * stats.live_bytes + SEGMENTS_BESIDE * SEGMENT_BYTES, "a start reads little more");
        assert_eq!(keeper.values.len(), subject.keeper.values.len());
    }
}

/// However large a segment may be: a log with little in it has small ones.
#[test]
fn segments_go_by_what_is_live() {
    const LARGEST: u64 = 256 << 10;
    for (keys, seed) in [(1, 1), (20, 2), (400, 3), (3000, 4)] {
        let mut subject = Subject::new(CrashDisk::new(512, seed), options_from_smallest(LARGEST));
        // A sixteenth of the values, of up to 200 bytes, or some times what is appended before a job is carried out.
        let segment_bytes = (keys * 200 / 16).max(8192);
        churn_within(&mut subject, segment_bytes, 30_000, keys, seed);
        let stats = subject.log.stats();
        assert!(stats.appended_bytes > 40 * segment_bytes);
        assert!(stats.moved_bytes <= stats.appended_bytes, "{stats:?}");
        subject.log.sync_now().unwrap();
        subject.acknowledge();
        subject.check(&subject.disk.crash(&mut seeded(seed)), options_from_smallest(LARGEST)).unwrap();
    }
}

/// A large record, or much that is reserved at a time, is as welcome with small segments as with large ones.
#[test]
fn a_larger_segment_is_made_for_what_needs_it() {
    const LARGEST: u64 = 64 << 10;
    let mut subject = Subject::new(CrashDisk::new(512, 9), options_from_smallest(LARGEST));
    let max = subject.log.body_bytes_max();
    let before = subject.log.stats().disk_bytes;
    subject.work();
    subject.set(1, max - 4).unwrap();
    assert!(subject.log.stats().disk_bytes > before + LARGEST - 512);
    let reserved = subject.log.reserve(max).unwrap();
    subject.set_reserved(reserved, 2, max - 4).unwrap();
    assert_eq!(subject.log.full(), None);
    for key in 3..200 {
        subject.set(key, 100).unwrap();
        tend(&mut subject, 1000);
    }
    assert!(subject.log.stats().moved_bytes == 0 && subject.keeper.values.len() == 199);
    // Without room on the disk the large one is refused, and small ones are taken as soon as it is tried again.
    subject.disk.set_room_bytes(LARGEST / 4);
    while subject.set(1, max - 4).is_ok() {
        tend(&mut subject, 0);
    }
    assert_eq!(subject.log.full(), Some(FullCause::Disk));
    subject.log.retry_room();
    subject.work();
    subject.set(3, 100).unwrap();
    subject.log.sync_now().unwrap();
    subject.acknowledge();
    subject.check(&subject.disk.crash(&mut seeded(9)), options_from_smallest(LARGEST)).unwrap();
}

/// Records that stay for ever do not keep the dead ones behind them.
#[test]
fn lasting_records_are_moved_and_kept() {
    let mut subject = Subject::new(CrashDisk::new(512, 5), options(SEGMENT_BYTES));
    for key in 1_000_000..1_000_300 {
        subject.set(key, 100).unwrap();
    }
    churn(&mut subject, 20_000, 10, 5);
    assert_eq!(subject.keeper.values.range(1_000_000..).count(), 300);
    let mut scratch = Vec::new();
    for (key, value) in &subject.keeper.values {
        let record = subject.log.read(value.at, &mut scratch).unwrap();
        assert_eq!((record.key, record.seq), (*key, value.seq));
    }
}

/// Who serves clients does not make a segment's file itself for the sake of cleaning.
#[test]
fn cleaning_waits_for_the_segment_that_is_being_made() {
    let mut subject = Subject::new(CrashDisk::new(512, 7), options(SEGMENT_BYTES));
    for key in 0..100 {
        subject.set(key, 100).unwrap();
    }
    let mut last = subject.log.tail().segment();
    // Until cleaning is wanted and the segment made ahead was just taken into use.
    while !subject.log.wants_cleaning() || subject.log.tail().segment() == last {
        last = subject.log.tail().segment();
        subject.work();
        subject.set(1_000, 100).unwrap();
        assert!(subject.commit(Reach::Synced) && subject.commit(Reach::Synced));
    }
    let job = subject.log.take_job().expect("the next segment is wanted");
    let before = subject.log.stats();
    let mut slices = 0;
    while subject.log.clean_slice(200, &mut subject.keeper).unwrap() != CleanProgress::Waiting {
        slices += 1;
        assert!(subject.commit(Reach::Synced) && slices < 1_000);
    }
    let after = subject.log.stats();
    assert!(after.moved_bytes > before.moved_bytes, "as long as there is room it goes on");
    assert_eq!(after.disk_bytes, before.disk_bytes, "no other segment was made");
    let finished = job.run();
    subject.log.finish_job(finished).unwrap();
    assert!(matches!(subject.log.clean_slice(200, &mut subject.keeper).unwrap(), CleanProgress::Scanned(_)));
}

#[test]
fn a_log_whose_records_are_all_dead_shrinks_to_nothing() {
    let mut subject = Subject::new(CrashDisk::new(512, 6), options(SEGMENT_BYTES));
    for key in 0..500 {
        subject.set(key, 100).unwrap();
    }
    for key in 0..500 {
        subject.clear(key).unwrap();
    }
    let before = subject.log.stats();
    assert!(before.segments > 10 && before.live_bytes == 0);
    loop {
        let progress = subject.log.clean_slice(1 << 20, &mut subject.keeper).unwrap();
        assert!(subject.commit(Reach::Synced));
        subject.work();
        if progress == CleanProgress::Idle {
            break;
        }
    }
    let after = subject.log.stats();
    assert_eq!((after.segments, after.disk_bytes), (1, 2 * SEGMENT_BYTES), "the active segment and the one ahead");
    assert_eq!(after.moved_bytes, 0);
    let (_, keeper, recovery) = recover(&subject.disk, options(SEGMENT_BYTES)).unwrap();
    assert!(keeper.values.is_empty() && recovery.segments == 1);
}

/// Large records are moved also when the settings have become smaller than they are.
#[test]
fn a_log_goes_on_with_smaller_segments() {
    let disk = CrashDisk::new(512, 8);
    let mut subject = Subject::new(disk.clone(), options(SEGMENT_BYTES));
    let largest = subject.log.body_bytes_max() - 4;
    for key in 1_000_000..1_000_010 {
        subject.set(key, largest).unwrap();
    }
    subject.log.sync_now().unwrap();
    drop(subject);
    let mut subject = Subject::new(disk, options(512));
    churn(&mut subject, 5000, 10, 8);
    assert_eq!(subject.keeper.values.range(1_000_000..).count(), 10);
    assert!(subject.log.stats().moved_bytes > 10 * largest as u64);
    let too_small = LogOptions { limit_bytes: 4 * 512, ..options(512) };
    assert!(matches!(recover(&subject.disk, too_small), Err(StorageError::Options(_))));
}

/// A released record's place is no longer read once its segment is gone, and never gives another record's bytes.
#[test]
fn places_that_are_gone_are_gone() {
    let mut subject = Subject::new(CrashDisk::new(512, 7), options(SEGMENT_BYTES));
    subject.set(1, 50).unwrap();
    let at = subject.keeper.values[&1].at;
    subject.clear(1).unwrap();
    churn(&mut subject, 2000, 10, 7);
    let mut scratch = Vec::new();
    assert!(subject.log.read(at, &mut scratch).is_err());
}

/// A log that is full, and whose oldest records stay: what is released behind them makes room all the same, though ending a
/// record takes room as well, and so does moving one.
#[test]
fn a_full_log_finds_what_is_dead_behind_what_lives() {
    let limited = LogOptions { limit_bytes: 10 * SEGMENT_BYTES, ..options(SEGMENT_BYTES) };
    let unlimited = options(SEGMENT_BYTES);
    let sizes = LogOptions { segment_bytes: 4 * SEGMENT_BYTES, ..unlimited };
    let sizes_limited = LogOptions { limit_bytes: 16 * SEGMENT_BYTES, ..sizes };
    for (log_options, full_by, lasting) in [
        (limited, FullCause::Limit, 10),
        (limited, FullCause::Limit, 30),
        (limited, FullCause::Limit, 90),
        (unlimited, FullCause::Disk, 10),
        (sizes_limited, FullCause::Limit, 10),
        (sizes_limited, FullCause::Limit, 30),
        (sizes_limited, FullCause::Limit, 90),
        (sizes, FullCause::Disk, 10),
        (sizes, FullCause::Disk, 90),
    ] {
        let mut subject = Subject::new(CrashDisk::new(512, lasting), log_options);
        let limit = if full_by == FullCause::Limit { log_options.limit_bytes } else { 10 * SEGMENT_BYTES };
        subject.disk.set_room_bytes(limit - SEGMENT_BYTES);
        for key in 1_000_000..1_000_000 + lasting {
            subject.set(key, 100).unwrap();
        }
        let mut keys = 0;
        while subject.set(keys, 0).is_ok() {
            keys += 1;
            tend(&mut subject, 0);
        }
        assert_eq!(subject.log.full(), Some(full_by));
        let mut turns = 0;
        for key in 0..keys {
            while subject.clear(key).is_err() {
                turns += 1;
                assert!(turns < 1000, "{full_by:?}, {lasting}: stuck at {key} of {keys}, {:?}", subject.log.stats());
                tend(&mut subject, 1000);
            }
            tend(&mut subject, 100);
        }
        while subject.log.full().is_some() {
            turns += 1;
            assert!(turns < 1000, "{full_by:?}, {lasting}: still full, {:?}", subject.log.stats());
            tend(&mut subject, 1000);
            subject.log.retry_room();
        }
        subject.set(1, 100).unwrap();
        assert_eq!(subject.keeper.values.len() as u64, lasting + 1);
        assert!(subject.log.stats().disk_bytes <= log_options.limit_bytes);
        subject.log.sync_now().unwrap();
        subject.acknowledge();
        subject.check(&subject.disk.crash(&mut seeded(1)), log_options).unwrap();
    }
}

/// A slice of cleaning, a commit, and whatever jobs there are.
fn tend(subject: &mut Subject, budget_bytes: u32) {
    if budget_bytes > 0 {
        let _ = subject.log.clean_slice(budget_bytes, &mut subject.keeper).unwrap();
    }
    assert!(subject.commit(Reach::Synced));
    subject.work();
}
