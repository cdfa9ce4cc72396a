//! Routing: what a match, a subscription and its end cost with 1,000, 100,000 and 1,000,000 filters, and the memory of
//! a filter.
//!
//! The topics stand in memory one after the other in random order, as messages come in from a socket: what is looked up
//! is cold, the topic itself is not.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use ringtail_shards::routing::{Announcement, Matches, OptionBits, Remote, Seed, Strategy, Subscriptions, hash_topic};
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Names the kind of filter whose memory a child process measures.
const MEMORY_OF: &str = "ROUTING_MEMORY_OF";

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

/// A kind of filter: the filter of a number, and a topic that it alone of its kind matches.
struct Kind {
    name: &'static str,
    filter: fn(u32) -> String,
    topic: fn(u32) -> String,
}

const KINDS: [Kind; 5] = [
    Kind { name: "exact", filter: exact, topic: exact },
    Kind { name: "leaf_plus", filter: |n| level5(n, "+"), topic: |n| level5(n, "temperature") },
    Kind { name: "hash", filter: |n| level5(n, "#"), topic: |n| level5(n, "temperature") },
    Kind {
        name: "middle_plus",
        filter: |n| format!("site/+/{}/device{n}/state", n % 1_000),
        topic: |n| format!("site/{}/{}/device{n}/state", n % 7, n % 1_000),
    },
    Kind {
        name: "two_under_each_device",
        filter: |n| level5(n / 2, if n % 2 == 0 { "+" } else { "state" }),
        topic: |n| level5(n / 2, "state"),
    },
];

/// 20 bytes.
fn exact(n: u32) -> String {
    format!("dev/{n:010}/state")
}

fn level5(n: u32, last: &str) -> String {
    format!("site/{}/device/{n}/{last}", n % 1_000)
}

/// The topics of a kind in random order, one after the other, with their hashes.
struct Topics {
    text: String,
    ends: Vec<(u32, u64)>,
}

impl Topics {
    fn new(kind: &Kind, filters: u32, seed: &Seed) -> Self {
        let mut order: Vec<u32> = (0..filters).collect();
        order.sort_unstable_by_key(|n| hash_topic(seed, &n.to_string()));
        let mut topics = Self { text: String::new(), ends: Vec::new() };
        for n in order {
            let topic = (kind.topic)(n);
            topics.text.push_str(&topic);
            topics.ends.push((topics.text.len() as u32, hash_topic(seed, &topic)));
        }
        topics
    }

    fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut start = 0;
        self.ends.iter().map(move |(end, hash)| {
            let topic = &self.text[start..*end as usize];
            start = *end as usize;
            (topic, *hash)
        })
    }

    /// Nanoseconds of `look_up` over as many topics as asked, round and round.
    fn time(&self, look_ups: u64, mut look_up: impl FnMut(&str, u64)) -> Duration {
        let start = Instant::now();
        let mut left = look_ups;
        while left > 0 {
            let round = left.min(self.ends.len() as u64);
            self.iter().take(round as usize).for_each(|(topic, hash)| look_up(topic, hash));
            left -= round;
        }
        start.elapsed()
    }
}

fn seed() -> Seed {
    Seed::new([0x5eed, 0xfeed])
}

fn subscribed(kind: &Kind, filters: u32) -> Subscriptions {
    let mut subscriptions = Subscriptions::new(seed());
    for n in 0..filters {
        subscriptions.subscribe(&(kind.filter)(n), n, OptionBits::default(), 0);
    }
    subscriptions
}

fn matching(c: &mut Criterion) {
    for kind in &KINDS {
        let mut group = c.benchmark_group(format!("match/{}", kind.name));
        for filters in SIZES {
            let subscriptions = subscribed(kind, filters);
            let topics = Topics::new(kind, filters, &seed());
            let mut found = Matches::default();
            group.bench_function(BenchmarkId::from_parameter(filters), |b| {
                b.iter_custom(|look_ups| {
                    topics.time(look_ups, |topic, hash| {
                        subscriptions.matches(topic, hash, &mut found);
                        assert!(!black_box(&found).is_empty());
                    })
                });
            });
        }
        group.finish();
    }
}

