//! Who may send what: the rules that [`Packet::check_from_client`] and [`Packet::check_from_server`] keep.

mod codec_table;

use codec_table::{Expected, rows};
use ringtail_mqtt::codec::{DecodeError, SubscriptionIdentifiersBuf};
use ringtail_mqtt::packet::{Packet, PacketType, Properties, ReasonPacket};
use ringtail_mqtt::reason::ReasonCode;
use std::num::NonZeroU32;

#[test]
fn packet_types_have_their_direction() {
    for row in rows() {
        let (Expected::Packet(packet) | Expected::OtherEncoding(packet)) = row.expected else {
            continue;
        };
        let (from_client, from_server) = match packet.packet_type() {
            PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => {
                (true, false)
            }
            PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => (false, true),
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => (true, true),
            PacketType::Publish | PacketType::Disconnect | PacketType::Auth => continue,
        };
        assert_eq!(packet.check_from_client().is_ok(), from_client, "{}", row.name);
        assert_eq!(packet.check_from_server().is_ok(), from_server, "{}", row.name);
    }
}

#[test]
fn only_a_server_sends_subscription_identifiers() {
    let mut identifiers = SubscriptionIdentifiersBuf::new();
    identifiers.push(NonZeroU32::MIN).expect("1 is within the limit");
    for row in rows() {
        let (Expected::Packet(Packet::Publish(mut publish)) | Expected::OtherEncoding(Packet::Publish(mut publish))) =
            row.expected
        else {
            continue;
        };
        publish.properties.subscription_identifiers = identifiers.as_identifiers();
        assert_eq!(Packet::Publish(publish).check_from_client(), Err(DecodeError::WrongSender), "{}", row.name);
        assert_eq!(Packet::Publish(publish).check_from_server(), Ok(()), "{}", row.name);
        publish.properties.subscription_identifiers = Default::default();
        assert_eq!(Packet::Publish(publish).check_from_client(), Ok(()), "{}", row.name);
    }
}

#[test]
fn reasons_have_their_direction() {
    let none = Properties::default();
    let disconnect = |reason, properties| Packet::Disconnect(Box::new(ReasonPacket { reason, properties }));
    let auth = |reason| Packet::Auth(Box::new(ReasonPacket { reason, properties: none }));
    let expiring = Properties { session_expiry_interval_s: Some(1), ..none };
    let rows = [
        (disconnect(ReasonCode::Success, none), true, true),
        (disconnect(ReasonCode::Success, expiring), true, false),
        (disconnect(ReasonCode::DisconnectWithWill, none), true, false),
        (disconnect(ReasonCode::ProtocolError, none), true, true),
        (disconnect(ReasonCode::TopicNameInvalid, none), true, true),
        (disconnect(ReasonCode::SessionTakenOver, none), false, true),
        (disconnect(ReasonCode::ServerMoved, none), false, true),
        (disconnect(ReasonCode::KeepAliveTimeout, none), false, true),
        (auth(ReasonCode::Success), false, true),
        (auth(ReasonCode::ContinueAuthentication), true, true),
        (auth(ReasonCode::ReAuthenticate), true, false),
    ];
    for (packet, from_client, from_server) in rows {
        assert_eq!(packet.check_from_client().is_ok(), from_client, "{packet:?}");
        assert_eq!(packet.check_from_server().is_ok(), from_server, "{packet:?}");
    }
}
