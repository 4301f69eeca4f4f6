//! Plans put together by hand: how they end.

mod json_tables;
mod parts;
mod pulls;

use crate::testing::{TestTables, table_def};
use crate::{Cancel, DistributedPlan, ExchangeExec, ExchangeKind, Executor, ExecutorOptions, QueryContext};
use arrow::array::{Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Schema;
use datafusion::config::ConfigOptions;
use datafusion::datasource::TableProvider;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::prelude::SessionContext;
use env::MemoryBudget;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use types::{ErrorKind, SqlError, SqlType, TableDef, TableId};

const BIGINT: SqlType = SqlType::BigInt { unsigned: false };

struct World {
    def: Arc<TableDef>,
    tables: TestTables,
    memory: Arc<MemoryBudget>,
    executor: Executor,
    _folder: tempfile::TempDir,
}

/// One table of `rows` rows over three partitions.
#[test]
fn what_a_crash_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("datafusion-AbC123");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("1.arrow"), "rows").unwrap();
    std::fs::write(folder.path().join("other"), "").unwrap();
    let options = ExecutorOptions::new(MemoryBudget::new(1 << 20), folder.path().to_path_buf());
    let _executor = Executor::new(options).unwrap();
    assert!(!left.exists() && folder.path().join("other").exists());
}

fn world(rows: i64, memory: usize) -> World {
    let columns = [("k", BIGINT, false), ("v", BIGINT, false), ("s", SqlType::VarChar(40), true)];
    let def = Arc::new(table_def(1, "t", &columns, &["k"]));
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from_iter_values(0..rows)),
            Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i % 10))),
            Arc::new(StringViewArray::from_iter_values((0..rows).map(|i| format!("the string of row {i}")))),
        ],
    )
    .unwrap();
    let mut tables = TestTables::new(3, 1000);
    tables.add(&def, &batch);
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryBudget::new(memory);
    let mut options = ExecutorOptions::new(memory.clone(), folder.path().to_path_buf());
    options.threads = 2;
    options.query_memory = memory.limit();
    let executor = Executor::new(options).unwrap();
    World { def, tables, memory, executor, _folder: folder }
}

/// scan -> shuffle by v -> gather.
async fn shuffled(world: &World) -> DistributedPlan {
    let state = SessionContext::new().state();
    let scan = world.tables.provider(world.def.id).scan(&state, None, &[], None).await.unwrap();
    let keys = vec![col("v", &scan.schema()).unwrap()];
    let shuffle = ExchangeExec::new(scan, ExchangeKind::Shuffle { keys, partitions: 3 });
    let gather = ExchangeExec::new(Arc::new(shuffle), ExchangeKind::Gather);
    DistributedPlan::cut(Arc::new(gather), ConfigOptions::default()).unwrap()
}

fn context(tables: TestTables) -> QueryContext {
    QueryContext { snapshots: Arc::new(tables), cancel: Cancel::new(), memory: None }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

async fn idle(memory: &Arc<MemoryBudget>) {
    for _ in 0..500 {
        if memory.used() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} bytes are still reserved", memory.used());
}

#[tokio::test]
async fn all_rows_arrive_and_a_plan_runs_once() {
    let mut world = world(20_000, 1 << 30);
    let plan = shuffled(&world).await;
    let context = context(std::mem::take(&mut world.tables));
    let rows = world.executor.run(&plan, context.clone()).unwrap().collect().await.unwrap();
    assert_eq!(count(&rows), 20_000);
    assert!(world.executor.run(&plan, context).is_err());
    idle(&world.memory).await;
}

#[tokio::test]
async fn an_error_of_a_scan_reaches_the_client() {
    let mut world = world(20_000, 1 << 30);
    let plan = shuffled(&world).await;
    world.tables.fails = Some(TableId(1));
    let context = context(std::mem::take(&mut world.tables));
    let error = world.executor.run(&plan, context).unwrap().collect().await.unwrap_err();
    assert!(error.message.contains("the disk is on fire"), "{error}");
    idle(&world.memory).await;
}

#[tokio::test]
async fn a_cancelled_query_ends_with_the_reason() {
    let mut world = world(300_000, 1 << 30);
    let plan = shuffled(&world).await;
    let context = context(std::mem::take(&mut world.tables));
    let cancel = context.cancel.clone();
    let mut stream = world.executor.run(&plan, context).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    cancel.cancel(SqlError::new(ErrorKind::QueryInterrupted, "Query execution was interrupted"));
    let error = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the query ended as if it were complete"),
        }
    };
    assert_eq!(error.kind, ErrorKind::QueryInterrupted);
    drop(stream);
    idle(&world.memory).await;
}

#[tokio::test]
async fn dropping_the_result_ends_the_query() {
    let mut world = world(300_000, 1 << 30);
    let plan = shuffled(&world).await;
    let context = context(std::mem::take(&mut world.tables));
    let mut stream = world.executor.run(&plan, context).unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    idle(&world.memory).await;
}

#[tokio::test]
async fn a_limit_ends_the_scans_early() {
    let mut world = world(300_000, 1 << 30);
    let state = SessionContext::new().state();
    let scan = world.tables.provider(world.def.id).scan(&state, None, &[], None).await.unwrap();
    let gather = Arc::new(ExchangeExec::new(scan.clone(), ExchangeKind::Gather));
    let limit = CoalescePartitionsExec::new(gather).with_fetch(Some(10));
    let plan = DistributedPlan::cut(Arc::new(limit), ConfigOptions::default()).unwrap();
    let context = context(std::mem::take(&mut world.tables));
    let rows = world.executor.run(&plan, context).unwrap().collect().await.unwrap();
    assert_eq!(count(&rows), 10);
    let read = scan.metrics().and_then(|m| m.output_rows()).unwrap_or(0);
    assert!(read < 300_000, "{read} rows were read");
    idle(&world.memory).await;
}

#[tokio::test]
async fn what_does_not_fit_goes_to_a_file_and_comes_back() {
    let mut world = world(60_000, 64 << 10);
    let plan = shuffled(&world).await;
    let context = context(std::mem::take(&mut world.tables));
    let rows = world.executor.run(&plan, context).unwrap().collect().await.unwrap();
    assert_eq!(count(&rows), 60_000);
    let mut strings: Vec<String> = Vec::new();
    for batch in &rows {
        let column = batch.column(2).as_any().downcast_ref::<StringViewArray>().unwrap();
        strings.extend(column.iter().map(|s| s.unwrap().to_string()));
    }
    strings.sort();
    let mut expected: Vec<String> = (0..60_000).map(|i| format!("the string of row {i}")).collect();
    expected.sort();
    assert_eq!(strings, expected);
    idle(&world.memory).await;
}
