//! UPDATE and DELETE, of one table or of tables of a join.
//!
//! The rows to change are found by a query that also yields where each lies. They are locked; if one
//! of them changed since the query's snapshot, the query runs again at a newer one, with the locks
//! kept, until what it found is what is locked. So WHERE holds for the newest committed version of
//! every row that is changed.
//!
//! A row that a join finds more than once is changed once, by the first of its matches. A row that an
//! UPDATE would leave as it is stays locked and is not written.

use crate::route;
use crate::session::{Level, State};
use crate::statement::query::Parameters;
use crate::statement::running::partitions_read;
use crate::statement::safe_updates::names_of;
use crate::statement::write::partition_at;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{concat_batches, filter_record_batch, or, take_record_batch};
use arrow::datatypes::{UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use catalog::Privilege;
use columnstore::{LockRequest, OnDuplicate};
use datafusion::logical_expr::LogicalPlan;
use exec::{DistributedPlan, Heard};
use sql::convert::Context;
use sql::query::{BoundChange, ChangedTable};
use sql::statement::{Delete, DeleteJoined, Update, UpdateJoined};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use types::{ErrorKind, PartitionId, Result, SqlError, TableDef};

/// How often a statement starts again because rows changed under it. Each round keeps its locks, so
/// a statement gets here only if new rows keep matching; then a time-out is the honest answer.
pub(super) const ROUNDS: usize = 100;

/// What an UPDATE did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changed {
    /// Rows that WHERE found.
    pub(crate) matched: u64,
    /// Those of them whose values differ now.
    pub(crate) changed: u64,
}

/// Rows of one partition: references, and the query's rows that found them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) refs: Vec<u64>,
    rows: Vec<RecordBatch>,
}

impl Found {
    /// The rows in one batch; None if there are none.
    fn rows(&self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.rows.first() else { return Ok(None) };
        concat_batches(&first.schema(), &self.rows).map(Some).map_err(SqlError::internal)
    }
}

pub(super) type FoundRows = BTreeMap<PartitionId, Found>;

impl State {
    pub(crate) async fn update(&mut self, update: &Update, parameters: Parameters<'_>) -> Result<Changed> {
        let bound = self.bind_update(update, parameters).await?;
        self.run_update(bound, update.ignore).await
    }

    pub(super) async fn bind_update(
        &self,
        update: &Update,
        parameters: Parameters<'_>,
    ) -> Result<BoundChange> {
        self.refuse_view(&update.table)?;
        let bound = self
            .bind_with(|tables| {
                sql::query::bind_update_source(update, &self.bind_context(tables, &parameters))
            })
            .await?;
        self.check_safe(&bound.tables, || names_of(&update.selection), update.limit.is_some())?;
        Ok(bound)
    }

    pub(crate) async fn update_joined(
        &mut self,
        update: &UpdateJoined,
        parameters: Parameters<'_>,
    ) -> Result<Changed> {
        let bound = self.bind_update_joined(update, parameters).await?;
        self.run_update(bound, update.ignore).await
    }

    pub(super) async fn bind_update_joined(
        &self,
        update: &UpdateJoined,
        parameters: Parameters<'_>,
    ) -> Result<BoundChange> {
        let bound = self
            .bind_with(|tables| {
                sql::query::bind_update_joined(update, &self.bind_context(tables, &parameters))
            })
            .await?;
        self.may_change(Privilege::Update, "UPDATE", &bound)?;
        let named = || [names_of(&update.from), names_of(&update.selection)].concat();
        self.check_safe(&bound.tables, named, false)?;
        Ok(bound)
    }

    async fn run_update(&mut self, bound: BoundChange, ignore: bool) -> Result<Changed> {
        bound.tables.iter().try_for_each(|table| self.may_write(&table.definition))?;
        self.start_statement()?;
        let result = self.update_rows(bound, ignore).await;
        self.end_statement(result).await
    }

    pub(crate) async fn delete(&mut self, delete: &Delete, parameters: Parameters<'_>) -> Result<u64> {
        let bound = self.bind_delete(delete, parameters).await?;
        self.run_delete(bound, delete.ignore).await
    }

    pub(super) async fn bind_delete(
        &self,
        delete: &Delete,
        parameters: Parameters<'_>,
    ) -> Result<BoundChange> {
        self.refuse_view(&delete.table)?;
        let bound = self
            .bind_with(|tables| {
                sql::query::bind_delete_source(delete, &self.bind_context(tables, &parameters))
            })
            .await?;
        self.check_safe(&bound.tables, || names_of(&delete.selection), delete.limit.is_some())?;
        Ok(bound)
    }

