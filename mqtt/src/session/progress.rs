//! What a log has to know of a session, and how a session is rebuilt from it. A session that is not asked to record
//! pays one branch.

use super::ending::PendingWill;
use super::inbound::Ledger;
use super::kept::{Kept, awaiting};
use super::{Session, settings};
use crate::limits::Limits;
use crate::message::Message;
use crate::packet::{PacketId, ProtocolVersion, QoS};
use crate::qos::Sending;
use crate::reason::ReasonCode;
use crate::time::Millis;
use std::rc::Rc;

/// A step of a message that is kept for the client. Sequence numbers are the session's own, grow with every message that is kept,
/// and stay with a message from the queue through the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Sent for the first time, with this identifier.
    Sent {
        /// The message.
        sequence: u64,
        /// Its Packet Identifier, until [`Progress::Done`].
        packet_id: PacketId,
    },
    /// PUBREC has come: the message itself is not needed any more, its identifier still is.
    Released {
        /// The message.
        sequence: u64,
    },
    /// Acknowledged completely, or dropped: nothing of it is needed any more.
    Done {
        /// The message.
        sequence: u64,
    },
    /// PUBREL has come: the identifier of the client's own QoS 2 PUBLISH is free, whether it was known or not.
    InboundDone {
        /// The identifier.
        packet_id: PacketId,
    },
}

/// A message that a session had kept.
#[derive(Debug)]
pub struct RestoredMessage<'a> {
    /// The number under which it was reported.
    pub sequence: u64,
    /// The message; `None` once it was released.
    pub message: Option<Rc<Message>>,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The RETAIN flag of the delivery.
    pub retain: bool,
    /// The Subscription Identifiers of the delivery.
    pub subscription_ids: &'a [u32],
    /// Present if it was sent.
    pub packet_id: Option<PacketId>,
}

impl Session {
    /// From now on the session records what [`Session::drain_progress`] gives, or stops to.
    pub fn track_progress(&mut self, track: bool) {
        self.progress = track.then(|| self.progress.take().unwrap_or_default());
    }

    /// What has happened since the last call, in order. The caller drains after every turn in which it called the
    /// session; that bounds it.
    pub fn drain_progress(&mut self) -> impl Iterator<Item = Progress> + '_ {
        self.progress.iter_mut().flat_map(|steps| steps.drain(..))
    }

    pub(super) fn record(&mut self, step: impl FnOnce(&Self) -> Progress) {
        if self.progress.is_some() {
            let step = step(self);
            self.progress.get_or_insert_default().push(step);
        }
    }

    /// A session from a log, without a connection since `detached_at`. `next_sequence` is above all that were reported,
    /// as far as the log knows; messages that are put back raise it.
    #[must_use]
    pub fn restore(
        client_id: &str,
        version: ProtocolVersion,
        session_expiry_s: u32,
        next_sequence: u64,
        detached_at: Millis,
    ) -> Self {
        let settings = settings::Settings { version, session_expiry_s, ..settings::Settings::default() };
        Self { settings, next_sequence, since: detached_at, ..Self::new(client_id) }
    }

    /// Puts back a message: those that were sent in the order of their sending, then those that waited in their order.
    ///
    /// # Errors
    /// [`ReasonCode::PacketIdentifierInUse`] for an identifier that is not after the others,
    /// [`ReasonCode::QuotaExceeded`] for a message that the queue has no room for, [`ReasonCode::ProtocolError`] for
    /// one that waits and has no body, or is of QoS 0.
    pub fn restore_message(
        &mut self,
        restored: RestoredMessage<'_>,
        limits: &Limits,
        now: Millis,
    ) -> Result<(), ReasonCode> {
        let RestoredMessage { sequence, message, qos, retain, subscription_ids, packet_id } = restored;
        let state = match (qos, &message) {
            (QoS::ExactlyOnce, None) if packet_id.is_some() => Sending::AwaitPubComp,
            (QoS::AtMostOnce, _) | (_, None) => return Err(ReasonCode::ProtocolError),
            (qos, Some(_)) => awaiting(qos),
        };
        let sequence_low = sequence as u32;
        let subscription_ids = subscription_ids.into();
        let kept = Kept { message, subscription_ids, sequence_low, state, retain, counted: false };
        self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
        match packet_id {
            Some(packet_id) => self.window.restore(packet_id, kept),
            None => self.enqueue(kept, limits, now).map(|_| ()).ok_or(ReasonCode::QuotaExceeded),
        }
    }

    /// Puts back the identifier of a QoS 2 PUBLISH that the client has not released.
    pub fn restore_inbound(&mut self, packet_id: PacketId) {
        let ledger: &mut Ledger = self.ledger.get_or_insert_default();
        ledger.restore(packet_id);
    }

    /// A QoS 2 PUBLISH that was accepted could not be kept after all, and its PUBREC was not sent: when the client repeats it, it
    /// is a new one.
    pub fn forget_inbound(&mut self, packet_id: PacketId) {
        if let Some(ledger) = &mut self.ledger {
            ledger.forget(packet_id);
        }
        self.free_ledger();
    }

    /// When its connection went; `None` while it has one.
    #[must_use]
    pub fn detached_at(&self) -> Option<Millis> {
        (!self.connected).then_some(self.since)
    }

    /// The will that is still to be published, with its Will Delay Interval and its Message Expiry Interval, seconds.
    #[must_use]
    pub fn pending_will(&self) -> Option<(&Message, u32, Option<u32>)> {
        self.will.as_ref().map(|will| will.parts())
    }

    /// Puts back a will that waits for its delay, which counts from `detached_at` of [`Session::restore`].
    pub fn restore_will(&mut self, message: Message, delay_s: u32, message_expiry_s: Option<u32>) {
        self.will = Some(Box::new(PendingWill::restored(message, delay_s, message_expiry_s)));
    }
}
