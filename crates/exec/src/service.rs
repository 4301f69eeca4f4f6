//! What an aggregator, or another leaf, asks of a leaf besides running stages: timestamps, writes, the
//! end of a transaction. The leaf server implements it; between processes the same calls travel by gRPC.
//!
//! Every request names the catalog version that it was planned with. A leaf that is older catches up
//! before it answers, so an aggregator never has to ask twice after a schema change.
//!
//! A transaction on several leaves commits in these steps:
//!
//! ```text
//!   aggregator     other leaves                 leaf of the coordinating partition
//!       |-- prepare -->|  (logged, synced)                   |
//!       |-- coordinate ------------------------------------->|  (decision logged, synced, shown)
//!       |-- decide --->|  (shown)                            |
//!     told             |<------------------------- settle ---|  (until durable everywhere)
//! ```
//!
//! A leaf that holds a prepared transaction whose aggregator is gone asks by `demand_end`; a reader
//! that meets one asks by `inquire`, which changes nothing.

use crate::scan::{Snapshots, TableEstimate};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use columnstore::{
    FewRead, FewRows, InsertOutcome, InsertedOrLocked, Inspect, Inspection, KeyRead, KeyRow, LockOutcome,
    LockRequest, Maintenance, OnDuplicate, ReadView, WriteContext,
};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use txn::{Answer, Outcome, Renewal, Settlement, WaitReport};
use types::{NodeId, PartitionId, Result, SqlError, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// The leaves of the cluster, by node.
pub trait Leaves: Send + Sync {
    /// The leaf of this node; an error if no such leaf is known. That it is known does not mean that it
    /// can be reached: a call says so.
    fn leaf(&self, node: NodeId) -> Result<Arc<dyn LeafService>>;
}

/// Leaves of this process.
#[derive(Default)]
pub struct LocalLeaves {
    leaves: RwLock<BTreeMap<NodeId, Arc<dyn LeafService>>>,
}

impl LocalLeaves {
    pub fn add(&self, node: NodeId, leaf: Arc<dyn LeafService>) {
        self.leaves.write().insert(node, leaf);
    }

    pub fn remove(&self, node: NodeId) {
        self.leaves.write().remove(&node);
    }
}

impl Leaves for LocalLeaves {
    fn leaf(&self, node: NodeId) -> Result<Arc<dyn LeafService>> {
        self.leaves
            .read()
            .get(&node)
            .cloned()
            .ok_or_else(|| SqlError::internal(format!("no leaf {node} runs in this process")))
    }
}

/// The table in a partition that a write or a read by key is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The catalog version that the statement was planned with.
    pub catalog: u64,
    pub partition: PartitionId,
    pub table: TableId,
}

/// What becomes of a row that was read by its key.
#[derive(Debug, Clone)]
pub enum RowChange {
    /// It is locked and stays.
    Keep,
    /// All of its columns.
    Update(RecordBatch),
    Delete,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct RowChanged {
    /// It has changed since it was read: nothing was done, but it may be locked. Read again.
    pub stale: bool,
    /// What came of the commit, if that was asked for and the row was as it was read.
    pub committed: Option<Result<Timestamp>>,
}

#[async_trait]
pub trait LeafService: Send + Sync {
    /// Waits until this leaf has carried out the catalog up to `version`: tables made, dropped ones
    /// removed.
    async fn catch_up(&self, version: u64) -> Result<()>;

    /// The greatest `applied` of these partitions: a read at it sees all that was acknowledged.
    async fn read_timestamp(&self, catalog: u64, partitions: &[PartitionId]) -> Result<Timestamp>;

    /// One row by its primary key.
    async fn get(&self, target: Target, read: KeyRead) -> Result<KeyRow>;

    /// Rows of a table in partitions of this leaf, if keys lead to all of them and they are few.
    async fn few(&self, catalog: u64, table: TableId, read: FewRead) -> Result<FewRows>;

    /// Adds rows (all columns, in the order of the table) as intents.
    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome>;

    /// Adds the rows whose keys are free, and locks the rows that have the keys of the others. No two
    /// of the rows have a key in common.
    async fn insert_or_lock(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
    ) -> Result<InsertedOrLocked>;

    /// Locks rows that were read.
    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        request: LockRequest,
    ) -> Result<LockOutcome>;

    /// Keeps all others from changing the table in this partition until the transaction ends. Readers do not
    /// notice. A later statement of the transaction that asks again is told whether it was so all the time.
    async fn lock_table(&self, target: Target, ctx: WriteContext) -> Result<()>;

    /// Replaces locked rows by `new`, row by row.
    async fn update(&self, target: Target, ctx: WriteContext, rows: Vec<u64>, new: RecordBatch)
    -> Result<()>;

    /// Deletes locked rows.
    async fn delete(&self, target: Target, ctx: WriteContext, rows: Vec<u64>) -> Result<()>;

