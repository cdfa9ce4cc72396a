//! The floor under the broker: a relay that copies messages from one connection to another over the wire, with no MQTT,
//! and the program that drives it. What a message costs here, no protocol on the same wire can undercut.
//!
//! ```text
//! taskset -c 0 floor_relay serve 7000 [SPIN_US [PACE_COMPLETIONS PACE_US]] &
//! taskset -c 1 floor_relay drive 7000 PAIRS WINDOW SECONDS RELAY_PID
//! ```
//! A connection says its number in 4 bytes and gets them back. Then what comes on connection 2k goes out on connection
//! 2k+1. The driver keeps WINDOW messages of 64 bytes under way in each pair.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use ringtail_shards::wire::{Event, SendBuffer, Slot, Wait, Wire, WireConfig, listen_reuseport};
use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const MESSAGE_BYTES: usize = 64;
const NUMBER_BYTES: usize = size_of::<u32>();

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u32> = arguments.iter().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    match (arguments.first().map(String::as_str), &numbers[..]) {
        (Some("serve"), &[port]) => serve(local(port)?, 0, None),
        (Some("serve"), &[port, spin_us]) => serve(local(port)?, spin_us, None),
        (Some("serve"), &[port, spin_us, pace, pace_us]) => serve(local(port)?, spin_us, Some((pace, pace_us))),
        (Some("drive"), &[port, pairs, window, seconds, pid]) => {
            drive(local(port)?, pairs, window as usize, Duration::from_secs(seconds.into()), pid)
        }
        _ => {
            Err("serve PORT [SPIN_US [PACE_COMPLETIONS PACE_US]], or drive PORT PAIRS WINDOW SECONDS RELAY_PID".into())
        }
    }
}

fn local(port: u32) -> Result<SocketAddr, std::num::TryFromIntError> {
    Ok(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)))
}

/// A connection and what waits for its next send.
struct Connection {
    slot: Slot,
    /// The token of the connection that gets what comes here; none before the number was said.
    target: Option<u32>,
    waiting: Vec<u8>,
    spare: Vec<u8>,
    sending: bool,
    dirty: bool,
}

/// The connections by token, and those that have something to say this turn.
#[derive(Default)]
struct Connections {
    by_token: Vec<Option<Connection>>,
    dirty: Vec<u32>,
}

impl Connections {
    fn open(&mut self, token: u32, slot: Slot) {
        let index = token as usize;
        if self.by_token.len() <= index {
            self.by_token.resize_with(index + 1, || None);
        }
        let (waiting, spare) = (Vec::new(), Vec::new());
        self.by_token[index] = Some(Connection { slot, target: None, waiting, spare, sending: false, dirty: false });
    }

    fn get(&mut self, token: u32) -> Option<&mut Connection> {
        self.by_token.get_mut(token as usize)?.as_mut()
    }

    fn append(&mut self, token: u32, bytes: &[u8]) {
        if let Some(connection) = self.get(token) {
            connection.waiting.extend_from_slice(bytes);
            if !std::mem::replace(&mut connection.dirty, true) {
                self.dirty.push(token);
            }
        }
    }

    fn sent(&mut self, token: u32, buffer: SendBuffer) {
        if let (Some(connection), SendBuffer::Bytes(mut bytes)) = (self.get(token), buffer) {
            bytes.clear();
            connection.spare = bytes;
            connection.sending = false;
            self.append(token, &[]);
        }
    }

    fn flush(&mut self, wire: &mut Wire) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for token in dirty.drain(..) {
            let Some(connection) = self.get(token) else { continue };
            connection.dirty = false;
            if !connection.sending && !connection.waiting.is_empty() {
                connection.sending = true;
                let spare = std::mem::take(&mut connection.spare);
                let bytes = std::mem::replace(&mut connection.waiting, spare);
                wire.send(connection.slot, token, SendBuffer::Bytes(bytes));
            }
        }
        self.dirty = dirty;
    }
}

fn wire() -> Result<Wire, Box<dyn Error>> {
    Ok(Wire::new(&WireConfig { slots: 4096, ..WireConfig::default() })?)
}

fn serve(address: SocketAddr, spin_us: u32, pace: Option<(u32, u32)>) -> Outcome {
    let mut wire = wire()?;
    wire.listen(listen_reuseport(address, 4096)?, 0);
    let (mut connections, mut tokens) = (Connections::default(), HashMap::new());
    let (mut events, mut busy, mut last) = (Vec::new(), false, Instant::now());
    loop {
        let wait = match pace {
            _ if spin_us > 0 && last.elapsed() < Duration::from_micros(spin_us.into()) => Wait::No,
            Some((completions, up_to_us)) if busy => Wait::Pace { completions, up_to_us },
            _ => Wait::Park { until: None },
        };
        wire.turn(wait, &mut events)?;
        busy = events.len() > 4;
        if spin_us > 0 && !events.is_empty() {
            last = Instant::now();
        }
        for event in events.drain(..) {
            relay(&mut wire, &mut connections, &mut tokens, event)?;
        }
        connections.flush(&mut wire);
    }
}

