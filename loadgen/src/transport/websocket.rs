//! The client's side of a WebSocket (RFC 6455) that carries MQTT: the opening handshake, and binary frames.

use crate::arrivals::SplitMix;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

/// What the server's answer is made of (RFC 6455, 1.3).
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest answer to the opening handshake that is read.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Longest control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A WebSocket.
#[derive(Debug)]
pub(super) struct WebSocket {
    state: State,
    rng: SplitMix,
    /// The start of an answer or of a frame's head whose end has not come.
    partial: Vec<u8>,
    /// Frames to be sent for the WebSocket itself, and what was said before the handshake was over.
    waiting: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// The request is to be sent.
    New { request: String, key: String },
    /// The answer has not come.
    Asked { key: String },
    /// Between frames.
    Open,
    /// Inside of a frame.
    Frame { opcode: u8, left: u64 },
}

impl WebSocket {
    /// A WebSocket to `host` (with its port) and `path`; `seed` makes key and masks.
    pub(super) fn new(host: &str, path: &str, seed: u64) -> Self {
        let mut rng = SplitMix(seed);
        let nonce = [rng.next().to_be_bytes(), rng.next().to_be_bytes()].concat();
        let key = STANDARD.encode(nonce);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Self { state: State::New { request, key }, rng, partial: Vec::new(), waiting: Vec::new() }
    }

    /// Appends to `out` what is to be sent for `plain` and for the WebSocket itself.
    pub(super) fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        if let State::New { request, key } = &mut self.state {
            out.extend_from_slice(request.as_bytes());
            self.state = State::Asked { key: std::mem::take(key) };
        }
        let is_open = !matches!(self.state, State::Asked { .. });
        if is_open {
            out.append(&mut self.waiting);
        }
        if !plain.is_empty() {
            let mask = (self.rng.next() as u32).to_be_bytes();
            frame(BINARY, plain, mask, if is_open { out } else { &mut self.waiting });
        }
    }

    /// True when something waits that may be sent.
    pub(super) fn has_more(&self) -> bool {
        match self.state {
            State::New { .. } => true,
            State::Asked { .. } => false,
            State::Open | State::Frame { .. } => !self.waiting.is_empty(),
        }
    }

    /// Takes bytes and appends the contents of data frames to `plain`.
    pub(super) fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        let mut held = std::mem::take(&mut self.partial);
        let all = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let used = self.read(all, plain)?;
        // Behind what the reading may have put there itself.
        self.partial.extend_from_slice(&all[used..]);
        Ok(())
    }

    /// Reads what can be read and returns how many bytes that were.
    fn read(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<usize, String> {
        let mut used = 0;
        if let State::New { .. } | State::Asked { .. } = self.state {
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                return if bytes.len() > ANSWER_BYTES_MAX {
                    Err("its answer to the WebSocket handshake has no end".into())
                } else {
                    Ok(0)
                };
            };
            used = end + 4;
            self.check_answer(&bytes[..used])?;
            self.state = State::Open;
        }
        loop {
            let rest = &bytes[used..];
            match self.state {
                State::Open => match head(rest)? {
                    Some((opcode, left, head_bytes)) => {
                        used += head_bytes;
                        self.state = State::Frame { opcode, left };
                    }
                    None => return Ok(used),
                },
                State::Frame { opcode, left } if opcode <= BINARY => {
                    let take = rest.len().min(left.try_into().unwrap_or(usize::MAX));
                    plain.extend_from_slice(&rest[..take]);
                    used += take;
                    let left = left - take as u64;
                    if left > 0 {
                        self.state = State::Frame { opcode, left };
                        return Ok(used);
                    }
                    self.state = State::Open;
                }
                State::Frame { opcode, left } => {
                    // A control frame is small: it is waited for as a whole.
                    let length = left as usize;
                    if rest.len() < length {
                        self.partial_control(opcode, left, rest);
                        return Ok(bytes.len());
                    }
                    self.control(opcode, &rest[..length])?;
                    used += length;
                    self.state = State::Open;
                }
                State::New { .. } | State::Asked { .. } => return Ok(used),
            }
        }
    }

    /// Keeps the start of a control frame with its head, to read both again when the rest has come.
    fn partial_control(&mut self, opcode: u8, left: u64, rest: &[u8]) {
        self.state = State::Open;
        self.partial = vec![0x80 | opcode, left as u8];
        self.partial.extend_from_slice(rest);
    }

    fn control(&mut self, opcode: u8, content: &[u8]) -> Result<(), String> {
        match opcode {
            PING => {
                let mask = (self.rng.next() as u32).to_be_bytes();
                frame(PONG, content, mask, &mut self.waiting);
                Ok(())
            }
            CLOSE => Err("it closed the WebSocket".into()),
            _ => Ok(()),
        }
    }

    fn check_answer(&self, answer: &[u8]) -> Result<(), String> {
        let State::Asked { key } = &self.state else { return Err("it answered before it was asked".into()) };
        let text = String::from_utf8_lossy(answer);
        let mut lines = text.lines();
        let status = lines.next().unwrap_or_default();
        if status.split_whitespace().nth(1) != Some("101") {
            return Err(format!("it refused the WebSocket: {status}"));
        }
        let accept = STANDARD.encode(Sha1::from(format!("{key}{ACCEPT_SUFFIX}")).digest().bytes());
        let header = |name: &str| {
            lines
                .clone()
                .filter_map(|l| l.split_once(':'))
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.trim())
        };
        if header("Sec-WebSocket-Accept") != Some(accept.as_str()) {
            return Err("its answer to the WebSocket handshake is not for our key".into());
        }
        if header("Sec-WebSocket-Protocol") != Some("mqtt") {
            return Err("its WebSocket does not speak mqtt".into()); // [MQTT-6.0.0-4]
        }
        Ok(())
    }
}

