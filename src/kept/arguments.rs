//! The command line of `ringtail log`.

use crate::cli::{assigned, assignment, help};
use crate::exit;
use crate::settings::Argument;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Say what the folder holds: segments, records, sessions, queued and retained messages
    #[command(after_help = exit::help())]
    Inspect(Inspect),
    /// Read every record of every segment, and name each place that is damaged
    #[command(after_help = exit::help())]
    Verify(Folder),
    /// Give up what cannot be read, so that a broker starts with the rest
    #[command(after_help = exit::help())]
    Repair(Repair),
    /// Write sessions, queued and retained messages as lines of JSON
    #[command(after_help = exit::help())]
    Export(Export),
    /// Read what an export has written into a folder, for any number of shards
    #[command(after_help = exit::help())]
    Import(Import),
}

#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// The data folder, of a broker that does not run
    #[arg(value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) folder: Folder,

    /// Name so many sessions, topics and retained prefixes, those with the most first
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,

    /// Write one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    #[command(flatten)]
    pub(crate) folder: Folder,

    /// Repair. Without it the command only says what is damaged
    #[arg(long)]
    pub(crate) yes: bool,

    /// Give up everything after the first damage of a shard, so that its log is as it was at an earlier time
    #[arg(long)]
    pub(crate) truncate: bool,

    /// Keep no copy of the folder as it was. Otherwise it is beside it as FOLDER.before-repair
    #[arg(long)]
    pub(crate) no_copy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) folder: Folder,

    /// Write to this file, which appears when it is complete. Without it to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) folder: Folder,

    /// Read this file. Without it standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Replace what the folder holds, in one step
    #[arg(long)]
    pub(crate) replace: bool,

    /// TOML file with the settings of the broker: those of storage count
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[arg(long, value_name = "N", help = help("shards.count"))]
    shards: Option<String>,

    /// Set any setting; may be repeated
    #[arg(long, value_name = "SECTION.NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Import {
    /// The settings that the command line gives.
    pub(crate) fn arguments(&self) -> Vec<Argument> {
        let shards = self.shards.clone().map(|text| Argument {
            written: "--shards".to_owned(),
            key: "shards.count".to_owned(),
            text,
        });
        assigned(&self.set).chain(shards).collect()
    }
}
