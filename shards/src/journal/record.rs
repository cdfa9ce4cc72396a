//! What the records of a shard's log say: their kinds, keys and bodies. `docs/LOG.md` draws them.
//!
//! Depends on the messages and identifiers of `ringtail-mqtt` and on the kinds of `ringtail-storage`. Pure: it reads and
//! writes slices. Numbers are little-endian. A body that does not read as its kind says is no record of ours, and whoever
//! reads it must refuse it rather than guess.

use super::Exchange;
use crate::routing::OptionBits;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::{PacketId, ProtocolVersion, QoS};
use ringtail_mqtt::time::Millis;
use ringtail_storage::{Kind, Record};

/// The kinds of record. Those that are tombstones end the life of earlier ones.
pub(crate) mod kind {
    use super::Kind;

    /// A session. Key: the session.
    pub(crate) const SESSION: Kind = Kind::of::<1>();
    /// Tombstone: the session is over, and so is everything with its key.
    pub(crate) const SESSION_ENDED: Kind = Kind::of::<2>();
    /// A subscription. Key: the session.
    pub(crate) const SUBSCRIBED: Kind = Kind::of::<3>();
    /// Tombstone of a subscription. Key: the session.
    pub(crate) const UNSUBSCRIBED: Kind = Kind::of::<4>();
    /// An application message that sessions have queued. Key: the message.
    pub(crate) const MESSAGE: Kind = Kind::of::<5>();
    /// A session has a message for its client. Key: the session.
    pub(crate) const QUEUED: Kind = Kind::of::<6>();
    /// A queued message has got its Packet Identifier. Key: the session.
    pub(crate) const SENT: Kind = Kind::of::<7>();
    /// PUBREC has come: of the message only its identifier is needed. Key: the session.
    pub(crate) const RELEASED: Kind = Kind::of::<8>();
    /// Tombstone: these messages are acknowledged, or dropped. Key: the session.
    pub(crate) const DONE: Kind = Kind::of::<9>();
    /// The client's own QoS 2 PUBLISH with this identifier is taken. Key: the session.
    pub(crate) const HELD: Kind = Kind::of::<10>();
    /// Tombstone of [`HELD`]: PUBREL has come. Key: the session.
    pub(crate) const HELD_DONE: Kind = Kind::of::<11>();
    /// A retained message. Key: 0.
    pub(crate) const RETAINED: Kind = Kind::of::<12>();
    /// Tombstone of the retained message of a topic. Key: 0.
    pub(crate) const CLEARED: Kind = Kind::of::<13>();
    /// Sessions and shared subscriptions here have the message of a client's QoS 2 PUBLISH. Key: 0.
    pub(crate) const TAKEN: Kind = Kind::of::<14>();
    /// Tombstone of all [`TAKEN`] of a PUBLISH. Key: 0.
    pub(crate) const FORGOTTEN: Kind = Kind::of::<15>();
}

