//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use super::*;
use ringtail_mqtt::codec::{ReasonCodesBuf, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use ringtail_mqtt::packet::{AckProperties, QoS, RetainHandling, SubAck, Subscribe, SubscriptionOptions, Unsubscribe};
use ringtail_mqtt::reason::ReasonCode;
use std::num::NonZeroU32;

const fn qos(maximum_qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        maximum_qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

fn subscribe(filters: &[(&str, SubscriptionOptions)]) -> Subscribe<'static> {
    let (first, others) = filters.split_first().expect("a row has a filter");
    let mut list = SubscribeFiltersBuf::new(first.0, first.1).expect("rows use short filters");
    for (filter, options) in others {
        list.push(filter, *options).expect("rows use short filters");
    }
    Subscribe {
        packet_id: packet_id(10),
        subscription_identifier: None,
        user_properties: users(&[]),
        filters: Box::leak(Box::new(list)).as_filters(),
    }
}

fn unsubscribe(filters: &[&str]) -> Unsubscribe<'static> {
    let (first, others) = filters.split_first().expect("a row has a filter");
    let mut list = UnsubscribeFiltersBuf::new(first).expect("rows use short filters");
    for filter in others {
        list.push(filter).expect("rows use short filters");
    }
    let filters = Box::leak(Box::new(list)).as_filters();
    Unsubscribe { packet_id: packet_id(10), user_properties: users(&[]), filters }
}

fn sub_ack(reasons: &[ReasonCode]) -> SubAck<'static> {
    let list: &'static ReasonCodesBuf = Box::leak(Box::new(reasons.iter().copied().collect()));
    SubAck { packet_id: packet_id(10), properties: AckProperties::default(), reasons: list.as_codes() }
}

