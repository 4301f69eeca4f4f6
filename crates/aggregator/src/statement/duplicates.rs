//! New rows whose keys may be taken: REPLACE and ON DUPLICATE KEY UPDATE.
//!
//! A partition inserts the rows whose keys are free and locks the rows that have the keys of the
//! others; those are then changed. A row that has a key in common with one before it in the same
//! statement waits for the next round, so that it meets what the earlier one left.

use super::change::{differs, only, take, those_kept};
use super::write::partition_at;
use crate::route;
use crate::session::State;
use arrow::array::BooleanArray;
use arrow::compute::or;
use arrow::record_batch::RecordBatch;
use columnstore::{Conflict, InsertOutcome, InsertedOrLocked, OnDuplicate};
use sql::query::OnDuplicateUpdate;
use sql::rows::NewRows;
use sql::statement::Insert;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use types::{PartitionId, Result, SqlError, TableDef};

/// What becomes of a row whose key is taken.
#[derive(Clone)]
pub(crate) enum Duplicates {
    /// The statement fails.
    Error,
    /// The new row is left out.
    Ignore,
    /// The rows that have its keys give way to it.
    Replace,
    /// The row that has its key is changed; `ignore`: values are brought to their columns.
    Update { update: Arc<OnDuplicateUpdate>, ignore: bool },
}

impl Duplicates {
    /// As an INSERT without ON DUPLICATE KEY UPDATE says.
    pub(crate) fn of(insert: &Insert) -> Duplicates {
        if insert.replace {
            Duplicates::Replace
        } else if insert.ignore {
            Duplicates::Ignore
        } else {
            Duplicates::Error
        }
    }
}

/// What became of new rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// New rows that are there now, those of REPLACE among them.
    pub(crate) inserted: u64,
    /// Rows that gave way.
    pub(crate) deleted: u64,
    /// Rows that were there and were changed.
    pub(crate) updated: u64,
    /// Rows that were there and would have stayed the same.
    pub(crate) same: u64,
    /// New rows that were left out.
    pub(crate) ignored: u64,
    /// Of ON DUPLICATE KEY UPDATE the first generated AUTO_INCREMENT number that a new row has which is there now.
    pub(crate) first_number: Option<i128>,
    /// That of the row which the last new one met and changed.
    pub(crate) met_number: Option<i128>,
}

/// The AUTO_INCREMENT numbers of new rows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers {
    /// The first that was generated: those that rows brought with them are less.
    pub(crate) generated: Option<u64>,
    /// That of the last row.
    pub(crate) last: Option<i128>,
}

impl Numbers {
    pub(crate) fn of(def: &TableDef, rows: &RecordBatch, generated: Option<u64>) -> Numbers {
        let last = rows.num_rows().checked_sub(1).and_then(|row| NewRows::number_of(def, rows, row));
        Numbers { generated, last }
    }

    /// The least generated one of rows that were inserted.
    fn first_inserted(&self, def: &TableDef, rows: &RecordBatch, done: &InsertedOrLocked) -> Option<i128> {
        let generated = i128::from(self.generated?);
        let met: HashSet<u32> =
            done.conflicts.iter().map(|conflict| conflict.row).chain(done.again.iter().copied()).collect();
        (0..rows.num_rows())
            .filter(|row| !met.contains(&(*row as u32)))
            .filter_map(|row| NewRows::number_of(def, rows, row))
            .filter(|number| *number >= generated)
            .min()
    }

    /// The number of the row that the last of the new ones made of the one that it met.
    fn met(&self, def: &TableDef, new: &RecordBatch, changed: &RecordBatch) -> Option<i128> {
        let last = self.last?;
        let is_last = |row: &usize| NewRows::number_of(def, new, *row) == Some(last);
        (0..new.num_rows()).find(is_last).and_then(|row| NewRows::number_of(def, changed, row))
    }
}

impl From<InsertOutcome> for Written {
    fn from(outcome: InsertOutcome) -> Written {
        Written { inserted: outcome.inserted, ignored: outcome.ignored, ..Written::default() }
    }
}

impl Written {
    pub(crate) fn add(&mut self, more: Written) {
        self.inserted += more.inserted;
        self.deleted += more.deleted;
        self.updated += more.updated;
        self.same += more.same;
        self.ignored += more.ignored;
        self.first_number = self.first_number.into_iter().chain(more.first_number).min();
        self.met_number = more.met_number.or(self.met_number);
    }

