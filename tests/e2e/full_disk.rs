//! A disk that has no room left while the broker runs, as an operator meets it: a small file system in namespaces of its own,
//! and a file beside the log that takes its room. Where the machine does not let a user have such namespaces, the cases say so.

use crate::broker::{Broker, Setup};
use crate::on_shards;
use crate::raw::*;
use crate::storage_limits::*;
use Version::{V5, V311};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;

const DISK_BYTES: u64 = 48 << 20;
const SERVER_UNAVAILABLE_311: u8 = 3;

/// A file system of [`DISK_BYTES`], as long as this lives.
struct SmallDisk {
    /// Holds the namespaces open until its standard input is closed.
    holder: Child,
    stdin: Option<ChildStdin>,
    folder: TempDir,
    /// It is in a namespace of users as well.
    has_users: bool,
}

impl SmallDisk {
    /// `None`, and a word why, where the machine gives nobody a file system of its own.
    fn mount(shards: usize) -> Option<Self> {
        let as_root = Self::mount_in(&["--mount"]);
        let mounted = as_root.or_else(|_| Self::mount_in(&["--user", "--map-root-user", "--mount"]));
        match mounted {
            // A namespace of users takes away the leave to lock memory, which the rings of several shards need.
            Ok(disk) if disk.has_users && shards > 1 => println!("not tested: several shards need root's leave"),
            Ok(disk) => return Some(disk),
            Err(why) => println!("not tested: no file system of its own: {why}"),
        }
        None
    }

    fn mount_in(namespaces: &[&str]) -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        let script = "mount -t tmpfs -o size=$0 ringtail-test \"$1\" && echo mounted && exec cat";
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["sh", "-c", script, &DISK_BYTES.to_string()]).arg(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let stdin = holder.stdin.take();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "mounted\n" {
            drop(stdin);
            return Err(String::from_utf8_lossy(&holder.wait_with_output().unwrap().stderr).into_owned());
        }
        Ok(Self { holder, stdin, folder, has_users: namespaces.contains(&"--user") })
    }

    fn broker(&self, shards: usize) -> Setup {
        let target = self.holder.id().to_string();
        let users = if self.has_users { &["--user", "--preserve-credentials"][..] } else { &[] };
        let enter: Vec<&str> = ["nsenter", "--target", &target, "--mount"].iter().chain(users).copied().collect();
        Broker::with(shards)
            .within(&enter)
            .keep_in(self.folder.path())
            .set("storage.segment_bytes", 1 << 20)
            .set("mqtt.queue_bytes_max", 1 << 30)
    }

    /// The file that takes room, as this process reaches it.
    fn ballast(&self) -> PathBuf {
        let folder = self.folder.path().strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(folder).join("ballast")
    }

    /// Takes all room but `bytes`.
    fn take_all_but(&self, bytes: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        let piece = vec![1; 64 << 10];
        while file.write_all(&piece).is_ok() {}
        let taken = file.metadata().unwrap().len();
        file.set_len(taken.checked_sub(bytes).unwrap()).unwrap();
    }

    fn give_all_back(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.holder.wait();
    }
}

/// The code that a CONNECT of a durable session is refused with. The full shard is one of several: some clients are let in.
fn connect_refused(broker: &Broker, version: Version) -> u8 {
    for n in 0..100 {
        let mut client = Raw::open(broker, version);
        client.send(Connect::lasting(version, &format!("late-{n}")).bytes());
        let connack = client.next().unwrap();
        assert_eq!(connack.kind, CONNACK);
        if connack.body[1] != 0 {
            return connack.body[1];
        }
    }
    panic!("a hundred sessions were kept on a disk that is full");
}

on_shards! {
    fn a_full_disk_refuses_and_recovers(shards) {
        let Some(disk) = SmallDisk::mount(shards) else { return };
        let broker = disk.broker(shards).start();
        sleeper(&broker, "sleeper", "queue");
        disk.take_all_but(2 << 20);
        let kept = fill(&mut Raw::client(&broker, V5, "publisher"), "queue");
        assert!(!kept.is_empty());

        assert_eq!(connect_refused(&broker, V5), QUOTA_EXCEEDED);
        assert_eq!(connect_refused(&broker, V311), SERVER_UNAVAILABLE_311);
        let mut old = Raw::client(&broker, V311, "old");
        old.send(Publish::new("queue", payload(0)).qos(1, 1).bytes(V311));
        assert_eq!(old.until_closed(), [], "3.1.1 has no way to say why");
        let mut reader = Raw::client(&broker, V5, "reader");
        reader.subscribe("live", 1);
        assert_eq!(Raw::client(&broker, V5, "live").publish(Publish::new("live", "on")), 0);
        assert_eq!(reader.message().payload, b"on");

        // A broker starts on a full disk, with all that was acknowledged.
        broker.kill();
        let broker = disk.broker(shards).start();
        let again = fill(&mut Raw::client(&broker, V5, "publisher"), "queue");
        disk.give_all_back();
        publish_until_taken(&broker, &Publish::new("queue", payload(1_000)));
        let due: Vec<usize> = kept.into_iter().chain(again).chain([1_000]).collect();
        let (_client, numbers) = drain(&broker, "sleeper", due.len());
        assert_eq!(numbers, due);
    }
}
