//! What cannot be encoded, what a version leaves out, and the encoders of the hot path.

use ringtail_mqtt::codec::{
    EncodeError, InvalidReasonCode, PACKET_BYTES_MAX, PublishHead, ReasonCodesBuf, SubscribeFiltersBuf,
    SubscriptionIdentifiersBuf, UnsubscribeFiltersBuf, UserPropertiesBuf, encode, encode_ack, encode_pingresp,
    encode_publish,
};
use ringtail_mqtt::packet::{
    Ack, AckProperties, ConnAck, Connect, Packet, PacketId, PacketType, Properties, ProtocolVersion, Publish,
    PublishProperties, QoS, ReasonCodes, ReasonPacket, RetainHandling, SubAck, Subscribe, SubscriptionOptions,
    UserProperties, Will,
};
use ringtail_mqtt::reason::ReasonCode;
use std::num::{NonZeroU16, NonZeroU32};

use ProtocolVersion::{V3_1, V3_1_1, V5};

const VERSIONS: [ProtocolVersion; 3] = [V3_1, V3_1_1, V5];
const PACKET_ID: PacketId = PacketId::MIN;

const HEAD: PublishHead<'static> = PublishHead {
    dup: false,
    qos: QoS::AtMostOnce,
    retain: false,
    topic_name: "a",
    packet_id: None,
    forwarded_properties: &[],
    message_expiry_interval_s: None,
    topic_alias: None,
    subscription_identifiers: &[],
    payload_bytes: 0,
};

fn publish<'a>(topic_name: &'a str, payload: &'a [u8]) -> Publish<'a> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic_name,
        packet_id: None,
        properties: PublishProperties::default(),
        payload,
    }
}

fn connect(version: ProtocolVersion) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        properties: Properties::default(),
        client_id: "id",
        will: None,
        username: None,
        password: None,
    }
}

fn disconnect(reason: ReasonCode, properties: Properties<'_>) -> Packet<'_> {
    Packet::Disconnect(Box::new(ReasonPacket { reason, properties }))
}

fn encoded(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    encode(packet, version, &mut out).expect("the packet is within every limit");
    out
}

/// The error, after checking that nothing was written.
fn error(packet: &Packet<'_>, version: ProtocolVersion) -> Option<EncodeError> {
    let mut out = b"before".to_vec();
    let error = encode(packet, version, &mut out).err();
    assert_eq!(out, b"before");
    error
}

#[test]
fn what_is_too_long_is_refused() {
    let long = "x".repeat(65_536);
    let huge = vec![0; PACKET_BYTES_MAX];
    for version in VERSIONS {
        assert_eq!(error(&Packet::Publish(publish(&long, b"")), version), Some(EncodeError::FieldTooLong));
        assert_eq!(error(&Packet::Publish(publish("a", &huge)), version), Some(EncodeError::PacketTooLarge));
        let long_id = Connect { client_id: &long, ..connect(version) };
        assert_eq!(error(&Packet::Connect(Box::new(long_id)), version), Some(EncodeError::FieldTooLong));
    }
    let reason_string = Properties { reason_string: Some(&long), ..Properties::default() };
    assert_eq!(error(&disconnect(ReasonCode::Success, reason_string), V5), Some(EncodeError::FieldTooLong));
    let mut out = b"before".to_vec();
    assert_eq!(encode_publish(&publish(&long, b""), V5, &mut out), Err(EncodeError::FieldTooLong));
    assert_eq!(out, b"before");
}

#[test]
fn lists_keep_what_they_have_when_an_entry_is_too_long() {
    let long = "x".repeat(65_536);
    let options = SubscriptionOptions::default();
    let mut users = UserPropertiesBuf::new();
    assert_eq!(users.push("k", "v"), Ok(()));
    assert_eq!(users.push("k", &long), Err(EncodeError::FieldTooLong));
    assert_eq!(users.as_properties().iter().collect::<Vec<_>>(), [("k", "v")]);
    assert!(SubscribeFiltersBuf::new(&long, options).is_err());
    let mut filters = SubscribeFiltersBuf::new("a", options).expect("a short filter");
    assert_eq!(filters.push(&long, options), Err(EncodeError::FieldTooLong));
    assert_eq!(filters.as_filters().iter().collect::<Vec<_>>(), [("a", options)]);
    assert!(UnsubscribeFiltersBuf::new(&long).is_err());
    let mut filters = UnsubscribeFiltersBuf::new("a").expect("a short filter");
    assert_eq!(filters.push(&long), Err(EncodeError::FieldTooLong));
    assert_eq!(filters.as_filters().iter().collect::<Vec<_>>(), ["a"]);
    let mut identifiers = SubscriptionIdentifiersBuf::new();
    assert_eq!(identifiers.push(NonZeroU32::MIN), Ok(()));
    assert_eq!(identifiers.push(NonZeroU32::MAX), Err(EncodeError::SubscriptionIdentifier));
    assert_eq!(identifiers.as_identifiers().iter().collect::<Vec<_>>(), [NonZeroU32::MIN]);
}

#[test]
fn subscription_options_come_back_as_they_were_given() {
    let mut given = Vec::new();
    for maximum_qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for retain_handling in [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend] {
            for (no_local, retain_as_published) in [(false, false), (false, true), (true, false), (true, true)] {
                given.push(SubscriptionOptions { maximum_qos, no_local, retain_as_published, retain_handling });
            }
        }
    }
    let mut filters = SubscribeFiltersBuf::new("a", given[0]).expect("a short filter");
    for options in &given[1..] {
        filters.push("a", *options).expect("a short filter");
    }
    assert_eq!(filters.as_filters().iter().map(|(_, options)| options).collect::<Vec<_>>(), given);
}

