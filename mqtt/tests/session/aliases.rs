//! Topic Aliases, both ways.

use crate::rig::*;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use std::num::NonZeroU16;

fn aliased(topic_name: &'static str, alias: u16) -> Packet<'static> {
    let properties = PublishProperties { topic_alias: NonZeroU16::new(alias), ..PublishProperties::default() };
    publish_with(QoS::AtMostOnce, 0, topic_name, properties)
}

/// [MQTT-3.3.2-12]
#[test]
fn an_alias_stands_for_its_topic_until_it_is_set_anew() {
    let mut rig = Rig::v5();
    assert_eq!(rig.routed(aliased("one", 1)).message().topic_name, "one");
    assert_eq!(rig.routed(aliased("two", 2)).message().topic_name, "two");
    assert_eq!(rig.routed(aliased("", 1)).message().topic_name, "one");
    assert_eq!(rig.routed(aliased("three", 1)).message().topic_name, "three");
    assert_eq!(rig.routed(aliased("", 1)).message().topic_name, "three");
    assert_eq!(rig.routed(aliased("", 2)).message().topic_name, "two");
}

/// [MQTT-3.3.2-9]
#[test]
fn an_alias_above_the_maximum_is_invalid() {
    let mut rig = Rig::v5();
    rig.limits.topic_alias_maximum = 2;
    assert_eq!(rig.violation(aliased("three", 3)), ReasonCode::TopicAliasInvalid);
    rig.limits.topic_alias_maximum = 0;
    assert_eq!(rig.violation(aliased("one", 1)), ReasonCode::TopicAliasInvalid);
}

#[test]
fn an_alias_that_was_never_set_is_a_protocol_error() {
    assert_eq!(Rig::v5().violation(aliased("", 1)), ReasonCode::ProtocolError);
    let mut rig = Rig::v5();
    let _ = rig.receive(aliased("two", 2));
    assert_eq!(rig.violation(aliased("", 1)), ReasonCode::ProtocolError);
}

/// [MQTT-3.3.2-7]
#[test]
fn aliases_do_not_outlive_the_connection() {
    let mut rig = Rig::v5();
    let _ = rig.receive(aliased("one", 1));
    let _ = rig.lose();
    rig.connect(&connect_v5()).expect("accepted");
    assert_eq!(rig.violation(aliased("", 1)), ReasonCode::ProtocolError);
}

fn topic_and_alias(packet: Packet<'static>) -> (&'static str, Option<u16>) {
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    (publish.topic_name, publish.properties.topic_alias.map(NonZeroU16::get))
}

fn client_with_aliases(maximum: u16) -> Rig {
    let properties = Properties { topic_alias_maximum: Some(maximum), ..Properties::default() };
    Rig::connected(connect_with(properties))
}

fn deliver(rig: &mut Rig, topic_name: &str, qos: QoS) -> (&'static str, Option<u16>) {
    let message = ringtail_mqtt::message::MessageRef { topic_name, ..message("on") };
    let delivered = rig.deliver_as(message, &DeliverOptions { qos, ..DeliverOptions::default() });
    assert!(matches!(delivered, Delivered::Sent { .. }));
    topic_and_alias(rig.sent_one())
}

/// [MQTT-3.1.2-26], [MQTT-3.3.2-11]
#[test]
fn the_server_sets_as_many_aliases_as_the_client_allows() {
    let mut rig = client_with_aliases(2);
    assert_eq!(deliver(&mut rig, "rooms/one", QoS::AtMostOnce), ("rooms/one", Some(1)));
    assert_eq!(deliver(&mut rig, "rooms/two", QoS::AtLeastOnce), ("rooms/two", Some(2)));
    assert_eq!(deliver(&mut rig, "rooms/one", QoS::ExactlyOnce), ("", Some(1)));
    assert_eq!(deliver(&mut rig, "rooms/three", QoS::AtMostOnce), ("rooms/three", None));
    assert_eq!(deliver(&mut rig, "rooms/two", QoS::AtMostOnce), ("", Some(2)));
}

#[test]
fn a_topic_gets_an_alias_once_that_saves_bytes() {
    let mut rig = client_with_aliases(2);
    for _ in 0..2 {
        assert_eq!(deliver(&mut rig, "a/b", QoS::AtMostOnce), ("a/b", None));
    }
    assert_eq!(deliver(&mut rig, "a/bc", QoS::AtMostOnce), ("a/bc", Some(1)));
    assert_eq!(deliver(&mut rig, "a/bc", QoS::AtMostOnce), ("", Some(1)));
}

/// [MQTT-3.1.2-27]
#[test]
fn a_client_that_allows_no_alias_gets_none() {
    let mut rig = Rig::v5();
    assert_eq!(deliver(&mut rig, "rooms/one", QoS::AtMostOnce), ("rooms/one", None));
    assert_eq!(deliver(&mut rig, "rooms/one", QoS::AtMostOnce), ("rooms/one", None));
}

#[test]
fn the_servers_own_limit_bounds_outbound_aliases() {
    let limits = Limits { topic_alias_outbound_max: 1, ..Limits::default() };
    let mut rig = Rig { limits, ..Rig::new() };
    let properties = Properties { topic_alias_maximum: Some(10), ..Properties::default() };
    rig.connect(&connect_with(properties)).expect("accepted");
    rig.sent();
    assert_eq!(deliver(&mut rig, "rooms/one", QoS::AtMostOnce), ("rooms/one", Some(1)));
    assert_eq!(deliver(&mut rig, "rooms/two", QoS::AtMostOnce), ("rooms/two", None));
}

/// A message of the queue sets and uses aliases too, and what is sent again after a reconnect does not rely on old ones.
#[test]
fn queued_messages_use_aliases_and_resent_ones_start_anew() {
    let properties =
        Properties { topic_alias_maximum: Some(4), receive_maximum: NonZeroU16::new(1), ..Properties::default() };
    let mut rig = Rig::connected(connect_with(properties));
    let _ = rig.deliver("first", QoS::AtLeastOnce);
    let _ = rig.deliver("second", QoS::AtLeastOnce);
    assert_eq!(topic_and_alias(rig.sent_one()), (TOPIC_NAME, Some(1)));
    assert!(matches!(rig.receive(puback(1)), Action::Pump));
    rig.pump();
    assert_eq!(topic_and_alias(rig.sent_one()), ("", Some(1)));

    let _ = rig.lose();
    rig.connect(&connect_with(properties)).expect("accepted");
    let resent = rig.sent().pop().expect("the second message");
    assert_eq!(topic_and_alias(resent), (TOPIC_NAME, None));
}

/// An alias that came with a packet too large to be sent was not set.
#[test]
fn a_dropped_packet_sets_no_alias() {
    let properties =
        Properties { topic_alias_maximum: Some(4), maximum_packet_size_bytes: Some(40), ..Properties::default() };
    let mut rig = Rig::connected(connect_with(properties));
    let long = "x".repeat(40);
    assert_eq!(rig.deliver(&long, QoS::AtMostOnce), Delivered::Dropped(DropReason::PacketTooLarge));
    assert_eq!(deliver(&mut rig, TOPIC_NAME, QoS::AtMostOnce), (TOPIC_NAME, Some(1)));
}
