//! Joins whose build side need not fit in memory.
//!
//! [`SpillingJoinExec`] stands above one of DataFusion's joins and reads its build side itself. While that
//! fits, the join gets it back from memory and runs as it is, with the memory that was reserved for it. When
//! it does not, a hash join becomes a grace hash join ([`Strategy`]):
//!
//! 1. The rows of both sides are divided by a hash of their keys over [`FANOUT`] partitions each, in files of
//!    the spill folder ([`divide`]). So equal keys meet in the partitions of one number: a pair.
//! 2. Each pair is joined by itself: by DataFusion's hash join again, if its build rows fit now; else both
//!    are divided again with another hash. If that would not help, since most of the rows have one key, the
//!    build rows are taken block by block, each with all of the probe rows ([`pairs`]).
//!
//! A join without keys (nested loops, a cross join) has one pair, of all rows of both sides, and takes it block
//! by block.
//!
//! Rows that a join keeps without a partner are right by themselves in every pair, whatever the type of the
//! join: all rows that could be their partners are in the pair. Over blocks they are not: a probe row is
//! without a partner if it is so in every block, and the blocks hand on what is left of them.
//!
//! `NOT IN` as a join that knows of NULLs (`null_aware`) looks at the whole probe side: if a key there is
//! NULL, no row is kept; if there is any row, none with a NULL key is. Both are known before the first pair.
//!
//! If all partitions of the join share the build side, so they share its files. A join that yields build rows
//! by what all partitions of the probe side say divides the rows of all of them into the same files, and the
//! last partition that comes to its end joins the pairs.
//!
//! The order of the probe side's rows, where the join claims it, is made anew by a sort.
//!
//! Memory: a build side is held only while [`HEADROOM`] of the query's limit is left to others. One that is small
//! ([`SMALL_PART`]), and a small piece ([`SMALL_BLOCK`]), is taken in any case, and counted. Files go when the last
//! that may read them has gone, in whatever way the query ends.
//!
//! Like [`InterruptibleExec`](crate::InterruptibleExec), below which it stands, the node is put in place when
//! a plan is about to run, and is neither sent nor shown.

mod divide;
mod given;
mod join;
mod pairs;
mod prepaid;

#[cfg(test)]
mod tests;

use crate::naps::napping;
use crate::one_child::one_child;
use crate::query::{QueryState, Stop};
use crate::sort::sorted;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::{RecordBatchMemoryCounter, estimate_memory_size};
use datafusion::common::{JoinType, Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::PartitionMode;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, SpillMetrics,
};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SpillManager,
};
use divide::{Divided, Divider, Part};
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
pub(crate) use given::GivenExec;
use join::BuildProbeJoin;
use pairs::{Pairs, Sink};
use parking_lot::Mutex;
pub(crate) use prepaid::Prepaid;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Into how many partitions rows are divided at a time.
const FANOUT: usize = 16;
/// The share of a query's memory that build sides leave to other operators.
const HEADROOM: f64 = 0.4;

/// Pieces of build rows of so many bytes are taken in any case.
const SMALL_BLOCK: usize = 256 << 10;
/// So are build sides of this share of the query's memory, among all partitions of a join: below it, files cost more
/// than the memory is worth.
const SMALL_PART: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct SpillingJoinExec {
    join: Arc<dyn ExecutionPlan>,
    small_block: usize,
    metrics: ExecutionPlanMetricsSet,
    run: OnceLock<Result<Arc<Run>, Arc<DataFusionError>>>,
}

/// What the partitions of a join that runs share.
struct Run {
    /// The join over what it is given.
    fed: BuildProbeJoin,
    left: Arc<GivenExec>,
    right: Arc<GivenExec>,
    /// The build side that all partitions share.
    collected: OnceLock<Collected>,
    /// The probe rows of partitions that have ended, if the last joins them all, and how many have not.
    probes: Mutex<(Option<Divided>, usize)>,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

type Collected = Shared<BoxFuture<'static, Result<Strategy, Arc<DataFusionError>>>>;

/// What became of a build side.
#[derive(Clone)]
enum Strategy {
    /// The join has it, and runs with the memory of this context.
    InMemory(Arc<TaskContext>),
    /// Its rows are in files.
    Grace(Arc<Divided>),
}

impl SpillingJoinExec {
    /// Over a hash join, a nested loop join or a cross join.
    pub(crate) fn new(join: Arc<dyn ExecutionPlan>) -> SpillingJoinExec {
        let metrics = ExecutionPlanMetricsSet::new();
        SpillingJoinExec { join, small_block: SMALL_BLOCK, metrics, run: OnceLock::new() }
    }

    pub(crate) fn join(&self) -> &Arc<dyn ExecutionPlan> {
        &self.join
    }

