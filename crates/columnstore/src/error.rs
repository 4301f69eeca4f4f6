//! What can go wrong in storage, and how a MySQL client hears of it.

use env::memory::OverBudget;
use std::io;
use std::path::{Path, PathBuf};
use types::{ErrorKind, PartitionId, SqlError, StatementNo, TableId, Timestamp};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with this key exists. `key` is the key's name, `value` its text, columns joined by '-'.
    #[error("Duplicate entry '{value}' for key '{table}.{key}'")]
    DuplicateKey { table: String, key: String, value: String },
    #[error("Lock wait timeout exceeded; try restarting transaction")]
    LockWaitTimeout,
    /// NOWAIT met a row that is locked.
    #[error("Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.")]
    CannotLockNow,
    #[error("Deadlock found when trying to get lock; try restarting transaction")]
    Deadlock,
    #[error("Query execution was interrupted")]
    Interrupted,
    #[error(
        "Snapshot too old: the read timestamp {read} is before {oldest}, the oldest kept; begin the transaction again"
    )]
    SnapshotTooOld { read: Timestamp, oldest: Timestamp },
    #[error("Table definition has changed, please retry transaction")]
    TableDefinitionChanged,
    #[error(
        "Table {0} does not exist in this partition; it may have just been dropped: run the statement again"
    )]
    UnknownTable(TableId),
    #[error("Partition {0} is not stored on this leaf; it may have just moved: run the statement again")]
    UnknownPartition(PartitionId),
    /// The partition has not seen the transaction's last statement, or has seen another one.
    #[error(
        "The transaction lost a statement on the way (partition holds {found}, the transaction says {expected}) and must be rolled back; begin it again"
    )]
    StatementMismatch { expected: StatementNo, found: StatementNo },
    /// A transaction reads where it has written, and what it wrote is not there any more: the leaf was restarted,
    /// or heard nothing of the transaction for too long.
    #[error(
        "The transaction was rolled back, since a part of it was lost (a leaf knows nothing of its statement {0}); begin it again"
    )]
    TransactionLost(StatementNo),
    /// A message of a transaction that has ended here.
    #[error("The transaction was rolled back before, or is over; begin it again")]
    TransactionOver,
    #[error("{0}")]
    OverBudget(OverBudget),
    #[error(
        "The disk that holds {} is full; writes are refused until space is freed, reads go on",
        .file.display()
    )]
    DiskFull { file: PathBuf },
    #[error(
        "{} is corrupt at byte {offset}: {what}; restore it from a replica or a backup",
        .file.display()
    )]
    Corrupt { file: PathBuf, offset: u64, what: String },
    #[error("{}: {source}", .file.display())]
    Io { file: PathBuf, source: io::Error },
    /// A log write failed after the statement was on its way: after a restart it may or may not be there.
    #[error(
        "The outcome of this transaction is unknown, because writing the log failed; look at the data before you run it again"
    )]
    OutcomeUnknown,
    /// The log refused to be synced before: this leaf takes no more writes until it restarts.
    #[error("The leaf's log could not be written to disk, so it takes no writes until it restarts")]
    Poisoned,
    /// Only calls that may not wait fail with it, see [`crate::waiting`].
    #[error("The call would have to wait")]
    WouldWait,
    #[error("{0} is in use; try again when what uses it has ended")]
    InUse(String),
    #[error("Pando doesn't yet support '{0}'")]
    Unsupported(String),
    /// A broken invariant of the caller or of this crate.
    #[error("Internal error of the storage: {0}")]
    Internal(String),
}

impl StoreError {
    /// An I/O error on `file`; a full disk becomes [`StoreError::DiskFull`].
    pub fn io(file: &Path, source: io::Error) -> StoreError {
        let file = file.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { file },
            _ => StoreError::Io { file, source },
        }
    }

    pub fn corrupt(file: &Path, offset: u64, what: impl Into<String>) -> StoreError {
        StoreError::Corrupt { file: file.to_path_buf(), offset, what: what.into() }
    }

    pub fn internal(what: impl std::fmt::Display) -> StoreError {
        StoreError::Internal(what.to_string())
    }
}

impl From<OverBudget> for StoreError {
    fn from(over: OverBudget) -> StoreError {
        StoreError::OverBudget(over)
    }
}

/// Arrow refuses only what breaks an invariant of ours.
impl From<arrow::error::ArrowError> for StoreError {
    fn from(error: arrow::error::ArrowError) -> StoreError {
        StoreError::Internal(error.to_string())
    }
}

impl From<StoreError> for SqlError {
    fn from(error: StoreError) -> SqlError {
        let kind = match &error {
            StoreError::DuplicateKey { .. } => ErrorKind::DuplicateKey,
            StoreError::LockWaitTimeout => ErrorKind::LockWaitTimeout,
            StoreError::CannotLockNow => ErrorKind::CannotLockNow,
            // Clients know this errno as the end of the transaction.
            StoreError::Deadlock | StoreError::TransactionLost(_) => ErrorKind::Deadlock,
            StoreError::Interrupted => ErrorKind::QueryInterrupted,
            StoreError::TableDefinitionChanged => ErrorKind::TableDefinitionChanged,
            StoreError::UnknownTable(_) => ErrorKind::NoSuchTable,
            StoreError::OverBudget(_) => ErrorKind::OutOfMemory,
            StoreError::DiskFull { .. } => ErrorKind::DiskFull,
            StoreError::Io { .. } => ErrorKind::FileError,
            StoreError::Unsupported(_) => ErrorKind::NotSupportedYet,
            StoreError::SnapshotTooOld { .. }
            | StoreError::UnknownPartition(_)
            | StoreError::StatementMismatch { .. }
            | StoreError::TransactionOver
            | StoreError::Corrupt { .. }
            | StoreError::OutcomeUnknown
            | StoreError::Poisoned
            | StoreError::WouldWait
            | StoreError::InUse(_)
            | StoreError::Internal(_) => ErrorKind::Unknown,
        };
        let again = matches!(
            error,
            StoreError::SnapshotTooOld { .. }
                | StoreError::UnknownTable(_)
                | StoreError::UnknownPartition(_)
                | StoreError::StatementMismatch { .. }
                | StoreError::TransactionOver
                | StoreError::InUse(_)
        );
        let mut sql = SqlError::new(kind, error.to_string());
        sql.retryable |= again;
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_see_mysql_numbers_and_sentences() {
        let duplicate =
            StoreError::DuplicateKey { table: "t".into(), key: "PRIMARY".into(), value: "1-a".into() };
        let sql = SqlError::from(duplicate);
        assert_eq!(sql.to_string(), "ERROR 1062 (23000): Duplicate entry '1-a' for key 't.PRIMARY'");
        assert!(!sql.retryable);
        assert!(SqlError::from(StoreError::Deadlock).retryable);
        assert!(
            SqlError::from(StoreError::StatementMismatch { expected: StatementNo(2), found: StatementNo(1) })
                .retryable
        );
        let lost = SqlError::from(StoreError::TransactionLost(StatementNo(2)));
        assert!(lost.retryable && lost.to_string().starts_with("ERROR 1213 (40001): "), "{lost}");
        let full = StoreError::io(Path::new("/x"), io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(SqlError::from(full).kind, ErrorKind::DiskFull);
    }
}
