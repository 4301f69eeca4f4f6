//! `information_schema` and `performance_schema`: what the cluster knows of itself, as tables.
//!
//! Nothing of them is stored. Each table is a [`SystemTable`]: its name, its columns as MySQL 8 declares
//! them, and the function that makes its rows out of the catalog, the session and, for some, of what the
//! leaves answer. The planner reads it like any other table ([`exec::virtual_table`]), so it joins, filters
//! and sorts with everything; a row that the session's privileges do not reach is not made. Nothing in these schemas can be changed:
//! [`crate::session::Privileges`] grants SELECT on them to everybody, and nothing else to anybody.
//!
//! | file | tables |
//! |---|---|
//! | [`cluster`] | PANDO_LEAVES, PANDO_SEGMENTS, .. |
//! | [`columns`] | COLUMNS |
//! | [`empty`] | what Pando has none of: ROUTINES, TRIGGERS, .. |
//! | [`keys`] | STATISTICS, KEY_COLUMN_USAGE and the constraints |
//! | [`privileges`] | USER_PRIVILEGES and those of schemas and tables |
//! | [`server`] | PROCESSLIST, ENGINES, CHARACTER_SETS, COLLATIONS, variables and status |
//! | [`tables`] | SCHEMATA, TABLES, VIEWS, PARTITIONS |

mod cluster;
mod columns;
mod empty;
mod keys;
mod privileges;
mod server;
mod tables;
#[cfg(test)]
mod tests;

use crate::statement::{CatalogTables, Grid};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{Database, View};
use exec::{VirtualRows, VirtualTable, Wanted};
use futures::future::BoxFuture;
use std::fmt;
use std::sync::Arc;
use types::sql_type::LobSize;
use types::{
    Collation, ColumnDef, ColumnDefault, ColumnId, DatabaseId, ErrorKind, Result, SqlError, SqlType,
    TableDef, TableId,
};

pub(crate) use keys::keys_of;
pub(crate) use server::{ENGINE, ENGINE_COMMENT};

/// What TABLE_CATALOG and its like say everywhere.
const CATALOG: &str = "def";

pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";
pub(crate) const PERFORMANCE_SCHEMA: &str = "performance_schema";

/// The schemas of this module, by name.
pub(crate) const SCHEMAS: [&str; 2] = [INFORMATION_SCHEMA, PERFORMANCE_SCHEMA];

/// The schema that a name means, in any case of its letters.
pub(crate) fn system_schema(name: &str) -> Option<&'static str> {
    SCHEMAS.into_iter().find(|schema| schema.eq_ignore_ascii_case(name))
}

/// A column as it is declared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    ty: SqlType,
    nullable: bool,
}

const fn column(name: &'static str, ty: SqlType) -> Column {
    Column { name, ty, nullable: false }
}

/// VARCHAR(length) NOT NULL.
const fn text(name: &'static str, length: u32) -> Column {
    column(name, SqlType::VarChar(length))
}

/// LONGTEXT NOT NULL.
const fn long(name: &'static str) -> Column {
    column(name, SqlType::Text(LobSize::Long))
}

/// INT NOT NULL.
const fn int(name: &'static str) -> Column {
    column(name, SqlType::Int { unsigned: false })
}

/// INT UNSIGNED NOT NULL.
const fn uint(name: &'static str) -> Column {
    column(name, SqlType::Int { unsigned: true })
}

/// BIGINT UNSIGNED NOT NULL.
const fn ubig(name: &'static str) -> Column {
    column(name, SqlType::BigInt { unsigned: true })
}

/// DATETIME.
const fn moment(name: &'static str) -> Column {
    column(name, SqlType::DateTime { fsp: 0 }).null()
}

impl Column {
    /// The same without NOT NULL.
    const fn null(self) -> Column {
        Column { nullable: true, ..self }
    }

    /// As in MySQL on systems whose file names tell cases apart: names of databases and tables compare by
    /// their bytes, everything else regardless of case.
    fn collation(&self) -> Collation {
        let is_exact = ["CATALOG", "SCHEMA", "SCHEMA_NAME", "TABLE_NAME", "EVENT_OBJECT_TABLE"]
            .iter()
            .any(|end| self.name.ends_with(end));
        match self.ty {
            SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text(_) if !is_exact => Collation::GeneralCi,
            _ => Collation::default(),
        }
    }
}

/// Makes the rows of a table, as many cells each as it has columns.
#[derive(Clone, Copy)]
enum Source {
    /// There are never any.
    Empty,
    /// From what this process knows.
    Here(Make),
    /// From what others answer.
    Asked(Ask),
}

type Make = fn(&Facts, &Wanted, &mut Grid) -> Result<()>;
type Ask = for<'a> fn(&'a Facts, &'a Wanted, &'a mut Grid) -> BoxFuture<'a, Result<()>>;

/// See the module.
pub(crate) struct SystemTable {
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    columns: &'static [Column],
    source: Source,
}

