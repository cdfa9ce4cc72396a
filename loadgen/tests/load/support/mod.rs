//! What the program is driven with and what it drives: scenarios, a broker, a relay, and the bounds on what it may report.

pub(crate) mod bounds;
pub(crate) mod broker;
pub(crate) mod notes;
pub(crate) mod program;
pub(crate) mod relay;

use program::{Finished, finished, program, scratch};

/// Runs `run` or `verify` to its end, with a report.
pub(crate) fn drive(command: &str, scenario: &str, arguments: &[&str]) -> Finished {
    let json = scratch("report.json");
    let report = ["--json", json.to_str().expect("a plain path")];
    start(command, scenario, &[&report, arguments].concat())
}

/// Runs a command that makes load to its end.
pub(crate) fn start(command: &str, scenario: &str, arguments: &[&str]) -> Finished {
    let file = scratch("scenario.toml");
    std::fs::write(&file, scenario).expect("a scenario file");
    let all = [&[command, file.to_str().expect("a plain path"), "--idle", "park"], arguments].concat();
    let finished = finished(program(&all).output().expect("the program runs"), &scratch("report.json"));
    std::fs::remove_file(file).expect("the scenario file");
    finished
}

/// Pairs that exchange so many messages each at this QoS, all due in the first of two seconds. The run waits for what comes
/// late, which takes no time where nothing is lost.
pub(crate) fn pairs(clients: u32, messages: u32, qos: u8) -> String {
    format!(
        r#"
name = "pairs"
duration_s = 2
warmup_s = 0
drain_s = 60
connect_rate_per_s = 0

[[group]]
name = "sub"
clients = {clients}
subscribe = {{ filters = ["t/{{i}}"], qos = {qos} }}

[[group]]
name = "pub"
clients = {clients}
publish = {{ topic = "t/{{i}}", qos = {qos}, rate_per_s = {messages}, messages = {messages} }}
"#
    )
}

/// So many messages of [`pairs`] were counted in the measured time. What was not came a second late or more, since it was
/// due a second before the end.
#[track_caller]
pub(crate) fn in_time(finished: &Finished, counted: &str, messages: u32) {
    let (number, all) = (finished.number(counted), f64::from(messages));
    let is_late = finished.number("latency_us.max") >= 999_000.0;
    assert!(number == all || number < all && is_late, "{counted} {number} of {all}: {}", finished.stdout);
}
