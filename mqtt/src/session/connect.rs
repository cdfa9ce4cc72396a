//! A connection begins: what it settles, CONNACK, and what is sent again.

use super::alias::OutboundAliases;
use super::ending::PendingWill;
use super::pump::Pumped;
use super::settings::{self, Settings};
use super::{Extras, Session};
use crate::codec;
use crate::limits::Limits;
use crate::message::Message;
use crate::outbox::Outbox;
use crate::packet::{ConnAck, Connect, Packet, Properties, ProtocolVersion, QoS};
use crate::reason::ReasonCode;
use crate::time::Millis;
use std::num::NonZeroU16;

/// What the broker decided about a CONNECT that it accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// Whether the session is an earlier one that goes on [MQTT-3.2.2-2], [MQTT-3.2.2-3].
    pub session_present: bool,
    /// The Client Identifier that the server chose, where the client gave none [MQTT-3.2.2-16].
    pub assigned_client_id: Option<&'a str>,
    /// The Authentication Data that ends an enhanced authentication, whose method is the one of CONNECT; empty where
    /// there is none. `None` when the broker ran no method.
    pub authentication_data: Option<&'a [u8]>,
}

/// A CONNECT that has passed the last checks, those that need no session. What becomes of an older connection and of its
/// session is decided after them [MQTT-3.1.4-3], [MQTT-3.1.4-4]: a refused CONNECT changes nothing.
#[derive(Debug)]
pub struct Admission {
    settings: Settings,
    will: Option<Box<PendingWill>>,
    extras: Option<Box<Extras>>,
    connack: Vec<u8>,
}

impl Admission {
    /// Checks the CONNECT of a client that is who it says.
    ///
    /// # Errors
    /// The reason for a CONNACK that refuses, which is the caller's to write. [`ReasonCode::PacketTooLarge`]: not even that
    /// would fit, so the caller only closes.
    pub fn of(connect: &Connect<'_>, accepted: &Accepted<'_>, limits: &Limits) -> Result<Self, ReasonCode> {
        let will = PendingWill::of(connect, limits)?;
        if connect.properties.authentication_method.is_some() && accepted.authentication_data.is_none() {
            return Err(ReasonCode::BadAuthenticationMethod); // [MQTT-4.12.0-1]
        }
        let settings = Settings::agree(connect, limits);
        let connack = encode_connack(connect, accepted, &settings, limits)?;
        Ok(Self { settings, will: will.map(Box::new), extras: Extras::of(connect, limits), connack })
    }

    /// [`Session::session_expiry_s`] of the session once it is connected.
    #[must_use]
    pub fn session_expiry_s(&self) -> u32 {
        self.settings.session_expiry_s
    }

    /// [`Session::pending_will`] of the session once it is connected.
    #[must_use]
    pub fn pending_will(&self) -> Option<(&Message, u32, Option<u32>)> {
        self.will.as_ref().map(|will| will.parts())
    }
}

impl Session {
    /// A CONNECT is accepted: an older connection was detached, and a clean start has replaced the old session by a new one
    /// [MQTT-3.1.2-4]. Writes CONNACK, then what is in flight from before (PUBLISH with DUP, PUBREL) and the queue, as far
    /// as the window and the outbox allow [MQTT-4.4.0-1]. A will that was still to be published is dropped [MQTT-3.1.3-9].
    pub fn connect(&mut self, admission: Admission, limits: &Limits, now: Millis, out: &mut Outbox) -> Pumped {
        let Admission { settings, will, extras, connack } = admission;
        out.bytes_mut().extend_from_slice(&connack);
        self.settings = settings;
        self.connected = true;
        self.since = now;
        self.will = will;
        self.extras = extras;
        self.pump(limits, now, out)
    }
}

impl Extras {
    fn of(connect: &Connect<'_>, limits: &Limits) -> Option<Box<Self>> {
        let properties = &connect.properties;
        let aliases = properties.topic_alias_maximum.unwrap_or(0).min(limits.topic_alias_outbound_max);
        if connect.version != ProtocolVersion::V5 || aliases == 0 {
            return None;
        }
        Some(Box::new(Self {
            outbound_aliases: Some(OutboundAliases::new(aliases)), // [MQTT-3.1.2-27]
            ..Self::default()
        }))
    }
}

fn encode_connack(
    connect: &Connect<'_>,
    accepted: &Accepted<'_>,
    settings: &Settings,
    limits: &Limits,
) -> Result<Vec<u8>, ReasonCode> {
    let response_information = response_information(connect, accepted, limits);
    let connack = ConnAck {
        session_present: accepted.session_present,
        reason: ReasonCode::Success,
        properties: Properties {
            response_information: response_information.as_deref(),
            ..properties(connect, accepted, settings, limits)
        },
    };
    let mut bytes = Vec::new();
    let encoded = codec::encode(&Packet::ConnAck(Box::new(connack)), connect.version, &mut bytes);
    if encoded.is_err() || bytes.len() > settings.maximum_packet_size_bytes as usize {
        return Err(ReasonCode::PacketTooLarge); // [MQTT-3.1.2-24]
    }
    Ok(bytes)
}

/// A place among the topics for the client alone, if it asks for one [MQTT-3.1.2-28].
fn response_information(connect: &Connect<'_>, accepted: &Accepted<'_>, limits: &Limits) -> Option<String> {
    let prefix = limits.response_prefix.as_deref()?;
    let client_id = accepted.assigned_client_id.unwrap_or(connect.client_id);
    // With a wildcard in it, the place would be no topic.
    let is_asked = connect.properties.request_response_information == Some(true);
    (is_asked && !client_id.contains(['+', '#'])).then(|| format!("{prefix}/{client_id}"))
}

/// What the server offers, where it differs from what the client takes for granted.
fn properties<'a>(
    connect: &Connect<'a>,
    accepted: &Accepted<'a>,
    settings: &Settings,
    limits: &Limits,
) -> Properties<'a> {
    let expiry_s = settings.session_expiry_s;
    let keep_alive_s = settings.keep_alive_s;
    Properties {
        session_expiry_interval_s: (expiry_s != settings::session_expiry_asked_s(connect)).then_some(expiry_s),
        assigned_client_identifier: accepted.assigned_client_id,
        server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s), // [MQTT-3.2.2-21]
        authentication_method: connect.properties.authentication_method,                     // [MQTT-4.12.0-5]
        authentication_data: accepted.authentication_data.filter(|octets| !octets.is_empty()),
        receive_maximum: NonZeroU16::new(limits.receive_maximum.max(1)).filter(|maximum| *maximum != NonZeroU16::MAX),
        topic_alias_maximum: (limits.topic_alias_maximum > 0).then_some(limits.topic_alias_maximum),
        // [MQTT-3.2.2-9]: only 0 and 1 can be said.
        maximum_qos: (limits.maximum_qos != QoS::ExactlyOnce).then_some(limits.maximum_qos),
        retain_available: (!limits.retain_available).then_some(false),
        maximum_packet_size_bytes: Some(limits.packet_bytes_max)
            .filter(|&max| (max as usize) < codec::PACKET_BYTES_MAX),
        wildcard_subscription_available: (!limits.wildcard_available).then_some(false),
        shared_subscription_available: (!limits.shared_available).then_some(false),
        ..Properties::default()
    }
}
