//! Ctrl-C ends what a run is at, the load or the wait behind it, and the report of what was measured is still written.

use crate::support::broker::{Faults, TestBroker};
use crate::support::pairs;
use crate::support::program::{Finished, finished, program, scratch};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

/// What a run says when its load is over.
const WAITS: &str = "the load is over";
/// The longest that the runs here wait for what is under way: who ends sooner has not waited.
const DRAIN: Duration = Duration::from_secs(300);

/// A run that goes on, with a line of progress a second.
struct Run {
    child: Child,
    progress: BufReader<ChildStderr>,
    scenario: PathBuf,
    json: PathBuf,
}

impl Run {
    fn start(command: &str, scenario: &str, broker: &TestBroker, more: &[&str]) -> Self {
        let (json, file) = (scratch("report.json"), scratch("scenario.toml"));
        std::fs::write(&file, scenario).expect("a scenario");
        let path = |p: &PathBuf| p.to_str().expect("a plain path").to_owned();
        let mut command = program(&[command, &path(&file), "--target", &broker.url(), "--idle", "park"]);
        command.args(["--drain", &format!("{}s", DRAIN.as_secs()), "--json", &path(&json), "--progress"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let progress = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, progress, scenario: file, json }
    }

    /// Waits until it says this.
    fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(self.progress.read_line(&mut line).expect("a line") > 0, "it ended and never said: {words}");
        }
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    }

    /// What is left of it, which was interrupted.
    fn end(self) -> Finished {
        let ended = finished(self.child.wait_with_output().expect("it ends"), &self.json);
        std::fs::remove_file(self.scenario).expect("the scenario");
        assert_eq!(ended.code, 130, "{}", ended.stdout);
        assert!(ended.stdout.contains("interrupted"), "{}", ended.stdout);
        ended
    }
}

/// Pairs that go on exchanging messages as long as there is load.
fn endless() -> String {
    pairs(2, 100, 1).replace(", messages = 100", "")
}

#[test]
fn ctrl_c_under_load_still_reports() {
    let broker = TestBroker::start(Faults::default());
    let mut run = Run::start("run", &endless(), &broker, &["--duration", "10m"]);
    run.wait_for("delivered");
    // The load is on, and there is something to report: a subscriber has most of these.
    broker.wait_for_acknowledgements(60);
    run.interrupt();
    let ended = run.end();
    assert!(ended.number("delivered") >= 60.0 && ended.number("duration_s") < 600.0, "{}", ended.stdout);
    assert_eq!(ended.number("lost") + ended.number("under_way"), 0.0, "it waited for what was under way");
}

#[test]
fn ctrl_c_ends_the_wait_for_acknowledgements_that_never_come() {
    let broker = TestBroker::start(Faults { deaf_after: Some(0), ..Faults::default() });
    let mut run = Run::start("run", &pairs(2, 20, 1), &broker, &[]);
    run.wait_for(WAITS);
    let began = Instant::now();
    run.interrupt();
    let ended = run.end();
    assert!(began.elapsed() < DRAIN, "it waited on");
    assert_eq!((ended.number("unacknowledged"), ended.number("duration_s")), (40.0, 2.0), "{}", ended.stdout);
}

#[test]
fn what_was_under_way_when_the_wait_was_cut_does_not_count_as_lost() {
    let broker = TestBroker::start(Faults { lose_every: Some(4), ..Faults::default() });
    let mut run = Run::start("verify", &pairs(2, 20, 1), &broker, &["--retained"]);
    run.wait_for(WAITS);
    broker.wait_for_publishes(40);
    let began = Instant::now();
    run.interrupt();
    let ended = run.end();
    assert!(began.elapsed() < DRAIN, "it waited on");
    assert!(ended.stdout.contains("not verified") && !ended.stdout.contains("BROKEN"), "{}", ended.stdout);
    assert_eq!(ended.number("lost"), 0.0, "{}", ended.stdout);
    assert!(ended.number("under_way") >= 10.0, "{}", ended.stdout);
}

#[test]
fn a_second_ctrl_c_ends_the_wait_behind_a_load_that_the_first_ended() {
    let broker = TestBroker::start(Faults { lose_every: Some(4), ..Faults::default() });
    let mut run = Run::start("run", &endless(), &broker, &["--duration", "10m"]);
    run.wait_for("delivered");
    broker.wait_for_acknowledgements(20);
    run.interrupt();
    run.wait_for(WAITS);
    let began = Instant::now();
    run.interrupt();
    let ended = run.end();
    assert!(began.elapsed() < DRAIN, "it waited on");
    assert!(ended.number("delivered") > 0.0 && ended.number("under_way") > 0.0, "{}", ended.stdout);
}
