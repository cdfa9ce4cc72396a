//! `ringtail log`: looks at the data folder of a broker that does not run, or at a copy of one.
//!
//! - [`inspect`] says what is in it, [`verify`] whether all of it can be read, [`repair`] gives up what cannot.
//! - [`export`] and [`import`] turn it into lines of JSON and back; [`line`] is what a line says.
//!
//! Depends on `ringtail_shards::journal` for what records mean and on `ringtail_storage` for folders and segments. Only
//! `repair` and `import` change anything, and only after they were told to.

mod arguments;
mod error;
mod export;
mod import;
mod inspect;
mod line;
mod lost;
mod repair;
mod table;
mod verify;

pub(crate) use arguments::LogCommand;
pub(crate) use error::LogError;

use crate::exit::Failure;
use ringtail_storage::{Access, DataFolder, Layout, StorageError};
use std::path::{Path, PathBuf};

/// Carries out a command.
///
/// # Errors
/// [`Failure::Kept`], wrong settings of an import, and a standard output that cannot be written.
pub(crate) fn run(command: &LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Inspect(options) => inspect::inspect(options),
        LogCommand::Verify(options) => verify::verify(options),
        LogCommand::Repair(options) => repair::repair(options),
        LogCommand::Export(options) => export::export(options),
        LogCommand::Import(options) => import::import(options),
    }
}

/// The folders of the shards' logs, in order.
fn shard_dirs(folder: &DataFolder, layout: Layout) -> Vec<PathBuf> {
    (0..layout.shards).map(|shard| folder.shard_dir(layout, shard)).collect()
}

/// Opens a data folder and says which logs are in it.
fn open(dir: &Path, access: Access) -> Result<(DataFolder, Layout), LogError> {
    let folder = DataFolder::open(dir, access).map_err(|error| match error {
        StorageError::Damaged { .. } | StorageError::Missing { .. } => LogError::Lost(error),
        other => other.into(),
    })?;
    let layout = folder.layout().ok_or_else(|| LogError::Empty { dir: dir.to_owned() })?;
    Ok((folder, layout))
}
