//! What the log costs: an append, an append of a record that was held back, a commit, and a start with a log of 1 GB.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringtail_storage::{Appended, Disk, Kind, Log, LogOptions, Owner, Reach, Record, RecordRef};

const MESSAGE: Kind = Kind::of::<1>();

/// Records that are appended between two commits.
const GROUP: u64 = 1000;

/// Records of 128 bytes in the log that is opened.
const RECOVERED: u64 = 8_000_000;

/// An owner that needs nothing.
struct Nobody;

impl Owner for Nobody {
    fn is_live(&mut self, _: &Record<'_>) -> bool {
        false
    }

    fn moved(&mut self, _: &Record<'_>, _: RecordRef) {}
}

fn open(dir: &Path) -> Log {
    let (log, _) = Log::open(dir, LogOptions::default(), |_, _| {}).unwrap();
    log
}

/// Everything that is not an append: a commit to the kernel, segments made and removed.
fn keep_up(log: &mut Log<Disk>) {
    let reach = if log.wants_cleaning() { Reach::Synced } else { Reach::Written };
    if let Some(mut commit) = log.commit_target(reach) {
        let outcome = commit.carry_out();
        log.committed(commit, outcome).unwrap();
    }
    log.clean_slice(1 << 20, &mut Nobody).unwrap();
    while let Some(job) = log.take_job() {
        log.finish_job(job.run()).unwrap();
    }
}

/// The time that `count` calls take of `appended`, which is given a key and appends a record.
fn time_appends(log: &mut Log, count: u64, appended: impl Fn(&mut Log, u64) -> Appended) -> Duration {
    let start = Instant::now();
    for key in 0..count {
        let appended = appended(log, key);
        log.release(black_box(appended).at);
    }
    start.elapsed()
}

fn append(c: &mut Criterion) {
    for (name, reserves) in [("storage/append", false), ("storage/reserve and append", true)] {
        append_group(c, name, reserves);
    }
}

fn append_group(c: &mut Criterion, name: &str, reserves: bool) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut log = open(dir.path());
    let mut group = c.benchmark_group(name);
    for body_bytes in [64, 256, 1024] {
        let body = vec![7; body_bytes];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(body_bytes), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let count = left.min(GROUP);
                    let parts: [&[u8]; 2] = [b"plant/7/temperature", &body];
                    spent += match reserves {
                        false => time_appends(&mut log, count, |log, key| log.append(MESSAGE, key, &parts).unwrap()),
                        true => time_appends(&mut log, count, |log, key| {
                            let reserved = log.reserve(body_bytes + 19).unwrap();
                            log.append_reserved(reserved, MESSAGE, key, &parts).unwrap()
                        }),
                    };
                    left -= count;
                    keep_up(&mut log);
                }
                spent
            });
        });
    }
    group.finish();
}

/// A commit to the disk, on the thread that waits for it: a write and a sync of the file's contents.
fn commit(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut log = open(dir.path());
    let mut group = c.benchmark_group("storage/commit");
    for records in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("{records} records of 100 bytes"), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    time_appends(&mut log, records, |log, key| log.append(MESSAGE, key, &[&[7; 100]]).unwrap());
                    let start = Instant::now();
                    while let Some(mut commit) = log.commit_target(Reach::Synced) {
                        let outcome = commit.carry_out();
                        log.committed(commit, outcome).unwrap();
                    }
                    spent += start.elapsed();
                    keep_up(&mut log);
                }
                spent
            });
        });
    }
    group.finish();
}

fn recover(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut log = open(dir.path());
    for key in 0..RECOVERED {
        log.append(MESSAGE, key, &[&[7; 100]]).unwrap();
        if key % GROUP == 0 {
            keep_up(&mut log);
        }
    }
    let bytes = log.stats().appended_bytes;
    log.close().unwrap();
    let mut group = c.benchmark_group("storage/recover");
    group.throughput(Throughput::Bytes(bytes));
    group.sample_size(10);
    group.bench_function(format!("{RECOVERED} records of 100 bytes"), |b| {
        b.iter(|| {
            let mut keys = 0;
            Log::open(dir.path(), LogOptions::default(), |record, _| keys ^= record.key).unwrap();
            keys
        });
    });
    group.finish();
}

criterion_group!(benches, append, commit, recover);
criterion_main!(benches);
