//! A client without opinions: it sends any bytes and shows what comes back. It knows the packets on its own account, not
//! through the broker's codec, so that a mistake there is not made twice.

use crate::broker::Broker;
use crate::program::DEADLINE;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) const CONNECT: u8 = 1;
pub(crate) const CONNACK: u8 = 2;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBACK: u8 = 4;
pub(crate) const PUBREC: u8 = 5;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const PUBCOMP: u8 = 7;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const SUBACK: u8 = 9;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const UNSUBACK: u8 = 11;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const PINGRESP: u8 = 13;
pub(crate) const DISCONNECT: u8 = 14;
pub(crate) const AUTH: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V311 = 4,
    V5 = 5,
}

/// A packet of any type and flags.
pub(crate) fn packet(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | flags];
    bytes.extend(variable(body.len()));
    bytes.extend(body);
    bytes
}

/// A variable byte integer.
pub(crate) fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = if value > 127 { 0x80 } else { 0 };
        bytes.push((value & 0x7F) as u8 | more);
        value >>= 7;
        if more == 0 {
            return bytes;
        }
    }
}

/// A string or binary field: two bytes of length, then the bytes.
pub(crate) fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut made = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    made.extend(bytes);
    made
}

/// Properties with their length before them: nothing in 3.1.1.
pub(crate) fn properties(version: Version, bytes: &[u8]) -> Vec<u8> {
    if version == Version::V311 {
        return Vec::new();
    }
    let mut made = variable(bytes.len());
    made.extend(bytes);
    made
}

/// What a CONNECT says.
pub(crate) struct Connect<'a> {
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) properties: &'a [u8],
}

impl<'a> Connect<'a> {
    pub(crate) fn new(version: Version, client_id: &'a str) -> Self {
        Self { version, client_id, clean: true, keep_alive_s: 0, properties: &[] }
    }

    /// A session that outlives its connection.
    pub(crate) fn lasting(version: Version, client_id: &'a str) -> Self {
        const EXPIRY_1000_S: &[u8] = &[0x11, 0, 0, 0x03, 0xE8];
        Self { clean: false, properties: EXPIRY_1000_S, ..Self::new(version, client_id) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = field("MQTT");
        body.push(self.version as u8);
        body.push(if self.clean { 0x02 } else { 0 });
        body.extend(self.keep_alive_s.to_be_bytes());
        body.extend(properties(self.version, self.properties));
        body.extend(field(self.client_id));
        packet(CONNECT, 0, &body)
    }
}

/// A PUBLISH, to be sent or as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) duplicate: bool,
    pub(crate) packet_id: u16,
    pub(crate) properties: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Publish {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self { topic: topic.as_ref().to_vec(), payload: payload.as_ref().to_vec(), ..Self::default() }
    }

    pub(crate) fn qos(mut self, qos: u8, packet_id: u16) -> Self {
        (self.qos, self.packet_id) = (qos, packet_id);
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    pub(crate) fn with(mut self, properties: &[u8]) -> Self {
        self.properties.extend(properties);
        self
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let mut body = field(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        body.extend(properties(version, &self.properties));
        body.extend(&self.payload);
        packet(PUBLISH, u8::from(self.duplicate) << 3 | self.qos << 1 | u8::from(self.retain), &body)
    }

    pub(crate) fn parse(version: Version, packet: &Packet) -> Self {
        let mut rest = &packet.body[..];
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        let topic = rest[2..2 + length].to_vec();
        rest = &rest[2 + length..];
        let qos = packet.flags >> 1 & 3;
        let mut packet_id = 0;
        if qos > 0 {
            packet_id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        let mut properties = Vec::new();
        if version == Version::V5 {
            let (length, bytes) = take_variable(rest).expect("a property length");
            properties = rest[bytes..bytes + length].to_vec();
            rest = &rest[bytes + length..];
        }
        let (retain, duplicate) = (packet.flags & 1 != 0, packet.flags & 8 != 0);
        Self { topic, qos, retain, duplicate, packet_id, properties, payload: rest.to_vec() }
    }
}

/// A SUBSCRIBE to filters with their options.
pub(crate) fn subscribe(version: Version, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    body.extend(properties(version, &[]));
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    packet(SUBSCRIBE, 2, &body)
}

/// A packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) body: Vec<u8>,
}

impl Packet {
    /// The Reason Code of an acknowledgement or DISCONNECT; 0 where it may be left out.
    pub(crate) fn reason(&self) -> u8 {
        let at = match self.kind {
            CONNACK => 1,
            PUBACK..=PUBCOMP => 2,
            _ => 0,
        };
        self.body.get(at).copied().unwrap_or(0)
    }
}

pub(crate) struct Raw {
    stream: TcpStream,
    pub(crate) version: Version,
    pub(crate) received: Vec<u8>,
}

impl Raw {
    /// A TCP connection over which nothing was said.
    pub(crate) fn open(broker: &Broker, version: Version) -> Self {
        Self::try_open(broker, version).unwrap()
    }

    /// The same, to a broker that may be gone.
    pub(crate) fn try_open(broker: &Broker, version: Version) -> io::Result<Self> {
        let stream = TcpStream::connect(broker.address())?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, version, received: Vec::new() })
    }

