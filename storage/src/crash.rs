//! A disk that forgets: a [`Backing`] in memory for tests, where a crash keeps any part of what was not synced, and where
//! room, writes and syncs fail on request.
//!
//! Depends on [`crate::backing`] only. A crash leaves, sector by sector, any of the states that the sector had since its last
//! sync, and of the changes of names since their last sync any subset. A failed sync does what kernels do: it brings some of
//! the bytes to disk, and forgets that the others were not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backing::{Backing, SegmentFile};

/// Says which of `n` states (numbered from 0) comes out of a crash. Called once for each thing that can come out in more
/// than one way, in a fixed order.
pub type Choose<'a> = dyn FnMut(usize) -> usize + 'a;

/// A chooser that picks at random from a seed: the same seed, the same crash.
pub fn seeded(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |n| (split_mix(&mut state) % n.max(1) as u64) as usize
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A folder in memory. Clones are the same folder.
#[derive(Debug, Clone)]
pub struct CrashDisk(Arc<Mutex<State>>);

/// A file of a [`CrashDisk`].
#[derive(Debug)]
pub struct CrashFile {
    disk: CrashDisk,
    file: usize,
    bytes: u64,
}

#[derive(Debug)]
struct State {
    files: Vec<Contents>,
    /// The folder as a program sees it.
    names: BTreeMap<String, usize>,
    /// The folder as it was when it was last synced.
    synced_names: BTreeMap<String, usize>,
    /// What was done to the names since, each step whole or not at all.
    pending_names: Vec<Vec<(String, Option<usize>)>>,
    sector_bytes: usize,
    entropy: u64,
    room_bytes: u64,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Faults {
    failing_syncs: u32,
    failing_writes: u32,
    /// Reads until one fails.
    reads_left: Option<u32>,
    write_bytes_max: Option<usize>,
    /// Calls that change something until everything fails.
    calls_left: Option<u64>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    /// What is on disk. Empty before the first sync.
    synced: Vec<u8>,
    /// What a program reads.
    current: Vec<u8>,
    /// Writes since the last sync, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

impl Contents {
    /// What is on disk when any part of the pending writes has got there.
    fn torn(&self, sector_bytes: usize, choose: &mut Choose<'_>) -> Vec<u8> {
        let mut image = self.synced.clone();
        if image.len() < self.current.len() && choose(2) == 1 {
            image.resize(self.current.len(), 0);
        }
        let sectors = |(at, bytes): &(usize, Vec<u8>)| at / sector_bytes..(at + bytes.len()).div_ceil(sector_bytes);
        let touched: BTreeSet<usize> = self.pending.iter().flat_map(sectors).collect();
        for sector in touched {
            let writes: Vec<_> = self.pending.iter().filter(|write| sectors(write).contains(&sector)).collect();
            let kept = choose(writes.len() + 1);
            let (start, end) = (sector * sector_bytes, ((sector + 1) * sector_bytes).min(image.len()));
            for (at, bytes) in &writes[..kept.min(writes.len())] {
                let (from, to) = ((*at).max(start), (at + bytes.len()).min(end));
                if from < to {
                    image[from..to].copy_from_slice(&bytes[from - at..to - at]);
                }
            }
        }
        image
    }
}

impl State {
    /// Counts a call that changes something; an error when the disk is to stop here.
    fn call(&mut self) -> io::Result<()> {
        match &mut self.faults.calls_left {
            Some(0) => Err(io::Error::other("the disk is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_names(&mut self, step: Vec<(String, Option<usize>)>) {
        apply_names(&mut self.names, &step);
        self.pending_names.push(step);
    }
}

fn apply_names(names: &mut BTreeMap<String, usize>, step: &[(String, Option<usize>)]) {
    for (name, file) in step {
        match file {
            Some(file) => drop(names.insert(name.clone(), *file)),
            None => drop(names.remove(name)),
        }
    }
}

impl CrashDisk {
    /// An empty folder on a disk whose sectors of `sector_bytes` bytes are written whole or not at all. `seed` decides what
    /// [`Backing::entropy`] gives.
    pub fn new(sector_bytes: usize, seed: u64) -> CrashDisk {
        CrashDisk(Arc::new(Mutex::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            pending_names: Vec::new(),
            sector_bytes: sector_bytes.max(1),
            entropy: seed,
            room_bytes: u64::MAX,
            faults: Faults::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left of the folder when the power fails now. This disk goes on as if nothing had happened.
    pub fn crash(&self, choose: &mut Choose<'_>) -> CrashDisk {
        let state = self.state();
        let mut names = state.synced_names.clone();
        for step in &state.pending_names {
            if choose(2) == 1 {
                apply_names(&mut names, step);
            }
        }
        let mut files = Vec::new();
        let mut left = BTreeMap::new();
        for (name, file) in names {
            let image = state.files[file].torn(state.sector_bytes, choose);
            files.push(Contents { synced: image.clone(), current: image, pending: Vec::new() });
            left.insert(name, files.len() - 1);
        }
        let crashed = CrashDisk::new(state.sector_bytes, state.entropy ^ 0x5DEE_CE66);
        {
            let mut after = crashed.state();
            after.files = files;
            after.synced_names = left.clone();
            after.names = left;
            after.room_bytes = state.room_bytes;
        }
        crashed
    }

    /// What the next process finds when this one is killed now: everything that was written, and as little of it on disk. This
    /// disk goes on as if nothing had happened.
    pub fn kill(&self) -> CrashDisk {
        let state = self.state();
        CrashDisk(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            pending_names: state.pending_names.clone(),
            sector_bytes: state.sector_bytes,
            entropy: state.entropy ^ 0x5DEE_CE66,
            room_bytes: state.room_bytes,
            faults: Faults::default(),
        })))
    }

    /// How many more bytes of files there is room for.
    pub fn set_room_bytes(&self, bytes: u64) {
        self.state().room_bytes = bytes;
    }

    /// The next `count` syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.state().faults.failing_syncs = count;
    }

    /// The next `count` writes fail.
    pub fn fail_writes(&self, count: u32) {
        self.state().faults.failing_writes = count;
    }

    /// After `count` more reads, one fails.
    pub fn fail_read_after(&self, count: u32) {
        self.state().faults.reads_left = Some(count);
    }

    /// No write takes more than `bytes` bytes at once.
    pub fn shorten_writes(&self, bytes: usize) {
        self.state().faults.write_bytes_max = Some(bytes.max(1));
    }

    /// After `count` more calls that change something, every such call fails, as if the process had ended there.
    pub fn end_after_calls(&self, count: u64) {
        self.state().faults.calls_left = Some(count);
    }

    /// The bytes of a file as a program reads them, or `None` when it is not there.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|file| state.files[*file].current.clone())
    }

    /// Puts a file there, on disk, as someone might who has no idea of its format; `None` takes it away.
    pub fn put_contents(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut state = self.state();
        let file = bytes.map(|bytes| {
            state.files.push(Contents { synced: bytes.clone(), current: bytes, pending: Vec::new() });
            state.files.len() - 1
        });
        let step = [(name.to_owned(), file)];
        apply_names(&mut state.names, &step);
        apply_names(&mut state.synced_names, &step);
    }
}

impl Backing for CrashDisk {
    type File = CrashFile;

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/crash-disk").join(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<CrashFile> {
        let mut state = self.state();
        state.call()?;
        if state.room_bytes < bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.room_bytes != u64::MAX {
            state.room_bytes -= bytes;
        }
        state.files.push(Contents { current: vec![0; bytes as usize], ..Contents::default() });
        let file = state.files.len() - 1;
        state.change_names(vec![(name.to_owned(), Some(file))]);
        Ok(CrashFile { disk: self.clone(), file, bytes })
    }

    fn open(&self, name: &str) -> io::Result<CrashFile> {
        let state = self.state();
        let file = state.find(name)?;
        let bytes = state.files[file].current.len() as u64;
        Ok(CrashFile { disk: self.clone(), file, bytes })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let file = state.find(from)?;
        state.change_names(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        let file = state.find(name)?;
        let freed = state.files[file].current.len() as u64;
        state.room_bytes = state.room_bytes.saturating_add(freed);
        state.change_names(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.call()?;
        state.pending_names.clear();
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn entropy(&self) -> io::Result<[u8; 16]> {
        let mut state = self.state();
        let (low, high) = (split_mix(&mut state.entropy), split_mix(&mut state.entropy));
        Ok((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }
}

impl SegmentFile for CrashFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.faults.reads_left.take() {
            Some(0) => return Err(io::Error::other("this read fails")),
            left => state.faults.reads_left = left.map(|left| left - 1),
        }
        let part = state.files[self.file].current.get(at as usize..at as usize + buf.len());
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.call()?;
        if state.faults.failing_writes > 0 {
            state.faults.failing_writes -= 1;
            return Err(io::Error::other("this write fails"));
        }
        let count = bytes.len().min(state.faults.write_bytes_max.unwrap_or(usize::MAX));
        let at = at as usize;
        let contents = &mut state.files[self.file];
        let target = contents.current.get_mut(at..at + count).ok_or(io::ErrorKind::StorageFull)?;
        target.copy_from_slice(&bytes[..count]);
        contents.pending.push((at, bytes[..count].to_vec()));
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.call()?;
        let sector_bytes = state.sector_bytes;
        if state.faults.failing_syncs > 0 {
            state.faults.failing_syncs -= 1;
            let mut choose = seeded(split_mix(&mut state.entropy));
            let contents = &mut state.files[self.file];
            contents.synced = contents.torn(sector_bytes, &mut choose);
            contents.pending.clear();
            return Err(io::Error::other("this sync fails"));
        }
        let contents = &mut state.files[self.file];
        contents.synced.clone_from(&contents.current);
        contents.pending.clear();
        Ok(())
    }

    fn next_written(&self, from: u64) -> io::Result<Option<u64>> {
        let state = self.disk.state();
        let rest = state.files[self.file].current.get(from as usize..).unwrap_or_default();
        Ok(rest.iter().position(|byte| *byte != 0).map(|at| from + at as u64))
    }

    fn mapped(&self) -> Option<&[u8]> {
        None
    }

    fn raw_fd(&self) -> Option<RawFd> {
        None
    }

    fn read_ahead(&self, _from: u64, _bytes: u64) {}
}
