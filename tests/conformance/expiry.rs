//! The Message Expiry Interval (3.3.2.3.3).

use crate::at::At;
use crate::conformance;

fn expiry(seconds: u8) -> [u8; 5] {
    [0x02, 0, 0, 0, seconds]
}

conformance! {
    // 5.0: [MQTT-3.3.2-5]
    fn what_waits_too_long_is_dropped(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        drop(client);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "expires").with(&expiry(1)));
        publisher.publish(at.message("a", "stays").with(&expiry(200)));
        publisher.publish(at.message("a", "expires too").with(&expiry(1)));
        publisher.publish(at.message("a", "never expires"));
        at.a_second_passes();
        let (mut client, _) = at.connect(&at.lasting("client"));
        assert_eq!(client.payloads(2), ["stays", "never expires"]);
    }

    // 5.0: [MQTT-3.3.2-6]
    fn what_is_left_is_forwarded(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "now").with(&expiry(100)));
        assert!(matches!(client.message().property(0x02).unwrap()[..], [0, 0, 0, 99..=100]));
        drop(client);
        publisher.publish(at.message("a", "later").with(&expiry(100)));
        at.a_second_passes();
        let (mut client, _) = at.connect(&at.lasting("client"));
        let left = client.message().property(0x02).unwrap();
        assert!(matches!(left[..], [0, 0, 0, 60..=99]), "{left:?}");
        publisher.publish(at.message("a", "never expires"));
        assert_eq!(client.message().property(0x02), None);
    }

    // 5.0: [MQTT-3.3.2-5], [MQTT-3.3.2-6]
    fn retained_messages_expire(at: V5) {
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", "expires").retain().with(&expiry(1)));
        publisher.publish(at.message("b", "stays").retain().with(&expiry(100)));
        at.a_second_passes();
        let mut client = at.client("late");
        client.subscribe(&at.topic("a"), 1);
        client.subscribe(&at.topic("+"), 1);
        let publish = client.message();
        assert_eq!(publish.payload, b"stays");
        let left = publish.property(0x02).unwrap();
        assert!(matches!(left[..], [0, 0, 0, 60..=99]), "{left:?}");
        client.ping();
    }
}
