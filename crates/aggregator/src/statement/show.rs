//! SHOW and DESCRIBE.

use super::grid::{Cell, Grid};
use super::query::rows_answer;
use super::{Answer, done};
use crate::session::{Level, State};
use sql::statement::{MessageList, Scope, Show, ShowFilter, ShowWhat, TableName};
use types::{Result, SqlError, SqlType, TableDef};

pub(super) const UNSIGNED: SqlType = SqlType::BigInt { unsigned: true };
pub(super) const TEXT: SqlType = SqlType::VarChar(1024);

/// SHOW WARNINGS and SHOW ERRORS leave the messages that they show.
pub(super) fn is_about_messages(what: &ShowWhat) -> bool {
    matches!(what, ShowWhat::Warnings(_) | ShowWhat::Errors(_))
}

impl State {
    pub(crate) fn show(&mut self, show: &Show) -> Result<Answer> {
        let mut grid = self.show_grid(&show.what)?;
        match &show.filter {
            None => {}
            Some(ShowFilter::Like(pattern)) => {
                grid.retain(
                    |row| matches!(row.first(), Some(Cell::Text(text)) if sql::like::like(text, pattern)),
                );
            }
            Some(ShowFilter::Where(_)) => return Err(SqlError::unsupported("SHOW ... WHERE")),
        }
        rows_answer(grid)
    }

    fn show_grid(&self, what: &ShowWhat) -> Result<Grid> {
        Ok(match what {
            ShowWhat::Databases => {
                let mut grid = Grid::of_text(&["Database"]);
                for database in self.catalog.databases() {
                    grid.push(vec![database.name.as_str().into()]);
                }
                grid
            }
            ShowWhat::Tables { database, full } => self.show_tables(database.as_deref(), *full)?,
            ShowWhat::Columns { table, full } => columns_grid(&*self.table(table)?, *full),
            ShowWhat::Index { table } => index_grid(&*self.table(table)?),
            ShowWhat::CreateTable(table) => {
                let def = self.table(table)?;
                let mut grid = Grid::of_text(&["Table", "Create Table"]);
                grid.push(vec![def.name.as_str().into(), sql::ddl::show_create_table(&def).into()]);
                grid
            }
            ShowWhat::CreateDatabase { name, .. } => {
                let database = self.catalog.require_database(name)?;
                let partitions = self.catalog.partitions(database.id).len();
                let mut grid = Grid::of_text(&["Database", "Create Database"]);
                let text = format!("CREATE DATABASE `{}` PARTITIONS {partitions}", name.replace('`', "``"));
                grid.push(vec![name.as_str().into(), text.into()]);
                grid
            }
            ShowWhat::TableStatus { database } => self.table_status(database.as_deref())?,
            ShowWhat::Variables(scope) => {
                let mut grid = Grid::of_text(&["Variable_name", "Value"]);
                for (name, value) in self.variables.list(*scope == Scope::Global) {
                    grid.push(vec![name.into(), value.into()]);
                }
                grid
            }
            ShowWhat::Status(_) => self.status_grid(),
            ShowWhat::Warnings(list) => self.messages_grid(*list, false),
            ShowWhat::Errors(list) => self.messages_grid(*list, true),
            ShowWhat::Engines => {
                let mut grid =
                    Grid::of_text(&["Engine", "Support", "Comment", "Transactions", "XA", "Savepoints"]);
                let comment = "One copy of the data for transactions and analytics";
                grid.push(["Pando", "DEFAULT", comment, "YES", "NO", "NO"].map(Cell::from).to_vec());
                grid
            }
            ShowWhat::CharacterSet => {
                let mut grid = Grid::new([
                    ("Charset", TEXT),
                    ("Description", TEXT),
                    ("Default collation", TEXT),
                    ("Maxlen", UNSIGNED),
                ]);
                grid.push(vec!["utf8mb4".into(), "UTF-8 Unicode".into(), "utf8mb4_bin".into(), 4.into()]);
                grid
            }
            ShowWhat::Collation => {
                let mut grid = Grid::new([
                    ("Collation", TEXT),
                    ("Charset", TEXT),
                    ("Id", UNSIGNED),
                    ("Default", TEXT),
                    ("Compiled", TEXT),
                    ("Sortlen", UNSIGNED),
                    ("Pad_attribute", TEXT),
                ]);
                grid.push(vec![
                    "utf8mb4_bin".into(),
                    "utf8mb4".into(),
                    46.into(),
                    "Yes".into(),
                    "Yes".into(),
                    1.into(),
                    "NO PAD".into(),
                ]);
                grid
            }
            ShowWhat::ProcessList { .. } => self.process_list(),
            ShowWhat::Grants(None) => {
                let mut grid = Grid::of_text(&[&format!("Grants for {}@%", self.user)]);
                grid.push(vec![format!("GRANT ALL PRIVILEGES ON *.* TO `{}`@`%`", self.user).into()]);
                grid
            }
            ShowWhat::Grants(Some(_)) => return Err(SqlError::unsupported("SHOW GRANTS FOR")),
            ShowWhat::Plugins => Grid::of_text(&["Name", "Status", "Type", "Library", "License"]),
            ShowWhat::Triggers { .. } => Grid::of_text(&["Trigger", "Event", "Table", "Statement", "Timing"]),
            ShowWhat::Events { .. } => Grid::of_text(&["Db", "Name", "Definer", "Type", "Status"]),
            ShowWhat::FunctionStatus | ShowWhat::ProcedureStatus => {
                Grid::of_text(&["Db", "Name", "Type", "Definer", "Modified", "Created"])
            }
            ShowWhat::Partitions { database } => self.partitions_grid(database.as_deref())?,
            ShowWhat::CreateView(_) => return Err(SqlError::unsupported("SHOW CREATE VIEW")),
            ShowWhat::CreateUser(_) => return Err(SqlError::unsupported("SHOW CREATE USER")),
            ShowWhat::Privileges => return Err(SqlError::unsupported("SHOW PRIVILEGES")),
            ShowWhat::Profiles => return Err(SqlError::unsupported("SHOW PROFILES")),
            ShowWhat::OpenTables { .. } => return Err(SqlError::unsupported("SHOW OPEN TABLES")),
            ShowWhat::MasterStatus => return Err(SqlError::unsupported("SHOW MASTER STATUS")),
            ShowWhat::ReplicaStatus => return Err(SqlError::unsupported("SHOW REPLICA STATUS")),
            ShowWhat::BinaryLogs => return Err(SqlError::unsupported("SHOW BINARY LOGS")),
            ShowWhat::Leaves => self.leaves_grid(),
            ShowWhat::Aggregators => self.aggregators_grid(),
            ShowWhat::ClusterStatus => self.cluster_status_grid(),
        })
    }

