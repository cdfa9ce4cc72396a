//! The program under test: how it is started, and what is left when it has ended.

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
