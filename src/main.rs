//! The broker program: command line, settings, start-up and signals. Everything that a client sees happens in
//! `ringtail-shards`, which this program configures, starts and stops.
//!
//! Architecture invariant: nothing here is on the way of a message.
#![forbid(unsafe_code)]

mod authentication;
mod cli;
mod exit;
mod kept;
mod logging;
mod machine;
mod reload;
mod serve;
mod settings;

use clap::Parser;
use cli::{Cli, Command};
use exit::{Exit, Failure};
use settings::reference;
use std::io::{self, Write};

/// Shards allocate small pieces on many threads and free them where they were allocated, which this allocator is made
/// for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match run(&Cli::parse().command) {
        Ok(()) => Exit::Stopped,
        Err(failure) => {
            for sentence in failure.to_string().lines() {
                // With standard error gone there is nobody left to tell; the exit code still says it.
                let _ = writeln!(io::stderr(), "ringtail: {sentence}");
            }
            failure.exit()
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Serve(options) => serve::serve(options),
        Command::Log(command) => kept::run(command),
        Command::Settings { markdown: true } => Ok(io::stdout().write_all(reference::markdown().as_bytes())?),
        Command::Settings { markdown: false } => Ok(io::stdout().write_all(reference::file().as_bytes())?),
    }
}
