//! SCHEMATA, TABLES, VIEWS, PARTITIONS.

use super::cluster::TableSize;
use super::server::ENGINE;
use super::*;
use crate::statement::Cell;
use catalog::{Privilege, ViewSecurity};
use futures::FutureExt;
use sql::charset::{DEFAULT_CHARSET, DEFAULT_COLLATION};

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "SCHEMATA",
        columns: &[
            text("CATALOG_NAME", 64),
            text("SCHEMA_NAME", 64),
            text("DEFAULT_CHARACTER_SET_NAME", 64),
            text("DEFAULT_COLLATION_NAME", 64),
            column("SQL_PATH", SqlType::Binary(0)).null(),
            text("DEFAULT_ENCRYPTION", 3),
        ],
        source: Source::Here(schemata),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "TABLES",
        columns: &[
            text("TABLE_CATALOG", 64),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            text("TABLE_TYPE", 11),
            text("ENGINE", 64).null(),
            int("VERSION").null(),
            text("ROW_FORMAT", 10).null(),
            ubig("TABLE_ROWS").null(),
            ubig("AVG_ROW_LENGTH").null(),
            ubig("DATA_LENGTH").null(),
            ubig("MAX_DATA_LENGTH").null(),
            ubig("INDEX_LENGTH").null(),
            ubig("DATA_FREE").null(),
            ubig("AUTO_INCREMENT").null(),
            moment("CREATE_TIME"),
            moment("UPDATE_TIME"),
            moment("CHECK_TIME"),
            text("TABLE_COLLATION", 64).null(),
            column("CHECKSUM", SqlType::BigInt { unsigned: false }).null(),
            text("CREATE_OPTIONS", 256).null(),
            column("TABLE_COMMENT", SqlType::Text(LobSize::Normal)).null(),
        ],
        source: Source::Asked(|facts, wanted, grid| tables(facts, wanted, grid).boxed()),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "VIEWS",
        columns: &[
            text("TABLE_CATALOG", 64),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            long("VIEW_DEFINITION").null(),
            text("CHECK_OPTION", 8).null(),
            text("IS_UPDATABLE", 3).null(),
            text("DEFINER", 288).null(),
            text("SECURITY_TYPE", 7).null(),
            text("CHARACTER_SET_CLIENT", 64),
            text("COLLATION_CONNECTION", 64),
        ],
        source: Source::Here(views),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "PARTITIONS",
        columns: &[
            text("TABLE_CATALOG", 64),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            text("PARTITION_NAME", 64).null(),
            text("SUBPARTITION_NAME", 64).null(),
            uint("PARTITION_ORDINAL_POSITION").null(),
            uint("SUBPARTITION_ORDINAL_POSITION").null(),
            text("PARTITION_METHOD", 13).null(),
            text("SUBPARTITION_METHOD", 13).null(),
            text("PARTITION_EXPRESSION", 2048).null(),
            text("SUBPARTITION_EXPRESSION", 2048).null(),
            column("PARTITION_DESCRIPTION", SqlType::Text(LobSize::Normal)).null(),
            ubig("TABLE_ROWS").null(),
            ubig("AVG_ROW_LENGTH").null(),
            ubig("DATA_LENGTH").null(),
            ubig("MAX_DATA_LENGTH").null(),
            ubig("INDEX_LENGTH").null(),
            ubig("DATA_FREE").null(),
            moment("CREATE_TIME"),
            moment("UPDATE_TIME"),
            moment("CHECK_TIME"),
            column("CHECKSUM", SqlType::BigInt { unsigned: false }).null(),
            column("PARTITION_COMMENT", SqlType::Text(LobSize::Normal)),
            text("NODEGROUP", 256).null(),
            text("TABLESPACE_NAME", 268).null(),
        ],
        source: Source::Here(partitions),
    },
];

fn schemata(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    let system = SCHEMAS.into_iter().filter(|schema| wanted.only(1).is_none_or(|only| only == *schema));
    let names = facts.databases(wanted, 1).map(|database| (database.name.as_str(), database.collation));
    for (name, collation) in names.chain(system.map(|schema| (schema, Collation::default()))) {
        grid.push(vec![
            CATALOG.into(),
            name.into(),
            DEFAULT_CHARSET.into(),
            collation.name().into(),
            Cell::Null,
            "NO".into(),
        ]);
    }
    Ok(())
}

/// The columns of TABLES that say how large a table is.
const SIZES: std::ops::RangeInclusive<usize> = 7..=9;
/// The column of TABLES that is called AUTO_INCREMENT.
const NEXT_NUMBER: usize = 13;

