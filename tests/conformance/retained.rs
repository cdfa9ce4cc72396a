//! Retained messages (3.3.1.3).

use crate::at::At;
use crate::client::Connecting;
use crate::conformance;
use crate::raw::*;

const RETAIN_AS_PUBLISHED: u8 = 0x08;
const SEND_IF_NEW: u8 = 0x10;
const DO_NOT_SEND: u8 = 0x20;

/// Publishes a message to be retained, and waits until it is.
fn retain(at: &At, topic: &str, payload: &str) {
    at.publisher().publish(at.message(topic, payload).retain());
}

/// What a new subscriber to a filter gets is this and nothing more, in any order.
fn finds(at: &At, filter: &str, expected: &[(&str, &str)]) {
    let mut client = at.client("finder");
    client.subscribe(&at.topic(filter), 1);
    let mut found: Vec<(String, String)> = (0..expected.len()).map(|_| retained(at, &mut client)).collect();
    client.hears_nothing();
    found.sort();
    let own = |(topic, payload): &(&str, &str)| (at.topic(topic), (*payload).to_owned());
    let mut expected: Vec<(String, String)> = expected.iter().map(own).collect();
    expected.sort();
    assert_eq!(found, expected, "{filter}");
}

/// Topic and payload of the next message, which must be retained.
fn retained(at: &At, client: &mut Raw) -> (String, String) {
    let publish = client.message();
    assert!(publish.retain && publish.topic.starts_with(at.topic("").as_bytes()));
    (String::from_utf8(publish.topic).unwrap(), String::from_utf8(publish.payload).unwrap())
}

