//! A scenario made definite: scaled, overridden from the command line, templates parsed, every value checked.
//!
//! Clients are numbered through all groups from 0; group `g` holds `first..first + clients`. That number is also the
//! publisher's number in payloads ([`crate::payload`]).

use super::file::{Action, ArrivalsFile, EventFile, GroupFile, PropertiesFile, PublishFile, ScenarioFile, Version};
use super::template::{Template, Values};
use crate::error::Error;
use crate::payload::{HEADER_BYTES, PUBLISHERS_MAX};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Messages a second that a plan may ask for in all: above it due times would be less than 10 ns apart.
const RATE_MAX_PER_S: f64 = 100e6;
/// Largest payload: what is left of the largest packet of MQTT.
const PAYLOAD_BYTES_MAX: u32 = 268_000_000;

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Factor on the groups' client counts.
    pub(crate) scale: Option<f64>,
    /// Messages a second over all publishers.
    pub(crate) rate_per_s: Option<f64>,
    /// Seconds measured.
    pub(crate) duration_s: Option<f64>,
    /// Seconds before them.
    pub(crate) warmup_s: Option<f64>,
    /// Seconds of waiting at the end.
    pub(crate) drain_s: Option<f64>,
    /// Connections opened a second.
    pub(crate) connect_rate_per_s: Option<f64>,
    /// QoS of every message and subscription.
    pub(crate) qos: Option<u8>,
    /// Bytes of every payload.
    pub(crate) payload_bytes: Option<u32>,
    /// Version for groups that name none.
    pub(crate) version: Option<Version>,
    /// Seed of the arrivals.
    pub(crate) seed: Option<u64>,
    /// User name for groups that name none, a template.
    pub(crate) username: Option<String>,
    /// Password for groups that name none, a template.
    pub(crate) password: Option<String>,
}

/// A scenario ready to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The scenario's name.
    pub(crate) name: String,
    /// The run's number: in client identifiers and in every payload's checksum.
    pub(crate) run: u32,
    /// Seed of the arrivals.
    pub(crate) seed: u64,
    /// Load before the measured part, nanoseconds.
    pub(crate) warmup_ns: u64,
    /// Measured load, nanoseconds.
    pub(crate) duration_ns: u64,
    /// Longest wait for what is on its way at the end, nanoseconds.
    pub(crate) drain_ns: u64,
    /// Connections opened a second; 0: all at once.
    pub(crate) connect_rate_per_s: f64,
    /// The groups.
    pub(crate) groups: Vec<Group>,
    /// The events, by time.
    pub(crate) events: Vec<Event>,
}

/// Clients that are alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Name.
    pub(crate) name: String,
    /// Number of the first client.
    pub(crate) first: u32,
    /// How many.
    pub(crate) clients: u32,
    /// Client identifier.
    pub(crate) client_id: Template,
    /// Version of MQTT.
    pub(crate) version: Version,
    /// Keep Alive, seconds.
    pub(crate) keep_alive_s: u16,
    /// Clean Session or Clean Start.
    pub(crate) clean_start: bool,
    /// Session Expiry Interval, seconds.
    pub(crate) session_expiry_s: u32,
    /// Receive Maximum announced.
    pub(crate) receive_maximum: Option<u16>,
    /// User name.
    pub(crate) username: Option<Template>,
    /// Password.
    pub(crate) password: Option<Template>,
    /// Whether it connects at the start.
    pub(crate) connect: bool,
    /// Connections closed and opened again a second.
    pub(crate) churn_per_s: f64,
    /// Subscriptions.
    pub(crate) subscribe: Option<Subscribe>,
    /// Messages.
    pub(crate) publish: Option<Publish>,
}

impl Group {
    /// True when the broker keeps the session while the client is away.
    pub(crate) fn is_persistent(&self) -> bool {
        match self.version {
            Version::V3_1_1 => !self.clean_start,
            Version::V5 => self.session_expiry_s > 0,
        }
    }

    /// What templates are filled with for the client of that number in the group.
    pub(crate) fn values(&self, index: u32, run: u32) -> Values<'_> {
        Values { index: u64::from(index), group: &self.name, run }
    }
}

