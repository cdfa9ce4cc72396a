//! `verify` against a broker that is killed under it, and that loses on order what a crash may not lose.

use crate::support::broker::{Faults, TestBroker};
use crate::support::program::Finished;
use crate::support::{drive, pairs};
use std::time::Duration;

/// Messages of a run: 4 pairs, 50 each.
const MESSAGES: u64 = 200;
/// Shorter than the load, so that it goes on afterwards.
const AWAY: Duration = Duration::from_millis(150);

/// Runs `verify` while the broker is killed twice.
fn verify(qos: u8, faults: Faults, more: &[&str]) -> Finished {
    let broker = TestBroker::start(faults);
    let url = broker.url();
    let mut arguments = vec!["--target", url.as_str(), "--patience", "2m"];
    arguments.extend_from_slice(more);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for publishes in [MESSAGES / 4, MESSAGES / 2] {
                broker.wait_for_publishes(publishes);
                broker.kill(AWAY);
            }
        });
        drive("verify", &pairs(4, 50, qos), &arguments)
    })
}

#[test]
fn a_broker_that_keeps_everything_passes_though_it_is_killed() {
    for qos in [1, 2] {
        for version in ["3.1.1", "5"] {
            let more = ["--mqtt", version, "--offline", "0.5", "--retained"];
            let finished = verify(qos, Faults::default(), &more);
            assert_eq!(finished.code, 0, "QoS {qos}, {version}: {}{}", finished.stdout, finished.stderr);
            assert_eq!(finished.number(&format!("by_qos.{qos}.received")), MESSAGES as f64);
            assert_eq!(finished.number("retained.topics"), 4.0);
            assert!(finished.number("catch_up_us.count") >= MESSAGES as f64 / 2.0, "half were away");
            // The first kill ends those of four publishers and two subscribers, the second at least that of one publisher.
            assert!(finished.number("connections.dropped") >= 7.0, "{}", finished.stdout);
        }
    }
}

#[test]
fn what_waits_for_an_acknowledgement_is_sent_again() {
    let faults = Faults { deaf_after: Some(MESSAGES / 4 - 8), ..Faults::default() };
    for qos in [1, 2] {
        let finished = verify(qos, faults, &[]);
        assert_eq!(finished.code, 0, "QoS {qos}: {}{}", finished.stdout, finished.stderr);
        assert!(finished.number("resent") >= 8.0, "{}", finished.stdout);
    }
}

#[test]
fn what_a_kill_may_not_lose_is_missed() {
    let away = ["--offline", "1", "--drain", "1s"];
    let queues = verify(1, Faults { lose_queues: true, ..Faults::default() }, &away);
    assert_eq!(queues.code, 1, "{}", queues.stdout);
    assert!(queues.stdout.contains("deliveries lost") && queues.number("lost") > 0.0, "{}", queues.stdout);
    let sessions = verify(1, Faults { lose_sessions: true, ..Faults::default() }, &["--drain", "1s"]);
    assert_eq!(sessions.code, 1, "{}", sessions.stdout);
    assert!(sessions.stdout.contains("sessions not kept [MQTT-3.1.2-5]"), "{}", sessions.stdout);
    let faults = Faults { lose_incoming: true, deaf_after: Some(MESSAGES / 4 - 8), ..Faults::default() };
    let twice = verify(2, faults, &[]);
    assert_eq!(twice.code, 1, "{}", twice.stdout);
    assert!(twice.stdout.contains("messages delivered twice"), "{}", twice.stdout);
    let retained = verify(1, Faults { lose_retained: true, ..Faults::default() }, &["--retained"]);
    assert_eq!((retained.code, retained.number("retained.missing")), (1, 4.0), "{}", retained.stdout);
}

#[test]
fn a_broker_that_does_not_come_back_fails_with_a_report() {
    let broker = TestBroker::start(Faults::default());
    let url = broker.url();
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            broker.wait_for_publishes(MESSAGES / 2);
            broker.kill(Duration::from_secs(600));
        });
        drive("verify", &pairs(4, 50, 1), &["--target", &url, "--patience", "500ms", "--drain", "500ms"])
    });
    assert_eq!(finished.code, 1, "{}", finished.stdout);
    for words in ["8 clients could not connect again", "messages could not be sent"] {
        assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
    }
}
