//! ALTER TABLE, CREATE INDEX, DROP INDEX and RENAME TABLE.
//!
//! A change that leaves stored rows as they are is a new version of the definition: one command to the catalog,
//! then every partition takes it up. Where rows have to be copied see `rebuild.rs`. From then on writes follow the new version, and a transaction
//! that wrote under the old one fails with 1412.
//!
//! A new unique key is checked against the rows that are there twice: before, so that a key that cannot
//! be is not made, and after, when no writer can add duplicates any more, for what came between. If
//! those contradict it the key goes again.

use super::query::Parameters;
use super::running::partitions_read;
use super::{Answer, done};
use crate::session::{Level, State};
use catalog::{Command, Outcome};
use mysql_protocol::OkInfo;
use sql::ddl::{Altered, quote_name};
use sql::query::BoundQuery;
use sql::statement::{AlterTable, Statement, TableName};
use std::sync::Arc;
use types::{ColumnId, ErrorKind, Result, SqlError, TableDef, Value};

/// How often a change is tried again because another one came before it.
const ROUNDS: usize = 10;

impl State {
    pub(crate) async fn alter_table(&mut self, alter: &AlterTable) -> Result<Answer> {
        for _ in 0..ROUNDS {
            let def = self.table(&alter.table)?;
            let database = self.database_name(alter.table.database.as_deref())?.to_string();
            let one_partition = self.has_one_partition(&database)?;
            let context = self.convert_context();
            let mut altered = sql::ddl::altered(&def, alter, &context, one_partition, false)?;
            if altered.rewrites.is_none() && !has_initial_values(&altered.def) {
                altered = sql::ddl::altered(&def, alter, &context, one_partition, true)?;
            }
            if self.temporary.has(&database, &alter.table.name) {
                if altered.def.name != def.name {
                    return Err(SqlError::unsupported("another name for a TEMPORARY table"));
                }
                altered.def.name = self.kept_name(&database, &def.name);
            }
            if altered.new_database.as_ref().is_some_and(|other| *other != database) {
                return Err(SqlError::unsupported("RENAME TABLE to another database"));
            }
            let copied = match altered.rewrites {
                Some(_) => self.rebuild(&database, &def, &altered).await?,
                None => self.alter_at_once(&database, &def, &altered).await?.then_some(0),
            };
            let Some(copied) = copied else {
                // Somebody else changed the table meanwhile.
                self.take_catalog();
                continue;
            };
            self.note_accepted(&alter.accepted, "");
            if alter.switches_keys {
                let text =
                    format!("Table storage engine for '{}' doesn't have this option", alter.table.name);
                self.add_message(Level::Note, ErrorKind::IllegalHandler.errno(), text);
            }
            let info = format!("Records: {copied}  Duplicates: 0  Warnings: {}", self.warning_count());
            return Ok(OkInfo { affected_rows: copied, last_insert_id: 0, info }.into());
        }
        Err(catalog::definition_changed())
    }

    /// Changes the definition alone. False: `def` is not the newest.
    async fn alter_at_once(
        &mut self,
        database: &str,
        def: &Arc<TableDef>,
        altered: &Altered,
    ) -> Result<bool> {
        for key in &altered.new_unique {
            // Columns that are new have one value in all rows, and are not there to be looked at.
            let old_columns = key_columns(&altered.def, key).iter().all(|id| def.column(*id).is_some());
            if old_columns {
                self.check_unique(database, def, &altered.def, key).await?;
            }
        }
        for name in &altered.new_checks {
            self.check_rows(database, &def.name, &altered.def, name).await?;
        }
        let Some(new) = self.install(def, altered.def.clone()).await? else { return Ok(false) };
        self.after_change(database, &new, altered).await?;
        Ok(true)
    }

    /// Binds a query of the statement's own, to which nobody's rights matter.
    pub(super) async fn bind_own(&mut self, database: &str, table: &str, text: &str) -> Result<BoundQuery> {
        let Statement::Query(query) = sql::parse::parse_one(text)?.statement else {
            return Err(SqlError::internal("what a statement asks of a table is no query"));
        };
        let rights = self.privileges.clone();
        self.privileges.own_table(database, table);
        let bound = self.bind(&query, Parameters { values: &[], text }).await;
        self.privileges = rights;
        bound
    }

    /// Whether a query finds rows.
    async fn has_rows(&mut self, database: &str, table: &str, text: &str) -> Result<bool> {
        let bound = self.bind_own(database, table, text).await?;
        let ts = self.read_timestamp(&partitions_read(&bound.plan)?).await?;
        let (rows, _) = self.collect(&self.plan(bound.plan).await?, ts).await?;
        Ok(rows.iter().any(|batch| batch.num_rows() > 0))
    }

