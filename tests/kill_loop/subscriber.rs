//! A subscriber with a session that lasts: it notes each message once it has it, and knows the QoS 2 identifiers that it holds.

use crate::broker::Broker;
use crate::publisher::{END, Publisher, resume};
use crate::random::Random;
use crate::raw::*;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// A visit of one that comes now and then takes so many packets.
const VISIT_PACKETS: std::ops::Range<u64> = 1..300;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Always,
    NowAndThen,
}

pub(crate) struct Subscriber {
    client_id: String,
    qos: u8,
    version: Version,
    presence: Presence,
    filters: &'static [&'static str],
    /// By topic, in the order in which they came.
    received: HashMap<String, Vec<u64>>,
    /// QoS 2 identifiers that were taken and not released, with what came under them.
    held: HashMap<u16, (Vec<u8>, Vec<u8>)>,
    ended: bool,
}

/// How what was received differs from what was published.
#[derive(Default)]
pub(crate) struct Counts {
    received: u64,
    again: u64,
    lost: u64,
    twice_at_qos_2: u64,
    out_of_order: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, again, lost, twice_at_qos_2, out_of_order } = self;
        write!(
            f,
            "{received} received, {lost} lost, {again} again at QoS 1, {twice_at_qos_2} twice at QoS 2, {out_of_order} out of order"
        )
    }
}

impl fmt::Display for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presence = if self.presence == Presence::Always { "always there" } else { "now and then" };
        write!(f, "{} (QoS {}, {:?}, {presence})", self.client_id, self.qos, self.version)
    }
}

impl Subscriber {
    pub(crate) fn new(number: usize, qos: u8, version: Version, presence: Presence) -> Self {
        Self {
            client_id: format!("subscriber-{number}"),
            qos,
            version,
            presence,
            filters: &["load/#"],
            received: HashMap::new(),
            held: HashMap::new(),
            ended: false,
        }
    }

    /// One of those who share the messages. The end comes to each.
    pub(crate) fn member(number: usize, version: Version, presence: Presence) -> Self {
        let filters = &["$share/members/load/#", END];
        Self { client_id: format!("member-{number}"), filters, ..Self::new(number, 2, version, presence) }
    }

    pub(crate) fn introduce(&mut self, broker: &Broker) {
        let mut client = Raw::connect(broker, &Connect::lasting(self.version, &self.client_id));
        for filter in self.filters {
            client.subscribe(filter, self.qos);
        }
    }

    /// Listens until the broker is gone.
    pub(crate) fn listen(&mut self, broker: &Broker, mut random: Random) {
        while let Some(mut client) = resume(broker, self.version, &self.client_id) {
            match self.presence {
                Presence::Always => while self.take(&mut client).is_some() {},
                Presence::NowAndThen => {
                    let until = Instant::now() + Duration::from_millis(random.within(1..80));
                    let mut packets = random.within(VISIT_PACKETS);
                    while packets > 0 && Instant::now() < until && self.take(&mut client).is_some() {
                        packets -= 1;
                    }
                    drop(client);
                    std::thread::sleep(Duration::from_millis(random.within(1..60)));
                }
            }
        }
    }

    /// Listens until there is nothing more to come.
    pub(crate) fn settle(&mut self, broker: &Broker) {
        let mut client = resume(broker, self.version, &self.client_id).unwrap();
        while !self.ended || !self.held.is_empty() {
            self.take(&mut client).unwrap();
        }
        client.ping();
    }

    /// Takes one packet and answers it; `None` when the broker is gone.
    fn take(&mut self, client: &mut Raw) -> Option<()> {
        let packet = client.next()?;
        match packet.kind {
            PUBLISH => {
                let publish = Publish::parse(self.version, &packet);
                let id = publish.packet_id;
                self.note(publish);
                client.try_send(packet_of_id(if packet.flags >> 1 & 3 == 2 { PUBREC } else { PUBACK }, 0, id)).ok()
            }
            PUBREL => {
                let id = u16::from_be_bytes([packet.body[0], packet.body[1]]);
                self.held.remove(&id);
                client.try_send(packet_of_id(PUBCOMP, 0, id)).ok()
            }
            _ => panic!("{}: {packet:?}", self.client_id),
        }
    }

    fn note(&mut self, publish: Publish) {
        let Publish { topic, payload, packet_id, qos, .. } = publish;
        if qos == 2 {
            let what = (topic.clone(), payload.clone());
            match self.held.get(&packet_id) {
                Some(before) => {
                    assert_eq!(*before, what, "{}: another message under {packet_id}, which it holds", self.client_id);
                    return;
                }
                None => drop(self.held.insert(packet_id, what)),
            }
        }
        let topic = String::from_utf8(topic).unwrap();
        if topic == END {
            self.ended = true;
        } else {
            let number = std::str::from_utf8(&payload).unwrap().parse().unwrap();
            self.received.entry(topic).or_default().push(number);
        }
    }

    /// Compares what came with what a publisher has sent.
    pub(crate) fn compare(&self, publisher: &Publisher, counts: &mut Counts, wrong: &mut Vec<String>) {
        let received = self.received.get(&publisher.topic).into_iter().flatten().copied();
        let exactly_once = publisher.qos.min(self.qos) == 2;
        compare(&self.client_id, publisher, (received, exactly_once, true), counts, wrong);
    }
}

/// As [`Subscriber::compare`], for those who share the messages. What is sent again may go to another of them, so that there is
/// no order among them.
pub(crate) fn compare_members(
    members: &[Subscriber],
    publisher: &Publisher,
    counts: &mut Counts,
    wrong: &mut Vec<String>,
) {
    let received = members.iter().filter_map(|member| member.received.get(&publisher.topic)).flatten().copied();
    compare("members", publisher, (received, publisher.qos == 2, false), counts, wrong);
}

fn compare(
    who: &str,
    publisher: &Publisher,
    (received, exactly_once, in_order): (impl Iterator<Item = u64>, bool, bool),
    counts: &mut Counts,
    wrong: &mut Vec<String>,
) {
    let (mut expected, mut wrong_here) = (0, Vec::new());
    let mut times = vec![0_u32; publisher.count() as usize];
    for number in received {
        counts.received += 1;
        let Some(times) = times.get_mut(number as usize) else {
            wrong_here.push(format!("{number} was never published"));
            continue;
        };
        *times += 1;
        match (*times > 1, exactly_once) {
            (true, true) => {
                counts.twice_at_qos_2 += 1;
                wrong_here.push(format!("{number} came {times} times"));
            }
            (true, false) => counts.again += 1,
            (false, _) if in_order && number < expected => {
                counts.out_of_order += 1;
                wrong_here.push(format!("{number} came after {}", expected - 1));
            }
            (false, _) => expected = number + 1,
        }
    }
    let lost = times.iter().enumerate().filter(|(_, times)| **times == 0).map(|(number, _)| number);
    for number in lost {
        counts.lost += 1;
        wrong_here.push(format!("{number} was lost"));
    }
    let topic = &publisher.topic;
    wrong.extend(wrong_here.into_iter().take(20).map(|what| format!("{who}, {topic}: {what}")));
}
