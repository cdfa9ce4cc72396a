//! What was reserved finds room: over changes of segment, while the log is cleaned, and when the disk has become full.

mod common;

use common::{Subject, options, options_from_smallest};
use proptest::prelude::*;
use ringtail_storage::crash::{CrashDisk, seeded};
use ringtail_storage::{Acknowledge, AppendError, FullCause, LogOptions, Reach, Reserved};

const SEGMENT_BYTES: u64 = 1024;

#[derive(Debug, Clone)]
enum Step {
    Reserve(usize),
    /// Appends one of the held records, whichever, with a body that is shorter by some bytes.
    Append(prop::sample::Index, usize),
    Clear(prop::sample::Index),
    GiveUp(prop::sample::Index),
    /// All that is held back, in order, as an owner does when a commit begins.
    AppendAll,
    Set(usize),
    ClearAtOnce(u64),
    Commit(Reach),
    SyncNow,
    Clean(u32),
    Work,
    TakeJob,
    RoomOnDisk(u64),
    RetryRoom,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    // The largest that there is, often, and small ones.
    let len = || prop_oneof![4 => 0..60_usize, 2 => 0..400_usize, 1 => Just(usize::MAX)];
    let step = prop_oneof![
        8 => len().prop_map(Step::Reserve),
        4 => (index(), 0..50_usize).prop_map(|(index, less)| Step::Append(index, less)),
        1 => index().prop_map(Step::Clear),
        1 => index().prop_map(Step::GiveUp),
        1 => Just(Step::AppendAll),
        4 => len().prop_map(Step::Set),
        4 => (0..12_u64).prop_map(Step::ClearAtOnce),
        2 => Just(Step::Commit(Reach::Synced)),
        1 => Just(Step::Commit(Reach::Written)),
        1 => Just(Step::SyncNow),
        3 => (32..2000_u32).prop_map(Step::Clean),
        3 => Just(Step::Work),
        1 => Just(Step::TakeJob),
        2 => (0..4_u64).prop_map(Step::RoomOnDisk),
        1 => Just(Step::RetryRoom),
    ];
    proptest::collection::vec(step, 1..200)
}

/// A record that its owner holds back: its room, and the length that it was asked for.
type Held = (Reserved, usize);

struct Holder {
    subject: Subject,
    held: Vec<Held>,
    refused: usize,
}

impl Holder {
    fn reserve(&mut self, len: usize) {
        let len = len.min(self.subject.log.body_bytes_max() - 4);
        match self.subject.log.reserve(len + 4) {
            Ok(reserved) => self.held.push((reserved, len)),
            Err(AppendError::Full { .. }) => self.refused += 1,
            Err(e) => panic!("{e}"),
        }
    }

    fn append(&mut self, at: usize, less: usize) {
        let (reserved, len) = self.held.remove(at);
        let len = len.saturating_sub(less);
        self.subject.set_reserved(reserved, len as u64 % 12, len).expect("there is room: it was set aside");
    }

    fn take(&mut self, step: &Step) {
        let (subject, held) = (&mut self.subject, &mut self.held);
        match step {
            Step::Reserve(len) => self.reserve(*len),
            Step::Append(index, less) if !held.is_empty() => self.append(index.index(self.held.len()), *less),
            Step::Clear(index) if !held.is_empty() => {
                let (reserved, len) = held.remove(index.index(held.len()));
                subject.clear_reserved(reserved, len as u64 % 12).expect("there is room: it was set aside");
            }
            Step::GiveUp(index) if !held.is_empty() => {
                let (reserved, _) = held.remove(index.index(held.len()));
                subject.log.unreserve(reserved);
            }
            Step::Append(..) | Step::Clear(_) | Step::GiveUp(_) => {}
            Step::AppendAll => {
                subject.log.keep_together();
                (0..held.len()).for_each(|_| self.append(0, 0));
            }
            Step::Set(len) => drop(subject.set(*len as u64 % 12, (*len).min(subject.log.body_bytes_max() - 4))),
            Step::ClearAtOnce(key) => drop(subject.clear(*key)),
            Step::Commit(reach) => assert!(subject.commit(*reach)),
            Step::SyncNow => drop(subject.log.sync_now().expect("the disk works")),
            Step::Clean(budget) => {
                subject.log.clean_slice(*budget, &mut subject.keeper).expect("the disk works");
            }
            Step::Work => subject.work(),
            // The job is never carried out, so segments are made by whoever needs them.
            Step::TakeJob => drop(subject.log.take_job()),
            Step::RoomOnDisk(segments) => subject.disk.set_room_bytes(segments * SEGMENT_BYTES),
            Step::RetryRoom => subject.log.retry_room(),
        }
    }
}

proptest! {
    #[test]
    fn what_was_reserved_finds_room(
        steps in steps(),
        segments in 4..12_u64,
        staged_bytes_max in prop_oneof![Just(200_usize), Just(4096)],
        acknowledge in prop_oneof![Just(Acknowledge::Synced), Just(Acknowledge::Written)],
        of_many_sizes: bool,
        seed: u64,
    ) {
        let limit_bytes = segments * SEGMENT_BYTES;
        let sized = if of_many_sizes { options_from_smallest(SEGMENT_BYTES) } else { options(SEGMENT_BYTES) };
        let log_options = LogOptions { limit_bytes, staged_bytes_max, acknowledge, ..sized };
        let subject = Subject::new(CrashDisk::new(512, seed), log_options);
        let mut holder = Holder { subject, held: Vec::new(), refused: 0 };
        for step in &steps {
            holder.take(step);
            let most = holder.subject.log.body_bytes_max() + 24;
            prop_assert!(holder.subject.log.stats().reserved_bytes <= most);
        }
        holder.subject.disk.set_room_bytes(0);
        holder.take(&Step::AppendAll);
        prop_assert_eq!(holder.subject.log.stats().reserved_bytes, 0);
        holder.subject.log.sync_now().expect("the disk works");
        holder.subject.acknowledge();
        let crashed = holder.subject.disk.crash(&mut seeded(seed));
        holder.subject.check(&crashed, log_options).map_err(TestCaseError::fail)?;
    }
}

