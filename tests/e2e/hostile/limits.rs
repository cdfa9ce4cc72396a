//! What goes beyond a bound is refused with the reason for it, and what stays just within works.

use crate::broker::Broker;
use crate::bystanders::Bystanders;
use crate::on_shards;
use crate::raw::*;
use Version::{V5, V311};

const QUOTA_EXCEEDED: u8 = 0x97;
const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
const PACKET_TOO_LARGE: u8 = 0x95;
const TOPIC_FILTER_INVALID: u8 = 0x8F;
const TOPIC_NAME_INVALID: u8 = 0x90;
const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;

/// The DISCONNECT with which a broker ends a connection.
fn refusal(client: &mut Raw) -> u8 {
    let reason = client.expect(DISCONNECT).reason();
    assert_eq!(client.next(), None, "the connection is closed after a DISCONNECT");
    reason
}

/// `levels` levels of a topic.
fn deep(levels: usize) -> String {
    vec!["a"; levels].join("/")
}

on_shards! {
    fn a_packet_too_large(shards) {
        let broker = Broker::with(shards).set("mqtt.packet_bytes_max", 2_048).start();
        let bystanders = Bystanders::start(&broker);
        let mut client = Raw::open(&broker, V5);
        client.send(Connect::new(V5, "large").bytes());
        let connack = client.expect(CONNACK).body;
        assert!(connack.windows(5).any(|bytes| bytes == [0x27, 0, 0, 8, 0]), "Maximum Packet Size is announced");
        let overhead = Publish::new("topic", "").qos(1, 1).bytes(V5).len() + 1;
        client.publish(Publish::new("topic", vec![0; 2_048 - overhead]));
        // Refused by its head: no need to send, nor for the broker to hold, any of the rest.
        client.send([&[PUBLISH << 4][..], &variable(100_000_000)].concat());
        assert_eq!(refusal(&mut client), PACKET_TOO_LARGE);

        let mut client = Raw::client(&broker, V311, "large");
        client.send(Publish::new("topic", vec![0; 2_048]).bytes(V311));
        assert_eq!(client.next(), None);
        bystanders.stop();
    }

    fn the_longest_topic(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        let topic = "x".repeat(65_535);
        let mut subscriber = Raw::client(&broker, V5, "long-subscriber");
        subscriber.subscribe(&topic, 1);
        let mut publisher = Raw::client(&broker, V311, "long-publisher");
        assert_eq!(publisher.publish(Publish::new(&topic, "came through")), 0);
        let message = subscriber.message();
        assert!(message.topic == topic.as_bytes(), "the topic is another");
        assert_eq!(message.payload, b"came through");
        bystanders.stop();
    }

    fn a_topic_of_many_levels(shards) {
        let broker = Broker::with(shards).set("mqtt.topic_levels_max", 100).start();
        let bystanders = Bystanders::start(&broker);
        let mut client = Raw::client(&broker, V5, "deep");
        client.subscribe(&deep(100), 1);
        client.send(Publish::new(deep(100), "x").qos(1, 9).bytes(V5));
        let mut came = [client.next().unwrap().kind, client.next().unwrap().kind];
        came.sort_unstable();
        assert_eq!(came, [PUBLISH, PUBACK]);

        for levels in [101, 32_768] {
            let mut client = Raw::client(&broker, V5, "deeper");
            client.send(subscribe(V5, 1, &[(&deep(levels), 0)]));
            assert_eq!(client.expect(SUBACK).body.last(), Some(&TOPIC_FILTER_INVALID));
            client.send(Publish::new(deep(levels), "x").qos(1, 9).bytes(V5));
            let refused = client.next().unwrap();
            assert!(matches!(refused.kind, PUBACK | DISCONNECT), "{refused:?}");
            assert_eq!(refused.reason(), TOPIC_NAME_INVALID);
        }
        bystanders.stop();
    }

    fn too_many_subscriptions(shards) {
        let broker = Broker::with(shards).set("mqtt.subscriptions_max", 1_000).start();
        let bystanders = Bystanders::start(&broker);
        for version in [V311, V5] {
            let mut client = Raw::client(&broker, version, "collector");
            for batch in 0..10 {
                let filters: Vec<String> = (0..100).map(|n| format!("many/{batch}/+/{n}/#")).collect();
                let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (&filter[..], 1)).collect();
                client.send(subscribe(version, 1, &filters));
                assert!(client.expect(SUBACK).body.ends_with(&[1; 100]));
            }
            client.send(subscribe(version, 1, &[("one/more", 0)]));
            let refused = if version == V5 { QUOTA_EXCEEDED } else { 0x80 };
            assert_eq!(client.expect(SUBACK).body.last(), Some(&refused));
            // What it has it may keep, and renew.
            client.subscribe("many/3/+/14/#", 1);
            Raw::client(&broker, V5, "one").publish(Publish::new("many/3/x/14/y/z", "still here"));
            assert_eq!(client.message().payload, b"still here");
        }
        bystanders.stop();
    }

    fn thousands_of_subscriptions(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        let mut client = Raw::client(&broker, V5, "collector");
        for batch in 0..50 {
            let filters: Vec<String> = (0..200).map(|n| format!("many/{n}/+/{batch}")).collect();
            let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (&filter[..], 0)).collect();
            client.send(subscribe(V5, 1, &filters));
            assert!(client.expect(SUBACK).body.ends_with(&[0; 200]));
        }
        let mut publisher = Raw::client(&broker, V5, "publisher");
        for (batch, n) in [(0, 0), (49, 199), (17, 103)] {
            publisher.publish(Publish::new(format!("many/{n}/x/{batch}"), ""));
            assert_eq!(client.message().topic, format!("many/{n}/x/{batch}").as_bytes());
        }
        drop(client);
        bystanders.stop();
    }

    fn more_in_flight_than_allowed(shards) {
        let broker = Broker::with(shards).set("mqtt.receive_maximum", 2).start();
        let bystanders = Bystanders::start(&broker);
        let mut client = Raw::client(&broker, V5, "eager");
        for packet_id in 1..=2 {
            client.send(Publish::new("a", "").qos(2, packet_id).bytes(V5));
            client.expect(PUBREC);
        }
        client.send(Publish::new("a", "").qos(2, 3).bytes(V5));
        assert_eq!(refusal(&mut client), RECEIVE_MAXIMUM_EXCEEDED);
        bystanders.stop();
    }

    fn silence_beyond_the_keep_alive(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        let mut silent = Raw::connect(&broker, &Connect { keep_alive_s: 1, ..Connect::new(V5, "silent") });
        let mut halfway = Raw::connect(&broker, &Connect { keep_alive_s: 1, ..Connect::new(V311, "halfway") });
        // Half a packet is not a packet.
        halfway.send(&Publish::new("a", "x").bytes(V311)[..4]);
        assert_eq!(refusal(&mut silent), KEEP_ALIVE_TIMEOUT);
        assert_eq!(halfway.next(), None);
        bystanders.stop();
    }
}
