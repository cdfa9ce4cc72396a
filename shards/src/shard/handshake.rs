//! CONNECT: to which shard the client belongs, what becomes of the session that was there, and the hand-over.

use super::{Arriving, Core, Request};
use crate::journal::PreparedSession;
use crate::shard::connection::Phase;
use crate::shard::ending::names_another_server;
use crate::shard::inbound::Flow;
use crate::shard::mail::{HandOver, Mail};
use crate::shard::sessions::NONE;
use crate::wire::Slot;
use ringtail_mqtt::codec::{self, DecodeError};
use ringtail_mqtt::packet::{ConnAck, Connect, Packet, Properties, ProtocolVersion};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{Accepted, Admission, DetachCause, Session};
use std::hash::{BuildHasher, RandomState};

impl Core {
    /// A CONNECT, at the front of `bytes`.
    pub(crate) fn take_connect(&mut self, number: u32, connect: &Connect<'_>, bytes: &[u8]) -> Flow {
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.version = connect.version;
            connection.bridge = connect.bridge;
        }
        // A client without an identifier must ask for a clean session; in 3.1 it must have one. 3.1.1: [MQTT-3.1.3-8]
        let needs_a_name = match connect.version {
            ProtocolVersion::V3_1 => true,
            ProtocolVersion::V3_1_1 => !connect.clean_start,
            ProtocolVersion::V5 => false,
        };
        if connect.client_id.is_empty() && needs_a_name {
            self.refuse_connect(number, ReasonCode::ClientIdentifierNotValid, Some(connect));
            return Flow::Stop;
        }
        let home = if connect.client_id.is_empty() { self.id } else { self.home_of(connect.client_id) };
        if home != self.id {
            self.hand_over(number, home, bytes);
            return Flow::Stop;
        }
        match connect.properties.authentication_method {
            Some(method) => self.start_authentication(number, connect, method, bytes),
            None => self.accept_connect(number, connect, None),
        }
    }

    /// A client identifier that nobody has, of this shard [MQTT-3.1.3-6], [MQTT-3.2.2-16].
    fn assign_client_id(&self) -> String {
        loop {
            let client_id = format!("auto-{:016x}", RandomState::new().hash_one(self.id));
            if self.home_of(&client_id) == self.id && self.local.sessions.find(&client_id).is_none() {
                return client_id;
            }
        }
    }

    /// Binds the client to its session. `authentication_data` ends an enhanced authentication, if there was one.
    pub(crate) fn accept_connect(
        &mut self,
        number: u32,
        connect: &Connect<'_>,
        authentication_data: Option<&[u8]>,
    ) -> Flow {
        if self.stopping {
            self.refuse_connect(number, self.reason_of_stop(ReasonCode::ServerUnavailable), Some(connect));
            return Flow::Stop;
        }
        let assigned = connect.client_id.is_empty().then(|| self.assign_client_id());
        let assigned = assigned.as_deref();
        let client_id = assigned.unwrap_or(connect.client_id);
        let found = self.local.sessions.find(client_id);
        if found.is_none() && self.local.sessions.len() >= self.config.sessions_max as usize {
            self.refuse_connect(number, ReasonCode::QuotaExceeded, Some(connect));
            return Flow::Stop;
        }
        let goes_on = found.filter(|session| !connect.clean_start && self.outlives_its_connection(*session));
        let accepted =
            Accepted { session_present: goes_on.is_some(), assigned_client_id: assigned, authentication_data };
        let (admission, prepared) = match self.check_connect(connect, &accepted, client_id, found, goes_on) {
            Ok(checked) => checked,
            Err(reason) => {
                self.refuse_connect(number, reason, Some(connect));
                return Flow::Stop;
            }
        };
        let ended_kept = goes_on.is_none() && self.is_kept(found);
        if let Some(session) = found {
            self.take_over(session);
        }
        if let Some(session) = found.filter(|_| goes_on.is_none()) {
            self.end_session(session); // [MQTT-3.1.2-4], [MQTT-3.1.2-6]
        }
        let session = goes_on.unwrap_or_else(|| self.local.sessions.insert(Session::new(client_id)));
        self.bind(number, session);
        let now = self.local.now;
        let Some((entry, outbox)) = self.local.live(number) else { return Flow::Stop };
        let pumped = entry.session.connect(admission, &self.config.limits, now, outbox);
        self.local.count_pumped(pumped);
        self.file_timer(session);
        self.set_members_online(session, true);
        self.keep_session(session, prepared, ended_kept);
        Flow::Continue
    }

    /// The last that may refuse a CONNECT. It comes before anything happens to the connection and the session that are there:
    /// a client that is refused leaves them as they are.
    fn check_connect(
        &mut self,
        connect: &Connect<'_>,
        accepted: &Accepted<'_>,
        client_id: &str,
        found: Option<u32>,
        goes_on: Option<u32>,
    ) -> Result<(Admission, Option<PreparedSession>), ReasonCode> {
        let admission = Admission::of(connect, accepted, &self.config.limits)?;
        let prepared = self.prepare_session(connect, client_id, found, goes_on, &admission)?;
        Ok((admission, prepared))
    }

    /// Whether there is something to go on with when the session's connection, if it has one, is taken over.
    fn outlives_its_connection(&self, session: u32) -> bool {
        self.local.sessions.get(session).is_some_and(|entry| !entry.session.is_transient())
    }

    fn bind(&mut self, number: u32, session: u32) {
        if let Some(entry) = self.local.sessions.get_mut(session) {
            entry.connection = number;
        }
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.session = session;
            connection.phase = Phase::Live;
        }
        self.requests.push(Request::Receive(number));
    }

    /// [MQTT-3.1.4-3]: a client id that connects again ends the connection that it had.
    fn take_over(&mut self, session: u32) {
        let Some(entry) = self.local.sessions.get(session) else { return };
        let number = entry.connection;
        if number == NONE {
            return;
        }
        self.local.counters.connections_closed_taken_over += 1;
        self.disconnect(number, ReasonCode::SessionTakenOver, DetachCause::Lost);
    }

    /// What a client is told when the server stops: where else to go, or `otherwise`.
    pub(crate) fn reason_of_stop(&self, otherwise: ReasonCode) -> ReasonCode {
        match self.config.server_reference {
            Some(_) if self.config.server_moved => ReasonCode::ServerMoved,
            Some(_) => ReasonCode::UseAnotherServer,
            None => otherwise,
        }
    }

    /// Answers a CONNECT with a refusal and closes. The refusal is explained as far as `connect`, where it is known, says
    /// that the client wants it and takes it [MQTT-3.2.2-19].
    pub(crate) fn refuse_connect(&mut self, number: u32, reason: ReasonCode, connect: Option<&Connect<'_>>) {
        let Some(connection) = self.local.connections.get(number) else { return };
        tracing::debug!(shard = self.id, peer = %connection.peer, ?reason, "CONNECT refused");
        self.local.counters.connections_refused_connect += 1;
        let version = connection.version;
        let elsewhere = self.config.server_reference.as_deref().filter(|_| names_another_server(reason));
        let wants = |connect: &&Connect<'_>| connect.properties.request_problem_information != Some(false);
        let explanation = connect.filter(wants).map(|_| reason.explanation());
        let size_max = connect.and_then(|connect| connect.properties.maximum_packet_size_bytes);
        if let Some(outbox) = self.local.connections.writable(number, &mut self.local.pool) {
            let bytes = outbox.bytes_mut();
            let start = bytes.len();
            for (reason_string, server_reference) in [(explanation, elsewhere), (None, elsewhere), (None, None)] {
                bytes.truncate(start);
                let properties = Properties { reason_string, server_reference, ..Properties::default() };
                let refusal = ConnAck { session_present: false, reason, properties };
                let encoded = codec::encode(&Packet::ConnAck(Box::new(refusal)), version, bytes);
                if encoded.is_ok() && connect.is_some() && fits(&bytes[start..], size_max) {
                    break;
                }
            }
            if !fits(&bytes[start..], size_max) {
                bytes.truncate(start); // [MQTT-3.1.2-24]
            }
        }
        self.drain(number);
    }

    /// A first packet that is no proper CONNECT: answered where there is a version to answer in, else closed without a word.
    pub(crate) fn refuse_first_bytes(&mut self, number: u32, error: &DecodeError, bytes: &[u8]) {
        let version = match error {
            // A client of a version that nobody knows is told in the words of 3.1.1 [MQTT-3.1.2-2].
            DecodeError::UnsupportedProtocolVersion => Some(ProtocolVersion::V3_1_1),
            _ if self.is_authenticating(number) => Some(ProtocolVersion::V5),
            _ => codec::connect_version(bytes).filter(|version| *version == ProtocolVersion::V5),
        };
        let Some(version) = version else { return self.drain(number) };
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.version = version;
        }
        self.refuse_connect(number, ReasonCode::from(error), None);
    }

    fn hand_over(&mut self, number: u32, to: u8, bytes: &[u8]) {
        let Some(connection) = self.local.connections.get_mut(number) else { return };
        connection.phase = Phase::Closing;
        let peer = connection.peer;
        self.next_token += 1;
        // The sender's number makes tokens of different senders differ.
        let token = self.next_token << 8 | u64::from(self.id);
        self.local.counters.connections_handed_over += 1;
        self.post(to, Mail::HandOver(Box::new(HandOver { token, peer, bytes: bytes.to_vec() })));
        self.leaving.insert(number, (to, token));
        self.requests.push(Request::HandOver { connection: number, to, token });
    }

    /// The bytes of a hand-over came by the mesh.
    pub(crate) fn take_hand_over(&mut self, hand_over: Box<HandOver>) {
        match self.arriving.remove(&hand_over.token) {
            Some(Arriving::Descriptor(slot)) => self.arrived.push((slot, hand_over)),
            _ => drop(self.arriving.insert(hand_over.token, Arriving::Bytes(hand_over))),
        }
    }

    /// The descriptor of a hand-over came by the wire.
    pub(crate) fn take_descriptor(&mut self, slot: Slot, token: u64) {
        match self.arriving.remove(&token) {
            Some(Arriving::Bytes(hand_over)) => self.arrived.push((slot, hand_over)),
            _ => drop(self.arriving.insert(token, Arriving::Descriptor(slot))),
        }
    }

    /// After the events of a turn: takes up the connections that had arrived whole before they were reaped. True when others
    /// have since.
    ///
    /// A client's last words on its old connection, say PUBCOMP, are older than its new connection. But the kernel may report
    /// a descriptor that comes from a neighbour at once, and what was received before it only when it is next asked to reap;
    /// then the new connection would take the session away from under them.
    pub(crate) fn take_arrived(&mut self) -> bool {
        for (slot, hand_over) in std::mem::take(&mut self.arrived_before) {
            let number = self.admit(slot, hand_over.peer);
            self.take_bytes(number, &hand_over.bytes);
        }
        std::mem::swap(&mut self.arrived_before, &mut self.arrived);
        !self.arrived_before.is_empty()
    }

    /// The other shard has no room for the connection.
    pub(crate) fn take_hand_over_failed(&mut self, number: u32, error: &std::io::Error) {
        tracing::warn!(shard = self.id, "a connection could not be handed to its shard: {error}");
        self.local.counters.connections_refused_full += 1;
        if let Some((to, token)) = self.leaving.remove(&number) {
            self.post(to, Mail::HandOverFailed(token));
        }
        if let Some(connection) = self.local.connections.get_mut(number) {
            connection.phase = Phase::Connecting;
        }
        self.refuse_connect(number, ReasonCode::ServerBusy, None);
    }
}

/// Whether the client takes a packet of these bytes.
fn fits(bytes: &[u8], size_max: Option<u32>) -> bool {
    size_max.is_none_or(|size_max| bytes.len() <= size_max as usize)
}
