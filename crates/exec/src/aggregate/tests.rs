//! Fused aggregations against DataFusion's operators over the same rows: in segments, where they come
//! encoded, and as plain batches.

use super::{FusedAggregateExec, fuse_aggregates};
use crate::testing::{SegmentTables, TestTables, table_def};
use crate::{
    Cancel, DistributedPlan, ExchangeExec, ExchangeKind, Executor, ExecutorOptions, QueryContext,
    ShardedTable, Snapshots, TableEstimate,
};
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int8Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::config::ConfigOptions;
use datafusion::datasource::TableProvider;
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{col, lit};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::prelude::SessionContext;
use env::MemoryBudget;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use types::{PartitionId, SqlType, TableDef};

type Expr = Arc<dyn PhysicalExpr>;

const BIG: SqlType = SqlType::BigInt { unsigned: false };
const MONEY: SqlType = SqlType::Decimal { precision: 15, scale: 2 };
const COLUMNS: &[(&str, SqlType, bool)] = &[
    ("k", BIG, false),
    ("tiny", SqlType::TinyInt { unsigned: false }, true),
    ("a", SqlType::Int { unsigned: false }, true),
    ("few", SqlType::VarChar(20), true),
    ("flag", SqlType::Char(1), false),
    ("many", SqlType::VarChar(60), true),
    ("price", MONEY, false),
    ("part", MONEY, true),
    ("wide", SqlType::Decimal { precision: 30, scale: 4 }, true),
    ("day", SqlType::Date, false),
    ("u", SqlType::BigInt { unsigned: true }, true),
];

/// Rows of any number, with NULLs, negatives and, if `extreme`, the ends of every type's range.
fn rows(def: &TableDef, rng: &mut StdRng, rows: usize, extreme: bool) -> RecordBatch {
    let null = rng.random_bool(0.7);
    fn some<T>(rng: &mut StdRng, null: bool, value: T) -> Option<T> {
        (!null || rng.random_bool(0.9)).then_some(value)
    }
    let keys = rng.random_range(1..=rows.max(1) as i64);
    let limit = if extreme { 10i128.pow(15) - 1 } else { 100_000 };
    let wide_limit = if extreme { 10i128.pow(30) - 1 } else { 1_000_000 };
    let ends = rng.random_range(1..5);
    let decimal = |rng: &mut StdRng, limit: i128| match rng.random_range(0..ends * 3) {
        0 => limit,
        1 => -limit,
        _ => rng.random_range(-limit..=limit),
    };
    let decimals = |values: Vec<Option<i128>>, ty: SqlType| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_data_type(ty.arrow()))
    };
    let mut each = |make: &mut dyn FnMut(&mut StdRng) -> Option<i128>| -> Vec<Option<i128>> {
        (0..rows).map(|_| make(rng)).collect()
    };
    let k = each(&mut |rng| Some(rng.random_range(-keys..=keys).into()));
    let tiny = each(&mut |rng| {
        let value = rng.random_range(-128i128..=127);
        some(rng, null, value)
    });
    let a = each(&mut |rng| {
        let value = if extreme { i128::from(rng.random::<i32>()) } else { rng.random_range(-3..=3) };
        some(rng, null, value)
    });
    let few = each(&mut |rng| {
        let value = rng.random_range(0..7);
        some(rng, null, value)
    });
    let flag = each(&mut |rng| Some(rng.random_range(0..3)));
    let many = each(&mut |rng| {
        let value = rng.random_range(0..2 * rows as i128);
        some(rng, null, value)
    });
    let price = each(&mut |rng| Some(decimal(rng, limit)));
    let part = each(&mut |rng| {
        let value = decimal(rng, limit);
        some(rng, null, value)
    });
    let wide = each(&mut |rng| {
        let value = decimal(rng, wide_limit);
        some(rng, null, value)
    });
    let day = each(&mut |rng| Some(rng.random_range(-2000..2000)));
    let u = each(&mut |rng| {
        let value = if extreme { u64::MAX - rng.random_range(0..3) } else { rng.random_range(0..9) };
        some(rng, null, value.into())
    });
    let int = |v: Option<i128>| v.map(|v| v as i64);
    let text = |values: Vec<Option<i128>>, prefix: &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter(values.into_iter().map(|v| v.map(|v| format!("{prefix}{v}")))))
    };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(k.into_iter().map(int))),
        Arc::new(Int8Array::from_iter(tiny.into_iter().map(|v| v.map(|v| v as i8)))),
        Arc::new(Int32Array::from_iter(a.into_iter().map(|v| v.map(|v| v as i32)))),
        text(few, "v"),
        text(flag, ""),
        text(many, "a string of some length, number "),
        decimals(price, MONEY),
        decimals(part, MONEY),
        decimals(wide, SqlType::Decimal { precision: 30, scale: 4 }),
        Arc::new(Date32Array::from_iter(day.into_iter().map(|v| v.map(|v| v as i32)))),
        Arc::new(UInt64Array::from_iter(u.into_iter().map(|v| v.map(|v| v as u64)))),
    ];
    let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

