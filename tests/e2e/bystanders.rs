//! Clients that mind their own business while others misbehave: one publishes, three subscribe, and every round must come
//! through in order and in time.

use crate::broker::Broker;
use crate::program::DEADLINE;
use crate::raw::{Publish, Raw, Version};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// Rounds that must pass before a bystander counts as unharmed.
const ROUNDS: u64 = 3;

pub(crate) struct Bystanders {
    rounds: Arc<(Mutex<u64>, Condvar)>,
    stop: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Bystanders {
    /// Connects them and lets them begin. Their client identifiers differ enough to live on different shards.
    pub(crate) fn start(broker: &Broker) -> Self {
        let mut subscribers: Vec<Raw> = ["first", "second", "third"]
            .iter()
            .map(|name| Raw::client(broker, Version::V5, &format!("bystander-{name}")))
            .collect();
        for subscriber in &mut subscribers {
            subscriber.subscribe("bystanders/#", 1);
        }
        let mut publisher = Raw::client(broker, Version::V311, "bystander-publisher");
        let rounds = Arc::new((Mutex::new(0), Condvar::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (counting, stopping) = (rounds.clone(), stop.clone());
        let running = thread::spawn(move || {
            for round in 1_u64.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                assert_eq!(publisher.publish(Publish::new("bystanders/round", round.to_string())), 0);
                for subscriber in &mut subscribers {
                    assert_eq!(subscriber.message().payload, round.to_string().as_bytes());
                }
                *counting.0.lock().unwrap() = round;
                counting.1.notify_all();
            }
        });
        Self { rounds, stop, running: Some(running) }
    }

    /// Waits until they have exchanged a few more messages than they had.
    pub(crate) fn are_unharmed(&self) {
        let (rounds, changed) = &*self.rounds;
        let rounds = rounds.lock().unwrap();
        let enough = *rounds + ROUNDS;
        let (_rounds, waited) = changed.wait_timeout_while(rounds, DEADLINE, |rounds| *rounds < enough).unwrap();
        assert!(!waited.timed_out(), "the bystanders were held up");
    }

    /// Waits for a few more rounds and ends them.
    pub(crate) fn stop(mut self) {
        self.are_unharmed();
        self.end().expect("the bystanders were harmed");
    }

    fn end(&mut self) -> thread::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.running.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        // Before the broker goes, so that a case that failed for another reason says only that.
        let _ = self.end();
    }
}
