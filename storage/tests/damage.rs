//! Damage to what was on disk is reported with its place, never passed over; a repair gives up what it says and no more.

mod common;

use std::collections::BTreeMap;

use common::{Keeper, Subject, options, options_from_smallest, recover};
use proptest::prelude::*;
use ringtail_storage::crash::CrashDisk;
use ringtail_storage::tools::{Flaw, Repair, Repaired, repair, replay, verify};
use ringtail_storage::{Backing, Damage, LogOptions, Reach, StorageError};

const SEGMENT_BYTES: u64 = 1024;

fn log_options() -> LogOptions {
    options(SEGMENT_BYTES)
}

/// A closed log of several segments of which the first were freed, and the states that it went through.
fn closed_log() -> (CrashDisk, Vec<(u64, u64)>, Keeper) {
    let mut subject = Subject::new(CrashDisk::new(512, 7), log_options());
    for round in 0..60_u64 {
        subject.set(round % 9, 30 + round as usize % 50).unwrap();
        if round % 5 == 4 {
            subject.clear(round % 4).unwrap();
        }
        assert!(subject.commit(Reach::Synced));
        subject.log.clean_slice(600, &mut subject.keeper).unwrap();
        subject.work();
    }
    let Subject { disk, log, keeper, states, .. } = subject;
    log.close().unwrap();
    (disk, states, keeper)
}

fn copy(disk: &CrashDisk) -> CrashDisk {
    let other = CrashDisk::new(512, 8);
    for name in disk.names().unwrap() {
        other.put_contents(&name, disk.contents(&name));
    }
    other
}

fn segments(disk: &CrashDisk) -> Vec<String> {
    disk.names().unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect()
}

fn change(disk: &CrashDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.contents(name).unwrap();
    change(&mut bytes);
    disk.put_contents(name, Some(bytes));
}

/// The end of the last record of a segment, found without the library's help.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn keeper_of(disk: &CrashDisk) -> Result<Keeper, StorageError> {
    recover(disk, log_options()).map(|(_, keeper, _)| keeper)
}

#[test]
fn a_closed_log_opens_with_all_that_it_had() {
    let (disk, _, keeper) = closed_log();
    assert!(segments(&disk).len() > 3, "several segments");
    assert!(!segments(&disk).contains(&"0000000001.seg".to_owned()), "the first was freed");
    let (_, recovered, recovery) = recover(&disk, log_options()).unwrap();
    assert_eq!(recovered.values, keeper.values);
    assert!(recovery.closed_cleanly && recovery.torn_tail.is_none());
    assert!(verify(&disk, |_| {}).unwrap().is_sound());
}

/// Every byte of every segment, changed: an error that names the file, or nothing is lost.
#[test]
fn no_changed_byte_goes_unseen() {
    let (disk, _, keeper) = closed_log();
    let last = verify(&disk, |_| {}).unwrap().segments.pop().unwrap();
    let mut refused = 0;
    for name in segments(&disk) {
        for at in 0..SEGMENT_BYTES as usize {
            let changed = copy(&disk);
            change(&changed, &name, |bytes| bytes[at] ^= 0x10);
            match keeper_of(&changed) {
                Ok(recovered) => {
                    assert_eq!(recovered.values, keeper.values, "{name} byte {at}: lost without a word");
                    let limit = used(&disk.contents(&name).unwrap());
                    // The mark of the clean stop itself, the last 56 bytes, is not needed; nor is what follows the records.
                    let is_last = last.path.ends_with(&name);
                    assert!(at >= limit || (is_last && at + 56 >= limit), "{name} byte {at} went unseen");
                }
                Err(StorageError::Damaged { path, .. } | StorageError::Newer { path, .. }) => {
                    assert!(path.ends_with(&name), "{name} byte {at}: {path:?} is blamed");
                    assert!(!verify(&changed, |_| {}).unwrap().is_sound(), "{name} byte {at}: verify finds nothing");
                    refused += 1;
                }
                Err(e) => panic!("{name} byte {at}: {e}"),
            }
        }
    }
    assert!(refused > 1000);
}

