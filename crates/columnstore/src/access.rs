//! What callers say of themselves when they read and write, and what they are told.

use crate::predicate::Predicate;
use arrow::record_batch::RecordBatch;
use std::time::Duration;
use types::{ColumnId, PartitionId, StatementNo, Timestamp, TxnId, Value};

/// At what a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadView {
    /// Everything committed at or before this timestamp is seen, nothing later.
    pub ts: Timestamp,
    /// What this transaction wrote in statements up to this number is seen too.
    pub txn: Option<(TxnId, StatementNo)>,
}

/// The last statement that wrote or locked at a partition, of those that are named; 0: none did.
pub fn written_at(written: &[(PartitionId, StatementNo)], partition: PartitionId) -> StatementNo {
    let found = written.iter().find(|(written, _)| *written == partition);
    found.map_or(StatementNo(0), |(_, statement)| *statement)
}

/// At which moment a row is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAt {
    /// The newest that its partition has shown, and not before what the session has seen.
    Newest {
        not_before: Timestamp,
    },
    Snapshot(Timestamp),
}

/// One row by its whole primary key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRead {
    /// In the order of the key, each as its column has it.
    pub key: Vec<Value>,
    /// No column twice.
    pub columns: Vec<ColumnId>,
    /// Adds the row's reference, as a scan does.
    pub row_ref: bool,
    pub at: ReadAt,
    /// What this transaction wrote in statements up to this number is seen too.
    pub txn: Option<(TxnId, StatementNo)>,
    /// The last statement of the transaction that wrote or locked at that partition, which must know it; 0: none.
    pub written: StatementNo,
}

/// What a read by key found.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// The moment that was read.
    pub read_at: Timestamp,
    /// The version of the table's definition that was read with.
    pub table_version: u64,
    pub row: Option<RecordBatch>,
}

/// The rows of a table in some partitions of a leaf that pass predicates, if keys lead to all of them and
/// they are few.
#[derive(Debug, Clone)]
pub struct FewRead {
    pub partitions: Vec<PartitionId>,
    /// All must be TRUE.
    pub predicates: Vec<Predicate>,
    /// No column twice.
    pub columns: Vec<ColumnId>,
    /// Adds the rows' references, as a scan does.
    pub row_ref: bool,
    /// One moment for all partitions.
    pub at: ReadAt,
    /// What this transaction wrote in statements up to this number is seen too.
    pub txn: Option<(TxnId, StatementNo)>,
    /// The partitions among these at which the transaction wrote or locked, each with the last statement that did,
    /// which the partition must know.
    pub written: Vec<(PartitionId, StatementNo)>,
    /// How many rows of a partition may be looked at.
    pub most: u32,
}

/// What a read of few rows found.
#[derive(Debug, Clone, PartialEq)]
pub struct FewRows {
    /// The moment that was read.
    pub read_at: Timestamp,
    /// The version of the table's definition that was read with.
    pub table_version: u64,
    /// None: in one of the partitions no key leads to few rows.
    pub rows: Option<Vec<(PartitionId, RecordBatch)>>,
}

/// Who writes, in which statement, and under which rules.
#[derive(Debug, Clone)]
pub struct WriteContext {
    pub txn: TxnId,
    /// The statement that is running, or the part of it that is. It may make several calls.
    pub statement: StatementNo,
    /// The number that the running statement began with: `statement`, unless it is written in parts.
    pub begun: StatementNo,
    /// The last statement of this transaction that wrote or locked at that partition; 0: none.
    pub previous: StatementNo,
    /// The version of the table's definition that the statement was planned with.
    pub table_version: u64,
    /// REPEATABLE READ: rows with a newer version than this may not be changed (1213).
    pub snapshot: Option<Timestamp>,
    /// How long to wait for one lock.
    pub lock_wait: Duration,
}

/// What to do with a row whose primary key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// The statement fails.
    Error,
    /// The row is left out and counted.
    Ignore,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertOutcome {
    pub inserted: u64,
    pub ignored: u64,
    /// Why the first of those that are ignored were, at most [`InsertOutcome::MOST_REASONS`] of them.
    pub reasons: Vec<String>,
}

impl InsertOutcome {
    pub const MOST_REASONS: usize = 1_024;
}

/// A row that was not inserted, since a row with one of its keys exists. That one is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The place of the new row in the batch.
    pub row: u32,
    /// Which of the table's unique keys: 0 is the primary key, n the n-th of `TableDef::keys`.
    pub key: u32,
    /// The reference of the row that exists.
    pub existing: u64,
}

/// What became of rows that are to be inserted or else to change what is there.
#[derive(Debug, Clone)]
pub struct InsertedOrLocked {
    pub inserted: u64,
    /// In the order of the new rows, and for one of them in the order of the keys.
    pub conflicts: Vec<Conflict>,
    /// For each conflict the row that exists, all columns.
    pub existing: RecordBatch,
    /// New rows that have a key in common with one before them: to be sent again once what became of
    /// that one is settled.
    pub again: Vec<u32>,
}

/// How a row is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLockMode {
    /// Others may lock it so too, and nobody may change it.
    Shared,
    Exclusive,
}

/// What to do about a row that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfLocked {
    /// Wait, as long as the context says.
    Wait,
    /// NOWAIT: the statement fails (3572).
    Fail,
    /// SKIP LOCKED: leave it out.
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRequest {
    /// When the rows were read.
    pub read_at: Timestamp,
    pub mode: RowLockMode,
    pub if_locked: IfLocked,
}

impl LockRequest {
    /// As every statement that changes rows locks them.
    pub fn to_change(read_at: Timestamp) -> LockRequest {
        LockRequest { read_at, mode: RowLockMode::Exclusive, if_locked: IfLocked::Wait }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockOutcome {
    /// Some row has changed, moved or gone since the reader saw it: read again at a new snapshot and
    /// lock what is found then. The locks that were taken stay. False: all rows that are not skipped
    /// are as the reader saw them.
    pub changed: bool,
    /// References of rows that others have locked.
    pub skipped: Vec<u64>,
}
