//! The checks of delivery against a broker that breaks each promise on order.

use crate::support::broker::{Faults, TestBroker};
use crate::support::program::Finished;
use crate::support::{drive, in_time, pairs};

/// Messages of a run.
const MESSAGES: f64 = 200.0;
/// Where something is lost a run waits for it as long as it may, and what a busy machine has not brought by then is lost to
/// it as well. A wait that was too short is followed by a longer one.
const DRAINS: [&str; 3] = ["500ms", "5s", "60s"];

fn run(command: &str, scenario: &str, faults: Faults, more: &[&str]) -> Finished {
    let broker = TestBroker::start(faults);
    let url = broker.url();
    let mut arguments = vec!["--target", url.as_str()];
    arguments.extend_from_slice(more);
    drive(command, scenario, &arguments)
}

/// Four pairs, whose messages meet in any order.
fn four(qos: u8) -> String {
    pairs(4, 50, qos)
}

/// One pair: the broker has its messages in their order, and what is wrong with one shows before the next arrives.
fn one(qos: u8) -> String {
    pairs(1, 200, qos)
}

/// Runs until `expected` is counted, all of it at once.
fn run_until(command: &str, scenario: &str, faults: Faults, expected: &[(&str, f64)]) -> Finished {
    let mut last = String::new();
    for drain in DRAINS {
        let finished = run(command, scenario, faults, &["--drain", drain]);
        if expected.iter().all(|(name, count)| finished.number(name) == *count) {
            return finished;
        }
        last = finished.stdout;
    }
    panic!("{expected:?} was not counted: {last}");
}

#[test]
fn a_sound_broker_passes_at_every_qos_and_version() {
    for qos in [0, 1, 2] {
        for version in ["3.1.1", "5"] {
            let more = ["--mqtt", version, "--workers", "2"];
            let finished = run("verify", &four(qos), Faults::default(), &more);
            assert_eq!(finished.code, 0, "QoS {qos}, {version}: {}{}", finished.stdout, finished.stderr);
            in_time(&finished, "published", 200);
            in_time(&finished, "delivered", 200);
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
        let faults = Faults { lose_every: Some(10), ..Faults::default() };
        let finished = run_until("verify", &four(qos), faults, &[("lost", 20.0)]);
        assert_eq!(finished.code, code, "QoS {qos}: {}", finished.stdout);
    }
}

#[test]
fn repeated_messages_break_a_promise_at_qos_2() {
    for (qos, code) in [(0, 0), (1, 0), (2, 1)] {
        // The last one that is repeated is not the last one: its repetition has come when that arrives.
        let finished = run("verify", &one(qos), Faults { repeat_every: Some(19), ..Faults::default() }, &[]);
        assert_eq!((finished.code, finished.number("duplicated")), (code, 10.0), "QoS {qos}: {}", finished.stdout);
        assert_eq!(finished.number("latency_us.count"), MESSAGES, "a duplicate has no latency");
    }
}

#[test]
fn swapped_messages_are_out_of_order() {
    let faults = Faults { swap_every: Some(50), ..Faults::default() };
    // The last message is held back for ever: it is lost, not late.
    let finished = run_until("verify", &one(1), faults, &[("reordered", 3.0), ("lost", 1.0)]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
}

#[test]
fn changed_bytes_and_wrong_addresses_are_noticed() {
    let corrupt = Faults { corrupt_every: Some(25), ..Faults::default() };
    let finished = run_until("verify", &four(0), corrupt, &[("corrupted", 8.0)]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    // One is lost, so that the run waits for those that nobody expects.
    let astray = Faults { misroute_every: Some(25), lose_every: Some(199), ..Faults::default() };
    let finished = run_until("verify", &four(0), astray, &[("unexpected", 8.0), ("lost", 1.0)]);
    assert_eq!(finished.code, 1, "{}", finished.stdout);
}

#[test]
fn run_reports_what_verify_would_refuse() {
    let finished = run_until("run", &four(1), Faults { lose_every: Some(10), ..Faults::default() }, &[("lost", 20.0)]);
    assert_eq!(finished.code, 0, "{}", finished.stdout);
    let fault = &finished.report.as_ref().expect("a report")["pairs_at_fault"][0];
    assert!(fault["publisher"].as_str().is_some_and(|p| p.starts_with("pub/")), "{fault}");
}

/// More is due right before the end of the load than a worker takes up in one turn: it is sent all the same.
#[test]
fn what_is_due_is_sent_though_the_end_has_come() {
    let burst = pairs(1, 5_000, 1).replace("messages = 5000", "messages = 10000, arrivals = { burst = 5000 }");
    // The second burst is due after a second.
    let finished = run("run", &burst, Faults::default(), &["--duration", "1001ms"]);
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.number("latency_us.count"), 10_000.0, "{}", finished.stdout);
    assert_eq!(finished.number("lateness_us.count") + finished.number("generator.held_back"), 10_000.0);
    assert_eq!((finished.number("missed_sends"), finished.number("by_qos.1.received")), (0.0, 10_000.0));
}
