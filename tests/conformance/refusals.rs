//! Messages that go to nobody: those to the server's own topics, and those that are not the text they claim to be.

use crate::at::At;
use crate::client::*;
use crate::conformance;
use crate::raw::*;

const TEXT: [u8; 2] = [0x01, 1];
const NOT_TEXT: &[u8] = b"\xC3\x28";
const NOT_AUTHORIZED: u8 = 0x87;
const PAYLOAD_FORMAT_INVALID: u8 = 0x99;

/// The server's topics, of this case alone.
fn server_topic(at: &At) -> String {
    format!("$SYS/{}", at.topic("a"))
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

    // 5.0: [MQTT-3.1.4-2]
    fn a_will_to_the_servers_topics(at: Both) {
        let mut client = at.open(&at.connecting("client").will(Will::new(server_topic(at), "x")));
        assert_eq!(client.connack().reason, if at.is_v5() { NOT_AUTHORIZED } else { 5 });
        assert_eq!(client.next(), None);
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
