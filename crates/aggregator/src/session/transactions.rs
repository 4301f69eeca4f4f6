//! Beginning and ending a session's transaction, and the statements in it.

use super::State;
use crate::commit;
use crate::leases::HeldSnapshot;
use crate::leaves::is_unreachable;
use crate::processes::Stage;
use crate::transaction::{Isolation, Transaction, is_seen};
use catalog::Catalog;
use futures::future::{join_all, try_join_all};
use sql::statement::Completion;
use std::sync::Arc;
use types::{ErrorKind, PartitionId, Result, SqlError, StatementNo, TableId, Timestamp, TxnId};

impl State {
    /// Begins an explicit transaction, ending an open one by a commit as MySQL does. `read_only`:
    /// None as SET TRANSACTION or the session says.
    pub(crate) async fn begin(&mut self, read_only: Option<bool>, snapshot: bool) -> Result<()> {
        self.commit().await?;
        let mut txn = self.next_transaction(true);
        txn.read_only = read_only.unwrap_or(txn.read_only);
        if snapshot {
            // One snapshot for the whole transaction is what this level means.
            txn.isolation = Isolation::RepeatableRead;
        }
        self.transaction = Some(txn);
        if snapshot {
            self.take_snapshot().await?;
        }
        Ok(())
    }

    /// The next transaction: as SET TRANSACTION said, which holds once, else as the session has it.
    fn next_transaction(&mut self, explicit: bool) -> Transaction {
        let isolation = self.once_isolation.take().unwrap_or(self.isolation);
        let read_only = self.once_read_only.take();
        let mut txn = Transaction::new(self.aggregator.open.begin(), isolation, explicit);
        let of_session = || self.variables.number("transaction_read_only") == Some(1);
        txn.read_only = read_only.unwrap_or_else(of_session);
        txn
    }

    /// The transaction that COMMIT and ROLLBACK begin with AND CHAIN: like the one that they end.
    pub(crate) fn next_of(&mut self, completion: Completion) -> Option<Transaction> {
        if !completion.chain {
            return None;
        }
        let Some(ended) = &self.transaction else { return Some(self.next_transaction(true)) };
        let mut txn = Transaction::new(self.aggregator.open.begin(), ended.isolation, true);
        txn.read_only = ended.read_only;
        Some(txn)
    }

    /// Starts a statement that writes: opens a transaction if none is, and numbers the statement. It
    /// must be followed by [`State::end_statement`]. What LOCK TABLES keeps it from was asked before
    /// ([`State::may_write`]).
    pub(crate) fn start_statement(&mut self) -> Result<()> {
        self.check_cancelled()?;
        let explicit = !self.autocommit;
        if self.transaction.is_none() {
            self.transaction = Some(self.next_transaction(explicit));
        }
        let txn = self.open_transaction()?;
        let id = txn.id;
        if txn.read_only && txn.locked.is_none() {
            if !txn.explicit {
                self.transaction = None;
            }
            return Err(SqlError::new(
                ErrorKind::ReadOnlyTransaction,
                "Cannot execute statement in a READ ONLY transaction.",
            ));
        }
        txn.begin_statement();
        self.process.writes_in(id);
        Ok(())
    }

    /// Starts a statement that only locks rows: those of a READ ONLY transaction may too.
    pub(crate) fn start_locking_statement(&mut self) -> Result<()> {
        let explicit = !self.autocommit;
        if self.transaction.is_none() {
            self.transaction = Some(self.next_transaction(explicit));
        }
        let txn = self.open_transaction()?;
        let id = txn.id;
        txn.begin_statement();
        self.process.writes_in(id);
        Ok(())
    }

    /// With autocommit off, a read begins a transaction, as in MySQL.
    pub(crate) fn open_for_reading(&mut self) {
        if self.transaction.is_none() && !self.autocommit {
            self.transaction = Some(self.next_transaction(true));
        }
    }

    pub(crate) fn open_transaction(&mut self) -> Result<&mut Transaction> {
        self.transaction.as_mut().ok_or_else(|| SqlError::internal("no transaction is open"))
    }

