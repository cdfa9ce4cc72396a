//! Sessions: clean start, what is kept and for how long, takeover, and what waits for an absent client (3.1.2, 4.1).

use crate::at::At;
use crate::client::{PROTOCOL_ERROR, Will};
use crate::conformance;
use crate::raw::*;

/// Publishes with QoS 1, so that every shard has routed it when this returns.
fn publish_all(at: &At, topic: &str, payloads: impl IntoIterator<Item = String>) {
    let mut publisher = at.publisher();
    for payload in payloads {
        publisher.publish(at.message(topic, payload));
    }
}

conformance! {
    // 5.0: [MQTT-3.1.2-4], [MQTT-3.1.4-4], [MQTT-3.2.2-2]; 3.1.1: [MQTT-3.1.2-6]
    fn a_clean_start_begins_anew(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        client.leave(0);
        publish_all(at, "a", ["queued".to_owned()]);
        let (mut client, connack) = at.connect(&at.lasting("client").clean());
        assert!(!connack.session_present());
        client.subscribe(&at.topic("b"), 0);
        publish_all(at, "a", ["unsubscribed".to_owned()]);
        publish_all(at, "b", ["subscribed".to_owned()]);
        assert_eq!(client.payload(), "subscribed");
        client.ping();
    }

    // 5.0: [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.2-23], [MQTT-3.1.3-2], [MQTT-3.2.2-3], [MQTT-4.1.0-1]
    // 3.1.1: [MQTT-3.1.2-4], [MQTT-3.2.2-2], [MQTT-3.2.2-3]
    fn a_session_goes_on(at: Both) {
        let (mut client, connack) = at.connect(&at.lasting("client"));
        assert!(!connack.session_present(), "there was none");
        client.subscribe(&at.topic("a"), 1);
        client.leave(0);
        let (mut client, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
        publish_all(at, "a", ["still subscribed".to_owned()]);
        assert_eq!(client.payload(), "still subscribed");
        let (_, connack) = at.connect(&at.lasting("another"));
        assert!(!connack.session_present(), "that of another client");
    }

    // 5.0: [MQTT-4.5.0-1], [MQTT-4.6.0-5], [MQTT-4.6.0-6]; 3.1.1: [MQTT-3.1.2-5]
    fn an_absent_client_finds_its_messages_in_order(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("+"), 2);
        drop(client);
        let sent: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        publish_all(at, "a", sent.iter().cloned());
        let (mut client, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
        assert_eq!(client.payloads(200), sent);
        publish_all(at, "a", ["after".to_owned()]);
        assert_eq!(client.payload(), "after");
    }

    /// QoS 1 and 2 are kept for an absent client, in the order in which they came; a message of QoS 0 may be kept too.
    // 5.0: [MQTT-4.5.0-1]
    fn messages_of_both_qos_wait(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        client.leave(0);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "one"));
        publisher.put(&at.message("a", "two").qos(2, 9));
        publisher.expect(PUBREC);
        publisher.send(packet_of_id(PUBREL, 2, 9));
        publisher.expect(PUBCOMP);
        publisher.publish(at.message("a", "three"));
        let (mut client, _) = at.connect(&at.lasting("client"));
        let mut came = Vec::new();
        for _ in 0..3 {
            let publish = client.publication();
            client.acknowledge(&publish);
            came.push((publish.qos, String::from_utf8(publish.payload).unwrap()));
        }
        assert_eq!(came, [(1, "one".to_owned()), (2, "two".to_owned()), (1, "three".to_owned())]);
    }

    // 5.0: [MQTT-4.1.0-2]; 3.1.1: [MQTT-3.2.2-1]
    fn a_session_may_end_with_its_connection(at: Both) {
        let connecting = if at.is_v5() { at.connecting("client").resume() } else { at.connecting("client") };
        let (mut client, _) = at.connect(&connecting);
        client.subscribe(&at.topic("a"), 1);
        client.leave(0);
        let (_, connack) = at.connect(&at.lasting("client"));
        assert!(!connack.session_present());
    }

    // 5.0: [MQTT-4.1.0-2], [MQTT-3.1.2-8]
    fn a_session_expires(at: V5) {
        let mut watch = at.subscriber("will");
        // Its will waits longer than the session, and so tells when that ends.
        let will = Will::new(at.topic("will"), "expired").with(&[0x18, 0, 0, 0, 100]);
        let (client, _) = at.connect(&at.connecting("client").resume().expiry_s(1).will(will));
        drop(client);
        assert_eq!(watch.payload(), "expired");
        let (_, connack) = at.connect(&at.lasting("client"));
        assert!(!connack.session_present());
    }

    // 5.0: [MQTT-3.1.2-23]
    fn disconnect_changes_the_expiry(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("shorter"));
        client.send(packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 0, 0]));
        assert_eq!(client.until_closed(), []);
        let (_, connack) = at.connect(&at.lasting("shorter"));
        assert!(!connack.session_present(), "it was to end with the connection");

        let (mut client, _) = at.connect(&at.connecting("longer").expiry_s(1));
        client.send(packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 1, 0]));
        assert_eq!(client.until_closed(), []);
        at.a_second_passes();
        let (_, connack) = at.connect(&at.lasting("longer"));
        assert!(connack.session_present(), "it was to be kept longer");

        let (mut client, _) = at.connect(&at.connecting("from-0"));
        client.send(packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 0, 9]));
        client.is_refused(&[PROTOCOL_ERROR]);
    }

    /// A limit of the server is told.
    fn the_expiry_of_the_server(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.session_expiry_max_s", 1));
        let (_client, connack) = at.connect(&at.lasting("client"));
        assert_eq!(connack.property(0x11), Some(&[0, 0, 0, 1][..]));
    }

    // 5.0: [MQTT-3.1.4-3], [MQTT-3.1.3-2]; 3.1.1: [MQTT-3.1.4-2]
    fn who_connects_again_takes_over(at: Both) {
        let (mut first, _) = at.connect(&at.lasting("client"));
        first.subscribe(&at.topic("a"), 1);
        let (mut second, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
        first.is_refused(&[0x8E]);
        publish_all(at, "a", ["for the second".to_owned()]);
        assert_eq!(second.payload(), "for the second");
    }

    // 5.0: [MQTT-3.1.4-3], [MQTT-3.2.2-2]
    fn who_connects_again_may_start_clean(at: Both) {
        let (mut first, _) = at.connect(&at.lasting("client"));
        first.subscribe(&at.topic("a"), 1);
        let (mut second, connack) = at.connect(&at.connecting("client"));
        assert!(!connack.session_present());
        first.is_refused(&[0x8E]);
        second.subscribe(&at.topic("b"), 1);
        publish_all(at, "a", ["for nobody".to_owned()]);
        publish_all(at, "b", ["for the second".to_owned()]);
        assert_eq!(second.payload(), "for the second");
    }

    /// A session may be taken over by a client of the other version.
    // 5.0: [MQTT-3.1.2-5]
    fn a_session_goes_on_in_another_version(at: Both) {
        let other = if at.is_v5() { Version::V311 } else { Version::V5 };
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        client.leave(0);
        publish_all(at, "a", ["kept".to_owned()]);
        let connecting = crate::client::Connecting::new(other, &at.id("client")).lasting();
        let (mut client, connack) = at.connect(&connecting);
        assert!(connack.session_present());
        assert_eq!(client.payload(), "kept");
    }

    /// Retained messages belong to no session.
    // 3.1.1: [MQTT-3.1.2-7]
    fn retained_messages_outlive_the_session(at: Both) {
        let mut publisher = at.client("retaining");
        publisher.publish(at.message("a", "retained").retain());
        publisher.leave(0);
        at.connect(&at.connecting("retaining"));
        assert_eq!(at.subscriber("a").payload(), "retained");
    }
}
