//! An application message, as it travels from a publisher to its subscribers.
//!
//! [`MessageRef`] borrows from the bytes that were received and costs nothing; [`Message`] owns one allocation and is
//! made only when something has to keep the message: a window, a queue, the retained index, another shard.

use crate::packet::QoS;
use crate::time::Millis;

/// A borrowed application message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    /// The Topic Name, never a filter, with any topic alias already resolved.
    pub topic_name: &'a str,
    /// The encoded v5 properties that a Server forwards unaltered, in their order: Payload Format Indicator, Content
    /// Type, Response Topic, Correlation Data and User Properties ([MQTT-3.3.2-4], [MQTT-3.3.2-17], ...), without a length in front.
    pub properties: &'a [u8],
    /// The Application Message itself.
    pub payload: &'a [u8],
    /// The QoS that the publisher chose.
    pub qos: QoS,
    /// The RETAIN flag of the publisher's PUBLISH.
    pub retain: bool,
    /// When the message expires ([`Millis::NEVER`] without a Message Expiry Interval).
    pub expires_at: Millis,
}

/// An owned application message: topic name, forwarded properties and payload in one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    body: Box<[u8]>,
    topic_bytes: u32,
    properties_bytes: u32,
    /// The QoS that the publisher chose.
    pub qos: QoS,
    /// The RETAIN flag of the publisher's PUBLISH.
    pub retain: bool,
    /// When the message expires.
    pub expires_at: Millis,
}

impl Message {
    /// The topic name.
    #[must_use]
    pub fn topic_name(&self) -> &str {
        // The bytes came from a `&str`; an empty name would stand for a broken invariant and match nothing.
        std::str::from_utf8(&self.body[..self.topic_bytes as usize]).unwrap_or_default()
    }

    /// The encoded properties that are forwarded unaltered, without a length in front.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        &self.body[self.topic_bytes as usize..(self.topic_bytes + self.properties_bytes) as usize]
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.body[(self.topic_bytes + self.properties_bytes) as usize..]
    }

    /// The same message, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> MessageRef<'_> {
        MessageRef {
            topic_name: self.topic_name(),
            properties: self.properties(),
            payload: self.payload(),
            qos: self.qos,
            retain: self.retain,
            expires_at: self.expires_at,
        }
    }

    /// Bytes of memory that the message holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.body.len()
    }
}

impl From<MessageRef<'_>> for Message {
    fn from(m: MessageRef<'_>) -> Self {
        let mut body = Vec::with_capacity(m.topic_name.len() + m.properties.len() + m.payload.len());
        body.extend_from_slice(m.topic_name.as_bytes());
        body.extend_from_slice(m.properties);
        body.extend_from_slice(m.payload);
        Self {
            body: body.into_boxed_slice(),
            // A packet is at most 268,435,460 bytes [MQTT-2.1.4], so both lengths fit.
            topic_bytes: m.topic_name.len() as u32,
            properties_bytes: m.properties.len() as u32,
            qos: m.qos,
            retain: m.retain,
            expires_at: m.expires_at,
        }
    }
}
