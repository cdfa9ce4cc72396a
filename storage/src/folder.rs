//! The data folder: which logs are in it, and how their number changes.
//!
//! ```text
//! DIR/layout                  which generation holds, and how many shards it has
//! DIR/generation-1/shard-0/   a log
//! DIR/generation-1/shard-1/   a log
//! ```
//!
//! Depends on [`crate::disk`] for the lock. The number of shards changes by writing all logs of a new generation beside the old
//! one and then replacing one small file, so that a crash leaves the one or the other and never a mixture.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, LockedFolder};
use crate::error::{Damage, StorageError};
use crate::tools;

/// The version of the layout file that this build writes and reads.
const LAYOUT_VERSION: u32 = 1;

const LAYOUT: &str = "layout";
const GENERATION: &str = "generation-";
const SHARD: &str = "shard-";

/// Which logs a data folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Counts the changes of layout, from 1.
    pub generation: u32,
    /// Logs, one a shard.
    pub shards: u32,
}

/// A data folder, locked against other processes as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    folder: LockedFolder,
    layout: Option<Layout>,
}

impl DataFolder {
    /// Opens and locks a data folder, and when it is opened for writing, makes it or clears away what an unfinished or a
    /// finished change of layout left.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when another process has it; [`StorageError::Damaged`], [`StorageError::Missing`] or
    /// [`StorageError::Newer`] for the layout file; and what the operating system says.
    pub fn open(dir: &Path, access: Access) -> Result<DataFolder, StorageError> {
        let folder = LockedFolder::open(dir, access)?;
        let layout = read_layout(dir)?;
        let generations = generations(dir).map_err(|e| StorageError::io(dir, "list", e))?;
        let folder = DataFolder { folder, layout };
        match layout {
            Some(layout) => folder.demand_logs(layout)?,
            None => folder.demand_nothing(&generations)?,
        }
        if access == Access::Write {
            let stale = generations.into_iter().filter(|generation| layout.map(|l| l.generation) != Some(*generation));
            stale.into_iter().try_for_each(|generation| folder.remove_generation(generation))?;
        }
        Ok(folder)
    }

