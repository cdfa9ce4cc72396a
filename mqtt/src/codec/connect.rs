//! CONNECT (section 3.1).

use super::error::{DecodeError, EncodeError};
use super::frame;
use super::properties;
use super::property_set::PropertySet;
use super::read::Reader;
use super::write;
use crate::packet::{Connect, PacketType, Properties, ProtocolVersion, PublishProperties, QoS, Will};

const ALLOWED: PropertySet = PropertySet::of_packet(PacketType::Connect);

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_QOS_SHIFT: u32 = 3;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// The bit of the protocol level that a bridge sets in 3.1 and 3.1.1 to say that it is one.
const BRIDGE: u8 = 0x80;

/// The version that a complete CONNECT asks for, read without judging the rest: a packet that is refused as malformed
/// still has to be answered in the right version. `None` for a version that is not supported or other bytes.
#[must_use]
pub fn connect_version(bytes: &[u8]) -> Option<ProtocolVersion> {
    let (first_byte, body) = frame::split(bytes).ok()?;
    let is_connect = first_byte == PacketType::Connect.first_byte();
    is_connect.then(|| decode_version(&mut Reader::new(body)).ok()).flatten().map(|(version, _)| version)
}

/// Protocol name and level [MQTT-3.1.2-1], [MQTT-3.1.2-2]; and whether the client is a bridge.
fn decode_version(reader: &mut Reader<'_>) -> Result<(ProtocolVersion, bool), DecodeError> {
    let name = reader.binary()?;
    let level = reader.byte()?;
    match (name, level) {
        (b"MQTT", 5) => Ok((ProtocolVersion::V5, false)),
        (b"MQTT", level) if level & !BRIDGE == 4 => Ok((ProtocolVersion::V3_1_1, level & BRIDGE != 0)),
        (b"MQIsdp", level) if level & !BRIDGE == 3 => Ok((ProtocolVersion::V3_1, level & BRIDGE != 0)),
        _ => Err(DecodeError::UnsupportedProtocolVersion),
    }
}

pub(super) fn decode(body: &[u8]) -> Result<Connect<'_>, DecodeError> {
    let mut reader = Reader::new(body);
    let (version, bridge) = decode_version(&mut reader)?;
    let flags = reader.byte()?;
    check_flags(flags, version)?;
    let keep_alive_s = reader.two_byte_integer()?;
    let properties =
        if version == ProtocolVersion::V5 { Properties::decode(&mut reader, ALLOWED)? } else { Properties::default() };
    let client_id = reader.string()?; // [MQTT-3.1.3-3], [MQTT-3.1.3-4]
    let will = if flags & WILL == 0 { None } else { Some(decode_will(flags, version, &mut reader)?) };
    // 3.1 lets the remaining length overrule these two flags: a field that is announced may be missing.
    let is_there =
        |flag, reader: &Reader<'_>| flags & flag != 0 && !(version == ProtocolVersion::V3_1 && reader.is_empty());
    let username = if is_there(USER_NAME, &reader) { Some(reader.string()?) } else { None };
    let password = if is_there(PASSWORD, &reader) { Some(reader.binary()?) } else { None };
    reader.finish()?;
    Ok(Connect {
        version,
        bridge,
        clean_start: flags & CLEAN_START != 0,
        keep_alive_s,
        properties,
        client_id,
        will,
        username,
        password,
    })
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    let reserved = flags & RESERVED != 0; // [MQTT-3.1.2-3]
    let will_flags_without_will = flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0; // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    let password_alone = version < ProtocolVersion::V5 && flags & (USER_NAME | PASSWORD) == PASSWORD; // 3.1.1: [MQTT-3.1.2-22]
    if reserved || will_flags_without_will || password_alone { Err(DecodeError::ConnectFlags) } else { Ok(()) }
}

fn decode_will<'a>(flags: u8, version: ProtocolVersion, reader: &mut Reader<'a>) -> Result<Will<'a>, DecodeError> {
    let qos = QoS::from_bits((flags & WILL_QOS) >> WILL_QOS_SHIFT).ok_or(DecodeError::QoS)?; // [MQTT-3.1.2-12]
    let properties = if version == ProtocolVersion::V5 {
        PublishProperties::decode_section(properties::take_section(reader)?, PropertySet::WILL)?
    } else {
        PublishProperties::default()
    };
    let topic_name = reader.topic_name()?; // [MQTT-3.1.3-11]
    if topic_name.is_empty() {
        return Err(DecodeError::TopicName); // [MQTT-4.7.3-1]
    }
    Ok(Will { qos, retain: flags & WILL_RETAIN != 0, properties, topic_name, payload: reader.binary()? })
}

/// Appends the body.
pub(super) fn append(connect: &Connect<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let version = connect.version;
    if version < ProtocolVersion::V5 && connect.password.is_some() && connect.username.is_none() {
        return Err(EncodeError::NotInVersion); // 3.1.1: [MQTT-3.1.2-22]
    }
    let name: &[u8] = if version == ProtocolVersion::V3_1 { b"MQIsdp" } else { b"MQTT" };
    let bridge = if connect.bridge && version < ProtocolVersion::V5 { BRIDGE } else { 0 };
    write::append_binary(name, out)?;
    out.push(version as u8 | bridge);
    out.push(flags(connect));
    out.extend_from_slice(&connect.keep_alive_s.to_be_bytes());
    if version == ProtocolVersion::V5 {
        connect.properties.append(ALLOWED, out)?;
    }
    write::append_binary(connect.client_id.as_bytes(), out)?;
    if let Some(will) = &connect.will {
        if version == ProtocolVersion::V5 {
            write::length_prefixed(out, |out| will.properties.append(PropertySet::WILL, out))?;
        }
        write::append_binary(will.topic_name.as_bytes(), out)?;
        write::append_binary(will.payload, out)?;
    }
    if let Some(username) = connect.username {
        write::append_binary(username.as_bytes(), out)?;
    }
    if let Some(password) = connect.password {
        write::append_binary(password, out)?;
    }
    Ok(())
}

fn flags(connect: &Connect<'_>) -> u8 {
    let mut flags = 0;
    if connect.clean_start {
        flags |= CLEAN_START;
    }
    if let Some(will) = &connect.will {
        flags |= WILL | (will.qos as u8) << WILL_QOS_SHIFT;
        if will.retain {
            flags |= WILL_RETAIN;
        }
    }
    if connect.username.is_some() {
        flags |= USER_NAME;
    }
    if connect.password.is_some() {
        flags |= PASSWORD;
    }
    flags
}
