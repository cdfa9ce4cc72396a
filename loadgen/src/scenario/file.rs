//! The scenario file as it is written: TOML, every key known, times in seconds, rates a second.
//!
//! docs/LOAD.md describes each key for users; what a scenario means once scaled and checked is [`super::plan::Plan`].

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScenarioFile {
    /// Short name, used in reports.
    pub(crate) name: String,
    /// One sentence about what it shows.
    #[serde(default)]
    pub(crate) about: String,
    /// Seconds of load that are measured.
    #[serde(default = "defaults::duration_s")]
    pub(crate) duration_s: f64,
    /// Seconds of load before the measured ones.
    #[serde(default = "defaults::warmup_s")]
    pub(crate) warmup_s: f64,
    /// Seconds to wait, after the last message, for what is still on its way.
    #[serde(default = "defaults::drain_s")]
    pub(crate) drain_s: f64,
    /// Connections opened a second; 0 opens all at once.
    #[serde(default = "defaults::connect_rate_per_s")]
    pub(crate) connect_rate_per_s: f64,
    /// Seed of the arrivals.
    #[serde(default = "defaults::seed")]
    pub(crate) seed: u64,
    /// The groups of clients.
    #[serde(rename = "group")]
    pub(crate) groups: Vec<GroupFile>,
    /// What happens to groups during the run.
    #[serde(default, rename = "event")]
    pub(crate) events: Vec<EventFile>,
}

/// Clients that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupFile {
    /// Name, unique in the scenario.
    pub(crate) name: String,
    /// How many.
    pub(crate) clients: u64,
    /// Whether `--scale` applies to `clients`.
    #[serde(default = "defaults::yes")]
    pub(crate) scales: bool,
    /// Client identifier, a template.
    #[serde(default = "defaults::client_id")]
    pub(crate) client_id: String,
    /// `"3.1.1"` or `"5"`; without it, what the command line says.
    pub(crate) version: Option<Version>,
    /// Keep Alive, seconds; 0 turns it off.
    #[serde(default = "defaults::keep_alive_s")]
    pub(crate) keep_alive_s: u16,
    /// Clean Session (3.1.1) or Clean Start (5).
    #[serde(default = "defaults::yes")]
    pub(crate) clean_start: bool,
    /// Session Expiry Interval, seconds (5 only).
    #[serde(default)]
    pub(crate) session_expiry_s: u32,
    /// Receive Maximum announced to the broker (5 only).
    pub(crate) receive_maximum: Option<u16>,
    /// User name, a template.
    pub(crate) username: Option<String>,
    /// Password, a template.
    pub(crate) password: Option<String>,
    /// False: the group waits for a `connect` event.
    #[serde(default = "defaults::yes")]
    pub(crate) connect: bool,
    /// Connections of the group that are closed and opened again each second while there is load.
    #[serde(default)]
    pub(crate) churn_per_s: f64,
    /// What the clients subscribe to.
    pub(crate) subscribe: Option<SubscribeFile>,
    /// What the clients publish.
    pub(crate) publish: Option<PublishFile>,
}

/// Subscriptions of a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscribeFile {
    /// Topic filters, templates; `$share/NAME/FILTER` shares.
    pub(crate) filters: Vec<String>,
    /// QoS asked for.
    #[serde(default)]
    pub(crate) qos: u8,
}

/// Messages of a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishFile {
    /// Topic name, a template.
    pub(crate) topic: String,
    /// QoS of the messages.
    #[serde(default)]
    pub(crate) qos: u8,
    /// The RETAIN flag.
    #[serde(default)]
    pub(crate) retain: bool,
    /// Bytes of payload, from 16 (the header that the checks need).
    pub(crate) payload_bytes: Option<u32>,
    /// A file whose bytes follow the header.
    pub(crate) payload_file: Option<std::path::PathBuf>,
    /// Messages a second of each client.
    pub(crate) rate_per_s: f64,
    /// When messages are due.
    #[serde(default)]
    pub(crate) arrivals: ArrivalsFile,
    /// Messages of each client, at most.
    pub(crate) messages: Option<u32>,
    /// Properties (5 only).
    #[serde(default)]
    pub(crate) properties: PropertiesFile,
}

/// `"constant"`, `"poisson"` or `{ burst = N }`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ArrivalsFile {
    /// Evenly spaced over the group.
    #[default]
    Constant,
    /// Independent, exponentially distributed gaps.
    Poisson,
    /// So many messages of the group due at one instant.
    Burst(u32),
}

/// Properties of PUBLISH that a scenario may set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PropertiesFile {
    /// Message Expiry Interval, seconds.
    pub(crate) message_expiry_s: Option<u32>,
    /// Content Type.
    pub(crate) content_type: Option<String>,
    /// Response Topic.
    pub(crate) response_topic: Option<String>,
    /// User Properties.
    #[serde(default)]
    pub(crate) user: BTreeMap<String, String>,
}

/// Something that happens to a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    /// Seconds after the load began (the warm-up counts).
    pub(crate) at_s: f64,
    /// The group.
    pub(crate) group: String,
    /// What happens.
    pub(crate) action: Action,
    /// Clients a second that it happens to; 0: all at once.
    #[serde(default)]
    pub(crate) rate_per_s: f64,
}

/// What an event does to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Opens the connection, and subscribes.
    Connect,
    /// Sends DISCONNECT and closes.
    Disconnect,
    /// Closes without a word.
    Drop,
    /// Closes without a word and connects again.
    Reconnect,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum, Serialize)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    #[default]
    #[serde(rename = "3.1.1")]
    #[value(name = "3.1.1")]
    V3_1_1,
    /// MQTT 5.0.
    #[serde(rename = "5")]
    #[value(name = "5", alias = "5.0")]
    V5,
}

mod defaults {
    pub(super) fn duration_s() -> f64 {
        30.0
    }
    pub(super) fn warmup_s() -> f64 {
        5.0
    }
    pub(super) fn drain_s() -> f64 {
        5.0
    }
    pub(super) fn connect_rate_per_s() -> f64 {
        5_000.0
    }
    pub(super) fn seed() -> u64 {
        1
    }
    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn client_id() -> String {
        "ringtail-load-{run}-{group}-{i}".to_owned()
    }
    pub(super) fn keep_alive_s() -> u16 {
        300
    }
}
