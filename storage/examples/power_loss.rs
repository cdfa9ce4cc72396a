//! What `scripts/power-loss` needs besides a kernel: a log to write, the disk that a loss of power leaves, and a look at what
//! the log is then.
//!
//! ```text
//! power_loss write DIR RECORD SECONDS SEED HOW    prints a line for each acknowledgement: length of RECORD, operation
//! power_loss cut BASE RECORD ACKS SEED IMAGE      makes IMAGE, prints the operation that it must hold at the least
//! power_loss check DIR SEED OPERATION             prints the operation that it holds; fails when that is not enough
//! ```
//!
//! RECORD is what lies under the file system: every write and every flush that the disk was given, in the form of the
//! kernel's dm-log-writes. HOW is `synced`, or `written` to acknowledge before the sync, which must be found out.
//!
//! The operations follow from the seed alone, so whoever knows the number of the last one knows every value.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ringtail_storage::crash::seeded;
use ringtail_storage::{Acknowledge, Kind, Ledger, Log, LogOptions, Owner, Reach, Record, RecordRef};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SET: Kind = Kind::of::<1>();
const CLEAR: Kind = Kind::of::<2>();

/// Keys that have values; few, so that the log is cleaned all the time.
const KEYS: usize = 300;

/// Operations until the log is left without a word and opened again.
const OPERATIONS_A_START: u64 = 3000;

fn options(acknowledge: Acknowledge) -> LogOptions {
    LogOptions {
        segment_bytes: 256 << 10,
        segment_bytes_min: 16 << 10,
        limit_bytes: 16 << 20,
        acknowledge,
        ..LogOptions::default()
    }
}

/// What operation `seq` does: sets a key to a value of some length, or clears it.
fn operation(seed: u64, seq: u64) -> (u64, Option<usize>) {
    let mut choose = seeded(seed ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let key = choose(KEYS) as u64;
    let len = match choose(10) {
        0 => return (key, None),
        1 => choose(20_000),
        _ => choose(300),
    };
    (key, Some(len))
}

fn body(seq: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (seq.wrapping_mul(31) ^ i.wrapping_mul(7) ^ (i >> 8)) as u8).collect()
}

/// Each key with the operation that set it.
#[derive(Default)]
struct Values {
    seed: u64,
    values: BTreeMap<u64, (u64, RecordRef)>,
    strange: u64,
}

impl Values {
    fn replay(&mut self, record: &Record<'_>, ledger: &mut Ledger) {
        let (key, len) = operation(self.seed, record.seq);
        let kind = if len.is_some() { SET } else { CLEAR };
        if (record.key, record.kind) != (key, kind) || record.body != body(record.seq, len.unwrap_or(0)) {
            self.strange += 1;
        }
        if let Some(before) = self.apply(key, len.map(|_| (record.seq, record.at))) {
            ledger.release(before);
        }
    }

    fn apply(&mut self, key: u64, value: Option<(u64, RecordRef)>) -> Option<RecordRef> {
        let before = match value {
            Some(value) => self.values.insert(key, value),
            None => self.values.remove(&key),
        };
        before.map(|(_, at)| at)
    }
}

impl Owner for Values {
    fn is_live(&mut self, record: &Record<'_>) -> bool {
        self.values.get(&record.key).is_some_and(|(_, at)| *at == record.at)
    }

    fn moved(&mut self, record: &Record<'_>, to: RecordRef) {
        self.values.insert(record.key, (record.seq, to));
    }
}

fn open(dir: &Path, seed: u64, acknowledge: Acknowledge) -> Outcome<(Log, Values)> {
    let mut values = Values { seed, ..Values::default() };
    let (log, _) = Log::open(dir, options(acknowledge), |record, ledger| values.replay(&record, ledger))?;
    Ok((log, values))
}

fn write(dir: &Path, record: &Path, time: Duration, seed: u64, acknowledge: Acknowledge) -> Outcome<()> {
    let (mut log, mut values) = open(dir, seed, acknowledge)?;
    let record = File::open(record)?;
    let mut acks = std::io::stdout().lock();
    let start = Instant::now();
    let mut choose = seeded(seed);
    let mut next_start = OPERATIONS_A_START;
    while start.elapsed() < time {
        for _ in 0..choose(20) {
            append(&mut log, &mut values)?;
        }
        let reach = if acknowledge == Acknowledge::Synced { Reach::Synced } else { Reach::Written };
        while let Some(mut commit) = log.commit_target(reach) {
            let outcome = commit.carry_out();
            log.committed(commit, outcome)?;
        }
        // What the disk was given by now is in the record up to here, and nothing that it is given later counts.
        writeln!(acks, "{} {}", record.metadata()?.len(), log.next_seq() - 1)?;
        log.clean_slice(64 << 10, &mut values)?;
        while let Some(job) = log.take_job() {
            log.finish_job(job.run())?;
        }
        if log.next_seq() > next_start {
            next_start += OPERATIONS_A_START;
            drop(log);
            (log, values) = open(dir, seed, acknowledge)?;
        }
    }
    Ok(())
}

fn append(log: &mut Log, values: &mut Values) -> Outcome<()> {
    let seq = log.next_seq();
    let (key, len) = operation(values.seed, seq);
    let before = match len {
        Some(len) => {
            let appended = log.append(SET, key, &[&body(seq, len)])?;
            values.apply(key, Some((seq, appended.at)))
        }
        None => {
            log.append_tombstone(CLEAR, key, &[])?;
            values.apply(key, None)
        }
    };
    if let Some(before) = before {
        log.release(before);
    }
    Ok(())
}

