//! How long a busy shard waits for more input before it takes what is there.
//!
//! What a message costs is the kernel's price of a receive and of a send, however much they carry. So when clients send ahead of
//! being read, waiting a little makes everything cheaper: their packets come several to a receive, and what is said to one
//! connection leaves in one send. When each receive brings one packet, there is nothing to gain and only latency to lose; nor is
//! there when one message goes to very many, which publishers wait for.
//!
//! Depends on the clock's readings and the counters alone. Never makes a shard wait that has most of its time to spare, nor
//! one that hears from a single connection, which could only wait for itself.

use crate::config::Pacing;
use crate::counters::Counters;

/// Over how many microseconds the load is measured.
const WINDOW_US: u64 = 2_000;
/// From this share of a CPU on a wait may grow: below, nobody gains from a shard that works less.
const BUSY_PERCENT: u64 = 50;
/// Below this share it shrinks. Waiting itself makes a shard less busy, so the two are far apart.
const IDLE_PERCENT: u64 = 25;
/// Receives a turn from which on somebody else may have something to say meanwhile.
const RECEIVES_PER_TURN: u64 = 2;
/// Packets in ten receives from which on clients send ahead.
const PACKETS_PER_TEN_RECEIVES: u64 = 13;
/// Deliveries for each input and message from which on receives matter little, and a wait only holds up the next round.
const FAN_OUT: u64 = 8;
/// How far the wait moves from window to window, microseconds.
const STEP_US: u32 = 20;
/// Completions that end a wait early, those of what was just submitted left out.
const COMPLETIONS: u32 = 256;

/// The state of pacing.
pub(super) struct Pace {
    /// How long a wait may be, microseconds; 0 means never.
    max_us: u32,
    /// Microseconds for the square of packets a receive: who sends twice as far ahead looks four times less at a single packet.
    us_per_square: u64,
    wait_us: u32,
    /// Turns that had input; one that only looks for work says nothing.
    turns: u64,
    /// Receives, and mails of neighbours.
    inputs: u64,
    last: Reading,
}

/// What a window begins and ends with.
#[derive(Clone, Copy, Default)]
struct Reading {
    at_us: u64,
    cpu_us: u64,
    packets: u64,
    receives: u64,
    published: u64,
    sent: u64,
    turns: u64,
    inputs: u64,
}

/// A wait for up to `completions`, for at most `up_to_us` microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paced {
    pub completions: u32,
    pub up_to_us: u32,
}

impl Pace {
    pub(super) fn new(pacing: Pacing) -> Self {
        let (max_us, us_per_square) = match pacing {
            Pacing::Latency => (0, 0),
            Pacing::Balanced => (300, 15),
            Pacing::Throughput => (600, 60),
        };
        Self { max_us, us_per_square, wait_us: 0, turns: 0, inputs: 0, last: Reading::default() }
    }

    /// A turn had so much input, from connections and neighbours.
    #[inline]
    pub(super) fn note(&mut self, input: usize) {
        self.turns += u64::from(input > 0);
        self.inputs += input as u64;
    }

    /// The wait before the next turn, after one that had so much input; `None` to go on at once.
    pub(super) fn wait(&self, input: usize) -> Option<Paced> {
        let several = input as u64 >= RECEIVES_PER_TURN;
        (self.wait_us > 0 && several).then_some(Paced { completions: COMPLETIONS, up_to_us: self.wait_us })
    }

