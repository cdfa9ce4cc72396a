//! Receiving and sending on one wire, against plain sockets.

mod wire_support;

use ringtail_mqtt::message::{Message, MessageRef};
use ringtail_mqtt::outbox::Segment;
use ringtail_mqtt::packet::QoS;
use ringtail_mqtt::time::Millis;
use ringtail_shards::wire::{Event, SendBuffer, Wait, WireConfig, listen_reuseport};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::thread;
use wire_support::{Server, local, pattern, small};

const EVERYTHING_BYTES: usize = 50 << 20;

/// Answers whatever comes with the same bytes until the peer closes.
fn echo(server: &mut Server, connections: usize) {
    let mut closed = 0;
    while closed < connections {
        match server.next() {
            Event::Accepted { slot, .. } => server.wire.receive(slot, slot.index() as u32),
            Event::Received { token, buffer } => server.queue(token, &buffer),
            Event::Sent { token, buffer, result } => {
                result.unwrap();
                server.sent(token, buffer);
            }
            Event::Ended { token, error } => {
                assert!(error.is_none());
                server.end(token);
            }
            Event::Closed { .. } => closed += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn echoes_through_a_multishot_receive() {
    let mut server = Server::new(&small());
    let address = server.address;
    let clients: Vec<_> = (0..3)
        .map(|seed| {
            thread::spawn(move || {
                let mut client = TcpStream::connect(address).unwrap();
                for round in 0..200 {
                    let request = pattern(seed * 1000 + round, 1 + round * 37);
                    client.write_all(&request).unwrap();
                    let mut answer = vec![0; request.len()];
                    client.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, request);
                }
            })
        })
        .collect();
    echo(&mut server, 3);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(server.wire.free_buffers(), usize::from(small().receive_buffers));
    assert_eq!(server.wire.free_slots(), small().slots as usize);
}

#[test]
fn a_tiny_buffer_ring_loses_nothing() {
    let config = WireConfig { receive_buffers: 2, receive_buffer_bytes: 512, ..small() };
    let mut server = Server::new(&config);
    let address = server.address;
    let clients: Vec<_> = (0..8)
        .map(|seed| {
            thread::spawn(move || {
                let mut client = TcpStream::connect(address).unwrap();
                let request = pattern(seed, 300_000);
                let mut reader = client.try_clone().unwrap();
                let answer = thread::spawn(move || {
                    let mut answer = Vec::new();
                    reader.read_to_end(&mut answer).unwrap();
                    answer
                });
                client.write_all(&request).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                assert!(answer.join().unwrap() == request);
            })
        })
        .collect();
    echo(&mut server, 8);
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(server.wire.free_buffers(), 2);
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    let mut server = Server::new(&small());
    let (mut client, slot) = server.connect();
    let everything = pattern(7, EVERYTHING_BYTES);
    server.wire.send(slot, 1, SendBuffer::Bytes(everything.clone()));
    // A second send before the first is over would mix the two.
    server.wire.send(slot, 1, SendBuffer::Bytes(vec![9]));
    assert!(matches!(server.next(), Event::Sent { result: Err(e), .. } if e.raw_os_error() == Some(libc::EBUSY)));
    let reader = thread::spawn(move || {
        let (mut bytes, mut piece) = (Vec::with_capacity(EVERYTHING_BYTES), [0; 1000]);
        // Small reads of a full window: the sender waits for room again and again.
        loop {
            match client.read(&mut piece).unwrap() {
                0 => return bytes,
                n => bytes.extend_from_slice(&piece[..n]),
            }
        }
    });
    let Event::Sent { token: 1, buffer: SendBuffer::Bytes(buffer), result: Ok(()) } = server.next() else {
        panic!("not sent")
    };
    assert_eq!(buffer.len(), EVERYTHING_BYTES);
    server.wire.close(slot);
    assert!(matches!(server.next(), Event::Closed { .. }));
    assert!(reader.join().unwrap() == everything);
}

#[test]
fn gathers_more_pieces_than_one_call_takes() {
    let mut server = Server::new(&small());
    let (mut client, slot) = server.connect();
    let payload = Rc::new(Message::from(MessageRef {
        topic_name: "a/b",
        properties: &[],
        payload: &pattern(1, 20_000),
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: Millis::NEVER,
    }));
    let mut segments = Vec::new();
    let mut expected = Vec::new();
    for number in 0..1500_u32 {
        let head = number.to_be_bytes().to_vec();
        expected.extend_from_slice(&head);
        expected.extend_from_slice(payload.payload());
        segments.push(Segment::Bytes(head));
        segments.push(Segment::Payload(Rc::clone(&payload)));
    }
    server.wire.send(slot, 1, SendBuffer::Segments(segments));
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; expected.len()];
        client.read_exact(&mut bytes).unwrap();
        assert!(bytes == expected);
    });
    let Event::Sent { buffer: SendBuffer::Segments(segments), result: Ok(()), .. } = server.next() else {
        panic!("not sent")
    };
    assert_eq!(segments.len(), 3000);
    reader.join().unwrap();
}

