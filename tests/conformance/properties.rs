//! The properties of a message travel with it, unaltered and in order (3.3.2.3).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, take_apart, text, user_property};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
    fn all_of_them_reach_every_subscriber(at: V5) {
        let (mut absent, _) = at.connect(&at.lasting("absent"));
        absent.subscribe(&at.topic("a"), 2);
        absent.leave(0);
        let mut client = at.subscriber("a");
        let mut users: Vec<Vec<u8>> = (0..30).map(|n| user_property(&format!("name-{}", n % 3), &n.to_string())).collect();
        users.push(user_property("", ""));
        let properties = [
            vec![0x01, 1],
            text(0x08, "answer/\u{1F600}"),
            text(0x03, "application/json; charset=utf-8"),
            text(0x09, "\u{1}\u{7f}correlation"),
            users.concat(),
        ].concat();
        let expected = |publish: &Publish| {
            let (mut came, mut sent) = (publish.taken_apart(), take_apart(&properties));
            let users = |of: &[crate::client::Property]| of.iter().filter(|p| p.0 == 0x26).cloned().collect::<Vec<_>>();
            assert_eq!(users(&came), users(&sent), "in their order");
            came.sort();
            sent.sort();
            assert_eq!(came, sent);
        };
        let mut publisher = at.publisher();
        for qos in [0, 1, 2] {
            publisher.put(&at.message("a", "x").qos(qos, 9).with(&properties));
            let publish = client.publication();
            expected(&publish);
            client.acknowledge(&publish);
        }
        publisher.expect(PUBACK);
        publisher.expect(PUBREC);
        publisher.publish(at.message("a", "retained").retain().with(&properties));
        expected(&client.message());
        let (mut absent, _) = at.connect(&at.lasting("absent"));
        for _ in 0..3 {
            let publish = absent.publication();
            expected(&publish);
            absent.acknowledge(&publish);
        }
        let mut late = at.client("late");
        late.subscribe(&at.topic("a"), 1);
        expected(&late.message());
    }

    /// A subscriber of 3.1.1 gets the message without them, and one of 5.0 gets a message of 3.1.1.
    // 5.0: [MQTT-2.2.2-1]
    fn versions_meet(at: V5) {
        let old = crate::client::Connecting::new(Version::V311, &at.id("old"));
        let (mut old, _) = at.connect(&old);
        old.subscribe(&at.topic("+"), 1);
        let mut new = at.subscriber("+");
        at.publisher().publish(at.message("new", "of 5.0").with(&user_property("a", "b")));
        for client in [&mut old, &mut new] {
            assert_eq!(client.payload(), "of 5.0");
        }
        let publish = at.message("old", "of 3.1.1");
        old.put(&publish);
        assert_eq!(old.payload(), "of 3.1.1");
        let came = new.publication();
        assert_eq!((came.properties.len(), &came.payload[..]), (0, &b"of 3.1.1"[..]));
    }

    /// Request and response: whoever asks names the topic to answer to.
    // 5.0: [MQTT-3.3.2-15], [MQTT-3.3.2-16]
    fn request_and_response(at: V5) {
        let answers = at.topic("answers/17");
        let mut asking = at.client("asking");
        asking.subscribe(&answers, 1);
        let mut answering = at.subscriber("questions");
        asking.publish(at.message("questions", "?").with(&[text(0x08, &answers), text(0x09, "17")].concat()));
        let question = answering.publication();
        answering.acknowledge(&question);
        let to = question.property(0x08).unwrap()[2..].to_vec();
        let mut correlation = vec![0x09];
        correlation.extend(question.property(0x09).unwrap());
        answering.publish(Publish::new(to, "!").with(&correlation));
        let answer = asking.message();
        assert_eq!((answer.property(0x09).unwrap(), &answer.payload[..]), (field("17"), &b"!"[..]));
    }

    // 5.0: [MQTT-3.3.2-13], [MQTT-3.3.2-14], [MQTT-3.3.2-19], [MQTT-1.5.7-1]
    fn properties_that_are_none(at: V5) {
        let raw = |id: u8, value: &[u8]| [&[id][..], &field(value)].concat();
        let wrong: [(&str, Vec<u8>); 12] = [
            ("response topic, not UTF-8", raw(0x08, b"\xFF")),
            ("response topic with #", raw(0x08, b"a/#")),
            ("response topic with +", raw(0x08, b"+")),
            ("content type, not UTF-8", raw(0x03, b"\xC0\x80")),
            ("content type with NUL", raw(0x03, b"a\0")),
            ("user property, name not UTF-8", [raw(0x26, b"\xFF"), field("x")].concat()),
            ("user property, value not UTF-8", [raw(0x26, b"x"), field(b"\xED\xB0\x80")].concat()),
            ("user property with NUL", [raw(0x26, b"x"), field(b"\0")].concat()),
            ("payload format 2", vec![0x01, 2]),
            ("content type twice", [raw(0x03, b"a"), raw(0x03, b"a")].concat()),
            ("a property of CONNECT", vec![0x11, 0, 0, 0, 1]),
            ("a property that there is not", vec![0x7E, 1]),
        ];
        for (name, properties) in wrong {
            println!("{name}");
            let mut client = at.client("wrong");
            client.put(&at.message("a", "x").with(&properties));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR, 0x90]);
        }
    }

    // 5.0: [MQTT-3.3.4-6]
    fn no_subscription_identifier_from_a_client(at: V5) {
        let mut client = at.client("wrong");
        client.put(&at.message("a", "x").with(&[0x0B, 1]));
        client.is_refused(&[PROTOCOL_ERROR]);
    }

    /// Nothing but PUBLISH, CONNACK and DISCONNECT tells more than a reason to a client that wants no more.
    // 5.0: [MQTT-3.1.2-29], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3]
    // 5.0: [MQTT-3.7.2-2], [MQTT-3.7.2-3], [MQTT-3.9.2-1], [MQTT-3.9.2-2], [MQTT-3.11.2-1], [MQTT-3.11.2-2]
    fn no_problem_information_for_who_wants_none(at: V5) {
        for properties in [&[0x17, 0][..], &[0x27, 0, 0, 0, 40]] {
            let (mut client, _) = at.connect(&at.connecting("client").with(properties));
            let short = |packet: &Packet| packet.body.len() <= 4;
            client.put(&at.message("nobody", "x").qos(1, 1));
            assert!(short(&client.expect(PUBACK)));
            client.put(&at.message("nobody", "x").qos(2, 2));
            assert!(short(&client.expect(PUBREC)));
            client.send(packet_of_id(PUBREL, 2, 77));
            assert!(short(&client.expect(PUBCOMP)));
            client.send(packet_of_id(PUBREC, 0, 77));
            assert!(short(&client.expect(PUBREL)));
            client.send(subscribe(at.version, 3, &[("a#", 0)]));
            assert_eq!(client.expect(SUBACK).body, [0, 3, 0, 0x8F]);
            client.send(crate::client::unsubscribe(at.version, 4, &["never"]));
            assert_eq!(client.expect(UNSUBACK).body, [0, 4, 0, 0x11]);
        }
    }
}