/// Handles an event of the relay; `tokens` has the token of each number. A token is the index of the slot.
fn relay(wire: &mut Wire, connections: &mut Connections, tokens: &mut HashMap<u32, u32>, event: Event) -> Outcome {
    match event {
        Event::Accepted { slot, .. } => {
            let token = slot.index() as u32;
            connections.open(token, slot);
            wire.receive(slot, token);
        }
        Event::Received { token, buffer } => {
            let Some(connection) = connections.get(token) else { return Ok(()) };
            if let Some(target) = connection.target {
                connections.append(target, &buffer);
                return Ok(());
            }
            let number = u32::from_le_bytes(buffer[..].try_into()?);
            tokens.insert(number, token);
            connection.target = Some(token);
            if let (Some(&first), Some(&second)) = (tokens.get(&(number & !1)), tokens.get(&(number | 1)))
                && let Some(first) = connections.get(first)
            {
                first.target = Some(second);
            }
            connections.append(token, &buffer);
        }
        Event::Sent { token, buffer, .. } => connections.sent(token, buffer),
        Event::Ended { token, .. } => {
            if let Some(connection) = connections.get(token) {
                wire.close_now(connection.slot);
            }
        }
        _ => {}
    }
    Ok(())
}

/// What the driver has seen.
#[derive(Default)]
struct Progress {
    named: u32,
    messages: u64,
    /// Bytes of a message that has not come whole, by connection.
    partial_bytes: Vec<usize>,
}

fn drive(address: SocketAddr, pairs: u32, window: usize, duration: Duration, pid: u32) -> Outcome {
    let mut wire = wire()?;
    let mut connections = Connections::default();
    let mut progress = Progress { partial_bytes: vec![0; pairs as usize * 2], ..Progress::default() };
    (0..pairs * 2).for_each(|number| wire.connect(address, None, number));
    let mut events = Vec::new();
    let mut run = |progress: &mut Progress, until: &dyn Fn(&Progress) -> bool| -> Outcome {
        while !until(progress) {
            wire.turn(Wait::Park { until: Some(Duration::from_millis(10)) }, &mut events)?;
            for event in events.drain(..) {
                answer(&mut wire, &mut connections, progress, event, (pairs, window))?;
            }
            connections.flush(&mut wire);
        }
        Ok(())
    };
    run(&mut progress, &|p| p.named == pairs * 2)?;
    let warm = Instant::now() + Duration::from_secs(1);
    run(&mut progress, &|_| Instant::now() >= warm)?;
    let (start, messages, cpu) = (Instant::now(), progress.messages, cpu_time(pid)?);
    run(&mut progress, &|_| start.elapsed() >= duration)?;
    let (elapsed, messages, cpu) = (start.elapsed(), progress.messages - messages, cpu_time(pid)? - cpu);
    println!(
        "{pairs} pairs, window {window}: {:.0} msg/s, {:.3} us of CPU a message in the relay ({:.0} % of a core)",
        messages as f64 / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / messages as f64,
        cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
    );
    Ok(())
}

fn answer(
    wire: &mut Wire,
    connections: &mut Connections,
    progress: &mut Progress,
    event: Event,
    (pairs, window): (u32, usize),
) -> Outcome {
    match event {
        Event::Connected { token, result } => {
            let slot = result?;
            connections.open(token, slot);
            wire.receive(slot, token);
            connections.append(token, &token.to_le_bytes());
        }
        Event::Received { buffer, .. } if progress.named < pairs * 2 => {
            progress.named += u32::from(buffer.len() == NUMBER_BYTES);
            if progress.named == pairs * 2 {
                (0..pairs).for_each(|pair| connections.append(pair * 2, &vec![0; window * MESSAGE_BYTES]));
            }
        }
        Event::Received { token, buffer } => {
            let partial = &mut progress.partial_bytes[token as usize];
            let messages = (*partial + buffer.len()) / MESSAGE_BYTES;
            *partial = (*partial + buffer.len()) % MESSAGE_BYTES;
            progress.messages += messages as u64;
            (0..messages).for_each(|_| connections.append(token - 1, &[0; MESSAGE_BYTES]));
        }
        Event::Sent { token, buffer, .. } => connections.sent(token, buffer),
        Event::Ended { .. } => return Err("the relay has gone".into()),
        _ => {}
    }
    Ok(())
}

/// Time that the process has run, from the scheduler's own account.
fn cpu_time(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let account = std::fs::read_to_string(task?.path().join("schedstat"))?;
        total += Duration::from_nanos(account.split_whitespace().next().ok_or("an empty schedstat")?.parse()?);
    }
    Ok(total)
}
