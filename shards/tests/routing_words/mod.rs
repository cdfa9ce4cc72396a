//! Topic names and filters of a small alphabet, so that they often match: empty levels, `$`, letters of several bytes, and
//! words longer than what is kept without allocation.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const WORDS: [&str; 8] = ["", "a", "b", "$a", "größe", "𝄞", " ", "a-level-that-is-longer-than-twenty-two-bytes"];

/// A Topic Name of up to six levels.
pub(crate) fn topic_name() -> impl Strategy<Value = String> {
    vec(select(&WORDS[..]), 1..=6).prop_map(|levels| levels.join("/")).prop_filter("not empty", |name| !name.is_empty())
}

/// A Topic Filter of up to six levels.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => select(&WORDS[..]), 2 => Just("+")];
    (vec(level, 0..=5), prop_oneof![3 => select(&WORDS[..]), 2 => Just("+"), 3 => Just("#")])
        .prop_map(|(mut levels, last)| {
            levels.push(last);
            levels.join("/")
        })
        .prop_filter("not empty", |filter| !filter.is_empty())
}
