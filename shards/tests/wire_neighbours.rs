//! What other threads do with a wire: ring it, and hand it connections.

mod wire_support;

use ringtail_shards::wire::{Bell, Event, SendBuffer, Slot, Wait, Wire, WireConfig, WireHandle};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;
use wire_support::{PATIENCE, Server, pattern, small};

/// Runs `serve` on a wire of another thread; returns the wire's handle and bell.
fn neighbour(
    config: WireConfig,
    serve: impl FnOnce(&mut Wire) + Send + 'static,
) -> (WireHandle, Bell, thread::JoinHandle<()>) {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut wire = Wire::new(&config).unwrap();
        sender.send((wire.handle(), wire.bell())).unwrap();
        serve(&mut wire);
    });
    let (handle, bell) = receiver.recv().unwrap();
    (handle, bell, thread)
}

/// The next event, which must be the only one of its turn.
fn next(wire: &mut Wire) -> Event {
    let mut waiting = VecDeque::new();
    let event = next_of(wire, &mut waiting);
    assert!(waiting.is_empty(), "{event:?}, {waiting:?}");
    event
}

/// The next event; those that came with it wait for the next call.
fn next_of(wire: &mut Wire, waiting: &mut VecDeque<Event>) -> Event {
    let start = Instant::now();
    loop {
        if let Some(event) = waiting.pop_front() {
            return event;
        }
        assert!(start.elapsed() < PATIENCE, "nothing happened");
        let mut events = Vec::new();
        wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
        waiting.extend(events);
    }
}

