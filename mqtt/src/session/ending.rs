//! How a connection and a session end: the will, its delay, the Session Expiry Interval and the Keep Alive.

use super::Session;
use crate::codec;
use crate::limits::Limits;
use crate::message::{Message, MessageRef};
use crate::outbox::Outbox;
use crate::packet::{Connect, Packet, Properties, ProtocolVersion, ReasonPacket, Will};
use crate::reason::ReasonCode;
use crate::time::Millis;

/// A Will Message that was not published yet [MQTT-3.1.2-7].
#[derive(Debug)]
pub(super) struct PendingWill {
    message: Message,
    delay_s: u32,
    /// The Message Expiry Interval, which begins when the will is published.
    message_expiry_s: Option<u32>,
}

impl PendingWill {
    /// The will of a CONNECT.
    ///
    /// # Errors
    /// The reason to refuse the connection.
    pub(super) fn of(connect: &Connect<'_>, limits: &Limits) -> Result<Option<Self>, ReasonCode> {
        let Some(will) = &connect.will else { return Ok(None) };
        if will.qos > limits.maximum_qos {
            return Err(ReasonCode::QoSNotSupported); // [MQTT-3.2.2-12]
        }
        if will.retain && !limits.retain_available {
            return Err(ReasonCode::RetainNotSupported); // [MQTT-3.2.2-13]
        }
        super::publish::check_levels(will.topic_name, limits)?;
        if let Some(reason) = super::publish::refusal(will.topic_name, &will.properties, will.payload, limits) {
            return Err(reason);
        }
        Self::new(will).map(Some)
    }

    fn new(will: &Will<'_>) -> Result<Self, ReasonCode> {
        let mut properties = Vec::new();
        will.properties.append_forwarded(&mut properties).map_err(|_| ReasonCode::MalformedPacket)?;
        let message = MessageRef {
            topic_name: will.topic_name,
            properties: &properties,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            expires_at: Millis::NEVER,
        };
        Ok(Self {
            message: message.into(),
            delay_s: will.properties.will_delay_interval_s.unwrap_or(0),
            message_expiry_s: will.properties.message_expiry_interval_s,
        })
    }

    /// Puts back a will of a session that is rebuilt.
    pub(super) fn restored(message: Message, delay_s: u32, message_expiry_s: Option<u32>) -> Self {
        Self { message, delay_s, message_expiry_s }
    }

    pub(super) fn parts(&self) -> (&Message, u32, Option<u32>) {
        (&self.message, self.delay_s, self.message_expiry_s)
    }

    /// The message as it is to be published now.
    fn publish(mut self, now: Millis) -> Message {
        self.message.expires_at = self.message_expiry_s.map_or(Millis::NEVER, |s| now.plus_s(s));
        self.message
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Message>() + self.message.memory_bytes()
    }
}

/// Why a session loses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetachCause {
    /// The client sent DISCONNECT; `with_will` is that of [`super::Action::Disconnect`].
    ClientDisconnect {
        /// Publish the Will Message all the same.
        with_will: bool,
    },
    /// Everything else: the network, the Keep Alive, a takeover, an error of the protocol, or the server's own wish.
    Lost,
}

/// What remains to be done once a connection has gone.
#[derive(Debug)]
#[must_use]
pub struct Detached {
    /// The Will Message to publish at once [MQTT-3.1.2-8].
    pub will: Option<Message>,
    /// The session ends with its connection: the caller removes it and its subscriptions.
    pub ends_now: bool,
}

/// What a timer found.
#[derive(Debug)]
#[must_use]
pub enum Timeout {
    /// Nothing; ask [`Session::poll_timeout`] for the next time.
    None,
    /// The client was silent for one and a half times its Keep Alive [MQTT-3.1.2-22]: [`Session::disconnect`] with
    /// [`ReasonCode::KeepAliveTimeout`], [`Session::detach`], then close.
    KeepAlive,
    /// The Will Delay Interval has passed: publish this.
    Will(Message),
    /// The session has expired: remove it and its subscriptions, and publish the will if there is one still.
    Expired(Option<Message>),
}

