//! Few rows by conditions that a key leads to, and queries over them.
//!
//! Every partition in which such rows may lie is asked at once, one message a leaf: the one that the shard
//! key says, if the conditions give it whole, else all of them. What the query makes of the rows runs here.

use super::{Bound, State};
use crate::admission::Class;
use crate::statement::Answer;
use crate::statement::change::{ROUNDS, rows_kept_changing};
use crate::statement::query::in_zone;
use crate::statement::write::partition_at;
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::UInt64Type;
use columnstore::{Compare, FewRead, FewRows, IfLocked, KeyRow, LockRequest, Predicate, ReadAt, RowLockMode};
use futures::StreamExt;
use futures::future::try_join_all;
use mysql_protocol::{Response, ResultSet};
use sql::point::{Comparison, Condition, FewSelect, Shape, Slice};
use sqlparser::ast::LockType;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ErrorKind, PartitionId, Result, SqlError, StatementNo, TableDef, Timestamp, Value, shard};

/// Rows that may be looked at in a partition.
const MOST: u32 = 1_024;
/// Combinations of values of the shard key that are looked up one by one.
const MOST_PLACES: usize = 64;

/// Rows that were found, and when.
struct Found {
    read_at: Timestamp,
    rows: Vec<(PartitionId, RecordBatch)>,
}

impl State {
    pub(super) async fn select_few(
        &mut self,
        bound: &Bound,
        select: &FewSelect,
        conditions: &[Condition],
        slice: Slice,
    ) -> Result<Option<Answer>> {
        let def = &bound.def;
        let batches = match (&select.shape, &bound.at_hand) {
            (Shape::Columns(shown), _) => {
                let mut distinct = shown.clone();
                distinct.sort_unstable();
                distinct.dedup();
                let found = match select.lock {
                    None => {
                        let _admitted = self.open_point_read().await?;
                        let found = self.few(def, conditions, &distinct, false, false).await?;
                        found.map(|found| cut(found.rows, slice))
                    }
                    Some(lock) => self.lock_few(def, conditions, &distinct, slice, lock).await?,
                };
                let Some(found) = found else { return Ok(None) };
                let places: Vec<usize> =
                    shown.iter().filter_map(|place| distinct.binary_search(place).ok()).collect();
                let shown = found.into_iter().map(|(_, rows)| rows.project(&places));
                shown.collect::<Result<Vec<_>, _>>().map_err(SqlError::internal)?
            }
            (Shape::Plan, Some(plan)) => {
                let _admitted = self.open_point_read().await?;
                let found = self.few(def, conditions, plan.columns(), false, false).await?;
                let Some(found) = found else { return Ok(None) };
                let rows = plan.run(found.rows.into_iter().map(|(_, rows)| rows).collect()).await?;
                cut(rows.into_iter().map(|rows| ((), rows)).collect(), slice)
                    .into_iter()
                    .map(|((), rows)| rows)
                    .collect()
            }
            (Shape::Plan, None) => return Err(SqlError::internal("a query without its plan")),
        };
        let zone = self.variables.zone();
        let batches = futures::stream::iter(batches).map(move |batch| in_zone(batch, zone)).boxed();
        Ok(Some(Answer::Response(Response::Rows(ResultSet { columns: bound.columns.clone(), batches }))))
    }

    /// The one row of which the conditions hold, with its reference after these columns. `None`: there are
    /// more, or too many were to be looked at.
    pub(super) async fn find_one(
        &mut self,
        def: &TableDef,
        conditions: &[Condition],
        columns: &[usize],
    ) -> Result<Option<(PartitionId, KeyRow)>> {
        let Some(mut found) = self.few(def, conditions, columns, true, true).await? else { return Ok(None) };
        let mut row = KeyRow { read_at: found.read_at, table_version: def.version, row: None };
        if found.rows.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>() > 1 {
            return Ok(None);
        }
        found.rows.retain(|(_, rows)| rows.num_rows() > 0);
        match found.rows.pop() {
            Some((partition, rows)) => {
                row.row = Some(rows);
                Ok(Some((partition, row)))
            }
            // Nobody asks where a row is that is not there.
            None => Ok(Some((PartitionId(0), row))),
        }
    }

