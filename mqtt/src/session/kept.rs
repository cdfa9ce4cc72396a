//! A message that the session keeps for its client, in the window or in the queue: 32 bytes and a share of the message.

use crate::message::Message;
use crate::packet::QoS;
use crate::qos::Sending;
use std::rc::Rc;

/// The Subscription Identifiers of the subscriptions that matched; one at most is the usual case and costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SubscriptionIds {
    /// One, or 0 for none: no identifier is 0.
    AtMostOne(u32),
    Many(Box<[u32]>),
}

impl From<&[u32]> for SubscriptionIds {
    fn from(ids: &[u32]) -> Self {
        match ids {
            [] => Self::AtMostOne(0),
            [id] => Self::AtMostOne(*id),
            ids => Self::Many(ids.into()),
        }
    }
}

impl SubscriptionIds {
    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::AtMostOne(0) => &[],
            Self::AtMostOne(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

#[derive(Debug)]
pub(super) struct Kept {
    /// `None` once nothing can ask for the message again: after PUBREC, and in the window of a session that ends with
    /// its connection.
    pub(super) message: Option<Rc<Message>>,
    pub(super) subscription_ids: SubscriptionIds,
    /// The low half of the entry's sequence number; the session knows the rest.
    pub(super) sequence_low: u32,
    /// In the queue: the state that sending leads to.
    pub(super) state: Sending,
    pub(super) retain: bool,
    /// Takes a place of the client's Receive Maximum on this connection.
    pub(super) counted: bool,
}

impl Kept {
    /// What stands in the window for an identifier that is not in use.
    pub(super) fn free() -> Self {
        let subscription_ids = SubscriptionIds::AtMostOne(0);
        Self { message: None, subscription_ids, sequence_low: 0, state: Sending::Free, retain: false, counted: false }
    }

    pub(super) fn qos(&self) -> QoS {
        if self.state == Sending::AwaitPubAck { QoS::AtLeastOnce } else { QoS::ExactlyOnce }
    }

    /// What the entry counts for in the bounds of a queue: a shared message counts whole, as it may outlive the others.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.message.as_ref().map_or(0, |message| message.memory_bytes())
    }
}

/// The state that a PUBLISH of this QoS leads to.
pub(super) fn awaiting(qos: QoS) -> Sending {
    match qos {
        QoS::AtMostOnce => Sending::Free,
        QoS::AtLeastOnce => Sending::AwaitPubAck,
        QoS::ExactlyOnce => Sending::AwaitPubRec,
    }
}

const _: () = assert!(size_of::<Kept>() == 32, "a queue of many sessions is made of these");
