//! What a line of an export says, and how it is checked before it is taken back. `docs/LOG.md` describes the lines for others.
//!
//! Pure: from what is kept to lines and back. Nothing is taken that a broker would not have written, since it would send it to
//! clients.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ringtail_mqtt::codec::{self, PublishHead};
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::{Packet, PacketId, ProtocolVersion, QoS, RetainHandling, SubscriptionOptions};
use ringtail_mqtt::time::Millis;
use ringtail_mqtt::topic::{self, Filter, TopicError};
use ringtail_shards::journal::{KeptExchange, KeptMessage, KeptSession, KeptSubscription, KeptWill};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::rc::Rc;

/// The version of the lines that this program writes, and the newest that it reads.
pub(super) const FORMAT_VERSION: u32 = 1;

/// One line, told apart by its `kind`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    RingtailExport(Header),
    Session(SessionLine),
    /// After the session that it belongs to, in the order in which the client gets them.
    Queued(QueuedLine),
    Retained(MessageLine),
    /// The last.
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub version: u32,
    /// The version of the program that wrote it.
    #[serde(default)]
    pub program: String,
}

/// How many lines there were of each kind: without it a file that was cut off would pass for a whole one.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub sessions: usize,
    pub queued: usize,
    pub retained: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionLine {
    pub client_id: Box<str>,
    /// 3.1, 3.1.1 or 5.0.
    protocol: Protocol,
    /// 4294967295: never.
    session_expiry_s: u32,
    /// Since 1970; none if it was connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detached_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    will: Option<WillLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscriptions: Vec<SubscriptionLine>,
    /// Of the client's own QoS 2 messages that it has not released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inbound_packet_ids: Vec<PacketId>,
    /// Of the client's own QoS 2 messages that a crash has interrupted on their way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    in_doubt: Vec<InDoubtLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InDoubtLine {
    packet_id: PacketId,
    /// Tells the message from another with that identifier.
    fingerprint: u64,
    /// Sessions that have the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    client_ids: Vec<Box<str>>,
    /// Shared subscriptions that have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Protocol {
    #[serde(rename = "3.1")]
    V3_1,
    #[serde(rename = "3.1.1")]
    V3_1_1,
    #[serde(rename = "5.0")]
    V5,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WillLine {
    delay_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry_s: Option<u32>,
    message: MessageLine,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionLine {
    filter: Box<str>,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription_id: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueuedLine {
    pub client_id: Box<str>,
    /// Its number in the session.
    sequence: u64,
    qos: u8,
    retain: bool,
    /// Present if it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packet_id: Option<PacketId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscription_ids: Vec<u32>,
    /// None once PUBREC has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<MessageLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageLine {
    topic: Box<str>,
    /// As it was published.
    qos: u8,
    retain: bool,
    /// Since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    /// Where it is UTF-8; without either it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Box<str>>,
    /// As MQTT 5.0 encodes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties_base64: Option<Box<str>>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("{0}")]
    Json(serde_json::Error),
    #[error("the line is longer than {0} bytes")]
    TooLong(u64),
    #[error("it cannot be read: {0}")]
    Unread(std::io::Error),
    #[error("the first line must be that of an export of kind ringtail_export")]
    NoHeader,
    #[error("it has format version {0} and this program reads up to {FORMAT_VERSION}; run the newer program")]
    Newer(u32),
    #[error("a header stands in the first line only")]
    SecondHeader,
    #[error("something follows the end")]
    AfterEnd,
    #[error("the end is missing: the export was cut off")]
    CutOff,
    #[error("the end does not count the lines that there were")]
    Counts,
    #[error("client_id is empty, too long or holds U+0000")]
    ClientId,
    #[error("there is a session {0} already")]
    SecondSession(Box<str>),
    #[error("there is no session {0} before it")]
    NoSession(Box<str>),
    #[error("{0} is not from 0 to 2")]
    Choice(&'static str),
    #[error("the filter {0} stands twice")]
    SecondFilter(Box<str>),
    #[error("{topic}: {error}")]
    Topic { topic: Box<str>, error: TopicError },
    #[error("a Subscription Identifier is not from 1 to 268435455")]
    SubscriptionId,
    #[error("the packet identifier {0} stands twice in a session")]
    SecondPacketId(PacketId),
    #[error(
        "sequence must grow from one message of a session to the next, of those with packet_id and of those without"
    )]
    Order,
    #[error("a message without content must have QoS 2 and packet_id")]
    Released,
    #[error("a message of QoS 0 has no packet_id")]
    PacketIdAtQos0,
    #[error("{0} is no base64: {1}")]
    Base64(&'static str, base64::DecodeError),
    #[error("payload and payload_base64 exclude each other")]
    TwoPayloads,
    #[error("properties_base64 or the message as a whole is nothing that a PUBLISH may carry")]
    Message,
    #[error("there is a retained message for {0} already")]
    SecondRetained(Box<str>),
    #[error("a retained message without payload is none")]
    EmptyRetained,
}

/// Bytes of a Client Identifier.
const CLIENT_ID_BYTES_MAX: usize = 65_535;
const SUBSCRIPTION_ID_MAX: u32 = 268_435_455;

impl From<&KeptSession> for SessionLine {
    fn from(session: &KeptSession) -> Self {
        let mut subscriptions: Vec<_> = session.subscriptions.iter().map(SubscriptionLine::from).collect();
        subscriptions.sort_unstable_by(|a, b| a.filter.cmp(&b.filter));
        let mut inbound_packet_ids = session.inbound.clone();
        inbound_packet_ids.sort_unstable();
        Self {
            client_id: session.client_id.clone(),
            protocol: match session.version {
                ProtocolVersion::V3_1 => Protocol::V3_1,
                ProtocolVersion::V3_1_1 => Protocol::V3_1_1,
                ProtocolVersion::V5 => Protocol::V5,
            },
            session_expiry_s: session.expiry_s,
            detached_at_ms: session.detached_at.map(|at| at.0),
            will: session.will.as_ref().map(|will| WillLine {
                delay_s: will.delay_s,
                message_expiry_s: will.message_expiry_s,
                message: MessageLine::from(&will.message),
            }),
            subscriptions,
            inbound_packet_ids,
            in_doubt: session.in_doubt.iter().map(InDoubtLine::from).collect(),
        }
    }
}

impl From<&KeptExchange> for InDoubtLine {
    fn from(kept: &KeptExchange) -> Self {
        let mut client_ids = kept.sessions.clone();
        client_ids.sort_unstable();
        Self { packet_id: kept.packet_id, fingerprint: kept.fingerprint, client_ids, groups: kept.groups.clone() }
    }
}

impl SessionLine {
    /// The session, without its messages.
    pub(super) fn session(self) -> Result<KeptSession, Wrong> {
        if self.client_id.is_empty() || self.client_id.len() > CLIENT_ID_BYTES_MAX || self.client_id.contains('\0') {
            return Err(Wrong::ClientId);
        }
        let subscriptions = self.subscriptions.into_iter().map(SubscriptionLine::subscription);
        let mut subscriptions = subscriptions.collect::<Result<Vec<_>, _>>()?;
        subscriptions.sort_unstable_by(|a, b| a.filter.cmp(&b.filter));
        if let Some(twice) = subscriptions.windows(2).find(|pair| pair[0].filter == pair[1].filter) {
            return Err(Wrong::SecondFilter(twice[0].filter.clone()));
        }
        let inbound = self.inbound_packet_ids;
        let mut known = HashSet::new();
        let in_doubt = self.in_doubt.iter().map(|line| (line.packet_id, Some(line.fingerprint)));
        for (id, message) in inbound.iter().map(|id| (*id, None)).chain(in_doubt) {
            if known.contains(&(id, None)) || !known.insert((id, message)) {
                return Err(Wrong::SecondPacketId(id));
            }
        }
        let in_doubt = self.in_doubt.into_iter().map(|line| KeptExchange {
            packet_id: line.packet_id,
            fingerprint: line.fingerprint,
            sessions: line.client_ids,
            groups: line.groups,
        });
        Ok(KeptSession {
            client_id: self.client_id,
            version: match self.protocol {
                Protocol::V3_1 => ProtocolVersion::V3_1,
                Protocol::V3_1_1 => ProtocolVersion::V3_1_1,
                Protocol::V5 => ProtocolVersion::V5,
            },
            expiry_s: self.session_expiry_s,
            // All ones stand for a session that is connected.
            detached_at: self.detached_at_ms.filter(|at| *at != u64::MAX).map(Millis),
            will: self.will.map(WillLine::will).transpose()?,
            subscriptions,
            messages: Vec::new(),
            inbound,
            in_doubt: in_doubt.collect(),
        })
    }
}

impl WillLine {
    fn will(self) -> Result<KeptWill, Wrong> {
        let Self { delay_s, message_expiry_s, message } = self;
        Ok(KeptWill { message: message.message()?, delay_s, message_expiry_s })
    }
}

impl From<&KeptSubscription> for SubscriptionLine {
    fn from(subscription: &KeptSubscription) -> Self {
        let SubscriptionOptions { maximum_qos, no_local, retain_as_published, retain_handling } = subscription.options;
        Self {
            filter: subscription.filter.clone(),
            qos: maximum_qos as u8,
            no_local,
            retain_as_published,
            retain_handling: retain_handling as u8,
            subscription_id: Some(subscription.subscription_id).filter(|id| *id != 0),
        }
    }
}

impl SubscriptionLine {
    fn subscription(self) -> Result<KeptSubscription, Wrong> {
        Filter::parse(&self.filter, u16::MAX).map_err(|error| Wrong::Topic { topic: self.filter.clone(), error })?;
        let options = SubscriptionOptions {
            maximum_qos: qos(self.qos)?,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: match self.retain_handling {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(Wrong::Choice("retain_handling")),
            },
        };
        let subscription_id = self.subscription_id.map(subscription_id).transpose()?.unwrap_or(0);
        Ok(KeptSubscription { filter: self.filter, options, subscription_id })
    }
}

impl QueuedLine {
    pub(super) fn new(client_id: &str, kept: &KeptMessage) -> Self {
        Self {
            client_id: client_id.into(),
            sequence: kept.sequence,
            qos: kept.qos as u8,
            retain: kept.retain,
            packet_id: kept.packet_id,
            subscription_ids: kept.subscription_ids.clone(),
            message: kept.message.as_deref().map(MessageLine::from),
        }
    }

    /// The message of a session; `share` gives the one there is for messages that are equal.
    pub(super) fn kept(self, share: impl FnOnce(Message) -> Rc<Message>) -> Result<KeptMessage, Wrong> {
        let qos = qos(self.qos)?;
        if self.message.is_none() && (qos != QoS::ExactlyOnce || self.packet_id.is_none()) {
            return Err(Wrong::Released);
        }
        if qos == QoS::AtMostOnce && self.packet_id.is_some() {
            return Err(Wrong::PacketIdAtQos0);
        }
        let subscription_ids = self.subscription_ids.into_iter().map(subscription_id).collect::<Result<_, _>>()?;
        let message = self.message.map(MessageLine::message).transpose()?.map(share);
        let Self { sequence, retain, packet_id, .. } = self;
        Ok(KeptMessage { sequence, message, qos, retain, subscription_ids, packet_id })
    }
}

impl From<&Message> for MessageLine {
    fn from(message: &Message) -> Self {
        let MessageRef { topic_name, properties, payload, qos, retain, expires_at } = message.as_ref();
        let text = std::str::from_utf8(payload).ok().map(Box::from);
        let encoded = |bytes: &[u8]| (!bytes.is_empty()).then(|| BASE64_STANDARD.encode(bytes).into_boxed_str());
        Self {
            topic: topic_name.into(),
            qos: qos as u8,
            retain,
            expires_at_ms: Some(expires_at.0).filter(|_| expires_at != Millis::NEVER),
            payload_base64: if text.is_none() { encoded(payload) } else { None },
            payload: text,
            properties_base64: encoded(properties),
        }
    }
}

impl MessageLine {
    pub(super) fn message(self) -> Result<Message, Wrong> {
        let decoded = |field, text: Option<Box<str>>| match text {
            Some(text) => BASE64_STANDARD.decode(text.as_bytes()).map_err(|error| Wrong::Base64(field, error)),
            None => Ok(Vec::new()),
        };
        let properties = decoded("properties_base64", self.properties_base64)?;
        let payload = match (self.payload, self.payload_base64) {
            (Some(_), Some(_)) => return Err(Wrong::TwoPayloads),
            (Some(text), None) => String::from(text).into_bytes(),
            (None, encoded) => decoded("payload_base64", encoded)?,
        };
        let message = MessageRef {
            topic_name: &self.topic,
            properties: &properties,
            payload: &payload,
            qos: qos(self.qos)?,
            retain: self.retain,
            expires_at: self.expires_at_ms.map_or(Millis::NEVER, Millis),
        };
        check(&message)?;
        Ok(message.into())
    }
}

/// Sees to it that a client which is sent the message gets a PUBLISH as MQTT has it.
fn check(message: &MessageRef<'_>) -> Result<(), Wrong> {
    let MessageRef { topic_name, properties, payload, .. } = *message;
    topic::validate_topic_name(topic_name, u16::MAX)
        .map_err(|error| Wrong::Topic { topic: topic_name.into(), error })?;
    let head = PublishHead {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic_name,
        packet_id: None,
        forwarded_properties: properties,
        message_expiry_interval_s: None,
        topic_alias: None,
        subscription_identifiers: &[],
        payload_bytes: payload.len(),
    };
    let mut packet = Vec::new();
    head.encode(ProtocolVersion::V5, &mut packet).map_err(|_| Wrong::Message)?;
    packet.extend_from_slice(payload);
    match codec::decode(&packet, ProtocolVersion::V5) {
        Ok(Packet::Publish(publish)) if publish.properties.forwarded_raw() == Some(properties) => Ok(()),
        _ => Err(Wrong::Message),
    }
}

fn qos(number: u8) -> Result<QoS, Wrong> {
    QoS::from_bits(number).ok_or(Wrong::Choice("qos"))
}

fn subscription_id(id: u32) -> Result<u32, Wrong> {
    if (1..=SUBSCRIPTION_ID_MAX).contains(&id) { Ok(id) } else { Err(Wrong::SubscriptionId) }
}
