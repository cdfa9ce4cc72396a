//! Arbitrary packets of every kind and version: all that may be encoded, and nothing else.
//!
//! Packets borrow, so the texts that they are made of live as long as the test run.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringtail_mqtt::codec::{
    ReasonCodesBuf, SubscribeFiltersBuf, SubscriptionIdentifiersBuf, UnsubscribeFiltersBuf, UserPropertiesBuf,
};
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use std::num::{NonZeroU16, NonZeroU32};

pub(crate) fn version() -> impl Strategy<Value = ProtocolVersion> {
    prop_oneof![Just(ProtocolVersion::V3_1), Just(ProtocolVersion::V3_1_1), Just(ProtocolVersion::V5)]
}

/// Any packet that `version` can say.
pub(crate) fn packet(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        connect(version).prop_map(|connect| Packet::Connect(Box::new(connect))),
        connack(version).prop_map(|connack| Packet::ConnAck(Box::new(connack))),
        publish(version).prop_map(Packet::Publish),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        suback(version, PacketType::SubAck).prop_map(Packet::SubAck),
        suback(version, PacketType::UnsubAck).prop_map(Packet::UnsubAck),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(version).prop_map(|packet| Packet::Disconnect(Box::new(packet))),
    ];
    if version == ProtocolVersion::V5 {
        prop_oneof![14 => common, 1 => auth().prop_map(|packet| Packet::Auth(Box::new(packet)))].boxed()
    } else {
        common.boxed()
    }
}

/// A text without U+0000, mostly short.
pub(crate) fn text() -> impl Strategy<Value = &'static str> {
    let of = |length| {
        vec(any::<char>().prop_filter("U+0000 is no text", |c| *c != '\0'), length)
            .prop_map(|characters| &*characters.into_iter().collect::<String>().leak())
    };
    let ascii = "[ -~]{0,40}".prop_map(|text| &*text.leak());
    prop_oneof![8 => ascii, 4 => of(0..24), 1 => of(100..400)]
}

/// A topic name.
pub(crate) fn topic_name() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| match text.replace(['+', '#'], "/") {
        name if name.is_empty() => "a",
        name => name.leak(),
    })
}

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![8 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 100..20_000)].prop_map(|bytes| &*bytes.leak())
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    any::<PacketId>()
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

/// The default before 5.0.
fn from_5<T: Clone + Default + std::fmt::Debug + 'static>(
    version: ProtocolVersion,
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if version == ProtocolVersion::V5 { strategy.boxed() } else { Just(T::default()).boxed() }
}

fn user_properties() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..4).prop_map(|properties| {
        let list: &'static mut UserPropertiesBuf = Box::leak(Box::default());
        for (name, value) in properties {
            list.push(name, value).expect("texts are shorter than 65,536 bytes");
        }
        list.as_properties()
    })
}

fn subscription_identifiers() -> impl Strategy<Value = SubscriptionIdentifiers<'static>> {
    vec(subscription_identifier(), 0..4).prop_map(|identifiers| {
        let list: &'static mut SubscriptionIdentifiersBuf = Box::leak(Box::default());
        for identifier in identifiers {
            list.push(identifier).expect("identifiers are below 2^28");
        }
        list.as_identifiers()
    })
}

fn subscription_identifier() -> impl Strategy<Value = NonZeroU32> {
    (0_u32..28).prop_flat_map(|bits| 1_u32 << bits..2 << bits).prop_map(|value| NonZeroU32::new(value).expect("from 1"))
}

/// The properties that are in CONNECT and CONNACK alike.
fn connection_properties() -> impl Strategy<Value = Properties<'static>> {
    let authentication = option::of((text(), option::of(bytes())));
    (
        option::of(any::<u32>()),
        authentication,
        option::of(any::<NonZeroU16>()),
        option::of(any::<u16>()),
        option::of(1..=u32::MAX),
        user_properties(),
    )
        .prop_map(|(expiry, authentication, receive_maximum, aliases, packet_size, user_properties)| Properties {
            session_expiry_interval_s: expiry,
            authentication_method: authentication.map(|(method, _)| method),
            authentication_data: authentication.and_then(|(_, data)| data),
            receive_maximum,
            topic_alias_maximum: aliases,
            maximum_packet_size_bytes: packet_size,
            user_properties,
            ..Properties::default()
        })
}

fn publish_properties() -> impl Strategy<Value = PublishProperties<'static>> {
    (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(topic_name()),
        option::of(bytes()),
        option::of(text()),
        user_properties(),
    )
        .prop_map(|(format, expiry, response_topic, correlation_data, content_type, user_properties)| {
            PublishProperties {
                payload_format_indicator: format,
                message_expiry_interval_s: expiry,
                response_topic,
                correlation_data,
                content_type,
                user_properties,
                ..PublishProperties::default()
            }
        })
}

