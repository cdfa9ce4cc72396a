//! The broker is killed again and again while clients publish and subscribe, and in the end everything that it acknowledged
//! must be there: QoS 1 at least once, QoS 2 once, in order, and of retained messages the last one.
//!
//! The clients keep their side of the protocol over every kill, as a client with a disk would: what was not acknowledged is
//! sent again with the same identifier, and a subscriber knows which QoS 2 identifiers it holds. A short run is a test;
//! `scripts/kill-loop` makes long ones.
#![expect(clippy::print_stdout, reason = "the counts are what a run is for")]

#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/raw.rs"]
mod raw;

mod publisher;
mod random;
mod retained;
mod subscriber;

use broker::Broker;
use publisher::Publisher;
use random::Random;
use raw::Version::{V5, V311};
use retained::Retainer;
use std::path::Path;
use std::thread;
use std::time::Duration;
use subscriber::{Presence, Subscriber};
use tempfile::TempDir;

/// A round lasts so long, milliseconds.
const ROUND_MS: std::ops::Range<u64> = 20..500;

/// What a run is.
struct Plan {
    rounds: u64,
    /// Numbers of shards to start with, in turn.
    shards: Vec<usize>,
    seed: u64,
}

/// Everybody who talks to the broker, over all of its lives.
struct Clients {
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// The members of a shared subscription.
    members: Vec<Subscriber>,
    retainer: Retainer,
}

fn start(folder: &Path, shards: usize) -> Broker {
    Broker::with(shards)
        .keep_in(folder)
        .set("mqtt.queue_messages_max", 10_000_000)
        .set("mqtt.queue_bytes_max", 1_u64 << 30)
        .start()
}

impl Clients {
    fn new() -> Self {
        let publishers = [(1, V5), (2, V311), (2, V5), (1, V311), (2, V5)];
        let subscribers = [
            (2, V5, Presence::Always),
            (1, V311, Presence::Always),
            (2, V311, Presence::NowAndThen),
            (2, V5, Presence::NowAndThen),
        ];
        let members = [(V5, Presence::Always), (V311, Presence::Always), (V5, Presence::NowAndThen)];
        let number = |(number, (qos, version))| Publisher::new(number, qos, version);
        let member = |(number, (version, presence))| Subscriber::member(number, version, presence);
        Self {
            publishers: publishers.into_iter().enumerate().map(number).collect(),
            subscribers: subscribers
                .into_iter()
                .enumerate()
                .map(|(n, (q, v, p))| Subscriber::new(n, q, v, p))
                .collect(),
            members: members.into_iter().enumerate().map(member).collect(),
            retainer: Retainer::default(),
        }
    }

    fn all_subscribers(&mut self) -> impl Iterator<Item = &mut Subscriber> {
        self.subscribers.iter_mut().chain(&mut self.members)
    }

    /// Makes the sessions, so that from here on none may be missing.
    fn introduce(&mut self, broker: &Broker) {
        self.all_subscribers().for_each(|subscriber| subscriber.introduce(broker));
        self.publishers.iter_mut().for_each(|publisher| publisher.introduce(broker));
        self.retainer.introduce(broker);
    }

    /// One life of the broker, to its violent end.
    fn live(&mut self, broker: &Broker, random: &mut Random) {
        let life = Duration::from_millis(random.within(ROUND_MS));
        self.retainer.check(broker);
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                scope.spawn(|| publisher.publish(broker));
            }
            for subscriber in self.subscribers.iter_mut().chain(&mut self.members) {
                let random = random.fork();
                scope.spawn(|| subscriber.listen(broker, random));
            }
            scope.spawn(|| self.retainer.update(broker));
            thread::sleep(life);
            broker.strike();
        });
    }

    /// The last life: everything that is open is brought to its end, and then there is nothing more to come.
    fn settle(&mut self, broker: &Broker) {
        self.retainer.check(broker);
        self.publishers.iter_mut().for_each(|publisher| publisher.settle(broker));
        publisher::end(broker);
        self.all_subscribers().for_each(|subscriber| subscriber.settle(broker));
    }

    /// Prints the counts, and says what is wrong.
    fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let sent: u64 = self.publishers.iter().map(Publisher::count).sum();
        println!("{sent} messages acknowledged, {} retained updates acknowledged", self.retainer.acknowledged());
        for subscriber in &self.subscribers {
            let mut counts = subscriber::Counts::default();
            for publisher in &self.publishers {
                subscriber.compare(publisher, &mut counts, &mut wrong);
            }
            println!("{subscriber}: {counts}");
        }
        let mut counts = subscriber::Counts::default();
        for publisher in &self.publishers {
            subscriber::compare_members(&self.members, publisher, &mut counts, &mut wrong);
        }
        println!("shared by {}: {counts}", self.members.len());
        wrong
    }
}

fn run(plan: &Plan) {
    let Plan { rounds, seed, .. } = *plan;
    println!("{rounds} rounds, shards {:?}, seed {seed}", plan.shards);
    let folder = TempDir::new().unwrap();
    let mut random = Random::new(seed);
    let mut clients = Clients::new();
    let mut shards = plan.shards.iter().cycle();
    let mut next = || *shards.next().unwrap();
    for round in 0..rounds {
        let broker = start(folder.path(), next());
        if round == 0 {
            clients.introduce(&broker);
        }
        clients.live(&broker, &mut random);
        broker.kill();
    }
    let broker = start(folder.path(), next());
    clients.settle(&broker);
    broker.stop();
    let wrong = clients.judge();
    assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
}

/// A number, or numbers, from the environment; `scripts/kill-loop` sets it.
fn asked(name: &str) -> Option<Vec<u64>> {
    let text = std::env::var(name).ok()?;
    Some(text.split(',').map(|number| number.parse().unwrap_or_else(|_| panic!("{name}={text}"))).collect())
}

/// A run on these numbers of shards, or as the environment asks.
fn run_on(shards: &[u64], rounds: u64) {
    let first = |name| asked(name).map(|numbers| numbers[0]);
    let shards = asked("RINGTAIL_KILL_SHARDS").unwrap_or(shards.to_vec());
    run(&Plan {
        rounds: first("RINGTAIL_KILL_ROUNDS").unwrap_or(rounds),
        shards: shards.into_iter().map(|count| count as usize).collect(),
        seed: first("RINGTAIL_KILL_SEED").unwrap_or(1),
    });
}

#[test]
fn one_shard_survives_every_kill() {
    run_on(&[1], 5);
}

#[test]
fn several_shards_and_a_change_of_their_number_survive_every_kill() {
    run_on(&[3, 3, 1], 6);
}
