//! What clients do: each step is carried out, told to the model, and waited for.

use crate::client::*;
use crate::model::{BRIEF_S, LONG_S, Message, Subscription, Terms, beginning};
use crate::raw::*;
use crate::run::{CLIENTS, CLOCK, Run, WATCH};
use crate::topics;
use std::collections::BTreeMap;

/// Aliases that a client sets; the broker takes 64.
const ALIASES: u8 = 4;

/// After so long what is brief has ended.
const DELAY_S: u8 = 2 * BRIEF_S as u8;

/// Topics that are retained on every shard.
const RETAINED_EVERYWHERE: usize = 32;

/// How a client ends its connection.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Disconnect,
    DisconnectWithWill,
    DisconnectForGood,
    /// Its session is to end after [`BRIEF_S`].
    DisconnectForAMoment,
    EndOfStream,
    Vanish,
}

impl Run<'_> {
    /// A client that watches for wills, so that the moment of each is known.
    pub(crate) fn watch(&mut self) {
        self.connect_as(WATCH, Version::V5, true, false, None);
        let subscription = Subscription { qos: 2, no_local: false, retain_as_published: false, id: 0 };
        self.subscribe_to(WATCH, &[("w/#".to_owned(), 0, subscription)]);
    }

    pub(crate) fn step(&mut self) {
        let client = self.random.below(CLIENTS);
        let connected = self.connections[client].is_some();
        match self.random.below(40) {
            0..=3 => self.connect(client),
            _ if !connected => self.connect(client),
            4..=5 => self.leave(client),
            6..=11 => self.subscribe(client),
            12..=13 => self.unsubscribe(client),
            14 => self.violate(client),
            15..=16 => self.publish(Some(client)),
            17..=18 => self.release(client),
            19..=20 => self.repeat(client),
            21..=25 => self.acknowledge_some(client),
            26 => self.quiesce(),
            27 if self.place.keeps() && self.random.one_in(4) => self.restart(),
            28 if self.is_patient && self.random.one_in(8) => self.let_time_pass(),
            _ => self.publish(None),
        }
        self.settle();
    }

    fn connect(&mut self, client: usize) {
        let habits = self.habits[client];
        let version = if habits.holds { habits.version } else { self.random.pick(&[Version::V311, Version::V5]) };
        let lasting = !self.random.one_in(3);
        let clean = match version {
            Version::V311 => !lasting,
            Version::V5 => self.random.one_in(3),
        };
        let will = self.random.one_in(2).then(|| {
            let topic = self.random.pick(&topics::WILL_TOPICS).to_owned();
            let (qos, retain) = (self.random.below(3) as u8, self.random.one_in(3));
            self.message(client, topic, qos, retain, version)
        });
        self.connect_as(client, version, clean, lasting, will);
    }

    fn connect_as(&mut self, client: usize, version: Version, clean: bool, lasting: bool, will: Option<Message>) {
        let mut connecting = Connecting { clean, ..Connecting::new(version, &format!("client-{client}")) };
        let mut receive_maximum = usize::from(u16::MAX);
        if version == Version::V5 {
            let aliases = self.random.pick(&[0, 3]);
            connecting = connecting.with(&[0x22, 0, aliases]);
            if lasting {
                connecting = connecting.expiry_s(1_000);
            }
            if self.habits[client].holds {
                let [high, low] = self.habits[client].receive_maximum.to_be_bytes();
                connecting = connecting.with(&[0x21, high, low]);
                receive_maximum = usize::from(self.habits[client].receive_maximum);
            }
        }
        if let Some(message) = &will {
            let will = Will::new(&message.topic, &message.payload).qos(message.qos).with(&properties_of(message));
            let will = if client == CLOCK { will.with(&[0x18, 0, 0, 0, DELAY_S]) } else { will };
            connecting = connecting.will(if message.retain { will.retain() } else { will });
        }
        let takes_over = self.connections[client].is_some();
        self.note(format!(
            "client {client} connects: {version:?} clean {clean} lasting {lasting} takes over {takes_over} will {will:?}"
        ));
        if takes_over {
            // An exchange that nobody waits for, of a message that is brief, ends as well.
            for _ in 0..3 {
                self.ping(client);
            }
            self.model.disconnect(client, true, false);
        }
        self.open(client, version);
        let terms = Terms { lasting, is_v5: version == Version::V5, receive_maximum, will };
        let present = self.model.connect(client, clean, terms);
        self.send(client, &connecting.bytes());
        let connack = self.answer(client, CONNACK);
        if connack.body[..2] != [u8::from(present), 0] {
            self.fail(&format!("client {client}: a session is there: {present}, and this came: {connack:?}"));
        }
        // What waited for a shared subscription of the client comes at some time or other; here it has come, and each
        // round takes its exchange a packet further.
        for _ in 0..3 {
            self.ping(client);
        }
    }

    fn leave(&mut self, client: usize) {
        let is_v5 = self.is_v5(client);
        let is_lasting = self.model.session(client).terms.lasting;
        let is_member = self.model.session(client).subscriptions.keys().any(|filter| topics::share(filter).0.is_some());
        let leave = match self.random.below(6) {
            0 if is_v5 => Leave::DisconnectWithWill,
            1 if is_v5 && is_lasting => Leave::DisconnectForGood,
            2 => Leave::EndOfStream,
            // What the broker gives to a member before it knows is lost.
            3..=4 if !is_member => return self.vanish(client),
            _ => Leave::Disconnect,
        };
        self.leave_by(client, leave);
    }

    /// Before a client goes: what is on its way to it and may also have expired has come.
    fn hear_brief(&mut self, client: usize) {
        if self.model.may_hear_brief(client) {
            self.quiesce();
        }
    }

    fn leave_by(&mut self, client: usize, leave: Leave) {
        self.note(format!("client {client} leaves: {leave:?}"));
        if !matches!(leave, Leave::Vanish) {
            self.hear_brief(client);
        }
        let with_will = match leave {
            Leave::Disconnect => {
                self.send(client, &disconnect(0));
                false
            }
            Leave::DisconnectWithWill => {
                self.send(client, &disconnect(4));
                true
            }
            Leave::DisconnectForGood => {
                self.send(client, &packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 0, 0]));
                self.model.session(client).terms.lasting = false;
                false
            }
            Leave::DisconnectForAMoment => {
                self.send(client, &packet(DISCONNECT, 0, &[0, 5, 0x11, 0, 0, 0, BRIEF_S as u8]));
                false
            }
            Leave::EndOfStream => {
                self.connection(client).link.end();
                true
            }
            Leave::Vanish => true,
        };
        let vanishes = matches!(leave, Leave::Vanish);
        self.model.disconnect(client, with_will, vanishes);
        if vanishes {
            self.connections[client] = None;
        } else if let Some(reason) = self.ended(client) {
            self.fail(&format!("client {client} left and was told 0x{reason:02X}"));
        }
    }

    /// A client goes while messages are on their way to it.
    fn vanish(&mut self, client: usize) {
        self.ping(client);
        let publishers = self.publishers(Some(client));
        let mut published = self.send_messages(&publishers, false);
        self.leave_by(client, Leave::Vanish);
        // It may have been the only one who would have got them.
        published.iter_mut().for_each(|published| published.matched = false);
        self.acknowledge_messages(published);
    }

    fn subscribe(&mut self, client: usize) {
        let (is_v5, holds) = (self.is_v5(client), self.habits[client].holds);
        let id = if is_v5 { self.random.below(4) as u8 } else { 0 };
        let mut filters: Vec<(String, u8, Subscription)> = Vec::new();
        for _ in 0..=self.random.below(3) {
            let mut filter = topics::filter(&mut self.random);
            let shared = !holds && self.random.one_in(4);
            if shared {
                filter = format!("$share/{}/{filter}", self.random.pick(&["g", "h"]));
            }
            if filters.iter().any(|(known, ..)| *known == filter) {
                continue;
            }
            let subscription = Subscription {
                qos: self.random.below(3) as u8,
                no_local: is_v5 && !shared && self.random.one_in(4),
                retain_as_published: is_v5 && self.random.one_in(3),
                id,
            };
            // A client that holds little back would get its retained messages later, after they have changed.
            let handling = if !is_v5 {
                0
            } else if holds {
                2
            } else {
                self.random.below(3) as u8
            };
            filters.push((filter, handling, subscription));
        }
        self.subscribe_to(client, &filters);
    }

    fn subscribe_to(&mut self, client: usize, filters: &[(String, u8, Subscription)]) {
        self.note(format!("client {client} subscribes: {filters:?}"));
        let id = self.packet_id(client);
        let options: Vec<(&str, u8)> = filters
            .iter()
            .map(|(filter, handling, subscription)| {
                let Subscription { qos, no_local, retain_as_published, .. } = *subscription;
                (&filter[..], qos | u8::from(no_local) << 2 | u8::from(retain_as_published) << 3 | handling << 4)
            })
            .collect();
        for (filter, handling, subscription) in filters {
            self.model.subscribe(client, filter, *handling, subscription.clone());
        }
        let bytes = match filters.first() {
            Some((.., subscription)) if subscription.id != 0 => subscribe_with(id, &[0x0B, subscription.id], &options),
            _ => subscribe(self.version(client), id, &options),
        };
        self.send(client, &bytes);
        let granted: Vec<u8> = filters.iter().map(|(.., subscription)| subscription.qos).collect();
        self.expect_codes(client, SUBACK, id, &granted);
    }

    fn unsubscribe(&mut self, client: usize) {
        let filters: Vec<String> = self.model.session(client).subscriptions.keys().cloned().collect();
        let filter = match filters.len() {
            0 => topics::filter(&mut self.random),
            count => filters[self.random.below(count)].clone(),
        };
        self.note(format!("client {client} unsubscribes: {filter}"));
        let id = self.packet_id(client);
        let bytes = unsubscribe(self.version(client), id, &[&filter]);
        self.send(client, &bytes);
        let existed = self.model.session(client).subscriptions.remove(&filter).is_some();
        let codes = [if existed { 0 } else { 0x11 }];
        let codes = if self.is_v5(client) { &codes[..] } else { &[] };
        self.expect_codes(client, UNSUBACK, id, codes);
    }

    fn expect_codes(&mut self, client: usize, kind: u8, packet_id: u16, codes: &[u8]) {
        let ack = self.answer(client, kind);
        let properties = usize::from(self.is_v5(client));
        if ack.body[..2] != packet_id.to_be_bytes() || ack.body[2 + properties..] != *codes {
            self.fail(&format!("client {client}: {packet_id} with {codes:?} was due: {ack:?}"));
        }
    }

    /// Breaks the protocol, which the broker answers by the end of the connection.
    fn violate(&mut self, client: usize) {
        let version = self.version(client);
        let wrong = [
            Publish::new("a/+", "x").bytes(version),
            Publish::new("a", "x").qos(3, 1).bytes(version),
            Connecting::new(version, &format!("client-{client}")).bytes(),
            subscribe(version, 1, &[]),
            packet(SUBSCRIBE, 0, &[0, 1, 0]),
            packet_of_id(PUBREL, 0, 1),
            packet(0, 0, &[]),
        ];
        let which = self.random.below(wrong.len());
        self.note(format!("client {client} violates: {which}"));
        self.hear_brief(client);
        self.send(client, &wrong[which]);
        let is_v5 = self.is_v5(client);
        self.model.disconnect(client, true, false);
        let reason = self.ended(client);
        if reason.is_some_and(|reason| reason >= 0x80) != is_v5 {
            self.fail(&format!("client {client} broke the protocol and was told {reason:?}"));
        }
    }

    /// Up to three clients publish at once; or the one that is named.
    fn publish(&mut self, by: Option<usize>) {
        let publishers = match by {
            Some(client) => vec![client],
            None => self.publishers(None),
        };
        let published = self.send_messages(&publishers, publishers.len() == 1);
        self.acknowledge_messages(published);
    }

    /// Up to three clients that are connected.
    fn publishers(&mut self, without: Option<usize>) -> Vec<usize> {
        let mut publishers: Vec<usize> =
            (0..CLIENTS).filter(|client| self.connections[*client].is_some() && Some(*client) != without).collect();
        while publishers.len() > 3 || (publishers.len() > 1 && self.random.one_in(3)) {
            publishers.remove(self.random.below(publishers.len()));
        }
        publishers
    }

    fn message(&mut self, client: usize, topic: String, qos: u8, retain: bool, version: Version) -> Message {
        self.messages += 1;
        let mut payload = format!("{client}-{}", self.messages).into_bytes();
        if self.random.one_in(30) {
            payload.resize(20_000, b'.');
        }
        let user_property = (version == Version::V5 && self.random.one_in(2))
            .then(|| user_property("n", &self.messages.to_string())[1..].to_vec());
        let brief = self.is_patient && self.random.one_in(3);
        let expiry_s =
            (version == Version::V5 && self.random.one_in(4)).then_some(if brief { BRIEF_S } else { LONG_S });
        Message { publisher: client, topic, payload, qos, retain, user_property, expiry_s }
    }

    /// Sends a few messages from each of the publishers; returns those to be acknowledged, with the reason that is due.
    fn send_messages(&mut self, publishers: &[usize], may_retain: bool) -> Vec<Published> {
        let mut published = Vec::new();
        for client in publishers {
            let version = self.version(*client);
            let mut bytes = Vec::new();
            for _ in 0..=self.random.below(5) {
                let topic = topics::topic(&mut self.random);
                let (qos, retain) = (self.random.below(3) as u8, may_retain && self.random.one_in(3));
                let mut message = self.message(*client, topic, qos, retain, version);
                if retain && self.random.one_in(3) {
                    message.payload.clear();
                }
                let packet_id = if qos > 0 { self.packet_id(*client) } else { 0 };
                let mut publish = publish_of(&message, packet_id);
                if version == Version::V5 && self.random.one_in(3) {
                    self.alias(*client, &mut publish);
                }
                bytes.extend(publish.bytes(version));
                let matched = self.model.publish(&message, Some(*client));
                self.note(format!(
                    "client {client} publishes {:?} to {} QoS {qos} id {packet_id} retain {retain}",
                    beginning(&message.payload),
                    message.topic
                ));
                published.push(Published { client: *client, packet_id, matched, message });
            }
            self.send(*client, &bytes);
        }
        published
    }

    /// Sets or uses a topic alias for a message.
    fn alias(&mut self, client: usize, publish: &mut Publish) {
        let alias = 1 + self.random.below(usize::from(ALIASES)) as u8;
        let topic = String::from_utf8(publish.topic.clone()).unwrap();
        let connection = self.connection(client);
        publish.properties.extend([0x23, 0, alias]);
        if connection.own_aliases.get(&alias) == Some(&topic) {
            publish.topic.clear();
        } else {
            connection.own_aliases.insert(alias, topic);
        }
    }

    /// The broker acknowledges the messages in their order, and those of QoS 2 are released or kept for later.
    fn acknowledge_messages(&mut self, published: Vec<Published>) {
        for (client, packet_id, matched, qos) in
            published.iter().map(|p| (p.client, p.packet_id, p.matched, p.message.qos)).filter(|p| p.3 > 0)
        {
            let reason = self.acknowledgement(client, if qos == 1 { PUBACK } else { PUBREC }, packet_id);
            if reason != 0 && (matched || reason != 0x10) {
                self.fail(&format!("client {client}: {packet_id} was acknowledged with 0x{reason:02X}"));
            }
        }
        // Nothing else says that a message of QoS 0 was routed before what comes next.
        let last: BTreeMap<usize, u8> = published.iter().map(|p| (p.client, p.message.qos)).collect();
        for (client, _) in last.into_iter().filter(|(_, qos)| *qos == 0) {
            self.ping(client);
        }
        for Published { client, packet_id, message, .. } in published.into_iter().filter(|p| p.message.qos == 2) {
            self.model.session(client).unreleased.insert(packet_id, message);
            if !self.random.one_in(4) {
                self.release_id(client, packet_id);
            }
        }
    }

    fn release(&mut self, client: usize) {
        if let Some((packet_id, _)) = self.model.first_unreleased(client) {
            self.note(format!("client {client} releases {packet_id}"));
            self.release_id(client, packet_id);
        }
    }

    fn release_id(&mut self, client: usize, packet_id: u16) {
        self.send(client, &packet_of_id(PUBREL, 2, packet_id));
        let reason = self.acknowledgement(client, PUBCOMP, packet_id);
        self.model.session(client).unreleased.remove(&packet_id);
        if reason != 0 {
            self.fail(&format!("client {client}: {packet_id} was completed with 0x{reason:02X}"));
        }
    }

    /// Sends a message again that the broker has and that is not released: it is delivered no second time.
    fn repeat(&mut self, client: usize) {
        let Some((packet_id, message)) = self.model.first_unreleased(client) else { return };
        self.note(format!("client {client} repeats {packet_id}"));
        let version = self.version(client);
        let repeated = Publish { duplicate: true, ..publish_of(&message, packet_id) };
        let repeated = if version == Version::V5 { repeated } else { Publish { properties: Vec::new(), ..repeated } };
        self.send(client, &repeated.bytes(version));
        let reason = self.acknowledgement(client, PUBREC, packet_id);
        if reason != 0 {
            self.fail(&format!("client {client}: {packet_id} was acknowledged again with 0x{reason:02X}"));
        }
    }

    /// A client that holds its acknowledgements back sends some of them.
    fn acknowledge_some(&mut self, client: usize) {
        let ids: Vec<u16> = self.model.session(client).held.iter().map(|held| held.packet_id).collect();
        let count = self.random.below(ids.len() + 1);
        self.note(format!("client {client} acknowledges {count} of {ids:?}"));
        for packet_id in ids.into_iter().take(count) {
            self.acknowledge(client, packet_id);
        }
    }

    fn packet_id(&mut self, client: usize) -> u16 {
        loop {
            self.next_id = self.next_id % 60_000 + 1;
            if !self.model.session(client).unreleased.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }

    /// Time passes, by the broker's clock: a will that is due later has come. What is brief ends, and a session whose client
    /// has left for a moment.
    fn let_time_pass(&mut self) {
        self.quiesce();
        let leaves = (0..CLIENTS).find(|client| {
            self.connections[*client].is_some() && self.is_v5(*client) && self.model.session(*client).terms.lasting
        });
        if let Some(client) = leaves {
            self.leave_by(client, Leave::DisconnectForAMoment);
        }
        self.note("time passes".to_owned());
        let will = self.message(CLOCK, topics::WILL_TOPICS[0].to_owned(), 0, false, Version::V311);
        self.connect_as(CLOCK, Version::V5, true, true, Some(will));
        self.leave_by(CLOCK, Leave::Vanish);
        self.settle();
        self.model.time_passes(leaves);
        self.connect_as(CLOCK, Version::V5, true, false, None);
        self.leave_by(CLOCK, Leave::Disconnect);
    }

    /// The broker is killed, without warning but in a quiet moment, or is stopped, and is started again; what it has to keep
    /// is there.
    fn restart(&mut self) {
        let is_killed = self.place.is_killed() || self.random.one_in(2);
        self.quiesce();
        for client in 0..CLIENTS {
            // A will would reach those that are still there when it is published.
            if self.connections[client].is_some() && self.model.session(client).terms.will.is_some() {
                self.leave_by(client, Leave::Disconnect);
            }
        }
        if is_killed {
            self.bring_to_disk();
        }
        self.note(format!("the broker is stopped and started again; killed: {is_killed}"));
        for client in 0..=CLIENTS {
            if self.connections[client].take().is_some() {
                self.model.disconnect(client, false, false);
            }
        }
        self.place.restart(is_killed);
        self.watch();
    }

    /// What is acknowledged is on disk. What is not acknowledged, such as the clients' own acknowledgements, is on disk when
    /// its shard has acknowledged something that came later. So every shard retains something.
    fn bring_to_disk(&mut self) {
        for is_empty in [false, true] {
            for number in 0..RETAINED_EVERYWHERE {
                // Messages without a payload are told apart by their topics.
                let topic = format!("disk/{}/{number}", self.steps.len());
                let mut message = self.message(WATCH, topic, 1, true, Version::V311);
                if is_empty {
                    message.payload.clear();
                }
                let packet_id = self.packet_id(WATCH);
                self.model.publish(&message, Some(WATCH));
                self.send(WATCH, &publish_of(&message, packet_id).bytes(Version::V5));
                self.acknowledgement(WATCH, PUBACK, packet_id);
            }
        }
        self.settle();
        self.quiesce();
    }

    /// Every session is looked into once more, and ended.
    pub(crate) fn finish(&mut self) {
        self.note("the end".to_owned());
        for client in 0..CLIENTS {
            self.habits[client].holds = false;
            if self.model.sessions[client].is_some() {
                if self.connections[client].is_some() {
                    self.leave_by(client, Leave::Disconnect);
                    self.settle();
                }
                if self.model.sessions[client].is_some() {
                    self.connect_as(client, Version::V5, false, true, None);
                    self.settle();
                }
            }
        }
        self.quiesce();
        let lost = self.model.lost();
        if !lost.is_empty() {
            self.fail(&format!("no member of the shared subscription has got: {lost:#?}"));
        }
        for client in 0..=CLIENTS {
            if self.connections[client].is_some() {
                let leave = if client == WATCH { Leave::Disconnect } else { Leave::DisconnectForGood };
                self.leave_by(client, leave);
            }
        }
    }

    /// Clears away the retained messages for the next sequence.
    pub(crate) fn clear(&mut self) {
        self.connect_as(WATCH, Version::V5, true, false, None);
        for topic in self.model.retained_topics() {
            let packet_id = self.packet_id(WATCH);
            let cleared = Publish { retain: true, ..Publish::new(topic, "") }.qos(1, packet_id);
            self.send(WATCH, &cleared.bytes(Version::V5));
            self.acknowledgement(WATCH, PUBACK, packet_id);
        }
        self.leave_by(WATCH, Leave::Disconnect);
    }
}

/// A message on its way to the broker.
struct Published {
    client: usize,
    /// 0 with QoS 0.
    packet_id: u16,
    /// Somebody is sure to subscribe to its topic.
    matched: bool,
    message: Message,
}

fn publish_of(message: &Message, packet_id: u16) -> Publish {
    let mut publish = Publish::new(&message.topic, &message.payload).qos(message.qos, packet_id);
    publish.retain = message.retain;
    publish.properties = properties_of(message);
    publish
}

fn properties_of(message: &Message) -> Vec<u8> {
    let mut properties = Vec::new();
    if let Some(value) = &message.user_property {
        properties.push(0x26);
        properties.extend(value);
    }
    if let Some(expiry_s) = message.expiry_s {
        properties.push(0x02);
        properties.extend(expiry_s.to_be_bytes());
    }
    properties
}
