//! SHOW and DESCRIBE.

use super::Answer;
use super::grid::{Cell, Grid};
use super::query::{Parameters, rows_answer};
use super::show_empty::empty_grid;
use crate::session::{Level as MessageLevel, State};
use crate::system_schemas::{self, ENGINE, ENGINE_COMMENT, system_schema};
use catalog::{Level, Privilege};
use mysql_protocol::{ColumnFlags, ColumnMeta, ListedField, Plugin};
use sql::statement::{MessageList, Scope, Show, ShowFilter, ShowWhat, Statement, TableName};
use sqlparser::ast;
use std::ops::ControlFlow;
use types::{ErrorKind, Result, SqlError, SqlType, TableDef, Value};

pub(super) const UNSIGNED: SqlType = SqlType::BigInt { unsigned: true };
pub(super) const TEXT: SqlType = SqlType::VarChar(1024);

/// SHOW WARNINGS and SHOW ERRORS leave the messages that they show.
pub(super) fn is_about_messages(what: &ShowWhat) -> bool {
    matches!(what, ShowWhat::Warnings(_) | ShowWhat::Errors(_))
}

impl State {
    pub(crate) async fn show(&mut self, show: &Show, parameters: Parameters<'_>) -> Result<Answer> {
        let mut grid = self.show_grid(&show.what).await?;
        match &show.filter {
            None => {}
            Some(ShowFilter::Like(pattern)) => {
                if matches!(show.what, ShowWhat::Databases | ShowWhat::Tables { .. }) {
                    grid.add_to_first_title(&format!(" ({pattern})"));
                }
                grid.retain(
                    |row| matches!(row.first(), Some(Cell::Text(text)) if sql::like::like(text, pattern)),
                );
            }
            Some(ShowFilter::Where(condition)) => self.filter_grid(&mut grid, condition, parameters)?,
        }
        rows_answer(grid)
    }

