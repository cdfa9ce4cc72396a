//! Subscribers that are away while there is load, and come back at its end for what was kept for them.

use super::worker::Worker;
use std::cmp::Reverse;

/// Where the clients that are to be away stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Offline {
    /// The load has not begun.
    #[default]
    ToGo,
    /// They are away.
    Away,
    /// They have come back.
    Back,
}

/// True for the clients of a group that are away: a share of them, spread evenly.
fn is_away(index: u32, share: f64) -> bool {
    let before = |count: u32| (f64::from(count) * share).floor();
    before(index + 1) > before(index)
}

impl Worker {
    /// Lets them go when the load begins, and come back when it is over.
    pub(super) fn move_offline(&mut self, now: u64) {
        match self.offline {
            Offline::ToGo => {
                self.offline = Offline::Away;
                for at in self.away() {
                    let client = &mut self.clients[at as usize];
                    (client.wanted, client.left_by_plan) = (false, true);
                    self.disconnect(at, false);
                }
            }
            Offline::Away if now >= self.times.end_ns => {
                self.offline = Offline::Back;
                for at in self.away() {
                    self.clients[at as usize].wanted = true;
                    // As if they tried again, so that not more of them are under way than may be.
                    self.retries.push(Reverse((now, at)));
                }
            }
            Offline::Away | Offline::Back => {}
        }
    }

    /// Places of the clients that are to be away. Members of a shared subscription stay: the others would get theirs.
    fn away(&self) -> Vec<u32> {
        let share = self.setup.offline_share;
        let of_plan = |at: &u32| {
            let subscribe = self.group(*at).subscribe.as_ref();
            subscribe.is_some_and(|s| !s.is_shared) && is_away(self.clients[*at as usize].index, share)
        };
        if share > 0.0 { (0..self.clients.len() as u32).filter(of_plan).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_evenly() {
        let away = |share: f64| (0..10).filter(|i| is_away(*i, share)).collect::<Vec<u32>>();
        assert_eq!(away(0.0), [0; 0]);
        assert_eq!(away(0.2), [4, 9]);
        assert_eq!(away(1.0).len(), 10);
    }
}
