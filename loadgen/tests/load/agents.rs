//! A run whose load two agents make, each a process with a clock of its own.

use crate::support::broker::{Faults, TestBroker};
use crate::support::program::program;
use crate::support::{drive, in_time, pairs};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

struct Agent {
    process: Child,
    said: BufReader<ChildStdout>,
    address: String,
}

impl Agent {
    fn start() -> Self {
        let mut command = program(&["agent", "--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program runs");
        let mut said = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("agent: listening on ").expect("an address").to_owned();
        Self { process, said, address }
    }

    /// Waits until it says what begins so.
    fn wait_for(&mut self, words: &str) {
        let mut line = String::new();
        while !line.starts_with(words) {
            line.clear();
            assert!(self.said.read_line(&mut line).expect("a line") > 0, "it ended");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn two_agents_make_one_run_and_then_another() {
    let mut agents = [Agent::start(), Agent::start()];
    let list = agents.iter().map(|a| a.address.as_str()).collect::<Vec<_>>().join(",");
    // Every subscriber hears every publisher, so half of the messages go from one agent to the other.
    let scenario = pairs(4, 50, 2).replace("filters = [\"t/{i}\"]", "filters = [\"t/#\"]");
    for command in ["run", "verify"] {
        let broker = TestBroker::start(Faults::default());
        let started = Instant::now();
        let finished = drive(command, &scenario, &["--target", &broker.url(), "--agents", &list]);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        in_time(&finished, "published", 200);
        assert_eq!(finished.number("latency_us.count"), 800.0);
        assert_eq!(finished.number("by_qos.2.received"), 800.0, "{}", finished.stdout);
        assert_eq!((finished.number("generator.agents"), finished.number("generator.workers")), (2.0, 2.0));
        let clock_error_us = finished.number("generator.clock_error_us");
        assert!(clock_error_us > 0.0);
        // Clocks that were told apart wrongly would show messages from the future, or from long ago.
        let latencies = broker.take_notes().latencies(started, Duration::from_secs_f64(clock_error_us / 1e6));
        latencies.hold(&finished, "latency_us", clock_error_us);
        agents.iter_mut().for_each(|a| a.wait_for("agent: the run is over"));
    }
}

#[test]
fn an_agent_that_is_lost_ends_the_run_with_its_name() {
    let broker = TestBroker::start(Faults::default());
    let (stays, goes) = (Agent::start(), Agent::start());
    let name = goes.address.clone();
    let list = format!("{},{name}", stays.address);
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            broker.wait_for_publishes(50);
            drop(goes);
        });
        let endless = pairs(4, 50, 1).replace(", messages = 50", "");
        drive("run", &endless, &["--target", &broker.url(), "--agents", &list, "--duration", "10m"])
    });
    assert_eq!(finished.code, 5, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stderr.contains(&name), "{}", finished.stderr);
    let absent = drive("run", &pairs(4, 50, 1), &["--target", &broker.url(), "--agents", &name]);
    assert_eq!(absent.code, 3, "{}", absent.stderr);
    assert!(absent.stderr.contains(&format!("the agent {name} cannot be reached")), "{}", absent.stderr);
}