    /// Connects, which must succeed.
    pub(crate) fn connect(broker: &Broker, connect: &Connect) -> Self {
        let mut raw = Self::open(broker, connect.version);
        raw.send(connect.bytes());
        let connack = raw.expect(CONNACK);
        assert_eq!(connack.reason(), 0, "{} is refused", connect.client_id);
        raw
    }

    /// Connects a clean session.
    pub(crate) fn client(broker: &Broker, version: Version, client_id: &str) -> Self {
        Self::connect(broker, &Connect::new(version, client_id))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the broker reads on");
    }

    /// Sends to a broker that may close the connection meanwhile, or not read it for a while.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.set_write_timeout(Some(DEADLINE))?;
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends whatever the broker takes within a time; true when that was all of it.
    pub(crate) fn send_within(&mut self, bytes: &[u8], limit: Duration) -> bool {
        self.stream.set_write_timeout(Some(limit)).unwrap();
        self.stream.write_all(bytes).is_ok()
    }

    /// True when the broker closes the connection within a time in which it sends nothing.
    pub(crate) fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        match self.stream.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// The next packet, or `None` when the broker has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Packet> {
        let deadline = Instant::now() + DEADLINE;
        let mut chunk = [0; 65_536];
        loop {
            if let Some(packet) = self.take_packet() {
                return Some(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came from the broker in time");
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.received.extend(&chunk[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next packet, which must be of a type.
    pub(crate) fn expect(&mut self, kind: u8) -> Packet {
        match self.next() {
            Some(packet) if packet.kind == kind => packet,
            Some(packet) => panic!("a packet of type {kind} was due, this came: {packet:?}"),
            None => panic!("a packet of type {kind} was due, the connection was closed"),
        }
    }

    /// The next packet, which must be a PUBLISH; acknowledged if it is of QoS 1.
    pub(crate) fn message(&mut self) -> Publish {
        let packet = self.expect(PUBLISH);
        let publish = Publish::parse(self.version, &packet);
        if publish.qos == 1 {
            self.send(packet_of_id(PUBACK, 0, publish.packet_id));
        }
        publish
    }

    /// Subscribes to a filter, which must be granted as asked.
    pub(crate) fn subscribe(&mut self, filter: &str, options: u8) {
        self.send(subscribe(self.version, 1, &[(filter, options)]));
        let suback = self.expect(SUBACK);
        assert_eq!(suback.body.last(), Some(&(options & 3)), "{filter}");
    }

    /// Publishes with QoS 1 and waits for the PUBACK; returns its reason.
    pub(crate) fn publish(&mut self, publish: Publish) -> u8 {
        self.send(publish.qos(1, 1).bytes(self.version));
        self.expect(PUBACK).reason()
    }

    /// A PINGREQ is answered by the next packet.
    pub(crate) fn ping(&mut self) {
        self.send(packet(PINGREQ, 0, &[]));
        self.expect(PINGRESP);
    }

    /// Reads until the broker has closed the connection; returns what came before.
    pub(crate) fn until_closed(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.next()).collect()
    }

    fn take_packet(&mut self) -> Option<Packet> {
        let first = *self.received.first()?;
        let (length, bytes) = take_variable(&self.received[1..])?;
        if self.received.len() < 1 + bytes + length {
            return None;
        }
        let rest = self.received.split_off(1 + bytes + length);
        let body = self.received[1 + bytes..].to_vec();
        self.received = rest;
        Some(Packet { kind: first >> 4, flags: first & 0xF, body })
    }
}

/// A packet of nothing but a packet identifier.
pub(crate) fn packet_of_id(kind: u8, flags: u8, packet_id: u16) -> Vec<u8> {
    packet(kind, flags, &packet_id.to_be_bytes())
}

/// The value of a variable byte integer and its own length, if it is all there.
fn take_variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    assert!(bytes.len() < 4, "the broker sent a length of more than four bytes");
    None
}
