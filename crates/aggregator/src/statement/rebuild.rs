//! ALTER TABLE where the rows have to be copied.
//!
//! ```text
//!   lock      exclusively in every partition: who changed the table has ended, who wants to waits
//!   make      a table of the new definition under a name that nobody sees
//!   copy      one snapshot of the old table, converted, in bulk, in a transaction of its own
//!   fence     the old definition names the new table: no leaf takes a change of the old rows any more
//!   look      whether the locks have been held all the time
//!   replace   one command puts the new table under the old name, and drops the old one
//!   unlock    who waited finds another table, and begins again
//! ```
//!
//! Readers go on with the old rows until their next statement. Locks end with the lease of an aggregator, so they
//! alone do not keep a late writer, on a leaf that has not heard of the new table yet, from the old one: the fence
//! does, which every leaf has in its log before the tables change places.
//!
//! An error or KILL before that drops the new table at the end of the statement, and a crash leaves it to the
//! next start of this aggregator, as it does temporary tables; that takes the fence away, too. If nobody does,
//! whoever finds the fence for too long drops the new table ([`State::end_replacements`]), and then it can no
//! longer take the place of the old one.

use super::insert::complete;
use super::load::BulkWriters;
use super::running::partitions_read;
use crate::admission::Class;
use crate::session::State;
use crate::transaction::{Isolation, Transaction};
use catalog::{Command, Outcome};
use futures::StreamExt;
use futures::future::try_join_all;
use sql::ddl::Altered;
use sql::ddl::rebuild::Rebuild;
use sql::rows::Target;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::{ErrorKind, PartitionId, Result, SqlError, TableDef, TableId};

/// How long a short transaction may go on while others wait for it with locks in their hands: less than makes a
/// deadlock.
const SOON: Duration = Duration::from_millis(30);

impl State {
    /// Copies the rows of a table to one of the altered definition, which then takes its place. Gives their number;
    /// `None`: `def` is not the newest.
    pub(super) async fn rebuild(
        &mut self,
        database: &str,
        def: &Arc<TableDef>,
        altered: &Altered,
    ) -> Result<Option<u64>> {
        // Before the locks, since those who wait for them have been admitted, too.
        let _admitted = self.admit(Class::Heavy).await?;
        let mut writers = self.lock_out_writers(def).await?;
        let result = self.rebuild_locked(database, def, altered, &mut writers).await;
        self.rollback_at(writers.id, &writers.partitions()).await;
        result
    }

    /// Takes the locks in a transaction that does nothing else. Who changes the table may come to wait for a
    /// partition that is locked already. So it is waited for with nothing locked: if it does not end soon,
    /// everything is given back, and its partition comes first.
    async fn lock_out_writers(&mut self, def: &TableDef) -> Result<Transaction> {
        let until = Instant::now() + self.lock_wait();
        let mut partitions = self.partitions(def);
        loop {
            self.check_cancelled()?;
            let mut txn = Transaction::new(self.aggregator.open.begin(), Isolation::ReadCommitted, false);
            let wait = until.saturating_duration_since(Instant::now());
            let locked = self.lock_table((def, def.version), &partitions, &mut txn, wait).await;
            let Err((at, error)) = locked else { return Ok(txn) };
            self.rollback_at(txn.id, &txn.partitions()).await;
            let is_wait = matches!(error.kind, ErrorKind::Deadlock | ErrorKind::LockWaitTimeout);
            if !is_wait || Instant::now() >= until {
                return Err(error);
            }
            partitions.swap(0, at);
        }
    }

    /// Locks a table in these partitions as a statement of this transaction. A later one fails if the locks
    /// were lost between the two. `wait`: for the first; an error comes with the place of its partition.
    async fn lock_table(
        &mut self,
        (def, version): (&TableDef, u64),
        partitions: &[PartitionId],
        txn: &mut Transaction,
        wait: Duration,
    ) -> std::result::Result<(), (usize, SqlError)> {
        txn.begin_statement();
        self.process.writes_in(txn.id);
        for (at, partition) in partitions.iter().enumerate() {
            let leaf = self.leaf_of(*partition).map_err(|error| (at, error))?;
            let ctx = txn.context(*partition, version, if at == 0 { wait } else { SOON.min(wait) });
            txn.touch(*partition);
            let locked = leaf.lock_table(self.target(def, *partition), ctx).await;
            locked.map_err(|error| (at, error))?;
        }
        Ok(())
    }

    async fn rebuild_locked(
        &mut self,
        database: &str,
        def: &Arc<TableDef>,
        altered: &Altered,
        writers: &mut Transaction,
    ) -> Result<Option<u64>> {
        self.take_catalog();
        if self.catalog.table_by_id(def.id).is_none_or(|newest| newest.version != def.version) {
            return Ok(None);
        }
        let hidden = self.hidden_table(database);
        let result = self.copy_and_replace(database, def, altered, (&hidden, writers)).await;
        result
            .map(Some)
            .map_err(|error| SqlError { message: error.message.replace(&hidden, &def.name), ..error })
    }