    /// MySQL counts a changed row twice, and one that stays only for clients that want found rows.
    pub(crate) fn affected(&self, counts_found_rows: bool) -> u64 {
        let found = if counts_found_rows { self.same } else { 0 };
        self.inserted + self.deleted + 2 * self.updated + found
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.deleted + self.updated + self.ignored
    }
}

/// The rows that stand in the way of one new row: their places in the conflicts, by the order of keys.
type InTheWay = BTreeMap<u32, Vec<usize>>;

/// The conflicts by new row. A row that meets one which an earlier new row meets too comes later.
fn sort_out(conflicts: &[Conflict], again: &mut Vec<u32>) -> InTheWay {
    let mut by_row = InTheWay::new();
    for (at, conflict) in conflicts.iter().enumerate() {
        let same = |place: &usize| conflicts[*place].existing == conflict.existing;
        let met = by_row.entry(conflict.row).or_default();
        if !met.iter().any(same) {
            met.push(at);
        }
    }
    let mut taken = HashSet::new();
    let mut later = Vec::new();
    for (row, met) in &by_row {
        let free = met.iter().all(|at| !taken.contains(&conflicts[*at].existing));
        taken.extend(met.iter().map(|at| conflicts[*at].existing));
        if !free {
            later.push(*row);
        }
    }
    by_row.retain(|row, _| !later.contains(row));
    again.extend(later);
    again.sort_unstable();
    by_row
}

/// New rows of which some met others.
struct Met<'a> {
    new: &'a RecordBatch,
    done: &'a InsertedOrLocked,
    in_the_way: InTheWay,
    numbers: Numbers,
}

impl State {
    /// Writes new rows (all columns of the table, in order) as part of the open statement.
    pub(crate) async fn write_new_rows(
        &mut self,
        def: &Arc<TableDef>,
        rows: RecordBatch,
        duplicates: &Duplicates,
        numbers: Numbers,
    ) -> Result<Written> {
        let on_duplicate = match duplicates {
            Duplicates::Error => OnDuplicate::Error,
            Duplicates::Ignore => OnDuplicate::Ignore,
            Duplicates::Replace | Duplicates::Update { .. } => {
                return self.insert_or_change(def, rows, duplicates, numbers).await;
            }
        };
        self.write_rows(def, rows, on_duplicate).await.map(Written::from)
    }

    async fn insert_or_change(
        &mut self,
        def: &Arc<TableDef>,
        rows: RecordBatch,
        duplicates: &Duplicates,
        numbers: Numbers,
    ) -> Result<Written> {
        let partitions = self.partitions(def);
        let spread = self.aggregator.next_spread();
        let mut written = Written::default();
        for (ordinal, mut part) in route::split(def, rows, partitions.len() as u32, spread)? {
            let partition = partition_at(&partitions, ordinal)?;
            while part.num_rows() > 0 {
                let target = self.target(def, partition);
                let lock_wait = self.lock_wait();
                let leaf = self.leaf_of(partition)?;
                let txn = self.open_transaction()?;
                let ctx = txn.context(partition, def.version, lock_wait);
                txn.touch(partition);
                let mut done = leaf.insert_or_lock(target, ctx, part.clone()).await?;
                let first_number = numbers.first_inserted(def, &part, &done);
                written.add(Written { inserted: done.inserted, first_number, ..Written::default() });
                let in_the_way = sort_out(&done.conflicts, &mut done.again);
                written.add(match duplicates {
                    Duplicates::Update { update, ignore } => {
                        let met = Met { new: &part, done: &done, in_the_way, numbers };
                        self.update_met(def, partition, (update, *ignore), met).await?
                    }
                    _ => self.replace_met(def, partition, &part, &done, in_the_way).await?,
                });
                part = take(&part, done.again)?;
            }
        }
        Ok(written)
    }

