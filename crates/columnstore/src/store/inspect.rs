//! What the store holds and does at this moment, piece by piece, for people who look into it.
//!
//! Each partition is looked at under its latch, one after the other: what is said of one partition fits
//! together, what is said of two may be of two moments. Nothing is changed and nothing is waited for.

use super::Store;
use super::waits::WaitId;
use crate::StoreError;
use crate::layout::pick::Job;
use crate::partition::Partition;
use crate::partition::core::Core;
use crate::partition::locking::LockKey;
use crate::partition::state::{SegmentSource, TableState};
use crate::tail::run::FrozenRun;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use txn::Mode;
use types::{PartitionId, TableId, Timestamp, TxnId};

/// Locks that can be listed; that many are some ten megabytes.
const MOST_LOCKS: usize = 100_000;

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inspect {
    /// The parts that tables consist of.
    Pieces,
    /// Flushes and merges.
    Jobs,
    Memory,
    Locks,
    /// How far the log of each partition is durable.
    Positions,
}

/// The answer to each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inspection {
    Pieces(Vec<Piece>),
    Jobs(Vec<LayoutJob>),
    Memory(Vec<MemoryUse>),
    Locks(Vec<LockState>),
    /// The number of the last durable record of each partition.
    Positions(Vec<(PartitionId, u64)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PieceKind {
    /// The active tail.
    Tail,
    /// A frozen run, which waits to be flushed.
    Run,
    Segment,
}

/// Rows of a table in a partition that stand together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub partition: PartitionId,
    pub table: TableId,
    pub kind: PieceKind,
    /// Its number among those of the table in the partition.
    pub id: u32,
    /// Rows, deleted ones and, in memory, older versions included.
    pub rows: u64,
    /// Rows of a run or a segment that are deleted or stand in the tail by now.
    pub deleted: u64,
    /// In memory or on disk.
    pub bytes: u64,
    /// When the oldest and the newest row of a segment were committed.
    pub committed: Option<(Timestamp, Timestamp)>,
    /// It belongs to a load whose transaction is open.
    pub pending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayoutJobKind {
    Flush,
    Merge,
}

/// Background work on a table in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutJob {
    pub partition: PartitionId,
    pub table: TableId,
    pub kind: LayoutJobKind,
    /// How many runs or segments become one segment.
    pub inputs: u64,
    pub rows: u64,
    pub bytes: u64,
    /// For how long it has been running; None: it is due.
    pub running_millis: Option<u64>,
}

/// A part of the memory of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    pub name: String,
    pub bytes: u64,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockKind {
    Row,
    /// All rows of a table in a partition.
    Table,
    /// A value of a unique key.
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockMode {
    Intention,
    Shared,
    Exclusive,
}

/// A lock that a transaction holds or waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockState {
    pub partition: PartitionId,
    /// None: a row that its transaction has just begun to lock.
    pub table: Option<TableId>,
    pub kind: LockKind,
    /// Tells locks of one kind and partition apart.
    pub key: u64,
    pub mode: LockMode,
    pub txn: TxnId,
    /// Of one that waits.
    pub wait: Option<LockWait>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWait {
    pub millis: u64,
    /// Who must end first.
    pub blockers: Vec<TxnId>,
}

/// What a flush or merge is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobShape {
    kind: LayoutJobKind,
    inputs: u64,
    rows: u64,
    bytes: u64,
}

impl JobShape {
    pub(crate) fn of<'a>(
        runs: &[Arc<FrozenRun>],
        segments: impl IntoIterator<Item = &'a SegmentSource>,
    ) -> JobShape {
        let kind = if runs.is_empty() { LayoutJobKind::Merge } else { LayoutJobKind::Flush };
        let mut shape = JobShape { kind, inputs: 0, rows: 0, bytes: 0 };
        let of_runs = runs.iter().map(|run| (run.entries as u64, run.bytes as u64));
        let segments = segments.into_iter().map(|segment| segment.file.segment.meta());
        let of_segments = segments.map(|meta| (u64::from(meta.rows), meta.bytes));
        for (rows, bytes) in of_runs.chain(of_segments) {
            shape.inputs += 1;
            shape.rows += rows;
            shape.bytes += bytes;
        }
        shape
    }

    fn due(state: &TableState, job: &Job) -> JobShape {
        match job {
            Job::Flush { runs } => JobShape::of(&state.runs[..(*runs).min(state.runs.len())], []),
            Job::Merge { segments } => {
                JobShape::of(&[], state.segments.iter().filter(|segment| segments.contains(&segment.id())))
            }
        }
    }

    pub(crate) fn job(self, partition: PartitionId, table: TableId, millis: Option<u64>) -> LayoutJob {
        let JobShape { kind, inputs, rows, bytes } = self;
        LayoutJob { partition, table, kind, inputs, rows, bytes, running_millis: millis }
    }
}

