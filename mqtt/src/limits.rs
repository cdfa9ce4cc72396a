//! Limits of a session and what the server offers: everything that grows has its bound here, with its reason.

use crate::packet::QoS;

/// What happens when a session's queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueuePolicy {
    /// The oldest queued message makes room; the drop is counted.
    #[default]
    DropOldest,
    /// The new message is not queued; the drop is counted.
    DropNewest,
    /// As [`QueuePolicy::DropNewest`], and the caller refuses the message towards its publisher.
    Reject,
}

/// Bounds and offers of the server, the same for every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet that a client may send, bytes; announced as Maximum Packet Size. A client that sends a longer
    /// remaining length is refused before anything is buffered.
    pub packet_bytes_max: u32,
    /// Messages of QoS 1 and 2 that a client may have unacknowledged towards the server; announced as Receive Maximum.
    pub receive_maximum: u16,
    /// Messages of QoS 1 and 2 that the server keeps in flight to one client, whatever larger Receive Maximum it allows.
    pub inflight_max: u16,
    /// Messages queued for one session beyond the window, online or offline.
    pub queue_messages_max: u32,
    /// Bytes of the messages queued for one session.
    pub queue_bytes_max: usize,
    /// What happens at `queue_messages_max` or `queue_bytes_max`.
    pub queue_policy: QueuePolicy,
    /// Bytes waiting to be sent to one connection: above it QoS 0 is dropped for that subscriber and QoS 1/2 stays queued.
    pub outbox_bytes_max: usize,
    /// Topic aliases that a client may set; announced as Topic Alias Maximum. Each costs its topic's bytes.
    pub topic_alias_maximum: u16,
    /// Topic aliases that the server sets towards a client that allows more.
    pub topic_alias_outbound_max: u16,
    /// Longest Keep Alive, seconds; 0 leaves the client's choice. A v5 client is told by Server Keep Alive.
    pub keep_alive_max_s: u16,
    /// Longest Session Expiry Interval, seconds (`u32::MAX` = never expires).
    pub session_expiry_max_s: u32,
    /// Highest QoS that the server grants and accepts.
    pub maximum_qos: QoS,
    /// Whether retained messages are kept.
    pub retain_available: bool,
    /// Whether filters may hold wildcards.
    pub wildcard_available: bool,
    /// Whether `$share` subscriptions are accepted.
    pub shared_available: bool,
    /// Levels of a topic name or filter: bounds the depth of a walk through the trie.
    pub topic_levels_max: u16,
    /// Where each client may have its responses: the level above its Client Identifier in the Response Information that
    /// a v5 client asks for. `None` gives none.
    pub response_prefix: Option<Box<str>>,
    /// Whether payloads whose Payload Format Indicator says UTF-8 must be UTF-8. Costs a look at every byte of them.
    pub payload_format_checked: bool,
    /// Subscriptions of one session.
    pub subscriptions_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: 268_435_460, // the largest that the protocol can say
            receive_maximum: 1_024,
            inflight_max: 1_024,
            queue_messages_max: 10_000,
            queue_bytes_max: 64 << 20,
            queue_policy: QueuePolicy::DropOldest,
            outbox_bytes_max: 4 << 20,
            topic_alias_maximum: 64,
            topic_alias_outbound_max: 64,
            keep_alive_max_s: 0,
            session_expiry_max_s: u32::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_available: true,
            shared_available: true,
            topic_levels_max: 256,
            response_prefix: None,
            payload_format_checked: false,
            subscriptions_max: 100_000,
        }
    }
}