fn remote(c: &mut Criterion) {
    for kind in &KINDS[..2] {
        let mut group = c.benchmark_group(format!("remote/{}", kind.name));
        for filters in SIZES {
            let mut remote = Remote::new(seed(), Strategy::RoundRobin);
            for n in 0..filters {
                remote.apply((n % 8) as u8, &Announcement::Add((kind.filter)(n).into()));
            }
            let topics = Topics::new(kind, filters, &seed());
            group.bench_function(BenchmarkId::from_parameter(filters), |b| {
                b.iter_custom(|look_ups| {
                    topics.time(look_ups, |topic, hash| assert!(!remote.shards_for(topic, hash).is_empty()))
                });
            });
        }
        group.finish();
    }
}

/// Subscribing and ending, measured over the whole rise from none to so many filters and the way back.
fn changing(c: &mut Criterion) {
    for kind in &KINDS[..3] {
        let mut group = c.benchmark_group(format!("change/{}", kind.name));
        group.sample_size(10);
        for filters in SIZES {
            let texts: Vec<String> = (0..filters).map(kind.filter).collect();
            group.throughput(Throughput::Elements(u64::from(filters)));
            group.bench_function(BenchmarkId::new("subscribe_and_remove", filters), |b| {
                b.iter(|| {
                    let mut subscriptions = Subscriptions::new(seed());
                    let ids: Vec<_> = (0..)
                        .zip(&texts)
                        .map(|(n, text)| subscriptions.subscribe(text, n, OptionBits::default(), 0).filter)
                        .collect();
                    for (n, id) in (0..).zip(ids) {
                        assert!(subscriptions.remove(id, n).is_some());
                    }
                });
            });
        }
        group.finish();
    }
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for sessions in [1, 100, 100_000u32] {
        let mut subscriptions = Subscriptions::new(seed());
        for session in 0..sessions {
            subscriptions.subscribe("a/b", session, OptionBits::default(), 0);
        }
        for (name, overlapping) in [("one_filter", false), ("two_filters", true)] {
            if overlapping {
                subscriptions.subscribe("a/+", 0, OptionBits::default(), 0);
            }
            let hash = hash_topic(&seed(), "a/b");
            let mut found = Matches::default();
            group.throughput(Throughput::Elements(u64::from(sessions)));
            group.bench_function(BenchmarkId::new(name, sessions), |b| {
                b.iter(|| {
                    subscriptions.matches("a/b", hash, &mut found);
                    let mut sum = 0;
                    found.for_each(&subscriptions, None, |delivery| sum += delivery.session);
                    sum
                });
            });
        }
    }
    group.finish();
}

fn hashing(c: &mut Criterion) {
    let seed = seed();
    let topic = exact(7);
    c.bench_function("hash_topic/20_bytes", |b| b.iter(|| hash_topic(&seed, black_box(&topic))));
}

/// Bytes of resident memory, from the kernel.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// Prints what a filter with one subscriber costs in resident memory, allocator's losses included. Each kind is
/// measured in a process of its own, whose memory nothing has used before.
#[expect(clippy::print_stderr, reason = "a figure for the reader of the bench")]
fn memory(_: &mut Criterion) {
    for kind in &KINDS {
        let child = std::env::current_exe().and_then(|bench| Command::new(bench).env(MEMORY_OF, kind.name).status());
        if let Err(error) = child {
            eprintln!("memory/{}: {error}", kind.name);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a figure for the reader of the bench")]
fn print_memory(kind: &Kind) {
    let before = resident_bytes();
    let subscriptions = subscribed(kind, 1_000_000);
    let bytes = (resident_bytes() - before) / subscriptions.filters() as u64;
    eprintln!("memory/{}: {bytes} bytes a filter with one subscriber, of 1,000,000", kind.name);
}

criterion_group!(benches, memory, hashing, matching, remote, changing, fan_out);

fn main() {
    if let Ok(name) = std::env::var(MEMORY_OF) {
        KINDS.iter().filter(|kind| kind.name == name).for_each(print_memory);
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
