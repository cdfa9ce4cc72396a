//! `ringtail log inspect`: what a data folder holds, by shard, session and topic.

use super::arguments::Inspect;
use super::error::LogError;
use super::table::write_table;
use super::{open, shard_dirs};
use crate::exit::Failure;
use ringtail_mqtt::message::Message;
use ringtail_shards::journal::{Contents, KeptSession, kind_name, read_shard};
use ringtail_storage::{Access, Disk, Layout, tools};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A Session Expiry Interval that never ends (5.0, 3.1.2.11.2).
const NEVER_S: u32 = u32::MAX;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    folder: PathBuf,
    generation: u32,
    shards: Vec<ShardReport>,
    totals: Totals,
    /// Those with the most queued messages first, as are the topics; the retained prefixes by their messages.
    sessions: Vec<SessionReport>,
    queued_topics: Vec<TopicReport>,
    retained_prefixes: Vec<TopicReport>,
}

#[derive(Serialize)]
struct ShardReport {
    shard: usize,
    segments: usize,
    bytes: u64,
    used_bytes: u64,
    records: BTreeMap<&'static str, u64>,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Totals {
    sessions: usize,
    /// Of those, the ones that were connected when the broker ended.
    connected: usize,
    subscriptions: usize,
    queued_messages: usize,
    queued_bytes: u64,
    retained_messages: usize,
    retained_bytes: u64,
}

#[derive(Serialize)]
struct SessionReport {
    client_id: Box<str>,
    connected: bool,
    detached_at_ms: Option<u64>,
    session_expiry_s: u32,
    subscriptions: usize,
    queued_messages: usize,
    queued_bytes: u64,
}

#[derive(Serialize)]
struct TopicReport {
    topic: Box<str>,
    messages: usize,
    bytes: u64,
}