    pub(crate) async fn delete_joined(
        &mut self,
        delete: &DeleteJoined,
        parameters: Parameters<'_>,
    ) -> Result<u64> {
        let bound = self.bind_delete_joined(delete, parameters).await?;
        self.run_delete(bound, delete.ignore).await
    }

    pub(super) async fn bind_delete_joined(
        &self,
        delete: &DeleteJoined,
        parameters: Parameters<'_>,
    ) -> Result<BoundChange> {
        let bound = self
            .bind_with(|tables| {
                sql::query::bind_delete_joined(delete, &self.bind_context(tables, &parameters))
            })
            .await?;
        self.may_change(Privilege::Delete, "DELETE", &bound)?;
        let named = || [names_of(&delete.from), names_of(&delete.selection)].concat();
        self.check_safe(&bound.tables, named, false)?;
        Ok(bound)
    }

    async fn run_delete(&mut self, bound: BoundChange, ignore: bool) -> Result<u64> {
        bound.tables.iter().try_for_each(|table| self.may_write(&table.definition))?;
        self.start_statement()?;
        let result = self.delete_rows(bound, ignore).await;
        self.end_statement(result).await
    }

    /// UPDATE by a plan, as part of the open statement.
    pub(super) async fn update_planned(
        &mut self,
        update: &Update,
        parameters: Parameters<'_>,
    ) -> Result<Changed> {
        let bound = self.bind_update(update, parameters).await?;
        self.update_rows(bound, update.ignore).await
    }

    /// DELETE by a plan, as part of the open statement.
    pub(super) async fn delete_planned(
        &mut self,
        delete: &Delete,
        parameters: Parameters<'_>,
    ) -> Result<u64> {
        let bound = self.bind_delete(delete, parameters).await?;
        self.delete_rows(bound, delete.ignore).await
    }

    /// `ignore`: values are brought to their columns, and a row whose new key is another's stays as it is.
    async fn update_rows(&mut self, bound: BoundChange, ignore: bool) -> Result<Changed> {
        self.judge(ignore, bound.warnings.into())?;
        let tables = bound.tables;
        let plan = self.plan(bound.plan.clone()).await?;
        let _admitted = self.admit_plan(&plan).await?;
        let (found, heard) = self.find_and_lock(plan, bound.plan, &tables).await?;
        let mut done = Changed::default();
        let mut changed = Vec::with_capacity(tables.len());
        for (table, found) in tables.iter().zip(found) {
            let def = &table.definition;
            let mut changes = Vec::new();
            for (partition, found) in found {
                let Some(rows) = found.rows()? else { continue };
                let width = def.columns.len();
                let before = done.matched;
                done.matched += found.refs.len() as u64;
                let context = self.assign_context(ignore);
                let new = self.judging(ignore, |state| {
                    state.convert_rows(def, &rows, table.first + 2, before, &context)
                })?;
                let mut differ = BooleanArray::from(vec![false; new.num_rows()]);
                for (at, place) in table.assigned.iter().enumerate() {
                    let old = rows.column(table.first + 2 + width + at);
                    differ = or(&differ, &differs(old, new.column(*place))?).map_err(SqlError::internal)?;
                }
                let (refs, new) = only(&found.refs, new, &differ)?;
                // As MySQL has it, the rules of the table are for rows that change.
                let (new, kept) =
                    self.judging(ignore, |_| sql::query::with_rules(def, new, &table.assigned, &context))?;
                let (refs, new) = those_kept(refs, new, kept)?;
                done.changed += refs.len() as u64;
                changes.push((partition, refs, new));
            }
            changed.push((table, changes));
        }
        // What a column does not take of a value is an error before what the value itself warns of.
        self.judge(ignore, heard)?;
        if done.matched > 0 {
            self.judge(ignore, bound.of_assigned.into())?;
        }
        for (table, changes) in changed {
            let def = &table.definition;
            if ignore && may_take_keys(def, &table.assigned) {
                done.changed -= self.write_changed_ignoring(def, changes).await?;
            } else {
                self.write_changed(def, changes).await?;
            }
        }
        Ok(done)
    }

