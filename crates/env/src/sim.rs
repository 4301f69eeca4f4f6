//! A disk and a clock that exist in memory only and fail as a test tells them to.
//!
//! What [`SimDisk`] keeps over a loss of power is what [`crate::disk`] promises, and no more:
//! * bytes that a `sync_data` covered are kept. Others are kept or lost sector by sector (512 bytes),
//!   by the seed, so a write may survive in part and later writes without earlier ones;
//! * name changes (create, rename, remove) that a `sync_dir` of the folder covered are kept. Of the
//!   others a prefix is kept, by the seed, as by a journalling file system;
//! * folders are kept as soon as they are made.

use crate::clock::Clock;
use crate::disk::{Disk, File, OpenMode};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SECTOR: usize = 512;

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct SimClock {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl SimClock {
    pub fn at_millis(wall: u64) -> Arc<SimClock> {
        Arc::new(SimClock { wall: AtomicU64::new(wall), boot: AtomicU64::new(0) })
    }

    /// Both wall and boot time go on.
    pub fn advance(&self, millis: u64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
        self.boot.fetch_add(millis, Ordering::SeqCst);
    }

    /// The wall clock steps; boot time does not.
    pub fn step_wall(&self, millis: u64) {
        self.wall.store(millis, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_millis(&self) -> u64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn boot_time(&self) -> Duration {
        Duration::from_millis(self.boot.load(Ordering::SeqCst))
    }
}

/// What goes wrong at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with EIO, once.
    Error,
    /// Power is lost in the middle of the operation: it is done in part or not at all, and every later
    /// one fails. [`SimDisk::restarted`] gives what the next start finds.
    PowerLoss,
}

type Inode = u64;

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors of `bytes` that differ, or may, from `durable`.
    dirty: BTreeSet<usize>,
    synced: bool,
}

impl Content {
    fn mark(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        self.synced = false;
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        self.mark(offset, end);
    }

    fn set_len(&mut self, len: usize) {
        let before = self.bytes.len();
        self.bytes.resize(len, 0);
        self.mark(before.min(len), before.max(len));
    }

    fn sync(&mut self) {
        self.durable.resize(self.bytes.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.bytes.len());
            if from < to {
                self.durable[from..to].copy_from_slice(&self.bytes[from..to]);
            }
        }
        self.synced = true;
    }

    /// What the disk holds after power was lost.
    fn survive(&mut self, rng: &mut StdRng) {
        if !self.synced {
            if self.bytes.len() > self.durable.len() || rng.random_bool(0.5) {
                // Growth shows as zeros until its sectors arrive.
                self.durable.resize(self.bytes.len(), 0);
            }
            for sector in std::mem::take(&mut self.dirty) {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(self.bytes.len()).min(self.durable.len());
                if from < to && rng.random_bool(0.5) {
                    self.durable[from..to].copy_from_slice(&self.bytes[from..to]);
                }
            }
        }
        self.bytes = self.durable.clone();
        self.dirty.clear();
        self.synced = true;
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Put(PathBuf, Inode),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

fn apply(names: &mut BTreeMap<PathBuf, Inode>, change: &NameChange) {
    match change {
        NameChange::Put(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

#[derive(Debug)]
struct Inner {
    rng: StdRng,
    files: BTreeMap<Inode, Content>,
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    /// Changes of names not covered by a `sync_dir`, in order, by folder.
    changes: BTreeMap<PathBuf, Vec<NameChange>>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    next_inode: Inode,
    operations: u64,
    announced: u64,
    fault: Option<(u64, Fault)>,
    capacity: usize,
    off: bool,
}

/// A disk in memory.
#[derive(Debug, Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

fn off() -> io::Error {
    io::Error::other("the simulated machine has lost power")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk {
            inner: Arc::new(Mutex::new(Inner {
                rng: StdRng::seed_from_u64(seed),
                files: BTreeMap::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: BTreeMap::new(),
                folders: BTreeSet::new(),
                locks: BTreeSet::new(),
                next_inode: 1,
                operations: 0,
                announced: 0,
                fault: None,
                capacity: usize::MAX,
                off: false,
            })),
        }
    }

    /// Operations so far that changed or synced something.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// Bytes that readers have said they would read soon.
    pub fn announced(&self) -> u64 {
        self.inner.lock().announced
    }

    /// The `after`-th changing operation from now meets `fault`; 0 is the next one.
    pub fn inject(&self, after: u64, fault: Fault) {
        let mut inner = self.inner.lock();
        let at = inner.operations + after;
        inner.fault = Some((at, fault));
    }

    /// Bytes that all files together may take; what needs more fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: usize) {
        self.inner.lock().capacity = bytes;
    }

    pub fn used(&self) -> usize {
        self.inner.lock().used()
    }

    /// Whether power was lost.
    pub fn is_off(&self) -> bool {
        self.inner.lock().off
    }

    /// Cuts the power now and gives the disk as the next start finds it. This one stays off.
    pub fn restarted(&self) -> SimDisk {
        let mut inner = self.inner.lock();
        inner.off = true;
        let seed = inner.rng.random();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut names = inner.durable_names.clone();
        for changes in inner.changes.values() {
            let kept = rng.random_range(0..=changes.len());
            for change in &changes[..kept] {
                apply(&mut names, change);
            }
        }
        let mut files = BTreeMap::new();
        for inode in names.values() {
            let mut content = inner.files[inode].clone();
            content.survive(&mut rng);
            files.insert(*inode, content);
        }
        SimDisk {
            inner: Arc::new(Mutex::new(Inner {
                rng,
                files,
                names: names.clone(),
                durable_names: names,
                changes: BTreeMap::new(),
                folders: inner.folders.clone(),
                locks: BTreeSet::new(),
                next_inode: inner.next_inode,
                operations: 0,
                announced: 0,
                fault: None,
                capacity: inner.capacity,
                off: false,
            })),
        }
    }

    /// Flips one bit of a file, durably: a fault of the medium.
    pub fn flip_bit(&self, path: &Path, offset: usize) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let inode = inner.find(path)?;
        let content = inner.files.entry(inode).or_default();
        for bytes in [&mut content.bytes, &mut content.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1;
            }
        }
        Ok(())
    }
}

/// How an operation goes on.
enum Step {
    Whole,
    /// Power goes off when this much of it, in 1/256, is done.
    Part(u8),
}

impl Inner {
    fn used(&self) -> usize {
        self.names.values().map(|inode| self.files[inode].bytes.len()).sum()
    }

    fn find(&self, path: &Path) -> io::Result<Inode> {
        self.names.get(path).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
        })
    }

    fn power(&self) -> io::Result<()> {
        if self.off { Err(off()) } else { Ok(()) }
    }

    /// Counts a changing operation and meets its fault.
    fn step(&mut self) -> io::Result<Step> {
        self.power()?;
        let at = self.operations;
        self.operations += 1;
        match self.fault {
            Some((when, fault)) if when == at => {
                self.fault = None;
                match fault {
                    Fault::Error => Err(io::Error::other("injected I/O error")),
                    Fault::PowerLoss => {
                        self.off = true;
                        Ok(Step::Part(self.rng.random()))
                    }
                }
            }
            _ => Ok(Step::Whole),
        }
    }

    /// An operation that is done whole or not at all.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step()? {
            Step::Whole => Ok(()),
            Step::Part(_) => Err(off()),
        }
    }

    fn change(&mut self, folder: PathBuf, change: NameChange) {
        apply(&mut self.names, &change);
        self.changes.entry(folder).or_default().push(change);
    }

    fn room(&self, more: usize) -> io::Result<()> {
        if more > 0 && self.used().saturating_add(more) > self.capacity {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full"));
        }
        Ok(())
    }
}

