//! What happens to groups while there is load: the scenario's events, churn, and keep-alive.

use super::client::Phase;
use super::worker::Worker;
use crate::scenario::file::Action;
use crate::scenario::plan::Plan;
use ringtail_mqtt::packet::PacketType;

/// How often the sweep for keep-alive goes on.
const KEEP_ALIVE_STEP_NS: u64 = 10_000_000;
/// Seconds in which the sweep sees every client once.
const KEEP_ALIVE_ROUND_S: u64 = 1;

/// An action that goes through a group's clients.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    group: usize,
    action: Action,
    at_ns: u64,
    /// Clients a second of this worker; 0: all at once.
    rate_per_s: f64,
    /// Clients that had it.
    done: u64,
    /// Begins again at the end.
    endless: bool,
}

/// What is going to happen on a worker, and what is happening.
#[derive(Debug)]
pub(super) struct Happenings {
    sweeps: Vec<Sweep>,
    keep_alive_ns: u64,
    keep_alive_at: usize,
}

impl Happenings {
    /// The plan's events and churn, this worker's part of `workers`.
    pub(super) fn new(plan: &Plan, workers: u32) -> Self {
        let per_worker = |rate: f64| rate / f64::from(workers);
        let events = plan.events.iter().map(|e| Sweep {
            group: e.group,
            action: e.action,
            at_ns: e.at_ns,
            rate_per_s: per_worker(e.rate_per_s),
            done: 0,
            endless: false,
        });
        let churn = plan.groups.iter().enumerate().filter(|(_, g)| g.churn_per_s > 0.0).map(|(group, g)| Sweep {
            group,
            action: Action::Reconnect,
            at_ns: 0,
            rate_per_s: per_worker(g.churn_per_s),
            done: 0,
            endless: true,
        });
        Self { sweeps: events.chain(churn).collect(), keep_alive_ns: 0, keep_alive_at: 0 }
    }

    /// When the next thing happens, for a load that began at `start_ns`.
    pub(super) fn next_ns(&self, start_ns: u64) -> u64 {
        self.sweeps.iter().map(|s| start_ns.saturating_add(s.next_ns())).min().unwrap_or(u64::MAX)
    }
}

impl Sweep {
    fn next_ns(&self) -> u64 {
        if self.rate_per_s > 0.0 { self.at_ns + (self.done as f64 * 1e9 / self.rate_per_s) as u64 } else { self.at_ns }
    }
}

impl Worker {
    /// Lets happen what is due.
    pub(super) fn happen(&mut self, now: u64) {
        if now >= self.times.end_ns || self.happenings.sweeps.is_empty() {
            return;
        }
        let since_start = now.saturating_sub(self.times.start_ns);
        let mut sweeps = std::mem::take(&mut self.happenings.sweeps);
        sweeps.retain_mut(|sweep| {
            let lot = &self.layout.lots[sweep.group];
            let (first, clients) = (lot.first, u64::from(lot.share.clients()));
            while now >= self.times.start_ns && since_start >= sweep.next_ns() && clients > 0 {
                self.act(first + (sweep.done % clients) as u32, sweep.action, now);
                sweep.done += 1;
                if sweep.done >= clients && !sweep.endless {
                    return false;
                }
            }
            clients > 0
        });
        self.happenings.sweeps = sweeps;
    }

    fn act(&mut self, at: u32, action: Action, now: u64) {
        let client = &mut self.clients[at as usize];
        let wanted = matches!(action, Action::Connect | Action::Reconnect);
        self.tally.wanted = self.tally.wanted + u64::from(wanted) - u64::from(client.wanted);
        client.wanted = wanted;
        client.left_by_plan = true;
        match action {
            Action::Connect => {
                if client.phase == Phase::Offline {
                    self.begin_connect(at, now);
                }
            }
            Action::Disconnect => self.disconnect(at, false),
            Action::Drop | Action::Reconnect => self.close_now(at),
        }
    }

    /// Sends PINGREQ to the broker for those that have said nothing for three quarters of their Keep Alive [MQTT-3.1.2-20].
    pub(super) fn keep_alive(&mut self, now: u64) {
        if now < self.happenings.keep_alive_ns || self.clients.is_empty() {
            return;
        }
        self.happenings.keep_alive_ns = now + KEEP_ALIVE_STEP_NS;
        let now_s = (now / 1_000_000_000) as u32;
        let steps = KEEP_ALIVE_ROUND_S * 1_000_000_000 / KEEP_ALIVE_STEP_NS;
        for _ in 0..self.clients.len().div_ceil(steps as usize) {
            let at = self.happenings.keep_alive_at;
            self.happenings.keep_alive_at = (at + 1) % self.clients.len();
            let limit_s = u32::from(self.group(at as u32).keep_alive_s) * 3 / 4;
            let client = &self.clients[at];
            if limit_s > 0
                && client.phase == Phase::Up
                && now_s.saturating_sub(client.last_sent_s) >= limit_s
                && !client.sending
            {
                self.writable(at as u32).extend_from_slice(&[PacketType::PingReq.first_byte(), 0]);
            }
        }
    }
}
