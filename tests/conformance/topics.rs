//! Topic names, topic filters and how they match (4.7).

use crate::at::At;
use crate::client::Connecting;
use crate::conformance;
use crate::raw::*;

/// Publishes to each topic, and tells which of them a filter brought.
fn brought(at: &At, filter: &str, topics: &[&str]) -> Vec<String> {
    let mut client = at.client("subscriber");
    let codes = client.subscribe_codes(&[(filter, 1), ("end/of/case", 1)]);
    assert_eq!(codes, [1, 1], "{filter}");
    let mut publisher = at.publisher();
    for topic in topics {
        publisher.publish(Publish::new(topic, ""));
    }
    publisher.publish(Publish::new("end/of/case", "end"));
    let mut came = Vec::new();
    loop {
        let publish = client.message();
        if publish.payload == b"end" {
            return came;
        }
        came.push(String::from_utf8(publish.topic).unwrap());
    }
}

conformance! {
    // 5.0: [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-3.3.2-3]; 3.1.1: [MQTT-4.7.1-1], [MQTT-3.3.2-3]
    fn wildcards(at: Both) {
        let at = at.own(|setup| setup);
        let topics = ["a", "a/", "/a", "a/b", "a/b/c", "a//c", "b", "b/a", "/", "//", "A", "a /b"];
        for (filter, expected) in [
            ("a/#", &["a", "a/", "a/b", "a/b/c", "a//c"][..]),
            ("a/+", &["a/", "a/b"]),
            ("+", &["a", "b", "A"]),
            ("+/+", &["a/", "/a", "a/b", "b/a", "/", "a /b"]),
            ("/+", &["/a", "/"]),
            ("a/+/c", &["a/b/c", "a//c"]),
            ("+/a", &["/a", "b/a"]),
            ("/#", &["/a", "/", "//"]),
            ("+/+/#", &["a/", "/a", "a/b", "a/b/c", "a//c", "b/a", "/", "//", "a /b"]),
            ("a/b/#", &["a/b", "a/b/c"]),
            ("a", &["a"]),
            ("/", &["/"]),
        ] {
            assert_eq!(brought(&at, filter, &topics), expected, "{filter}");
        }
    }

    // 5.0: [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1], [MQTT-3.8.4-7]; 3.1.1: [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.8.0-1]
    fn filters_that_are_none(at: Both) {
        let failure = if at.is_v5() { 0x8F } else { 0x80 };
        let mut client = at.client("client");
        for filter in ["", "a#", "#a", "#/a", "a/#/b", "a/b#", "a+", "+a", "a/+b/c", "a/b+", "++", "##", "+#"] {
            assert_eq!(client.subscribe_codes(&[(filter, 2)]), [failure], "{filter}");
        }
    }

    // 5.0: [MQTT-4.7.2-1]
    fn leading_wildcards_do_not_match_dollar(at: Both) {
        let at = at.own(|setup| setup);
        let topics = ["$case", "$case/a", "$case/a/b", "x/$case", "x/a"];
        for (filter, expected) in [
            ("#", &["x/$case", "x/a"][..]),
            ("+", &[]),
            ("+/a", &["x/a"]),
            ("+/#", &["x/$case", "x/a"]),
            ("$case/#", &["$case", "$case/a", "$case/a/b"]),
            ("$case/+", &["$case/a"]),
            ("$case/a", &["$case/a"]),
            ("x/+", &["x/$case", "x/a"]),
        ] {
            assert_eq!(brought(&at, filter, &topics), expected, "{filter}");
        }
    }

    // 5.0: [MQTT-4.7.2-1], [MQTT-3.3.1-9]
    fn leading_wildcards_do_not_match_retained_dollar(at: Both) {
        let at = at.own(|setup| setup);
        let mut publisher = at.publisher();
        publisher.publish(Publish::new("$case/a", "hidden").retain());
        publisher.publish(Publish::new("case/a", "seen").retain());
        let mut client = at.client("client");
        client.subscribe("#", 1);
        assert_eq!(client.payload(), "seen");
        client.subscribe("+/a", 1);
        assert_eq!(client.payload(), "seen");
        client.subscribe("$case/#", 1);
        assert_eq!(client.payload(), "hidden");
        client.ping();
    }

    // 5.0: [MQTT-4.7.3-4], [MQTT-1.5.4-3]
    fn nothing_is_normalised(at: Both) {
        let at = at.own(|setup| setup);
        // Composed and decomposed, with and without U+FEFF, a noncharacter, upper and lower case, spaces.
        let topics = ["\u{e9}", "e\u{301}", "\u{feff}a", "a", "A", " a", "a ", "\u{ffff}", "\u{1f600}", "a\u{200d}"];
        for topic in topics {
            assert_eq!(brought(&at, topic, &topics), [topic], "{topic:?}");
        }
        assert_eq!(brought(&at, "+", &topics), topics);
    }

    // 5.0: [MQTT-4.7.3-3]
    fn the_longest_topic(at: Both) {
        let topic = format!("{}{}", at.topic(""), "x".repeat(65_535 - at.topic("").len()));
        let mut client = at.client("client");
        client.subscribe(&topic, 1);
        at.publisher().publish(Publish::new(&topic, "long"));
        let publish = client.message();
        assert!(publish.topic == topic.as_bytes());
    }

    /// As deep as the server takes it by default, by its name and by filters of all kinds; a level more is refused.
    // 5.0: [MQTT-4.7.1-1], [MQTT-4.7.1-2]
    fn the_deepest_topic(at: Both) {
        let deep = |levels: usize| at.topic(&vec!["x"; levels - 1].join("/"));
        let pluses = at.topic(&vec!["+"; 255].join("/"));
        for filter in [deep(256), pluses, format!("{}/#", deep(255))] {
            let mut client = at.client("client");
            client.subscribe(&filter, 1);
            at.publisher().publish(Publish::new(deep(256), "deep"));
            assert_eq!(client.payload(), "deep");
        }
        let mut client = at.client("client");
        client.send(subscribe(at.version, 1, &[(&deep(257), 1)]));
        assert_eq!(client.expect(SUBACK).body.last(), Some(if at.is_v5() { &0x8F } else { &0x80 }));
    }

    /// A subscription that matches nothing yet is none the worse.
    // 5.0: [MQTT-3.3.2-3]
    fn the_name_is_the_publishers(at: Both) {
        let other = if at.is_v5() { Version::V311 } else { Version::V5 };
        let (mut client, _) = at.connect(&Connecting::new(other, &at.id("other")));
        client.subscribe(&at.topic("+/\u{e9}/#"), 1);
        at.publisher().publish(at.message("x/\u{e9}/y/z", "x"));
        assert_eq!(client.message().topic, at.topic("x/\u{e9}/y/z").as_bytes());
    }
}
