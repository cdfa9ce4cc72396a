//! When the log is cleaned, and how much at a time: what is moved lengthens the commit that it goes with, and everybody who
//! waits for that.
//!
//! ```text
//!   commit of what clients brought:  | appended | moved |      a share of what was appended
//!   nobody has brought anything:     | moved |                 small slices, each with a commit of its own
//! ```
//!
//! Depends on the log alone, which says whether it takes too much room. Architecture invariant: for each byte appended at least
//! [`SHARE`] bytes of old segments are looked at while the log wants cleaning, since that is what bounds it.

use super::state::Holder;
use super::{Journal, SavedRetained};
use ringtail_mqtt::time::Millis;
use ringtail_storage::CleanProgress;

/// Bytes of old segments that are looked at for each byte appended. With three the log stays below three times what is live;
/// see [`ringtail_storage::Log::clean_slice`].
const SHARE: u64 = 3;

/// Bytes that are looked at with a commit at the least: a few microseconds.
const LEAST_BYTES: u64 = 4 << 10;

/// Bytes that are looked at with a commit at the most; what is beyond that goes with the next ones.
const MOST_BYTES: u64 = 1 << 20;

/// Nothing was appended for so long: time to clean beyond the share, milliseconds.
const QUIET_MS: u64 = 10;

/// Bytes that are looked at then: some tens of microseconds.
const QUIET_BYTES: u64 = 64 << 10;

/// What a segment that is given back counts as.
const FREED_BYTES: u64 = LEAST_BYTES;

/// After an error, when it is tried again, milliseconds.
const AGAIN_MS: u64 = 60_000;

/// How fast the log is cleaned.
#[derive(Default)]
pub(super) struct Pace {
    /// Bytes appended when the last commit began.
    appended_bytes: u64,
    /// Bytes to look at for what was appended.
    owed_bytes: u64,
    /// When something was last appended.
    busy_at: Millis,
    /// Not before this, because of an error.
    not_before: Millis,
    /// There is more to do, and nothing that it waits for.
    more: bool,
}

impl Pace {
    /// A commit may begin, up to which `appended_bytes` were appended: how many bytes are to be looked at before.
    fn budget(&mut self, appended_bytes: u64, wanted: bool, now: Millis) -> u64 {
        let grown = appended_bytes - self.appended_bytes;
        self.appended_bytes = appended_bytes;
        if grown > 0 {
            self.busy_at = now;
        }
        if !wanted || now < self.not_before {
            self.owed_bytes = 0;
            return 0;
        }
        self.owed_bytes += grown * SHARE;
        match grown {
            0 if now < self.busy_at.plus_ms(QUIET_MS) => 0,
            0 => QUIET_BYTES,
            _ => self.owed_bytes.clamp(LEAST_BYTES, MOST_BYTES),
        }
    }

    fn looked_at(&mut self, bytes: u64) {
        self.owed_bytes = self.owed_bytes.saturating_sub(bytes);
    }

    /// When there is something to do although nothing happens.
    pub(super) fn next(&self) -> Option<Millis> {
        self.more.then(|| self.busy_at.plus_ms(QUIET_MS))
    }
}

impl Journal {
    /// Before a commit begins: moves what is still needed out of the oldest segments, as far as the log takes too much room and
    /// the commit can bear it.
    pub(super) fn clean(&mut self, now: Millis, retained: &mut SavedRetained) {
        let wanted = self.wants_cleaning();
        let mut budget = self.pace.budget(self.log.stats().appended_bytes, wanted, now);
        let mut goes_on = true;
        while budget > 0 && goes_on {
            let mut holder = Holder { state: &mut self.state, retained };
            let bytes = match self.log.clean_slice(budget as u32, &mut holder) {
                Ok(CleanProgress::Scanned(bytes)) => u64::from(bytes),
                Ok(CleanProgress::Freed) => FREED_BYTES,
                Ok(CleanProgress::Idle | CleanProgress::Waiting | CleanProgress::Full) => {
                    goes_on = false;
                    0
                }
                Err(error) => {
                    tracing::error!("the log's oldest segment could not be cleaned: {error}");
                    self.pace.not_before = now.plus_ms(AGAIN_MS);
                    goes_on = false;
                    0
                }
            };
            self.pace.looked_at(bytes);
            budget = budget.saturating_sub(bytes);
        }
        self.pace.more = goes_on && self.wants_cleaning();
    }

    fn wants_cleaning(&self) -> bool {
        !self.failed && !self.log.is_stopped() && self.log.wants_cleaning()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_moves_no_more_than_its_share_and_the_rest_goes_with_the_next() {
        let (mut pace, now) = (Pace::default(), Millis(1_000));
        assert_eq!(pace.budget(100_000, false, now), 0);
        assert_eq!(pace.budget(100_100, true, now), LEAST_BYTES, "a little at the least");
        pace.looked_at(LEAST_BYTES);
        assert_eq!(pace.budget(110_100, true, now), 10_000 * SHARE);
        pace.looked_at(10_000);
        assert_eq!(pace.budget(110_101, true, now), 10_000 * (SHARE - 1) + SHARE, "nothing that is owed is forgotten");
        assert_eq!(pace.budget(10_110_101, true, now), MOST_BYTES);
        pace.looked_at(MOST_BYTES);
        assert_eq!(pace.budget(10_110_102, true, now), MOST_BYTES, "nor when it is too much for one commit");
        assert_eq!(pace.budget(10_110_103, false, now), 0);
        assert_eq!(pace.budget(10_110_104, true, now), LEAST_BYTES, "what is owed ends when there is no need");
    }

    #[test]
    fn nothing_is_moved_between_the_commits_of_clients_before_they_are_quiet() {
        let (mut pace, now) = (Pace::default(), Millis(1_000));
        assert_eq!(pace.budget(100, true, now), LEAST_BYTES);
        assert_eq!(pace.budget(100, true, now.plus_ms(QUIET_MS - 1)), 0);
        assert_eq!(pace.budget(100, true, now.plus_ms(QUIET_MS)), QUIET_BYTES);
        assert_eq!(pace.budget(101, true, now.plus_ms(QUIET_MS)), LEAST_BYTES);
        assert_eq!(pace.budget(101, true, now.plus_ms(QUIET_MS + 1)), 0);
    }
}
