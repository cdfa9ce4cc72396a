//! What goes wrong gets one sentence with its place, and an exit code of its own.

use crate::support::broker::{Faults, TestBroker};
use crate::support::program::{Finished, finished, program, scratch};
use crate::support::{drive, pairs, start};
use ringtail_mqtt::reason::ReasonCode;
use std::path::Path;
use std::time::Duration;

fn says(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, code, "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "one sentence: {}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

#[test]
fn a_broker_that_is_not_there() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let url = format!("mqtt://{free}");
    says(&drive("run", &pairs(1, 1, 0), &["--target", &url]), 3, &[&url, "cannot be reached", "refused"]);
}

#[test]
fn a_broker_that_refuses_or_hangs_up() {
    let refuse = TestBroker::start(Faults { refuse: Some(ReasonCode::NotAuthorized), ..Faults::default() });
    let refused = drive("run", &pairs(2, 1, 0), &["--target", &refuse.url(), "--mqtt", "5"]);
    says(&refused, 4, &["0 of 4 clients connected", "refused a connection", "NotAuthorized"]);
    let hang_up = TestBroker::start(Faults { hang_up: true, ..Faults::default() });
    let hung_up = drive("run", &pairs(2, 1, 0), &["--target", &hang_up.url()]);
    says(&hung_up, 4, &["0 of 4 clients connected", "closed by the other side"]);
}

#[test]
fn a_broker_that_goes_away_under_a_run() {
    let broker = TestBroker::start(Faults::default());
    let url = broker.url();
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            broker.wait_for_publishes(20);
            broker.kill(Duration::from_secs(600));
        });
        drive("run", &pairs(2, 50, 1), &["--target", &url, "--drain", "500ms"])
    });
    says(&finished, 4, &["4 of 4 clients were not connected at the end", "closed by the other side"]);
    assert!(finished.stdout.contains("4 not there at the end"), "{}", finished.stdout);
    assert_eq!(finished.number("connections.absent"), 4.0);
}

#[test]
fn scenarios_that_cannot_be() {
    let target = ["--target", "mqtt://127.0.0.1:1"];
    let unknown = drive("run", &(pairs(1, 1, 0) + "clinets = 3\n"), &target);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("scenario.toml") && unknown.stderr.contains("clinets"), "{}", unknown.stderr);
    let qos = drive("run", &pairs(1, 1, 0).replace("qos = 0", "qos = 7"), &target);
    says(&qos, 2, &["scenario.toml: group `sub`: subscribe.qos"]);
    let rate = drive("run", &pairs(1, 1, 0), &["--target", "mqtt://127.0.0.1:1", "--rate", "1e12"]);
    says(&rate, 2, &["more than any machine makes"]);
    let scheme = drive("run", &pairs(1, 1, 0), &["--target", "http://127.0.0.1:1"]);
    says(&scheme, 2, &["http"]);
}

#[test]
fn files_that_cannot_be_written_are_named_before_the_run() {
    let broker = TestBroker::start(Faults::default());
    let folder = scratch("no-such-folder");
    let url = broker.url();
    for (option, name) in [("--json", "r.json"), ("--html", "r.html"), ("--hlog", "r.hlog")] {
        let path = folder.join(name).display().to_string();
        let finished = start("run", &pairs(1, 1, 0), &["--target", &url, option, &path]);
        says(&finished, 6, &[&path, "No such file"]);
        assert_eq!(finished.stdout, "", "nothing was run");
    }
    let taken = std::env::temp_dir().display().to_string();
    says(&start("sweep", &pairs(1, 1, 0), &["--target", &url, "--sweep", "1k..2k", "--json", &taken]), 6, &[&taken]);
}

#[test]
fn addresses_and_names_that_are_none() {
    let run = |arguments: &[&str]| finished(program(arguments).output().expect("the program runs"), Path::new(""));
    says(&run(&["agent", "--listen", "nowhere"]), 2, &["--listen nowhere"]);
    says(&run(&["scenarios", "nothing"]), 2, &["`nothing`", "listed"]);
    let rate = run(&["run", "pair", "--target", "mqtt://127.0.0.1:1", "--rate", "0"]);
    says(&rate, 2, &["--rate 0"]);
}
