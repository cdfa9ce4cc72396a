//! The QoS protocol as two tables: what a packet identifier may go through towards a client ([`Sending`]) and from one
//! ([`Receiving`]), section 4.3 of MQTT 5.0. Nothing else decides about it.

use crate::reason::ReasonCode;

/// What a table says where a packet identifier is not in use.
const UNKNOWN: Result<Sending, ReasonCode> = Err(ReasonCode::PacketIdentifierNotFound);
/// What a table says of an acknowledgement that does not belong to the state.
const WRONG: Result<Sending, ReasonCode> = Err(ReasonCode::ProtocolError);

/// A packet identifier that the server chose for a PUBLISH to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Sending {
    /// Not in use.
    Free = 0,
    /// A QoS 1 PUBLISH was sent [MQTT-4.3.2-2].
    AwaitPubAck = 1,
    /// A QoS 2 PUBLISH was sent [MQTT-4.3.3-2].
    AwaitPubRec = 2,
    /// PUBREL was sent; the message itself is the client's now [MQTT-4.3.3-6].
    AwaitPubComp = 3,
}

/// A client's acknowledgement of what the server sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Acknowledged {
    /// PUBACK, whatever its reason: both end the exchange.
    PubAck = 0,
    /// PUBREC with a reason below 0x80.
    PubRec = 1,
    /// PUBREC with a reason of 0x80 or above.
    PubRecFailed = 2,
    /// PUBCOMP.
    PubComp = 3,
}

impl Sending {
    /// Every state, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Free, Self::AwaitPubAck, Self::AwaitPubRec, Self::AwaitPubComp];

    #[rustfmt::skip]
    const TABLE: [[Result<Self, ReasonCode>; 4]; 4] = [
        //                 PUBACK           PUBREC                   PUBREC, failed   PUBCOMP
        /* Free         */ [UNKNOWN,        UNKNOWN,                 UNKNOWN,         UNKNOWN],
        /* AwaitPubAck  */ [Ok(Self::Free), WRONG,                   WRONG,           WRONG],
        /* AwaitPubRec  */ [WRONG,          Ok(Self::AwaitPubComp),  Ok(Self::Free),  WRONG],
        // A repeated PUBREC is answered by PUBREL again [MQTT-4.3.3-4].
        /* AwaitPubComp */ [WRONG,          Ok(Self::AwaitPubComp),  WRONG,           Ok(Self::Free)],
    ];

    /// The state after an acknowledgement.
    ///
    /// # Errors
    /// [`ReasonCode::PacketIdentifierNotFound`] when the identifier is not in use, [`ReasonCode::ProtocolError`] when
    /// the acknowledgement does not belong to the state.
    pub const fn next(self, acknowledged: Acknowledged) -> Result<Self, ReasonCode> {
        Self::TABLE[self as usize][acknowledged as usize]
    }
}

impl Acknowledged {
    /// Every event, in the order of the table.
    pub const ALL: [Self; 4] = [Self::PubAck, Self::PubRec, Self::PubRecFailed, Self::PubComp];
}

/// A packet identifier that a client chose for a QoS 2 PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Receiving {
    /// Not in use.
    Free = 0,
    /// The message was routed; PUBREC waits until the server has taken responsibility for it.
    AwaitCommit = 1,
    /// PUBREC was sent; the same identifier is not routed again before PUBREL [MQTT-4.3.3-10].
    AwaitPubRel = 2,
}

/// What happens to an identifier that a client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Received {
    /// The client's PUBLISH.
    Publish = 0,
    /// The server has taken responsibility.
    Committed = 1,
    /// The server refuses the message: PUBREC has a reason of 0x80 or above, which frees the identifier.
    Refused = 2,
    /// The client's PUBREL.
    PubRel = 3,
}

impl Receiving {
    /// Every state, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Free, Self::AwaitCommit, Self::AwaitPubRel];

    #[rustfmt::skip]
    const TABLE: [[Result<Self, ReasonCode>; 4]; 3] = {
        const UNKNOWN: Result<Receiving, ReasonCode> = Err(ReasonCode::PacketIdentifierNotFound);
        const WRONG: Result<Receiving, ReasonCode> = Err(ReasonCode::ProtocolError);
        [
            //                 PUBLISH                 committed               refused         PUBREL
            /* Free        */ [Ok(Self::AwaitCommit), UNKNOWN,                UNKNOWN,        UNKNOWN],
            /* AwaitCommit */ [Ok(Self::AwaitCommit), Ok(Self::AwaitPubRel),  Ok(Self::Free), WRONG],
            /* AwaitPubRel */ [Ok(Self::AwaitPubRel), WRONG,                  WRONG,          Ok(Self::Free)],
        ]
    };

    /// The state after an event.
    ///
    /// # Errors
    /// [`ReasonCode::PacketIdentifierNotFound`] when the identifier is not in use, [`ReasonCode::ProtocolError`] when
    /// the event does not belong to the state.
    pub const fn next(self, received: Received) -> Result<Self, ReasonCode> {
        Self::TABLE[self as usize][received as usize]
    }
}

impl Received {
    /// Every event, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Committed, Self::Refused, Self::PubRel];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says in words, one arm a rule, what the table says in cells.
    fn sending(state: Sending, event: Acknowledged) -> Result<Sending, ReasonCode> {
        use Acknowledged as A;
        use Sending as S;
        match (state, event) {
            (S::Free, _) => Err(ReasonCode::PacketIdentifierNotFound),
            (S::AwaitPubAck, A::PubAck) | (S::AwaitPubComp, A::PubComp) => Ok(S::Free),
            (S::AwaitPubRec, A::PubRecFailed) => Ok(S::Free),
            (S::AwaitPubRec | S::AwaitPubComp, A::PubRec) => Ok(S::AwaitPubComp),
            _ => Err(ReasonCode::ProtocolError),
        }
    }

    fn receiving(state: Receiving, event: Received) -> Result<Receiving, ReasonCode> {
        use Received as E;
        use Receiving as R;
        match (state, event) {
            (R::Free | R::AwaitCommit, E::Publish) => Ok(R::AwaitCommit),
            (R::AwaitPubRel, E::Publish) | (R::AwaitCommit, E::Committed) => Ok(R::AwaitPubRel),
            (R::AwaitCommit, E::Refused) | (R::AwaitPubRel, E::PubRel) => Ok(R::Free),
            (R::Free, _) => Err(ReasonCode::PacketIdentifierNotFound),
            _ => Err(ReasonCode::ProtocolError),
        }
    }

    #[test]
    fn every_pair_of_sending() {
        for state in Sending::ALL {
            for event in Acknowledged::ALL {
                assert_eq!(state.next(event), sending(state, event), "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_pair_of_receiving() {
        for state in Receiving::ALL {
            for event in Received::ALL {
                assert_eq!(state.next(event), receiving(state, event), "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_exchange_can_end() {
        for state in Sending::ALL {
            let ends = |s: Sending| Acknowledged::ALL.iter().any(|&e| s.next(e) == Ok(Sending::Free));
            let steps = |s: Sending| Acknowledged::ALL.iter().any(|&e| s.next(e).is_ok_and(ends));
            assert!(state == Sending::Free || ends(state) || steps(state), "{state:?}");
        }
    }
}
