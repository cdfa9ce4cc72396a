//! The program as an operator meets it: help, exit codes, errors, signals, and documents that match the program.

#[path = "e2e/program.rs"]
mod program;

use program::Program;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn ringtail(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringtail"));
    command.args(arguments).env_remove("RINGTAIL_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    ringtail(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

/// Runs the program, which must fail with this code, and returns what it says on standard error.
fn fails(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    stderr
}

/// A settings file in a folder that lasts as long as the file.
fn settings_file(content: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ringtail.toml");
    fs::write(&path, content).expect("the file is written");
    let path = path.display().to_string();
    (folder, path)
}

/// What `serve --check` says against a file with this content.
fn refused(content: &str) -> String {
    let (_folder, path) = settings_file(content);
    fails(&["serve", "--check", "--config", &path], 3).replace(&path, "FILE")
}

/// A broker that runs until it is stopped or dropped.
struct Running {
    program: Program,
    start_lines: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = ringtail(&["serve", "--listen", "tcp://127.0.0.1:0", "--shards", "2"]);
        let mut program = Program::start(command.args(arguments));
        let mut start_lines = Vec::new();
        program.wait_for(|line| {
            start_lines.push(line.to_owned());
            (line == "ready").then_some(())
        });
        Self { program, start_lines }
    }

    /// Reads on until a line holds `part`.
    fn line_with(&mut self, part: &str) -> String {
        self.program.wait_for(|line| line.contains(part).then(|| line.to_owned()))
    }

    fn address(&self) -> &str {
        self.start_lines.iter().find_map(|line| line.strip_prefix("listening on tcp://")).expect("it listens")
    }
}

#[test]
fn help_names_the_options_and_the_exit_codes() {
    let help = text(&run(&["serve", "--help"]).stdout);
    for part in
        ["--config", "--listen", "--shards", "--cores", "--data", "--set", "Exit codes:", "[setting: shards.count]"]
    {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
    let operating = fs::read_to_string("docs/OPERATING.md").expect("the page exists");
    let codes: Vec<_> = help.lines().skip_while(|line| *line != "Exit codes:").skip(1).map(str::trim).collect();
    assert_eq!(codes.len(), 8);
    for line in codes {
        let (code, meaning) = line.split_once("  ").expect("code and meaning");
        assert!(operating.contains(&format!("| {code} | {meaning} |")), "docs/OPERATING.md lacks: {line}");
    }
}

#[test]
fn version_is_that_of_the_package() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), format!("ringtail {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in
        [&["frobnicate"][..], &[], &["serve", "--no-such-option"], &["serve", "--set", "mqtt.receive_maximum"]]
    {
        assert!(fails(arguments, 2).contains("Usage:") || arguments.contains(&"--set"), "{arguments:?}");
    }
}

#[test]
fn the_generated_documents_are_current() {
    for (arguments, path) in
        [(&["settings", "--markdown"][..], "docs/CONFIGURATION.md"), (&["settings"], "docs/ringtail.toml")]
    {
        let written = text(&run(arguments).stdout);
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(written == kept, "{path} is old: write it again with `ringtail {}`", arguments.join(" "));
    }
}

#[test]
fn the_example_file_is_accepted_with_every_default_written_out() {
    let example = fs::read_to_string("docs/ringtail.toml").expect("the file exists");
    let is_setting =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.starts_with(' ') && rest.contains('='));
    let written_out: Vec<_> = example.lines().map(|line| if is_setting(line) { &line[1..] } else { line }).collect();
    assert!(written_out.iter().filter(|line| line.contains(" = ") && !line.starts_with('#')).count() > 25);
    // What depends on the machine the command line replaces.
    let (_folder, path) = settings_file(&written_out.join("\n"));
    let machine = ["--listen", "tcp://127.0.0.1:0", "--set", "shards.connections_max=64"];
    let output = run(&[&["serve", "--check", "--config", &path][..], &machine].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_wrong_setting_in_the_file_is_named_with_its_place() {
    for (content, sentence) in [
        ("[mqtt]\ninflight = 3\n", "FILE:2:1: there is no setting mqtt.inflight; did you mean mqtt.inflight_max?"),
        ("[mqttt]\n", "FILE:1:2: there is no section [mqttt]; did you mean mqtt?"),
        ("mqtt = 3\n", "FILE:1:1: mqtt is a section and must be written [mqtt]"),
        (
            "[log]\n\n  level = \"loud\"\n",
            "FILE:3:11: log.level must be one of off, error, warn, info, debug, trace, not \"loud\"",
        ),
        ("shards.count = 300", "FILE:1:16: shards.count must be a whole number of shards from 0 to 128, not 300"),
        ("shards.count = -1", "FILE:1:16: shards.count must be a whole number of shards from 0 to 128, not -1"),
        ("shards.count = true", "FILE:1:16: shards.count must be a whole number of shards from 0 to 128, not true"),
        (
            "mqtt.queue_bytes_max = \"64 KB\"",
            "FILE:1:24: mqtt.queue_bytes_max must be a number of bytes from 0 to 1 TiB, not \"64 KB\"",
        ),
        ("shards.mesh_slots = 1000", "FILE:1:21: shards.mesh_slots must be a power of two from 2 to 1048576, not 1000"),
        ("mqtt.retain_available = 1", "FILE:1:25: mqtt.retain_available must be true or false, not 1"),
        ("storage.dir = 1.5", "FILE:1:15: storage.dir must be the path of a folder, not 1.5"),
        ("shards.cores = \"5-2\"", "FILE:1:16: shards.cores must be a list of core numbers and ranges"),
        ("listen.addresses = [\"tcp://localhost:1883\"]", "FILE:1:20: listen.addresses must be a list of addresses"),
        ("[mqtt]\nreceive_maximum = \n", "FILE:2:"),
        ("[mqtt]\nmaximum_qos = 1\nmaximum_qos = 2\n", "FILE:3:1: duplicate key"),
    ] {
        let said = refused(content);
        assert!(said.starts_with(&format!("ringtail: {sentence}")), "{content}\nwanted: {sentence}\nsaid: {said}");
    }
}

#[test]
fn every_wrong_setting_is_named_in_the_order_of_the_file() {
    let said = refused("[mqtt]\nzzz = 1\ninflight_max = 0\n[log]\nlevel = 1\n");
    let places: Vec<_> = said.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(places, ["FILE:2:1", "FILE:3:16", "FILE:5:9"]);
}

#[test]
fn a_file_that_is_not_there_is_said_so() {
    assert!(
        fails(&["serve", "--config", "/nonexistent.toml"], 3).contains("/nonexistent.toml: the file cannot be read")
    );
}

#[test]
fn a_wrong_option_is_named() {
    for (arguments, sentence) in [
        (["--set", "mqtt.receive_maximum=0"], "--set mqtt.receive_maximum: mqtt.receive_maximum must be"),
        (["--set", "log.levle=info"], "--set log.levle: there is no setting log.levle; did you mean log.level?"),
        (["--shards", "129"], "--shards: shards.count must be"),
        (["--cores", "0-"], "--cores: shards.cores must be"),
        (["--cores", "8000"], "shards.cores: this process may not use core 8000, only "),
        (["--listen", "mqtt://127.0.0.1:1883"], "--listen: listen.addresses must be"),
    ] {
        let said = fails(&[&["serve", "--check"][..], &arguments].concat(), 3);
        assert!(said.starts_with(&format!("ringtail: {sentence}")), "wanted: {sentence}\nsaid: {said}");
    }
}

#[test]
fn a_wrong_filter_in_the_environment_is_named() {
    let output = ringtail(&["serve", "--check"]).env("RINGTAIL_LOG", "x=loud").output().expect("the program runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).starts_with("ringtail: RINGTAIL_LOG: must be a level or a filter"));
}

#[test]
fn a_limit_of_open_files_below_the_setting_ends_with_4() {
    let program = env!("CARGO_BIN_EXE_ringtail");
    let script = format!("ulimit -n 200; exec {program} serve --check --set shards.connections_max=201");
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("265 descriptors are needed and the limit is 200"));
}

#[test]
fn an_address_that_is_taken_ends_with_5() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let holder = TcpListener::bind(taken).expect("still free");
    let said = fails(&["serve", "--listen", &format!("tcp://{taken}")], 5);
    assert!(said.contains(&format!("cannot listen on tcp://{taken}: ")), "{said}");
    drop(holder);
}

#[test]
fn a_second_broker_does_not_share_the_address_of_the_first() {
    let first = Running::start(&[]);
    let said = fails(&["serve", "--listen", &format!("tcp://{}", first.address())], 5);
    assert!(said.contains("cannot listen on"), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_made_ends_with_6() {
    let (_folder, file) = settings_file("");
    let said = fails(&["serve", "--listen", "tcp://127.0.0.1:0", "--data", &format!("{file}/data")], 6);
    assert!(said.contains(&format!("the data folder cannot be used: cannot create {file}/data: ")), "{said}");
}

#[test]
fn a_data_folder_in_use_ends_with_6() {
    let (folder, _file) = settings_file("");
    let data = folder.path().join("data").display().to_string();
    let _first = Running::start(&["--data", &data]);
    let said = fails(&["serve", "--listen", "tcp://127.0.0.1:0", "--data", &data], 6);
    assert!(said.contains(&format!("{data} is in use by another process")), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_ends_with_1() {
    let full = File::options().write(true).open("/dev/full").expect("the device exists");
    let status = ringtail(&["settings"]).stdout(full).stderr(Stdio::null()).status().expect("the program runs");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn the_start_is_announced_and_a_signal_stops_it_cleanly() {
    for signal in ["INT", "TERM"] {
        let running = Running::start(&[]);
        let lines = &running.start_lines;
        assert_eq!(lines[0], format!("ringtail {}", env!("CARGO_PKG_VERSION")));
        assert!(lines[2].starts_with("2 shards on core") && lines[2].ends_with("; data in memory"), "{lines:?}");
        assert_eq!(lines.len(), 4, "{lines:?}");
        TcpStream::connect(running.address()).expect("it listens where it says");
        running.program.signal(signal);
        let said = running.program.succeed();
        assert!(said.lines().any(|line| line.starts_with("stopped after 1 connections, 0 messages")), "{said}");
    }
}

#[test]
fn a_broker_has_no_huge_pages_unless_it_is_told_to() {
    let enabled = |arguments: &[&str]| {
        let running = Running::start(arguments);
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.program.id())).expect("it runs");
        status.lines().find_map(|line| line.strip_prefix("THP_enabled:").map(|enabled| enabled.trim() == "1"))
    };
    // A kernel without huge pages has no such line, and what starts this test may have turned them off for its children.
    let allowed = enabled(&["--set", "shards.huge_pages=true"]);
    assert_eq!(enabled(&[]), allowed.map(|_| false));
    let own = std::fs::read_to_string("/proc/self/status").expect("this process");
    let here = own.lines().find_map(|line| line.strip_prefix("THP_enabled:").map(|enabled| enabled.trim() == "1"));
    assert_eq!(allowed, here);
}

#[test]
fn sigusr1_logs_the_counters() {
    let mut running = Running::start(&["--set", "log.format=json"]);
    running.program.signal("USR1");
    let line = running.line_with("ringtail::counters");
    assert!(line.starts_with('{') && line.contains("\"value\":0"), "{line}");
}

#[test]
fn sighup_reads_the_settings_again() {
    let (_folder, path) = settings_file("log.level = \"info\"\n");
    let mut running = Running::start(&["--config", &path]);
    fs::write(&path, "log.level = \"warn\"\nmqtt.receive_maximum = 7\n").expect("written");
    running.program.signal("HUP");
    let line = running.line_with("need a restart");
    assert!(line.contains("mqtt.receive_maximum") && !line.contains("log.level"), "{line}");
    fs::write(&path, "log.level = \"louder\"\n").expect("written");
    running.program.signal("HUP");
    running.line_with("the settings are wrong and stay as they were");
    fs::write(&path, "log.level = \"debug\"\n").expect("written");
    running.program.signal("HUP");
    assert!(running.line_with("settings read again").contains("changed: log.level"));
}

#[test]
fn listening_beyond_loopback_is_warned_about() {
    let running = Running::start(&["--listen", "tcp://0.0.0.0:0"]);
    running.program.signal("TERM");
    let said = running.start_lines.join("\n") + &running.program.succeed();
    assert!(
        said.lines().any(|line| line.contains("tcp://0.0.0.0:") && line.contains("there is no authentication yet"))
    );
}

const DOCUMENTS: [&str; 5] =
    ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/CONFIGURATION.md", "docs/OPERATING.md"];

/// What stands between backticks in a document, outside blocks of code.
fn quoted(document: &str) -> Vec<String> {
    let text = fs::read_to_string(document).expect("the document exists");
    let prose: Vec<_> = text.split("```").step_by(2).collect();
    prose.iter().flat_map(|part| part.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn files_that_the_documents_name_exist() {
    for document in DOCUMENTS {
        let named = quoted(document).into_iter().filter(|name| name.contains('/') && name.ends_with(".rs"));
        for name in named {
            let found = ["", "shards/src/"].iter().any(|root| Path::new(root).join(&name).is_file());
            assert!(found, "{document} names {name}");
        }
        let text = fs::read_to_string(document).expect("the document exists");
        let folder = Path::new(document).parent().expect("it has a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let outside = link.contains("://") || link.starts_with('#');
            assert!(outside || folder.join(link).is_file(), "{document} links to {link}");
        }
    }
}

#[test]
fn settings_and_counters_that_the_documents_name_exist() {
    let settings = text(&run(&["settings", "--markdown"]).stdout);
    let counters = fs::read_to_string("shards/src/counters.rs").expect("the file exists");
    let sections = ["listen.", "shards.", "mqtt.", "retained.", "storage.", "log."];
    let mut checked = 0;
    for document in DOCUMENTS {
        for name in quoted(document) {
            if sections.iter().any(|section| name.starts_with(section)) {
                let key = name.split(" = ").next().unwrap_or_default();
                assert!(settings.contains(&format!("\n### {key}\n")), "{document} names {name}");
                checked += 1;
            }
            if ["connections_", "publishers_", "dropped_", "mail_"].iter().any(|prefix| name.starts_with(prefix)) {
                assert!(counters.contains(&format!("\n    {name}: ")), "{document} names {name}");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "the documents name settings and counters");
}