    /// ON DUPLICATE KEY UPDATE: of several rows that a new one meets, the one of the first key counts.
    async fn update_met(
        &mut self,
        def: &Arc<TableDef>,
        partition: PartitionId,
        (update, ignore): (&OnDuplicateUpdate, bool),
        Met { new, done: met, in_the_way, numbers }: Met<'_>,
    ) -> Result<Written> {
        if in_the_way.is_empty() {
            return Ok(Written::default());
        }
        let firsts = || in_the_way.values().filter_map(|places| places.first().copied());
        let old = take(&met.existing, firsts().map(|at| at as u32).collect())?;
        let new = take(new, in_the_way.keys().copied().collect())?;
        let refs: Vec<u64> = firsts().map(|at| met.conflicts[at].existing).collect();
        let context = self.assign_context(ignore);
        // As MySQL has it, the rules of the table are for rows that change.
        let (kept, changed, met_number) = self.judging(ignore, |_| {
            let assigned = update.assign(&old, &new, &context)?;
            let met_number = numbers.met(def, &new, &assigned);
            let differ = rows_differ(&old, &assigned)?;
            let (kept, changed) = only(&refs, assigned, &differ)?;
            let (changed, holds) = update.complete(changed, &context)?;
            let (kept, changed) = those_kept(kept, changed, holds)?;
            Ok((kept, changed, met_number))
        })?;
        let updated = kept.len() as u64;
        self.write_changed(def, vec![(partition, kept, changed)]).await?;
        Ok(Written { updated, same: refs.len() as u64 - updated, met_number, ..Written::default() })
    }

    /// REPLACE: the first row that a new one meets takes its values, the others go. One that is as the
    /// new row stays, and nothing counts as deleted.
    async fn replace_met(
        &mut self,
        def: &Arc<TableDef>,
        partition: PartitionId,
        new: &RecordBatch,
        met: &InsertedOrLocked,
        in_the_way: InTheWay,
    ) -> Result<Written> {
        let mut others = Vec::new();
        let mut firsts = Vec::with_capacity(in_the_way.len());
        for places in in_the_way.values() {
            let mut places = places.iter().copied();
            firsts.extend(places.next());
            others.extend(places.map(|at| met.conflicts[at].existing));
        }
        let old = take(&met.existing, firsts.iter().map(|at| *at as u32).collect())?;
        let new = take(new, in_the_way.keys().copied().collect())?;
        let refs: Vec<u64> = firsts.into_iter().map(|at| met.conflicts[at].existing).collect();
        let differ = rows_differ(&old, &new)?;
        let inserted = refs.len() as u64;
        let mut deleted = others.len() as u64;
        if !others.is_empty() {
            self.delete_at(def, partition, others).await?;
        }
        let (kept, changed) = only(&refs, new, &differ)?;
        deleted += kept.len() as u64;
        self.write_changed(def, vec![(partition, kept, changed)]).await?;
        Ok(Written { inserted, deleted, ..Written::default() })
    }
}

/// Which rows of two batches with the same columns differ.
fn rows_differ(old: &RecordBatch, new: &RecordBatch) -> Result<BooleanArray> {
    let mut differ = BooleanArray::from(vec![false; new.num_rows()]);
    for (old, new) in old.columns().iter().zip(new.columns()) {
        differ = or(&differ, &differs(old, new)?).map_err(SqlError::internal)?;
    }
    Ok(differ)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(row: u32, key: u32, existing: u64) -> Conflict {
        Conflict { row, key, existing }
    }

    #[test]
    fn a_row_that_meets_what_another_meets_waits() {
        let conflicts = [conflict(1, 0, 10), conflict(1, 2, 10), conflict(3, 1, 11), conflict(4, 1, 10)];
        let mut again = vec![2];
        let rows = sort_out(&conflicts, &mut again);
        assert_eq!(rows, InTheWay::from([(1, vec![0]), (3, vec![2])]));
        assert_eq!(again, vec![2, 4]);
        // A row that waits keeps those behind it waiting.
        let conflicts = [conflict(0, 0, 1), conflict(1, 0, 1), conflict(1, 1, 2), conflict(2, 1, 2)];
        let mut again = Vec::new();
        assert_eq!(sort_out(&conflicts, &mut again), InTheWay::from([(0, vec![0])]));
        assert_eq!(again, vec![1, 2]);
    }

    #[test]
    fn affected_rows_are_mysqls() {
        let written =
            Written { inserted: 1, deleted: 1, updated: 1, same: 1, ignored: 1, ..Written::default() };
        assert_eq!((written.affected(false), written.affected(true)), (4, 5));
        assert_eq!(written.duplicates(), 3);
    }
}
