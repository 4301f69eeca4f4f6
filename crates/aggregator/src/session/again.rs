//! A statement whose table became another one under it begins again, as if it had come later: as long as nothing
//! but the statement itself is lost by that. So who waits for an ALTER TABLE that copies rows goes on with the new
//! table.

use super::State;
use crate::transaction::{Isolation, Transaction};
use catalog::{Catalog, Command};
use std::time::Duration;
use types::{ErrorKind, Result, SqlError, TableId};

/// How often one statement begins again.
pub(super) const ROUNDS: usize = 5;
/// How long a table may wait for its replacement, which is a matter of two commands to the catalog. The replacement
/// of one that waits longer was forgotten.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

/// How long a catalog that a leaf has carried out may be on its way to the aggregator.
const NEWER_WITHIN: Duration = Duration::from_secs(1);

/// What a statement finds when it begins, so that it can begin again.
pub(super) struct Beginning {
    /// Of the transaction that is open.
    explicit: Option<(Isolation, bool)>,
    once_isolation: Option<Isolation>,
    once_read_only: Option<bool>,
}

impl State {
    /// `None`: what happened before in the transaction would be lost.
    pub(super) fn beginning(&self) -> Option<Beginning> {
        let is_new =
            |txn: &Transaction| !txn.holds_locks() && txn.snapshot.is_none() && txn.savepoints.is_empty();
        if !self.transaction.as_ref().is_none_or(is_new) {
            return None;
        }
        Some(Beginning {
            explicit: self.transaction.as_ref().map(|txn| (txn.isolation, txn.read_only)),
            once_isolation: self.once_isolation,
            once_read_only: self.once_read_only,
        })
    }

    /// Makes everything as it was for a statement that failed since a table is another one by now. False: it
    /// failed for another reason.
    pub(super) async fn begin_again(&mut self, beginning: &Beginning, error: &SqlError) -> Result<bool> {
        let is_other = match error.kind {
            ErrorKind::TableDefinitionChanged => true,
            // A leaf says so of a table that is no more, not of one that never was.
            ErrorKind::NoSuchTable => error.retryable,
            _ => false,
        };
        if !is_other || self.is_once || self.check_cancelled().is_err() {
            return Ok(false);
        }
        let newest_seen = self.catalog.version();
        self.rollback().await;
        if let Some((isolation, read_only)) = beginning.explicit {
            let mut txn = Transaction::new(self.aggregator.open.begin(), isolation, true);
            txn.read_only = read_only;
            self.transaction = Some(txn);
        }
        (self.once_isolation, self.once_read_only) = (beginning.once_isolation, beginning.once_read_only);
        if error.kind == ErrorKind::NoSuchTable {
            // The leaf knows of a newer catalog than the statement did.
            let newer = self.unless_cancelled(self.aggregator.metadata.changed(newest_seen));
            if let Ok(newer) = tokio::time::timeout(NEWER_WITHIN, newer).await {
                newer?;
            }
        }
        self.end_replacements().await?;
        Ok(true)
    }

    /// Waits until the tables that wait for their replacements have them, and sees to it that none waits for ever.
    pub(super) async fn end_replacements(&self) -> Result<()> {
        let metadata = &self.aggregator.metadata;
        let waiting = Vec::from_iter(waiting_tables(&metadata.snapshot()));
        let replaced = async {
            loop {
                let catalog = metadata.snapshot();
                if !waiting_tables(&catalog).any(|table| waiting.contains(&table)) {
                    return Ok(());
                }
                metadata.changed(catalog.version()).await?;
            }
        };
        let replaced = self.unless_cancelled(replaced);
        if let Ok(replaced) = tokio::time::timeout(REPLACED_WITHIN, replaced).await {
            return replaced;
        }
        let catalog = metadata.snapshot();
        for (_, replacement) in waiting_tables(&catalog).filter(|table| waiting.contains(table)) {
            let Some(replacement) = catalog.table_by_id(replacement) else { continue };
            let Some(database) = catalog.databases().find(|database| database.id == replacement.database)
            else {
                continue;
            };
            tracing::warn!(table = replacement.name, "a table has waited too long for its replacement");
            let (database, name) = (database.name.clone(), replacement.name.clone());
            metadata.propose(Command::DropTable { database, name, if_exists: true }).await?;
        }
        Ok(())
    }
}

/// Tables that wait for their replacements, and these.
fn waiting_tables(catalog: &Catalog) -> impl Iterator<Item = (TableId, TableId)> {
    let tables = catalog.databases().flat_map(|database| catalog.tables(&database.name));
    tables.filter_map(|table| Some((table.id, table.replacement?)))
}
