//! Connections that never become a session.

use crate::broker::Broker;
use crate::bystanders::Bystanders;
use crate::on_shards;
use crate::raw::*;
use Version::{V5, V311};
use std::time::{Duration, Instant};

/// The time for a CONNECT: the bystanders need some of it too, on a busy machine more.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A CONNECT of which every part can be wrong.
fn connect(name: &[u8], level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = field(name);
    body.extend([level, flags, 0, 60]);
    body.extend(rest);
    packet(CONNECT, 0, &body)
}

/// Bytes that are refused before any session, and the reason codes of which the CONNACK may carry one. With none of them
/// the connection is closed without a word; with some it may be too, where the specification leaves it to the server.
fn rows() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let id_a = b"\0\x01a";
    let v5_id_a = b"\0\0\x01a";
    vec![
        ("PUBLISH first", Publish::new("a", "x").bytes(V311), &[]),
        ("PINGREQ first", packet(PINGREQ, 0, &[]), &[]),
        ("DISCONNECT first", packet(DISCONNECT, 0, &[]), &[]),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), &[]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec(), &[]),
        ("NUL bytes", vec![0; 64], &[]),
        ("remaining length of five bytes", vec![0x10, 0x80, 0x80, 0x80, 0x80, 0x01], &[]),
        ("CONNECT with flags", packet(CONNECT, 1, &Connect::new(V311, "a").bytes()[2..]), &[0x81]),
        ("CONNECT of no bytes", packet(CONNECT, 0, &[]), &[0x81]),
        ("another protocol", connect(b"QTTM", 4, 2, id_a), &[0x01, 0x84]),
        ("protocol level 6", connect(b"MQTT", 6, 2, v5_id_a), &[0x01, 0x84]),
        ("protocol level 3 of MQTT", connect(b"MQTT", 3, 2, id_a), &[0x01, 0x84]),
        ("the reserved flag, 3.1.1", connect(b"MQTT", 4, 3, id_a), &[]),
        ("the reserved flag, 5.0", connect(b"MQTT", 5, 3, v5_id_a), &[0x81]),
        ("a password without a user name, 3.1.1", connect(b"MQTT", 4, 0x42, b"\0\x01a\0\x01p"), &[]),
        ("a will with QoS 3", connect(b"MQTT", 4, 0x1E, b"\0\x01a\0\x01w\0\x01x"), &[]),
        ("a will's QoS without a will", connect(b"MQTT", 5, 0x0A, v5_id_a), &[0x81, 0x82]),
        ("a will that is retained without a will", connect(b"MQTT", 5, 0x22, v5_id_a), &[0x81, 0x82]),
        ("a will to a wildcard", connect(b"MQTT", 5, 0x06, b"\0\0\x01a\0\0\x01#\0\x01x"), &[0x81, 0x82, 0x90]),
        ("a client identifier past the end", connect(b"MQTT", 4, 2, b"\0\x09a"), &[]),
        ("bytes after the end", connect(b"MQTT", 5, 2, b"\0\0\x01axyz"), &[0x81]),
        ("a client identifier of half a character", connect(b"MQTT", 5, 2, b"\0\0\x01\xC3"), &[0x81, 0x85]),
        ("no client identifier for a lasting session", connect(b"MQTT", 4, 0, b"\0\0"), &[0x02]),
        ("receive maximum 0", connect(b"MQTT", 5, 2, b"\x03\x21\0\0\0\x01a"), &[0x81, 0x82]),
        ("maximum packet size 0", connect(b"MQTT", 5, 2, b"\x05\x27\0\0\0\0\0\x01a"), &[0x81, 0x82]),
        ("a property twice", connect(b"MQTT", 5, 2, b"\x06\x21\0\x01\x21\0\x01\0\x01a"), &[0x82]),
        ("a property of PUBLISH", connect(b"MQTT", 5, 2, b"\x03\x23\0\x01\0\x01a"), &[0x81, 0x82]),
        ("authentication data without a method", connect(b"MQTT", 5, 2, b"\x04\x16\0\x01d\0\x01a"), &[0x82]),
        ("an authentication method that nobody knows", connect(b"MQTT", 5, 2, b"\x04\x15\0\x01m\0\x01a"), &[0x8C]),
    ]
}

on_shards! {
    fn is_refused(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        for (name, bytes, reasons) in rows() {
            println!("{name}");
            let mut client = Raw::open(&broker, V5);
            client.send(bytes);
            match &client.until_closed()[..] {
                [] => {}
                [said] if said.kind == CONNACK => {
                    assert!(reasons.contains(&said.reason()), "{name}: the reason was 0x{:02X}", said.reason());
                }
                more => panic!("{name}: {more:02X?}"),
            }
        }
        bystanders.stop();
    }

    /// A reason is owed for these: the specification does not leave it to the server.
    fn is_told_why(shards) {
        let broker = Broker::start(shards);
        for (name, bytes, reasons) in rows() {
            let ([0x01, ..] | [0x02] | [0x8C]) = reasons else { continue };
            let mut client = Raw::open(&broker, V5);
            client.send(bytes);
            assert!(reasons.contains(&client.expect(CONNACK).reason()), "{name}");
            assert_eq!(client.next(), None, "{name}: the connection is closed after it");
        }
    }

    fn silence_is_closed(shards) {
        let broker = Broker::with(shards).set("mqtt.connect_timeout_ms", TIMEOUT.as_millis()).start();
        let bystanders = Bystanders::start(&broker);
        let started = Instant::now();
        let mut silent: Vec<Raw> = (0..20).map(|_| Raw::open(&broker, V5)).collect();
        let mut halfway = Raw::open(&broker, V5);
        halfway.send(&Connect::new(V5, "halfway").bytes()[..9]);
        for client in silent.iter_mut().chain([&mut halfway]) {
            assert_eq!(client.next(), None);
        }
        assert!(started.elapsed() >= TIMEOUT, "closed before its time");
        bystanders.stop();
    }

    /// One byte at a time does not prolong the time for a CONNECT.
    fn trickling_is_closed(shards) {
        let broker = Broker::with(shards).set("mqtt.connect_timeout_ms", TIMEOUT.as_millis()).start();
        let connect = Connect::new(V5, &"long".repeat(16_000)).bytes();
        let mut client = Raw::open(&broker, V5);
        let deadline = Instant::now() + crate::program::DEADLINE;
        for byte in connect.chunks(1) {
            // Sending fails once the broker has closed; until then each byte takes at least as long as this wait.
            if client.try_send(byte).is_err() || client.is_closed_within(Duration::from_millis(5)) {
                return;
            }
            assert!(Instant::now() < deadline, "the broker waits for ever");
        }
        panic!("the broker took a CONNECT that came too slowly");
    }

    fn vanishing_harms_nobody(shards) {
        let broker = Broker::start(shards);
        let bystanders = Bystanders::start(&broker);
        let connect = Connect::new(V5, "vanishing").bytes();
        for end in 0..connect.len() {
            let mut client = Raw::open(&broker, V5);
            client.send(&connect[..end]);
        }
        let mut client = Raw::client(&broker, V5, "watcher");
        client.subscribe("cut/#", 0);
        let whole = Publish::new("cut/topic", "whole").bytes(V5);
        for end in 0..whole.len() {
            let mut cut = Raw::client(&broker, V5, &format!("cut-{end}"));
            cut.send(&whole[..end]);
        }
        Raw::client(&broker, V5, "uncut").publish(Publish::new("cut/end", ""));
        assert_eq!(client.message().topic, b"cut/end", "half a PUBLISH was delivered");
        bystanders.stop();
    }
}
