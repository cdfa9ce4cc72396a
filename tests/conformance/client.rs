//! What the cases need beyond the raw client of the end-to-end tests: CONNECT with all its fields, properties taken apart,
//! and refusals.

use crate::raw::*;
use std::time::Duration;

pub(crate) const MALFORMED: u8 = 0x81;
pub(crate) const PROTOCOL_ERROR: u8 = 0x82;

/// How long to listen for what must not come.
const QUIET: Duration = Duration::from_millis(100);

/// A property as it came: its identifier and its value as encoded.
pub(crate) type Property = (u8, Vec<u8>);

/// The will of a CONNECT.
#[derive(Clone)]
pub(crate) struct Will {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    properties: Vec<u8>,
}

impl Will {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        let (topic, payload) = (topic.as_ref().to_vec(), payload.as_ref().to_vec());
        Self { topic, payload, qos: 0, retain: false, properties: Vec::new() }
    }

    pub(crate) fn qos(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    pub(crate) fn retain(self) -> Self {
        Self { retain: true, ..self }
    }

    pub(crate) fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }
}

/// A CONNECT with everything that it may hold.
#[derive(Clone)]
pub(crate) struct Connecting {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<Vec<u8>>,
    pub(crate) password: Option<Vec<u8>>,
}

impl Connecting {
    pub(crate) fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            client_id: client_id.to_owned(),
            clean: true,
            keep_alive_s: 0,
            properties: Vec::new(),
            will: None,
            user_name: None,
            password: None,
        }
    }

    /// Goes on with its session, and wants it kept for 1,000 seconds after the connection (in 3.1.1, for ever).
    pub(crate) fn lasting(self) -> Self {
        self.resume().expiry_s(1_000)
    }

    /// Goes on with the session that is there.
    pub(crate) fn resume(self) -> Self {
        Self { clean: false, ..self }
    }

    pub(crate) fn clean(self) -> Self {
        Self { clean: true, ..self }
    }

    pub(crate) fn expiry_s(self, seconds: u32) -> Self {
        let [a, b, c, d] = seconds.to_be_bytes();
        self.with(&[0x11, a, b, c, d])
    }

    pub(crate) fn keep_alive_s(self, keep_alive_s: u16) -> Self {
        Self { keep_alive_s, ..self }
    }

    pub(crate) fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }

    pub(crate) fn will(self, will: Will) -> Self {
        Self { will: Some(will), ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with_flags(0)
    }

    /// The packet with more flags set than its fields ask for.
    pub(crate) fn bytes_with_flags(&self, more: u8) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1 | more;
        let mut payload = field(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
            payload.extend(properties(self.version, &will.properties));
            payload.extend(field(&will.topic));
            payload.extend(field(&will.payload));
        }
        for (text, flag) in [(&self.user_name, 0x80), (&self.password, 0x40)] {
            if let Some(text) = text {
                flags |= flag;
                payload.extend(field(text));
            }
        }
        let mut body = field("MQTT");
        body.extend([self.version as u8, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        body.extend(properties(self.version, &self.properties));
        body.extend(payload);
        packet(CONNECT, 0, &body)
    }
}

/// A CONNACK taken apart.
#[derive(Debug)]
pub(crate) struct ConnAck {
    pub(crate) flags: u8,
    pub(crate) reason: u8,
    pub(crate) properties: Vec<Property>,
}

impl ConnAck {
    pub(crate) fn session_present(&self) -> bool {
        self.flags & 1 == 1
    }

    pub(crate) fn property(&self, id: u8) -> Option<&[u8]> {
        find(&self.properties, id)
    }
}

/// The value of the first property with an identifier.
pub(crate) fn find(properties: &[Property], id: u8) -> Option<&[u8]> {
    properties.iter().find(|property| property.0 == id).map(|property| &property.1[..])
}

/// A property that holds one string or binary field.
pub(crate) fn text(id: u8, value: &str) -> Vec<u8> {
    let mut bytes = vec![id];
    bytes.extend(field(value));
    bytes
}

/// A User Property.
pub(crate) fn user_property(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = text(0x26, name);
    bytes.extend(field(value));
    bytes
}

/// Takes properties apart, in their order; `bytes` is what the Property Length covers.
pub(crate) fn take_apart(mut bytes: &[u8]) -> Vec<Property> {
    let mut taken = Vec::new();
    while let Some((&id, rest)) = bytes.split_first() {
        let string = |at: usize| 2 + usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
        let length = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2A => 1,
            0x13 | 0x21..=0x23 => 2,
            0x02 | 0x11 | 0x18 | 0x27 => 4,
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => string(0),
            0x26 => string(0) + string(string(0)),
            0x0B => 1 + rest.iter().take_while(|byte| **byte & 0x80 != 0).count(),
            _ => panic!("the broker sent a property 0x{id:02X}, which there is not"),
        };
        taken.push((id, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    taken
}

/// The value of a one-byte-length property section at the front of `bytes`.
pub(crate) fn section(bytes: &[u8]) -> Vec<Property> {
    let Some((length, rest)) = bytes.split_first() else { return Vec::new() };
    assert_eq!(usize::from(*length), rest.len(), "a Property Length of the broker covers what is there");
    take_apart(rest)
}

impl Publish {
    /// The properties of a message that came.
    pub(crate) fn taken_apart(&self) -> Vec<Property> {
        take_apart(&self.properties)
    }

    /// The value of one of its properties.
    pub(crate) fn property(&self, id: u8) -> Option<Vec<u8>> {
        find(&self.taken_apart(), id).map(<[u8]>::to_vec)
    }

    /// Its Subscription Identifiers, sorted.
    pub(crate) fn subscription_ids(&self) -> Vec<u8> {
        let mut ids: Vec<u8> = self.taken_apart().iter().filter(|p| p.0 == 0x0B).map(|p| p.1[0]).collect();
        ids.sort_unstable();
        ids
    }
}

/// A SUBSCRIBE with properties.
pub(crate) fn subscribe_with(packet_id: u16, bytes: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(properties(Version::V5, bytes));
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    packet(SUBSCRIBE, 2, &body)
}

/// An UNSUBSCRIBE from filters.
pub(crate) fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    filters.iter().for_each(|filter| body.extend(field(filter)));
    packet(UNSUBSCRIBE, 2, &body)
}

/// An acknowledgement with a reason of 5.0.
pub(crate) fn ack_with(kind: u8, packet_id: u16, reason: u8) -> Vec<u8> {
    let [high, low] = packet_id.to_be_bytes();
    packet(kind, if kind == PUBREL { 2 } else { 0 }, &[high, low, reason])
}

/// A DISCONNECT with a reason; of 0 it is the short one.
pub(crate) fn disconnect(reason: u8) -> Vec<u8> {
    packet(DISCONNECT, 0, if reason == 0 { &[] } else { std::slice::from_ref(&reason) })
}

impl Raw {
    /// The next packet, which must be a CONNACK.
    pub(crate) fn connack(&mut self) -> ConnAck {
        let packet = self.expect(CONNACK);
        assert_eq!(packet.flags, 0, "the flags of CONNACK are reserved");
        let properties = if self.version == Version::V5 { section(&packet.body[2..]) } else { Vec::new() };
        assert!(self.version == Version::V5 || packet.body.len() == 2, "a CONNACK of 3.1.1 has two bytes");
        ConnAck { flags: packet.body[0], reason: packet.body[1], properties }
    }

    /// The next packet, which must be a PUBLISH and is not acknowledged.
    pub(crate) fn publication(&mut self) -> Publish {
        let packet = self.expect(PUBLISH);
        Publish::parse(self.version, &packet)
    }

    /// The payload of the next message, which is acknowledged by its QoS.
    pub(crate) fn payload(&mut self) -> String {
        let publish = self.publication();
        self.acknowledge(&publish);
        String::from_utf8(publish.payload).unwrap()
    }

    /// The next `count` payloads.
    pub(crate) fn payloads(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.payload()).collect()
    }

    /// Goes through the whole exchange that the QoS of a message asks of its receiver.
    pub(crate) fn acknowledge(&mut self, publish: &Publish) {
        match publish.qos {
            0 => {}
            1 => self.send(packet_of_id(PUBACK, 0, publish.packet_id)),
            _ => {
                self.send(packet_of_id(PUBREC, 0, publish.packet_id));
                let pubrel = self.pubrel();
                assert_eq!(pubrel.body[..2], publish.packet_id.to_be_bytes());
                self.send(packet_of_id(PUBCOMP, 0, publish.packet_id));
            }
        }
    }

    /// The next PUBREL; the messages before it stay to be read.
    fn pubrel(&mut self) -> Packet {
        let mut before = Vec::new();
        let pubrel = loop {
            match self.next() {
                Some(message) if message.kind == PUBLISH => {
                    before.extend(packet(PUBLISH, message.flags, &message.body))
                }
                Some(pubrel) if pubrel.kind == PUBREL => break pubrel,
                other => panic!("a PUBREL was due: {other:?}"),
            }
        };
        before.append(&mut self.received);
        self.received = before;
        pubrel
    }

    /// Nothing comes for a while but the answers to pings.
    pub(crate) fn hears_nothing(&mut self) {
        self.ping();
        assert!(!self.is_closed_within(QUIET));
        // Had something come instead, its first byte would be gone, and this fail.
        self.ping();
    }

    /// Sends a message, whatever its QoS.
    pub(crate) fn put(&mut self, publish: &Publish) {
        self.send(publish.bytes(self.version));
    }

    /// Subscribes, and returns the codes of the SUBACK.
    pub(crate) fn subscribe_codes(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        self.send(subscribe(self.version, 0x0102, filters));
        self.codes(SUBACK)
    }

    /// The codes of an acknowledgement of 0x0102 that is next.
    pub(crate) fn codes(&mut self, kind: u8) -> Vec<u8> {
        let ack = self.expect(kind);
        assert_eq!(ack.body[..2], [1, 2], "the packet identifier is that of the request");
        let codes = &ack.body[2..];
        match self.version {
            Version::V5 => codes[1 + usize::from(codes[0])..].to_vec(),
            Version::V311 => codes.to_vec(),
        }
    }

    /// The connection ends: in 5.0 after a DISCONNECT with one of these reasons, in 3.1.1 without a word.
    pub(crate) fn is_refused(&mut self, reasons: &[u8]) {
        let said = self.until_closed();
        match (&said[..], self.version) {
            ([], Version::V311) => {}
            ([last], Version::V5) if last.kind == DISCONNECT => {
                assert!(
                    reasons.contains(&last.reason()),
                    "the reason was 0x{:02X}, not of {reasons:02X?}",
                    last.reason()
                );
            }
            _ => panic!("a refusal with {reasons:02X?} was due: {said:02X?}"),
        }
    }

    /// Leaves with a reason, and waits until the broker has closed the connection.
    pub(crate) fn leave(mut self, reason: u8) {
        self.send(disconnect(reason));
        assert_eq!(self.until_closed(), [], "nothing follows a DISCONNECT");
    }
}
