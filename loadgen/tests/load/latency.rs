//! Latencies against delays that are known.

use crate::support::bounds::Bounds;
use crate::support::broker::{Faults, TestBroker};
use crate::support::program::scratch;
use crate::support::relay::{Notes, Relay};
use crate::support::{drive, pairs};
use std::time::{Duration, Instant};

/// A closed loop in which nothing arrives for so long goes on without what is outstanding.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// How often a test tries for a moment in which the machine is quiet.
const TRIES: usize = 3;

#[test]
fn a_known_delay_is_the_latency() {
    let broker = TestBroker::start(Faults { delay: Duration::from_millis(50), ..Faults::default() });
    let started = Instant::now();
    let finished = drive("run", &pairs(2, 100, 1), &["--target", &broker.url()]);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    for quantile in ["min", "p50", "p99", "max"] {
        let latency = finished.number(&format!("latency_us.{quantile}"));
        assert!(latency >= 50_000.0, "{quantile}: {latency} us is less than the delay");
    }
    broker.take_notes().latencies(started, Duration::ZERO).hold(&finished, "latency_us", 0.0);
}

/// What the report says of a relay that delays by 5 ms lies, percentile by percentile, between two histograms that the relay
/// has of the same messages: one that leaves out the way between relay and generator, and one that counts it twice over.
#[test]
fn a_relay_of_5_ms_is_5_ms_to_the_percentile() {
    for kind in ["tcp", "unix"] {
        // Half of the ways there and back take less than the delay, when the machine has time.
        if !(0..TRIES).any(|_| most_of_a_relayed_message_us(kind) < 10_000.0) {
            println!("{kind}: the machine is too busy for bounds that lie close to each other");
        }
    }
}

/// Holds a run through a relay of 5 ms against the relay's notes, and returns what half of the messages stayed below at the
/// most.
fn most_of_a_relayed_message_us(kind: &str) -> f64 {
    let delay = Duration::from_millis(5);
    let broker = TestBroker::start(Faults::default());
    let path = (kind == "unix").then(|| scratch("relay.sock"));
    let relay = Relay::start(broker.address, delay, path.clone());
    let scenario = pairs(1, 1, 0).replace(", messages = 1", "");
    let arguments = ["--target", relay.target.as_str(), "--max", "--window", "1", "--warmup", "200ms"];
    let finished = drive("run", &scenario, &arguments);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.number("latency_us.min") >= 4_990.0, "{}", finished.stdout);
    let notes = relay.notes();
    assert!(notes.held.iter().all(|held| *held >= delay), "the relay holds everything back");
    path.into_iter().for_each(|path| std::fs::remove_file(path).expect("the socket"));
    let Some(bounds) = bounds(&notes, finished.number("latency_us.count") as usize) else { return f64::INFINITY };
    assert!(notes.one_by_one && notes.came.len() == notes.went.len(), "one message is on its way, and none at the end");
    bounds.hold(&finished, "latency_us", 0.0);
    bounds.at(0.5).1
}

/// The shortest and the longest that each of the last `measured` messages can have taken; `None` when one of them took so
/// long that the generator may have given it up, and sent the next one meanwhile.
fn bounds(notes: &Notes, measured: usize) -> Option<Bounds> {
    let mut bounds = Bounds::new();
    for i in 0..notes.came.len() {
        let due_after = i.checked_sub(1).map_or(Some(&notes.joined), |before| notes.went.get(before))?;
        let arrived_before = notes.came.get(i + 1).copied().or(notes.ended).expect("everybody has gone");
        let most = arrived_before - *due_after;
        if most >= GIVEN_UP {
            return None;
        }
        if i + measured >= notes.came.len() {
            bounds.add(*notes.went.get(i)? - notes.came[i], most);
        }
    }
    Some(bounds)
}

/// A client with a window of one message cannot send while the broker stalls. What it measures from the time of sending
/// knows of one slow message a pair; from the due time, all that should have been sent in the stall were slow.
///
/// The stall begins at the 80th of 400 messages, so not before the 80th is due, at 200 ms, and ends not before 600 ms. The 41
/// next ones, due until 300 ms, have to wait for that, whatever else delays them: a tenth of all takes 300 ms or more.
#[test]
fn a_stall_shows_in_full_only_from_the_due_time() {
    let stall = Some((80, Duration::from_millis(400)));
    let broker = TestBroker::start(Faults { stall, ..Faults::default() });
    let started = Instant::now();
    let finished = drive("run", &pairs(2, 200, 1), &["--target", &broker.url(), "--inflight", "1"]);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.number("latency_us.max") >= 399_000.0, "{}", finished.stdout);
    assert!(finished.number("latency_us.p90") >= 290_000.0, "{}", finished.stdout);
    let held_back = finished.number("generator.held_back");
    assert_eq!(finished.number("lateness_us.count") + held_back, 400.0);
    // A publisher has sent 80 at the most when the stall begins, and when it ends 119 of its messages have been due.
    assert!(held_back >= 35.0, "{}", finished.stdout);
    let notes = broker.take_notes();
    notes.latencies(started, Duration::ZERO).hold(&finished, "latency_us", 0.0);
    // The delay that is taken off is known to a part in 1,024.
    let slack_us = finished.number("latency_us.max") / 1_024.0;
    notes.latencies_uncorrected().hold(&finished, "latency_uncorrected_us", slack_us);
}
