//! `verify` against Ringtail itself, with its log, killed and started again under it. Apart from the other tests, whose
//! machine it would keep busy.

#[path = "../load/support/program.rs"]
mod program;

use program::{finished, program, scratch};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Kills of a run, one for each second of load.
const KILLS: usize = 4;

/// The broker's program, built beside this one.
fn ringtail() -> PathBuf {
    let ours = Path::new(env!("CARGO_BIN_EXE_ringtail-load"));
    let folder = ours.parent().expect("a folder");
    let target = folder.parent().expect("the target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "ringtail", "--bin", "ringtail", "--target-dir"]).arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the broker builds");
    folder.join("ringtail")
}

/// A broker whose data outlives it.
struct Broker {
    ringtail: PathBuf,
    address: String,
    data: PathBuf,
    shards: &'static str,
    process: Child,
}

impl Broker {
    fn start(shards: &'static str) -> Self {
        let ringtail = ringtail();
        // A port that was free a moment ago: the broker comes back to it after each kill.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").to_string();
        let data = scratch("data");
        std::fs::create_dir(&data).expect("a folder of our own");
        let process = serve(&ringtail, &address, &data, shards);
        Self { ringtail, address, data, shards, process }
    }

    /// Kills it, as a crash would, and starts it again on what it left.
    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it has ended");
        self.process = serve(&self.ringtail, &self.address, &self.data, self.shards);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A test that failed may have left nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Starts a broker and waits until it is ready.
fn serve(ringtail: &Path, address: &str, data: &Path, shards: &str) -> Child {
    let mut command = Command::new(ringtail);
    command.args(["serve", "--shards", shards, "--listen", &format!("tcp://{address}"), "--data"]).arg(data);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the broker runs");
    let mut said = BufReader::new(process.stdout.take().expect("piped"));
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert!(said.read_line(&mut line).expect("a line") > 0, "the broker ended before it was ready");
    }
    // It says more when it is asked to stop; somebody must read that.
    std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
    process
}

#[test]
fn one_shard_loses_nothing_and_doubles_nothing_of_qos_2_while_it_is_killed() {
    verify_and_kill("1");
}

#[test]
fn two_shards_lose_nothing_and_double_nothing_of_qos_2_while_they_are_killed() {
    verify_and_kill("2");
}

fn verify_and_kill(shards: &'static str) {
    let mut broker = Broker::start(shards);
    let json = scratch("report.json");
    let target = format!("mqtt://{}", broker.address);
    let arguments = ["verify", "durable", "--target", &target, "--duration", "6s", "--patience", "2m"];
    let mut command = program(&arguments);
    command
        .args(["--offline", "0.3", "--retained", "--progress", "--json"])
        .arg(&json)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut load = command.spawn().expect("the program runs");
    let mut kills = 0;
    for line in BufReader::new(load.stderr.take().expect("piped")).lines() {
        // A line for each second of load.
        if kills < KILLS && line.expect("text").contains("delivered") {
            broker.kill();
            kills += 1;
        }
    }
    let finished = finished(load.wait_with_output().expect("it ends"), &json);
    assert_eq!((finished.code, kills), (0, KILLS), "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains("verified: every promise was kept"), "{}", finished.stdout);
    for qos in ["1", "2"] {
        let number = |name: &str| finished.number(&format!("by_qos.{qos}.{name}"));
        assert_eq!((number("lost"), number("reordered")), (0.0, 0.0), "QoS {qos}: {}", finished.stdout);
        assert!(number("received") >= number("expected") && number("expected") > 2_000.0, "{}", finished.stdout);
    }
    assert_eq!(finished.number("by_qos.2.duplicated"), 0.0, "{}", finished.stdout);
    assert_eq!(finished.number("connections.sessions_lost"), 0.0, "{}", finished.stdout);
    assert_eq!((finished.number("retained.missing"), finished.number("retained.stale")), (0.0, 0.0));
    assert!(finished.number("connections.dropped") > 100.0, "every kill ends every connection: {}", finished.stdout);
}