pub(super) fn requests() -> Vec<Row> {
    let everything = SubscriptionOptions {
        maximum_qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let if_new = SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..qos(QoS::AtMostOnce) };
    let three = [("a/b", qos(QoS::AtMostOnce)), ("+/c", qos(QoS::AtLeastOnce)), ("#", qos(QoS::ExactlyOnce))];
    let identified = |identifier| Subscribe {
        subscription_identifier: NonZeroU32::new(identifier),
        user_properties: users(&[("k", "v")]),
        ..subscribe(&[("a", qos(QoS::AtLeastOnce))])
    };
    let with_user = |unsubscribe| Unsubscribe { user_properties: users(&[("k", "v")]), ..unsubscribe };
    vec![
        packet(
            "SUBSCRIBE",
            BEFORE_5,
            b"\x82\x06\x00\x0a\x00\x01a\x01",
            Packet::Subscribe(subscribe(&[("a", qos(QoS::AtLeastOnce))])),
        ),
        packet(
            "SUBSCRIBE 5.0",
            ONLY_5,
            b"\x82\x07\x00\x0a\x00\x00\x01a\x01",
            Packet::Subscribe(subscribe(&[("a", qos(QoS::AtLeastOnce))])),
        ),
        packet(
            "SUBSCRIBE to three filters",
            BEFORE_5,
            b"\x82\x12\x00\x0a\x00\x03a/b\x00\x00\x03+/c\x01\x00\x01#\x02",
            Packet::Subscribe(subscribe(&three)),
        ),
        packet(
            "SUBSCRIBE with every option",
            ONLY_5,
            b"\x82\x0b\x00\x0a\x00\x00\x01a\x2e\x00\x01b\x10",
            Packet::Subscribe(subscribe(&[("a", everything), ("b", if_new)])),
        ),
        packet(
            "SUBSCRIBE with every property",
            ONLY_5,
            b"\x82\x11\x00\x0a\x0a\x0b\xff\x7f\x26\x00\x01k\x00\x01v\x00\x01a\x01",
            Packet::Subscribe(identified(16_383)),
        ),
        packet(
            "SUBSCRIBE to what is no filter, to be answered in SUBACK",
            BEFORE_5,
            b"\x82\x0a\x00\x0a\x00\x02a#\x00\x00\x00\x00",
            Packet::Subscribe(subscribe(&[("a#", qos(QoS::AtMostOnce)), ("", qos(QoS::AtMostOnce))])),
        ),
        packet(
            "SUBSCRIBE to a shared subscription",
            ONLY_5,
            b"\x82\x10\x00\x0a\x00\x00\x0a$share/g/a\x01",
            Packet::Subscribe(subscribe(&[("$share/g/a", qos(QoS::AtLeastOnce))])),
        ),
        other_encoding(
            "SUBSCRIBE again",
            ONLY_3_1,
            b"\x8a\x06\x00\x0a\x00\x01a\x01",
            Packet::Subscribe(subscribe(&[("a", qos(QoS::AtLeastOnce))])),
        ),
        refused("SUBSCRIBE of nothing", ALL, b"\x82\x00", DecodeError::Truncated),
        refused("SUBSCRIBE with packet id 0", ALL, b"\x82\x07\x00\x00\x00\x00\x01a\x00", DecodeError::PacketIdZero),
        refused("SUBSCRIBE without filters", BEFORE_5, b"\x82\x02\x00\x0a", DecodeError::PayloadEmpty),
        refused("SUBSCRIBE 5.0 without filters", ONLY_5, b"\x82\x03\x00\x0a\x00", DecodeError::PayloadEmpty),
        refused("SUBSCRIBE 5.0 without properties", ONLY_5, b"\x82\x02\x00\x0a", DecodeError::Truncated),
        refused("SUBSCRIBE with half a filter", BEFORE_5, b"\x82\x05\x00\x0a\x00\x02a", DecodeError::Truncated),
        refused("SUBSCRIBE without options", BEFORE_5, b"\x82\x05\x00\x0a\x00\x01a", DecodeError::Truncated),
        refused(
            "SUBSCRIBE whose second filter has no options",
            BEFORE_5,
            b"\x82\x09\x00\x0a\x00\x01a\x00\x00\x01b",
            DecodeError::Truncated,
        ),
        refused("SUBSCRIBE QoS 3", BEFORE_5, b"\x82\x06\x00\x0a\x00\x01a\x03", DecodeError::SubscriptionOptions),
        refused("SUBSCRIBE QoS 3 5.0", ONLY_5, b"\x82\x07\x00\x0a\x00\x00\x01a\x03", DecodeError::SubscriptionOptions),
        refused(
            "SUBSCRIBE with options of 5.0",
            BEFORE_5,
            b"\x82\x06\x00\x0a\x00\x01a\x04",
            DecodeError::SubscriptionOptionsReserved,
        ),
        refused(
            "SUBSCRIBE with a reserved option",
            ONLY_5,
            b"\x82\x07\x00\x0a\x00\x00\x01a\x40",
            DecodeError::SubscriptionOptionsReserved,
        ),
        refused(
            "SUBSCRIBE with the other reserved option",
            ONLY_5,
            b"\x82\x07\x00\x0a\x00\x00\x01a\x80",
            DecodeError::SubscriptionOptionsReserved,
        ),
        refused(
            "SUBSCRIBE with Retain Handling 3",
            ONLY_5,
            b"\x82\x07\x00\x0a\x00\x00\x01a\x30",
            DecodeError::SubscriptionOptions,
        ),
        refused(
            "SUBSCRIBE with No Local to a shared subscription",
            ONLY_5,
            b"\x82\x10\x00\x0a\x00\x00\x0a$share/g/a\x04",
            DecodeError::SubscriptionOptions,
        ),
        refused("SUBSCRIBE to U+0000", BEFORE_5, b"\x82\x06\x00\x0a\x00\x01\x00\x00", DecodeError::NullCharacter),
        refused("SUBSCRIBE to ill-formed UTF-8", BEFORE_5, b"\x82\x06\x00\x0a\x00\x01\x80\x00", DecodeError::Utf8),
        refused(
            "SUBSCRIBE with Subscription Identifier 0",
            ONLY_5,
            b"\x82\x09\x00\x0a\x02\x0b\x00\x00\x01a\x00",
            DecodeError::PropertyValue(0x0b),
        ),
        refused(
            "SUBSCRIBE with two Subscription Identifiers",
            ONLY_5,
            b"\x82\x0b\x00\x0a\x04\x0b\x01\x0b\x02\x00\x01a\x00",
            DecodeError::PropertyRepeated(0x0b),
        ),
        refused(
            "SUBSCRIBE with a Reason String",
            ONLY_5,
            b"\x82\x0a\x00\x0a\x03\x1f\x00\x00\x00\x01a\x00",
            DecodeError::PropertyNotAllowed(0x1f),
        ),
        packet("UNSUBSCRIBE", BEFORE_5, b"\xa2\x05\x00\x0a\x00\x01a", Packet::Unsubscribe(unsubscribe(&["a"]))),
        packet(
            "UNSUBSCRIBE 5.0 from two filters",
            ONLY_5,
            b"\xa2\x0b\x00\x0a\x00\x00\x03a/#\x00\x01+",
            Packet::Unsubscribe(unsubscribe(&["a/#", "+"])),
        ),
        packet(
            "UNSUBSCRIBE with a User Property",
            ONLY_5,
            b"\xa2\x0d\x00\x0a\x07\x26\x00\x01k\x00\x01v\x00\x01a",
            Packet::Unsubscribe(with_user(unsubscribe(&["a"]))),
        ),
        other_encoding(
            "UNSUBSCRIBE again",
            ONLY_3_1,
            b"\xaa\x05\x00\x0a\x00\x01a",
            Packet::Unsubscribe(unsubscribe(&["a"])),
        ),
        refused("UNSUBSCRIBE of nothing", ALL, b"\xa2\x00", DecodeError::Truncated),
        refused("UNSUBSCRIBE with packet id 0", ALL, b"\xa2\x06\x00\x00\x00\x00\x01a", DecodeError::PacketIdZero),
        refused("UNSUBSCRIBE without filters", BEFORE_5, b"\xa2\x02\x00\x0a", DecodeError::PayloadEmpty),
        refused("UNSUBSCRIBE 5.0 without filters", ONLY_5, b"\xa2\x03\x00\x0a\x00", DecodeError::PayloadEmpty),
        refused("UNSUBSCRIBE with half a filter", BEFORE_5, b"\xa2\x05\x00\x0a\x00\x02a", DecodeError::Truncated),
        refused("UNSUBSCRIBE from U+0000", BEFORE_5, b"\xa2\x05\x00\x0a\x00\x01\x00", DecodeError::NullCharacter),
        refused(
            "UNSUBSCRIBE with a Subscription Identifier",
            ONLY_5,
            b"\xa2\x08\x00\x0a\x02\x0b\x01\x00\x01a",
            DecodeError::PropertyNotAllowed(0x0b),
        ),
    ]
}

