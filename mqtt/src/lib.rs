//! MQTT 3.1, 3.1.1 and 5.0 without I/O: packets and the time go in, bytes and decisions come out.
//!
//! What is here: the codec ([`codec`]), topic names and filters ([`topic`]), messages ([`message`]), the session
//! state machine ([`session`]) with the QoS tables, and the exchange of AUTH packets ([`authentication`]).
//!
//! Depends on nothing of ours. Architecture invariant: no sockets, files, clocks, threads or await; time is an argument
//! ([`time::Millis`]), and no input can make it panic.
#![forbid(unsafe_code)]

pub mod authentication;
pub mod codec;
pub mod limits;
pub mod message;
pub mod outbox;
pub mod packet;
pub mod qos;
pub mod reason;
pub mod session;
pub mod time;
pub mod topic;