conformance! {
    // 5.0: [MQTT-3.3.1-5], [MQTT-3.3.1-9]; 3.1.1: [MQTT-3.3.1-6], [MQTT-3.3.1-8]
    fn a_new_subscriber_gets_the_last_one(at: Both) {
        retain(at, "a", "first");
        retain(at, "a", "second");
        for qos in [0, 1, 2] {
            let mut client = at.client("late");
            client.subscribe(&at.topic("a"), qos);
            let publish = client.publication();
            assert_eq!((publish.retain, publish.duplicate, publish.qos), (true, false, qos.min(1)));
            assert_eq!(publish.payload, b"second");
            client.ping();
        }
    }

    // 5.0: [MQTT-3.3.1-5], [MQTT-3.3.1-9]
    fn wildcards_find_all_that_match(at: Both) {
        for topic in ["in/a", "in/b", "in/b/c", "in", "out/a", "in/d/e/f"] {
            retain(at, topic, topic);
        }
        finds(at, "in/+", &[("in/a", "in/a"), ("in/b", "in/b")]);
        let all = ["in", "in/a", "in/b", "in/b/c", "in/d/e/f"].map(|topic| (topic, topic));
        finds(at, "in/#", &all);
        finds(at, "+/a", &[("in/a", "in/a"), ("out/a", "out/a")]);
        finds(at, "none/#", &[]);
    }

    /// What is published because a client has read its SUBACK comes after what was retained before, wherever that is kept.
    // 5.0: [MQTT-3.3.1-9], [MQTT-4.6.0-5]; 3.1.1: [MQTT-3.3.1-6], [MQTT-4.6.0-5]
    fn the_retained_message_comes_before_what_follows_the_suback(at: Both) {
        let mut publishers: Vec<Raw> = (0..3).map(|n| at.client(&format!("publisher-{n}"))).collect();
        for round in 0..30 {
            let name = round.to_string();
            retain(at, &name, "kept");
            let mut client = at.client(&format!("subscriber-{round}"));
            client.subscribe(&at.topic(&if round % 2 == 0 { name.clone() } else { format!("{name}/#") }), 0);
            publishers[round % 3].publish(at.message(&name, "live"));
            let [first, second] = [client.message(), client.message()];
            assert_eq!((first.payload, first.retain), (b"kept".to_vec(), true), "round {round}");
            assert_eq!((second.payload, second.retain), (b"live".to_vec(), false), "round {round}");
        }
    }

    /// A message that is published while a client subscribes comes once: as retained, or as it is published.
    // 5.0: [MQTT-3.3.1-9], [MQTT-3.3.1-12]; 3.1.1: [MQTT-3.3.1-6], [MQTT-3.3.1-9]
    fn what_is_published_meanwhile_comes_once(at: Both) {
        const MESSAGES: usize = 40;
        let mut publishers: Vec<Raw> = (0..3).map(|n| at.client(&format!("publisher-{n}"))).collect();
        for round in 0..10 {
            let filter = at.topic(&format!("{round}/#"));
            let mut subscriber = at.client(&format!("subscriber-{round}"));
            for n in 0..MESSAGES {
                // Some are there, some meet the subscription on its way, and some come after it.
                if n == MESSAGES / 4 {
                    subscriber.send(subscribe(at.version, 1, &[(&filter, 1)]));
                }
                let topic = format!("{round}/{}", n % 13);
                publishers[n % 13 % 3].put(&at.message(&topic, n.to_string()).retain().qos(1, n as u16 + 1));
            }
            for n in 0..MESSAGES {
                publishers[n % 13 % 3].expect(PUBACK);
            }
            subscriber.expect(SUBACK);
            let mut came: Vec<usize> = Vec::new();
            // The last message of each topic comes in any case.
            while (MESSAGES - 13..MESSAGES).any(|last| !came.contains(&last)) {
                came.push(subscriber.payload().parse().unwrap());
            }
            subscriber.hears_nothing();
            for topic in 0..13 {
                let of_topic: Vec<&usize> = came.iter().filter(|n| **n % 13 == topic).collect();
                assert!(of_topic.is_sorted_by(|a, b| a < b), "round {round}: {of_topic:?}");
            }
        }
    }

    // 5.0: [MQTT-3.3.1-9]
    fn many_are_complete(at: Both) {
        let mut publisher = at.publisher();
        let topics: Vec<String> = (0..1_500).map(|n| format!("many/{n:04}")).collect();
        for topic in &topics {
            publisher.put(&at.message(topic, topic).retain());
        }
        publisher.publish(at.message("end", "x"));
        let expected: Vec<(&str, &str)> = topics.iter().map(|topic| (&topic[..], &topic[..])).collect();
        finds(at, "many/#", &expected);
    }

    // 5.0: [MQTT-3.3.1-6], [MQTT-3.3.1-7]; 3.1.1: [MQTT-3.3.1-10], [MQTT-3.3.1-11]
    fn an_empty_payload_clears_it(at: Both) {
        retain(at, "a", "kept");
        let mut client = at.subscriber("a");
        assert_eq!(client.payload(), "kept");
        retain(at, "a", "");
        let publish = client.message();
        assert_eq!((publish.retain, publish.payload.len()), (false, 0), "current subscribers see it as a message");
        retain(at, "b", "");
        finds(at, "+", &[]);
        finds(at, "a", &[]);
        retain(at, "a", "again");
        finds(at, "a", &[("a", "again")]);
    }

    // 5.0: [MQTT-3.3.1-8]; 3.1.1: [MQTT-3.3.1-12]
    fn a_message_that_is_not_retained_changes_nothing(at: Both) {
        retain(at, "a", "kept");
        at.publisher().publish(at.message("a", "passing"));
        at.publisher().publish(at.message("a", ""));
        at.publisher().publish(at.message("b", "passing"));
        finds(at, "a", &[("a", "kept")]);
        finds(at, "b", &[]);
    }

    // 5.0: [MQTT-3.3.1-5]; 3.1.1: [MQTT-3.3.1-7]
    fn qos_0_is_retained_too(at: Both) {
        retain(at, "a", "of QoS 1");
        let mut publisher = at.publisher();
        publisher.put(&at.message("a", "of QoS 0").retain());
        publisher.publish(at.message("b", "x"));
        let mut client = at.client("late");
        client.subscribe(&at.topic("a"), 2);
        let publish = client.publication();
        assert_eq!((publish.qos, &publish.payload[..]), (0, &b"of QoS 0"[..]));
    }

    // 5.0: [MQTT-3.3.1-12]; 3.1.1: [MQTT-3.3.1-9]
    fn an_established_subscription_sees_no_retain_flag(at: Both) {
        let mut client = at.subscriber("a");
        let mut publisher = at.publisher();
        for qos in [0, 1, 2] {
            publisher.put(&at.message("a", "x").qos(qos, 3).retain());
            let publish = client.publication();
            assert!(!publish.retain);
            client.acknowledge(&publish);
        }
    }

    // 5.0: [MQTT-3.3.1-13]
    fn retain_as_published(at: V5) {
        let mut client = at.client("client");
        client.subscribe(&at.topic("a"), 1 | RETAIN_AS_PUBLISHED);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "x").retain());
        assert!(client.message().retain);
        publisher.publish(at.message("a", "x"));
        assert!(!client.message().retain);
    }

    // 5.0: [MQTT-3.3.1-9], [MQTT-3.8.4-4]; 3.1.1: [MQTT-3.8.4-3]
    fn subscribing_again_sends_them_again(at: Both) {
        retain(at, "a", "kept");
        let mut client = at.client("client");
        for _ in 0..3 {
            client.subscribe(&at.topic("a"), 1);
            assert_eq!(client.payload(), "kept");
        }
    }

    // 5.0: [MQTT-3.3.1-10]
    fn retain_handling_1(at: V5) {
        retain(at, "a", "kept");
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1 | SEND_IF_NEW);
        assert_eq!(client.payload(), "kept");
        client.subscribe(&at.topic("a"), SEND_IF_NEW);
        client.leave(0);
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1 | SEND_IF_NEW);
        at.publisher().publish(at.message("a", "new"));
        assert_eq!(client.payload(), "new");
    }

    // 5.0: [MQTT-3.3.1-11]
    fn retain_handling_2(at: V5) {
        retain(at, "a", "kept");
        let mut client = at.client("client");
        client.subscribe(&at.topic("a"), 1 | DO_NOT_SEND);
        client.subscribe(&at.topic("+"), 1 | DO_NOT_SEND);
        at.publisher().publish(at.message("a", "new"));
        assert_eq!(client.payload(), "new");
    }

    /// A retained message passes from one version to the other.
    // 5.0: [MQTT-3.3.1-5]
    fn across_versions(at: Both) {
        retain(at, "a", "kept");
        let other = if at.is_v5() { Version::V311 } else { Version::V5 };
        let (mut client, _) = at.connect(&Connecting::new(other, &at.id("late")));
        client.subscribe(&at.topic("#"), 2);
        assert_eq!(client.payload(), "kept");
    }
}
