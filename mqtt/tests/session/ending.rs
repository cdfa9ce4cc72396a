//! Wills, Keep Alive and Session Expiry.

use crate::rig::*;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use ringtail_mqtt::time::Millis;

fn with_will(delay_s: u32, session_expiry_s: u32) -> Rig {
    let properties = Properties { session_expiry_interval_s: Some(session_expiry_s), ..Properties::default() };
    Rig::connected(Connect { will: Some(will(delay_s)), ..connect_with(properties) })
}

fn leave(rig: &mut Rig, reason: ReasonCode) -> Detached {
    let Action::Disconnect { with_will, .. } = rig.receive(disconnect(reason, None)) else { panic!("DISCONNECT") };
    rig.session.detach(DetachCause::ClientDisconnect { with_will }, rig.now)
}

/// [MQTT-3.1.2-8]
#[test]
fn a_lost_connection_publishes_the_will() {
    let mut rig = with_will(0, 3_600);
    rig.now = rig.now.plus_s(7);
    let detached = rig.lose();
    let will = detached.will.expect("the will");
    assert!(!detached.ends_now);
    assert_eq!((will.topic_name(), payload_of(&will), will.qos), ("rooms/kitchen/gone", "gone", QoS::AtLeastOnce));
    assert_eq!(will.properties(), b"\x03\x00\x0atext/plain", "the delay and the expiry are not forwarded");
    assert_eq!(will.expires_at, rig.now.plus_s(30), "the expiry begins when the will is published");
    assert!(rig.session.end(rig.now).is_none(), "once");
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]
#[test]
fn a_normal_disconnection_discards_the_will() {
    let mut rig = with_will(0, 3_600);
    assert!(leave(&mut rig, ReasonCode::Success).will.is_none());
    let mut rig = with_will(10, 3_600);
    assert!(leave(&mut rig, ReasonCode::Success).will.is_none());
    rig.now = rig.now.plus_s(100);
    assert!(matches!(rig.session.on_timeout(rig.now), Timeout::None));
}

#[test]
fn any_other_disconnection_publishes_the_will() {
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError] {
        assert!(leave(&mut with_will(0, 3_600), reason).will.is_some());
    }
}

#[test]
fn a_delayed_will_is_published_in_its_time() {
    let mut rig = with_will(10, 3_600);
    assert!(rig.lose().will.is_none());
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(10));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_ms(9_999)), Timeout::None));
    rig.now = rig.now.plus_s(10);
    let Timeout::Will(will) = rig.session.on_timeout(rig.now) else { panic!("the will") };
    assert_eq!(will.expires_at, rig.now.plus_s(30));
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(3_590));
    assert!(matches!(rig.session.on_timeout(rig.now), Timeout::None));
}

/// [MQTT-3.1.3-9]
#[test]
fn a_client_that_comes_back_in_time_has_no_will_published() {
    let mut rig = with_will(10, 3_600);
    assert!(rig.lose().will.is_none());
    rig.connect(&connect_v5()).expect("accepted");
    assert!(rig.session.pending_will().is_none());
    assert!(rig.lose().will.is_none());
}

/// [MQTT-3.1.2-8]: the end of the session is the latest time.
#[test]
fn the_end_of_the_session_publishes_a_delayed_will() {
    let mut rig = with_will(10, 5);
    assert!(rig.lose().will.is_none());
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(5));
    rig.now = rig.now.plus_s(5);
    assert!(matches!(rig.session.on_timeout(rig.now), Timeout::Expired(Some(_))));

    let mut rig = with_will(10, 3_600);
    assert!(rig.lose().will.is_none());
    assert!(rig.session.end(rig.now).is_some(), "a clean start replaces it");

    let mut rig = with_will(10, 0);
    let detached = rig.lose();
    assert!(detached.ends_now && detached.will.is_some());
}

#[test]
fn a_session_expires_after_its_interval() {
    let mut rig = Rig::v5();
    assert!(!rig.lose().ends_now);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(3_600));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_s(3_599)), Timeout::None));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_s(3_600)), Timeout::Expired(None)));
}

#[test]
fn the_largest_interval_never_ends() {
    let properties = Properties { session_expiry_interval_s: Some(u32::MAX), ..Properties::default() };
    let mut rig = Rig::connected(connect_with(properties));
    let _ = rig.lose();
    assert_eq!(rig.session.poll_timeout(), Millis::NEVER);
    assert!(matches!(rig.session.on_timeout(rig.now.plus_s(u32::MAX)), Timeout::None));
}

/// [MQTT-3.1.2-23]
#[test]
fn before_5_0_clean_session_decides() {
    let mut rig = Rig::connected(connect_v4(true));
    assert!(rig.lose().ends_now);
    let mut rig = Rig { limits: Limits { session_expiry_max_s: 60, ..Limits::default() }, ..Rig::new() };
    rig.connect(&connect_v4(false)).expect("accepted");
    assert!(!rig.lose().ends_now);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(60));
}

/// [MQTT-3.14.2-2] and section 3.14.2.2.2
#[test]
fn disconnect_may_change_the_interval() {
    let mut rig = Rig::v5();
    assert!(matches!(rig.receive(disconnect(ReasonCode::Success, Some(9))), Action::Disconnect { .. }));
    assert!(!rig.session.detach(DetachCause::ClientDisconnect { with_will: false }, rig.now).ends_now);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(9));

    let mut rig = Rig::v5();
    assert!(matches!(rig.receive(disconnect(ReasonCode::Success, Some(0))), Action::Disconnect { .. }));
    assert!(rig.session.detach(DetachCause::ClientDisconnect { with_will: false }, rig.now).ends_now);

    let mut rig = Rig::v5();
    rig.limits.session_expiry_max_s = 20;
    let _ = rig.receive(disconnect(ReasonCode::Success, Some(u32::MAX)));
    assert_eq!(rig.session.session_expiry_s(), 20);
}

#[test]
fn disconnect_may_not_keep_a_session_that_was_to_end() {
    let mut rig = with_will(0, 0);
    assert_eq!(rig.violation(disconnect(ReasonCode::Success, Some(9))), ReasonCode::ProtocolError);
    assert!(rig.lose().will.is_some(), "closed for an error");

    let mut rig = with_will(0, 0);
    assert!(matches!(rig.receive(disconnect(ReasonCode::Success, Some(0))), Action::Disconnect { .. }));
}

/// [MQTT-3.1.2-22]
#[test]
fn a_silent_client_times_out_after_one_and_a_half_keep_alives() {
    let mut rig = Rig::v5();
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(90));
    rig.now = rig.now.plus_s(50);
    rig.answers(Packet::PingReq);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(90));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_ms(89_999)), Timeout::None));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_s(90)), Timeout::KeepAlive));

    let mut rig = Rig::connected(Connect { keep_alive_s: 0, ..connect_v5() });
    assert_eq!(rig.session.poll_timeout(), Millis::NEVER);
    assert!(matches!(rig.session.on_timeout(Millis(u64::MAX - 1)), Timeout::None));
}
