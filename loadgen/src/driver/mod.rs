//! A run: workers are started, connect, make the load, wait for what is on its way, and disconnect; meanwhile the
//! coordinator samples the broker and collects histograms.

mod client;
mod clock;
mod connecting;
mod coordinator;
mod crew;
mod happenings;
mod layout;
mod offline;
mod outcome;
mod publisher;
mod publishing;
mod ramp;
mod receiving;
mod remote;
mod retained;
mod samples;
mod shared;
mod worker;

pub(crate) use coordinator::{Finished, Options, run};
pub(crate) use outcome::Outcome;
pub(crate) use remote::{AgentStart, serve_run};
pub(crate) use shared::{Tally, Times};
pub(crate) use worker::Idle;
