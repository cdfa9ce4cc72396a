//! The types that a setting can end in: how each takes a value that was written, and how it shows its own.

use super::kind::Kind;
use super::value::Value;
use ringtail_mqtt::limits::QueuePolicy;
use ringtail_mqtt::packet::QoS;
use ringtail_shards::config::{Pacing, Sync};
use ringtail_shards::routing::Strategy;
use std::net::SocketAddr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// A field of the settings.
pub(crate) trait Field: Sized {
    /// The field's value for what was written, `None` when `kind` does not allow it.
    fn parse(kind: &Kind, given: &Value) -> Option<Self>;

    /// The value as the operator would write it.
    fn show(&self, kind: &Kind) -> Value;
}

macro_rules! number_fields {
    ($($number:ty)*) => {$(
        impl Field for $number {
            fn parse(kind: &Kind, given: &Value) -> Option<Self> {
                Self::try_from(kind.number(given)?).ok()
            }

            fn show(&self, kind: &Kind) -> Value {
                kind.show_number(i128::try_from(*self).unwrap_or(i128::MAX))
            }
        }
    )*};
}
number_fields!(u16 u32 u64 usize);

impl Field for QoS {
    fn parse(kind: &Kind, given: &Value) -> Option<Self> {
        Self::from_bits(u8::try_from(kind.number(given)?).ok()?)
    }

    fn show(&self, kind: &Kind) -> Value {
        kind.show_number(i128::from(*self as u8))
    }
}

impl Field for bool {
    fn parse(_: &Kind, given: &Value) -> Option<Self> {
        match given {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn show(&self, _: &Kind) -> Value {
        Value::Flag(*self)
    }
}

/// A type whose values have names.
pub(crate) trait Named: Copy + PartialEq + 'static {
    /// Every value with its name.
    const NAMES: &'static [(&'static str, Self)];
}

/// The names of `T`, for [`Kind::Choice`].
pub(crate) fn names<T: Named>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

impl<T: Named> Field for T {
    fn parse(_: &Kind, given: &Value) -> Option<Self> {
        let Value::Text(text) = given else { return None };
        T::NAMES.iter().find(|(name, _)| name == text).map(|(_, value)| *value)
    }

    fn show(&self, _: &Kind) -> Value {
        let name = T::NAMES.iter().find(|(_, value)| value == self).map_or("", |(name, _)| name);
        Value::Text(name.to_owned())
    }
}

impl Named for Strategy {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("round_robin", Self::RoundRobin),
        ("random", Self::Random),
        ("sticky", Self::Sticky),
        ("hash_publisher", Self::HashPublisher),
        ("hash_topic", Self::HashTopic),
        ("least_inflight", Self::LeastInflight),
    ];
}

impl Named for Pacing {
    const NAMES: &'static [(&'static str, Self)] =
        &[("latency", Self::Latency), ("balanced", Self::Balanced), ("throughput", Self::Throughput)];
}

impl Named for Sync {
    const NAMES: &'static [(&'static str, Self)] =
        &[("always", Self::Always), ("interval", Self::Interval), ("never", Self::Never)];
}

impl Named for QueuePolicy {
    const NAMES: &'static [(&'static str, Self)] =
        &[("drop_oldest", Self::DropOldest), ("drop_newest", Self::DropNewest), ("reject", Self::Reject)];
}

impl Named for LevelFilter {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("off", Self::OFF),
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

impl Field for Option<Box<str>> {
    fn parse(kind: &Kind, given: &Value) -> Option<Self> {
        match given {
            Value::Text(text) if text.is_empty() => Some(None),
            Value::Text(text) if kind.takes(text) => Some(Some(text.as_str().into())),
            _ => None,
        }
    }

