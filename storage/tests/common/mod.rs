//! An owner of a log as small as one can be, and the record of everything it did, to compare with what a crash left.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use ringtail_storage::crash::CrashDisk;
use ringtail_storage::{
    Acknowledge, AppendError, Appended, Kind, Ledger, Log, LogOptions, Owner, Record, RecordRef, Recovery, Reserved,
    StorageError,
};

/// Gives a key a value, in place of the one it had.
pub const SET: Kind = Kind::of::<1>();
/// A tombstone: takes a key's value away.
pub const CLEAR: Kind = Kind::of::<2>();

/// One value that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    pub seq: u64,
    pub at: RecordRef,
}

/// Keys with values, as the records say.
#[derive(Debug, Clone, Default)]
pub struct Keeper {
    pub values: BTreeMap<u64, Value>,
    /// A fingerprint of keys and numbers, the same for the same state however it came about.
    pub state: u64,
    /// The number of the latest operation.
    pub last_seq: u64,
}

/// The body of a record: anyone can tell from the key and the number whether it is what was written.
pub fn body(key: u64, seq: u64, len: usize) -> Vec<u8> {
    let mut bytes = (len as u32).to_le_bytes().to_vec();
    bytes.extend((0..len).map(|i| (key.wrapping_mul(31) ^ seq.wrapping_mul(17) ^ i as u64) as u8));
    bytes
}

fn fingerprint(key: u64, seq: u64) -> u64 {
    let mut x = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seq.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

impl Keeper {
    /// Takes in a record during recovery.
    pub fn replay(&mut self, record: Record<'_>, ledger: &mut Ledger) {
        self.last_seq = self.last_seq.max(record.seq);
        let released = match record.kind {
            SET => {
                let len = u32::from_le_bytes(record.body[..4].try_into().unwrap()) as usize;
                assert_eq!(record.body, body(record.key, record.seq, len), "a record that was never written");
                assert!(!record.tombstone);
                self.set(record.key, record.seq, record.at)
            }
            CLEAR => {
                assert!(record.tombstone && record.body.is_empty());
                self.clear(record.key)
            }
            other => panic!("a record of a kind that was never written: {other:?}"),
        };
        if let Some(released) = released {
            ledger.release(released);
        }
    }

    pub fn set(&mut self, key: u64, seq: u64, at: RecordRef) -> Option<RecordRef> {
        let old = self.clear(key);
        self.values.insert(key, Value { seq, at });
        self.state ^= fingerprint(key, seq);
        old
    }

    pub fn clear(&mut self, key: u64) -> Option<RecordRef> {
        let old = self.values.remove(&key)?;
        self.state ^= fingerprint(key, old.seq);
        Some(old.at)
    }
}

impl Owner for Keeper {
    fn is_live(&mut self, record: &Record<'_>) -> bool {
        self.values.get(&record.key).is_some_and(|value| value.at == record.at)
    }

    fn moved(&mut self, record: &Record<'_>, to: RecordRef) {
        let value = self.values.get_mut(&record.key).expect("only live records are moved");
        assert_eq!(value.seq, record.seq);
        value.at = to;
    }
}

/// A log, its owner, and the state after every operation.
pub struct Subject {
    pub disk: CrashDisk,
    pub log: Log<CrashDisk>,
    pub keeper: Keeper,
    /// By the number of the operation; 0 is the state that was recovered.
    pub states: Vec<(u64, u64)>,
    /// The last operation that was acknowledged.
    pub acknowledged: u64,
    /// Operations whose acknowledgement waits, in order.
    pub waiting: Vec<(u64, RecordRef)>,
}

pub fn options(segment_bytes: u64) -> LogOptions {
    LogOptions {
        segment_bytes,
        segment_bytes_min: segment_bytes,
        limit_bytes: segment_bytes * 1000,
        staged_bytes_max: 4096,
        acknowledge: Acknowledge::Synced,
    }
}

/// The same, with segments from the smallest that there can be.
pub fn options_from_smallest(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes_min: 512, ..options(segment_bytes) }
}

