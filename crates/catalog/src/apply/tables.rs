//! CREATE, ALTER, DROP and TRUNCATE TABLE.
//!
//! A table is replaced by another one in two steps, since leaves learn of a change one after the other, and no
//! row may be written to the old table that the new one lacks. First its definition names the replacement: a
//! leaf that knows that changes no row of it any more. Once all of them do, the one takes the place of the
//! other. Dropping the replacement takes the first step back, so whoever finds a table waiting for too long may
//! do that: the second step then fails.
//!
//! What the statement means is the binder's matter. Here stands what every process relies on: that
//! names and ids in a definition are unique, that keys name columns that exist, and that the id of
//! a dropped column never returns.

use super::{check_length, is_name, refuse_system_database, take_id};
use crate::state::{no_such_table, unknown_database};
use crate::{Catalog, Outcome};
use std::collections::HashSet;
use std::sync::Arc;
use types::{ColumnId, ErrorKind, SqlError, TableDef, TableId};

impl Catalog {
    pub(super) fn create_table(
        &mut self,
        database: &str,
        def: &TableDef,
        if_not_exists: bool,
    ) -> Result<Outcome, SqlError> {
        refuse_system_database(database)?;
        let database = self.require_database(database)?.clone();
        if self.table(&database.name, &def.name).is_some() || self.view(&database.name, &def.name).is_some() {
            let error = table_exists(&def.name);
            return if if_not_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        }
        check(def)?;
        let mut def = def.clone();
        def.id = TableId(take_id(&mut self.next.table)?);
        def.database = database.id;
        def.version = 1;
        def.replacement = None;
        let def = Arc::new(def);
        self.insert_table(def.clone());
        Ok(Outcome::TableCreated(def))
    }

    /// Puts a definition into the maps, instead of an older one of the same name and id, if there.
    pub(crate) fn insert_table(&mut self, def: Arc<TableDef>) {
        Arc::make_mut(&mut self.table_ids).insert(def.id, def.clone());
        let tables = Arc::make_mut(&mut self.tables).entry(def.database).or_default();
        Arc::make_mut(tables).insert(def.name.clone(), def);
    }

    fn remove_table(&mut self, def: &TableDef) {
        Arc::make_mut(&mut self.table_ids).remove(&def.id);
        if let Some(tables) = Arc::make_mut(&mut self.tables).get_mut(&def.database) {
            Arc::make_mut(tables).remove(&def.name);
        }
    }

    pub(super) fn alter_table(&mut self, def: &TableDef, expected_version: u64) -> Result<Outcome, SqlError> {
        // A table that is gone has changed, too: the statement is bound again and then says so.
        let old = self.of_version(def.id, expected_version)?;
        if def.database != old.database {
            return Err(SqlError::unsupported("RENAME TABLE to another database"));
        }
        if def.shard_key != old.shard_key || def.reference != old.reference {
            return Err(SqlError::unsupported("ALTER TABLE that changes the shard key"));
        }
        check(def)?;
        for column in &def.columns {
            if column.id < old.next_column_id && old.column(column.id).is_none() {
                return Err(SqlError::internal(format!(
                    "Column '{}' has the id {} of a column that was dropped",
                    column.name, column.id
                )));
            }
        }
        if def.next_column_id < old.next_column_id {
            return Err(SqlError::internal(format!("The column ids of table '{}' would run back", def.name)));
        }
        let renamed = def.name != old.name;
        if renamed {
            self.refuse_taken(&old, &def.name)?;
        }
        let new = Arc::new(TableDef { version: expected_version + 1, ..def.clone() });
        if renamed {
            self.remove_table(&old);
        }
        self.insert_table(new.clone());
        Ok(Outcome::TableAltered(new))
    }

    /// A table, if it still has this version. A table that is gone has changed, too: the statement is bound
    /// again and then says so.
    fn of_version(&self, table: TableId, version: u64) -> Result<Arc<TableDef>, SqlError> {
        self.table_by_id(table).filter(|def| def.version == version).cloned().ok_or_else(definition_changed)
    }

    /// 1050 if something else has the name that a table is to get.
    fn refuse_taken(&self, def: &TableDef, name: &str) -> Result<(), SqlError> {
        let is_taken = self.tables.get(&def.database).is_some_and(|tables| tables.contains_key(name))
            || self.views.contains_key(&(def.database, name.to_string()));
        if is_taken { Err(table_exists(name)) } else { Ok(()) }
    }

    pub(super) fn replace_table(
        &mut self,
        table: TableId,
        by: TableId,
        expected_version: u64,
        name: &str,
    ) -> Result<Outcome, SqlError> {
        let old = self.of_version(table, expected_version)?;
        let waits = old.replacement == Some(by);
        let Some(new) = self.table_by_id(by).filter(|new| waits && new.database == old.database).cloned()
        else {
            return Err(definition_changed());
        };
        if name != old.name {
            self.refuse_taken(&old, name)?;
        }
        let placed = TableDef { name: name.to_string(), version: new.version + 1, ..TableDef::clone(&new) };
        check(&placed)?;
        self.remove_table(&old);
        self.forget_ids(old.id);
        self.remove_table(&new);
        let placed = Arc::new(placed);
        self.insert_table(placed.clone());
        Ok(Outcome::TableAltered(placed))
    }

