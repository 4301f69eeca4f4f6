//! The registry: names, columns, what they are found by.

use super::*;
use std::collections::BTreeSet;

#[test]
fn tables_are_found_in_any_case_and_each_is_there_once() {
    for schema in SCHEMAS {
        let tables = tables_of(schema);
        let names: BTreeSet<String> = tables.iter().map(|table| table.name.to_lowercase()).collect();
        assert_eq!(names.len(), tables.len(), "{schema}");
        for table in tables {
            assert!(find(schema, &table.name.to_lowercase()).is_ok_and(|found| found.name == table.name));
            let columns: BTreeSet<&str> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(columns.len(), table.columns.len(), "{}", table.name);
            assert!(table.create_text().starts_with("CREATE TEMPORARY TABLE `"), "{}", table.name);
        }
    }
    let error = |name| find(INFORMATION_SCHEMA, name).err().map(|error| (error.kind.errno(), error.message));
    let near = "Unknown table 'TABLE' in information_schema; did you mean 'TABLES'?";
    assert_eq!(error("TABLE"), Some((1109, near.to_string())));
    assert_eq!(error("xyzzy"), Some((1109, "Unknown table 'xyzzy' in information_schema".to_string())));
    assert_eq!(system_schema("Information_Schema"), Some("information_schema"));
    assert_eq!(system_schema("shop"), None);
}

/// The places that the functions are told of are those of the columns with these names.
#[test]
fn rows_are_looked_for_by_the_columns_that_name_schema_and_table() {
    for (name, columns) in [
        ("TABLES", [("TABLE_SCHEMA", 1), ("TABLE_NAME", 2)]),
        ("VIEWS", [("TABLE_SCHEMA", 1), ("TABLE_NAME", 2)]),
        ("PARTITIONS", [("TABLE_SCHEMA", 1), ("TABLE_NAME", 2)]),
        ("COLUMNS", [("TABLE_SCHEMA", 1), ("TABLE_NAME", 2)]),
        ("STATISTICS", [("TABLE_SCHEMA", 1), ("TABLE_NAME", 2)]),
        ("KEY_COLUMN_USAGE", [("TABLE_SCHEMA", 4), ("TABLE_NAME", 5)]),
        ("TABLE_CONSTRAINTS", [("TABLE_SCHEMA", 3), ("TABLE_NAME", 4)]),
        ("SCHEMATA", [("SCHEMA_NAME", 1), ("SCHEMA_NAME", 1)]),
        ("CHECK_CONSTRAINTS", [("CONSTRAINT_SCHEMA", 1), ("CONSTRAINT_SCHEMA", 1)]),
    ] {
        let table = find(INFORMATION_SCHEMA, name).unwrap();
        for (column, place) in columns {
            assert_eq!(table.place(column), place, "{name}.{column}");
        }
    }
}
