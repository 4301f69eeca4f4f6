//! The numbers of `/metrics`. Names are Prometheus': `_total` only grows, units are bytes and seconds.

use crate::http::{Metric, Value};
use crate::resident::resident_bytes;
use aggregator::Aggregator;
use columnstore::{SYNC_BOUNDS_MICROS, Store, StoreStatistics};
use env::MemoryBudget;
use exec::StageNode;
use std::time::Instant;

fn gauge(name: &'static str, help: &'static str, value: impl Number) -> Metric {
    Metric { name, help, value: Value::Gauge(value.number()) }
}

fn counter(name: &'static str, help: &'static str, value: impl Number) -> Metric {
    Metric { name, help, value: Value::Counter(value.number()) }
}

/// What a metric can be made of. Above 2^53 it is rounded, as in Prometheus.
trait Number {
    fn number(self) -> f64;
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for usize {
    fn number(self) -> f64 {
        self as f64
    }
}

/// Of every process.
pub fn process(memory: &MemoryBudget, started: Instant) -> Vec<Metric> {
    let mut metrics = vec![
        gauge("pando_memory_used_bytes", "Memory reserved from the budget.", memory.used()),
        gauge("pando_memory_limit_bytes", "The memory budget.", memory.limit()),
        gauge("pando_uptime_seconds", "Since the process started.", started.elapsed().as_secs_f64()),
    ];
    if let Some(bytes) = resident_bytes() {
        metrics.push(gauge("process_resident_memory_bytes", "Memory of the process in RAM.", bytes));
    }
    metrics
}

/// Sessions and statements.
pub fn aggregator(aggregator: &Aggregator) -> Vec<Metric> {
    let own = aggregator.metrics().into_iter();
    own.map(|(name, help, grows, value)| match grows {
        true => counter(name, help, value),
        false => gauge(name, help, value),
    })
    .collect()
}

/// What runs stages.
pub fn stages(stages: &StageNode) -> Vec<Metric> {
    vec![
        gauge("pando_queries_running", "Queries that run here, or have stages here.", stages.queries()),
        gauge("pando_query_memory_bytes", "Memory that queries hold.", stages.query_memory()),
        gauge(
            "pando_stage_cache_bytes",
            "Memory of stages that are kept for when they come again, about.",
            stages.kept_stages(),
        ),
        counter(
            "pando_exchange_spilled_bytes",
            "Bytes of rows that waited in files between stages.",
            stages.spilled_by_exchanges(),
        ),
    ]
}

/// How long it took to make the log durable.
fn sync_seconds(s: &StoreStatistics) -> Metric {
    let bounds = SYNC_BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
    let mut below = 0;
    let buckets = bounds.zip(&s.wal_sync_times).map(|(bound, count)| {
        below += count;
        (bound, below)
    });
    let value = Value::Histogram {
        buckets: buckets.collect(),
        count: s.wal_sync_times.iter().sum(),
        sum: s.wal_sync_time.as_secs_f64(),
    };
    Metric { name: "pando_wal_fsync_seconds", help: "Times to make the log durable.", value }
}

/// Storage.
pub fn store(store: &Store) -> Vec<Metric> {
    let s = store.statistics();
    vec![
        gauge("pando_partitions", "Partitions that are stored here.", s.partitions),
        gauge("pando_tables", "Tables, counted in each partition.", s.tables),
        gauge("pando_segments", "Column files.", s.segments),
        gauge("pando_segment_bytes", "Bytes of column files.", s.segment_bytes),
        gauge("pando_segment_rows", "Rows in column files, deleted ones included.", s.segment_rows),
        gauge("pando_frozen_runs", "Full parts of tails that wait to be flushed.", s.frozen_runs),
        gauge(
            "pando_tail_bytes",
            "Bytes of recent rows that are not in column files yet.",
            s.unflushed_bytes,
        ),
        gauge("pando_tail_rows", "Recent rows, older versions and deleted ones included.", s.unflushed_rows),
        gauge("pando_compaction_lag_bytes", "Bytes that are due to be flushed or merged.", s.lag_bytes),
        gauge(
            "pando_compaction_lag_seconds",
            "For how long there have been bytes that are due to be flushed or merged.",
            s.lag.as_secs_f64(),
        ),
        gauge(
            "pando_open_transactions",
            "Transactions that wrote or locked here, by partition.",
            s.open_transactions,
        ),
        counter("pando_commits_total", "Commits.", s.commits),
        counter("pando_rollbacks_total", "Rollbacks.", s.rollbacks),
        counter("pando_rows_inserted_total", "Rows inserted.", s.rows_inserted),
        counter("pando_rows_updated_total", "Rows updated.", s.rows_updated),
        counter("pando_rows_deleted_total", "Rows deleted.", s.rows_deleted),
        counter("pando_rows_moved_total", "Rows copied to the tail to be locked or changed.", s.rows_moved),
        counter("pando_rows_loaded_total", "Rows of bulk loads.", s.rows_loaded),
        counter("pando_lock_waits_total", "Waits for row locks.", s.lock_waits),
        gauge("pando_lock_waiting", "Waits for row locks that go on.", s.lock_waiting),
        counter("pando_lock_timeouts_total", "Waits for row locks that were given up.", s.lock_timeouts),
        counter("pando_deadlocks_total", "Deadlocks.", s.deadlocks),
        counter("pando_freezes_total", "Tails that became full.", s.freezes),
        counter("pando_flushes_total", "Flushes of tails to column files.", s.flushes),
        counter("pando_merges_total", "Merges of column files.", s.merges),
        counter("pando_merged_rows_total", "Rows written by merges.", s.merged_rows),
        counter("pando_checkpoints_total", "Checkpoints of partitions.", s.checkpoints),
        counter("pando_memory_waits_total", "Writes that found no memory at once.", s.memory_waits),
        counter(
            "pando_calls_waited_total",
            "Reads and writes of few rows that were tried on a thread of the network and had to wait.",
            s.calls_waited,
        ),
        counter("pando_wal_records_total", "Records of the log.", s.wal_records),
        counter("pando_wal_bytes_total", "Bytes of the log.", s.wal_bytes),
        counter("pando_wal_batches_total", "Writes to the log, each of many records.", s.wal_batches),
        counter("pando_wal_fsyncs_total", "Times that the log was made durable.", s.wal_syncs),
        counter("pando_wal_fsync_seconds_total", "Time that this took.", s.wal_sync_time.as_secs_f64()),
        sync_seconds(&s),
        gauge("pando_wal_files", "Complete log files that are kept.", s.wal_files),
        counter("pando_pool_hits_total", "Blocks found in memory.", s.pool.hits),
        counter("pando_pool_misses_total", "Blocks read from disk.", s.pool.misses),
        counter("pando_pool_evictions_total", "Blocks dropped for others.", s.pool.evictions),
        gauge("pando_pool_blocks", "Blocks in memory.", s.pool.blocks),
        gauge("pando_pool_bytes", "Bytes of blocks in memory.", s.pool.bytes),
        gauge("pando_pool_limit_bytes", "The most bytes of blocks in memory.", s.pool.capacity),
        counter(
            "pando_disk_write_bytes_total",
            "Bytes written to disk by the process.",
            disk_written().unwrap_or(0),
        ),
    ]
}

/// Bytes that the kernel was asked to write to disks for this process.
fn disk_written() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.trim().parse().ok()
}
