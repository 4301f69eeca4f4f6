//! The store as raft-rs wants to read it.

use crate::store::{RaftStore, StoreError};
use raft::eraftpb::{Entry, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

pub(crate) struct Log {
    pub(crate) store: Box<dyn RaftStore>,
}

fn unreadable(error: StoreError) -> Error {
    Error::Store(StorageError::Other(Box::new(error)))
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        let mut metadata = self.store.snapshot_metadata();
        Ok(RaftState::new(self.store.hard_state(), metadata.take_conf_state()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.store.log_start().index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.store.last_index() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        self.store.entries(low, high, max_size.into().unwrap_or(u64::MAX)).map_err(unreadable)
    }

    fn term(&self, index: u64) -> Result<u64> {
        let start = self.store.log_start();
        if index == start.index {
            return Ok(start.term);
        }
        if index < start.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        if index > self.store.last_index() {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let entries = self.store.entries(index, index + 1, u64::MAX).map_err(unreadable)?;
        entries.first().map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.store.log_start().index + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.store.last_index())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> Result<Snapshot> {
        let snapshot = self.store.snapshot().map_err(unreadable)?;
        if snapshot.is_empty() || snapshot.get_metadata().index < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(snapshot)
    }
}
