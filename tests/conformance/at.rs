//! Where a case runs: a broker, a version, and names that no other case uses.

use crate::broker::{Broker, Setup};
use crate::client::{ConnAck, Connecting, Will};
use crate::raw::{Publish, Raw, Version};
use std::sync::{Arc, Mutex, Weak};

#[expect(non_upper_case_globals, reason = "read in the cases as a word")]
pub(crate) const Both: &[Version] = &[Version::V311, Version::V5];
pub(crate) const V5: &[Version] = &[Version::V5];
pub(crate) const V311: &[Version] = &[Version::V311];

/// The brokers of one shard and of three that cases share. They stop when no case runs, and a case holds both, so that
/// one running case keeps both for the next.
static SHARED: Mutex<Weak<[Broker; 2]>> = Mutex::new(Weak::new());

fn shared() -> Arc<[Broker; 2]> {
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let brokers = Arc::new([Broker::start(1), Broker::start(3)]);
        *shared = Arc::downgrade(&brokers);
        brokers
    })
}

enum Where {
    Shared(Arc<[Broker; 2]>),
    Own(Box<Broker>),
}

pub(crate) struct At {
    place: Where,
    pub(crate) shards: usize,
    pub(crate) version: Version,
    name: String,
}

impl At {
    /// Runs a case in each of the versions.
    pub(crate) fn each(shards: usize, versions: &[Version], name: &str, case: fn(&Self)) {
        let brokers = shared();
        for version in versions {
            println!("{version:?}");
            let name = format!("{name}-{}", *version as u8);
            case(&Self { place: Where::Shared(brokers.clone()), shards, version: *version, name });
        }
    }

    /// The same with a broker of its own, which `set` has set up.
    pub(crate) fn own(&self, set: impl FnOnce(Setup) -> Setup) -> Self {
        let place = Where::Own(Box::new(set(Broker::with(self.shards)).start()));
        Self { place, shards: self.shards, version: self.version, name: self.name.clone() }
    }

    pub(crate) fn broker(&self) -> &Broker {
        match &self.place {
            Where::Shared(brokers) => &brokers[usize::from(self.shards > 1)],
            Where::Own(broker) => broker,
        }
    }

    /// Stops the broker of its own, which must end cleanly.
    pub(crate) fn stop(self) {
        match self.place {
            Where::Own(broker) => broker.stop(),
            Where::Shared(_) => panic!("other cases use this broker"),
        }
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A client identifier of this case.
    pub(crate) fn id(&self, who: &str) -> String {
        format!("{}-{who}", self.name)
    }

    /// A topic, or a filter, of this case.
    pub(crate) fn topic(&self, levels: &str) -> String {
        format!("{}/{levels}", self.name)
    }

    /// A CONNECT of a clean session.
    pub(crate) fn connecting(&self, who: &str) -> Connecting {
        Connecting::new(self.version, &self.id(who))
    }

    /// A CONNECT of a session that outlives its connection.
    pub(crate) fn lasting(&self, who: &str) -> Connecting {
        self.connecting(who).lasting()
    }

    /// A TCP connection over which a CONNECT was sent.
    pub(crate) fn open(&self, connecting: &Connecting) -> Raw {
        let mut client = Raw::open(self.broker(), connecting.version);
        client.send(connecting.bytes());
        client
    }

    /// Connects, which must succeed.
    pub(crate) fn connect(&self, connecting: &Connecting) -> (Raw, ConnAck) {
        let mut client = self.open(connecting);
        let connack = client.connack();
        assert_eq!(connack.reason, 0, "{} is refused", connecting.client_id);
        (client, connack)
    }

    /// Connects a clean session.
    pub(crate) fn client(&self, who: &str) -> Raw {
        self.connect(&self.connecting(who)).0
    }

    /// A client of the version, subscribed to a topic with QoS 2.
    pub(crate) fn subscriber(&self, topic: &str) -> Raw {
        let mut client = self.client("subscriber");
        client.subscribe(&self.topic(topic), 2);
        client
    }

    /// A publisher whose messages every shard has routed once it is acknowledged.
    pub(crate) fn publisher(&self) -> Raw {
        self.client("publisher")
    }

    /// A message to a topic of this case.
    pub(crate) fn message(&self, topic: &str, payload: impl AsRef<[u8]>) -> Publish {
        Publish::new(self.topic(topic), payload)
    }

    /// Returns when a second has passed on the broker's clock.
    pub(crate) fn a_second_passes(&self) {
        self.seconds_pass(1);
    }

    /// Returns when so many seconds have passed on the broker's clock: a will of so much delay was published.
    pub(crate) fn seconds_pass(&self, seconds: u8) {
        let topic = self.topic("clock");
        let watch = Connecting::new(Version::V5, &self.id("watch"));
        let (mut watch, _) = self.connect(&watch);
        watch.subscribe(&topic, 0);
        let will = Will::new(&topic, "now").with(&[0x18, 0, 0, 0, seconds]);
        let (clock, _) = self.connect(&Connecting::new(Version::V5, &self.id("clock")).lasting().will(will));
        drop(clock);
        watch.message();
    }
}
