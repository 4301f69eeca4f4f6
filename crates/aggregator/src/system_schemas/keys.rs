//! STATISTICS, KEY_COLUMN_USAGE, TABLE_CONSTRAINTS, CHECK_CONSTRAINTS, REFERENTIAL_CONSTRAINTS.

use super::*;
use crate::statement::Cell;

pub(super) const TABLES: &[SystemTable] = &[
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "STATISTICS",
        columns: &[
            text("TABLE_CATALOG", 64),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            int("NON_UNIQUE"),
            text("INDEX_SCHEMA", 64),
            text("INDEX_NAME", 64).null(),
            uint("SEQ_IN_INDEX"),
            text("COLUMN_NAME", 64).null(),
            text("COLLATION", 1).null(),
            column("CARDINALITY", SqlType::BigInt { unsigned: false }).null(),
            column("SUB_PART", SqlType::BigInt { unsigned: false }).null(),
            column("PACKED", SqlType::Binary(0)).null(),
            text("NULLABLE", 3),
            text("INDEX_TYPE", 13),
            text("COMMENT", 8),
            text("INDEX_COMMENT", 2048),
            text("IS_VISIBLE", 3),
            long("EXPRESSION").null(),
        ],
        source: Source::Here(statistics),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "KEY_COLUMN_USAGE",
        columns: &[
            text("CONSTRAINT_CATALOG", 64),
            text("CONSTRAINT_SCHEMA", 64),
            text("CONSTRAINT_NAME", 64).null(),
            text("TABLE_CATALOG", 64),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            text("COLUMN_NAME", 64).null(),
            uint("ORDINAL_POSITION"),
            uint("POSITION_IN_UNIQUE_CONSTRAINT").null(),
            text("REFERENCED_TABLE_SCHEMA", 64).null(),
            text("REFERENCED_TABLE_NAME", 64).null(),
            text("REFERENCED_COLUMN_NAME", 64).null(),
        ],
        source: Source::Here(key_column_usage),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "TABLE_CONSTRAINTS",
        columns: &[
            text("CONSTRAINT_CATALOG", 64),
            text("CONSTRAINT_SCHEMA", 64),
            text("CONSTRAINT_NAME", 64).null(),
            text("TABLE_SCHEMA", 64),
            text("TABLE_NAME", 64),
            text("CONSTRAINT_TYPE", 11),
            text("ENFORCED", 3),
        ],
        source: Source::Here(table_constraints),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "CHECK_CONSTRAINTS",
        columns: &[
            text("CONSTRAINT_CATALOG", 64),
            text("CONSTRAINT_SCHEMA", 64),
            text("CONSTRAINT_NAME", 64),
            long("CHECK_CLAUSE"),
        ],
        source: Source::Here(check_constraints),
    },
    SystemTable {
        schema: INFORMATION_SCHEMA,
        name: "REFERENTIAL_CONSTRAINTS",
        columns: &[
            text("CONSTRAINT_CATALOG", 64),
            text("CONSTRAINT_SCHEMA", 64),
            text("CONSTRAINT_NAME", 64).null(),
            text("UNIQUE_CONSTRAINT_CATALOG", 64),
            text("UNIQUE_CONSTRAINT_SCHEMA", 64),
            text("UNIQUE_CONSTRAINT_NAME", 64).null(),
            text("MATCH_OPTION", 7),
            text("UPDATE_RULE", 11),
            text("DELETE_RULE", 11),
            text("TABLE_NAME", 64),
            text("REFERENCED_TABLE_NAME", 64),
        ],
        source: Source::Here(referential_constraints),
    },
];

/// A key of a table.
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    pub(crate) unique: bool,
    pub(crate) columns: Vec<&'a ColumnDef>,
    /// BTREE, or METADATA_ONLY for the shard key, which places rows and has nothing to look them up in.
    pub(crate) kind: &'static str,
}

/// The keys of a table in the order in which SHOW INDEX lists them. The shard key is among them where
/// it is not the primary key.
pub(crate) fn keys_of(def: &TableDef) -> Vec<Key<'_>> {
    let columns =
        |ids: &[ColumnId]| ids.iter().filter_map(|id| def.column(def.shown_as(*id))).collect::<Vec<_>>();
    let key = |name, unique, ids: &[ColumnId], kind| Key { name, unique, columns: columns(ids), kind };
    let mut keys = vec![key("PRIMARY", true, &def.primary_key, "BTREE")];
    keys.extend(def.keys.iter().map(|k| key(k.name.as_str(), k.unique, &k.columns, "BTREE")));
    if def.shard_key != def.primary_key {
        keys.push(key("__SHARDKEY", false, &def.shard_key, "METADATA_ONLY"));
    }
    keys.retain(|key| !key.columns.is_empty());
    keys
}

