//! Where a full queue refuses a message (`mqtt.queue_policy` is `reject`): whether somebody's queue on another shard was full
//! is known only when that shard has said so. Until then the PUBLISH is not acknowledged; the session keeps its place in the
//! order of acknowledgements. Under the other policies nobody asks and nothing here costs anything.

use crate::journal::Fence;
use crate::shard::Core;
use crate::shard::mail::{Mail, Publisher};
use crate::shard::publish::Origin;
use ringtail_mqtt::limits::QueuePolicy;
use ringtail_mqtt::packet::{PacketId, QoS};
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::{Inbound, Progress, Ticket};
use std::collections::HashMap;

/// Names a PUBLISH that other shards are asked about; 0 names none.
pub(crate) type Ask = u32;

/// The PUBLISHes that wait for an answer; the Receive Maximum bounds those of a session.
#[derive(Default)]
pub(crate) struct Verdicts {
    waiting: HashMap<Ask, Waiting>,
    last: Ask,
    /// Shards that were asked about the PUBLISH at hand.
    asked: u32,
}

struct Waiting {
    session: u32,
    ticket: Ticket,
    packet_id: PacketId,
    qos: QoS,
    /// What the client is told when nobody's queue was full.
    reason: ReasonCode,
    left: u32,
}

impl Verdicts {
    /// A session has ended: nobody waits for what becomes of its messages.
    pub(crate) fn forget(&mut self, session: u32) {
        self.waiting.retain(|_, waiting| waiting.session != session);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn next(&mut self) -> Ask {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.waiting.contains_key(&self.last) {
                return self.last;
            }
        }
    }
}

impl Core {
    /// A PUBLISH is about to be routed: the name under which other shards are asked about it, or 0.
    pub(crate) fn ask_for(&mut self, inbound: &Inbound<'_>) -> Ask {
        let asks =
            self.shards > 1 && inbound.qos > QoS::AtMostOnce && self.local.limits.queue_policy == QueuePolicy::Reject;
        self.verdicts.asked = 0;
        if asks { self.verdicts.next() } else { 0 }
    }

    /// The message of a publisher of this shard went to another one.
    pub(crate) fn note_asked(&mut self, publisher: Option<Publisher>) {
        if publisher.is_some_and(|publisher| publisher.ask != 0 && publisher.shard == self.id) {
            self.verdicts.asked += 1;
        }
    }

    /// The message at hand has come to all whom it was for on this shard, or to none: tells the publisher's shard.
    pub(crate) fn answer_ask(&mut self, publisher: Option<Publisher>) {
        let Some(Publisher { shard, ask, .. }) = publisher.filter(|publisher| publisher.ask != 0) else { return };
        let refusal = self.refusal_at_hand();
        if shard == self.id {
            self.take_verdict(ask, refusal);
        } else {
            self.post(shard, Mail::Verdict(ask, refusal));
        }
    }

    /// Why somebody did not get the message at hand who should have, as far as this shard knows.
    pub(crate) fn refusal_at_hand(&self) -> Option<ReasonCode> {
        let journal = self.local.journal.as_ref();
        let lost = journal.filter(|journal| journal.was_refused() || journal.was_lost());
        lost.map(|journal| journal.refusal()).or(self.local.rejected.then_some(ReasonCode::QuotaExceeded))
    }

    /// A PUBLISH was routed, and this shard has nothing against it: answers it with `reason` when the shards that were asked
    /// have nothing against it either. False when none was asked.
    pub(crate) fn await_verdict(
        &mut self,
        number: u32,
        inbound: &Inbound<'_>,
        origin: &Origin,
        reason: ReasonCode,
    ) -> bool {
        let left = std::mem::take(&mut self.verdicts.asked);
        let (Some(packet_id), qos) = (inbound.packet_id, inbound.qos) else { return false };
        if left == 0 {
            return false;
        }
        let Some(entry) = self.local.sessions.get_mut(origin.session) else { return false };
        let ticket = entry.session.accept_later(packet_id, qos);
        let session = origin.session;
        let waiting = Waiting { session, ticket, packet_id, qos, reason, left };
        self.verdicts.waiting.insert(origin.publisher.ask, waiting);
        self.hold_for_verdicts(number);
        true
    }

    /// A shard that was asked has answered.
    pub(crate) fn take_verdict(&mut self, ask: Ask, refusal: Option<ReasonCode>) {
        let Some(waiting) = self.verdicts.waiting.get_mut(&ask) else { return };
        waiting.left = waiting.left.saturating_sub(1);
        if waiting.left > 0 && refusal.is_none() {
            return;
        }
        let Some(waiting) = self.verdicts.waiting.remove(&ask) else { return };
        if refusal.is_some() {
            self.refuse_waiting(&waiting, refusal);
        }
        let reason = refusal.unwrap_or(waiting.reason);
        self.local.commit(waiting.session, waiting.ticket, reason);
    }

    /// What a refusal changes before it is told.
    fn refuse_waiting(&mut self, waiting: &Waiting, refusal: Option<ReasonCode>) {
        let Some(entry) = self.local.sessions.get(waiting.session) else { return };
        let (number, log) = (entry.connection, entry.log);
        self.local.counters.publish_refused += 1;
        let told = self.can_refuse(number);
        if waiting.qos == QoS::ExactlyOnce
            && log != 0
            && let Some(journal) = &mut self.local.journal
        {
            // Told, the client ends the exchange; else it sends the message again.
            let packet_id = waiting.packet_id;
            if !told {
                journal.forget_inbound(log, packet_id);
            } else if journal.progress(log, Progress::InboundDone { packet_id }) == Fence::Yes {
                self.local.fence(number);
            }
        }
        if !told && let Some(reason) = refusal {
            self.refuse_publisher(number, reason);
        }
    }
}