#[test]
fn a_repair_gives_up_one_record_for_one_changed_byte() {
    let (disk, states, keeper) = closed_log();
    let mut written = BTreeMap::new();
    replay(&disk, |record| written.extend([(record.at.start(), (record.key, record.seq))])).unwrap();
    for (place, (key, _)) in written {
        let changed = copy(&disk);
        let name = format!("{:010}.seg", place.segment());
        change(&changed, &name, |bytes| bytes[place.byte() as usize + 17] ^= 0x80);
        let Err(StorageError::Damaged { byte, what, .. }) = keeper_of(&changed) else { panic!("{place} went unseen") };
        assert_eq!((byte, what), (place.byte().into(), Damage::Checksum));
        let verdict = verify(&changed, |_| {}).unwrap();
        assert!(matches!(verdict.flaws[..], [Flaw::Gap { byte, .. }] if byte == u64::from(place.byte())));

        let truncated = copy(&changed);
        assert!(!repair(&truncated, Repair::Truncate).unwrap().is_empty());
        let earlier = keeper_of(&truncated).unwrap();
        assert!(states.iter().any(|(_, state)| *state == earlier.state), "{place}: not an earlier state");

        let done = repair(&changed, Repair::Skip).unwrap();
        assert!(matches!(done[..], [Repaired::GaveUp { byte, .. }] if byte == u64::from(place.byte())), "{done:?}");
        let mut left = keeper_of(&changed).unwrap();
        let mut expected = keeper.clone();
        left.values.remove(&key);
        expected.values.remove(&key);
        assert_eq!(left.values, expected.values, "{place}: more than its key was given up");
    }
}

#[test]
fn a_missing_segment_is_named_and_can_be_given_up() {
    let (disk, states, keeper) = closed_log();
    let names = segments(&disk);
    let in_use = verify(&disk, |_| {}).unwrap().segments.len();
    for name in &names[..in_use] {
        let changed = copy(&disk);
        changed.put_contents(name, None);
        match keeper_of(&changed) {
            Err(StorageError::Missing { path }) => assert!(path.ends_with(name)),
            other => panic!("{name}: {:?}", other.map(|keeper| keeper.values)),
        }
        assert!(!verify(&changed, |_| {}).unwrap().is_sound() || name == &names[in_use - 1]);
        let truncated = copy(&changed);
        repair(&truncated, Repair::Truncate).unwrap();
        let earlier = keeper_of(&truncated).unwrap();
        assert!(earlier.values.is_empty() || states.iter().any(|(_, state)| *state == earlier.state));
        repair(&changed, Repair::Skip).unwrap();
        let left = keeper_of(&changed).unwrap();
        let kept = keeper.values.iter().filter(|(key, value)| left.values.get(key) == Some(value)).count();
        assert!(kept > 0, "{name}: what the other segments hold is kept");
    }
}

/// What stands in the place of a lost segment is as large as that was, also when all others are smaller.
#[test]
fn a_missing_segment_may_have_been_the_largest() {
    let log_options = options_from_smallest(64 << 10);
    let mut subject = Subject::new(CrashDisk::new(512, 7), log_options);
    for key in 0..20 {
        subject.set(key, 100).unwrap();
        subject.work();
    }
    let large = subject.log.body_bytes_max() - 4;
    subject.set(100, large).unwrap();
    let lost = subject.keeper.values[&100].at.start().segment();
    while subject.log.tail().segment() == lost {
        subject.set(101, 10_000).unwrap();
    }
    let Subject { disk, log, mut keeper, .. } = subject;
    log.close().unwrap();
    disk.put_contents(&format!("{lost:010}.seg"), None);
    assert!(matches!(recover(&disk, log_options), Err(StorageError::Missing { .. })));
    let done = repair(&disk, Repair::Skip).unwrap();
    assert!(matches!(done.as_slice(), [Repaired::Replaced { .. }]), "{done:?}");
    assert!(verify(&disk, |_| {}).unwrap().is_sound());
    let (_, recovered, _) = recover(&disk, log_options).unwrap();
    keeper.values.retain(|_, value| value.at.start().segment() != lost);
    assert_eq!(recovered.values, keeper.values);
}

#[test]
fn a_broken_header_is_set_aside() {
    let (disk, _, _) = closed_log();
    for name in segments(&disk) {
        let changed = copy(&disk);
        change(&changed, &name, |bytes| bytes[50] ^= 1);
        assert!(matches!(keeper_of(&changed), Err(StorageError::Damaged { byte: 0, what: Damage::Header, .. })));
        let done = repair(&changed, Repair::Skip).unwrap();
        assert!(matches!(done[0], Repaired::SetAside { .. }));
        assert!(changed.contents(&format!("{name}.damaged")).is_some());
        keeper_of(&changed).unwrap();
    }
}

#[test]
fn a_shortened_file_is_seen() {
    let (disk, _, _) = closed_log();
    for name in segments(&disk) {
        for len in [0, 63, 64, 500, SEGMENT_BYTES as usize - 1] {
            let changed = copy(&disk);
            change(&changed, &name, |bytes| bytes.truncate(len));
            assert!(matches!(keeper_of(&changed), Err(StorageError::Damaged { what: Damage::FileLength, .. })));
        }
    }
}

