//! What must hold, whatever the order of events was.

use super::client::{Client, Published, Subscription};
use super::world::World;
use crate::shard::Core;
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::topic::{Filter, matches};
use std::collections::{BTreeMap, BTreeSet};

/// After everything has settled: nothing is lost, out of order, or twice where it must be once.
pub(super) fn check_deliveries(world: &World<'_>) {
    for core in &world.cores {
        assert_eq!(core.local.counters.mail_lost, 0);
    }
    for client in &world.clients {
        check_once(client, &world.messages);
    }
    let dropped = world.dropped();
    assert!(dropped == 0 || world.profile.limits.queue_messages_max < 100, "{dropped} messages found a full queue");
    if dropped == 0 {
        world.clients.iter().for_each(|client| check_order(client, &world.messages));
        check_complete(world);
    }
}

/// What a publisher sent to a topic comes in its order, that of the first copies.
fn check_order(client: &Client, messages: &[Published]) {
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    for delivery in client.deliveries.iter().filter(|delivery| !delivery.retain) {
        let published = &messages[delivery.message];
        // Shared subscriptions do not count as ordered: members that come and go get what others left.
        if !seen.insert(delivery.message) || !delivery.ordered {
            continue;
        }
        let before = last.insert((published.publisher, published.topic_name, delivery.qos), delivery.message);
        assert!(
            before.is_none_or(|before| before < delivery.message),
            "client {}: {before:?} came before {}",
            client.number,
            delivery.message
        );
    }
}

/// What goes at QoS 2 all the way comes once at most. After a crash its publisher may send it again, and then it comes to a
/// client whose session has ended with its connection as to somebody new (4.1, 4.3.3).
fn check_once(client: &Client, messages: &[Published]) {
    let mut seen = BTreeMap::new();
    for delivery in client.deliveries.iter().filter(|delivery| !delivery.retain) {
        let Some(before) = seen.insert(delivery.message, delivery) else { continue };
        let is_known = before.kept || before.session == delivery.session;
        let twice = is_known && before.qos == QoS::ExactlyOnce && delivery.qos == QoS::ExactlyOnce;
        assert!(
            !twice,
            "client {}: {} of {} came twice",
            client.number, delivery.message, messages[delivery.message].publisher
        );
    }
}

/// What was acknowledged has come to everybody who had subscribed before it was sent.
fn check_complete(world: &World<'_>) {
    for client in &world.clients {
        let got: BTreeSet<_> = client.deliveries.iter().map(|delivery| delivery.message).collect();
        for (text, subscription) in &client.subscriptions {
            let Subscription::Live { since, .. } = *subscription else { continue };
            let filter = Filter::parse(text, u16::MAX).unwrap();
            let wanted = |published: &Published| {
                published.acknowledged_at.is_some()
                    && published.sent_at > since
                    && filter.share.is_none()
                    && matches(filter.filter, published.topic_name)
            };
            for (message, published) in world.messages.iter().enumerate() {
                assert!(
                    !wanted(published) || got.contains(&message),
                    "client {} has not got {message} of {}, sent at {} to {text}, subscribed at {since}",
                    client.number,
                    published.publisher,
                    published.sent_at
                );
            }
        }
    }
}

/// When all have gone nothing is left of them.
pub(super) fn check_empty(world: &World<'_>) {
    assert_eq!(world.connections(), 0);
    world.cores.iter().for_each(check_core);
}

fn check_core(core: &Core) {
    let Core { local, .. } = core;
    assert_eq!((local.connections.len(), local.sessions.len()), (0, 0));
    assert_eq!(local.counters.subscriptions, 0);
    assert!(core.subscriptions.is_empty() && core.shared.is_empty());
    assert!(core.remote.is_empty(), "{:?}", core.remote.len());
    assert!(core.retained.is_empty() && core.scans.is_empty() && core.holds.is_empty());
    assert!(core.arrived.is_empty() && core.arrived_before.is_empty());
    assert!(core.arriving.is_empty() && core.leaving.is_empty() && core.authenticating.is_empty());
    assert!(core.changed_groups.is_empty() && core.port.congested().is_empty() && !core.port.has_incoming());
    assert!(core.durable_shards.is_empty());
    if let Some(journal) = &local.journal {
        journal.check_empty();
    }
}
