//! The start and the end of a store.

use super::Store;
use super::leaf::Leaf;
use super::options::Options;
use crate::layout::worker::Workers;
use crate::recovery::build::build;
use crate::recovery::{Recovered, recover};
use crate::wal::{Observer, Record, Wal};
use crate::{BufferPool, StoreError};
use env::{Clock, Disk};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Weak};
use txn::Outcome;
use types::PartitionId;

/// Records that recovery adds to the log, in order.
type Endings = Vec<(PartitionId, Record)>;

/// Ends the transactions that the log left open, but for those that another leaf decides on.
fn end_open(recovered: &mut Recovered) -> Result<Endings, StoreError> {
    let mut endings = Endings::new();
    let ids: Vec<PartitionId> = recovered.partitions.keys().copied().collect();
    for id in ids {
        let open: Vec<_> = match recovered.partitions.get(&id) {
            Some(replay) => {
                let open = replay.open.iter();
                open.map(|(txn, open)| (*txn, open.prepared.as_ref().map(|p| p.coordinator))).collect()
            }
            None => continue,
        };
        for (txn, coordinator) in open {
            let mut outcome = None;
            if let Some(coordinator) = coordinator {
                match (recovered.decisions.get(&txn), recovered.partitions.get_mut(&coordinator)) {
                    (Some(decided), _) => outcome = *decided,
                    (None, None) => continue,
                    (None, Some(replay)) => {
                        let abort = Record::Decision {
                            txn,
                            commit: None,
                            participants: Vec::new(),
                            bulk: Vec::new(),
                        };
                        endings.push((coordinator, abort));
                        recovered.decisions.insert(txn, None);
                        replay.decisions.insert(txn, (Outcome::Abort, Vec::new()));
                    }
                }
                endings.push((id, Record::Decide { txn, commit: outcome }));
            } else {
                endings.push((id, Record::Rollback { txn }));
            }
            let Some(replay) = recovered.partitions.get_mut(&id) else { continue };
            let prepared = replay.open.get_mut(&txn).and_then(|open| open.prepared.take());
            let bulk = prepared.map(|prepared| prepared.bulk).unwrap_or_default();
            replay.end(txn, outcome, bulk, true).map_err(StoreError::internal)?;
        }
    }
    confirm_local(recovered);
    Ok(endings)
}

/// What is in this log has heard of every decision in it.
fn confirm_local(recovered: &mut Recovered) {
    let here: BTreeSet<PartitionId> = recovered.partitions.keys().copied().collect();
    for replay in recovered.partitions.values_mut() {
        replay.decisions.retain(|_, (outcome, unconfirmed)| {
            let had_any = !unconfirmed.is_empty();
            unconfirmed.retain(|participant| !here.contains(participant));
            // One that was on this leaf alone was never to be asked for.
            *outcome == Outcome::Abort || !had_any || !unconfirmed.is_empty()
        });
    }
}

impl Store {
    /// Opens the store in a folder, which is made if it is missing, and recovers what it holds.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        folder: &Path,
        options: Options,
    ) -> Result<Arc<Store>, StoreError> {
        let on_file = |error| StoreError::io(folder, error);
        for name in ["wal", "p"] {
            disk.create_dir_all(&folder.join(name)).map_err(on_file)?;
        }
        let lock = disk
            .lock(&folder.join("LOCK"))
            .map_err(on_file)?
            .ok_or_else(|| StoreError::InUse(format!("The data folder {}", folder.display())))?;
        let mut recovered = recover(disk.as_ref(), folder)?;
        let endings = end_open(&mut recovered)?;
        let Recovered { partitions: replays, next_file, ceiling, .. } = recovered;
        let wal = Wal::start(disk.clone(), &folder.join("wal"), options.wal_file_bytes, next_file, ceiling)?;
        let pool = BufferPool::new(options.memory.clone(), options.pool_bytes);
        let workers = options.workers;
        let leaf = Arc::new(Leaf::new(disk, clock, options, pool, wal, ceiling));
        let mut partitions = BTreeMap::new();
        for (id, replay) in replays {
            partitions.insert(id, Arc::new(build(&leaf, replay, ceiling)?));
        }
        let store = Arc::new(Store {
            leaf,
            folder: folder.to_path_buf(),
            partitions: RwLock::new(partitions),
            workers: Workers::default(),
            folder_lock: Mutex::new(Some(lock)),
        });
        let as_store: Weak<Store> = Arc::downgrade(&store);
        let observer: Weak<dyn Observer> = as_store;
        store.leaf.wal.observe(observer);
        let mut last = None;
        for (id, record) in endings {
            let partition = store.partition(id)?;
            let lsn = partition.latch()?.append(&store.leaf, &record, true)?;
            last = Some((partition, lsn));
        }
        if let Some((partition, lsn)) = last {
            partition.wait_durable(lsn)?;
        }
        store.workers.start(&store, workers)?;
        Ok(store)
    }

    /// Ends the threads, after what is queued was written, and lets go of the folder. Later writes fail;
    /// snapshots that were taken can still be read.
    pub fn shutdown(&self) {
        self.workers.stop();
        self.leaf.wal.close();
        for partition in self.all() {
            self.leaf.waits.give_up(partition.id, None);
        }
        *self.folder_lock.lock() = None;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shutdown();
    }
}
