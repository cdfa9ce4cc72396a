//! The reference: what a broker has to do, without a word about how. It is told what the clients do, and says of each
//! packet that comes to them whether it had to come.

use crate::client::{Property, find};
use crate::raw::{PUBACK, PUBCOMP, PUBREC, Publish};
use crate::topics::{matches, share};
use std::collections::BTreeMap;
use std::fmt;

/// A message as it was published.
#[derive(Clone)]
pub(crate) struct Message {
    /// Who published it; a will has a number of its own.
    pub(crate) publisher: usize,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Its User Property, which 5.0 passes on.
    pub(crate) user_property: Option<Vec<u8>>,
    /// Its Message Expiry Interval, which 5.0 passes on as far as it has not passed.
    pub(crate) expiry_s: Option<u32>,
}

/// A Message Expiry Interval that ends when [`Model::time_passes`], and may end before.
pub(crate) const BRIEF_S: u32 = 1;
/// A Message Expiry Interval that does not end.
pub(crate) const LONG_S: u32 = 100_000;
/// No sequence takes so long.
const SEQUENCE_S: u32 = 3_600;

impl Message {
    /// It may be gone at any time, so it is never owed.
    fn is_brief(&self) -> bool {
        self.expiry_s == Some(BRIEF_S)
    }

    /// Whether a copy's Message Expiry Interval is right.
    fn is_in_time(&self, copy: Option<&[u8]>) -> bool {
        match (self.expiry_s, copy) {
            (None, None) => true,
            (Some(expiry_s), Some(left)) => {
                let left_s = u32::from_be_bytes([left[0], left[1], left[2], left[3]]);
                (expiry_s.saturating_sub(SEQUENCE_S)..=expiry_s).contains(&left_s)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publisher, topic, qos, retain, expiry_s, .. } = self;
        let payload = beginning(&self.payload);
        write!(f, "{payload:?} of {publisher} to {topic} QoS {qos} retain {retain} expiry {expiry_s:?}")
    }
}

/// The first bytes of a payload, which tell it from the others.
pub(crate) fn beginning(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(12)]).into_owned()
}

/// A subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// 0 for none.
    pub(crate) id: u8,
}

/// A message that is due to a client.
#[derive(Clone, Debug)]
struct Due {
    message: Message,
    qos: u8,
    retain: bool,
    ids: Vec<u8>,
    /// It may have been sent over a connection whose end the broker learns of later.
    may_be_repeated: bool,
    /// Sent because of a subscription, not of a publication; such come in any order.
    of_retained: bool,
}

impl Due {
    /// Order holds among messages of one publisher, to one topic, with the same need of an acknowledgement.
    fn is_in_order_with(&self, other: &Self) -> bool {
        !self.of_retained
            && !other.of_retained
            && self.message.publisher == other.message.publisher
            && self.message.topic == other.message.topic
            && (self.qos > 0) == (other.qos > 0)
    }
}

/// A copy of a message as it came to a client.
#[derive(Clone, Debug)]
struct Came {
    client: usize,
    is_v5: bool,
    publish: Publish,
}

impl Float {
    fn is_owed(&self) -> bool {
        self.at_once && self.came.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Published,
    /// The client has sent PUBREC.
    Received,
    /// The broker has sent PUBREL.
    Released,
}

/// A message that came and that the client has not acknowledged completely.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) packet_id: u16,
    pub(crate) qos: u8,
    pub(crate) stage: Stage,
    payload: Vec<u8>,
    topic: String,
    /// It must come again, because the client has connected anew.
    again: bool,
    /// It takes a place of the Receive Maximum: it came over this connection.
    counts: bool,
}

/// A message for a shared subscription. A client may be a member of several that match, and its copies do not say for
/// which they are, so that which is whose is open until all have come.
#[derive(Clone, Debug)]
struct Float {
    message: Message,
    /// Who may get it, and by which subscription.
    members: BTreeMap<usize, Subscription>,
    /// A member was connected, so it must come at once.
    at_once: bool,
    /// It may also be lost.
    optional: bool,
    /// The copy that came for it.
    came: Option<Came>,
}

