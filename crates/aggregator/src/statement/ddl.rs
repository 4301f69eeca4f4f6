//! CREATE and DROP of databases and tables, TRUNCATE.
//!
//! A schema change is one command to the catalog; then the leaves catch up, so that the next statement
//! of any session finds the table where it belongs.

use super::query::Parameters;
use super::{Answer, done};
use crate::session::{Level, State};
use crate::system_schemas::system_schema;
use catalog::Command;
use mysql_protocol::OkInfo;
use sql::statement::{CreateDatabase, CreateTable, FOREIGN_KEY, KEY_COMMENT, TableName};
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError, TableDef};

/// The greatest number of partitions of a database.
const MAX_PARTITIONS: u32 = 1024;

impl State {
    /// Proposes a change and lets the leaves follow.
    pub(crate) async fn change_catalog(&mut self, command: Command) -> Result<catalog::Outcome> {
        let outcome = self.aggregator.metadata.propose(command).await?;
        self.take_catalog();
        self.catch_up_leaves().await?;
        Ok(outcome)
    }

    pub(crate) async fn create_database(&mut self, create: &CreateDatabase) -> Result<Answer> {
        let partitions = create.partitions.or(self.aggregator.options.partitions);
        if let Some(partitions) = partitions
            && (partitions == 0 || partitions > MAX_PARTITIONS)
        {
            return Err(SqlError::new(
                ErrorKind::WrongArguments,
                format!("PARTITIONS must be from 1 to {MAX_PARTITIONS}, not {partitions}"),
            ));
        }
        if create.if_not_exists && self.catalog.database(&create.name).is_some() {
            let text = format!("Can't create database '{}'; database exists", create.name);
            self.add_message(Level::Note, ErrorKind::DbCreateExists.errno(), text);
            return Ok(OkInfo { affected_rows: 1, ..OkInfo::default() }.into());
        }
        self.change_catalog(Command::CreateDatabase {
            name: create.name.clone(),
            partitions,
            collation: create.collation.unwrap_or_else(|| self.variables.collation("collation_server")),
            if_not_exists: create.if_not_exists,
        })
        .await?;
        Ok(OkInfo { affected_rows: 1, ..OkInfo::default() }.into())
    }

    pub(crate) async fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<Answer> {
        if self.catalog.database(name).is_none() {
            let text = format!("Can't drop database '{name}'; database doesn't exist");
            if if_exists {
                self.add_message(Level::Note, ErrorKind::DbDropExists.errno(), text);
                return Ok(done());
            }
            return Err(SqlError::new(ErrorKind::DbDropExists, text));
        }
        let tables = self.catalog.listed_tables(name).count() as u64;
        self.change_catalog(Command::DropDatabase { name: name.to_string(), if_exists }).await?;
        if self.database.as_deref() == Some(name) {
            self.database = None;
            self.track_database();
        }
        Ok(OkInfo { affected_rows: tables, ..OkInfo::default() }.into())
    }

    pub(crate) async fn create_table(
        &mut self,
        create: &CreateTable,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        if let Some(query) = &create.query {
            return Box::pin(self.create_table_as(create, query, parameters)).await;
        }
        let database = self.database_name(create.name.database.as_deref())?.to_string();
        self.catalog.require_database(&database)?;
        let there = match create.temporary {
            true => self.temporary.has(&database, &create.name.name),
            false => self.catalog.without_shadows().table(&database, &create.name.name).is_some(),
        };
        if create.if_not_exists && there {
            let text = format!("Table '{}' already exists", create.name.name);
            self.add_message(Level::Note, ErrorKind::TableExists.errno(), text);
            return Ok(done());
        }
        let mut def = match &create.like {
            None => {
                let mut create = create.clone();
                create.collation.get_or_insert(self.catalog.require_database(&database)?.collation);
                create.one_partition = self.has_one_partition(&database)?;
                if self.variables.number("pando_binary_unique_keys") == Some(1) {
                    for text in sql::ddl::binary_unique_keys(&mut create) {
                        self.add_message(Level::Warning, ErrorKind::NotSupportedYet.errno(), text);
                    }
                }
                sql::ddl::table_def(&create)?
            }
            Some(other) => {
                let mut def = TableDef::clone(&*self.table(other)?);
                let numbered = format!("{}_chk_", def.name);
                def.name = create.name.name.clone();
                if create.reference {
                    def.reference = true;
                    def.shard_key.clear();
                }
                // MySQL leaves these behind.
                def.foreign_keys.clear();
                for check in &mut def.checks {
                    if let Some(number) = check.name.strip_prefix(&numbered) {
                        check.name = format!("{}_chk_{number}", def.name);
                    }
                }
                sql::ddl::check_collocation(&def, self.has_one_partition(&database)?)?;
                def
            }
        };
        if create.temporary {
            def.name = self.new_kept_name(&database, &create.name.name)?;
        }
        let kept = def.name.clone();
        let id = match self
            .change_catalog(Command::CreateTable {
                database: database.clone(),
                def,
                if_not_exists: create.if_not_exists,
            })
            .await?
        {
            catalog::Outcome::TableCreated(def) => def.id,
            _ => return Ok(done()),
        };
        if create.temporary {
            self.add_temporary(&database, &create.name.name, kept);
        }
        if let Some(start) = create.auto_increment.filter(|start| *start > 1) {
            self.aggregator.ids.raise(id, start - 1).await?;
        }
        self.note_accepted(&create.accepted, ": Pando has one kind of storage");
        Ok(done())
    }

