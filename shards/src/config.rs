//! What a set of shards is started with. The program fills it from its settings; here is what each field means to a shard.

#[cfg(not(loom))]
use crate::routing::Strategy;
#[cfg(not(loom))]
use ringtail_mqtt::authentication::Method;
#[cfg(not(loom))]
use ringtail_mqtt::limits::Limits;
#[cfg(not(loom))]
use std::net::SocketAddr;
#[cfg(not(loom))]
use std::path::PathBuf;
#[cfg(not(loom))]
use std::sync::Arc;

/// How far a busy shard may wait to take more work at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pacing {
    /// Never waits for more.
    Latency,
    /// Waits up to 300 microseconds, only while the shard is busy and clients send ahead of being read. The default: it costs
    /// nothing before that.
    #[default]
    Balanced,
    /// Waits up to 600 microseconds, for clients that send less far ahead too.
    Throughput,
}

/// When what a client was promised is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before it is promised: an acknowledgement waits for the disk.
    #[default]
    Always,
    /// Within the interval: a loss of power loses what the interval promised, a crash of the process nothing.
    Interval,
    /// When the kernel sees fit: a loss of power loses what it had not written, a crash of the process nothing.
    Never,
}

/// How durable sessions and retained messages are kept.
#[cfg(not(loom))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// See [`Sync`].
    pub sync: Sync,
    /// The interval of [`Sync::Interval`], milliseconds.
    pub sync_interval_ms: u32,
    /// Bytes of a segment of a shard's log.
    pub segment_bytes: u64,
    /// Bytes that the log of one shard may take on disk; at least four segments.
    pub limit_bytes: u64,
}

#[cfg(not(loom))]
impl Default for Storage {
    fn default() -> Self {
        Self { sync: Sync::Always, sync_interval_ms: 1_000, segment_bytes: 64 << 20, limit_bytes: 64 << 30 }
    }
}

/// Everything that a set of shards needs to know.
#[cfg(not(loom))]
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of shards, 1 to [`SHARDS_MAX`].
    pub shards: usize,
    /// Cores that the shards are pinned to, in turn: shard `i` runs on `cores[i % cores.len()]`. Empty: not pinned.
    pub cores: Vec<usize>,
    /// TCP addresses to listen on; every shard listens on each of them (SO_REUSEPORT).
    pub listeners: Vec<SocketAddr>,
    /// Connections that one shard holds: the size of its table of direct descriptors, at most RLIMIT_NOFILE.
    pub connections_max: u32,
    /// How long an idle shard spins before it parks, microseconds. 0 parks at once.
    pub spin_us: u32,
    /// See [`Pacing`].
    pub pacing: Pacing,
    /// Receive buffers of a shard's ring; a power of two up to 32,768.
    pub receive_buffers: u16,
    /// Bytes of a receive buffer.
    pub receive_buffer_bytes: u32,
    /// Slots of the mesh ring between two shards; a power of two.
    pub mesh_slots: usize,
    /// A connection that has not sent a whole CONNECT after this time is closed, milliseconds.
    pub connect_timeout_ms: u32,
    /// How long a full subscriber holds its publishers back before its messages are dropped, milliseconds.
    pub slow_consumer_grace_ms: u32,
    /// Retained messages that one shard keeps.
    pub retained_messages_max: u64,
    /// Bytes of the retained messages that one shard keeps.
    pub retained_bytes_max: u64,
    /// Sessions that one shard keeps, connected or not.
    pub sessions_max: u32,
    /// How the member of a shared subscription that takes a message is chosen.
    pub shared_strategy: Strategy,
    /// Where clients are sent when the server stops, as 4.11 has it; `None` sends them nowhere.
    pub server_reference: Option<Box<str>>,
    /// They are to stay there.
    pub server_moved: bool,
    /// The methods of enhanced authentication that are offered.
    pub authentication_methods: Vec<Arc<dyn Method>>,
    /// A client whose subscriptions overlap gets a copy of a message for each that matches, not one for all.
    pub overlapping_copies: bool,
    /// Limits of each session.
    pub limits: Limits,
    /// The data folder; `None` keeps everything in memory.
    pub storage_dir: Option<PathBuf>,
    /// How the data folder is used.
    pub storage: Storage,
}

/// Most shards of one process: the width of a set of shards ([`crate::ShardSet`]).
pub const SHARDS_MAX: usize = 128;

#[cfg(not(loom))]
impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 1,
            cores: Vec::new(),
            listeners: Vec::new(),
            connections_max: 1 << 20,
            spin_us: 0,
            pacing: Pacing::Balanced,
            receive_buffers: 512,
            receive_buffer_bytes: 16 << 10,
            mesh_slots: 4_096,
            connect_timeout_ms: 10_000,
            slow_consumer_grace_ms: 1_000,
            retained_messages_max: 10_000_000,
            retained_bytes_max: 8 << 30,
            sessions_max: 10_000_000,
            shared_strategy: Strategy::default(),
            server_reference: None,
            server_moved: false,
            authentication_methods: Vec::new(),
            overlapping_copies: false,
            limits: Limits::default(),
            storage_dir: None,
            storage: Storage::default(),
        }
    }
}