fn will(version: ProtocolVersion) -> impl Strategy<Value = Will<'static>> {
    let properties = (publish_properties(), option::of(any::<u32>()))
        .prop_map(|(properties, delay)| PublishProperties { will_delay_interval_s: delay, ..properties });
    (qos(), any::<bool>(), from_5(version, properties), topic_name(), bytes()).prop_map(
        |(qos, retain, properties, topic_name, payload)| Will { qos, retain, properties, topic_name, payload },
    )
}

fn connect(version: ProtocolVersion) -> impl Strategy<Value = Connect<'static>> {
    let properties = (connection_properties(), option::of(any::<bool>()), option::of(any::<bool>())).prop_map(
        |(properties, request_problem_information, request_response_information)| Properties {
            request_problem_information,
            request_response_information,
            ..properties
        },
    );
    (
        (any::<bool>(), any::<bool>(), any::<u16>()),
        from_5(version, properties),
        text(),
        option::of(will(version)),
        option::of(text()),
        option::of(bytes()),
    )
        .prop_map(move |((bridge, clean_start, keep_alive_s), properties, client_id, will, username, password)| {
            let is_5 = version == ProtocolVersion::V5;
            Connect {
                version,
                bridge: bridge && !is_5,
                clean_start,
                keep_alive_s,
                properties,
                client_id,
                will,
                username,
                password: password.filter(|_| is_5 || username.is_some()),
            }
        })
}

fn connack(version: ProtocolVersion) -> impl Strategy<Value = ConnAck<'static>> {
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()), option::of(any::<bool>()));
    let properties = (
        connection_properties(),
        texts,
        flags,
        option::of(any::<u16>()),
        option::of(any::<bool>()),
        option::of(prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)]),
    )
        .prop_map(|(properties, texts, flags, server_keep_alive_s, retain_available, maximum_qos)| Properties {
            assigned_client_identifier: texts.0,
            response_information: texts.1,
            server_reference: texts.2,
            reason_string: texts.3,
            wildcard_subscription_available: flags.0,
            subscription_identifier_available: flags.1,
            shared_subscription_available: flags.2,
            server_keep_alive_s,
            retain_available,
            maximum_qos,
            ..properties
        });
    let is_5 = version == ProtocolVersion::V5;
    let reason = reason(move |reason| {
        reason.is_of(PacketType::ConnAck)
            // Before 5.0 there are six codes, and several reasons share one.
            && (is_5 || ReasonCode::from_connect_return_code(reason.connect_return_code()) == Some(reason))
    });
    (any::<bool>(), reason, from_5(version, properties)).prop_map(move |(session_present, reason, properties)| {
        let may_be_present = reason == ReasonCode::Success && version > ProtocolVersion::V3_1;
        ConnAck { session_present: session_present && may_be_present, reason, properties }
    })
}

pub(crate) fn publish(version: ProtocolVersion) -> impl Strategy<Value = Publish<'static>> {
    let properties = (publish_properties(), option::of(any::<NonZeroU16>()), subscription_identifiers()).prop_map(
        |(properties, topic_alias, subscription_identifiers)| PublishProperties {
            topic_alias,
            subscription_identifiers,
            ..properties
        },
    );
    (
        (any::<bool>(), qos(), any::<bool>(), packet_id()),
        (topic_name(), any::<bool>()),
        from_5(version, properties),
        bytes(),
    )
        .prop_map(|((dup, qos, retain, packet_id), (topic_name, by_alias), properties, payload)| {
            let acknowledged = qos > QoS::AtMostOnce;
            Publish {
                dup: dup && acknowledged,
                qos,
                retain,
                topic_name: if by_alias && properties.topic_alias.is_some() { "" } else { topic_name },
                packet_id: acknowledged.then_some(packet_id),
                properties,
                payload,
            }
        })
}

/// One of the reasons that `is_wanted`.
fn reason(is_wanted: impl Fn(ReasonCode) -> bool) -> impl Strategy<Value = ReasonCode> {
    let reasons: Vec<ReasonCode> = (0..=u8::MAX).filter_map(ReasonCode::from_byte).filter(|r| is_wanted(*r)).collect();
    proptest::sample::select(reasons)
}

fn ack_properties() -> impl Strategy<Value = AckProperties<'static>> {
    (option::of(text()), user_properties())
        .prop_map(|(reason_string, user_properties)| AckProperties { reason_string, user_properties })
}