    fn run(&self) -> Result<Arc<Run>> {
        let made = self.run.get_or_init(|| {
            let make = || {
                let join = BuildProbeJoin::of(&self.join)?;
                let left = Arc::new(GivenExec::in_place_of(join.build().clone()));
                let right = Arc::new(GivenExec::in_place_of(join.probe().clone()));
                let fed = join.over(left.clone(), right.clone())?;
                let partitions = join.probe().output_partitioning().partition_count();
                let probes = Mutex::new((None, partitions));
                let collected = OnceLock::new();
                Ok(Arc::new(Run { fed, left, right, collected, probes }))
            };
            make().map_err(Arc::new)
        });
        made.clone().map_err(DataFusionError::Shared)
    }
}

/// The bytes of DataFusion's hash table over so many rows, and of what else it keeps for each.
fn table_bytes(rows: usize) -> Result<usize> {
    Ok(estimate_memory_size::<(u32, u64)>(rows, 512)? + rows * 4 + rows / 8)
}

/// What one partition of the join works with.
#[derive(Clone)]
struct Env {
    context: Arc<TaskContext>,
    stop: Option<Stop>,
    metrics: SpillMetrics,
    small_block: usize,
    small_side: usize,
}

impl Env {
    fn check(&self) -> Result<()> {
        self.stop.as_ref().map_or(Ok(()), Stop::check)
    }

    fn pool(&self) -> &Arc<dyn MemoryPool> {
        self.context.memory_pool()
    }

    /// Whether `need` bytes are reserved now: up to `small` in any case, else with enough left for others.
    fn fits(&self, memory: &MemoryReservation, need: usize, small: usize) -> bool {
        if need <= small {
            memory.resize(need);
            return true;
        }
        if let MemoryLimit::Finite(limit) = self.pool().memory_limit() {
            let others = self.pool().reserved().saturating_sub(memory.size());
            if (others + need) as f64 > limit as f64 * (1.0 - HEADROOM) {
                return false;
            }
        }
        memory.try_resize(need).is_ok()
    }

    fn reservation(&self, what: &str) -> MemoryReservation {
        MemoryConsumer::new(what).with_can_spill(true).register(self.pool())
    }

    fn spill(&self, schema: SchemaRef) -> Arc<SpillManager> {
        Arc::new(SpillManager::new(self.context.runtime_env(), self.metrics.clone(), schema))
    }
}

/// Reads a build side to its end. If it fits, it is given to the join for `partition`.
async fn collect(
    build: Build,
    partition: usize,
    mut input: SendableRecordBatchStream,
    env: Env,
) -> Result<Strategy> {
    let memory = env.reservation(&format!("HashJoin[{partition}]"));
    let mut held: Vec<RecordBatch> = Vec::new();
    let mut bytes = RecordBatchMemoryCounter::new();
    let mut rows = 0;
    let mut divider: Option<Divider> = None;
    while let Some(batch) = input.next().await.transpose()? {
        env.check()?;
        if let Some(divider) = &mut divider {
            divider.push(&batch)?;
            continue;
        }
        rows += batch.num_rows();
        bytes.count_batch(&batch);
        held.push(batch);
        let need = bytes.memory_usage() + build.join.table_bytes(rows, bytes.memory_usage())?;
        if !env.fits(&memory, need, env.small_side) {
            let spill = env.spill(build.input.schema());
            let keys = build.join.build_keys();
            let mut into = Divider::new(&env, spill, keys, 0).apart(build.join.is_null_aware());
            for batch in held.drain(..) {
                env.check()?;
                into.push(&batch)?;
            }
            memory.free();
            divider = Some(into);
        }
    }
    drop(input);
    if let Some(divider) = divider {
        return Ok(Strategy::Grace(Arc::new(divider.finish()?)));
    }
    let context = Prepaid::context(&env.context, memory)?;
    build.input.give(partition, build.input.stream(held));
    Ok(Strategy::InMemory(context))
}

impl SpillingJoinExec {
    /// The rows of a partition once it is known what became of its build side.
    fn joined(
        run: Arc<Run>,
        partition: usize,
        strategy: Strategy,
        probe: SendableRecordBatchStream,
        env: Env,
        rows: BaselineMetrics,
    ) -> Result<SendableRecordBatchStream> {
        let build = match strategy {
            Strategy::InMemory(context) => {
                run.right.give(partition, probe);
                return run.fed.plan().execute(partition, context);
            }
            Strategy::Grace(build) => build,
        };
        if run.fed.mode() == PartitionMode::Partitioned {
            // The other partitions may wait for what this one says of its keys: it will say nothing.
            run.left.give(partition, run.left.stream(Vec::new()));
            run.right.give(partition, run.right.stream(Vec::new()));
            drop(run.fed.plan().execute(partition, env.context.clone())?);
        }
        let schema = run.fed.plan().schema();
        let context = env.context.clone();
        let mut output = RecordBatchReceiverStream::builder(schema.clone(), 2);
        let sink = Sink::new(output.tx(), run.fed.plan().fetch(), rows);
        let ordering = run.fed.plan().properties().output_ordering().cloned();
        let query = QueryState::of(&context);
        let ear = query.as_ref().map(|query| query.ear().clone()).unwrap_or_default();
        let cancel = query.map(|query| query.cancel().clone()).unwrap_or_default();
        output
            .spawn(async move { ear.listen_to(napping(grace(run, build, probe, env, sink), cancel)).await });
        let output = output.build();
        let Some(ordering) = ordering else { return Ok(output) };
        // The rows were counted when the pairs yielded them.
        let uncounted = ExecutionPlanMetricsSet::new();
        Ok(sorted(output, ordering, None, &context, &uncounted, partition))
    }
}

/// What is known of a build side. It does not know the [`Run`], which holds the work of collecting it.
struct Build {
    input: Arc<GivenExec>,
    join: BuildProbeJoin,
}

impl Run {
    fn build(&self) -> Build {
        Build { input: self.left.clone(), join: self.fed.clone() }
    }
}

/// Whether the rows of the build side that a join of this type yields depend on all of the probe side.
fn keeps_build_rows(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
    )
}

