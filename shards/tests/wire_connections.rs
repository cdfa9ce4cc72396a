//! How connections begin and end.

mod wire_support;

use ringtail_shards::wire::{Event, SendBuffer, Slot, Wait, Wire, WireConfig, listen_reuseport};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use wire_support::{PATIENCE, Server, local, pattern, small};

/// More than the kernel's socket buffers hold.
const TOO_MUCH_BYTES: usize = 64 << 20;

fn turn(wire: &mut Wire) -> Vec<Event> {
    let mut events = Vec::new();
    wire.turn(Wait::No, &mut events).unwrap();
    events
}

/// A socket that its peer has closed or reset cannot be shut down any more.
fn is_gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}

#[test]
fn peers_have_their_addresses() {
    for address in [local(), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
        let mut server = Server::at(address, &small());
        for _ in 0..100 {
            let client = TcpStream::connect(server.address).unwrap();
            let Event::Accepted { listener: 0, slot, peer } = server.next() else { panic!("not accepted") };
            assert_eq!(peer, client.local_addr().unwrap());
            server.wire.close_now(slot);
            assert!(matches!(server.next(), Event::Closed { .. }));
        }
    }
}

#[test]
fn a_full_table_is_reported_once_and_recovers() {
    let config = WireConfig { slots: 2, ..small() };
    let mut server = Server::new(&config);
    let mut clients: Vec<_> = (0..4).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let first: [Slot; 2] = [server.accept(), server.accept()];
    let Event::AcceptFailed { listener: 0, error, full: true } = server.next() else { panic!("not reported") };
    assert_eq!(error.raw_os_error(), Some(libc::ENFILE));
    assert_eq!(server.wire.free_slots(), 0);
    assert!(turn(&mut server.wire).is_empty(), "reported twice, or accepted without a slot");
    // The two in the backlog are still connected, and come in as slots become free.
    clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    for slot in first {
        server.wire.close_now(slot);
        assert!(matches!(server.next(), Event::Closed { slot: closed, .. } if closed == slot));
        let slot = server.accept();
        server.wire.receive(slot, 1);
        loop {
            match server.next() {
                Event::Received { token: 1, buffer } => break assert_eq!(&*buffer, b"x"),
                Event::AcceptFailed { error, .. } => assert_eq!(error.raw_os_error(), Some(libc::ENFILE)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_slot_taken_by_an_arrival_costs_no_client() {
    let mut server = Server::new(&WireConfig { slots: 2, ..small() });
    let mut neighbour = Server::new(&small());
    let _arrivals = [0, 1].map(|_| TcpStream::connect(neighbour.address).unwrap());
    for slot in [neighbour.accept(), neighbour.accept()] {
        neighbour.wire.send_descriptor(slot, &server.wire.handle(), 0);
        let start = Instant::now();
        while !neighbour.poll(|e| matches!(e, Event::Closed { .. })) {
            server.poll(|_| false);
            assert!(start.elapsed() < PATIENCE);
        }
        neighbour.next();
    }
    // Accepts were armed for both slots; none is left to take a client that there is no room for.
    assert!(matches!((server.next(), server.next()), (Event::Arrived { .. }, Event::Arrived { .. })));
    let Event::AcceptFailed { error, .. } = server.next() else { panic!("an accept is armed") };
    assert_eq!(error.raw_os_error(), Some(libc::ENFILE));
    let mut client = TcpStream::connect(server.address).unwrap();
    client.write_all(b"patient").unwrap();
    assert!(turn(&mut server.wire).is_empty());
}

#[test]
fn a_listener_that_fails_is_tried_again_after_a_pause() {
    let mut wire = Wire::new(&small()).unwrap();
    // Bound, but not listening: accepting fails with EINVAL.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&local().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    wire.listen(socket.try_clone().unwrap().into(), 6);
    let (start, mut events) = (Instant::now(), Vec::new());
    while events.len() < 3 {
        wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
    }
    let failed = |e: &Event| matches!(e, Event::AcceptFailed { listener: 6, error, full: true } if error.raw_os_error() == Some(libc::EINVAL));
    assert!(events.iter().all(failed));
    assert!(start.elapsed() >= Duration::from_millis(200), "three failures are two pauses apart");
    socket.listen(16).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    while !events.iter().any(|e| matches!(e, Event::Accepted { listener: 6, .. })) {
        assert!(start.elapsed() < PATIENCE);
        wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
    }
}

/// A connection that is closed before anything was asked of it ends under its own token, not under another's.
#[test]
fn an_adopted_connection_ends_under_its_token() {
    let mut server = Server::new(&small());
    let (_client, slot) = server.connect();
    server.wire.adopt(slot, 77);
    server.wire.close_now(slot);
    let Event::Closed { slot: closed, token } = server.next() else { panic!("not closed") };
    assert_eq!((closed, token), (slot, 77));
}

#[test]
fn a_listener_stops_and_its_port_is_free() {
    let mut server = Server::new(&small());
    let (_client, _) = server.connect();
    server.wire.stop_listening();
    let start = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(start.elapsed() < PATIENCE);
        turn(&mut server.wire);
    }
    TcpListener::bind(server.address).unwrap();
    // Another listener begins anew.
    let listener = listen_reuseport(local(), 16).unwrap();
    let address = listener.local_addr().unwrap();
    server.wire.listen(listener, 4);
    let _client = TcpStream::connect(address).unwrap();
    loop {
        match server.next() {
            Event::Accepted { listener: 4, .. } => return,
            Event::Accepted { listener: 0, .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn close_delivers_the_last_bytes_though_the_peer_goes_on_sending() {
    let mut server = Server::new(&small());
    let address = server.address;
    for receiving in [true, false] {
        let client = thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            // Unread bytes in the server's socket: a plain close would reset the connection.
            client.write_all(&pattern(0, 200_000)).unwrap();
            let mut answer = Vec::new();
            let mut piece = [0; 4096];
            loop {
                client.write_all(b"more").unwrap();
                match client.read(&mut piece).unwrap() {
                    0 => return answer,
                    n => answer.extend_from_slice(&piece[..n]),
                }
            }
        });
        let slot = server.accept();
        if receiving {
            server.wire.receive(slot, 3);
            assert!(matches!(server.next(), Event::Received { .. }));
        }
        let answer = pattern(5, 1_000_000);
        server.wire.send(slot, 3, SendBuffer::Bytes(answer.clone()));
        server.wire.close(slot);
        let mut sent = false;
        loop {
            match server.next() {
                Event::Sent { result, .. } => {
                    result.unwrap();
                    sent = true;
                }
                Event::Closed { token: 3, .. } => break,
                // What was taken from the ring before the close.
                Event::Received { .. } if !sent => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(sent);
        assert!(client.join().unwrap() == answer);
    }
}

#[test]
fn a_peer_that_takes_nothing_is_closed_when_the_time_is_over() {
    let config = WireConfig { linger_ms: 50, ..small() };
    let mut server = Server::new(&config);
    let (_client, slot) = server.connect();
    server.wire.send(slot, 3, SendBuffer::Bytes(vec![0; TOO_MUCH_BYTES]));
    let start = Instant::now();
    server.wire.close(slot);
    let Event::Sent { buffer: SendBuffer::Bytes(bytes), result: Err(_), .. } = server.next() else { panic!("sent") };
    assert_eq!(bytes.len(), TOO_MUCH_BYTES);
    assert!(matches!(server.next(), Event::Closed { token: 3, .. }));
    assert!(start.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_peer_that_does_not_close_is_closed_when_the_time_is_over() {
    let config = WireConfig { linger_ms: 50, ..small() };
    let mut server = Server::new(&config);
    let (mut client, slot) = server.connect();
    server.wire.receive(slot, 3);
    server.wire.send(slot, 3, SendBuffer::Bytes(b"bye".to_vec()));
    server.wire.close(slot);
    assert!(matches!(server.next(), Event::Sent { result: Ok(()), .. }));
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        (client, bytes)
    });
    assert!(matches!(server.next(), Event::Closed { token: 3, .. }));
    assert_eq!(reader.join().unwrap().1, b"bye");
}

#[test]
fn close_now_ends_everything_under_way() {
    let mut server = Server::new(&small());
    let (_client, slot) = server.connect();
    server.wire.receive(slot, 8);
    server.wire.send(slot, 8, SendBuffer::Bytes(vec![0; TOO_MUCH_BYTES]));
    assert!(turn(&mut server.wire).is_empty());
    server.wire.close_now(slot);
    server.wire.send(slot, 8, SendBuffer::Bytes(vec![1]));
    let Event::Sent { buffer: SendBuffer::Bytes(refused), result: Err(error), .. } = server.next() else {
        panic!("sent after the close")
    };
    assert_eq!((refused, error.raw_os_error()), (vec![1], Some(libc::ECANCELED)));
    assert!(matches!(server.next(), Event::Sent { token: 8, result: Err(_), .. }));
    assert!(matches!(server.next(), Event::Closed { token: 8, .. }));
    assert_eq!(server.wire.free_slots(), small().slots as usize);
}

/// Whatever the kernel: the peer hears of a close though another connection idles since before.
#[test]
fn a_peer_hears_of_a_close_while_others_idle() {
    let mut server = Server::new(&small());
    let (_idle, idle_slot) = server.connect();
    server.wire.receive(idle_slot, 1);
    for close in [Wire::close, Wire::close_now] {
        let mut client = TcpStream::connect(server.address).unwrap();
        client.set_nonblocking(true).unwrap();
        let slot = server.accept();
        server.wire.receive(slot, 2);
        close(&mut server.wire, slot);
        while !server.poll(|event| matches!(event, Event::Closed { token: 2, .. })) {
            if client.read(&mut [0; 8]).is_ok() {
                client.shutdown(Shutdown::Both).or_else(is_gone).unwrap();
            }
        }
        assert!(matches!(server.next(), Event::Closed { token: 2, .. }));
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
}

/// On a kernel that frees late, receives are armed anew while connections come and go: the bytes of those that stay are all
/// there, and those that have gone keep nothing.
#[test]
fn receives_are_renewed_while_others_come_and_go() {
    let config = WireConfig { slots: 32, kernel_frees_late: true, ..small() };
    let mut server = Server::new(&config);
    let (mut stays, slot) = server.connect();
    server.wire.receive(slot, 1);
    let (sent, mut received) = (pattern(3, 3_000), Vec::new());
    for byte in sent.chunks(1) {
        stays.write_all(byte).unwrap();
        let client = TcpStream::connect(server.address).unwrap();
        loop {
            match server.next() {
                Event::Accepted { slot, .. } => {
                    server.wire.receive(slot, 2);
                    server.wire.close_now(slot);
                }
                Event::Received { token: 1, buffer } => received.extend_from_slice(&buffer),
                Event::Closed { token: 2, .. } => break,
                other => panic!("{other:?}"),
            }
        }
        drop(client);
    }
    while received.len() < sent.len() {
        let Event::Received { token: 1, buffer } = server.next() else { panic!("something else than bytes") };
        received.extend_from_slice(&buffer);
    }
    assert_eq!(received, sent);
}

#[test]
fn a_reset_is_reported() {
    let mut server = Server::new(&small());
    let client = socket2::Socket::from(TcpStream::connect(server.address).unwrap());
    let slot = server.accept();
    server.wire.receive(slot, 8);
    client.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let Event::Ended { token: 8, error: Some(error) } = server.next() else { panic!("no reset") };
    assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
    server.wire.close(slot);
    assert!(matches!(server.next(), Event::Closed { token: 8, .. }));
}

#[test]
fn connects_and_talks() {
    let mut server = Server::new(&small());
    let bind = SocketAddr::from(([127, 0, 0, 9], 0));
    server.wire.connect(server.address, Some(bind), 21);
    let (mut accepted, mut connected) = (None, None);
    while accepted.is_none() || connected.is_none() {
        match server.next() {
            Event::Accepted { slot, peer, .. } => {
                assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 9]));
                accepted = Some(slot);
            }
            Event::Connected { token: 21, result } => connected = Some(result.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
    server.wire.receive(accepted, 22);
    server.wire.send(connected, 21, SendBuffer::Bytes(b"hello".to_vec()));
    server.wire.close(connected);
    let mut over = 0;
    while over < 2 {
        match server.next() {
            Event::Received { token: 22, buffer } => assert_eq!(&*buffer, b"hello"),
            Event::Sent { token: 21, result: Ok(()), .. } => {}
            Event::Ended { token: 22, error: None } => server.wire.close(accepted),
            Event::Closed { .. } => over += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_refused_connection_takes_no_slot() {
    let mut wire = Wire::new(&small()).unwrap();
    let nobody = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    wire.connect(nobody, None, 1);
    wire.connect(nobody, Some(SocketAddr::from(([203, 0, 113, 1], 0))), 2);
    let mut events = Vec::new();
    while events.len() < 2 {
        wire.turn(Wait::Park { until: Some(PATIENCE) }, &mut events).unwrap();
    }
    for event in events {
        let Event::Connected { token, result: Err(error) } = event else { panic!("connected") };
        let expected = if token == 1 { libc::ECONNREFUSED } else { libc::EADDRNOTAVAIL };
        assert_eq!(error.raw_os_error(), Some(expected));
    }
    assert_eq!(wire.free_slots(), small().slots as usize);
}

#[test]
fn small_queues_lose_nothing() {
    // Far more operations and completions at once than either queue holds.
    const CONNECTIONS: usize = 300;
    let config = WireConfig { slots: 1000, entries: 4, completions: 8, receive_buffers: 1024, ..small() };
    let mut server = Server::new(&config);
    let address = server.address;
    (0..CONNECTIONS as u32).for_each(|token| server.wire.connect(address, None, token));
    let (mut slots, mut received, mut ended, mut closed) = (Vec::new(), 0, 0, 0);
    while closed < 2 * CONNECTIONS {
        match server.next() {
            Event::Accepted { slot, .. } => server.wire.receive(slot, slot.index() as u32),
            Event::Connected { token, result } => slots.push((token, result.unwrap())),
            Event::Received { buffer, .. } => received += buffer.len(),
            Event::Sent { result, .. } => result.unwrap(),
            Event::Ended { token, error: None } => {
                ended += 1;
                server.end(token);
            }
            Event::Closed { .. } => closed += 1,
            other => panic!("{other:?}"),
        }
        if slots.len() == CONNECTIONS {
            for (token, slot) in slots.drain(..) {
                server.wire.send(slot, token, SendBuffer::Bytes(vec![7; 100]));
                server.wire.close(slot);
            }
        }
    }
    assert_eq!((received, ended), (CONNECTIONS * 100, CONNECTIONS));
    assert_eq!(server.wire.free_slots(), 1000);
    assert_eq!(server.wire.free_buffers(), 1024);
}

#[test]
fn a_park_ends_in_time_and_a_pace_collects() {
    let mut server = Server::new(&small());
    let limit = Duration::from_millis(20);
    for wait in [Wait::Park { until: Some(limit) }, Wait::Pace { completions: 10, up_to_us: 20_000 }] {
        let (start, mut events) = (Instant::now(), Vec::new());
        server.wire.turn(wait, &mut events).unwrap();
        assert!(events.is_empty());
        assert!(start.elapsed() >= limit && start.elapsed() < PATIENCE);
    }
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let mut events = Vec::new();
    let pace = Wait::Pace { completions: 3, up_to_us: PATIENCE.as_micros() as u32 };
    server.wire.turn(pace, &mut events).unwrap();
    assert_eq!(events.len(), 3);
    drop(clients);
}

#[test]
fn a_wire_ends_its_connections_when_it_goes() {
    let mut server = Server::new(&small());
    let handle = server.wire.handle();
    let (mut client, slot) = server.connect();
    server.wire.receive(slot, 1);
    server.wire.send(slot, 1, SendBuffer::Bytes(vec![0; TOO_MUCH_BYTES]));
    assert!(turn(&mut server.wire).is_empty());
    client.write_all(b"kept").unwrap();
    let kept = server.next();
    drop(server);
    let Event::Received { buffer, .. } = kept else { panic!("not received") };
    assert_eq!(&*buffer, b"kept");
    client.shutdown(Shutdown::Write).unwrap();
    // The end, or a reset: what was not sent is lost with the wire.
    let mut bytes = Vec::new();
    let ended = client.read_to_end(&mut bytes);
    assert!(ended.is_err() || bytes.len() < TOO_MUCH_BYTES);
    drop(handle);
}