    /// Opens and locks a data folder for a repair, whatever it has lost, and changes nothing. Without a layout file that holds
    /// there is no [`layout`](DataFolder::layout).
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::Newer`], and what the operating system says.
    pub fn open_lost(dir: &Path, access: Access) -> Result<DataFolder, StorageError> {
        let folder = LockedFolder::open(dir, access)?;
        let layout = match read_layout(dir) {
            Err(StorageError::Damaged { .. }) => None,
            read => read?,
        };
        Ok(DataFolder { folder, layout })
    }

    /// The numbers of the generations of which there is a folder, in order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn generations(&self) -> Result<Vec<u32>, StorageError> {
        let dir = self.folder.dir();
        let mut found = generations(dir).map_err(|e| StorageError::io(dir, "list", e))?;
        found.sort_unstable();
        Ok(found)
    }

    /// The shards of a generation whose logs have a file. What else lies there does not matter.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn shards_found(&self, generation: u32) -> Result<BTreeSet<u32>, StorageError> {
        let dir = self.generation_dir(generation);
        let mut found = BTreeSet::new();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
            read => read.map_err(|e| StorageError::io(&dir, "list", e))?,
        };
        for entry in entries {
            let path = entry.map_err(|e| StorageError::io(&dir, "list", e))?.path();
            let Some(shard) = path.file_name().and_then(|name| name.to_str()?.strip_prefix(SHARD)?.parse::<u32>().ok())
            else {
                continue;
            };
            match fs::read_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => {}
                Err(e) => return Err(StorageError::io(&path, "list", e)),
                Ok(mut inside) => found.extend(inside.next().map(|_| shard)),
            }
        }
        Ok(found)
    }

    /// The layout that holds; `None` in a new folder.
    pub fn layout(&self) -> Option<Layout> {
        self.layout
    }

    /// The layout to write for `shards` shards, and then to [`adopt`](DataFolder::adopt).
    pub fn next_layout(&self, shards: u32) -> Layout {
        Layout { generation: self.layout.map_or(0, |layout| layout.generation) + 1, shards }
    }

    /// The folder of a shard's log, for [`Log::open`](crate::Log::open) or [`Disk::open`](crate::Disk::open).
    pub fn shard_dir(&self, layout: Layout, shard: u32) -> PathBuf {
        self.generation_dir(layout.generation).join(format!("{SHARD}{shard}"))
    }

    /// Makes `layout` the one that holds, and removes the logs of the one before, which must be closed. Everything in the
    /// logs of the new layout must be on disk ([`Log::sync_now`](crate::Log::sync_now)).
    ///
    /// # Errors
    /// What the operating system says; the layout before holds unless this succeeds or fails in removing the old logs, which
    /// the next opening then does.
    pub fn adopt(&mut self, layout: Layout) -> Result<(), StorageError> {
        let path = self.folder.dir().join(LAYOUT);
        let new = self.folder.dir().join("layout.new");
        self.write_layout(&new, &path, layout).map_err(|e| StorageError::io(&path, "write", e))?;
        let before = self.layout.replace(layout);
        match before.filter(|before| before.generation != layout.generation) {
            Some(before) => self.remove_generation(before.generation),
            None => Ok(()),
        }
    }

    /// Every log of the layout has at least one file.
    fn demand_logs(&self, layout: Layout) -> Result<(), StorageError> {
        for shard in 0..layout.shards {
            let path = self.shard_dir(layout, shard);
            let there = fs::read_dir(&path).and_then(|mut entries| entries.next().transpose());
            match there {
                Ok(Some(_)) => {}
                Ok(None) => return Err(StorageError::Missing { path }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(StorageError::Missing { path }),
                Err(e) => return Err(StorageError::io(&path, "list", e)),
            }
        }
        Ok(())
    }

    /// Without a layout the folder is new, or a first start ended before anyone was promised anything: then no log has a
    /// record. Else the layout file was lost, and what is there must not be taken for a remainder.
    fn demand_nothing(&self, generations: &[u32]) -> Result<(), StorageError> {
        for generation in generations {
            let dir = self.generation_dir(*generation);
            let entries = fs::read_dir(&dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in entries.map_err(|e| StorageError::io(&dir, "list", e))? {
                let empty = Disk::open(&entry.path(), Access::Read)
                    .and_then(|disk| tools::replay(&disk, |_| {}))
                    .is_ok_and(|recovery| recovery.records == 0);
                if !empty {
                    return Err(StorageError::Missing { path: self.folder.dir().join(LAYOUT) });
                }
            }
        }
        Ok(())
    }

    fn write_layout(&self, new: &Path, path: &Path, layout: Layout) -> io::Result<()> {
        // The names of the logs' folders must be there before the file that speaks of them.
        File::open(self.generation_dir(layout.generation))?.sync_all()?;
        self.folder.sync_names()?;
        let mut file = File::create(new)?;
        file.write_all(encode(layout).as_bytes())?;
        file.sync_all()?;
        fs::rename(new, path)?;
        self.folder.sync_names()
    }

    fn generation_dir(&self, generation: u32) -> PathBuf {
        self.folder.dir().join(format!("{GENERATION}{generation}"))
    }

    fn remove_generation(&self, generation: u32) -> Result<(), StorageError> {
        let dir = self.generation_dir(generation);
        fs::remove_dir_all(&dir).map_err(|e| StorageError::io(&dir, "remove", e))
    }
}

fn encode(layout: Layout) -> String {
    let Layout { generation, shards } = layout;
    let text = format!("ringtail-data {LAYOUT_VERSION}\ngeneration {generation}\nshards {shards}\n");
    let crc = crc32c::crc32c(text.as_bytes());
    format!("{text}crc32c {crc:08x}\n")
}

fn read_layout(dir: &Path) -> Result<Option<Layout>, StorageError> {
    let path = dir.join(LAYOUT);
    let text = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome.map_err(|e| StorageError::io(&path, "read", e))?,
    };
    let text = String::from_utf8_lossy(&text);
    let mut words = text.split_whitespace().collect::<Vec<_>>().into_iter();
    let mut number = |name: &str| match words.next() {
        Some(word) if word == name => words.next()?.parse().ok(),
        _ => None,
    };
    match number("ringtail-data") {
        Some(found) if found > LAYOUT_VERSION => {
            return Err(StorageError::Newer { path, found, supported: LAYOUT_VERSION });
        }
        _ => {}
    }
    let layout = number("generation").and_then(|generation| Some(Layout { generation, shards: number("shards")? }));
    match layout.filter(|layout| layout.generation > 0 && layout.shards > 0 && encode(*layout) == text) {
        Some(layout) => Ok(Some(layout)),
        None => Err(StorageError::Damaged { path, byte: 0, what: Damage::Layout }),
    }
}

fn generations(dir: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_prefix(GENERATION)?.parse::<u32>().ok()));
    }
    Ok(found)
}
