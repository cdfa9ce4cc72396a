//! `ringtail-load`: drives any MQTT broker with open-loop load, checks delivery, reports whole histograms, compares runs.
//!
//! Depends on `ringtail-mqtt` for the codec and on `ringtail_shards::wire` for connections. Architecture invariants: a
//! message's latency runs from the time it was due; the generator measures its own lateness with the same clock; nothing
//! here holds unsafe code.
#![forbid(unsafe_code)]

mod agent;
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
mod sweep;
mod target;
mod transport;

use clap::Parser;
use cli::{Cli, Command, CompareArgs, ReportArgs, ScenariosArgs};
use compare::{Comparison, How, Outcome};
use error::{Error, exit};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => commands::run(&args),
        Command::Verify(args) => commands::verify(&args),
        Command::Scenarios(args) => scenarios(&args),
        Command::Sweep(args) => commands::sweep(&args),
        Command::Agent(args) => agent::agent(&args),
        Command::Report(args) => report(&args),
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

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|e| Error::file(path, e))
}

fn scenarios(args: &ScenariosArgs) -> Result<ExitCode, Error> {
    match &args.name {
        Some(name) => {
            let unknown = || Error::Usage(format!("there is no scenario `{name}`; without a name they are listed"));
            let text = scenario::builtin::text(name).ok_or_else(unknown)?;
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

fn report(args: &ReportArgs) -> Result<ExitCode, Error> {
    let report = report::Report::read(&args.file)?;
    match &args.html {
        Some(path) => write(path, &report::html::render(&report, &args.file)?)?,
        None => print(&report::table::render(&report)),
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(args: &CompareArgs) -> Result<ExitCode, Error> {
    let how = How { paired: args.paired, confidence: args.confidence };
    let (base, new) = (compare::read(&args.base)?, compare::read(&args.new)?);
    let comparison = Comparison::new(base, new, &args.fail_if, how)?;
    let markdown = compare::markdown::render(&comparison);
    print(&markdown);
    if let Some(path) = &args.markdown {
        write(path, &markdown)?;
    }
    if let Some(path) = &args.html {
        write(path, &report::html::render_comparison(&comparison)?)?;
    }
    Ok(match comparison.outcome() {
        Outcome::Failed => ExitCode::from(exit::FAILED),
        Outcome::Unclear => ExitCode::from(exit::UNCLEAR),
        Outcome::Passed if args.strict && !comparison.is_clear() => ExitCode::from(exit::FAILED),
        Outcome::Passed => ExitCode::SUCCESS,
    })
}
