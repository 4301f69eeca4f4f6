//! One row by its key, without waiting: for callers that may not block.
//!
//! Most such reads find their row in memory and all that they must see shown already. Those are answered
//! here and now; of any other the caller is told so, and reads through a snapshot where it may wait.

use super::Store;
use crate::StoreError;
use crate::access::{KeyRead, KeyRow, ReadAt, ReadView};
use crate::scan::ScanSpec;
use txn::State;
use types::{PartitionId, TableId};

impl Store {
    /// Reads a row by its primary key. `None`: that has to wait for the latch, for the log, for what
    /// other leaves decide, or for the disk.
    pub fn try_get(
        &self,
        p: PartitionId,
        table: TableId,
        read: &KeyRead,
    ) -> Result<Option<KeyRow>, StoreError> {
        let partition = self.partition(p)?;
        let read_at = match read.at {
            ReadAt::Snapshot(ts) => ts,
            ReadAt::Newest { not_before } => {
                let Some(core) = partition.try_latch()? else { return Ok(None) };
                let newest = core.timeline.applied();
                drop(core);
                self.leaf.watermark.lock().issue(newest, self.leaf.boot_millis());
                newest.max(not_before)
            }
        };
        if !self.leaf.is_covered(read_at) {
            return Ok(None);
        }
        let Some(mut core) = partition.try_latch()? else { return Ok(None) };
        let is_prepared =
            |txn: &crate::partition::core::Txn| matches!(txn.participant.state(), State::Prepared { .. });
        if core.txns.values().any(is_prepared)
            || core.timeline.merge(read_at, self.leaf.now_millis()).is_err()
            || !core.timeline.shown_up_to(read_at)
        {
            return Ok(None);
        }
        let view = ReadView { ts: read_at, txn: read.txn };
        let snapshot = self.pinned(&core, table, view)?;
        drop(core);
        let spec = ScanSpec { columns: read.columns.clone(), predicates: Vec::new(), row_refs: read.row_ref };
        let table_version = snapshot.def().version;
        Ok(snapshot.get_in_memory(&read.key, &spec)?.map(|row| KeyRow { read_at, table_version, row }))
    }

    /// The same wherever the row is: may wait. The caller has taken `view` from [`Store::read_timestamp`]
    /// or a snapshot, and has asked after what is prepared below it.
    pub fn get(
        &self,
        p: PartitionId,
        table: TableId,
        view: ReadView,
        read: &KeyRead,
    ) -> Result<KeyRow, StoreError> {
        let snapshot = self.snapshot(p, table, view)?;
        let spec = ScanSpec { columns: read.columns.clone(), predicates: Vec::new(), row_refs: read.row_ref };
        let row = snapshot.get(&read.key, &spec)?;
        Ok(KeyRow { read_at: view.ts, table_version: snapshot.def().version, row })
    }
}
