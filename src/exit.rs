//! How the program ends: the exit codes, and the failures that lead to them.

use crate::kept::LogError;
use crate::settings::Problems;
use ringtail_shards::journal::FolderError;
use ringtail_shards::wire::Missing;
use ringtail_shards::{StartError, StopError};
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{ExitCode, Termination};

/// The exit codes. Scripts and service managers rely on them: a code keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Stopped = 0,
    Failed = 1,
    Usage = 2,
    Settings = 3,
    Machine = 4,
    Address = 5,
    Folder = 6,
    Damaged = 7,
}

impl Exit {
    const ALL: [Self; 8] = [
        Self::Stopped,
        Self::Failed,
        Self::Usage,
        Self::Settings,
        Self::Machine,
        Self::Address,
        Self::Folder,
        Self::Damaged,
    ];

    const fn meaning(self) -> &'static str {
        match self {
            Self::Stopped => "done, or stopped cleanly by a signal",
            Self::Failed => "failed while running",
            Self::Usage => "wrong command line",
            Self::Settings => "wrong setting, in the file, the environment or an option",
            Self::Machine => "the kernel or a limit of the process lacks something",
            Self::Address => "an address cannot be listened on",
            Self::Folder => "the data folder cannot be used",
            Self::Damaged => "`log verify` or `log repair` found damage, and left it as it is",
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// The exit codes as the last paragraph of the help.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:");
    for exit in Exit::ALL {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  {}  {}", exit as u8, exit.meaning());
    }
    text
}

/// Why the program cannot go on. The text is one sentence a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Failed(#[from] StopError),
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("{}", lines(.0))]
    Machine(Vec<Missing>),
    #[error("{0}")]
    Shards(StartError),
    #[error("cannot listen on {}: {reason}", crate::settings::url(*.address))]
    Address { address: SocketAddr, reason: std::io::Error },
    #[error("the data folder cannot be used: {0}")]
    Folder(FolderError),
    #[error(transparent)]
    Kept(#[from] LogError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// The code that the failure ends the program with.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) | Self::Shards(StartError::Ended(_)) | Self::Output(_) => Exit::Failed,
            Self::Settings(_) => Exit::Settings,
            Self::Machine(_) | Self::Shards(_) => Exit::Machine,
            Self::Address { .. } => Exit::Address,
            Self::Folder(_) => Exit::Folder,
            Self::Kept(error) => error.exit(),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen { address, source } => Self::Address { address, reason: source },
            StartError::Folder(error) => Self::Folder(error),
            other => Self::Shards(other),
        }
    }
}

fn lines(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
