//! What the machine gives: cores, open files and address families, and how the settings are fitted to them.

use crate::exit::Failure;
use crate::settings::{Place, Problem, Problems, Settings, url};
use ringtail_shards::config::{Config, SHARDS_MAX};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

/// What this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Cores that the process may run on; empty when the kernel does not say.
    cores: Vec<usize>,
    /// Files that the process may have open, which also bounds the connections of one shard.
    open_files_max: u64,
}

impl Machine {
    /// Looks at the machine, and raises the limit of open files as far as the process may.
    pub(crate) fn prepare() -> Self {
        Self { cores: usable_cores(), open_files_max: raise_open_files() }
    }

    /// The shards' configuration: the settings with the cores, the number of shards and the bound of connections
    /// filled in.
    ///
    /// # Errors
    /// Settings that ask for more than there is.
    pub(crate) fn fit(&self, settings: &Settings) -> Result<Config, Failure> {
        let mut config = settings.config.clone();
        self.fit_shards(&mut config)?;
        if u64::from(config.connections_max) > self.open_files_max {
            if !settings.is_default("shards.connections_max") {
                return Err(Failure::Machine(vec![format!(
                    "shards.connections_max is {}, but the limit of open files is {}: raise it with ulimit -n, or \
                     LimitNOFILE= in a systemd unit",
                    config.connections_max, self.open_files_max
                )]));
            }
            config.connections_max = u32::try_from(self.open_files_max).unwrap_or(config.connections_max);
        }
        if settings.is_default("listen.addresses") {
            config.listeners.retain(|address| available(*address));
        }
        Ok(config)
    }

    fn fit_shards(&self, config: &mut Config) -> Result<(), Failure> {
        if config.cores.is_empty() {
            config.cores.clone_from(&self.cores);
        } else if let Some(core) = config.cores.iter().find(|core| !self.cores.contains(core)) {
            return Err(Failure::Settings(Problems(vec![Problem {
                place: Place::Setting("shards.cores"),
                sentence: format!("this process may not use core {core}, only {}", core_list(&self.cores)),
            }])));
        }
        if config.shards == 0 {
            let cores = if config.cores.is_empty() {
                std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
            } else {
                config.cores.len()
            };
            config.shards = cores.min(SHARDS_MAX);
        }
        Ok(())
    }
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

/// Raises the soft limit of open files to the hard one and returns what then holds.
fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let holds = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!("the limit of open files cannot be raised: {error}");
            limit.current
        }
    };
    holds.unwrap_or(u64::MAX)
}

/// False, with a warning, when the machine has no such address family or has not brought it up. Anything else that is
/// wrong with the address shows when the shards listen on it.
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
    use crate::settings::Argument;

    fn fitted(arguments: &[(&str, &str)], cores: &[usize]) -> Result<Config, Failure> {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|(key, text)| Argument { written: String::new(), key: (*key).into(), text: (*text).into() })
            .collect();
        let machine = Machine { cores: cores.to_vec(), open_files_max: 1_000 };
        machine.fit(&Settings::load(None, &arguments)?)
    }

    #[test]
    fn a_shard_for_each_usable_core_by_default() {
        let config = fitted(&[], &[1, 4, 5]).expect("fits");
        assert_eq!((config.shards, config.cores), (3, vec![1, 4, 5]));
        let config = fitted(&[("shards.cores", "4-5")], &[1, 4, 5]).expect("fits");
        assert_eq!((config.shards, config.cores), (2, vec![4, 5]));
        let config = fitted(&[("shards.count", "7")], &[1, 4]).expect("fits");
        assert_eq!((config.shards, config.cores), (7, vec![1, 4]));
    }

    #[test]
    fn a_core_that_is_not_usable_is_refused() {
        let failure = fitted(&[("shards.cores", "0-2")], &[0, 1]).expect_err("core 2 is not there");
        assert_eq!(failure.to_string(), "shards.cores: this process may not use core 2, only 0, 1");
    }

    #[test]
    fn connections_are_cut_down_only_by_default() {
        assert_eq!(fitted(&[], &[0]).expect("fits").connections_max, 1_000);
        assert!(matches!(fitted(&[("shards.connections_max", "1001")], &[0]), Err(Failure::Machine(_))));
        assert_eq!(fitted(&[("shards.connections_max", "10")], &[0]).expect("fits").connections_max, 10);
    }

    #[test]
    fn runs_of_cores_are_shortened() {
        assert_eq!(core_list(&[0, 1, 4, 5, 6, 9]), "0, 1, 4-6, 9");
        assert_eq!(core_list(&[]), "");
    }
}