#[test]
fn remaining_lengths_take_as_few_bytes_as_they_can() {
    // Two bytes of length and one of the topic name come before the payload.
    let rows: [(usize, &[u8]); 7] = [
        (0x7f, b"\x7f"),
        (0x80, b"\x80\x01"),
        (0x3fff, b"\xff\x7f"),
        (0x4000, b"\x80\x80\x01"),
        (0x1f_ffff, b"\xff\xff\x7f"),
        (0x20_0000, b"\x80\x80\x80\x01"),
        (268_435_455, b"\xff\xff\xff\x7f"),
    ];
    for (remaining_length, encoded) in rows {
        let head = PublishHead { payload_bytes: remaining_length - 3, ..HEAD };
        let mut out = Vec::new();
        assert_eq!(head.encode(V3_1_1, &mut out), Ok(None));
        assert_eq!(out, [b"\x30", encoded, b"\x00\x01a"].concat());
        assert_eq!(head.encoded_bytes(V3_1_1), 1 + encoded.len() + remaining_length);
    }
    let mut out = Vec::new();
    let head = PublishHead { payload_bytes: 268_435_456 - 3, ..HEAD };
    assert_eq!(head.encode(V3_1_1, &mut out), Err(EncodeError::PacketTooLarge));
}

#[test]
fn reason_codes_are_those_that_exist() {
    assert_eq!(ReasonCodes::from_bytes(&[0, 0x80, 0x03]), Err(InvalidReasonCode(0x03)));
    let reasons: ReasonCodesBuf = [ReasonCode::Success, ReasonCode::NotAuthorized].into_iter().collect();
    assert_eq!(ReasonCodes::from_bytes(&[0, 0x87]), Ok(reasons.as_codes()));
    assert_eq!(reasons.as_codes().iter().collect::<Vec<_>>(), [ReasonCode::Success, ReasonCode::NotAuthorized]);
}

#[test]
fn a_packet_carries_only_its_own_properties() {
    let assigned = Properties { assigned_client_identifier: Some("c"), ..Properties::default() };
    let refused = Some(EncodeError::PropertyNotAllowed(0x12));
    assert_eq!(error(&disconnect(ReasonCode::Success, assigned), V5), refused);
    let with_assigned = Connect { properties: assigned, ..connect(V5) };
    assert_eq!(error(&Packet::Connect(Box::new(with_assigned)), V5), refused);
    let delayed = PublishProperties { will_delay_interval_s: Some(1), ..PublishProperties::default() };
    let with_delay = Publish { properties: delayed, ..publish("a", b"") };
    assert_eq!(error(&Packet::Publish(with_delay), V5), Some(EncodeError::PropertyNotAllowed(0x18)));
    let aliased = PublishProperties { topic_alias: NonZeroU16::new(1), ..PublishProperties::default() };
    let will = Will { qos: QoS::AtMostOnce, retain: false, properties: aliased, topic_name: "w", payload: b"" };
    let with_alias = Connect { will: Some(will), ..connect(V5) };
    assert_eq!(error(&Packet::Connect(Box::new(with_alias)), V5), Some(EncodeError::PropertyNotAllowed(0x23)));
}

#[test]
fn what_a_version_cannot_say_is_refused() {
    let auth =
        || Packet::Auth(Box::new(ReasonPacket { reason: ReasonCode::Success, properties: Properties::default() }));
    assert_eq!(error(&auth(), V3_1_1), Some(EncodeError::NotInVersion));
    let password_alone = |version| Packet::Connect(Box::new(Connect { password: Some(b"p"), ..connect(version) }));
    assert_eq!(error(&password_alone(V3_1), V5), Some(EncodeError::NotInVersion));
    assert_eq!(error(&password_alone(V3_1_1), V5), Some(EncodeError::NotInVersion));
    let unnumbered = Publish { qos: QoS::AtLeastOnce, ..publish("a", b"") };
    assert_eq!(error(&Packet::Publish(unnumbered), V5), Some(EncodeError::PacketIdMissing));
}

