//! The command line: what may be asked for.

use crate::driver::Idle;
use crate::scenario::file::Version;
use crate::target::parse_sources;
use clap::{Args, Parser, Subcommand};
use std::net::IpAddr;
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
    /// Make load and report what the broker did with it
    Run(RunArgs),
    /// Make load over kept sessions, and fail (exit code 1) when a promise of MQTT is broken
    Verify(VerifyArgs),
    /// List the scenarios that are built in, or print one
    Scenarios(ScenariosArgs),
    /// Raise the rate until the broker no longer keeps up, and find the knee
    Sweep(SweepArgs),
    /// Make a page of a report, or its table
    Report(ReportArgs),
    /// Make load for a coordinator on another host
    Agent(AgentArgs),
    /// Compare the reports of two sides, several runs each
    Compare(CompareArgs),
}

/// Arguments of `scenarios`.
#[derive(Debug, Args)]
pub(crate) struct ScenariosArgs {
    /// Print this one's TOML, to begin a file of your own from
    pub(crate) name: Option<String>,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// What each rate runs
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Rates of messages a second, lowest to highest
    #[arg(long, value_name = "FROM..TO")]
    pub(crate) sweep: String,
    /// Rates to try before the knee is narrowed down
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(2..=100))]
    pub(crate) steps: u8,
    /// A rate counts as kept when 99% of its deliveries arrive and the 99th percentile of latency is below this
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = seconds)]
    pub(crate) p99_max: f64,
}

/// Arguments of `agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Where coordinators connect; they are trusted
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7883")]
    pub(crate) listen: String,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The report: what --json or --hlog of a run wrote
    pub(crate) file: PathBuf,
    /// Write the page here; without it the table is printed
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
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
    /// Fail (exit code 1) when this holds of new / base, like 'p99 > 1.10', or 'p99 > 1.05 see 1.10' to fail (exit code
    /// 7) also when a ratio of 1.10 could not have been found; may be given again
    #[arg(long, value_name = "RULE")]
    pub(crate) fail_if: Vec<crate::compare::rules::Rule>,
    /// The first report of the base and the first of the new side are a pair, and so on: runs made one after the other
    #[arg(long)]
    pub(crate) paired: bool,
    /// How sure the verdicts on the rules are, all of them together
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = confidence)]
    pub(crate) confidence: f64,
    /// Fail on unclear rules too: those whose interval reaches across the limit
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write the Markdown to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write a page with both curves on one plot
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The load
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Share of the subscribers, 0 to 1, that are away while there is load, and come back for what was kept for them
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) offline: f64,
    /// Retain every message, and look at the end whether each topic has its last one
    #[arg(long)]
    pub(crate) retained: bool,
    /// How long the broker may be away: at the start, while clients connect, and at the end
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    pub(crate) patience: f64,
    /// Number that stands for {run} in client identifiers and topics; a new one for each run [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) run_id: Option<u32>,
}

/// Arguments of `run` and `verify`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A built-in scenario's name, or a TOML file
    pub(crate) scenario: String,
    /// The broker
    #[arg(long, value_name = "mqtt[s]|ws[s]://HOST[:PORT][/PATH]|unix:///PATH")]
    pub(crate) target: String,
    /// Factor on the groups' numbers of clients
    #[arg(long, value_name = "X")]
    pub(crate) scale: Option<f64>,
    /// Messages a second over all publishers
    #[arg(long, value_name = "R", value_parser = rate, conflicts_with = "max")]
    pub(crate) rate: Option<f64>,
    /// Closed loop: as much as --window and --inflight allow, instead of due times
    #[arg(long)]
    pub(crate) max: bool,
    /// Messages outstanding in all, in a closed loop
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) window: u64,
    /// Unacknowledged messages of a publisher [default: 64 with --max, else 65534]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=65_534))]
    pub(crate) inflight: Option<u16>,
    /// Measured time, like 30s or 500ms
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) duration: Option<f64>,
    /// Load before the measured time
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) warmup: Option<f64>,
    /// Connections opened a second; 0: all at once
    #[arg(long, value_name = "R", value_parser = rate)]
    pub(crate) connect_rate: Option<f64>,
    /// Longest wait, after the load, for what is still on its way
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) drain: Option<f64>,
    /// QoS of every message and subscription
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: Option<u8>,
    /// Bytes of every payload, from 16
    #[arg(long, value_name = "BYTES")]
    pub(crate) payload: Option<u32>,
    /// Version of MQTT for groups that name none
    #[arg(long, value_name = "VERSION", default_value = "3.1.1")]
    pub(crate) mqtt: Version,
    /// User name for groups that name none; a template like user{i}
    #[arg(long)]
    pub(crate) username: Option<String>,
    /// Password for groups that name none; a template
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Certificates (PEM) to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Certificate (PEM) of the clients; a template like client-{i}.pem
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<String>,
    /// Key (PEM) of the clients' certificate; a template
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<String>,
    /// Trust every TLS server
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// Seed of the arrivals
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Hosts whose agents make the load instead of this one, the clients in turn
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub(crate) agents: Vec<String>,
    /// Source addresses that clients take in turn: an address or a range like 127.0.0.2-127.0.0.60
    #[arg(long, value_name = "ADDRESSES", value_parser = sources)]
    pub(crate) source: Option<Sources>,
    /// Worker threads of a host, a ring each [default: one, or as many as the connections need]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) workers: Option<u32>,
    /// Cores that workers are pinned to in turn, like 1,3
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// What workers do while they wait under load [default: spin while they leave a core free, else park]
    #[arg(long, value_name = "HOW")]
    pub(crate) idle: Option<Idle>,
    /// The broker's process: its CPU time and memory go into the report
    #[arg(long, value_name = "PID")]
    pub(crate) broker_pid: Option<i32>,
    /// Show a line of progress a second where there is no terminal for a dashboard
    #[arg(long)]
    pub(crate) progress: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as a page that needs nothing but itself
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write an HdrHistogram interval log, and beside it the percentile distribution (.hgrm)
    #[arg(long, value_name = "FILE")]
    pub(crate) hlog: Option<PathBuf>,
}

/// Source addresses, in a type of their own because clap gives `Vec` a meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(pub(crate) Vec<IpAddr>);

fn sources(text: &str) -> Result<Sources, String> {
    parse_sources(text).map(Sources)
}

/// Parses `30s`, `500ms`, `2m` or plain seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let (number, unit) = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(n) if n >= 0.0 && n.is_finite() => Ok(n * unit),
        _ => Err("it is like 30s, 500ms or 2m".to_owned()),
    }
}

/// Parses how sure a comparison is to be.
fn confidence(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.5..=0.999).contains(&share) => Ok(share),
        _ => Err("it is a share from 0.5 to 0.999".to_owned()),
    }
}

/// Parses a rate like `20000`, `20k` or `1.5M`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = [("k", 1e3), ("M", 1e6)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
        .unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(n) if n >= 0.0 && n.is_finite() => Ok(n * unit),
        _ => Err("it is like 20000, 20k or 1.5M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_rates() {
        assert_eq!(["30s", "500ms", "2m", "1.5"].map(seconds), [Ok(30.0), Ok(0.5), Ok(120.0), Ok(1.5)]);
        assert_eq!(["20000", "20k", "1.5M"].map(rate), [Ok(20_000.0), Ok(20_000.0), Ok(1_500_000.0)]);
        assert!(seconds("-1s").is_err() && seconds("x").is_err() && rate("k").is_err());
        assert_eq!(confidence("0.95"), Ok(0.95));
        assert!(confidence("95").is_err() && confidence("x").is_err());
    }
}
