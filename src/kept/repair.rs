//! `ringtail log repair`: gives up what cannot be read, after it was told to, and says what that was.

use super::arguments::Repair as Options;
use super::error::{LogError, Places};
use super::lost::Lost;
use super::verify::Judged;
use super::{open, shard_dirs};
use crate::exit::Failure;
use ringtail_storage::tools::{self, Repair, Repaired};
use ringtail_storage::{Access, DataFolder, Disk};
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub(super) fn repair(options: &Options) -> Result<(), Failure> {
    let dir = &options.folder.dir;
    let lost = Lost::of(dir)?;
    let places = named_damage(dir, lost.as_ref())?;
    if places == 0 {
        writeln!(io::stdout(), "{} is sound: there is nothing to repair", dir.display())?;
        return Ok(());
    }
    if !options.yes {
        return Err(LogError::NotRepaired { dir: dir.clone(), places: Places(places) }.into());
    }
    let (mut folder, dirs) = logs(dir, lost.as_ref(), Access::Write)?;
    if !options.no_copy {
        let copy = keep_copy(dir)?;
        writeln!(io::stdout(), "{} is the folder as it was", copy.display())?;
    }
    let how = if options.truncate { Repair::Truncate } else { Repair::Skip };
    for (_, dir) in dirs {
        let disk = Disk::open(&dir, Access::Write).map_err(LogError::from)?;
        for done in tools::repair(&disk, how).map_err(LogError::from)? {
            writeln!(io::stdout(), "{}", told(&done))?;
        }
    }
    for made in lost.map(|lost| lost.make(&mut folder)).transpose()?.into_iter().flatten() {
        writeln!(io::stdout(), "{made}")?;
    }
    writeln!(io::stdout(), "{} is repaired", dir.display())?;
    Ok(())
}

/// Names what is damaged, and says in how many places.
fn named_damage(dir: &Path, lost: Option<&Lost>) -> Result<usize, Failure> {
    let (folder, dirs) = logs(dir, lost, Access::Read)?;
    let mut places = 0;
    for finding in lost.map(|lost| lost.findings(&folder)).unwrap_or_default() {
        writeln!(io::stdout(), "DAMAGED: {finding}")?;
        places += 1;
    }
    for (shard, dir) in dirs {
        let judged = Judged::of(&dir)?;
        if !judged.findings.is_empty() {
            writeln!(io::stdout(), "shard {shard}: {}", dir.display())?;
            judged.write_findings(&mut io::stdout())?;
            places += judged.findings.len();
        }
    }
    Ok(places)
}

/// Opens the folder, whatever it has lost, and says where the logs are that are there.
fn logs(dir: &Path, lost: Option<&Lost>, access: Access) -> Result<(DataFolder, Vec<(u32, PathBuf)>), LogError> {
    let Some(lost) = lost else {
        let (folder, layout) = open(dir, access)?;
        let dirs = (0..).zip(shard_dirs(&folder, layout)).collect();
        return Ok((folder, dirs));
    };
    let folder = DataFolder::open_lost(dir, access)?;
    let dirs = lost.shard_dirs(&folder);
    Ok((folder, dirs))
}

fn told(done: &Repaired) -> String {
    match done {
        Repaired::GaveUp { path, byte, bytes } => format!("{}: gave up {bytes} bytes from byte {byte}", path.display()),
        Repaired::SetAside { path } => format!("{0} is now {0}.damaged", path.display()),
        Repaired::Replaced { path } => format!("{} is new, without records, in place of what was lost", path.display()),
        Repaired::Removed { path } => format!("{} was removed", path.display()),
    }
}

/// Where the copy of a folder goes: beside it, under a name that the folder's begins.
fn beside(dir: &Path) -> io::Result<PathBuf> {
    // A path such as `.` names the folder, and has no place for another beside it.
    let dir = if dir.file_name().is_some() { dir.to_owned() } else { dir.canonicalize()? };
    let Some(name) = dir.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing beside the root folder"));
    };
    let mut name = name.to_owned();
    name.push(".before-repair");
    Ok(dir.with_file_name(name))
}

/// Copies the folder to a new one beside it.
fn keep_copy(dir: &Path) -> Result<PathBuf, LogError> {
    let action = "copy the folder, of which nothing was changed, to";
    let copy = beside(dir).map_err(|source| LogError::Io { action, path: dir.to_owned(), source })?;
    if copy.symlink_metadata().is_ok() {
        return Err(LogError::CopyExists { copy });
    }
    if let Err(source) = copy_folder(dir, &copy) {
        // Half a copy is of no use; what matters is the error that led to it.
        let _ = fs::remove_dir_all(&copy);
        return Err(LogError::Io { action, path: copy, source });
    }
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}