    pub(crate) fn describe(&mut self, table: &TableName, column: Option<&str>) -> Result<Answer> {
        let mut grid = columns_grid(&*self.table(table)?, false);
        if let Some(wanted) = column {
            grid.retain(|row| matches!(&row[0], Cell::Text(name) if sql::like::like(name, wanted)));
        }
        rows_answer(grid)
    }

    fn show_tables(&self, database: Option<&str>, full: bool) -> Result<Grid> {
        let name = self.database_name(database)?;
        self.catalog.require_database(name)?;
        let title = format!("Tables_in_{name}");
        let mut grid = if full { Grid::of_text(&[&title, "Table_type"]) } else { Grid::of_text(&[&title]) };
        for def in self.catalog.tables(name) {
            let mut row: Vec<Cell> = vec![def.name.as_str().into()];
            if full {
                row.push("BASE TABLE".into());
            }
            grid.push(row);
        }
        Ok(grid)
    }

    fn table_status(&self, database: Option<&str>) -> Result<Grid> {
        let name = self.database_name(database)?;
        self.catalog.require_database(name)?;
        let mut grid = Grid::new([
            ("Name", TEXT),
            ("Engine", TEXT),
            ("Version", UNSIGNED),
            ("Collation", TEXT),
            ("Comment", TEXT),
        ]);
        for def in self.catalog.tables(name) {
            grid.push(vec![
                def.name.as_str().into(),
                "Pando".into(),
                def.version.into(),
                "utf8mb4_bin".into(),
                def.comment.as_str().into(),
            ]);
        }
        Ok(grid)
    }