fn statistics(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, def) in facts.visible_tables(wanted, (1, 2)) {
        for key in keys_of(def) {
            for (at, column) in (1..).zip(&key.columns) {
                grid.push(vec![
                    CATALOG.into(),
                    schema.into(),
                    def.name.as_str().into(),
                    Cell::UInt(u64::from(!key.unique)),
                    schema.into(),
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
                    "YES".into(),
                    Cell::Null,
                ]);
            }
        }
    }
    Ok(())
}

fn key_column_usage(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, def) in facts.visible_tables(wanted, (4, 5)) {
        for key in keys_of(def).into_iter().filter(|key| key.unique) {
            for (at, column) in (1..).zip(&key.columns) {
                grid.push(vec![
                    CATALOG.into(),
                    schema.into(),
                    key.name.into(),
                    CATALOG.into(),
                    schema.into(),
                    def.name.as_str().into(),
                    column.name.as_str().into(),
                    Cell::UInt(at),
                    Cell::Null,
                    Cell::Null,
                    Cell::Null,
                    Cell::Null,
                ]);
            }
        }
        for key in &def.foreign_keys {
            let columns = def.shown_columns(&key.columns).zip(&key.referenced);
            for (at, (column, referenced)) in (1..).zip(columns) {
                grid.push(vec![
                    CATALOG.into(),
                    schema.into(),
                    key.name.as_str().into(),
                    CATALOG.into(),
                    schema.into(),
                    def.name.as_str().into(),
                    column.name.as_str().into(),
                    Cell::UInt(at),
                    Cell::UInt(at),
                    key.database.as_deref().unwrap_or(schema).into(),
                    key.table.as_str().into(),
                    referenced.as_str().into(),
                ]);
            }
        }
    }
    Ok(())
}

fn referential_constraints(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, def) in facts.visible_tables(wanted, (1, 9)) {
        for key in &def.foreign_keys {
            let database = key.database.as_deref().unwrap_or(schema);
            let referenced = facts.tables.catalog.table(database, &key.table);
            let unique = referenced.and_then(|def| key_referenced(def, &key.referenced));
            grid.push(vec![
                CATALOG.into(),
                schema.into(),
                key.name.as_str().into(),
                CATALOG.into(),
                database.into(),
                unique.into(),
                "NONE".into(),
                key.on_update.name().into(),
                key.on_delete.name().into(),
                def.name.as_str().into(),
                key.table.as_str().into(),
            ]);
        }
    }
    Ok(())
}

/// The unique key that has these columns.
fn key_referenced<'d>(def: &'d TableDef, columns: &[String]) -> Option<&'d str> {
    let has_them = |key: &Key<'_>| {
        key.unique
            && key.columns.len() == columns.len()
            && key.columns.iter().zip(columns).all(|(own, name)| own.name.eq_ignore_ascii_case(name))
    };
    keys_of(def).into_iter().find(has_them).map(|key| key.name)
}

fn table_constraints(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    for (schema, def) in facts.visible_tables(wanted, (3, 4)) {
        let keys = keys_of(def).into_iter().filter(|key| key.unique).map(|key| {
            let kind = if key.name == "PRIMARY" { "PRIMARY KEY" } else { "UNIQUE" };
            (key.name, kind, "YES")
        });
        let checks = def.checks.iter().map(|check| {
            let enforced = if check.enforced { "YES" } else { "NO" };
            (check.name.as_str(), "CHECK", enforced)
        });
        let foreign = def.foreign_keys.iter().map(|key| (key.name.as_str(), "FOREIGN KEY", "NO"));
        for (name, kind, enforced) in keys.chain(foreign).chain(checks) {
            let row = [CATALOG, schema, name, schema, def.name.as_str(), kind, enforced];
            grid.push(row.map(Cell::from).to_vec());
        }
    }
    Ok(())
}

fn check_constraints(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    // No column names the table: every table of the schema is looked at.
    const NONE: usize = usize::MAX;
    for (schema, def) in facts.visible_tables(wanted, (1, NONE)) {
        for check in &def.checks {
            let clause = format!("({})", check.expression);
            grid.push(vec![CATALOG.into(), schema.into(), check.name.as_str().into(), clause.into()]);
        }
    }
    Ok(())
}
