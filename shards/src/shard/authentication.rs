//! Enhanced authentication: the AUTH packets before CONNACK and those that authenticate a live client anew.
//!
//! It runs on the client's own shard, before anything happens to a session that is there. Until CONNACK the connection
//! is in [`Phase::Connecting`](super::connection::Phase::Connecting), so that the time for CONNECT bounds the whole
//! exchange, and its CONNECT is kept. An exchange of a live client has as much time of its own.

use super::Core;
use crate::shard::inbound::Flow;
use crate::shard::timers::Timer;
use ringtail_mqtt::authentication::{Authentication, Step};
use ringtail_mqtt::codec::{self, Frame};
use ringtail_mqtt::packet::{Connect, Packet, ProtocolVersion, ReasonPacket};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::DetachCause;
use ringtail_mqtt::time::Millis;
use std::sync::Arc;

/// The enhanced authentication of a connection.
pub(crate) struct Authenticating {
    authentication: Authentication,
    /// The bytes of CONNECT, until CONNACK.
    connect: Option<Vec<u8>>,
    maximum_packet_size_bytes: u32,
    /// When an exchange that is under way after CONNACK must have ended.
    deadline: Millis,
    /// When the timer comes up that looks at it: there is one at most, however many exchanges there are.
    timer_at: Millis,
}

impl Core {
    /// True while an exchange goes on that CONNACK will end.
    pub(crate) fn is_authenticating(&self, number: u32) -> bool {
        self.authenticating.get(&number).is_some_and(|authenticating| authenticating.connect.is_some())
    }

    /// A CONNECT that names an authentication method; it stands at the front of `bytes`.
    pub(crate) fn start_authentication(
        &mut self,
        number: u32,
        connect: &Connect<'_>,
        method: &str,
        bytes: &[u8],
    ) -> Flow {
        let Some(method) = self.config.authentication_methods.iter().find(|offered| offered.name() == method) else {
            // [MQTT-4.12.0-1]
            return self.refuse_authentication(number, ReasonCode::BadAuthenticationMethod, Some(connect));
        };
        let properties = &connect.properties;
        let (authentication, step) = Authentication::start(Arc::clone(method), properties.authentication_data);
        let connect_bytes = match codec::frame(bytes, self.local.limits.packet_bytes_max) {
            Ok(Frame::Complete { total_bytes, .. }) => bytes[..total_bytes].to_vec(),
            _ => return self.refuse_authentication(number, ReasonCode::MalformedPacket, Some(connect)),
        };
        let maximum_packet_size_bytes = properties.maximum_packet_size_bytes.unwrap_or(u32::MAX);
        let authenticating = Authenticating {
            authentication,
            connect: Some(connect_bytes),
            maximum_packet_size_bytes,
            deadline: self.local.now,
            timer_at: self.local.now,
        };
        self.authenticating.insert(number, authenticating);
        self.step_before_connack(number, step)
    }

    /// A packet of a client that is still authenticating: only AUTH and DISCONNECT may come [MQTT-3.1.2-30].
    pub(crate) fn take_before_connack(&mut self, number: u32, packet: &Packet<'_>) -> Flow {
        if let Err(error) = packet.check_from_client() {
            return self.refuse_authentication(number, ReasonCode::from(&error), None);
        }
        match packet {
            Packet::Auth(auth) => match self.step(number, auth) {
                Some(step) => self.step_before_connack(number, step),
                None => Flow::Stop,
            },
            Packet::Disconnect(_) => {
                self.local.counters.connections_closed_by_client += 1;
                self.drain(number);
                Flow::Stop
            }
            _ => self.refuse_authentication(number, ReasonCode::ProtocolError, None),
        }
    }

    /// An AUTH of a live client.
    pub(crate) fn take_auth(&mut self, number: u32, auth: &ReasonPacket<'_>) -> Flow {
        let begins = !self.awaits_auth(number);
        let said = match self.step(number, auth).unwrap_or(Step::Refuse(ReasonCode::ProtocolError)) {
            Step::Continue(octets) => self.say(number, ReasonCode::ContinueAuthentication, &octets),
            Step::Success(octets) => self.say(number, ReasonCode::Success, &octets),
            Step::Refuse(reason) => Err(reason),
        };
        match said {
            Ok(()) => {
                if begins {
                    self.bound_authentication(number);
                }
                Flow::Continue
            }
            Err(reason) => {
                self.local.counters.authentications_failed += 1;
                self.disconnect(number, reason, DetachCause::Lost); // [MQTT-4.12.1-2]
                Flow::Stop
            }
        }
    }

