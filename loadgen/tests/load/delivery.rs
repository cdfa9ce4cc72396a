//! The checks of delivery against a broker that breaks each promise on order.

use crate::support::broker::{Faults, TestBroker};
use crate::support::{drive, pairs};

/// Messages of a run: 4 pairs, 50 each.
const MESSAGES: f64 = 200.0;

fn run(command: &str, qos: u8, faults: Faults, more: &[&str]) -> crate::support::Finished {
    let broker = TestBroker::start(faults);
    let url = broker.url();
    let mut arguments = vec!["--target", url.as_str()];
    arguments.extend_from_slice(more);
    drive(command, &pairs(4, 50, qos), &arguments)
}

#[test]
fn a_sound_broker_passes_at_every_qos_and_version() {
    for qos in [0, 1, 2] {
        for version in ["3.1.1", "5"] {
            let finished = run("verify", qos, Faults::default(), &["--mqtt", version, "--workers", "2"]);
            assert_eq!(finished.code, 0, "QoS {qos}, {version}: {}{}", finished.stdout, finished.stderr);
            assert_eq!(finished.number("published"), MESSAGES);
            assert_eq!(finished.number("delivered"), MESSAGES);
            assert_eq!(finished.number("latency_us.count"), MESSAGES);
            assert_eq!(finished.number("lateness_us.count") + finished.number("generator.held_back"), MESSAGES);
            assert_eq!(finished.number(&format!("by_qos.{qos}.received")), MESSAGES);
            let acknowledged = if qos == 0 { 0.0 } else { MESSAGES };
            assert_eq!(finished.number("acknowledgement_us.count"), acknowledged);
            for zero in ["lost", "duplicated", "reordered", "corrupted", "unexpected", "unacknowledged", "missed_sends"]
            {
                assert_eq!(finished.number(zero), 0.0, "{zero} at QoS {qos}, {version}");
            }
        }
    }
}

#[test]
fn lost_messages_break_a_promise_from_qos_1() {
    for (qos, code) in [(0, 0), (1, 1), (2, 1)] {
        let finished = run("verify", qos, Faults { lose_every: Some(10), ..Faults::default() }, &["--drain", "500ms"]);
        assert_eq!((finished.code, finished.number("lost")), (code, 20.0), "QoS {qos}: {}", finished.stdout);
    }
}

#[test]
fn repeated_messages_break_a_promise_at_qos_2() {
    for (qos, code) in [(0, 0), (1, 0), (2, 1)] {
        let finished = run("verify", qos, Faults { repeat_every: Some(20), ..Faults::default() }, &[]);
        assert_eq!((finished.code, finished.number("duplicated")), (code, 10.0), "QoS {qos}: {}", finished.stdout);
        assert_eq!(finished.number("latency_us.count"), MESSAGES, "a duplicate has no latency");
    }
}

#[test]
fn swapped_messages_are_out_of_order() {
    let finished = run("verify", 1, Faults { swap_every: Some(50), ..Faults::default() }, &["--drain", "500ms"]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    // The last message of a pair may be held back for ever: it is lost then, not late.
    assert_eq!(finished.number("reordered") + finished.number("lost"), 4.0);
    assert!(finished.number("reordered") >= 1.0);
}

#[test]
fn changed_bytes_and_wrong_addresses_are_noticed() {
    let corrupt = run("verify", 0, Faults { corrupt_every: Some(25), ..Faults::default() }, &["--drain", "500ms"]);
    assert_eq!((corrupt.code, corrupt.number("corrupted")), (1, 8.0), "{}", corrupt.stdout);
    let astray = run("verify", 0, Faults { misroute_every: Some(25), ..Faults::default() }, &[]);
    assert_eq!((astray.code, astray.number("unexpected")), (1, 8.0), "{}", astray.stdout);
}

#[test]
fn run_reports_what_verify_would_refuse() {
    let finished = run("run", 1, Faults { lose_every: Some(10), ..Faults::default() }, &["--drain", "500ms"]);
    assert_eq!((finished.code, finished.number("lost")), (0, 20.0));
    let fault = &finished.report.as_ref().expect("a report")["pairs_at_fault"][0];
    assert!(fault["publisher"].as_str().is_some_and(|p| p.starts_with("pub/")), "{fault}");
}
