//! Random joins with little memory yield what DataFusion's hash join yields with enough.

use super::*;
use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{JoinSide, NullEquality};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExecBuilder,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

const TYPES: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::LeftAnti,
    JoinType::LeftMark,
    JoinType::RightSemi,
    JoinType::RightAnti,
    JoinType::RightMark,
];

fn column(name: &str, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, at))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int32, true),
        Field::new("s", DataType::Utf8View, true),
        Field::new("id", DataType::Int64, false),
    ]))
}

type Row = (Option<i32>, Option<String>, i64);

/// Rows in three partitions by k. `skew`: the share of rows with one key.
fn side(rows: usize, keys: i32, skew: f64, nulls: f64, rng: &mut StdRng) -> Vec<Vec<RecordBatch>> {
    let mut partitions: Vec<Vec<Row>> = vec![Vec::new(); 3];
    for id in 0..rows {
        let k = match rng.random_bool(nulls) {
            true => None,
            false if rng.random_bool(skew) => Some(1),
            false => Some(rng.random_range(0..keys)),
        };
        let s = (!rng.random_bool(0.1)).then(|| format!("a string that is not short {}", id % 5));
        partitions[k.unwrap_or(0) as usize % 3].push((k, s, id as i64));
    }
    let batch = |rows: &[Row]| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.1.clone()).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        RecordBatch::try_new(schema(), columns).unwrap()
    };
    partitions.iter().map(|rows| rows.chunks(97).map(batch).collect()).collect()
}

fn source(partitions: &[Vec<RecordBatch>], sorted: bool) -> Arc<dyn ExecutionPlan> {
    let config = MemorySourceConfig::try_new(partitions, schema(), None).unwrap();
    let by_id = LexOrdering::new([PhysicalSortExpr::new_default(column("id", 2))]).unwrap();
    let config = if sorted { config.try_with_sort_information(vec![by_id]).unwrap() } else { config };
    datafusion::datasource::source::DataSourceExec::from_data_source(config)
}

fn one(partitions: &[Vec<RecordBatch>]) -> Vec<Vec<RecordBatch>> {
    vec![partitions.concat()]
}

#[derive(Debug, Clone)]
struct Case {
    join_type: JoinType,
    mode: PartitionMode,
    two_keys: bool,
    filter: bool,
    null_equality: NullEquality,
    projection: Option<Vec<usize>>,
    null_aware: bool,
    sorted: bool,
}

/// left.id < right.id
fn less() -> JoinFilter {
    let fields =
        Schema::new(vec![Field::new("l", DataType::Int64, false), Field::new("r", DataType::Int64, false)]);
    let less = BinaryExpr::new(column("l", 0), Operator::Lt, column("r", 1));
    let indices =
        vec![ColumnIndex { index: 2, side: JoinSide::Left }, ColumnIndex { index: 2, side: JoinSide::Right }];
    JoinFilter::new(Arc::new(less), indices, Arc::new(fields))
}

fn join(case: &Case, left: &[Vec<RecordBatch>], right: &[Vec<RecordBatch>]) -> HashJoinExec {
    let left = match case.mode {
        PartitionMode::CollectLeft => source(&one(left), false),
        _ => source(left, false),
    };
    let mut on = vec![(column("k", 0), column("k", 0))];
    if case.two_keys {
        on.push((column("s", 1), column("s", 1)));
    }
    HashJoinExecBuilder::new(left, source(right, case.sorted), on, case.join_type)
        .with_partition_mode(case.mode)
        .with_filter(case.filter.then(less))
        .with_null_equality(case.null_equality)
        .with_projection(case.projection.clone())
        .with_null_aware(case.null_aware)
        .build()
        .unwrap()
}

