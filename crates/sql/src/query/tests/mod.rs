//! Queries bound, optimized and run by DataFusion over small tables, printed as MySQL prints them.

mod changes;
mod errors;
mod expressions;
mod locking;
mod on_duplicate;
mod open;
mod plans;
mod queries;
mod tpch;

use super::*;
use crate::functions::numerals::{write_decimal, write_double, write_float};
use crate::statement::Statement;
use crate::temporal::{Zone, format_date, format_datetime, format_time, parse_date, parse_datetime};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::array::{
    Date32Array, Decimal128Array, DurationMicrosecondArray, Float64Array, Int32Array, Int64Array,
    StringViewArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::TableSource;
use datafusion::prelude::{DataFrame, SessionContext};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use types::{ColumnDef, ColumnDefault, ColumnId, DatabaseId, ErrorKind, TableDef, TableId};

/// 2024-05-06 07:08:09.123456
pub(super) const NOW: i64 = 1_714_979_289_123_456;

pub(super) struct Table {
    def: Arc<TableDef>,
    batch: RecordBatch,
}

impl Table {
    pub(super) fn new(
        name: &str,
        columns: &[(&str, SqlType, bool)],
        key: &[&str],
        values: Vec<ArrayRef>,
    ) -> Table {
        let id = |at: usize| ColumnId(at as u32 + 1);
        let def = TableDef {
            id: TableId(1),
            database: DatabaseId(1),
            name: name.to_string(),
            version: 1,
            columns: columns
                .iter()
                .enumerate()
                .map(|(at, (name, ty, nullable))| ColumnDef {
                    id: id(at),
                    name: (*name).to_string(),
                    ty: *ty,
                    nullable: *nullable,
                    default: if *name == "a" {
                        ColumnDefault::Literal("7".into())
                    } else {
                        ColumnDefault::None
                    },
                    auto_increment: false,
                    initial: None,
                    collation: types::Collation::default(),
                    on_update_now: *name == "changed",
                    comment: String::new(),
                })
                .collect(),
            next_column_id: id(columns.len()),
            shard_key: Vec::new(),
            sort_key: Vec::new(),
            primary_key: key
                .iter()
                .map(|key| id(columns.iter().position(|(name, ..)| name == key).unwrap()))
                .collect(),
            keys: Vec::new(),
            collation: types::Collation::default(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: String::new(),
            replacement: None,
            reference: false,
        };
        let fields: Vec<Field> =
            columns.iter().map(|(name, ty, nullable)| ty.field(name, *nullable)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = if values.is_empty() {
            RecordBatch::new_empty(schema)
        } else {
            RecordBatch::try_new(schema, values).unwrap()
        };
        Table { def: Arc::new(def), batch }
    }

    fn source(&self, row_refs: bool) -> Arc<dyn TableSource> {
        let mut batch = self.batch.clone();
        if row_refs {
            let rows = batch.num_rows();
            let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(PARTITION_COLUMN, arrow::datatypes::DataType::UInt32, false)));
            fields.push(Arc::new(Field::new(ROW_COLUMN, arrow::datatypes::DataType::UInt64, false)));
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(UInt32Array::from(vec![3; rows])));
            columns.push(Arc::new(UInt64Array::from_iter_values((0..rows as u64).map(|row| 100 + row))));
            batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        }
        provider_as_source(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap()))
    }
}

pub(super) struct Database {
    pub(super) tables: HashMap<String, Table>,
}

impl Database {
    fn find(&self, database: Option<&str>, name: &str) -> Result<&Table, SqlError> {
        let database = database.unwrap_or("d");
        match self.tables.get(name) {
            Some(table) if database == "d" => Ok(table),
            _ => {
                Err(SqlError::new(ErrorKind::NoSuchTable, format!("Table '{database}.{name}' doesn't exist")))
            }
        }
    }
}

