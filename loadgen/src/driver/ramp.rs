//! When the clients connect for the first time: at a rate, or all at once, with a bound on those under way.

use super::client::Client;

/// The first connections of a worker's clients, in their order.
#[derive(Debug)]
pub(super) struct Ramp {
    /// Places that are to connect.
    order: Box<[u32]>,
    next: usize,
    rate_per_s: f64,
    /// Connections that may be under way at a time: each takes a plain descriptor until it is established, and listeners
    /// have a backlog.
    pub(super) under_way_max: u32,
    began_ns: Option<u64>,
}

impl Ramp {
    /// A ramp over the clients that are wanted, at `rate_per_s`, or all at once for 0.
    pub(super) fn new(clients: &[Client], rate_per_s: f64, under_way_max: u32) -> Self {
        let order = (0..clients.len() as u32).filter(|at| clients[*at as usize].wanted).collect();
        Self { order, next: 0, rate_per_s, under_way_max, began_ns: None }
    }

    /// The next client to connect, if it is time.
    pub(super) fn next(&mut self, now: u64, under_way: u32) -> Option<u32> {
        self.began_ns.get_or_insert(now);
        if self.next_ns(now, under_way) > now {
            return None;
        }
        let at = self.order.get(self.next).copied()?;
        self.next += 1;
        Some(at)
    }

    /// When the next one connects; far away while there is none or too many are under way.
    pub(super) fn next_ns(&self, now: u64, under_way: u32) -> u64 {
        if self.next >= self.order.len() || under_way >= self.under_way_max {
            return u64::MAX;
        }
        match self.began_ns {
            Some(began) if self.rate_per_s > 0.0 => began + (self.next as f64 * 1e9 / self.rate_per_s) as u64,
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(n: u32) -> Vec<Client> {
        (0..n).map(|i| Client::new(0, i, i % 2 == 0)).collect()
    }

    #[test]
    fn a_ramp_keeps_its_rate_and_its_bound() {
        let mut ramp = Ramp::new(&clients(10), 1_000.0, 1);
        let mut taken = Vec::new();
        for ms in 0..10u64 {
            while let Some(at) = ramp.next(5_000_000 + ms * 500_000, 0) {
                taken.push((ms, at));
            }
        }
        assert_eq!(taken, [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8)]);
        assert_eq!(ramp.next_ns(0, 0), u64::MAX);
    }

    #[test]
    fn a_storm_is_bounded_by_what_is_under_way() {
        let mut ramp = Ramp::new(&clients(4), 0.0, 8);
        assert_eq!(ramp.next(1, 8), None);
        assert_eq!((ramp.next(1, 0), ramp.next(1, 1), ramp.next(1, 2)), (Some(0), Some(2), None));
    }
}
