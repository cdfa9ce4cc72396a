//! The table of all settings. A setting stands here and nowhere else; its default is that of its place in [`Settings`].

use super::field::{Field, names};
use super::kind::Kind;
use super::value::Value;
use super::{LogFormat, Settings};
use ringtail_mqtt::limits::QueuePolicy;
use ringtail_shards::config::{Pacing, SHARDS_MAX, Sync};
use ringtail_shards::routing::Strategy;
use std::sync::LazyLock;
use tracing::level_filters::LevelFilter;

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// At SIGHUP.
    Live,
    /// At the next start.
    Restart,
}

/// A setting.
pub(crate) struct Setting {
    /// `section.name`; a unit stands last in the name.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) reload: Reload,
    /// What it does, and what it costs.
    pub(crate) doc: &'static str,
    read: fn(&Settings, &Kind) -> Value,
    write: fn(&mut Settings, &Kind, &Value) -> bool,
}

impl Setting {
    /// The setting's section.
    pub(crate) fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The setting's name within its section.
    pub(crate) fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Its value in `settings`.
    pub(crate) fn value(&self, settings: &Settings) -> Value {
        (self.read)(settings, &self.kind)
    }

    /// Puts what was given into `settings`; false when it is not allowed.
    pub(super) fn write(&self, settings: &mut Settings, given: &Value) -> bool {
        (self.write)(settings, &self.kind, given)
    }
}

/// A section of the settings.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
}

/// The sections, in the order of the reference.
pub(crate) const SECTIONS: &[Section] = &[
    Section { name: "listen", doc: "Where clients connect." },
    Section { name: "shards", doc: "How the work is spread over the cores, and what each shard holds." },
    Section {
        name: "mqtt",
        doc: "What clients may do and what is kept for each of them. At a bound the client gets the reason code that \
              the specification names for it, and a counter says how often.",
    },
    Section { name: "retained", doc: "The retained messages." },
    Section { name: "storage", doc: "What survives a restart." },
    Section { name: "log", doc: "The log of the program, which goes to standard error." },
];

/// The setting with this full name.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

macro_rules! settings {
    ($($key:literal, $place:ident $(. $field:ident)*, $kind:expr, $reload:ident, $doc:literal;)*) => {
        vec![$(Setting {
            key: $key,
            kind: $kind,
            reload: Reload::$reload,
            doc: $doc,
            read: |settings, kind| settings.$place$(.$field)*.show(kind),
            write: |settings, kind, given| match Field::parse(kind, given) {
                Some(value) => {
                    settings.$place$(.$field)* = value;
                    true
                }
                None => false,
            },
        },)*]
    };
}

const U32_MAX: i128 = u32::MAX as i128;

fn number(min: i128, max: i128, unit: &'static str) -> Kind {
    Kind::Number { range: min..=max, unit }
}

fn power_of_two(min: i128, max: i128) -> Kind {
    Kind::PowerOfTwo { range: min..=max }
}

fn size(min: i128, max: i128) -> Kind {
    Kind::Size { range: min..=max }
}

