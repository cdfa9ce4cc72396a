//! Models of the mesh under loom, which runs every order of the atomics that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p ringtail-shards --lib mesh --release`

use super::asleep::{Asleep, full_fence};
use super::{Port, mesh, ring};
use crate::ShardSet;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use std::sync::Arc;

/// Loom's own object for "rung or not"; loom reports a deadlock when a sleeper is never rung.
type Doorbell = Arc<Notify>;

fn pair<T: Send>(slots: usize, overflow_max: usize) -> (Port<T>, Port<T>) {
    let mut ports = mesh(2, slots, overflow_max).unwrap();
    let second = ports.pop().unwrap();
    (ports.pop().unwrap(), second)
}

/// Three messages through two slots: the third wraps.
#[test]
fn ring_wraps() {
    loom::model(|| {
        let (mut to, mut from) = ring(2);
        let producer = thread::spawn(move || {
            let mut next = 0;
            while next < 3 {
                match to.push(Box::new(next)) {
                    Ok(()) => next += 1,
                    Err(_) => thread::yield_now(),
                }
            }
            to.publish();
        });
        let mut seen = 0;
        while seen < 3 {
            let taken = from.drain(2, |n| {
                assert_eq!(*n, seen);
                seen += 1;
            });
            if taken == 0 {
                thread::yield_now();
            }
        }
        producer.join().unwrap();
        assert!(from.is_closed());
    });
}

/// The producer writes one, publishes, writes one and goes: once the consumer sees it gone, it sees both.
#[test]
fn closing_publishes() {
    loom::model(|| {
        let (mut to, mut from) = ring(2);
        let producer = thread::spawn(move || {
            to.push(Box::new(1)).unwrap();
            to.publish();
            to.push(Box::new(2)).unwrap();
        });
        let mut seen = 0;
        while !from.is_closed() {
            seen += from.drain(2, drop);
            thread::yield_now();
        }
        seen += from.drain(2, drop);
        assert_eq!(seen, 2);
        producer.join().unwrap();
    });
}

/// Either end goes first, with messages in the ring: each message is dropped once (loom tracks the leak, the cell the race).
#[test]
fn ends_go_in_any_order() {
    loom::model(|| {
        let counted = loom::sync::Arc::new(());
        let (mut to, mut from) = ring(2);
        let message = counted.clone();
        let producer = thread::spawn(move || {
            drop(to.push(message.clone()));
            to.publish();
            drop(to.push(message));
        });
        from.drain(1, drop);
        drop(from);
        producer.join().unwrap();
        assert_eq!(loom::sync::Arc::strong_count(&counted), 1);
    });
}

/// A shard that parks whenever it may; a neighbour that sends while it does. Nobody wakes it but the bell.
#[test]
fn a_message_wakes_a_sleeper() {
    loom::model(|| {
        let (mut sender, mut sleeper) = pair(2, 0);
        let bell: Doorbell = Arc::new(Notify::new());
        let rung = bell.clone();
        let sending = thread::spawn(move || {
            sender.send(1, 7).unwrap();
            if sender.flush().contains(1) {
                bell.notify();
            }
            sender
        });
        let mut seen = 0;
        loop {
            sleeper.drain(2, |_, n| seen += n);
            assert!(sleeper.flush().is_empty());
            if seen == 7 {
                break;
            }
            if sleeper.prepare_to_sleep() {
                rung.wait();
                sleeper.awake();
            }
        }
        drop(sending.join().unwrap());
    });
}

/// Two neighbours send to one sleeper: it gets both, and is rung at most once while it sleeps.
#[test]
fn two_neighbours_wake_a_sleeper() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let mut ports = mesh(3, 2, 0).unwrap();
        let mut sleeper = ports.pop().unwrap();
        let bell: Doorbell = Arc::new(Notify::new());
        let senders: Vec<_> = ports
            .into_iter()
            .map(|mut port| {
                let bell = bell.clone();
                thread::spawn(move || {
                    port.send(2, 1).unwrap();
                    if port.flush().contains(2) {
                        bell.notify();
                    }
                })
            })
            .collect();
        let mut seen = 0;
        loop {
            sleeper.drain(2, |_, n| seen += n);
            assert!(sleeper.flush().is_empty());
            if seen == 2 {
                break;
            }
            if sleeper.prepare_to_sleep() {
                bell.wait();
                sleeper.awake();
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// A shard parks with an overflow: the neighbour that makes room must ring it, or it would sit on its messages.
#[test]
fn room_wakes_a_sleeper_with_an_overflow() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (mut sleeper, mut receiver) = pair(2, 1);
        for n in 0..3 {
            sleeper.send(1, n).unwrap();
        }
        assert_eq!(sleeper.flush(), ShardSet::default());
        let bell: Doorbell = Arc::new(Notify::new());
        let rung = bell.clone();
        let receiving = thread::spawn(move || {
            receiver.drain(2, |_, _| ());
            if receiver.flush().contains(0) {
                bell.notify();
            }
            receiver
        });
        while !sleeper.congested().is_empty() {
            if sleeper.prepare_to_sleep() {
                rung.wait();
                sleeper.awake();
            }
            assert!(sleeper.flush().is_empty());
        }
        let mut receiver = receiving.join().unwrap();
        let mut last = 0;
        receiver.drain(2, |_, n| last = n);
        assert_eq!(last, 2);
    });
}

/// That the models can fail: without the sleeper's last look, loom finds the lost wake-up.
#[test]
#[should_panic(expected = "deadlock")]
fn the_models_find_a_lost_wake_up() {
    loom::model(|| {
        let bell: Doorbell = Arc::new(Notify::new());
        let asleep = Arc::new(Asleep::new());
        let published = Arc::new(AtomicBool::new(false));
        let (ring_bell, flag, publish) = (bell.clone(), asleep.clone(), published.clone());
        let sending = thread::spawn(move || {
            publish.store(true, Ordering::Release);
            full_fence();
            if flag.take() {
                ring_bell.notify();
            }
        });
        if !published.load(Ordering::Acquire) {
            asleep.raise();
            bell.wait();
        }
        sending.join().unwrap();
    });
}