/// What a CONNECT settles.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// The session is to outlive the connection.
    pub(crate) lasting: bool,
    pub(crate) is_v5: bool,
    pub(crate) receive_maximum: usize,
    pub(crate) will: Option<Message>,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    connected: bool,
    pub(crate) terms: Terms,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    pub(crate) held: Vec<Held>,
    /// What the client has published with QoS 2 and not released.
    pub(crate) unreleased: BTreeMap<u16, Message>,
    due: Vec<Due>,
    /// The broker may not know yet that the connection has gone.
    vanished: bool,
}

impl Session {
    /// Places of the client's Receive Maximum that are taken.
    fn taken(&self) -> usize {
        self.held.iter().filter(|held| held.counts).count()
    }

    /// How many packets must come now that have not.
    fn owed(&self) -> usize {
        if !self.connected {
            return 0;
        }
        let again = self.held.iter().filter(|held| held.again).count();
        let pubrels = self.held.iter().filter(|held| held.stage == Stage::Received && !held.again).count();
        let owed = || self.due.iter().filter(|due| !due.message.is_brief());
        let unacknowledged = owed().filter(|due| due.qos == 0).count();
        let room = self.terms.receive_maximum.saturating_sub(self.taken());
        again + pubrels + unacknowledged + room.min(owed().count() - unacknowledged)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) sessions: Vec<Option<Session>>,
    retained: BTreeMap<String, Message>,
    floats: Vec<Float>,
    wills: usize,
}

/// Publishers of wills are numbered from here on.
const WILLS: usize = 1_000;

impl Model {
    pub(crate) fn new(clients: usize) -> Self {
        Self { sessions: (0..clients).map(|_| None).collect(), ..Self::default() }
    }

    pub(crate) fn session(&mut self, client: usize) -> &mut Session {
        self.sessions[client].as_mut().expect("the client has a session")
    }

    pub(crate) fn is_connected(&self, client: usize) -> bool {
        self.sessions[client].as_ref().is_some_and(|session| session.connected)
    }

    /// What is due and has not come, for the report of a failure; empty when nothing is.
    pub(crate) fn owed(&self) -> Vec<String> {
        let sessions = self.sessions.iter().enumerate();
        let owed = sessions.filter_map(|(client, session)| Some((client, session.as_ref()?)));
        let owed = owed.filter(|(_, session)| session.owed() > 0);
        let sessions = owed.map(|(client, session)| format!("client {client}: {} of {session:?}", session.owed()));
        sessions.chain(self.floats.iter().filter(|float| float.is_owed()).map(|float| format!("{float:?}"))).collect()
    }

    /// Whether something may be on its way to a client that nobody waits for, since it may also have expired.
    pub(crate) fn may_hear_brief(&mut self, client: usize) -> bool {
        self.session(client).due.iter().any(|due| due.message.is_brief())
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.sessions.iter().flatten().all(|session| session.owed() == 0) && !self.floats.iter().any(Float::is_owed)
    }

    /// A client has connected; returns whether its session was there.
    pub(crate) fn connect(&mut self, client: usize, clean: bool, terms: Terms) -> bool {
        if clean {
            self.end(client);
        }
        let present = self.sessions[client].is_some();
        let known = self.sessions[client].get_or_insert_default();
        for held in &mut known.held {
            (held.again, held.counts) = (true, false);
        }
        (known.connected, known.vanished, known.terms) = (true, false, terms);
        present
    }