/// Subscriptions of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscribe {
    /// Topic filters.
    pub(crate) filters: Vec<Template>,
    /// QoS asked for, 0 to 2.
    pub(crate) qos: u8,
    /// True when a filter is shared: the group's members then live on one worker.
    pub(crate) is_shared: bool,
}

/// Messages of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Publish {
    /// Topic name.
    pub(crate) topic: Template,
    /// QoS, 0 to 2.
    pub(crate) qos: u8,
    /// RETAIN.
    pub(crate) retain: bool,
    /// What follows the header in every payload.
    pub(crate) body: Arc<[u8]>,
    /// Messages a second of each client.
    pub(crate) rate_per_s: f64,
    /// When they are due.
    pub(crate) arrivals: ArrivalsFile,
    /// Messages of each client, at most.
    pub(crate) messages: Option<u32>,
    /// Properties.
    pub(crate) properties: PropertiesFile,
}

impl Publish {
    /// Bytes of a payload.
    pub(crate) fn payload_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Something that happens to a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    /// After the load began, nanoseconds.
    pub(crate) at_ns: u64,
    /// Index of the group.
    pub(crate) group: usize,
    /// What happens.
    pub(crate) action: Action,
    /// Clients a second; 0: all at once.
    pub(crate) rate_per_s: f64,
}

impl Plan {
    /// Makes `file` definite. `place` is the file's name, for errors; `run` the run's number.
    ///
    /// # Errors
    /// [`Error::Scenario`] with the group and key of a value that cannot be.
    pub(crate) fn new(file: &ScenarioFile, place: &str, overrides: &Overrides, run: u32) -> Result<Self, Error> {
        let scale = overrides.scale.unwrap_or(1.0);
        if !(scale > 0.0 && scale <= 1e6) {
            return Err(Error::Usage(format!("--scale {scale}: it must be above 0 and at most 1000000")));
        }
        let mut groups = Vec::with_capacity(file.groups.len());
        let mut first = 0u32;
        for group in &file.groups {
            let place = Place { file: place, group: &group.name };
            if groups.iter().any(|g: &Group| g.name == group.name) {
                return Err(place.at("name", "two groups have this name"));
            }
            let group = Group::new(group, &place, overrides, first, scale)?;
            first = first
                .checked_add(group.clients)
                .filter(|n| *n <= PUBLISHERS_MAX)
                .ok_or_else(|| place.at("clients", format!("more than {PUBLISHERS_MAX} clients in all")))?;
            groups.push(group);
        }
        let mut plan = Self {
            name: file.name.clone(),
            run,
            seed: overrides.seed.unwrap_or(file.seed),
            warmup_ns: nanoseconds(place, "warmup_s", overrides.warmup_s.unwrap_or(file.warmup_s))?,
            duration_ns: nanoseconds(place, "duration_s", overrides.duration_s.unwrap_or(file.duration_s))?,
            drain_ns: nanoseconds(place, "drain_s", overrides.drain_s.unwrap_or(file.drain_s))?,
            connect_rate_per_s: overrides.connect_rate_per_s.unwrap_or(file.connect_rate_per_s),
            events: events(&file.events, &groups, place)?,
            groups,
        };
        if !(plan.connect_rate_per_s >= 0.0 && plan.connect_rate_per_s <= 10e6) {
            return Err(Error::scenario(place, "connect_rate_per_s must be from 0 (all at once) to 10000000"));
        }
        if plan.duration_ns == 0 {
            return Err(Error::scenario(place, "duration_s must be above 0"));
        }
        plan.check_events(place)?;
        plan.set_rate(overrides.rate_per_s)?;
        Ok(plan)
    }

    /// An event that comes after the load would leave out what the scenario is about, and count it as lost.
    fn check_events(&self, place: &str) -> Result<(), Error> {
        let end_ns = self.warmup_ns + self.duration_ns;
        let Some(late) = self.events.iter().find(|e| e.at_ns >= end_ns) else { return Ok(()) };
        let seconds = |ns: u64| ns as f64 / 1e9;
        let (at_s, end_s) = (seconds(late.at_ns), seconds(end_ns));
        Err(Error::scenario(
            place,
            format!("event at {at_s} s: the load is over after {end_s} s; give a longer duration"),
        ))
    }

