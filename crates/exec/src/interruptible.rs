//! Joins that stop when their query ends.
//!
//! An operator that never waits keeps its thread: a task that is aborted ends when it next gives way, and
//! a join may try any number of pairs of rows before it does. [`InterruptibleExec`] stands above a join
//! and looks at the query's [`Stop`] before each batch; within the join, the condition that it tries pairs
//! by looks there too, once for each batch of pairs. It also gives way to other tasks of its thread from
//! time to time, whatever reads it.
//!
//! It also says what is known of an outer join's rows, where DataFusion says too much.
//!
//! The node is put in place when a plan is about to run, on every node for the part that runs there; it is
//! neither sent nor shown.

use crate::grace::SpillingJoinExec;
use crate::query::{QueryState, Stop};
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, Statistics, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// See the module.
#[derive(Debug)]
pub struct InterruptibleExec {
    join: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// The join with its condition tied to the query that runs it.
    running: OnceLock<Arc<dyn ExecutionPlan>>,
}

/// Puts an [`InterruptibleExec`] above every join, and a [`SpillingJoinExec`] above those that hash.
pub fn interruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if node.is::<HashJoinExec>() {
            let join = Arc::new(SpillingJoinExec::new(node));
            return Ok(Transformed::yes(Arc::new(InterruptibleExec::new(join)) as _));
        }
        let join =
            node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>() || node.is::<SortMergeJoinExec>();
        Ok(match join {
            true => Transformed::yes(Arc::new(InterruptibleExec::new(node)) as _),
            false => Transformed::no(node),
        })
    })
    .data()
}

/// The hash join that this is, or that stands below it.
fn hash_join(plan: &Arc<dyn ExecutionPlan>) -> Option<&HashJoinExec> {
    match plan.downcast_ref::<SpillingJoinExec>() {
        Some(spilling) => spilling.join().downcast_ref(),
        None => plan.downcast_ref(),
    }
}

/// What is true of the join's rows. DataFusion takes a column that is constant on one side for constant
/// in an outer join that fills it with NULLs, and an aggregation above would read each run of equal
/// values as a group of its own.
fn honest(join: &Arc<dyn ExecutionPlan>) -> Arc<PlanProperties> {
    let join_type = if let Some(join) = hash_join(join) {
        *join.join_type()
    } else if let Some(join) = join.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if let Some(join) = join.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else {
        JoinType::Inner
    };
    let properties = join.properties();
    if !matches!(join_type, JoinType::Left | JoinType::Right | JoinType::Full) {
        return properties.clone();
    }
    let claimed = properties.equivalence_properties();
    let orderings = claimed.oeq_class().iter().map(|ordering| ordering.iter().cloned());
    let known = EquivalenceProperties::new_with_orderings(join.schema(), orderings);
    Arc::new(properties.as_ref().clone().with_eq_properties(known))
}

/// The plan as it was before [`interruptible`].
pub(crate) fn uninterruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(node) = node.downcast_ref::<InterruptibleExec>() {
            return Ok(Transformed::yes(node.join.clone()));
        }
        Ok(match node.downcast_ref::<SpillingJoinExec>() {
            Some(node) => Transformed::yes(node.join().clone()),
            None => Transformed::no(node),
        })
    })
    .data()
}

impl InterruptibleExec {
    fn new(join: Arc<dyn ExecutionPlan>) -> InterruptibleExec {
        let properties = honest(&join);
        InterruptibleExec { join, properties, running: OnceLock::new() }
    }

    fn current(&self) -> &Arc<dyn ExecutionPlan> {
        self.running.get().unwrap_or(&self.join)
    }

    /// The join that runs, the same for all partitions: they share what it builds.
    fn tied(&self, stop: &Stop) -> Result<&Arc<dyn ExecutionPlan>> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let tied = tie(&self.join, stop)?;
        Ok(self.running.get_or_init(|| tied))
    }
}

fn tie(join: &Arc<dyn ExecutionPlan>, stop: &Stop) -> Result<Arc<dyn ExecutionPlan>> {
    let with_stop = |filter: &JoinFilter| {
        // A join that a recursive query runs again has been tied before.
        let inner = match filter.expression().downcast_ref::<Condition>() {
            Some(tied) => tied.inner.clone(),
            None => filter.expression().clone(),
        };
        let expression = Condition { inner, stop: stop.clone() };
        JoinFilter::new(Arc::new(expression), filter.column_indices().to_vec(), filter.schema().clone())
    };
    if let Some(join) = join.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        let tied = NestedLoopJoinExecBuilder::from(join).with_filter(Some(with_stop(filter)));
        return Ok(Arc::new(tied.build()?));
    }
    if let Some(hash_join) = hash_join(join)
        && let Some(filter) = hash_join.filter()
    {
        let tied = Arc::new(hash_join.builder().with_filter(Some(with_stop(filter))).build()?);
        return Ok(match join.is::<SpillingJoinExec>() {
            true => Arc::new(SpillingJoinExec::new(tied)),
            false => tied,
        });
    }
    Ok(join.clone())
}

/// The condition of a join, while its query runs; then an error.
#[derive(Debug, Clone)]
struct Condition {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Condition) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Condition {}

impl std::hash::Hash for Condition {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Condition {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.stop.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(inner) if children.is_empty() => Ok(Arc::new(Condition { inner, stop: self.stop.clone() })),
            _ => internal_err!("a condition wraps one expression"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl DisplayAs for InterruptibleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InterruptibleExec")
    }
}

impl ExecutionPlan for InterruptibleExec {
    fn name(&self) -> &'static str {
        "InterruptibleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.current()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(join) if children.is_empty() => Ok(Arc::new(InterruptibleExec::new(join))),
            _ => internal_err!("InterruptibleExec has one child"),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stop = QueryState::of(&context)?.stop().clone();
        let batches = self.tied(&stop)?.execute(partition, context)?;
        Ok(Box::pin(Stoppable { batches, stop }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        match inputs.first() {
            Some(statistics) => Ok(statistics.clone()),
            None => internal_err!("InterruptibleExec has one child"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

struct Stoppable {
    batches: SendableRecordBatchStream,
    stop: Stop,
}

impl Stream for Stoppable {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(ended) = self.stop.check() {
            return Poll::Ready(Some(Err(ended)));
        }
        let turn = futures::ready!(tokio::task::coop::poll_proceed(cx));
        let next = self.batches.poll_next_unpin(cx);
        if next.is_ready() {
            turn.made_progress();
        }
        next
    }
}

impl RecordBatchStream for Stoppable {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}
