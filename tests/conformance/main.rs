//! The normative statements of MQTT 3.1.1 and 5.0, each shown over a real socket against the built broker.
//!
//! Above each case stand the statements that it shows: `// 5.0: [MQTT-3.1.4-3]; 3.1.1: [MQTT-3.1.4-2]`. A statement of 5.0
//! that 3.1.1 has under another number is named once, by the number of 5.0: `statements-3.1.1.txt` says which is which, and
//! `scripts/conformance-matrix` counts it for both when the case runs in both versions. Cases speak raw bytes, so that the
//! broker's codec cannot hide a fault of its own; every case runs with one shard and with three, and most against a broker
//! that all share.

#![allow(clippy::print_stdout, reason = "the test runner shows it when the case fails")]

#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/broker.rs"]
mod broker;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/program.rs"]
mod program;
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/raw.rs"]
mod raw;

mod at;
mod client;

mod authentication;
mod connack;
mod connect;
mod disconnect;
mod expiry;
mod flow;
mod malformed;
mod properties;
mod publish;
mod redelivery;
mod refusals;
mod retained;
mod session;
mod shared;
mod subscribe;
mod topic_alias;
mod topics;
mod unsubscribe;
mod will;

/// Makes two tests of each case, one with a shard and one with three; each goes through the versions that are named:
/// `Both`, `V5` or `V311`.
macro_rules! conformance {
    ($($(#[$about:meta])* fn $case:ident($at:ident: $versions:ident) $body:block)*) => {$(
        $(#[$about])*
        mod $case {
            #[allow(unused_imports, reason = "not every case names something of its module")]
            use super::*;

            fn case($at: &At) $body

            #[test]
            fn on_1_shard() {
                At::each(1, crate::at::$versions, stringify!($case), case);
            }

            #[test]
            fn on_3_shards() {
                At::each(3, crate::at::$versions, stringify!($case), case);
            }
        }
    )*};
}
pub(crate) use conformance;