    async fn show_grid(&self, what: &ShowWhat) -> Result<Grid> {
        if let Some(grid) = empty_grid(what) {
            return Ok(grid);
        }
        Ok(match what {
            ShowWhat::Databases => {
                let mut grid = Grid::of_text(&["Database"]);
                let sees_all = self.privileges.allow_globally(Privilege::ShowDatabases);
                let databases = self.catalog.databases().map(|database| database.name.as_str());
                let mut names: Vec<&str> = databases.chain(system_schemas::SCHEMAS).collect();
                names.sort_unstable();
                for name in names.into_iter().filter(|name| sees_all || self.privileges.touch(name)) {
                    grid.push(vec![name.into()]);
                }
                grid
            }
            ShowWhat::Tables { database, full } => self.show_tables(database.as_deref(), *full)?,
            ShowWhat::Columns { table, full } => self.columns_of(table, *full)?,
            ShowWhat::Index { table } => match self.named_view(table)? {
                Some(_) => index_grid(None),
                None => index_grid(Some(&*self.shown_table(table)?)),
            },
            ShowWhat::CreateTable(table) if self.named_view(table)?.is_some() => {
                self.show_create_view(table)?
            }
            ShowWhat::CreateTable(table) => {
                let schema = system_schema(self.database_name(table.database.as_deref())?);
                let (name, text) = match schema {
                    Some(schema) => {
                        let table = system_schemas::find(schema, &table.name)?;
                        (table.name.to_string(), table.create_text())
                    }
                    None => {
                        let def = self.table(table)?;
                        let text = sql::ddl::show_create_table(&def, self.tables().next_number(&def));
                        let database = self.database_name(table.database.as_deref())?;
                        let text = match self.temporary.has(database, &def.name) {
                            true => text.replacen(" TABLE", " TEMPORARY TABLE", 1),
                            false => text,
                        };
                        (def.name.clone(), text)
                    }
                };
                let mut grid = Grid::of_text(&["Table", "Create Table"]);
                grid.push(vec![name.into(), text.into()]);
                grid
            }
            ShowWhat::CreateDatabase { name, .. } => {
                let mut grid = Grid::of_text(&["Database", "Create Database"]);
                let text = match system_schema(name) {
                    Some(schema) => format!("CREATE DATABASE `{schema}`"),
                    None => {
                        let database = self.catalog.require_database(name)?;
                        let partitions = self.catalog.partitions(database.id).len();
                        sql::ddl::create_database(name, partitions as u32, database.collation)
                    }
                };
                grid.push(vec![name.as_str().into(), text.into()]);
                grid
            }
            ShowWhat::TableStatus { .. } => {
                return Err(SqlError::internal("a status of tables without its query"));
            }
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
                grid.push([ENGINE, "DEFAULT", ENGINE_COMMENT, "YES", "NO", "YES"].map(Cell::from).to_vec());
                grid
            }
            ShowWhat::CharacterSet => {
                let mut grid = Grid::new([
                    ("Charset", TEXT),
                    ("Description", TEXT),
                    ("Default collation", TEXT),
                    ("Maxlen", UNSIGNED),
                ]);
                for charset in sql::charset::CHARSETS {
                    grid.push(vec![
                        charset.name.into(),
                        charset.description.into(),
                        charset.default_collation.into(),
                        u64::from(charset.max_bytes).into(),
                    ]);
                }
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
                for collation in sql::charset::collations() {
                    grid.push(vec![
                        collation.name.into(),
                        collation.charset.into(),
                        u64::from(collation.id).into(),
                        (if collation.is_default { "Yes" } else { "" }).into(),
                        "Yes".into(),
                        1.into(),
                        (if collation.pad_space { "PAD SPACE" } else { "NO PAD" }).into(),
                    ]);
                }
                grid
            }
            ShowWhat::ProcessList { full } => self.process_list(*full),
            ShowWhat::Grants { account, roles } => self.show_grants(account.as_ref(), roles)?,
            ShowWhat::CreateUser(account) => self.show_create_user(account)?,
            ShowWhat::Plugins => {
                let mut grid = Grid::of_text(&["Name", "Status", "Type", "Library", "License"]);
                for plugin in [Plugin::CachingSha2, Plugin::Native] {
                    grid.push(vec![
                        plugin.name().into(),
                        "ACTIVE".into(),
                        "AUTHENTICATION".into(),
                        Cell::Null,
                        "Apache-2.0".into(),
                    ]);
                }
                grid
            }
            ShowWhat::Privileges => privileges_grid(),
            ShowWhat::Partitions { database } => self.partitions_grid(database.as_deref())?,
            ShowWhat::CreateView(view) => self.show_create_view(view)?,
            ShowWhat::BinaryLogs => {
                return Err(SqlError::new(ErrorKind::NoBinaryLogging, "You are not using binary logging"));
            }
            ShowWhat::Leaves => self.tables().leaves_grid(),
            ShowWhat::Aggregators => self.tables().aggregators_grid(),
            ShowWhat::ClusterStatus => self.tables().cluster_status_grid().await,
            ShowWhat::Profiles
            | ShowWhat::Triggers { .. }
            | ShowWhat::Events { .. }
            | ShowWhat::OpenTables { .. }
            | ShowWhat::FunctionStatus
            | ShowWhat::ProcedureStatus
            | ShowWhat::LogStatus
            | ShowWhat::ReplicaStatus { .. }
            | ShowWhat::Replicas { .. } => return Err(SqlError::internal("an empty set is not empty")),
        })
    }

    pub(crate) fn describe(&mut self, table: &TableName, column: Option<&str>) -> Result<Answer> {
        let mut grid = self.columns_of(table, false)?;
        if let Some(wanted) = column {
            grid.retain(|row| matches!(&row[0], Cell::Text(name) if sql::like::like(name, wanted)));
        }
        rows_answer(grid)
    }

    /// The columns of a table or view.
    fn columns_of(&self, table: &TableName, full: bool) -> Result<Grid> {
        let database = self.database_name(table.database.as_deref())?;
        let Some(view) = self.named_view(table)? else {
            let words = self.privileges.words_on_columns(database, &table.name);
            return Ok(columns_grid(&*self.shown_table(table)?, full, words));
        };
        let words = self.privileges.words_on_columns(database, &table.name);
        let mut grid = columns_titles(full);
        for column in self.view_columns(&view)? {
            let Some(words) = words(&column.name) else { continue };
            let null = if column.nullable { "YES" } else { "NO" };
            let mut cells: Vec<Cell> = vec![column.name.into(), column.ty.to_string().into()];
            if full {
                cells.push(column.ty.is_string().then_some(column.collation.name()).into());
            }
            cells.extend([null.into(), "".into(), Cell::Null, "".into()]);
            if full {
                cells.extend([words.into(), "".into()]);
            }
            grid.push(cells);
        }
        Ok(grid)
    }

    fn show_tables(&self, database: Option<&str>, full: bool) -> Result<Grid> {
        let name = self.database_name(database)?;
        self.require_schema(name)?;
        let title = format!("Tables_in_{name}");
        let mut grid = if full { Grid::of_text(&[&title, "Table_type"]) } else { Grid::of_text(&[&title]) };
        let tables = self.catalog.listed_tables(name).map(|def| (def.name.as_str(), "BASE TABLE"));
        let views = self.catalog.views(name).map(|view| (view.name.as_str(), "VIEW"));
        let system = system_schema(name).map(system_schemas::tables_of).unwrap_or_default();
        let system = system.into_iter().map(|table| (table.name, "SYSTEM VIEW"));
        let mut all: Vec<(&str, &str)> = tables.chain(views).chain(system).collect();
        all.sort_unstable();
        for (table, kind) in all {
            if !self.privileges.touch_table(name, table) {
                continue;
            }
            let mut row: Vec<Cell> = vec![table.into()];
            if full {
                row.push(kind.into());
            }
            grid.push(row);
        }
        Ok(grid)
    }

    /// SHOW TABLE STATUS, which is a query of information_schema.
    pub(crate) async fn table_status(
        &mut self,
        database: Option<&str>,
        filter: Option<&ShowFilter>,
        parameters: Parameters<'_>,
    ) -> Result<Answer> {
        let database = self.database_name(database)?.to_string();
        self.require_schema(&database)?;
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let like = match filter {
            Some(ShowFilter::Like(pattern)) => format!(" AND TABLE_NAME LIKE {}", quoted(pattern)),
            _ => String::new(),
        };
        let text = format!(
            "SELECT * FROM (SELECT TABLE_NAME AS Name, ENGINE AS Engine, VERSION AS Version, ROW_FORMAT AS \
             Row_format, TABLE_ROWS AS `Rows`, AVG_ROW_LENGTH AS Avg_row_length, DATA_LENGTH AS Data_length, \
             MAX_DATA_LENGTH AS Max_data_length, INDEX_LENGTH AS Index_length, DATA_FREE AS Data_free, \
             AUTO_INCREMENT AS Auto_increment, CREATE_TIME AS Create_time, UPDATE_TIME AS Update_time, CHECK_TIME \
             AS Check_time, TABLE_COLLATION AS Collation, CHECKSUM AS Checksum, CREATE_OPTIONS AS Create_options, \
             TABLE_COMMENT AS Comment FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}{like}) AS status \
             ORDER BY Name",
            quoted(&database)
        );
        let Statement::Query(mut query) = sql::parse::parse_one(&text)?.statement else {
            return Err(SqlError::internal("the status of tables is no query"));
        };
        if let (Some(ShowFilter::Where(condition)), ast::SetExpr::Select(select)) = (filter, &mut *query.body)
        {
            select.selection = Some((**condition).clone());
        }
        self.select(&query, Parameters { text: &text, ..parameters }).await
    }

    fn messages_grid(&self, list: MessageList, errors_only: bool) -> Grid {
        let shown = self.messages.iter().filter(|m| !errors_only || m.level == MessageLevel::Error);
        if list.count_only {
            let title = if errors_only { "@@session.error_count" } else { "@@session.warning_count" };
            let mut grid = Grid::new([(title, UNSIGNED)]);
            // Of those that are not kept none is an error.
            let more = if errors_only { 0 } else { self.more_messages };
            grid.push(vec![(shown.count() as u64 + more).into()]);
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
        let mut status = self.aggregator.status();
        let tls = self.client.tls.as_ref();
        status.extend([
            ("Ssl_cipher", tls.map_or_else(String::new, |tls| tls.cipher.clone())),
            ("Ssl_version", tls.map_or_else(String::new, |tls| tls.version.to_string())),
        ]);
        status.sort();
        let mut grid = Grid::of_text(&["Variable_name", "Value"]);
        for (name, value) in status {
            grid.push(vec![name.into(), value.into()]);
        }
        grid
    }

    /// Everybody sees their own connections; all of them are for who has PROCESS.
    fn process_list(&self, full: bool) -> Grid {
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
        for process in self.tables().processes() {
            let text = process.statement.as_deref();
            let text = text.map(|text| if full { text } else { first_chars(text, SHORT_TEXT) });
            grid.push(vec![
                process.id.into(),
                process.user.into(),
                process.host.into(),
                process.database.into(),
                process.activity.name().into(),
                process.seconds.into(),
                process.stage.name().into(),
                text.into(),
            ]);
        }
        grid
    }

    /// Keeps the rows for which the condition holds. Its names are those of the grid's columns.
    fn filter_grid(&self, grid: &mut Grid, condition: &ast::Expr, parameters: Parameters<'_>) -> Result<()> {
        let mut kept = Vec::with_capacity(grid.rows().len());
        // Where there is no row, the condition is looked at all the same: it may name what is no column.
        let nothing: [Vec<Cell>; 1] = [grid.columns().iter().map(|_| Cell::Null).collect()];
        let rows = if grid.rows().is_empty() { &nothing[..] } else { grid.rows() };
        for row in rows {
            let mut condition = condition.clone();
            let cell = |name: &str| {
                let at = grid.columns().iter().position(|(column, _)| column.eq_ignore_ascii_case(name))?;
                row.get(at)
            };
            // Breaks off never: the visitor has nothing to fail with.
            let _: ControlFlow<()> = ast::visit_expressions_mut(&mut condition, |expr| {
                if let ast::Expr::Identifier(name) = expr
                    && let Some(cell) = cell(&name.value)
                {
                    *expr = literal(cell);
                }
                ControlFlow::Continue(())
            });
            kept.push(is_true(&self.evaluate(&condition, parameters)?));
        }
        let mut kept = kept.into_iter();
        grid.retain(|_| kept.next().unwrap_or(false));
        Ok(())
    }

    /// COM_FIELD_LIST.
    pub(crate) fn list_fields(&self, table: &str, pattern: &str) -> Result<Vec<ListedField>> {
        let name = TableName { database: None, name: table.to_string() };
        let database = self.database_name(None)?;
        if !self.privileges.touch_table(database, table) {
            return Err(self.privileges.denied_on_table("SELECT", table));
        }
        let words = self.privileges.words_on_columns(database, table);
        if let Some(view) = self.named_view(&name)? {
            let columns = self.view_columns(&view)?.into_iter();
            return Ok(columns
                .filter(|column| words(&column.name).is_some())
                .filter(|column| pattern.is_empty() || sql::like::like(&column.name, pattern))
                .map(|column| ListedField { column: super::query::column_meta(&column), default: None })
                .collect());
        }
        let def = self.shown_table(&name)?;
        let fields = sql::ddl::columns_rows(&def).into_iter().zip(&def.columns);
        Ok(fields
            .filter(|(_, column)| words(&column.name).is_some())
            .filter(|(_, column)| pattern.is_empty() || sql::like::like(&column.name, pattern))
            .map(|(row, column)| {
                let mut meta =
                    ColumnMeta::new(&column.name, column.ty).in_table(database, table, table, &column.name);
                meta.flags.set(ColumnFlags::NOT_NULL, !column.nullable);
                meta.flags.set(ColumnFlags::PRI_KEY, def.has_column(&def.primary_key, column.id));
                ListedField { column: meta, default: row.default }
            })
            .collect())
    }
}