/// Bytes of a sector in the record, and of what comes to disk whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A write to the disk, or a flush when it writes nothing.
struct Entry {
    /// Where the entry ends in the record.
    end: usize,
    sector: u64,
    /// Its bytes in the record.
    bytes: std::ops::Range<usize>,
    flushes: bool,
}

/// The entries of a record: 512 bytes in front, then for each a sector that says where and how much, and the bytes.
fn entries(record: &[u8]) -> Outcome<Vec<Entry>> {
    const FLUSH: u64 = 1;
    const DISCARD: u64 = 4;
    let word = |at: usize| -> Outcome<u64> {
        let bytes = record.get(at..at + 8).ok_or("the record ends within an entry")?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    };
    let mut entries = Vec::new();
    let mut at = SECTOR_BYTES;
    // The last entry may have been cut off.
    while at + SECTOR_BYTES <= record.len() {
        let (sector, sectors, flags) = (word(at)?, word(at + 8)?, word(at + 16)?);
        let start = at + SECTOR_BYTES;
        let written = if flags & DISCARD == 0 { sectors as usize * SECTOR_BYTES } else { 0 };
        let bytes = start..start + written;
        at = bytes.end;
        if at <= record.len() {
            entries.push(Entry { end: at, sector, bytes, flushes: flags & FLUSH != 0 });
        }
    }
    Ok(entries)
}

/// The disk after a loss of power at a random place of the record: everything that was flushed by then, and a random part,
/// sector by sector, of what was written after that.
fn cut(base: &Path, record: &Path, acks: &Path, seed: u64, image: &Path) -> Outcome<()> {
    let record = fs::read(record)?;
    let acks = acks_of(&fs::read_to_string(acks)?)?;
    let entries = entries(&record)?;
    let mut choose = seeded(seed);
    // Only from the first acknowledgement on: before it there is nothing that could be lost.
    let first = acks.first().ok_or("nothing was acknowledged")?.0;
    let from = entries.partition_point(|entry| entry.end <= first);
    let upto = from + choose(entries.len() - from);
    let flushed = entries[..upto].iter().rposition(|entry| entry.flushes).unwrap_or(0);
    fs::copy(base, image)?;
    let disk = OpenOptions::new().write(true).open(image)?;
    for entry in &entries[..flushed] {
        disk.write_all_at(&record[entry.bytes.clone()], entry.sector * SECTOR_BYTES as u64)?;
    }
    // Mostly some of everything, sometimes all or nothing.
    let kept_in_ten = choose(11);
    for entry in &entries[flushed..upto] {
        for (index, sector) in record[entry.bytes.clone()].chunks(SECTOR_BYTES).enumerate() {
            if choose(10) < kept_in_ten {
                disk.write_all_at(sector, (entry.sector + index as u64) * SECTOR_BYTES as u64)?;
            }
        }
    }
    let place = entries[upto.saturating_sub(1)].end;
    let acknowledged = acks.iter().take_while(|(len, _)| *len <= place).last();
    writeln!(std::io::stdout(), "{}", acknowledged.map_or(0, |(_, seq)| *seq))?;
    Ok(())
}

fn acks_of(text: &str) -> Outcome<Vec<(usize, u64)>> {
    let parse = |line: &str| -> Outcome<(usize, u64)> {
        let (len, seq) = line.split_once(' ').ok_or("an acknowledgement without a number")?;
        Ok((len.parse()?, seq.parse()?))
    };
    text.lines().map(parse).collect()
}

/// The log holds the values after some operation, which is `acknowledged` or a later one.
fn check(dir: &Path, seed: u64, acknowledged: u64) -> Outcome<()> {
    let (log, found) = open(dir, seed, Acknowledge::Synced)?;
    let last = log.next_seq() - 1;
    let mut expected = BTreeMap::new();
    for seq in 1..=last {
        match operation(seed, seq) {
            (key, Some(_)) => drop(expected.insert(key, seq)),
            (key, None) => drop(expected.remove(&key)),
        }
    }
    let found_values: BTreeMap<u64, u64> = found.values.iter().map(|(key, (seq, _))| (*key, *seq)).collect();
    if last < acknowledged {
        return Err(format!("lost: {acknowledged} was acknowledged, the log ends at {last}").into());
    }
    if found.strange > 0 || found_values != expected {
        return Err(format!("not the values after operation {last}; {} strange records", found.strange).into());
    }
    writeln!(std::io::stdout(), "{last}")?;
    Ok(())
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", dir, record, seconds, seed, how] => {
            let acknowledge = if how == "written" { Acknowledge::Written } else { Acknowledge::Synced };
            write(dir.as_ref(), record.as_ref(), Duration::from_secs(seconds.parse()?), seed.parse()?, acknowledge)
        }
        ["cut", base, record, acks, seed, image] => {
            cut(base.as_ref(), record.as_ref(), acks.as_ref(), seed.parse()?, image.as_ref())
        }
        ["check", dir, seed, acknowledged] => check(dir.as_ref(), seed.parse()?, acknowledged.parse()?),
        _ => Err("see scripts/power-loss".into()),
    }
}