/// Every setting, in the order of the reference.
#[rustfmt::skip]
pub(crate) static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| settings! {
    "listen.addresses", config.listeners, Kind::Addresses, Restart,
        "Addresses to listen on, each \"tcp://ADDRESS:PORT\" with an IP address; port 0 takes a free one. Without the \
         setting a machine that has no IPv6 is only warned about.";

    "shards.count", config.shards, number(0, SHARDS_MAX as i128, "shards"), Restart,
        "Number of shards. 0: one for each core that the process may use. More shards than cores share the cores in turn.";
    "shards.cores", config.cores, Kind::Cores, Restart,
        "Cores to pin the shards to, in turn: numbers and ranges, such as \"0,2-5\". Empty: all that the process may \
         use, as taskset or a container has set it.";
    "shards.spin_us", config.spin_us, number(0, 10_000, "microseconds"), Restart,
        "How long an idle shard looks for work before it sleeps. More than 0 spares a quiet connection the time of a \
         wake-up, and costs CPU time while idle.";
    "shards.pacing", config.pacing, Kind::Choice(names::<Pacing>), Restart,
        "How long a busy shard may wait to take more work at once, which saves CPU time: never (latency), up to 300 \
         microseconds while clients send several packets ahead of being read (balanced), or up to 600 and sooner \
         (throughput).";
    "shards.huge_pages", huge_pages, Kind::Flag, Restart,
        "Whether the allocator may have transparent huge pages, where the system allows them. A shard waits for the \
         kernel to clear 2 MiB whenever it is the first to touch one, milliseconds on a virtual machine, and 2 MiB are \
         resident wherever less is in use.";
    "shards.connections_max", config.connections_max, number(1, 1 << 20, "connections"), Restart,
        "Connections that one shard holds. Each shard has its own table of them, which the limit of open files \
         (RLIMIT_NOFILE) bounds; the default is cut down to that limit.";
    "shards.receive_buffers", config.receive_buffers, power_of_two(2, 1 << 15), Restart,
        "Receive buffers that the connections of one shard share.";
    "shards.receive_buffer_bytes", config.receive_buffer_bytes, size(256, 1 << 20), Restart,
        "Size of one receive buffer. A shard holds receive_buffers times this much memory.";
    "shards.mesh_slots", config.mesh_slots, power_of_two(2, 1 << 20), Restart,
        "Slots of the ring from one shard to another; there is a ring for each ordered pair of shards. A full ring \
         holds back the publishers that filled it.";

    "mqtt.connect_timeout_ms", config.connect_timeout_ms, number(100, 600_000, "milliseconds"), Restart,
        "A connection that has not sent a whole CONNECT after this time is closed. So is one that has not ended an \
         enhanced authentication, with Not authorized; one that is begun anew later has as much time.";
    "mqtt.sessions_max", config.sessions_max, number(1, U32_MAX, "sessions"), Restart,
        "Sessions that one shard keeps, connected or not. A CONNECT beyond it is refused with Quota exceeded.";
    "mqtt.slow_consumer_grace_ms", config.slow_consumer_grace_ms, number(0, 600_000, "milliseconds"), Restart,
        "How long a subscriber that does not keep up holds its publishers back before its messages are dropped by \
         queue_policy.";
    "mqtt.packet_bytes_max", config.limits.packet_bytes_max, size(128, 268_435_460), Restart,
        "Largest packet that a client may send, announced as Maximum Packet Size. The default is the largest that the \
         protocol can express.";
    "mqtt.receive_maximum", config.limits.receive_maximum, number(1, 65_535, "messages"), Restart,
        "Messages of QoS 1 and 2 that a client may have unacknowledged towards the server, announced as Receive Maximum.";
    "mqtt.inflight_max", config.limits.inflight_max, number(1, 65_535, "messages"), Restart,
        "Messages of QoS 1 and 2 that are in flight to one client, whatever larger Receive Maximum it allows.";
    "mqtt.queue_messages_max", config.limits.queue_messages_max, number(0, U32_MAX, "messages"), Restart,
        "Messages queued for one session beyond those in flight, online or offline.";
    "mqtt.queue_bytes_max", config.limits.queue_bytes_max, size(0, 1 << 40), Restart,
        "Bytes of the messages queued for one session.";
    "mqtt.queue_policy", config.limits.queue_policy, Kind::Choice(names::<QueuePolicy>), Restart,
        "What happens when a session's queue is full: the oldest message makes room (drop_oldest), or the new one is \
         not queued (drop_newest); with reject its publisher is told so as well, by Quota exceeded in PUBACK or \
         PUBREC, or before 5.0 by closing its connection. The drop is counted in any case.";
    "mqtt.outbox_bytes_max", config.limits.outbox_bytes_max, size(1 << 10, 1 << 32), Restart,
        "Bytes that wait to be sent to one connection: above it QoS 0 is dropped for that subscriber, and QoS 1 and 2 \
         stay queued.";
    "mqtt.topic_alias_maximum", config.limits.topic_alias_maximum, number(0, 65_535, "aliases"), Restart,
        "Topic aliases that a client may set, announced as Topic Alias Maximum. Each costs the bytes of its topic.";
    "mqtt.topic_alias_outbound_max", config.limits.topic_alias_outbound_max, number(0, 65_535, "aliases"), Restart,
        "Topic aliases that the server sets towards a client that allows them.";
    "mqtt.keep_alive_max_s", config.limits.keep_alive_max_s, number(0, 65_535, "seconds"), Restart,
        "Longest Keep Alive; a client that asks for more is told this one by Server Keep Alive. 0 leaves the choice to \
         the client.";
    "mqtt.session_expiry_max_s", config.limits.session_expiry_max_s, number(0, U32_MAX, "seconds"), Restart,
        "Longest Session Expiry Interval; the largest number stands for sessions that never expire.";
    "mqtt.maximum_qos", config.limits.maximum_qos, number(0, 2, ""), Restart,
        "Highest QoS that is granted and accepted.";
    "mqtt.retain_available", config.limits.retain_available, Kind::Flag, Restart,
        "Whether retained messages are kept.";
    "mqtt.wildcard_available", config.limits.wildcard_available, Kind::Flag, Restart,
        "Whether topic filters may hold wildcards.";
    "mqtt.shared_available", config.limits.shared_available, Kind::Flag, Restart,
        "Whether shared subscriptions ($share/...) are accepted.";
    "mqtt.shared_strategy", config.shared_strategy, Kind::Choice(names::<Strategy>), Restart,
        "How the member of a shared subscription that takes a message is chosen: each in turn, any, the same until it \
         cannot, by the publisher, by the topic, or the one with the fewest messages in flight.";
    "mqtt.topic_levels_max", config.limits.topic_levels_max, number(1, 65_535, "levels"), Restart,
        "Levels of a topic name or filter.";
    "mqtt.test_authentication", test_authentication, Kind::Flag, Restart,
        "Offers the authentication method RINGTAIL-TEST, which proves nothing: it is there to test how clients \
         exchange AUTH packets. The client's first Authentication Data is the number of rounds that it wants, 0 to 99; \
         each challenge is to be answered with its own bytes backwards.";
    "mqtt.overlapping_copies", config.overlapping_copies, Kind::Flag, Restart,
        "Whether a client whose subscriptions overlap gets a copy of a message for each of them that matches, with its QoS \
         and its identifier, in place of one for all with the highest QoS and all identifiers.";
    "mqtt.server_reference", config.server_reference, Kind::Text, Restart,
        "Another server, such as \"broker-2.example:1883\", that 5.0 clients are told to use when this one stops: by \
         DISCONNECT with Use another server and this Server Reference. Empty: they are told that the server shuts down.";
    "mqtt.server_moved", config.server_moved, Kind::Flag, Restart,
        "Tells them Server moved in place of Use another server: to stay there.";
    "mqtt.response_prefix", config.limits.response_prefix, Kind::TopicName, Restart,
        "The Response Information of a 5.0 client that asks for it is this topic, a slash, and its client identifier. Empty: \
         none is given.";
    "mqtt.payload_format_checked", config.limits.payload_format_checked, Kind::Flag, Restart,
        "Refuses a message, or a will, whose Payload Format Indicator says UTF-8 when it is not, with Payload format \
         invalid. Costs a look at every byte of such payloads.";
    "mqtt.subscriptions_max", config.limits.subscriptions_max, number(1, U32_MAX, "subscriptions"), Restart,
        "Subscriptions of one session.";

    "retained.messages_max", config.retained_messages_max, number(0, 1 << 40, "messages"), Restart,
        "Retained messages that one shard keeps.";
    "retained.bytes_max", config.retained_bytes_max, size(0, 1 << 50), Restart,
        "Bytes of the retained messages that one shard keeps.";

    "storage.dir", config.storage_dir, Kind::Folder, Restart,
        "The data folder, made if it is missing: durable sessions with their subscriptions and messages, and retained \
         messages. Without it everything is in memory and gone after a stop.";
    "storage.sync", config.storage.sync, Kind::Choice(names::<Sync>), Restart,
        "When what is acknowledged is on disk: before the acknowledgement leaves (always), within sync_interval_ms \
         (interval), or when the kernel writes it (never). The latter two lose with a loss of power what was not written; \
         none loses anything when the program crashes or is killed.";
    "storage.sync_interval_ms", config.storage.sync_interval_ms, number(1, 3_600_000, "milliseconds"), Restart,
        "The interval of sync = \"interval\".";
    "storage.segment_bytes", config.storage.segment_bytes, size(1 << 20, 1 << 30), Restart,
        "Size of the largest files of a log; where little is kept it has smaller ones, from 1 MiB. A message of more than half \
         of it is not kept for a durable session and not retained: the publisher is told Quota exceeded.";
    "storage.limit_bytes", config.storage.limit_bytes, size(4 << 20, 1 << 50), Restart,
        "Bytes that the log of one shard may take on disk, at least four segments. At the limit what would have to be kept \
         is refused with Quota exceeded, and everything else goes on.";

    "log.level", log_level, Kind::Choice(names::<LevelFilter>), Live,
        "How much is logged. RINGTAIL_LOG in the environment beats it, and may name parts of the program, such as \
         \"info,ringtail_shards=debug\".";
    "log.format", log_format, Kind::Choice(names::<LogFormat>), Restart,
        "Lines for people, or a JSON object a line.";
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_reads_back_the_same() {
        let mut settings = Settings::default();
        for setting in SETTINGS.iter() {
            let default = setting.value(&settings);
            assert!(setting.write(&mut settings, &default), "{}", setting.key);
            assert_eq!(setting.value(&settings), default, "{}", setting.key);
        }
    }

    #[test]
    fn both_ends_of_every_range_fit_the_field() {
        let mut settings = Settings::default();
        for setting in SETTINGS.iter() {
            let (Kind::Number { range, .. } | Kind::PowerOfTwo { range } | Kind::Size { range }) = &setting.kind else {
                continue;
            };
            for end in [*range.start(), *range.end()] {
                assert!(setting.write(&mut settings, &Value::Number(end)), "{} = {end}", setting.key);
                assert_eq!(setting.value(&settings), setting.kind.show_number(end), "{}", setting.key);
            }
            for beyond in [range.start() - 1, range.end() + 1] {
                assert!(!setting.write(&mut settings, &Value::Number(beyond)), "{} = {beyond}", setting.key);
            }
        }
    }

    #[test]
    fn keys_are_unique_and_in_a_known_section() {
        for (i, setting) in SETTINGS.iter().enumerate() {
            assert!(SECTIONS.iter().any(|section| section.name == setting.section()), "{}", setting.key);
            assert!(SETTINGS[..i].iter().all(|other| other.key != setting.key), "{}", setting.key);
        }
    }
}
