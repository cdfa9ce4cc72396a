//! Deadlines of one shard: a wheel of coarse ticks.
//!
//! An entry is only a hint to look: whoever owns the deadline checks it when the entry comes up and files it again when
//! it has moved. So moving a deadline later, which every packet does to its keep-alive, costs nothing here.
//!
//! Architecture invariant: reads no clock.

use ringtail_mqtt::time::Millis;

/// Milliseconds of a tick: the precision of keep-alive, expiry and delays.
pub(crate) const TICK_MS: u64 = 50;
/// Ticks that the wheel holds; a later deadline is filed at the wheel's end and filed again from there.
const SLOTS: usize = 2_048;

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A connection that must send its CONNECT.
    Connection(u32),
    /// A session: keep-alive, will delay or expiry.
    Session(u32),
}

/// A [`Timer`] in four bytes, since every connection has two of them: the number, and a bit for its kind.
#[derive(Clone, Copy)]
struct Packed(u32);

impl Packed {
    const SESSION: u32 = 1 << 31;
}

impl From<Timer> for Packed {
    fn from(timer: Timer) -> Self {
        // Connections and sessions are numbered far below the top bit: each takes over a hundred bytes.
        match timer {
            Timer::Connection(number) => Self(number),
            Timer::Session(number) => Self(number | Self::SESSION),
        }
    }
}

impl From<Packed> for Timer {
    fn from(Packed(word): Packed) -> Self {
        match word & Packed::SESSION {
            0 => Self::Connection(word),
            _ => Self::Session(word & !Packed::SESSION),
        }
    }
}

/// The wheel.
pub(crate) struct Timers {
    slots: Vec<Vec<Packed>>,
    /// The tick up to which everything has come up.
    tick: u64,
    /// No entry is filed before this tick.
    earliest: u64,
    len: usize,
}

impl Timers {
    pub(crate) fn new(now: Millis) -> Self {
        Self { slots: vec![Vec::new(); SLOTS], tick: now.0 / TICK_MS, earliest: u64::MAX, len: 0 }
    }

    /// Files `timer` for `at` and returns when it comes up, which is never earlier than the next tick and never later
    /// than the wheel's span.
    pub(crate) fn file(&mut self, timer: Timer, at: Millis) -> Millis {
        let tick = at.0.div_ceil(TICK_MS).clamp(self.tick + 1, self.tick + SLOTS as u64 - 1);
        self.slots[tick as usize % SLOTS].push(timer.into());
        self.earliest = self.earliest.min(tick);
        self.len += 1;
        Millis(tick * TICK_MS)
    }

    /// Moves into `due` what has come up by `now`.
    pub(crate) fn take_due(&mut self, now: Millis, due: &mut Vec<Timer>) {
        let now = now.0 / TICK_MS;
        if self.len == 0 || now < self.earliest {
            self.tick = self.tick.max(now);
            return;
        }
        while self.tick < now && self.len > 0 {
            self.tick += 1;
            let slot = &mut self.slots[self.tick as usize % SLOTS];
            self.len -= slot.len();
            due.extend(slot.drain(..).map(Timer::from));
            // A slot that once held a storm's worth of entries gives the memory back.
            if slot.capacity() > 4_096 {
                *slot = Vec::new();
            }
        }
        self.tick = now;
        self.earliest = self.first_filed();
    }

    /// When the next entry may come up; `None` when there is none.
    pub(crate) fn next(&self) -> Option<Millis> {
        (self.len > 0).then_some(Millis(self.earliest.saturating_mul(TICK_MS)))
    }

    /// How many are filed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn first_filed(&self) -> u64 {
        if self.len == 0 {
            return u64::MAX;
        }
        (self.tick + 1..=self.tick + SLOTS as u64)
            .find(|t| !self.slots[*t as usize % SLOTS].is_empty())
            .unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(timers: &mut Timers, now: u64) -> Vec<Timer> {
        let mut due = Vec::new();
        timers.take_due(Millis(now), &mut due);
        due
    }

    #[test]
    fn comes_up_at_its_tick_and_not_before() {
        let mut timers = Timers::new(Millis(1_000_000));
        let at = timers.file(Timer::Session(7), Millis(1_000_120));
        assert_eq!(at, Millis(1_000_150));
        assert_eq!(timers.next(), Some(at));
        assert_eq!(due(&mut timers, 1_000_149), []);
        assert_eq!(due(&mut timers, 1_000_150), [Timer::Session(7)]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_past_the_span_comes_up_early_to_be_filed_again() {
        let mut timers = Timers::new(Millis(0));
        let at = timers.file(Timer::Connection(1), Millis(10_000_000));
        assert!(at.0 < 10_000_000 && at.0 > (SLOTS as u64 - 2) * TICK_MS);
        assert_eq!(due(&mut timers, at.0), [Timer::Connection(1)]);
    }

    #[test]
    fn a_deadline_in_the_past_comes_up_at_the_next_tick() {
        let mut timers = Timers::new(Millis(5_000));
        assert_eq!(timers.file(Timer::Session(1), Millis(3)), Millis(5_050));
        assert_eq!(due(&mut timers, 60_000_000), [Timer::Session(1)]);
        assert_eq!(timers.file(Timer::Session(2), Millis(60_000_001)), Millis(60_000_050));
    }

    #[test]
    fn a_long_sleep_brings_up_everything_in_between() {
        let mut timers = Timers::new(Millis(0));
        for i in 0..100 {
            timers.file(Timer::Session(i), Millis(u64::from(i) * 1_000));
        }
        assert_eq!(due(&mut timers, 1_000_000).len(), 100);
        assert_eq!(timers.len, 0);
    }
}