    /// True when a window has ended and [`Pace::look`] is to be called.
    #[inline]
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.max_us > 0 && now_us - self.last.at_us >= WINDOW_US
    }

    /// Looks back at the window. Busy is what the thread spent of the CPU: most of a loaded shard's work is done by the
    /// kernel inside the call that also waits, so the time in that call says nothing.
    pub(super) fn look(&mut self, now_us: u64, cpu_us: u64, counters: &Counters) {
        let now = Reading {
            at_us: now_us,
            cpu_us,
            packets: counters.packets_received,
            receives: counters.receives,
            published: counters.publish_received,
            sent: counters.publish_sent,
            turns: self.turns,
            inputs: self.inputs,
        };
        let last = std::mem::replace(&mut self.last, now);
        self.adapt(&Reading {
            at_us: now.at_us - last.at_us,
            cpu_us: now.cpu_us - last.cpu_us,
            packets: now.packets - last.packets,
            receives: now.receives - last.receives,
            published: now.published - last.published,
            sent: now.sent - last.sent,
            turns: now.turns - last.turns,
            inputs: now.inputs - last.inputs,
        });
    }

    fn adapt(&mut self, window: &Reading) {
        let busy_percent = window.cpu_us * 100 / window.at_us.max(1);
        let several = window.receives > 0 && window.receives >= window.turns * RECEIVES_PER_TURN;
        let per_ten = window.packets * 10 / window.receives.max(1);
        let fans_out = window.sent > FAN_OUT * (window.published + window.inputs);
        let most_us = if several && !fans_out && per_ten >= PACKETS_PER_TEN_RECEIVES {
            // Clients may send thousands of packets at once; beyond a hundred a receive nothing changes.
            let per_ten = per_ten.min(1_000);
            (self.us_per_square * per_ten * per_ten / 100).min(self.max_us.into()) as u32
        } else {
            0
        };
        if busy_percent < IDLE_PERCENT || self.wait_us > most_us {
            self.wait_us = self.wait_us.saturating_sub(STEP_US);
        } else if busy_percent >= BUSY_PERCENT {
            self.wait_us = (self.wait_us + STEP_US).min(most_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of a shard that is so busy, in which each of ten turns had `receives` with `packets_per_ten` to ten of them.
    fn window(busy_percent: u64, receives: u64, packets_per_ten: u64) -> Reading {
        let receives = receives * 10;
        Reading {
            at_us: WINDOW_US,
            cpu_us: WINDOW_US * busy_percent / 100,
            packets: receives * packets_per_ten / 10,
            receives,
            published: receives,
            sent: receives,
            turns: 10,
            inputs: receives,
        }
    }

    fn after(pace: &mut Pace, windows: usize, window: &Reading) -> u32 {
        (0..windows).for_each(|_| pace.adapt(window));
        pace.wait_us
    }

    #[test]
    fn waits_the_longer_the_further_clients_send_ahead() {
        let mut pace = Pace::new(Pacing::Balanced);
        let waits = [10, 12, 13, 20, 30, 44, 100].map(|per_ten| {
            let mut pace = Pace::new(Pacing::Balanced);
            after(&mut pace, 100, &window(90, 10, per_ten))
        });
        assert_eq!(waits, [0, 0, 25, 60, 135, 290, 300]);
        assert_eq!(after(&mut pace, 1, &window(90, 10, 50)), STEP_US, "step by step");
        assert_eq!(after(&mut pace, 3, &window(90, 10, 20)), 60);
        assert_eq!(after(&mut pace, 4, &window(90, 10, 10)), 0, "and back");
    }

    #[test]
    fn does_not_wait_with_time_to_spare() {
        let mut pace = Pace::new(Pacing::Balanced);
        assert_eq!(after(&mut pace, 10, &window(BUSY_PERCENT - 1, 10, 50)), 0);
        let wait_us = after(&mut pace, 10, &window(BUSY_PERCENT, 10, 50));
        assert!(wait_us > 0);
        assert_eq!(after(&mut pace, 10, &window(IDLE_PERCENT, 10, 50)), wait_us, "a wait makes a shard less busy");
        assert_eq!(after(&mut pace, 100, &window(IDLE_PERCENT - 1, 10, 50)), 0);
    }

    #[test]
    fn does_not_wait_for_a_single_connection() {
        let mut pace = Pace::new(Pacing::Throughput);
        assert_eq!(after(&mut pace, 10, &window(100, 1, 500)), 0);
        assert!(after(&mut pace, 10, &window(100, 2, 500)) > 0);
        assert_eq!(pace.wait(1), None, "a turn that heard of one only");
        assert_eq!(pace.wait(2).map(|paced| paced.up_to_us), Some(200));
    }

    #[test]
    fn does_not_wait_when_one_message_goes_to_very_many() {
        let mut pace = Pace::new(Pacing::Throughput);
        let mut fan_out = Reading { sent: 10 * 10 * 2 * FAN_OUT, ..window(100, 10, 50) };
        assert!(after(&mut pace, 10, &fan_out) > 0);
        fan_out.sent += 1;
        assert_eq!(after(&mut pace, 100, &fan_out), 0);
    }

    #[test]
    fn latency_never_waits_and_nothing_is_too_much() {
        let mut pace = Pace::new(Pacing::Latency);
        assert!(!pace.is_due(u64::MAX));
        assert_eq!(after(&mut pace, 10, &window(100, 100, 100)), 0);
        let mut pace = Pace::new(Pacing::Throughput);
        let most = Reading { at_us: 1, cpu_us: 1, packets: 1 << 40, receives: 1 << 20, turns: 1, ..Reading::default() };
        assert_eq!(after(&mut pace, 100, &most), 600);
        assert_eq!(after(&mut pace, 100, &Reading::default()), 0, "nothing happened at all");
    }

    #[test]
    fn a_window_is_what_lies_between_two_looks() {
        let mut pace = Pace::new(Pacing::Balanced);
        let mut counters = Counters { packets_received: 1 << 30, receives: 1 << 20, ..Counters::default() };
        (0..10).for_each(|_| pace.note(2));
        pace.look(5_000_000, 4_000_000, &counters);
        let wait_us = pace.wait_us;
        assert!(!pace.is_due(5_000_000 + WINDOW_US - 1) && pace.is_due(5_000_000 + WINDOW_US));
        // Since then one packet a receive.
        (counters.packets_received, counters.receives) = ((1 << 30) + 100, (1 << 20) + 100);
        (0..10).for_each(|_| pace.note(10));
        (0..1_000).for_each(|_| pace.note(0));
        pace.look(5_002_000, 4_002_000, &counters);
        assert_eq!(pace.wait_us, wait_us - STEP_US);
    }
}
