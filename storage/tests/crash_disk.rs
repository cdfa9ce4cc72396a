//! Recovery after a loss of power: whatever part of the unsynced bytes is there, every acknowledged operation is, in order,
//! and nothing that was never written.

mod common;

use common::{Subject, options, options_from_smallest, recover};
use proptest::prelude::*;
use ringtail_storage::crash::{CrashDisk, seeded};
use ringtail_storage::{Acknowledge, AppendError, Kind, Log, LogOptions, Reach, Reserved, SegmentFile};

#[derive(Debug, Clone)]
enum Step {
    Set {
        key: u64,
        len: usize,
    },
    Clear {
        key: u64,
    },
    Commit,
    Write,
    /// A commit is sent out and comes back only after further steps.
    CommitSlowly {
        after: usize,
        reach: Reach,
    },
    SyncNow,
    Work,
    Clean {
        budget: u32,
    },
    FailSync,
    FailWrite,
    /// Writes come up short from here on.
    ShortWrites {
        bytes: usize,
    },
    /// There is room for so many more segments on the disk.
    RoomOnDisk {
        segments: u64,
    },
    RetryRoom,
    /// A record is announced and held back.
    Reserve {
        key: u64,
        len: usize,
    },
    /// All that is held back comes.
    AppendReserved,
    /// The process is killed and started again.
    Restart,
    /// The power fails and comes back.
    PowerLoss,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reach = prop_oneof![Just(Reach::Synced), Just(Reach::Written)];
    let step = prop_oneof![
        // Often of one size, so that what a crash left stands where new records come to stand.
        12 => (0..12_u64, prop_oneof![6 => Just(20), 6 => 0..120_usize, 1 => 120..1_000_usize])
            .prop_map(|(key, len)| Step::Set { key, len }),
        5 => (0..12_u64).prop_map(|key| Step::Clear { key }),
        4 => Just(Step::Commit),
        1 => Just(Step::Write),
        3 => (1..6_usize, reach).prop_map(|(after, reach)| Step::CommitSlowly { after, reach }),
        1 => Just(Step::SyncNow),
        2 => Just(Step::Work),
        4 => (32..2000_u32).prop_map(|budget| Step::Clean { budget }),
        1 => Just(Step::FailSync),
        1 => Just(Step::FailWrite),
        1 => (1..100_usize).prop_map(|bytes| Step::ShortWrites { bytes }),
        1 => prop_oneof![0..3_u64, 50..100_u64].prop_map(|segments| Step::RoomOnDisk { segments }),
        1 => Just(Step::RetryRoom),
        3 => (0..12_u64, 0..120_usize).prop_map(|(key, len)| Step::Reserve { key, len }),
        1 => Just(Step::AppendReserved),
        1 => Just(Step::Restart),
        1 => Just(Step::PowerLoss),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Runs the steps and crashes after each of them in a way that the seed decides.
fn run(steps: &[Step], options: LogOptions, sector_bytes: usize, seed: u64) -> Result<(), String> {
    let mut choose = seeded(seed);
    let mut subject = Subject::new(CrashDisk::new(sector_bytes, seed), options);
    let mut slow: Vec<(usize, ringtail_storage::Commit<_>)> = Vec::new();
    let mut held: Vec<(u64, usize, Reserved)> = Vec::new();
    // Making good may use up what was reserved.
    let mut rewritten = false;
    for (index, step) in steps.iter().enumerate() {
        let context = |e: String| format!("after step {index} {step:?}, seed {seed}: {e}");
        match step {
            Step::Set { key, len } => drop(subject.set(*key, *len)),
            Step::Clear { key } => drop(subject.clear(*key)),
            Step::Commit => drop(subject.commit(Reach::Synced)),
            Step::Write => drop(subject.commit(Reach::Written)),
            Step::CommitSlowly { after, reach } => {
                slow.extend(subject.log.commit_target(*reach).map(|commit| (index + after, commit)));
            }
            Step::SyncNow => {
                if subject.log.sync_now().is_ok() {
                    subject.acknowledge();
                }
            }
            Step::Work => subject.work(),
            Step::Clean { budget } => {
                let _ = subject.log.clean_slice(*budget, &mut subject.keeper);
            }
            Step::FailSync => subject.disk.fail_syncs(1),
            Step::FailWrite => subject.disk.fail_writes(1),
            Step::ShortWrites { bytes } => subject.disk.shorten_writes(*bytes),
            Step::RoomOnDisk { segments } => subject.disk.set_room_bytes(segments * options.segment_bytes),
            Step::RetryRoom => subject.log.retry_room(),
            Step::Reserve { key, len } => {
                let len = (*len).min(subject.log.body_bytes_max() - 4);
                held.extend(subject.log.reserve(len + 4).ok().map(|reserved| (*key, len, reserved)));
            }
            Step::AppendReserved => {
                let full =
                    held.drain(..).find_map(|(key, len, reserved)| subject.set_reserved(reserved, key, len).err());
                if let Some(AppendError::Full { .. }) = full
                    && !rewritten
                {
                    return Err(context("no room for what was reserved".to_owned()));
                }
            }
            Step::Restart => {
                (slow, held) = Default::default();
                subject = go_on(&subject, subject.disk.kill(), options).map_err(context)?;
            }
            Step::PowerLoss if options.acknowledge == Acknowledge::Synced => {
                (slow, held) = Default::default();
                subject = go_on(&subject, subject.disk.crash(&mut choose), options).map_err(context)?;
            }
            Step::PowerLoss => {}
        }
        for (_, mut commit) in slow.extract_if(.., |(due, _)| *due <= index) {
            let outcome = commit.carry_out();
            if subject.log.committed(commit, outcome).is_ok() {
                subject.acknowledge();
            }
        }
        crash(&subject, options, &mut choose).map_err(context)?;
        if subject.log.is_stopped() {
            rewritten = true;
            if subject.log.rewrite_unsynced(&mut subject.keeper).is_ok() {
                subject.acknowledge();
            }
            crash(&subject, options, &mut choose).map_err(|e| context(format!("after making good: {e}")))?;
        }
    }
    Ok(())
}

/// A new process on `disk`, which is what is left of the old one's. What it finds is as good as acknowledged: it acts on it.
fn go_on(before: &Subject, disk: CrashDisk, options: LogOptions) -> Result<Subject, String> {
    // A start after a crash can need a segment, and says so when there is no room for it.
    disk.set_room_bytes(u64::MAX);
    before.check(&disk.kill(), options)?;
    Ok(Subject::new(disk, options))
}

/// Crashes in the way that the acknowledgements are to survive, and once more after the recovery.
fn crash(subject: &Subject, options: LogOptions, choose: &mut dyn FnMut(usize) -> usize) -> Result<(), String> {
    let crashed = subject.disk.crash(choose);
    crashed.set_room_bytes(u64::MAX);
    match options.acknowledge {
        Acknowledge::Synced => subject.check(&crashed, options).map(drop)?,
        Acknowledge::Written => {
            let (_, keeper, _) = recover(&crashed, options).map_err(|e| e.to_string())?;
            if !subject.states.iter().any(|(_, state)| *state == keeper.state) {
                return Err("a loss of power left a state that never was".to_owned());
            }
            let killed = subject.disk.kill();
            killed.set_room_bytes(u64::MAX);
            subject.check(&killed, options)?;
        }
    }
    let again = crashed.crash(choose);
    let (_, keeper, _) = recover(&crashed, options).map_err(|e| e.to_string())?;
    let (_, later, _) = recover(&again, options).map_err(|e| format!("second crash: {e}"))?;
    if keeper.state != later.state {
        return Err("a second crash left another state".to_owned());
    }
    Ok(())
}

/// So many schedules, or as many as the environment asks for.
fn schedules(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    if asked { ProptestConfig::default() } else { ProptestConfig { cases, ..ProptestConfig::default() } }
}

proptest! {
    #![proptest_config(schedules(1000))]

    #[test]
    fn every_acknowledged_operation_survives(
        steps in steps(),
        segment_words in 64..400_u64,
        sector_bytes in prop_oneof![Just(8_usize), Just(64), Just(512), Just(4096)],
        staged_bytes_max in prop_oneof![Just(200_usize), Just(4096)],
        // Where written is enough, a kill of the process loses nothing that was acknowledged, and a loss of power leaves the
        // state after some operation.
        acknowledge in prop_oneof![3 => Just(Acknowledge::Synced), 1 => Just(Acknowledge::Written)],
        of_many_sizes: bool,
        seed: u64,
    ) {
        let sized = if of_many_sizes { options_from_smallest(segment_words * 8) } else { options(segment_words * 8) };
        let options = LogOptions { staged_bytes_max, acknowledge, ..sized };
        run(&steps, options, sector_bytes, seed).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_crash_within_a_call_loses_nothing(
        steps in steps(),
        segment_words in 64..200_u64,
        calls in 4..300_u64,
        of_many_sizes: bool,
        seed: u64,
    ) {
        let options = if of_many_sizes { options_from_smallest(segment_words * 8) } else { options(segment_words * 8) };
        let mut subject = Subject::new(CrashDisk::new(64, seed), options);
        subject.disk.end_after_calls(calls);
        for step in &steps {
            match step {
                Step::Set { key, len } => drop(subject.set(*key, *len)),
                Step::Clear { key } => drop(subject.clear(*key)),
                Step::Clean { budget } => drop(subject.log.clean_slice(*budget, &mut subject.keeper)),
                Step::Work => subject.work(),
                _ => drop(subject.commit(Reach::Synced)),
            }
            if subject.log.is_stopped() {
                let _ = subject.log.rewrite_unsynced(&mut subject.keeper);
                break;
            }
        }
        let mut choose = seeded(seed);
        for _ in 0..8 {
            let crashed = subject.disk.crash(&mut choose);
            subject.check(&crashed, options).map_err(TestCaseError::fail)?;
        }
    }
}

proptest! {
    #![proptest_config(schedules(300))]

    #[test]
    fn a_write_counts_whole_or_not_at_all(
        writes in proptest::collection::vec(proptest::collection::vec(0..300_usize, 1..7), 1..10),
        syncs in any::<u64>(),
        sector_bytes in prop_oneof![Just(8_usize), Just(64), Just(512), Just(4096)],
        seed: u64,
    ) {
        let options = LogOptions { staged_bytes_max: 1 << 20, ..options(32 << 10) };
        let disk = CrashDisk::new(sector_bytes, seed);
        let (mut log, _) = Log::open_on(disk.clone(), options, |_, _| {}).unwrap();
        // Records after each write, and of those how many are safe.
        let (mut ends, mut records, mut safe) = (vec![0], 0, 0);
        for (index, bodies) in writes.iter().enumerate() {
            for len in bodies {
                log.append(Kind::of::<1>(), 1, &[&vec![7; *len]]).unwrap();
                records += 1;
            }
            ends.push(records);
            let mut commit = log.commit_target(Reach::Synced).unwrap();
            if syncs >> index & 1 == 1 {
                let outcome = commit.carry_out();
                log.committed(commit, outcome).unwrap();
                safe = records;
            } else {
                // The power fails with the write on its way.
                let file = commit.file();
                file.write_all_at(commit.position(), commit.bytes()).unwrap();
                break;
            }
        }
        let mut choose = seeded(seed);
        for _ in 0..4 {
            let mut found = 0;
            let crashed = disk.crash(&mut choose);
            let (log, _) = Log::open_on(crashed.clone(), options, |_, _| found += 1).unwrap();
            prop_assert!(ends.contains(&found) && found >= safe, "{found} of {ends:?}, {safe} safe");
            // What was left out stays out.
            drop(log);
            let mut again = 0;
            Log::open_on(crashed, options, |_, _| again += 1).unwrap();
            prop_assert_eq!(found, again);
        }
    }
}

/// Goes through every sequence of choices once.
#[derive(Default)]
struct Exhaustive {
    path: Vec<(usize, usize)>,
    at: usize,
}

impl Exhaustive {
    fn choose(&mut self, n: usize) -> usize {
        if self.at == self.path.len() {
            self.path.push((0, n));
        }
        let (choice, of) = self.path[self.at];
        assert_eq!(of, n, "the same history asks the same questions");
        self.at += 1;
        choice
    }

    /// The next sequence; false when there is none.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.path.pop() {
            if choice + 1 < of {
                self.path.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Every history of five operations and every crash of it.
#[test]
fn small_histories_survive_every_crash() {
    let options = options(512);
    let mut crashes = 0_u64;
    for history in 0..5_u32.pow(5) {
        let mut subject = Subject::new(CrashDisk::new(64, history.into()), options);
        for position in 0..5 {
            match history / 5_u32.pow(position) % 5 {
                0 => subject.set(1, 10).unwrap(),
                1 => subject.set(2, 90).unwrap(),
                2 => subject.clear(1).unwrap(),
                3 => assert!(subject.commit(Reach::Synced)),
                _ => assert!(subject.commit(Reach::Written)),
            }
        }
        let mut every = Exhaustive::default();
        loop {
            let crashed = subject.disk.crash(&mut |n| every.choose(n));
            subject.check(&crashed, options).unwrap_or_else(|e| panic!("history {history}, {:?}: {e}", every.path));
            crashes += 1;
            if !every.advance() {
                break;
            }
        }
    }
    assert!(crashes > 10_000, "only {crashes} crashes were tried");
}