    async fn copy_and_replace(
        &mut self,
        database: &str,
        def: &Arc<TableDef>,
        altered: &Altered,
        (hidden, writers): (&str, &mut Transaction),
    ) -> Result<u64> {
        let made = TableDef { name: hidden.to_string(), ..altered.def.clone() };
        let create = Command::CreateTable { database: database.to_string(), def: made, if_not_exists: false };
        let Outcome::TableCreated(new) = self.change_catalog(create).await? else {
            return Err(SqlError::internal("the catalog created no table"));
        };
        let copied = self.copy_rows(database, def, &new).await?;
        self.keep_numbers(def, &new, altered).await?;
        self.check_cancelled()?;

        let fenced = self.fence(def, new.id).await?;
        let partitions = self.partitions(def);
        let held = self.lock_table((def, fenced.version), &partitions, writers, SOON).await;
        held.map_err(|(_, error)| error)?;
        let (name, expected_version) = (altered.def.name.clone(), fenced.version);
        let replace = Command::ReplaceTable { table: def.id, by: new.id, expected_version, name };
        match self.change_catalog(replace).await? {
            Outcome::TableAltered(_) => self.keep_hidden_table(hidden),
            _ => return Err(SqlError::internal("the catalog replaced no table")),
        }
        Ok(copied)
    }

    /// Fills the new table; commits.
    async fn copy_rows(&mut self, database: &str, def: &TableDef, new: &TableDef) -> Result<u64> {
        let rebuild = Rebuild::of(def, new);
        let mut txn = Transaction::new(self.aggregator.open.begin(), Isolation::ReadCommitted, false);
        txn.begin_statement();
        self.process.writes_in(txn.id);
        self.transaction = Some(txn);
        let copied = self.copy_in_transaction(database, def, new, &rebuild).await;
        let copied = copied.map_err(|error| rebuild.in_copied_row(error));
        self.end_statement(copied).await
    }

    async fn copy_in_transaction(
        &mut self,
        database: &str,
        def: &TableDef,
        new: &TableDef,
        rebuild: &Rebuild,
    ) -> Result<u64> {
        let bound = self.bind_own(database, &def.name, &rebuild.query(database, &def.name)).await?;
        let read = partitions_read(&bound.plan)?;
        let plan = self.plan(bound.plan).await?;
        // Above the commit of everybody who changed the table.
        let ts = self.read_timestamp(&read).await?;
        let mut stream = self.start_distributed(&plan, ts, true, false).await?;
        let mut context = self.assign_context(false);
        context.divisions_fail &= rebuild.has_new_rules;
        // Numbers that are there stay as they are.
        context.keeps_zero |= def.auto_increment().is_some();
        let places = rebuild.copied.iter().map(|copied| copied.place).collect();
        let target = self.judging(false, |_| Target::of_places(rebuild.filled.clone(), places, &context))?;
        let mut writers = BulkWriters::new(self, rebuild.filled.clone());
        // What the old table computed of its rows it has taken before.
        let known_rules = !rebuild.has_new_rules;
        let (mut seen, mut greatest) = (0, None);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            if let Some(refused) = &rebuild.refused {
                return Err(refused.clone());
            }
            let rows = self.judging(known_rules, |_| complete(&target, &batch, &context, seen + 1))?;
            seen += batch.num_rows() as u64;
            greatest = greatest.max(rows.greatest_given(new));
            let rows = self.number_rows(&rebuild.filled, rows).await?;
            writers.append(self, rows).await?;
        }
        if let Some(greatest) = greatest {
            self.aggregator.ids.raise(new.id, greatest).await?;
        }
        writers.finish().await
    }

    /// Numbers go on where they were, or where AUTO_INCREMENT = n says.
    async fn keep_numbers(&mut self, def: &TableDef, new: &TableDef, altered: &Altered) -> Result<()> {
        let ids = &self.aggregator.ids;
        let mut next = altered.auto_increment.unwrap_or(1);
        if new.auto_increment().is_some() && def.auto_increment().is_some() {
            let after_ranges = self.aggregator.metadata.snapshot().next_number(def.id);
            next = next.max(ids.next(def.id, after_ranges));
        }
        if next > 1 { ids.raise(new.id, next - 1).await } else { Ok(()) }
    }

    /// Has every leaf of the old table refuse changes of it. The definition that says so.
    async fn fence(&mut self, def: &TableDef, replacement: TableId) -> Result<Arc<TableDef>> {
        let expected_version = def.version;
        // With the name that the catalog knows it by.
        let catalog = self.aggregator.metadata.snapshot();
        let newest = catalog.table_by_id(def.id).filter(|newest| newest.version == expected_version);
        let Some(def) = newest else {
            return Err(catalog::definition_changed());
        };
        let def = TableDef { replacement: Some(replacement), ..TableDef::clone(def) };
        let Outcome::TableAltered(fenced) =
            self.aggregator.metadata.propose(Command::AlterTable { def, expected_version }).await?
        else {
            return Err(SqlError::internal("the catalog altered no table"));
        };
        self.take_catalog();
        let version = self.catalog.version();
        let leaves = self.leaves_of(&self.partitions(&fenced))?;
        try_join_all(leaves.iter().map(|(leaf, _)| leaf.catch_up(version))).await?;
        Ok(fenced)
    }
}
