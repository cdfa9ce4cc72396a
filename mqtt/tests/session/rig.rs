//! A session with its limits, its outbox and its clock, and short ways to make and read packets.

use ringtail_mqtt::codec::{self, Frame};
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::outbox::Outbox;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use ringtail_mqtt::time::Millis;
use std::num::NonZeroU16;

pub(crate) const TOPIC_NAME: &str = "rooms/kitchen/light";

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) limits: Limits,
    pub(crate) now: Millis,
    pub(crate) out: Outbox,
    pub(crate) encoder: Encoder,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self {
            session: Session::new("tester"),
            limits: Limits::default(),
            now: Millis(1_000_000),
            out: Outbox::default(),
            encoder: Encoder::default(),
        }
    }

    /// Connected, with CONNACK read.
    pub(crate) fn connected(connect: Connect<'_>) -> Self {
        let mut rig = Self::new();
        rig.connect(&connect).expect("accepted");
        rig.sent();
        rig
    }

    /// A v5 client whose session lasts.
    pub(crate) fn v5() -> Self {
        Self::connected(connect_v5())
    }

    pub(crate) fn connect(&mut self, connect: &Connect<'_>) -> Result<Pumped, ReasonCode> {
        self.connect_as(connect, &Accepted::default())
    }

    pub(crate) fn connect_as(&mut self, connect: &Connect<'_>, accepted: &Accepted<'_>) -> Result<Pumped, ReasonCode> {
        let admission = Admission::of(connect, accepted, &self.limits)?;
        Ok(self.session.connect(admission, &self.limits, self.now, &mut self.out))
    }

    /// The connection breaks, and what was on its way is lost.
    pub(crate) fn lose(&mut self) -> Detached {
        let detached = self.session.detach(DetachCause::Lost, self.now);
        self.out = Outbox::default();
        detached
    }

    pub(crate) fn receive(&mut self, packet: Packet<'static>) -> Action<'static> {
        let action = self.session.receive(Box::leak(Box::new(packet)), &self.limits, self.now, &mut self.out);
        self.session.invariants(&self.limits);
        action
    }

    /// Receives what is answered by the session alone, and gives the answers.
    pub(crate) fn answers(&mut self, packet: Packet<'static>) -> Vec<Packet<'static>> {
        match self.receive(packet) {
            Action::None | Action::Pump => self.sent(),
            action => panic!("{action:?}"),
        }
    }

    /// Receives what the session closes the connection for, and gives the reason.
    pub(crate) fn violation(&mut self, packet: Packet<'static>) -> ReasonCode {
        match self.receive(packet) {
            Action::Close(reason) => reason,
            action => panic!("{action:?}"),
        }
    }

    /// Receives a PUBLISH that is to be routed.
    pub(crate) fn routed(&mut self, packet: Packet<'static>) -> Inbound<'static> {
        match self.receive(packet) {
            Action::Publish(inbound) => inbound,
            action => panic!("{action:?}"),
        }
    }

    pub(crate) fn accept(&mut self, packet_id: u16, qos: QoS) {
        self.session.accept(id(packet_id), qos, ReasonCode::Success, &mut self.out);
        self.session.invariants(&self.limits);
    }

    pub(crate) fn committed(&mut self, ticket: Ticket, reason: ReasonCode) {
        self.session.committed(ticket, reason, &mut self.out);
        self.session.invariants(&self.limits);
    }

    pub(crate) fn deliver(&mut self, payload: &str, qos: QoS) -> Delivered {
        self.deliver_as(message(payload), &DeliverOptions { qos, ..DeliverOptions::default() })
    }

    pub(crate) fn deliver_as(&mut self, message: MessageRef<'_>, options: &DeliverOptions<'_>) -> Delivered {
        let mut outgoing = Outgoing::new(message, &mut self.encoder);
        let delivered = self.session.deliver(&mut outgoing, options, &self.limits, self.now, &mut self.out);
        self.session.invariants(&self.limits);
        delivered
    }

    pub(crate) fn pump(&mut self) -> Pumped {
        let pumped = self.session.pump(&self.limits, self.now, &mut self.out);
        self.session.invariants(&self.limits);
        pumped
    }

    pub(crate) fn sent_bytes(&mut self) -> &'static [u8] {
        let mut bytes = Vec::new();
        while let Some(segment) = self.out.pop_segment() {
            bytes.extend_from_slice(segment.as_bytes());
        }
        Box::leak(bytes.into_boxed_slice())
    }

    /// What the client gets.
    pub(crate) fn sent(&mut self) -> Vec<Packet<'static>> {
        let mut rest = self.sent_bytes();
        let mut packets = Vec::new();
        while !rest.is_empty() {
            let Ok(Frame::Complete { total_bytes, .. }) = codec::frame(rest, u32::MAX) else { panic!("{rest:?}") };
            let packet = codec::decode(&rest[..total_bytes], self.session.version()).expect("a packet");
            packet.check_from_server().expect("a server's packet");
            packets.push(packet);
            rest = &rest[total_bytes..];
        }
        packets
    }

    /// The PUBLISHes among [`Rig::sent`], as `(packet id, payload, DUP)`; other packets are refused.
    pub(crate) fn sent_publishes(&mut self) -> Vec<(u16, &'static str, bool)> {
        self.sent().into_iter().map(|packet| publish_of(&packet)).collect()
    }

    /// The one packet that was sent.
    pub(crate) fn sent_one(&mut self) -> Packet<'static> {
        let mut packets = self.sent();
        assert_eq!(packets.len(), 1, "{packets:?}");
        packets.remove(0)
    }

    pub(crate) fn connack(&mut self) -> ConnAck<'static> {
        match self.sent_one() {
            Packet::ConnAck(connack) => *connack,
            packet => panic!("{packet:?}"),
        }
    }

    pub(crate) fn progress(&mut self) -> Vec<Progress> {
        self.session.drain_progress().collect()
    }
}

