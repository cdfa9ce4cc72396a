//! Topic Names and Topic Filters (section 4.7), and the filters of shared subscriptions (section 4.8.2).
//!
//! Depends on nothing. Architecture invariant: text in, verdict out; nothing here keeps or copies a topic.

/// What the filter of a shared subscription begins with.
pub const SHARE_PREFIX: &str = "$share/";

/// Most bytes of a topic name or filter [MQTT-4.7.3-3].
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// Why a text is no Topic Name, or no Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TopicError {
    /// Not one character [MQTT-4.7.3-1].
    #[error("a topic needs at least one character")]
    Empty,
    /// U+0000 [MQTT-4.7.3-2].
    #[error("a topic may not hold the null character")]
    NullCharacter,
    /// More than [`TOPIC_BYTES_MAX`] [MQTT-4.7.3-3].
    #[error("a topic may not be longer than 65,535 bytes")]
    TooLong,
    /// More levels than the receiver accepts.
    #[error("the topic has too many levels")]
    TooManyLevels,
    /// `+` or `#` in a Topic Name [MQTT-4.7.0-1].
    #[error("a topic name may not hold a wildcard")]
    WildcardInName,
    /// `#` that is not the whole last level [MQTT-4.7.1-1].
    #[error("# is not the whole last level")]
    MultiLevelWildcard,
    /// `+` that is not a whole level [MQTT-4.7.1-2].
    #[error("+ is not a whole level")]
    SingleLevelWildcard,
    /// `$share/` without a share name and a filter after it, or with a wildcard in the share name [MQTT-4.8.2-1],
    /// [MQTT-4.8.2-2].
    #[error("$share/ is not followed by a share name, / and a topic filter")]
    ShareName,
}

/// Checks a Topic Name of at most `levels_max` levels.
///
/// # Errors
/// A [`TopicError`], to be answered with Topic Name invalid.
#[inline]
pub fn validate_topic_name(topic_name: &str, levels_max: u16) -> Result<(), TopicError> {
    match first_forbidden_in_name(topic_name) {
        Some(0) => return Err(TopicError::NullCharacter),
        Some(_) => return Err(TopicError::WildcardInName),
        None => {}
    }
    validate_extent(topic_name, levels_max)
}

/// The first byte that no Topic Name may hold: U+0000, `+` or `#`.
#[inline]
pub(crate) fn first_forbidden_in_name(text: &str) -> Option<u8> {
    let is_forbidden = |byte: u8| (byte == 0) | (byte == b'+') | (byte == b'#');
    if any_byte(text.as_bytes(), is_forbidden) { text.bytes().find(|byte| is_forbidden(*byte)) } else { None }
}

/// Whether the text holds U+0000.
#[inline]
pub(crate) fn contains_null(text: &str) -> bool {
    any_byte(text.as_bytes(), |byte| byte == 0)
}

/// Whether some byte is wanted. The bytes are taken in pieces, the last of which overlaps its neighbour: within a piece
/// there is no branch, so that the compiler makes it a vector comparison. Most texts are short, and nearly all pass.
#[inline]
fn any_byte(bytes: &[u8], is_wanted: impl Fn(u8) -> bool + Copy) -> bool {
    #[inline]
    fn in_piece<const N: usize>(piece: &[u8; N], is_wanted: impl Fn(u8) -> bool) -> bool {
        piece.iter().fold(0, |found, byte| found | u8::from(is_wanted(*byte))) != 0
    }
    if let Some(last) = bytes.last_chunk::<16>() {
        let (pieces, _) = bytes.as_chunks::<16>();
        return in_piece(last, is_wanted) || pieces.iter().any(|piece| in_piece(piece, is_wanted));
    }
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => in_piece(first, is_wanted) || in_piece(last, is_wanted),
        _ => bytes.iter().any(|byte| is_wanted(*byte)),
    }
}

fn validate_extent(topic: &str, levels_max: u16) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    let separators = topic.bytes().filter(|byte| *byte == b'/').count();
    if separators >= levels_max as usize { Err(TopicError::TooManyLevels) } else { Ok(()) }
}

/// A checked Topic Filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter<'a> {
    /// The Share Name of a shared subscription.
    pub share: Option<&'a str>,
    /// The Topic Filter, without `$share/` and the Share Name.
    pub filter: &'a str,
    /// Whether `filter` holds a wildcard; one without matches one Topic Name only.
    pub has_wildcards: bool,
}

impl<'a> Filter<'a> {
    /// Checks a Topic Filter of at most `levels_max` levels (those of `$share/{ShareName}/` not counted).
    ///
    /// # Errors
    /// A [`TopicError`], to be answered with Topic Filter invalid.
    pub fn parse(text: &'a str, levels_max: u16) -> Result<Self, TopicError> {
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        let (share, filter) = split_share(text)?;
        validate_extent(filter, levels_max)?;
        let has_wildcards = validate_levels(filter)?;
        Ok(Self { share, filter, has_wildcards })
    }
}

/// Splits `$share/{ShareName}/{filter}` [MQTT-4.8.2-1], [MQTT-4.8.2-2].
fn split_share(text: &str) -> Result<(Option<&str>, &str), TopicError> {
    let Some(rest) = text.strip_prefix(SHARE_PREFIX) else {
        return Ok((None, text));
    };
    match rest.split_once('/') {
        Some((share, filter)) if !share.is_empty() && !filter.is_empty() && !share.contains(['+', '#', '\0']) => {
            Ok((Some(share), filter))
        }
        _ => Err(TopicError::ShareName),
    }
}

