//! In which order clients are served.

use crate::config::Config;
use crate::shard::rig::{Client, Rig};
use ringtail_mqtt::packet::QoS;

/// Who is sent something after a publication to so many subscribers, by the client's number; the publisher has number 0.
fn served_of(subscribers: usize) -> Vec<u32> {
    let mut rig = Rig::new(Config { shards: 1, ..Config::default() });
    let publisher = rig.connect(0, "p");
    let subscribers: Vec<Client> = (0..subscribers).map(|n| rig.connect(0, &format!("s{n}"))).collect();
    for subscriber in &subscribers {
        rig.subscribes(*subscriber, &["a"], QoS::AtLeastOnce);
        assert_eq!(rig.reads(*subscriber), ["SUBACK"]);
    }
    let connections = &mut rig.cores[0].local.connections;
    for number in std::mem::take(&mut connections.dirty) {
        connections.get_mut(number).unwrap().dirty = false;
    }
    rig.publishes(publisher, "a", b"x", QoS::AtLeastOnce, false);
    assert!(subscribers.iter().all(|subscriber| rig.reads(*subscriber) == ["PUBLISH a=x"]));
    assert_eq!(rig.reads(publisher), ["PUBACK"]);
    let served = &rig.cores[0].local.connections.dirty;
    served.iter().map(|number| if *number == publisher.number { 0 } else { number - publisher.number }).collect()
}

#[test]
fn subscribers_are_served_before_the_publisher_is_told() {
    assert_eq!(served_of(0), [0]);
    assert_eq!(served_of(1), [1, 0]);
    assert_eq!(served_of(8).last(), Some(&0));
}

#[test]
fn the_publisher_does_not_wait_for_many_subscribers() {
    for subscribers in [9, 100] {
        let mut served = served_of(subscribers);
        assert_eq!(served[8], 0);
        served.sort_unstable();
        assert_eq!(served, (0..=subscribers as u32).collect::<Vec<_>>(), "everybody is served once");
    }
}