struct World {
    def: Arc<TableDef>,
    executor: Executor,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let def = Arc::new(table_def(1, "t", COLUMNS, &["k"]));
    let folder = tempfile::tempdir().unwrap();
    let mut options = ExecutorOptions::new(MemoryBudget::new(1 << 30), folder.path().to_path_buf());
    options.threads = 1;
    options.query_memory = 1 << 30;
    World { def, executor: Executor::new(options).unwrap(), _folder: folder }
}

fn udf(name: &str, args: Vec<Expr>, schema: &Schema) -> Expr {
    let udf = sql::functions::scalar_function(name).unwrap();
    Arc::new(ScalarFunctionExpr::try_new(udf, args, schema, Arc::new(ConfigOptions::default())).unwrap())
}

fn sum() -> Arc<AggregateUDF> {
    sql::functions::aggregate_functions().into_iter().find(|f| f.name() == "sum").unwrap()
}

fn decimal(value: i128, precision: u8, scale: i8) -> Expr {
    lit(ScalarValue::Decimal128(Some(value), precision, scale))
}

/// The functions that a test takes some of.
fn functions(schema: &Schema) -> Vec<(Arc<AggregateUDF>, Expr)> {
    let column = |name: &str| col(name, schema).unwrap();
    let discounted = udf(
        "multiply",
        vec![column("price"), udf("subtract", vec![decimal(1, 1, 0), column("part")], schema)],
        schema,
    );
    let charged = udf("multiply", vec![discounted.clone(), decimal(108, 3, 2)], schema);
    let mixed = udf("add", vec![column("wide"), column("price")], schema);
    vec![
        (sum(), column("price")),
        (sum(), column("part")),
        (sum(), column("a")),
        (sum(), column("tiny")),
        (sum(), column("u")),
        (sum(), column("wide")),
        (sum(), discounted),
        (sum(), charged),
        (sum(), mixed),
        (count_udaf(), lit(1i64)),
        (count_udaf(), column("part")),
        (count_udaf(), column("many")),
        (min_udaf(), column("price")),
        (max_udaf(), column("part")),
        (min_udaf(), column("day")),
        (max_udaf(), column("u")),
        (min_udaf(), column("tiny")),
    ]
}

/// An aggregation of the table; a projection stands between if `projected`.
async fn aggregate(
    world: &World,
    mode: AggregateMode,
    keys: &[Expr],
    functions: &[(Arc<AggregateUDF>, Expr)],
    projected: bool,
) -> Arc<dyn ExecutionPlan> {
    let state = SessionContext::new().state();
    let table = ShardedTable::new(world.def.clone(), vec![PartitionId(100)], TableEstimate::default());
    let mut input = table.scan(&state, None, &[], None).await.unwrap();
    let (mut keys, mut functions) = (keys.to_vec(), functions.to_vec());
    if projected {
        let mut items: Vec<ProjectionExpr> = Vec::new();
        for expr in keys.iter_mut().chain(functions.iter_mut().map(|(_, expr)| expr)) {
            let alias = format!("x{}", items.len());
            items.push(ProjectionExpr { expr: expr.clone(), alias: alias.clone() });
            *expr = Arc::new(datafusion::physical_expr::expressions::Column::new(&alias, items.len() - 1));
        }
        input = Arc::new(ProjectionExec::try_new(items, input).unwrap());
    }
    let schema = input.schema();
    let keys = keys.into_iter().enumerate().map(|(at, key)| (key, format!("g{at}"))).collect();
    let functions: Vec<_> = functions
        .into_iter()
        .enumerate()
        .map(|(at, (function, argument))| {
            let built = AggregateExprBuilder::new(function, vec![argument]).schema(schema.clone());
            Arc::new(built.alias(format!("f{at}")).build().unwrap())
        })
        .collect();
    let filters = vec![None; functions.len()];
    let group_by = PhysicalGroupBy::new_single(keys);
    Arc::new(AggregateExec::try_new(mode, group_by, functions, filters, input, schema).unwrap())
}

/// The rows as text, sorted; or the error.
async fn run(
    world: &World,
    plan: Arc<dyn ExecutionPlan>,
    tables: Arc<dyn Snapshots>,
    memory: Option<usize>,
) -> Result<Vec<String>, String> {
    let gather = ExchangeExec::new(plan, ExchangeKind::Gather);
    let plan = DistributedPlan::cut(Arc::new(gather), ConfigOptions::default()).unwrap();
    let query = QueryContext { snapshots: tables, cancel: Cancel::new(), memory };
    let batches = world.executor.run(&plan, query).unwrap().collect().await.map_err(|e| e.message)?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().map(|column| {
                let value = ScalarValue::try_from_array(column, row).unwrap();
                format!("{} {value}", value.data_type())
            });
            rows.push(values.collect::<Vec<_>>().join(", "));
        }
    }
    rows.sort();
    Ok(rows)
}

fn fused(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let fused = fuse_aggregates(plan.clone()).unwrap();
    assert!(fused.is::<FusedAggregateExec>(), "{}", shown(plan));
    fused
}

fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string()
}

