//! The command line.

use crate::exit;
use crate::kept::LogCommand;
use crate::settings::{Argument, find};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// An MQTT broker for Linux: a shard a core, io_uring, an append-only log.
#[derive(Debug, Parser)]
#[command(version, after_help = exit::help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker until SIGINT or SIGTERM
    #[command(after_help = exit::help())]
    Serve(Serve),
    /// Look at, check, repair, export or import the data folder of a broker that does not run
    #[command(subcommand, after_help = exit::help())]
    Log(LogCommand),
    /// Print every setting at its default, as a file to start from
    Settings {
        /// Print the reference page in Markdown instead
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// TOML file with the settings
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the settings and the machine, and exit without listening
    #[arg(long)]
    pub(crate) check: bool,

    #[arg(long, value_name = "tcp://ADDRESS:PORT", help = help("listen.addresses"))]
    listen: Vec<String>,

    #[arg(long, value_name = "N", help = help("shards.count"))]
    shards: Option<String>,

    #[arg(long, value_name = "LIST", help = help("shards.cores"))]
    cores: Option<String>,

    #[arg(long, value_name = "FOLDER", help = help("storage.dir"))]
    data: Option<String>,

    /// Set any setting; may be repeated. `ringtail settings` lists them
    #[arg(long, value_name = "SECTION.NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Serve {
    /// The settings that the command line gives.
    pub(crate) fn arguments(&self) -> Vec<Argument> {
        let option = |written: &str, key: &str, text: String| Argument {
            written: written.to_owned(),
            key: key.to_owned(),
            text,
        };
        let set = assigned(&self.set);
        let listen = (!self.listen.is_empty()).then(|| option("--listen", "listen.addresses", self.listen.join(",")));
        let shards = self.shards.clone().map(|text| option("--shards", "shards.count", text));
        let cores = self.cores.clone().map(|text| option("--cores", "shards.cores", text));
        let data = self.data.clone().map(|text| option("--data", "storage.dir", text));
        set.chain(listen).chain(shards).chain(cores).chain(data).collect()
    }
}

/// What `--set` gives.
pub(crate) fn assigned(set: &[(String, String)]) -> impl Iterator<Item = Argument> {
    set.iter().map(|(key, text)| Argument { written: format!("--set {key}"), key: key.clone(), text: text.clone() })
}

/// The help of an option that stands for a setting.
pub(crate) fn help(key: &str) -> String {
    let doc = find(key).map_or("", |setting| setting.doc);
    format!("{doc}\n[setting: {key}]")
}

pub(crate) fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write it as section.name=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}
