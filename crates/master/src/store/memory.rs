//! A store in memory that can be told to fail. Its clones share one content, which stays when the
//! replica that used it is gone: that is the crash and restart of a simulation.

use super::{Batch, LogStart, Position, RaftStore, StoreError};
use parking_lot::Mutex;
use prost_of_raft::Message;
use raft::eraftpb::{Entry, HardState, Snapshot, SnapshotMetadata};
use std::sync::Arc;
use types::NodeId;

/// Which write fails, from 0, and with it all later ones until [`MemoryStore::heal`].
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub at_write: u64,
    /// True: the failed write is there after the restart, as when a disk is slower to tell than to
    /// write.
    pub kept: bool,
}

#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    node: Option<NodeId>,
    hard_state: HardState,
    snapshot: Snapshot,
    log_start: Position,
    entries: Vec<Entry>,
    writes: u64,
    fault: Option<Fault>,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    pub fn inject(&self, fault: Fault) {
        let mut inner = self.inner.lock();
        inner.writes = 0;
        inner.fault = Some(fault);
    }

    pub fn heal(&self) {
        self.inner.lock().fault = None;
    }

    /// Writes since the last [`MemoryStore::inject`].
    pub fn writes(&self) -> u64 {
        self.inner.lock().writes
    }
}

impl Inner {
    fn last_index(&self) -> u64 {
        self.log_start.index + self.entries.len() as u64
    }

    /// The place in `entries` of the entry with this index.
    fn place(&self, index: u64) -> usize {
        index.saturating_sub(self.log_start.index + 1) as usize
    }

    fn carry_out(&mut self, batch: Batch) {
        self.node = batch.node.or(self.node);
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(snapshot) = batch.snapshot {
            self.snapshot = snapshot;
        }
        match batch.log_start {
            Some(LogStart::After(position)) => {
                let gone = self.place(position.index + 1).min(self.entries.len());
                self.entries.drain(..gone);
                self.log_start = position;
            }
            Some(LogStart::Anew(position)) => {
                self.entries.clear();
                self.log_start = position;
            }
            None => {}
        }
        if let Some(first) = batch.entries.first() {
            self.entries.truncate(self.place(first.index));
            self.entries.extend(batch.entries);
        }
    }
}

impl RaftStore for MemoryStore {
    fn node(&self) -> Option<NodeId> {
        self.inner.lock().node
    }

    fn hard_state(&self) -> HardState {
        self.inner.lock().hard_state.clone()
    }

    fn snapshot_metadata(&self) -> SnapshotMetadata {
        self.inner.lock().snapshot.get_metadata().clone()
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.inner.lock().snapshot.clone())
    }

    fn log_start(&self) -> Position {
        self.inner.lock().log_start
    }

    fn last_index(&self) -> u64 {
        self.inner.lock().last_index()
    }

    fn entries(&self, low: u64, high: u64, max_bytes: u64) -> Result<Vec<Entry>, StoreError> {
        let inner = self.inner.lock();
        let range = inner.place(low)..inner.place(high);
        let entries = inner
            .entries
            .get(range)
            .ok_or_else(|| StoreError::Damaged(format!("entries {low} to {high} are not all there")))?;
        let mut bytes = 0u64;
        let fits = entries.iter().take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.encoded_len() as u64;
            first || bytes <= max_bytes
        });
        Ok(fits.cloned().collect())
    }

    fn write(&mut self, batch: Batch) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        let number = inner.writes;
        inner.writes += 1;
        let failing = inner.fault.filter(|fault| number >= fault.at_write);
        if failing.is_none_or(|fault| fault.kept && number == fault.at_write) {
            inner.carry_out(batch);
        }
        match failing {
            None => Ok(()),
            Some(_) => Err(StoreError::Io("the disk failed, as it was told to".to_string())),
        }
    }
}
