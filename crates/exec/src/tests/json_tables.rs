//! JSON_TABLE over documents in a column.

use super::{World, context, count, idle, world};
use crate::{DistributedPlan, JsonTableExec};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use sql::json_table::{JsonColumn, JsonTable, Otherwise, RowsAt};
use std::sync::Arc;
use types::{ErrorKind, SqlError, SqlType};

/// `JSON_TABLE(document, '$[*]' COLUMNS (v INT PATH '$'))`
fn table() -> Arc<JsonTable> {
    let value = JsonColumn::Value {
        name: "v".into(),
        ty: SqlType::Int { unsigned: false },
        path: "$".into(),
        on_empty: Otherwise::Null,
        on_error: Otherwise::Null,
    };
    Arc::new(JsonTable { zone: "+00:00".into(), rows: RowsAt { path: "$[*]".into(), columns: vec![value] } })
}

/// Rows of a document and a number from 1, in two batches.
fn documents(texts: &[Option<&str>]) -> Arc<dyn ExecutionPlan> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("document", DataType::Utf8View, true),
        Field::new("id", DataType::Int64, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(texts.iter().copied().collect::<StringViewArray>()),
        Arc::new(Int64Array::from_iter_values(1..=texts.len() as i64)),
    ];
    let all = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let half = texts.len() / 2;
    let batches = vec![all.slice(0, half), all.slice(half, texts.len() - half)];
    DataSourceExec::from_data_source(MemorySourceConfig::try_new(&[batches], schema, None).unwrap())
}

async fn run(world: &mut World, texts: &[Option<&str>], outer: bool) -> Result<Vec<RecordBatch>, SqlError> {
    let plan = JsonTableExec::try_new(documents(texts), table(), 0, outer).unwrap();
    let plan = DistributedPlan::cut(Arc::new(plan), ConfigOptions::default()).unwrap();
    let context = context(std::mem::take(&mut world.tables));
    let rows = world.executor.run(&plan, context)?.collect().await;
    idle(&world.memory).await;
    rows
}

fn rows(batches: &[RecordBatch]) -> Vec<(i64, Option<i32>)> {
    let rows = batches.iter().flat_map(|batch| {
        let ids = batch.column(0).as_primitive::<Int64Type>();
        let values = batch.column(1).as_primitive::<Int32Type>();
        ids.values().iter().copied().zip(values.iter()).collect::<Vec<_>>()
    });
    rows.collect()
}

#[tokio::test]
async fn rows_stand_as_often_as_their_documents_make_rows() {
    let texts = [Some("[1, 2]"), None, Some("[]"), Some("[3]")];
    let inner = run(&mut world(1, 1 << 30), &texts, false).await.unwrap();
    assert_eq!(rows(&inner), [(1, Some(1)), (1, Some(2)), (4, Some(3))]);
    let outer = run(&mut world(1, 1 << 30), &texts, true).await.unwrap();
    assert_eq!(rows(&outer), [(1, Some(1)), (1, Some(2)), (2, None), (3, None), (4, Some(3))]);
    let error = run(&mut world(1, 1 << 30), &[Some("[1]"), Some("[")], false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidJsonArgument);
}

#[tokio::test]
async fn a_long_document_comes_in_batches_or_does_not_fit() {
    let long = format!("[{}0]", "1, ".repeat(99_999));
    let texts = [Some("[7]"), Some(long.as_str()), Some("[8]")];
    let batches = run(&mut world(1, 1 << 30), &texts, false).await.unwrap();
    assert_eq!(count(&batches), 100_002);
    assert!(batches.len() > 10 && batches.iter().all(|batch| batch.num_rows() <= 8192));
    let rows = rows(&batches);
    assert_eq!((rows[0], rows[100_000], rows[100_001]), ((1, Some(7)), (2, Some(0)), (3, Some(8))));
    let error = run(&mut world(1, 1 << 20), &texts, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutOfMemory, "{error}");
}
