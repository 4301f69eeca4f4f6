//! UPDATE and DELETE.
//!
//! The rows to change are found by a query that also yields where each lies. They are locked; if one
//! of them changed since the query's snapshot, the query runs again at a newer one, with the locks
//! kept, until what it found is what is locked. So WHERE holds for the newest committed version of
//! every row that is changed (PROTOCOL: lock, re-read, evaluate again).

use crate::route;
use crate::session::State;
use crate::statement::query::Parameters;
use crate::statement::write::partition_at;
use arrow::array::{AsArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use columnstore::{LockOutcome, OnDuplicate};
use datafusion::logical_expr::LogicalPlan;
use sql::statement::{Delete, Update};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{PartitionId, Result, SqlError, TableDef};

/// How often a statement starts again because rows changed under it. Each round keeps its locks, so
/// a statement gets here only if new rows keep matching; then a time-out is the honest answer.
const ROUNDS: usize = 100;

/// What an UPDATE or DELETE did.
pub(crate) struct Changed {
    pub(crate) matched: u64,
}

/// Locked rows of one partition: references, and the query's columns after the two hidden ones.
struct Found {
    refs: Vec<u64>,
    rows: Option<RecordBatch>,
}

impl State {
    pub(crate) async fn update(&mut self, update: &Update, parameters: Parameters<'_>) -> Result<Changed> {
        if update.ignore {
            return Err(SqlError::unsupported("UPDATE IGNORE"));
        }
        let def = self.table(&update.table)?;
        let plan = self
            .bind_with(|tables| {
                let context = self.bind_context(tables, &parameters);
                sql::query::bind_update_source(update, &context).map(|bound| bound.plan)
            })
            .await?;
        self.start_statement()?;
        let result = self.update_rows(&def, plan).await;
        self.end_statement(result).await
    }

    pub(crate) async fn delete(&mut self, delete: &Delete, parameters: Parameters<'_>) -> Result<Changed> {
        if delete.ignore {
            return Err(SqlError::unsupported("DELETE IGNORE"));
        }
        let def = self.table(&delete.table)?;
        let plan = self
            .bind_with(|tables| {
                sql::query::bind_delete_source(delete, &self.bind_context(tables, &parameters))
            })
            .await?;
        self.start_statement()?;
        let result = self.delete_rows(&def, plan).await;
        self.end_statement(result).await
    }

    async fn update_rows(&mut self, def: &Arc<TableDef>, plan: LogicalPlan) -> Result<Changed> {
        let found = self.find_and_lock(def, plan).await?;
        let partitions = self.partitions(def);
        let mut matched = 0;
        for (partition, Found { refs, rows }) in found {
            let Some(rows) = rows else { continue };
            matched += refs.len() as u64;
            let rows = self.convert_rows(def, &rows)?;
            let ordinals = if def.shard_key.is_empty() {
                None
            } else {
                Some(route::ordinals(def, &rows, partitions.len() as u32)?)
            };
            let here = |row: usize| -> Result<bool> {
                match &ordinals {
                    None => Ok(true),
                    Some(ordinals) => Ok(partition_at(&partitions, ordinals[row])? == partition),
                }
            };
            let mut stay = Vec::new();
            let mut leave = Vec::new();
            for row in 0..refs.len() {
                if here(row)? { stay.push(row as u32) } else { leave.push(row as u32) }
            }
            if leave.is_empty() {
                self.update_at(def, partition, refs, rows).await?;
                continue;
            }
            // A changed shard key: the row leaves this partition and appears in another.
            let pick = |rows: &[u32]| rows.iter().map(|row| refs[*row as usize]).collect::<Vec<u64>>();
            self.delete_at(def, partition, pick(&leave)).await?;
            if !stay.is_empty() {
                let new = take(&rows, stay.clone())?;
                self.update_at(def, partition, pick(&stay), new).await?;
            }
            let moved = take(&rows, leave)?;
            self.write_rows(def, moved, OnDuplicate::Error).await?;
        }
        Ok(Changed { matched })
    }

    async fn delete_rows(&mut self, def: &Arc<TableDef>, plan: LogicalPlan) -> Result<Changed> {
        let mut matched = 0;
        for (partition, found) in self.find_and_lock(def, plan).await? {
            matched += found.refs.len() as u64;
            self.delete_at(def, partition, found.refs).await?;
        }
        Ok(Changed { matched })
    }

    /// The new rows with every column of its own type.
    fn convert_rows(&self, def: &TableDef, rows: &RecordBatch) -> Result<RecordBatch> {
        let context = self.convert_context();
        let schema = rows.schema();
        let columns = def
            .columns
            .iter()
            .zip(rows.columns().iter().zip(schema.fields()))
            .map(|(column, (array, field))| sql::convert::convert_column(array, field, column, &context, 1))
            .collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(sql::rows::table_schema(def), columns).map_err(SqlError::internal)
    }

    async fn update_at(
        &mut self,
        def: &TableDef,
        partition: PartitionId,
        refs: Vec<u64>,
        new: RecordBatch,
    ) -> Result<()> {
        let target = self.target(def, partition);
        let lock_wait = self.lock_wait();
        let ctx = self.open_transaction()?.context(partition, def.version, lock_wait);
        self.leaf_of(partition)?.update(target, ctx, refs, new).await
    }

    async fn delete_at(&mut self, def: &TableDef, partition: PartitionId, refs: Vec<u64>) -> Result<()> {
        let target = self.target(def, partition);
        let lock_wait = self.lock_wait();
        let ctx = self.open_transaction()?.context(partition, def.version, lock_wait);
        self.leaf_of(partition)?.delete(target, ctx, refs).await
    }

    /// Runs the query and locks what it finds, until both agree.
    async fn find_and_lock(
        &mut self,
        def: &Arc<TableDef>,
        plan: LogicalPlan,
    ) -> Result<BTreeMap<PartitionId, Found>> {
        let partitions = self.partitions(def);
        for _ in 0..ROUNDS {
            let read_at = self.read_timestamp(&partitions).await?;
            let batches = self.collect(plan.clone(), read_at).await?;
            let found = by_partition(&batches)?;
            let mut changed = false;
            for (partition, found) in &found {
                let target = self.target(def, *partition);
                let lock_wait = self.lock_wait();
                let leaf = self.leaf_of(*partition)?;
                let txn = self.open_transaction()?;
                let ctx = txn.context(*partition, def.version, lock_wait);
                txn.touch(*partition);
                let outcome = leaf.lock_rows(target, ctx, found.refs.clone(), read_at).await?;
                changed |= outcome == LockOutcome::Changed;
            }
            if !changed {
                return Ok(found);
            }
        }
        Err(SqlError::new(
            types::ErrorKind::LockWaitTimeout,
            "Lock wait timeout exceeded; try restarting transaction (the rows kept changing)",
        ))
    }
}

/// Splits the query's rows by their `__partition`.
fn by_partition(batches: &[RecordBatch]) -> Result<BTreeMap<PartitionId, Found>> {
    let mut found: BTreeMap<PartitionId, (Vec<u64>, Vec<RecordBatch>)> = BTreeMap::new();
    for batch in batches {
        let partitions = batch.column(0).as_primitive::<UInt32Type>();
        let refs = batch.column(1).as_primitive::<UInt64Type>();
        let mut rows_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            rows_of.entry(partitions.value(row)).or_default().push(row as u32);
        }
        let columns: Vec<usize> = (2..batch.num_columns()).collect();
        let values = batch.project(&columns).map_err(SqlError::internal)?;
        for (partition, rows) in rows_of {
            let (all, parts) = found.entry(PartitionId(partition)).or_default();
            all.extend(rows.iter().map(|row| refs.value(*row as usize)));
            if values.num_columns() > 0 {
                parts.push(take(&values, rows)?);
            }
        }
    }
    found
        .into_iter()
        .map(|(partition, (refs, parts))| {
            let rows = match parts.first() {
                Some(first) => Some(concat_batches(&first.schema(), &parts).map_err(SqlError::internal)?),
                None => None,
            };
            Ok((partition, Found { refs, rows }))
        })
        .collect()
}

fn take(rows: &RecordBatch, indices: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(rows, &UInt32Array::from(indices)).map_err(SqlError::internal)
}