    /// The rows of which the conditions hold, locked. The statement is begun and ended here; if it has to
    /// be planned, it begins anew.
    async fn lock_few(
        &mut self,
        def: &Arc<TableDef>,
        conditions: &[Condition],
        columns: &[usize],
        slice: Slice,
        lock: LockType,
    ) -> Result<Option<Vec<(PartitionId, RecordBatch)>>> {
        match lock {
            LockType::Update => self.start_statement()?,
            LockType::Share => self.start_locking_statement()?,
        }
        let mode = match lock {
            LockType::Update => RowLockMode::Exclusive,
            LockType::Share => RowLockMode::Shared,
        };
        let result = self.find_and_lock_few(def, conditions, columns, slice, mode).await;
        self.end_statement(result).await
    }

    async fn find_and_lock_few(
        &mut self,
        def: &Arc<TableDef>,
        conditions: &[Condition],
        columns: &[usize],
        slice: Slice,
        mode: RowLockMode,
    ) -> Result<Option<Vec<(PartitionId, RecordBatch)>>> {
        let _admitted = self.admit(Class::Light).await?;
        for _ in 0..ROUNDS {
            let Some(found) = self.few(def, conditions, columns, true, true).await? else { return Ok(None) };
            let request = LockRequest { read_at: found.read_at, mode, if_locked: IfLocked::Wait };
            let rows = cut(found.rows, slice);
            let mut changed = false;
            for (partition, rows) in by_partition(&rows)? {
                let refs = rows.columns().last().and_then(|refs| refs.as_primitive_opt::<UInt64Type>());
                let refs = refs.ok_or_else(|| SqlError::internal("rows were read without references"))?;
                let refs = refs.values().to_vec();
                let target = self.target(def, partition);
                let lock_wait = self.lock_wait();
                let leaf = self.leaf_of(partition)?;
                let txn = self.open_transaction()?;
                let ctx = txn.context(partition, def.version, lock_wait);
                txn.touch(partition);
                changed |= leaf.lock_rows(target, ctx, refs, request).await?.changed;
            }
            if !changed {
                return Ok(Some(rows));
            }
        }
        Err(rows_kept_changing())
    }

    /// Reads the rows of which the conditions hold, as the current statement sees them. `None`: they have
    /// to be found by a plan.
    async fn few(
        &mut self,
        def: &TableDef,
        conditions: &[Condition],
        columns: &[usize],
        row_ref: bool,
        writing: bool,
    ) -> Result<Option<Found>> {
        let partitions = self.partitions_of(def, conditions)?;
        let leaves = self.leaves_of(&partitions)?;
        let at = match self.snapshot_ts().await? {
            Some(ts) => ReadAt::Snapshot(ts),
            None if leaves.len() == 1 => ReadAt::Newest { not_before: self.floor },
            None => ReadAt::Snapshot(self.read_timestamp(&partitions).await?),
        };
        // A statement that writes does not see what it wrote itself.
        let txn = self.transaction.as_ref().map(|txn| {
            let last = txn.statement();
            (txn.id, if writing { StatementNo(last.0.saturating_sub(1)) } else { last })
        });
        let written = self.transaction.as_ref().map_or(Vec::new(), |txn| txn.written(writing));
        let predicates: Vec<Predicate> =
            conditions.iter().map(|condition| predicate(def, condition)).collect();
        let columns: Vec<_> = columns.iter().map(|place| def.columns[*place].id).collect();
        let catalog = self.catalog.version();
        let reads = leaves.iter().map(|(leaf, here)| {
            let read = FewRead {
                partitions: here.to_vec(),
                predicates: predicates.clone(),
                columns: columns.clone(),
                row_ref,
                at,
                txn,
                written: written.iter().filter(|(partition, _)| here.contains(partition)).copied().collect(),
                most: MOST,
            };
            leaf.few(catalog, def.id, read)
        });
        let found = match self.unless_cancelled(try_join_all(reads)).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::TableDefinitionChanged => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut all = Found { read_at: Timestamp::ZERO, rows: Vec::new() };
        for FewRows { read_at, table_version, rows } in found {
            let Some(rows) = rows.filter(|_| table_version == def.version) else { return Ok(None) };
            all.read_at = all.read_at.max(read_at);
            all.rows.extend(rows);
        }
        if let ReadAt::Newest { .. } = at {
            self.floor = self.floor.max(all.read_at);
        }
        Ok(Some(all))
    }

