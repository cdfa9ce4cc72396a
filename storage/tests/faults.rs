//! Full disks, short writes, and writes and syncs that fail.

mod common;

use common::{SET, Subject, options, recover};
use ringtail_storage::crash::{CrashDisk, seeded};
use ringtail_storage::{
    Acknowledge, AppendError, CleanProgress, FullCause, LogOptions, Reach, ReadError, StorageError,
};

const SEGMENT_BYTES: u64 = 2048;

fn subject() -> Subject {
    Subject::new(CrashDisk::new(512, 1), options(SEGMENT_BYTES))
}

/// What a loss of power leaves must hold every acknowledged operation, whatever is kept of the rest.
fn survives(subject: &Subject, log_options: LogOptions) {
    for seed in 0..200 {
        let crashed = subject.disk.crash(&mut seeded(seed));
        subject.check(&crashed, log_options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

/// Sets keys until the log refuses, and says why.
fn fill(subject: &mut Subject) -> FullCause {
    for key in 0..10_000 {
        match subject.set(key, 60) {
            Ok(()) => {}
            Err(AppendError::Full { cause, .. }) => return cause,
            Err(e) => panic!("{e}"),
        }
        assert!(subject.commit(Reach::Synced));
        subject.work();
    }
    panic!("the log is never full");
}

#[test]
fn a_full_disk_refuses_new_records_and_nothing_else() {
    let log_options = options(SEGMENT_BYTES);
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    subject.disk.set_room_bytes(5 * SEGMENT_BYTES);
    assert_eq!(fill(&mut subject), FullCause::Disk);
    assert_eq!(subject.log.full(), Some(FullCause::Disk));
    let error = subject.set(1, 60).unwrap_err();
    assert!(error.to_string().contains("/crash-disk") && error.to_string().contains("no room on the disk"), "{error}");
    let held = subject.keeper.values.len() as u64;

    // What frees room goes on, and a commit too.
    for key in 0..10 {
        subject.clear(key).unwrap();
    }
    assert!(subject.commit(Reach::Synced));
    assert_eq!(subject.acknowledged, subject.states.last().unwrap().0);
    survives(&subject, log_options);

    // Asking again does not help before there is room, and then it does.
    subject.log.retry_room();
    subject.work();
    assert!(matches!(subject.set(1, 60), Err(AppendError::Full { .. })));
    subject.disk.set_room_bytes(3 * SEGMENT_BYTES);
    assert!(matches!(subject.set(1, 60), Err(AppendError::Full { .. })), "nobody has asked");
    subject.log.retry_room();
    subject.work();
    assert_eq!(subject.log.full(), None);
    for key in held..held + 20 {
        subject.set(key, 60).unwrap();
        assert!(subject.commit(Reach::Synced));
    }
    survives(&subject, log_options);
}

#[test]
fn a_full_disk_does_not_keep_a_log_from_opening() {
    let mut subject = subject();
    subject.disk.set_room_bytes(4 * SEGMENT_BYTES);
    fill(&mut subject);
    subject.log.sync_now().unwrap();
    let (_, state) = subject.states.last().copied().unwrap();
    let disk = subject.disk.clone();
    drop(subject);
    disk.set_room_bytes(0);
    let (mut log, keeper, _) = recover(&disk, options(SEGMENT_BYTES)).unwrap();
    assert_eq!(keeper.state, state);
    assert!(log.append_tombstone(common::CLEAR, 0, &[]).is_ok());
    assert!(log.sync_now().is_ok());
}

#[test]
fn a_log_at_its_limit_makes_room_by_itself() {
    let log_options = LogOptions { limit_bytes: 6 * SEGMENT_BYTES, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    assert_eq!(fill(&mut subject), FullCause::Limit);
    assert!(subject.log.stats().disk_bytes <= log_options.limit_bytes);
    let full: Vec<u64> = subject.keeper.values.keys().copied().collect();
    for key in &full[..full.len() / 2] {
        subject.clear(*key).unwrap();
    }
    for _ in 0..20 {
        let progress = subject.log.clean_slice(SEGMENT_BYTES as u32, &mut subject.keeper).unwrap();
        assert_ne!(progress, CleanProgress::Full);
        assert!(subject.commit(Reach::Synced));
        subject.work();
    }
    assert_eq!(subject.log.full(), None);
    subject.set(1, 60).unwrap();
    assert!(subject.commit(Reach::Synced));
    survives(&subject, log_options);
}

#[test]
fn a_segment_that_cannot_be_made_for_another_reason_is_reported() {
    let mut subject = subject();
    subject.disk.fail_writes(1);
    let job = subject.log.take_job().unwrap();
    assert!(matches!(subject.log.finish_job(job.run()), Err(StorageError::Io { .. })));
    assert_eq!(subject.log.full(), Some(FullCause::Segment));
    assert!(matches!(subject.set(1, 1), Err(AppendError::Full { cause: FullCause::Segment, .. })));
    subject.log.retry_room();
    subject.work();
    subject.set(1, 1).unwrap();
}

#[test]
fn short_writes_are_carried_to_their_end() {
    let mut subject = subject();
    subject.disk.shorten_writes(7);
    for key in 0..100 {
        subject.set(key % 7, 50).unwrap();
        assert!(subject.commit(Reach::Synced));
        subject.work();
    }
    assert_eq!(subject.acknowledged, 100);
    survives(&subject, options(SEGMENT_BYTES));
}

#[test]
fn a_commit_that_was_not_written_to_its_end_is_no_commit() {
    let mut subject = subject();
    subject.set(1, 50).unwrap();
    let mut commit = subject.log.commit_target(Reach::Synced).unwrap();
    assert_eq!(commit.position(), 64 + 56);
    let len = commit.bytes().len();
    commit.wrote(10);
    assert_eq!((commit.position(), commit.bytes().len()), (64 + 56 + 10, len - 10));
    assert!(subject.log.committed(commit, Ok(())).is_err());
    assert!(subject.log.is_stopped());
}

#[test]
fn one_commit_is_out_at_a_time() {
    let mut subject = subject();
    assert!(subject.log.commit_target(Reach::Synced).is_none(), "there is nothing to commit");
    subject.set(1, 50).unwrap();
    let mut first = subject.log.commit_target(Reach::Synced).unwrap();
    subject.set(2, 50).unwrap();
    assert!(subject.log.commit_target(Reach::Synced).is_none());
    let outcome = first.carry_out();
    subject.log.committed(first, outcome).unwrap();
    subject.acknowledge();
    assert_eq!(subject.acknowledged, 1, "what came after the commit went out is not covered by it");
    assert!(subject.commit(Reach::Synced));
    assert_eq!(subject.acknowledged, 2);
}

#[test]
fn a_commit_may_come_back_after_a_blocking_sync() {
    let mut subject = subject();
    subject.set(1, 50).unwrap();
    let late = subject.log.commit_target(Reach::Synced).unwrap();
    subject.set(2, 50).unwrap();
    subject.log.sync_now().unwrap();
    subject.acknowledge();
    assert_eq!(subject.acknowledged, 2);
    survives(&subject, options(SEGMENT_BYTES));
    let mut late = late;
    let outcome = late.carry_out();
    subject.log.committed(late, outcome).unwrap();
    subject.set(3, 50).unwrap();
    assert!(subject.commit(Reach::Synced));
    survives(&subject, options(SEGMENT_BYTES));
}

/// After a failed sync the kernel reports success although the bytes are not there: no acknowledgement may rest on that.
#[test]
fn a_failed_sync_is_final() {
    for failing_at in 0..30 {
        let mut subject = subject();
        for key in 0..failing_at {
            subject.set(key, 60).unwrap();
            assert!(subject.commit(Reach::Synced));
            subject.work();
        }
        let durable = subject.log.durable();
        subject.set(100, 60).unwrap();
        subject.set(101, 60).unwrap();
        subject.disk.fail_syncs(1);
        assert!(!subject.commit(Reach::Synced));
        assert!(subject.log.is_stopped());
        assert_eq!(subject.log.durable(), durable);
        assert!(subject.log.commit_target(Reach::Synced).is_none(), "no second try");
        assert!(matches!(subject.log.sync_now(), Err(StorageError::Stopped { .. })), "no second try");
        assert!(matches!(subject.set(102, 1), Err(AppendError::Stopped { .. })));
        assert!(matches!(subject.clear(1), Err(AppendError::Stopped { .. })));
        survives(&subject, options(SEGMENT_BYTES));

        subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
        subject.acknowledge();
        assert_eq!(subject.acknowledged, failing_at + 2, "all of it is on disk now");
        survives(&subject, options(SEGMENT_BYTES));
        for key in 0..20 {
            subject.set(key, 60).unwrap();
            assert!(subject.commit(Reach::Synced));
            subject.work();
        }
        survives(&subject, options(SEGMENT_BYTES));
    }
}

/// The owner has let go of a record, and what ends it is not appended yet: an older one of its key must not hold again.
#[test]
fn what_has_no_end_in_the_log_yet_is_written_again() {
    let mut subject = subject();
    let first = subject.log.tail().segment();
    for key in 0.. {
        subject.set(key, 60).unwrap();
        assert!(subject.commit(Reach::Synced));
        subject.work();
        if subject.log.tail().segment() > first {
            break;
        }
    }
    subject.set(1, 60).unwrap();
    assert!(subject.commit(Reach::Synced));
    subject.set(0, 60).unwrap();
    subject.disk.fail_syncs(1);
    assert!(!subject.commit(Reach::Synced));
    let value = subject.keeper.values.remove(&1).unwrap();
    subject.log.release(value.at);
    let live = subject.log.stats().live_bytes;
    subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
    assert_eq!(subject.log.stats().live_bytes, live);
    survives(&subject, options(SEGMENT_BYTES));
}

/// The same with several segments in doubt, records that died meanwhile, and a commit in the air.
#[test]
fn all_that_is_in_doubt_is_written_again() {
    let log_options = LogOptions { staged_bytes_max: 300, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    for key in 0..10 {
        subject.set(key, 60).unwrap();
    }
    assert!(subject.commit(Reach::Synced));
    subject.set(10, 60).unwrap();
    let mut commit = subject.log.commit_target(Reach::Synced).unwrap();
    for key in 11..90 {
        subject.set(key, 60).unwrap();
        if key % 4 == 0 {
            subject.clear(key - 3).unwrap();
        }
    }
    subject.disk.fail_syncs(1);
    let outcome = commit.carry_out();
    assert!(subject.log.committed(commit, outcome).is_err());
    let live = subject.log.stats().live_bytes;
    subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
    assert_eq!(subject.log.stats().live_bytes, live);
    subject.acknowledge();
    assert!(subject.waiting.is_empty());
    let mut scratch = Vec::new();
    for (key, value) in &subject.keeper.values {
        let record = subject.log.read(value.at, &mut scratch).unwrap();
        assert_eq!((record.key, record.seq), (*key, value.seq));
    }
    subject.work();
    survives(&subject, log_options);
}

#[test]
fn a_disk_that_stays_broken_stops_the_log_for_good() {
    let mut subject = subject();
    subject.set(1, 60).unwrap();
    assert!(subject.commit(Reach::Synced));
    subject.work();
    subject.set(2, 60).unwrap();
    subject.disk.fail_syncs(u32::MAX);
    assert!(!subject.commit(Reach::Synced));
    assert!(subject.log.rewrite_unsynced(&mut subject.keeper).is_err());
    assert!(!subject.log.is_whole());
    assert!(matches!(subject.log.rewrite_unsynced(&mut subject.keeper), Err(StorageError::Stopped { .. })));
    assert!(matches!(subject.set(3, 60), Err(AppendError::Stopped { .. })));
    assert_eq!(subject.log.durable().upto().segment(), 1);
    subject.disk.fail_syncs(0);
    survives(&subject, options(SEGMENT_BYTES));
}

/// What a rewrite left half done must not count as written when a commit comes back that was sent out before.
#[test]
fn a_commit_that_comes_back_after_a_failed_rewrite_proves_nothing() {
    let acknowledge = Acknowledge::Written;
    let log_options = LogOptions { staged_bytes_max: 200, acknowledge, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    subject.work();
    subject.set(1, 77).unwrap();
    subject.set(2, 61).unwrap();
    let mut late = subject.log.commit_target(Reach::Synced).unwrap();
    let outcome = late.carry_out();
    subject.disk.fail_writes(1);
    assert!(!subject.commit(Reach::Written));
    subject.disk.fail_syncs(1);
    assert!(subject.log.rewrite_unsynced(&mut subject.keeper).is_err());
    subject.log.committed(late, outcome).unwrap();
    subject.acknowledge();
    subject.check(&subject.disk.kill(), log_options).unwrap();
}

#[test]
fn a_rewrite_that_finds_no_room_can_be_tried_again() {
    let mut subject = subject();
    subject.set(1, 60).unwrap();
    subject.disk.set_room_bytes(0);
    subject.disk.fail_syncs(1);
    assert!(!subject.commit(Reach::Synced));
    assert!(matches!(subject.log.rewrite_unsynced(&mut subject.keeper), Err(StorageError::NoRoom { .. })));
    assert!(subject.log.is_whole());
    subject.disk.set_room_bytes(SEGMENT_BYTES);
    subject.log.retry_room();
    subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
    subject.acknowledge();
    assert_eq!(subject.acknowledged, 1);
    survives(&subject, options(SEGMENT_BYTES));
}

#[test]
fn a_failed_write_within_an_append_stops_the_log() {
    let log_options = LogOptions { staged_bytes_max: 300, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    subject.work();
    subject.disk.fail_writes(1);
    let refused = (0..10).find_map(|key| subject.set(key, 60).err());
    assert!(matches!(refused, Some(AppendError::Stopped { .. })));
    assert!(!subject.log.durable().covers(subject.waiting[0].1));
    subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
    subject.acknowledge();
    assert!(subject.waiting.is_empty());
    survives(&subject, log_options);
}

/// A sector that cannot be read is an error with the file's path, and nothing is taken for lost.
#[test]
fn a_failed_read_is_reported_and_changes_nothing() {
    let mut subject = subject();
    for operation in 0..200 {
        subject.set(operation.min(30), 60).unwrap();
        assert!(subject.commit(Reach::Synced));
        subject.work();
    }
    let mut scratch = Vec::new();
    let at = subject.keeper.values[&19].at;
    subject.disk.fail_read_after(0);
    assert!(matches!(subject.log.read(at, &mut scratch), Err(ReadError::Io(_))));
    subject.log.read(at, &mut scratch).unwrap();

    assert!(subject.log.wants_cleaning());
    subject.disk.fail_read_after(0);
    let cleaned = subject.log.clean_slice(u32::MAX, &mut subject.keeper);
    assert!(matches!(cleaned, Err(StorageError::Io { .. })));
    assert!(!subject.log.is_stopped(), "what can be written still is");
    subject.log.clean_slice(u32::MAX, &mut subject.keeper).unwrap();
    subject.log.sync_now().unwrap();
    subject.acknowledge();

    let mut failed = 0;
    loop {
        let disk = subject.disk.kill();
        disk.fail_read_after(failed);
        match recover(&disk, options(SEGMENT_BYTES)) {
            Err(StorageError::Io { path, .. }) => assert_eq!(path.extension(), Some("seg".as_ref())),
            Err(e) => panic!("{e}"),
            Ok((_, keeper, _)) => {
                assert_eq!(keeper.state, subject.keeper.state);
                break;
            }
        }
        failed += 1;
        subject.check(&disk, options(SEGMENT_BYTES)).unwrap();
    }
    assert!(failed > 5, "only {failed} reads");
}

#[test]
fn where_written_is_enough_full_segments_are_synced_aside() {
    let log_options = LogOptions { acknowledge: Acknowledge::Written, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    for key in 0..100 {
        subject.set(key, 60).unwrap();
        assert!(subject.commit(Reach::Written));
        subject.work();
    }
    assert_eq!(subject.acknowledged, 100, "acknowledged when written");
    assert!(subject.log.stats().syncs > 3, "every full segment was synced");
    let kept = subject.disk.crash(&mut |_| 0);
    let (_, keeper, _) = recover(&kept, log_options).unwrap();
    assert!(keeper.values.len() > 50, "a loss of power costs the last segment only, not {}", 100 - keeper.values.len());
}

/// The segment that a start goes on in is synced when it is full, like any other.
#[test]
fn what_follows_a_start_is_synced_aside() {
    let log_options = LogOptions { acknowledge: Acknowledge::Written, ..options(SEGMENT_BYTES) };
    let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
    subject.set(0, 60).unwrap();
    assert!(subject.commit(Reach::Written));
    let mut subject = Subject::new(subject.disk.kill(), log_options);
    for key in 1..100 {
        subject.set(key, 60).unwrap();
        assert!(subject.commit(Reach::Written));
        subject.work();
    }
    let (_, keeper, _) = recover(&subject.disk.crash(&mut |_| 0), log_options).unwrap();
    assert!(keeper.values.len() > 50, "only {}", keeper.values.len());
}

#[test]
fn settings_and_records_that_do_not_fit_are_refused() {
    let open = |log_options| recover(&CrashDisk::new(512, 1), log_options).map(|_| ());
    for segment_bytes in [0, 504, 2052, (1 << 30) + 8] {
        let log_options = LogOptions { limit_bytes: u64::MAX, ..options(segment_bytes) };
        assert!(matches!(open(log_options), Err(StorageError::Options(_))), "{segment_bytes}");
    }
    let small = LogOptions { limit_bytes: 3 * SEGMENT_BYTES, ..options(SEGMENT_BYTES) };
    assert!(matches!(open(small), Err(StorageError::Options(_))));

    let mut subject = subject();
    let max = subject.log.body_bytes_max();
    let largest = vec![0; max + 1];
    assert!(
        matches!(subject.log.append(SET, 1, &[&largest]), Err(AppendError::TooLarge { len, max: m, .. }) if len == max + 1 && m == max)
    );
    for _ in 0..3 {
        subject.log.append(SET, 1, &[&largest[..max]]).unwrap();
        assert!(subject.commit(Reach::Synced));
    }
}

/// What is written again begins where a write begins, wherever in a page that is.
#[test]
fn making_good_cuts_no_write_in_two() {
    let log_options = options(64 << 10);
    for records in 1..40 {
        let mut subject = Subject::new(CrashDisk::new(512, 1), log_options);
        // Writes of several pages and of several records each.
        for key in 0..3 {
            for record in 0..records {
                subject.set(1000 * key + record, 150).unwrap();
            }
            assert!(subject.commit(Reach::Synced));
        }
        subject.set(9_999, 150).unwrap();
        subject.disk.fail_syncs(1);
        assert!(!subject.commit(Reach::Synced));
        subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
        subject.acknowledge();
        subject.check(&subject.disk.kill(), log_options).unwrap_or_else(|e| panic!("{records} records a write: {e}"));
        for seed in 0..8 {
            let crashed = subject.disk.crash(&mut seeded(seed));
            subject.check(&crashed, log_options).unwrap_or_else(|e| panic!("{records} records, seed {seed}: {e}"));
        }
    }
}