/// SHOW PROCESSLIST without FULL cuts statements to so many characters.
const SHORT_TEXT: usize = 100;

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

/// A cell as an expression.
fn literal(cell: &Cell) -> ast::Expr {
    let value = match cell {
        Cell::Null => ast::Value::Null,
        Cell::Text(text) => ast::Value::SingleQuotedString(text.clone()),
        Cell::UInt(number) => ast::Value::Number(number.to_string(), false),
    };
    ast::Expr::Value(value.with_empty_span())
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Int(number) => *number != 0,
        Value::UInt(number) => *number != 0,
        Value::Decimal { unscaled, .. } => *unscaled != 0,
        Value::Float(number) => *number != 0.0,
        Value::Double(number) => *number != 0.0,
        Value::Text(text) => text.trim().parse::<f64>().is_ok_and(|number| number != 0.0),
        _ => true,
    }
}

fn privileges_grid() -> Grid {
    let mut grid = Grid::of_text(&["Privilege", "Context", "Comment"]);
    let name = |privilege: Privilege| privilege.name().to_string();
    let on = |level: Level| level.all_privileges();
    let (databases, tables) = (
        on(Level::Database(String::new())),
        on(Level::Table { database: String::new(), table: String::new() }),
    );
    for privilege in Privilege::ALL {
        let context = match (databases.contains(*privilege), tables.contains(*privilege)) {
            _ if *privilege == Privilege::GrantOption => "Databases,Tables",
            (true, true) => "Databases,Tables",
            (true, false) => "Databases",
            _ => "Server Admin",
        };
        grid.push(vec![name(*privilege).into(), context.into(), "".into()]);
    }
    grid
}