struct SimFile {
    inode: Inode,
    inner: Arc<Mutex<Inner>>,
}

impl File for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.inner.lock();
        inner.power()?;
        let bytes = &inner.files[&self.inode].bytes;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match from.checked_add(buffer.len()).and_then(|to| bytes.get(from..to)) {
            Some(found) => {
                buffer.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn will_read(&self, length: u64, _: u64) {
        self.inner.lock().announced += length;
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let step = inner.step()?;
        let offset = offset as usize;
        let len = inner.files[&self.inode].bytes.len();
        inner.room((offset + bytes.len()).saturating_sub(len))?;
        let content = inner.files.entry(self.inode).or_default();
        match step {
            Step::Whole => {
                content.write(bytes, offset);
                Ok(())
            }
            Step::Part(share) => {
                content.write(&bytes[..bytes.len() * usize::from(share) / 256], offset);
                Err(off())
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let step = inner.step()?;
        match step {
            Step::Whole => {
                inner.files.entry(self.inode).or_default().sync();
                Ok(())
            }
            Step::Part(_) => Err(off()),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let inner = self.inner.lock();
        inner.power()?;
        Ok(inner.files[&self.inode].bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.whole_step()?;
        let before = inner.files[&self.inode].bytes.len();
        inner.room((len as usize).saturating_sub(before))?;
        inner.files.entry(self.inode).or_default().set_len(len as usize);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        self.set_len(len.max(now))
    }
}

/// Keeps a simulated lock.
struct Guard {
    path: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inner.lock().locks.remove(&self.path);
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut inner = self.inner.lock();
        inner.power()?;
        let inode = match mode {
            OpenMode::Read | OpenMode::ReadWrite => inner.find(path)?,
            OpenMode::CreateNew => {
                if inner.names.contains_key(path) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                let folder = parent(path);
                if !inner.folders.contains(&folder) {
                    let text = format!("folder {} does not exist", folder.display());
                    return Err(io::Error::new(io::ErrorKind::NotFound, text));
                }
                inner.whole_step()?;
                let inode = inner.next_inode;
                inner.next_inode += 1;
                inner.files.insert(inode, Content::default());
                inner.change(folder, NameChange::Put(path.to_path_buf(), inode));
                inode
            }
        };
        Ok(Arc::new(SimFile { inode, inner: self.inner.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.power()?;
        inner.find(from)?;
        if parent(from) != parent(to) {
            return Err(io::Error::other("the simulated disk renames within a folder only"));
        }
        inner.whole_step()?;
        inner.change(parent(from), NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.power()?;
        inner.find(path)?;
        inner.whole_step()?;
        inner.change(parent(path), NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.power()?;
        for folder in path.ancestors() {
            inner.folders.insert(folder.to_path_buf());
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.power()?;
        let below: Vec<PathBuf> = inner.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        for name in below {
            inner.whole_step()?;
            inner.change(parent(&name), NameChange::Remove(name));
        }
        inner.folders.retain(|folder| !folder.starts_with(path));
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        inner.power()?;
        if !inner.folders.contains(path) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("folder {} does not exist", path.display()),
            ));
        }
        let names: BTreeSet<String> = inner
            .names
            .keys()
            .chain(&inner.folders)
            .filter(|name| name.parent() == Some(path))
            .filter_map(|name| name.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        Ok(names.into_iter().collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.whole_step()?;
        for change in inner.changes.remove(path).unwrap_or_default() {
            apply(&mut inner.durable_names, &change);
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let inner = self.inner.lock();
        inner.power()?;
        Ok(inner.names.contains_key(path) || inner.folders.contains(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut inner = self.inner.lock();
        inner.power()?;
        if !inner.locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Guard { path: path.to_path_buf(), inner: self.inner.clone() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::replace_file;

    fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(Path::new(path), OpenMode::Read).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_torn() {
        let mut torn = false;
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create_dir_all(Path::new("/d")).unwrap();
            let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
            file.write_all_at(&[1; 2_000], 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/d")).unwrap();
            file.write_all_at(&[2; 2_000], 1_000).unwrap();
            let after = disk.restarted();
            assert!(file.write_all_at(&[3], 0).is_err(), "the old machine is off");
            let bytes = read(&after, "/d/f").unwrap();
            assert!(bytes[..512].iter().all(|b| *b == 1));
            torn |= bytes.contains(&2) && bytes[1_000..].iter().any(|b| *b != 2);
        }
        assert!(torn);
    }

    #[test]
    fn names_without_a_sync_of_the_folder_may_vanish_and_a_replaced_file_is_old_or_new() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..60 {
            let disk = SimDisk::new(seed);
            disk.create_dir_all(Path::new("/d")).unwrap();
            replace_file(&disk, Path::new("/d/f"), b"old").unwrap();
            disk.inject(seed % 6, Fault::PowerLoss);
            let done = replace_file(&disk, Path::new("/d/f"), b"new").is_ok();
            let found = read(&disk.restarted(), "/d/f").unwrap();
            assert!(found == b"new" || (found == b"old" && !done), "seed {seed}: {found:?}");
            outcomes.insert(found);
        }
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn faults_and_a_full_disk_are_met_where_they_were_put() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
        disk.inject(1, Fault::Error);
        file.write_all_at(&[1; 10], 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        disk.set_capacity(15);
        assert_eq!(file.write_all_at(&[1; 10], 10).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.set_capacity(20);
        file.write_all_at(&[1; 10], 10).unwrap();
        let lock = disk.lock(Path::new("/d/LOCK")).unwrap();
        assert!(lock.is_some());
        assert!(disk.lock(Path::new("/d/LOCK")).unwrap().is_none());
        drop(lock);
        assert!(disk.lock(Path::new("/d/LOCK")).unwrap().is_some());
    }
}
