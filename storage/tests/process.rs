//! What another process, another user and another mount make of a data folder.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringtail_storage::{Kind, Log, LogOptions, StorageError};

const KIND: Kind = Kind::of::<1>();

/// Names the folder that a child of these tests opens.
const FOLDER: &str = "RINGTAIL_TEST_FOLDER";

/// Who nobody is, nearly everywhere.
const NOBODY: u32 = 65534;

fn open(dir: &Path) -> Result<(Log, u64), StorageError> {
    let options = LogOptions {
        segment_bytes: 64 << 10,
        segment_bytes_min: 4 << 10,
        limit_bytes: 1 << 20,
        ..LogOptions::default()
    };
    let (log, recovery) = Log::open(dir, options, |_, _| {})?;
    Ok((log, recovery.records))
}

/// A folder with one record, in one that a test can spoil.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let (mut log, _) = open(&dir).unwrap();
    log.append(KIND, 1, &[b"kept"]).unwrap();
    log.close().unwrap();
    (parent, dir)
}

/// Keeps the tests of this file apart: the child of one, until it has become another program, holds what another has open, be it
/// the lock of a folder or a program that is being written.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As a child: opens the folder that it is told, appends a record, says how that went and waits to be let go. Else: with a
/// folder of its own.
#[test]
fn a_process_opens_a_folder() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        let _alone = alone();
        let (_parent, dir) = filled();
        assert_eq!(open(&dir).unwrap().1, 1);
        return;
    };
    let opened = open(dir.as_ref());
    let outcome = match &opened {
        Ok((_, records)) => format!("{records} records"),
        Err(e) => e.to_string(),
    };
    let kept = opened.map(|(mut log, _)| {
        log.append(KIND, 2, &[b"more"]).unwrap();
        log.sync_now().unwrap();
        log
    });
    writeln!(std::io::stdout(), "\noutcome: {outcome}").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(kept);
}

/// The child, and what it said.
struct Started {
    child: Child,
    outcome: String,
    /// Open as long as the child writes.
    _stdout: Lines<BufReader<ChildStdout>>,
}

fn start(mut prefix: Command, dir: &Path) -> Started {
    prefix.args(["--exact", "a_process_opens_a_folder", "--nocapture"]);
    let mut child = prefix.env(FOLDER, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = stdout.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("outcome: ").map(str::to_owned));
    Started { child, outcome: said.unwrap_or_default(), _stdout: stdout }
}

/// What the child says, when it has ended.
fn outcome(prefix: Command, dir: &Path) -> String {
    let mut started = start(prefix, dir);
    // This closes its input as well.
    started.child.wait().unwrap();
    started.outcome
}

/// This program, where everybody can run it.
fn program(beside: &Path) -> PathBuf {
    let copy = beside.join("program");
    // By another process: one that this one has open to write while another test starts its child could not be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(beside, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let _alone = alone();
    let (_parent, dir) = filled();
    let mut other = start(Command::new(std::env::current_exe().unwrap()), &dir);
    assert_eq!(other.outcome, "1 records");
    let refused = open(&dir).map(drop).unwrap_err();
    assert!(matches!(refused, StorageError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains(&*dir.to_string_lossy()), "{refused}");

    // Whoever is killed holds nothing any more, and loses nothing that was on disk.
    other.child.kill().unwrap();
    other.child.wait().unwrap();
    assert_eq!(open(&dir).unwrap().1, 2);
}

#[test]
fn a_folder_of_someone_else_is_refused() {
    let _alone = alone();
    let (parent, dir) = filled();
    let program = program(parent.path());
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    } else {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let outcome = outcome(command, &dir);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(outcome.contains("log") && outcome.contains("permission"), "{outcome}");
    assert_eq!(open(&dir).unwrap().1, 1);
}

/// The folder can be read, and a segment in it cannot.
#[test]
fn a_segment_of_someone_else_is_named() {
    let _alone = alone();
    let (parent, dir) = filled();
    let program = program(parent.path());
    let segment = dir.join("0000000001.seg");
    let mut command = Command::new(program);
    if is_root() {
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    } else {
        fs::set_permissions(&segment, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let outcome = outcome(command, &dir);
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(outcome.contains("0000000001.seg") && outcome.contains("permission"), "{outcome}");
    assert_eq!(open(&dir).unwrap().1, 1);
}

/// On a file system that is mounted read-only: in a child that has its mounts to itself.
#[test]
fn a_read_only_file_system_is_refused() {
    let _alone = alone();
    let (_parent, dir) = filled();
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(if is_root() { &["--mount"][..] } else { &["--map-root-user", "--mount"] });
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        writeln!(std::io::stderr(), "SKIPPED: no mounts of one's own here; needs unshare and user namespaces").unwrap();
        return;
    }
    let remount = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;
    let mut command = unshare();
    command.args(["sh", "-c", remount, "sh"]).arg(&dir).arg(std::env::current_exe().unwrap());
    let outcome = outcome(command, &dir);
    assert!(outcome.contains("read-only") && outcome.contains("nothing was changed"), "{outcome}");
    assert_eq!(open(&dir).unwrap().1, 1);
}