    /// Ends a statement: takes back what a failed one wrote, and commits or rolls back a transaction
    /// that was opened for this statement alone.
    pub(crate) async fn end_statement<T>(&mut self, result: Result<T>) -> Result<T> {
        let Some(txn) = self.transaction.as_ref() else { return result };
        let (id, statement, explicit) = (txn.id, txn.begun(), txn.explicit);
        match result {
            Ok(value) => {
                if !explicit {
                    self.commit().await?;
                }
                Ok(value)
            }
            Err(error) => {
                if !explicit || ends_transaction(&error) {
                    self.rollback().await;
                    return Err(if explicit { told_of_loss(error) } else { error });
                }
                let touched = txn.touched_by_statement();
                if !touched.is_empty()
                    && let Err(failure) = self.rollback_statement(id, statement, &touched).await
                {
                    // Half a statement must not stay: the whole transaction goes.
                    tracing::warn!(txn = %id, %failure, "a statement could not be taken back alone");
                    self.rollback().await;
                    return Err(whole_transaction_lost(&error));
                }
                self.open_transaction()?.forget_statement();
                Err(error)
            }
        }
    }

    /// Takes back the part of the statement that was begun last. If that fails, so does the statement.
    pub(crate) async fn take_back_part(&mut self) -> Result<()> {
        let txn = self.open_transaction()?;
        let (id, part, touched) = (txn.id, txn.statement(), txn.touched_by_part());
        self.rollback_statement(id, part, &touched).await?;
        self.open_transaction()?.forget_part();
        Ok(())
    }

