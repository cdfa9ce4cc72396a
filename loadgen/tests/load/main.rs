//! The program, end to end, against a broker that can be wrong on purpose.
//!
//! Times that a test asserts hold however late the machine comes to do something: it measures by bounds that causes and
//! their effects give. What they are too far apart to show is said.
#![expect(clippy::print_stdout, reason = "a busy machine leaves something to say though nothing is wrong")]

mod agents;
mod compare;
mod delivery;
mod failures;
mod interrupts;
mod latency;
mod support;
mod verify;
