//! The journal against a model: whatever happens to sessions and retained messages, what a commit covered comes back, and
//! nothing else, also when the log has been cleaned in between.

use super::state::Holder;
use super::{Attempt, Exchange, Journal, LogDisk, Restored, SavedRetained};
use crate::config::{Storage, Sync};
use crate::routing::{OptionBits, Retained};
use crate::wire::{Bell, Wire, WireConfig};
use proptest::collection::vec;
use proptest::prelude::*;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::{PacketId, ProtocolVersion, QoS, SubscriptionOptions};
use ringtail_mqtt::session::{DeliverOptions, Progress};
use ringtail_mqtt::time::Millis;
use ringtail_storage::CrashDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const SESSIONS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    End(usize),
    Subscribe(usize, u8, u8),
    Unsubscribe(usize, u8),
    Publish(u8, bool, u16),
    Sent(usize),
    Released(usize, usize),
    Done(usize, usize),
    Held(usize, u16),
    HeldDone(usize, u16),
    Taken(u16, u64, bool, u64),
    Forget(u16),
    Retain(u8, u16),
    Clear(u8),
    Commit,
    Clean,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0..SESSIONS;
    prop_oneof![
        2 => session.clone().prop_map(Step::Open),
        1 => session.clone().prop_map(Step::End),
        2 => (session.clone(), 0..4u8, 0..3u8).prop_map(|(s, f, q)| Step::Subscribe(s, f, q)),
        1 => (session.clone(), 0..4u8).prop_map(|(s, f)| Step::Unsubscribe(s, f)),
        8 => (1..8u8, any::<bool>(), 0..3_000u16).prop_map(|(who, two, bytes)| Step::Publish(who, two, bytes)),
        6 => session.clone().prop_map(Step::Sent),
        3 => (session.clone(), 0..4usize).prop_map(|(s, n)| Step::Released(s, n)),
        5 => (session.clone(), 0..4usize).prop_map(|(s, n)| Step::Done(s, n)),
        2 => (session.clone(), 1..5u16).prop_map(|(s, id)| Step::Held(s, id)),
        2 => (session, 1..5u16).prop_map(|(s, id)| Step::HeldDone(s, id)),
        3 => (1..4u16, 0..9u64, any::<bool>(), 0..2u64).prop_map(|(id, who, dup, m)| Step::Taken(id, who, dup, m)),
        1 => (1..4u16).prop_map(Step::Forget),
        3 => (0..4u8, 1..600u16).prop_map(|(t, bytes)| Step::Retain(t, bytes)),
        1 => (0..4u8).prop_map(Step::Clear),
        4 => Just(Step::Commit),
        2 => Just(Step::Clean),
        2 => Just(Step::Reopen),
    ]
}

/// A message of a session, as the model and a restored session have it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Queued {
    sequence: u64,
    payload: Option<Vec<u8>>,
    qos: QoS,
    packet_id: Option<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    subscriptions: BTreeMap<String, u8>,
    queue: Vec<Queued>,
    inbound: BTreeSet<u16>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Vec<u8>>,
    /// By the identifier of another shard's client.
    taken: BTreeMap<u16, Taken>,
}

/// A message, and the sessions and the shared subscriptions that have it.
type Taken = (u64, BTreeSet<u64>, BTreeSet<u64>);

/// A PUBLISH of a client of another shard.
fn exchange(id: u16) -> Exchange {
    Exchange { home: 1, session: 7, packet_id: PacketId::new(id).unwrap() }
}

struct Rig {
    disk: LogDisk,
    bell: Bell,
    journal: Journal,
    retained: SavedRetained,
    keys: [u64; SESSIONS],
    sequences: [u64; SESSIONS],
    ids: [u16; SESSIONS],
    kept: Kept,
    published: u64,
}

fn options(qos: u8) -> SubscriptionOptions {
    SubscriptionOptions {
        maximum_qos: [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)],
        ..Default::default()
    }
}

fn message(topic_name: &str, payload: &[u8]) -> Message {
    let (qos, retain, expires_at) = (QoS::AtLeastOnce, false, Millis::NEVER);
    MessageRef { topic_name, properties: &[], payload, qos, retain, expires_at }.into()
}

fn open(disk: &LogDisk, bell: Bell) -> (Journal, Restored) {
    let storage = Storage { sync: Sync::Always, sync_interval_ms: 1, segment_bytes: 8_192, limit_bytes: 1 << 24 };
    Journal::open(disk.clone(), storage, 1, 0, bell).unwrap()
}

impl Rig {
    fn new(bell: Bell) -> Self {
        let disk = LogDisk::Crash(CrashDisk::new(512, 1));
        let (journal, restored) = open(&disk, bell.clone());
        assert!(restored.sessions.is_empty());
        let retained = Retained::new(u64::MAX, u64::MAX);
        let (keys, sequences, ids) = ([0; SESSIONS], [0; SESSIONS], [0; SESSIONS]);
        Self { disk, bell, journal, retained, keys, sequences, ids, kept: Kept::default(), published: 0 }
    }

