//! Temporary tables: each is there for one session alone, and goes with it.
//!
//! One is an ordinary table in its database under a name that no statement can give, which nothing lists. The
//! session sees the catalog with its own tables laid over it ([`Catalog::with_shadows`]) by the names that it
//! gave them, each before a permanent table of that name. So whatever looks a table up finds it; what changes
//! the catalog asks for the name that is kept ([`State::kept_name`]), and views see the catalog without.
//!
//! They are dropped when the session ends or is reset. What a crash leaves is dropped by the same aggregator
//! once it is there again: names begin with its number and the moment of its start.
//!
//! A table that a statement works on and nobody is to see (see `statement/rebuild.rs`) is kept in the same way.
//!
//! A table that is dropped within a transaction stays until that has ended, since its rows may be part of it.

use super::State;
use crate::server::Aggregator;
use catalog::{Catalog, Command};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::schema::TEMPORARY_PREFIX;
use types::{ErrorKind, NodeId, Result, SqlError};

/// The temporary tables of a session.
#[derive(Default)]
pub(crate) struct TemporaryTables {
    /// By database and the name that the session gave, the name that is kept.
    kept: BTreeMap<(String, String), String>,
    /// Database and kept name of those that are dropped and still there.
    gone: Vec<(String, String)>,
    /// Rises with each change.
    changes: u64,
    /// The last catalog with these tables over it, and of which version and change it is.
    seen: Option<(u64, u64, Arc<Catalog>)>,
}

/// How the kept names of a node's tables begin.
fn of_node(node: NodeId) -> String {
    format!("{TEMPORARY_PREFIX}{}-", node.0)
}

/// How the kept names of an aggregator's tables begin. `started`: a number that no earlier start had.
pub(crate) fn prefix(node: NodeId, started: u64) -> String {
    format!("{}{started:x}-", of_node(node))
}

impl TemporaryTables {
    pub(crate) fn has(&self, database: &str, name: &str) -> bool {
        !self.kept.is_empty() && self.kept.contains_key(&(database.to_string(), name.to_string()))
    }

    /// Whether there are any.
    pub(crate) fn any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Database and name of each.
    pub(super) fn names(&self) -> Arc<BTreeSet<(String, String)>> {
        if self.kept.is_empty() { Arc::default() } else { Arc::new(self.kept.keys().cloned().collect()) }
    }

    /// The catalog as the session sees it.
    fn over(&mut self, catalog: Arc<Catalog>) -> Arc<Catalog> {
        if self.kept.is_empty() {
            self.seen = None;
            return catalog;
        }
        match &self.seen {
            Some((version, changes, seen)) if *version == catalog.version() && *changes == self.changes => {
                seen.clone()
            }
            _ => {
                let names = self
                    .kept
                    .iter()
                    .map(|((database, name), kept)| (database.as_str(), name.as_str(), kept.as_str()));
                let seen = Arc::new(catalog.with_shadows(names));
                self.seen = Some((catalog.version(), self.changes, seen.clone()));
                seen
            }
        }
    }
}

impl State {
    /// Takes the newest catalog.
    pub(crate) fn take_catalog(&mut self) {
        let newest = self.aggregator.metadata.snapshot();
        self.catalog = self.temporary.over(newest);
    }

    /// The name that the catalog keeps a table by.
    pub(crate) fn kept_name(&self, database: &str, name: &str) -> String {
        let kept = self.temporary.kept.get(&(database.to_string(), name.to_string()));
        kept.cloned().unwrap_or_else(|| name.to_string())
    }

    /// A name for a new temporary table. Error: 1050.
    pub(crate) fn new_kept_name(&self, database: &str, name: &str) -> Result<String> {
        if self.temporary.has(database, name) {
            return Err(SqlError::new(ErrorKind::TableExists, format!("Table '{name}' already exists")));
        }
        Ok(self.hidden_name())
    }

    fn hidden_name(&self) -> String {
        let number = self.aggregator.next_temporary.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}", self.aggregator.temporary_prefix)
    }

    /// A name for a table that the statement alone works on: it is dropped when that has ended, unless it has
    /// got another name by then.
    pub(crate) fn hidden_table(&mut self, database: &str) -> String {
        let name = self.hidden_name();
        self.temporary.gone.push((database.to_string(), name.clone()));
        name
    }

    /// The table of a statement has got another name.
    pub(crate) fn keep_hidden_table(&mut self, name: &str) {
        self.temporary.gone.retain(|(_, gone)| gone != name);
    }

    /// A temporary table was made.
    pub(crate) fn add_temporary(&mut self, database: &str, name: &str, kept: String) {
        self.temporary.kept.insert((database.to_string(), name.to_string()), kept);
        self.temporary.changes += 1;
        self.see_catalog();
    }

    /// Takes a temporary table out of the session. It is dropped with [`State::drop_gone`].
    pub(crate) fn remove_temporary(&mut self, database: &str, name: &str) {
        let key = (database.to_string(), name.to_string());
        if let Some(kept) = self.temporary.kept.remove(&key) {
            self.temporary.gone.push((key.0, kept));
            self.temporary.changes += 1;
            self.see_catalog();
        }
    }

    /// Drops what the session has no more, unless a transaction is open.
    pub(crate) async fn drop_gone(&mut self) {
        if self.transaction.is_some() {
            return;
        }
        for (database, name) in std::mem::take(&mut self.temporary.gone) {
            let dropped = self
                .change_catalog(Command::DropTable { database, name: name.clone(), if_exists: true })
                .await;
            if let Err(error) = dropped {
                // It is found again after the next start.
                tracing::warn!(table = name, %error, "a temporary table was not dropped");
            }
        }
    }

    /// The session ends, or begins anew: its transaction must be over.
    pub(crate) async fn drop_all_temporary(&mut self) {
        for ((database, _), kept) in std::mem::take(&mut self.temporary.kept) {
            self.temporary.gone.push((database, kept));
        }
        self.temporary.changes += 1;
        self.drop_gone().await;
    }

    /// A message with the names that the session knows.
    pub(crate) fn known_names(&self, mut text: String) -> String {
        if text.contains(TEMPORARY_PREFIX) {
            for ((_, name), kept) in &self.temporary.kept {
                text = text.replace(kept.as_str(), name);
            }
        }
        text
    }
}

impl State {
    pub(crate) fn with_known_names(&self, error: SqlError) -> SqlError {
        SqlError { message: self.known_names(error.message), ..error }
    }
}

impl Aggregator {
    /// Drops the temporary tables of earlier starts of this aggregator.
    pub(crate) async fn drop_left_tables(&self) -> Result<()> {
        let catalog = self.metadata.snapshot();
        let of_node = of_node(self.options.node);
        for database in catalog.databases() {
            let is_left =
                |name: &str| name.starts_with(&of_node) && !name.starts_with(&self.temporary_prefix);
            for table in catalog.tables(&database.name).filter(|table| is_left(&table.name)) {
                let (database, name) = (database.name.clone(), table.name.clone());
                self.metadata.propose(Command::DropTable { database, name, if_exists: true }).await?;
            }
        }
        Ok(())
    }
}
