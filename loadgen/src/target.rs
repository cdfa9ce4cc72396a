//! Where the broker is: `mqtt://HOST:PORT`.

use crate::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// Connections from one source address to one destination that leave room below the usual range of ports.
const CONNECTIONS_PER_SOURCE: u32 = 20_000;

/// A broker to drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) url: String,
    /// Its address.
    pub(crate) address: SocketAddr,
}

impl Target {
    /// Parses `url` and looks up its host.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no such URL, [`Error::Unreachable`] for a host that is not known.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let usage = |what: &str| Error::Usage(format!("--target {url}: {what}; it is like mqtt://127.0.0.1:1883"));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| usage("there is no scheme"))?;
        if scheme != "mqtt" {
            return Err(usage(&format!("the scheme `{scheme}` is not known")));
        }
        let rest = rest.trim_end_matches('/');
        let has_port =
            rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !rest.ends_with(']');
        let host = if has_port { rest.to_owned() } else { format!("{rest}:1883") };
        let mut addresses =
            host.to_socket_addrs().map_err(|source| Error::Unreachable { target: url.to_owned(), source })?;
        let address = addresses.next().ok_or_else(|| usage("the host has no address"))?;
        Ok(Self { url: url.to_owned(), address })
    }

    /// The source addresses for `clients` connections when none are given: on loopback as many of 127/8 as are needed for
    /// their ports, elsewhere the kernel's choice.
    pub(crate) fn default_sources(&self, clients: u32) -> Vec<IpAddr> {
        match self.address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() && clients > CONNECTIONS_PER_SOURCE => {
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
            ("mqtt://[::1]:1885/", "[::1]:1885"),
            ("mqtt://[::1]", "[::1]:1883"),
        ] {
            assert_eq!(Target::parse(url).expect(url).address, address.parse().expect(address), "{url}");
        }
        for url in ["127.0.0.1:1883", "http://127.0.0.1", "mqtt://"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn sources_are_made_when_ports_would_run_out() {
        let target = Target::parse("mqtt://127.0.0.1:1").expect("target");
        assert_eq!(target.default_sources(20_000), Vec::<IpAddr>::new());
        let sources = target.default_sources(1_000_000);
        assert_eq!((sources.len(), sources[0], sources[49]), (50, [127, 0, 0, 2].into(), [127, 0, 0, 51].into()));
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