    /// Says of clauses that they change nothing. `why`: of those that are no foreign keys.
    pub(super) fn note_accepted(&mut self, clauses: &[String], why: &str) {
        for clause in clauses {
            if clause.starts_with(FOREIGN_KEY) {
                let text = format!("{clause} is accepted and not enforced");
                self.add_message(Level::Warning, ErrorKind::NotSupportedYet.errno(), text);
            } else if clause.starts_with(KEY_COMMENT) {
                let text = format!("{clause} is not kept");
                self.add_message(Level::Note, ErrorKind::Unknown.errno(), text);
            } else {
                let text = format!("{clause} is accepted and has no effect{why}");
                self.add_message(Level::Note, ErrorKind::Unknown.errno(), text);
            }
        }
    }

    /// Whether all rows of a table of the database lie together.
    pub(super) fn has_one_partition(&self, database: &str) -> Result<bool> {
        let database = self.catalog.require_database(database)?;
        Ok(self.catalog.partitions(database.id).len() == 1)
    }

    pub(crate) async fn drop_tables(
        &mut self,
        tables: &[TableName],
        if_exists: bool,
        temporary: bool,
    ) -> Result<Answer> {
        let mut known = Vec::new();
        let mut missing = Vec::new();
        for table in tables {
            let database = self.database_name(table.database.as_deref())?.to_string();
            // The session's own table comes before one that is there for everybody.
            if temporary && !self.temporary.has(&database, &table.name) {
                missing.push(format!("{database}.{}", table.name));
                continue;
            }
            match self.catalog.table(&database, &table.name) {
                Some(_) => known.push((database, table.name.clone())),
                None => missing.push(format!("{database}.{}", table.name)),
            }
        }
        if !missing.is_empty() {
            let text = format!("Unknown table '{}'", missing.join(","));
            if !if_exists {
                return Err(SqlError::new(ErrorKind::UnknownTable, text));
            }
            self.add_message(Level::Note, ErrorKind::UnknownTable.errno(), text);
        }
        for (database, name) in known {
            if self.temporary.has(&database, &name) {
                self.remove_temporary(&database, &name);
                continue;
            }
            self.change_catalog(Command::DropTable { database, name, if_exists }).await?;
        }
        Ok(done())
    }

    /// TRUNCATE: the table is dropped and made again empty, under a new id.
    pub(crate) async fn truncate(&mut self, table: &TableName) -> Result<Answer> {
        let def: Arc<TableDef> = self.table(table)?;
        let database = self.database_name(table.database.as_deref())?.to_string();
        let name = self.kept_name(&database, &def.name);
        self.change_catalog(Command::TruncateTable { database, name }).await?;
        Ok(done())
    }

    /// USE and the protocol's INIT_DB.
    pub(crate) fn use_database(&mut self, name: &str) -> Result<()> {
        self.privileges.require_touch(name)?;
        self.require_schema(name)?;
        self.database = Some(system_schema(name).unwrap_or(name).to_string());
        self.track_database();
        Ok(())
    }
}
