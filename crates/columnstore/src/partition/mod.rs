//! A partition of a leaf: its tables, locks, open transactions and place in the log.
//!
//! * [`core`]: what the append latch protects;
//! * [`state`]: the immutable state of a table that readers pin;
//! * [`locking`]: taking locks, waiting for them, and how they pass on;
//! * [`freeze`]: making the active tail a frozen run.

pub(crate) mod core;
pub(crate) mod freeze;
pub(crate) mod locking;
pub(crate) mod state;

use self::core::Core;
use crate::StoreError;
use crate::store::inspect::{JobShape, LayoutJob};
use crate::waiting::{chance_to_give_up, may_wait, try_soon};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use types::{PartitionId, TableId, Timestamp};

pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    pub(crate) folder: PathBuf,
    core: Mutex<Core>,
    /// A record was shown or became durable, or the partition has ended.
    changed: Condvar,
    /// Held by whoever changes the layout by flush or merge: one at a time.
    pub(crate) layout_job: Mutex<()>,
    /// The flush or merge that is under way.
    running: Mutex<Option<(TableId, JobShape, Instant)>>,
    /// The first log file that the manifest on disk needs.
    needed_file: AtomicU64,
}

/// The append latch, held.
pub(crate) type Latch<'a> = MutexGuard<'a, Core>;

impl Partition {
    pub(crate) fn new(folder: PathBuf, core: Core, needed_file: u64) -> Partition {
        Partition {
            id: core.id,
            folder,
            core: Mutex::new(core),
            changed: Condvar::new(),
            layout_job: Mutex::new(()),
            running: Mutex::new(None),
            needed_file: AtomicU64::new(needed_file),
        }
    }

    /// Takes the append latch.
    pub(crate) fn latch(&self) -> Result<Latch<'_>, StoreError> {
        if !may_wait() {
            chance_to_give_up()?;
            return self.try_latch()?.ok_or(StoreError::WouldWait);
        }
        let core = self.core.lock();
        if core.dropped { Err(StoreError::UnknownPartition(self.id)) } else { Ok(core) }
    }

    /// The same if nobody holds it, be it after a moment.
    pub(crate) fn try_latch(&self) -> Result<Option<Latch<'_>>, StoreError> {
        match try_soon(|| self.core.try_lock()) {
            Some(core) if core.dropped => Err(StoreError::UnknownPartition(self.id)),
            core => Ok(core),
        }
    }

    /// Shows a flush or merge as running until the answer is dropped. The caller holds the layout job.
    pub(crate) fn show_job(&self, table: TableId, job: JobShape) -> ShownJob<'_> {
        *self.running.lock() = Some((table, job, Instant::now()));
        ShownJob(self)
    }

    pub(crate) fn running_job(&self) -> Option<LayoutJob> {
        let running = self.running.lock();
        let (table, job, since) = running.as_ref()?;
        Some(job.job(self.id, *table, Some(since.elapsed().as_millis() as u64)))
    }

    pub(crate) fn needed_file(&self) -> u64 {
        self.needed_file.load(Ordering::Acquire)
    }

    pub(crate) fn set_needed_file(&self, file: u64) {
        self.needed_file.store(file, Ordering::Release);
    }

    pub(crate) fn segments_folder(&self) -> PathBuf {
        self.folder.join("segments")
    }

    pub(crate) fn segment_path(&self, table: TableId, id: u32) -> PathBuf {
        segment_path(&self.folder, table, id)
    }

    /// Tells everyone who waits on this partition to look again.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until something was shown or became durable here.
    pub(crate) fn wait_changed(&self, core: &mut Latch<'_>) {
        self.changed.wait(core);
    }

    /// Waits until every record up to `ts` is shown. The clock must have been raised to `ts`.
    pub(crate) fn wait_shown(&self, core: &mut Latch<'_>, ts: Timestamp) -> Result<(), StoreError> {
        while !core.timeline.shown_up_to(ts) {
            if core.failed {
                return Err(StoreError::Poisoned);
            }
            self.changed.wait(core);
            if core.dropped {
                return Err(StoreError::UnknownPartition(self.id));
            }
        }
        Ok(())
    }

    /// Waits until the record `lsn`, which asked to be synced, is durable.
    pub(crate) fn wait_durable(&self, lsn: u64) -> Result<(), StoreError> {
        let mut core = self.core.lock();
        while core.durable_lsn < lsn {
            if core.failed {
                return Err(StoreError::OutcomeUnknown);
            }
            if core.dropped {
                return Err(StoreError::UnknownPartition(self.id));
            }
            self.changed.wait(&mut core);
        }
        Ok(())
    }

    /// Takes the latch of a partition whatever its state.
    pub(crate) fn latch_any(&self) -> Latch<'_> {
        self.core.lock()
    }
}

/// A flush or merge under way.
pub(crate) struct ShownJob<'a>(&'a Partition);

impl Drop for ShownJob<'_> {
    fn drop(&mut self) {
        *self.0.running.lock() = None;
    }
}

pub(crate) fn segment_path(folder: &Path, table: TableId, id: u32) -> PathBuf {
    folder.join("segments").join(segment_name(table, id))
}

pub(crate) fn segment_name(table: TableId, id: u32) -> String {
    format!("{}-{id:08}.seg", table.0)
}
