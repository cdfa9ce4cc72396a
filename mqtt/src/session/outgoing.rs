//! One message on its way to many sessions: what differs between them is encoded once for each shape.
//!
//! ```text
//!   packet = head (fixed header, topic name, packet identifier, properties) + payload
//!            `-- once for each shape (version, QoS, RETAIN), then copied     `-- copied, or shared when large
//! ```
//! A payload of some hundred bytes stays with its head, so that a subscriber costs one copy; a longer one is not copied
//! to be copied again.

use super::alias::topic_hash;
use crate::codec::PublishHead;
use crate::message::{Message, MessageRef};
use crate::outbox::{Outbox, SHARE_PAYLOAD_BYTES};
use crate::packet::{PacketId, ProtocolVersion, QoS};
use crate::time::Millis;
use std::rc::Rc;

/// Versions (5.0 or before) x QoS x RETAIN.
const SHAPES: usize = 2 * 3 * 2;

/// Heads of this many bytes are kept between messages; a larger buffer, of a message with long properties, is given back.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Payloads of at most this many bytes stay with their heads.
const WHOLE_PAYLOAD_BYTES: usize = 256;

/// The scratch space for the heads of one message at a time; a shard reuses one for all.
#[derive(Debug, Default)]
pub struct Encoder {
    heads: Vec<u8>,
    shapes: [Shape; SHAPES],
    /// A bit for each of `shapes` that holds for the message at hand.
    valid: u16,
    topic_hash: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// The head, and the payload if it is short, in `heads`.
    start: u32,
    end: u32,
    /// Where the Packet Identifier stands, from `start`.
    packet_id_at: u32,
    /// What was left of the Message Expiry Interval.
    expiry_s: Option<u32>,
}

impl Encoder {
    fn reset(&mut self) {
        self.valid = 0;
        self.topic_hash = None;
        self.heads.clear();
        if self.heads.capacity() > BUFFER_BYTES_MAX {
            self.heads = Vec::new();
        }
    }
}

/// A message that is being delivered, and its encoded heads.
#[derive(Debug)]
pub struct Outgoing<'a> {
    message: MessageRef<'a>,
    shared: Option<Rc<Message>>,
    encoder: &'a mut Encoder,
}

impl<'a> Outgoing<'a> {
    /// A message that was just received and that nobody keeps yet.
    #[must_use]
    pub fn new(message: MessageRef<'a>, encoder: &'a mut Encoder) -> Self {
        encoder.reset();
        Self { message, shared: None, encoder }
    }

    /// A message that somebody keeps already.
    #[must_use]
    pub fn from_shared(message: &'a Rc<Message>, encoder: &'a mut Encoder) -> Self {
        encoder.reset();
        Self { message: message.as_ref().as_ref(), shared: Some(Rc::clone(message)), encoder }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> MessageRef<'a> {
        self.message
    }

    /// The message, to be kept: it is copied at the first call, and shared from then on.
    pub fn shared(&mut self) -> &Rc<Message> {
        self.shared.get_or_insert_with(|| Rc::new(self.message.into()))
    }

    pub(super) fn topic_hash(&mut self) -> u64 {
        *self.encoder.topic_hash.get_or_insert_with(|| topic_hash(self.message.topic_name))
    }

    /// Appends a PUBLISH that has nothing of its own but its Packet Identifier. False, and nothing appended, if it were
    /// larger than `packet_bytes_max`.
    #[inline]
    pub(super) fn write(&mut self, shape: ShapeOf, client: &Client, now: Millis, out: &mut Outbox) -> bool {
        let expiry_s = remaining_expiry_s(&self.message, now);
        let v5 = client.version == ProtocolVersion::V5;
        let index = usize::from(v5) * 6 + shape.qos as usize * 2 + usize::from(shape.retain);
        let encoded = self.encoder.valid >> index & 1 == 1 && self.encoder.shapes[index].expiry_s == expiry_s;
        if !encoded && !self.encode(index, &shape, client.version, expiry_s) {
            return false;
        }
        let Shape { start, end, packet_id_at, .. } = self.encoder.shapes[index];
        let head = &self.encoder.heads[start as usize..end as usize];
        let payload = self.message.payload;
        let payload = if payload.len() <= WHOLE_PAYLOAD_BYTES { &[] } else { payload };
        if head.len() + payload.len() > client.packet_bytes_max as usize {
            return false; // [MQTT-3.1.2-24]
        }
        let bytes = out.bytes_mut();
        let at = bytes.len();
        bytes.extend_from_slice(head);
        if let Some(packet_id) = shape.packet_id {
            let at = at + packet_id_at as usize;
            bytes[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
        if !payload.is_empty() {
            append_payload(payload, || self.shared(), out);
        }
        true
    }

    /// Encodes the head of a shape. False if the protocol has no room for the packet.
    fn encode(&mut self, index: usize, shape: &ShapeOf, version: ProtocolVersion, expiry_s: Option<u32>) -> bool {
        let head = PublishHead {
            dup: false,
            qos: shape.qos,
            retain: shape.retain,
            topic_name: self.message.topic_name,
            packet_id: None,
            forwarded_properties: self.message.properties,
            message_expiry_interval_s: expiry_s,
            topic_alias: None,
            subscription_identifiers: &[],
            payload_bytes: self.message.payload.len(),
        };
        let heads = &mut self.encoder.heads;
        let start = heads.len();
        let Ok(packet_id_at) = head.encode(version, heads) else { return false };
        if self.message.payload.len() <= WHOLE_PAYLOAD_BYTES {
            heads.extend_from_slice(self.message.payload);
        }
        // A packet is at most 256 MiB and there are twelve shapes; a second of delay adds one more.
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(heads.len())) else { return false };
        let packet_id_at = packet_id_at.map_or(0, |at| at as u32 - start);
        self.encoder.shapes[index] = Shape { start, end, packet_id_at, expiry_s };
        self.encoder.valid |= 1 << index;
        true
    }
}

/// What selects a shape, and the identifier that goes into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapeOf {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) packet_id: Option<PacketId>,
}

/// What the receiving side asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) version: ProtocolVersion,
    pub(super) packet_bytes_max: u32,
}

/// Appends a payload that belongs to the head before it: copied, or by reference when it is large.
#[inline]
pub(super) fn append_payload<'a>(payload: &[u8], shared: impl FnOnce() -> &'a Rc<Message>, out: &mut Outbox) {
    if payload.len() < SHARE_PAYLOAD_BYTES {
        out.bytes_mut().extend_from_slice(payload);
    } else {
        out.push_payload(shared());
    }
}

/// What is left of the Message Expiry Interval [MQTT-3.3.2-6].
pub(super) fn remaining_expiry_s(message: &MessageRef<'_>, now: Millis) -> Option<u32> {
    (message.expires_at != Millis::NEVER).then(|| message.expires_at.remaining_s(now))
}
