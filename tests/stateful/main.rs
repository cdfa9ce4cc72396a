//! Random but plausible sequences of several clients against the built broker, cross-checked with a small model of what
//! a broker has to do: subscriptions, retained messages, QoS, order, sessions, wills and shared subscriptions.
//!
//! A sequence follows from its seed, as far as the broker's threads let it; a failure tells the seed and the last steps.
//! The ordinary test runs a few fixed seeds. `scripts/fuzz-stateful` runs others, one after another or for a time.

#![allow(clippy::print_stdout, reason = "the test runner shows it when a sequence fails")]

#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with the conformance cases, which use all of it")]
#[path = "../conformance/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/raw.rs"]
mod raw;

mod link;
mod model;
mod place;
mod random;
mod run;
mod steps;
mod topics;

use place::Place;
use run::Run;
use std::time::{Duration, Instant};

/// Numbers of shards that each seed runs with.
const SHARDS: [usize; 2] = [1, 3];
/// Sequences of one broker.
const SEQUENCES: u64 = 4;
/// Steps of one sequence.
const STEPS: usize = 250;
/// Seeds of the ordinary test run.
const FIXED_SEEDS: u64 = 8;

/// The first seed, in place of the fixed ones.
const SEED: &str = "RINGTAIL_STATEFUL_SEED";
/// How long to go on with the seeds after it; without, one seed is all.
const MINUTES: &str = "RINGTAIL_STATEFUL_MINUTES";

/// Whether every broker keeps a log and is killed in place of being stopped; without, half of them, now and then.
const KILL: &str = "RINGTAIL_STATEFUL_KILL";

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text}")))
}

/// Tells the seed when a sequence fails, or is still running when the test is ended.
struct Running {
    seed: u64,
    shards: usize,
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kill = if variable(KILL).is_some() { " --kill" } else { "" };
            println!("FAILED with {} shards; again: scripts/fuzz-stateful --seed {}{kill}", self.shards, self.seed);
        }
    }
}

fn run(seed: u64) {
    for shards in SHARDS {
        let _running = Running { seed, shards };
        // Every other seed keeps a log, so that acknowledgements wait for it, and is stopped and started again.
        let is_killed = variable(KILL).is_some();
        let mut place = Place::start(shards, is_killed || seed % 2 == 1, is_killed);
        for sequence in 0..SEQUENCES {
            let mut run = Run::new(&mut place, seed * SEQUENCES + sequence);
            run.watch();
            for _ in 0..STEPS {
                run.step();
            }
            run.finish();
            run.clear();
        }
    }
}

#[test]
fn the_broker_does_what_the_model_says() {
    let Some(first) = variable(SEED) else {
        (0..FIXED_SEEDS).for_each(run);
        return;
    };
    let until = Instant::now() + Duration::from_secs(60 * variable(MINUTES).unwrap_or(0));
    for seed in first.. {
        println!("seed {seed}");
        run(seed);
        if Instant::now() >= until {
            return;
        }
    }
}
