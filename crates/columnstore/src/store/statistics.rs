//! Counters for monitoring.

use super::Store;
use crate::PoolStatistics;
use crate::layout::pick::Job;
use crate::partition::state::TableState;
use crate::wal::SYNC_BOUNDS_MICROS;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::Timestamp;

/// What the store has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    pub partitions: u64,
    pub tables: u64,
    pub segments: u64,
    pub segment_bytes: u64,
    pub segment_rows: u64,
    pub frozen_runs: u64,
    pub open_transactions: u64,
    /// Rows of tails and frozen runs, older versions and deleted ones included.
    pub unflushed_rows: u64,
    /// Bytes of tails and frozen runs.
    pub unflushed_bytes: u64,
    pub commits: u64,
    pub rollbacks: u64,
    pub rows_inserted: u64,
    pub rows_updated: u64,
    pub rows_deleted: u64,
    /// Rows copied to the tail to be locked or changed.
    pub rows_moved: u64,
    pub rows_loaded: u64,
    pub lock_waits: u64,
    /// Waits that are going on.
    pub lock_waiting: u64,
    pub lock_timeouts: u64,
    pub deadlocks: u64,
    pub freezes: u64,
    pub flushes: u64,
    pub merges: u64,
    pub merged_rows: u64,
    pub checkpoints: u64,
    /// Writes that found no memory at once.
    pub memory_waits: u64,
    /// Calls that were tried without waiting and had to wait.
    pub calls_waited: u64,
    pub wal_records: u64,
    pub wal_bytes: u64,
    pub wal_batches: u64,
    /// Each an fdatasync of the log for records that someone waited for.
    pub wal_syncs: u64,
    /// How long these took, all together.
    pub wal_sync_time: Duration,
    /// How many of them took how long, in classes up to [`crate::SYNC_BOUNDS_MICROS`] and one above.
    pub wal_sync_times: [u64; SYNC_BOUNDS_MICROS.len() + 1],
    /// Bytes of frozen runs and segments that are due to be flushed or merged.
    pub lag_bytes: u64,
    /// For how long some have been due.
    pub lag: Duration,
    /// Complete log files that are kept.
    pub wal_files: u64,
    pub pool: PoolStatistics,
}

impl Store {
    pub fn statistics(&self) -> StoreStatistics {
        let counters = &self.leaf.counters;
        let wal = self.leaf.wal.statistics();
        let mut all = StoreStatistics {
            unflushed_bytes: self.leaf.unflushed.load(Ordering::Relaxed) as u64,
            commits: counters.commits.get(),
            rollbacks: counters.rollbacks.get(),
            rows_inserted: counters.rows_inserted.get(),
            rows_updated: counters.rows_updated.get(),
            rows_deleted: counters.rows_deleted.get(),
            rows_moved: counters.rows_moved.get(),
            rows_loaded: counters.rows_loaded.get(),
            lock_waits: counters.lock_waits.get(),
            lock_waiting: self.leaf.waits.len() as u64,
            lock_timeouts: counters.lock_timeouts.get(),
            deadlocks: counters.deadlocks.get(),
            freezes: counters.freezes.get(),
            flushes: counters.flushes.get(),
            merges: counters.merges.get(),
            merged_rows: counters.merged_rows.get(),
            checkpoints: counters.checkpoints.get(),
            memory_waits: counters.memory_waits.get(),
            calls_waited: counters.calls_waited.get(),
            wal_records: wal.records,
            wal_bytes: wal.bytes,
            wal_batches: wal.batches,
            wal_syncs: wal.syncs,
            wal_sync_time: wal.sync_time,
            wal_sync_times: wal.sync_times,
            wal_files: self.leaf.wal.closed_files().0 as u64,
            pool: self.leaf.pool.statistics(),
            ..StoreStatistics::default()
        };
        for partition in self.all() {
            let core = partition.latch_any();
            all.partitions += 1;
            all.open_transactions += core.txns.len() as u64;
            for table in core.tables.values() {
                all.tables += 1;
                all.lag_bytes += self.due_bytes(&table.state, core.watermark);
                all.unflushed_rows += table.state.tail.len() as u64;
                all.unflushed_rows += table.state.runs.iter().map(|run| run.entries as u64).sum::<u64>();
                all.frozen_runs += table.state.runs.len() as u64;
                for segment in &table.state.segments {
                    let meta = segment.file.segment.meta();
                    all.segments += 1;
                    all.segment_bytes += meta.bytes;
                    all.segment_rows += u64::from(meta.rows);
                }
            }
        }
        all.lag = self.leaf.lagging(all.lag_bytes > 0);
        all
    }

    /// Bytes that the next job of a table reads, frozen runs that wait for a later one included.
    fn due_bytes(&self, state: &TableState, watermark: Timestamp) -> u64 {
        let runs: u64 = state.runs.iter().map(|run| run.bytes as u64).sum();
        let segments: u64 = match self.due_in(state, watermark) {
            Some(Job::Merge { segments }) => state
                .segments
                .iter()
                .filter(|segment| segments.contains(&segment.id()))
                .map(|segment| segment.file.segment.meta().bytes)
                .sum(),
            Some(Job::Flush { .. }) | None => 0,
        };
        runs + segments
    }
}
