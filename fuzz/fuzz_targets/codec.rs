//! Bytes as a connection receives them. The first byte of the input chooses the version; the others are cut into packets.
//! Whatever is decoded must be encoded as a packet that is decoded to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringtail_mqtt::codec::{Frame, connect_version, decode, encode, frame};
use ringtail_mqtt::packet::{Packet, ProtocolVersion};

const PACKET_BYTES_MAX: u32 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((choice, mut received)) = input.split_first() else {
        return;
    };
    let version = match choice % 3 {
        0 => ProtocolVersion::V3_1,
        1 => ProtocolVersion::V3_1_1,
        _ => ProtocolVersion::V5,
    };
    while let Ok(Frame::Complete { total_bytes, header_bytes, first_byte }) = frame(received, PACKET_BYTES_MAX) {
        assert!(header_bytes <= total_bytes && first_byte == received[0]);
        let (packet, rest) = received.split_at(total_bytes);
        check(packet, version);
        received = rest;
    }
    if let Ok(Frame::Incomplete { needed_bytes }) = frame(received, PACKET_BYTES_MAX) {
        assert!(needed_bytes > received.len());
    }
});

fn check(bytes: &[u8], version: ProtocolVersion) {
    let Ok(packet) = decode(bytes, version) else {
        return;
    };
    let _ = (packet.check_from_client(), packet.check_from_server());
    let mut out = Vec::new();
    encode(&packet, version, &mut out).expect("what was decoded can be encoded");
    assert_eq!(decode(&out, version).as_ref(), Ok(&packet));
    match &packet {
        Packet::Connect(connect) => assert_eq!(connect_version(bytes), Some(connect.version)),
        Packet::Publish(publish) => {
            let mut forwarded = Vec::new();
            publish.properties.append_forwarded(&mut forwarded).expect("what was decoded can be encoded");
            if let Some(raw) = publish.properties.forwarded_raw() {
                assert_eq!(raw, forwarded);
            }
        }
        _ => {}
    }
}
