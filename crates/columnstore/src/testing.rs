//! Tables and rows for the tests of this crate.

use crate::tail::key::value_at;
use arrow::array::{Array, ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use types::sql_type::LobSize;
use types::{ColumnDef, ColumnDefault, ColumnId, DatabaseId, SqlType, TableDef, TableId, Value};

pub(crate) fn column(id: u32, name: &str, ty: SqlType, nullable: bool) -> ColumnDef {
    ColumnDef {
        id: ColumnId(id),
        name: name.into(),
        ty,
        nullable,
        default: ColumnDefault::None,
        auto_increment: false,
        initial: None,
        collation: types::Collation::default(),
        on_update_now: false,
        comment: String::new(),
    }
}

pub(crate) fn table(id: u32, columns: Vec<ColumnDef>, primary_key: &[u32]) -> TableDef {
    TableDef {
        id: TableId(id),
        database: DatabaseId(1),
        name: format!("t{id}"),
        version: 1,
        next_column_id: ColumnId(columns.iter().map(|c| c.id.0 + 1).max().unwrap_or(1)),
        columns,
        shard_key: Vec::new(),
        sort_key: Vec::new(),
        primary_key: primary_key.iter().map(|id| ColumnId(*id)).collect(),
        keys: Vec::new(),
        collation: types::Collation::default(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        comment: String::new(),
        replacement: None,
        reference: false,
    }
}

/// k BIGINT PRIMARY KEY, v VARCHAR(100).
pub(crate) fn kv_table(id: u32) -> TableDef {
    let k = column(1, "k", SqlType::BigInt { unsigned: false }, false);
    table(id, vec![k, column(2, "v", SqlType::VarChar(100), true)], &[1])
}

/// k BIGINT PRIMARY KEY, v BIGINT.
pub(crate) fn number_table(id: u32) -> TableDef {
    let ty = SqlType::BigInt { unsigned: false };
    table(id, vec![column(1, "k", ty, false), column(2, "v", ty, true)], &[1])
}

fn batch(def: &TableDef, columns: Vec<ArrayRef>) -> RecordBatch {
    let ids: Vec<ColumnId> = def.columns.iter().map(|c| c.id).collect();
    RecordBatch::try_new(crate::scan::output_schema(def, &ids, false).unwrap(), columns).unwrap()
}

pub(crate) fn kv_rows(def: &TableDef, rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|(k, _)| *k));
    let values: StringViewArray = rows.iter().map(|(_, v)| *v).collect();
    batch(def, vec![Arc::new(keys), Arc::new(values)])
}

pub(crate) fn number_rows(def: &TableDef, rows: &[(i64, i64)]) -> RecordBatch {
    let keys = Int64Array::from_iter_values(rows.iter().map(|(k, _)| *k));
    let values = Int64Array::from_iter_values(rows.iter().map(|(_, v)| *v));
    batch(def, vec![Arc::new(keys), Arc::new(values)])
}

/// A column of every kind, with a key of an integer and a string.
pub(crate) fn wide_table() -> TableDef {
    use SqlType::*;
    let types = [
        BigInt { unsigned: true },
        TinyInt { unsigned: false },
        Bool,
        SmallInt { unsigned: true },
        MediumInt { unsigned: false },
        Int { unsigned: true },
        BigInt { unsigned: false },
        Decimal { precision: 15, scale: 2 },
        Decimal { precision: 30, scale: 5 },
        Float,
        Double,
        Date,
        Time { fsp: 3 },
        DateTime { fsp: 6 },
        Timestamp { fsp: 0 },
        Year,
        Bit(11),
        Bit(64),
        Char(10),
        Text(LobSize::Normal),
        Blob(LobSize::Normal),
    ];
    let mut columns: Vec<ColumnDef> =
        types.iter().enumerate().map(|(i, ty)| column(i as u32 + 1, &format!("c{i}"), *ty, true)).collect();
    columns[0].nullable = false;
    columns.push(column(40, "last", VarChar(20), false));
    table(77, columns, &[1, 40])
}

pub(crate) fn wide_rows(def: &TableDef, rows: usize, seed: u64) -> RecordBatch {
    let mut rng = StdRng::seed_from_u64(seed);
    let columns = def
        .columns
        .iter()
        .map(|column| {
            let numbers: Vec<Option<i64>> = (0..rows)
                .map(|_| (!column.nullable || rng.random_bool(0.8)).then(|| rng.random_range(0..120)))
                .collect();
            let numbers = Int64Array::from(numbers);
            let texts: StringViewArray = numbers
                .iter()
                .map(|v| v.map(|v| "a string of some length ".repeat(v as usize % 3) + &v.to_string()))
                .collect();
            match column.ty.arrow() {
                arrow::datatypes::DataType::Utf8View => Arc::new(texts) as ArrayRef,
                arrow::datatypes::DataType::BinaryView => Arc::new(texts.to_binary_view()),
                arrow::datatypes::DataType::Date32 => {
                    let days: arrow::array::Date32Array =
                        numbers.iter().map(|v| v.map(|v| v as i32)).collect();
                    Arc::new(days)
                }
                ty => arrow::compute::cast(&numbers, &ty).unwrap(),
            }
        })
        .collect();
    batch(def, columns)
}

/// The rows of a batch as values, with the types of its fields.
pub(crate) fn values(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let schema = batch.schema();
    let types: Vec<SqlType> = schema.fields().iter().map(|f| SqlType::of_field(f).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| {
            let cells = batch.columns().iter().zip(&types);
            cells.map(|(array, ty)| value_at(array as &dyn Array, *ty, row).unwrap()).collect()
        })
        .collect()
}
