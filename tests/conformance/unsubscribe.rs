//! UNSUBSCRIBE and UNSUBACK (3.10, 3.11).

use crate::at::At;
use crate::client::{MALFORMED, PROTOCOL_ERROR, unsubscribe};
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-2.2.1-6]; 3.1.1: [MQTT-2.3.1-7], [MQTT-3.10.4-5]
    fn every_unsubscribe_is_answered(at: Both) {
        let mut client = at.subscriber("a");
        let filter = at.topic("a");
        for id in [1, 0x1234, 65_535] {
            // The second and third find nothing to delete.
            client.send(unsubscribe(at.version, id, &[&filter]));
            let unsuback = client.expect(UNSUBACK);
            assert_eq!(unsuback.flags, 0);
            assert_eq!(unsuback.body[..2], id.to_be_bytes());
            assert_eq!(unsuback.body.len(), if at.is_v5() { 4 } else { 2 });
        }
    }

    // 5.0: [MQTT-3.10.4-1], [MQTT-3.10.4-2]
    fn only_the_same_filter_is_deleted(at: Both) {
        let mut client = at.subscriber("a/+");
        for other in ["a/b", "a/#", "A/+", "a/+/", "/a/+"] {
            client.send(unsubscribe(at.version, 1, &[&at.topic(other)]));
            client.expect(UNSUBACK);
        }
        let mut publisher = at.publisher();
        publisher.publish(at.message("a/b", "subscribed"));
        assert_eq!(client.payload(), "subscribed");
        client.subscribe(&at.topic("end"), 1);
        client.send(unsubscribe(at.version, 1, &[&at.topic("a/+")]));
        client.expect(UNSUBACK);
        publisher.publish(at.message("a/b", "unsubscribed"));
        publisher.publish(at.message("end", "end"));
        assert_eq!(client.payload(), "end");
    }

    // 5.0: [MQTT-3.10.4-3]
    fn what_was_begun_is_completed(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        let mut publisher = at.publisher();
        publisher.put(&at.message("a", "x").qos(2, 1));
        let first = client.publication();
        publisher.put(&at.message("a", "y").qos(1, 2));
        let second = client.publication();
        client.send(unsubscribe(at.version, 1, &[&at.topic("a")]));
        client.expect(UNSUBACK);
        client.acknowledge(&first);
        drop(client);
        let (mut client, _) = at.connect(&at.lasting("client"));
        assert_eq!(client.publication(), Publish { duplicate: true, ..second });
    }

    // 5.0: [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2]
    fn a_code_for_each_filter_in_order(at: Both) {
        let mut client = at.client("client");
        client.subscribe(&at.topic("a"), 1);
        client.subscribe(&at.topic("c"), 1);
        client.subscribe("$share/group/d", 1);
        let filters = [at.topic("a"), at.topic("b"), at.topic("c"), "$share/group/d".to_owned(), "$share/other/d".to_owned()];
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        client.send(unsubscribe(at.version, 0x0102, &filters));
        let expected: &[u8] = if at.is_v5() { &[0, 0x11, 0, 0, 0x11] } else { &[] };
        assert_eq!(client.codes(UNSUBACK), expected);
        client.subscribe(&at.topic("end"), 1);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "x"));
        publisher.publish(at.message("c", "x"));
        publisher.publish(at.message("end", "end"));
        assert_eq!(client.payload(), "end");
    }

    // 5.0: [MQTT-3.10.1-1], [MQTT-3.10.3-1], [MQTT-3.10.3-2]
    fn malformed_unsubscribes(at: Both) {
        let none = [&[0, 1][..], &properties(at.version, &[])].concat();
        let whole = unsubscribe(at.version, 1, &["a"]);
        let mut wrong = vec![
            packet(UNSUBSCRIBE, 2, &none),
            packet(UNSUBSCRIBE, 2, &[&none, &b"\0\x05a"[..]].concat()),
            packet(UNSUBSCRIBE, 2, &[&none, &field(b"\xFF")[..]].concat()),
            packet(UNSUBSCRIBE, 2, &[&none, &field(b"a\0")[..]].concat()),
            unsubscribe(at.version, 0, &["a"]),
        ];
        wrong.extend([0, 1, 3, 6].map(|flags| packet(UNSUBSCRIBE, flags, &whole[2..])));
        for bytes in wrong {
            println!("{bytes:02X?}");
            let mut client = at.client("wrong");
            client.send(&bytes);
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }
}
