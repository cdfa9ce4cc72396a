//! Enhanced authentication where the server has no such method (4.12).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, text};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-4.12.0-1], [MQTT-3.1.4-2]
    fn a_method_that_is_not_known(at: V5) {
        let mut client = at.open(&at.connecting("client").with(&text(0x15, "SCRAM-SHA-1")));
        assert_eq!(client.connack().reason, 0x8C);
        assert_eq!(client.next(), None);
    }

    // 5.0: [MQTT-4.12.0-6]
    fn no_method_no_auth(at: V5) {
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!((connack.property(0x15), connack.property(0x16)), (None, None));
        client.ping();
    }

    // 5.0: [MQTT-4.12.0-7], [MQTT-4.12.1-1]
    fn auth_unasked(at: V5) {
        for reason in [0x18, 0x19] {
            let mut client = at.client("client");
            let properties = text(0x15, "SCRAM-SHA-1");
            client.send(packet(AUTH, 0, &[&[reason, properties.len() as u8][..], &properties].concat()));
            client.is_refused(&[PROTOCOL_ERROR]);
        }
    }

    // 5.0: [MQTT-3.15.1-1], [MQTT-3.15.2-1]
    fn auth_that_is_none(at: V5) {
        for (flags, body) in [(1, &[0x18, 0][..]), (2, &[]), (0, &[0x01, 0]), (0, &[0x80, 0])] {
            let mut client = at.client("client");
            client.send(packet(AUTH, flags, body));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    /// Before 5.0 there is no such packet.
    // 3.1.1: [MQTT-4.8.0-1]
    fn auth_of_311(at: V311) {
        let mut client = at.client("client");
        client.send(packet(AUTH, 0, &[]));
        client.is_refused(&[]);
    }
}
