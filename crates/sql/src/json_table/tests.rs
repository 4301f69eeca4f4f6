use super::*;
use crate::functions::failure::raise;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::DataFusionError;
use std::sync::Arc;
use types::SqlError;

const INT: SqlType = SqlType::Int { unsigned: false };

fn value(name: &str, ty: SqlType, path: &str) -> JsonColumn {
    JsonColumn::Value {
        name: name.into(),
        ty,
        path: path.into(),
        on_empty: Otherwise::Null,
        on_error: Otherwise::Null,
    }
}

fn answering(name: &str, ty: SqlType, on_empty: Otherwise, on_error: Otherwise) -> JsonColumn {
    JsonColumn::Value { name: name.into(), ty, path: "$.a".into(), on_empty, on_error }
}

fn ordinality(name: &str) -> JsonColumn {
    JsonColumn::Ordinality { name: name.into() }
}

fn nested(path: &str, columns: Vec<JsonColumn>) -> JsonColumn {
    JsonColumn::Nested(RowsAt { path: path.into(), columns })
}

fn default(text: &str) -> Otherwise {
    Otherwise::Default(text.into())
}

fn table(path: &str, columns: Vec<JsonColumn>) -> JsonTable {
    JsonTable { zone: "+00:00".into(), rows: RowsAt { path: path.into(), columns } }
}

/// The error that travels in one of DataFusion.
fn sql_error(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => *inner.downcast::<SqlError>().unwrap(),
        other => panic!("{other}"),
    }
}

/// The rows, each with blanks between its values; NULL is empty.
fn rows(table: &JsonTable, document: &str) -> Result<Vec<String>, SqlError> {
    let json_rows = JsonRows::try_new(table)?;
    let mut made = json_rows.start();
    json_rows.make(document, &mut made, &mut |_| Ok(())).map_err(sql_error)?;
    let fields: Vec<_> = table.columns().into_iter().map(|(name, ty)| ty.field(name, true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), made.take()).unwrap();
    let text = pretty_format_batches(&[batch]).unwrap().to_string();
    let lines = text.lines().skip(3).filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect();
        cells.join(";")
    };
    Ok(lines.map(cells).collect())
}

fn errno(table: &JsonTable, document: &str) -> u16 {
    rows(table, document).unwrap_err().kind.errno()
}

#[test]
fn a_row_for_each_value_that_the_path_finds() {
    let text = SqlType::VarChar(5);
    let exists = JsonColumn::Exists { name: "e".into(), ty: INT, path: "$.b".into() };
    let columns = vec![ordinality("n"), value("i", INT, "$.a"), value("t", text, "$.a"), exists];
    let made = rows(
        &table("$[*]", columns),
        r#"[{"a": 1, "b": null}, {"a": "7"}, {"a": "long text"}, {"a": [1]}, {}, {"a": true}, {"a": null}]"#,
    );
    let expected = ["1;1;1;1", "2;7;7;0", "3;;;0", "4;;;0", "5;;;0", "6;1;true;0", "7;;;0"];
    assert_eq!(made.unwrap(), expected);
}

