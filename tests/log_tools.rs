//! `ringtail log`: what the tools say of a data folder, and that nothing is lost on the way out of one and into another.

#[path = "e2e/broker.rs"]
#[expect(dead_code, reason = "the end-to-end tests use the rest")]
mod broker;
#[path = "e2e/program.rs"]
mod program;
#[path = "e2e/raw.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod raw;

use broker::Broker;
use raw::Version::{V5, V311};
use raw::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const BINARY: &[u8] = &[0, 159, 146, 150, 255];
/// Content Type "x", Response Topic "r", a User Property.
const PROPERTIES: &[u8] = &[0x03, 0, 1, b'x', 0x08, 0, 1, b'r', 0x26, 0, 1, b'k', 0, 1, b'v'];
const WAITING: usize = 60;

fn ringtail(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringtail")).arg("log").args(arguments).output().unwrap()
}

/// Runs a command of `ringtail log`, which must end with this code; returns what it prints.
fn log(arguments: &[&str], code: i32) -> (String, String) {
    let output = ringtail(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "log {arguments:?}\n{stdout}\n{stderr}");
    assert!(stderr.lines().count() == usize::from(code != 0), "one sentence: {stderr}");
    (stdout, stderr)
}

/// A session that outlives its connection and has a will.
fn connect_with_will(client_id: &str) -> Vec<u8> {
    let mut body = field("MQTT");
    body.extend([5, 0x04 | 1 << 3, 0, 0, 5, 0x11, 0, 0, 0x03, 0xE8]);
    body.extend(field(client_id));
    // Delayed by 1000 s, so that it waits when the broker ends.
    body.extend([5, 0x18, 0, 0, 0x03, 0xE8]);
    body.extend(field("will"));
    body.extend(field("gone"));
    packet(CONNECT, 0, &body)
}

/// A folder with sessions of both versions, messages that wait and that are in flight, and retained ones; some in each of
/// `shards` logs.
fn filled(dir: &Path, shards: usize) {
    let broker = Broker::with(shards).keep_in(dir).set("storage.segment_bytes", 1 << 20).start();
    for (client_id, version) in [("five", V5), ("three", V311)] {
        let mut client = Raw::connect(&broker, &Connect::lasting(version, client_id));
        client.subscribe("queue/#", 2);
        client.subscribe("$share/group/other/+", 1);
        client.send(packet(DISCONNECT, 0, &[]));
        assert_eq!(client.next(), None);
    }
    let mut publisher = Raw::open(&broker, V5);
    publisher.send(connect_with_will("publisher"));
    publisher.expect(CONNACK);
    for n in 0..WAITING {
        publisher.publish(Publish::new(format!("queue/{}", n % 7), n.to_string()));
    }
    publisher.publish(Publish::new("queue/binary", BINARY).with(PROPERTIES));
    // In flight: sent and not acknowledged, and one that is released and not complete.
    let mut reader = Raw::connect(&broker, &Connect::lasting(V5, "in-flight"));
    reader.subscribe("flight", 2);
    for packet_id in [7, 8] {
        publisher.send(Publish::new("flight", packet_id.to_string()).qos(2, packet_id).bytes(V5));
        publisher.expect(PUBREC);
    }
    publisher.send(packet_of_id(PUBREL, 2, 7));
    publisher.expect(PUBCOMP);
    let first = Publish::parse(V5, &reader.expect(PUBLISH));
    reader.send(packet_of_id(PUBREC, 0, first.packet_id));
    reader.expect(PUBLISH);
    reader.expect(PUBREL);
    for n in 0..20 {
        publisher.publish(Publish::new(format!("kept/{n}"), n.to_string()).retain());
    }
    publisher.publish(Publish::new("other/binary", BINARY).with(PROPERTIES).retain());
    broker.stop();
}

