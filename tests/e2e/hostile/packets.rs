//! Packets that no client may send, each on a fresh connection that was accepted.

use crate::broker::Broker;
use crate::bystanders::Bystanders;
use crate::on_shards;
use crate::raw::*;
use Version::{V5, V311};

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;
const TOPIC_FILTER_INVALID: u8 = 0x8F;
const TOPIC_NAME_INVALID: u8 = 0x90;
const PACKET_ID_NOT_FOUND: u8 = 0x92;
const TOPIC_ALIAS_INVALID: u8 = 0x94;

/// What the broker must do.
enum Answer {
    /// Close the connection; towards 5.0 with a DISCONNECT of one of these reasons before.
    Refused(&'static [u8]),
    /// Answer with a packet of this type and reason, and keep the connection.
    Acknowledged(u8, u8),
    /// Say nothing and keep the connection.
    Ignored,
}
use Answer::{Acknowledged, Ignored, Refused};

struct Row {
    name: &'static str,
    version: Version,
    bytes: Vec<u8>,
    answer: Answer,
}

fn row(name: &'static str, version: Version, bytes: impl Into<Vec<u8>>, answer: Answer) -> Row {
    Row { name, version, bytes: bytes.into(), answer }
}

/// The frame and its flags.
fn frames(version: Version) -> Vec<Row> {
    vec![
        row("reserved packet type", version, [0x00, 0x00], Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("remaining length of five bytes", version, [0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], Refused(&[MALFORMED])),
        row("PINGREQ with flags", version, packet(PINGREQ, 1, &[]), Refused(&[MALFORMED])),
        row("PINGREQ with a body", version, packet(PINGREQ, 0, b"x"), Refused(&[MALFORMED])),
        row(
            "SUBSCRIBE without its flags",
            version,
            packet(SUBSCRIBE, 0, b"\0\x01\0\0\0\x01a\0"),
            Refused(&[MALFORMED]),
        ),
        row(
            "UNSUBSCRIBE without its flags",
            version,
            packet(UNSUBSCRIBE, 0, b"\0\x01\0\0\0\x01a"),
            Refused(&[MALFORMED]),
        ),
        row("PUBREL without its flags", version, packet_of_id(PUBREL, 0, 1), Refused(&[MALFORMED])),
        row("PUBACK cut short", version, packet(PUBACK, 0, &[0]), Refused(&[MALFORMED])),
        row("DISCONNECT with flags", version, packet(DISCONNECT, 1, &[]), Refused(&[MALFORMED])),
        row("a second CONNECT", version, Connect::new(version, "twice").bytes(), Refused(&[PROTOCOL_ERROR])),
        row("CONNACK from a client", version, packet(CONNACK, 0, &[0, 0]), Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("SUBACK from a client", version, packet(SUBACK, 0, &[0, 1, 0]), Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("UNSUBACK from a client", version, packet(UNSUBACK, 0, &[0, 1, 0]), Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("PINGRESP from a client", version, packet(PINGRESP, 0, &[]), Refused(&[MALFORMED, PROTOCOL_ERROR])),
    ]
}

fn publishes(version: Version) -> Vec<Row> {
    let of_topic = |topic: &[u8]| Publish::new(topic, "x").bytes(version);
    let qos_3 = Publish::new("a", "x").qos(3, 1).bytes(version);
    let id_0 = Publish::new("a", "x").qos(1, 0).bytes(version);
    let duplicate = Publish { duplicate: true, ..Publish::new("a", "x") }.bytes(version);
    let topic_past_the_end = packet(PUBLISH, 0, b"\0\x09abc");
    vec![
        row("PUBLISH with QoS 3", version, qos_3, Refused(&[MALFORMED])),
        row("PUBLISH with packet identifier 0", version, id_0, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("PUBLISH with QoS 0 and DUP", version, duplicate, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("PUBLISH with a topic past its end", version, topic_past_the_end, Refused(&[MALFORMED])),
        row("PUBLISH of no bytes", version, packet(PUBLISH, 0, &[]), Refused(&[MALFORMED])),
        row("PUBLISH to +", version, of_topic(b"a/+"), Refused(&[TOPIC_NAME_INVALID])),
        row("PUBLISH to #", version, of_topic(b"#"), Refused(&[TOPIC_NAME_INVALID])),
        row("PUBLISH to a NUL", version, of_topic(b"a\0b"), Refused(&[MALFORMED, TOPIC_NAME_INVALID])),
        row("PUBLISH to half a character", version, of_topic(b"a\xC3"), Refused(&[MALFORMED, TOPIC_NAME_INVALID])),
        row("PUBLISH to a surrogate", version, of_topic(b"\xED\xA0\x80"), Refused(&[MALFORMED, TOPIC_NAME_INVALID])),
        row(
            "PUBLISH to an overlong character",
            version,
            of_topic(b"\xC0\x80"),
            Refused(&[MALFORMED, TOPIC_NAME_INVALID]),
        ),
        row("PUBLISH to no topic", version, of_topic(b""), Refused(&[MALFORMED, PROTOCOL_ERROR, TOPIC_NAME_INVALID])),
    ]
}

fn subscriptions(version: Version) -> Vec<Row> {
    let of = |filter: &str| subscribe(version, 1, &[(filter, 0)]);
    let none = packet(SUBSCRIBE, 2, &[&[0, 1], &properties(version, &[])[..]].concat());
    let none_to_remove = packet(UNSUBSCRIBE, 2, &[&[0, 1], &properties(version, &[])[..]].concat());
    let id_0 = subscribe(version, 0, &[("a", 0)]);
    let qos_3 = subscribe(version, 1, &[("a", 3)]);
    let reserved = subscribe(version, 1, &[("a", 0xC0)]);
    let refused = if version == V5 { TOPIC_FILTER_INVALID } else { 0x80 };
    vec![
        row("SUBSCRIBE to nothing", version, none, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("UNSUBSCRIBE from nothing", version, none_to_remove, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("SUBSCRIBE with packet identifier 0", version, id_0, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("SUBSCRIBE with QoS 3", version, qos_3, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("SUBSCRIBE with reserved options", version, reserved, Refused(&[MALFORMED, PROTOCOL_ERROR])),
        row("SUBSCRIBE to a#", version, of("a#"), Acknowledged(SUBACK, refused)),
        row("SUBSCRIBE to #/a", version, of("#/a"), Acknowledged(SUBACK, refused)),
        row("SUBSCRIBE to a+", version, of("a+"), Acknowledged(SUBACK, refused)),
        row("SUBSCRIBE to a group without a filter", version, of("$share/group"), Acknowledged(SUBACK, refused)),
        row("SUBSCRIBE to a group with a wildcard", version, of("$share/gr+up/a"), Acknowledged(SUBACK, refused)),
        row("SUBSCRIBE to no group", version, of("$share//a"), Acknowledged(SUBACK, refused)),
    ]
}

/// Acknowledgements of what was never sent.
fn out_of_order(version: Version) -> Vec<Row> {
    let not_found = |kind| {
        if version == V5 { Acknowledged(kind, PACKET_ID_NOT_FOUND) } else { Acknowledged(kind, 0) }
    };
    vec![
        row("PUBREL of nothing", version, packet_of_id(PUBREL, 2, 77), not_found(PUBCOMP)),
        row("PUBREC of nothing", version, packet_of_id(PUBREC, 0, 77), not_found(PUBREL)),
        row("PUBACK of nothing", version, packet_of_id(PUBACK, 0, 77), Ignored),
        row("PUBCOMP of nothing", version, packet_of_id(PUBCOMP, 0, 77), Ignored),
    ]
}

fn of_version_5() -> Vec<Row> {
    let with = |properties: &[u8]| Publish::new("a", "x").with(properties).bytes(V5);
    let alias_alone = |alias| Publish::new("", "x").with(&[0x23, 0, alias]).bytes(V5);
    let no_local_on_shared = subscribe(V5, 1, &[("$share/group/a", 0b0000_0100)]);
    let retain_handling_3 = subscribe(V5, 1, &[("a", 0b0011_0000)]);
    let subscription_id_0 = packet(SUBSCRIBE, 2, b"\0\x01\x02\x0B\0\0\x01a\0");
    let raised_expiry = packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 0, 9]);
    let either = &[MALFORMED, PROTOCOL_ERROR];
    vec![
        row("property that does not exist", V5, with(&[0x7F, 0]), Refused(either)),
        row("property of another packet", V5, with(&[0x21, 0, 1]), Refused(either)),
        row("property twice", V5, with(&[0x01, 0, 0x01, 0]), Refused(&[PROTOCOL_ERROR])),
        row("property cut short", V5, packet(PUBLISH, 0, b"\0\x01a\x05\x02\0\0"), Refused(&[MALFORMED])),
        row("properties past the end", V5, packet(PUBLISH, 0, b"\0\x01a\x7F\x01\0"), Refused(&[MALFORMED])),
        row("payload format 2", V5, with(&[0x01, 2]), Refused(either)),
        row("subscription identifier from a client", V5, with(&[0x0B, 1]), Refused(&[PROTOCOL_ERROR])),
        row(
            "response topic with a wildcard",
            V5,
            with(b"\x08\0\x01#"),
            Refused(&[MALFORMED, PROTOCOL_ERROR, TOPIC_NAME_INVALID]),
        ),
        row("topic alias 0", V5, with(&[0x23, 0, 0]), Refused(&[TOPIC_ALIAS_INVALID])),
        row("topic alias above the maximum", V5, with(&[0x23, 0xFF, 0xFF]), Refused(&[TOPIC_ALIAS_INVALID])),
        row("topic alias that was not set", V5, alias_alone(1), Refused(&[PROTOCOL_ERROR, TOPIC_ALIAS_INVALID])),
        row("subscription identifier 0", V5, subscription_id_0, Refused(either)),
        row("no local on a shared subscription", V5, no_local_on_shared, Refused(&[PROTOCOL_ERROR])),
        row("retain handling 3", V5, retain_handling_3, Refused(either)),
        row("AUTH without a method", V5, packet(AUTH, 0, &[]), Refused(&[PROTOCOL_ERROR])),
        row("session expiry raised from 0 at the end", V5, raised_expiry, Refused(&[PROTOCOL_ERROR])),
        row("DISCONNECT with a reason of the server", V5, packet(DISCONNECT, 0, &[0x8D, 0]), Refused(either)),
        row("PUBACK with a reason that does not exist", V5, packet(PUBACK, 0, &[0, 1, 0x42, 0]), Refused(either)),
    ]
}

fn check(row: &Row, client: &mut Raw) {
    client.send(&row.bytes);
    match row.answer {
        Refused(reasons) => {
            let said = client.until_closed();
            if row.version == V311 {
                assert_eq!(said, [], "{}: 3.1.1 has no packet for it", row.name);
                return;
            }
            let [last] = &said[..] else { panic!("{}: one DISCONNECT was due: {said:02X?}", row.name) };
            assert_eq!(last.kind, DISCONNECT, "{}: {said:02X?}", row.name);
            assert!(reasons.contains(&last.reason()), "{}: the reason was 0x{:02X}", row.name, last.reason());
        }
        Acknowledged(kind, reason) => {
            let packet = client.next().unwrap_or_else(|| panic!("{}: the connection was closed", row.name));
            assert_eq!(packet.kind, kind, "{}: {packet:02X?}", row.name);
            let said = if kind == SUBACK { packet.body.last().copied() } else { Some(packet.reason()) };
            assert_eq!(said, Some(reason), "{}: {packet:02X?}", row.name);
            client.ping();
        }
        Ignored => client.ping(),
    }
}

fn check_all(shards: usize, rows: impl IntoIterator<Item = Row>) {
    let broker = Broker::start(shards);
    let bystanders = Bystanders::start(&broker);
    for (i, row) in rows.into_iter().enumerate() {
        println!("{} ({:?})", row.name, row.version);
        let mut client = Raw::client(&broker, row.version, &format!("hostile-{i}"));
        check(&row, &mut client);
    }
    bystanders.stop();
}

on_shards! {
    fn wrong_frames(shards) {
        check_all(shards, [V311, V5].into_iter().flat_map(frames));
    }

    fn wrong_publishes(shards) {
        check_all(shards, [V311, V5].into_iter().flat_map(publishes));
    }

    fn wrong_subscriptions(shards) {
        check_all(shards, [V311, V5].into_iter().flat_map(subscriptions));
    }

    fn wrong_order(shards) {
        check_all(shards, [V311, V5].into_iter().flat_map(out_of_order));
    }

    fn wrong_properties(shards) {
        check_all(shards, of_version_5());
    }
}
