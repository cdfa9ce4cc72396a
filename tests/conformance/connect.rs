//! CONNECT: what is accepted and what ends the connection (3.1).

use crate::at::At;
use crate::client::{Connecting, MALFORMED, PROTOCOL_ERROR, Will};
use crate::conformance;
use crate::raw::*;

/// A CONNECT of which every part can be wrong.
fn odd(name: &[u8], level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = field(name);
    body.extend([level, flags, 0, 0]);
    body.extend(rest);
    packet(CONNECT, 0, &body)
}

/// The connection ends; a CONNACK before that is allowed only when it refuses with one of these reasons.
fn is_refused(at: &At, bytes: impl AsRef<[u8]>, reasons: &[u8]) {
    let mut client = Raw::open(at.broker(), at.version);
    client.send(bytes);
    match &client.until_closed()[..] {
        [] => {}
        [said] if said.kind == CONNACK => {
            assert_eq!(said.body[0], 0, "Session Present beside a refusal");
            assert!(reasons.contains(&said.body[1]), "the reason was 0x{:02X}", said.body[1]);
        }
        more => panic!("{more:02X?}"),
    }
}

conformance! {
    // 5.0: [MQTT-3.1.0-1]
    fn connect_comes_first(at: Both) {
        let topic = at.topic("first");
        for first in [
            Publish::new(&topic, "x").bytes(at.version),
            subscribe(at.version, 1, &[(&topic, 0)]),
            packet(PINGREQ, 0, &[]),
            packet(DISCONNECT, 0, &[]),
        ] {
            let mut client = Raw::open(at.broker(), at.version);
            client.send([first, at.connecting("late").bytes()].concat());
            assert_eq!(client.until_closed(), []);
        }
    }

    // 5.0: [MQTT-3.1.0-2], [MQTT-4.13.1-1]; 3.1.1: [MQTT-4.8.0-1]
    fn a_second_connect_ends_the_connection(at: Both) {
        let mut client = at.client("twice");
        client.send(at.connecting("twice").bytes());
        client.is_refused(&[PROTOCOL_ERROR]);
    }

    // 5.0: [MQTT-3.1.2-1]
    fn another_protocol_name(at: Both) {
        for name in [&b"MQTX"[..], b"mqtt", b"MQTT ", b"", b"HTTP"] {
            is_refused(at, odd(name, at.version as u8, 2, b"\0\0\x01a"), &[0x01, 0x84]);
        }
    }

    // 5.0: [MQTT-3.1.2-2]
    fn a_protocol_level_that_nobody_knows(at: Both) {
        for level in [0, 1, 2, 6, 0x7F] {
            let mut client = Raw::open(at.broker(), Version::V311);
            client.send(odd(b"MQTT", level, 2, b"\0\x01a"));
            let refusal = client.expect(CONNACK);
            assert!(matches!(refusal.body[..2], [0, 0x01 | 0x84]), "{refusal:02X?}");
            assert_eq!(client.next(), None);
        }
    }

    /// MQTT 3.1 has another name and level, and a client always has a name; it is otherwise taken as 3.1.1.
    fn version_3_1_is_accepted(at: V311) {
        let id = at.id("old");
        let mut client = Raw::open(at.broker(), at.version);
        client.send(odd(b"MQIsdp", 3, 2, &field(&id)));
        assert_eq!(client.connack().reason, 0);
        client.subscribe(&at.topic("old"), 1);
        client.put(&at.message("old", "still here"));
        assert_eq!(client.payload(), "still here");
        for flags in [0, 2] {
            let mut nameless = Raw::open(at.broker(), at.version);
            nameless.send(odd(b"MQIsdp", 3, flags, &field("")));
            assert_eq!(nameless.connack().reason, 2);
            assert_eq!(nameless.next(), None);
        }
    }

    // 5.0: [MQTT-3.1.2-3], [MQTT-3.1.4-1]
    fn the_reserved_flag(at: Both) {
        is_refused(at, at.connecting("reserved").bytes_with_flags(1), if at.is_v5() { &[MALFORMED] } else { &[] });
    }

    // 5.0: [MQTT-2.1.3-1]; 3.1.1: [MQTT-2.2.2-2]
    fn flags_of_the_fixed_header(at: Both) {
        for flag in [1, 2, 4, 8] {
            let mut bytes = at.connecting("flags").bytes();
            bytes[0] |= flag;
            is_refused(at, bytes, if at.is_v5() { &[MALFORMED] } else { &[] });
        }
    }

    // 5.0: [MQTT-3.1.2-11], [MQTT-3.1.2-13]; 3.1.1: [MQTT-3.1.2-11]
    fn will_flags_without_a_will(at: Both) {
        let reasons: &[u8] = if at.is_v5() { &[MALFORMED, PROTOCOL_ERROR] } else { &[] };
        for flags in [0x08, 0x10, 0x20, 0x38] {
            is_refused(at, at.connecting("no-will").bytes_with_flags(flags), reasons);
        }
    }

    // 5.0: [MQTT-3.1.2-12], [MQTT-3.1.2-9]
    fn a_will_is_whole_and_its_qos_is_not_3(at: Both) {
        let reasons: &[u8] = if at.is_v5() { &[MALFORMED, PROTOCOL_ERROR] } else { &[] };
        is_refused(at, at.connecting("qos-3").will(Will::new("w", "x").qos(3)).bytes(), reasons);
        is_refused(at, at.connecting("absent").bytes_with_flags(0x04), reasons);
    }

    // 5.0: [MQTT-3.1.2-16], [MQTT-3.1.2-17], [MQTT-3.1.2-18], [MQTT-3.1.2-19]
    fn user_name_and_password_are_there_as_the_flags_say(at: Both) {
        let reasons: &[u8] = if at.is_v5() { &[MALFORMED, PROTOCOL_ERROR] } else { &[] };
        is_refused(at, at.connecting("no-name").bytes_with_flags(0x80), reasons);
        let named = Connecting { user_name: Some(b"name".to_vec()), ..at.connecting("no-password") };
        is_refused(at, named.bytes_with_flags(0x40), reasons);
        let more = |name: &str, field: &[u8]| {
            let mut bytes = at.connecting(name).bytes();
            bytes[1] += field.len() as u8;
            [&bytes, field].concat()
        };
        is_refused(at, more("unasked", b"\0\x04name"), reasons);
        let both = Connecting { password: Some(b"word".to_vec()), ..named };
        assert_eq!(at.connect(&both).1.reason, 0);
    }

    // 3.1.1: [MQTT-3.1.2-22]
    fn a_password_alone_is_of_version_5(at: Both) {
        let alone = Connecting { password: Some(b"word".to_vec()), ..at.connecting("alone") };
        if at.is_v5() {
            assert_eq!(at.connect(&alone).1.reason, 0);
        } else {
            is_refused(at, alone.bytes(), &[]);
        }
    }

    // 5.0: [MQTT-3.1.3-1], [MQTT-3.1.3-3], [MQTT-3.1.4-5]
    fn all_fields_in_their_order(at: Both) {
        let mut watch = at.subscriber("will");
        let full = Connecting {
            user_name: Some(b"name".to_vec()),
            password: Some(vec![0, 0xFF, 7]),
            ..at.connecting("full").will(Will::new(at.topic("will"), "gone").qos(1))
        };
        let (client, connack) = at.connect(&full);
        assert_eq!((connack.flags, connack.reason), (0, 0));
        drop(client);
        assert_eq!(watch.payload(), "gone");
    }

    // 5.0: [MQTT-3.1.3-5]
    fn the_client_identifiers_that_every_server_takes(at: Both) {
        for id in ["0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", "a"] {
            let connecting = Connecting { client_id: id.to_owned(), ..at.connecting("") };
            assert_eq!(at.connect(&connecting).1.reason, 0, "{id}");
        }
        let long = Connecting { client_id: at.id(&"long-".repeat(1_000)), ..at.connecting("") };
        assert_eq!(at.connect(&long).1.reason, 0);
    }

    // 5.0: [MQTT-3.1.3-4], [MQTT-3.1.3-11], [MQTT-3.1.3-12], [MQTT-1.5.4-1], [MQTT-1.5.4-2]; 3.1.1: [MQTT-3.1.3-10]
    fn the_strings_are_utf_8(at: Both) {
        let reasons: &[u8] = if at.is_v5() { &[MALFORMED, 0x85, 0x90] } else { &[] };
        let level = at.version as u8;
        let none = properties(at.version, &[]);
        for text in [&b"\xC3"[..], b"\xED\xA0\x80", b"\xC0\x80", b"a\0b", b"\xF4\x90\x80\x80"] {
            is_refused(at, odd(b"MQTT", level, 2, &[&none, &field(text)[..]].concat()), reasons);
            is_refused(at, at.connecting("topic").will(Will::new(text, "x")).bytes(), reasons);
            let named = Connecting { user_name: Some(text.to_vec()), ..at.connecting("name") };
            is_refused(at, named.bytes(), reasons);
        }
    }

    // 5.0: [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
    fn without_a_client_identifier_one_is_assigned(at: V5) {
        let nameless = Connecting { client_id: String::new(), ..at.connecting("") }.expiry_s(1_000);
        let (mut first, connack) = at.connect(&nameless);
        let assigned = String::from_utf8(connack.property(0x12).unwrap()[2..].to_vec()).unwrap();
        let (mut second, connack) = at.connect(&nameless);
        let other = String::from_utf8(connack.property(0x12).unwrap()[2..].to_vec()).unwrap();
        assert_ne!(assigned, other);
        first.ping();
        second.ping();
        // The session is to be had under that name.
        let again = Connecting { client_id: assigned, ..at.lasting("") };
        let (_again, connack) = at.connect(&again);
        assert!(connack.session_present());
        assert_eq!(connack.property(0x12), None);
        first.is_refused(&[0x8E]);
        second.ping();
    }

    // 3.1.1: [MQTT-3.1.3-6], [MQTT-3.1.3-7]
    fn without_a_client_identifier_each_is_a_client_of_its_own(at: V311) {
        let nameless = Connecting { client_id: String::new(), ..at.connecting("") };
        let (mut first, _) = at.connect(&nameless);
        let (mut second, connack) = at.connect(&nameless);
        assert!(!connack.session_present());
        first.ping();
        second.ping();
    }

    // 3.1.1: [MQTT-3.1.3-8], [MQTT-3.1.3-9], [MQTT-3.2.2-4], [MQTT-3.2.2-5]
    fn without_a_client_identifier_nothing_lasts(at: V311) {
        let nameless = Connecting { client_id: String::new(), ..at.lasting("") };
        let mut client = at.open(&nameless);
        let refusal = client.connack();
        assert_eq!((refusal.flags, refusal.reason), (0, 0x02));
        assert_eq!(client.next(), None);
    }

    // 5.0: [MQTT-3.1.4-6], [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.2.2-8], [MQTT-4.12.0-1], [MQTT-4.13.2-1]
    fn what_follows_a_refused_connect_is_not_read(at: V5) {
        let mut watch = at.subscriber("#");
        let mut client = Raw::open(at.broker(), at.version);
        let refused = at.connecting("refused").with(b"\x15\0\x07UNKNOWN");
        client.send([refused.bytes(), at.message("unread", "x").bytes(at.version)].concat());
        let refusal = client.connack();
        assert_eq!((refusal.flags, refusal.reason), (0, 0x8C));
        assert_eq!(client.next(), None);
        at.publisher().publish(at.message("read", "y"));
        assert_eq!(watch.publication().topic, at.topic("read").as_bytes());
    }

    // 3.1.1: [MQTT-3.1.4-5]
    fn what_follows_a_refused_connect_is_not_read_either(at: V311) {
        let mut watch = at.subscriber("#");
        let mut client = Raw::open(at.broker(), at.version);
        let refused = Connecting { client_id: String::new(), ..at.lasting("") };
        client.send([refused.bytes(), at.message("unread", "x").bytes(at.version)].concat());
        assert_eq!(client.connack().reason, 0x02);
        assert_eq!(client.next(), None);
        at.publisher().publish(at.message("read", "y"));
        assert_eq!(watch.publication().topic, at.topic("read").as_bytes());
    }

    /// A client need not wait for CONNACK.
    // 5.0: [MQTT-3.2.0-1], [MQTT-3.2.0-2], [MQTT-3.14.0-1]
    fn connack_comes_first_and_once(at: Both) {
        let topic = at.topic("early");
        let mut client = Raw::open(at.broker(), at.version);
        client.send([
            at.connecting("hasty").bytes(),
            subscribe(at.version, 1, &[(&topic, 1)]),
            Publish::new(&topic, "early").qos(1, 2).bytes(at.version),
            packet(PINGREQ, 0, &[]),
        ].concat());
        assert_eq!(client.connack().reason, 0);
        let mut kinds: Vec<u8> = (0..4).map(|_| client.next().unwrap().kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [PUBLISH, PUBACK, SUBACK, PINGRESP]);
        client.ping();
    }

    /// The bytes of a CONNECT may come one by one.
    // 5.0: [MQTT-4.2-1]; 3.1.1: [MQTT-7.1.1-1]
    fn packets_are_put_together(at: Both) {
        let mut client = Raw::open(at.broker(), at.version);
        for byte in at.connecting("slow").bytes() {
            client.send([byte]);
        }
        assert_eq!(client.connack().reason, 0);
        for byte in packet(PINGREQ, 0, &[]) {
            client.send([byte]);
        }
        client.expect(PINGRESP);
    }
}