#[test]
fn what_a_version_does_not_know_is_left_out() {
    let mut users = UserPropertiesBuf::new();
    users.push("k", "v").expect("two short strings");
    let user_properties: UserProperties<'_> = users.as_properties();
    let properties = Properties { user_properties, reason_string: Some("w"), ..Properties::default() };
    assert_eq!(encoded(&disconnect(ReasonCode::SessionTakenOver, properties), V3_1_1), b"\xe0\x00");
    let ack_properties = AckProperties { reason_string: Some("w"), user_properties };
    let ack = Ack { packet_id: PACKET_ID, reason: ReasonCode::NotAuthorized, properties: ack_properties };
    assert_eq!(encoded(&Packet::PubAck(ack), V3_1_1), b"\x40\x02\x00\x01");
    let reasons: ReasonCodesBuf = [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized].into_iter().collect();
    let suback = SubAck { packet_id: PACKET_ID, properties: ack_properties, reasons: reasons.as_codes() };
    assert_eq!(encoded(&Packet::SubAck(suback), V3_1_1), b"\x90\x04\x00\x01\x01\x80");
    assert_eq!(encoded(&Packet::UnsubAck(suback), V3_1_1), b"\xb0\x02\x00\x01");
    let options = SubscriptionOptions {
        maximum_qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let filters = SubscribeFiltersBuf::new("a", options).expect("a short filter");
    let subscribe = Subscribe {
        packet_id: PACKET_ID,
        subscription_identifier: Some(NonZeroU32::MIN),
        user_properties,
        filters: filters.as_filters(),
    };
    assert_eq!(encoded(&Packet::Subscribe(subscribe), V3_1_1), b"\x82\x06\x00\x01\x00\x01a\x02");
}

#[test]
fn a_refusal_never_says_that_a_session_is_present() {
    let connack = |session_present, reason| {
        Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties: Properties::default() }))
    };
    assert_eq!(encoded(&connack(true, ReasonCode::Success), V3_1_1), b"\x20\x02\x01\x00");
    assert_eq!(encoded(&connack(true, ReasonCode::Success), V3_1), b"\x20\x02\x00\x00");
    assert_eq!(encoded(&connack(true, ReasonCode::Banned), V3_1_1), b"\x20\x02\x00\x05");
    assert_eq!(encoded(&connack(true, ReasonCode::Banned), V5), b"\x20\x03\x00\x8a\x00");
    assert_eq!(encoded(&connack(false, ReasonCode::QuotaExceeded), V3_1), b"\x20\x02\x00\x03");
}

#[test]
fn maximum_qos_2_is_said_by_silence() {
    let properties = Properties { maximum_qos: Some(QoS::ExactlyOnce), ..Properties::default() };
    let connack = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
    assert_eq!(encoded(&Packet::ConnAck(Box::new(connack)), V5), b"\x20\x03\x00\x00\x00");
}

#[test]
fn the_small_encoders_agree_with_the_large_one() {
    type Kind = (PacketType, fn(Ack<'static>) -> Packet<'static>);
    let kinds: [Kind; 4] = [
        (PacketType::PubAck, Packet::PubAck),
        (PacketType::PubRec, Packet::PubRec),
        (PacketType::PubRel, Packet::PubRel),
        (PacketType::PubComp, Packet::PubComp),
    ];
    for version in VERSIONS {
        for (packet_type, packet) in kinds {
            for reason in [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound] {
                let mut out = Vec::new();
                encode_ack(packet_type, PACKET_ID, reason, version, &mut out);
                let ack = Ack { packet_id: PACKET_ID, reason, properties: AckProperties::default() };
                assert_eq!(out, encoded(&packet(ack), version), "{packet_type:?} {reason:?} in {version:?}");
            }
        }
        let mut out = Vec::new();
        encode_pingresp(&mut out);
        assert_eq!(out, encoded(&Packet::PingResp, version));
    }
}

#[test]
fn a_head_that_is_too_large_writes_nothing() {
    let head = PublishHead {
        qos: QoS::AtLeastOnce,
        packet_id: Some(PACKET_ID),
        message_expiry_interval_s: Some(1),
        subscription_identifiers: &[1, 200],
        payload_bytes: 3,
        ..HEAD
    };
    let mut out = b"before".to_vec();
    assert_eq!(head.encode(V5, &mut out), Ok(Some(6 + 2 + 3)));
    assert_eq!(out, b"before\x32\x13\x00\x01a\x00\x01\x0a\x02\x00\x00\x00\x01\x0b\x01\x0b\xc8\x01");
    assert_eq!(head.encoded_bytes(V5), out.len() - 6 + 3);
    assert_eq!(head.encoded_bytes(V3_1_1), 2 + 3 + 2 + 3);
    for (head, error) in [
        (PublishHead { payload_bytes: PACKET_BYTES_MAX, ..head }, EncodeError::PacketTooLarge),
        (PublishHead { topic_name: &"x".repeat(65_536), ..head }, EncodeError::FieldTooLong),
        (PublishHead { subscription_identifiers: &[1 << 28], ..head }, EncodeError::SubscriptionIdentifier),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(head.encode(V5, &mut out), Err(error));
        assert_eq!(out, b"before");
    }
}
