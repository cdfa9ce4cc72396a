//! What the log costs: an append, the write of a commit, and a start.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringtail_storage::{Disk, Kind, Log, LogOptions, Owner, Reach, Record, RecordRef};

const MESSAGE: Kind = Kind::of::<1>();

/// Records that are appended between two commits.
const GROUP: u64 = 1000;

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

fn append(c: &mut Criterion) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut log = open(dir.path());
    let mut group = c.benchmark_group("storage/append");
    for body_bytes in [64, 256, 1024] {
        let body = vec![7; body_bytes];
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(body_bytes), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = iterations;
                while left > 0 {
                    let count = left.min(GROUP);
                    let start = Instant::now();
                    for key in 0..count {
                        let appended = log.append(MESSAGE, key, &[b"plant/7/temperature", &body]).unwrap();
                        log.release(black_box(appended).at);
                    }
                    spent += start.elapsed();
                    left -= count;
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
    for key in 0..1_000_000 {
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
    group.bench_function("1000000 records of 100 bytes", |b| {
        b.iter(|| {
            let mut keys = 0;
            Log::open(dir.path(), LogOptions::default(), |record, _| keys ^= record.key).unwrap();
            keys
        });
    });
    group.finish();
}

criterion_group!(benches, append, recover);
criterion_main!(benches);
