//! Options of a store.

use env::MemoryBudget;
use std::sync::Arc;
use std::time::Duration;
use txn::ProcessClock;

#[derive(Clone)]
pub struct Options {
    /// From which tails, runs, loads, merges and the buffer pool take their memory.
    pub memory: Arc<MemoryBudget>,
    /// The greatest size of the buffer pool.
    pub pool_bytes: usize,
    /// Versions in a tail at which it is frozen.
    pub tail_rows: usize,
    /// Bytes of a tail at which it is frozen.
    pub tail_bytes: usize,
    /// Bytes of all tails and runs together above which the largest is flushed early.
    pub unflushed_bytes: usize,
    /// Size of a log file.
    pub wal_file_bytes: u64,
    /// Complete log files above which the partition that needs the oldest is flushed.
    pub wal_files: usize,
    /// How long a snapshot that nobody holds stays readable.
    pub snapshot_lag: Duration,
    /// How long a write waits for memory before it fails.
    pub memory_wait: Duration,
    /// The greatest number of rows of a segment.
    pub segment_rows: usize,
    /// A load of fewer rows goes through the tail.
    pub bulk_rows: usize,
    /// The clock of this process, which the leaves in it share.
    pub hlc: Arc<ProcessClock>,
    /// Threads for flush and merge; 0: only [`crate::Store::flush`] and [`crate::Store::optimize`] do it.
    pub workers: usize,
}

impl Options {
    pub fn new(memory: Arc<MemoryBudget>) -> Options {
        let limit = memory.limit();
        Options {
            memory,
            pool_bytes: limit / 2,
            tail_rows: 65_536,
            tail_bytes: 16 << 20,
            unflushed_bytes: limit / 8,
            wal_file_bytes: 16 << 20,
            wal_files: 64,
            snapshot_lag: Duration::from_secs(10),
            memory_wait: Duration::from_secs(10),
            segment_rows: 1 << 20,
            bulk_rows: 65_536,
            hlc: Arc::default(),
            workers: 1,
        }
    }
}
