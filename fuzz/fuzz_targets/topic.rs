//! A filter and a topic name, with a line feed between them. Matching is compared with a plain recursive reading of
//! section 4.7.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringtail_mqtt::topic::{Filter, matches, validate_topic_name};

const LEVELS_MAX: u16 = 32;

fuzz_target!(|input: &str| {
    let Some((text, topic_name)) = input.split_once('\n') else {
        return;
    };
    let name = validate_topic_name(topic_name, LEVELS_MAX);
    assert_eq!(name.is_ok(), is_name(topic_name));
    let Ok(filter) = Filter::parse(text, LEVELS_MAX) else {
        return;
    };
    assert!(text.ends_with(filter.filter));
    assert_eq!(filter.has_wildcards, filter.filter.contains(['+', '#']));
    assert_eq!(filter.share.is_some(), text.starts_with("$share/"));
    if name.is_err() {
        return;
    }
    let filter_levels: Vec<&str> = filter.filter.split('/').collect();
    let name_levels: Vec<&str> = topic_name.split('/').collect();
    let hidden = topic_name.starts_with('$') && matches!(filter_levels[0], "+" | "#");
    let expected = !hidden && levels_match(&filter_levels, &name_levels);
    assert_eq!(matches(filter.filter, topic_name), expected, "{text:?} and {topic_name:?}");
    if !filter.has_wildcards {
        assert_eq!(expected, filter.filter == topic_name);
    }
});

fn is_name(text: &str) -> bool {
    let levels = text.split('/').count();
    !text.is_empty() && text.len() < 65_536 && levels <= LEVELS_MAX as usize && !text.contains(['\0', '+', '#'])
}

fn levels_match(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, name @ ..]) => levels_match(filter, name),
        ([first, filter @ ..], [level, name @ ..]) => first == level && levels_match(filter, name),
        _ => false,
    }
}