fn pick<T: Clone>(rng: &mut StdRng, of: &[T], most: usize) -> Vec<T> {
    let count = rng.random_range(0..=most);
    (0..count).map(|_| of[rng.random_range(0..of.len())].clone()).collect()
}

#[tokio::test]
async fn yields_what_datafusions_operators_yield() {
    let world = world();
    let fields: Vec<_> = world.def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    let schema = Schema::new(fields);
    let all = functions(&schema);
    let column = |name: &str| col(name, &schema).unwrap();
    let computed = udf("add", vec![column("k"), lit(3i64)], &schema);
    let mut keys: Vec<Expr> =
        ["k", "tiny", "a", "few", "flag", "many", "price", "day", "u"].into_iter().map(column).collect();
    keys.push(computed);
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let sizes = [0, 1, 50, 3000, 12_000];
        let extreme = seed % 3 == 0;
        let parts: Vec<RecordBatch> = (0..rng.random_range(1..=3))
            .map(|_| {
                let size = sizes[rng.random_range(0..sizes.len())];
                rows(&world.def, &mut rng, size, extreme)
            })
            .collect();
        let mut chosen = pick(&mut rng, &keys, 3);
        chosen.dedup_by(|a, b| a == b);
        let mut functions = pick(&mut rng, &all, 5);
        if chosen.is_empty() && functions.is_empty() {
            functions.push(all[9].clone());
        }
        let mode = if rng.random_bool(0.5) { AggregateMode::Partial } else { AggregateMode::Single };
        let plan = aggregate(&world, mode, &chosen, &functions, rng.random_bool(0.5)).await;
        if super::Recipe::of(plan.downcast_ref::<AggregateExec>().unwrap()).unwrap().is_none() {
            // More key bits than a word has.
            assert!(chosen.len() > 1, "seed {seed}: {}", shown(&plan));
            continue;
        }
        let segments: Vec<RecordBatch> = parts.iter().filter(|part| part.num_rows() > 0).cloned().collect();
        let encoded = Arc::new(SegmentTables::new(&world.def, &segments));
        let expected = run(&world, plan.clone(), encoded.clone(), None).await;
        let found = run(&world, fused(&plan), encoded, None).await;
        match (&expected, &found) {
            // Which value overflows first differs.
            (Err(a), Err(b)) => assert!(a.contains("out of range") && b.contains("out of range"), "{a}; {b}"),
            _ => assert_eq!(found, expected, "seed {seed}, from segments: {}", shown(&plan)),
        }
        let mut plain = TestTables::new(1, 2000);
        let whole = arrow::compute::concat_batches(&parts[0].schema(), &parts).unwrap();
        plain.add(&world.def, &whole);
        let found = run(&world, fused(&plan), Arc::new(plain), None).await;
        if expected.is_ok() {
            assert_eq!(found, expected, "seed {seed}, from batches: {}", shown(&plan));
        } else {
            assert!(found.is_err(), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn short_memory_hands_states_on() {
    let world = world();
    let fields: Vec<_> = world.def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    let schema = Schema::new(fields);
    let column = |name: &str| col(name, &schema).unwrap();
    let mut rng = StdRng::seed_from_u64(9);
    let parts: Vec<RecordBatch> = (0..3).map(|_| rows(&world.def, &mut rng, 70_000, false)).collect();
    let tables = Arc::new(SegmentTables::new(&world.def, &parts));
    let functions = [(sum(), column("price")), (count_udaf(), lit(1i64)), (max_udaf(), column("day"))];
    for keys in [vec![column("many")], vec![column("k"), column("few"), column("tiny")]] {
        let plan = aggregate(&world, AggregateMode::Single, &keys, &functions, false).await;
        let expected = run(&world, plan.clone(), tables.clone(), None).await.unwrap();
        let fused = fused(&plan);
        let found = run(&world, fused.clone(), tables.clone(), Some(12 << 20)).await.unwrap();
        assert!(found == expected, "{} and {} groups", found.len(), expected.len());
        let spills = fused.metrics().and_then(|metrics| metrics.spill_count());
        assert!(spills > Some(0), "{spills:?}");
    }
}

#[tokio::test]
async fn what_is_not_ours_stays_as_it_is() {
    let world = world();
    let fields: Vec<_> = world.def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
    let schema = Schema::new(fields);
    let column = |name: &str| col(name, &schema).unwrap();
    let kept = |plan: Arc<dyn ExecutionPlan>| fuse_aggregates(plan).unwrap().is::<AggregateExec>();
    let least_text = [(min_udaf(), column("few"))];
    assert!(kept(aggregate(&world, AggregateMode::Single, &[column("k")], &least_text, false).await));
    let wide_key = [column("wide")];
    let counted = [(count_udaf(), lit(1i64))];
    assert!(kept(aggregate(&world, AggregateMode::Single, &wide_key, &counted, false).await));
    let random = udf("rand", vec![], &schema);
    assert_eq!(random.data_type(&schema).unwrap(), DataType::Float64);
    let volatile = [(count_udaf(), random)];
    assert!(kept(aggregate(&world, AggregateMode::Single, &[column("k")], &volatile, false).await));
}