impl SystemTable {
    /// The definition, as statements that show tables take it. It has no id: it is in no catalog.
    pub(crate) fn definition(&self) -> TableDef {
        let columns = (1..).zip(self.columns).map(|(id, column)| ColumnDef {
            id: ColumnId(id),
            name: column.name.to_string(),
            ty: column.ty,
            nullable: column.nullable,
            default: if column.nullable { ColumnDefault::Null } else { ColumnDefault::None },
            initial: None,
            auto_increment: false,
            collation: column.collation(),
            on_update_now: false,
            comment: String::new(),
        });
        TableDef {
            id: TableId(0),
            database: DatabaseId(0),
            name: self.name.to_string(),
            version: 1,
            columns: columns.collect(),
            next_column_id: ColumnId(self.columns.len() as u32 + 1),
            shard_key: Vec::new(),
            sort_key: Vec::new(),
            primary_key: Vec::new(),
            keys: Vec::new(),
            collation: Collation::default(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: String::new(),
            replacement: None,
            reference: false,
        }
    }

    /// What SHOW CREATE TABLE says, which nobody can run: the columns.
    pub(crate) fn create_text(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("  {} {}{null}", sql::ddl::quote_name(column.name), column.ty)
        });
        let columns: Vec<String> = columns.collect();
        format!("CREATE TEMPORARY TABLE {} (\n{}\n)", sql::ddl::quote_name(self.name), columns.join(",\n"))
    }

    fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| column.ty.field(column.name, column.nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The place of a column of this name, which must be there.
    #[cfg(test)]
    fn place(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column.name == name).unwrap()
    }
}

/// All tables of a system schema, by name.
pub(crate) fn tables_of(schema: &str) -> Vec<&'static SystemTable> {
    let files = [
        cluster::TABLES,
        columns::TABLES,
        empty::TABLES,
        keys::TABLES,
        privileges::TABLES,
        server::TABLES,
        tables::TABLES,
    ];
    let mut all: Vec<&SystemTable> =
        files.into_iter().flatten().filter(|table| table.schema == schema).collect();
    all.sort_unstable_by_key(|table| table.name);
    all
}

/// A table of a system schema by name, in any case of its letters. Error: 1109.
pub(crate) fn find(schema: &'static str, name: &str) -> Result<&'static SystemTable> {
    let tables = tables_of(schema);
    if let Some(table) = tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)) {
        return Ok(table);
    }
    let near = sql::query::nearest(name, tables.iter().map(|table| table.name));
    let hint = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    Err(SqlError::new(ErrorKind::UnknownTableInClause, format!("Unknown table '{name}' in {schema}{hint}")))
}

/// What rows are made of: the catalog and the session as the statement that reads sees them. In a view
/// that is the session of its definer.
pub(crate) struct Facts {
    pub(crate) tables: CatalogTables,
}

impl Facts {
    /// The databases that the session may see and rows are wanted of, which `column` names.
    fn databases<'a>(&'a self, wanted: &'a Wanted, column: usize) -> impl Iterator<Item = &'a Arc<Database>> {
        let only = wanted.only(column);
        let sees_all = self.tables.privileges.allow_globally(catalog::Privilege::ShowDatabases);
        self.tables.catalog.databases().filter(move |database| {
            only.is_none_or(|only| only == database.name)
                && (sees_all || self.tables.privileges.touch(&database.name))
        })
    }

    /// The tables that the session may see and rows are wanted of, with their databases.
    fn visible_tables<'a>(
        &'a self,
        wanted: &'a Wanted,
        (database, table): (usize, usize),
    ) -> impl Iterator<Item = (&'a str, &'a Arc<TableDef>)> {
        let only = wanted.only(table);
        self.databases(wanted, database).flat_map(move |database| {
            let name = database.name.as_str();
            let tables = self.tables.catalog.listed_tables(name);
            tables
                .filter(move |def| only.is_none_or(|only| only == def.name))
                .filter(move |def| self.tables.privileges.touch_table(name, &def.name))
                .map(move |def| (name, def))
        })
    }

    /// The same of views.
    fn visible_views<'a>(
        &'a self,
        wanted: &'a Wanted,
        (database, view): (usize, usize),
    ) -> impl Iterator<Item = (&'a str, &'a Arc<View>)> {
        let only = wanted.only(view);
        self.databases(wanted, database).flat_map(move |database| {
            let name = database.name.as_str();
            let views = self.tables.catalog.views(name);
            views
                .filter(move |view| only.is_none_or(|only| only == view.name))
                .filter(move |view| self.tables.privileges.touch_table(name, &view.name))
                .map(move |view| (name, view))
        })
    }

    /// The tables of this module of which rows are wanted.
    fn system_tables<'a>(
        &self,
        wanted: &'a Wanted,
        (database, table): (usize, usize),
    ) -> impl Iterator<Item = &'static SystemTable> + 'a {
        let schemas = SCHEMAS.into_iter();
        let schemas = schemas.filter(move |schema| wanted.only(database).is_none_or(|only| only == *schema));
        schemas
            .flat_map(tables_of)
            .filter(move |found| wanted.only(table).is_none_or(|only| only == found.name))
    }
}

/// A table together with what its rows are made of.
struct SystemRows {
    table: &'static SystemTable,
    facts: Facts,
    title: String,
}

impl fmt::Debug for SystemRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

#[async_trait]
impl VirtualRows for SystemRows {
    fn name(&self) -> &str {
        &self.title
    }

    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    async fn rows(&self, wanted: &Wanted) -> Result<RecordBatch> {
        let mut grid = Grid::new(self.table.columns.iter().map(|column| (column.name, column.ty)));
        match self.table.source {
            Source::Empty => {}
            Source::Here(make) => make(&self.facts, wanted, &mut grid)?,
            Source::Asked(make) => make(&self.facts, wanted, &mut grid).await?,
        }
        let batch = grid.into_batch()?;
        RecordBatch::try_new(self.schema(), batch.columns().to_vec()).map_err(SqlError::internal)
    }
}

/// The table for a plan, as the session of `tables` sees it.
pub(crate) fn source(table: &'static SystemTable, tables: CatalogTables) -> VirtualTable {
    let title = format!("{}.{}", table.schema, table.name);
    VirtualTable::new(Arc::new(SystemRows { table, facts: Facts { tables }, title }))
}