struct Stored {
    collation: Collation,
    /// If it is known.
    size: Option<TableSize>,
    /// The next number of AUTO_INCREMENT.
    next_number: Option<u64>,
}

/// A row of TABLES. What is not said is NULL.
struct TableRow<'a> {
    schema: &'a str,
    name: &'a str,
    kind: &'static str,
    comment: &'a str,
    /// Of a table whose rows are stored.
    stored: Option<Stored>,
}

impl TableRow<'_> {
    fn cells(self) -> Vec<Cell> {
        let stored = |cell: Cell| if self.stored.is_some() { cell } else { Cell::Null };
        let size = self.stored.as_ref().and_then(|stored| stored.size);
        let collation = self.stored.as_ref().map(|stored| stored.collation.name());
        let mut cells = vec![
            CATALOG.into(),
            self.schema.into(),
            self.name.into(),
            self.kind.into(),
            stored(ENGINE.into()),
            stored(Cell::UInt(10)),
            stored("Dynamic".into()),
            size.map(|size| size.rows).into(),
            size.map(|size| size.bytes.checked_div(size.rows).unwrap_or(0)).into(),
            size.map(|size| size.bytes).into(),
        ];
        // The keys lie with the rows.
        cells.extend(std::iter::repeat_n(stored(Cell::UInt(0)), 3));
        cells.push(self.stored.as_ref().and_then(|stored| stored.next_number).into());
        cells.extend(std::iter::repeat_n(Cell::Null, 3));
        cells.extend([collation.into(), Cell::Null, stored("".into()), self.comment.into()]);
        cells
    }
}

impl CatalogTables {
    /// The next number of a table's AUTO_INCREMENT, as far as this aggregator knows: others may have taken it. `None`:
    /// it has none, or numbers were set aside up to more than its column takes.
    pub(crate) fn next_number(&self, def: &TableDef) -> Option<u64> {
        let column = def.auto_increment()?;
        let next = self.aggregator.ids.next(def.id, self.catalog.next_number(def.id));
        let is_taken = column.ty.integer_range().is_none_or(|(_, most)| i128::from(next) <= most);
        is_taken.then_some(next)
    }
}

async fn tables(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    let names = (1, 2);
    // Only who asks for sizes waits for the leaves; if one does not answer, they are unknown.
    let sizes = match SIZES.into_iter().any(|column| wanted.has(column)) {
        true => facts.sizes().await.ok(),
        false => None,
    };
    for (schema, def) in facts.visible_tables(wanted, names) {
        let next_number = if wanted.has(NEXT_NUMBER) { facts.tables.next_number(def) } else { None };
        let row = TableRow {
            schema,
            name: &def.name,
            kind: "BASE TABLE",
            comment: &def.comment,
            stored: Some(Stored {
                collation: def.collation,
                next_number,
                size: sizes.as_ref().map(|sizes| sizes.get(&def.id).copied().unwrap_or_default()),
            }),
        };
        grid.push(row.cells());
    }
    for (schema, view) in facts.visible_views(wanted, names) {
        let row = TableRow { schema, name: &view.name, kind: "VIEW", comment: "VIEW", stored: None };
        grid.push(row.cells());
    }
    for table in facts.system_tables(wanted, names) {
        let (schema, name) = (table.schema, table.name);
        let row = TableRow { schema, name, kind: "SYSTEM VIEW", comment: "", stored: None };
        grid.push(row.cells());
    }
    Ok(())
}

fn views(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, view) in facts.visible_views(wanted, (1, 2)) {
        let may_read = facts.tables.privileges.allow(Privilege::ShowView, Some(schema), Some(&view.name));
        grid.push(vec![
            CATALOG.into(),
            schema.into(),
            view.name.as_str().into(),
            (if may_read { view.query.as_str() } else { "" }).into(),
            "NONE".into(),
            "NO".into(),
            format!("{}@{}", view.definer.name, view.definer.host).into(),
            match view.security {
                ViewSecurity::Definer => "DEFINER",
                ViewSecurity::Invoker => "INVOKER",
            }
            .into(),
            DEFAULT_CHARSET.into(),
            DEFAULT_COLLATION.into(),
        ]);
    }
    Ok(())
}

/// No table is cut by PARTITION BY, which is what this table is about: each has one row that says so.
fn partitions(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, def) in facts.visible_tables(wanted, (1, 2)) {
        let mut row = vec![CATALOG.into(), schema.into(), def.name.as_str().into()];
        row.resize(22, Cell::Null);
        row.extend(["".into(), Cell::Null, Cell::Null]);
        grid.push(row);
    }
    Ok(())
}