    /// The same of an UPDATE IGNORE whose rows may take each other's keys: each row is a part of the statement that
    /// can be taken back alone, in the order in which they were found. How many stayed as they were.
    async fn write_changed_ignoring(
        &mut self,
        def: &Arc<TableDef>,
        changes: Vec<(PartitionId, Vec<u64>, RecordBatch)>,
    ) -> Result<u64> {
        let mut stayed = 0;
        for (partition, refs, new) in changes {
            for (at, row) in refs.into_iter().enumerate() {
                self.check_cancelled()?;
                self.open_transaction()?.begin_part();
                let change = vec![(partition, vec![row], new.slice(at, 1))];
                match self.write_changed(def, change).await {
                    Ok(()) => {}
                    Err(error) if error.kind == ErrorKind::DuplicateKey => {
                        self.take_back_part().await?;
                        self.add_message(Level::Warning, error.kind.errno(), error.message);
                        stayed += 1;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(stayed)
    }

    async fn delete_rows(&mut self, bound: BoundChange, ignore: bool) -> Result<u64> {
        self.judge(ignore, bound.warnings.into())?;
        let tables = bound.tables;
        let mut deleted = 0;
        let plan = self.plan(bound.plan.clone()).await?;
        let _admitted = self.admit_plan(&plan).await?;
        let (found, heard) = self.find_and_lock(plan, bound.plan, &tables).await?;
        self.judge(ignore, heard)?;
        for (table, found) in tables.iter().zip(found) {
            for (partition, found) in found {
                deleted += found.refs.len() as u64;
                self.delete_at(&table.definition, partition, found.refs).await?;
            }
        }
        Ok(deleted)
    }

    /// Gives locked rows new values, all columns of them. A row whose shard key changes leaves its
    /// partition and appears in another; that happens once all others are changed, so that a key that
    /// one row gives up can be another's.
    pub(super) async fn write_changed(
        &mut self,
        def: &Arc<TableDef>,
        changes: Vec<(PartitionId, Vec<u64>, RecordBatch)>,
    ) -> Result<()> {
        let partitions = self.partitions(def);
        let mut moved = Vec::new();
        for (partition, refs, new) in changes {
            if refs.is_empty() {
                continue;
            }
            let mut stay = Vec::new();
            let mut leave = Vec::new();
            if !def.shard_key.is_empty() {
                let ordinals = route::ordinals(def, &new, partitions.len() as u32)?;
                for (row, ordinal) in ordinals.into_iter().enumerate() {
                    let stays = partition_at(&partitions, ordinal)? == partition;
                    if stays { stay.push(row as u32) } else { leave.push(row as u32) }
                }
            }
            if leave.is_empty() {
                self.update_at(def, partition, refs, new).await?;
                continue;
            }
            let pick = |rows: &[u32]| rows.iter().map(|row| refs[*row as usize]).collect::<Vec<u64>>();
            self.delete_at(def, partition, pick(&leave)).await?;
            moved.push(take(&new, leave)?);
            if !stay.is_empty() {
                let kept = pick(&stay);
                self.update_at(def, partition, kept, take(&new, stay)?).await?;
            }
        }
        for rows in moved {
            self.write_rows(def, rows, OnDuplicate::Error).await?;
        }
        Ok(())
    }

    /// Changed rows, whose columns begin at `first`, with every column of its own type. What the table computes is still
    /// as it was.
    /// `before`: how many rows came before these, for messages.
    fn convert_rows(
        &self,
        def: &Arc<TableDef>,
        rows: &RecordBatch,
        first: usize,
        before: u64,
        context: &Context,
    ) -> Result<RecordBatch> {
        let schema = rows.schema();
        let columns = def
            .columns
            .iter()
            .zip(rows.columns().iter().zip(schema.fields()).skip(first))
            .map(|(column, (array, field))| {
                sql::convert::convert_column(array, field, column, context, before + 1)
            })
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
        let leaf = self.leaf_of(partition)?;
        let txn = self.open_transaction()?;
        let ctx = txn.context(partition, def.version, lock_wait);
        txn.touch(partition);
        leaf.update(target, ctx, refs, new).await
    }

    pub(super) async fn delete_at(
        &mut self,
        def: &TableDef,
        partition: PartitionId,
        refs: Vec<u64>,
    ) -> Result<()> {
        let target = self.target(def, partition);
        let lock_wait = self.lock_wait();
        let leaf = self.leaf_of(partition)?;
        let txn = self.open_transaction()?;
        let ctx = txn.context(partition, def.version, lock_wait);
        txn.touch(partition);
        leaf.delete(target, ctx, refs).await
    }

    /// Runs the query and locks what it finds of each table, until both agree; also what it warned of then.
    /// `first` is its plan for the first time.
    async fn find_and_lock(
        &mut self,
        first: Arc<DistributedPlan>,
        query: LogicalPlan,
        tables: &[ChangedTable],
    ) -> Result<(Vec<FoundRows>, Heard)> {
        let partitions = partitions_read(&query)?;
        let mut plan = first;
        for round in 0..ROUNDS {
            if round > 0 {
                plan = self.plan(query.clone()).await?;
            }
            let read_at = self.read_timestamp(&partitions).await?;
            let (batches, heard) = self.collect(&plan, read_at).await?;
            let mut all = Vec::with_capacity(tables.len());
            let mut changed = false;
            for table in tables {
                let found = by_partition(&batches, table.first)?;
                let request = LockRequest::to_change(read_at);
                changed |= self.lock_found(&table.definition, &found, request).await?.0;
                all.push(found);
            }
            if !changed {
                return Ok((all, heard));
            }
        }
        Err(rows_kept_changing())
    }

    /// Locks rows; whether one has changed since it was read, and the ones that were skipped.
    pub(super) async fn lock_found(
        &mut self,
        def: &TableDef,
        found: &FoundRows,
        request: LockRequest,
    ) -> Result<(bool, HashSet<(PartitionId, u64)>)> {
        let mut changed = false;
        let mut skipped = HashSet::new();
        for (partition, found) in found {
            let target = self.target(def, *partition);
            let lock_wait = self.lock_wait();
            let leaf = self.leaf_of(*partition)?;
            let txn = self.open_transaction()?;
            let ctx = txn.context(*partition, def.version, lock_wait);
            txn.touch(*partition);
            let outcome = leaf.lock_rows(target, ctx, found.refs.clone(), request).await?;
            changed |= outcome.changed;
            skipped.extend(outcome.skipped.into_iter().map(|row| (*partition, row)));
        }
        Ok((changed, skipped))
    }
}

/// Whether an UPDATE of these columns may give a row a key that another has.
fn may_take_keys(def: &TableDef, assigned: &[usize]) -> bool {
    let keys = def.keys.iter().filter(|key| key.unique).map(|key| &key.columns);
    keys.chain([&def.primary_key]).flatten().any(|id| {
        // What is computed follows from columns that are assigned.
        def.position(*id).is_some_and(|place| {
            let column = &def.columns[place];
            assigned.contains(&place) || column.is_hidden() || column.on_update_now || def.is_generated(place)
        })
    })
}

pub(super) fn rows_kept_changing() -> SqlError {
    SqlError::new(
        types::ErrorKind::LockWaitTimeout,
        "Lock wait timeout exceeded; try restarting transaction (the rows kept changing)",
    )
}

/// The query's rows by the partition that column `first` names; the next one is the row there. Each
/// row of the table comes once, NULL for none is left out.
pub(super) fn by_partition(batches: &[RecordBatch], first: usize) -> Result<FoundRows> {
    let mut found = FoundRows::new();
    let mut seen = HashSet::new();
    for batch in batches {
        let partitions = batch.column(first).as_primitive::<UInt32Type>();
        let refs = batch.column(first + 1).as_primitive::<UInt64Type>();
        let mut rows_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            if !partitions.is_null(row) && seen.insert((partitions.value(row), refs.value(row))) {
                rows_of.entry(partitions.value(row)).or_default().push(row as u32);
            }
        }
        for (partition, rows) in rows_of {
            let found = found.entry(PartitionId(partition)).or_default();
            found.refs.extend(rows.iter().map(|row| refs.value(*row as usize)));
            found.rows.push(take(batch, rows)?);
        }
    }
    Ok(found)
}

/// Where two columns of one type differ; NULL is equal to NULL.
pub(super) fn differs(old: &ArrayRef, new: &ArrayRef) -> Result<BooleanArray> {
    let old = if old.data_type() == new.data_type() {
        old.clone()
    } else {
        arrow::compute::cast(old, new.data_type()).map_err(SqlError::internal)?
    };
    distinct(&old, new).map_err(SqlError::internal)
}

/// The references and rows that the mask has.
pub(super) fn only(refs: &[u64], rows: RecordBatch, mask: &BooleanArray) -> Result<(Vec<u64>, RecordBatch)> {
    let kept = refs.iter().enumerate().filter(|(row, _)| mask.value(*row)).map(|(_, row)| *row).collect();
    Ok((kept, filter_record_batch(&rows, mask).map_err(SqlError::internal)?))
}

/// The references and rows that `kept` has; without it, all.
pub(super) fn those_kept(
    refs: Vec<u64>,
    rows: RecordBatch,
    kept: Option<BooleanArray>,
) -> Result<(Vec<u64>, RecordBatch)> {
    match kept {
        Some(kept) => only(&refs, rows, &kept),
        None => Ok((refs, rows)),
    }
}

pub(super) fn take(rows: &RecordBatch, indices: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(rows, &UInt32Array::from(indices)).map_err(SqlError::internal)
}
