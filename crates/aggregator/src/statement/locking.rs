//! SELECT .. FOR UPDATE and FOR SHARE.
//!
//! As in UPDATE, the query is run and the rows that it found are locked, until it finds what is locked.
//! The rows are then as the reader saw them, and go to the client from memory. With SKIP LOCKED the
//! rows are locked in the query's order, as far as LIMIT needs them, and those of others are left out.

use super::Answer;
use super::change::{ROUNDS, by_partition, rows_kept_changing, take};
use super::query::{BatchStream, column_meta, in_zone};
use super::running::partitions_read;
use crate::session::State;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use columnstore::{IfLocked, LockRequest, RowLockMode};
use futures::StreamExt;
use mysql_protocol::{Response, ResultSet};
use sql::query::{BoundLock, BoundQuery, RowLock, WhenLocked};
use std::collections::HashSet;
use types::{PartitionId, Result, SqlError, Timestamp};

/// Rows that SKIP LOCKED asks for at a time, at most.
const MOST_AT_ONCE: u64 = 1024;

fn request(lock: &BoundLock, read_at: Timestamp) -> LockRequest {
    LockRequest {
        read_at,
        mode: match lock.lock {
            RowLock::Share => RowLockMode::Shared,
            RowLock::Update => RowLockMode::Exclusive,
        },
        if_locked: match lock.when_locked {
            WhenLocked::Wait => IfLocked::Wait,
            WhenLocked::Fail => IfLocked::Fail,
            WhenLocked::Skip => IfLocked::Skip,
        },
    }
}

impl State {
    pub(super) async fn select_locking(&mut self, bound: BoundQuery, lock: BoundLock) -> Result<Answer> {
        match lock.lock {
            RowLock::Update => {
                lock.tables.iter().try_for_each(|table| self.may_write(table))?;
                self.start_statement()?;
            }
            RowLock::Share => self.start_locking_statement()?,
        }
        let columns = bound.columns.iter().map(column_meta).collect();
        let width = bound.columns.len();
        let result = self.locked_rows(bound, &lock, width).await;
        let batches = self.end_statement(result).await?;
        let zone = self.variables.zone();
        let batches: BatchStream =
            futures::stream::iter(batches).map(move |batch| in_zone(batch, zone)).boxed();
        Ok(Answer::Response(Response::Rows(ResultSet { columns, batches })))
    }

    async fn locked_rows(
        &mut self,
        bound: BoundQuery,
        lock: &BoundLock,
        width: usize,
    ) -> Result<Vec<RecordBatch>> {
        let mut partitions = partitions_read(&bound.plan)?;
        if let Some(apart) = &lock.apart {
            partitions.extend(partitions_read(apart)?);
        }
        partitions.sort_unstable();
        partitions.dedup();
        let shown: Vec<usize> = (0..width).collect();
        let mut plan = self.plan(bound.plan.clone()).await?;
        let _admitted = self.admit_plan(&plan).await?;
        for round in 0..ROUNDS {
            if round > 0 {
                plan = self.plan(bound.plan.clone()).await?;
            }
            let read_at = self.read_timestamp(&partitions).await?;
            let request = request(lock, read_at);
            let rows = match &lock.apart {
                Some(places) => {
                    let (found, _) = self.collect(&self.plan(places.clone()).await?, read_at).await?;
                    if request.if_locked == IfLocked::Skip {
                        return Err(SqlError::unsupported("SKIP LOCKED with GROUP BY or DISTINCT"));
                    }
                    if self.lock_places(lock, &found, 0, request).await?.is_none() {
                        None
                    } else {
                        let (rows, heard) = self.collect(&plan, read_at).await?;
                        self.note(heard);
                        Some(rows)
                    }
                }
                None => {
                    let (found, heard) = self.collect(&plan, read_at).await?;
                    let rows = if request.if_locked == IfLocked::Skip {
                        self.lock_free(lock, found, width, request).await?
                    } else {
                        self.lock_places(lock, &found, width, request).await?.map(|_| found)
                    };
                    if rows.is_some() {
                        self.note(heard);
                    }
                    rows
                }
            };
            if let Some(rows) = rows {
                let only_shown = |batch: RecordBatch| batch.project(&shown).map_err(SqlError::internal);
                return rows.into_iter().map(only_shown).collect();
            }
        }
        Err(rows_kept_changing())
    }

    /// Locks the rows of all tables, whose pairs of columns begin at `first`. None if one has changed;
    /// else for each table the rows that were skipped.
    async fn lock_places(
        &mut self,
        lock: &BoundLock,
        found: &[RecordBatch],
        first: usize,
        request: LockRequest,
    ) -> Result<Option<Vec<HashSet<(PartitionId, u64)>>>> {
        let mut any_changed = false;
        let mut all_skipped = Vec::with_capacity(lock.tables.len());
        for (at, def) in lock.tables.iter().enumerate() {
            let found = by_partition(found, first + 2 * at)?;
            let (changed, skipped) = self.lock_found(def, &found, request).await?;
            any_changed |= changed;
            all_skipped.push(skipped);
        }
        Ok((!any_changed).then_some(all_skipped))
    }

    /// SKIP LOCKED: the rows that could be locked, as far as LIMIT wants them. None if one has changed.
    async fn lock_free(
        &mut self,
        lock: &BoundLock,
        found: Vec<RecordBatch>,
        first: usize,
        request: LockRequest,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let (mut to_skip, mut wanted) = (lock.skip, lock.fetch.unwrap_or(u64::MAX));
        let mut kept = Vec::new();
        for batch in found {
            let mut from = 0;
            while from < batch.num_rows() && wanted > 0 {
                let most = to_skip.saturating_add(wanted).min(MOST_AT_ONCE);
                let count = usize::try_from(most).unwrap_or(usize::MAX).min(batch.num_rows() - from);
                let piece = batch.slice(from, count);
                from += count;
                let skipped = self.lock_places(lock, std::slice::from_ref(&piece), first, request).await?;
                let Some(skipped) = skipped else { return Ok(None) };
                let mut rows = Vec::new();
                for row in (0..count).filter(|row| !is_skipped(&piece, *row, first, &skipped)) {
                    if to_skip > 0 {
                        to_skip -= 1;
                    } else if wanted > 0 {
                        wanted -= 1;
                        rows.push(row as u32);
                    }
                }
                kept.push(take(&piece, rows)?);
            }
        }
        Ok(Some(kept))
    }
}

/// Whether a row of one of the tables was skipped.
fn is_skipped(
    batch: &RecordBatch,
    row: usize,
    first: usize,
    skipped: &[HashSet<(PartitionId, u64)>],
) -> bool {
    skipped.iter().enumerate().any(|(at, skipped)| {
        let partitions = batch.column(first + 2 * at).as_primitive::<UInt32Type>();
        let refs = batch.column(first + 2 * at + 1).as_primitive::<UInt64Type>();
        !partitions.is_null(row) && skipped.contains(&(PartitionId(partitions.value(row)), refs.value(row)))
    })
}
