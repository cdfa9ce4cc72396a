//! What a message between two shards costs: pushed on one core, taken on another, published in batches of a turn.
//!
//! The producer keeps at most a ring's worth in flight. With fewer than two cores the two threads take turns and the figure is
//! that of the scheduler.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringtail_shards::mesh::{mesh, ring};
use std::hint::{black_box, spin_loop};
use std::thread;
use std::time::{Duration, Instant};

/// As large as what shards send each other: a tag, a few numbers and a reference.
type Message = [u64; 5];

const SLOTS: usize = 4_096;

/// Time that `messages` take from the first push to the last drain, in batches of `batch`.
fn across_two_cores(messages: u64, batch: u64) -> Duration {
    let (mut to, mut from) = ring::<Message>(SLOTS);
    let started = Instant::now();
    let consumer = thread::spawn(move || {
        let mut taken = 0;
        while taken < messages {
            let count = from.drain(SLOTS, |message| {
                black_box(message);
            });
            taken += count as u64;
            if count == 0 {
                spin_loop();
            }
        }
        started.elapsed()
    });
    let mut pushed = 0;
    while pushed < messages {
        let end = messages.min(pushed + batch);
        while pushed < end {
            match to.push([pushed; 5]) {
                Ok(()) => pushed += 1,
                Err(_) => spin_loop(),
            }
        }
        to.publish();
    }
    consumer.join().unwrap_or_default()
}

/// Time of `rounds` there and back of one message between two ports, each round with a flush and a drain on either side.
fn ping_pong(rounds: u64) -> Duration {
    let mut ports = mesh::<u64>(2, SLOTS, 0).unwrap_or_default().into_iter();
    let (Some(mut a), Some(mut b)) = (ports.next(), ports.next()) else { return Duration::ZERO };
    let echo = thread::spawn(move || {
        let mut seen = 0;
        while seen < rounds {
            let mut last = None;
            b.drain(SLOTS, |_, n| last = Some(n));
            match last {
                Some(n) => {
                    seen += 1;
                    black_box(b.send(0, n).is_ok());
                    black_box(b.flush());
                }
                None => spin_loop(),
            }
        }
    });
    let started = Instant::now();
    for n in 0..rounds {
        black_box(a.send(1, n).is_ok());
        black_box(a.flush());
        while !a.has_incoming() {
            spin_loop();
        }
        a.drain(SLOTS, |_, back| assert_eq!(back, n));
    }
    let elapsed = started.elapsed();
    drop(echo.join());
    elapsed
}

/// What a turn pays for the mesh when nothing comes and nothing goes, by the number of shards.
fn idle_turns(turns: u64, shards: usize) -> Duration {
    let mut ports = mesh::<Message>(shards, 2, 0).unwrap_or_default();
    let Some(port) = ports.first_mut() else { return Duration::ZERO };
    let started = Instant::now();
    for _ in 0..turns {
        black_box(port.drain(SLOTS, |_, message| {
            black_box(message);
        }));
        black_box(port.flush());
    }
    started.elapsed()
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh");
    for batch in [1, 16, 256] {
        group.throughput(Throughput::Elements(1));
        group.bench_with_input(BenchmarkId::new("across two cores, batch", batch), &batch, |bencher, &batch| {
            bencher.iter_custom(|messages| across_two_cores(messages, batch));
        });
    }
    group.bench_function("there and back", |bencher| bencher.iter_custom(ping_pong));
    for shards in [1, 4, 64] {
        group.bench_with_input(BenchmarkId::new("idle turn, shards", shards), &shards, |bencher, &shards| {
            bencher.iter_custom(|turns| idle_turns(turns, shards));
        });
    }
    group.finish();
}

criterion_group!(mesh_benches, benches);
criterion_main!(mesh_benches);
