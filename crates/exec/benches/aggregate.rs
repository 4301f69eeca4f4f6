//! Aggregations of a million rows like TPC-H's lineitem, fused with the scan and by DataFusion's
//! operators: few groups of codes with Q1's arithmetic, many groups of integers, no groups.
//! `cargo bench -p pando-exec --features testing --bench aggregate`.

use arrow::array::StringViewArray;
use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::Schema;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::datasource::TableProvider;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::prelude::SessionContext;
use env::MemoryBudget;
use exec::testing::{SegmentTables, table_def};
use exec::{
    Cancel, DistributedPlan, ExchangeExec, ExchangeKind, Executor, ExecutorOptions, QueryContext,
    ShardedTable, TableEstimate, fuse_aggregates,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use types::{PartitionId, SqlType, TableDef};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1 << 20;
const MONEY: SqlType = SqlType::Decimal { precision: 15, scale: 2 };
const COLUMNS: &[(&str, SqlType, bool)] = &[
    ("l_orderkey", SqlType::BigInt { unsigned: false }, false),
    ("l_partkey", SqlType::Int { unsigned: false }, false),
    ("l_quantity", MONEY, false),
    ("l_extendedprice", MONEY, false),
    ("l_discount", MONEY, false),
    ("l_tax", MONEY, false),
    ("l_returnflag", SqlType::Char(1), false),
    ("l_linestatus", SqlType::Char(1), false),
    ("l_shipdate", SqlType::Date, false),
];

fn lineitem(def: &TableDef) -> RecordBatch {
    let mut rng = StdRng::seed_from_u64(1);
    let mut numbers = |range: std::ops::RangeInclusive<i64>| -> Vec<i64> {
        (0..ROWS).map(|_| rng.random_range(range.clone())).collect()
    };
    let money = |values: Vec<i64>| -> ArrayRef {
        let array = Decimal128Array::from_iter_values(values.into_iter().map(i128::from));
        Arc::new(array.with_data_type(MONEY.arrow()))
    };
    let narrow = |values: Vec<i64>| values.into_iter().map(|v| v as i32).collect::<Vec<_>>();
    let text = |values: Vec<i64>, of: &'static [&'static str]| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(values.into_iter().map(|v| of[v as usize])))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(|i| i / 4))),
        Arc::new(Int32Array::from(narrow(numbers(1..=200_000)))),
        money(numbers(1..=50).into_iter().map(|v| v * 100).collect()),
        money(numbers(90_100..=10_494_950)),
        money(numbers(0..=10)),
        money(numbers(0..=8)),
        text(numbers(0..=2), &["A", "N", "R"]),
        text(numbers(0..=1), &["F", "O"]),
        Arc::new(Date32Array::from(narrow(numbers(8035..=10_561)))),
    ];
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
}

fn call(name: &str, args: Vec<Arc<dyn PhysicalExpr>>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
    let udf = sql::functions::scalar_function(name).expect("a function");
    let options = Arc::new(ConfigOptions::default());
    Arc::new(ScalarFunctionExpr::try_new(udf, args, schema, options).expect("a call"))
}

fn sum() -> Arc<AggregateUDF> {
    sql::functions::aggregate_functions().into_iter().find(|f| f.name() == "sum").expect("sum")
}

type Functions = Vec<(Arc<AggregateUDF>, Arc<dyn PhysicalExpr>)>;

fn aggregate(scan: &Arc<dyn ExecutionPlan>, keys: &[&str], functions: Functions) -> Arc<dyn ExecutionPlan> {
    let schema = scan.schema();
    let keys = keys.iter().map(|k| (col(k, &schema).expect("a column"), (*k).to_string())).collect();
    let functions: Vec<_> = functions
        .into_iter()
        .enumerate()
        .map(|(at, (function, argument))| {
            let built = AggregateExprBuilder::new(function, vec![argument]).schema(schema.clone());
            Arc::new(built.alias(format!("f{at}")).build().expect("a function"))
        })
        .collect();
    let (filters, keys) = (vec![None; functions.len()], PhysicalGroupBy::new_single(keys));
    let plan = AggregateExec::try_new(AggregateMode::Partial, keys, functions, filters, scan.clone(), schema);
    Arc::new(plan.expect("an aggregation"))
}

fn benchmarks(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let def = Arc::new(table_def(1, "lineitem", COLUMNS, &["l_orderkey"]));
    let tables = Arc::new(SegmentTables::new(&def, &[lineitem(&def)]));
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = ExecutorOptions::new(MemoryBudget::new(2 << 30), folder.path().to_path_buf());
    options.threads = 1;
    options.query_memory = 2 << 30;
    let executor = Executor::new(options).expect("an executor");
    let table = ShardedTable::new(def, vec![PartitionId(1)], TableEstimate::default());
    let state = SessionContext::new().state();
    let scan = runtime.block_on(table.scan(&state, None, &[], None)).expect("a scan");
    let schema = scan.schema();
    let column = |name: &str| col(name, &schema).expect("a column");
    let one = || lit(ScalarValue::Decimal128(Some(1), 1, 0));
    let price = call(
        "multiply",
        vec![column("l_extendedprice"), call("subtract", vec![one(), column("l_discount")], &schema)],
        &schema,
    );
    let charge =
        call("multiply", vec![price.clone(), call("add", vec![one(), column("l_tax")], &schema)], &schema);
    let quantity = || (sum(), column("l_quantity"));
    let q1 = vec![
        quantity(),
        (sum(), column("l_extendedprice")),
        (sum(), price.clone()),
        (sum(), charge),
        (sum(), column("l_discount")),
        (count_udaf(), lit(1i64)),
    ];
    let plans = [
        ("q1", aggregate(&scan, &["l_returnflag", "l_linestatus"], q1)),
        ("by order", aggregate(&scan, &["l_orderkey"], vec![quantity()])),
        ("by part", aggregate(&scan, &["l_partkey"], vec![quantity(), (count_udaf(), lit(1i64))])),
        ("by part and day", aggregate(&scan, &["l_partkey", "l_shipdate"], vec![quantity()])),
        ("no groups", aggregate(&scan, &[], vec![(sum(), price)])),
    ];
    for (name, plan) in plans {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
        let fused = fuse_aggregates(plan.clone()).expect("a plan");
        for (kind, plan) in [("fused", fused), ("datafusion", plan)] {
            group.bench_function(kind, |b| {
                b.iter(|| {
                    let gather = ExchangeExec::new(plan.clone(), ExchangeKind::Gather);
                    let plan = DistributedPlan::cut(Arc::new(gather), ConfigOptions::default());
                    let query =
                        QueryContext { snapshots: tables.clone(), cancel: Cancel::new(), memory: None };
                    let rows = executor.run(&plan.expect("a plan"), query).expect("a query");
                    runtime.block_on(rows.collect()).expect("rows")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, benchmarks);
criterion_main!(benches);
