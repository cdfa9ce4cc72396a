//! A child process whose lines are events: waiting is for a line or for its end, always with a deadline.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that any single step of a test may take. Generous, so that only a hang meets it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Program {
    name: String,
    child: Child,
    /// In a mutex so that threads may share a broker; only its owner reads.
    lines: Mutex<Receiver<String>>,
    /// What it has said so far, for the report of a failure.
    said: String,
    finished: bool,
}

impl Program {
    /// Starts a program; its standard output and error are read line by line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: {error}; see scripts/setup-test-clients"));
        let (sender, lines) = channel();
        read_lines(child.stdout.take().unwrap(), sender.clone());
        read_lines(child.stderr.take().unwrap(), sender);
        Self { name, child, lines: Mutex::new(lines), said: String::new(), finished: false }
    }

    /// The next line, or `None` when the program has closed its output.
    pub(crate) fn line(&mut self, deadline: Instant) -> Option<String> {
        match self.lines.get_mut().unwrap().recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let _ = writeln!(self.said, "{line}");
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{} has nothing more to say in time. It said:\n{}", self.name, self.said)
            }
        }
    }

    /// Reads on until a line is what `wanted` looks for.
    pub(crate) fn wait_for<T>(&mut self, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        while let Some(line) = self.line(deadline) {
            if let Some(found) = wanted(&line) {
                return found;
            }
        }
        panic!("{} ended early. It said:\n{}", self.name, self.said)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", self.child.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send SIG{signal} to {}", self.name);
    }

    /// Waits until the program has ended; returns how, and all that it said.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        while self.line(deadline).is_some() {}
        self.finished = true;
        (self.child.wait().unwrap(), std::mem::take(&mut self.said))
    }

    /// Waits until the program has ended, which must be with exit code 0.
    pub(crate) fn succeed(self) -> String {
        let name = self.name.clone();
        let (status, said) = self.finish();
        assert!(status.success(), "{name} failed with {status}:\n{said}");
        said
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "the test runner shows it when the case fails")]
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.child.kill();
            let _ = self.child.wait();
            if thread::panicking() {
                self.said.extend(self.lines.get_mut().unwrap().try_iter().map(|line| line + "\n"));
                eprintln!("--- {} said:\n{}---", self.name, self.said);
            }
        }
    }
}

fn read_lines(output: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if lines.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}
