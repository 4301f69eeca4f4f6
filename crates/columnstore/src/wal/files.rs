//! The files of the log: preallocated before they are needed, recycled when nobody needs them.
//!
//! A spare file is called `spare-N`; it becomes part of the log by being renamed.

use super::frame::{FILE_HEADER, file_header, file_name, parse_file_name};
use env::{Disk, File, OpenMode};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More spare files than this are removed.
const SPARES: usize = 1;

struct Names {
    /// Complete files of the log, by sequence number.
    closed: BTreeSet<u64>,
    spares: Vec<PathBuf>,
    next_spare: u64,
}

pub(crate) struct LogFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    capacity: u64,
    names: Mutex<Names>,
}

impl LogFiles {
    /// Takes stock of the folder; every log file in it is complete.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path, capacity: u64) -> io::Result<LogFiles> {
        let mut names = Names { closed: BTreeSet::new(), spares: Vec::new(), next_spare: 0 };
        for name in disk.list(folder)? {
            if let Some(sequence) = parse_file_name(&name) {
                names.closed.insert(sequence);
            } else if let Some(number) = name.strip_prefix("spare-").and_then(|n| n.parse::<u64>().ok()) {
                names.next_spare = names.next_spare.max(number + 1);
                let path = folder.join(name);
                if names.spares.len() < SPARES && disk.open(&path, OpenMode::Read)?.len()? >= capacity {
                    names.spares.push(path);
                } else {
                    disk.remove_file(&path)?;
                }
            }
        }
        Ok(LogFiles { disk, folder: folder.to_path_buf(), capacity, names: Mutex::new(names) })
    }

    pub(crate) fn path(&self, sequence: u64) -> PathBuf {
        self.folder.join(file_name(sequence))
    }

    pub(crate) fn has_spare(&self) -> bool {
        !self.names.lock().spares.is_empty()
    }

    /// Allocates a spare file. `StorageFull` if the disk has no room for one.
    pub(crate) fn prepare_spare(&self) -> io::Result<()> {
        let path = {
            let mut names = self.names.lock();
            names.next_spare += 1;
            self.folder.join(format!("spare-{}", names.next_spare))
        };
        let allocated = self.disk.open(&path, OpenMode::CreateNew)?.allocate(self.capacity);
        if let Err(error) = allocated {
            // What was allocated of it must not stay; the error to tell is the first one.
            let _ = self.disk.remove_file(&path);
            return Err(error);
        }
        self.names.lock().spares.push(path);
        Ok(())
    }

    /// Makes a spare file the log's next file, with a header that is durable.
    pub(crate) fn activate(&self, sequence: u64, ceiling: u64) -> io::Result<Arc<dyn File>> {
        if !self.has_spare() {
            self.prepare_spare()?;
        }
        let Some(spare) = self.names.lock().spares.pop() else {
            return Err(io::Error::other("a spare log file vanished"));
        };
        let path = self.path(sequence);
        let file = self.disk.open(&spare, OpenMode::ReadWrite)?;
        self.disk.rename(&spare, &path)?;
        self.disk.sync_dir(&self.folder)?;
        debug_assert_eq!(file_header(sequence, ceiling).len(), FILE_HEADER);
        file.write_all_at(&file_header(sequence, ceiling), 0)?;
        file.sync_data()?;
        Ok(file)
    }

    /// The file is complete: another follows it.
    pub(crate) fn close(&self, sequence: u64) {
        self.names.lock().closed.insert(sequence);
    }

    /// How many complete files there are, and the first of them.
    pub(crate) fn closed(&self) -> (usize, Option<u64>) {
        let names = self.names.lock();
        (names.closed.len(), names.closed.first().copied())
    }

    /// Nobody needs files before `needed` any more.
    pub(crate) fn trim(&self, needed: u64) -> io::Result<()> {
        let mut names = self.names.lock();
        let mut renamed = false;
        while let Some(sequence) = names.closed.first().copied().filter(|s| *s < needed) {
            let path = self.path(sequence);
            if names.spares.len() < SPARES {
                names.next_spare += 1;
                let spare = self.folder.join(format!("spare-{}", names.next_spare));
                self.disk.rename(&path, &spare)?;
                names.spares.push(spare);
                renamed = true;
            } else {
                self.disk.remove_file(&path)?;
            }
            names.closed.remove(&sequence);
        }
        // Before a spare is written to, its old name must be gone for good.
        if renamed { self.disk.sync_dir(&self.folder) } else { Ok(()) }
    }
}
