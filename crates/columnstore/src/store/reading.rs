//! Timestamps to read at, and snapshots.

use super::Store;
use crate::StoreError;
use crate::access::ReadView;
use crate::partition::core::Core;
use crate::partition::{Latch, Partition};
use crate::snapshot::{Snapshot, SnapshotHold};
use hashbrown::HashMap;
use roaring::RoaringBitmap;
use std::hash::{DefaultHasher, Hash, Hasher};
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

    /// A mark of a table's size and layout in a partition: it stays while they are about the same, so what
    /// was known of the table then is still good.
    pub fn table_mark(&self, p: PartitionId, table: TableId) -> Result<u64, StoreError> {
        let partition = self.partition(p)?;
        let core = partition.latch()?;
        let state = core.state(table)?;
        let rows = state.tail.len() as u64;
        // To an eighth.
        let about = if rows < 64 { rows } else { rows >> (rows.ilog2() - 3) << (rows.ilog2() - 3) };
        let mut hasher = DefaultHasher::new();
        (state.def.version, about, state.tail.source).hash(&mut hasher);
        state.runs.iter().for_each(|run| run.source.hash(&mut hasher));
        state.segments.iter().for_each(|segment| (segment.id(), segment.is_pending()).hash(&mut hasher));
        Ok(hasher.finish())
    }

    /// Keeps versions that a reader at `ts` sees until the hold is dropped.
    pub fn hold(&self, ts: Timestamp) -> SnapshotHold {
        self.leaf.watermark.lock().hold(ts);
        SnapshotHold { leaf: self.leaf.clone(), ts }
    }

    /// Pins a table as `view` sees it: raises the partition's clock to the view, waits until all that
    /// was appended up to it is shown, then takes the state.
    pub fn snapshot(&self, p: PartitionId, table: TableId, view: ReadView) -> Result<Snapshot, StoreError> {
        self.snapshot_with_own(p, table, view, StatementNo(0))
    }

    /// The same for a transaction that has written or locked here, in the statement `written` at last; fails if that
    /// was lost.
    pub fn snapshot_with_own(
        &self,
        p: PartitionId,
        table: TableId,
        view: ReadView,
        written: StatementNo,
    ) -> Result<Snapshot, StoreError> {
        let partition = self.partition(p)?;
        let core = self.raised(&partition, view.ts)?;
        self.pinned(&core, table, view, written)
    }

    /// A table as `view` sees it; all that was appended up to it is shown.
    pub(super) fn pinned(
        &self,
        core: &Core,
        table: TableId,
        view: ReadView,
        written: StatementNo,
    ) -> Result<Snapshot, StoreError> {
        core.check_written(view.txn, written)?;
        if view.ts < core.watermark {
            return Err(StoreError::SnapshotTooOld { read: view.ts, oldest: core.watermark });
        }
        let state = core.read_state(table, view.ts)?.clone();
        let own = match view.txn {
            Some((txn, statement)) => own_places(core, txn, statement, table),
            None => HashMap::new(),
        };
        Ok(Snapshot::new(state, view, own))
    }
}

impl Store {
    /// Raises a partition's clock to `ts` and waits until all that was appended up to it is shown.
    pub(crate) fn raised<'a>(
        &self,
        partition: &'a Partition,
        ts: Timestamp,
    ) -> Result<Latch<'a>, StoreError> {
        self.leaf.cover_read(ts)?;
        let mut core = partition.latch()?;
        core.timeline.merge(ts, self.leaf.now_millis()).map_err(|ahead| {
            StoreError::internal(format_args!(
                "the read timestamp {ts} is {} ms ahead of this leaf's clock",
                ahead.by_millis
            ))
        })?;
        partition.wait_shown(&mut core, ts)?;
        Ok(core)
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
