//! The program, end to end, against a broker that can be wrong on purpose.

mod agents;
mod compare;
mod delivery;
mod failures;
mod kills;
mod latency;
mod support;
mod verify;