pub(crate) fn publish_of(packet: &Packet<'static>) -> (u16, &'static str, bool) {
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    let payload = std::str::from_utf8(publish.payload).expect("text");
    (publish.packet_id.map_or(0, |id| id.get()), payload, publish.dup)
}

pub(crate) fn id(packet_id: u16) -> PacketId {
    NonZeroU16::new(packet_id).expect("not 0")
}

pub(crate) fn message(payload: &str) -> MessageRef<'_> {
    MessageRef {
        topic_name: TOPIC_NAME,
        properties: &[],
        payload: payload.as_bytes(),
        qos: QoS::ExactlyOnce,
        retain: false,
        expires_at: Millis::NEVER,
    }
}

pub(crate) fn connect_of(version: ProtocolVersion, clean_start: bool, properties: Properties<'_>) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_start,
        keep_alive_s: 60,
        properties,
        client_id: "tester",
        will: None,
        username: None,
        password: None,
    }
}

/// A v5 client whose session lasts an hour.
pub(crate) fn connect_v5() -> Connect<'static> {
    connect_with(Properties::default())
}

/// The same with other properties.
pub(crate) fn connect_with(properties: Properties<'_>) -> Connect<'_> {
    let session_expiry_interval_s = properties.session_expiry_interval_s.or(Some(3_600));
    connect_of(ProtocolVersion::V5, false, Properties { session_expiry_interval_s, ..properties })
}

pub(crate) fn connect_v4(clean_session: bool) -> Connect<'static> {
    connect_of(ProtocolVersion::V3_1_1, clean_session, Properties::default())
}

pub(crate) fn publish_with(
    qos: QoS,
    packet_id: u16,
    topic_name: &'static str,
    properties: PublishProperties<'static>,
) -> Packet<'static> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic_name,
        packet_id: NonZeroU16::new(packet_id),
        properties,
        payload: b"on",
    })
}

pub(crate) fn publish(qos: QoS, packet_id: u16) -> Packet<'static> {
    publish_with(qos, packet_id, TOPIC_NAME, PublishProperties::default())
}

pub(crate) fn ack(packet_id: u16, reason: ReasonCode) -> Ack<'static> {
    Ack { packet_id: id(packet_id), reason, properties: AckProperties::default() }
}

/// An acknowledgement that refuses, and says why.
pub(crate) fn refusal(packet_id: u16, reason: ReasonCode) -> Ack<'static> {
    let properties = AckProperties { reason_string: Some(reason.explanation()), ..AckProperties::default() };
    Ack { packet_id: id(packet_id), reason, properties }
}

pub(crate) fn puback(packet_id: u16) -> Packet<'static> {
    Packet::PubAck(ack(packet_id, ReasonCode::Success))
}

pub(crate) fn pubrec(packet_id: u16) -> Packet<'static> {
    Packet::PubRec(ack(packet_id, ReasonCode::Success))
}

pub(crate) fn pubrel(packet_id: u16) -> Packet<'static> {
    Packet::PubRel(ack(packet_id, ReasonCode::Success))
}

pub(crate) fn pubcomp(packet_id: u16) -> Packet<'static> {
    Packet::PubComp(ack(packet_id, ReasonCode::Success))
}

pub(crate) fn disconnect(reason: ReasonCode, session_expiry_interval_s: Option<u32>) -> Packet<'static> {
    let properties = Properties { session_expiry_interval_s, ..Properties::default() };
    Packet::Disconnect(Box::new(ReasonPacket { reason, properties }))
}

pub(crate) fn will(delay_s: u32) -> Will<'static> {
    Will {
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: PublishProperties {
            will_delay_interval_s: Some(delay_s),
            message_expiry_interval_s: Some(30),
            content_type: Some("text/plain"),
            ..PublishProperties::default()
        },
        topic_name: "rooms/kitchen/gone",
        payload: b"gone",
    }
}

pub(crate) fn payload_of(message: &Message) -> &str {
    std::str::from_utf8(message.payload()).expect("text")
}