    /// A client's connection has ended. `vanished`: without the broker knowing when.
    pub(crate) fn disconnect(&mut self, client: usize, with_will: bool, vanished: bool) {
        let session = self.session(client);
        session.connected = false;
        session.vanished = vanished;
        session.due.retain(|due| due.qos > 0);
        for due in &mut session.due {
            due.may_be_repeated |= vanished;
        }
        let (will, lasting) = (session.terms.will.take(), session.terms.lasting);
        if let Some(will) = will.filter(|_| with_will) {
            self.wills += 1;
            self.publish(&Message { publisher: WILLS + self.wills, ..will }, None);
        }
        if !lasting {
            self.end(client);
        }
    }

    /// So much time has passed that whatever is brief has ended, and the session of a client that left for a moment too.
    pub(crate) fn time_passes(&mut self, client: Option<usize>) {
        for session in self.sessions.iter_mut().flatten() {
            session.due.retain(|due| !due.message.is_brief());
        }
        self.floats.retain(|float| !float.message.is_brief());
        self.retained.retain(|_, message| !message.is_brief());
        client.into_iter().for_each(|client| self.end(client));
    }

    fn end(&mut self, client: usize) {
        self.sessions[client] = None;
        for float in &mut self.floats {
            if float.came.is_none() {
                float.optional |= float.members.remove(&client).is_some();
            }
        }
        self.floats.retain(|float| !float.members.is_empty());
    }

