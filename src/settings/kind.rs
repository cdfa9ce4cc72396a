//! The kinds of settings: what each takes, and how that is said to the operator.

use super::value::Value;
use ringtail_mqtt::topic::validate_topic_name;
use std::ops::RangeInclusive;

/// What a setting takes.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A whole number within a range, and what it counts.
    Number { range: RangeInclusive<i128>, unit: &'static str },
    /// A power of two within a range.
    PowerOfTwo { range: RangeInclusive<i128> },
    /// A number of bytes within a range, which may be written with a unit.
    Size { range: RangeInclusive<i128> },
    /// `true` or `false`.
    Flag,
    /// One of a few names.
    Choice(fn() -> Vec<&'static str>),
    /// Core numbers and ranges of them.
    Cores,
    /// Addresses to listen on.
    Addresses,
    /// A folder; the empty string stands for none.
    Folder,
    /// A string that a packet can carry; the empty string stands for none.
    Text,
    /// A topic name; the empty string stands for none.
    TopicName,
}

/// Longest text: leaves room for what is put behind it, within the 65,535 bytes of a string.
const TEXT_BYTES_MAX: usize = 1_000;

const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

impl Kind {
    /// The number that `given` stands for, when the kind is one of numbers and the number is allowed.
    pub(crate) fn number(&self, given: &Value) -> Option<i128> {
        let (range, number) = match (self, given) {
            (Self::Size { range }, Value::Text(text)) => (range, parse_size(text)?),
            (Self::Number { range, .. } | Self::Size { range }, Value::Number(number)) => (range, *number),
            (Self::PowerOfTwo { range }, Value::Number(number)) if number.count_ones() == 1 => (range, *number),
            _ => return None,
        };
        range.contains(&number).then_some(number)
    }

    /// True for a text that the kind takes.
    pub(crate) fn takes(&self, text: &str) -> bool {
        let is_topic = || validate_topic_name(text, u16::MAX).is_ok();
        text.len() <= TEXT_BYTES_MAX && !text.contains('\0') && (!matches!(self, Self::TopicName) || is_topic())
    }

    /// A number in the way that this kind is best read.
    pub(crate) fn show_number(&self, number: i128) -> Value {
        match self {
            Self::Size { .. } => size(number),
            _ => Value::Number(number),
        }
    }

    /// What the kind takes, to stand after "must be".
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Number { range, unit } => format!("a whole number{} from {}", of(unit), span(range, Value::Number)),
            Self::PowerOfTwo { range } => format!("a power of two from {}", span(range, Value::Number)),
            Self::Size { range } => format!("a number of bytes from {}", span(range, size)),
            Self::Flag => "true or false".to_owned(),
            Self::Choice(names) => format!("one of {}", names().join(", ")),
            Self::Cores => "a list of core numbers and ranges, such as \"0,2-5\"".to_owned(),
            Self::Addresses => "a list of addresses, each tcp:// with an IP address and a port, \
                such as \"tcp://127.0.0.1:1883\" or \"tcp://[::1]:1883\""
                .to_owned(),
            Self::Folder => "the path of a folder".to_owned(),
            Self::Text => "a text of at most 1,000 bytes".to_owned(),
            Self::TopicName => "a topic name of at most 1,000 bytes, without wildcards".to_owned(),
        }
    }
}

fn of(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" of {unit}") }
}

fn span(range: &RangeInclusive<i128>, show: fn(i128) -> Value) -> String {
    let show = |number| match show(number) {
        Value::Text(text) => text,
        value => value.to_string(),
    };
    format!("{} to {}", show(*range.start()), show(*range.end()))
}

/// `"64 KiB"` for what a unit divides evenly, else the number.
fn size(bytes: i128) -> Value {
    match UNITS.iter().find(|(_, shift)| bytes >= 1 << shift && bytes % (1 << shift) == 0) {
        Some((unit, shift)) if *shift > 0 => Value::Text(format!("{} {unit}", bytes >> shift)),
        _ => Value::Number(bytes),
    }
}

fn parse_size(text: &str) -> Option<i128> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, shift) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.replace('_', "").parse::<i128>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Kind = Kind::Size { range: 1..=1 << 40 };

    #[test]
    fn sizes_take_numbers_and_binary_units() {
        for (given, bytes) in [
            (Value::Number(512), Some(512)),
            (Value::Text("64 KiB".into()), Some(64 << 10)),
            (Value::Text("4MiB".into()), Some(4 << 20)),
            (Value::Text("1_000 b".into()), Some(1_000)),
            (Value::Text("1 tib".into()), Some(1 << 40)),
            (Value::Text("2 TiB".into()), None),
            (Value::Text("64 KB".into()), None),
            (Value::Text("64".into()), None),
            (Value::Text("MiB".into()), None),
            (Value::Text("170141183460469231731687303715884105727 KiB".into()), None),
            (Value::Number(0), None),
            (Value::Flag(true), None),
        ] {
            assert_eq!(SIZE.number(&given), bytes, "{given}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_even_unit() {
        for (bytes, shown) in [(1_000, "1000"), (64 << 10, "\"64 KiB\""), (3 << 30, "\"3 GiB\""), (1, "1"), (0, "0")] {
            assert_eq!(SIZE.show_number(bytes).to_string(), shown);
        }
    }

    #[test]
    fn powers_of_two_are_checked() {
        let kind = Kind::PowerOfTwo { range: 2..=32_768 };
        for (number, accepted) in [(2, true), (512, true), (32_768, true), (1, false), (3, false), (65_536, false)] {
            assert_eq!(kind.number(&Value::Number(number)).is_some(), accepted, "{number}");
        }
        assert_eq!(kind.number(&Value::Number(-4)), None);
        assert_eq!(kind.expected(), "a power of two from 2 to 32768");
    }
}
