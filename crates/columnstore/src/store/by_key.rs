//! Rows by keys, without waiting: for callers that may not block.
//!
//! Most such reads find their rows in memory and all that they must see shown already. Those are answered
//! here and now; of any other the caller is told so, and reads through a snapshot where it may wait.

use super::Store;
use crate::StoreError;
use crate::access::{FewRead, FewRows, KeyRead, KeyRow, ReadAt, ReadView, written_at};
use crate::batch_size::batch_bytes;
use crate::partition::Partition;
use crate::partition::core::Txn;
use crate::scan::ScanSpec;
use crate::snapshot::{Few, Snapshot};
use std::sync::Arc;
use txn::State;
use types::{PartitionId, StatementNo, TableId, Timestamp};

impl Store {
    /// Reads a row by its primary key. `None`: that has to wait for the latch, for the log, for what
    /// other leaves decide, or for the disk.
    pub fn try_get(
        &self,
        p: PartitionId,
        table: TableId,
        read: &KeyRead,
    ) -> Result<Option<KeyRow>, StoreError> {
        let found = self.get_in_memory(p, table, read)?;
        self.leaf.counters.calls_waited.add(u64::from(found.is_none()));
        Ok(found)
    }

    fn get_in_memory(
        &self,
        p: PartitionId,
        table: TableId,
        read: &KeyRead,
    ) -> Result<Option<KeyRow>, StoreError> {
        let partition = self.partition(p)?;
        let Some(read_at) = self.try_moment(std::slice::from_ref(&partition), read.at)? else {
            return Ok(None);
        };
        let view = ReadView { ts: read_at, txn: read.txn };
        let Some(snapshot) = self.try_snapshot(&partition, table, view, read.written)? else {
            return Ok(None);
        };
        let spec = ScanSpec { columns: read.columns.clone(), predicates: Vec::new(), row_refs: read.row_ref };
        let table_version = snapshot.def().version;
        Ok(snapshot.get_in_memory(&read.key, &spec)?.map(|row| KeyRow { read_at, table_version, row }))
    }

    /// Reads few rows, as [`Store::try_get`] does one.
    pub fn try_few(&self, table: TableId, read: &FewRead) -> Result<Option<FewRows>, StoreError> {
        let found = self.few_in_memory(table, read)?;
        self.leaf.counters.calls_waited.add(u64::from(found.is_none()));
        Ok(found)
    }

    fn few_in_memory(&self, table: TableId, read: &FewRead) -> Result<Option<FewRows>, StoreError> {
        let partitions = read.partitions.iter().map(|p| self.partition(*p)).collect::<Result<Vec<_>, _>>()?;
        let Some(read_at) = self.try_moment(&partitions, read.at)? else { return Ok(None) };
        let view = ReadView { ts: read_at, txn: read.txn };
        let mut snapshots = Vec::with_capacity(partitions.len());
        for (partition, id) in partitions.iter().zip(&read.partitions) {
            let written = written_at(&read.written, *id);
            let Some(snapshot) = self.try_snapshot(partition, table, view, written)? else {
                return Ok(None);
            };
            snapshots.push(snapshot);
        }
        few_of(snapshots, read_at, read, false)
    }

    /// The moment at which these partitions are to be read; `None`: that has to wait.
    fn try_moment(&self, partitions: &[Arc<Partition>], at: ReadAt) -> Result<Option<Timestamp>, StoreError> {
        let read_at = match at {
            ReadAt::Snapshot(ts) => ts,
            ReadAt::Newest { not_before } => {
                let mut newest = Timestamp::ZERO;
                for partition in partitions {
                    let Some(core) = partition.try_latch()? else { return Ok(None) };
                    newest = newest.max(core.timeline.applied());
                }
                self.leaf.watermark.lock().issue(newest, self.leaf.boot_millis());
                newest.max(not_before)
            }
        };
        Ok(self.leaf.is_covered(read_at).then_some(read_at))
    }

    /// Pins a table as a view sees it; `None`: that has to wait.
    fn try_snapshot(
        &self,
        partition: &Partition,
        table: TableId,
        view: ReadView,
        written: StatementNo,
    ) -> Result<Option<Snapshot>, StoreError> {
        let Some(mut core) = partition.try_latch()? else { return Ok(None) };
        let is_prepared = |txn: &Txn| matches!(txn.participant.state(), State::Prepared { .. });
        if core.txns.values().any(is_prepared)
            || core.timeline.merge(view.ts, self.leaf.now_millis()).is_err()
            || !core.timeline.shown_up_to(view.ts)
        {
            return Ok(None);
        }
        self.pinned(&core, table, view, written).map(Some)
    }

    /// Reads few rows wherever they are: may wait. The caller has taken `view` as for [`Store::get`].
    pub fn few(&self, table: TableId, view: ReadView, read: &FewRead) -> Result<FewRows, StoreError> {
        let snapshot =
            |p: &PartitionId| self.snapshot_with_own(*p, table, view, written_at(&read.written, *p));
        let snapshots = read.partitions.iter().map(snapshot).collect::<Result<Vec<_>, _>>()?;
        few_of(snapshots, view.ts, read, true)?
            .ok_or_else(|| StoreError::internal("a read that may wait found rows that were not in memory"))
    }

    /// As [`Store::try_get`] wherever the row is: may wait. The caller has taken `view` from [`Store::read_timestamp`]
    /// or a snapshot, and has asked after what is prepared below it.
    pub fn get(
        &self,
        p: PartitionId,
        table: TableId,
        view: ReadView,
        read: &KeyRead,
    ) -> Result<KeyRow, StoreError> {
        let snapshot = self.snapshot_with_own(p, table, view, read.written)?;
        let spec = ScanSpec { columns: read.columns.clone(), predicates: Vec::new(), row_refs: read.row_ref };
        let row = snapshot.get(&read.key, &spec)?;
        Ok(KeyRow { read_at: view.ts, table_version: snapshot.def().version, row })
    }
}

/// Rows of more bytes are many, however few they are: they are held, and sent in one message.
const MOST_BYTES: usize = 1 << 20;

fn few_of(
    snapshots: Vec<Snapshot>,
    read_at: Timestamp,
    read: &FewRead,
    wait: bool,
) -> Result<Option<FewRows>, StoreError> {
    let spec = ScanSpec {
        columns: read.columns.clone(),
        predicates: read.predicates.clone(),
        row_refs: read.row_ref,
    };
    let most = read.most as usize;
    let table_version = snapshots.first().map_or(0, |snapshot| snapshot.def().version);
    let mut found = FewRows { read_at, table_version, rows: None };
    // A schema change is just being carried out.
    if snapshots.iter().any(|snapshot| snapshot.def().version != table_version) {
        return Ok(Some(found));
    }
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (partition, snapshot) in read.partitions.iter().zip(&snapshots) {
        match snapshot.few(&spec, most, wait)? {
            Few::Rows(batches) => {
                bytes += batches.iter().map(batch_bytes).sum::<usize>();
                if bytes > MOST_BYTES {
                    return Ok(Some(found));
                }
                rows.extend(batches.into_iter().map(|batch| (*partition, batch)));
            }
            Few::Many => return Ok(Some(found)),
            Few::NotInMemory => return Ok(None),
        }
    }
    found.rows = Some(rows);
    Ok(Some(found))
}
