//! Data folders that cannot be used: what the program says, in one sentence with the path and what is safe to do, and with which
//! exit code; and what a repair makes of them.
#![expect(clippy::print_stdout, reason = "the test runner shows why a case could not be tested")]

#[path = "e2e/broker.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod broker;
#[path = "e2e/program.rs"]
mod program;
#[path = "e2e/raw.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod raw;

use broker::Broker;
use raw::Version::V5;
use raw::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const SHARDS: usize = 3;
const SESSIONS: usize = 24;
/// Exit codes.
const FOLDER: i32 = 6;
const DAMAGED: i32 = 7;
/// A user who is nobody.
const NOBODY: u32 = 65_534;

/// A folder of three shards with sessions and retained messages in each, and with several segments in one.
fn filled() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("data");
    let broker = Broker::with(SHARDS).keep_in(&dir).set("storage.segment_bytes", 1 << 20).start();
    for n in 0..SESSIONS {
        let mut client = Raw::connect(&broker, &Connect::lasting(V5, &format!("client-{n}")));
        client.subscribe(&format!("queue/{n}"), 1);
        client.send(packet(DISCONNECT, 0, &[]));
        assert_eq!(client.next(), None);
    }
    let mut publisher = Raw::client(&broker, V5, "publisher");
    for n in 0..SESSIONS {
        publisher.publish(Publish::new(format!("queue/{n}"), "on"));
        publisher.publish(Publish::new(format!("kept/{n}"), "on").retain());
    }
    for _ in 0..60 {
        publisher.publish(Publish::new("queue/0", vec![b'.'; 60_000]));
    }
    broker.stop();
    (folder, dir)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ringtail(within: &[&str], arguments: &[&str]) -> Output {
    let words: Vec<&str> = within.iter().chain([&env!("CARGO_BIN_EXE_ringtail")]).chain(arguments).copied().collect();
    Command::new(words[0]).args(&words[1..]).output().unwrap()
}

/// Runs the program, which must end with this code and one sentence that says all of `parts`.
fn refuses_within(within: &[&str], arguments: &[&str], code: i32, parts: &[&str]) {
    let output = ringtail(within, arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("ringtail: ")).count(), 1, "one sentence: {said}");
    for part in parts {
        assert!(said.contains(part), "{arguments:?} should say: {part}\nand says: {said}");
    }
}

fn refuses(arguments: &[&str], code: i32, parts: &[&str]) {
    refuses_within(&[], arguments, code, parts);
}

fn serve(dir: &Path) -> Vec<&str> {
    vec!["serve", "--listen", "tcp://127.0.0.1:0", "--shards", "3", "--data", path(dir)]
}

/// With one shard, whose rings need no more locked memory than anybody is given.
fn serve_alone(dir: &Path) -> Vec<&str> {
    vec!["serve", "--listen", "tcp://127.0.0.1:0", "--shards", "1", "--data", path(dir)]
}

