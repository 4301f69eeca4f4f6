//! What a Raft replica keeps: who it is, Raft's hard state, the newest snapshot, and the log after
//! `log_start`. A snapshot may be newer than `log_start`; the log reaches at least to it.

mod memory;
mod rocks;

pub use memory::{Fault, MemoryStore};
pub use rocks::RocksStore;

use raft::eraftpb::{Entry, EntryType, HardState, Snapshot, SnapshotMetadata};
use types::NodeId;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Io(String),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it is of format {found}, and this version of Pando knows only format {known}")]
    UnknownFormat { found: u32, known: u32 },
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    pub index: u64,
    pub term: u64,
}

/// A change of the store; all of it or nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Whose store this is; written once.
    pub node: Option<NodeId>,
    pub hard_state: Option<HardState>,
    /// Takes the place of the older snapshot.
    pub snapshot: Option<Snapshot>,
    pub log_start: Option<LogStart>,
    /// Follow the last entry, or replace what is there from the first one's index on.
    pub entries: Vec<Entry>,
}

/// The log begins after a new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStart {
    /// Entries up to it go, later ones stay.
    After(Position),
    /// All entries go: a received snapshot stands for them.
    Anew(Position),
}

/// Everything read is what the last successful [`RaftStore::write`] left. After a failed write
/// nobody knows what is stored: the replica stops and is opened again.
pub trait RaftStore: Send {
    /// `None`: the store is new.
    fn node(&self) -> Option<NodeId>;
    fn hard_state(&self) -> HardState;
    /// Of the newest snapshot; index 0 if there is none.
    fn snapshot_metadata(&self) -> SnapshotMetadata;
    fn snapshot(&self) -> Result<Snapshot, StoreError>;
    /// The last entry that is no longer there.
    fn log_start(&self) -> Position;
    /// `log_start`'s index if the log is empty.
    fn last_index(&self) -> u64;
    /// The entries from `low` up to but not including `high`, all of which are there. Stops before
    /// `max_bytes` are passed, but gives one entry at least.
    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, StoreError>;
    /// Atomic, and durable when it returns.
    fn write(&mut self, batch: Batch) -> Result<(), StoreError>;
}

/// Refuses what raft-rs would panic at.
pub(crate) fn check(store: &dyn RaftStore) -> Result<(), StoreError> {
    let (start, last) = (store.log_start(), store.last_index());
    let commit = store.hard_state().commit;
    let snapshot = store.snapshot_metadata().index;
    if start.index <= snapshot && snapshot <= commit && commit <= last {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "the log goes from {} to {last}, the snapshot is at {snapshot}, the commit index {commit}",
        start.index
    )))
}

/// raft-rs panics at an entry of a kind that it does not know.
pub(crate) fn check_entry(entry: &Entry) -> Result<(), StoreError> {
    match EntryType::from_i32(entry.entry_type) {
        Some(_) => Ok(()),
        None => Err(StoreError::Damaged(format!(
            "entry {} is of the unknown kind {}",
            entry.index, entry.entry_type
        ))),
    }
}