fn export(dir: &Path) -> String {
    log(&["export", path(dir)], 0).0
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The oldest segment of a shard's log.
fn segment(dir: &Path, shard: usize) -> PathBuf {
    let folder = dir.join(format!("generation-1/shard-{shard}"));
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.remove(0)
}

/// Changes one byte of a record.
fn damage(dir: &Path) -> PathBuf {
    let damaged = segment(dir, 0);
    let mut bytes = fs::read(&damaged).unwrap();
    let topic = bytes.windows(6).position(|part| part == b"queue/" || part == b"kept/1").unwrap();
    bytes[topic] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    damaged
}

#[test]
fn what_is_exported_is_imported_for_any_number_of_shards() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    filled(from.path(), 3);
    let file = from.path().join("lines");
    log(&["export", path(from.path()), "--output", path(&file)], 0);
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines, export(from.path()));
    let (said, _) = log(&["import", path(to.path()), "--input", path(&file), "--shards", "2"], 0);
    assert!(said.contains("4 sessions, ") && said.contains(" and 21 retained messages"), "{said}");
    assert_eq!(export(to.path()), lines);

    let broker = Broker::with(1).keep_in(to.path()).start();
    for (client_id, version) in [("five", V5), ("three", V311)] {
        let mut client = Raw::open(&broker, version);
        client.send(Connect::lasting(version, client_id).bytes());
        assert_eq!(client.expect(CONNACK).body[0], 1, "{client_id} is known");
        for n in 0..WAITING {
            assert_eq!(client.message().payload, n.to_string().as_bytes());
        }
        let binary = client.message();
        let properties = if version == V5 { PROPERTIES } else { &[] };
        assert_eq!((&binary.payload[..], &binary.properties[..]), (BINARY, properties));
    }
    let mut client = Raw::open(&broker, V5);
    client.send(Connect::lasting(V5, "in-flight").bytes());
    client.expect(CONNACK);
    let mut kinds = [client.next().unwrap().kind, client.next().unwrap().kind];
    kinds.sort_unstable();
    assert_eq!(kinds, [PUBLISH, PUBREL]);
    let mut reader = Raw::client(&broker, V5, "reader");
    reader.subscribe("kept/#", 0);
    let mut kept: Vec<_> = (0..20).map(|_| reader.message().payload).collect();
    kept.sort();
    let mut due: Vec<_> = (0..20).map(|n| n.to_string().into_bytes()).collect();
    due.sort();
    assert_eq!(kept, due);
}

