//! A client that replaces retained messages, one at a time, and looks after each kill for what is left.

use crate::broker::Broker;
use crate::raw::*;

const TOPICS: usize = 8;

/// By topic: the last value that was acknowledged, and the last that was sent.
#[derive(Default)]
pub(crate) struct Retainer {
    topics: [(u64, u64); TOPICS],
    acknowledged: u64,
}

impl Retainer {
    pub(crate) fn introduce(&mut self, broker: &Broker) {
        let mut client = Raw::client(broker, Version::V5, "retainer");
        for topic in 0..TOPICS {
            assert!(client.publish(update(topic, 0)) < 0x80);
        }
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Replaces one after the other until the broker is gone.
    pub(crate) fn update(&mut self, broker: &Broker) {
        let Ok(mut client) = Raw::try_open(broker, Version::V5) else { return };
        if client.try_send(Connect::new(Version::V5, "retainer").bytes()).is_err() || client.next().is_none() {
            return;
        }
        for topic in (0..TOPICS).cycle() {
            let value = self.topics[topic].1 + 1;
            self.topics[topic].1 = value;
            if client.try_send(update(topic, value).qos(1, 1).bytes(Version::V5)).is_err() {
                return;
            }
            let Some(answer) = client.next() else { return };
            assert!(answer.kind == PUBACK && answer.reason() < 0x80, "{answer:?}");
            self.topics[topic].0 = value;
            self.acknowledged += 1;
        }
    }

    /// Each topic has the value that was acknowledged last, or a later one.
    pub(crate) fn check(&mut self, broker: &Broker) {
        let mut client = Raw::client(broker, Version::V5, "reader");
        client.subscribe("kept/#", 0);
        let mut found = [None; TOPICS];
        for _ in 0..TOPICS {
            let Publish { topic, payload, retain, .. } = client.message();
            assert!(retain);
            let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
            found[number(&topic[5..]) as usize] = Some(number(&payload));
        }
        for (topic, ((acknowledged, sent), found)) in self.topics.iter_mut().zip(found).enumerate() {
            let Some(found) = found else { panic!("kept/{topic} is lost") };
            let due = *acknowledged..=*sent;
            assert!(due.contains(&found), "kept/{topic} is {found}, and {due:?} were sent");
            *acknowledged = found;
        }
    }
}

fn update(topic: usize, value: u64) -> Publish {
    Publish::new(format!("kept/{topic}"), value.to_string()).retain()
}
