//! A session's queue that is full under the policy `reject`: publishers are told, on whatever shard they are.

use crate::broker::Broker;
use crate::on_shards;
use crate::raw::*;
use crate::storage_limits::{QUOTA_EXCEEDED, sleeper};
use Version::{V5, V311};
use tempfile::TempDir;

on_shards! {
    fn a_full_queue_refuses(shards) {
        let folder = TempDir::new().unwrap();
        let reject = || Broker::with(shards).set("mqtt.queue_policy", "reject").set("mqtt.queue_messages_max", 3);
        for setup in [reject(), reject().keep_in(folder.path())] {
            let broker = setup.start();
            sleeper(&broker, "sleeper", "queue");
            // Their names put some of them on the sleeper's shard and some on another.
            let mut publishers: Vec<Raw> = (0..6).map(|n| Raw::client(&broker, V5, &format!("publisher-{n}"))).collect();
            for (n, publisher) in publishers.iter_mut().enumerate() {
                let due = if n < 3 { 0 } else { QUOTA_EXCEEDED };
                assert_eq!(publisher.publish(Publish::new("queue", n.to_string())), due, "{n}");
            }
            for n in 0..6 {
                let mut old = Raw::client(&broker, V311, &format!("old-{n}"));
                old.send(Publish::new("queue", "old").qos(1, 1).bytes(V311));
                assert_eq!(old.until_closed(), [], "it cannot be told");
            }
            let mut client = Raw::connect(&broker, &Connect::lasting(V5, "sleeper"));
            for n in 0..3 {
                assert_eq!(client.message().payload, n.to_string().as_bytes());
            }
            for publisher in &mut publishers {
                assert_eq!(publisher.publish(Publish::new("queue", "again")), 0);
                assert_eq!(client.message().payload, b"again");
            }
        }
    }
}