impl Session {
    /// Says good-bye to a v5 client; before 5.0 the server has no such packet. The Reason String is left out if the
    /// client wants none, or if the packet would be too large for it [MQTT-3.14.2-3]; then the Server Reference too.
    pub fn disconnect(&mut self, reason: ReasonCode, server_reference: Option<&str>, out: &mut Outbox) {
        if !self.connected || self.settings.version != ProtocolVersion::V5 {
            return;
        }
        let bytes = out.bytes_mut();
        let start = bytes.len();
        let explanation = self.explanation(reason);
        for (reason_string, server_reference) in
            [(explanation, server_reference), (None, server_reference), (None, None)]
        {
            let properties = Properties { reason_string, server_reference, ..Properties::default() };
            let packet = Packet::Disconnect(Box::new(ReasonPacket { reason, properties }));
            let encoded = codec::encode(&packet, ProtocolVersion::V5, bytes);
            if encoded.is_ok() && bytes.len() - start <= self.settings.maximum_packet_size_bytes as usize {
                return;
            }
            bytes.truncate(start);
        }
    }

    /// The Reason String of an error, for a client that wants problem information.
    pub(super) fn explanation(&self, reason: ReasonCode) -> Option<&'static str> {
        (self.settings.problem_information && reason.is_error()).then(|| reason.explanation())
    }

    /// The connection has gone. Decides what becomes of the will: discarded after a Normal disconnection
    /// [MQTT-3.1.2-10], published at once, or kept for its delay.
    pub fn detach(&mut self, cause: DetachCause, now: Millis) -> Detached {
        self.connected = false;
        self.since = now;
        self.extras = None; // [MQTT-3.3.2-7]
        self.window.restart();
        if let Some(ledger) = &mut self.ledger {
            ledger.detach();
        }
        if cause == (DetachCause::ClientDisconnect { with_will: false }) {
            self.will = None; // [MQTT-3.14.4-3]
        }
        let ends_now = self.is_transient();
        let at_once = ends_now || self.will.as_ref().is_some_and(|will| will.delay_s == 0);
        Detached { will: if at_once { self.take_will(now) } else { None }, ends_now }
    }

    /// When [`Session::on_timeout`] has something to do: the Keep Alive while connected, otherwise the Will Delay
    /// Interval and the Session Expiry Interval. [`Millis::NEVER`] for none. It may move away without notice, so a
    /// timer that is early asks again.
    #[must_use]
    pub fn poll_timeout(&self) -> Millis {
        if self.connected { self.keep_alive_until() } else { self.will_at().min(self.expires_at()) }
    }

    /// The client may have sent something that was not read, because it is held back: its Keep Alive begins anew.
    pub fn restart_keep_alive(&mut self, now: Millis) {
        if self.connected {
            self.since = now;
        }
    }

    /// The time is `now`; see [`Session::poll_timeout`].
    pub fn on_timeout(&mut self, now: Millis) -> Timeout {
        if self.connected {
            return if self.keep_alive_until() <= now { Timeout::KeepAlive } else { Timeout::None };
        }
        if self.expires_at() <= now {
            return Timeout::Expired(self.take_will(now)); // [MQTT-3.1.2-8]: whichever of the two is first
        }
        if self.will_at() <= now {
            return self.take_will(now).map_or(Timeout::None, Timeout::Will);
        }
        Timeout::None
    }

    /// The session ends before its time: a clean start replaces it, or an administrator removes it. A will that still
    /// waits is to be published [MQTT-3.1.2-8].
    pub fn end(&mut self, now: Millis) -> Option<Message> {
        self.take_will(now)
    }

    fn take_will(&mut self, now: Millis) -> Option<Message> {
        self.will.take().map(|will| will.publish(now))
    }

    fn keep_alive_until(&self) -> Millis {
        match self.settings.keep_alive_s {
            0 => Millis::NEVER,
            s => self.since.plus_ms(u64::from(s) * 1_500),
        }
    }

    fn will_at(&self) -> Millis {
        self.will.as_ref().map_or(Millis::NEVER, |will| self.since.plus_s(will.delay_s))
    }

    fn expires_at(&self) -> Millis {
        match self.settings.session_expiry_s {
            u32::MAX => Millis::NEVER,
            s => self.since.plus_s(s),
        }
    }
}