pub(super) fn acknowledgements() -> Vec<Row> {
    use ReasonCode::*;
    let with_properties = |ack| SubAck {
        properties: AckProperties { reason_string: Some("w"), user_properties: users(&[("k", "v")]) },
        ..ack
    };
    vec![
        packet(
            "SUBACK",
            BEFORE_5,
            b"\x90\x06\x00\x0a\x00\x01\x02\x80",
            Packet::SubAck(sub_ack(&[Success, GrantedQoS1, GrantedQoS2, UnspecifiedError])),
        ),
        packet(
            "SUBACK 5.0",
            ONLY_5,
            b"\x90\x0f\x00\x0a\x00\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2",
            Packet::SubAck(sub_ack(&[
                Success,
                GrantedQoS1,
                GrantedQoS2,
                UnspecifiedError,
                ImplementationSpecificError,
                NotAuthorized,
                TopicFilterInvalid,
                PacketIdentifierInUse,
                QuotaExceeded,
                SharedSubscriptionsNotSupported,
                SubscriptionIdentifiersNotSupported,
                WildcardSubscriptionsNotSupported,
            ])),
        ),
        packet(
            "SUBACK with properties",
            ONLY_5,
            b"\x90\x0f\x00\x0a\x0b\x1f\x00\x01w\x26\x00\x01k\x00\x01v\x00",
            Packet::SubAck(with_properties(sub_ack(&[Success]))),
        ),
        packet("UNSUBACK", BEFORE_5, b"\xb0\x02\x00\x0a", Packet::UnsubAck(sub_ack(&[]))),
        packet(
            "UNSUBACK 5.0",
            ONLY_5,
            b"\xb0\x0a\x00\x0a\x00\x00\x11\x80\x83\x87\x8f\x91",
            Packet::UnsubAck(sub_ack(&[
                Success,
                NoSubscriptionExisted,
                UnspecifiedError,
                ImplementationSpecificError,
                NotAuthorized,
                TopicFilterInvalid,
                PacketIdentifierInUse,
            ])),
        ),
        packet(
            "UNSUBACK with properties",
            ONLY_5,
            b"\xb0\x0f\x00\x0a\x0b\x1f\x00\x01w\x26\x00\x01k\x00\x01v\x11",
            Packet::UnsubAck(with_properties(sub_ack(&[NoSubscriptionExisted]))),
        ),
        refused("SUBACK with packet id 0", ALL, b"\x90\x04\x00\x00\x00\x00", DecodeError::PacketIdZero),
        refused("SUBACK without codes", BEFORE_5, b"\x90\x02\x00\x0a", DecodeError::PayloadEmpty),
        refused("SUBACK 5.0 without codes", ONLY_5, b"\x90\x03\x00\x0a\x00", DecodeError::PayloadEmpty),
        refused("SUBACK code 3", BEFORE_5, b"\x90\x03\x00\x0a\x03", DecodeError::ReasonCode(0x03)),
        refused("SUBACK with a code of 5.0", BEFORE_5, b"\x90\x03\x00\x0a\x87", DecodeError::ReasonCode(0x87)),
        refused(
            "SUBACK 5.0 with a code of UNSUBACK",
            ONLY_5,
            b"\x90\x04\x00\x0a\x00\x11",
            DecodeError::ReasonCode(0x11),
        ),
        refused("UNSUBACK with packet id 0", ALL, b"\xb0\x02\x00\x00", DecodeError::PacketIdZero),
        refused("UNSUBACK with codes before 5.0", BEFORE_5, b"\xb0\x03\x00\x0a\x00", DecodeError::TrailingBytes),
        refused("UNSUBACK 5.0 without codes", ONLY_5, b"\xb0\x03\x00\x0a\x00", DecodeError::PayloadEmpty),
        refused(
            "UNSUBACK 5.0 with a code of SUBACK",
            ONLY_5,
            b"\xb0\x04\x00\x0a\x00\x01",
            DecodeError::ReasonCode(0x01),
        ),
        refused(
            "UNSUBACK with a Server Reference",
            ONLY_5,
            b"\xb0\x07\x00\x0a\x03\x1c\x00\x00\x00",
            DecodeError::PropertyNotAllowed(0x1c),
        ),
    ]
}