/// Runs all partitions at the same time; the rows of each.
async fn run(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Vec<Vec<RecordBatch>> {
    let partitions = plan.output_partitioning().partition_count();
    let tasks: Vec<_> = (0..partitions)
        .map(|partition| {
            let rows = plan.execute(partition, context.clone()).unwrap();
            tokio::spawn(rows.try_collect::<Vec<_>>())
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap().unwrap());
    }
    all
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut lines: Vec<String> =
        text.lines().filter(|line| line.starts_with('|')).map(String::from).collect();
    lines.sort();
    lines
}

fn context(memory: usize, folder: &tempfile::TempDir) -> Arc<TaskContext> {
    let disk = DiskManagerBuilder::default()
        .with_mode(DiskManagerMode::Directories(vec![folder.path().to_path_buf()]));
    let env = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .unwrap();
    let mut options = datafusion::config::ConfigOptions::default();
    options.execution.sort_spill_reservation_bytes = 20_000;
    crate::executor::task_context(options, None, env)
}

fn files(folder: &tempfile::TempDir) -> usize {
    let inner = std::fs::read_dir(folder.path()).unwrap();
    inner.map(|entry| std::fs::read_dir(entry.unwrap().path()).map_or(0, Iterator::count)).sum()
}

fn random_case(join_type: JoinType, rng: &mut StdRng) -> Case {
    let null_aware = join_type == JoinType::LeftAnti && rng.random_bool(0.4);
    let collects = null_aware || rng.random_bool(0.5);
    Case {
        join_type,
        mode: if collects { PartitionMode::CollectLeft } else { PartitionMode::Partitioned },
        two_keys: !null_aware && rng.random_bool(0.3),
        filter: !null_aware && rng.random_bool(0.5),
        null_equality: match !null_aware && rng.random_bool(0.3) {
            true => NullEquality::NullEqualsNull,
            false => NullEquality::NullEqualsNothing,
        },
        projection: rng.random_bool(0.3).then(|| vec![2, 0]),
        null_aware,
        sorted: rng.random_bool(0.3),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_joins_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spilled, mut held) = (HashMap::new(), 0);
    for seed in 0..150u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let join_type = TYPES[seed as usize % TYPES.len()];
        let case = random_case(join_type, &mut rng);
        let sizes = [0, 1, 60, 900, 2500];
        let one_side = |rng: &mut StdRng| {
            let rows = sizes[rng.random_range(0..sizes.len())];
            let keys = [3, 500, 3000][rng.random_range(0..3)];
            let skew = if rng.random_bool(0.2) { 0.4 } else { 0.0 };
            let nulls = [0.0, 0.1][rng.random_range(0..2)];
            side(rows, keys, skew, nulls, rng)
        };
        let (left, right) = (one_side(&mut rng), one_side(&mut rng));
        let pairs = left.concat().iter().map(RecordBatch::num_rows).sum::<usize>()
            * right.concat().iter().map(RecordBatch::num_rows).sum::<usize>();
        if pairs > 3_000_000 && rng.random_bool(0.8) {
            continue;
        }
        let memory = [1, 20_000, 60_000, 300_000, 100 << 20][rng.random_range(0..5)];
        // A sort needs some.
        let memory = if case.sorted { memory.max(300_000) } else { memory };
        let small_block = [1, 3_000, 10_000][rng.random_range(0..3)];
        let plain = Arc::new(join(&case, &left, &right));
        let expected = run(plain, context(1 << 30, &folder)).await;
        let join: Arc<dyn ExecutionPlan> = Arc::new(join(&case, &left, &right));
        let spilling = SpillingJoinExec { small_block, ..SpillingJoinExec::new(join) };
        let spilling = Arc::new(spilling);
        let little = context(memory, &folder);
        let found = run(spilling.clone(), little.clone()).await;
        let what = format!("seed {seed}: {case:?}, {memory} bytes, blocks of {small_block}");
        let places = match case.mode {
            // Where rows come out matters where the probe side says where they are.
            PartitionMode::CollectLeft if keeps_build_rows(join_type) => {
                vec![(found.concat(), expected.concat())]
            }
            _ => found.iter().cloned().zip(expected).collect(),
        };
        for (found, expected) in &places {
            assert_eq!(lines(found), lines(expected), "{what}");
        }
        if let Some(ordering) = spilling.properties().output_ordering() {
            for found in &found {
                let all = arrow::compute::concat_batches(&spilling.schema(), found).unwrap();
                let by = ordering.first().expr.evaluate(&all).unwrap().into_array(all.num_rows()).unwrap();
                let by = by.as_any().downcast_ref::<Int64Array>().unwrap();
                assert!(by.values().windows(2).all(|pair| pair[0] <= pair[1]), "{what}: not in order");
            }
        }
        match spilling.metrics().and_then(|metrics| metrics.spill_count()) {
            Some(0) | None => held += 1,
            Some(_) => *spilled.entry(join_type).or_insert(0) += 1,
        }
        drop((spilling, found, places));
        assert_eq!(files(&folder), 0, "{what}: files stay");
        assert_eq!(little.memory_pool().reserved(), 0, "{what}: memory stays");
    }
    assert!(held > 10 && spilled.len() == TYPES.len(), "{held} were held, spilled: {spilled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_loops_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spilled, mut held) = (HashMap::new(), 0);
    for seed in 0..66u64 {
        let mut rng = StdRng::seed_from_u64(1_000 + seed);
        let kind = seed as usize % (TYPES.len() + 1);
        let join_type = TYPES.get(kind).copied();
        let mut one_side = || {
            let rows = [0, 1, 40, 350][rng.random_range(0..4)];
            side(rows, 50, 0.0, 0.1, &mut rng)
        };
        let (left, right) = (one_side(), one_side());
        let filter = rng.random_bool(0.7);
        let projection = rng.random_bool(0.3).then(|| vec![2, 0]);
        let make = || -> Arc<dyn ExecutionPlan> {
            let (left, right) = (source(&one(&left), false), source(&right, false));
            match join_type {
                None => Arc::new(CrossJoinExec::new(left, right)),
                Some(join_type) => {
                    let join = NestedLoopJoinExecBuilder::new(left, right, join_type)
                        .with_filter(filter.then(less))
                        .with_projection(projection.clone());
                    Arc::new(join.build().unwrap())
                }
            }
        };
        let memory = [1, 8_000, 20_000, 100 << 20][rng.random_range(0..4)];
        let small_block = [1, 3_000][rng.random_range(0..2)];
        let what = format!("seed {seed}: {join_type:?}, {memory} bytes, blocks of {small_block}");
        let expected = run(make(), context(1 << 30, &folder)).await;
        let spilling = Arc::new(SpillingJoinExec { small_block, ..SpillingJoinExec::new(make()) });
        let little = context(memory, &folder);
        let found = run(spilling.clone(), little.clone()).await;
        let whole = |batches: &[RecordBatch]| {
            lines(&[arrow::compute::concat_batches(&spilling.schema(), batches).unwrap()])
        };
        match join_type.is_some_and(keeps_build_rows) {
            true => assert_eq!(whole(&found.concat()), whole(&expected.concat()), "{what}"),
            false => {
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(whole(found), whole(expected), "{what}");
                }
            }
        }
        match spilling.metrics().and_then(|metrics| metrics.spill_count()) {
            Some(0) | None => held += 1,
            Some(_) => *spilled.entry(kind).or_insert(0) += 1,
        }
        drop((spilling, found));
        assert_eq!(files(&folder), 0, "{what}: files stay");
        assert_eq!(little.memory_pool().reserved(), 0, "{what}: memory stays");
    }
    assert!(held > 5 && spilled.len() > TYPES.len(), "{held} were held, spilled: {spilled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_build_side_is_held_whatever_others_hold() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let (left, right) = (side(600, 500, 0.0, 0.0, &mut rng), side(2500, 500, 0.0, 0.0, &mut rng));
    let case = Case { sorted: false, ..random_case(JoinType::RightSemi, &mut rng) };
    let expected = run(Arc::new(join(&case, &left, &right)), context(1 << 30, &folder)).await;
    let context = context(20 << 20, &folder);
    let others = MemoryConsumer::new("others").register(context.memory_pool());
    others.try_grow(20 << 20).unwrap();
    let spilling = Arc::new(SpillingJoinExec::new(Arc::new(join(&case, &left, &right))));
    let found = run(spilling.clone(), context).await;
    assert_eq!(lines(&found.concat()), lines(&expected.concat()));
    assert_eq!(spilling.metrics().and_then(|metrics| metrics.spill_count()), Some(0));
}