/// Divides a partition's probe rows and joins the pairs.
async fn grace(
    run: Arc<Run>,
    build: Arc<Divided>,
    mut probe: SendableRecordBatchStream,
    env: Env,
    mut sink: Sink,
) -> Result<()> {
    let mut divider = Divider::new(&env, env.spill(run.right.schema()), run.fed.probe_keys(), 0);
    while let Some(batch) = probe.next().await.transpose()? {
        env.check()?;
        divider.push(&batch)?;
    }
    drop(probe);
    let mut probe = divider.finish()?;
    let shared = run.fed.mode() == PartitionMode::CollectLeft;
    if shared && keeps_build_rows(run.fed.join_type()) {
        let mut probes = run.probes.lock();
        let (divided, open) = &mut *probes;
        let all = match divided.take() {
            Some(before) => before.and(probe),
            None => probe,
        };
        *open = open.saturating_sub(1);
        if *open > 0 {
            *divided = Some(all);
            return Ok(());
        }
        probe = all;
    }
    let pairs = Pairs::new(&run.fed, &env)?;
    if run.fed.is_null_aware() {
        if probe.null_keys {
            return Ok(());
        }
        if probe.rows() == 0 {
            pairs.join(build.apart.clone(), Part::default(), divide::DEEPEST, &mut sink).await?;
        }
    }
    let depth = if run.fed.has_keys() { 1 } else { divide::DEEPEST };
    for (build, probe) in build.parts.iter().zip(probe.parts) {
        if !pairs.join(build.clone(), probe, depth, &mut sink).await? {
            break;
        }
    }
    Ok(())
}

impl DisplayAs for SpillingJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpillingJoinExec")
    }
}

impl ExecutionPlan for SpillingJoinExec {
    one_child!(
        SpillingJoinExec,
        |exec| &exec.join,
        keeps_order: true,
        |_, join| Ok(Arc::new(SpillingJoinExec::new(join)))
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let run = self.run()?;
        let join = BuildProbeJoin::of(&self.join)?;
        let small_side = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(limit) => {
                limit / SMALL_PART / join.build().output_partitioning().partition_count().max(1)
            }
            _ => 0,
        };
        let env = Env {
            stop: QueryState::of(&context).ok().map(|query| query.stop().clone()),
            metrics: SpillMetrics::new(&self.metrics, partition),
            context: context.clone(),
            small_block: self.small_block.max(small_side),
            small_side,
        };
        let strategy = match join.mode() {
            PartitionMode::Partitioned => {
                let input = join.build().execute(partition, context.clone())?;
                collect(run.build(), partition, input, env.clone()).map_err(Arc::new).boxed().shared()
            }
            PartitionMode::CollectLeft => {
                let collected = run.collected.get_or_init(|| {
                    let (build, env) = (run.build(), env.clone());
                    let input = join.build().execute(0, context.clone());
                    let work = async move { collect(build, 0, input?, env).await };
                    work.map_err(Arc::new).boxed().shared()
                });
                collected.clone()
            }
            PartitionMode::Auto => return internal_err!("a join that runs has a mode"),
        };
        let probe = join.probe().execute(partition, context)?;
        let rows = BaselineMetrics::new(&self.metrics, partition);
        let schema = self.schema();
        let joined = async move {
            let strategy = strategy.await.map_err(DataFusionError::Shared)?;
            SpillingJoinExec::joined(run, partition, strategy, probe, env, rows)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(joined).try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