/// Echoes on the connection that arrives until its peer closes.
fn serve_arrival(wire: &mut Wire, expected_token: u64) {
    let Event::Arrived { slot, token } = next(wire) else { panic!("no arrival") };
    assert_eq!(token, expected_token);
    wire.receive(slot, 77);
    loop {
        match next(wire) {
            Event::Received { token: 77, buffer } => wire.send(slot, 77, SendBuffer::Bytes(buffer.to_vec())),
            Event::Sent { result, .. } => result.unwrap(),
            Event::Ended { .. } => wire.close(slot),
            Event::Closed { .. } => return,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_moves_with_bytes_before_and_after() {
    let token = (1 << 56) - 3;
    let (handle, _, thread) = neighbour(small(), move |wire| serve_arrival(wire, token));
    let mut server = Server::new(&small());
    let mut client = TcpStream::connect(server.address).unwrap();
    client.write_all(b"hello").unwrap();
    let slot = server.accept();
    server.wire.receive_once(slot, 9);
    assert!(matches!(server.next(), Event::Received { token: 9, buffer } if &*buffer == b"hello"));
    // These bytes are in the socket while it moves.
    client.write_all(b"under way").unwrap();
    server.wire.send_descriptor(slot, &handle, token);
    assert!(matches!(server.next(), Event::Closed { token: 9, .. }));
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"under way");
    client.write_all(b"there").unwrap();
    client.read_exact(&mut answer[..5]).unwrap();
    assert_eq!(&answer[..5], b"there");
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_connection_that_cannot_move_stays() {
    let full = WireConfig { slots: 1, ..small() };
    let (handle, bell, thread) = neighbour(full, |wire| {
        // On older kernels the sender may ring before this wire has looked.
        let mut waiting = VecDeque::new();
        let Event::Arrived { slot, .. } = next_of(wire, &mut waiting) else { panic!("no arrival") };
        assert!(matches!(next_of(wire, &mut waiting), Event::Rung));
        wire.close_now(slot);
        assert!(matches!(next(wire), Event::Closed { .. }));
    });
    let mut server = Server::new(&small());
    let _clients = [0, 1].map(|_| TcpStream::connect(server.address).unwrap());
    let slots: [Slot; 2] = [server.accept(), server.accept()];
    slots.iter().for_each(|&slot| server.wire.receive_once(slot, 10 + slot.index() as u32));
    // A receive is armed: it would take bytes that belong to the neighbour.
    server.wire.send_descriptor(slots[0], &handle, 1);
    let Event::HandoverFailed { error, .. } = server.next() else { panic!("handed over while receiving") };
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    for slot in slots {
        server.wire.stop_receiving(slot, 10 + slot.index() as u32);
        assert!(matches!(server.next(), Event::Stopped { .. }));
    }
    server.wire.send_descriptor(slots[0], &handle, 1);
    assert!(matches!(server.next(), Event::Closed { slot, .. } if slot == slots[0]));
    server.wire.send_descriptor(slots[1], &handle, 2);
    let Event::HandoverFailed { slot, token, error } = server.next() else { panic!("the table was full") };
    assert_eq!((slot, token, error.raw_os_error()), (slots[1], 10 + slot.index() as u32, Some(libc::ENFILE)));
    bell.ring();
    thread.join().unwrap();
    server.wire.close_now(slots[1]);
    assert!(matches!(server.next(), Event::Closed { slot, .. } if slot == slots[1]));
}

#[test]
fn a_neighbour_wakes_a_parked_wire() {
    let (to_main, from_neighbour) = mpsc::channel();
    let (handle, _, thread) = neighbour(small(), move |wire| {
        for _ in 0..100 {
            let mut events = Vec::new();
            // Without a limit: only the neighbour ends this.
            while events.is_empty() {
                wire.turn(Wait::Park { until: None }, &mut events).unwrap();
            }
            assert!(matches!(events[..], [Event::Rung]));
            to_main.send(()).unwrap();
        }
    });
    let mut wire = Wire::new(&small()).unwrap();
    let mut events = Vec::new();
    for _ in 0..100 {
        wire.ring_neighbour(&handle);
        wire.turn(Wait::No, &mut events).unwrap();
        from_neighbour.recv_timeout(PATIENCE).unwrap();
    }
    assert!(events.is_empty(), "a ring is no event of the one who rings: {events:?}");
    thread.join().unwrap();
}

#[test]
fn a_bell_wakes_a_parked_wire() {
    let (to_main, from_neighbour) = mpsc::channel();
    let (_handle, bell, thread) = neighbour(small(), move |wire| {
        for _ in 0..100 {
            assert!(matches!(next(wire), Event::Rung));
            to_main.send(()).unwrap();
        }
    });
    for _ in 0..100 {
        bell.ring();
        from_neighbour.recv_timeout(PATIENCE).unwrap();
    }
    thread.join().unwrap();
    bell.ring();
}

#[test]
fn many_rings_are_one_event_a_turn() {
    let mut wire = Wire::new(&small()).unwrap();
    let own = wire.handle();
    wire.bell().ring();
    (0..500).for_each(|_| wire.ring_neighbour(&own));
    let mut events = Vec::new();
    wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
    assert!(matches!(events[..], [Event::Rung]));
}

#[test]
fn ringing_a_wire_that_is_gone_is_harmless() {
    let (handle, bell, thread) = neighbour(small(), |_| {});
    thread.join().unwrap();
    let mut server = Server::new(&small());
    server.wire.ring_neighbour(&handle);
    bell.ring();
    let (_client, slot) = server.connect();
    server.wire.send_descriptor(slot, &handle, 0);
    assert!(matches!(server.next(), Event::HandoverFailed { .. }));
}

#[test]
fn writes_a_file_and_reports_what_it_cannot() {
    let mut wire = Wire::new(&small()).unwrap();
    let path = std::env::temp_dir().join(format!("ringtail-wire-write-{}", std::process::id()));
    let (file, bytes) = (Rc::new(File::create(&path).unwrap()), Arc::new(pattern(3, 100_000)));
    for (from, token) in [(60_000, 1), (0, 2)] {
        wire.write(Rc::clone(&file), (Arc::clone(&bytes), from), from as u64, token);
        let Event::Wrote { token: of, result } = next(&mut wire) else { panic!("a write") };
        assert_eq!((of, result.unwrap()), (token, 100_000 - from));
    }
    assert_eq!(std::fs::read(&path).unwrap(), *bytes);
    assert_eq!((Rc::strong_count(&file), Arc::strong_count(&bytes)), (1, 1), "both are given back");
    let reader = File::open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    wire.write(reader, (bytes, 0), 0, 3);
    assert!(matches!(next(&mut wire), Event::Wrote { token: 3, result: Err(_) }));
}

#[test]
fn syncs_a_file_and_reports_what_it_cannot() {
    let mut wire = Wire::new(&small()).unwrap();
    let path = std::env::temp_dir().join(format!("ringtail-wire-sync-{}", std::process::id()));
    let mut file = File::create(&path).unwrap();
    file.write_all(&pattern(1, 100_000)).unwrap();
    let file = Rc::new(file);
    wire.fsync(Rc::clone(&file), 1 << 40);
    assert!(matches!(next(&mut wire), Event::Synced { token, result: Ok(()) } if token == 1 << 40));
    assert_eq!(Rc::strong_count(&file), 1);
    std::fs::remove_file(path).unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    wire.fsync(reader, 2);
    assert!(matches!(next(&mut wire), Event::Synced { token: 2, result: Err(_) }));
}
