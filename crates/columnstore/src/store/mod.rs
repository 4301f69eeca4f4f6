//! The store of a leaf: partitions with their tables, read through snapshots, written by transactions.
//!
//! * [`open`]: from a folder to a running store, and its end;
//! * [`schema`]: partitions and tables come and go;
//! * [`reading`]: timestamps and snapshots; [`by_key`]: one row at once;
//! * [`insert`], [`change`], [`existing`], [`unique`]: writes of rows; [`bulk`], [`bulk_keys`]: loads; [`commit`]: the
//!   end of a transaction, [`distributed`] of one that is on other leaves too; [`lease`]: what silent
//!   aggregators leave behind;
//! * [`statistics`], [`inspect`]: what it holds and does, as numbers and piece by piece;
//! * [`leaf`], [`waits`], [`options`]: what partitions share.
//!
//! Order of locks, outer first: a partition's layout job, the map of partitions, append latches in the
//! order of partition ids, then those of the leaf (ceiling, watermark, waits, the log's queue).

pub(crate) mod bulk;
mod bulk_keys;
pub(crate) mod by_key;
pub(crate) mod change;
pub(crate) mod commit;
pub(crate) mod distributed;
pub(crate) mod existing;
pub(crate) mod insert;
pub(crate) mod inspect;
pub(crate) mod leaf;
pub(crate) mod lease;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod reading;
pub(crate) mod schema;
pub(crate) mod statistics;
pub(crate) mod unique;
pub(crate) mod waits;

#[cfg(test)]
mod tests;

pub use bulk::BulkLoad;
pub use commit::Committing;
pub use inspect::{
    Inspect, Inspection, LayoutJob, LayoutJobKind, LockKind, LockMode, LockState, LockWait, MemoryUse, Piece,
    PieceKind,
};
pub use lease::Orphan;
pub use options::Options;
pub use statistics::StoreStatistics;

use self::leaf::Leaf;
use crate::StoreError;
use crate::layout::worker::Workers;
use crate::partition::Partition;
use crate::tail::slab::Tail;
use crate::waiting::{chance_to_give_up, wait_or_give_up};
use crate::wal::Observer;
use crate::wal::frame::LEAF;
use parking_lot::{Mutex, RwLock};
use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{PartitionId, TableId, TxnId};

/// All that a leaf stores.
pub struct Store {
    pub(crate) leaf: Arc<Leaf>,
    folder: PathBuf,
    partitions: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    pub(crate) workers: Workers,
    /// Keeps others out of the folder, until the shutdown.
    folder_lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Observer for Store {
    fn durable(&self, partition: PartitionId, lsn: u64) {
        if partition == LEAF {
            self.leaf.ceiling_durable(lsn);
            return;
        }
        let Ok(partition) = self.partition(partition) else { return };
        let mut core = partition.latch_any();
        core.durable_lsn = core.durable_lsn.max(lsn);
        if core.show(&self.leaf) {
            let due = core.tables.keys().any(|table| core.freeze_is_due(&self.leaf, *table));
            if due {
                self.workers.look_at(partition.id);
            }
        }
        drop(core);
        partition.notify();
    }

    fn failed(&self) {
        self.leaf.ceiling_failed();
        for partition in self.all() {
            let mut core = partition.latch_any();
            core.failed = true;
            for show in core.shows.drain(..) {
                show.done.fail();
            }
            drop(core);
            self.leaf.waits.give_up(partition.id, None);
            partition.notify();
        }
    }
}

impl Store {
    pub(crate) fn partition(&self, id: PartitionId) -> Result<Arc<Partition>, StoreError> {
        self.partitions.read().get(&id).cloned().ok_or(StoreError::UnknownPartition(id))
    }

    pub(crate) fn data_folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// Ends the waits for locks that a transaction is in now, with [`StoreError::Interrupted`].
    pub fn interrupt(&self, txn: TxnId) {
        self.leaf.waits.interrupt(txn);
    }

    /// The partitions that this store holds.
    pub fn partitions(&self) -> Vec<PartitionId> {
        self.partitions.read().keys().copied().collect()
    }

    /// The tables of each partition, with the versions of their definitions.
    pub fn layout(&self) -> BTreeMap<PartitionId, BTreeMap<TableId, u64>> {
        self.all()
            .into_iter()
            .filter_map(|partition| {
                let core = partition.latch().ok()?;
                let tables = core.tables.iter().map(|(id, table)| (*id, table.state.def.version));
                Some((partition.id, tables.collect()))
            })
            .collect()
    }

    /// Makes room for `bytes` more in a tail: evicts blocks from the pool, has tails flushed, waits.
    pub(crate) fn reserve(&self, tail: &Tail, bytes: usize) -> Result<(), StoreError> {
        chance_to_give_up()?;
        let Err(_) = tail.reserve(bytes) else { return Ok(()) };
        wait_or_give_up()?;
        self.leaf.counters.memory_waits.add(1);
        let deadline = Instant::now() + self.leaf.options.memory_wait;
        loop {
            self.leaf.pool.evict(bytes.max(1 << 20));
            let Err(over) = tail.reserve(bytes) else { return Ok(()) };
            self.workers.make_room();
            if Instant::now() >= deadline || self.leaf.options.workers == 0 {
                return Err(over.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
