//! Latencies against delays that are known.

use crate::support::broker::{Faults, TestBroker};
use crate::support::relay::{Notes, Relay};
use crate::support::{drive, pairs, scratch};
use hdrhistogram::Histogram;
use std::time::Duration;

#[test]
fn a_known_delay_is_the_latency() {
    let broker = TestBroker::start(Faults { delay: Duration::from_millis(50), ..Faults::default() });
    let finished = drive("run", &pairs(2, 100, 0), &["--target", &broker.url()]);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    for quantile in ["min", "p50", "p99", "max"] {
        let latency = finished.number(&format!("latency_us.{quantile}"));
        assert!(latency >= 50_000.0, "{quantile}: {latency} us is less than the delay");
    }
    // The machine may be busy, but not so busy that half of the messages take twice as long.
    assert!(finished.number("latency_us.p50") < 100_000.0, "{}", finished.stdout);
}

/// What the report says of a relay that delays by 5 ms lies, percentile by percentile, between two histograms that the relay
/// has of the same messages: one that leaves out the way between relay and generator, and one that counts it twice over.
/// The bounds hold for each message, so for each percentile too, whatever else the machine does.
#[test]
fn a_relay_of_5_ms_is_5_ms_to_the_percentile() {
    let delay = Duration::from_millis(5);
    let broker = TestBroker::start(Faults::default());
    let path = scratch("relay.sock");
    for path in [None, Some(path.clone())] {
        let relay = Relay::start(broker.address, delay, path);
        let scenario = pairs(1, 1, 0).replace(", messages = 1", "");
        let arguments = ["--target", relay.target.as_str(), "--max", "--window", "1", "--warmup", "200ms"];
        let finished = drive("run", &scenario, &arguments);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        let notes = relay.notes();
        let measured = finished.number("latency_us.count") as usize;
        assert_eq!(notes.came.len(), notes.went.len(), "nothing is on its way");
        assert!(measured > 20 && measured < notes.came.len(), "{measured} of {}", notes.came.len());
        assert!(notes.held.iter().all(|held| *held >= delay), "the relay holds everything back");
        let [least, most] = bounds(&notes, measured);
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            let us = finished.number(&format!("latency_us.{name}"));
            let (low, high) = (at(&least, quantile), at(&most, quantile));
            let text = format!("{name}: {us} us is not from {low} to {high} us");
            // Histograms keep three digits, payloads steps of 0.1 us.
            assert!(us >= low * 0.998 && us <= high * 1.002 + 0.2, "{text}");
            assert!(us >= 4_990.0, "{text}");
        }
        // However busy the machine: half of the ways there and back do not take as long as the delay.
        assert!(at(&most, 0.5) < 10_000.0, "the bounds are too far apart to say anything");
    }
    std::fs::remove_file(path).expect("the socket");
}

/// The shortest and the longest that each of the last `measured` messages can have taken.
fn bounds(notes: &Notes, measured: usize) -> [Histogram<u64>; 2] {
    let empty = || Histogram::<u64>::new(3).expect("three digits");
    let (mut least, mut most) = (empty(), empty());
    let record = |h: &mut Histogram<u64>, time: Duration| h.record(time.as_nanos() as u64).expect("it grows");
    for i in notes.came.len() - measured..notes.came.len() {
        let arrived_before = notes.came.get(i + 1).copied().or(notes.ended).expect("everybody has gone");
        record(&mut least, notes.went[i] - notes.came[i]);
        record(&mut most, arrived_before - notes.went[i - 1]);
    }
    [least, most]
}

/// A percentile in microseconds.
fn at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

/// A client with a window of one message cannot send while the broker stalls. What it measures from the time of sending
/// knows of one slow message a pair; from the due time, all that should have been sent in the stall were slow.
#[test]
fn a_stall_shows_in_full_only_from_the_due_time() {
    let stall = Some((Duration::from_millis(500), Duration::from_millis(400)));
    let broker = TestBroker::start(Faults { stall, ..Faults::default() });
    let finished = drive("run", &pairs(2, 200, 1), &["--target", &broker.url(), "--inflight", "1"]);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.number("latency_us.max") >= 390_000.0, "{}", finished.stdout);
    // Of 200 messages due in one second, those of 400 ms wait for up to 400 ms: 90% of all wait for less than 300 ms.
    assert!(finished.number("latency_us.p90") >= 250_000.0, "{}", finished.stdout);
    assert!(finished.number("latency_uncorrected_us.p90") < 200_000.0, "{}", finished.stdout);
    assert!(finished.number("generator.held_back") >= 100.0, "{}", finished.stdout);
}
