//! Enhanced authentication (4.12): without a method, and with the method for tests, which asks for as many rounds as the
//! client's first Authentication Data says and wants each challenge back to front.

use crate::at::At;
use crate::client::*;
use crate::conformance;
use crate::raw::*;
use std::time::{Duration, Instant};

const METHOD: &str = "RINGTAIL-TEST";
const SUCCESS: u8 = 0x00;
const CONTINUE: u8 = 0x18;
const RE_AUTHENTICATE: u8 = 0x19;
const NOT_AUTHORIZED: u8 = 0x87;

fn with_method(at: &At) -> At {
    at.own(|setup| setup.set("mqtt.test_authentication", true))
}

/// Authentication Method and Authentication Data.
fn authentication(octets: &str) -> Vec<u8> {
    [text(0x15, METHOD), text(0x16, octets)].concat()
}

fn connecting(at: &At, who: &str, rounds: &str) -> Connecting {
    at.connecting(who).with(&authentication(rounds))
}

fn auth_with(reason: u8, bytes: &[u8]) -> Vec<u8> {
    packet(AUTH, 0, &[&[reason][..], &properties(Version::V5, bytes)].concat())
}

fn auth(reason: u8, octets: &str) -> Vec<u8> {
    auth_with(reason, &authentication(octets))
}

/// The Authentication Data of the broker's AUTH, which must have this reason, the method and nothing else.
fn octets_of(client: &mut Raw, reason: u8) -> String {
    let auth = client.expect(AUTH);
    assert_eq!((auth.flags, auth.body[0]), (0, reason));
    let taken = section(&auth.body[1..]);
    assert_eq!(find(&taken, 0x15), Some(&field(METHOD)[..]));
    assert_eq!(taken.len(), 2, "{taken:?}");
    String::from_utf8(find(&taken, 0x16).unwrap()[2..].to_vec()).unwrap()
}

fn challenge(client: &mut Raw) -> String {
    octets_of(client, CONTINUE)
}

/// The answer to the challenge that is next.
fn answer(client: &mut Raw) -> Vec<u8> {
    let backwards: String = challenge(client).chars().rev().collect();
    auth(CONTINUE, &backwards)
}

fn answer_rounds(client: &mut Raw, rounds: usize) {
    for _ in 0..rounds {
        let answer = answer(client);
        client.send(answer);
    }
}

/// A client that has authenticated.
fn authenticated(at: &At, who: &str) -> Raw {
    let mut client = at.open(&connecting(at, who, "1"));
    answer_rounds(&mut client, 1);
    assert_eq!(client.connack().reason, 0);
    client
}

