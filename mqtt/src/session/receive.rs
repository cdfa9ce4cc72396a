//! What a client sends after CONNECT.

use super::outbound::Step;
use super::progress::Progress;
use super::publish::Inbound;
use super::{Session, Ticket};
use crate::codec::{self, encode_ack, encode_pingresp};
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::packet::{
    Ack, AckProperties, Packet, PacketId, PacketType, ProtocolVersion, QoS, ReasonPacket, Subscribe, Unsubscribe,
};
use crate::qos::Acknowledged;
use crate::reason::ReasonCode;
use crate::time::Millis;

/// What the caller has to do about a packet.
#[derive(Debug)]
#[must_use]
pub enum Action<'p> {
    /// Nothing: the session has answered, if an answer was due.
    None,
    /// Route this message, and above QoS 0 call [`Session::accept`] or [`Session::accept_later`] for it.
    Publish(Inbound<'p>),
    /// Nothing but to count it: a PUBLISH goes to nobody for this reason. The client was told, above QoS 0.
    Refused(ReasonCode),
    /// Subscribe, and send SUBACK.
    Subscribe(Subscribe<'p>),
    /// Unsubscribe, and send UNSUBACK.
    Unsubscribe(Unsubscribe<'p>),
    /// An acknowledgement made room for messages that wait: call [`Session::pump`], now or once for several packets.
    Pump,
    /// Give this to the connection's [`Authentication`](crate::authentication::Authentication); without one it is a
    /// protocol error [MQTT-4.12.0-7].
    Auth(&'p ReasonPacket<'p>),
    /// The client is leaving: [`Session::detach`] with [`super::DetachCause::ClientDisconnect`], then close.
    Disconnect {
        /// Publish the Will Message all the same.
        with_will: bool,
        /// The client's reason.
        reason: ReasonCode,
    },
    /// The client broke the protocol or went beyond a limit: [`Session::disconnect`] with this reason,
    /// [`Session::detach`], then close.
    Close(ReasonCode),
}

impl Session {
    /// A packet after CONNECT. Answers go to `out`; while more than `limits.outbox_bytes_max` wait there the caller reads
    /// nothing from this client, so that answers to a client that never reads are bounded too.
    #[inline(always)] // as the codec's `decode`: the packet and the action stay where the caller has them
    pub fn receive<'p>(
        &mut self,
        packet: &'p Packet<'p>,
        limits: &Limits,
        now: Millis,
        out: &mut Outbox,
    ) -> Action<'p> {
        if !self.connected {
            return Action::Close(ReasonCode::ProtocolError); // [MQTT-3.1.0-1]
        }
        self.since = now;
        match packet {
            Packet::Publish(publish) => match publish.check_from_client() {
                Ok(()) => self.on_publish(publish, limits, now, out),
                Err(error) => Action::Close(ReasonCode::from(&error)),
            },
            Packet::PubAck(ack) => self.on_acknowledged(ack.packet_id, Acknowledged::PubAck, out),
            Packet::PubRec(ack) if ack.reason.is_error() => {
                self.on_acknowledged(ack.packet_id, Acknowledged::PubRecFailed, out)
            }
            Packet::PubRec(ack) => self.on_acknowledged(ack.packet_id, Acknowledged::PubRec, out),
            Packet::PubComp(ack) => self.on_acknowledged(ack.packet_id, Acknowledged::PubComp, out),
            Packet::PubRel(ack) => self.on_pubrel(ack, out),
            Packet::PingReq => {
                self.window.trim(); // who pings has nothing else to say
                encode_pingresp(out.bytes_mut()); // [MQTT-3.12.4-1]
                Action::None
            }
            packet => match packet.check_from_client() {
                Ok(()) => self.on_other(packet, limits),
                Err(error) => Action::Close(ReasonCode::from(&error)),
            },
        }
    }

    /// What is rare.
    #[inline(never)] // so that its caller stays small enough to be inlined
    fn on_other<'p>(&mut self, packet: &'p Packet<'p>, limits: &Limits) -> Action<'p> {
        match packet {
            Packet::Subscribe(subscribe) => Action::Subscribe(*subscribe),
            Packet::Unsubscribe(unsubscribe) => Action::Unsubscribe(*unsubscribe),
            Packet::Disconnect(disconnect) => self.on_disconnect(disconnect, limits),
            Packet::Auth(auth) => Action::Auth(auth),
            // A second CONNECT [MQTT-3.1.0-2]; nothing else is left that a client may send.
            _ => Action::Close(ReasonCode::ProtocolError),
        }
    }

    /// PUBACK, PUBREC or PUBCOMP for what the server sent.
    fn on_acknowledged<'p>(&mut self, packet_id: PacketId, event: Acknowledged, out: &mut Outbox) -> Action<'p> {
        let version = self.settings.version;
        let pubrel = |reason, out: &mut Outbox| {
            encode_ack(PacketType::PubRel, packet_id, reason, version, out.bytes_mut());
        };
        match self.window.acknowledge(packet_id, event) {
            Ok(Step::Done { sequence_low }) => {
                self.record(|session| Progress::Done { sequence: session.sequence(sequence_low) });
                if self.has_backlog() { Action::Pump } else { Action::None }
            }
            Ok(Step::Released { sequence_low }) => {
                self.record(|session| Progress::Released { sequence: session.sequence(sequence_low) });
                pubrel(ReasonCode::Success, out); // [MQTT-4.3.3-4]
                Action::None
            }
            Ok(Step::Again) => {
                pubrel(ReasonCode::Success, out);
                Action::None
            }
            Err(ReasonCode::PacketIdentifierNotFound) => {
                if event == Acknowledged::PubRec {
                    pubrel(ReasonCode::PacketIdentifierNotFound, out); // ends the exchange on the client's side
                }
                Action::None
            }
            Err(reason) => Action::Close(reason),
        }
    }

    /// PUBREL: the identifier of the client's QoS 2 PUBLISH is free again [MQTT-4.3.3-11].
    fn on_pubrel<'p>(&mut self, pubrel: &Ack<'_>, out: &mut Outbox) -> Action<'p> {
        let packet_id = pubrel.packet_id;
        let released = match &mut self.ledger {
            Some(ledger) => ledger.release(packet_id),
            None => Err(ReasonCode::PacketIdentifierNotFound),
        };
        let reason = match released {
            Ok(()) => ReasonCode::Success,
            Err(ReasonCode::PacketIdentifierNotFound) => ReasonCode::PacketIdentifierNotFound,
            Err(reason) => return Action::Close(reason),
        };
        // Also of an identifier that is not known here: the client may use it for another message from now on.
        self.record(|_| Progress::InboundDone { packet_id });
        self.free_ledger();
        encode_ack(PacketType::PubComp, packet_id, reason, self.settings.version, out.bytes_mut());
        Action::None
    }

    fn on_disconnect<'p>(&mut self, disconnect: &ReasonPacket<'_>, limits: &Limits) -> Action<'p> {
        if let Some(asked_s) = disconnect.properties.session_expiry_interval_s {
            // A session that was to end with its connection cannot be kept (5.0, 3.14.2.2.2). Where the server allows
            // none, 0 may be its doing, and the answer stays 0.
            if self.is_transient() && asked_s != 0 && limits.session_expiry_max_s != 0 {
                return Action::Close(ReasonCode::ProtocolError);
            }
            self.settings.session_expiry_s = asked_s.min(limits.session_expiry_max_s);
        }
        // Only a Normal disconnection discards the will [MQTT-3.14.4-3].
        let with_will = disconnect.reason != ReasonCode::Success;
        Action::Disconnect { with_will, reason: disconnect.reason }
    }

    /// The broker has decided about a PUBLISH of QoS 1 or 2 at once: PUBACK or PUBREC, in its turn. A reason of 0x80 or
    /// above refuses the message, which a 3.x client cannot be told: it gets the same acknowledgement [MQTT-3.3.5-2].
    pub fn accept(&mut self, packet_id: PacketId, qos: QoS, reason: ReasonCode, out: &mut Outbox) {
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce if self.ledger.as_ref().is_none_or(|ledger| ledger.pending_len() == 0) => {
                if self.connected {
                    self.answer(PacketType::PubAck, packet_id, reason, out);
                }
            }
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                self.ledger.get_or_insert_default().open(packet_id, qos, Some(reason), self.connected);
                self.acknowledge_due(out);
            }
        }
    }

    /// The broker will decide about a PUBLISH of QoS 1 or 2 later, by [`Session::committed`] exactly once for each ticket,
    /// also when the connection has gone in the meantime. Acknowledgements leave in the order of the PUBLISHes
    /// [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    #[must_use]
    pub fn accept_later(&mut self, packet_id: PacketId, qos: QoS) -> Ticket {
        self.ledger.get_or_insert_default().open(packet_id, qos, None, self.connected)
    }

    /// The broker has decided about an earlier PUBLISH: its acknowledgement and those that waited behind it leave.
    pub fn committed(&mut self, ticket: Ticket, reason: ReasonCode, out: &mut Outbox) {
        if let Some(ledger) = &mut self.ledger {
            ledger.decide(ticket, reason);
            self.acknowledge_due(out);
        }
    }

    fn acknowledge_due(&mut self, out: &mut Outbox) {
        while let Some(due) = self.ledger.as_mut().and_then(|ledger| ledger.next_due()) {
            if due.answer {
                let packet_type = match due.qos {
                    QoS::ExactlyOnce => PacketType::PubRec,                   // [MQTT-4.3.3-8]
                    QoS::AtLeastOnce | QoS::AtMostOnce => PacketType::PubAck, // [MQTT-4.3.2-4]
                };
                self.answer(packet_type, due.packet_id, due.reason, out);
            }
        }
        self.free_ledger();
    }

    /// PUBACK or PUBREC. One that refuses says why, unless the client wants no problem information [MQTT-3.1.2-29] or the
    /// packet would be too large for it [MQTT-3.4.2-2], [MQTT-3.5.2-2].
    #[inline]
    fn answer(&self, packet_type: PacketType, packet_id: PacketId, reason: ReasonCode, out: &mut Outbox) {
        if reason.is_error()
            && self.settings.version == ProtocolVersion::V5
            && self.refuse(packet_type, packet_id, reason, out)
        {
            return;
        }
        encode_ack(packet_type, packet_id, reason, self.settings.version, out.bytes_mut());
    }

    /// False when the refusal cannot be explained.
    #[cold]
    fn refuse(&self, packet_type: PacketType, packet_id: PacketId, reason: ReasonCode, out: &mut Outbox) -> bool {
        let Some(explanation) = self.explanation(reason) else { return false };
        let properties = AckProperties { reason_string: Some(explanation), ..AckProperties::default() };
        let ack = Ack { packet_id, reason, properties };
        let packet = if packet_type == PacketType::PubRec { Packet::PubRec(ack) } else { Packet::PubAck(ack) };
        let bytes = out.bytes_mut();
        let start = bytes.len();
        let encoded = codec::encode(&packet, ProtocolVersion::V5, bytes);
        let fits = encoded.is_ok() && bytes.len() - start <= self.settings.maximum_packet_size_bytes as usize;
        if !fits {
            bytes.truncate(start);
        }
        fits
    }

    /// Drops the ledger when there is nothing in it.
    pub(super) fn free_ledger(&mut self) {
        if self.ledger.as_ref().is_some_and(|ledger| ledger.is_empty()) {
            self.ledger = None;
        }
    }

    /// True when the client has so many PUBLISHes waiting for a decision that the caller had better stop reading from
    /// it: a client of 3.x knows no Receive Maximum and cannot be blamed for more.
    #[must_use]
    pub fn wants_pause(&self, limits: &Limits) -> bool {
        let pending = self.ledger.as_ref().map_or(0, |ledger| ledger.pending_len());
        self.settings.version != ProtocolVersion::V5 && pending >= usize::from(limits.receive_maximum)
    }
}