    /// A message is routed; true when somebody subscribes to its topic. `from` is the client, for No Local.
    pub(crate) fn publish(&mut self, message: &Message, from: Option<usize>) -> bool {
        let mut matched = false;
        for (client, session) in self.sessions.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            let subscriptions = session.subscriptions.iter().filter(|(filter, subscription)| {
                let (group, filter) = share(filter);
                group.is_none() && matches(filter, &message.topic) && !(subscription.no_local && from == Some(client))
            });
            let subscriptions: Vec<&Subscription> = subscriptions.map(|(_, subscription)| subscription).collect();
            let Some(qos) = subscriptions.iter().map(|subscription| subscription.qos).max() else { continue };
            matched = true;
            let qos = qos.min(message.qos);
            let as_published = subscriptions.iter().any(|subscription| subscription.retain_as_published);
            let ids = sorted_ids(subscriptions.into_iter());
            if qos > 0 || session.connected {
                let may_be_repeated = session.vanished;
                let retain = message.retain && as_published;
                let message = message.clone();
                session.due.push(Due { message, qos, retain, ids, may_be_repeated, of_retained: false });
            }
        }
        matched |= self.publish_to_groups(message);
        if message.retain && message.payload.is_empty() {
            self.retained.remove(&message.topic);
        } else if message.retain {
            self.retained.insert(message.topic.clone(), message.clone());
        }
        matched
    }

    fn publish_to_groups(&mut self, message: &Message) -> bool {
        let mut groups: BTreeMap<String, BTreeMap<usize, Subscription>> = BTreeMap::new();
        for (client, session) in self.sessions.iter().enumerate() {
            for (filter, subscription) in session.iter().flat_map(|session| &session.subscriptions) {
                let (group, topic_filter) = share(filter);
                if group.is_some() && matches(topic_filter, &message.topic) {
                    groups.entry(filter.clone()).or_default().insert(client, subscription.clone());
                }
            }
        }
        let matched = !groups.is_empty();
        for (_, mut members) in groups {
            let is_online = members.keys().any(|client| self.is_connected(*client));
            if is_online {
                members.retain(|client, _| self.is_connected(*client));
            }
            // Nobody keeps a message of QoS 0 for those that are away.
            let is_lost = !is_online && members.values().any(|member| member.qos.min(message.qos) == 0);
            let (at_once, optional) = (is_online && !message.is_brief(), is_lost || message.is_brief());
            self.floats.push(Float { message: message.clone(), members, at_once, optional, came: None });
        }
        matched
    }

    /// A client has subscribed.
    pub(crate) fn subscribe(&mut self, client: usize, filter: &str, handling: u8, subscription: Subscription) {
        let (group, topic_filter) = share(filter);
        let retained: Vec<Message> =
            self.retained.values().filter(|message| matches(topic_filter, &message.topic)).cloned().collect();
        let session = self.session(client);
        let is_new = session.subscriptions.insert(filter.to_owned(), subscription.clone()).is_none();
        if group.is_none() && (handling == 0 || handling == 1 && is_new) {
            session.due.extend(retained.into_iter().map(|message| Due {
                qos: message.qos.min(subscription.qos),
                message,
                retain: true,
                ids: sorted_ids([&subscription].into_iter()),
                may_be_repeated: false,
                of_retained: true,
            }));
        }
    }

    /// A PUBLISH has come to a client.
    ///
    /// # Errors
    /// Why it should not have.
    pub(crate) fn take(&mut self, client: usize, publish: &Publish) -> Result<(), String> {
        let Some(session) = &mut self.sessions[client] else { return Err("it has no session".to_owned()) };
        if let Some(held) = session.held.iter_mut().find(|held| held.again && held.stage == Stage::Published) {
            if publish.duplicate && held.packet_id == publish.packet_id {
                let same = held.payload == publish.payload
                    && held.topic.as_bytes() == publish.topic
                    && held.qos == publish.qos;
                (held.again, held.counts) = (false, true);
                return if same { Ok(()) } else { Err(format!("it is sent again otherwise than {held:?}")) };
            }
            if publish.qos > 0 {
                return Err(format!("this is to be sent again first: {held:?}"));
            }
        }
        let found = session.due.iter().position(|due| is_same(session.terms.is_v5, due, publish));
        let ordered = |at: usize| {
            let mut before = session.due[..at].iter().filter(|due| !due.message.is_brief());
            !before.any(|due| due.is_in_order_with(&session.due[at]))
        };
        match found {
            Some(at) if ordered(at) => {
                // What is brief and was to come before has ended.
                let came = session.due.remove(at);
                let mut number = 0..;
                session.due.retain(|due| number.next() >= Some(at) || !due.is_in_order_with(&came));
            }
            found => {
                let copy = Came { client, is_v5: session.terms.is_v5, publish: publish.clone() };
                match (assign(&mut self.floats, &copy, &mut Vec::new()), found) {
                    (true, _) => self.forget_settled(&publish.payload),
                    (false, Some(_)) => return Err("others were to come before it".to_owned()),
                    (false, None) => return Err("it was not due".to_owned()),
                }
            }
        }
        if publish.qos > 0 { self.hold(client, publish) } else { Ok(()) }
    }

    /// Forgets the copies of a message for shared subscriptions once all have come.
    fn forget_settled(&mut self, payload: &[u8]) {
        let of_it = |float: &&Float| float.message.payload == payload;
        if self.floats.iter().filter(of_it).all(|float| float.came.is_some()) {
            self.floats.retain(|float| float.message.payload != payload);
        }
    }

    fn hold(&mut self, client: usize, publish: &Publish) -> Result<(), String> {
        let session = self.session(client);
        if session.held.iter().any(|held| held.packet_id == publish.packet_id) {
            return Err("its packet identifier is in use".to_owned());
        }
        session.held.push(Held {
            packet_id: publish.packet_id,
            qos: publish.qos,
            stage: Stage::Published,
            payload: publish.payload.clone(),
            topic: String::from_utf8(publish.topic.clone()).map_err(|error| error.to_string())?,
            again: false,
            counts: true,
        });
        if session.taken() > session.terms.receive_maximum {
            return Err("it is more than the client's Receive Maximum".to_owned());
        }
        Ok(())
    }

    /// A PUBREL has come to a client.
    ///
    /// # Errors
    /// Why it should not have.
    pub(crate) fn take_pubrel(&mut self, client: usize, packet_id: u16) -> Result<(), String> {
        let session = self.session(client);
        match session.held.iter_mut().find(|held| held.packet_id == packet_id) {
            Some(held) if held.stage == Stage::Received || held.stage == Stage::Released && held.again => {
                (held.stage, held.again) = (Stage::Released, false);
                Ok(())
            }
            Some(held) => Err(format!("no PUBREL is due for {held:?}")),
            None => Err("no PUBREL is due".to_owned()),
        }
    }

    /// The type of the client's answer to a message that it holds, if one is due.
    pub(crate) fn answer(&mut self, client: usize, packet_id: u16) -> Option<u8> {
        let held = &mut self.session(client).held;
        let at = held.iter().position(|held| held.packet_id == packet_id && !held.again)?;
        let answer = match (held[at].qos, held[at].stage) {
            (1, _) => PUBACK,
            (_, Stage::Published) => {
                held[at].stage = Stage::Received;
                return Some(PUBREC);
            }
            (_, Stage::Received) => return None,
            (_, Stage::Released) => PUBCOMP,
        };
        held.remove(at);
        Some(answer)
    }

    /// The topics that have retained messages.
    pub(crate) fn retained_topics(&self) -> Vec<String> {
        self.retained.keys().cloned().collect()
    }

    /// Messages of shared subscriptions that must have come by now, when every session has been connected since.
    pub(crate) fn lost(&self) -> Vec<String> {
        self.floats
            .iter()
            .filter(|float| !float.optional && float.came.is_none())
            .map(|float| format!("{float:?}"))
            .collect()
    }

    /// What the client has published with QoS 2 and not released.
    pub(crate) fn first_unreleased(&self, client: usize) -> Option<(u16, Message)> {
        let unreleased = &self.sessions[client].as_ref()?.unreleased;
        unreleased.first_key_value().map(|(id, message)| (*id, message.clone()))
    }
}

