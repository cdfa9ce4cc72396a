//! What lies between MQTT and the socket: nothing, TLS, WebSocket, or WebSocket in TLS. Bytes in, bytes out; no I/O.
//!
//! ```text
//!   MQTT bytes --send--> [WebSocket frames] --> [TLS records] --> socket
//!   MQTT bytes <-receive- [WebSocket frames] <-- [TLS records] <-- socket
//! ```

mod tls;
mod websocket;

pub(crate) use tls::TlsOptions;

use crate::error::Error;
use crate::scenario::template::Values;
use crate::target::{Scheme, Target};
use std::sync::Arc;
use tls::{Tls, TlsSetup};
use websocket::WebSocket;

/// What the transports of a run are made from.
#[derive(Clone, Debug)]
pub(crate) struct Transports {
    tls: Option<Arc<TlsSetup>>,
    /// Host and path of the WebSocket.
    websocket: Option<(Arc<str>, Arc<str>)>,
}

/// The transport of one connection.
#[derive(Debug)]
pub(crate) struct Transport {
    tls: Option<Tls>,
    websocket: Option<WebSocket>,
    /// What one layer says to the other.
    between: Vec<u8>,
}

impl Transports {
    /// For `target`, with what is needed for TLS if it has that.
    ///
    /// # Errors
    /// [`Error::Usage`] for options of TLS without TLS, [`Error::File`] for certificates that cannot be read.
    pub(crate) fn new(target: &Target, options: &TlsOptions) -> Result<Self, Error> {
        let is_tls = matches!(target.scheme, Scheme::Mqtts | Scheme::Wss);
        if !is_tls && options.is_given() {
            return Err(Error::Usage(format!(
                "{} has no TLS: --ca, --cert, --key and --insecure go with mqtts:// and wss://",
                target.url
            )));
        }
        let tls = is_tls.then(|| TlsSetup::new(&target.host, options).map(Arc::new)).transpose()?;
        let is_websocket = matches!(target.scheme, Scheme::Ws | Scheme::Wss);
        let websocket = is_websocket.then(|| (target.authority().into(), target.path.as_str().into()));
        Ok(Self { tls, websocket })
    }

    /// The transport of a new connection of a client; `None` for plain bytes. `seed` makes masks and keys.
    ///
    /// # Errors
    /// A sentence about a certificate that cannot be used.
    pub(crate) fn open(&self, values: Values<'_>, seed: u64) -> Result<Option<Box<Transport>>, String> {
        if self.tls.is_none() && self.websocket.is_none() {
            return Ok(None);
        }
        let tls = self.tls.as_ref().map(|setup| setup.open(values)).transpose()?;
        let websocket = self.websocket.as_ref().map(|(host, path)| WebSocket::new(host, path, seed));
        Ok(Some(Box::new(Transport { tls, websocket, between: Vec::new() })))
    }
}

impl Transport {
    /// Takes bytes from the socket and appends what they say in MQTT to `plain`.
    ///
    /// # Errors
    /// A sentence about what the other side did wrong.
    pub(crate) fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        match (&mut self.tls, &mut self.websocket) {
            (Some(tls), None) => tls.receive(bytes, plain),
            (None, Some(websocket)) => websocket.receive(bytes, plain),
            (Some(tls), Some(websocket)) => {
                self.between.clear();
                tls.receive(bytes, &mut self.between)?;
                websocket.receive(&self.between, plain)
            }
            (None, None) => {
                plain.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Appends to `socket` what is to be sent for the MQTT bytes `plain` (perhaps none) and for the layers themselves.
    ///
    /// # Errors
    /// A sentence when the connection can no longer be used.
    pub(crate) fn send(&mut self, plain: &[u8], socket: &mut Vec<u8>) -> Result<(), String> {
        match (&mut self.tls, &mut self.websocket) {
            (Some(tls), None) => tls.send(plain, socket),
            (None, Some(websocket)) => {
                websocket.send(plain, socket);
                Ok(())
            }
            (Some(tls), Some(websocket)) => {
                self.between.clear();
                websocket.send(plain, &mut self.between);
                tls.send(&self.between, socket)
            }
            (None, None) => {
                socket.extend_from_slice(plain);
                Ok(())
            }
        }
    }

    /// True when a layer has something to send of its own.
    pub(crate) fn has_more(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::has_more) || self.websocket.as_ref().is_some_and(WebSocket::has_more)
    }
}
