//! What callers say of themselves when they read and write, and what they are told.

use std::time::Duration;
use types::{StatementNo, Timestamp, TxnId};

/// At what a scan looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadView {
    /// Everything committed at or before this timestamp is seen, nothing later.
    pub ts: Timestamp,
    /// What this transaction wrote in statements up to this number is seen too.
    pub txn: Option<(TxnId, StatementNo)>,
}

/// Who writes, in which statement, and under which rules.
#[derive(Debug, Clone)]
pub struct WriteContext {
    pub txn: TxnId,
    /// The statement that is running. It may make several calls.
    pub statement: StatementNo,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InsertOutcome {
    pub inserted: u64,
    pub ignored: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockOutcome {
    /// All rows are locked, and are as the reader saw them.
    Locked,
    /// Some row has changed, moved or gone since the reader saw it: read again at a new snapshot and
    /// lock what is found then. The locks that were taken stay.
    Changed,
}