fn columns_titles(full: bool) -> Grid {
    if full {
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
    }
}

/// `words`: what may be done with a column; none: it is not shown.
fn columns_grid(def: &TableDef, full: bool, words: impl Fn(&str) -> Option<String>) -> Grid {
    let mut grid = columns_titles(full);
    for (row, column) in sql::ddl::columns_rows(def).into_iter().zip(&def.columns) {
        let Some(words) = words(&column.name) else { continue };
        let mut cells: Vec<Cell> = vec![row.field.into(), row.ty.into()];
        if full {
            cells.push(row.collation.into());
        }
        cells.extend([row.null.into(), row.key.into(), row.default.into(), row.extra.into()]);
        if full {
            cells.extend([words.into(), column.comment.as_str().into()]);
        }
        grid.push(cells);
    }
    grid
}

/// A view has no keys.
fn index_grid(def: Option<&TableDef>) -> Grid {
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
    let Some(def) = def else { return grid };
    for key in system_schemas::keys_of(def) {
        for (at, column) in (1..).zip(key.columns) {
            grid.push(vec![
                def.name.as_str().into(),
                u64::from(!key.unique).into(),
                key.name.into(),
                Cell::UInt(at),
                column.name.as_str().into(),
                "A".into(),
                Cell::Null,
                Cell::Null,
                Cell::Null,
                (if column.nullable { "YES" } else { "" }).into(),
                key.kind.into(),
                "".into(),
                "".into(),
            ]);
        }
    }
    grid
}
