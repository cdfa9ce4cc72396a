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

    /// Whole seconds from `now` until this time, rounded up; 0 when it has passed.
    #[must_use]
    pub const fn remaining_s(self, now: Self) -> u32 {
        let s = self.0.saturating_sub(now.0).div_ceil(1_000);
        if s > u32::MAX as u64 { u32::MAX } else { s as u32 }
    }
}
