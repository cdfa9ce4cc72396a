//! What a shard counts. The shard adds to plain integers; a copy is published now and then for whoever reads them.
//!
//! Every refusal and every drop has a counter of its own, named after its reason.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// The counters of one shard.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $help] pub $name: u64,)*
        }

        /// The published copy of one shard's counters.
        #[derive(Debug, Default)]
        pub(crate) struct PublishedCounters {
            $($name: AtomicU64,)*
        }

        impl Counters {
            /// `(name, help, value)` of every counter, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
                [$((stringify!($name), $help, self.$name),)*].into_iter()
            }

            /// Adds the counters of another shard.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        impl PublishedCounters {
            pub(crate) fn store(&self, counters: &Counters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)*
            }

            pub(crate) fn load(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    connections: "Connections that are open now.",
    connections_accepted: "Connections that were accepted.",
    connections_handed_over: "Connections that were handed to the shard of their client id.",
    connections_refused_full: "Connections that found no free descriptor.",
    connections_aborted: "Connections that were gone before they were accepted.",
    connections_refused_connect: "CONNECTs that were refused with a reason code.",
    authentications_failed: "Enhanced authentications that ended without success.",
    authentications_timed_out: "Of these, the ones that the client did not end in time.",
    connections_closed_connect_timeout: "Connections that sent no whole CONNECT in time.",
    connections_closed_malformed: "Connections closed for a malformed packet or a protocol error.",
    connections_closed_keep_alive: "Connections closed because the keep-alive ran out.",
    connections_closed_taken_over: "Connections closed because the client id connected again.",
    connections_closed_by_client: "Connections that the client ended with DISCONNECT.",
    connections_closed_lost: "Connections that the client or the network ended without DISCONNECT.",
    sessions: "Sessions that exist now, connected or not.",
    sessions_expired: "Sessions that ended because their expiry interval ran out.",
    subscriptions: "Subscriptions that exist now.",
    subscriptions_refused: "Topic filters refused in a SUBACK.",
    retained_messages: "Retained messages that exist now.",
    retained_refused_full: "Retained messages not kept because a limit was reached.",
    receives: "Pieces of input taken from sockets.",
    packets_received: "Packets taken from clients.",
    publish_received: "PUBLISH packets taken from clients.",
    publish_received_bytes: "Payload bytes of the PUBLISH packets taken from clients.",
    publish_refused: "PUBLISH packets refused, for the server's own topics, for payloads that are not the text they claim to be, and for full queues under the policy reject.",
    publish_sent: "Messages handed to subscribers' connections.",
    publish_queued: "Messages queued for a session whose window was full or that was offline.",
    publish_unmatched: "Messages that matched no subscription.",
    publish_forwarded: "Messages sent to another shard.",
    dropped_queue_full: "Messages dropped because the session's queue was full.",
    dropped_outbox_full: "QoS 0 messages dropped because the subscriber does not read.",
    dropped_mesh_full: "QoS 0 messages dropped because the ring to another shard was full.",
    dropped_packet_too_large: "Messages dropped because they exceed the subscriber's Maximum Packet Size.",
    dropped_expired: "Messages dropped because their expiry interval ran out.",
    dropped_storage_full: "Messages not kept for a durable session because the data folder has no room.",
    dropped_offline: "QoS 0 messages not kept for an offline session.",
    dropped_no_member: "Messages for a shared subscription of which no member could take them.",
    storage_refused: "Packets refused because the data folder has no room or has failed.",
    storage_bytes: "Bytes that the logs take on disk now.",
    storage_live_bytes: "Bytes of records in the logs that are still needed.",
    storage_appended_bytes: "Bytes appended to the logs.",
    storage_moved_bytes: "Bytes of records that were moved to free room in the logs.",
    storage_commits: "Commits of the logs.",
    storage_syncs: "Syncs of the logs.",
    publishers_paused: "Times that a publisher's socket was not read because a subscriber or a ring was full.",
    mail_lost: "Mails to another shard lost because its ring and the overflow beside it were full.",
    turns: "Turns of the loop.",
    parks: "Times that the shard slept.",
}