    /// Scales the publishers' rates so that they make `rate_per_s` messages in all.
    ///
    /// # Errors
    /// [`Error::Usage`] for a rate that cannot be.
    pub(crate) fn set_rate(&mut self, rate_per_s: Option<f64>) -> Result<(), Error> {
        if let Some(rate) = rate_per_s {
            if !(rate > 0.0 && rate.is_finite()) {
                return Err(Error::Usage(format!("--rate {rate}: it must be above 0")));
            }
            let now = self.rate_per_s();
            if now == 0.0 {
                return Err(Error::Usage(format!("--rate: nobody publishes in `{}`", self.name)));
            }
            for publish in self.groups.iter_mut().filter_map(|g| g.publish.as_mut()) {
                publish.rate_per_s *= rate / now;
            }
        }
        if self.rate_per_s() > RATE_MAX_PER_S {
            return Err(Error::Usage(format!(
                "{} messages a second are more than any machine makes",
                self.rate_per_s()
            )));
        }
        Ok(())
    }

    /// Messages a second that the publishers make in all.
    pub(crate) fn rate_per_s(&self) -> f64 {
        self.groups.iter().filter_map(|g| Some(g.publish.as_ref()?.rate_per_s * f64::from(g.clients))).sum()
    }

    /// Clients of all groups.
    pub(crate) fn clients(&self) -> u32 {
        self.groups.iter().map(|g| g.clients).sum()
    }

    /// The group that holds the client of that number.
    pub(crate) fn group_of(&self, client: u32) -> &Group {
        let at = self.groups.partition_point(|g| g.first + g.clients <= client);
        &self.groups[at]
    }
}

struct Place<'a> {
    file: &'a str,
    group: &'a str,
}

impl Place<'_> {
    fn at(&self, key: &str, what: impl std::fmt::Display) -> Error {
        Error::scenario(format!("{}: group `{}`", self.file, self.group), format!("{key}: {what}"))
    }

    fn template(&self, key: &str, text: &str) -> Result<Template, Error> {
        Template::parse(text).map_err(|e| self.at(key, e))
    }
}

impl Group {
    fn new(file: &GroupFile, place: &Place<'_>, o: &Overrides, first: u32, scale: f64) -> Result<Self, Error> {
        if file.clients == 0 {
            return Err(place.at("clients", "it must be at least 1"));
        }
        let scaled = if file.scales { (file.clients as f64 * scale).round().max(1.0) } else { file.clients as f64 };
        if scaled > f64::from(PUBLISHERS_MAX) {
            return Err(place.at("clients", format!("{scaled} are more than {PUBLISHERS_MAX}")));
        }
        let template = |key: &str, text: Option<&String>| text.map(|t| place.template(key, t)).transpose();
        let client_id = place.template("client_id", &file.client_id)?;
        let clients = scaled as u32;
        if client_id.is_constant() && clients > 1 {
            return Err(place.at("client_id", "every client would have the same; put {i} into it"));
        }
        if !(0.0..=1e6).contains(&file.churn_per_s) {
            return Err(place.at("churn_per_s", "it must be from 0 to 1000000"));
        }
        let version = file.version.or(o.version).unwrap_or_default();
        if version == Version::V3_1_1 && file.receive_maximum.is_some() {
            return Err(place.at("receive_maximum", "only MQTT 5 has it"));
        }
        Ok(Self {
            name: file.name.clone(),
            first,
            clients,
            client_id,
            version,
            keep_alive_s: file.keep_alive_s,
            clean_start: file.clean_start,
            session_expiry_s: file.session_expiry_s,
            receive_maximum: file.receive_maximum,
            username: template("username", file.username.as_ref().or(o.username.as_ref()))?,
            password: template("password", file.password.as_ref().or(o.password.as_ref()))?,
            connect: file.connect,
            churn_per_s: file.churn_per_s,
            subscribe: file.subscribe.as_ref().map(|s| subscribe(s, place, o)).transpose()?,
            publish: file.publish.as_ref().map(|p| publish(p, place, o, version)).transpose()?,
        })
    }
}

