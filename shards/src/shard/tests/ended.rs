//! What is left of a session that has ended, and what one packet may ask for.

use crate::config::Config;
use crate::routing::Announcement;
use crate::shard::Mail;
use crate::shard::connection::Phase;
use crate::shard::rig::{Client, Rig};
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::session::DetachCause;

const QOS_0: QoS = QoS::AtMostOnce;

fn subscribed(rig: &mut Rig, filters: usize) -> Client {
    let subscriber = rig.connect(0, "s");
    let filters: Vec<String> = (0..filters).map(|n| format!("t/{n}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    rig.subscribes(subscriber, &filters, QOS_0);
    assert!(rig.reads_all(subscriber).concat().starts_with("SUBACK"));
    subscriber
}

#[test]
fn many_subscriptions_end_in_slices_while_the_session_is_gone_at_once() {
    let mut rig = Rig::new(Config { shards: 2, mesh_slots: 1 << 13, ..Config::default() });
    let subscriber = subscribed(&mut rig, 3_000);
    let session = rig.cores[0].local.connections.get(subscriber.number).unwrap().session;
    rig.cores[0].detach(subscriber.number, DetachCause::Lost);
    assert_eq!(rig.cores[0].local.sessions.len(), 0);
    assert!(rig.cores[0].subscriptions.len() >= 2_000, "all in one turn");
    let next = rig.connect(0, "n");
    assert_ne!(rig.cores[0].local.connections.get(next.number).unwrap().session, session);
    for n in [0, 1_500, 2_999] {
        rig.publishes(next, &format!("t/{n}"), b"on", QOS_0, false);
    }
    rig.waits(50);
    assert_eq!(rig.reads(next), [""; 0]);
    assert_eq!(rig.cores[0].subscriptions.len(), 0);
    assert_eq!(rig.cores[0].local.counters.subscriptions, 0);
    assert!(rig.cores[1].remote.is_empty(), "the other shard still forwards");
    let again = rig.connect(0, "a");
    assert_eq!(rig.cores[0].local.connections.get(again.number).unwrap().session, session);
}

/// However many join a shared subscription in a turn, the others are told once, and what they know is the last of it.
#[test]
fn a_shared_subscription_is_announced_once_a_turn() {
    let mut rig = Rig::new(Config { shards: 2, ..Config::default() });
    let members: Vec<Client> = (0..50).map(|n| rig.connect(0, &format!("m{n}"))).collect();
    for member in &members {
        rig.subscribes(*member, &["$share/g/t"], QOS_0);
    }
    rig.cores[0].detach(members[0].number, DetachCause::Lost);
    rig.turn_of(0);
    let mut told = Vec::new();
    rig.cores[1].port.drain(usize::MAX, |_, mail| {
        if let Mail::Announce(announcement) = mail {
            told.push(*announcement);
        }
    });
    let (group, filter) = ("g".into(), "t".into());
    assert_eq!(told, [Announcement::Group { group, filter, online: 49, offline: 0 }]);
}

#[test]
fn few_subscriptions_end_at_once() {
    let mut rig = Rig::new(Config::default());
    let subscriber = subscribed(&mut rig, 3);
    rig.cores[0].detach(subscriber.number, DetachCause::Lost);
    assert_eq!(rig.cores[0].subscriptions.len(), 0);
}

/// While a ring is full, what ends waits instead of piling up announcements beside it.
#[test]
fn subscriptions_end_when_the_others_can_be_told() {
    let mut rig = Rig::new(Config { shards: 2, mesh_slots: 64, ..Config::default() });
    let (first, second) = (subscribed(&mut rig, 20), rig.connect(0, "p"));
    let filters: Vec<String> = (0..100).map(|n| format!("p/{n}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    rig.subscribes(second, &filters, QOS_0);
    assert!(!rig.cores[0].port.congested().is_empty());
    rig.cores[0].detach(first.number, DetachCause::Lost);
    assert!(!rig.turn_of(0), "it spins while the ring is full");
    assert_eq!(rig.cores[0].subscriptions.len(), 120);
    for _ in 0..10 {
        rig.turn();
    }
    assert_eq!(rig.cores[0].subscriptions.len(), 100);
    assert_eq!(rig.cores[1].remote.len(), (100, 0, 0));
}

/// The second SUBSCRIBE of a client, and the first of another, wait while a ring is full.
#[test]
fn a_subscribe_waits_while_the_others_cannot_be_told() {
    let mut rig = Rig::new(Config { shards: 2, mesh_slots: 64, ..Config::default() });
    let clients = [rig.connect(0, "a"), rig.connect(0, "b")];
    let filters: Vec<String> = (0..100).map(|n| format!("p/{n}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    rig.subscribes(clients[0], &filters, QOS_0);
    for client in clients {
        rig.subscribes(client, &["x", "y"], QOS_0);
        assert!(rig.is_held(client));
    }
    assert_eq!(rig.cores[0].subscriptions.len(), 100);
    rig.waits(20);
    assert_eq!((rig.reads(clients[0]).len(), rig.reads(clients[1]).len()), (2, 1));
    assert_eq!(rig.cores[0].subscriptions.len(), 104);
}

#[test]
fn one_subscribe_asks_for_so_much_and_no_more() {
    let mut rig = Rig::new(Config::default());
    let subscriber = subscribed(&mut rig, 9_000);
    assert_eq!(rig.cores[0].subscriptions.len(), 8_192);
    assert_eq!(rig.cores[0].local.counters.subscriptions_refused, 9_000 - 8_192);
    let long = "x".repeat(60_000);
    rig.subscribes(subscriber, &[long.as_str(); 5], QOS_0);
    assert_eq!(rig.cores[0].local.connections.get(subscriber.number).unwrap().phase, Phase::Draining);
}
