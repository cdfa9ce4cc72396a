//! Connecting: the client's side, for programs that drive a server.
//!
//! A plain socket connects, is then put into a slot that the kernel picks, and closed. So a refused connection takes no slot.

use super::operation::{self, Kind};
use super::{Event, Slot, Wire, errno, sockets};
use io_uring::opcode;
use io_uring::types::Fd;
use slab::Slab;
use socket2::{SockAddr, Socket};
use std::cell::UnsafeCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// `IORING_FILE_INDEX_ALLOC` of the kernel's interface: the kernel picks the slot.
const ANY_SLOT: i32 = -1;

#[derive(Default)]
pub(super) struct Connects {
    under_way: Slab<Connect>,
}

struct Connect {
    token: u32,
    socket: Socket,
    /// In a box, because the kernel reads it and the slab moves its records.
    address: Box<SockAddr>,
    /// The socket's descriptor before the installation, its slot afterwards.
    installed: Box<UnsafeCell<RawFd>>,
}

impl Connects {
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets the operations without freeing what the kernel may still use.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.under_way));
    }
}

impl Wire {
    /// Connects to `address`, from the local address `bind` if given (port 0 lets the kernel pick one that is free for this
    /// peer, so that ports do not run out early). [`Event::Connected`] brings the slot, with TCP_NODELAY set, or the error.
    pub fn connect(&mut self, address: SocketAddr, bind: Option<SocketAddr>, token: u32) {
        self.connect_socket(sockets::client(address, bind).map(|socket| (socket, address.into())), token);
    }

    /// Connects to the Unix socket at `path`; [`Event::Connected`] brings the slot or the error.
    pub fn connect_unix(&mut self, path: &Path, token: u32) {
        self.connect_socket(sockets::unix_client(path), token);
    }

    fn connect_socket(&mut self, made: io::Result<(Socket, SockAddr)>, token: u32) {
        let (socket, address) = match made {
            Ok((socket, address)) => (socket, Box::new(address)),
            Err(error) => {
                self.pending.push(Event::Connected { token, result: Err(error) });
                return;
            }
        };
        let installed = Box::new(UnsafeCell::new(socket.as_raw_fd()));
        let key = self.connects.under_way.insert(Connect { token, socket, address, installed });
        let connect = &self.connects.under_way[key];
        let entry = opcode::Connect::new(
            Fd(connect.socket.as_raw_fd()),
            connect.address.as_ptr().cast(),
            connect.address.len(),
        )
        .build()
        .user_data(operation::pack_key(Kind::Connect, key));
        // SAFETY: the address is in a box that the slab keeps until the operation is over.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_connect(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let connect = &self.connects.under_way[key];
        if result < 0 {
            events.push(Event::Connected { token: connect.token, result: Err(errno(result)) });
            self.connects.under_way.remove(key);
            return;
        }
        let entry = opcode::FilesUpdate::new(connect.installed.get().cast_const(), 1)
            .offset(ANY_SLOT)
            .build()
            .user_data(operation::pack_key(Kind::Install, key));
        // SAFETY: the kernel reads and writes the one descriptor in `installed`, a box that the slab keeps until then.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_install(&mut self, key: usize, result: i32, events: &mut Vec<Event>) {
        let Connect { token, installed, .. } = self.connects.under_way.remove(key);
        let result = if result == 1 {
            let slot = Slot(installed.into_inner() as u32);
            self.slots.open(slot);
            self.yield_slot();
            Ok(slot)
        } else {
            Err(errno(result))
        };
        events.push(Event::Connected { token, result });
    }
}
