//! `ringtail serve`: start-up in order, the lines on standard output, and the signals.

use crate::cli::Serve;
use crate::exit::Failure;
use crate::logging::Log;
use crate::machine::{self, core_list};
use crate::reload::reload;
use crate::settings::{Settings, url};
use ringtail_shards::Server;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Runs the broker until a signal stops it.
///
/// # Errors
/// Whatever keeps it from starting, and a shard that fails while running.
pub(crate) fn serve(options: &Serve) -> Result<(), Failure> {
    let mut settings = Settings::load(options.config.as_deref(), &options.arguments())?;
    let log = Log::start(&settings)?;
    let config = machine::fit(&settings)?;
    if options.check {
        return Ok(writeln!(io::stdout(), "the settings and the machine will do")?);
    }
    if !settings.huge_pages {
        machine::do_without_huge_pages();
    }
    // Before the shards start, so that a signal during the start ends it cleanly as well.
    let mut signals = register_signals()?;
    let folder = config.storage_dir.clone();
    let mut server = ringtail_shards::start(config)?;
    // A shard that ends ends the wait for signals; why it ended, the stop reports.
    let (watch, waiting) = (server.watch(), signals.handle());
    std::thread::spawn(move || {
        watch.wait();
        waiting.close();
    });
    announce(&server, folder.as_deref())?;
    for signal in &mut signals {
        match signal {
            SIGHUP => reload(options, &mut settings, &log),
            SIGUSR1 => log_counters(&server),
            _ => break,
        }
    }
    stop(server)
}

/// The signals that the program answers. The first SIGINT or SIGTERM stops it cleanly; the second kills it, as it
/// would a program that does not listen to them.
fn register_signals() -> io::Result<Signals> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag still down, and raises it for the next.
        flag::register_conditional_default(signal, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])
}

/// Prints where the server listens and what it runs on. Scripts wait for the last line and read the addresses.
fn announce(server: &Server, folder: Option<&Path>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ringtail {}", env!("CARGO_PKG_VERSION"))?;
    for address in server.listeners() {
        writeln!(out, "listening on {}", url(*address))?;
        if !address.ip().is_loopback() {
            tracing::warn!("anyone who reaches {} can connect: there is no authentication yet", url(*address));
        }
    }
    let count = server.shards().len();
    let shards = if count == 1 { "shard" } else { "shards" };
    let mut cores: Vec<usize> = server.shards().iter().filter_map(|place| place.core).collect();
    cores.sort_unstable();
    cores.dedup();
    let place = match cores.len() {
        0 => "not pinned".to_owned(),
        1 => format!("on core {}", core_list(&cores)),
        _ => format!("on cores {}", core_list(&cores)),
    };
    match folder {
        Some(folder) => writeln!(out, "{count} {shards} {place}; data in {}", folder.display())?,
        None => writeln!(out, "{count} {shards} {place}; data in memory")?,
    }
    writeln!(out, "ready")?;
    out.flush()
}

/// Every counter as a line of the log.
fn log_counters(server: &Server) {
    for (name, help, value) in server.counters().iter() {
        tracing::info!(target: "ringtail::counters", value, help, "{name}");
    }
}

/// Stops the shards and prints what they did.
fn stop(server: Server) -> Result<(), Failure> {
    let done = server.stop()?;
    writeln!(
        io::stdout(),
        "stopped after {} connections, {} messages received and {} sent",
        done.connections_accepted,
        done.publish_received,
        done.publish_sent
    )?;
    Ok(())
}
