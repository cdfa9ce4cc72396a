//! What a data folder has lost beside records: the file that says which logs there are, or whole logs.

use super::error::LogError;
use ringtail_shards::journal::{Contents, read_shard, shards_of};
use ringtail_storage::{Access, DataFolder, Layout, Log, LogOptions, StorageError};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// A folder that has lost something of that kind.
pub(super) struct Lost {
    generation: u32,
    /// `None` when the file is lost.
    layout: Option<Layout>,
    layout_path: PathBuf,
    /// The shards whose logs are there.
    found: BTreeSet<u32>,
}

impl Lost {
    /// `None` when nothing of that kind is lost.
    ///
    /// # Errors
    /// When the folder cannot be used, or there is more than one set of logs and nothing says which counts.
    pub(super) fn of(dir: &Path) -> Result<Option<Self>, LogError> {
        match DataFolder::open(dir, Access::Read) {
            Err(StorageError::Damaged { .. } | StorageError::Missing { .. }) => {}
            opened => return opened.map(|_| None).map_err(LogError::from),
        }
        let folder = DataFolder::open_lost(dir, Access::Read)?;
        let layout = folder.layout();
        let generation = match (layout, &folder.generations()?[..]) {
            (Some(layout), _) => layout.generation,
            (None, [generation]) => *generation,
            (None, []) => return Err(LogError::Empty { dir: dir.to_owned() }),
            (None, generations) => {
                let names = generations.iter().map(|number| format!("generation-{number}")).collect::<Vec<_>>();
                return Err(LogError::Generations { dir: dir.to_owned(), names: names.join(" and ") });
            }
        };
        let found = folder.shards_found(generation)?;
        if found.is_empty() {
            return Err(LogError::Empty { dir: dir.to_owned() });
        }
        Ok(Some(Self { generation, layout, layout_path: dir.join("layout"), found }))
    }

    /// How many shards there are, as far as that shows before the logs are read.
    fn shards(&self) -> u32 {
        self.layout.map_or_else(|| self.found.last().map_or(0, |last| last + 1), |layout| layout.shards)
    }

    fn layout_for(&self, shards: u32) -> Layout {
        Layout { generation: self.generation, shards }
    }

    /// The shards whose logs are there, with their folders.
    pub(super) fn shard_dirs(&self, folder: &DataFolder) -> Vec<(u32, PathBuf)> {
        let layout = self.layout_for(self.shards());
        self.found.iter().map(|shard| (*shard, folder.shard_dir(layout, *shard))).collect()
    }

    /// What is lost, one line each.
    pub(super) fn findings(&self, folder: &DataFolder) -> Vec<String> {
        let (layout, shards) = (self.layout_for(self.shards()), self.found.len());
        let file = self.layout.is_none().then(|| {
            let path = self.layout_path.display();
            format!("{path}, which says how many shards there are, cannot be read; the logs of {shards} are there")
        });
        let logs = (0..layout.shards).filter(|shard| !self.found.contains(shard)).map(|shard| {
            let path = folder.shard_dir(layout, shard);
            format!("{}, the log of shard {shard}, is missing with all that it held", path.display())
        });
        file.into_iter().chain(logs).collect()
    }

    /// Makes what is lost anew, without records; the logs that are there must be sound by now. Says what was made.
    pub(super) fn make(&self, folder: &mut DataFolder) -> Result<Vec<Made>, LogError> {
        let shards = match self.layout {
            Some(layout) => layout.shards,
            None => self.shards_by_contents(folder)?,
        };
        let layout = self.layout_for(shards);
        let mut made = Vec::new();
        for shard in (0..shards).filter(|shard| !self.found.contains(shard)) {
            let dir = folder.shard_dir(layout, shard);
            let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
            let (log, _) = Log::open(&dir, options, |_, _| {})?;
            log.close()?;
            made.push(Made::Log(dir));
        }
        folder.adopt(layout)?;
        if self.layout.is_none() {
            made.push(Made::Layout { path: self.layout_path.clone(), shards });
        }
        Ok(made)
    }

    /// A shard that was the last may be missing: where everything lies says how many there were.
    fn shards_by_contents(&self, folder: &DataFolder) -> Result<u32, LogError> {
        let contents: Result<Vec<(u32, Contents)>, LogError> =
            self.shard_dirs(folder).into_iter().map(|(shard, dir)| Ok((shard, read_shard(&dir)?))).collect();
        shards_of(&contents?).ok_or_else(|| LogError::Mixed { path: self.layout_path.clone() })
    }
}

/// What a repair has put in the place of something that was lost.
pub(super) enum Made {
    Log(PathBuf),
    Layout { path: PathBuf, shards: u32 },
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(dir) => write!(f, "{} is new, without records, in place of what was lost", dir.display()),
            Self::Layout { path, shards } => {
                write!(f, "{} is new and says that there are {shards} shards", path.display())
            }
        }
    }
}
