//! Messages that go to nobody: those to the server's own topics, and those that are not the text they claim to be.

use crate::at::At;
use crate::client::*;
use crate::conformance;
use crate::raw::*;

const TEXT: [u8; 2] = [0x01, 1];
const NOT_TEXT: &[u8] = b"\xC3\x28";
const NOT_AUTHORIZED: u8 = 0x87;
const PACKET_TOO_LARGE: u8 = 0x95;
const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
const RETAIN_NOT_SUPPORTED: u8 = 0x9A;
const QOS_NOT_SUPPORTED: u8 = 0x9B;

/// The server's topics, of this case alone.
fn server_topic(at: &At) -> String {
    format!("$SYS/{}", at.topic("a"))
}

/// A client that is subscribed to `a` is still there, and gets what is published.
fn goes_on(at: &At, client: &mut Raw) {
    at.publisher().publish(at.message("a", "still there"));
    assert_eq!(client.payload(), "still there");
}

/// The session of a client that is subscribed to `a` is there when it comes again.
fn is_kept(at: &At, client: Raw) {
    client.leave(0);
    at.publisher().publish(at.message("a", "meanwhile"));
    let (mut client, connack) = at.connect(&at.lasting("client"));
    assert!(connack.session_present());
    assert_eq!(client.payload(), "meanwhile");
}

