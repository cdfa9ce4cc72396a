//! A sequence as it runs: the broker, the clients' connections, the model, and what was done so far.

use crate::client::find;
use crate::link::{Event, Link};
use crate::model::Model;
use crate::place::Place;
use crate::random::Random;
use crate::raw::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Clients that do what chance tells them; one more watches for wills, and another's will tells the time.
pub(crate) const CLIENTS: usize = 5;
pub(crate) const WATCH: usize = CLIENTS;
pub(crate) const CLOCK: usize = CLIENTS + 1;
const ALL: usize = CLIENTS + 2;

/// Sequences of which one lets time pass, which takes seconds.
const PATIENT: u64 = 4;

/// Only a broker that hangs, or owes something, meets it.
const DEADLINE: Duration = Duration::from_secs(20);

/// How many of the last steps a failure tells.
const TOLD: usize = 60;

/// What one client is like through the whole sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// It acknowledges late, and keeps its version and its Receive Maximum.
    pub(crate) holds: bool,
    pub(crate) version: Version,
    pub(crate) receive_maximum: u16,
}

/// A client's connection.
pub(crate) struct Connection {
    pub(crate) link: Link,
    pub(crate) version: Version,
    /// Its end is no surprise.
    pub(crate) is_ending: bool,
    /// Packets that answer the client.
    answers: VecDeque<Packet>,
    /// Topic aliases that the broker has set.
    aliases: BTreeMap<u16, Vec<u8>>,
    /// Topic aliases that the client has set.
    pub(crate) own_aliases: BTreeMap<u8, String>,
}

pub(crate) struct Run<'p> {
    pub(crate) place: &'p mut Place,
    pub(crate) random: Random,
    /// Time passes now and then, and some messages are brief.
    pub(crate) is_patient: bool,
    pub(crate) model: Model,
    pub(crate) habits: Vec<Habits>,
    pub(crate) connections: Vec<Option<Connection>>,
    /// Connections that another one of the same client has ended.
    replaced: BTreeMap<u64, Connection>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    links: u64,
    pub(crate) messages: usize,
    pub(crate) next_id: u16,
    pub(crate) steps: Vec<String>,
}