impl Tables for Database {
    fn table(&self, database: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>, SqlError> {
        Ok(self.find(database, name)?.source(false))
    }

    fn table_with_row_refs(
        &self,
        database: Option<&str>,
        name: &str,
    ) -> Result<Arc<dyn TableSource>, SqlError> {
        Ok(self.find(database, name)?.source(true))
    }

    fn definition(&self, database: Option<&str>, name: &str) -> Result<Option<Arc<TableDef>>, SqlError> {
        Ok(Some(Arc::clone(&self.find(database, name)?.def)))
    }
}

struct Settings;

impl Variables for Settings {
    fn system(&self, scope: VariableScope, name: &str) -> Result<Value, SqlError> {
        match (name, scope) {
            ("autocommit", _) => Ok(Value::Int(1)),
            ("version_comment", VariableScope::Any | VariableScope::Global) => {
                Ok(Value::Text("Pando".into()))
            }
            _ => Err(SqlError::new(
                ErrorKind::UnknownSystemVariable,
                format!("Unknown system variable '{name}'"),
            )),
        }
    }

    fn user(&self, name: &str) -> Value {
        match name {
            "x" => Value::Int(42),
            "name" => Value::Text("pando".into()),
            _ => Value::Null,
        }
    }
}

pub(super) fn session() -> SessionView<'static> {
    SessionView {
        database: Some("d"),
        user: "root@localhost".into(),
        current_user: "root@%".into(),
        current_role: "NONE".into(),
        connection_id: 9.into(),
        last_insert_id: 5.into(),
        row_count: (-1).into(),
        found_rows: 2.into(),
        version: "8.0.36-Pando-0.1.0",
        now: NOW.into(),
        zone: Zone::UTC,
        modes: Modes::default(),
        variables: &Settings,
    }
}

/// Three rows: values, NULLs, and values again.
pub(super) static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let date = |text: &str| parse_date(text.as_bytes()).unwrap();
    let moment = |text: &str| parse_datetime(text.as_bytes(), 6).unwrap();
    let decimal = SqlType::Decimal { precision: 15, scale: 2 };
    let t = Table::new(
        "t",
        &[
            ("id", SqlType::Int { unsigned: false }, false),
            ("a", SqlType::Int { unsigned: false }, true),
            ("u", SqlType::Int { unsigned: true }, true),
            ("b", SqlType::BigInt { unsigned: false }, true),
            ("d", decimal, true),
            ("x", SqlType::Double, true),
            ("s", SqlType::VarChar(20), true),
            ("day", SqlType::Date, true),
            ("at", SqlType::DateTime { fsp: 0 }, true),
            ("clock", SqlType::Time { fsp: 0 }, true),
            ("Stamp", SqlType::Timestamp { fsp: 0 }, true),
        ],
        &["id"],
        vec![
            Arc::new(Int32Array::from(vec![1, 2, 3])),
            Arc::new(Int32Array::from(vec![Some(10), None, Some(-3)])),
            Arc::new(UInt32Array::from(vec![Some(7), None, Some(4_000_000_000)])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(5)])),
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), None, Some(-50)])
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
            Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-0.25)])),
            Arc::new(StringViewArray::from(vec![Some("Hello"), None, Some("12abc")])),
            Arc::new(Date32Array::from(vec![Some(date("2024-02-29")), None, Some(date("1998-12-01"))])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(moment("2024-02-29 10:20:30")),
                None,
                Some(moment("1998-12-01 00:00:00")),
            ])),
            Arc::new(DurationMicrosecondArray::from(vec![Some(37_230_000_000), None, Some(-3_600_000_000)])),
            Arc::new(
                TimestampMicrosecondArray::from(vec![
                    Some(moment("2024-02-29 10:20:30")),
                    None,
                    Some(moment("1998-12-01 00:00:00")),
                ])
                .with_timezone("+00:00"),
            ),
        ],
    );
    let orders = Table::new(
        "orders",
        &[
            ("id", SqlType::Int { unsigned: false }, false),
            ("t_id", SqlType::Int { unsigned: false }, true),
            ("amount", decimal, false),
            ("Name", SqlType::VarChar(10), false),
        ],
        &["id"],
        vec![
            Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5])),
            Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(3), Some(9), None])),
            Arc::new(
                Decimal128Array::from(vec![100, 200, 200, 1_050, 333])
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
            Arc::new(StringViewArray::from(vec!["a", "b", "b", "c", "d"])),
        ],
    );
    let log = Table::new(
        "log",
        &[
            ("a", SqlType::Int { unsigned: false }, false),
            ("b", SqlType::Int { unsigned: false }, true),
            ("changed", SqlType::DateTime { fsp: 0 }, true),
        ],
        &["a"],
        vec![
            Arc::new(Int32Array::from(vec![1, 2])),
            Arc::new(Int32Array::from(vec![Some(10), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), Some(0)])),
        ],
    );
    let tables = [t, orders, log].into_iter().map(|table| (table.def.name.clone(), table));
    Database { tables: tables.collect() }
});

