//! Shared subscriptions (4.8.2), for clients of both versions.

use crate::at::At;
use crate::client::{ack_with, disconnect, subscribe_with};
use crate::conformance;
use crate::raw::*;
use std::time::Duration;

/// A filter of the group of this case.
fn shared(at: &At, filter: &str) -> String {
    format!("$share/{}/{}", at.id("group"), at.topic(filter))
}

/// Clients that share a filter.
fn members(at: &At, count: usize, qos: u8) -> Vec<Raw> {
    let mut members: Vec<Raw> = (0..count).map(|n| at.client(&format!("member-{n}"))).collect();
    members.iter_mut().for_each(|member| member.subscribe(&shared(at, "a"), qos));
    members
}

/// What a member has got before its end message.
fn until_the_end(member: &mut Raw) -> Vec<String> {
    let mut came = Vec::new();
    loop {
        let publish = member.message();
        let payload = String::from_utf8(publish.payload).unwrap();
        if payload == "end" {
            return came;
        }
        came.push(payload);
    }
}

conformance! {
    /// The specification leaves the choice of the member to the server, and the server to its operator.
    // 5.0: [MQTT-4.8.2-4]
    fn strategies(at: V5) {
        for strategy in ["round_robin", "random", "sticky", "hash_publisher", "hash_topic", "least_inflight"] {
            println!("{strategy}");
            let at = at.own(|setup| setup.set("mqtt.shared_strategy", strategy));
            let mut members = members(&at, 3, 1);
            members.iter_mut().for_each(|member| member.subscribe(&at.topic("end"), 1));
            let mut publisher = at.publisher();
            for n in 0..30 {
                publisher.publish(at.message("a", n.to_string()));
            }
            publisher.publish(at.message("end", "end"));
            let came: Vec<usize> = members.iter_mut().map(|member| until_the_end(member).len()).collect();
            assert_eq!(came.iter().sum::<usize>(), 30, "{came:?}");
            match strategy {
                "sticky" | "hash_publisher" | "hash_topic" => assert!(came.contains(&30), "{came:?}"),
                // Nobody had acknowledged anything; or each had its turn, with the shards in their turns before.
                "round_robin" | "least_inflight" if at.shards == 1 => assert_eq!(came, [10, 10, 10]),
                "round_robin" => assert!(!came.contains(&0), "{came:?}"),
                _ => {}
            }
        }
    }

    // 5.0: [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    fn share_names(at: Both) {
        let failure = if at.is_v5() { 0x8F } else { 0x80 };
        let mut client = at.client("client");
        for filter in ["$share/", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/#/a", "$share/a+b/a", "$share/g/a#"] {
            assert_eq!(client.subscribe_codes(&[(filter, 1)]), [failure], "{filter}");
        }
        assert_eq!(client.subscribe_codes(&[("$share/g/a/+/#", 1), ("$share/g//", 1)]), [1, 1]);
    }

    /// Each message goes to one member of each group, and to all who are not of one.
    fn one_member_gets_each(at: Both) {
        let mut members = members(at, 4, 1);
        let mut other = at.client("other-group");
        other.subscribe(&format!("$share/another/{}", at.topic("a")), 1);
        let mut alone = at.subscriber("a");
        for member in members.iter_mut().chain([&mut other]) {
            member.subscribe(&at.topic("end"), 1);
        }
        let mut publisher = at.publisher();
        let sent: Vec<String> = (100..300).map(|n| n.to_string()).collect();
        for payload in &sent {
            publisher.publish(at.message("a", payload));
        }
        publisher.publish(at.message("end", "end"));
        assert_eq!(alone.payloads(200), sent);
        assert_eq!(until_the_end(&mut other), sent);
        let shares: Vec<Vec<String>> = members.iter_mut().map(until_the_end).collect();
        assert!(shares.iter().all(|share| !share.is_empty() && share.is_sorted()), "{shares:?}");
        let mut came = shares.concat();
        came.sort();
        assert_eq!(came, sent);
    }

    // 5.0: [MQTT-4.8.2-3]
    fn the_qos_of_the_member_holds(at: Both) {
        for granted in [0, 1, 2] {
            let mut member = members(at, 1, granted).remove(0);
            at.publisher().put(&at.message("a", "x").qos(2, 1));
            let publish = member.publication();
            assert_eq!(publish.qos, granted);
            member.acknowledge(&publish);
            member.send(disconnect(0));
            assert_eq!(member.until_closed(), []);
        }
    }

    /// A member that is not there does not hold up the group.
    fn an_absent_member_is_passed_over(at: Both) {
        let (mut absent, _) = at.connect(&at.lasting("absent"));
        absent.subscribe(&shared(at, "a"), 1);
        absent.leave(0);
        let mut member = members(at, 1, 1).remove(0);
        let mut publisher = at.publisher();
        let sent: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        for payload in &sent {
            publisher.publish(at.message("a", payload));
        }
        assert_eq!(member.payloads(20), sent);
    }

    /// When all are away, the messages wait for one who returns.
    // 5.0: [MQTT-4.5.0-1]
    fn a_group_of_absent_members_loses_nothing(at: Both) {
        let (mut absent, _) = at.connect(&at.lasting("absent"));
        absent.subscribe(&shared(at, "a"), 1);
        absent.leave(0);
        let mut publisher = at.publisher();
        for payload in ["one", "two"] {
            publisher.publish(at.message("a", payload));
        }
        let (mut returned, _) = at.connect(&at.lasting("absent"));
        assert_eq!(returned.payloads(2), ["one", "two"]);
    }

    /// What a member had in flight is its own when it returns.
    // 5.0: [MQTT-4.8.2-4]
    fn what_was_begun_is_completed_with_the_same_member(at: Both) {
        let (mut member, _) = at.connect(&at.lasting("member"));
        member.subscribe(&shared(at, "a"), 2);
        at.publisher().put(&at.message("a", "begun").qos(2, 1));
        let begun = member.publication();
        drop(member);
        let mut other = at.client("other");
        other.subscribe(&shared(at, "a"), 2);
        other.ping();
        let (mut member, _) = at.connect(&at.lasting("member"));
        assert_eq!(member.publication(), Publish { duplicate: true, ..begun });
        other.ping();
    }

    // 5.0: [MQTT-4.8.2-5], [MQTT-4.8.2-6]
    fn what_a_member_refused_or_left_goes_to_nobody_else(at: V5) {
        let mut member = members(at, 1, 2).remove(0);
        let mut publisher = at.publisher();
        publisher.put(&at.message("a", "refused").qos(1, 1));
        publisher.put(&at.message("a", "refused").qos(2, 2));
        for kind in [PUBACK, PUBREC] {
            let publish = member.publication();
            member.send(ack_with(kind, publish.packet_id, 0x80));
        }
        publisher.put(&at.message("a", "left").qos(2, 3));
        member.publication();
        let mut other = at.client("other");
        other.subscribe(&shared(at, "a"), 2);
        member.leave(0); // its session ends with it
        assert!(!other.is_closed_within(Duration::from_millis(100)));
        at.publisher().publish(at.message("a", "next"));
        assert_eq!(other.payload(), "next");
    }

    /// It gets no retained messages when it is made.
    fn retained_messages_are_not_sent(at: Both) {
        at.publisher().publish(at.message("a", "retained").retain());
        let mut member = members(at, 1, 1).remove(0);
        at.publisher().publish(at.message("a", "new"));
        assert_eq!(member.payload(), "new");
    }

    // 5.0: [MQTT-3.3.4-3]
    fn it_may_have_an_identifier(at: V5) {
        let mut member = at.client("member");
        member.send(subscribe_with(1, &[0x0B, 9], &[(&shared(at, "a"), 1)]));
        member.expect(SUBACK);
        at.publisher().publish(at.message("a", "x"));
        assert_eq!(member.message().subscription_ids(), [9]);
    }

    /// Who leaves a group gets nothing more of it.
    // 5.0: [MQTT-3.10.4-2]
    fn a_member_may_leave(at: Both) {
        let mut members = members(at, 2, 1);
        let mut left = members.remove(0);
        left.subscribe(&at.topic("end"), 1);
        left.send(crate::client::unsubscribe(at.version, 1, &[&shared(at, "a")]));
        left.expect(UNSUBACK);
        let mut publisher = at.publisher();
        for n in 0..10 {
            publisher.publish(at.message("a", n.to_string()));
        }
        publisher.publish(at.message("end", "end"));
        assert_eq!(left.payload(), "end");
        assert_eq!(members[0].payloads(10).len(), 10);
    }
}
