//! A client that comes back, from another shard, beside what it had still to say on its old connection.

use crate::ShardId;
use crate::config::Config;
use crate::journal::{CommitWire, LogFile};
use crate::shard::mail::HandOver;
use crate::shard::rig::Rig;
use crate::shard::turn_wire::TurnWire;
use crate::wire::{Event, Received, SendBuffer, Slot};
use ringtail_mqtt::packet::ProtocolVersion::V3_1_1;
use ringtail_mqtt::packet::QoS;
use std::sync::Arc;

/// Notes what is sent, and to which connection.
#[derive(Default)]
struct Sent(Vec<(u32, Vec<u8>)>);

impl TurnWire for Sent {
    fn send(&mut self, _: Slot, token: u32, buffer: SendBuffer) {
        let SendBuffer::Bytes(bytes) = buffer else { panic!("answers are one piece") };
        self.0.push((token, bytes));
    }

    fn adopt(&mut self, _: Slot, _: u32) {}
    fn receive_once(&mut self, _: Slot, _: u32) {}
    fn receive(&mut self, _: Slot, _: u32) {}
    fn stop_receiving(&mut self, _: Slot, _: u32) {}
    fn close(&mut self, _: Slot) {}
    fn close_now(&mut self, _: Slot) {}
    fn send_descriptor(&mut self, _: Slot, _: ShardId, _: u64) {}
    fn ring_neighbour(&mut self, _: ShardId) {}
}

impl CommitWire for Sent {
    fn write(&mut self, _: Arc<LogFile>, _: (Arc<Vec<u8>>, usize), _: u64, _: u64) {}
    fn fsync(&mut self, _: Arc<LogFile>, _: u64) {}
}

/// CONNECT of a client identifier, Clean Session 0.
fn connect(client_id: &str) -> Vec<u8> {
    let mut bytes = vec![0x10, 12 + client_id.len() as u8];
    bytes.extend(b"\x00\x04MQTT\x04\x00\x00\x00");
    bytes.extend([0, client_id.len() as u8]);
    bytes.extend(client_id.as_bytes());
    bytes
}

/// The kernel may report the descriptor of the new connection before the bytes that came earlier on the old one: in the same
/// reap, or a turn ahead.
#[test]
fn last_words_are_heard_before_a_new_connection_takes_the_session() {
    for reaps in [1, 2] {
        let mut rig = Rig::new(Config { shards: 2, ..Config::default() });
        let old = rig.opens(0, "c", V3_1_1, true, 0);
        assert_eq!(rig.reads(old), ["CONNACK"]);
        rig.subscribes(old, &["a"], QoS::AtLeastOnce);
        let publisher = rig.connect(0, "p");
        rig.publishes(publisher, "a", b"x", QoS::AtLeastOnce, false);
        assert_eq!(rig.reads(old), ["SUBACK", "PUBLISH a=x"]);

        let core = &mut rig.cores[0];
        let client_id = (0..).map(|n| format!("c-{n}")).find(|id| core.home_of(id) == 0).unwrap();
        let peer = core.local.connections.get(old.number).unwrap().peer;
        core.take_hand_over(Box::new(HandOver { token: 1, peer, bytes: connect(&client_id) }));
        let arrived = Event::Arrived { slot: Slot::numbered(1), token: 1 };
        let puback = || Received::filled(&[0x40, 2, 0, 1]).map(|buffer| Event::Received { token: old.number, buffer });
        let mut wire = Sent::default();
        let mut events = vec![arrived];
        if reaps == 2 {
            assert!(core.turn(&mut events, &mut wire).more, "nobody sleeps before the client is taken up");
        }
        events.extend(puback());
        core.turn(&mut events, &mut wire);
        core.turn(&mut Vec::new(), &mut wire);
        let to_new: Vec<_> =
            wire.0.iter().filter(|(number, _)| ![old.number, publisher.number].contains(number)).collect();
        let [(_, bytes)] = to_new[..] else { panic!("one client came: {:?}", wire.0) };
        assert_eq!(bytes, b"\x20\x02\x01\x00", "CONNACK, and no message again that was acknowledged in time");
    }
}
