//! A log whose files were changed. The input is a list of edits (file, place, what to do, bytes) to a sound log of several
//! segments: opening, verifying and repairing it must not panic, and must not give out a record that was never written. An
//! edit that also makes the checksums fit again gets behind them; then only the first holds.
#![no_main]

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringtail_storage::tools::{Repair, repair, verify};
use ringtail_storage::{Acknowledge, Backing, CrashDisk, Kind, Log, LogOptions, Owner, Reach, Record, RecordRef};

const SEGMENT_BYTES: usize = 1024;
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: SEGMENT_BYTES as u64,
    segment_bytes_min: SEGMENT_BYTES as u64 / 2,
    limit_bytes: 1 << 20,
    staged_bytes_max: 4096,
    acknowledge: Acknowledge::Synced,
};

/// A record as its writer knew it.
type Written = (Kind, bool, u64, u64, Vec<u8>);

struct Sound {
    files: Vec<(String, Vec<u8>)>,
    records: HashSet<Written>,
}

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let disk = CrashDisk::new(512, 1);
    let (mut log, _) = Log::open_on(disk.clone(), OPTIONS, |_, _| {}).expect("a new log opens");
    let mut records = HashSet::new();
    for key in 0..60 {
        let (kind, body) = (Kind::new(1 + key as u8 % 5).expect("a kind"), vec![key as u8; key as usize * 7 % 90]);
        let tombstone = key % 6 == 5;
        let appended = match tombstone {
            true => log.append_tombstone(kind, key, &[&body]),
            false => log.append(kind, key, &[&body]),
        };
        let appended = appended.expect("there is room");
        if key < 20 && !tombstone {
            log.release(appended.at);
        }
        records.insert((kind, tombstone, appended.seq, key, body));
        if key % 3 == 0 {
            log.sync_now().expect("the disk works");
            log.clean_slice(1 << 20, &mut Nobody).expect("the disk works");
        }
        if let Some(job) = log.take_job() {
            log.finish_job(job.run()).expect("the disk works");
        }
    }
    log.close().expect("the disk works");
    let names = disk.names().expect("the disk works");
    let files = names.into_iter().map(|name| (name.clone(), disk.contents(&name).unwrap_or_default())).collect();
    Sound { files, records }
});

/// An owner that has released all that it is asked for.
struct Nobody;

impl Owner for Nobody {
    fn is_live(&mut self, _: &Record<'_>) -> bool {
        false
    }

    fn moved(&mut self, _: &Record<'_>, _: RecordRef) {}
}

/// Makes the checksum of the segment's header fit.
fn reseal_header(file: &mut [u8]) {
    if file.len() >= 64 {
        let crc = crc32c::crc32c(&file[..60]);
        file[60..64].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Makes the checksum of a record at `at` fit, if one can be there.
fn reseal_record(file: &mut [u8], at: usize) {
    let word = |from: usize| file.get(from..from + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let (Some(salt), Some(body_len)) = (word(40), word(at + 4)) else { return };
    let end = at.saturating_add((24 + body_len as usize).next_multiple_of(8));
    if let Some(checked) = file.get(at + 8..end) {
        let seed = salt.wrapping_add(at as u32) ^ body_len.rotate_left(16);
        let crc = crc32c::crc32c_append(seed, checked);
        file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

fuzz_target!(|input: &[u8]| {
    let sound = &*SOUND;
    let mut files = sound.files.clone();
    let mut resealed = false;
    let mut rest = input;
    while let [file, at_low, at_high, action, tail @ ..] = rest {
        let index = *file as usize % files.len();
        let at = u16::from_le_bytes([*at_low, *at_high]) as usize % SEGMENT_BYTES;
        let (bytes, tail) = tail.split_at(tail.len().min(*action as usize % 32));
        rest = tail;
        let contents = &mut files[index].1;
        match action >> 5 {
            0..=2 => {}
            3 => contents.truncate(at),
            4 => contents.extend_from_slice(bytes),
            5 => contents.clear(),
            _ => resealed = true,
        }
        for (target, byte) in contents.iter_mut().skip(at).zip(bytes) {
            *target = *byte;
        }
        match action >> 5 {
            6 => reseal_record(contents, at & !7),
            7 => reseal_header(contents),
            _ => {}
        }
    }
    let disk = CrashDisk::new(512, 2);
    for (name, contents) in &files {
        // A file without bytes stands for one that is missing.
        disk.put_contents(name, (!contents.is_empty()).then(|| contents.clone()));
    }
    let given = Cell::new(0);
    let judge = |record: &Record<'_>| {
        given.set(given.get() + 1);
        let written = (record.kind, record.tombstone, record.seq, record.key, record.body.to_vec());
        assert!(resealed || sound.records.contains(&written), "invented: {record:?}");
    };
    let _ = verify(&disk, |record| judge(&record));
    let how = if input.len() % 2 == 0 { Repair::Skip } else { Repair::Truncate };
    let opens = Log::open_on(disk.clone(), OPTIONS, |record, _| judge(&record)).is_ok();
    if !opens && repair(&disk, how).is_err() {
        return;
    }
    // What opens goes on.
    given.set(0);
    let (mut log, recovery) =
        Log::open_on(disk.clone(), OPTIONS, |record, _| judge(&record)).expect("it was opened or repaired");
    assert_eq!(recovery.records, given.get());
    let added = Kind::new(99).expect("a kind");
    if log.append(added, 1, &[b"new"]).is_err() {
        return;
    }
    let _ = log.clean_slice(u32::MAX, &mut Nobody);
    if let Some(mut commit) = log.commit_target(Reach::Synced) {
        let outcome = commit.carry_out();
        let _ = log.committed(commit, outcome);
    }
    if log.close().is_ok() {
        let mut found = false;
        Log::open_on(disk, OPTIONS, |record, _| found |= record.kind == added).expect("it was closed in order");
        assert!(found, "a record that was closed in order is gone");
    }
});
