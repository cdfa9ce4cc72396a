//! Packets that are none: framing, fields and direction (1.5, 2, 4.13).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-1.5.5-1]; 3.1.1: [MQTT-4.8.0-1]
    fn lengths_that_are_too_long(at: Both) {
        for bytes in [&[0xC0, 0x80, 0x80, 0x80, 0x80, 0x00][..], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]] {
            let mut client = at.client("wrong");
            client.send(bytes);
            client.is_refused(&[MALFORMED]);
        }
    }

    /// The Property Length is a variable byte integer too.
    // 5.0: [MQTT-1.5.5-1]
    fn property_lengths_that_are_too_long(at: V5) {
        for length in [&[0x80, 0x80, 0x80, 0x80, 0x01][..], &[0x80, 0x00]] {
            let mut client = at.client("wrong");
            client.send(packet(PUBLISH, 0, &[&field("a"), length, b"x"].concat()));
            client.is_refused(&[MALFORMED]);
        }
    }

    // 5.0: [MQTT-4.13.1-1]; 3.1.1: [MQTT-4.8.0-1]
    fn packets_that_a_server_sends(at: Both) {
        let body = if at.is_v5() { &[0, 1, 0, 0][..] } else { &[0, 1, 0] };
        for bytes in [
            packet(CONNACK, 0, if at.is_v5() { &[0, 0, 0] } else { &[0, 0] }),
            packet(SUBACK, 0, body),
            packet(UNSUBACK, 0, if at.is_v5() { body } else { &[0, 1] }),
            packet(PINGRESP, 0, &[]),
            vec![0x00, 0x00],
        ] {
            let mut client = at.client("wrong");
            client.send(&bytes);
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    // 5.0: [MQTT-4.13.1-1]; 3.1.1: [MQTT-4.8.0-1]
    fn packets_cut_short(at: Both) {
        for bytes in [
            packet(PUBLISH, 2, &[&field("a")[..], &[0]].concat()),
            packet(PUBLISH, 0, &[0]),
            packet(PUBLISH, 0, &[]),
            packet(PUBACK, 0, &[0]),
            packet(PUBREL, 2, &[]),
            packet(SUBSCRIBE, 2, &[0]),
            packet(UNSUBSCRIBE, 2, &[]),
            packet(PINGREQ, 0, &[0]),
        ] {
            let mut client = at.client("wrong");
            client.send(&bytes);
            client.is_refused(&[MALFORMED]);
        }
    }

    /// Acknowledgements with reasons that they cannot have.
    // 5.0: [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]
    fn reasons_of_other_packets(at: V5) {
        for (kind, reason) in [(PUBACK, 0x01), (PUBACK, 0x92), (PUBREC, 0x8E), (PUBREL, 0x10), (PUBREL, 0x80), (PUBCOMP, 0x97)] {
            let mut client = at.client("wrong");
            client.send(crate::client::ack_with(kind, 1, reason));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    /// U+FEFF is a character like any other.
    // 5.0: [MQTT-1.5.4-3]
    fn a_byte_order_mark_is_kept(at: Both) {
        let mut client = at.client("client");
        let topic = format!("\u{feff}{}\u{feff}", at.topic("a"));
        client.subscribe(&topic, 1);
        at.publisher().publish(Publish::new(&topic, "\u{feff}x"));
        let publish = client.message();
        assert_eq!((publish.topic, publish.payload), (topic.into_bytes(), "\u{feff}x".as_bytes().to_vec()));
    }

    /// One client's mistake ends its connection only, and its session is there when it returns.
    // 5.0: [MQTT-3.1.2-23]; 3.1.1: [MQTT-4.8.0-1]
    fn a_mistake_costs_the_connection_only(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        client.put(&Publish::new("#", "x"));
        client.is_refused(&[0x90]);
        at.publisher().publish(at.message("a", "kept"));
        let (mut client, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
        assert_eq!(client.payload(), "kept");
    }
}