/// Finds a shared subscription for a copy that came, if need be by finding others for those that came before.
fn assign(floats: &mut [Float], copy: &Came, tried: &mut Vec<usize>) -> bool {
    // Messages without a payload look alike: what is due at once is not to be taken for what waited, nor what must come for
    // what need not.
    let mut order: Vec<usize> = (0..floats.len()).collect();
    order.sort_by_key(|at| (!floats[*at].at_once, floats[*at].optional));
    for at in order {
        if tried.contains(&at) || !is_for(&floats[at], copy) {
            continue;
        }
        tried.push(at);
        let moved = match floats[at].came.clone() {
            None => true,
            Some(before) => assign(floats, &before, tried),
        };
        if moved {
            floats[at].came = Some(copy.clone());
            return true;
        }
    }
    false
}

fn sorted_ids<'a>(subscriptions: impl Iterator<Item = &'a Subscription>) -> Vec<u8> {
    let mut ids: Vec<u8> = subscriptions.map(|subscription| subscription.id).filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids
}

/// The fields that every copy of a message has; in 3.1.1 there are no properties.
fn is_copy(is_v5: bool, message: &Message, ids: &[u8], publish: &Publish) -> bool {
    let properties: Vec<Property> = if is_v5 { publish.taken_apart() } else { Vec::new() };
    message.payload == publish.payload
        && message.topic.as_bytes() == publish.topic
        && (!is_v5
            || find(&properties, 0x26) == message.user_property.as_deref()
                && message.is_in_time(find(&properties, 0x02))
                && ids == publish.subscription_ids())
}

fn is_same(is_v5: bool, due: &Due, publish: &Publish) -> bool {
    is_copy(is_v5, &due.message, &due.ids, publish)
        && due.qos == publish.qos
        && due.retain == publish.retain
        && (due.may_be_repeated || !publish.duplicate)
}

fn is_for(float: &Float, copy: &Came) -> bool {
    let Some(member) = float.members.get(&copy.client) else { return false };
    let publish = &copy.publish;
    is_copy(copy.is_v5, &float.message, &sorted_ids([member].into_iter()), publish)
        && float.message.qos.min(member.qos) == publish.qos
        && (float.message.retain && member.retain_as_published) == publish.retain
        && (!publish.duplicate || !float.at_once)
}