fn full_log() -> Holder {
    let subject = Subject::new(CrashDisk::new(512, 1), options(SEGMENT_BYTES));
    subject.disk.set_room_bytes(3 * SEGMENT_BYTES);
    let mut holder = Holder { subject, held: Vec::new(), refused: 0 };
    while holder.refused == 0 {
        holder.reserve(20);
        if holder.held.len() == 5 {
            holder.take(&Step::AppendAll);
        }
    }
    holder
}

#[test]
fn a_full_disk_refuses_when_the_record_is_announced() {
    let mut holder = full_log();
    assert_eq!(holder.subject.log.full(), Some(FullCause::Disk));
    holder.take(&Step::AppendAll);
    let refusal = holder.subject.log.reserve(1);
    assert!(matches!(refusal, Err(AppendError::Full { cause: FullCause::Disk, .. })));

    // When there is room again it is found.
    holder.subject.disk.set_room_bytes(3 * SEGMENT_BYTES);
    holder.subject.log.retry_room();
    holder.subject.work();
    let reserved = holder.subject.log.reserve(1).unwrap();
    holder.subject.log.unreserve(reserved);
}

/// At a full disk half a segment is left for what frees room, however the log was filled.
#[test]
fn what_frees_room_has_room_in_a_full_log() {
    let mut holder = full_log();
    holder.take(&Step::AppendAll);
    let keys: Vec<u64> = holder.subject.keeper.values.keys().copied().collect();
    for key in keys {
        holder.subject.clear(key).unwrap();
    }
    for _ in 0..10 {
        holder.take(&Step::Clean(u32::MAX));
        holder.take(&Step::Commit(Reach::Synced));
        holder.take(&Step::Work);
    }
    holder.subject.log.retry_room();
    holder.subject.work();
    assert_eq!(holder.subject.log.full(), None, "{:?}", holder.subject.log.stats());
    holder.subject.set(1, 20).unwrap();
}

#[test]
fn too_much_at_once_is_refused_until_some_is_appended() {
    let mut subject = Subject::new(CrashDisk::new(512, 1), options(SEGMENT_BYTES));
    let max = subject.log.body_bytes_max();
    assert!(matches!(subject.log.reserve(max + 1), Err(AppendError::TooLarge { .. })));
    let first = subject.log.reserve(max).unwrap();
    let refusal = subject.log.reserve(0).unwrap_err();
    assert!(matches!(refusal, AppendError::Full { cause: FullCause::Reserved, .. }), "{refusal}");
    assert_eq!(subject.log.full(), None, "the log itself is not full");
    subject.set_reserved(first, 1, max - 4).unwrap();
    let second = subject.log.reserve(0).unwrap();
    subject.set_reserved(second, 2, 100).unwrap();
    assert_eq!(subject.log.stats().reserved_bytes, 0);
    assert!(subject.commit(Reach::Synced));
}

/// Room that was reserved before a failed sync is found again when the log has been made good.
#[test]
fn a_failed_sync_leaves_what_was_reserved() {
    let mut subject = Subject::new(CrashDisk::new(512, 1), options(SEGMENT_BYTES));
    subject.set(1, 100).unwrap();
    let reserved = [subject.log.reserve(104).unwrap(), subject.log.reserve(104).unwrap()];
    subject.disk.fail_syncs(1);
    assert!(!subject.commit(Reach::Synced));
    assert!(matches!(subject.log.reserve(1), Err(AppendError::Stopped { .. })));
    subject.log.rewrite_unsynced(&mut subject.keeper).unwrap();
    for (reserved, key) in reserved.into_iter().zip(2..) {
        subject.set_reserved(reserved, key, 100).unwrap();
    }
    subject.log.sync_now().unwrap();
    subject.acknowledge();
    subject.check(&subject.disk.crash(&mut |_| 0), options(SEGMENT_BYTES)).unwrap();
}

/// What is reserved comes to stand in one segment, wherever in one it begins.
#[test]
fn what_is_kept_together_is_one_write() {
    for before in 0..20 {
        let mut subject = Subject::new(CrashDisk::new(512, 1), options(SEGMENT_BYTES));
        subject.work();
        for key in 0..before {
            subject.set(key, 20).unwrap();
            assert!(subject.commit(Reach::Synced));
            subject.work();
        }
        let reserved: Vec<_> = (0..5).map(|_| subject.log.reserve(24).unwrap()).collect();
        subject.log.keep_together();
        let place = |subject: &Subject| subject.log.tail().segment();
        let first = place(&subject);
        for (reserved, key) in reserved.into_iter().zip(100..) {
            subject.set_reserved(reserved, key, 20).unwrap();
        }
        assert_eq!(place(&subject), first, "{before} before");
    }
}
