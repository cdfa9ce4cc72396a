//! Everything that can end a run early, as one clear sentence with its place, and the exit code that goes with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A scenario holds an impossible or unknown setting; `place` is `file: group.key`.
    #[error("{place}: {what}")]
    Scenario {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The broker cannot be reached.
    #[error("{target} cannot be reached: {source}")]
    Unreachable {
        /// The target as it was given.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker refused or closed connections, or did not answer.
    #[error("{connected} of {wanted} clients connected; {first}")]
    NotConnected {
        /// Clients that were ready.
        connected: u64,
        /// Clients that were to be.
        wanted: u64,
        /// The first thing that went wrong.
        first: String,
    },
    /// Connections ended while there was load, and did not come back.
    #[error("{absent} of {wanted} clients were not connected at the end; {first}")]
    Dropped {
        /// Clients that were missing.
        absent: u64,
        /// Clients of the plan.
        wanted: u64,
        /// The first thing that went wrong.
        first: String,
    },
    /// The machine lacks something.
    #[error("{0}")]
    Machine(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A report or histogram file does not hold what it should.
    #[error("{}: {what}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// A failed read or write of `path`.
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_path_buf(), source }
    }

    /// A file of ours that does not parse.
    pub(crate) fn report(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::Report { path: path.to_path_buf(), what: what.to_string() }
    }

    /// A setting of a scenario that cannot be.
    pub(crate) fn scenario(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Scenario { place: place.into(), what: what.into() }
    }

    /// The process's exit code; docs/LOAD.md lists them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Scenario { .. } => exit::USAGE,
            Self::Unreachable { .. } => exit::UNREACHABLE,
            Self::NotConnected { .. } | Self::Dropped { .. } => exit::NOT_CONNECTED,
            Self::Machine(_) => exit::MACHINE,
            Self::File { .. } | Self::Report { .. } => exit::FILE,
        })
    }
}

/// Exit codes, each with one meaning.
pub(crate) mod exit {
    /// A check failed: `verify` found a broken promise, or `compare` a broken rule.
    pub(crate) const FAILED: u8 = 1;
    /// The command line or the scenario is wrong (clap uses the same code).
    pub(crate) const USAGE: u8 = 2;
    /// The broker cannot be reached.
    pub(crate) const UNREACHABLE: u8 = 3;
    /// The broker refused or closed connections.
    pub(crate) const NOT_CONNECTED: u8 = 4;
    /// The machine lacks something: io_uring, descriptors, memory.
    pub(crate) const MACHINE: u8 = 5;
    /// A file cannot be read or written, or is not what it should be.
    pub(crate) const FILE: u8 = 6;
    /// The runs that `compare` was given cannot tell what the rules ask.
    pub(crate) const UNCLEAR: u8 = 7;
    /// Ctrl-C ended the run; its report was written.
    pub(crate) const INTERRUPTED: u8 = 130;
}
