//! The program under test, and a broker for it.

pub(crate) mod broker;
pub(crate) mod relay;

use std::path::PathBuf;
use std::process::{Command, Output};

/// A finished command.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The JSON report, if one was written.
    pub(crate) report: Option<serde_json::Value>,
}

impl Finished {
    /// A number of the report, by its path.
    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> f64 {
        let report = self.report.as_ref().unwrap_or_else(|| panic!("a report; {} {}", self.stdout, self.stderr));
        let value = path.split('.').fold(report, |value, key| &value[key]);
        value.as_f64().unwrap_or_else(|| panic!("{path} is no number in {report:#}"))
    }
}

/// A file for this test alone.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let number = std::thread::current().name().unwrap_or("main").replace("::", "-");
    std::env::temp_dir().join(format!("ringtail-load-{}-{number}-{name}", std::process::id()))
}

/// The program with these arguments.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtail-load"));
    command.args(arguments);
    command
}

/// Runs `run` or `verify` to its end, with a report.
pub(crate) fn drive(command: &str, scenario: &str, arguments: &[&str]) -> Finished {
    let (file, json) = (scratch("scenario.toml"), scratch("report.json"));
    std::fs::write(&file, scenario).expect("a scenario file");
    let file_name = file.to_str().expect("a plain path");
    let mut all = vec![command, file_name, "--idle", "park", "--json", json.to_str().expect("a plain path")];
    all.extend_from_slice(arguments);
    let finished = finished(program(&all).output().expect("the program runs"), &json);
    std::fs::remove_file(file).expect("the scenario file");
    finished
}

/// What is left of a command that has ended; takes its report away.
pub(crate) fn finished(output: Output, json: &std::path::Path) -> Finished {
    let report = std::fs::read_to_string(json).ok().map(|text| serde_json::from_str(&text).expect("JSON"));
    if report.is_some() {
        std::fs::remove_file(json).expect("the report");
    }
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        report,
    }
}

/// Pairs that exchange so many messages each at this QoS, in some two seconds.
pub(crate) fn pairs(clients: u32, messages: u32, qos: u8) -> String {
    format!(
        r#"
name = "pairs"
duration_s = 2
warmup_s = 0
drain_s = 2
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