/// What a record is, in a word or two, for tools; `None` for one that this program does not write.
#[must_use]
pub fn kind_name(record: &Record<'_>) -> Option<&'static str> {
    Some(match read(record.kind, record.body)? {
        Body::Session(_) => "session",
        Body::SessionEnded => "session ended",
        Body::Subscribed { .. } => "subscribed",
        Body::Unsubscribed { .. } => "unsubscribed",
        Body::Message(_) => "message",
        Body::Queued(_) => "queued",
        Body::Sent { .. } => "sent",
        Body::Released { .. } => "released",
        Body::Done(_) => "done",
        Body::Held { .. } => "held",
        Body::HeldDone { .. } => "held done",
        Body::Retained(_) => "retained",
        Body::Cleared { .. } => "cleared",
        Body::Taken { .. } => "taken",
        Body::Forgotten(_) => "forgotten",
    })
}

/// A record's body, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Session(SessionBody<'a>),
    SessionEnded,
    Subscribed { options: OptionBits, subscription_id: u32, filter: &'a str },
    Unsubscribed { filter: &'a str },
    Message(MessageRef<'a>),
    Queued(QueuedBody),
    Sent { sequence: u64, packet_id: PacketId },
    Released { sequence: u64, packet_id: PacketId },
    Done(Vec<u64>),
    Held { packet_id: PacketId },
    HeldDone { packet_id: PacketId },
    Retained(MessageRef<'a>),
    Cleared { topic_name: &'a str },
    Taken { exchange: Exchange, message: u64, sessions: Vec<u64>, groups: Vec<u64> },
    Forgotten(Exchange),
}

/// A session, without its subscriptions and messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SessionBody<'a> {
    pub version: ProtocolVersion,
    pub expiry_s: u32,
    /// When its connection went; `None` while it has one.
    pub detached_at: Option<Millis>,
    pub client_id: &'a str,
    pub will: Option<WillBody<'a>>,
}

/// A will that is still to be published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WillBody<'a> {
    pub delay_s: u32,
    pub message_expiry_s: Option<u32>,
    pub message: MessageRef<'a>,
}

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueuedBody {
    pub sequence: u64,
    /// The key of its [`kind::MESSAGE`].
    pub message: u64,
    pub qos: QoS,
    pub retain: bool,
    /// Present if it was sent before the record was written.
    pub packet_id: Option<PacketId>,
    pub subscription_ids: Vec<u32>,
}

/// Bytes of the head of a message in a body.
pub(crate) const MESSAGE_HEAD_BYTES: usize = 17;

/// Bytes of the body of [`kind::QUEUED`] with so many Subscription Identifiers.
pub(crate) const fn queued_bytes(subscription_ids: usize) -> usize {
    20 + 4 * subscription_ids
}

/// Bytes of a message in a body.
pub(crate) fn message_bytes(message: &MessageRef<'_>) -> usize {
    MESSAGE_HEAD_BYTES + message.topic_name.len() + message.properties.len() + message.payload.len()
}

/// The head of a message, which its topic name, its properties and its payload follow.
pub(crate) fn message_head(message: &MessageRef<'_>) -> [u8; MESSAGE_HEAD_BYTES] {
    let mut head = [0; MESSAGE_HEAD_BYTES];
    head[..8].copy_from_slice(&message.expires_at.0.to_le_bytes());
    head[8] = message.qos as u8 | u8::from(message.retain) << 2;
    // A packet is shorter than 2^28 bytes [MQTT-2.1.4], so both lengths fit.
    head[9..13].copy_from_slice(&(message.topic_name.len() as u32).to_le_bytes());
    head[13..].copy_from_slice(&(message.properties.len() as u32).to_le_bytes());
    head
}

/// The body of [`kind::SESSION`].
pub(crate) fn session(body: &SessionBody<'_>) -> Box<[u8]> {
    let mut out = vec![body.version as u8, u8::from(body.will.is_some())];
    out.extend_from_slice(&body.expiry_s.to_le_bytes());
    out.extend_from_slice(&body.detached_at.map_or(u64::MAX, |at| at.0).to_le_bytes());
    out.extend_from_slice(&(body.client_id.len() as u32).to_le_bytes());
    out.extend_from_slice(body.client_id.as_bytes());
    if let Some(will) = &body.will {
        out.extend_from_slice(&will.delay_s.to_le_bytes());
        out.push(u8::from(will.message_expiry_s.is_some()));
        out.extend_from_slice(&will.message_expiry_s.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&message_head(&will.message));
        out.extend_from_slice(will.message.topic_name.as_bytes());
        out.extend_from_slice(will.message.properties);
        out.extend_from_slice(will.message.payload);
    }
    out.into_boxed_slice()
}

/// The head of the body of [`kind::SUBSCRIBED`], which the filter follows.
pub(crate) fn subscribed_head(options: OptionBits, subscription_id: u32) -> [u8; 5] {
    let mut head = [options.bits(), 0, 0, 0, 0];
    head[1..].copy_from_slice(&subscription_id.to_le_bytes());
    head
}

/// Appends the body of [`kind::QUEUED`].
pub(crate) fn queued(body: &QueuedBody, out: &mut Vec<u8>) {
    out.extend_from_slice(&body.sequence.to_le_bytes());
    out.extend_from_slice(&body.message.to_le_bytes());
    out.push(body.qos as u8 | u8::from(body.retain) << 2);
    out.push(0);
    out.extend_from_slice(&body.packet_id.map_or(0, PacketId::get).to_le_bytes());
    for id in &body.subscription_ids {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

/// The body of [`kind::SENT`] and [`kind::RELEASED`].
pub(crate) fn numbered(sequence: u64, packet_id: PacketId) -> [u8; 10] {
    let mut body = [0; 10];
    body[..8].copy_from_slice(&sequence.to_le_bytes());
    body[8..].copy_from_slice(&packet_id.get().to_le_bytes());
    body
}

/// The body of [`kind::FORGOTTEN`], and the head of [`kind::TAKEN`].
pub(crate) fn exchange(exchange: &Exchange) -> [u8; 11] {
    let mut body = [0; 11];
    body[..8].copy_from_slice(&exchange.session.to_le_bytes());
    body[8] = exchange.home;
    body[9..].copy_from_slice(&exchange.packet_id.get().to_le_bytes());
    body
}

/// The body of [`kind::TAKEN`], with the fingerprint of the message. Both lists are short enough for a record.
pub(crate) fn taken(of: &Exchange, message: u64, sessions: &[u64], groups: &[u64]) -> Box<[u8]> {
    let mut out = exchange(of).to_vec();
    out.extend_from_slice(&message.to_le_bytes());
    out.extend_from_slice(&(sessions.len() as u32).to_le_bytes());
    sessions.iter().chain(groups).for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    out.into_boxed_slice()
}

/// Reads a body; `None` when it is none of its kind.
pub(crate) fn read(kind: Kind, body: &[u8]) -> Option<Body<'_>> {
    let mut rest = Reader(body);
    let read = match kind {
        kind::SESSION => Body::Session(rest.session()?),
        kind::SESSION_ENDED => Body::SessionEnded,
        kind::SUBSCRIBED => {
            let options = OptionBits::from_bits(rest.u8()?)?;
            Body::Subscribed { options, subscription_id: rest.u32()?, filter: rest.text_to_end()? }
        }
        kind::UNSUBSCRIBED => Body::Unsubscribed { filter: rest.text_to_end()? },
        kind::MESSAGE => Body::Message(rest.message()?),
        kind::QUEUED => Body::Queued(rest.queued()?),
        kind::SENT => Body::Sent { sequence: rest.u64()?, packet_id: rest.packet_id()? },
        kind::RELEASED => Body::Released { sequence: rest.u64()?, packet_id: rest.packet_id()? },
        kind::DONE => Body::Done(rest.numbers()?),
        kind::HELD => Body::Held { packet_id: rest.packet_id()? },
        kind::HELD_DONE => Body::HeldDone { packet_id: rest.packet_id()? },
        kind::RETAINED => Body::Retained(rest.message()?),
        kind::CLEARED => Body::Cleared { topic_name: rest.text_to_end()? },
        kind::TAKEN => {
            let (exchange, message) = (rest.exchange()?, rest.u64()?);
            let sessions = rest.u32()? as usize;
            let sessions = Reader(rest.take(sessions.checked_mul(size_of::<u64>())?)?).numbers()?;
            Body::Taken { exchange, message, sessions, groups: rest.numbers()? }
        }
        kind::FORGOTTEN => Body::Forgotten(rest.exchange()?),
        _ => return None,
    };
    rest.0.is_empty().then_some(read)
}

/// The part of a body that was not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn packet_id(&mut self) -> Option<PacketId> {
        PacketId::new(u16::from_le_bytes(self.array()?))
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn text_to_end(&mut self) -> Option<&'a str> {
        self.text(self.0.len())
    }

    fn numbers(&mut self) -> Option<Vec<u64>> {
        let mut numbers = Vec::with_capacity(self.0.len() / 8);
        while !self.0.is_empty() {
            numbers.push(self.u64()?);
        }
        Some(numbers)
    }

    fn exchange(&mut self) -> Option<Exchange> {
        Some(Exchange { session: self.u64()?, home: self.u8()?, packet_id: self.packet_id()? })
    }

    /// A message, to the end.
    fn message(&mut self) -> Option<MessageRef<'a>> {
        let expires_at = Millis(self.u64()?);
        let flags = self.u8()?;
        let (topic_bytes, properties_bytes) = (self.u32()? as usize, self.u32()? as usize);
        let topic_name = self.text(topic_bytes)?;
        let properties = self.take(properties_bytes)?;
        let payload = std::mem::take(&mut self.0);
        Some(MessageRef { topic_name, properties, payload, qos: qos(flags)?, retain: flags & 4 != 0, expires_at })
    }

    fn session(&mut self) -> Option<SessionBody<'a>> {
        let version = match self.u8()? {
            3 => ProtocolVersion::V3_1,
            4 => ProtocolVersion::V3_1_1,
            5 => ProtocolVersion::V5,
            _ => return None,
        };
        let has_will = self.u8()? != 0;
        let expiry_s = self.u32()?;
        let detached_at = Some(self.u64()?).filter(|at| *at != u64::MAX).map(Millis);
        let client_id_bytes = self.u32()? as usize;
        let client_id = self.text(client_id_bytes)?;
        let will = if has_will { Some(self.will()?) } else { None };
        Some(SessionBody { version, expiry_s, detached_at, client_id, will })
    }

    fn will(&mut self) -> Option<WillBody<'a>> {
        let delay_s = self.u32()?;
        let expires = self.u8()? != 0;
        let message_expiry_s = Some(self.u32()?).filter(|_| expires);
        Some(WillBody { delay_s, message_expiry_s, message: self.message()? })
    }

    fn queued(&mut self) -> Option<QueuedBody> {
        let (sequence, message) = (self.u64()?, self.u64()?);
        let flags = self.u8()?;
        self.u8()?;
        let packet_id = PacketId::new(u16::from_le_bytes(self.array()?));
        let mut subscription_ids = Vec::with_capacity(self.0.len() / 4);
        while !self.0.is_empty() {
            subscription_ids.push(self.u32()?);
        }
        Some(QueuedBody { sequence, message, qos: qos(flags)?, retain: flags & 4 != 0, packet_id, subscription_ids })
    }
}

fn qos(flags: u8) -> Option<QoS> {
    match flags & 3 {
        0 => Some(QoS::AtMostOnce),
        1 => Some(QoS::AtLeastOnce),
        2 => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

impl<'a> WillBody<'a> {
    /// The will of a session, with its Will Delay Interval and its Message Expiry Interval.
    pub(crate) fn of((message, delay_s, message_expiry_s): (&'a Message, u32, Option<u32>)) -> Self {
        Self { delay_s, message_expiry_s, message: message.as_ref() }
    }
}