/// Checks where wildcards stand, and says whether there are any.
fn validate_levels(filter: &str) -> Result<bool, TopicError> {
    let mut has_wildcards = false;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('\0') {
            return Err(TopicError::NullCharacter);
        }
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevelWildcard); // [MQTT-4.7.1-1]
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevelWildcard); // [MQTT-4.7.1-2]
        }
        has_wildcards |= level == "#" || level == "+";
    }
    Ok(has_wildcards)
}

/// Whether a Topic Filter (without `$share`) matches a Topic Name; both are taken as valid.
#[must_use]
pub fn matches(filter: &str, topic_name: &str) -> bool {
    if topic_name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false; // [MQTT-4.7.2-1]
    }
    let mut names = topic_name.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true; // also the parent level: `a/#` matches `a`
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS_MAX: u16 = 4;

    #[test]
    fn topic_names() {
        let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let longest = "x".repeat(TOPIC_BYTES_MAX);
        let rows: &[(&str, Result<(), TopicError>)] = &[
            ("a", Ok(())),
            ("/", Ok(())),
            ("a/b", Ok(())),
            ("a//b", Ok(())),
            ("/a/b/", Ok(())),
            (" ", Ok(())),
            ("größe/𝄞", Ok(())),
            ("$SYS/x", Ok(())),
            ("$share/g/x", Ok(())),
            (&longest, Ok(())),
            ("", Err(TopicError::Empty)),
            ("a\0b", Err(TopicError::NullCharacter)),
            (&too_long, Err(TopicError::TooLong)),
            ("a/b/c/d/e", Err(TopicError::TooManyLevels)),
            ("a/+", Err(TopicError::WildcardInName)),
            ("#", Err(TopicError::WildcardInName)),
            ("a+b", Err(TopicError::WildcardInName)),
            ("an ordinary name that ends badly#", Err(TopicError::WildcardInName)),
        ];
        for (topic_name, expected) in rows {
            assert_eq!(validate_topic_name(topic_name, LEVELS_MAX), *expected, "{topic_name:.40?}");
        }
    }

    #[test]
    fn topic_filters() {
        fn plain(filter: &str, has_wildcards: bool) -> Result<Filter<'_>, TopicError> {
            Ok(Filter { share: None, filter, has_wildcards })
        }
        fn shared<'a>(share: &'a str, filter: &'a str, has_wildcards: bool) -> Result<Filter<'a>, TopicError> {
            Ok(Filter { share: Some(share), filter, has_wildcards })
        }
        let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let rows: &[(&str, Result<Filter<'_>, TopicError>)] = &[
            ("a/b", plain("a/b", false)),
            ("/", plain("/", false)),
            ("#", plain("#", true)),
            ("+", plain("+", true)),
            ("+/+", plain("+/+", true)),
            ("/+", plain("/+", true)),
            ("a/+/b/#", plain("a/+/b/#", true)),
            ("$SYS/#", plain("$SYS/#", true)),
            ("$share", plain("$share", false)),
            ("$sharex/g/a", plain("$sharex/g/a", false)),
            ("$share/g/a", shared("g", "a", false)),
            ("$share/g//a", shared("g", "/a", false)),
            ("$share/g/#", shared("g", "#", true)),
            ("$share/g/a/b/c/d", shared("g", "a/b/c/d", false)),
            ("$share/g/$SYS/+", shared("g", "$SYS/+", true)),
            ("", Err(TopicError::Empty)),
            ("a\0", Err(TopicError::NullCharacter)),
            (&too_long, Err(TopicError::TooLong)),
            ("a/b/c/d/e", Err(TopicError::TooManyLevels)),
            ("$share/g/a/b/c/d/e", Err(TopicError::TooManyLevels)),
            ("a/#/b", Err(TopicError::MultiLevelWildcard)),
            ("a#", Err(TopicError::MultiLevelWildcard)),
            ("a/b#", Err(TopicError::MultiLevelWildcard)),
            ("##", Err(TopicError::MultiLevelWildcard)),
            ("#/", Err(TopicError::MultiLevelWildcard)),
            ("a+", Err(TopicError::SingleLevelWildcard)),
            ("+a/b", Err(TopicError::SingleLevelWildcard)),
            ("a/++", Err(TopicError::SingleLevelWildcard)),
            ("$share/", Err(TopicError::ShareName)),
            ("$share/g", Err(TopicError::ShareName)),
            ("$share/g/", Err(TopicError::ShareName)),
            ("$share//a", Err(TopicError::ShareName)),
            ("$share/+/a", Err(TopicError::ShareName)),
            ("$share/g#/a", Err(TopicError::ShareName)),
            ("$share/g\0/a", Err(TopicError::ShareName)),
            ("$share/g/a#", Err(TopicError::MultiLevelWildcard)),
        ];
        for (text, expected) in rows {
            assert_eq!(Filter::parse(text, LEVELS_MAX), *expected, "{text:.40?}");
        }
    }

    #[test]
    fn matching() {
        let rows = [
            ("a", "a", true),
            ("a", "b", false),
            ("a", "A", false),
            ("a", "a/", false),
            ("a/", "a", false),
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("#", "a", true),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("a/b/#", "a", false),
            ("/#", "a", false),
            ("/#", "/a", true),
            ("+", "a", true),
            ("+", "a/b", false),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a//c", true),
            ("a/+/c", "a/b/d", false),
            ("+/b/#", "a/b", true),
            ("+/#", "a", true),
            ("a/+/#", "a", false),
            ("a/+/#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("+/#", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
            ("$SYS/#", "$SYS", true),
            ("a/#", "a/$b", true),
            ("a/+", "a/$b", true),
        ];
        for (filter, topic_name, expected) in rows {
            assert_eq!(matches(filter, topic_name), expected, "{filter} against {topic_name}");
        }
    }
}
