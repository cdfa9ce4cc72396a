//! Topic Aliases in both directions (3.3.2.3.4).

use crate::at::At;
use crate::client::PROTOCOL_ERROR;
use crate::conformance;
use crate::raw::*;

fn alias(alias: u16) -> [u8; 3] {
    let [high, low] = alias.to_be_bytes();
    [0x23, high, low]
}

/// What the server allows.
const MAXIMUM: u16 = 64;

conformance! {
    // 5.0: [MQTT-3.3.2-12], [MQTT-3.2.2-17]
    fn every_alias_in_is_known_from_then_on(at: V5) {
        let mut client = at.subscriber("+");
        let (mut publisher, connack) = at.connect(&at.connecting("aliasing"));
        assert_eq!(connack.property(0x22), Some(&MAXIMUM.to_be_bytes()[..]));
        for n in [1, 2, MAXIMUM] {
            publisher.put(&at.message(&format!("t{n}"), "named").with(&alias(n)));
        }
        for n in [MAXIMUM, 1, 2] {
            publisher.put(&Publish::new("", "aliased").with(&alias(n)).qos(1, n));
        }
        publisher.put(&at.message("other", "remapped").with(&alias(1)));
        publisher.put(&Publish::new("", "aliased").with(&alias(1)));
        let expected = ["t1", "t2", "t64", "t64", "t1", "t2", "other", "other"];
        for topic in expected {
            let publish = client.message();
            assert_eq!(publish.topic, at.topic(topic).as_bytes());
            assert_eq!(publish.property(0x23), None, "an alias is between two sides only");
        }
    }

    // 5.0: [MQTT-3.3.2-8], [MQTT-3.3.2-9], [MQTT-3.2.2-17]
    fn no_alias_beyond_the_maximum(at: V5) {
        for n in [0, MAXIMUM + 1, 65_535] {
            let mut client = at.client("wrong");
            client.put(&at.message("a", "x").with(&alias(n)));
            client.is_refused(&[0x94]);
        }
    }

    // 5.0: [MQTT-3.2.2-18]
    fn no_alias_where_none_is_allowed(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.topic_alias_maximum", 0));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x22), None);
        client.put(&at.message("a", "x").with(&alias(1)));
        client.is_refused(&[0x94]);
    }

    // 5.0: [MQTT-3.3.2-7]
    fn an_alias_ends_with_its_connection(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.put(&at.message("a", "x").with(&alias(1)));
        client.ping();
        drop(client);
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.put(&Publish::new("", "x").with(&alias(1)));
        client.is_refused(&[PROTOCOL_ERROR]);
    }

    // 5.0: [MQTT-3.1.2-26], [MQTT-3.3.2-11], [MQTT-3.3.2-10]
    fn aliases_out_within_what_the_client_allows(at: V5) {
        let (mut client, _) = at.connect(&at.connecting("client").with(&[0x22, 0, 2]));
        client.subscribe(&at.topic("+"), 1);
        let mut publisher = at.publisher();
        let mut known = [None, None, None];
        let mut aliased = 0;
        for round in 0..3 {
            for topic in ["one", "two", "three"] {
                publisher.publish(at.message(topic, round.to_string()));
                let publish = client.message();
                let expected = at.topic(topic).into_bytes();
                let Some(alias) = publish.property(0x23) else {
                    assert_eq!(publish.topic, expected);
                    continue;
                };
                let [0, alias @ 1..=2] = alias[..] else { panic!("alias {alias:?}") };
                if publish.topic.is_empty() {
                    assert_eq!(known[usize::from(alias)].as_ref(), Some(&expected));
                    aliased += 1;
                } else {
                    assert_eq!(publish.topic, expected);
                    known[usize::from(alias)] = Some(expected);
                }
            }
        }
        assert!(aliased > 0, "aliases save the topic");
    }

    /// The first message to a topic sets an alias that is free, and those after it go without the topic, whatever their QoS.
    // 5.0: [MQTT-3.1.2-26]
    fn one_alias_out_for_every_qos(at: V5) {
        let (mut client, _) = at.connect(&at.connecting("client").with(&[0x22, 0, 1]));
        client.subscribe(&at.topic("a"), 2);
        for (n, qos) in [0, 1, 2, 2, 1, 0].into_iter().enumerate() {
            at.publisher().put(&at.message("a", n.to_string()).qos(qos, 1));
            let publish = client.publication();
            client.acknowledge(&publish);
            let topic = if n == 0 { at.topic("a") } else { String::new() };
            assert_eq!((publish.property(0x23), publish.topic), (Some(vec![0, 1]), topic.into_bytes()), "{n}");
        }
    }

    /// A topic need not be long for that: only where the alias takes as many bytes as the name is there none.
    // 5.0: [MQTT-3.1.2-26]
    fn an_alias_out_for_a_short_topic(at: V5) {
        let (mut client, _) = at.connect(&at.connecting("client").with(&[0x22, 0, 2]));
        for (topic, alias) in [("s/ho", Some(vec![0, 1])), ("s/h", None)] {
            client.subscribe(topic, 0);
            for expected in [topic, if alias.is_some() { "" } else { topic }] {
                at.publisher().put(&Publish::new(topic, "x"));
                let publish = client.publication();
                assert_eq!((publish.property(0x23), &publish.topic[..]), (alias.clone(), expected.as_bytes()));
            }
        }
    }

    // 5.0: [MQTT-3.1.2-27]
    fn no_aliases_out_unasked(at: V5) {
        for properties in [&[][..], &[0x22, 0, 0]] {
            let (mut client, _) = at.connect(&at.connecting("client").with(properties));
            client.subscribe(&at.topic("a"), 1);
            let mut publisher = at.publisher();
            for _ in 0..3 {
                publisher.publish(at.message("a", "x"));
                let publish = client.message();
                assert_eq!((publish.property(0x23), &publish.topic[..]), (None, at.topic("a").as_bytes()));
            }
        }
    }

    /// What is sent again on a new connection carries no alias of the old one.
    // 5.0: [MQTT-3.3.2-7]
    fn a_new_connection_knows_no_alias(at: V5) {
        let connecting = at.lasting("client").with(&[0x22, 0, 10]);
        let (mut client, _) = at.connect(&connecting);
        client.subscribe(&at.topic("a"), 1);
        let mut publisher = at.publisher();
        for _ in 0..3 {
            publisher.publish(at.message("a", "x"));
            client.publication();
        }
        drop(client);
        let (mut client, _) = at.connect(&connecting);
        for _ in 0..3 {
            assert_eq!(client.publication().topic, at.topic("a").as_bytes());
        }
    }
}