    fn messages_grid(&self, list: MessageList, errors_only: bool) -> Grid {
        let shown = self.messages.iter().filter(|m| !errors_only || m.level == Level::Error);
        if list.count_only {
            let title = if errors_only { "@@session.error_count" } else { "@@session.warning_count" };
            let mut grid = Grid::new([(title, UNSIGNED)]);
            grid.push(vec![(shown.count() as u64).into()]);
            return grid;
        }
        let mut grid = Grid::new([("Level", TEXT), ("Code", UNSIGNED), ("Message", TEXT)]);
        let limit = list.limit.unwrap_or(u64::MAX);
        for message in shown
            .skip(usize::try_from(list.offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
        {
            grid.push(vec![
                message.level.name().into(),
                u64::from(message.errno).into(),
                message.text.as_str().into(),
            ]);
        }
        grid
    }

    fn status_grid(&self) -> Grid {
        let mut grid = Grid::of_text(&["Variable_name", "Value"]);
        for (name, value) in self.aggregator.status() {
            grid.push(vec![name.into(), value.into()]);
        }
        grid
    }

    fn process_list(&self) -> Grid {
        let mut grid = Grid::new([
            ("Id", UNSIGNED),
            ("User", TEXT),
            ("Host", TEXT),
            ("db", TEXT),
            ("Command", TEXT),
            ("Time", UNSIGNED),
            ("State", TEXT),
            ("Info", TEXT),
        ]);
        for process in self.aggregator.processes.list() {
            let command = if process.statement.is_some() { "Query" } else { "Sleep" };
            grid.push(vec![
                process.id.into(),
                process.user.into(),
                process.host.into(),
                process.database.into(),
                command.into(),
                process.seconds.into(),
                (if process.statement.is_some() { "executing" } else { "" }).into(),
                process.statement.into(),
            ]);
        }
        grid
    }

    /// DO: the expressions are evaluated, the values dropped.
    pub(crate) fn evaluate_and_forget(
        &mut self,
        exprs: &[sqlparser::ast::Expr],
        parameters: super::Parameters<'_>,
    ) -> Result<Answer> {
        let tables = self.tables();
        let context = self.bind_context(&tables, &parameters);
        for expr in exprs {
            sql::query::evaluate(expr, &context)?;
        }
        Ok(done())
    }
}

fn columns_grid(def: &TableDef, full: bool) -> Grid {
    let mut grid = if full {
        Grid::of_text(&[
            "Field",
            "Type",
            "Collation",
            "Null",
            "Key",
            "Default",
            "Extra",
            "Privileges",
            "Comment",
        ])
    } else {
        Grid::of_text(&["Field", "Type", "Null", "Key", "Default", "Extra"])
    };
    for (row, column) in sql::ddl::columns_rows(def).into_iter().zip(&def.columns) {
        let mut cells: Vec<Cell> = vec![row.field.into(), row.ty.into()];
        if full {
            cells.push(column.ty.is_string().then_some("utf8mb4_bin").into());
        }
        cells.extend([row.null.into(), row.key.into(), row.default.into(), row.extra.into()]);
        if full {
            cells.extend(["select,insert,update,references".into(), column.comment.as_str().into()]);
        }
        grid.push(cells);
    }
    grid
}

fn index_grid(def: &TableDef) -> Grid {
    let mut grid = Grid::new([
        ("Table", TEXT),
        ("Non_unique", UNSIGNED),
        ("Key_name", TEXT),
        ("Seq_in_index", UNSIGNED),
        ("Column_name", TEXT),
        ("Collation", TEXT),
        ("Cardinality", UNSIGNED),
        ("Sub_part", TEXT),
        ("Packed", TEXT),
        ("Null", TEXT),
        ("Index_type", TEXT),
        ("Comment", TEXT),
        ("Index_comment", TEXT),
    ]);
    let mut add = |key: &str, unique: bool, columns: &[types::ColumnId], kind: &str| {
        for (at, column) in columns.iter().filter_map(|id| def.column(*id)).enumerate() {
            grid.push(vec![
                def.name.as_str().into(),
                u64::from(!unique).into(),
                key.into(),
                (at as u64 + 1).into(),
                column.name.as_str().into(),
                "A".into(),
                Cell::Null,
                Cell::Null,
                Cell::Null,
                (if column.nullable { "YES" } else { "" }).into(),
                kind.into(),
                "".into(),
                "".into(),
            ]);
        }
    };
    add("PRIMARY", true, &def.primary_key, "BTREE");
    for key in &def.keys {
        add(&key.name, key.unique, &key.columns, "BTREE");
    }
    if def.shard_key != def.primary_key {
        add("__SHARDKEY", false, &def.shard_key, "METADATA_ONLY");
    }
    grid
}
