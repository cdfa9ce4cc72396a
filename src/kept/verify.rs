//! `ringtail log verify`: every record of every segment, and each place that is damaged.

use super::arguments::Folder;
use super::error::{LogError, Places};
use super::{open, shard_dirs};
use crate::exit::Failure;
use ringtail_shards::journal::kind_name;
use ringtail_storage::tools::{self, Flaw, Verdict};
use ringtail_storage::{Access, Disk, StorageError};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) fn verify(options: &Folder) -> Result<(), Failure> {
    let (folder, layout) = open(&options.dir, Access::Read)?;
    let (mut places, mut records, mut segments) = (0, 0, 0);
    for (shard, dir) in shard_dirs(&folder, layout).iter().enumerate() {
        let judged = Judged::of(dir)?;
        judged.write(shard, &mut io::stdout().lock())?;
        places += judged.findings.len();
        segments += judged.verdict.segments.len();
        records += judged.verdict.segments.iter().map(|segment| segment.records).sum::<u64>();
    }
    if places > 0 {
        return Err(LogError::Damaged { dir: options.dir.clone(), places: Places(places) }.into());
    }
    writeln!(io::stdout(), "sound: {records} records in {segments} segments of {} shards", layout.shards)?;
    Ok(())
}

/// What is wrong in one place.
pub(super) enum Finding {
    Flaw(Flaw),
    /// No segment is at fault by itself, and yet the log does not open.
    Closed(StorageError),
    /// Sound, but none of the records that this program writes.
    Unknown {
        path: PathBuf,
        byte: u32,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flaw(Flaw::Gap { path, byte, bytes, what }) => {
                write!(f, "{} from byte {byte}: {bytes} bytes cannot be read, {what}", path.display())
            }
            Self::Flaw(Flaw::Segment(error)) | Self::Closed(error) => error.fmt(f),
            Self::Unknown { path, byte } => {
                write!(f, "{} at byte {byte}: a record that this program does not know", path.display())
            }
        }
    }
}

/// The log of one shard, read past all that is wrong.
pub(super) struct Judged {
    dir: PathBuf,
    verdict: Verdict,
    pub(super) findings: Vec<Finding>,
}

impl Judged {
    /// Reads the log in `dir`.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(super) fn of(dir: &Path) -> Result<Self, LogError> {
        let disk = Disk::open(dir, Access::Read)?;
        let mut unknown = Vec::new();
        let mut verdict = tools::verify(&disk, |record| {
            if kind_name(&record).is_none() {
                unknown.push(record.at.start());
            }
        })?;
        let mut findings: Vec<_> = std::mem::take(&mut verdict.flaws).into_iter().map(Finding::Flaw).collect();
        for at in unknown {
            let path = verdict.segments.iter().find(|segment| segment.id == at.segment());
            let path = path.map_or_else(|| dir.to_owned(), |segment| segment.path.clone());
            findings.push(Finding::Unknown { path, byte: at.byte() });
        }
        if findings.is_empty()
            && let Err(error) = tools::replay(&disk, |_| {})
        {
            findings.push(Finding::Closed(error));
        }
        Ok(Self { dir: dir.to_owned(), verdict, findings })
    }

    fn write(&self, shard: usize, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "shard {shard}: {}", self.dir.display())?;
        for segment in &self.verdict.segments {
            let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
            let (used, bytes, records) = (segment.used_bytes, segment.bytes, segment.records);
            let tombstones = segment.tombstones;
            writeln!(
                out,
                "  {name}: {used} of {bytes} bytes used, {records} records, {tombstones} of them tombstones"
            )?;
        }
        if let Some(at) = self.verdict.torn_tail {
            writeln!(out, "  an unfinished end at {at}, as a crash leaves it: nothing behind it was acknowledged")?;
        }
        self.write_findings(out)
    }

    pub(super) fn write_findings(&self, out: &mut impl Write) -> io::Result<()> {
        self.findings.iter().try_for_each(|finding| writeln!(out, "  DAMAGED: {finding}"))
    }
}
