//! Where the broker is: `mqtt://`, `mqtts://`, `ws://` or `wss://HOST:PORT[/PATH]`, or `unix:///PATH`.

use crate::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Connections from one source address to one destination. The usual range has 28,000 ports, and the kernel looks among those
/// of one parity first: when they run out, each connection searches all of them, at a hundred times the cost.
const CONNECTIONS_PER_SOURCE: u32 = 8_000;
/// The path of a WebSocket unless the URL has one.
const WEBSOCKET_PATH: &str = "/mqtt";

/// How MQTT travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Over TCP, or a Unix socket.
    Mqtt,
    /// Over TLS.
    Mqtts,
    /// Over a WebSocket.
    Ws,
    /// Over a WebSocket in TLS.
    Wss,
}

impl Scheme {
    const ALL: [(&str, Self, u16); 4] =
        [("mqtt", Self::Mqtt, 1883), ("mqtts", Self::Mqtts, 8883), ("ws", Self::Ws, 80), ("wss", Self::Wss, 443)];
}

/// A broker to drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) url: String,
    /// How MQTT travels.
    pub(crate) scheme: Scheme,
    /// The host's name or address, without brackets.
    pub(crate) host: String,
    /// The path of a WebSocket.
    pub(crate) path: String,
    /// Its address.
    pub(crate) address: Address,
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Of IP.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Both ways of a plain connection.
pub(crate) trait Plain: Read + Write {}
impl<T: Read + Write> Plain for T {}

impl Address {
    /// Opens a plain connection whose reads end after `timeout`, as does a connection over IP that is not made by then.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn connect(&self, timeout: Duration) -> io::Result<Box<dyn Plain>> {
        match self {
            Self::Ip(address) => {
                let stream = TcpStream::connect_timeout(address, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(timeout))?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Target {
    /// Parses `url` and looks up its host.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no such URL, [`Error::Unreachable`] for a host that is not known.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let usage = |what: &str| Error::Usage(format!("--target {url}: {what}; it is like mqtt://127.0.0.1:1883"));
        let (name, rest) = url.split_once("://").ok_or_else(|| usage("there is no scheme"))?;
        if name == "unix" {
            if !rest.starts_with('/') {
                return Err(usage("a Unix socket's path begins with /"));
            }
            let (host, path) = (String::new(), WEBSOCKET_PATH.to_owned());
            let address = Address::Unix(rest.into());
            return Ok(Self { url: url.to_owned(), scheme: Scheme::Mqtt, host, path, address });
        }
        let (_, scheme, default_port) = Scheme::ALL
            .into_iter()
            .find(|(s, ..)| *s == name)
            .ok_or_else(|| usage(&format!("the scheme `{name}` is none of mqtt, mqtts, ws, wss, unix")))?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let is_websocket = matches!(scheme, Scheme::Ws | Scheme::Wss);
        if !is_websocket && path.len() > 1 {
            return Err(usage("only WebSockets have a path"));
        }
        let path = if path.len() > 1 { path } else { WEBSOCKET_PATH }.to_owned();
        let with_port = authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let (host, port) = match with_port {
            Some((host, port)) => (host, port.parse().map_err(|_| usage(&format!("`{port}` is no port")))?),
            None => (authority, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(usage("there is no host"));
        }
        let unreachable = |source| Error::Unreachable { target: url.to_owned(), source };
        let mut addresses = (host.as_str(), port).to_socket_addrs().map_err(unreachable)?;
        let address = addresses.next().ok_or_else(|| usage("the host has no address")).map(Address::Ip)?;
        Ok(Self { url: url.to_owned(), scheme, host, path, address })
    }

    /// Host and port as a WebSocket's handshake names them.
    pub(crate) fn authority(&self) -> String {
        match &self.address {
            Address::Ip(address) if self.host.contains(':') => format!("[{}]:{}", self.host, address.port()),
            Address::Ip(address) => format!("{}:{}", self.host, address.port()),
            Address::Unix(_) => String::new(),
        }
    }

    /// The source addresses for `clients` connections when none are given: on loopback as many of 127/8 as are needed for
    /// their ports, elsewhere the kernel's choice.
    pub(crate) fn default_sources(&self, clients: u32) -> Vec<IpAddr> {
        match self.address {
            Address::Ip(SocketAddr::V4(to)) if to.ip().is_loopback() && clients > CONNECTIONS_PER_SOURCE => {
                let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
                (0..clients.div_ceil(CONNECTIONS_PER_SOURCE)).map(|i| Ipv4Addr::from(first + i).into()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Parses `ADDRESS` or `FIRST-LAST`.
///
/// # Errors
/// A sentence about what is not understood.
pub(crate) fn parse_sources(text: &str) -> Result<Vec<IpAddr>, String> {
    const RANGE_MAX: u32 = 65_536;
    let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| format!("`{text}` is not an address"));
    let Some((first, last)) = text.split_once('-') else { return Ok(vec![address(text)?]) };
    match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u32::from(first), u32::from(last));
            if last < first || last - first >= RANGE_MAX {
                return Err(format!("`{text}` is not a range of 1 to {RANGE_MAX} addresses"));
            }
            Ok((first..=last).map(|ip| Ipv4Addr::from(ip).into()).collect())
        }
        _ => Err(format!("`{text}`: ranges are of IPv4 addresses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, address) in [
            ("mqtt://127.0.0.1:1884", "127.0.0.1:1884"),
            ("mqtt://127.0.0.1", "127.0.0.1:1883"),
            ("mqtts://127.0.0.1/", "127.0.0.1:8883"),
            ("mqtt://[::1]:1885/", "[::1]:1885"),
            ("mqtt://[::1]", "[::1]:1883"),
        ] {
            let address = Address::Ip(address.parse().expect(address));
            assert_eq!(Target::parse(url).expect(url).address, address, "{url}");
        }
        let unix = Target::parse("unix:///run/broker.sock").expect("a Unix socket");
        assert_eq!((unix.address, unix.scheme), (Address::Unix("/run/broker.sock".into()), Scheme::Mqtt));
        let ws = Target::parse("ws://[::1]:9001/broker").expect("a WebSocket");
        assert_eq!((ws.path.as_str(), ws.authority().as_str()), ("/broker", "[::1]:9001"));
        assert_eq!(Target::parse("wss://127.0.0.1").expect("a WebSocket").path, "/mqtt");
        for url in [
            "127.0.0.1:1883",
            "http://127.0.0.1",
            "mqtt://",
            "mqtt://127.0.0.1:x",
            "mqtt://127.0.0.1/path",
            "unix://run/x",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn sources_are_made_when_ports_would_run_out() {
        let target = Target::parse("mqtt://127.0.0.1:1").expect("target");
        assert_eq!(target.default_sources(8_000), Vec::<IpAddr>::new());
        let sources = target.default_sources(1_000_000);
        let last: IpAddr = [127, 0, 0, 126].into();
        assert_eq!((sources.len(), sources[124]), (125, last));
    }

    #[test]
    fn ranges_of_sources() {
        assert_eq!(parse_sources("127.0.0.9-127.0.0.11").expect("range").len(), 3);
        assert_eq!(parse_sources("::1").expect("one").len(), 1);
        for text in ["127.0.0.9-127.0.0.8", "x", "::1-::2", "10.0.0.0-10.9.0.0"] {
            assert!(parse_sources(text).is_err(), "{text}");
        }
    }
}
