//! Looks at the end of a run whether every topic has its last message retained: a plain client of its own, one connection
//! a group, that subscribes to the topics of the group's publishers and reads what comes.

use super::coordinator::Options;
use super::outcome::{Outcome, Sent};
use crate::payload::Stamp;
use crate::report::Retained;
use crate::scenario::file::Version;
use crate::scenario::plan::{Group, Plan};
use crate::target::Plain;
use crate::transport::Transport;
use ringtail_mqtt::codec::{self, Frame, PACKET_BYTES_MAX, SubscribeFiltersBuf};
use ringtail_mqtt::packet::{
    Connect, Packet, PacketId, Properties, ProtocolVersion, Subscribe, SubscriptionOptions, UserProperties,
};
use ringtail_mqtt::reason::ReasonCode;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Topics asked for in one SUBSCRIBE.
const TOPICS_PER_SUBSCRIBE: usize = 100;
/// A topic of which nothing comes for so long, while nothing of any other comes either, has no retained message.
const QUIET: Duration = Duration::from_secs(3);

/// Checks the groups whose messages are retained and acknowledged.
pub(super) fn check(plan: &Plan, options: &Options, outcomes: &[Outcome]) -> Retained {
    let sent: HashMap<u32, &Sent> = outcomes.iter().flat_map(|o| &o.publishers).map(|s| (s.publisher, s)).collect();
    let mut retained = Retained::default();
    for group in &plan.groups {
        if group.publish.as_ref().is_some_and(|p| p.retain && p.qos > 0)
            && let Err(error) = check_group(plan, options, group, &sent, &mut retained)
        {
            retained.error = Some(error.to_string());
        }
    }
    retained
}

fn check_group(
    plan: &Plan,
    options: &Options,
    group: &Group,
    sent: &HashMap<u32, &Sent>,
    retained: &mut Retained,
) -> io::Result<()> {
    let Some(publish) = &group.publish else { return Ok(()) };
    let mut topics: Vec<String> = (0..group.clients)
        .filter(|i| sent.get(&(group.first + i)).is_some_and(|s| s.last_acknowledged().is_some()))
        .map(|i| publish.topic.fill(group.values(i, plan.run)))
        .collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() {
        return Ok(());
    }
    retained.topics += topics.len() as u64;
    let mut reader = Reader::connect(plan, options, group)?;
    let mut found: HashMap<String, Option<Stamp>> = HashMap::new();
    for some in topics.chunks(TOPICS_PER_SUBSCRIBE) {
        reader.subscribe(some)?;
        let wanted = found.len() + some.len();
        // Topics of the chunks before may still come, once these are asked for.
        while found.len() < wanted && reader.read(plan.run, &mut found)? {}
    }
    for topic in &topics {
        match found.get(topic) {
            None => retained.missing += 1,
            Some(stamp) => {
                let is_last = stamp.is_some_and(|stamp| {
                    sent.get(&stamp.publisher).is_some_and(|s| s.last_acknowledged() <= Some(stamp.sequence))
                });
                retained.stale += u64::from(!is_last);
            }
        }
    }
    Ok(())
}

/// A client that blocks.
struct Reader {
    stream: Box<dyn Plain>,
    transport: Option<Box<Transport>>,
    version: ProtocolVersion,
    plain: Vec<u8>,
}

impl Reader {
    fn connect(plan: &Plan, options: &Options, group: &Group) -> io::Result<Self> {
        let values = group.values(0, plan.run);
        let stream = options.target.address.connect(QUIET)?;
        let version = match group.version {
            Version::V3_1_1 => ProtocolVersion::V3_1_1,
            Version::V5 => ProtocolVersion::V5,
        };
        let transport = options.transports.open(values, u64::from(plan.run)).map_err(io::Error::other)?;
        let mut reader = Self { stream, transport, version, plain: Vec::new() };
        let username = group.username.as_ref().map(|u| u.fill(values));
        let password = group.password.as_ref().map(|p| p.fill(values));
        reader.say(&Packet::Connect(Box::new(Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            properties: Properties::default(),
            client_id: &format!("{}-retained", group.client_id.fill(values)),
            will: None,
            username: username.as_deref(),
            password: password.as_deref().map(str::as_bytes),
        })))?;
        let mut reason = None;
        while reason.is_none() {
            let is_heard = reader.packets(|packet| {
                if let Packet::ConnAck(connack) = packet {
                    reason = Some(connack.reason);
                }
            })?;
            if !is_heard {
                return Err(io::Error::new(ErrorKind::TimedOut, "there was no CONNACK"));
            }
        }
        match reason {
            Some(ReasonCode::Success) => Ok(reader),
            other => Err(io::Error::other(format!("the broker refused the connection: {other:?}"))),
        }
    }

    fn subscribe(&mut self, topics: &[String]) -> io::Result<()> {
        let options = SubscriptionOptions::default();
        let mut filters = SubscribeFiltersBuf::new(&topics[0], options).map_err(io::Error::other)?;
        for topic in &topics[1..] {
            filters.push(topic, options).map_err(io::Error::other)?;
        }
        self.say(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::default(),
            filters: filters.as_filters(),
        }))
    }

    /// Reads once and notes what it finds of retained messages. False when all was quiet.
    fn read(&mut self, run: u32, found: &mut HashMap<String, Option<Stamp>>) -> io::Result<bool> {
        self.packets(|packet| {
            if let Packet::Publish(publish) = packet
                && publish.retain
            {
                found.insert(publish.topic_name.to_owned(), Stamp::read(run, publish.payload));
            }
        })
    }

    fn say(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut plain = Vec::new();
        codec::encode(packet, self.version, &mut plain).map_err(io::Error::other)?;
        self.flush(&plain)
    }

    fn flush(&mut self, plain: &[u8]) -> io::Result<()> {
        let Some(transport) = &mut self.transport else { return self.stream.write_all(plain) };
        let mut bytes = Vec::new();
        transport.send(plain, &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }

    /// Reads once and hands over the whole packets. False when nothing came for [`QUIET`].
    fn packets(&mut self, mut on_packet: impl FnMut(&Packet<'_>)) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let received = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(received) => received,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(error) => return Err(error),
        };
        match &mut self.transport {
            Some(transport) => {
                transport.receive(&buffer[..received], &mut self.plain).map_err(io::Error::other)?;
                if transport.has_more() {
                    self.flush(&[])?;
                }
            }
            None => self.plain.extend_from_slice(&buffer[..received]),
        }
        let mut used = 0;
        while let Frame::Complete { total_bytes, .. } =
            codec::frame(&self.plain[used..], PACKET_BYTES_MAX as u32).map_err(io::Error::other)?
        {
            let packet = &self.plain[used..used + total_bytes];
            on_packet(&codec::decode(packet, self.version).map_err(io::Error::other)?);
            used += total_bytes;
        }
        self.plain.drain(..used);
        Ok(true)
    }
}