pub(super) fn parse_query(text: &str) -> Result<Box<ast::Query>, SqlError> {
    match crate::parse::parse_one(text)?.statement {
        Statement::Query(query) => Ok(query),
        other => panic!("{text} is no query: {other:?}"),
    }
}

pub(super) fn bind_with(
    text: &str,
    session: SessionView<'_>,
    parameters: &[Value],
) -> Result<BoundQuery, SqlError> {
    let query = parse_query(text)?;
    bind_query(&query, &BindContext { tables: &*DATABASE, session, parameters, text })
}

pub(super) fn bind(text: &str) -> Result<BoundQuery, SqlError> {
    bind_with(text, session(), &[])
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap());

static ENGINE: LazyLock<SessionContext> = LazyLock::new(|| {
    let config = datafusion::prelude::SessionConfig::new().with_target_partitions(2);
    SessionContext::new_with_config(config)
});

pub(super) fn optimized(plan: LogicalPlan) -> LogicalPlan {
    ENGINE.state().optimize(&plan).unwrap_or_else(|error| panic!("{error}\n{}", plan.display_indent()))
}

pub(super) fn run_plan(plan: LogicalPlan) -> Result<Vec<RecordBatch>, SqlError> {
    let frame = DataFrame::new(ENGINE.state(), plan);
    RUNTIME.block_on(frame.collect()).map_err(execution_error)
}

/// Rows of printed values.
pub(super) fn rows_of(bound: BoundQuery) -> Result<Vec<Vec<String>>, SqlError> {
    let types: Vec<SqlType> = bound.columns.iter().map(|column| column.ty).collect();
    let width = bound.plan.schema().fields().len();
    // Behind the columns of a locking query stand the places of its rows.
    assert!(width == types.len() || bound.lock.is_some(), "{}", bound.plan.display_indent());
    let mut rows = Vec::new();
    for batch in run_plan(bound.plan)? {
        for row in 0..batch.num_rows() {
            let values = batch
                .columns()
                .iter()
                .zip(&types)
                .map(|(column, ty)| printed(&ScalarValue::try_from_array(column, row).unwrap(), *ty));
            rows.push(values.collect());
        }
    }
    Ok(rows)
}

pub(super) fn rows(text: &str) -> Vec<Vec<String>> {
    bind(text).and_then(rows_of).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The rows of a query in one line: `1,a|2,NULL`.
pub(super) fn line(text: &str) -> String {
    rows(text).iter().map(|row| row.join(",")).collect::<Vec<_>>().join("|")
}

/// As the text protocol sends it.
pub(super) fn printed(value: &ScalarValue, ty: SqlType) -> String {
    if value.is_null() {
        return "NULL".to_string();
    }
    let fsp = match ty {
        SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => fsp,
        _ => 0,
    };
    let mut out = String::new();
    match value {
        ScalarValue::Boolean(Some(v)) => out.push_str(if *v { "1" } else { "0" }),
        ScalarValue::Decimal128(Some(v), _, scale) => write_decimal(&mut out, *v, *scale),
        ScalarValue::Float64(Some(v)) => write_double(&mut out, *v),
        ScalarValue::Float32(Some(v)) => write_float(&mut out, *v),
        ScalarValue::Date32(Some(v)) => out.push_str(&format_date(*v)),
        ScalarValue::TimestampMicrosecond(Some(v), _) => out.push_str(&format_datetime(*v, fsp)),
        ScalarValue::DurationMicrosecond(Some(v)) => out.push_str(&format_time(*v, fsp)),
        ScalarValue::BinaryView(Some(v)) => out.push_str(&String::from_utf8_lossy(v)),
        ScalarValue::Utf8View(Some(v)) => out.push_str(v),
        other => out.push_str(&other.to_string()),
    }
    out
}
