//! Data folders and logs on a real file system.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use ringtail_storage::{Access, DataFolder, Disk, Kind, Layout, Log, LogOptions, Reach, SegmentFile, StorageError};

const KIND: Kind = Kind::of::<3>();

fn options() -> LogOptions {
    LogOptions { segment_bytes: 64 << 10, segment_bytes_min: 64 << 10, limit_bytes: 16 << 20, ..LogOptions::default() }
}

fn write_records(dir: &Path, keys: std::ops::Range<u64>) {
    let (mut log, _) = Log::open(dir, options(), |_, _| {}).unwrap();
    for key in keys {
        log.append(KIND, key, &[b"body ", &key.to_le_bytes()]).unwrap();
    }
    log.close().unwrap();
}

fn keys(dir: &Path) -> Vec<u64> {
    let mut keys = Vec::new();
    let (_log, _) = Log::open(dir, options(), |record, _| {
        assert_eq!(record.body, [&b"body "[..], &record.key.to_le_bytes()].concat());
        keys.push(record.key);
    })
    .unwrap();
    keys
}

/// A folder with a layout of `shards` logs of ten records each.
fn filled(dir: &Path, shards: u32) -> Layout {
    let mut folder = DataFolder::open(dir, Access::Write).unwrap();
    let layout = folder.next_layout(shards);
    for shard in 0..shards {
        write_records(&folder.shard_dir(layout, shard), 0..10);
    }
    folder.adopt(layout).unwrap();
    layout
}

#[test]
fn records_come_back_from_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/shard-0");
    write_records(&dir, 0..5000);
    write_records(&dir, 5000..5010);
    assert_eq!(keys(&dir), (0..5010).collect::<Vec<_>>());
    assert!(fs::read_dir(&dir).unwrap().count() > 3, "several segments");
    let mode = fs::metadata(dir.join("0000000001.seg")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else reads the messages");
}

#[test]
fn records_are_read_through_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(dir.path(), options(), |_, _| {}).unwrap();
    let mut placed = Vec::new();
    for key in 0..3000_u64 {
        placed.push((key, log.append(KIND, key, &[&key.to_le_bytes(), &[9; 50]]).unwrap().at));
        if key == 2500 {
            let mut commit = log.commit_target(Reach::Written).unwrap();
            let outcome = commit.carry_out();
            log.committed(commit, outcome).unwrap();
        }
    }
    let out = log.commit_target(Reach::Written);
    assert!(out.is_some_and(|commit| !commit.bytes().is_empty()), "some are in a commit that is out");
    log.append(KIND, 3000, &[b"staged"]).unwrap();
    let mut scratch = Vec::new();
    for (key, at) in placed {
        let record = log.read(at, &mut scratch).unwrap();
        assert_eq!((record.key, &record.body[..8], record.at), (key, &key.to_le_bytes()[..], at));
    }
    assert!(scratch.is_empty(), "nothing had to be copied");
}

/// As a ring does it: memory and file are kept by clones, and the commit comes back when all is written.
#[test]
fn a_commit_is_carried_out_without_borrowing_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(dir.path(), options(), |_, _| {}).unwrap();
    log.append(KIND, 1, &[b"body ", &1_u64.to_le_bytes()]).unwrap();
    let mut commit = log.commit_target(Reach::Synced).unwrap();
    while !commit.bytes().is_empty() {
        let ((bytes, from, position), file) = (commit.ring_write(), commit.file());
        let part = &bytes[from..bytes.len().min(from + 10)];
        let file = fs::File::from(file.as_fd().try_clone_to_owned().unwrap());
        file.write_all_at(part, position).unwrap();
        commit.wrote(part.len());
    }
    commit.file().sync().unwrap();
    let tail = log.tail();
    assert_eq!(log.committed(commit, Ok(())).unwrap().upto(), tail);
    drop(log);
    assert_eq!(keys(dir.path()), [1]);
}

#[test]
fn a_folder_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1);
    let folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    for access in [Access::Write, Access::Read] {
        let error = DataFolder::open(dir.path(), access).unwrap_err();
        assert!(matches!(error, StorageError::InUse { .. }));
        assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
    }
    let log_dir = folder.shard_dir(folder.layout().unwrap(), 0);
    let log = Log::open(&log_dir, options(), |_, _| {}).unwrap();
    assert!(matches!(Log::open(&log_dir, options(), |_, _| {}), Err(StorageError::InUse { .. })));
    drop((folder, log));
    let (_one, _two) =
        (DataFolder::open(dir.path(), Access::Read).unwrap(), Disk::open(&log_dir, Access::Read).unwrap());
    DataFolder::open(dir.path(), Access::Read).unwrap();
}

#[test]
fn a_folder_that_is_not_there_is_not_made_for_reading() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none");
    assert!(matches!(DataFolder::open(&path, Access::Read), Err(StorageError::NotFound { .. })));
    assert!(!path.exists());
    let file = dir.path().join("file");
    fs::write(&file, "no folder").unwrap();
    assert!(Disk::open(&file, Access::Write).is_err());
}

#[test]
fn the_number_of_shards_changes_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 2);

    // An attempt that did not come to its end leaves the old layout, and goes.
    let folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    let attempt = folder.next_layout(5);
    write_records(&folder.shard_dir(attempt, 0), 0..3);
    drop(folder);
    let mut folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    assert_eq!(folder.layout(), Some(before));
    assert!(!folder.shard_dir(attempt, 0).exists());

    let after = folder.next_layout(3);
    for shard in 0..3 {
        write_records(&folder.shard_dir(after, shard), 0..7);
    }
    folder.adopt(after).unwrap();
    assert!(!folder.shard_dir(before, 0).exists());
    drop(folder);
    let folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    assert_eq!(folder.layout(), Some(Layout { generation: 2, shards: 3 }));
    assert_eq!(keys(&folder.shard_dir(after, 2)), (0..7).collect::<Vec<_>>());
}

#[test]
fn a_first_start_that_ended_early_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    write_records(&folder.shard_dir(folder.next_layout(2), 0), 0..0);
    drop(folder);
    let folder = DataFolder::open(dir.path(), Access::Write).unwrap();
    assert_eq!((folder.layout(), folder.next_layout(2).generation), (None, 1));
}

#[test]
fn what_is_lost_from_a_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let layout = filled(dir.path(), 2);
    let path = dir.path().join("layout");
    let kept = fs::read_to_string(&path).unwrap();
    let opened = || DataFolder::open(dir.path(), Access::Write).map(|folder| folder.layout());

    fs::remove_file(&path).unwrap();
    assert!(matches!(opened(), Err(StorageError::Missing { path }) if path.ends_with("layout")));
    fs::write(&path, kept.replace("shards 2", "shards 1")).unwrap();
    assert!(matches!(opened(), Err(StorageError::Damaged { .. })));
    fs::write(&path, kept.replace("ringtail-data 1", "ringtail-data 2")).unwrap();
    assert!(matches!(opened(), Err(StorageError::Newer { found: 2, .. })));
    fs::write(&path, &kept).unwrap();
    assert_eq!(opened().unwrap(), Some(layout));
    fs::remove_dir_all(dir.path().join("generation-1/shard-1")).unwrap();
    assert!(matches!(opened(), Err(StorageError::Missing { path }) if path.ends_with("shard-1")));
}
