//! The command line: what may be asked for.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A load generator for MQTT brokers whose latencies can be believed, and a comparer of its reports.
#[derive(Debug, Parser)]
#[command(name = "ringtail-load", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the scenarios that are built in, or print one
    Scenarios(ScenariosArgs),
    /// Compare the reports of two sides, several runs each
    Compare(CompareArgs),
}

/// Arguments of `scenarios`.
#[derive(Debug, Args)]
pub(crate) struct ScenariosArgs {
    /// Print this one's TOML, to begin a file of your own from
    pub(crate) name: Option<String>,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Reports (--json) of the base
    #[arg(required = true)]
    pub(crate) base: Vec<PathBuf>,
    /// Reports of the new side
    #[arg(last = true, required = true)]
    pub(crate) new: Vec<PathBuf>,
    /// Fail (exit code 1) when this holds of new / base, like 'p99 > 1.10'; may be given again
    #[arg(long, value_name = "RULE")]
    pub(crate) fail_if: Vec<crate::compare::rules::Rule>,
    /// Fail on unclear rules too: those whose interval reaches across the limit
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write the Markdown to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}
