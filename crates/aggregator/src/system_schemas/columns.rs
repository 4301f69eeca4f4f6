//! COLUMNS.

use super::*;
use crate::statement::Cell;
use sql::charset::DEFAULT_CHARSET;

pub(super) const TABLES: &[SystemTable] = &[SystemTable {
    schema: INFORMATION_SCHEMA,
    name: "COLUMNS",
    columns: &[
        text("TABLE_CATALOG", 64),
        text("TABLE_SCHEMA", 64),
        text("TABLE_NAME", 64),
        text("COLUMN_NAME", 64).null(),
        uint("ORDINAL_POSITION"),
        column("COLUMN_DEFAULT", SqlType::Text(LobSize::Normal)).null(),
        text("IS_NULLABLE", 3),
        long("DATA_TYPE").null(),
        column("CHARACTER_MAXIMUM_LENGTH", SqlType::BigInt { unsigned: false }).null(),
        column("CHARACTER_OCTET_LENGTH", SqlType::BigInt { unsigned: false }).null(),
        ubig("NUMERIC_PRECISION").null(),
        ubig("NUMERIC_SCALE").null(),
        uint("DATETIME_PRECISION").null(),
        text("CHARACTER_SET_NAME", 64).null(),
        text("COLLATION_NAME", 64).null(),
        column("COLUMN_TYPE", SqlType::Text(LobSize::Medium)),
        text("COLUMN_KEY", 3),
        text("EXTRA", 256).null(),
        text("PRIVILEGES", 154).null(),
        column("COLUMN_COMMENT", SqlType::Text(LobSize::Normal)),
        long("GENERATION_EXPRESSION"),
        uint("SRS_ID").null(),
    ],
    source: Source::Here(columns),
}];

fn columns(facts: &Facts, wanted: &Wanted, grid: &mut Grid) -> Result<()> {
    let names = (1, 2);
    for (schema, def) in facts.visible_tables(wanted, names) {
        push_table(schema, def, facts.tables.privileges.words_on_columns(schema, &def.name), grid);
    }
    for (schema, view) in facts.visible_views(wanted, names) {
        // One that cannot be used any more has no columns that could be named.
        let Ok(found) = facts.tables.view_columns(schema, view) else { continue };
        let words = facts.tables.privileges.words_on_columns(schema, &view.name);
        for (at, column) in (1..).zip(found) {
            let Some(granted) = words(&column.name) else { continue };
            let mut row = vec![CATALOG.into(), schema.into(), view.name.as_str().into()];
            row.extend([column.name.into(), Cell::UInt(at), Cell::Null, yes_no(column.nullable)]);
            row.extend(of_type(column.ty, column.collation));
            row.extend(["".into(), "".into(), granted.into(), "".into(), "".into(), Cell::Null]);
            grid.push(row);
        }
    }
    for table in facts.system_tables(wanted, names) {
        push_table(table.schema, &table.definition(), |_| Some("select".to_string()), grid);
    }
    Ok(())
}

/// `words`: what may be done with a column; none: it is not shown.
fn push_table(schema: &str, def: &TableDef, words: impl Fn(&str) -> Option<String>, grid: &mut Grid) {
    for (at, (shown, column)) in (1..).zip(sql::ddl::columns_rows(def).into_iter().zip(&def.columns)) {
        let Some(granted) = words(&column.name) else { continue };
        let generated = match &column.default {
            ColumnDefault::Generated { expression, .. } => expression.as_str(),
            _ => "",
        };
        let mut row = vec![CATALOG.into(), schema.into(), def.name.as_str().into()];
        row.extend([shown.field.into(), Cell::UInt(at), shown.default.into(), shown.null.into()]);
        row.extend(of_type(column.ty, column.collation));
        row.extend([
            shown.key.into(),
            shown.extra.into(),
            granted.into(),
            shown.comment.into(),
            generated.into(),
            Cell::Null,
        ]);
        grid.push(row);
    }
}

fn yes_no(yes: bool) -> Cell {
    (if yes { "YES" } else { "NO" }).into()
}

/// From DATA_TYPE to COLUMN_TYPE.
fn of_type(ty: SqlType, collation: Collation) -> [Cell; 9] {
    let shown = ty.to_string();
    let name = shown.split(['(', ' ']).next().unwrap_or_default();
    let (characters, bytes) = match lengths(ty) {
        Some((characters, bytes)) => (Cell::UInt(characters), Cell::UInt(bytes)),
        None => (Cell::Null, Cell::Null),
    };
    let (precision, scale) = number(ty);
    let seconds = match ty {
        SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => {
            Cell::UInt(u64::from(fsp))
        }
        _ => Cell::Null,
    };
    // JSON is text in no character set that one could choose.
    let is_text = ty.is_string() && ty != SqlType::Json;
    [
        name.into(),
        characters,
        bytes,
        precision.into(),
        scale.into(),
        seconds,
        is_text.then_some(DEFAULT_CHARSET).into(),
        is_text.then_some(collation.name()).into(),
        shown.into(),
    ]
}

/// The greatest length in characters and in bytes.
fn lengths(ty: SqlType) -> Option<(u64, u64)> {
    match ty {
        SqlType::Char(n) | SqlType::VarChar(n) => Some((u64::from(n), u64::from(n) * 4)),
        SqlType::Binary(n) | SqlType::VarBinary(n) => Some((u64::from(n), u64::from(n))),
        SqlType::Text(size) | SqlType::Blob(size) => Some((size.max_bytes(), size.max_bytes())),
        SqlType::Enum(labels) => Some((labels.longest().into(), u64::from(labels.longest()) * 4)),
        SqlType::Set(labels) => Some((labels.all_together().into(), u64::from(labels.all_together()) * 4)),
        _ => None,
    }
}

/// Digits, and those of them after the point.
fn number(ty: SqlType) -> (Option<u64>, Option<u64>) {
    let digits = match ty {
        SqlType::Bool | SqlType::TinyInt { .. } => 3,
        SqlType::SmallInt { .. } => 5,
        SqlType::MediumInt { unsigned } => 7 + u64::from(unsigned),
        SqlType::Int { .. } => 10,
        SqlType::BigInt { unsigned } => 19 + u64::from(unsigned),
        SqlType::Bit(bits) => return (Some(u64::from(bits)), None),
        SqlType::Decimal { precision, scale } => {
            return (Some(u64::from(precision)), Some(u64::from(scale)));
        }
        SqlType::Float => return (Some(12), None),
        SqlType::Double => return (Some(22), None),
        _ => return (None, None),
    };
    (Some(digits), Some(0))
}
