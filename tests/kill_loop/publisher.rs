//! A publisher with a session that lasts: it numbers its messages, and keeps each until the broker has answered for it.

use crate::broker::Broker;
use crate::raw::*;
use std::collections::VecDeque;

/// Messages that wait for their acknowledgement.
const WINDOW: usize = 16;
/// The topic of the message after which nothing comes.
pub(crate) const END: &str = "load/end";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// PUBLISH was sent.
    Published,
    /// PUBREC came, PUBREL was sent.
    Released,
}

pub(crate) struct Publisher {
    client_id: String,
    pub(crate) topic: String,
    pub(crate) qos: u8,
    version: Version,
    next: u64,
    open: VecDeque<(u64, Stage)>,
}

impl Publisher {
    pub(crate) fn new(number: usize, qos: u8, version: Version) -> Self {
        Self {
            client_id: format!("publisher-{number}"),
            topic: format!("load/{number}"),
            qos,
            version,
            next: 0,
            open: VecDeque::new(),
        }
    }

    pub(crate) fn introduce(&mut self, broker: &Broker) {
        Raw::connect(broker, &Connect::lasting(self.version, &self.client_id));
    }

    /// Messages 0 to this are acknowledged, except those that are open.
    pub(crate) fn count(&self) -> u64 {
        self.next - self.open.len() as u64
    }

    /// Publishes until the broker is gone.
    pub(crate) fn publish(&mut self, broker: &Broker) {
        let Some(mut client) = self.resume(broker) else { return };
        while self.fill(&mut client).is_some() && self.take(&mut client).is_some() {}
    }

    /// Brings what is open to its end.
    pub(crate) fn settle(&mut self, broker: &Broker) {
        let mut client = self.resume(broker).unwrap();
        while !self.open.is_empty() {
            self.take(&mut client).unwrap();
        }
    }

    /// Connects, and sends again what is open, in its order [MQTT-4.4.0-1].
    fn resume(&mut self, broker: &Broker) -> Option<Raw> {
        let mut client = resume(broker, self.version, &self.client_id)?;
        for (number, stage) in &self.open {
            let bytes = match stage {
                Stage::Published => self.packet(*number, true),
                Stage::Released => packet_of_id(PUBREL, 2, packet_id(*number)),
            };
            client.try_send(bytes).ok()?;
        }
        Some(client)
    }

    fn fill(&mut self, client: &mut Raw) -> Option<()> {
        while self.open.len() < WINDOW {
            self.open.push_back((self.next, Stage::Published));
            self.next += 1;
            client.try_send(self.packet(self.next - 1, false)).ok()?;
        }
        Some(())
    }

    /// Takes one answer; `None` when the broker is gone.
    fn take(&mut self, client: &mut Raw) -> Option<()> {
        let answer = client.next()?;
        assert!(answer.reason() < 0x80 || answer.kind == PUBCOMP, "{}: {answer:?}", self.client_id);
        let id = u16::from_be_bytes([answer.body[0], answer.body[1]]);
        let of = |(number, _): &(u64, Stage)| packet_id(*number) == id;
        let at = self.open.iter().position(of).unwrap_or_else(|| panic!("{}: {answer:?}", self.client_id));
        match (answer.kind, self.open[at].1) {
            (PUBACK, Stage::Published) if self.qos == 1 => drop(self.open.remove(at)),
            (PUBREC, _) if self.qos == 2 => {
                self.open[at].1 = Stage::Released;
                client.try_send(packet_of_id(PUBREL, 2, id)).ok()?;
            }
            // Not found is an answer too: PUBCOMP was lost.
            (PUBCOMP, Stage::Released) => drop(self.open.remove(at)),
            _ => panic!("{}: {answer:?}", self.client_id),
        }
        Some(())
    }

    fn packet(&self, number: u64, duplicate: bool) -> Vec<u8> {
        let publish = Publish::new(&self.topic, number.to_string()).qos(self.qos, packet_id(number));
        Publish { duplicate, ..publish }.bytes(self.version)
    }
}

/// Identifiers come again long after they are free.
fn packet_id(number: u64) -> u16 {
    (number % 60_000) as u16 + 1
}

/// Connects to a session that must be there; `None` when the broker is gone.
pub(crate) fn resume(broker: &Broker, version: Version, client_id: &str) -> Option<Raw> {
    let mut client = Raw::try_open(broker, version).ok()?;
    client.try_send(Connect::lasting(version, client_id).bytes()).ok()?;
    let connack = client.next()?;
    assert_eq!((connack.kind, connack.reason()), (CONNACK, 0), "{client_id}");
    assert_eq!(connack.body[0], 1, "the session of {client_id} is lost");
    Some(client)
}

/// Publishes the message after which nothing comes.
pub(crate) fn end(broker: &Broker) {
    let mut client = Raw::client(broker, Version::V5, "end");
    client.send(Publish::new(END, "").qos(2, 1).bytes(Version::V5));
    assert_eq!(client.expect(PUBREC).reason(), 0);
    client.send(packet_of_id(PUBREL, 2, 1));
    client.expect(PUBCOMP);
}
