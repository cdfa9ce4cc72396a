//! The topics and filters of the sequences, few enough to meet often, and matching as the specification words it (4.7).

use crate::random::Random;

const TOPICS: [&str; 9] = ["a", "a/b", "a/b/c", "a/c", "b", "b/", "/b", "w/a", "$d/a"];
/// Where wills go, and a client that watches for them.
pub(crate) const WILL_TOPICS: [&str; 2] = ["w/a", "w/b"];
const FILTERS: [&str; 18] = [
    "#", "+", "a", "a/#", "a/+", "+/b", "a/b", "a/b/c", "+/+", "a/+/c", "b/#", "/+", "+/+/#", "w/+", "w/a", "$d/#",
    "$d/a", "b/",
];

pub(crate) fn topic(random: &mut Random) -> String {
    random.pick(&TOPICS).to_owned()
}

pub(crate) fn filter(random: &mut Random) -> String {
    random.pick(&FILTERS).to_owned()
}

/// The group, and the filter without `$share`.
pub(crate) fn share(filter: &str) -> (Option<&str>, &str) {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or((None, filter), |(group, filter)| (Some(group), filter))
}

pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        ([level, filter @ ..], [name, topic @ ..]) => (*level == "+" || level == name) && levels_match(filter, topic),
        _ => false,
    }
}