conformance! {
    // 5.0: [MQTT-4.12.0-1], [MQTT-3.1.4-2]
    fn a_method_that_is_not_known(at: V5) {
        let mut client = at.open(&at.connecting("client").with(&text(0x15, "SCRAM-SHA-1")));
        assert_eq!(client.connack().reason, 0x8C);
        assert_eq!(client.next(), None);
    }

    // 5.0: [MQTT-4.12.0-6]
    fn no_method_no_auth(at: V5) {
        let (mut client, connack) = at.connect(&at.connecting("client"));
        assert_eq!((connack.property(0x15), connack.property(0x16)), (None, None));
        client.ping();
    }

    // 5.0: [MQTT-4.12.0-7], [MQTT-4.12.1-1]
    fn auth_unasked(at: V5) {
        for reason in [0x18, 0x19] {
            let mut client = at.client("client");
            let properties = text(0x15, "SCRAM-SHA-1");
            client.send(packet(AUTH, 0, &[&[reason, properties.len() as u8][..], &properties].concat()));
            client.is_refused(&[PROTOCOL_ERROR]);
        }
    }

    /// The connection of that client identifier goes on when another one has authenticated and is refused all the same.
    // 5.0: [MQTT-3.1.4-2], [MQTT-3.1.4-3], [MQTT-3.1.4-4]
    fn refused_in_the_end(at: V5) {
        let at = with_method(at);
        let (mut client, _) = at.connect(&at.lasting("client"));
        client.subscribe(&at.topic("a"), 1);
        let mut refused = at.open(&connecting(&at, "client", "1").will(Will::new("$SYS/a", "x")));
        answer_rounds(&mut refused, 1);
        assert_eq!(refused.connack().reason, NOT_AUTHORIZED);
        assert_eq!(refused.next(), None);
        at.publisher().publish(at.message("a", "still there"));
        assert_eq!(client.payload(), "still there");
        client.leave(0);
        let (_, connack) = at.connect(&at.lasting("client"));
        assert!(connack.session_present());
    }

    // 5.0: [MQTT-3.15.1-1], [MQTT-3.15.2-1]
    fn auth_that_is_none(at: V5) {
        for (flags, body) in [(1, &[0x18, 0][..]), (2, &[]), (0, &[0x01, 0]), (0, &[0x80, 0])] {
            let mut client = at.client("client");
            client.send(packet(AUTH, flags, body));
            client.is_refused(&[MALFORMED, PROTOCOL_ERROR]);
        }
    }

    // 5.0: [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    fn as_many_rounds_as_the_method_wants(at: V5) {
        let at = with_method(at);
        for rounds in [0, 1, 2, 40] {
            let mut client = at.open(&connecting(&at, "client", &rounds.to_string()));
            answer_rounds(&mut client, rounds);
            let connack = client.connack();
            assert_eq!((connack.reason, connack.session_present()), (0, false));
            assert_eq!(connack.property(0x15), Some(&field(METHOD)[..]));
            assert_eq!(connack.property(0x16), Some(&field("done")[..]));
            client.ping();
            client.leave(0);
        }
    }

    /// What CONNECT said holds although CONNACK comes late.
    // 5.0: [MQTT-4.12.0-2]
    fn connect_is_kept_meanwhile(at: V5) {
        let at = with_method(at);
        let mut watch = authenticated(&at, "watch");
        watch.subscribe(&at.topic("a"), 0);
        let lasting = connecting(&at, "client", "2").lasting().will(Will::new(at.topic("a"), "gone"));
        for session_present in [false, true] {
            let mut client = at.open(&lasting);
            answer_rounds(&mut client, 2);
            assert_eq!(client.connack().session_present(), session_present);
            drop(client);
            assert_eq!(watch.payload(), "gone");
        }
        let mut nameless = at.open(&Connecting { client_id: String::new(), ..connecting(&at, "", "1") });
        answer_rounds(&mut nameless, 1);
        assert!(nameless.connack().property(0x12).is_some(), "an Assigned Client Identifier");
    }

    // 5.0: [MQTT-4.12.0-4], [MQTT-3.1.4-2]
    fn a_failed_authentication(at: V5) {
        let at = with_method(at);
        let mut earlier = authenticated(&at, "client");
        for octets in ["", "100", "-1", "x"] {
            let mut client = at.open(&connecting(&at, "client", octets));
            assert_eq!(client.connack().reason, NOT_AUTHORIZED);
            assert_eq!(client.next(), None);
        }
        let mut client = at.open(&at.connecting("client").with(&text(0x15, METHOD)));
        assert_eq!(client.connack().reason, NOT_AUTHORIZED);
        assert_eq!(client.next(), None);
        for rounds in 0..3 {
            let mut client = at.open(&connecting(&at, "client", "3"));
            answer_rounds(&mut client, rounds);
            challenge(&mut client);
            client.send(auth(CONTINUE, "wrong"));
            assert_eq!(client.connack().reason, NOT_AUTHORIZED);
            assert_eq!(client.next(), None);
        }
        // Who fails takes over nothing.
        earlier.ping();
        authenticated(&at, "client").ping();
        earlier.is_refused(&[0x8E]);
    }

    // 5.0: [MQTT-3.1.2-30]
    fn only_auth_and_disconnect_before_connack(at: V5) {
        let at = with_method(at);
        let others = [
            packet(PINGREQ, 0, &[]),
            at.message("a", "x").bytes(Version::V5),
            subscribe(Version::V5, 1, &[("a", 0)]),
            connecting(&at, "client", "1").bytes(),
            auth(RE_AUTHENTICATE, "1"),
            auth_with(CONTINUE, &[text(0x15, "OTHER"), text(0x16, "x")].concat()),
        ];
        for other in others {
            let mut client = at.open(&connecting(&at, "client", "1"));
            challenge(&mut client);
            client.send(other);
            assert_eq!(client.connack().reason, PROTOCOL_ERROR);
            assert_eq!(client.next(), None);
        }
        let mut client = at.open(&connecting(&at, "client", "1"));
        challenge(&mut client);
        client.send(packet(AUTH, 1, &[CONTINUE, 0]));
        assert_eq!(client.connack().reason, MALFORMED);
        assert_eq!(client.next(), None);
        let mut client = at.open(&connecting(&at, "client", "1"));
        challenge(&mut client);
        client.leave(0);
    }

    /// The time for CONNECT is the time for all of it.
    // 5.0: [MQTT-4.12.0-4]
    fn an_authentication_that_never_ends(at: V5) {
        let at = at.own(|setup| setup.set("mqtt.test_authentication", true).set("mqtt.connect_timeout_ms", 3_000));
        let mut client = at.open(&connecting(&at, "client", "2"));
        answer_rounds(&mut client, 1);
        challenge(&mut client);
        assert_eq!(client.connack().reason, NOT_AUTHORIZED);
        assert_eq!(client.next(), None);
    }

    /// One that is begun anew has as much time, however often there was one before; other packets make it no longer.
    // 5.0: [MQTT-4.12.1-2]
    fn authenticating_again_that_never_ends(at: V5) {
        const TIME_MS: u64 = 4_000;
        let at = at.own(|setup| setup.set("mqtt.test_authentication", true).set("mqtt.connect_timeout_ms", TIME_MS));
        let mut watch = authenticated(&at, "watch");
        watch.subscribe(&at.topic("a"), 0);
        let (mut client, _) = {
            let connecting = connecting(&at, "client", "0").will(Will::new(at.topic("a"), "gone"));
            at.connect(&connecting)
        };
        for _ in 0..5 {
            client.send(auth(RE_AUTHENTICATE, "1"));
            answer_rounds(&mut client, 1);
            assert_eq!(octets_of(&mut client, SUCCESS), "done");
        }
        let begun = Instant::now();
        client.send(auth(RE_AUTHENTICATE, "2"));
        answer_rounds(&mut client, 1);
        challenge(&mut client);
        client.ping();
        client.is_refused(&[NOT_AUTHORIZED]);
        // The broker counts whole milliseconds.
        assert!(begun.elapsed() >= Duration::from_millis(TIME_MS - 1), "{:?}", begun.elapsed());
        assert_eq!(watch.payload(), "gone");
        // Those that have ended theirs go on.
        watch.ping();
    }

    // 5.0: [MQTT-4.12.1-1], [MQTT-4.12.0-2], [MQTT-4.12.0-5], [MQTT-3.15.2-1]
    fn authenticating_again(at: V5) {
        let at = with_method(at);
        let mut client = authenticated(&at, "client");
        client.subscribe(&at.topic("a"), 1);
        let mut publisher = authenticated(&at, "publisher");
        for rounds in [0, 1, 3] {
            client.send(auth(RE_AUTHENTICATE, &rounds.to_string()));
            for _ in 0..rounds {
                let answer = answer(&mut client);
                // Everything else goes on meanwhile.
                publisher.publish(at.message("a", "meanwhile"));
                assert_eq!(client.payload(), "meanwhile");
                client.ping();
                client.send(answer);
            }
            assert_eq!(octets_of(&mut client, SUCCESS), "done");
        }
        client.ping();
    }

    // 5.0: [MQTT-4.12.1-1], [MQTT-4.12.1-2]
    fn authenticating_again_in_vain(at: V5) {
        let at = with_method(at);
        let other = [text(0x15, "OTHER"), text(0x16, "1")].concat();
        let mut watch = authenticated(&at, "watch");
        watch.subscribe(&at.topic("a"), 0);
        for (first, then, reason) in [
            (auth(RE_AUTHENTICATE, "x"), None, NOT_AUTHORIZED),
            (auth(RE_AUTHENTICATE, "1"), Some(auth(CONTINUE, "wrong")), NOT_AUTHORIZED),
            (auth(RE_AUTHENTICATE, "1"), Some(auth(RE_AUTHENTICATE, "1")), PROTOCOL_ERROR),
            (auth(RE_AUTHENTICATE, "1"), Some(auth_with(CONTINUE, &other)), PROTOCOL_ERROR),
            (auth(CONTINUE, "x"), None, PROTOCOL_ERROR),
            (auth_with(RE_AUTHENTICATE, &other), None, PROTOCOL_ERROR),
            (auth(SUCCESS, "x"), None, PROTOCOL_ERROR),
        ] {
            let mut client = at.open(&connecting(&at, "client", "0").will(Will::new(at.topic("a"), "gone")));
            assert_eq!(client.connack().reason, 0);
            client.send(first);
            if let Some(then) = then {
                challenge(&mut client);
                client.send(then);
            }
            client.is_refused(&[reason]);
            assert_eq!(watch.payload(), "gone");
        }
    }

    /// An AUTH that the client takes has what it must have and no more; for one that it does not take there is no way on.
    // 5.0: [MQTT-3.15.2-2], [MQTT-3.15.2-3], [MQTT-3.1.2-24]
    fn auth_fits_the_client(at: V5) {
        let at = with_method(at);
        let length = auth(CONTINUE, "round 1").len() as u8;
        let mut client = at.open(&connecting(&at, "client", "1").with(&[0x27, 0, 0, 0, length]));
        challenge(&mut client);
        let mut client = at.open(&connecting(&at, "client", "1").with(&[0x27, 0, 0, 0, length - 1]));
        assert_eq!(client.connack().reason, 0x95);
        assert_eq!(client.next(), None);
    }

    /// Before 5.0 there is no such packet.
    // 3.1.1: [MQTT-4.8.0-1]
    fn auth_of_311(at: V311) {
        let mut client = at.client("client");
        client.send(packet(AUTH, 0, &[]));
        client.is_refused(&[]);
    }
}
