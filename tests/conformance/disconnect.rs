//! PINGREQ, DISCONNECT from both sides, and the end of a connection (3.12 to 3.14, 4.13).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, disconnect};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-3.12.4-1]
    fn a_ping_is_answered(at: Both) {
        let mut client = at.client("client");
        for _ in 0..3 {
            client.send(packet(PINGREQ, 0, &[]));
            assert_eq!(client.expect(PINGRESP), Packet { kind: PINGRESP, flags: 0, body: Vec::new() });
        }
    }

    // 5.0: [MQTT-3.14.4-1], [MQTT-3.14.4-2]
    fn nothing_follows_a_disconnect(at: Both) {
        let mut watch = at.subscriber("a");
        let mut client = at.client("client");
        client.send([disconnect(0), at.message("a", "too late").bytes(at.version), packet(PINGREQ, 0, &[])].concat());
        assert_eq!(client.until_closed(), []);
        at.client("client").publish(at.message("a", "next"));
        assert_eq!(watch.payload(), "next");
    }

    // 5.0: [MQTT-3.14.1-1], [MQTT-2.1.3-1]; 3.1.1: [MQTT-2.2.2-2], [MQTT-2.2.2-1]
    fn reserved_flags(at: Both) {
        for (kind, right, body) in [
            (DISCONNECT, 0, &[][..]),
            (PINGREQ, 0, &[]),
            (PUBACK, 0, &[0, 1]),
            (PUBREC, 0, &[0, 1]),
            (PUBREL, 2, &[0, 1]),
            (PUBCOMP, 0, &[0, 1]),
        ] {
            for flags in (0..16).filter(|flags| *flags != right) {
                let mut client = at.client("wrong");
                client.send(packet(kind, flags, body));
                client.is_refused(&[MALFORMED]);
            }
        }
    }

    // 5.0: [MQTT-3.6.1-1]
    fn reserved_flags_of_pubrel(at: Both) {
        let mut client = at.client("wrong");
        client.put(&at.message("a", "x").qos(2, 1));
        client.expect(PUBREC);
        client.send(packet_of_id(PUBREL, 0, 1));
        client.is_refused(&[MALFORMED]);
    }

    // 5.0: [MQTT-3.14.2-1], [MQTT-3.14.2-2], [MQTT-4.13.1-1], [MQTT-4.13.2-1]
    fn the_server_says_why(at: V5) {
        for (bytes, reason) in [
            (Publish::new("a", "x").qos(3, 1).bytes(at.version), MALFORMED),
            (at.connecting("client").bytes(), PROTOCOL_ERROR),
            (Publish::new("a/#", "x").bytes(at.version), 0x90),
            (Publish::new("a", "x").with(&[0x23, 0xFF, 0xFF]).bytes(at.version), 0x94),
            (packet(CONNACK, 0, &[0, 0, 0]), PROTOCOL_ERROR),
        ] {
            let mut client = at.client("client");
            client.send(&bytes);
            let last = client.expect(DISCONNECT);
            assert_eq!((last.flags, last.reason()), (0, reason), "{bytes:02X?}");
            let properties = last.body.get(2..).unwrap_or_default();
            assert!(crate::client::take_apart(properties).iter().all(|property| property.0 != 0x11));
            assert_eq!(client.next(), None);
        }
    }

    // 5.0: [MQTT-3.14.2-3], [MQTT-3.14.2-4], [MQTT-3.1.2-24]
    fn the_reason_fits_the_client(at: V5) {
        let (mut client, _) = at.connect(&at.connecting("small").with(&[0x27, 0, 0, 0, 30]));
        client.put(&Publish::new("a/#", "x"));
        let last = client.expect(DISCONNECT);
        assert!(2 + last.body.len() <= 30);
    }

    /// Reasons and properties that a client may not send.
    // 5.0: [MQTT-3.14.2-1]
    fn a_disconnect_that_is_none(at: V5) {
        for body in [&[0x01][..], &[0x8D], &[0x8E], &[0x42], &[0, 3, 0x21, 0, 1], &[0, 1], &[0, 5, 0x11, 0, 0, 0]] {
            let mut client = at.client("wrong");
            client.send(packet(DISCONNECT, 0, body));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    // 3.1.1: [MQTT-4.8.0-1]
    fn a_disconnect_of_311_has_no_body(at: V311) {
        let mut client = at.client("wrong");
        client.send(packet(DISCONNECT, 0, &[0]));
        client.is_refused(&[]);
    }

    /// The clients of a broker that stops are told so.
    // 5.0: [MQTT-3.14.2-1]
    fn a_stopping_server_says_so(at: V5) {
        let own = at.own(|setup| setup);
        let mut client = own.client("client");
        drop(own);
        client.is_refused(&[0x8B]);
    }
}