conformance! {
    /// Only the server publishes there.
    // 3.1.1: [MQTT-3.3.5-2]
    fn the_servers_topics(at: Both) {
        let topic = server_topic(at);
        let mut client = at.client("subscriber");
        client.subscribe(&topic, 2);
        let mut publisher = at.publisher();
        publisher.put(&Publish::new(&topic, "0").retain());
        publisher.put(&Publish::new(&topic, "1").qos(1, 7).retain());
        let reason = if at.is_v5() { NOT_AUTHORIZED } else { 0 };
        assert_eq!(publisher.expect(PUBACK).reason(), reason);
        publisher.put(&Publish::new(&topic, "2").qos(2, 7).retain());
        assert_eq!(publisher.expect(PUBREC).reason(), reason);
        if !at.is_v5() {
            publisher.send(packet_of_id(PUBREL, 2, 7));
            publisher.expect(PUBCOMP);
        }
        publisher.ping();
        client.hears_nothing();
        client.subscribe(&topic, 1);
        client.hears_nothing();
    }

    /// A Reason String goes with every refusal, for a client that does not forgo it and has room for it.
    // 5.0: [MQTT-3.1.2-29], [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.9.2-1], [MQTT-3.14.2-3], [MQTT-3.2.2-19]
    fn refusals_say_why(at: V5) {
        let topic = server_topic(at);
        for (properties, is_explained) in [(&[][..], true), (&[0x17, 1], true), (&[0x17, 0], false), (&[0x27, 0, 0, 0, 20], false)]
        {
            let (mut client, _) = at.connect(&at.connecting("client").with(properties));
            let explained = |client: &mut Raw, kind, at: usize| {
                let packet = client.expect(kind);
                let given = packet.body.get(at..).map(section).unwrap_or_default();
                assert_eq!(find(&given, 0x1F).is_some_and(|text| text.len() > 2), is_explained, "{packet:?}");
            };
            client.put(&Publish::new(&topic, "x").qos(1, 7));
            explained(&mut client, PUBACK, 3);
            client.put(&Publish::new(&topic, "x").qos(2, 7));
            explained(&mut client, PUBREC, 3);
            client.send(packet_of_id(PUBREL, 0, 7));
            explained(&mut client, DISCONNECT, 1);
            let method = [properties, &text(0x15, "SCRAM-SHA-1")].concat();
            let mut client = at.open(&at.connecting("client").with(&method));
            let connack = client.connack();
            assert_eq!((connack.reason, connack.property(0x1F).is_some()), (0x8C, is_explained));
        }
        let mut client = at.client("client");
        client.send(subscribe(Version::V5, 3, &[("a", 1), ("a#", 0)]));
        let suback = client.expect(SUBACK);
        assert_eq!(suback.body[suback.body.len() - 2..], [1, 0x8F]);
        assert!(find(&section(&suback.body[2..suback.body.len() - 2]), 0x1F).is_some());
    }

    /// Where to go when the server stops.
    // 5.0: [MQTT-3.14.2-1]
    fn another_server(at: Both) {
        for (moved, reason) in [("false", 0x9C), ("true", 0x9D)] {
            let at = at.own(|s| s.set("mqtt.server_reference", "broker-2.example:1883").set("mqtt.server_moved", moved));
            let mut client = at.client("client");
            let is_v5 = at.is_v5();
            at.stop();
            let said = client.until_closed();
            if is_v5 {
                assert_eq!((said.len(), said[0].kind, said[0].reason()), (1, DISCONNECT, reason));
                assert_eq!(find(&section(&said[0].body[1..]), 0x1C), Some(&field("broker-2.example:1883")[..]));
            } else {
                assert_eq!(said, []);
            }
        }
    }

    // 5.0: [MQTT-3.1.4-2]
    fn a_will_to_the_servers_topics(at: Both) {
        let mut client = at.open(&at.connecting("client").will(Will::new(server_topic(at), "x")));
        assert_eq!(client.connack().reason, if at.is_v5() { NOT_AUTHORIZED } else { 5 });
        assert_eq!(client.next(), None);
    }

    /// The connection of that client identifier goes on when another one is refused, and its session stays.
    // 5.0: [MQTT-3.1.4-2], [MQTT-3.1.4-3], [MQTT-3.1.4-4]
    fn a_refused_connect_ends_nothing(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        let will = Will::new(server_topic(at), "x");
        let no_room = || at.connecting("client").with(&[0x27, 0, 0, 0, 5]);
        for connecting in [at.connecting("client"), at.lasting("client")] {
            let mut refused = at.open(&connecting.will(will.clone()));
            assert_eq!(refused.connack().reason, if at.is_v5() { NOT_AUTHORIZED } else { 5 });
            assert_eq!(refused.next(), None);
            goes_on(at, &mut client);
        }
        if at.is_v5() {
            for connecting in [no_room(), no_room().resume()] {
                assert_eq!(at.open(&connecting).connack().reason, PACKET_TOO_LARGE);
                goes_on(at, &mut client);
            }
        }
        is_kept(at, client);
    }

    /// The same for a will that the server does not offer to publish.
    // 5.0: [MQTT-3.1.4-2], [MQTT-3.1.4-3], [MQTT-3.1.4-4], [MQTT-3.2.2-12], [MQTT-3.2.2-13]
    fn a_will_beyond_the_limits_ends_nothing(at: V5) {
        let at = &at.own(|setup| {
            let narrow = setup.set("mqtt.maximum_qos", 1).set("mqtt.retain_available", false);
            narrow.set("mqtt.payload_format_checked", true)
        });
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        let will = || Will::new(at.topic("will"), NOT_TEXT);
        let wills = [
            (will().qos(2), QOS_NOT_SUPPORTED),
            (will().retain(), RETAIN_NOT_SUPPORTED),
            (will().with(&TEXT), PAYLOAD_FORMAT_INVALID),
        ];
        for (will, reason) in wills {
            assert_eq!(at.open(&at.connecting("client").will(will)).connack().reason, reason);
            goes_on(at, &mut client);
        }
        is_kept(at, client);
    }

    // 5.0: [MQTT-4.3.3-9], [MQTT-3.3.4-7]
    fn after_an_error_the_identifier_is_a_new_message(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.receive_maximum", 1));
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for n in 0..3 {
            publisher.put(&Publish::new(server_topic(&at), "refused").qos(2, 9));
            assert_eq!(publisher.expect(PUBREC).reason(), NOT_AUTHORIZED);
            publisher.put(&at.message("a", n.to_string()).qos(2, 9));
            assert_eq!(publisher.expect(PUBREC).reason(), 0);
            publisher.send(packet_of_id(PUBREL, 2, 9));
            publisher.expect(PUBCOMP);
            assert_eq!(client.payload(), n.to_string());
        }
    }

    fn text_that_is_none_is_refused_when_checked(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.payload_format_checked", true));
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for qos in [0, 1, 2] {
            publisher.put(&at.message("a", NOT_TEXT).with(&TEXT).qos(qos, 1));
            match qos {
                1 => assert_eq!(publisher.expect(PUBACK).reason(), PAYLOAD_FORMAT_INVALID),
                2 => assert_eq!(publisher.expect(PUBREC).reason(), PAYLOAD_FORMAT_INVALID),
                _ => {}
            }
        }
        // Bytes may be anything, and text may be text.
        assert_eq!(publisher.publish(at.message("a", NOT_TEXT)), 0);
        assert_eq!(client.message().payload, NOT_TEXT);
        assert_eq!(publisher.publish(at.message("a", NOT_TEXT).with(&[0x01, 0])), 0);
        assert_eq!(client.message().payload, NOT_TEXT);
        assert_eq!(publisher.publish(at.message("a", "Grüße").with(&TEXT)), 0);
        let publish = client.message();
        assert_eq!((publish.payload, publish.properties), ("Grüße".into(), TEXT.to_vec()));

        let will = Will::new(at.topic("a"), NOT_TEXT).with(&TEXT);
        let mut refused = at.open(&at.connecting("refused").will(will));
        assert_eq!(refused.connack().reason, PAYLOAD_FORMAT_INVALID);
        assert_eq!(refused.next(), None);
    }

    fn text_is_not_checked_unless_asked(at: V5) {
        let mut client = at.subscriber("a");
        assert_eq!(at.publisher().publish(at.message("a", NOT_TEXT).with(&TEXT)), 0);
        assert_eq!(client.message().payload, NOT_TEXT);
    }
}