#[test]
fn a_newer_format_and_another_log_are_refused() {
    let (disk, _, _) = closed_log();
    let name = segments(&disk).pop().unwrap();
    let newer = copy(&disk);
    change(&newer, &name, |bytes| bytes[8] = 9);
    let error = keeper_of(&newer).unwrap_err();
    assert!(matches!(error, StorageError::Newer { found: 9, supported: 1, .. }));
    assert!(error.to_string().contains("format version 9"), "{error}");
    assert!(matches!(repair(&newer, Repair::Skip), Err(StorageError::Newer { .. })), "a repair leaves it alone");

    let foreign = copy(&disk);
    let other = Subject::new(CrashDisk::new(512, 99), log_options()).disk;
    foreign.put_contents(&name, None);
    let highest: u32 = name[..10].parse().unwrap();
    let mut bytes = other.contents("0000000001.seg").unwrap();
    bytes[12..16].copy_from_slice(&highest.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    foreign.put_contents(&name, Some(bytes));
    assert!(matches!(keeper_of(&foreign), Err(StorageError::Foreign { .. })));
}

/// A body that carries a record, with a checksum that fits its place, must not be taken for one when the record around it is
/// damaged: whoever chose the body does not know the segment's salt.
#[test]
fn a_record_made_for_its_place_is_no_record() {
    let disk = CrashDisk::new(512, 3);
    let (mut log, _, _) = recover(&disk, options(4096)).unwrap();
    let (kind, inner_at) = (ringtail_storage::Kind::new(9).unwrap(), 64 + 56 + 24);
    let mut forged = [0; 32];
    forged[4] = 8;
    forged[8] = 77;
    forged[15] = common::SET.number();
    let crc = crc32c::crc32c_append(inner_at ^ (8 << 16), &forged[8..]);
    forged[..4].copy_from_slice(&crc.to_le_bytes());
    log.append(kind, 5, &[&forged]).unwrap();
    log.append(kind, 6, &[b"after"]).unwrap();
    log.close().unwrap();
    change(&disk, "0000000001.seg", |bytes| bytes[64 + 56] ^= 1);
    let mut found = Vec::new();
    let verdict = verify(&disk, |record| found.push((record.kind, record.key))).unwrap();
    assert_eq!((found, verdict.flaws.len()), (vec![(kind, 6)], 1));
}

/// Nor the bytes of a whole log.
#[test]
fn records_within_a_body_are_not_records() {
    let (inner, _, _) = closed_log();
    let name = segments(&inner)[0].clone();
    let smuggled = inner.contents(&name).unwrap();
    let disk = CrashDisk::new(512, 3);
    let options = options(4096);
    let (mut log, _, _) = recover(&disk, options).unwrap();
    let kind = ringtail_storage::Kind::new(9).unwrap();
    for _ in 0..2 {
        log.append(kind, 5, &[&smuggled[64..]]).unwrap();
        log.sync_now().unwrap();
    }
    log.close().unwrap();
    change(&disk, "0000000001.seg", |bytes| bytes[64 + 56] ^= 1);
    let mut found = Vec::new();
    let verdict = verify(&disk, |record| found.push((record.kind, record.body.len()))).unwrap();
    assert_eq!(found, [(kind, smuggled.len() - 64)], "only the second record is left");
    assert_eq!(verdict.flaws.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is done to the files: no panic, and no record that was not written.
    #[test]
    fn nothing_is_invented(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..SEGMENT_BYTES as usize, any::<Vec<u8>>()), 1..6),
        removed in proptest::option::of(any::<prop::sample::Index>()),
        how in prop_oneof![Just(Repair::Skip), Just(Repair::Truncate)],
    ) {
        let (disk, _, _) = closed_log();
        let names = segments(&disk);
        for (index, at, bytes) in changes {
            change(&disk, index.get::<String>(&names), |contents| {
                for (target, byte) in contents[at..].iter_mut().zip(bytes) {
                    *target = byte;
                }
            });
        }
        if let Some(index) = removed {
            disk.put_contents(index.get::<String>(&names), None);
        }
        // The keeper itself asserts that every record it is given is one that was written.
        let _ = keeper_of(&copy(&disk));
        let verdict = verify(&disk, |_| {});
        prop_assert!(verdict.is_ok());
        if repair(&disk, how).is_ok() {
            prop_assert!(keeper_of(&disk).is_ok());
        }
    }
}