    fn session(&mut self, s: usize) -> Option<&mut Session> {
        self.kept.sessions.get_mut(&format!("c{s}"))
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Open(s) if self.keys[s] == 0 => {
                let client_id = format!("c{s}");
                let (version, expiry_s) = (ProtocolVersion::V5, 60);
                let body =
                    super::SessionBody { version, expiry_s, detached_at: None, client_id: &client_id, will: None };
                let prepared = self.journal.prepare_session(&body).unwrap();
                self.keys[s] = self.journal.open_session(s as u32, prepared);
                self.kept.sessions.insert(client_id, Session::default());
            }
            Step::End(s) if self.keys[s] != 0 => {
                self.journal.end_session(std::mem::take(&mut self.keys[s]));
                self.kept.sessions.remove(&format!("c{s}"));
            }
            Step::Subscribe(s, f, qos) if self.keys[s] != 0 => {
                let filter = format!("filter/{f}");
                self.journal.subscribe(self.keys[s], &filter, OptionBits::from(options(qos)), 0).unwrap();
                self.session(s).unwrap().subscriptions.insert(filter, qos);
            }
            Step::Unsubscribe(s, f) if self.keys[s] != 0 => {
                let filter = format!("filter/{f}");
                self.journal.unsubscribe(self.keys[s], &filter);
                self.session(s).unwrap().subscriptions.remove(&filter);
            }
            Step::Publish(who, two, bytes) => self.publish(who, two, bytes),
            Step::Sent(s) => self.sent(s),
            Step::Released(s, n) => self.released(s, n),
            Step::Done(s, n) => {
                let key = self.keys[s];
                let Some(session) = self.session(s).filter(|session| n < session.queue.len()) else { return };
                let sequence = session.queue.remove(n).sequence;
                let _ = self.journal.progress(key, Progress::Done { sequence });
            }
            Step::Held(s, id) if self.keys[s] != 0 && self.session(s).unwrap().inbound.insert(id) => {
                self.journal.hold_inbound(self.keys[s], PacketId::new(id).unwrap()).unwrap();
            }
            Step::HeldDone(s, id) if self.keys[s] != 0 && self.session(s).unwrap().inbound.remove(&id) => {
                let packet_id = PacketId::new(id).unwrap();
                let _ = self.journal.progress(self.keys[s], Progress::InboundDone { packet_id });
            }
            Step::Taken(id, who, dup, message) => self.taken(id, who, dup, message),
            Step::Forget(id) => {
                self.journal.forget_taken(&exchange(id));
                self.kept.taken.remove(&id);
            }
            Step::Retain(t, bytes) => self.retain(&format!("kept/{t}"), bytes),
            Step::Clear(t) => {
                let topic = format!("kept/{t}");
                if let Some((_, note)) = self.retained.remove(&topic) {
                    self.journal.retained_gone(&topic, &note, false);
                }
                self.kept.retained.remove(&topic);
            }
            Step::Commit => self.commit(),
            Step::Clean => {
                self.commit();
                for _ in 0..8 {
                    let mut holder = Holder { state: &mut self.journal.state, retained: &mut self.retained };
                    self.journal.log.clean_slice(1 << 20, &mut holder).unwrap();
                    self.commit();
                }
            }
            Step::Reopen => {}
            _ => {}
        }
    }

    /// An attempt of another shard's client to publish reaches a session and a shared subscription, if they lack it.
    fn taken(&mut self, id: u16, who: u64, dup: bool, message: u64) {
        self.published += 1;
        self.journal.begin_publication(Some(Attempt::new(exchange(id), self.published, dup, message)));
        self.kept.taken.retain(|known, taken| *known != id || dup && taken.0 == message);
        let new = (message, BTreeSet::new(), BTreeSet::new());
        let (_, sessions, groups) = self.kept.taken.entry(id).or_insert(new);
        assert_eq!(self.journal.has_message(who), sessions.contains(&who));
        if sessions.insert(who) {
            self.journal.current.note_delivered(who);
        }
        assert_eq!(self.journal.group_has_message(|| who), groups.contains(&who));
        if groups.insert(who) {
            self.journal.deliver_to_group(Some(who));
            self.journal.current.note_delivered(who);
            self.journal.deliver_to_group(None);
        }
        self.journal.note_taken();
        self.journal.end_attempt();
    }

    fn payload(&mut self, bytes: u16) -> Vec<u8> {
        self.published += 1;
        let mut payload = vec![b'.'; usize::from(bytes)];
        payload.extend(self.published.to_be_bytes());
        payload
    }

    fn publish(&mut self, who: u8, two: bool, bytes: u16) {
        let payload = self.payload(bytes);
        let shared = Rc::new(message("topic", &payload));
        let qos = if two { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        self.journal.begin_publication(None);
        for s in (0..SESSIONS).filter(|s| who >> s & 1 == 1) {
            if self.keys[s] == 0 {
                continue;
            }
            let options = DeliverOptions { qos, retain: false, subscription_ids: &[7][..usize::from(two)] };
            let reserved = self.journal.admit(&shared, &options).unwrap();
            self.sequences[s] += 1;
            let sequence = self.sequences[s];
            self.journal.queued(self.keys[s], sequence, &options, reserved);
            let queued = Queued { sequence, payload: Some(payload.clone()), qos, packet_id: None };
            self.session(s).unwrap().queue.push(queued);
        }
        self.journal.end_message();
    }

    fn sent(&mut self, s: usize) {
        let (key, id) = (self.keys[s], self.ids[s] + 1);
        let Some(session) = self.session(s) else { return };
        let Some(queued) = session.queue.iter_mut().find(|queued| queued.packet_id.is_none()) else { return };
        queued.packet_id = Some(id);
        let (sequence, packet_id) = (queued.sequence, PacketId::new(id).unwrap());
        self.ids[s] = id;
        let _ = self.journal.progress(key, Progress::Sent { sequence, packet_id });
    }

    fn released(&mut self, s: usize, n: usize) {
        let key = self.keys[s];
        let Some(queued) = self.session(s).and_then(|session| session.queue.get_mut(n)) else { return };
        if queued.qos != QoS::ExactlyOnce || queued.packet_id.is_none() || queued.payload.take().is_none() {
            return;
        }
        let sequence = queued.sequence;
        let _ = self.journal.progress(key, Progress::Released { sequence });
    }

    fn retain(&mut self, topic: &str, bytes: u16) {
        let payload = self.payload(bytes);
        let message = message(topic, &payload);
        let reserved = self.journal.admit_retained(&message, &mut self.retained).unwrap();
        let note = self.retained.set(Rc::new(message)).unwrap();
        self.journal.retained(topic, note, reserved);
        self.kept.retained.insert(topic.to_owned(), payload);
    }

    fn commit(&mut self) {
        self.journal.write_pending(Some(&mut self.retained));
        assert!(self.journal.pending.is_empty(), "the log takes what it set room aside for");
        self.journal.log.sync_now().unwrap();
        while let Some(job) = self.journal.log.take_job() {
            self.journal.log.finish_job(job.run()).unwrap();
        }
    }

    /// As a loss of power after a commit leaves it: the log is not closed, and nothing is there but what was synced.
    fn reopen(self) -> Self {
        let Self { disk, bell, journal, keys: _, sequences, ids, kept, published, .. } = self;
        drop(journal);
        let LogDisk::Crash(disk) = disk else { unreachable!("it was made so") };
        let disk = LogDisk::Crash(disk.crash(&mut |_| 0));
        let (journal, restored) = open(&disk, bell.clone());
        assert_eq!(Kept { taken: shown_taken(&journal), ..shown(&restored) }, kept);
        let mut keys = [0; SESSIONS];
        for (key, session) in &restored.sessions {
            keys[usize::from(session.client_id.as_bytes()[1] - b'0')] = *key;
        }
        let mut retained: SavedRetained = Retained::new(u64::MAX, u64::MAX);
        for (message, at) in restored.retained {
            retained.set(message).unwrap().restore(at);
        }
        Self { disk, bell, journal, retained, keys, sequences, ids, kept, published }
    }
}