/// Reads a frame's head: opcode, length of the content, bytes of the head; `None` when more is needed.
fn head(bytes: &[u8]) -> Result<Option<(u8, u64, usize)>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 || first & 0x70 != 0 {
        return Err("it sent a WebSocket frame that servers may not send".into());
    }
    let opcode = first & 0x0F;
    let (length, head_bytes) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10),
        (126 | 127, _) => return Ok(None),
        (length, _) => (u64::from(length), 2),
    };
    if opcode >= CLOSE && length > CONTROL_BYTES_MAX as u64 || opcode == 1 {
        return Err("it sent a WebSocket frame that MQTT does not use".into()); // text frames: [MQTT-6.0.0-1]
    }
    Ok(Some((opcode, length, head_bytes)))
}

/// Appends a masked frame (RFC 6455, 5.3: clients mask).
fn frame(opcode: u8, content: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match content.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn asked() -> WebSocket {
        let mut ws = WebSocket::new("h:1", "/mqtt", 1);
        ws.state = State::Asked { key: KEY.into() };
        ws
    }

    fn answer(accept: &str, protocol: &str) -> Vec<u8> {
        format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n").into()
    }

    /// The key and its answer are those of RFC 6455, 1.3.
    fn good() -> Vec<u8> {
        answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "mqtt")
    }

    #[test]
    fn the_handshake_is_checked() {
        assert_eq!(asked().receive(&good(), &mut Vec::new()), Ok(()));
        for bad in [
            answer("x", "mqtt"),
            answer("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "other"),
            b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(),
            vec![b'x'; 20_000],
        ] {
            assert!(asked().receive(&bad, &mut Vec::new()).is_err(), "{}", String::from_utf8_lossy(&bad));
        }
        let mut ws = WebSocket::new("h:1", "/mqtt", 1);
        let mut out = Vec::new();
        assert!(ws.has_more());
        ws.send(b"hi", &mut out);
        let request = String::from_utf8(out).expect("text");
        assert!(
            request.starts_with("GET /mqtt HTTP/1.1\r\nHost: h:1\r\n") && request.ends_with("\r\n\r\n"),
            "nothing before the answer"
        );
        assert!(!ws.has_more());
    }

    #[test]
    fn frames_come_in_any_pieces() {
        let mut bytes = good();
        bytes
            .extend_from_slice(&[0x02, 3, b'a', b'b', b'c', 0x89, 2, b'p', b'q', 0x80, 2, b'd', b'e', 0x82, 126, 1, 0]);
        bytes.extend_from_slice(&[b'x'; 256]);
        for piece in [1, 2, 3, 7, 1_000] {
            let (mut ws, mut plain) = (asked(), Vec::new());
            ws.send(b"early", &mut Vec::new());
            for part in bytes.chunks(piece) {
                ws.receive(part, &mut plain).expect("sound frames");
            }
            assert_eq!(plain, [&b"abcde"[..], &[b'x'; 256]].concat(), "pieces of {piece}");
            assert!(ws.has_more(), "what was said early, and the pong");
            let mut out = Vec::new();
            ws.send(&[], &mut out);
            assert_eq!((out[0], out.len()), (0x82, 2 + 4 + 5 + 2 + 4 + 2));
        }
    }

    #[test]
    fn what_is_sent_is_masked_with_its_length() {
        for length in [0usize, 125, 126, 65_535, 65_536] {
            let content = vec![7u8; length];
            let mut out = Vec::new();
            frame(BINARY, &content, [1, 2, 3, 4], &mut out);
            let unmasked: Vec<u8> =
                out[out.len() - length..].iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, content);
            let head_bytes = match length {
                0..=125 => 2,
                126..=65_535 => 4,
                _ => 10,
            };
            assert_eq!(out.len(), head_bytes + 4 + length);
        }
    }

    #[test]
    fn frames_that_may_not_be_are_refused() {
        for bad in [[0x82, 0x81].as_slice(), &[0xC2, 1, 0], &[0x81, 1, b'x'], &[0x88, 0], &[0x89, 126, 0, 200]] {
            let mut ws = asked();
            ws.receive(&good(), &mut Vec::new()).expect("the handshake");
            assert!(ws.receive(bad, &mut Vec::new()).is_err(), "{bad:?}");
        }
    }
}