fn subscribe(file: &super::file::SubscribeFile, place: &Place<'_>, o: &Overrides) -> Result<Subscribe, Error> {
    if file.filters.is_empty() {
        return Err(place.at("subscribe.filters", "it must hold at least one filter"));
    }
    let filters = file.filters.iter().map(|f| place.template("subscribe.filters", f)).collect::<Result<_, _>>()?;
    let is_shared = file.filters.iter().any(|f| f.starts_with("$share/"));
    Ok(Subscribe { filters, qos: qos(o.qos.unwrap_or(file.qos), place, "subscribe.qos")?, is_shared })
}

fn publish(file: &PublishFile, place: &Place<'_>, o: &Overrides, version: Version) -> Result<Publish, Error> {
    if !(file.rate_per_s > 0.0 && file.rate_per_s.is_finite()) {
        return Err(place.at("publish.rate_per_s", "it must be above 0"));
    }
    if file.topic.is_empty() || file.topic.contains(['+', '#']) {
        return Err(place.at("publish.topic", "a topic name is not empty and has no wildcard"));
    }
    if matches!(file.arrivals, ArrivalsFile::Burst(0)) {
        return Err(place.at("publish.arrivals", "a burst has at least 1 message"));
    }
    if file.messages.is_some() && matches!(file.arrivals, ArrivalsFile::Poisson) {
        return Err(place.at("publish.messages", "it goes with constant and burst arrivals only"));
    }
    let p = &file.properties;
    let has_properties =
        p.message_expiry_s.is_some() || p.content_type.is_some() || p.response_topic.is_some() || !p.user.is_empty();
    if has_properties && version != Version::V5 {
        return Err(place.at("publish.properties", "only MQTT 5 has them"));
    }
    Ok(Publish {
        topic: place.template("publish.topic", &file.topic)?,
        qos: qos(o.qos.unwrap_or(file.qos), place, "publish.qos")?,
        retain: file.retain,
        body: body(file, place, o)?,
        rate_per_s: file.rate_per_s,
        arrivals: file.arrivals,
        messages: file.messages,
        properties: file.properties.clone(),
    })
}

/// What follows the header: the file's bytes, or a pattern that no compression removes entirely.
fn body(file: &PublishFile, place: &Place<'_>, o: &Overrides) -> Result<Arc<[u8]>, Error> {
    match (&file.payload_file, o.payload_bytes.or(file.payload_bytes)) {
        (Some(_), Some(_)) => Err(place.at("publish.payload_file", "give either it or payload_bytes")),
        (Some(path), None) => {
            let bytes = std::fs::read(path)
                .map_err(|e| place.at("publish.payload_file", format!("{}: {e}", path.display())))?;
            if bytes.len() > PAYLOAD_BYTES_MAX as usize {
                return Err(place.at("publish.payload_file", format!("more than {PAYLOAD_BYTES_MAX} bytes")));
            }
            Ok(bytes.into())
        }
        (None, bytes) => {
            let bytes = bytes.unwrap_or(64);
            if !(HEADER_BYTES as u32..=PAYLOAD_BYTES_MAX).contains(&bytes) {
                return Err(
                    place.at("publish.payload_bytes", format!("it must be from {HEADER_BYTES} to {PAYLOAD_BYTES_MAX}"))
                );
            }
            Ok((0..bytes - HEADER_BYTES as u32).map(|i| (i ^ i >> 8) as u8).collect())
        }
    }
}

fn qos(value: u8, place: &Place<'_>, key: &str) -> Result<u8, Error> {
    if value <= 2 { Ok(value) } else { Err(place.at(key, "QoS is 0, 1 or 2")) }
}

fn nanoseconds(place: &str, key: &str, seconds: f64) -> Result<u64, Error> {
    if !(0.0..=1e6).contains(&seconds) {
        return Err(Error::scenario(place, format!("{key} must be from 0 to 1000000")));
    }
    Ok((seconds * 1e9) as u64)
}

