//! A client that keeps no rule, against the session: what the bytes mean stands with the test that shares it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../mqtt/tests/session/noise.rs"]
mod noise;

fuzz_target!(|input: &[u8]| noise::run(input));
