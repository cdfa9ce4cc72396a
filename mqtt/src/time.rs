//! Time as an argument: the crate never reads a clock.

/// Milliseconds since an epoch of the caller's choice; the caller keeps it monotonic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// A time that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This time plus `s` seconds, saturating at [`Millis::NEVER`].
    #[must_use]
    pub const fn plus_s(self, s: u32) -> Self {
        Self(self.0.saturating_add(s as u64 * 1_000))
    }

    /// This time plus `ms` milliseconds, saturating at [`Millis::NEVER`].
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Seconds from `now` until this time, to the nearest, but at least 1 until it has passed; then 0. Not rounded up: to
    /// a reader whose clock is a little behind, more would remain than there ever was.
    #[must_use]
    pub const fn remaining_s(self, now: Self) -> u32 {
        match self.0.saturating_sub(now.0) {
            0 => 0,
            1..=1_499 => 1,
            ms => {
                let s = ms.saturating_add(500) / 1_000;
                if s > u32::MAX as u64 { u32::MAX } else { s as u32 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_to_the_nearest_second() {
        let now = Millis(10_000);
        let rows = [(9_000, 0), (10_000, 0), (10_001, 1), (11_499, 1), (11_500, 2), (109_999, 100), (110_002, 100)];
        for (at, expected) in rows {
            assert_eq!(Millis(at).remaining_s(now), expected, "{at}");
        }
        assert_eq!(Millis(u64::MAX - 1).remaining_s(now), u32::MAX);
    }
}