    /// True while a live client, or one that is to become live, owes an AUTH.
    fn awaits_auth(&self, number: u32) -> bool {
        self.authenticating.get(&number).is_some_and(|authenticating| authenticating.authentication.is_under_way())
    }

    /// An exchange begins: the client has so much time to end it.
    fn bound_authentication(&mut self, number: u32) {
        let deadline = self.local.now.plus_ms(u64::from(self.config.connect_timeout_ms));
        let Some(authenticating) = self.authenticating.get_mut(&number) else { return };
        authenticating.deadline = deadline;
        if authenticating.authentication.is_under_way() && authenticating.timer_at <= self.local.now {
            authenticating.timer_at = self.timers.file(Timer::Connection(number), deadline);
        }
    }

    /// Looks whether a live client has ended an exchange in time.
    pub(crate) fn check_authentication_time(&mut self, number: u32) {
        if !self.awaits_auth(number) {
            return;
        }
        if self.local.connections.get(number).is_some_and(|connection| connection.held) {
            return self.bound_authentication(number); // its answer may be there and was not read
        }
        let now = self.local.now;
        let Some(authenticating) = self.authenticating.get_mut(&number) else { return };
        if now < authenticating.deadline {
            if authenticating.timer_at <= now {
                authenticating.timer_at = self.timers.file(Timer::Connection(number), authenticating.deadline);
            }
            return;
        }
        self.count_unfinished_authentication(number);
        self.local.counters.authentications_failed += 1;
        self.disconnect(number, ReasonCode::NotAuthorized, DetachCause::Lost); // [MQTT-4.12.1-2]
    }

    /// The time for CONNECT has passed, and the client has not ended the exchange.
    pub(crate) fn refuse_unfinished_authentication(&mut self, number: u32) {
        self.count_unfinished_authentication(number);
        let _ = self.refuse_authentication(number, ReasonCode::NotAuthorized, None);
    }

    fn count_unfinished_authentication(&mut self, number: u32) {
        let Some(connection) = self.local.connections.get(number) else { return };
        tracing::debug!(shard = self.id, peer = %connection.peer, "closed: the authentication did not end in time");
        self.local.counters.authentications_timed_out += 1;
    }

    fn step(&mut self, number: u32, auth: &ReasonPacket<'_>) -> Option<Step> {
        self.authenticating.get_mut(&number).map(|authenticating| authenticating.authentication.receive(auth))
    }

    fn step_before_connack(&mut self, number: u32, step: Step) -> Flow {
        let said = match step {
            Step::Continue(octets) => self.say(number, ReasonCode::ContinueAuthentication, &octets),
            Step::Success(octets) => return self.end_authentication(number, &octets),
            Step::Refuse(reason) => Err(reason),
        };
        match said {
            Ok(()) => Flow::Continue,
            Err(reason) => self.refuse_authentication(number, reason, None),
        }
    }

    /// The client is who it says: its CONNECT is accepted now.
    fn end_authentication(&mut self, number: u32, octets: &[u8]) -> Flow {
        let kept = self.authenticating.get_mut(&number).and_then(|authenticating| authenticating.connect.take());
        let Some(bytes) = kept else { return Flow::Stop };
        match codec::decode(&bytes, ProtocolVersion::V5) {
            Ok(Packet::Connect(connect)) => self.accept_connect(number, &connect, Some(octets)),
            _ => self.refuse_authentication(number, ReasonCode::MalformedPacket, None),
        }
    }

    /// Sends AUTH.
    fn say(&mut self, number: u32, reason: ReasonCode, octets: &[u8]) -> Result<(), ReasonCode> {
        let Some(authenticating) = self.authenticating.get(&number) else { return Ok(()) };
        let Some(outbox) = self.local.connections.writable(number, &mut self.local.pool) else { return Ok(()) };
        let maximum = authenticating.maximum_packet_size_bytes;
        authenticating.authentication.encode(reason, octets, maximum, outbox.bytes_mut())
    }

    /// Ends the exchange by a CONNACK that refuses [MQTT-4.12.0-4].
    fn refuse_authentication(&mut self, number: u32, reason: ReasonCode, connect: Option<&Connect<'_>>) -> Flow {
        self.local.counters.authentications_failed += 1;
        self.refuse_connect(number, reason, connect);
        Flow::Stop
    }
}
