//! End-to-end tests: the built broker, driven over TCP by the clients that people use and by bytes that no client sends.
//!
//! Every case runs with one shard and with three. `tests/README.md` says what is needed and how to run one.
#![expect(clippy::print_stdout, reason = "the test runner shows it when the case fails")]

#[allow(dead_code, reason = "shared with tests that use the rest")]
mod broker;
mod bystanders;
mod full_disk;
mod full_queue;
mod program;
#[allow(dead_code, reason = "shared with the conformance tests")]
mod raw;

mod durable;
mod hostile;
mod mosquitto;
mod rumqtt;
mod scenarios;
mod storage_limits;

/// Makes a test of each case with one shard and one with three. The cases get the number of shards.
macro_rules! on_shards {
    ($($(#[$about:meta])* fn $case:ident($shards:ident) $body:block)*) => {$(
        $(#[$about])*
        mod $case {
            #[allow(unused_imports, reason = "not every case names something of its module")]
            use super::*;

            fn case($shards: usize) $body

            #[test]
            fn on_1_shard() {
                case(1);
            }

            #[test]
            fn on_3_shards() {
                case(3);
            }
        }
    )*};
}
pub(crate) use on_shards;
