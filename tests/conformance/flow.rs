//! Receive Maximum and Maximum Packet Size towards the client (3.1.2.11, 4.9).

use crate::at::At;
use crate::client::ack_with;
use crate::conformance;
use crate::raw::*;

fn receive_maximum(maximum: u8) -> [u8; 3] {
    [0x21, 0, maximum]
}

conformance! {
    // 5.0: [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3]
    fn no_more_in_flight_than_the_client_takes(at: V5) {
        for qos in [1, 2] {
            let (mut client, _) = at.connect(&at.connecting("client").with(&receive_maximum(2)));
            client.subscribe(&at.topic("a"), 2);
            client.subscribe(&at.topic("qos-0"), 0);
            let mut publisher = at.publisher();
            for n in 0..6 {
                publisher.put(&at.message("a", n.to_string()).qos(qos, n + 1));
                publisher.expect(if qos == 1 { PUBACK } else { PUBREC });
            }
            let mut open: Vec<u16> = (0..2).map(|_| client.publication().packet_id).collect();
            // Everything else goes on: QoS 0, answers, and the client's own messages.
            publisher.publish(at.message("qos-0", "x"));
            assert_eq!(client.publication().payload, b"x");
            client.ping();
            client.publish(at.message("elsewhere", "x"));
            assert_eq!(client.subscribe_codes(&[("elsewhere", 1)]), [1]);
            for n in 2..6 {
                let id = open.remove(0);
                if qos == 1 {
                    client.send(packet_of_id(PUBACK, 0, id));
                } else {
                    client.send(packet_of_id(PUBREC, 0, id));
                    client.expect(PUBREL);
                    client.ping();
                    client.send(packet_of_id(PUBCOMP, 0, id));
                }
                let publish = client.publication();
                assert_eq!(publish.payload, n.to_string().as_bytes());
                open.push(publish.packet_id);
                client.ping();
            }
            client.leave(0);
        }
    }

    // 5.0: [MQTT-3.3.4-9], [MQTT-4.9.0-2]
    fn a_refused_message_makes_room(at: V5) {
        let (mut client, _) = at.connect(&at.connecting("client").with(&receive_maximum(1)));
        client.subscribe(&at.topic("a"), 2);
        let mut publisher = at.publisher();
        for (n, qos) in [2, 1, 2].into_iter().enumerate() {
            publisher.put(&at.message("a", n.to_string()).qos(qos, n as u16 + 1));
        }
        for (n, kind) in [PUBREC, PUBACK, PUBREC].into_iter().enumerate() {
            let publish = client.publication();
            assert_eq!(publish.payload, n.to_string().as_bytes());
            client.send(ack_with(kind, publish.packet_id, 0x80));
        }
        client.ping();
    }

    // 5.0: [MQTT-4.9.0-1]
    fn a_new_connection_has_its_own_maximum(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client").with(&receive_maximum(10)));
        client.subscribe(&at.topic("a"), 1);
        let mut publisher = at.publisher();
        for n in 0..5 {
            publisher.publish(at.message("a", n.to_string()));
            client.publication();
        }
        drop(client);
        let (mut client, _) = at.connect(&at.lasting("client").with(&receive_maximum(2)));
        for n in 0..5 {
            let publish = client.publication();
            assert_eq!((publish.duplicate, publish.payload), (true, n.to_string().into_bytes()));
            if n > 0 {
                client.ping();
                client.send(packet_of_id(PUBACK, 0, publish.packet_id - 1));
            }
        }
    }

    // 5.0: [MQTT-3.3.4-7]
    fn no_more_in_flight_than_the_server_takes(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.receive_maximum", 3));
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!(connack.property(0x21), Some(&[0, 3][..]));
        for id in 1..=3 {
            client.put(&at.message("a", "x").qos(2, id));
            client.expect(PUBREC);
        }
        client.send(packet_of_id(PUBREL, 2, 1));
        client.expect(PUBCOMP);
        client.put(&at.message("a", "x").qos(1, 9));
        client.expect(PUBACK);
        client.put(&at.message("a", "x").qos(2, 4));
        client.expect(PUBREC);
        client.put(&at.message("a", "x").qos(2, 5));
        client.is_refused(&[0x93]);
    }

    /// A message that is too large for one subscriber reaches the others.
    // 5.0: [MQTT-3.1.2-24], [MQTT-3.1.2-25]
    fn no_packet_larger_than_the_client_takes(at: V5) {
        let (mut small, _) = at.connect(&at.lasting("small").with(&[0x27, 0, 0, 0, 100]));
        small.subscribe(&at.topic("a"), 2);
        let mut large = at.subscriber("a");
        let mut publisher = at.publisher();
        // As it goes out with QoS 1 and 2; with QoS 0 it is two bytes shorter.
        let overhead = at.message("a", "").qos(1, 1).bytes(Version::V5).len();
        for qos in [0, 1, 2] {
            let fits = 100 - overhead + if qos == 0 { 2 } else { 0 };
            for (n, length) in [fits + 1, fits, 5_000].into_iter().enumerate() {
                publisher.put(&at.message("a", vec![b'x'; length]).qos(qos, n as u16 + 1));
                let publish = large.publication();
                assert_eq!(publish.payload.len(), length);
                large.acknowledge(&publish);
            }
            let publish = small.publication();
            assert_eq!((publish.qos, publish.payload.len()), (qos, fits));
            small.acknowledge(&publish);
            for _ in 0..3 {
                match qos {
                    1 => drop(publisher.expect(PUBACK)),
                    2 => drop(publisher.expect(PUBREC)),
                    _ => {}
                }
            }
            for n in 1..=3 {
                if qos == 2 {
                    publisher.send(packet_of_id(PUBREL, 2, n));
                    publisher.expect(PUBCOMP);
                }
            }
        }
        small.ping();
        // It counts as sent: the session does not try again.
        drop(small);
        let (mut small, _) = at.connect(&at.lasting("small"));
        publisher.publish(at.message("a", "next"));
        assert_eq!(small.payload(), "next");
    }

    // 5.0: [MQTT-3.1.2-25]
    fn what_waits_may_be_too_large_later(at: V5) {
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        drop(client);
        let mut publisher = at.publisher();
        publisher.publish(at.message("a", vec![b'x'; 500]));
        publisher.publish(at.message("a", "small"));
        let (mut client, _) = at.connect(&at.lasting("client").with(&[0x27, 0, 0, 0, 100]));
        assert_eq!(client.payload(), "small");
    }
}
