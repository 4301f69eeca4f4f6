//! What an aggregator asks of a leaf besides running stages: timestamps, writes, the end of a
//! transaction. The leaf server implements it; between processes the same calls travel by gRPC.
//!
//! Every request names the catalog version that it was planned with. A leaf that is older catches up
//! before it answers, so an aggregator never has to ask twice after a schema change.

use crate::scan::{Snapshots, TableEstimate};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use columnstore::{InsertOutcome, LockOutcome, OnDuplicate, ReadView, WriteContext};
use std::sync::Arc;
use types::{PartitionId, Result, StatementNo, TableDef, TableId, Timestamp, TxnId};

/// The table in a partition that a write is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The catalog version that the statement was planned with.
    pub catalog: u64,
    pub partition: PartitionId,
    pub table: TableId,
}

#[async_trait]
pub trait LeafService: Send + Sync {
    /// Waits until this leaf has carried out the catalog up to `version`: tables made, dropped ones
    /// removed.
    async fn catch_up(&self, version: u64) -> Result<()>;

    /// The greatest `applied` of these partitions: a read at it sees all that was acknowledged.
    async fn read_timestamp(&self, catalog: u64, partitions: &[PartitionId]) -> Result<Timestamp>;

    /// Adds rows (all columns, in the order of the table) as intents.
    async fn insert(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome>;

    /// Locks rows that were read at `read_at`.
    async fn lock_rows(
        &self,
        target: Target,
        ctx: WriteContext,
        rows: Vec<u64>,
        read_at: Timestamp,
    ) -> Result<LockOutcome>;

    /// Replaces locked rows by `new`, row by row.
    async fn update(&self, target: Target, ctx: WriteContext, rows: Vec<u64>, new: RecordBatch)
    -> Result<()>;

    /// Deletes locked rows.
    async fn delete(&self, target: Target, ctx: WriteContext, rows: Vec<u64>) -> Result<()>;

    /// Starts a load of many rows into one partition.
    async fn bulk(&self, target: Target, ctx: WriteContext) -> Result<Box<dyn BulkWriter>>;

    /// Takes back what one statement wrote.
    async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()>;

    /// Commits a transaction; each partition comes with the number of the last statement that wrote
    /// or locked there. Returns its commit timestamp when it is durable and shown.
    async fn commit(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp>;

    async fn rollback(&self, txn: TxnId, partitions: &[PartitionId]);

    /// The tables of this leaf at a read view, for the stages of a query.
    fn snapshots(&self, catalog: u64, view: ReadView) -> Arc<dyn Snapshots>;

    /// What is known of a table's size and values in these partitions. Never waits.
    fn estimate(&self, def: &TableDef, partitions: &[PartitionId]) -> TableEstimate;

    /// Keeps every version that a snapshot at `ts` needs until the hold is dropped.
    fn hold(&self, ts: Timestamp) -> Box<dyn Send + Sync>;
}

/// A load under way. Dropping it without [`BulkWriter::finish`] takes back what it wrote.
#[async_trait]
pub trait BulkWriter: Send {
    /// Adds rows; waits while the leaf is behind.
    async fn append(&mut self, rows: RecordBatch) -> Result<()>;
    /// Ends the load and returns the number of rows. They become visible with the commit.
    async fn finish(self: Box<Self>) -> Result<u64>;
}