#[test]
fn lines_say_what_they_are() {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), 1);
    let lines = export(folder.path());
    let with = |part: &str| lines.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}\n{lines}"));
    assert!(lines.starts_with(r#"{"kind":"ringtail_export","version":1,"#), "{lines}");
    assert!(lines.ends_with("\"retained\":21}\n"));
    assert!(with(r#""client_id":"three""#).contains(r#""protocol":"3.1.1""#));
    assert!(with(r#""will":{"#).contains(r#""delay_s":1000,"message":{"topic":"will","#));
    assert!(with(r#""inbound_packet_ids":[8]"#).contains(r#""client_id":"publisher""#));
    assert!(with("group").contains(r#"{"filter":"$share/group/other/+","qos":1,"#));
    assert!(with("queue/binary").contains(r#""payload_base64":"AJ+Slv8=","properties_base64":"AwABeA"#));
    assert!(with(r#""kind":"retained""#).contains(r#""topic":"kept/0","qos":1,"retain":true,"payload":"0"}"#));
    let released = lines.lines().filter(|line| line.contains("in-flight") && line.contains(r#""kind":"queued""#));
    let released: Vec<_> = released.map(|line| line.contains("\"message\"")).collect();
    assert_eq!(released, [false, true]);
}

#[test]
fn inspect_shows_sessions_topics_and_prefixes() {
    let folder = TempDir::new().unwrap();
    filled(folder.path(), 3);
    let (table, _) = log(&["inspect", path(folder.path()), "--top", "2"], 0);
    for part in ["3 shards, generation 1", "\nfive ", "\nthree ", "\nqueue/0 ", "\nkept ", "after 1000 s"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    assert!(!table.contains("in-flight"), "only the first two\n{table}");
    let (json, _) = log(&["inspect", path(folder.path()), "--json"], 0);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["totals"]["sessions"], 4);
    // Each has all, the two in flight wait too, and one of the group has the last.
    assert_eq!(report["totals"]["queued_messages"], 2 * (WAITING + 1) + 2 + 1);
    assert_eq!(report["totals"]["retained_messages"], 21);
    assert_eq!(report["shards"].as_array().unwrap().len(), 3);
    assert_eq!(report["retained_prefixes"][0]["topic"], "kept");
    assert_eq!(report["retained_prefixes"][0]["messages"], 20);
    let queued = |shard: &serde_json::Value| shard["records"]["queued"].as_u64().unwrap_or(0);
    let written: u64 = report["shards"].as_array().unwrap().iter().map(queued).sum();
    assert!(written >= 2 * (WAITING as u64 + 1), "{json}");
}

#[test]
fn damage_is_found_named_and_given_up() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("data");
    filled(&dir, 1);
    let (said, _) = log(&["verify", path(&dir)], 0);
    assert!(said.contains("\nsound: "), "{said}");
    let damaged = damage(&dir);
    let before = fs::read(&damaged).unwrap();

    let (said, error) = log(&["verify", path(&dir)], 7);
    assert!(said.contains(&format!("DAMAGED: {} from byte ", damaged.display())), "{said}");
    assert!(error.contains("is damaged in one place"), "{error}");
    let (_, error) = log(&["export", path(&dir)], 6);
    assert!(error.contains(&format!("{} is damaged at byte ", damaged.display())), "{error}");
    let (_, error) = log(&["inspect", path(&dir)], 6);
    assert!(error.contains("is damaged at byte "), "{error}");
    let (said, error) = log(&["repair", path(&dir)], 7);
    assert!(said.contains("DAMAGED: ") && error.contains("with --yes"), "{said}{error}");
    assert!(fs::read(&damaged).unwrap() == before, "nothing was changed");

    let (said, _) = log(&["repair", path(&dir), "--yes"], 0);
    assert!(said.contains(&format!("{}: gave up ", damaged.display())), "{said}");
    let copy = folder.path().join("data.before-repair");
    assert!(fs::read(segment(&copy, 0)).unwrap() == before);
    log(&["verify", path(&copy)], 7);
    log(&["verify", path(&dir)], 0);
    let (said, _) = log(&["repair", path(&dir)], 0);
    assert!(said.contains("nothing to repair"), "{said}");
    Broker::with(1).keep_in(&dir).start().stop();

    let (_, error) = log(&["repair", path(&copy), "--yes", "--truncate", "--no-copy"], 0);
    assert_eq!(error, "");
    log(&["verify", path(&copy)], 0);
}

#[test]
fn a_copy_of_an_earlier_repair_is_not_overwritten() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("data");
    filled(&dir, 1);
    damage(&dir);
    fs::create_dir(folder.path().join("data.before-repair")).unwrap();
    let (_, error) = log(&["repair", path(&dir), "--yes"], 6);
    assert!(error.contains("data.before-repair is there already"), "{error}");
    log(&["verify", path(&dir)], 7);
}

/// The folder may be named in a way that has no place for a name beside it.
#[test]
fn a_copy_goes_beside_the_folder_however_that_is_named() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("data");
    filled(&dir, 1);
    let copy = folder.path().join("data.before-repair");
    for (from, name) in [(dir.clone(), "."), (dir.join("generation-1"), ".."), (folder.path().into(), "data/.")] {
        damage(&dir);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringtail"));
        let output = command.args(["log", "repair", name, "--yes"]).current_dir(from).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        log(&["verify", path(&dir)], 0);
        log(&["verify", path(&copy)], 7);
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn a_lost_segment_is_missed() {
    let folder = TempDir::new().unwrap();
    let broker = Broker::with(1).keep_in(folder.path()).set("storage.segment_bytes", 1 << 20).start();
    let mut publisher = Raw::client(&broker, V5, "publisher");
    for n in 0..60 {
        publisher.publish(Publish::new(format!("kept/{n}"), vec![b'x'; 50_000]).retain());
    }
    broker.stop();
    let shard = folder.path().join("generation-1/shard-0");
    let mut segments: Vec<_> = fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    fs::remove_file(&segments[1]).unwrap();
    let (said, _) = log(&["verify", path(folder.path())], 7);
    assert!(said.contains(&format!("DAMAGED: {} is missing", segments[1].display())), "{said}");
    log(&["export", path(folder.path())], 6);
    let (said, _) = log(&["repair", path(folder.path()), "--yes", "--no-copy"], 0);
    assert!(said.contains(&format!("{} is new, without records", segments[1].display())), "{said}");
    log(&["verify", path(folder.path())], 0);
    assert!((30..60).contains(&export(folder.path()).lines().filter(|line| line.contains("retained\",")).count()));
}

#[test]
fn a_folder_that_cannot_be_used_is_said_so() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing");
    for command in ["inspect", "verify", "repair", "export"] {
        let (_, error) = log(&[command, path(&missing)], 6);
        assert!(error.contains(&format!("{} does not exist", missing.display())), "{error}");
        assert!(!missing.exists());
        let (_, error) = log(&[command, path(folder.path())], 6);
        assert!(error.contains("holds no log"), "{error}");
    }
    let dir = folder.path().join("data");
    let broker = Broker::with(2).keep_in(&dir).start();
    for command in ["inspect", "verify", "repair", "export"] {
        let (_, error) = log(&[command, path(&dir)], 6);
        assert!(error.contains("is in use by another process; stop that process"), "{error}");
    }
    let lines = folder.path().join("lines");
    fs::write(&lines, LINES).unwrap();
    let (_, error) = log(&["import", path(&dir), "--input", path(&lines), "--replace"], 6);
    assert!(error.contains("is in use"), "{error}");
    broker.stop();

    let layout = fs::read_to_string(dir.join("layout")).unwrap();
    fs::write(dir.join("layout"), layout.replace("ringtail-data 1", "ringtail-data 9")).unwrap();
    let (_, error) = log(&["verify", path(&dir)], 6);
    assert!(error.contains("has format version 9 and this program reads up to 1; run the newer program"), "{error}");
    fs::write(dir.join("layout"), layout.replace("shards 2", "shards 3")).unwrap();
    let (_, error) = log(&["verify", path(&dir)], 7);
    assert!(error.contains("layout is damaged at byte 0"), "{error}");
    fs::write(dir.join("layout"), layout).unwrap();
    fs::rename(dir.join("generation-1/shard-1"), folder.path().join("elsewhere")).unwrap();
    let (_, error) = log(&["verify", path(&dir)], 7);
    assert!(error.contains("shard-1 is missing"), "{error}");
}

/// An export of one session with two messages, and of a retained message.
const LINES: &str = r#"{"kind":"ringtail_export","version":1,"program":"0.1.0"}
{"kind":"session","client_id":"c","protocol":"5.0","session_expiry_s":100,"subscriptions":[{"filter":"a/#","qos":1,"no_local":false,"retain_as_published":false,"retain_handling":0,"subscription_id":5}]}
{"kind":"queued","client_id":"c","sequence":1,"qos":1,"retain":false,"packet_id":1,"subscription_ids":[5],"message":{"topic":"a/b","qos":1,"retain":false,"payload":"first"}}
{"kind":"queued","client_id":"c","sequence":2,"qos":1,"retain":false,"subscription_ids":[5],"message":{"topic":"a/b","qos":1,"retain":false,"payload":"second"}}
{"kind":"retained","topic":"r","qos":1,"retain":true,"payload":"kept"}
{"kind":"end","sessions":1,"queued":2,"retained":1}
"#;

#[test]
fn lines_written_by_hand_are_taken() {
    let folder = TempDir::new().unwrap();
    let (dir, lines) = (folder.path().join("data"), folder.path().join("lines"));
    fs::write(&lines, LINES).unwrap();
    log(&["import", path(&dir), "--input", path(&lines), "--shards", "3"], 0);
    assert_eq!(export(&dir), LINES.replace("0.1.0", env!("CARGO_PKG_VERSION")));
    let broker = Broker::with(3).keep_in(&dir).start();
    let mut client = Raw::open(&broker, V5);
    client.send(Connect::lasting(V5, "c").bytes());
    assert_eq!(client.expect(CONNACK).body[0], 1);
    let first = client.message();
    assert_eq!((&first.payload[..], first.duplicate, first.packet_id), (&b"first"[..], true, 1));
    assert_eq!(client.message().payload, b"second");
}

#[test]
fn a_folder_that_is_not_empty_is_replaced_only_when_told_to() {
    let folder = TempDir::new().unwrap();
    let (dir, lines) = (folder.path().join("data"), folder.path().join("lines"));
    filled(&dir, 2);
    fs::write(&lines, LINES).unwrap();
    let before = export(&dir);
    let (_, error) = log(&["import", path(&dir), "--input", path(&lines)], 6);
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(export(&dir), before);
    log(&["import", path(&dir), "--input", path(&lines), "--replace"], 0);
    assert_eq!(export(&dir).lines().count(), LINES.lines().count());
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_written() {
    let folder = TempDir::new().unwrap();
    let (dir, file) = (folder.path().join("data"), folder.path().join("lines"));
    let rows = [
        ("\"version\":1", "\"version\":2", 1, "it has format version 2 and this program reads up to 1"),
        ("ringtail_export", "session", 1, "unknown field `version`"),
        ("\"client_id\":\"c\",\"protocol\"", "\"client_id\":\"\",\"protocol\"", 2, "client_id is empty"),
        ("\"protocol\":\"5.0\"", "\"protocol\":\"6.0\"", 2, "unknown variant `6.0`"),
        ("\"filter\":\"a/#\"", "\"filter\":\"a#\"", 2, "a#: "),
        ("\"subscription_id\":5", "\"subscription_id\":0", 2, "a Subscription Identifier is not from 1"),
        ("\"sequence\":1", "\"sequence\":2", 4, "sequence must grow"),
        ("\"client_id\":\"c\",\"sequence\":1", "\"client_id\":\"d\",\"sequence\":1", 3, "there is no session d"),
        ("\"packet_id\":1", "\"packet_id\":0", 3, "invalid value"),
        (
            "\"qos\":1,\"retain\":false,\"packet_id\"",
            "\"qos\":3,\"retain\":false,\"packet_id\"",
            3,
            "qos is not from 0",
        ),
        (
            "\"topic\":\"a/b\",\"qos\":1,\"retain\":false,\"payload\":\"first\"",
            "\"topic\":\"a/+\",\"qos\":1,\"retain\":false,\"payload\":\"first\"",
            3,
            "a/+: ",
        ),
        ("\"payload\":\"second\"", "\"payload_base64\":\"?\"", 4, "payload_base64 is no base64"),
        (
            "\"payload\":\"second\"",
            "\"properties_base64\":\"AAAA\"",
            4,
            "properties_base64 or the message as a whole is nothing",
        ),
        (
            "\"payload\":\"second\"",
            "\"payload\":\"x\",\"payload_base64\":\"AAAA\"",
            4,
            "payload and payload_base64 exclude each other",
        ),
        ("\"payload\":\"kept\"", "\"payload\":\"\"", 5, "a retained message without payload"),
        ("\"payload\":\"kept\"", "\"payloud\":\"kept\"", 5, "unknown field `payloud`"),
        ("\"kind\":\"retained\"", "\"kind\":\"retain\"", 5, "unknown variant `retain`"),
        ("\"queued\":2", "\"queued\":3", 6, "the end does not count the lines"),
        ("{\"kind\":\"end\",\"sessions\":1,\"queued\":2,\"retained\":1}\n", "", 6, "the end is missing"),
        ("\"retained\":1}\n", "\"retained\":1}\n{}\n", 7, "missing field `kind`"),
    ];
    for (from, to, line, sentence) in rows {
        let lines = LINES.replacen(from, to, 1);
        assert!(lines != LINES, "{from}");
        fs::write(&file, lines).unwrap();
        let (_, error) = log(&["import", path(&dir), "--input", path(&file)], 1);
        let wanted = format!("ringtail: {}, line {line}: {sentence}", file.display());
        assert!(error.starts_with(&wanted), "wanted: {wanted}\nsaid: {error}");
        assert!(!dir.exists());
    }
}