fn shown_taken(journal: &Journal) -> BTreeMap<u16, Taken> {
    let taken = journal.state.taken.iter();
    let shown = taken.map(|(exchange, taken)| {
        assert!(taken.sessions.is_sorted_by(|a, b| a < b), "each stands once");
        let (sessions, groups) = (taken.sessions.iter().copied(), taken.groups.iter().copied());
        (exchange.packet_id.get(), (taken.message, sessions.collect(), groups.collect()))
    });
    shown.collect()
}

fn shown(restored: &Restored) -> Kept {
    let mut kept = Kept::default();
    for (_, session) in &restored.sessions {
        let mut shown = Session::default();
        for subscription in &session.subscriptions {
            shown.subscriptions.insert(subscription.filter.to_string(), subscription.options.maximum_qos as u8);
        }
        let mut queue: Vec<_> = session.messages.iter().collect();
        queue.sort_by_key(|message| message.sequence);
        shown.queue.extend(queue.into_iter().map(|message| Queued {
            sequence: message.sequence,
            payload: message.message.as_ref().map(|message| message.payload().to_vec()),
            qos: message.qos,
            packet_id: message.packet_id.map(PacketId::get),
        }));
        shown.inbound.extend(session.inbound.iter().map(|id| id.get()));
        kept.sessions.insert(session.client_id.to_string(), shown);
    }
    for (message, _) in &restored.retained {
        kept.retained.insert(message.topic_name().to_owned(), message.payload().to_vec());
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_comes_back(steps in vec(step(), 1..400)) {
        let wire = Wire::new(&WireConfig { slots: 1, receive_buffers: 2, ..WireConfig::default() }).unwrap();
        let mut rig = Rig::new(wire.bell());
        for step in &steps {
            rig.take(step);
            if matches!(step, Step::Reopen) {
                rig.commit();
                rig = rig.reopen();
            }
        }
        rig.commit();
        rig.reopen();
    }
}