impl<'p> Run<'p> {
    pub(crate) fn new(place: &'p mut Place, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut habits: Vec<Habits> = (0..CLIENTS)
            .map(|_| Habits {
                holds: random.one_in(3),
                version: random.pick(&[Version::V311, Version::V5]),
                receive_maximum: random.pick(&[1, 2, 5]),
            })
            .collect();
        habits.resize(ALL, Habits { holds: false, version: Version::V5, receive_maximum: u16::MAX });
        let (sender, events) = channel();
        Self {
            place,
            random,
            is_patient: seed.is_multiple_of(PATIENT),
            model: Model::new(ALL),
            habits,
            connections: (0..ALL).map(|_| None).collect(),
            replaced: BTreeMap::new(),
            events,
            sender,
            links: 0,
            messages: 0,
            next_id: 0,
            steps: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, step: String) {
        self.steps.push(step);
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        let told = &self.steps[self.steps.len().saturating_sub(TOLD)..];
        panic!("{why}\nafter {} steps, the last of them:\n  {}\n{:?}", self.steps.len(), told.join("\n  "), self.habits)
    }

    pub(crate) fn connection(&mut self, client: usize) -> &mut Connection {
        self.connections[client].as_mut().expect("the client is connected")
    }

    pub(crate) fn version(&mut self, client: usize) -> Version {
        self.connection(client).version
    }

    pub(crate) fn is_v5(&mut self, client: usize) -> bool {
        self.version(client) == Version::V5
    }

    pub(crate) fn send(&mut self, client: usize, bytes: &[u8]) {
        self.connection(client).link.send(bytes);
    }

    /// Opens a connection for a client; the one that it had is replaced.
    pub(crate) fn open(&mut self, client: usize, version: Version) {
        self.links += 1;
        let link = Link::open(self.place.address(), client, self.links, self.sender.clone());
        let connection = Connection {
            link,
            version,
            is_ending: false,
            answers: VecDeque::new(),
            aliases: BTreeMap::new(),
            own_aliases: BTreeMap::new(),
        };
        if let Some(replaced) = self.connections[client].replace(connection) {
            self.replaced.insert(replaced.link.number, replaced);
        }
    }

    /// Handles what comes until the condition holds.
    pub(crate) fn wait(&mut self, what: &str, is_met: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_met(self) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(_) => self.fail(&format!("waited in vain for {what}; owed: {:#?}", self.model.owed())),
            }
        }
    }

    /// Waits until everything has come that is due.
    pub(crate) fn settle(&mut self) {
        self.wait("what is due", |run| run.model.is_settled() && run.replaced.is_empty());
    }

    /// The next answer to a client, which must be of a type.
    pub(crate) fn answer(&mut self, client: usize, kind: u8) -> Packet {
        self.wait(&format!("an answer of type {kind} to client {client}"), |run| {
            run.connections[client].as_ref().is_none_or(|connection| !connection.answers.is_empty())
        });
        match self.connections[client].as_mut().and_then(|connection| connection.answers.pop_front()) {
            Some(packet) if packet.kind == kind => packet,
            other => self.fail(&format!("an answer of type {kind} was due to client {client}: {other:?}")),
        }
    }

    /// The next acknowledgement to a client: of a type, for a packet identifier; returns its reason.
    pub(crate) fn acknowledgement(&mut self, client: usize, kind: u8, packet_id: u16) -> u8 {
        let packet = self.answer(client, kind);
        if packet.body[..2] != packet_id.to_be_bytes() {
            self.fail(&format!("client {client}: {packet_id} was to be acknowledged, not {packet:?}"));
        }
        packet.reason()
    }

    /// Waits until the broker has closed a client's connection; returns the reason that it gave.
    pub(crate) fn ended(&mut self, client: usize) -> Option<u8> {
        self.connection(client).is_ending = true;
        self.wait(&format!("the end of client {client}"), |run| {
            run.connections[client].as_ref().is_some_and(|connection| connection.link.number == 0)
        });
        let last = self.connections[client].take().and_then(|mut connection| connection.answers.pop_back());
        last.filter(|packet| packet.kind == DISCONNECT).map(|packet| packet.reason())
    }

    fn take(&mut self, event: Event) {
        let Event { client, link, packet } = event;
        if let Some(replaced) = self.replaced.get(&link) {
            match packet {
                Some(packet) if packet.kind == DISCONNECT && packet.reason() == 0x8E => {}
                None => drop(self.replaced.remove(&link)),
                packet => {
                    self.fail(&format!("client {client} ({:?}), taken over, was sent {packet:?}", replaced.version))
                }
            }
            return;
        }
        let Some(connection) = self.connections[client].as_mut().filter(|connection| connection.link.number == link)
        else {
            return; // of a connection that was given up
        };
        match packet {
            None if connection.is_ending => connection.link.number = 0,
            None => {
                let last = format!("{:?}", connection.answers);
                self.fail(&format!("client {client}: the broker closed the connection: {last}"))
            }
            Some(packet) if packet.kind == PUBLISH => self.take_publish(client, &packet),
            Some(packet) if packet.kind == PUBREL => {
                let packet_id = u16::from_be_bytes([packet.body[0], packet.body[1]]);
                if let Err(why) = self.model.take_pubrel(client, packet_id) {
                    self.fail(&format!("client {client}: {packet:?}: {why}"));
                }
                self.acknowledge_at_once(client, packet_id);
            }
            Some(packet) => connection.answers.push_back(packet),
        }
    }

    fn take_publish(&mut self, client: usize, packet: &Packet) {
        let connection = self.connection(client);
        let mut publish = Publish::parse(connection.version, packet);
        if let Some(alias) = find(&publish.taken_apart(), 0x23) {
            let alias = u16::from_be_bytes([alias[0], alias[1]]);
            if publish.topic.is_empty() {
                publish.topic = connection.aliases.get(&alias).cloned().unwrap_or_default();
            } else {
                connection.aliases.insert(alias, publish.topic.clone());
            }
        }
        if let Err(why) = self.model.take(client, &publish) {
            publish.payload.truncate(40);
            let session = &self.model.sessions[client];
            self.fail(&format!("client {client} was sent {publish:?}: {why}; {session:#?}"));
        }
        if publish.qos > 0 {
            self.acknowledge_at_once(client, publish.packet_id);
        }
    }

    fn acknowledge_at_once(&mut self, client: usize, packet_id: u16) {
        if !self.habits[client].holds {
            self.acknowledge(client, packet_id);
        }
    }

    /// A client takes the next step of an exchange.
    pub(crate) fn acknowledge(&mut self, client: usize, packet_id: u16) {
        if let Some(kind) = self.model.answer(client, packet_id) {
            self.send(client, &packet_of_id(kind, 0, packet_id));
        }
    }

    /// Returns when the broker has handled everything that a client has sent.
    pub(crate) fn ping(&mut self, client: usize) {
        self.send(client, &packet(PINGREQ, 0, &[]));
        self.answer(client, PINGRESP);
    }

    /// Everything that is on its way arrives, so that what must not come is found out.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..2 {
            let connected: Vec<usize> = (0..=CLIENTS).filter(|client| self.connections[*client].is_some()).collect();
            for client in &connected {
                self.send(*client, &packet(PINGREQ, 0, &[]));
            }
            for client in connected {
                self.answer(client, PINGRESP);
            }
        }
    }
}
