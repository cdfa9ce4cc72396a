//! What is sent again when a session gets a new connection, and that nothing else is (4.4).

use crate::at::At;
use crate::conformance;
use crate::raw::*;

conformance! {
    // 5.0: [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.6.0-1], [MQTT-4.3.2-3], [MQTT-4.3.3-3]
    // 3.1.1: [MQTT-2.3.1-4]
    fn unacknowledged_messages_come_again(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("+"), 2);
        let mut publisher = at.publisher();
        let mut sent = Vec::new();
        for n in 0..6_u16 {
            publisher.put(&at.message("a", n.to_string()).qos(1 + (n % 2) as u8, n + 1));
            sent.push(client.publication());
        }
        client.send(packet_of_id(PUBACK, 0, sent.remove(2).packet_id));
        client.ping();
        for _ in 0..2 {
            drop(client);
            client = at.connect(&at.lasting("client")).0;
            for publish in &sent {
                assert_eq!(client.publication(), Publish { duplicate: true, ..publish.clone() });
            }
            client.ping();
        }
        publisher.publish(at.message("a", "new"));
        let publish = client.publication();
        assert_eq!((publish.duplicate, &publish.payload[..]), (false, &b"new"[..]));
    }

    // 5.0: [MQTT-4.3.3-5], [MQTT-4.3.3-6], [MQTT-4.4.0-1], [MQTT-4.6.0-4]
    fn a_pubrel_comes_again(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        let mut publisher = at.publisher();
        let mut ids = Vec::new();
        for n in 1..=3 {
            publisher.put(&at.message("a", "x").qos(2, n));
            ids.push(client.publication().packet_id);
        }
        for id in &ids {
            client.send(packet_of_id(PUBREC, 0, *id));
            client.expect(PUBREL);
        }
        client.send(packet_of_id(PUBCOMP, 0, ids.remove(1)));
        client.ping();
        drop(client);
        let (mut client, _) = at.connect(&at.lasting("client"));
        for id in &ids {
            let pubrel = client.expect(PUBREL);
            assert_eq!((pubrel.flags, &pubrel.body[..2]), (2, &id.to_be_bytes()[..]));
            client.send(packet_of_id(PUBCOMP, 0, *id));
        }
        client.ping();
        drop(client);
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.ping();
    }

    // 5.0: [MQTT-4.3.3-10], [MQTT-4.4.0-1]
    fn a_publisher_may_send_qos_2_again(at: Both) {
        let mut client = at.subscriber("a");
        let (mut publisher, _) = at.connect(&at.lasting("publishing"));
        publisher.put(&at.message("a", "once").qos(2, 5));
        publisher.expect(PUBREC);
        drop(publisher);
        let (mut publisher, _) = at.connect(&at.lasting("publishing"));
        publisher.put(&Publish { duplicate: true, ..at.message("a", "once").qos(2, 5) });
        publisher.expect(PUBREC);
        publisher.send(packet_of_id(PUBREL, 2, 5));
        assert_eq!(publisher.expect(PUBCOMP).reason(), 0);
        publisher.publish(at.message("a", "last"));
        assert_eq!(client.payloads(2), ["once", "last"]);
    }

    // 5.0: [MQTT-3.1.2-4]; 3.1.1: [MQTT-3.1.2-6]
    fn a_clean_start_forgets_what_was_in_flight(at: Both) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        at.publisher().put(&at.message("a", "x").qos(2, 1));
        client.publication();
        client.put(&at.message("b", "x").qos(2, 5));
        client.expect(PUBREC);
        drop(client);
        let (mut client, _) = at.connect(&at.connecting("client"));
        client.ping();
        client.send(packet_of_id(PUBREL, 2, 5));
        assert_eq!(client.expect(PUBCOMP).reason(), if at.is_v5() { 0x92 } else { 0 });
    }

    /// While the connection lasts, nothing comes twice.
    // 5.0: [MQTT-4.4.0-1]
    fn nothing_comes_again_on_the_same_connection(at: V5) {
        let mut client = at.subscriber("a");
        at.publisher().put(&at.message("a", "x").qos(1, 1));
        client.publication();
        at.a_second_passes();
        client.ping();
    }

    // 5.0: [MQTT-4.3.3-7], [MQTT-4.3.3-13]
    fn what_was_sent_does_not_expire(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 2);
        at.publisher().put(&at.message("a", "sent").qos(2, 1).with(&[0x02, 0, 0, 0, 3]));
        let first = client.publication();
        drop(client);
        at.seconds_pass(3);
        let (mut client, _) = at.connect(&at.lasting("client"));
        let again = client.publication();
        assert_eq!((again.duplicate, again.packet_id, &again.payload[..]), (true, first.packet_id, &b"sent"[..]));
        client.acknowledge(&again);
        client.ping();
    }
}
