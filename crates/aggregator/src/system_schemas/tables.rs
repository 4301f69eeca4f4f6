//! SCHEMATA, TABLES, VIEWS, PARTITIONS.

use super::server::ENGINE;
use super::*;
use crate::statement::Cell;
use catalog::{Privilege, ViewSecurity};
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
        source: Source::Here(tables),
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

/// A row of TABLES. What is not said is NULL, as the sizes are: to find them, rows would have to be
/// counted.
struct TableRow<'a> {
    schema: &'a str,
    name: &'a str,
    kind: &'static str,
    is_stored: bool,
    collation: Collation,
    comment: &'a str,
}

impl TableRow<'_> {
    fn cells(self) -> Vec<Cell> {
        let stored = |cell: Cell| if self.is_stored { cell } else { Cell::Null };
        vec![
            CATALOG.into(),
            self.schema.into(),
            self.name.into(),
            self.kind.into(),
            stored(ENGINE.into()),
            stored(Cell::UInt(10)),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            stored(self.collation.name().into()),
            Cell::Null,
            stored("".into()),
            self.comment.into(),
        ]
    }
}

fn tables(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    let names = (1, 2);
    for (schema, def) in facts.visible_tables(wanted, names) {
        let row = TableRow {
            schema,
            name: &def.name,
            kind: "BASE TABLE",
            is_stored: true,
            collation: def.collation,
            comment: &def.comment,
        };
        grid.push(row.cells());
    }
    for (schema, view) in facts.visible_views(wanted, names) {
        let row = TableRow {
            schema,
            name: &view.name,
            kind: "VIEW",
            is_stored: false,
            collation: Collation::default(),
            comment: "VIEW",
        };
        grid.push(row.cells());
    }
    for table in facts.system_tables(wanted, names) {
        let row = TableRow {
            schema: table.schema,
            name: table.name,
            kind: "SYSTEM VIEW",
            is_stored: false,
            collation: Collation::default(),
            comment: "",
        };
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
