//! The Will Message: what publishes it, what discards it, and when (3.1.2.5, 3.1.3.2).

use crate::at::At;
use crate::client::{PROTOCOL_ERROR, Will, disconnect, text, user_property};
use crate::conformance;
use crate::raw::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const DELAY_1_S: &[u8] = &[0x18, 0, 0, 0, 1];
const DELAY_2_S: &[u8] = &[0x18, 0, 0, 0, 2];
/// Long enough for somebody to do something meanwhile, however busy the machine is.
const MEANWHILE_S: u8 = 4;
const DELAY_100_S: &[u8] = &[0x18, 0, 0, 0, 100];

fn will(at: &At) -> Will {
    Will::new(at.topic("will"), "the will")
}

/// The client of that name, whose will would have come first, is heard of next.
fn nothing_came(at: &At, watch: &mut Raw, who: &str) {
    // The same client lives on the same shard, so what it publishes comes after what its will would have been.
    at.client(who).publish(at.message("will", "nothing before"));
    assert_eq!(watch.payload(), "nothing before");
}

conformance! {
    // 5.0: [MQTT-3.1.2-7], [MQTT-3.1.2-8]
    fn a_lost_connection_publishes_it(at: Both) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.connecting("client").will(will(at)));
        drop(client);
        assert_eq!(watch.payload(), "the will");
    }

    // 5.0: [MQTT-3.1.2-8]
    fn a_broken_protocol_publishes_it(at: Both) {
        let mut watch = at.subscriber("will");
        let (mut client, _) = at.connect(&at.connecting("client").will(will(at)));
        client.send(at.connecting("client").bytes());
        client.is_refused(&[PROTOCOL_ERROR]);
        assert_eq!(watch.payload(), "the will");
    }

    // 5.0: [MQTT-3.1.2-8], [MQTT-3.1.4-3]
    fn a_takeover_publishes_it(at: Both) {
        let mut watch = at.subscriber("will");
        let (_first, _) = at.connect(&at.lasting("client").will(will(at)));
        let (_second, _) = at.connect(&at.lasting("client"));
        assert_eq!(watch.payload(), "the will");
    }

    // 5.0: [MQTT-3.1.2-10], [MQTT-3.14.4-3]
    fn a_normal_disconnect_discards_it(at: Both) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.connecting("client").will(will(at)));
        client.leave(0);
        nothing_came(at, &mut watch, "client");
    }

    // 5.0: [MQTT-3.1.2-8]
    fn a_disconnect_with_another_reason_publishes_it(at: V5) {
        for reason in [0x04, 0x80, 0x97] {
            let mut watch = at.subscriber("will");
            let (client, _) = at.connect(&at.connecting("client").will(will(at)));
            client.leave(reason);
            assert_eq!(watch.payload(), "the will", "0x{reason:02X}");
        }
    }

    // 5.0: [MQTT-3.1.2-10]; 3.1.1: [MQTT-3.1.2-12]
    fn once_published_it_is_gone(at: Both) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.lasting("client").will(will(at)));
        drop(client);
        assert_eq!(watch.payload(), "the will");
        let (client, _) = at.connect(&at.lasting("client"));
        drop(client);
        nothing_came(at, &mut watch, "client");
    }

    // 5.0: [MQTT-3.1.2-14], [MQTT-3.3.1-8]
    fn it_is_not_retained_unless_asked(at: Both) {
        let mut watch = at.subscriber("will");
        for qos in [0, 1, 2] {
            let (client, _) = at.connect(&at.connecting("client").will(will(at).qos(qos)));
            drop(client);
            let publish = watch.publication();
            assert_eq!((publish.qos, publish.retain), (qos, false));
            watch.acknowledge(&publish);
        }
        let mut late = at.client("late");
        late.subscribe(&at.topic("will"), 0);
        late.ping();
        nothing_came(at, &mut late, "client");
    }

    // 5.0: [MQTT-3.1.2-15]
    fn it_is_retained_when_asked(at: Both) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.connecting("client").will(will(at).qos(1).retain()));
        drop(client);
        assert_eq!(watch.payload(), "the will");
        let mut late = at.client("late");
        late.subscribe(&at.topic("will"), 1);
        let publish = late.message();
        assert_eq!((publish.retain, &publish.payload[..]), (true, &b"the will"[..]));
    }

    // 5.0: [MQTT-3.1.2-8]
    fn it_waits_for_its_delay(at: V5) {
        let mut watch = at.subscriber("#");
        let (client, _) = at.connect(&at.lasting("client").will(will(at).with(DELAY_2_S)));
        let (other, _) = at.connect(&at.lasting("other").will(Will::new(at.topic("other"), "first").with(DELAY_1_S)));
        let left = Instant::now();
        drop(client);
        drop(other);
        at.publisher().publish(at.message("now", "at once"));
        let came: BTreeMap<String, Duration> = (0..3).map(|_| (watch.payload(), left.elapsed())).collect();
        assert_eq!(came.len(), 3, "{came:?}");
        for (payload, delay_s) in [("at once", 0), ("first", 1), ("the will", 2)] {
            // The broker counts whole milliseconds.
            assert!(came[payload] + Duration::from_millis(1) >= Duration::from_secs(delay_s), "{came:?}");
        }
    }

    // 5.0: [MQTT-3.1.3-9]
    fn who_returns_in_time_cancels_it(at: V5) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.lasting("client").will(will(at).with(&[0x18, 0, 0, 0, MEANWHILE_S])));
        drop(client);
        let (client, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
        at.seconds_pass(MEANWHILE_S);
        client.leave(0);
        nothing_came(at, &mut watch, "client");
    }

    // 5.0: [MQTT-3.1.3-9], [MQTT-3.1.4-3]
    fn a_takeover_in_time_cancels_it(at: V5) {
        let mut watch = at.subscriber("will");
        let (_first, _) = at.connect(&at.lasting("client").will(will(at).with(&[0x18, 0, 0, 0, MEANWHILE_S])));
        let (second, _) = at.connect(&at.lasting("client"));
        at.seconds_pass(MEANWHILE_S);
        second.leave(0);
        nothing_came(at, &mut watch, "client");
    }

    // 5.0: [MQTT-3.1.2-8]
    fn it_waits_no_longer_than_the_session(at: V5) {
        let mut watch = at.subscriber("will");
        let (client, _) = at.connect(&at.connecting("ends-at-once").will(will(at).with(DELAY_100_S)));
        drop(client);
        assert_eq!(watch.payload(), "the will");
        let (client, _) = at.connect(&at.lasting("replaced").will(will(at).with(DELAY_100_S)));
        drop(client);
        let (_client, _) = at.connect(&at.connecting("replaced"));
        assert_eq!(watch.payload(), "the will");
    }

    // 5.0: [MQTT-3.1.3-10], [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-20]
    fn it_keeps_its_properties_in_order(at: V5) {
        let mut watch = at.subscriber("will");
        let properties = [
            vec![0x01, 1],
            text(0x03, "text/plain"),
            text(0x08, "answer/here"),
            text(0x09, "\0correlation\u{7f}"),
            user_property("b", "1"),
            user_property("a", "2"),
            user_property("b", "1"),
        ].concat();
        let sent = [&properties, &[0x02, 0, 0, 0, 60, 0x18, 0, 0, 0, 0][..]].concat();
        let (client, _) = at.connect(&at.connecting("client").will(will(at).with(&sent)));
        drop(client);
        let publish = watch.publication();
        let mut came = publish.taken_apart();
        came.retain(|property| property.0 != 0x02);
        let mut expected = crate::client::take_apart(&properties);
        let order = |properties: &[crate::client::Property]| {
            properties.iter().filter(|p| p.0 == 0x26).cloned().collect::<Vec<_>>()
        };
        assert_eq!(order(&came), order(&expected));
        came.sort();
        expected.sort();
        assert_eq!(came, expected, "nothing else, and no Will Delay Interval");
        let left = publish.property(0x02).unwrap();
        assert!(matches!(left[..], [0, 0, 0, 50..=60]), "{left:?}");
    }

    /// A will above the QoS of the subscription comes down to it, and one to nobody is no error.
    // 5.0: [MQTT-3.8.4-8]
    fn it_is_a_message_like_any_other(at: Both) {
        let mut watch = at.client("watch");
        watch.subscribe(&at.topic("+"), 1);
        let (client, _) = at.connect(&at.connecting("client").will(will(at).qos(2)));
        drop(client);
        assert_eq!(watch.message().qos, 1);
        let (client, _) = at.connect(&at.connecting("client").will(Will::new(at.topic("no/body"), "")));
        drop(client);
        let (mut client, _) = at.connect(&at.connecting("client").will(Will::new(at.topic("empty"), "")));
        client.send(disconnect(0));
        assert_eq!(client.until_closed(), []);
        nothing_came(at, &mut watch, "client");
    }
}
