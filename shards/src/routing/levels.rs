//! Topics by their bytes: where levels end, and whether one filter matches one topic name. UTF-8 has no `/`, `+` or `#`
//! inside a longer character, so bytes are enough.

/// The levels of a topic name or a filter.
#[inline]
pub(crate) fn levels(topic: &[u8]) -> impl Iterator<Item = &[u8]> {
    topic.split(|byte| *byte == b'/')
}

/// Whether a filter matches a topic name, eight bytes at a time where they are the same. Both are taken as valid; that
/// a filter which begins with a wildcard matches no `$` topic [MQTT-4.7.2-1] is the caller's to see.
#[inline]
pub(crate) fn filter_matches(mut filter: &[u8], mut topic_name: &[u8]) -> bool {
    loop {
        let same = common_prefix(filter, topic_name);
        (filter, topic_name) = (&filter[same..], &topic_name[same..]);
        match filter {
            [] => return topic_name.is_empty(),
            // A wildcard is a whole level, and what stands before it is the same: so the level of the name begins here
            // too.
            [b'+', rest @ ..] => {
                let level = topic_name.iter().position(|byte| *byte == b'/').unwrap_or(topic_name.len());
                (filter, topic_name) = (rest, &topic_name[level..]);
            }
            [b'#', ..] => return true,
            // `a/#` also matches `a` (4.7.1.2).
            rest => return rest == b"/#" && topic_name.is_empty(),
        }
    }
}

/// Bytes that both begin with.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WORD: usize = size_of::<u64>();
    let (a_words, b_words) = (a.as_chunks::<WORD>().0, b.as_chunks::<WORD>().0);
    let mut same = 0;
    for (a, b) in a_words.iter().zip(b_words) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return same + differing.trailing_zeros() as usize / 8;
        }
        same += WORD;
    }
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::super::words::{filter, topic_name};
    use super::*;
    use proptest::prelude::*;
    use ringtail_mqtt::topic::matches;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        #[test]
        fn matches_as_the_definition(filter in filter(), topic_name in topic_name()) {
            let spared = topic_name.starts_with('$') && filter.starts_with(['+', '#']);
            let expected = matches(&filter, &topic_name);
            prop_assert_eq!(!spared && filter_matches(filter.as_bytes(), topic_name.as_bytes()), expected);
            prop_assert!(filter_matches(topic_name.as_bytes(), topic_name.as_bytes()));
        }
    }
}