#[test]
fn a_json_column_keeps_what_is_found() {
    let columns = vec![value("one", SqlType::Json, "$.a"), value("all", SqlType::Json, "$.*")];
    let made = rows(&table("$", columns), r#"{"b":[1,2],"a":{"x":"y"}}"#).unwrap();
    assert_eq!(made, [r#"{"x": "y"};[{"x": "y"}, [1, 2]]"#]);
    let nothing = table("$", vec![value("one", SqlType::Json, "$.a")]);
    assert_eq!(rows(&nothing, r#"{"a": null}"#).unwrap(), [""]);
}

#[test]
fn nested_paths_take_turns() {
    let inner = nested("$.c[*]", vec![ordinality("m"), value("c", INT, "$")]);
    let columns = vec![
        ordinality("n"),
        nested("$.b[*]", vec![ordinality("k"), value("b", INT, "$.v"), inner]),
        value("a", INT, "$.a"),
        nested("$.d[*]", vec![value("d", INT, "$")]),
    ];
    let document = r#"[
        {"a": 1, "b": [{"v": 10, "c": [100, 200]}, {"v": 20}], "d": [7, 8]},
        {"a": 2, "d": [9]},
        {"a": 3}
    ]"#;
    let made = rows(&table("$[*]", columns), document).unwrap();
    let expected = [
        "1;1;10;1;100;1;",
        "1;1;10;2;200;1;",
        "1;2;20;;;1;",
        "1;;;;;1;7",
        "1;;;;;1;8",
        "2;;;;;2;9",
        "3;;;;;3;",
    ];
    assert_eq!(made, expected);
}

#[test]
fn what_is_missing_or_does_not_fit() {
    let columns = vec![answering("x", INT, default("11"), default("\"22\""))];
    let made = rows(&table("$[*]", columns), r#"[{"a": 1}, {}, {"a": "x"}, {"a": {}}, {"a": 3000000000}]"#);
    assert_eq!(made.unwrap(), ["1", "11", "22", "22", "22"]);
    let strict = |ty| table("$", vec![answering("x", ty, Otherwise::Error, Otherwise::Error)]);
    assert_eq!(errno(&strict(INT), "{}"), 3665);
    assert_eq!(errno(&strict(INT), r#"{"a": []}"#), 3666);
    assert_eq!(errno(&strict(INT), r#"{"a": "x"}"#), 3669);
    assert_eq!(errno(&strict(SqlType::VarChar(2)), r#"{"a": "abc"}"#), 3669);
    assert_eq!(rows(&strict(SqlType::Json), r#"{"a": []}"#).unwrap(), ["[]"]);
    assert_eq!(rows(&strict(INT), r#"{"a": null}"#).unwrap(), [""]);
}

#[test]
fn types() {
    let datetime = SqlType::DateTime { fsp: 0 };
    let columns = vec![
        value("decimal", SqlType::Decimal { precision: 5, scale: 2 }, "$[0]"),
        value("double", SqlType::Double, "$[0]"),
        value("rounded", INT, "$[0]"),
        value("date", SqlType::Date, "$[1]"),
        value("datetime", datetime, "$[1]"),
        value("text", SqlType::Char(10), "$[2]"),
        value("bytes", SqlType::Text(types::sql_type::LobSize::Normal), "$[0]"),
    ];
    let made = rows(&table("$", columns), r#"[1.255, "2024-02-29", "ä "]"#).unwrap();
    assert_eq!(made, ["1.26;1.255;1;2024-02-29;2024-02-29T00:00:00;ä;1.255"]);
}

#[test]
fn wrong_documents_and_paths() {
    let ints = table("$[*]", vec![value("i", INT, "$")]);
    assert_eq!(errno(&ints, "[1,"), 3141);
    assert_eq!(errno(&ints, ""), 3141);
    assert_eq!(errno(&table("a", vec![value("i", INT, "$")]), "[1]"), 3143);
    assert_eq!(errno(&table("$", vec![value("i", INT, "$.")]), "[1]"), 3143);
    assert!(rows(&ints, "{}").unwrap().is_empty());
    for (text, ty, good) in [
        ("1", INT, true),
        ("x", INT, false),
        ("\"x\"", INT, false),
        ("[]", INT, false),
        ("[]", SqlType::Json, true),
    ] {
        assert_eq!(check_default(text, "c", ty, crate::temporal::Zone::UTC).is_ok(), good, "{text}");
    }
}

#[test]
fn rows_may_be_taken_while_they_are_made() {
    let json_rows = JsonRows::try_new(&table("$[*]", vec![value("i", INT, "$")])).unwrap();
    let mut made = json_rows.start();
    let mut taken = Vec::new();
    let mut each = |made: &mut MadeRows| {
        if made.rows() == 2 {
            assert!(made.bytes() >= 8);
            taken.push(made.take()[0].len());
        }
        if taken.len() == 3 {
            return Err(raise(SqlError::internal("enough")));
        }
        Ok(())
    };
    json_rows.make("[1, 2, 3, 4, 5]", &mut made, &mut each).unwrap();
    assert!(json_rows.make("[1, 2, 3]", &mut made, &mut each).is_err());
    assert_eq!(taken, [2, 2, 2]);
    made.push_nulls();
    assert_eq!(made.take()[0].null_count(), 1);
}
