//! Rows on their way to leaves: cut by partition, sent as intents of the open statement.

use super::query::changed_through_view;
use crate::route;
use crate::session::{Level, State};
use arrow::record_batch::RecordBatch;
use columnstore::{InsertOutcome, OnDuplicate};
use exec::Target;
use sql::statement::TableName;
use std::sync::Arc;
use types::{ErrorKind, PartitionId, Result, SqlError, TableDef};

impl State {
    /// The table whose rows INSERT, REPLACE and LOAD DATA change.
    pub(super) fn changed_table(&self, name: &TableName) -> Result<Arc<TableDef>> {
        self.refuse_view(name)?;
        let def = self.table(name)?;
        self.may_write(&def)?;
        Ok(def)
    }

    /// That a statement which changes rows does not name a view.
    pub(super) fn refuse_view(&self, name: &TableName) -> Result<()> {
        if self.named_view(name)?.is_none() {
            return Ok(());
        }
        Err(changed_through_view(self.database_name(name.database.as_deref())?, &name.name))
    }

    /// The partitions of the table's database by ordinal.
    pub(crate) fn partitions(&self, def: &TableDef) -> Vec<PartitionId> {
        self.catalog.partitions_of(def).iter().map(|partition| partition.id).collect()
    }

    pub(crate) fn target(&self, def: &TableDef, partition: PartitionId) -> Target {
        Target { catalog: self.catalog.version(), partition, table: def.id }
    }

    /// Inserts rows (all columns of the table, in order) as part of the open statement.
    pub(crate) async fn write_rows(
        &mut self,
        def: &Arc<TableDef>,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        let parts = self.cut(def, rows)?;
        self.write_parts(def, parts, on_duplicate).await
    }

    /// Inserts the rows that are the last of the open statement. If they are all of a transaction that
    /// ends with it and lie in one partition, they are committed at once.
    pub(crate) async fn write_last_rows(
        &mut self,
        def: &Arc<TableDef>,
        rows: RecordBatch,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        let mut parts = self.cut(def, rows)?;
        let txn = self.open_transaction()?;
        let is_alone = !txn.explicit && txn.partitions().is_empty();
        if parts.len() != 1 || !is_alone {
            return self.write_parts(def, parts, on_duplicate).await;
        }
        // Invariant: there is one.
        let Some((partition, rows)) = parts.pop() else { return Ok(InsertOutcome::default()) };
        let target = self.target(def, partition);
        let lock_wait = self.lock_wait();
        let leaf = self.leaf_of(partition)?;
        let txn = self.open_transaction()?;
        let ctx = txn.context(partition, def.version, lock_wait);
        txn.touch(partition);
        let (outcome, committed) = leaf.insert_and_commit(target, ctx, rows, on_duplicate).await?;
        self.note_commit(committed)?;
        self.note_ignored(&outcome);
        Ok(outcome)
    }

    /// IGNORE left rows out.
    fn note_ignored(&mut self, outcome: &InsertOutcome) {
        for reason in &outcome.reasons {
            self.add_message(Level::Warning, ErrorKind::DuplicateKey.errno(), reason);
        }
        self.count_messages(outcome.ignored.saturating_sub(outcome.reasons.len() as u64));
    }

    /// The rows by partition.
    fn cut(&self, def: &Arc<TableDef>, rows: RecordBatch) -> Result<Vec<(PartitionId, RecordBatch)>> {
        let partitions = self.partitions(def);
        let spread = self.aggregator.next_spread();
        route::split(def, rows, partitions.len() as u32, spread)?
            .into_iter()
            .map(|(ordinal, part)| Ok((partition_at(&partitions, ordinal)?, part)))
            .collect()
    }

    async fn write_parts(
        &mut self,
        def: &Arc<TableDef>,
        parts: Vec<(PartitionId, RecordBatch)>,
        on_duplicate: OnDuplicate,
    ) -> Result<InsertOutcome> {
        let mut total = InsertOutcome::default();
        for (partition, part) in parts {
            let target = self.target(def, partition);
            let lock_wait = self.lock_wait();
            let leaf = self.leaf_of(partition)?;
            let txn = self.open_transaction()?;
            let ctx = txn.context(partition, def.version, lock_wait);
            txn.touch(partition);
            let outcome = leaf.insert(target, ctx, part, on_duplicate).await?;
            total.inserted += outcome.inserted;
            total.ignored += outcome.ignored;
            self.note_ignored(&outcome);
        }
        Ok(total)
    }
}

pub(crate) fn partition_at(partitions: &[PartitionId], ordinal: u32) -> Result<PartitionId> {
    partitions
        .get(ordinal as usize)
        .copied()
        .ok_or_else(|| SqlError::internal(format!("the database has no partition {ordinal}")))
}
