//! Why a command on a data folder did not do what it was asked.

use super::line::Wrong;
use crate::exit::Exit;
use ringtail_shards::journal::FolderError;
use ringtail_storage::StorageError;
use std::io;
use std::path::{Path, PathBuf};

/// Each is a sentence with the path and what is safe to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("the data folder cannot be used: {0}")]
    Folder(#[from] FolderError),
    #[error("the data folder cannot be used: {} holds no log; check the path", dir.display())]
    Empty { dir: PathBuf },
    #[error("{0}")]
    Lost(StorageError),
    #[error(
        "{} holds {names}, and the file that says which of them counts is lost; each is whole unless files of it are \
         missing: move all but one to another folder and repair the rest, nothing was changed",
        dir.display()
    )]
    Generations { dir: PathBuf, names: String },
    #[error(
        "{} cannot be made anew: what lies in the logs beside it does not belong to one broker; put them back from a \
         backup",
        path.display()
    )]
    Mixed { path: PathBuf },
    #[error(
        "{} is damaged in {places}; `ringtail log repair {}` says what would be given up and changes nothing before --yes",
        dir.display(), dir.display()
    )]
    Damaged { dir: PathBuf, places: Places },
    #[error(
        "{} is damaged in {places}, and nothing was changed: with --yes the repair gives up what was named above, and \
         keeps a copy of the folder",
        dir.display()
    )]
    NotRepaired { dir: PathBuf, places: Places },
    #[error("{} is there already; move it away or repair with --no-copy, nothing was changed", copy.display())]
    CopyExists { copy: PathBuf },
    #[error("{} is not empty; choose another folder or replace what it holds with --replace", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("{input}, line {line}: {wrong}; nothing was changed")]
    Line { input: String, line: usize, wrong: Wrong },
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// So many places.
#[derive(Debug)]
pub(crate) struct Places(pub(crate) usize);

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => f.write_str("one place"),
            count => write!(f, "{count} places"),
        }
    }
}

impl LogError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The code that the error ends the program with.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Folder(_) | Self::Empty { .. } | Self::CopyExists { .. } | Self::NotEmpty { .. } => Exit::Folder,
            Self::Lost(_)
            | Self::Generations { .. }
            | Self::Mixed { .. }
            | Self::Damaged { .. }
            | Self::NotRepaired { .. } => Exit::Damaged,
            Self::Line { .. } | Self::Io { .. } => Exit::Failed,
        }
    }
}

impl From<StorageError> for LogError {
    fn from(error: StorageError) -> Self {
        Self::Folder(error.into())
    }
}
