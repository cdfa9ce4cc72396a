//! Latencies against delays that are known.

use crate::support::broker::{Faults, TestBroker};
use crate::support::{drive, pairs, relay, scratch};
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

#[test]
fn a_relay_of_5_ms_adds_5_ms_over_tcp_and_over_a_unix_socket() {
    let delay = Duration::from_millis(5);
    let broker = TestBroker::start(Faults::default());
    let path = scratch("relay.sock");
    for target in [relay::start(broker.address, delay, None), relay::start(broker.address, delay, Some(path.clone()))] {
        let finished = drive("run", &pairs(2, 200, 1), &["--target", &target]);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        assert_eq!((finished.number("lost"), finished.number("latency_us.count")), (0.0, 400.0));
        // Histograms keep three digits.
        assert!(finished.number("latency_us.min") >= 4_995.0, "{}", finished.stdout);
        assert!(finished.number("latency_us.p50") < 10_000.0, "{}", finished.stdout);
    }
    std::fs::remove_file(path).expect("the socket");
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