impl Store {
    /// Looks. Error: there is more than can be told.
    pub fn inspect(&self, what: Inspect) -> Result<Inspection, StoreError> {
        Ok(match what {
            Inspect::Pieces => Inspection::Pieces(self.pieces()),
            Inspect::Jobs => Inspection::Jobs(self.jobs()),
            Inspect::Memory => Inspection::Memory(self.memory_uses()),
            Inspect::Locks => Inspection::Locks(self.lock_states()?),
            Inspect::Positions => Inspection::Positions(self.positions()),
        })
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut all = Vec::new();
        for partition in self.all() {
            let core = partition.latch_any();
            for (table, held) in &core.tables {
                pieces_of(partition.id, *table, &held.state, &mut all);
            }
        }
        all
    }

    fn jobs(&self) -> Vec<LayoutJob> {
        let mut all = Vec::new();
        for partition in self.all() {
            let running = partition.running_job();
            let busy = running.as_ref().map(|job| job.table);
            all.extend(running);
            let core = partition.latch_any();
            for (table, held) in &core.tables {
                if busy != Some(*table)
                    && let Some(job) = self.due_in(&held.state, core.watermark)
                {
                    all.push(JobShape::due(&held.state, &job).job(partition.id, *table, None));
                }
            }
        }
        all
    }

    fn memory_uses(&self) -> Vec<MemoryUse> {
        let budget = &self.leaf.options.memory;
        let pool = self.leaf.pool.statistics();
        let unflushed = self.leaf.unflushed.load(Ordering::Relaxed) as u64;
        let used = budget.used() as u64;
        let of = |name: &str, bytes: u64, limit: Option<u64>| MemoryUse { name: name.into(), bytes, limit };
        vec![
            of("total", used, Some(budget.limit() as u64)),
            of("buffer pool", pool.bytes, Some(pool.capacity)),
            of("unflushed rows", unflushed, Some(self.leaf.options.unflushed_bytes as u64)),
            // Queries and work in the background.
            of("other", used.saturating_sub(pool.bytes + unflushed), None),
        ]
    }

    fn positions(&self) -> Vec<(PartitionId, u64)> {
        let position = |partition: &Arc<Partition>| (partition.id, partition.latch_any().durable_lsn);
        self.all().iter().map(position).collect()
    }

    fn lock_states(&self) -> Result<Vec<LockState>, StoreError> {
        let mut all = Vec::new();
        for partition in self.all() {
            self.locks_of(&partition, &mut all)?;
        }
        Ok(all)
    }

    fn locks_of(&self, partition: &Partition, all: &mut Vec<LockState>) -> Result<(), StoreError> {
        let core = partition.latch_any();
        let tables = tables_of_rows(&core);
        for (key, txn, mode, ticket) in core.locks.entries() {
            if all.len() == MOST_LOCKS {
                let most = format!("showing more than {MOST_LOCKS} locks of one leaf");
                return Err(StoreError::Unsupported(most));
            }
            let (table, kind, key) = match *key {
                LockKey::Row(entry) => (tables.get(&entry).copied(), LockKind::Row, entry),
                LockKey::Table(table) => (Some(table), LockKind::Table, 0),
                LockKey::Value(table, hash) => (Some(table), LockKind::Value, hash),
            };
            let wait = ticket.map(|ticket| LockWait {
                millis: self
                    .leaf
                    .waits
                    .lasted(WaitId { partition: partition.id, ticket })
                    .map_or(0, |waited| waited.as_millis() as u64),
                blockers: core.locks.blockers(ticket),
            });
            let mode = match mode {
                Mode::Intention => LockMode::Intention,
                Mode::Shared => LockMode::Shared,
                Mode::Exclusive => LockMode::Exclusive,
            };
            all.push(LockState { partition: partition.id, table, kind, key, mode, txn, wait });
        }
        Ok(())
    }
}

/// The tables of the rows that transactions have locked or wait for.
fn tables_of_rows(core: &Core) -> HashMap<u64, TableId> {
    let touched = core.txns.values().flat_map(|txn| txn.touched.iter());
    let awaited = core.waiting.values().filter_map(|waiting| waiting.entry.as_ref());
    touched.chain(awaited).map(|(table, entry)| (entry.id, *table)).collect()
}

fn pieces_of(partition: PartitionId, table: TableId, state: &TableState, all: &mut Vec<Piece>) {
    let piece = |kind, id, rows, bytes| Piece {
        partition,
        table,
        kind,
        id,
        rows,
        deleted: 0,
        bytes,
        committed: None,
        pending: false,
    };
    let tail = &state.tail;
    all.push(piece(PieceKind::Tail, tail.source, tail.len() as u64, tail.bytes() as u64));
    for run in &state.runs {
        let (rows, bytes) = (run.entries as u64, run.bytes as u64);
        all.push(Piece { deleted: run.deletes.len(), ..piece(PieceKind::Run, run.source, rows, bytes) });
    }
    for segment in &state.segments {
        let meta = segment.file.segment.meta();
        all.push(Piece {
            deleted: segment.deletes.len(),
            committed: segment.logged_meta().map(|meta| (meta.min_ts, meta.max_ts)),
            pending: segment.is_pending(),
            ..piece(PieceKind::Segment, meta.id, u64::from(meta.rows), meta.bytes)
        });
    }
}
