//! Plain sockets before the ring has them.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;

/// A listener that shares its address with the other shards' (SO_REUSEPORT), with TCP_NODELAY, which its connections inherit.
/// With port 0 the kernel picks one: the first shard asks, the others are given its answer. An IPv6 address takes IPv6 only.
///
/// # Errors
///
/// What the kernel says: the address is in use by somebody else, is not of this machine, or needs a privilege.
pub fn listen_reuseport(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// A socket that is about to connect to `address`.
pub(super) fn client(address: SocketAddr, bind: Option<SocketAddr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bind) = bind {
        bind_address_no_port(&socket)?;
        socket.bind(&bind.into())?;
    }
    Ok(socket)
}

/// A socket that is about to connect to the Unix socket at `path`, and the address.
pub(super) fn unix_client(path: &Path) -> io::Result<(Socket, SockAddr)> {
    Ok((Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?))
}

/// The port is chosen at connect, when the peer is known, and so can be one that another peer's connection uses.
fn bind_address_no_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option is an int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