    /// Commits the open transaction, if any.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let Some(txn) = self.transaction.take() else { return Ok(()) };
        let (parts, left_alone) = (txn.parts(), txn.left_alone());
        if parts.is_empty() {
            self.rollback_at(txn.id, &left_alone).await;
            return Ok(());
        }
        self.process.stage(Stage::Committing);
        let committed = self.commit_at(txn.id, &parts).await;
        for table in &txn.loaded {
            self.aggregator.estimates.forget(*table);
        }
        match committed {
            Ok(ts) => {
                self.floor = self.floor.max(ts);
                self.rollback_at(txn.id, &left_alone).await;
                Ok(())
            }
            Err(error) => {
                self.rollback_at(txn.id, &txn.partitions()).await;
                Err(told_of_loss(error))
            }
        }
    }

    /// Takes note of a commit that a leaf made together with the transaction's only write. If it failed,
    /// the statement ends with its error, and is rolled back.
    pub(crate) fn note_commit(&mut self, committed: Result<Timestamp>) -> Result<()> {
        match committed {
            Ok(ts) => {
                self.floor = self.floor.max(ts);
                self.transaction = None;
                Ok(())
            }
            Err(error) if is_unreachable(&error) => Err(txn::commit::unknown(&error)),
            Err(error) => Err(error),
        }
    }

    /// Commits at the leaves where the transaction wrote or locked.
    async fn commit_at(&self, txn: TxnId, parts: &[(PartitionId, StatementNo)]) -> Result<Timestamp> {
        commit::commit(&self.aggregator, &self.catalog, txn, parts).await
    }

    pub(super) async fn rollback_statement(
        &self,
        txn: TxnId,
        statement: StatementNo,
        partitions: &[PartitionId],
    ) -> Result<()> {
        let leaves = self.leaves_of(partitions)?;
        let requests = leaves.iter().map(|(leaf, here)| leaf.rollback_statement(txn, statement, here));
        try_join_all(requests).await?;
        Ok(())
    }

    /// Takes a transaction back. A leaf that is not reached finds out by itself that it is over.
    pub(crate) async fn rollback_at(&self, txn: TxnId, partitions: &[PartitionId]) {
        let leaves = match self.leaves_of(partitions) {
            Ok(leaves) => leaves,
            Err(error) => {
                tracing::debug!(%txn, %error, "a rollback found no leaf");
                return;
            }
        };
        for result in join_all(leaves.iter().map(|(leaf, here)| leaf.rollback(txn, here))).await {
            if let Err(error) = result {
                tracing::warn!(%txn, %error, "a rollback did not reach a leaf");
            }
        }
    }

    /// Rolls back the open transaction, if any.
    pub(crate) async fn rollback(&mut self) {
        if let Some(txn) = self.transaction.take() {
            let partitions = txn.partitions();
            if !partitions.is_empty() {
                self.rollback_at(txn.id, &partitions).await;
            }
        }
    }

    /// Rolls back the open transaction if rows of it that came after a statement's answer told the client of its loss.
    pub(super) async fn end_lost(&mut self) {
        let lost = self.lost.lock().take();
        if lost.is_some() && self.transaction.as_ref().map(|txn| txn.id) == lost {
            self.rollback().await;
        }
    }

    /// The timestamp that a statement over these partitions reads at: the transaction's snapshot,
    /// else the newest that any of them has shown, and never below what the session has seen.
    pub(crate) async fn read_timestamp(&mut self, partitions: &[PartitionId]) -> Result<Timestamp> {
        if let Some(txn) = &self.transaction {
            if let Some(snapshot) = &txn.snapshot {
                return Ok(snapshot.ts());
            }
            if txn.isolation == Isolation::RepeatableRead {
                return self.take_snapshot().await;
            }
        }
        self.floor = self.floor.max(self.newest_at(partitions).await?);
        Ok(self.floor)
    }

    /// Whether the transaction's snapshot, if it has one, has the rows of a table.
    pub(crate) fn sees(&self, table: TableId) -> bool {
        is_seen(self.seen_catalog().map(|seen| &**seen), &self.catalog, table)
    }

    pub(crate) fn seen_catalog(&self) -> Option<&Arc<Catalog>> {
        self.transaction.as_ref().and_then(|txn| txn.seen.as_ref())
    }

    /// The greatest timestamp that one of these partitions has shown: one message a leaf, all at once.
    async fn newest_at(&self, partitions: &[PartitionId]) -> Result<Timestamp> {
        let version = self.catalog.version();
        let leaves = self.leaves_of(partitions)?;
        let answers = leaves.iter().map(|(leaf, here)| leaf.read_timestamp(version, here));
        let answers = self.unless_cancelled(try_join_all(answers)).await?;
        Ok(answers.into_iter().max().unwrap_or(Timestamp::ZERO))
    }

    /// Takes the snapshot of a REPEATABLE READ transaction, over every partition there is.
    async fn take_snapshot(&mut self) -> Result<Timestamp> {
        let catalog = self.catalog.clone();
        let partitions: Vec<PartitionId> = catalog
            .databases()
            .flat_map(|database| catalog.partitions(database.id))
            .map(|partition| partition.id)
            .collect();
        let ts = self.floor.max(self.newest_at(&partitions).await?);
        self.floor = ts;
        let held: HeldSnapshot = self.aggregator.open.hold(ts);
        let txn = self.open_transaction()?;
        (txn.snapshot, txn.seen) = (Some(held), Some(catalog));
        Ok(ts)
    }
}

/// The error of a statement, or of a COMMIT, with which the whole transaction had to go, which its own error does not
/// tell. Clients know this errno as the end of the transaction.
pub(super) fn whole_transaction_lost(error: &SqlError) -> SqlError {
    let message = format!(
        "The transaction was rolled back, since a part of it was lost or could not be taken back alone ({}); \
         begin it again",
        error.message
    );
    SqlError::new(ErrorKind::Deadlock, message)
}

/// The error as a client reads it that does not know yet of the transaction's end.
fn told_of_loss(error: SqlError) -> SqlError {
    if is_of_lost_transaction(&error) { whole_transaction_lost(&error) } else { error }
}

/// Errors after which the whole transaction is rolled back: those after which MySQL does, and those
/// of a leaf that has lost the transaction. Every other one takes back its statement alone.
fn ends_transaction(error: &SqlError) -> bool {
    matches!(error.kind, ErrorKind::Deadlock | ErrorKind::TableDefinitionChanged)
        || is_of_lost_transaction(error)
}

/// Whether a leaf says that it has lost the transaction, as one does that was restarted.
fn is_of_lost_transaction(error: &SqlError) -> bool {
    error.kind == ErrorKind::Unknown && error.retryable
}
