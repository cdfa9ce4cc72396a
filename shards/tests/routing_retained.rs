//! Retained messages against a plain map, whatever the slice and whatever changes between two slices.

mod routing_words;

use proptest::collection::vec;
use proptest::prelude::*;
use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::time::Millis;
use ringtail_mqtt::topic::matches;
use ringtail_shards::routing::{Full, Retained, Slice};
use routing_words::{filter, topic_name};
use std::collections::BTreeMap;
use std::rc::Rc;

const NOW: Millis = Millis(1_000);

fn message(topic_name: &str, payload: &[u8], expires_at: Millis) -> Rc<Message> {
    let qos = QoS::AtLeastOnce;
    Rc::new(MessageRef { topic_name, properties: &[], payload, qos, retain: true, expires_at }.into())
}

/// Everything that a scan in slices finds, by topic; panics if a slice looks at more than it may.
fn scan<N: Default>(retained: &Retained<N>, filter: &str, slice_max: usize) -> Vec<String> {
    let mut topics = Vec::new();
    let mut cursor = None;
    let slice = Slice { topics_max: slice_max, bytes_max: usize::MAX };
    loop {
        let before = topics.len();
        cursor = retained.scan(filter, cursor.as_ref(), slice, NOW, |found, _| topics.push(found.topic_name().into()));
        // The parent level of `a/#` is looked up beside the slice.
        assert!(topics.len() - before <= slice_max + usize::from(before == 0));
        if cursor.is_none() {
            return topics;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_scan_finds_what_the_definition_says(
        sets in vec((topic_name(), 0..4u64), 0..60),
        removed in vec(topic_name(), 0..20),
        filters in vec(filter(), 1..20),
        slice_max in 1..40usize,
    ) {
        let mut retained = Retained::<u64>::new(u64::MAX, u64::MAX);
        let mut model = BTreeMap::new();
        let mut notes = BTreeMap::new();
        for (topic, expiry) in &sets {
            let expires_at = [Millis(900), NOW, Millis(1_001), Millis::NEVER][*expiry as usize];
            let note = retained.set(message(topic, b"on", expires_at)).unwrap();
            // A topic keeps its note when its message is replaced.
            *note += 1;
            model.insert(topic.clone(), expires_at);
            prop_assert_eq!(Some(*note), notes.insert(topic.clone(), *note).map_or(Some(1), |before| Some(before + 1)));
        }
        for topic in &removed {
            let gone = retained.remove(topic).map(|(message, note)| (message.expires_at, note));
            prop_assert_eq!(gone, model.remove(topic).zip(notes.remove(topic)));
        }
        let kept = |topic: &str| model.get(topic).is_some_and(|expires_at| *expires_at > NOW);
        for filter in &filters {
            let mut expected: Vec<&String> = model.keys().filter(|topic| kept(topic) && matches(filter, topic)).collect();
            let mut found = scan(&retained, filter, slice_max);
            expected.sort();
            found.sort();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{}", filter);
        }
        for topic in model.keys() {
            prop_assert_eq!(retained.get(topic, NOW).is_some(), kept(topic));
        }

        let mut cursor = None;
        let mut swept = Vec::new();
        loop {
            cursor = retained.sweep(cursor.as_ref(), slice_max, NOW, |(gone, _)| swept.push(gone.topic_name().to_owned()));
            if cursor.is_none() {
                break;
            }
        }
        let expired: Vec<String> = model.keys().filter(|topic| !kept(topic)).cloned().collect();
        prop_assert_eq!(&swept, &expired);
        prop_assert_eq!(retained.len(), model.len() - expired.len());
        for topic in model.keys().filter(|topic| kept(topic)) {
            prop_assert!(retained.remove(topic).is_some());
        }
        prop_assert_eq!((retained.len(), retained.bytes()), (0, 0));
    }

    /// What was there before the first slice and still is after the last is found, once, whatever came and went
    /// between.
    #[test]
    fn changes_between_slices(
        before in vec(topic_name(), 1..40),
        changes in vec((topic_name(), any::<bool>()), 0..40),
        filter in filter(),
    ) {
        let mut retained = Retained::<()>::new(u64::MAX, u64::MAX);
        for topic in &before {
            retained.set(message(topic, b"", Millis::NEVER)).unwrap();
        }
        let mut untouched: Vec<&String> = before.iter().filter(|topic| matches(&filter, topic)).collect();
        untouched.retain(|topic| changes.iter().all(|(changed, _)| changed != *topic));
        untouched.sort();
        untouched.dedup();
        let mut found: Vec<String> = Vec::new();
        let mut cursor = None;
        let mut changes = changes.iter();
        let slice = Slice { topics_max: 2, bytes_max: usize::MAX };
        loop {
            cursor = retained.scan(&filter, cursor.as_ref(), slice, NOW, |message, ()| found.push(message.topic_name().into()));
            if cursor.is_none() {
                break;
            }
            match changes.next() {
                Some((topic, true)) => *retained.set(message(topic, b"", Millis::NEVER)).unwrap() = (),
                Some((topic, false)) => drop(retained.remove(topic)),
                None => {}
            }
        }
        for topic in untouched {
            prop_assert_eq!(found.iter().filter(|found| *found == topic).count(), 1, "{}", topic);
        }
    }
}

/// However large the messages, a slice has one too many at most; none is left out, the parent level of `a/#` included.
#[test]
fn a_slice_is_bounded_in_bytes() {
    let mut retained = Retained::<()>::new(u64::MAX, u64::MAX);
    for topic in ["a", "a!", "a/", "a/b", "a/c", "a/c/d", "a0"] {
        retained.set(message(topic, &[0; 1_000], Millis::NEVER)).unwrap();
    }
    for (bytes_max, most) in [(1, 1), (1_000, 1), (1_200, 2), (2_400, 3)] {
        let slice = Slice { topics_max: 100, bytes_max };
        let (mut topics, mut cursor) = (Vec::new(), None);
        loop {
            let before = topics.len();
            cursor = retained
                .scan("a/#", cursor.as_ref(), slice, NOW, |found, ()| topics.push(found.topic_name().to_owned()));
            assert!(topics.len() - before <= most, "{bytes_max}: {topics:?}");
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(topics, ["a", "a/", "a/b", "a/c", "a/c/d"]);
    }
}

#[test]
fn a_full_store_keeps_what_it_has() {
    let one = message("a", b"12345", Millis::NEVER);
    let bytes = one.memory_bytes() as u64;
    let mut retained = Retained::<()>::new(2, 2 * bytes + 1);
    assert_eq!(retained.set(one), Ok(&mut ()));
    assert_eq!(retained.set(message("b", b"1234567", Millis::NEVER)), Err(Full::Bytes));
    assert_eq!(retained.set(message("b", b"12345", Millis::NEVER)), Ok(&mut ()));
    assert_eq!(retained.set(message("c", b"", Millis::NEVER)), Err(Full::Messages));
    // The message of a known topic is replaced while the bytes allow.
    assert_eq!(retained.set(message("a", b"123456", Millis::NEVER)), Ok(&mut ()));
    assert_eq!(retained.set(message("a", b"1234567", Millis::NEVER)), Err(Full::Bytes));
    assert_eq!(retained.get("a", NOW).map(|kept| kept.payload()), Some(&b"123456"[..]));
    assert_eq!((retained.len(), retained.bytes()), (2, 2 * bytes + 1));
    assert!(retained.remove("b").is_some());
    assert_eq!(retained.set(message("c", b"1", Millis::NEVER)), Ok(&mut ()));
}
