//! What the machine gives: kernel, cores, open files and addresses, and how the settings are fitted to it.

use crate::authentication;
use crate::exit::Failure;
use crate::settings::{Place, Problem, Problems, Settings, url};
use ringtail_shards::config::{Config, SHARDS_MAX};
use ringtail_shards::wire::{Missing, check_kernel};
use rustix::io::Errno;
use rustix::thread::{CpuSet, disable_transparent_huge_pages, sched_getaffinity};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

/// The shards' configuration: the settings, with the cores, the number of shards and the bound of connections filled in
/// from what this process may use. Raises the limit of open files as far as the process may.
///
/// # Errors
/// What the kernel lacks, settings that ask for more than there is, and addresses that are taken.
pub(crate) fn fit(settings: &Settings) -> Result<Config, Failure> {
    let mut config = settings.config.clone();
    fit_shards(&mut config, &usable_cores())?;
    let mut missing = check_kernel(config.connections_max);
    if settings.is_default("shards.connections_max") {
        fit_connections(&mut config, &mut missing);
    }
    if !missing.is_empty() {
        return Err(Failure::Machine(missing));
    }
    if settings.is_default("listen.addresses") {
        config.listeners.retain(|address| available(*address));
    }
    check_addresses(&config.listeners)?;
    config.authentication_methods = authentication::methods(settings);
    Ok(config)
}

/// Has the kernel give memory by its small pages. The allocator asks for huge ones, and a shard that is the first to touch one
/// waits until 2 MiB are cleared: milliseconds on a virtual machine, for all its clients.
pub(crate) fn do_without_huge_pages() {
    match disable_transparent_huge_pages(true) {
        // A kernel that knows of none has none to turn off.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => tracing::warn!("huge pages cannot be turned off: {error}"),
    }
}

/// Cuts the connections of a shard down to what the limit of open files allows.
fn fit_connections(config: &mut Config, missing: &mut Vec<Missing>) {
    missing.retain(|missing| {
        let Missing::Descriptors { limit, wanted } = missing else { return true };
        let excess = u32::try_from(wanted - limit).unwrap_or(u32::MAX);
        let fitting = config.connections_max.saturating_sub(excess);
        config.connections_max = fitting.max(1);
        fitting == 0
    });
}

/// Fills in the cores, from those that are `usable`, and the number of shards.
fn fit_shards(config: &mut Config, usable: &[usize]) -> Result<(), Failure> {
    if config.cores.is_empty() {
        config.cores = usable.to_vec();
    } else if let Some(core) = config.cores.iter().find(|core| !usable.contains(core)) {
        return Err(Failure::Settings(Problems(vec![Problem {
            place: Place::Setting("shards.cores"),
            sentence: format!("this process may not use core {core}, only {}", core_list(usable)),
        }])));
    }
    if config.shards == 0 {
        let cores = match config.cores.len() {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            cores => cores,
        };
        config.shards = cores.min(SHARDS_MAX);
    }
    Ok(())
}

fn usable_cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
        Err(error) => {
            tracing::warn!("the kernel does not say which cores are usable, so the shards are not pinned: {error}");
            Vec::new()
        }
    }
}

/// False, with a warning, when the machine has no such address family or has not brought it up.
fn available(address: SocketAddr) -> bool {
    match TcpListener::bind((address.ip(), 0)) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable || is_family_missing(&error) => {
            tracing::warn!("not listening on {}: {error}", url(address));
            false
        }
        _ => true,
    }
}

fn is_family_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Listens on each address for a moment. The shards share their addresses with SO_REUSEPORT, which would also let a
/// second broker of the same user share them unnoticed; this listener does not share, and so meets the first one.
///
/// An address that is taken is waited for: the kernel gives up the sockets of a broker that was killed only after it has taken
/// down its rings, and tells nobody when.
fn check_addresses(addresses: &[SocketAddr]) -> Result<(), Failure> {
    let began = Instant::now();
    addresses.iter().try_for_each(|address| {
        loop {
            match TcpListener::bind(address) {
                Err(reason) if reason.kind() == ErrorKind::AddrInUse && began.elapsed() < TAKEN_MAX => {
                    thread::sleep(TAKEN_LOOKS);
                }
                outcome => {
                    return outcome.map(drop).map_err(|reason| Failure::Address { address: *address, reason });
                }
            }
        }
    })
}

/// How long an address that is taken is waited for, and how often it is tried.
const TAKEN_MAX: Duration = Duration::from_secs(3);
const TAKEN_LOOKS: Duration = Duration::from_millis(20);

/// Core numbers for people: runs of three and more are shortened.
pub(crate) fn core_list(cores: &[usize]) -> String {
    let mut pieces = Vec::new();
    for run in cores.chunk_by(|a, b| a + 1 == *b) {
        match run {
            [first, _, .., last] => pieces.push(format!("{first}-{last}")),
            _ => pieces.extend(run.iter().map(usize::to_string)),
        }
    }
    pieces.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(cores: &[usize], shards: usize, usable: &[usize]) -> Result<(usize, Vec<usize>), Failure> {
        let mut config = Config { cores: cores.to_vec(), shards, ..Config::default() };
        fit_shards(&mut config, usable)?;
        Ok((config.shards, config.cores))
    }

    #[test]
    fn a_shard_for_each_usable_core_by_default() {
        assert_eq!(fitted(&[], 0, &[1, 4, 5]).expect("fits"), (3, vec![1, 4, 5]));
        assert_eq!(fitted(&[4, 5], 0, &[1, 4, 5]).expect("fits"), (2, vec![4, 5]));
        assert_eq!(fitted(&[], 7, &[1, 4]).expect("fits"), (7, vec![1, 4]));
    }

    #[test]
    fn a_core_that_is_not_usable_is_refused() {
        let failure = fitted(&[0, 1, 2], 0, &[0, 1]).expect_err("core 2 is not there");
        assert_eq!(failure.to_string(), "shards.cores: this process may not use core 2, only 0, 1");
    }

    #[test]
    fn connections_are_cut_down_to_the_open_files() {
        let mut config = Config { connections_max: 10_000, ..Config::default() };
        let mut missing = vec![Missing::Absent, Missing::Descriptors { limit: 1_000, wanted: 10_064 }];
        fit_connections(&mut config, &mut missing);
        assert_eq!((config.connections_max, missing), (936, vec![Missing::Absent]));
        let mut missing = vec![Missing::Descriptors { limit: 64, wanted: 1_000 }];
        fit_connections(&mut config, &mut missing);
        assert_eq!(missing.len(), 1, "not one connection would fit");
    }

    #[test]
    fn runs_of_cores_are_shortened() {
        assert_eq!(core_list(&[0, 1, 4, 5, 6, 9]), "0, 1, 4-6, 9");
        assert_eq!(core_list(&[]), "");
    }
}
