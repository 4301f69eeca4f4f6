//! Timestamps to read at, and snapshots.

use super::Store;
use crate::StoreError;
use crate::access::ReadView;
use crate::partition::core::Core;
use crate::snapshot::{Snapshot, SnapshotHold};
use hashbrown::HashMap;
use roaring::RoaringBitmap;
use types::{PartitionId, StatementNo, TableId, Timestamp, TxnId};

impl Store {
    /// The greatest timestamp at which one of the partitions has shown everything. A statement that
    /// reads them all at this timestamp sees whatever was acknowledged before it began. Without
    /// partitions: the greatest of all.
    pub fn read_timestamp(&self, partitions: &[PartitionId]) -> Result<Timestamp, StoreError> {
        let mut newest = Timestamp::ZERO;
        if partitions.is_empty() {
            for partition in self.all() {
                newest = newest.max(partition.latch_any().timeline.applied());
            }
        }
        for id in partitions {
            newest = newest.max(self.partition(*id)?.latch()?.timeline.applied());
        }
        self.leaf.watermark.lock().issue(newest, self.leaf.boot_millis());
        Ok(newest)
    }

    /// Keeps versions that a reader at `ts` sees until the hold is dropped.
    pub fn hold(&self, ts: Timestamp) -> SnapshotHold {
        self.leaf.watermark.lock().hold(ts);
        SnapshotHold { leaf: self.leaf.clone(), ts }
    }

    /// Pins a table as `view` sees it: raises the partition's clock to the view, waits until all that
    /// was appended up to it is shown, then takes the state.
    pub fn snapshot(&self, p: PartitionId, table: TableId, view: ReadView) -> Result<Snapshot, StoreError> {
        let partition = self.partition(p)?;
        self.leaf.cover_read(view.ts)?;
        let mut core = partition.latch()?;
        core.timeline.merge(view.ts, self.leaf.now_millis()).map_err(|ahead| {
            StoreError::internal(format_args!(
                "the read timestamp {} is {} ms ahead of this leaf's clock",
                view.ts, ahead.by_millis
            ))
        })?;
        partition.wait_shown(&mut core, view.ts)?;
        if view.ts < core.watermark {
            return Err(StoreError::SnapshotTooOld { read: view.ts, oldest: core.watermark });
        }
        let state = core.state(table)?.clone();
        let own = match view.txn {
            Some((txn, statement)) => own_places(&core, txn, statement, table),
            None => HashMap::new(),
        };
        Ok(Snapshot::new(state, view, own))
    }
}

/// The places that a transaction's own writes, up to a statement, were moved from: whatever the
/// snapshot, it sees those rows in the tail.
fn own_places(core: &Core, id: TxnId, statement: StatementNo, table: TableId) -> HashMap<u32, RoaringBitmap> {
    let mut places: HashMap<u32, RoaringBitmap> = HashMap::new();
    let Some(txn) = core.txns.get(&id) else { return places };
    for (_, entry) in txn.touched.iter().filter(|(t, _)| *t == table) {
        let Some(origin) = entry.origin() else { continue };
        let written = entry
            .versions()
            .iter()
            .any(|version| version.intent_of() == Some(id) && version.statement <= statement);
        if written {
            places.entry(origin.source).or_default().insert(origin.row);
        }
    }
    places
}
