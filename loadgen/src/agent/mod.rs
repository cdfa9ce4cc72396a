//! `ringtail-load agent`: makes load for a coordinator on another host, one run after the other.
//!
//! The coordinator decides everything; an agent runs its part of the workers, and tells what they count and measure. It
//! trusts who connects, so it listens on loopback unless told otherwise.

pub(crate) mod link;

use crate::cli::AgentArgs;
use crate::driver;
use crate::error::Error;
use link::Link;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::ExitCode;

/// Serves coordinators, one at a time, until it is killed.
///
/// # Errors
/// [`Error::Usage`] when it is told no address, [`Error::Machine`] when it cannot listen there.
pub(crate) fn agent(args: &AgentArgs) -> Result<ExitCode, Error> {
    let machine = |e: std::io::Error| match (e.kind(), format!("--listen {}: {e}", args.listen)) {
        (ErrorKind::InvalidInput, why) => Error::Usage(why),
        (_, why) => Error::Machine(why),
    };
    let listener = TcpListener::bind(&args.listen).map_err(machine)?;
    crate::print(&format!("agent: listening on {}\n", listener.local_addr().map_err(machine)?));
    for stream in listener.incoming() {
        let stream = stream.map_err(machine)?;
        let from = stream.peer_addr().map_err(machine)?;
        crate::print(&format!("agent: a run for {from}\n"));
        let outcome = Link::new(stream).map_err(|e| e.to_string()).and_then(driver::serve_run);
        match outcome {
            Ok(()) => crate::print("agent: the run is over\n"),
            Err(error) => crate::print(&format!("agent: the run failed: {error}\n")),
        }
    }
    Ok(ExitCode::SUCCESS)
}