pub(super) fn inspect(options: &Inspect) -> Result<(), Failure> {
    let (folder, layout) = open(&options.folder.dir, Access::Read)?;
    let dirs = shard_dirs(&folder, layout);
    let report = Report::of(&options.folder.dir, layout, &dirs, options.top)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if options.json {
        serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(out.flush()?)
}

impl Report {
    fn of(dir: &Path, layout: Layout, dirs: &[PathBuf], top: usize) -> Result<Self, LogError> {
        let mut report = Self {
            folder: dir.to_owned(),
            generation: layout.generation,
            shards: Vec::new(),
            totals: Totals::default(),
            sessions: Vec::new(),
            queued_topics: Vec::new(),
            retained_prefixes: Vec::new(),
        };
        let (mut topics, mut prefixes) = (Counted::default(), Counted::default());
        for (shard, dir) in dirs.iter().enumerate() {
            let contents = read_shard(dir)?;
            let shard = ShardReport::of(shard, dir, &contents)?;
            report.totals.add(&shard.totals);
            report.shards.push(shard);
            for message in contents.sessions.iter().flat_map(|session| &session.messages) {
                message.message.iter().for_each(|message| topics.add(message.topic_name(), bytes(message)));
            }
            for message in &contents.retained {
                prefixes.add(prefix(message.topic_name()), bytes(message));
            }
            report.sessions.extend(contents.sessions.iter().map(SessionReport::of));
            // Only so many are named: those of the other shards must not be held for it.
            report.sessions.sort_by(|a, b| (b.queued_messages, &a.client_id).cmp(&(a.queued_messages, &b.client_id)));
            report.sessions.truncate(top);
        }
        report.queued_topics = topics.most(top);
        report.retained_prefixes = prefixes.most(top);
        Ok(report)
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Totals { sessions, connected, .. } = self.totals;
        writeln!(out, "{}: {} shards, generation {}", self.folder.display(), self.shards.len(), self.generation)?;
        writeln!(out, "{sessions} sessions, {connected} of them connected when the broker ended")?;
        let shards = self.shards.iter().map(ShardReport::row);
        write_table(out, ["shard", "segments", "bytes", "used", "sessions", "queued", "retained"], shards)?;
        let mut records = BTreeMap::new();
        for (kind, count) in self.shards.iter().flat_map(|shard| &shard.records) {
            *records.entry(*kind).or_insert(0) += count;
        }
        let records = records.into_iter().map(|(kind, count): (&str, u64)| [kind.to_owned(), count.to_string()]);
        write_table(out, ["kind of record", "records"], records)?;
        let sessions = self.sessions.iter().map(SessionReport::row);
        write_table(out, ["session", "state", "expires", "subscriptions", "queued", "bytes"], sessions)?;
        write_table(
            out,
            ["topic of queued messages", "messages", "bytes"],
            self.queued_topics.iter().map(TopicReport::row),
        )?;
        let prefixes = self.retained_prefixes.iter().map(TopicReport::row);
        write_table(out, ["retained messages below", "messages", "bytes"], prefixes)
    }
}

impl ShardReport {
    fn of(shard: usize, dir: &Path, contents: &Contents) -> Result<Self, LogError> {
        let disk = Disk::open(dir, Access::Read)?;
        let mut records = BTreeMap::new();
        let verdict = tools::verify(&disk, |record| {
            *records.entry(kind_name(&record).unwrap_or("unknown")).or_insert(0) += 1;
        })?;
        Ok(Self {
            shard,
            segments: verdict.segments.len(),
            bytes: verdict.segments.iter().map(|segment| segment.bytes).sum(),
            used_bytes: verdict.segments.iter().map(|segment| segment.used_bytes).sum(),
            records,
            totals: Totals::of(contents),
        })
    }

    fn row(&self) -> [String; 7] {
        let Totals { sessions, queued_messages, retained_messages, .. } = self.totals;
        [
            self.shard.to_string(),
            self.segments.to_string(),
            self.bytes.to_string(),
            self.used_bytes.to_string(),
            sessions.to_string(),
            queued_messages.to_string(),
            retained_messages.to_string(),
        ]
    }
}

impl Totals {
    fn of(contents: &Contents) -> Self {
        let Contents { sessions, retained } = contents;
        Self {
            sessions: sessions.len(),
            connected: sessions.iter().filter(|session| session.detached_at.is_none()).count(),
            subscriptions: sessions.iter().map(|session| session.subscriptions.len()).sum(),
            queued_messages: sessions.iter().map(|session| session.messages.len()).sum(),
            queued_bytes: sessions.iter().map(queued_bytes).sum(),
            retained_messages: retained.len(),
            retained_bytes: retained.iter().map(|message| bytes(message)).sum(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.connected += other.connected;
        self.subscriptions += other.subscriptions;
        self.queued_messages += other.queued_messages;
        self.queued_bytes += other.queued_bytes;
        self.retained_messages += other.retained_messages;
        self.retained_bytes += other.retained_bytes;
    }
}

impl SessionReport {
    fn of(session: &KeptSession) -> Self {
        Self {
            client_id: session.client_id.clone(),
            connected: session.detached_at.is_none(),
            detached_at_ms: session.detached_at.map(|at| at.0),
            session_expiry_s: session.expiry_s,
            subscriptions: session.subscriptions.len(),
            queued_messages: session.messages.len(),
            queued_bytes: queued_bytes(session),
        }
    }

    fn row(&self) -> [String; 6] {
        let expires = match self.session_expiry_s {
            NEVER_S => "never".to_owned(),
            seconds => format!("after {seconds} s"),
        };
        [
            self.client_id.to_string(),
            if self.connected { "connected" } else { "detached" }.to_owned(),
            expires,
            self.subscriptions.to_string(),
            self.queued_messages.to_string(),
            self.queued_bytes.to_string(),
        ]
    }
}

impl TopicReport {
    fn row(&self) -> [String; 3] {
        [self.topic.to_string(), self.messages.to_string(), self.bytes.to_string()]
    }
}

/// Messages and bytes by topic.
#[derive(Default)]
struct Counted(HashMap<Box<str>, (usize, u64)>);

impl Counted {
    fn add(&mut self, topic: &str, bytes: u64) {
        let (messages, sum) = match self.0.get_mut(topic) {
            Some(known) => known,
            None => self.0.entry(topic.into()).or_default(),
        };
        *messages += 1;
        *sum += bytes;
    }

    fn most(self, top: usize) -> Vec<TopicReport> {
        let all = self.0.into_iter();
        let mut all: Vec<_> = all.map(|(topic, (messages, bytes))| TopicReport { topic, messages, bytes }).collect();
        all.sort_unstable_by(|a, b| (Reverse(a.messages), &a.topic).cmp(&(Reverse(b.messages), &b.topic)));
        all.truncate(top);
        all
    }
}

/// The first level of a topic.
fn prefix(topic_name: &str) -> &str {
    topic_name.split_once('/').map_or(topic_name, |(first, _)| first)
}

fn bytes(message: &Message) -> u64 {
    (message.topic_name().len() + message.properties().len() + message.payload().len()) as u64
}

fn queued_bytes(session: &KeptSession) -> u64 {
    session.messages.iter().filter_map(|message| message.message.as_deref()).map(bytes).sum()
}