pub fn recover(disk: &CrashDisk, options: LogOptions) -> Result<(Log<CrashDisk>, Keeper, Recovery), StorageError> {
    let mut keeper = Keeper::default();
    let (log, recovery) = Log::open_on(disk.clone(), options, |record, ledger| keeper.replay(record, ledger))?;
    let live: u64 = keeper.values.values().map(|value| u64::from(value.at.bytes())).sum();
    assert_eq!(log.stats().live_bytes, live, "the ledger and the owner agree on what is live");
    Ok((log, keeper, recovery))
}

impl Subject {
    pub fn new(disk: CrashDisk, options: LogOptions) -> Subject {
        let (log, keeper, _) = recover(&disk, options).unwrap();
        let states = vec![(0, keeper.state)];
        Subject { disk, log, keeper, states, acknowledged: 0, waiting: Vec::new() }
    }

    pub fn set(&mut self, key: u64, len: usize) -> Result<(), AppendError> {
        let seq = self.log.next_seq();
        let appended = self.log.append(SET, key, &[&body(key, seq, len)])?;
        assert_eq!(appended.seq, seq);
        if let Some(old) = self.keeper.set(key, seq, appended.at) {
            self.log.release(old);
        }
        self.note(seq, appended.at);
        Ok(())
    }

    /// A value of `len` bytes into room that was set aside.
    pub fn set_reserved(&mut self, reserved: Reserved, key: u64, len: usize) -> Result<(), AppendError> {
        let seq = self.log.next_seq();
        let appended = self.log.append_reserved(reserved, SET, key, &[&body(key, seq, len)])?;
        if let Some(old) = self.keeper.set(key, seq, appended.at) {
            self.log.release(old);
        }
        self.note(seq, appended.at);
        Ok(())
    }

    pub fn clear(&mut self, key: u64) -> Result<(), AppendError> {
        let appended = self.log.append_tombstone(CLEAR, key, &[])?;
        self.cleared(key, appended);
        Ok(())
    }

    pub fn clear_reserved(&mut self, reserved: Reserved, key: u64) -> Result<(), AppendError> {
        let appended = self.log.append_tombstone_reserved(reserved, CLEAR, key, &[])?;
        self.cleared(key, appended);
        Ok(())
    }

    fn cleared(&mut self, key: u64, appended: Appended) {
        if let Some(old) = self.keeper.clear(key) {
            self.log.release(old);
        }
        self.note(appended.seq, appended.at);
    }

    fn note(&mut self, seq: u64, at: RecordRef) {
        self.states.push((seq, self.keeper.state));
        self.waiting.push((seq, at));
    }

    /// Sends the acknowledgements that the log allows.
    pub fn acknowledge(&mut self) {
        let durable = self.log.durable();
        let sent = self.waiting.iter().take_while(|(_, at)| durable.covers(*at)).count();
        for (seq, _) in self.waiting.drain(..sent) {
            self.acknowledged = seq;
        }
    }

    /// A commit from beginning to end. False when it failed.
    pub fn commit(&mut self, reach: ringtail_storage::Reach) -> bool {
        if let Some(mut commit) = self.log.commit_target(reach) {
            let outcome = commit.carry_out();
            if self.log.committed(commit, outcome).is_err() {
                return false;
            }
        }
        self.acknowledge();
        true
    }

    /// Carries out all jobs.
    pub fn work(&mut self) {
        while let Some(job) = self.log.take_job() {
            let finished = job.run();
            let _ = self.log.finish_job(finished);
        }
    }

    /// What is left after a crash must be the state after some operation that is not before the last acknowledged one.
    pub fn check(&self, crashed: &CrashDisk, options: LogOptions) -> Result<Keeper, String> {
        let (_, keeper, recovery) = recover(crashed, options).map_err(|e| format!("recovery failed: {e}"))?;
        let allowed = self.states.iter().filter(|(seq, _)| *seq >= self.acknowledged);
        if allowed.into_iter().any(|(_, state)| *state == keeper.state) {
            return Ok(keeper);
        }
        let then = self.states.iter().find(|(_, state)| *state == keeper.state);
        Err(format!(
            "acknowledged up to {}, but the state is that of {then:?}; {recovery:?}; {:?}",
            self.acknowledged, keeper.values
        ))
    }
}