    fn show(&self, _: &Kind) -> Value {
        Value::Text(self.as_deref().unwrap_or_default().to_owned())
    }
}

impl Field for Option<PathBuf> {
    fn parse(_: &Kind, given: &Value) -> Option<Self> {
        match given {
            Value::Text(text) if text.is_empty() => Some(None),
            Value::Text(text) => Some(Some(PathBuf::from(text))),
            // A folder on the command line may have a name of digits.
            Value::Number(number) => Some(Some(PathBuf::from(number.to_string()))),
            _ => None,
        }
    }

    fn show(&self, _: &Kind) -> Value {
        Value::Text(self.as_ref().map(|path| path.display().to_string()).unwrap_or_default())
    }
}

/// The pieces of a list that was written as an array or with commas.
fn pieces(given: &Value) -> Option<Vec<String>> {
    match given {
        Value::Number(number) => Some(vec![number.to_string()]),
        Value::Text(text) if text.is_empty() => Some(Vec::new()),
        Value::Text(text) => Some(text.split(',').map(|piece| piece.trim().to_owned()).collect()),
        Value::List(items) => {
            let nested = items.iter().map(pieces).collect::<Option<Vec<_>>>()?;
            Some(nested.into_iter().flatten().collect())
        }
        Value::Flag(_) | Value::Other(_) => None,
    }
}

/// Highest core number that is accepted: the kernel's largest build has 8,192 processors.
const CORE_MAX: usize = 8_191;

impl Field for Vec<usize> {
    fn parse(_: &Kind, given: &Value) -> Option<Self> {
        let mut cores = Self::new();
        for piece in pieces(given)? {
            let (first, last) = piece.split_once('-').unwrap_or((&piece, &piece));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            if first > last || last > CORE_MAX {
                return None;
            }
            cores.extend(first..=last);
        }
        Some(cores)
    }

    fn show(&self, _: &Kind) -> Value {
        Value::List(self.iter().map(|core| Value::Number(*core as i128)).collect())
    }
}

/// The scheme of an address without encryption.
const TCP_SCHEME: &str = "tcp://";

impl Field for Vec<SocketAddr> {
    fn parse(_: &Kind, given: &Value) -> Option<Self> {
        let addresses = pieces(given)?;
        if addresses.is_empty() {
            return None;
        }
        addresses.iter().map(|address| address.strip_prefix(TCP_SCHEME)?.parse().ok()).collect()
    }

    fn show(&self, _: &Kind) -> Value {
        Value::List(self.iter().map(|address| Value::Text(url(*address))).collect())
    }
}

/// An address as it is written in the settings and in what the program prints.
pub(crate) fn url(address: SocketAddr) -> String {
    format!("{TCP_SCHEME}{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(text: &str) -> Option<Vec<usize>> {
        Field::parse(&Kind::Cores, &Value::from_argument(text))
    }

    #[test]
    fn cores_are_numbers_and_ranges_in_the_order_given() {
        assert_eq!(cores("0,2-5"), Some(vec![0, 2, 3, 4, 5]));
        assert_eq!(cores("3"), Some(vec![3]));
        assert_eq!(cores("[1, \"4-5\"]"), Some(vec![1, 4, 5]));
        assert_eq!(cores("7, 0"), Some(vec![7, 0]));
        assert_eq!(cores(""), Some(vec![]));
        for wrong in ["5-2", "a", "0-99999999999", "-1", "1,,2", "true"] {
            assert_eq!(cores(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_are_urls_of_ip_addresses() {
        let parse = |text: &str| <Vec<SocketAddr>>::parse(&Kind::Addresses, &Value::from_argument(text));
        let both = parse("tcp://127.0.0.1:1883,tcp://[::1]:0").unwrap_or_default();
        assert_eq!(both.iter().map(|a| url(*a)).collect::<Vec<_>>(), ["tcp://127.0.0.1:1883", "tcp://[::1]:0"]);
        assert_eq!(parse("[\"tcp://0.0.0.0:1\"]").map(|a| a.len()), Some(1));
        for wrong in ["127.0.0.1:1883", "tcp://localhost:1883", "tcp://127.0.0.1", "tcp://:1883", "ws://[::1]:80", "[]"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