/// Runs a command that must succeed, and returns what it prints.
fn does(arguments: &[&str]) -> String {
    let output = ringtail(&[], arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn export(dir: &Path) -> Vec<String> {
    let mut lines: Vec<_> = does(&["log", "export", path(dir)]).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Everything that a broker and the tools say of a folder that a repair can help.
fn wants_repair(dir: &Path, parts: &[&str]) {
    refuses(&serve(dir), FOLDER, parts);
    refuses(&["log", "verify", path(dir)], DAMAGED, &[]);
    refuses(&["log", "repair", path(dir)], DAMAGED, &[path(dir), "nothing was changed", "--yes"]);
    refuses(&serve(dir), FOLDER, parts);
}

/// The sessions that a broker of three shards finds in the folder.
fn sessions(dir: &Path) -> usize {
    let broker = Broker::with(SHARDS).keep_in(dir).start();
    let is_there = |n: &usize| {
        let mut client = Raw::open(&broker, V5);
        client.send(Connect::lasting(V5, &format!("client-{n}")).bytes());
        client.expect(CONNACK).body[0] == 1
    };
    let found = (0..SESSIONS).filter(is_there).count();
    broker.stop();
    found
}

#[test]
fn a_lost_layout_is_made_anew() {
    let (_folder, dir) = filled();
    let before = export(&dir);
    let layout = dir.join("layout");
    let damages: [fn(&Path); 3] = [
        |layout| fs::remove_file(layout).unwrap(),
        |layout| fs::write(layout, "").unwrap(),
        |layout| fs::write(layout, fs::read_to_string(layout).unwrap().replace("shards 3", "shards 4")).unwrap(),
    ];
    for damages in damages {
        damages(&layout);
        wants_repair(&dir, &[path(&layout), "repair"]);
        let said = does(&["log", "repair", path(&dir), "--yes", "--no-copy"]);
        assert!(said.contains(&format!("{} is new and says that there are 3 shards", layout.display())), "{said}");
        assert_eq!(export(&dir), before);
        does(&["log", "verify", path(&dir)]);
    }
    assert_eq!(sessions(&dir), SESSIONS);
}

#[test]
fn a_lost_log_is_given_up_and_the_others_are_kept() {
    let (_folder, dir) = filled();
    let lost = dir.join("generation-1/shard-1");
    fs::remove_dir_all(&lost).unwrap();
    for stray in ["notes.txt", "shard-7"] {
        fs::write(dir.join("generation-1").join(stray), "not the broker's").unwrap();
    }
    wants_repair(&dir, &[path(&lost), "missing", "repair"]);
    let said = does(&["log", "repair", path(&dir), "--yes"]);
    assert!(said.contains(&format!("{} is new, without records", lost.display())), "{said}");
    assert!(dir.with_file_name("data.before-repair").is_dir());
    let kept = sessions(&dir);
    assert!(kept > 0 && kept < SESSIONS, "{kept}");
}

/// With the layout and the last log lost, only where the rest lies says how many shards there were.
#[test]
fn the_last_log_is_missed_without_the_layout_too() {
    let (_folder, dir) = filled();
    fs::remove_file(dir.join("layout")).unwrap();
    let lost = dir.join("generation-1/shard-2");
    fs::remove_dir_all(&lost).unwrap();
    let said = does(&["log", "repair", path(&dir), "--yes"]);
    assert!(said.contains("there are 3 shards") && said.contains(path(&lost)), "{said}");
    let kept = sessions(&dir);
    assert!(kept > 0 && kept < SESSIONS, "{kept}");
}

#[test]
fn nobody_guesses_which_logs_count() {
    let (_folder, dir) = filled();
    fs::remove_file(dir.join("layout")).unwrap();
    let copied = Command::new("cp").arg("-r").args([dir.join("generation-1"), dir.join("generation-2")]).status();
    assert!(copied.unwrap().success());
    let parts = [path(&dir), "generation-1 and generation-2", "move all but one", "nothing was changed"];
    refuses(&["log", "repair", path(&dir), "--yes"], DAMAGED, &parts);
    fs::remove_dir_all(dir.join("generation-1")).unwrap();
    does(&["log", "repair", path(&dir), "--yes"]);
    assert_eq!(sessions(&dir), SESSIONS);

    // A log of another broker among them.
    fs::remove_file(dir.join("layout")).unwrap();
    let (first, second) = (dir.join("generation-2/shard-0"), dir.join("generation-2/shard-1"));
    let aside = dir.join("aside");
    for (from, to) in [(&first, &aside), (&second, &first), (&aside, &second)] {
        fs::rename(from, to).unwrap();
    }
    refuses(&["log", "repair", path(&dir), "--yes", "--no-copy"], DAMAGED, &["layout", "does not belong", "backup"]);
}

/// The log that has several segments, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let of = |shard: usize| {
        let entries = fs::read_dir(dir.join(format!("generation-1/shard-{shard}"))).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    (0..SHARDS).map(of).max_by_key(Vec::len).unwrap()
}

#[test]
fn a_damaged_segment_and_a_missing_one_are_named() {
    let (_folder, dir) = filled();
    let segments = segments(&dir);
    assert!(segments.len() >= 4, "{segments:?}");
    let (second, third) = (&segments[1], &segments[2]);
    let sound = fs::read(second).unwrap();
    let mut bytes = sound.clone();
    bytes[100_000] ^= 1;
    fs::write(second, bytes).unwrap();
    wants_repair(&dir, &[path(second), "is damaged at byte", "copy the folder, then run a repair"]);
    fs::write(second, sound).unwrap();
    fs::remove_file(third).unwrap();
    wants_repair(&dir, &["is missing", ".seg", "backup", "repair"]);
    does(&["log", "repair", path(&dir), "--yes"]);
    assert_eq!(sessions(&dir), SESSIONS, "their records are older than what was lost");
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    refuses(&serve(&file), FOLDER, &[path(&file)]);
    for command in ["inspect", "verify", "repair", "export"] {
        refuses(&["log", command, path(&file)], FOLDER, &[path(&file)]);
        let none = folder.path().join("none");
        refuses(&["log", command, path(&none)], FOLDER, &[path(&none), "does not exist"]);
        assert!(!none.exists());
        refuses(&["log", command, path(folder.path())], FOLDER, &[path(folder.path()), "holds no log"]);
    }
}

/// Whoever may do everything starts the program as somebody who may not.
#[test]
fn what_may_not_be_read_is_named() {
    let (folder, dir) = filled();
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let user = NOBODY.to_string();
    let as_nobody = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
    let within = if is_root { &as_nobody[..] } else { &[] };
    if !ringtail(within, &["--version"]).status.success() {
        return println!("not tested: nobody may run the program");
    }
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let forbid = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if is_root {
        for place in [&dir, &dir.join("layout"), &dir.join("generation-1")] {
            chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        for shard in 0..SHARDS {
            let shard = dir.join(format!("generation-1/shard-{shard}"));
            for entry in fs::read_dir(&shard).unwrap() {
                chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
            }
            chown(&shard, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let advice = "give the broker's user read and write access";
    let segment = segments(&dir).remove(0);
    let shard = segment.parent().unwrap().to_owned();
    for (place, mode) in [(&dir, 0o700), (&dir.join("layout"), 0o600), (&shard, 0o700), (&segment, 0o600)] {
        forbid(place);
        for arguments in [serve_alone(&dir), vec!["log", "verify", path(&dir)], vec!["log", "export", path(&dir)]] {
            refuses_within(within, &arguments, FOLDER, &["permission denied", path(place), advice]);
        }
        allow(place, mode);
    }
    let parent = folder.path().join("parent");
    fs::create_dir(&parent).unwrap();
    allow(&parent, 0o500);
    refuses_within(within, &serve_alone(&parent.join("data")), FOLDER, &["permission denied", "parent/data", advice]);
}

#[test]
fn a_read_only_file_system_is_named_and_can_be_read() {
    let (_folder, dir) = filled();
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let as_root: &[&str] = &["unshare", "--mount", "sh", "-c", script, path(&dir)];
    let as_user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, path(&dir)];
    let can = |within: &&&[&str]| ringtail(within, &["--version"]).status.success();
    let Some(within) = [as_root, as_user].iter().find(can).copied() else {
        return println!("not tested: nobody gives this user a mount of its own");
    };
    refuses_within(within, &serve(&dir), FOLDER, &["the file system is read-only", path(&dir), "remount it writable"]);
    for command in ["inspect", "verify", "export"] {
        assert!(ringtail(within, &["log", command, path(&dir)]).status.success(), "{command}");
    }
    fs::remove_file(dir.join("layout")).unwrap();
    refuses_within(within, &["log", "repair", path(&dir), "--yes", "--no-copy"], FOLDER, &["read-only", path(&dir)]);
}
