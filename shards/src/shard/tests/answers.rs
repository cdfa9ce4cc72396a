//! In which order clients are served.

use crate::config::Config;
use crate::shard::rig::Rig;
use ringtail_mqtt::packet::QoS;

#[test]
fn subscribers_are_served_before_the_publisher_is_told() {
    let mut rig = Rig::new(Config { shards: 1, ..Config::default() });
    let (publisher, subscriber) = (rig.connect(0, "p"), rig.connect(0, "s"));
    rig.subscribes(subscriber, &["a"], QoS::AtLeastOnce);
    assert_eq!(rig.reads(subscriber), ["SUBACK"]);
    let connections = &mut rig.cores[0].local.connections;
    for number in std::mem::take(&mut connections.dirty) {
        connections.get_mut(number).unwrap().dirty = false;
    }

    rig.publishes(publisher, "a", b"x", QoS::AtLeastOnce, false);
    assert_eq!(rig.cores[0].local.connections.dirty, [subscriber.number, publisher.number]);
    assert_eq!((rig.reads(subscriber), rig.reads(publisher)), (vec!["PUBLISH a=x".into()], vec!["PUBACK".into()]));
}
