//! Enhanced authentications that a client begins and does not end.

use crate::config::Config;
use crate::shard::rig::{Client, Rig};
use crate::wire::Slot;
use ringtail_mqtt::authentication::{Authenticator, Method, Step};
use ringtail_mqtt::codec;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use std::net::SocketAddr;
use std::sync::Arc;

/// Takes a client at once that brings something, and others when they answer.
#[derive(Debug)]
struct Bring;

impl Method for Bring {
    fn name(&self) -> &str {
        "BRING"
    }

    fn begin(&self) -> Box<dyn Authenticator> {
        Box::new(Self)
    }
}

impl Authenticator for Bring {
    fn start(&mut self, octets: Option<&[u8]>) -> Step {
        if octets.is_some() { Step::Success(Vec::new()) } else { Step::Continue(Vec::new()) }
    }

    fn step(&mut self, _octets: Option<&[u8]>) -> Step {
        Step::Success(Vec::new())
    }
}

fn rig() -> Rig {
    let config = Config { shards: 1, connect_timeout_ms: 1_000, ..Config::default() };
    Rig::new(Config { authentication_methods: vec![Arc::new(Bring)], ..config })
}

fn sends(rig: &mut Rig, client: Client, packet: &Packet<'_>) {
    let mut bytes = Vec::new();
    codec::encode(packet, ProtocolVersion::V5, &mut bytes).unwrap();
    rig.cores[client.shard].take_bytes(client.number, &bytes);
}

fn connects(rig: &mut Rig, octets: Option<&[u8]>) -> Client {
    let number = rig.cores[0].admit(Slot::numbered(0), SocketAddr::from(([127, 0, 0, 1], 1)).into());
    let client = Client { shard: 0, number };
    let connect = Connect {
        version: ProtocolVersion::V5,
        bridge: false,
        clean_start: true,
        keep_alive_s: 0,
        properties: Properties {
            authentication_method: Some("BRING"),
            authentication_data: octets,
            ..Properties::default()
        },
        client_id: "c",
        will: None,
        username: None,
        password: None,
    };
    sends(rig, client, &Packet::Connect(Box::new(connect)));
    client
}

fn auth(rig: &mut Rig, client: Client, reason: ReasonCode) {
    let properties = Properties { authentication_method: Some("BRING"), ..Properties::default() };
    sends(rig, client, &Packet::Auth(Box::new(ReasonPacket { reason, properties })));
}

/// How many authentications have failed, and how many of them because of the time.
fn failed(rig: &Rig) -> (u64, u64) {
    let counters = &rig.cores[0].local.counters;
    (counters.authentications_failed, counters.authentications_timed_out)
}

#[test]
fn before_connack() {
    let mut rig = rig();
    let client = connects(&mut rig, None);
    rig.waits(900);
    assert_eq!(failed(&rig), (0, 0));
    rig.waits(200);
    assert_eq!(failed(&rig), (1, 1));
    assert!(!rig.is_live(client));
    assert_eq!(rig.cores[0].local.counters.connections_closed_connect_timeout, 0);
}

#[test]
fn of_a_live_client() {
    let mut rig = rig();
    let client = connects(&mut rig, Some(b"x"));
    rig.waits(5_000);
    auth(&mut rig, client, ReasonCode::ReAuthenticate);
    rig.waits(900);
    assert!(rig.is_live(client));
    rig.waits(200);
    assert!(!rig.is_live(client));
    assert_eq!(failed(&rig), (1, 1));
}

/// One after the other, each in time: the client stays, and no pile of timers does.
#[test]
fn those_that_end_leave_nothing() {
    let mut rig = rig();
    let client = connects(&mut rig, Some(b"x"));
    for _ in 0..500 {
        for _ in 0..4 {
            auth(&mut rig, client, ReasonCode::ReAuthenticate);
            auth(&mut rig, client, ReasonCode::ContinueAuthentication);
        }
        rig.waits(10);
        // That for CONNECT, and one more.
        assert!(rig.cores[0].timers.len() <= 2, "{}", rig.cores[0].timers.len());
    }
    rig.waits(5_000);
    assert!(rig.is_live(client));
    assert_eq!((failed(&rig), rig.cores[0].timers.len()), ((0, 0), 0));
}
