//! Enhanced authentication (5.0, 4.12): what a method is, and the exchange of AUTH packets of one connection.
//!
//! ```text
//!   CONNECT ──> start ─┬─ Continue ──> AUTH 0x18 ──> client's AUTH 0x18 ──> receive ─┐
//!                      │      ^                                                      │
//!                      │      └──────────────────────────────────────────────────────┤
//!                      ├─ Success ──> CONNACK (of a re-authentication: AUTH 0x00)  <─┤
//!                      └─ Refuse ───> CONNACK (of a re-authentication: DISCONNECT) <─┘
//! ```
//! A re-authentication begins with the client's AUTH 0x19 and goes the same way; until it has ended the earlier one holds,
//! so nothing waits for it.
//!
//! Depends on the packets alone. Architecture invariant: no I/O and no clock. How long a client may take is
//! the caller's to bound, and the state of an exchange is one [`Authenticator`], however many rounds it goes.

use crate::codec;
use crate::packet::{Packet, Properties, ProtocolVersion, ReasonPacket};
use crate::reason::ReasonCode;
use std::fmt::Debug;
use std::sync::Arc;

/// An Authentication Method that the server offers; all shards share it.
pub trait Method: Debug + Send + Sync {
    /// The name, as CONNECT gives it.
    fn name(&self) -> &str;

    /// The state of a new exchange.
    fn begin(&self) -> Box<dyn Authenticator>;
}

/// The server's side of one exchange.
pub trait Authenticator: Debug {
    /// The Authentication Data of CONNECT, or of the AUTH that begins a re-authentication; `None` when it had none.
    fn start(&mut self, octets: Option<&[u8]>) -> Step;

    /// The Authentication Data that answers the last [`Step::Continue`].
    fn step(&mut self, octets: Option<&[u8]>) -> Step;
}

/// What an [`Authenticator`] makes of the client's Authentication Data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// The client is to answer this Authentication Data.
    Continue(Vec<u8>),
    /// The client is who it says; this Authentication Data goes with the answer, none when it is empty.
    Success(Vec<u8>),
    /// The client is not. The reason is one that both CONNACK and DISCONNECT may carry, such as
    /// [`ReasonCode::NotAuthorized`].
    Refuse(ReasonCode),
}

/// The enhanced authentication of one connection, from its CONNECT to its end.
#[derive(Debug)]
pub struct Authentication {
    method: Arc<dyn Method>,
    /// The exchange that is under way.
    authenticator: Option<Box<dyn Authenticator>>,
}

impl Authentication {
    /// A CONNECT named `method`; `octets` is its Authentication Data.
    pub fn start(method: Arc<dyn Method>, octets: Option<&[u8]>) -> (Self, Step) {
        let mut authentication = Self { method, authenticator: None };
        let step = authentication.begin(octets);
        (authentication, step)
    }

    /// The client's AUTH, checked by [`Packet::check_from_client`].
    pub fn receive(&mut self, auth: &ReasonPacket<'_>) -> Step {
        let properties = &auth.properties;
        if properties.authentication_method != Some(self.method.name()) {
            return Step::Refuse(ReasonCode::ProtocolError); // [MQTT-4.12.1-1]
        }
        match (&mut self.authenticator, auth.reason) {
            (Some(authenticator), ReasonCode::ContinueAuthentication) => {
                let step = authenticator.step(properties.authentication_data); // [MQTT-4.12.0-3]
                self.note(step)
            }
            (None, ReasonCode::ReAuthenticate) => self.begin(properties.authentication_data),
            // An answer that nobody waits for, or a beginning in the middle.
            _ => Step::Refuse(ReasonCode::ProtocolError),
        }
    }

    /// True while the client owes an answer.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.authenticator.is_some()
    }

    fn begin(&mut self, octets: Option<&[u8]>) -> Step {
        let step = self.authenticator.insert(self.method.begin()).start(octets);
        self.note(step)
    }

    fn note(&mut self, step: Step) -> Step {
        if !matches!(step, Step::Continue(_)) {
            self.authenticator = None;
        }
        step
    }

    /// Appends an AUTH of the server: `reason` is [`ReasonCode::ContinueAuthentication`] [MQTT-4.12.0-2], or
    /// [`ReasonCode::Success`] at the end of a re-authentication. It has neither Reason String nor User Properties
    /// [MQTT-3.15.2-2], [MQTT-3.15.2-3].
    ///
    /// # Errors
    /// [`ReasonCode::PacketTooLarge`] when the client takes no packet of this size [MQTT-3.1.2-24]; `out` is then as it
    /// was.
    pub fn encode(
        &self,
        reason: ReasonCode,
        octets: &[u8],
        maximum_packet_size_bytes: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), ReasonCode> {
        let properties = Properties {
            authentication_method: Some(self.method.name()), // [MQTT-4.12.0-5]
            authentication_data: Some(octets).filter(|octets| !octets.is_empty()),
            ..Properties::default()
        };
        let start = out.len();
        let packet = Packet::Auth(Box::new(ReasonPacket { reason, properties }));
        let encoded = codec::encode(&packet, ProtocolVersion::V5, out);
        if encoded.is_err() || out.len() - start > maximum_packet_size_bytes as usize {
            out.truncate(start);
            return Err(ReasonCode::PacketTooLarge);
        }
        Ok(())
    }
}