    /// The tables that waited for this one keep what they have.
    fn give_up_replacement(&mut self, by: &TableDef) {
        let waiting = |def: &&Arc<TableDef>| def.replacement == Some(by.id);
        let tables = self.tables.get(&by.database).into_iter().flat_map(|tables| tables.values());
        let waiting: Vec<Arc<TableDef>> = tables.filter(waiting).cloned().collect();
        for def in waiting {
            let version = def.version + 1;
            self.insert_table(Arc::new(TableDef { version, replacement: None, ..TableDef::clone(&def) }));
        }
    }

    pub(super) fn drop_table(
        &mut self,
        database: &str,
        name: &str,
        if_exists: bool,
    ) -> Result<Outcome, SqlError> {
        refuse_system_database(database)?;
        let Some(def) = self.table(database, name).cloned() else {
            let error = if self.database(database).is_none() {
                unknown_database(database)
            } else {
                SqlError::new(ErrorKind::UnknownTable, format!("Unknown table '{database}.{name}'"))
            };
            return if if_exists { Ok(Outcome::Unchanged(error)) } else { Err(error) };
        };
        self.remove_table(&def);
        self.forget_ids(def.id);
        self.give_up_replacement(&def);
        Ok(Outcome::TableDropped(def))
    }

    pub(super) fn take_ids(&mut self, table: TableId, count: u64) -> Result<Outcome, SqlError> {
        let first = self.next_value(table)?;
        let next = first.checked_add(count).ok_or_else(|| {
            SqlError::new(ErrorKind::OutOfRange, "The AUTO_INCREMENT values of this table are used up")
        })?;
        Arc::make_mut(&mut self.next_values).insert(table, next);
        Ok(Outcome::Ids { first })
    }

    pub(super) fn raise_ids(&mut self, table: TableId, above: u64) -> Result<Outcome, SqlError> {
        let next = self.next_value(table)?.max(above.saturating_add(1));
        Arc::make_mut(&mut self.next_values).insert(table, next);
        Ok(Outcome::Done)
    }

    fn next_value(&self, table: TableId) -> Result<u64, SqlError> {
        if self.table_by_id(table).is_none() {
            return Err(definition_changed());
        }
        Ok(self.next_values.get(&table).copied().unwrap_or(1))
    }

    /// A dropped table's counter goes with it.
    pub(super) fn forget_ids(&mut self, table: TableId) {
        if self.next_values.contains_key(&table) {
            Arc::make_mut(&mut self.next_values).remove(&table);
        }
    }

    pub(super) fn truncate_table(&mut self, database: &str, name: &str) -> Result<Outcome, SqlError> {
        refuse_system_database(database)?;
        self.require_database(database)?;
        let old = self.table(database, name).cloned().ok_or_else(|| no_such_table(database, name))?;
        let id = TableId(take_id(&mut self.next.table)?);
        let new = Arc::new(TableDef { id, version: 1, replacement: None, ..TableDef::clone(&old) });
        self.remove_table(&old);
        self.forget_ids(old.id);
        self.insert_table(new.clone());
        Ok(Outcome::TableTruncated { old, new })
    }
}

/// Who changes or reads a table by another definition than it has by now.
pub fn definition_changed() -> SqlError {
    SqlError::new(ErrorKind::TableDefinitionChanged, "Table definition has changed, please retry transaction")
}

pub(super) fn table_exists(name: &str) -> SqlError {
    SqlError::new(ErrorKind::TableExists, format!("Table '{name}' already exists"))
}

fn check(def: &TableDef) -> Result<(), SqlError> {
    if !is_name(&def.name) {
        return Err(SqlError::new(ErrorKind::WrongTableName, format!("Incorrect table name '{}'", def.name)));
    }
    check_length(&def.name)?;
    if def.columns.is_empty() {
        return Err(SqlError::new(ErrorKind::TableWithoutColumns, "A table must have at least 1 column"));
    }
    let mut names = HashSet::new();
    let mut ids = HashSet::new();
    for column in &def.columns {
        if !is_name(&column.name) {
            return Err(SqlError::new(
                ErrorKind::WrongColumnName,
                format!("Incorrect column name '{}'", column.name),
            ));
        }
        check_length(&column.name)?;
        if !names.insert(column.name.to_lowercase()) {
            return Err(SqlError::new(
                ErrorKind::DuplicateColumn,
                format!("Duplicate column name '{}'", column.name),
            ));
        }
        if !ids.insert(column.id) || column.id >= def.next_column_id {
            return Err(SqlError::internal(format!(
                "Column '{}' has the id {}, which is taken or not given yet",
                column.name, column.id
            )));
        }
    }
    let check_columns = |columns: &[ColumnId]| {
        let mut seen = HashSet::new();
        for id in columns {
            let Some(column) = def.column(*id) else {
                return Err(SqlError::new(
                    ErrorKind::KeyColumnMissing,
                    format!("Key column '{id}' doesn't exist in table"),
                ));
            };
            if !seen.insert(*id) {
                return Err(SqlError::new(
                    ErrorKind::DuplicateColumn,
                    format!("Duplicate column name '{}'", column.name),
                ));
            }
        }
        Ok(())
    };
    if def.reference && !def.shard_key.is_empty() {
        return Err(SqlError::internal(format!("The reference table '{}' has a shard key", def.name)));
    }
    check_columns(&def.shard_key)?;
    check_columns(&def.sort_key)?;
    check_columns(&def.primary_key)?;
    let mut names = HashSet::new();
    for key in &def.keys {
        check_length(&key.name)?;
        check_columns(&key.columns)?;
        if !names.insert(key.name.to_lowercase()) {
            return Err(SqlError::new(ErrorKind::DupKeyName, format!("Duplicate key name '{}'", key.name)));
        }
    }
    Ok(())
}
