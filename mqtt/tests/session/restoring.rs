//! What a log gets to know, and a session that is rebuilt from it.

use crate::rig::*;
use ringtail_mqtt::limits::Limits;
use ringtail_mqtt::packet::*;
use ringtail_mqtt::reason::ReasonCode;
use ringtail_mqtt::session::*;
use std::rc::Rc;

#[test]
fn every_step_of_a_message_is_recorded() {
    let mut rig = Rig::v5();
    rig.session.track_progress(true);
    assert_eq!(rig.deliver("zero", QoS::AtMostOnce), Delivered::Sent { sequence: 0 });
    assert_eq!(rig.deliver("one", QoS::AtLeastOnce), Delivered::Sent { sequence: 1 });
    assert_eq!(rig.deliver("two", QoS::ExactlyOnce), Delivered::Sent { sequence: 2 });
    let sent = |sequence, packet_id| Progress::Sent { sequence, packet_id: id(packet_id) };
    assert_eq!(rig.progress(), [sent(1, 1), sent(2, 2)]);
    rig.answers(puback(1));
    rig.answers(pubrec(2));
    rig.answers(pubrec(2));
    rig.answers(pubcomp(2));
    let done = |sequence| Progress::Done { sequence };
    assert_eq!(rig.progress(), [done(1), Progress::Released { sequence: 2 }, done(2)]);
    rig.accept(7, QoS::ExactlyOnce);
    rig.answers(pubrel(7));
    assert_eq!(rig.progress(), [Progress::InboundDone { packet_id: id(7) }]);
    rig.session.track_progress(false);
    let _ = rig.deliver("three", QoS::AtLeastOnce);
    assert_eq!(rig.progress(), []);
}

fn restored<'a>(sequence: u64, payload: Option<&str>, qos: QoS, packet_id: Option<u16>) -> RestoredMessage<'a> {
    RestoredMessage {
        sequence,
        message: payload.map(|payload| Rc::new(message(payload).into())),
        qos,
        retain: false,
        subscription_ids: &[],
        packet_id: packet_id.map(id),
    }
}

fn rebuilt(messages: impl IntoIterator<Item = RestoredMessage<'static>>) -> Rig {
    let mut rig = Rig::new();
    rig.session = Session::restore("tester", ProtocolVersion::V5, 100, 10, rig.now);
    for message in messages {
        rig.session.restore_message(message, &rig.limits, rig.now).expect("restored");
    }
    rig.session.invariants(&rig.limits);
    rig
}

#[test]
fn a_rebuilt_session_goes_on_where_it_was() {
    let mut rig = rebuilt([
        restored(40, Some("one"), QoS::AtLeastOnce, Some(65_534)),
        restored(41, None, QoS::ExactlyOnce, Some(65_535)),
        restored(43, Some("three"), QoS::ExactlyOnce, Some(3)),
        restored(44, Some("four"), QoS::AtLeastOnce, None),
    ]);
    rig.session.restore_inbound(id(9));
    rig.session.restore_inbound(id(8));
    rig.session.track_progress(true);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(100));

    rig.connect(&connect_v5()).expect("accepted");
    let packets = rig.sent();
    assert_eq!(publish_of(&packets[1]), (65_534, "one", true));
    assert_eq!(packets[2], pubrel(65_535));
    assert_eq!(publish_of(&packets[3]), (3, "three", true));
    assert_eq!(publish_of(&packets[4]), (4, "four", false));
    for answer in [puback(65_534), pubcomp(65_535)] {
        assert_eq!(rig.answers(answer), []);
    }
    let done = |sequence| Progress::Done { sequence };
    assert_eq!(rig.progress(), [Progress::Sent { sequence: 44, packet_id: id(4) }, done(40), done(41)]);
    assert_eq!(rig.answers(publish(QoS::ExactlyOnce, 8)), [pubrec(8)]);
    assert_eq!(rig.answers(pubrel(9)), [pubcomp(9)]);
    assert_eq!(rig.deliver("five", QoS::AtLeastOnce), Delivered::Sent { sequence: 45 });
}

#[test]
fn sequence_numbers_pass_32_bits() {
    let near = u64::from(u32::MAX) - 1;
    let mut rig = Rig::new();
    rig.session = Session::restore("tester", ProtocolVersion::V5, 100, near, rig.now);
    rig.session.track_progress(true);
    for n in 0..4 {
        assert_eq!(rig.deliver("x", QoS::AtLeastOnce), Delivered::Queued { sequence: near + n, evicted: 0 });
    }
    rig.connect(&connect_v5()).expect("accepted");
    rig.progress();
    for n in 0..4 {
        rig.answers(puback(n as u16 + 1));
        assert_eq!(rig.progress(), [Progress::Done { sequence: near + n }]);
    }
}

#[test]
fn what_a_log_cannot_have_held_is_refused() {
    let mut rig = rebuilt([restored(1, Some("one"), QoS::AtLeastOnce, Some(5))]);
    let mut refusal = |message| rig.session.restore_message(message, &rig.limits, rig.now).expect_err("refused");
    let same_id = restored(2, Some("two"), QoS::AtLeastOnce, Some(5));
    assert_eq!(refusal(same_id), ReasonCode::PacketIdentifierInUse);
    assert_eq!(refusal(restored(3, None, QoS::ExactlyOnce, None)), ReasonCode::ProtocolError);
    assert_eq!(refusal(restored(4, None, QoS::AtLeastOnce, Some(6))), ReasonCode::ProtocolError);
    assert_eq!(refusal(restored(5, Some("five"), QoS::AtMostOnce, None)), ReasonCode::ProtocolError);
    rig.limits = Limits { queue_messages_max: 0, ..Limits::default() };
    let waiting = restored(6, Some("six"), QoS::AtLeastOnce, None);
    assert_eq!(rig.session.restore_message(waiting, &rig.limits, rig.now), Err(ReasonCode::QuotaExceeded));
}

#[test]
fn a_restored_will_waits_for_its_delay() {
    let mut rig = rebuilt([]);
    rig.session.restore_will(message("gone").into(), 10, None);
    assert_eq!(rig.session.poll_timeout(), rig.now.plus_s(10));
    assert!(matches!(rig.session.on_timeout(rig.now.plus_s(10)), Timeout::Will(_)));
}

/// What a log keeps of a will is enough to put it back.
#[test]
fn a_pending_will_can_be_read() {
    let mut rig = Rig::connected(Connect { will: Some(will(10)), ..connect_v5() });
    let _ = rig.lose();
    let (message, delay_s, message_expiry_s) = rig.session.pending_will().expect("a will");
    assert_eq!((payload_of(message), delay_s, message_expiry_s), ("gone", 10, Some(30)));
}
