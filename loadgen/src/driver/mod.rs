//! A run: workers are started, connect, make the load, wait for what is on its way, and disconnect; meanwhile the
//! coordinator samples the broker and collects histograms.

mod client;
mod clock;
mod connecting;
mod coordinator;
mod happenings;
mod layout;
mod offline;
mod outcome;
mod publisher;
mod publishing;
mod ramp;
mod receiving;
mod retained;
mod samples;
mod shared;
mod worker;

pub(crate) use coordinator::{Finished, Options, run};
pub(crate) use worker::Idle;
