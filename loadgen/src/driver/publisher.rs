//! The publishing side of a client: what is due but not sent, and what is sent but not acknowledged.
//!
//! Packet Identifiers are given out in turn, so that the window is a queue: the identifier's distance from the oldest one
//! is its place.

use ringtail_mqtt::packet::{PacketId, QoS};
use std::collections::VecDeque;

/// A message that is due and not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// When it was due, on the run's clock.
    pub(crate) due_ns: u64,
    /// True when the client could not send then: its lateness is not the generator's.
    pub(crate) held_back: bool,
}

/// Where a message in the window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for PUBACK or PUBREC.
    Sent,
    /// Waits for PUBCOMP.
    Released,
    /// Is over.
    Done,
}

/// A message in the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    /// When it was due, on the run's clock.
    pub(crate) due_ns: u64,
    /// How much later it was first handed over, nanoseconds: what is sent again is the same to the last byte.
    pub(crate) delay_ns: u64,
    /// Its number.
    pub(crate) sequence: u32,
    /// Where it stands.
    pub(crate) state: State,
}

/// The publishing side of a client.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// The topic name.
    pub(crate) topic: Box<str>,
    /// Deliveries that each message makes.
    pub(crate) fan_out: u32,
    /// The next message's number: how many were sent.
    pub(crate) next_sequence: u32,
    /// Due and not sent.
    pub(crate) pending: VecDeque<Pending>,
    /// Messages that were refused, or given up with a session: nobody needs to have them.
    pub(crate) excused: Vec<u32>,
    window: VecDeque<InFlight>,
    /// The Packet Identifier of the oldest in the window.
    oldest: u16,
    /// Messages that may be in the window.
    window_max: u16,
}

impl Publisher {
    /// A publisher that has sent nothing.
    pub(crate) fn new(topic: String, fan_out: u32, window_max: u16) -> Self {
        Self {
            topic: topic.into_boxed_str(),
            fan_out,
            next_sequence: 0,
            pending: VecDeque::new(),
            excused: Vec::new(),
            window: VecDeque::new(),
            oldest: 1,
            window_max,
        }
    }

    /// True when one more message may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.window.len() < usize::from(self.window_max)
    }

    /// True when one more message would be sent at once: there is room for it behind those that are pending.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting() < usize::from(self.window_max)
    }

    /// Follows the Receive Maximum of the broker [MQTT-3.3.4-9].
    pub(crate) fn limit_window(&mut self, receive_maximum: u16) {
        self.window_max = self.window_max.min(receive_maximum);
    }

    /// Takes the next number, and for QoS 1 and 2 a place in the window with its Packet Identifier.
    pub(crate) fn next(&mut self, due_ns: u64, delay_ns: u64, qos: QoS) -> (u32, Option<PacketId>) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if qos == QoS::AtMostOnce {
            return (sequence, None);
        }
        let packet_id = self.packet_id_at(self.window.len());
        self.window.push_back(InFlight { due_ns, delay_ns, sequence, state: State::Sent });
        (sequence, Some(packet_id))
    }

    /// Notes PUBREC: the message is the broker's now. False for an identifier that is not in the window.
    pub(crate) fn received(&mut self, packet_id: PacketId) -> bool {
        match self.entry(packet_id) {
            Some(entry) if entry.state != State::Done => {
                entry.state = State::Released;
                true
            }
            _ => false,
        }
    }

    /// Notes PUBACK or PUBCOMP, or a refusal, and returns the message; `None` for an identifier that is not in the window.
    pub(crate) fn complete(&mut self, packet_id: PacketId) -> Option<InFlight> {
        let entry = self.entry(packet_id)?;
        if entry.state == State::Done {
            return None;
        }
        let message = *entry;
        entry.state = State::Done;
        while self.window.front().is_some_and(|m| m.state == State::Done) {
            self.window.pop_front();
            self.oldest = if self.oldest == u16::MAX { 1 } else { self.oldest + 1 };
        }
        Some(message)
    }

    /// The window, oldest first, for sending it again [MQTT-4.4.0-1].
    pub(crate) fn window(&self) -> impl Iterator<Item = (PacketId, InFlight)> {
        (0..).map(|at| self.packet_id_at(at)).zip(self.window.iter().copied()).filter(|(_, m)| m.state != State::Done)
    }

    /// Gives the window up: the session is gone, and nobody can say what the broker has of it.
    pub(crate) fn abandon_window(&mut self) {
        self.excused.extend(self.window.iter().filter(|m| m.state != State::Done).map(|m| m.sequence));
        for _ in 0..self.window.len() {
            self.oldest = if self.oldest == u16::MAX { 1 } else { self.oldest + 1 };
        }
        self.window.clear();
    }

    /// Messages that wait for an acknowledgement or to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.window.len() + self.pending.len()
    }

    fn packet_id_at(&self, place: usize) -> PacketId {
        let id = (usize::from(self.oldest) - 1 + place) % usize::from(u16::MAX) + 1;
        PacketId::new(id as u16).unwrap_or(PacketId::MIN)
    }

    fn entry(&mut self, packet_id: PacketId) -> Option<&mut InFlight> {
        let ids = usize::from(u16::MAX);
        let place = (usize::from(packet_id.get()) + ids - usize::from(self.oldest)) % ids;
        self.window.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> PacketId {
        PacketId::new(n).expect("above 0")
    }

    #[test]
    fn identifiers_go_round_and_acknowledgements_come_in_any_order() {
        let mut p = Publisher::new("t".into(), 1, 4);
        let mut waiting: VecDeque<(u32, PacketId)> = VecDeque::new();
        for round in 0..200_000u64 {
            while p.has_room() {
                let (sequence, packet_id) = p.next(round, 0, QoS::AtLeastOnce);
                waiting.push_back((sequence, packet_id.expect("QoS 1")));
            }
            assert_eq!(waiting.len(), 4);
            // The second is acknowledged before the first.
            for at in [1, 0] {
                let (sequence, packet_id) = waiting.remove(at).expect("four wait");
                assert_eq!(p.complete(packet_id).expect("in the window").sequence, sequence);
                assert!(p.complete(packet_id).is_none(), "twice");
            }
        }
    }

    #[test]
    fn qos_2_is_released_before_it_is_complete() {
        let mut p = Publisher::new("t".into(), 1, 10);
        let first = p.next(0, 0, QoS::ExactlyOnce).1.expect("QoS 2");
        let second = p.next(0, 0, QoS::ExactlyOnce).1.expect("QoS 2");
        assert!(p.received(first) && !p.received(id(9)));
        let states: Vec<State> = p.window().map(|(_, m)| m.state).collect();
        assert_eq!(states, [State::Released, State::Sent]);
        assert!(p.complete(first).is_some());
        assert_eq!(p.window().map(|(packet_id, _)| packet_id).collect::<Vec<_>>(), [second]);
        p.abandon_window();
        assert_eq!((p.excused.as_slice(), p.waiting()), (&[1][..], 0));
        assert_eq!(p.next(0, 0, QoS::ExactlyOnce).1, Some(id(3)));
    }

    #[test]
    fn qos_0_takes_no_place() {
        let mut p = Publisher::new("t".into(), 1, 1);
        for n in 0..3 {
            assert_eq!(p.next(0, 0, QoS::AtMostOnce), (n, None));
        }
        assert!(p.has_room());
        p.limit_window(20);
        assert!(p.next(0, 0, QoS::AtLeastOnce).1.is_some() && !p.has_room());
    }
}
