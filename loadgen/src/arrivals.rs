//! When messages are due: the open-loop schedule of one group's clients on one worker.
//!
//! Client `i` of a group of `n` belongs to the worker whose turn it is, so a worker holds every `stride`-th client. With
//! constant arrivals the group's message `k` is due at `k / rate`, from client `k % n`, whichever worker has it: the
//! workers' schedules interleave without talking. With Poisson arrivals each worker makes its share of the rate, with the
//! client drawn at random: the sum of independent Poisson processes is one, so this is exact too.

use crate::scenario::file::ArrivalsFile;

/// A message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Nanoseconds after the load began.
    pub(crate) at_ns: u64,
    /// Number of the client in its group.
    pub(crate) index: u32,
}

/// Which clients of a group a worker holds: `first`, `first + stride`, ... below `of`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Number in the group of the worker's first client.
    pub(crate) first: u32,
    /// Distance to the next.
    pub(crate) stride: u32,
    /// Clients of the group.
    pub(crate) of: u32,
}

impl Share {
    /// Clients of the worker.
    pub(crate) fn clients(&self) -> u32 {
        self.of.saturating_sub(self.first).div_ceil(self.stride)
    }
}

/// The due times of a group's clients on one worker, in order. Endless unless `rounds` bounds it.
#[derive(Debug)]
pub(crate) struct Arrivals {
    share: Share,
    /// Messages a second of the whole group.
    rate_per_s: f64,
    kind: ArrivalsFile,
    rng: SplitMix,
    /// Messages that each client still may have before the schedule ends.
    rounds: u64,
    round: u64,
    own: u32,
    poisson_ns: f64,
}

impl Arrivals {
    /// The schedule of `share` of a group that makes `rate_per_s` messages in all, above 0.
    pub(crate) fn new(share: Share, rate_per_s: f64, kind: ArrivalsFile, messages: Option<u32>, seed: u64) -> Self {
        let mut rng = SplitMix(seed);
        let poisson_ns = if share.clients() == 0 { 0.0 } else { rng.exponential() * gap_ns(share, rate_per_s) };
        Self {
            share,
            rate_per_s,
            kind,
            rng,
            rounds: messages.map_or(u64::MAX, u64::from),
            round: 0,
            own: 0,
            poisson_ns,
        }
    }

    /// The next message, without taking it; `None` at the end.
    pub(crate) fn peek_ns(&self) -> Option<u64> {
        if self.round >= self.rounds || self.share.clients() == 0 {
            return None;
        }
        Some(match self.kind {
            ArrivalsFile::Constant => self.due_ns(self.message()),
            ArrivalsFile::Burst(size) => self.due_ns(self.message() / u64::from(size) * u64::from(size)),
            ArrivalsFile::Poisson => self.poisson_ns as u64,
        })
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self) -> Option<Due> {
        let at_ns = self.peek_ns()?;
        let own = if let ArrivalsFile::Poisson = self.kind {
            self.poisson_ns += self.rng.exponential() * gap_ns(self.share, self.rate_per_s);
            self.rng.below(self.share.clients())
        } else {
            let own = self.own;
            self.own += 1;
            if self.own == self.share.clients() {
                self.own = 0;
                self.round += 1;
            }
            own
        };
        Some(Due { at_ns, index: self.share.first + own * self.share.stride })
    }

    /// The number, in the whole group, of the next message.
    fn message(&self) -> u64 {
        self.round * u64::from(self.share.of) + u64::from(self.share.first + self.own * self.share.stride)
    }

    fn due_ns(&self, message: u64) -> u64 {
        (message as f64 * 1e9 / self.rate_per_s) as u64
    }
}

fn gap_ns(share: Share, rate_per_s: f64) -> f64 {
    1e9 / rate_per_s * f64::from(share.of) / f64::from(share.clients())
}

/// The SplitMix64 generator: small, and the same sequence for a seed in every version of this program.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`, which is above 0.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// A draw from the exponential distribution of mean 1.
    fn exponential(&mut self) -> f64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(arrivals: &mut Arrivals, n: usize) -> Vec<Due> {
        std::iter::from_fn(|| arrivals.take()).take(n).collect()
    }

    #[test]
    fn workers_interleave_to_the_groups_constant_schedule() {
        let mut all = Vec::new();
        for first in 0..3 {
            let share = Share { first, stride: 3, of: 10 };
            all.extend(take(&mut Arrivals::new(share, 1_000.0, ArrivalsFile::Constant, Some(4), 1), 1_000));
        }
        all.sort_by_key(|d| d.at_ns);
        let wanted: Vec<Due> = (0..40).map(|k| Due { at_ns: k * 1_000_000, index: (k % 10) as u32 }).collect();
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_burst_is_due_at_one_instant() {
        let share = Share { first: 0, stride: 1, of: 2 };
        let due = take(&mut Arrivals::new(share, 100.0, ArrivalsFile::Burst(4), None, 1), 9);
        let at: Vec<u64> = due.iter().map(|d| d.at_ns / 1_000_000).collect();
        assert_eq!(at, [0, 0, 0, 0, 40, 40, 40, 40, 80]);
    }

    #[test]
    fn poisson_has_its_rate_and_its_spread_and_is_seeded() {
        let share = Share { first: 1, stride: 2, of: 100 };
        let schedule = |seed| take(&mut Arrivals::new(share, 1_000.0, ArrivalsFile::Poisson, None, seed), 100_000);
        let due = schedule(7);
        assert_eq!(due, schedule(7));
        assert_ne!(due, schedule(8));
        let seconds = due.last().expect("due").at_ns as f64 / 1e9;
        assert!((seconds - 200.0).abs() < 4.0, "half of 1,000/s: {seconds} s for 100,000");
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1].at_ns - w[0].at_ns) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((deviation / mean - 1.0).abs() < 0.03, "exponential gaps: {}", deviation / mean);
        assert!(due.iter().all(|d| d.index % 2 == 1 && d.index < 100));
    }

    #[test]
    fn a_worker_without_clients_has_nothing_due() {
        let share = Share { first: 5, stride: 8, of: 5 };
        assert_eq!(Arrivals::new(share, 1.0, ArrivalsFile::Constant, None, 1).take(), None);
    }
}