    /// The partitions in which rows may lie of which the conditions hold.
    fn partitions_of(&self, def: &TableDef, conditions: &[Condition]) -> Result<Vec<PartitionId>> {
        let all: Vec<PartitionId> =
            self.catalog.partitions_of(def).iter().map(|partition| partition.id).collect();
        let mut places: Vec<Vec<Value>> = vec![Vec::new()];
        for id in &def.shard_key {
            let column = def.position(*id);
            let equal = conditions.iter().find_map(|condition| condition.equal(column?));
            let Some(equal) = equal.filter(|equal| places.len() * equal.len() <= MOST_PLACES) else {
                return Ok(all);
            };
            let with =
                |place: &Vec<Value>, value: &Value| [place.as_slice(), std::slice::from_ref(value)].concat();
            places = places.iter().flat_map(|place| equal.iter().map(move |v| with(place, v))).collect();
        }
        if def.shard_key.is_empty() {
            return Ok(all);
        }
        let ordinal = |place: &Vec<Value>| shard::ordinal(shard::hash_values(place), all.len() as u32);
        let ordinals: BTreeSet<u32> = places.iter().map(ordinal).collect();
        ordinals.into_iter().map(|ordinal| partition_at(&all, ordinal)).collect()
    }
}

fn predicate(def: &TableDef, condition: &Condition) -> Predicate {
    let column = |place: &usize| def.columns[*place].id;
    match condition {
        Condition::Compare { place, op, value } => {
            let op = match op {
                Comparison::Eq => Compare::Eq,
                Comparison::NotEq => Compare::NotEq,
                Comparison::Less => Compare::Less,
                Comparison::LessEq => Compare::LessEq,
                Comparison::Greater => Compare::Greater,
                Comparison::GreaterEq => Compare::GreaterEq,
            };
            Predicate::Compare { column: column(place), op, value: value.clone() }
        }
        Condition::In { place, values } => Predicate::In { column: column(place), values: values.clone() },
        Condition::Null { place } => Predicate::IsNull(column(place)),
        Condition::NotNull { place } => Predicate::IsNotNull(column(place)),
    }
}

/// The rows that LIMIT shows.
fn cut<T>(rows: Vec<(T, RecordBatch)>, slice: Slice) -> Vec<(T, RecordBatch)> {
    let as_rows = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let (mut skip, mut fetch) = (as_rows(slice.skip), as_rows(slice.fetch));
    let mut shown = Vec::with_capacity(rows.len());
    for (of, rows) in rows {
        let from = skip.min(rows.num_rows());
        let count = fetch.min(rows.num_rows() - from);
        (skip, fetch) = (skip - from, fetch - count);
        if count > 0 {
            shown.push((of, rows.slice(from, count)));
        }
    }
    shown
}

/// The batches of each partition, which come one after the other, in one.
fn by_partition(rows: &[(PartitionId, RecordBatch)]) -> Result<Vec<(PartitionId, RecordBatch)>> {
    let same = rows.chunk_by(|(a, _), (b, _)| a == b);
    same.map(|same| {
        let (partition, first) = &same[0];
        let all = concat_batches(&first.schema(), same.iter().map(|(_, rows)| rows));
        Ok((*partition, all.map_err(SqlError::internal)?))
    })
    .collect()
}
