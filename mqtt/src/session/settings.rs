//! What a CONNECT and the server's limits agree on for one connection.

use crate::limits::Limits;
use crate::packet::{Connect, ProtocolVersion};

/// Twenty bytes that every session holds; the last connection's values while there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) version: ProtocolVersion,
    /// Whether acknowledgements may carry Reason Strings and User Properties [MQTT-3.1.2-29].
    pub(super) problem_information: bool,
    /// Seconds; 0 for none.
    pub(super) keep_alive_s: u16,
    /// PUBLISHes of QoS 1 and 2 in flight to the client: its Receive Maximum or ours, the smaller [MQTT-3.3.4-9].
    pub(super) window_max: u16,
    /// Bytes of a packet to the client [MQTT-3.1.2-24].
    pub(super) maximum_packet_size_bytes: u32,
    pub(super) session_expiry_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: ProtocolVersion::default(),
            problem_information: true,
            keep_alive_s: 0,
            window_max: 0,
            maximum_packet_size_bytes: u32::MAX,
            session_expiry_s: 0,
        }
    }
}

impl Settings {
    pub(super) fn agree(connect: &Connect<'_>, limits: &Limits) -> Self {
        let properties = &connect.properties;
        let receive_maximum = properties.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
        Self {
            version: connect.version,
            problem_information: properties.request_problem_information.unwrap_or(true),
            keep_alive_s: keep_alive_s(connect, limits),
            window_max: receive_maximum.min(limits.inflight_max).max(1),
            maximum_packet_size_bytes: properties.maximum_packet_size_bytes.unwrap_or(u32::MAX),
            session_expiry_s: session_expiry_asked_s(connect).min(limits.session_expiry_max_s),
        }
    }
}

/// A v5 client is held to the limit, since it is told [MQTT-3.2.2-21]; an older one cannot be told and keeps its own.
fn keep_alive_s(connect: &Connect<'_>, limits: &Limits) -> u16 {
    match (connect.keep_alive_s, limits.keep_alive_max_s) {
        (asked, 0) => asked,
        (asked, _) if connect.version != ProtocolVersion::V5 => asked,
        (0, maximum) => maximum,
        (asked, maximum) => asked.min(maximum),
    }
}

/// The Session Expiry Interval that the client asks for: 5.0 says it (0 when absent), before 5.0 Clean Session does.
pub(super) fn session_expiry_asked_s(connect: &Connect<'_>) -> u32 {
    match connect.version {
        ProtocolVersion::V5 => connect.properties.session_expiry_interval_s.unwrap_or(0),
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 if connect.clean_start => 0,
        ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => u32::MAX,
    }
}
