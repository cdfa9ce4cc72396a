//! `ringtail-load`: drives any MQTT broker with open-loop load, checks delivery, reports whole histograms, compares runs.
//!
//! Depends on `ringtail-mqtt` for the codec and on `ringtail_shards::wire` for connections. Architecture invariants: a
//! message's latency runs from the time it was due; the generator measures its own lateness with the same clock; nothing
//! here holds unsafe code.
#![forbid(unsafe_code)]

mod arrivals;
mod cli;
mod commands;
mod compare;
mod delivery;
mod driver;
mod error;
mod histogram;
mod live;
mod payload;
mod process;
mod report;
mod scenario;
mod target;

use clap::Parser;
use cli::{Cli, Command, CompareArgs, ScenariosArgs};
use error::{Error, exit};
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => commands::run(&args),
        Command::Verify(args) => commands::verify(&args),
        Command::Scenarios(args) => scenarios(&args),
        Command::Compare(args) => compare(&args),
    };
    outcome.unwrap_or_else(|error| {
        // The last word on a closed standard error has nowhere to go.
        let _ = writeln!(std::io::stderr(), "ringtail-load: {error}");
        error.exit_code()
    })
}

/// Prints to standard output; a reader that has gone away is no error of ours.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn scenarios(args: &ScenariosArgs) -> Result<ExitCode, Error> {
    match &args.name {
        Some(name) => {
            let text =
                scenario::builtin::text(name).ok_or_else(|| Error::Usage(format!("there is no scenario `{name}`")))?;
            print(text);
        }
        None => {
            for builtin in scenario::builtin::BUILTINS {
                print(&format!("{:<26}{}\n", builtin.name, scenario::load(builtin.name)?.about));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &CompareArgs) -> Result<ExitCode, Error> {
    let comparison = compare::Comparison::new(compare::read(&args.base)?, compare::read(&args.new)?, &args.fail_if)?;
    let markdown = compare::markdown::render(&comparison);
    print(&markdown);
    if let Some(path) = &args.markdown {
        std::fs::write(path, &markdown).map_err(|e| Error::file(path, e))?;
    }
    Ok(if comparison.has_failed(args.strict) { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS })
}