#[test]
fn stopping_and_resuming_loses_nothing() {
    let config = WireConfig { receive_buffers: 16, receive_buffer_bytes: 1024, ..small() };
    let mut server = Server::new(&config);
    let request = pattern(3, 3_000_000);
    let expected = request.clone();
    let address = server.address;
    let client = thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&request).unwrap();
    });
    let slot = server.accept();
    server.wire.receive(slot, 5);
    let (mut bytes, mut stops) = (Vec::new(), 0);
    loop {
        match server.next() {
            Event::Received { token: 5, buffer } => {
                bytes.extend_from_slice(&buffer);
                if stops % 3 == 0 {
                    // Asked to go on before it has stopped: as if it had never been asked to stop.
                    server.wire.stop_receiving(slot, 5);
                    server.wire.receive(slot, 5);
                }
                server.wire.stop_receiving(slot, 5);
            }
            Event::Stopped { token: 5 } => {
                stops += 1;
                server.wire.receive(slot, 5);
            }
            Event::Ended { token: 5, error: None } => break,
            other => panic!("{other:?}"),
        }
    }
    client.join().unwrap();
    assert!(stops > 0);
    assert!(bytes == expected);
    // The receive is over: there is nothing to stop, and no answer.
    server.wire.stop_receiving(slot, 5);
    server.wire.close_now(slot);
    assert!(matches!(server.next(), Event::Closed { token: 5, .. }));
}

#[test]
fn a_stopped_connection_keeps_its_bytes_in_the_socket() {
    let mut server = Server::new(&small());
    let (mut client, slot) = server.connect();
    server.wire.receive(slot, 5);
    client.write_all(b"before").unwrap();
    assert!(matches!(server.next(), Event::Received { buffer, .. } if &*buffer == b"before"));
    server.wire.stop_receiving(slot, 5);
    assert!(matches!(server.next(), Event::Stopped { token: 5 }));
    client.write_all(b"after").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut events = Vec::new();
    server.wire.turn(Wait::No, &mut events).unwrap();
    assert!(events.is_empty());
    server.wire.receive(slot, 6);
    assert!(matches!(server.next(), Event::Received { token: 6, buffer } if &*buffer == b"after"));
    assert!(matches!(server.next(), Event::Ended { token: 6, error: None }));
}

#[test]
fn going_on_before_it_has_stopped_is_no_stop() {
    let mut server = Server::new(&small());
    let (mut client, slot) = server.connect();
    server.wire.receive(slot, 5);
    client.write_all(b"before").unwrap();
    assert!(matches!(server.next(), Event::Received { buffer, .. } if &*buffer == b"before"));
    server.wire.stop_receiving(slot, 5);
    server.wire.receive(slot, 5);
    client.write_all(b"after").unwrap();
    assert!(matches!(server.next(), Event::Received { buffer, .. } if &*buffer == b"after"));
    server.wire.stop_receiving(slot, 5);
    assert!(matches!(server.next(), Event::Stopped { token: 5 }));
}

#[test]
fn one_receive_takes_one_buffer() {
    let config = WireConfig { receive_buffer_bytes: 8, ..small() };
    let mut server = Server::new(&config);
    let (mut client, slot) = server.connect();
    client.write_all(b"one buffer and more").unwrap();
    server.wire.receive_once(slot, 2);
    assert!(matches!(server.next(), Event::Received { token: 2, buffer } if &*buffer == b"one buff"));
    let mut events = Vec::new();
    server.wire.turn(Wait::No, &mut events).unwrap();
    assert!(events.is_empty());
    server.wire.receive_once(slot, 3);
    assert!(matches!(server.next(), Event::Received { token: 3, buffer } if &*buffer == b"er and m"));
}

#[test]
fn a_hog_leaves_buffers_to_others() {
    let config = WireConfig { receive_buffers: 4, receive_buffer_bytes: 4096, ..small() };
    let mut server = Server::new(&config);
    let address = server.address;
    let hog = thread::spawn(move || {
        let mut hog = TcpStream::connect(address).unwrap();
        let bytes = vec![1; 1 << 20];
        while hog.write_all(&bytes).is_ok() {}
    });
    let hog_slot = server.accept();
    server.wire.receive(hog_slot, 1);
    let mut quiet = TcpStream::connect(address).unwrap();
    let quiet_slot = loop {
        if let Event::Accepted { slot, .. } = server.next() {
            break slot;
        }
    };
    server.wire.receive(quiet_slot, 2);
    for _ in 0..100 {
        quiet.write_all(b"?").unwrap();
        // The hog is always ready; the other one must get its turn within a bounded number of events.
        let turn = (0..200).find(|_| matches!(server.next(), Event::Received { token: 2, .. }));
        assert!(turn.is_some());
    }
    server.wire.close_now(hog_slot);
    while !matches!(server.next(), Event::Closed { token: 1, .. }) {}
    hog.join().unwrap();
}

#[test]
fn listeners_of_one_port_share_it() {
    let first = listen_reuseport(local(), 16).unwrap();
    let second = listen_reuseport(first.local_addr().unwrap(), 16).unwrap();
    assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    assert_ne!(first.local_addr().unwrap().port(), 0);
}
