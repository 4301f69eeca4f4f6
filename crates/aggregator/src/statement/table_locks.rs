//! LOCK TABLES .. READ and UNLOCK TABLES, as dumps send them.
//!
//! Nobody else is kept from writing. What the session that locks is promised holds all the same, that the
//! tables stay as they are while it reads them: it reads one snapshot of everything, in a transaction that
//! changes nothing but its temporary tables, until it unlocks. A note says so.

use super::{Answer, done};
use crate::session::{Level, State};
use catalog::Privilege;
use sql::statement::{Statement, TableName};
use std::collections::BTreeSet;
use types::{ErrorKind, Result, SqlError, TableDef};

const NOTE: &str = "LOCK TABLES .. READ keeps nobody from writing: this session reads one snapshot of all tables \
                    until UNLOCK TABLES";

impl State {
    pub(crate) async fn lock_tables(&mut self, tables: &[TableName]) -> Result<Answer> {
        let mut locked = BTreeSet::new();
        for table in tables {
            if self.named_view(table)?.is_none() {
                self.shown_table(table)?;
            }
            let database = self.database_name(table.database.as_deref())?;
            locked.insert((database.to_string(), table.name.clone()));
        }
        self.begin(Some(true), true).await?;
        self.open_transaction()?.locked = Some(locked);
        self.add_message(Level::Note, ErrorKind::NotSupportedYet.errno(), NOTE);
        Ok(done())
    }

    /// Ends what LOCK TABLES began; else it does nothing.
    pub(crate) async fn unlock_tables(&mut self) -> Result<Answer> {
        if self.locks_tables() {
            self.commit().await?;
        }
        Ok(done())
    }

    pub(super) fn may_lock_tables(&self, tables: &[TableName]) -> Result<()> {
        tables.iter().try_for_each(|table| {
            let database = self.database_name(table.database.as_deref())?;
            self.privileges.require_readable(database, &table.name)?;
            if crate::system_schemas::system_schema(database).is_some() {
                return Ok(());
            }
            self.privileges.require_on_database(Privilege::LockTables, database)
        })
    }

    /// Whether what LOCK TABLES began has not ended.
    pub(super) fn locks_tables(&self) -> bool {
        self.transaction.as_ref().is_some_and(|txn| txn.locked.is_some())
    }

    /// That LOCK TABLES does not keep the session from changing rows of a table. Errors: 1099, 1100.
    pub(super) fn may_write(&self, def: &TableDef) -> Result<()> {
        // The session's own table has another name in `def`.
        let is_own = || self.catalog.table_by_id(def.id).is_some_and(|kept| kept.is_temporary());
        if !self.locks_tables() || is_own() {
            return Ok(());
        }
        let database = self.catalog.database_by_id(def.database);
        self.refuse_locked(database.map_or("", |database| &database.name), &def.name)
    }

    /// That LOCK TABLES does not keep the session from a statement which changes definitions. Errors: 1099, 1100,
    /// 1192; 1235 for what would end the transaction.
    pub(super) fn may_define(&self, statement: &Statement) -> Result<()> {
        if !self.locks_tables() {
            return Ok(());
        }
        match statement {
            Statement::CreateDatabase(_)
            | Statement::DropDatabase { .. }
            | Statement::CreateView(_)
            | Statement::DropView { .. } => Err(SqlError::new(
                ErrorKind::LockOrActiveTransaction,
                "Can't execute the given command because you have active locked tables or an active transaction",
            )),
            Statement::CreateTable(create) if !create.temporary => self.refuse_locked_name(&create.name),
            Statement::DropTable { tables, temporary: false, .. } => tables.iter().try_for_each(|table| {
                if self.names_temporary(table)? { Ok(()) } else { self.refuse_locked_name(table) }
            }),
            Statement::Truncate(table) => self.refuse_change(table),
            Statement::AlterTable(alter) => self.refuse_change(&alter.table),
            Statement::RenameTables(renames) => {
                renames.iter().try_for_each(|(from, _)| self.refuse_change(from))
            }
            _ => Ok(()),
        }
    }

    /// Whether a name means a temporary table.
    fn names_temporary(&self, table: &TableName) -> Result<bool> {
        let database = self.database_name(table.database.as_deref())?;
        Ok(self.temporary.has(database, &table.name))
    }

    fn refuse_change(&self, table: &TableName) -> Result<()> {
        if !self.names_temporary(table)? {
            return self.refuse_locked_name(table);
        }
        let text = "ALTER TABLE and TRUNCATE of a temporary table under LOCK TABLES: run UNLOCK TABLES first";
        Err(SqlError::unsupported(text))
    }

    fn refuse_locked_name(&self, table: &TableName) -> Result<()> {
        self.refuse_locked(self.database_name(table.database.as_deref())?, &table.name)
    }

    /// Why a table may not be changed under LOCK TABLES: 1099 if that names it, else 1100.
    fn refuse_locked(&self, database: &str, name: &str) -> Result<()> {
        let locked = self.transaction.as_ref().and_then(|txn| txn.locked.as_ref());
        let key = (database.to_string(), name.to_string());
        Err(if locked.is_some_and(|locked| locked.contains(&key)) {
            let text = format!("Table '{name}' was locked with a READ lock and can't be updated");
            SqlError::new(ErrorKind::TableNotLockedForWrite, text)
        } else {
            let text = format!("Table '{name}' was not locked with LOCK TABLES");
            SqlError::new(ErrorKind::TableNotLocked, text)
        })
    }
}
