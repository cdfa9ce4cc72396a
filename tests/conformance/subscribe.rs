//! SUBSCRIBE, SUBACK and what a subscription brings (3.8, 3.9, 3.3.4).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, subscribe_with};
use crate::conformance;
use crate::raw::*;

const NO_LOCAL: u8 = 0x04;

conformance! {
    // 5.0: [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-2.2.1-6]; 3.1.1: [MQTT-2.3.1-7]
    fn every_subscribe_is_answered(at: Both) {
        let mut client = at.client("client");
        for id in [1, 2, 0x1234, 65_535, 1] {
            client.send(subscribe(at.version, id, &[(&at.topic("a"), 0)]));
            let suback = client.expect(SUBACK);
            assert_eq!(suback.flags, 0);
            assert_eq!(suback.body[..2], id.to_be_bytes());
        }
    }

    // 5.0: [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2]
    fn a_code_for_each_filter_in_order(at: Both) {
        let failure = if at.is_v5() { 0x8F } else { 0x80 };
        let mut client = at.client("client");
        let topics: Vec<String> = ["a", "b", "c", "d"].iter().map(|t| at.topic(t)).collect();
        let codes = client.subscribe_codes(&[
            (&topics[0], 2), ("a#", 1), (&topics[1], 0), (&topics[2], 1), ("", 0), ("a/#/b", 2), (&topics[3], 2),
        ]);
        assert_eq!(codes, [2, failure, 0, 1, failure, failure, 2]);
        let mut publisher = at.publisher();
        for (topic, qos) in [("a", 2), ("b", 0), ("c", 1), ("d", 2)] {
            publisher.put(&at.message(topic, topic).qos(2, 9));
            publisher.expect(PUBREC);
            publisher.send(packet_of_id(PUBREL, 2, 9));
            publisher.expect(PUBCOMP);
            let publish = client.publication();
            assert_eq!(publish.qos, qos, "{topic}");
            client.acknowledge(&publish);
        }
    }

    // 5.0: [MQTT-3.8.4-8], [MQTT-4.8.2-3]; 3.1.1: [MQTT-3.8.4-6]
    fn the_lower_qos_holds(at: Both) {
        let mut publisher = at.publisher();
        for granted in [0, 1, 2] {
            let mut client = at.client("client");
            client.subscribe(&at.topic("a"), granted);
            for published in [0, 1, 2] {
                publisher.put(&at.message("a", "x").qos(published, 9));
                let publish = client.publication();
                assert_eq!(publish.qos, published.min(granted));
                client.acknowledge(&publish);
                match published {
                    1 => drop(publisher.expect(PUBACK)),
                    2 => {
                        publisher.expect(PUBREC);
                        publisher.send(packet_of_id(PUBREL, 2, 9));
                        publisher.expect(PUBCOMP);
                    }
                    _ => {}
                }
            }
        }
    }

    // 5.0: [MQTT-3.8.4-3], [MQTT-3.8.4-4]
    fn subscribing_again_replaces(at: Both) {
        let mut client = at.client("client");
        client.subscribe(&at.topic("a"), 2);
        client.subscribe(&at.topic("a"), 0);
        at.publisher().publish(at.message("a", "once"));
        let publish = client.publication();
        assert_eq!((publish.qos, &publish.payload[..]), (0, &b"once"[..]));
        at.publisher().publish(at.message("a", "next"));
        assert_eq!(client.payload(), "next");
    }

    /// One copy for each client, with the highest QoS of what matches.
    // 5.0: [MQTT-3.3.4-2]; 3.1.1: [MQTT-3.3.5-1]
    fn overlapping_subscriptions(at: Both) {
        let mut client = at.client("client");
        client.send(subscribe(at.version, 1, &[(&at.topic("#"), 1), (&at.topic("a/+"), 2), (&at.topic("a/b"), 0)]));
        client.expect(SUBACK);
        let mut publisher = at.publisher();
        publisher.put(&at.message("a/b", "one").qos(2, 1));
        publisher.expect(PUBREC);
        publisher.publish(at.message("a/b/c", "two"));
        let publish = client.publication();
        assert_eq!((publish.qos, &publish.payload[..]), (2, &b"one"[..]));
        client.acknowledge(&publish);
        assert_eq!(client.payload(), "two");
        client.ping();
    }

    /// A copy for each subscription that matches, where the operator prefers that.
    // 5.0: [MQTT-3.3.4-2]
    fn a_copy_for_each_overlapping_subscription(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.overlapping_copies", true));
        let mut client = at.client("client");
        for (id, filter, qos) in [(1, "#", 1), (2, "a/+", 2), (3, "a/b", 0)] {
            client.send(subscribe_with(1, &[0x0B, id], &[(&at.topic(filter), qos)]));
            client.expect(SUBACK);
        }
        at.publisher().publish(at.message("a/b", "x"));
        let mut copies: Vec<(Vec<u8>, u8)> = (0..3)
            .map(|_| {
                let publish = client.message();
                (publish.subscription_ids(), publish.qos)
            })
            .collect();
        copies.sort();
        assert_eq!(copies, [(vec![1], 1), (vec![2], 1), (vec![3], 0)]);
        client.ping();
    }

    // 5.0: [MQTT-3.3.4-3], [MQTT-3.3.4-4]
    fn subscription_identifiers(at: V5) {
        let mut client = at.client("client");
        for (id, filter) in [(1, "#"), (2, "a/+"), (3, "+/b"), (1, "a/b")] {
            client.send(subscribe_with(1, &[0x0B, id], &[(&at.topic(filter), 1)]));
            client.expect(SUBACK);
        }
        client.subscribe(&at.topic("a/#"), 1);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a/b", "x"));
        assert_eq!(client.message().subscription_ids(), [1, 1, 2, 3]);
        publisher.publish(at.message("a/c", "x"));
        assert_eq!(client.message().subscription_ids(), [1, 2]);
        // The identifier is part of what a new subscription replaces.
        client.subscribe(&at.topic("a/+"), 1);
        publisher.publish(at.message("a/c", "x"));
        assert_eq!(client.message().subscription_ids(), [1]);
        // A large one takes four bytes.
        client.send(subscribe_with(1, &[0x0B, 0xFF, 0xFF, 0xFF, 0x7F], &[(&at.topic("#"), 1)]));
        client.expect(SUBACK);
        publisher.publish(at.message("large", "x"));
        assert_eq!(client.message().property(0x0B).unwrap(), [0xFF, 0xFF, 0xFF, 0x7F]);
    }

    // 5.0: [MQTT-3.3.4-3]
    fn subscription_identifiers_of_what_waited(at: V5) {
        at.publisher().publish(at.message("retained", "x").retain());
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.send(subscribe_with(1, &[0x0B, 7], &[(&at.topic("#"), 1)]));
        client.expect(SUBACK);
        assert_eq!(client.message().subscription_ids(), [7]);
        client.ping();
        drop(client);
        at.publisher().publish(at.message("queued", "x"));
        let (mut client, _) = at.connect(&at.lasting("client"));
        assert_eq!(client.message().subscription_ids(), [7]);
    }

    // 5.0: [MQTT-3.8.3-3]
    fn no_local(at: V5) {
        let mut client = at.client("client");
        client.subscribe(&at.topic("a"), 1 | NO_LOCAL);
        // A subscriber that does not want the message is a subscriber, so that its acknowledgement is not "nobody".
        assert_eq!(client.publish(at.message("a", "own")), 0);
        at.publisher().publish(at.message("a", "other"));
        assert_eq!(client.payload(), "other");
        // Another subscription without it brings the client's own.
        client.subscribe(&at.topic("+"), 0);
        client.put(&at.message("a", "own again"));
        assert_eq!(client.payload(), "own again");
    }

    /// Without the option a client gets its own messages.
    fn local(at: Both) {
        let mut client = at.subscriber("a");
        client.put(&at.message("a", "own"));
        assert_eq!(client.payload(), "own");
    }

    // 5.0: [MQTT-3.8.3-4]
    fn no_local_on_a_shared_subscription(at: V5) {
        let mut client = at.client("wrong");
        client.send(subscribe(at.version, 1, &[("$share/group/a", NO_LOCAL)]));
        client.is_refused(&[PROTOCOL_ERROR]);
    }

    // 5.0: [MQTT-3.8.1-1], [MQTT-3.8.3-1], [MQTT-3.8.3-2], [MQTT-3.8.3-5]; 3.1.1: [MQTT-3.8.3-3]
    fn malformed_subscribes(at: Both) {
        let none = [&[0, 1][..], &properties(at.version, &[])].concat();
        let with = |filter: &[u8], options: u8| {
            packet(SUBSCRIBE, 2, &[&none, &field(filter)[..], &[options]].concat())
        };
        let mut wrong = vec![
            packet(SUBSCRIBE, 2, &none),
            packet(SUBSCRIBE, 2, &[&none, &b"\0\x05a"[..]].concat()),
            packet(SUBSCRIBE, 2, &[&none, &field("a")[..]].concat()),
            subscribe(at.version, 0, &[("a", 0)]),
            with(b"a", 3),
            with(b"a", 0x40),
            with(b"a", 0x80),
            with(b"\xFF", 0),
            with(b"\xED\xA0\x80", 0),
        ];
        wrong.extend([0, 1, 3, 4, 10].map(|flags| packet(SUBSCRIBE, flags, &with(b"a", 0)[2..])));
        if at.is_v5() {
            wrong.push(with(b"a", 0x30));
            wrong.push(subscribe_with(1, &[0x0B, 0], &[("a", 0)]));
            wrong.push(subscribe_with(1, &[0x0B, 1, 0x0B, 2], &[("a", 0)]));
            wrong.push(subscribe_with(1, &[0x11, 0, 0, 0, 1], &[("a", 0)]));
        } else {
            wrong.extend([with(b"a", 0x04), with(b"a", 0x08), with(b"a", 0x10)]);
        }
        for bytes in wrong {
            println!("{bytes:02X?}");
            let mut client = at.client("wrong");
            client.send(&bytes);
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    /// A filter with the null character ends the connection, or is refused in SUBACK.
    // 5.0: [MQTT-4.7.3-2], [MQTT-1.5.4-2]
    fn a_filter_with_the_null_character(at: Both) {
        let mut client = at.client("wrong");
        client.send(subscribe(at.version, 1, &[("a\0b", 0)]));
        client.is_refused(&[MALFORMED, 0x8F]);
    }

    /// A subscription holds from its SUBACK on, wherever the publisher is.
    // 5.0: [MQTT-4.5.0-1]
    fn it_holds_from_the_suback_on(at: Both) {
        let mut publishers: Vec<Raw> = (0..6).map(|n| at.client(&format!("publisher-{n}"))).collect();
        for round in 0..10 {
            let mut client = at.client(&format!("client-{round}"));
            client.subscribe(&at.topic(&format!("{round}/+")), 1);
            for (n, publisher) in publishers.iter_mut().enumerate() {
                publisher.put(&at.message(&format!("{round}/x"), n.to_string()).qos(1, 1));
            }
            let mut came = client.payloads(6);
            came.sort();
            assert_eq!(came, ["0", "1", "2", "3", "4", "5"]);
            for publisher in &mut publishers {
                assert_eq!(publisher.expect(PUBACK).reason(), 0);
            }
        }
    }
}