    /// Inserts the rows that are all that a transaction writes, and commits it. A leaf of this process
    /// does both at once. The inner result is the commit's.
    async fn insert_and_commit(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<(InsertOutcome, Result<Timestamp>)> {
        let (txn, part) = (ctx.txn, (target.partition, ctx.statement));
        let outcome = self.insert(target, ctx, rows, on_duplicate).await?;
        Ok((outcome, self.commit(txn, &[part]).await))
    }

    /// Locks a row that was read at a timestamp and changes it, if it is as it was read; commits the
    /// transaction if this is all that it does. A leaf of this process does everything at once.
    async fn change_row(
        &self,
        target: Target,
        ctx: WriteContext,
        (row, read_at): (u64, Timestamp),
        change: RowChange,
        commit: bool,
    ) -> Result<RowChanged> {
        let (txn, part) = (ctx.txn, (target.partition, ctx.statement));
        let request = LockRequest::to_change(read_at);
        if self.lock_rows(target.clone(), ctx.clone(), vec![row], request).await?.changed {
            return Ok(RowChanged { stale: true, committed: None });
        }
        match change {
            RowChange::Keep => {}
            RowChange::Update(new) => self.update(target, ctx, vec![row], new).await?,
            RowChange::Delete => self.delete(target, ctx, vec![row]).await?,
        }
        let committed = if commit { Some(self.commit(txn, &[part]).await) } else { None };
        Ok(RowChanged { stale: false, committed })
    }

    /// Starts a load of many rows into one partition.
    async fn bulk(&self, target: Target, ctx: WriteContext) -> Result<Box<dyn BulkWriter>>;

    /// Takes back what a statement wrote, and what was written after it.
    async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()>;

    /// Commits a transaction; each partition comes with the number of the last statement that wrote
    /// or locked there. Returns its commit timestamp when it is durable and shown.
    async fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp>;

    /// Takes the transaction back at these partitions. One that is prepared is left to its
    /// coordinating partition.
    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]) -> Result<()>;

    /// Ends the waits for locks that a transaction is in, with error 1317. Waits that begin later are
    /// not ended, so a caller repeats it until its statement has ended.
    async fn interrupt(&self, txn: TxnId) -> Result<()>;

    /// Promises to commit these partitions of a transaction if `coordinator`, a partition of another
    /// leaf, decides so. Returns the greatest of their timestamps when the promise is durable.
    async fn prepare(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        coordinator: PartitionId,
    ) -> Result<Timestamp>;

    /// Commits a transaction of which the first of `parts` coordinates; `participants`, on other leaves,
    /// have prepared at timestamps up to `prepared`. Returns the commit timestamp when the decision is
    /// durable and shown here. The participants are still to be told.
    async fn coordinate(
        &self,
        txn: TxnId,
        parts: &[(PartitionId, StatementNo)],
        participants: &[PartitionId],
        prepared: Timestamp,
    ) -> Result<Timestamp>;

    /// Tells participants what was decided. Returns when they have shown it; it need not be durable.
    async fn decide(&self, txn: TxnId, partitions: &[PartitionId], outcome: Outcome) -> Result<()>;

    /// Tells participants what was decided, again or for the first time, and returns when it is durable
    /// at each of them.
    async fn settle(&self, settlements: &[Settlement]) -> Result<()>;

    /// What `coordinator` decided, as a reader at `at` sees it. Changes no outcome.
    async fn inquire(&self, coordinator: PartitionId, txn: TxnId, at: Timestamp) -> Result<Answer>;

    /// Has `coordinator` decide, if it has not: then ABORT, logged before this returns.
    async fn demand_end(&self, coordinator: PartitionId, txn: TxnId) -> Result<Outcome>;

    /// An aggregator is alive: what it has open, and what it reads at.
    async fn renew(&self, renewal: &Renewal) -> Result<()>;

    /// Waits for locks that last, for the detector of deadlocks. Returns the transactions that wait at
    /// the reporting leaf and are to give up.
    async fn report_waits(&self, report: &WaitReport) -> Result<Vec<TxnId>>;

    /// Pins these partitions at a read view, for the stages of a query that run on this leaf: their
    /// clocks are raised to it, what was appended up to it is shown, and transactions that are prepared
    /// below it are asked after. `written`: those at which the reading transaction wrote or locked, each
    /// with the last statement that did; one that does not know it fails.
    async fn snapshots(
        &self,
        catalog: u64,
        view: ReadView,
        partitions: &[PartitionId],
        written: &[(PartitionId, StatementNo)],
    ) -> Result<Arc<dyn Snapshots>>;

    /// Flushes, merges or checks a table in a partition, and returns when that is done. Gives what is
    /// wrong with it.
    async fn maintain(&self, target: Target, what: Maintenance) -> Result<Vec<String>>;

    /// What is known of a table's size and values in these partitions.
    async fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> Result<TableEstimate>;

    /// What the leaf holds or does at this moment, for people who look into it. Changes nothing.
    async fn inspect(&self, what: Inspect) -> Result<Inspection>;
}

/// A load under way. Dropping it without [`BulkWriter::finish`] takes back what it wrote.
#[async_trait]
pub trait BulkWriter: Send {
    /// Adds rows; waits while the leaf is behind.
    async fn append(&mut self, rows: RecordBatch) -> Result<()>;
    /// Ends the load and returns the number of rows. They become visible with the commit.
    async fn finish(self: Box<Self>) -> Result<u64>;
}
