//! Sending: the wire owns the bytes until the kernel has taken all of them.

use super::operation::{self, Kind};
use super::slots::{Closing, NO_SEND};
use super::{Event, Slot, Wire, errno};
use io_uring::opcode;
use io_uring::types::Fixed;
use ringtail_mqtt::outbox::Segment;
use slab::Slab;
use std::io;

/// Pieces that one system call gathers (UIO_MAXIOV of the kernel); more go in several.
const PIECES_MAX: usize = 1024;

/// Bytes that one operation sends, below the 2 GiB of the kernel.
const SEND_BYTES_MAX: usize = 1 << 30;

/// What a send sends, owned by the wire until [`Event::Sent`] gives it back.
#[derive(Debug)]
pub enum SendBuffer {
    /// One run of bytes.
    Bytes(Vec<u8>),
    /// Pieces that are gathered, such as packet heads and shared payloads.
    Segments(Vec<Segment>),
}

impl SendBuffer {
    /// Bytes in it.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Segments(segments) => segments.iter().map(|s| s.as_bytes().len()).sum(),
        }
    }
}

/// The sends under way.
#[derive(Default)]
pub(super) struct Sends {
    under_way: Slab<Send>,
}

struct Send {
    slot: Slot,
    token: u32,
    buffer: SendBuffer,
    total_bytes: usize,
    sent_bytes: usize,
    gather: Option<Box<Gather>>,
}

/// What the kernel reads of a gathering send: pointers into its segments.
struct Gather {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

impl Sends {
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Forgets the sends without freeing what the kernel may still read.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.under_way));
    }
}

impl Wire {
    /// Sends all of `buffer`; [`Event::Sent`] gives it back. A connection has one send under way at most: another one comes
    /// back with `EBUSY`, and one on a closed connection with `ECANCELED`.
    pub fn send(&mut self, slot: Slot, token: u32, buffer: SendBuffer) {
        let refused = match self.slots.get_mut(slot) {
            None => libc::ECANCELED,
            Some(state) if state.closing != Closing::No => libc::ECANCELED,
            Some(state) if state.send != NO_SEND || state.busy => libc::EBUSY,
            Some(_) => 0,
        };
        let total_bytes = buffer.len_bytes();
        if refused != 0 || total_bytes == 0 {
            let result = if refused == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(refused)) };
            self.pending.push(Event::Sent { token, buffer, result });
            return;
        }
        let key = self.sends.under_way.insert(Send { slot, token, buffer, total_bytes, sent_bytes: 0, gather: None });
        if let Some(state) = self.slots.get_mut(slot) {
            (state.token, state.send) = (token, key as u32);
        }
        self.submit_send(key);
    }

    fn submit_send(&mut self, key: usize) {
        let send = &mut self.sends.under_way[key];
        let (file, flags) = (Fixed(send.slot.0), libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
        let entry = match &send.buffer {
            SendBuffer::Bytes(bytes) => {
                let rest = &bytes[send.sent_bytes..];
                opcode::Send::new(file, rest.as_ptr(), rest.len().min(SEND_BYTES_MAX) as u32).flags(flags).build()
            }
            SendBuffer::Segments(segments) => {
                let gather = send.gather.insert(Box::new(Gather::new(segments, send.sent_bytes)));
                opcode::SendMsg::new(file, gather.header()).flags(flags as u32).build()
            }
        };
        let entry = entry.user_data(operation::pack(Kind::Send, send.slot, key as u32));
        // SAFETY: the entry names the heap memory of `buffer` and `gather`. Both stay in the slab, unchanged, until the
        // completion removes them; moving the slab's records moves no heap memory. A segment's bytes are a `Vec` that it
        // owns or a `Message` behind an `Rc`, which has no interior mutability.
        unsafe { self.ring.push(&entry) };
    }

    pub(super) fn on_send(&mut self, word: u64, result: i32, events: &mut Vec<Event>) {
        let (slot, key) = (operation::slot(word), operation::token(word) as usize);
        let state = self.slots.of_completion(slot);
        let send = &mut self.sends.under_way[key];
        send.sent_bytes += result.max(0) as usize;
        let all = send.sent_bytes >= send.total_bytes;
        let again = result > 0 || matches!(-result, libc::EINTR | libc::EAGAIN);
        if !all && again && matches!(state.closing, Closing::No | Closing::Lingering) {
            self.submit_send(key);
            return;
        }
        state.send = NO_SEND;
        let closing = state.closing != Closing::No;
        let Send { token, buffer, .. } = self.sends.under_way.remove(key);
        let result = match result {
            _ if all => Ok(()),
            failure if failure < 0 => Err(errno(failure)),
            _ => Err(io::Error::from_raw_os_error(libc::ECANCELED)),
        };
        events.push(Event::Sent { token, buffer, result });
        if closing {
            self.advance_close(slot);
        }
    }
}

impl Gather {
    /// The pieces of `segments` past the first `skip_bytes`.
    fn new(segments: &[Segment], mut skip_bytes: usize) -> Self {
        let mut pieces = Vec::with_capacity(segments.len().min(PIECES_MAX));
        for bytes in segments.iter().map(Segment::as_bytes) {
            let rest = &bytes[skip_bytes.min(bytes.len())..];
            skip_bytes -= bytes.len() - rest.len();
            if !rest.is_empty() {
                pieces.push(libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() });
            }
            if pieces.len() == PIECES_MAX {
                break;
            }
        }
        // SAFETY: zeroes are a valid `msghdr` without address, pieces and control messages.
        let header = unsafe { std::mem::zeroed() };
        Self { header, pieces }
    }

    /// The header with its pieces; both stay where they are while `self` does.
    fn header(&mut self) -> *const libc::msghdr {
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
        &raw const self.header
    }
}
