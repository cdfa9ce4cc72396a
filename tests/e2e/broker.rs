//! The broker under test: the built binary, a process for each case, stopped by SIGTERM and expected to end with exit code 0.

use crate::program::Program;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use tempfile::TempDir;

/// Names another broker to drive, to tell a wrong test from a wrong broker; `mosquitto` is known.
const OTHER_BROKER: &str = "RINGTAIL_E2E_BROKER";

/// A broker that is about to start.
pub(crate) struct Setup {
    shards: usize,
    settings: Vec<(&'static str, String)>,
    folder: Option<PathBuf>,
    /// What the broker is started with, such as `nsenter` and its arguments.
    within: Vec<String>,
}

pub(crate) struct Broker {
    program: Option<Program>,
    address: SocketAddr,
    /// The other broker's configuration.
    _configuration: Option<TempDir>,
}

impl Setup {
    /// Gives a setting its value.
    pub(crate) fn set(mut self, key: &'static str, value: impl ToString) -> Self {
        self.settings.push((key, value.to_string()));
        self
    }

    /// Keeps the sessions and messages in a folder.
    pub(crate) fn keep_in(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Has this command start the broker; it must become the broker and not a parent of it.
    pub(crate) fn within(mut self, command: &[&str]) -> Self {
        self.within = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Starts the broker and waits until it says that it is ready.
    pub(crate) fn start(self) -> Broker {
        match std::env::var(OTHER_BROKER).as_deref() {
            Err(_) => self.start_ringtail(),
            Ok("mosquitto") => self.start_mosquitto(),
            Ok(other) => panic!("{OTHER_BROKER}={other} is not known"),
        }
    }

    fn start_ringtail(self) -> Broker {
        let mut words = self.within.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_ringtail")]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["serve", "--listen", "tcp://127.0.0.1:0", "--shards", &self.shards.to_string()]);
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        if let Some(folder) = &self.folder {
            command.arg("--data").arg(folder);
        }
        let mut program = Program::start(&mut command);
        let address = program.wait_for(|line| line.strip_prefix("listening on tcp://").map(|at| at.parse().unwrap()));
        program.wait_for(|line| (line == "ready").then_some(()));
        Broker { program: Some(program), address, _configuration: None }
    }

    /// Mosquitto has no settings of ours; a case that depends on one may fail there.
    fn start_mosquitto(self) -> Broker {
        let configuration = TempDir::new().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut lines = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n",
            address.port()
        );
        if let Some(folder) = &self.folder {
            lines += &format!("persistence true\npersistence_location {}/\n", folder.display());
        }
        if std::env::var_os("USER").is_none_or(|user| user == "root") {
            lines += "user root\n";
        }
        let path = configuration.path().join("mosquitto.conf");
        std::fs::write(&path, lines).unwrap();
        let mut program = Program::start(Command::new("mosquitto").arg("-v").arg("-c").arg(path));
        program.wait_for(|line| line.ends_with(" running").then_some(()));
        Broker { program: Some(program), address, _configuration: Some(configuration) }
    }
}

impl Broker {
    pub(crate) fn with(shards: usize) -> Setup {
        Setup { shards, settings: Vec::new(), folder: None, within: Vec::new() }
    }

    /// A broker with the defaults.
    pub(crate) fn start(shards: usize) -> Self {
        Self::with(shards).start()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Memory that the broker holds, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let status = format!("/proc/{}/status", self.program.as_ref().unwrap().id());
        let status = std::fs::read_to_string(status).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// The values of counters, named in the order of `shards/src/counters.rs`; needs `log.format` to be `json`.
    pub(crate) fn counters(&mut self, names: &[&str]) -> Vec<u64> {
        let program = self.program.as_mut().unwrap();
        program.signal("USR1");
        let value = |line: &str, name: &str| {
            let counter = line.contains("ringtail::counters") && line.contains(&format!("\"{name}\""));
            let (_, rest) = line.split_once("\"value\":").filter(|_| counter)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        names.iter().map(|name| program.wait_for(|line| value(line, name))).collect()
    }

    /// Stops the broker cleanly.
    pub(crate) fn stop(mut self) {
        self.stop_cleanly();
    }

    /// Kills the broker under the hands of its clients; [`Self::kill`] is still to be called.
    pub(crate) fn strike(&self) {
        self.program.as_ref().unwrap().signal("KILL");
    }

    /// Kills the broker as a crash would.
    pub(crate) fn kill(mut self) {
        if let Some(program) = self.program.take() {
            program.signal("KILL");
            program.finish();
        }
    }

    fn stop_cleanly(&mut self) {
        if let Some(program) = self.program.take() {
            program.signal("TERM");
            program.succeed();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A broker that died or hangs fails the case also when nothing else did.
        if !thread::panicking() {
            self.stop_cleanly();
        }
    }
}