fn events(files: &[EventFile], groups: &[Group], place: &str) -> Result<Vec<Event>, Error> {
    let mut events = Vec::with_capacity(files.len());
    for file in files {
        let group = groups.iter().position(|g| g.name == file.group).ok_or_else(|| {
            Error::scenario(place, format!("event at {} s: there is no group `{}`", file.at_s, file.group))
        })?;
        if !(file.rate_per_s >= 0.0 && file.rate_per_s.is_finite()) {
            return Err(Error::scenario(place, format!("event at {} s: rate_per_s must be 0 or above", file.at_s)));
        }
        let at_ns = nanoseconds(place, "event: at_s", file.at_s)?;
        events.push(Event { at_ns, group, action: file.action, rate_per_s: file.rate_per_s });
    }
    events.sort_by_key(|e| e.at_ns);
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::super::builtin::BUILTINS;
    use super::*;

    fn plan(text: &str, overrides: &Overrides) -> Result<Plan, Error> {
        Plan::new(&toml::from_str(text).expect("TOML"), "t.toml", overrides, 1)
    }

    #[test]
    fn every_built_in_scenario_makes_a_plan() {
        for builtin in BUILTINS {
            let file: ScenarioFile = toml::from_str(builtin.text).expect(builtin.name);
            assert_eq!(file.name, builtin.name);
            for scale in [1.0, 0.01] {
                let plan = Plan::new(&file, builtin.name, &Overrides { scale: Some(scale), ..Overrides::default() }, 1);
                assert!(plan.is_ok_and(|p| p.clients() > 0), "{} at {scale}", builtin.name);
            }
        }
    }

    #[test]
    fn the_suites_rates_are_its_own() {
        let rate = |name: &str| {
            let file = super::super::load(name).expect(name);
            Plan::new(&file, name, &Overrides::default(), 1).expect(name).rate_per_s()
        };
        assert_eq!(rate("p2p-50K-50K-50K-50K"), 50_000.0);
        assert_eq!(rate("fanout-5-1000-5-250K"), 250.0);
        assert_eq!(rate("sharesub-1k-5-1k-1k"), 1_000.0);
        assert_eq!(rate("conn-tcp-1M-5K"), 0.0);
    }

    #[test]
    fn rate_and_scale_are_exact() {
        let file = super::super::load("p2p-1k-1k-1k-1k").expect("built in");
        let o = Overrides { scale: Some(0.01), rate_per_s: Some(500.0), ..Overrides::default() };
        let plan = Plan::new(&file, "p", &o, 1).expect("plan");
        assert_eq!(plan.clients(), 20);
        assert!((plan.rate_per_s() - 500.0).abs() < 1e-9);
        assert_eq!(plan.group_of(9).name, "sub");
        assert_eq!(plan.group_of(10).name, "pub");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        let base = "name=\"t\"\n[[group]]\nname=\"a\"\nclients=2\n";
        let rows = [
            ("publish={topic=\"x\", rate_per_s=0}", "rate_per_s"),
            ("publish={topic=\"x/#\", rate_per_s=1}", "publish.topic"),
            ("publish={topic=\"x\", rate_per_s=1, qos=3}", "publish.qos"),
            ("publish={topic=\"x\", rate_per_s=1, payload_bytes=8}", "payload_bytes"),
            ("publish={topic=\"x/{q}\", rate_per_s=1}", "publish.topic"),
            ("publish={topic=\"x\", rate_per_s=1, properties={content_type=\"t\"}}", "publish.properties"),
            ("publish={topic=\"x\", rate_per_s=1, messages=1, arrivals=\"poisson\"}", "publish.messages"),
            ("subscribe={filters=[]}", "subscribe.filters"),
            ("client_id=\"same\"", "client_id"),
            ("receive_maximum=5", "receive_maximum"),
            ("[[event]]\nat_s=1\ngroup=\"nope\"\naction=\"drop\"", "nope"),
            ("[[event]]\nat_s=35\ngroup=\"a\"\naction=\"drop\"", "event at 35 s: the load is over after 35 s"),
        ];
        for (row, key) in rows {
            let error = plan(&format!("{base}{row}\n"), &Overrides::default()).expect_err(row).to_string();
            assert!(error.starts_with("t.toml") && error.contains(key), "{row}: {error}");
        }
        let nobody = plan(base, &Overrides { rate_per_s: Some(5.0), ..Overrides::default() });
        assert!(nobody.is_err_and(|e| e.to_string().contains("nobody publishes")));
    }
}