fn ack(version: ProtocolVersion, packet_type: PacketType) -> impl Strategy<Value = Ack<'static>> {
    let is_5 = version == ProtocolVersion::V5;
    let reason = reason(move |reason| reason.is_of(packet_type) && (is_5 || reason == ReasonCode::Success));
    (packet_id(), reason, from_5(version, ack_properties())).prop_map(|(packet_id, reason, properties)| Ack {
        packet_id,
        reason,
        properties,
    })
}

fn options(version: ProtocolVersion) -> impl Strategy<Value = SubscriptionOptions> {
    let retain_handling =
        prop_oneof![Just(RetainHandling::Send), Just(RetainHandling::SendIfNew), Just(RetainHandling::DoNotSend)];
    let of_5 = (any::<bool>(), any::<bool>(), retain_handling);
    (qos(), from_5(version, of_5.prop_map(Some))).prop_map(|(maximum_qos, of_5)| {
        let (no_local, retain_as_published, retain_handling) = of_5.unwrap_or_default();
        SubscriptionOptions { maximum_qos, no_local, retain_as_published, retain_handling }
    })
}

fn subscribe(version: ProtocolVersion) -> impl Strategy<Value = Subscribe<'static>> {
    // No Local on a shared subscription may not be said.
    let filter = text().prop_filter("not shared", |filter| !filter.starts_with("$share/"));
    let identifier = option::of(subscription_identifier());
    (
        packet_id(),
        from_5(version, identifier),
        from_5(version, user_properties()),
        vec((filter, options(version)), 1..5),
    )
        .prop_map(|(packet_id, subscription_identifier, user_properties, filters)| {
            let mut list = SubscribeFiltersBuf::new(filters[0].0, filters[0].1).expect("texts are short");
            for (filter, options) in &filters[1..] {
                list.push(filter, *options).expect("texts are short");
            }
            let filters = Box::leak(Box::new(list)).as_filters();
            Subscribe { packet_id, subscription_identifier, user_properties, filters }
        })
}

fn unsubscribe(version: ProtocolVersion) -> impl Strategy<Value = Unsubscribe<'static>> {
    (packet_id(), from_5(version, user_properties()), vec(text(), 1..5)).prop_map(
        |(packet_id, user_properties, filters)| {
            let mut list = UnsubscribeFiltersBuf::new(filters[0]).expect("texts are short");
            for filter in &filters[1..] {
                list.push(filter).expect("texts are short");
            }
            let filters = Box::leak(Box::new(list)).as_filters();
            Unsubscribe { packet_id, user_properties, filters }
        },
    )
}

fn suback(version: ProtocolVersion, packet_type: PacketType) -> impl Strategy<Value = SubAck<'static>> {
    let is_5 = version == ProtocolVersion::V5;
    let reason = reason(move |reason| reason.is_of(packet_type) && (is_5 || matches!(reason as u8, 0..=2 | 0x80)));
    // An UNSUBACK before 5.0 has no codes.
    let count = if packet_type == PacketType::UnsubAck && !is_5 { 0..1 } else { 1..6 };
    (packet_id(), from_5(version, ack_properties()), vec(reason, count)).prop_map(|(packet_id, properties, reasons)| {
        let reasons: &'static ReasonCodesBuf = Box::leak(Box::new(reasons.into_iter().collect()));
        SubAck { packet_id, properties, reasons: reasons.as_codes() }
    })
}

fn disconnect(version: ProtocolVersion) -> impl Strategy<Value = ReasonPacket<'static>> {
    let is_5 = version == ProtocolVersion::V5;
    let reason = reason(move |reason| reason.is_of(PacketType::Disconnect) && (is_5 || reason == ReasonCode::Success));
    let properties = (option::of(any::<u32>()), option::of(text()), option::of(text()), user_properties()).prop_map(
        |(session_expiry_interval_s, reason_string, server_reference, user_properties)| Properties {
            session_expiry_interval_s,
            reason_string,
            server_reference,
            user_properties,
            ..Properties::default()
        },
    );
    (reason, from_5(version, properties)).prop_map(|(reason, properties)| ReasonPacket { reason, properties })
}

fn auth() -> impl Strategy<Value = ReasonPacket<'static>> {
    let properties = (text(), option::of(bytes()), option::of(text()), user_properties()).prop_map(
        |(method, authentication_data, reason_string, user_properties)| Properties {
            authentication_method: Some(method),
            authentication_data,
            reason_string,
            user_properties,
            ..Properties::default()
        },
    );
    (reason(|reason| reason.is_of(PacketType::Auth)), properties)
        .prop_map(|(reason, properties)| ReasonPacket { reason, properties })
}
