//! What holds for every packet and for every string of bytes.

mod codec_arbitrary;
mod codec_table;

use codec_arbitrary::{packet, publish, topic_name, version};
use codec_table::{Expected, rows};
use proptest::prelude::*;
use ringtail_mqtt::codec::{Frame, PublishHead, decode, encode, encode_publish, frame};
use ringtail_mqtt::packet::{Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use ringtail_mqtt::topic::{Filter, matches, validate_topic_name};

fn any_packet() -> impl Strategy<Value = (ProtocolVersion, Packet<'static>)> {
    version().prop_flat_map(|version| (Just(version), packet(version)))
}

/// Bytes that are nearly a packet: those of a row with a few of them changed, and the remaining length made right again.
fn nearly_a_packet() -> impl Strategy<Value = Vec<u8>> {
    let packets: Vec<&'static [u8]> =
        rows().iter().filter(|row| !matches!(row.expected, Expected::Refused(_))).map(|row| row.bytes).collect();
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (proptest::sample::select(packets), changes, any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(packet, changes, cut, is_cut)| {
            let mut bytes = packet.to_vec();
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            if is_cut {
                bytes.truncate(2 + cut.index(packet.len()));
            }
            if let [_, length, body @ ..] = &mut bytes[..]
                && body.len() < 0x80
            {
                *length = body.len() as u8;
            }
            bytes
        },
    )
}

/// Decodes without panicking; what is a packet stays one when it is encoded again.
fn decode_anything(bytes: &[u8]) -> Result<(), TestCaseError> {
    for version in [ProtocolVersion::V3_1, ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        let Ok(packet) = decode(bytes, version) else {
            continue;
        };
        let mut out = Vec::new();
        prop_assert_eq!(encode(&packet, version, &mut out), Ok(()));
        let again = decode(&out, version);
        prop_assert_eq!(again.as_ref(), Ok(&packet));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded((version, packet) in any_packet()) {
        let mut out = b"before".to_vec();
        prop_assert_eq!(encode(&packet, version, &mut out), Ok(()));
        let bytes = out.strip_prefix(b"before").expect("nothing before the packet is touched");
        let decoded = decode(bytes, version);
        prop_assert_eq!(decoded.as_ref(), Ok(&packet));
        match frame(bytes, u32::MAX) {
            Ok(Frame::Complete { total_bytes, .. }) => prop_assert_eq!(total_bytes, bytes.len()),
            other => prop_assert!(false, "{:?}", other),
        }
        let mut again = Vec::new();
        prop_assert_eq!(decoded.map(|packet| encode(&packet, version, &mut again)), Ok(Ok(())));
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        decode_anything(&bytes)?;
    }

    #[test]
    fn a_body_of_any_kind_does_no_harm(
        first_byte in proptest::sample::select(&[0x10, 0x20, 0x30, 0x32, 0x3d, 0x40, 0x62, 0x82, 0x90, 0xa2, 0xb0, 0xe0, 0xf0]),
        body in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..60),
    ) {
        decode_anything(&[&[first_byte, body.len() as u8], &body[..]].concat())?;
    }

    #[test]
    fn a_changed_packet_does_no_harm(bytes in nearly_a_packet()) {
        decode_anything(&bytes)?;
    }

    #[test]
    fn a_forwarded_publish_is_what_was_published(
        (version, original) in version().prop_flat_map(|version| (Just(version), publish(version))),
        packet_id in any::<PacketId>(),
    ) {
        let mut forwarded_properties = Vec::new();
        prop_assert_eq!(original.properties.append_forwarded(&mut forwarded_properties), Ok(()));
        let identifiers: Vec<u32> = original.properties.subscription_identifiers.iter().map(Into::into).collect();
        let head = PublishHead {
            dup: original.dup,
            qos: original.qos,
            retain: original.retain,
            topic_name: original.topic_name,
            packet_id: None,
            forwarded_properties: &forwarded_properties,
            message_expiry_interval_s: original.properties.message_expiry_interval_s,
            topic_alias: original.properties.topic_alias,
            subscription_identifiers: &identifiers,
            payload_bytes: original.payload.len(),
        };
        let mut out = b"before".to_vec();
        let packet_id_at = head.encode(version, &mut out).expect("nothing is too long");
        prop_assert_eq!(packet_id_at.is_some(), original.qos > QoS::AtMostOnce);
        if let Some(at) = packet_id_at {
            out[at..at + 2].copy_from_slice(&packet_id.get().to_be_bytes());
        }
        out.extend_from_slice(original.payload);
        let bytes = out.strip_prefix(b"before").expect("nothing before the packet is touched");
        prop_assert_eq!(bytes.len(), head.encoded_bytes(version));
        let expected = Publish { packet_id: packet_id_at.map(|_| packet_id), ..original };
        let decoded = decode(bytes, version);
        prop_assert_eq!(decoded, Ok(Packet::Publish(expected)));
    }

    #[test]
    fn forwarded_properties_are_all_but_the_hops_own(original in publish(ProtocolVersion::V5)) {
        let mut bytes = Vec::new();
        prop_assert_eq!(encode_publish(&original, ProtocolVersion::V5, &mut bytes), Ok(()));
        let Ok(Packet::Publish(received)) = decode(bytes.leak(), ProtocolVersion::V5) else {
            return Err(TestCaseError::fail("a PUBLISH is decoded as one"));
        };
        let mut appended = Vec::new();
        prop_assert_eq!(received.properties.append_forwarded(&mut appended), Ok(()));
        let only_forwarded = received.properties.message_expiry_interval_s.is_none()
            && received.properties.topic_alias.is_none()
            && received.properties.subscription_identifiers.is_empty();
        prop_assert_eq!(received.properties.forwarded_raw(), only_forwarded.then_some(&appended[..]));
        // The fields decide, also where they were changed after decoding.
        let other = "none of the arbitrary texts, for it is longer than forty bytes and shorter than a hundred";
        let changes: [fn(&mut PublishProperties<'static>, &'static str); 3] = [
            |properties, text| properties.content_type = Some(text),
            |properties, text| properties.response_topic = Some(text),
            |properties, text| properties.correlation_data = Some(text.as_bytes()),
        ];
        for change in changes {
            let mut changed = received.properties;
            change(&mut changed, other);
            let mut appended = Vec::new();
            prop_assert_eq!(changed.append_forwarded(&mut appended), Ok(()));
            prop_assert!(appended.windows(other.len()).any(|window| window == other.as_bytes()));
        }
    }

    #[test]
    fn a_topic_name_is_a_filter_that_matches_itself(name in topic_name()) {
        prop_assert_eq!(validate_topic_name(name, u16::MAX), Ok(()));
        prop_assert!(matches(name, name));
        prop_assert_eq!(matches("#", name), !name.starts_with('$'));
        if !name.starts_with("$share/") {
            let filter = Filter { share: None, filter: name, has_wildcards: false };
            prop_assert_eq!(Filter::parse(name, u16::MAX), Ok(filter));
        }
        let levels = name.split('/').count();
        prop_assert_eq!(matches(&vec!["+"; levels].join("/"), name), !name.starts_with('$'));
        prop_assert!(!matches(&vec!["+"; levels + 1].join("/"), name));
    }
}