    /// The new version; None if `old` is not the newest.
    async fn install(&mut self, old: &TableDef, new: TableDef) -> Result<Option<Arc<TableDef>>> {
        if new == *old {
            return Ok(Some(Arc::new(new)));
        }
        match self.change_catalog(Command::AlterTable { def: new, expected_version: old.version }).await {
            Ok(Outcome::TableAltered(new)) => Ok(Some(new)),
            Ok(_) => Err(SqlError::internal("the catalog altered no table")),
            Err(error) if error.kind == ErrorKind::TableDefinitionChanged => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// That no row of a table violates a constraint of the definition: 3819.
    async fn check_rows(&mut self, database: &str, table: &str, def: &TableDef, name: &str) -> Result<()> {
        let Some(check) = def.checks.iter().find(|check| check.name == name) else { return Ok(()) };
        let place = format!("{}.{}", quote_name(database), quote_name(table));
        let text = format!("SELECT 1 FROM {place} WHERE NOT ({}) LIMIT 1", check.expression);
        if self.has_rows(database, table, &text).await? {
            return Err(SqlError::new(
                ErrorKind::CheckConstraintViolated,
                format!("Check constraint '{name}' is violated."),
            ));
        }
        Ok(())
    }

    async fn after_change(&mut self, database: &str, new: &Arc<TableDef>, altered: &Altered) -> Result<()> {
        for name in &altered.new_checks {
            let Err(error) = self.check_rows(database, &new.name, new, name).await else { continue };
            let mut without = TableDef::clone(new);
            without.checks.retain(|other| !altered.new_checks.contains(&other.name));
            if self.install(new, without).await?.is_none() {
                tracing::warn!(table = %new.name, name, "a constraint that rows violate was changed by another statement");
            }
            return Err(error);
        }
        if let Some(next) = altered.auto_increment.filter(|next| *next > 1) {
            self.aggregator.ids.raise(new.id, next - 1).await?;
        }
        for key in &altered.new_unique {
            let Err(error) = self.check_unique(database, new, new, key).await else { continue };
            let mut without = TableDef::clone(new);
            without.keys.retain(|other| !altered.new_unique.contains(&other.name));
            if self.install(new, without).await?.is_none() {
                tracing::warn!(table = %new.name, key, "a unique key that rows contradict was changed by another statement");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Looks for rows that are equal in a key of `keyed`; 1062 for the first. The rows are read by the
    /// names of `def`.
    async fn check_unique(
        &mut self,
        database: &str,
        def: &TableDef,
        keyed: &TableDef,
        key: &str,
    ) -> Result<()> {
        let names: Vec<String> =
            def.shown_columns(key_columns(keyed, key)).map(|column| quote_name(&column.name)).collect();
        let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        let text = format!(
            "SELECT CONCAT_WS('-', {columns}) FROM {database}.{table} WHERE {present} \
             GROUP BY {columns} HAVING COUNT(*) > 1 LIMIT 1",
            columns = names.join(", "),
            database = quote_name(database),
            table = quote_name(&def.name),
            present = present.join(" AND "),
        );
        let bound = self.bind_own(database, &def.name, &text).await?;
        let ts = self.read_timestamp(&partitions_read(&bound.plan)?).await?;
        let (rows, _) = self.collect(&self.plan(bound.plan).await?, ts).await?;
        let Some(found) = rows.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let value = match sql::convert::value_at(found.column(0), bound.columns[0].ty, 0) {
            Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        Err(SqlError::new(
            ErrorKind::DuplicateKey,
            format!("Duplicate entry '{value}' for key '{}.{key}'", def.name),
        ))
    }

    /// RENAME TABLE: one after the other, from left to right, so that names can be swapped. If one
    /// fails those before it are taken back.
    pub(crate) async fn rename_tables(&mut self, renames: &[(TableName, TableName)]) -> Result<Answer> {
        let mut renamed: Vec<(TableName, TableName)> = Vec::new();
        for (from, to) in renames {
            match self.rename_table(from, to).await {
                Ok(()) => renamed.push((from.clone(), to.clone())),
                Err(error) => {
                    for (from, to) in renamed.iter().rev() {
                        if let Err(failure) = self.rename_table(to, from).await {
                            tracing::warn!(%failure, table = to.name, "a table keeps its new name");
                        }
                    }
                    return Err(error);
                }
            }
        }
        Ok(done())
    }

    async fn rename_table(&mut self, from: &TableName, to: &TableName) -> Result<()> {
        let database = self.database_name(from.database.as_deref())?.to_string();
        if self.database_name(to.database.as_deref())? != database {
            return Err(SqlError::unsupported("RENAME TABLE to another database"));
        }
        sql::ddl::check_table_name(&to.name)?;
        if self.temporary.has(&database, &from.name) {
            return Err(SqlError::unsupported("another name for a TEMPORARY table"));
        }
        for _ in 0..ROUNDS {
            let def = self.table(from)?;
            if def.name == to.name {
                return Err(SqlError::new(
                    ErrorKind::TableExists,
                    format!("Table '{}' already exists", to.name),
                ));
            }
            let new = TableDef { name: to.name.clone(), ..TableDef::clone(&def) };
            if self.install(&def, new).await?.is_some() {
                return Ok(());
            }
            self.take_catalog();
        }
        Err(catalog::definition_changed())
    }
}

fn key_columns<'d>(def: &'d TableDef, key: &str) -> &'d [ColumnId] {
    def.keys.iter().find(|other| other.name == key).map(|key| key.columns.as_slice()).unwrap_or_default()
}

/// Whether storage can give old rows a value in every column.
fn has_initial_values(def: &TableDef) -> bool {
    let mut added = def.columns.iter().filter(|column| column.initial.is_some());
    added.all(|column| columnstore::segment::default_value(column).is_ok())
}
