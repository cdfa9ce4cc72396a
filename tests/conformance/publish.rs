//! PUBLISH and its acknowledgements, in both directions (3.3 to 3.7, 4.3).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, ack_with};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-2.2.1-2], [MQTT-4.3.1-1], [MQTT-3.3.1-2]
    fn qos_0_out(at: Both) {
        let mut client = at.subscriber("a");
        at.publisher().put(&at.message("a", "x"));
        let packet = client.expect(PUBLISH);
        assert_eq!(packet.flags, 0);
        let mut expected = field(at.topic("a"));
        expected.extend(properties(at.version, &[]));
        expected.extend(b"x");
        assert_eq!(packet.body, expected, "no packet identifier");
    }

    // 5.0: [MQTT-4.3.2-4], [MQTT-2.2.1-5], [MQTT-3.3.4-1], [MQTT-3.4.2-1]
    fn qos_1_in(at: Both) {
        let _subscriber = at.subscriber("a");
        let mut publisher = at.publisher();
        for packet_id in [1, 2, 0x1234, 65_535] {
            publisher.put(&at.message("a", "x").qos(1, packet_id));
            let puback = publisher.expect(PUBACK);
            assert_eq!(puback.body[..2], packet_id.to_be_bytes());
            assert_eq!(puback.reason(), 0);
        }
    }

    /// A PUBACK or PUBREC may tell that nobody was there.
    // 5.0: [MQTT-3.4.2-1], [MQTT-3.5.2-1]
    fn nobody_is_no_error(at: Both) {
        let mut publisher = at.publisher();
        let expected = if at.is_v5() { 0x10 } else { 0 };
        assert_eq!(publisher.publish(at.message("nobody", "x")), expected);
        publisher.put(&at.message("nobody", "x").qos(2, 2));
        assert_eq!(publisher.expect(PUBREC).reason(), expected);
    }

    // 5.0: [MQTT-4.3.2-5]
    fn qos_1_identifiers_are_free_once_acknowledged(at: Both) {
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for (payload, duplicate) in [("one", false), ("two", false), ("three", true)] {
            publisher.put(&Publish { duplicate, ..at.message("a", payload).qos(1, 7) });
            publisher.expect(PUBACK);
        }
        assert_eq!(client.payloads(3), ["one", "two", "three"]);
    }

    // 5.0: [MQTT-4.3.3-8], [MQTT-4.3.3-10], [MQTT-4.3.3-11], [MQTT-4.3.3-12], [MQTT-3.5.2-1], [MQTT-3.7.2-1]
    fn qos_2_in(at: Both) {
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for round in ["first", "second"] {
            publisher.put(&at.message("a", round).qos(2, 7));
            for duplicate in [false, true] {
                let pubrec = publisher.expect(PUBREC);
                assert_eq!(pubrec.body[..2], [0, 7]);
                assert_eq!(pubrec.reason(), 0);
                publisher.put(&Publish { duplicate, ..at.message("a", "repeated").qos(2, 7) });
            }
            publisher.expect(PUBREC);
            publisher.send(packet_of_id(PUBREL, 2, 7));
            let pubcomp = publisher.expect(PUBCOMP);
            assert_eq!(pubcomp.body[..2], [0, 7]);
            assert_eq!(pubcomp.reason(), 0);
        }
        publisher.publish(at.message("a", "last"));
        assert_eq!(client.payloads(3), ["first", "second", "last"]);
    }

    // 5.0: [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.2-2], [MQTT-4.3.2-3], [MQTT-4.3.3-1], [MQTT-4.3.3-2], [MQTT-4.3.3-3]
    fn identifiers_out_are_unused_and_not_0(at: Both) {
        let mut client = at.subscriber("+");
        let mut publisher = at.publisher();
        let mut open = Vec::new();
        for n in 0..40_u16 {
            let qos = 1 + (n % 2) as u8;
            publisher.put(&at.message(if qos == 1 { "a" } else { "b" }, n.to_string()).qos(qos, n + 1));
            let publish = client.publication();
            assert_eq!((publish.qos, publish.duplicate), (qos, false));
            assert_ne!(publish.packet_id, 0);
            assert!(!open.contains(&publish.packet_id), "identifier {} is in use", publish.packet_id);
            open.push(publish.packet_id);
        }
    }

    // 5.0: [MQTT-4.3.3-4], [MQTT-3.6.2-1], [MQTT-2.2.1-5]
    fn qos_2_out(at: Both) {
        let mut client = at.subscriber("a");
        at.publisher().put(&at.message("a", "x").qos(2, 9));
        let publish = client.publication();
        for _ in 0..2 {
            // Repeated by a client that has not seen the PUBREL.
            client.send(packet_of_id(PUBREC, 0, publish.packet_id));
            let pubrel = client.expect(PUBREL);
            assert_eq!(pubrel.flags, 2);
            assert_eq!(pubrel.body[..2], publish.packet_id.to_be_bytes());
            assert_eq!(pubrel.reason(), 0);
        }
        client.send(packet_of_id(PUBCOMP, 0, publish.packet_id));
        client.ping();
    }

    // 5.0: [MQTT-4.4.0-2], [MQTT-3.3.4-9]
    fn an_error_ends_the_exchange(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client").with(&[0x21, 0, 1]));
        client.subscribe(&at.topic("a"), 2);
        let mut publisher = at.publisher();
        for (qos, kind) in [(1, PUBACK), (2, PUBREC)] {
            publisher.put(&at.message("a", "refused").qos(qos, 5));
            let publish = client.publication();
            client.send(ack_with(kind, publish.packet_id, 0x83));
            client.ping();
        }
        drop(client);
        let (mut client, connack) = at.connect(&at.lasting("client").with(&[0x21, 0, 1]));
        assert!(connack.session_present());
        publisher.publish(at.message("a", "next"));
        assert_eq!(client.payload(), "next", "nothing is sent again");
    }

    // 5.0: [MQTT-3.3.1-3]
    fn dup_is_not_passed_on(at: Both) {
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for qos in [1, 2] {
            publisher.put(&Publish { duplicate: true, ..at.message("a", "x").qos(qos, 3) });
            let publish = client.publication();
            assert_eq!((publish.qos, publish.duplicate), (qos, false));
            client.acknowledge(&publish);
        }
    }

    // 5.0: [MQTT-3.3.1-2], [MQTT-3.3.1-4], [MQTT-2.2.1-3], [MQTT-4.13.1-1]; 3.1.1: [MQTT-2.3.1-1]
    fn flags_that_contradict_each_other(at: Both) {
        for publish in [
            Publish { duplicate: true, ..at.message("a", "x") },
            at.message("a", "x").qos(3, 1),
            at.message("a", "x").qos(1, 0),
            at.message("a", "x").qos(2, 0),
        ] {
            let mut client = at.client("wrong");
            client.put(&publish);
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    // 5.0: [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-4.7.0-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2], [MQTT-1.5.4-1], [MQTT-1.5.4-2]
    fn topic_names_that_are_none(at: Both) {
        for topic in [&b"a/+"[..], b"#", b"a/#", b"+", b"a+b", b"", b"\0", b"a\0b", b"\xFF", b"\xED\xA0\x80", b"\xC0\x80"] {
            let mut client = at.client("wrong");
            client.put(&Publish::new(topic, "x"));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR, 0x90]);
        }
    }

    /// Payloads are bytes: none, and any.
    fn payloads_are_bytes(at: Both) {
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        let all: Vec<u8> = (0..=255).collect();
        for payload in [&b""[..], b"\0", &all, &all.repeat(5_000)] {
            publisher.publish(at.message("a", payload));
            let publish = client.message();
            assert!(publish.payload == payload, "{} bytes came", publish.payload.len());
        }
    }

    /// The largest message that a packet can hold.
    // 5.0: [MQTT-1.5.5-1]
    fn the_largest_message(at: V5) {
        const REMAINING_LENGTH_MAX: usize = 268_435_455;
        let at = at.own(|setup| setup);
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        let mut message = at.message("a", "").qos(1, 1);
        let around = message.bytes(Version::V5).len() - 2; // without type and length
        message.payload = vec![0x55; REMAINING_LENGTH_MAX - around];
        publisher.put(&message);
        assert_eq!(publisher.expect(PUBACK).reason(), 0);
        let publish = client.publication();
        assert!(publish.payload == message.payload, "{} bytes came", publish.payload.len());
        client.acknowledge(&publish);
        client.ping();
    }

    /// Each QoS on its own, in the order of the publisher.
    // 5.0: [MQTT-4.6.0-5], [MQTT-4.6.0-6], [MQTT-4.6.0-2], [MQTT-4.6.0-3]
    fn order_holds_for_each_qos(at: Both) {
        let mut client = at.subscriber("+");
        let mut publisher = at.publisher();
        for qos in [0, 1, 2] {
            for n in 0..50 {
                publisher.put(&at.message("a", n.to_string()).qos(qos, n + 1));
            }
            for n in 0..50_u16 {
                let kind = [0, PUBACK, PUBREC][usize::from(qos)];
                if qos > 0 {
                    assert_eq!(publisher.expect(kind).body[..2], (n + 1).to_be_bytes());
                }
            }
            for n in 0..50_u16 {
                if qos == 2 {
                    publisher.send(packet_of_id(PUBREL, 2, n + 1));
                }
            }
            for n in 0..50 {
                let publish = client.publication();
                assert_eq!((publish.qos, publish.payload), (qos, n.to_string().into_bytes()));
                if qos > 0 {
                    client.send(packet_of_id([0, PUBACK, PUBREC][usize::from(qos)], 0, publish.packet_id));
                }
            }
            if qos == 2 {
                // PUBRELs in the order of the PUBRECs.
                let ids: Vec<Vec<u8>> = (0..50).map(|_| client.expect(PUBREL).body[..2].to_vec()).collect();
                assert!(ids.is_sorted(), "{ids:?}");
            }
        }
    }

    // 5.0: [MQTT-3.7.2-1], [MQTT-3.6.2-1], [MQTT-4.3.3-11]
    fn acknowledgements_of_nothing(at: Both) {
        let not_found = if at.is_v5() { 0x92 } else { 0 };
        let mut client = at.client("client");
        client.send(packet_of_id(PUBREL, 2, 77));
        let pubcomp = client.expect(PUBCOMP);
        assert_eq!((&pubcomp.body[..2], pubcomp.reason()), (&[0, 77][..], not_found));
        client.send(packet_of_id(PUBREC, 0, 77));
        assert_eq!(client.expect(PUBREL).reason(), not_found);
        client.send(packet_of_id(PUBACK, 0, 77));
        client.send(packet_of_id(PUBCOMP, 0, 77));
        client.ping();
    }
}
