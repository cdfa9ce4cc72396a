//! Whole shards under a seeded schedule: their real turns, on a simulated wire, with simulated clients, in any order.
//!
//! A seed decides everything: how many shards and clients, what the clients do, who moves when, how many bytes a receive
//! brings, when a commit ends. So a failure names its seed, and the seed is the way to see it again:
//!
//! ```text
//! scripts/sim 4711
//! ```

mod awaiting;
mod check;
mod client;
mod random;
mod wire;
mod world;

use check::{check_deliveries, check_empty};
use random::Random;
use world::{Place, Profile, World};

use crate::wire::{Wire, WireConfig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

/// Seeds of one test, unless the environment asks for others.
const SEEDS: u64 = 600;

/// What the environment asks for: one seed, or so many.
fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("RINGTAIL_SIM_SEED") {
        Some(seed) => seed..seed + number("RINGTAIL_SIM_SEEDS").unwrap_or(1),
        None => 0..number("RINGTAIL_SIM_SEEDS").unwrap_or(default),
    }
}

/// Says what happens, to whoever looks into a seed.
#[expect(clippy::print_stderr, reason = "asked for by the environment")]
fn tell(what: impl Fn() -> String) {
    static ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("RINGTAIL_SIM_TRACE").is_some());
    if *ASKED {
        eprintln!("{}", what());
    }
}

#[expect(clippy::print_stderr, reason = "the seed is the bug report")]
fn simulate(seeds: std::ops::Range<u64>, run: impl Fn(u64)) {
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("the simulation of seed {seed} failed: scripts/sim {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn live(mut world: World<'_>) {
    world.run();
    world.settle();
    check_deliveries(&world);
    world.empty();
    check_empty(&world);
}

#[test]
fn shards_in_memory() {
    simulate(seeds(SEEDS), |seed| {
        let mut random = Random::new(seed);
        let profile = Profile::of(&mut random);
        live(World::new(random, profile, None));
    });
}

/// Shards whose logs live in a folder, each seed with a profile that `hardened` makes of a common one.
fn simulate_with_a_log(seeds: std::ops::Range<u64>, hardened: impl Fn(Profile, &mut Random) -> Profile) {
    let wire = Wire::new(&WireConfig { slots: 1, receive_buffers: 2, ..WireConfig::default() }).unwrap();
    let bell = wire.bell();
    simulate(seeds, |seed| {
        let mut random = Random::new(seed);
        let profile = Profile::of(&mut random);
        let profile = hardened(profile, &mut random);
        let folder = log_folder();
        live(World::new(random, profile, Some(Place { dir: folder.path(), bell: &bell })));
    });
}

#[test]
fn shards_with_a_log() {
    simulate_with_a_log(seeds(SEEDS / 10), |profile, random| Profile {
        failing_syncs: random.of(&[0, 0, 30]),
        ..profile
    });
}

#[test]
fn shards_that_crash() {
    simulate_with_a_log(seeds(SEEDS / 20), |profile, random| Profile {
        crashes: random.of(&[1, 3]),
        failing_syncs: random.of(&[0, 30]),
        ..profile
    });
}

/// A message that a full queue gave up is not expected after a crash either.
#[test]
fn what_a_queue_has_dropped_is_remembered_over_crashes() {
    let wire = Wire::new(&WireConfig { slots: 1, receive_buffers: 2, ..WireConfig::default() }).unwrap();
    let (bell, folder) = (wire.bell(), log_folder());
    let mut random = Random::new(0);
    let profile = Profile::of(&mut random);
    let mut world = World::new(random, profile, Some(Place { dir: folder.path(), bell: &bell }));
    for dropped in 1..=3 {
        world.cores[0].local.counters.dropped_queue_full = 1;
        world.crash();
        assert_eq!(world.dropped(), dropped);
    }
}

/// In memory where the machine has such a place: what is tried here is the order of events, not a disk.
fn log_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
