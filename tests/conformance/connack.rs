//! CONNACK: what the server announces, and that it keeps to it (3.2).

use crate::at::At;
use crate::client::{Connecting, Will};
use crate::conformance;
use crate::raw::*;
use std::time::{Duration, Instant};

conformance! {
    // 5.0: [MQTT-3.2.2-1], [MQTT-2.2.2-1]
    fn the_flags_are_reserved(at: Both) {
        let (_client, connack) = at.connect(&at.connecting("plain"));
        assert_eq!(connack.flags & 0xFE, 0);
    }

    // 5.0: [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-11], [MQTT-3.2.2-12]
    fn maximum_qos(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.maximum_qos", 1));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x24), Some(&[1][..]));
        assert_eq!(client.subscribe_codes(&[(&at.topic("a"), 0), (&at.topic("b"), 1), (&at.topic("c"), 2)]), [0, 1, 1]);
        client.put(&at.message("x", "x").qos(2, 1));
        client.is_refused(&[0x9B]);
        let mut client = at.open(&at.connecting("will").will(Will::new("w", "x").qos(2)));
        assert_eq!(client.connack().reason, 0x9B);
        assert_eq!(client.next(), None);
    }

    // 5.0: [MQTT-3.2.2-13], [MQTT-3.2.2-14]
    fn retain_available(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.retain_available", false));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x25), Some(&[0][..]));
        client.put(&at.message("x", "x").retain());
        client.is_refused(&[0x9A]);
        let mut client = at.open(&at.connecting("will").will(Will::new("w", "x").retain()));
        assert_eq!(client.connack().reason, 0x9A);
        assert_eq!(client.next(), None);
    }

    // 5.0: [MQTT-3.2.2-15]
    fn maximum_packet_size(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.packet_bytes_max", 200));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x27), Some(&[0, 0, 0, 200][..]));
        let overhead = at.message("x", "").bytes(at.version).len() + 1;
        client.put(&at.message("x", vec![b'x'; 200 - overhead]));
        client.ping();
        client.put(&at.message("x", vec![b'x'; 201 - overhead]));
        client.is_refused(&[0x95]);
    }

    /// What the server does not offer, it says, and refuses.
    // 5.0: [MQTT-3.9.3-2]
    fn wildcards_and_shared_subscriptions_available(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.wildcard_available", false).set("mqtt.shared_available", false));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x28), Some(&[0][..]));
        assert_eq!(connack.property(0x2A), Some(&[0][..]));
        assert_eq!(client.subscribe_codes(&[("a/+", 0), ("#", 0), ("$share/g/a", 0), ("a", 1)]), [0xA2, 0xA2, 0x9E, 1]);
    }

    /// Before 5.0 every failure has the same code.
    // 3.1.1: [MQTT-3.9.3-2], [MQTT-3.8.4-5], [MQTT-3.8.3-2]
    fn wildcards_and_shared_subscriptions_refused(at: V311) {
        let at = at.own(|setup| setup.set("mqtt.wildcard_available", false).set("mqtt.shared_available", false));
        let mut client = at.client("client");
        assert_eq!(client.subscribe_codes(&[("a/+", 0), ("a", 2), ("$share/g/a", 0)]), [0x80, 2, 0x80]);
    }

    // 5.0: [MQTT-3.1.2-28]
    fn no_response_information_unasked(at: V5) {
        for asked in [&[][..], &[0x19, 0]] {
            let (_client, connack) = at.connect(&at.connecting("client").with(asked));
            assert_eq!(connack.property(0x1A), None);
        }
    }

    // 5.0: [MQTT-3.1.2-28]
    fn response_information_when_asked(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.response_prefix", "answers/to"));
        let asking = at.connecting("client").with(&[0x19, 1]);
        let (_client, connack) = at.connect(&asking);
        assert_eq!(connack.property(0x1A), Some(&field(format!("answers/to/{}", at.id("client")))[..]));
        for asked in [&[][..], &[0x19, 0]] {
            let (_client, connack) = at.connect(&at.connecting("other").with(asked));
            assert_eq!(connack.property(0x1A), None);
        }
        // A place with a wildcard in it would be none.
        let (_client, connack) = at.connect(&at.connecting("wild+card").with(&[0x19, 1]));
        assert_eq!(connack.property(0x1A), None);
    }

    // 5.0: [MQTT-3.1.2-24], [MQTT-3.2.2-19], [MQTT-3.2.2-20]
    fn connack_fits_the_client(at: V5) {
        // Five bytes are the least that a CONNACK takes; a client that takes less is told nothing.
        for size in 1..40 {
            let mut client = at.open(&at.connecting("small").with(&[0x27, 0, 0, 0, size]));
            let mut said = client.next();
            if let Some(packet) = said.take_if(|packet| packet.kind == CONNACK) {
                assert!(2 + packet.body.len() <= usize::from(size), "{size}: {packet:02X?}");
            }
            assert_eq!(said, None);
        }
    }

    // 5.0: [MQTT-3.2.2-21], [MQTT-3.1.2-21]
    fn the_keep_alive_of_the_server(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.keep_alive_max_s", 1));
        for asked in [0, 60] {
            let (mut client, connack) = at.connect(&at.connecting("client").keep_alive_s(asked));
            assert_eq!(connack.property(0x13), Some(&[0, 1][..]));
            client.is_refused(&[0x8D]);
        }
        let (_client, connack) = at.connect(&at.connecting("client").keep_alive_s(1));
        assert_eq!(connack.property(0x13), None);
    }

    // 5.0: [MQTT-3.1.2-22], [MQTT-3.2.2-22]
    fn silence_ends_after_one_and_a_half_keep_alives(at: Both) {
        let mut watch = at.subscriber("will");
        let started = Instant::now();
        let silent = at.connecting("silent").keep_alive_s(1).will(Will::new(at.topic("will"), "timed out"));
        let (mut silent, connack) = at.connect(&silent);
        assert_eq!(connack.property(0x13), None);
        silent.is_refused(&[0x8D]);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(1_450), "after {took:?}");
        assert_eq!(watch.payload(), "timed out");
    }

    // 5.0: [MQTT-3.1.2-20], [MQTT-3.12.4-1]
    fn any_packet_keeps_a_client_alive(at: Both) {
        let (mut client, _) = at.connect(&at.connecting("lively").keep_alive_s(3));
        let (mut other, _) = at.connect(&at.connecting("publishing").keep_alive_s(3));
        for _ in 0..3 {
            // Together longer than the time that is allowed, and each far shorter, for a machine that is busy.
            assert!(!client.is_closed_within(Duration::from_millis(1_800)));
            client.ping();
            other.publish(at.message("x", "x"));
        }
    }

    fn keep_alive_0_is_none(at: Both) {
        let (mut client, _) = at.connect(&Connecting { keep_alive_s: 0, ..at.connecting("patient") });
        assert!(!client.is_closed_within(Duration::from_millis(1_800)));
        client.ping();
    }
}
