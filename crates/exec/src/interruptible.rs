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
use crate::one_child::one_child;
use crate::query::{QueryState, Stop};
use crate::sort::SpillingSortExec;
use crate::windows::CountedWindowExec;
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder, SortMergeJoinExec,
};
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

/// Puts an [`InterruptibleExec`] above every join, a [`SpillingJoinExec`] above those that hold one side, and
/// what keeps to a query's memory above sorts and windows.
pub fn interruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if node.is::<HashJoinExec>() || node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>() {
            let join = Arc::new(SpillingJoinExec::new(node));
            return Ok(Transformed::yes(Arc::new(InterruptibleExec::new(join)?) as _));
        }
        if node.is::<SortMergeJoinExec>() {
            return Ok(Transformed::yes(Arc::new(InterruptibleExec::new(node)?) as _));
        }
        if let Some(sort) = SpillingSortExec::over(&node) {
            return Ok(Transformed::yes(Arc::new(sort) as _));
        }
        Ok(match CountedWindowExec::over(&node) {
            Some(window) => Transformed::yes(Arc::new(window) as _),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// The node that one of those which [`interruptible`] puts in place stands above.
pub(crate) fn wrapped(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    if let Some(node) = plan.downcast_ref::<InterruptibleExec>() {
        return Some(&node.join);
    }
    if let Some(node) = plan.downcast_ref::<SpillingJoinExec>() {
        return Some(node.join());
    }
    if let Some(node) = plan.downcast_ref::<SpillingSortExec>() {
        return Some(node.sort());
    }
    plan.downcast_ref::<CountedWindowExec>().map(CountedWindowExec::window)
}

/// The hash join that this is, or that stands below it.
fn hash_join(plan: &Arc<dyn ExecutionPlan>) -> Option<&HashJoinExec> {
    joined(plan).downcast_ref()
}

/// The columns of a join's rows that come from its left side, and those that come from its right side.
fn sides(join: &Arc<dyn ExecutionPlan>) -> (Vec<usize>, Vec<usize>) {
    let projection = if let Some(join) = hash_join(join) {
        join.projection.as_ref().map(|projection| projection.to_vec())
    } else if let Some(join) = joined(join).downcast_ref::<NestedLoopJoinExec>() {
        join.projection().as_ref().map(|projection| projection.to_vec())
    } else {
        None
    };
    let left = joined(join).children().first().map_or(0, |left| left.schema().fields().len());
    let columns = projection.unwrap_or_else(|| (0..join.schema().fields().len()).collect());
    (0..columns.len()).partition(|at| columns[*at] < left)
}

/// The join itself, where what wraps it was given.
fn joined(join: &Arc<dyn ExecutionPlan>) -> &Arc<dyn ExecutionPlan> {
    join.downcast_ref::<SpillingJoinExec>().map_or(join, SpillingJoinExec::join)
}

/// What is true of the join's rows. DataFusion takes a column that is constant on one side for constant
/// in an outer join that fills it with NULLs, and an aggregation above would read each run of equal
/// values as a group of its own. All else is kept: an operator above relies on it that was planned by it.
fn honest(join: &Arc<dyn ExecutionPlan>) -> Result<Arc<PlanProperties>> {
    let join_type = if let Some(join) = hash_join(join) {
        *join.join_type()
    } else if let Some(join) = joined(join).downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else if let Some(join) = join.downcast_ref::<SortMergeJoinExec>() {
        join.join_type()
    } else {
        JoinType::Inner
    };
    let properties = join.properties();
    if !matches!(join_type, JoinType::Left | JoinType::Right | JoinType::Full) {
        return Ok(properties.clone());
    }
    let (left, right) = sides(join);
    let filled = match join_type {
        JoinType::Left => right,
        JoinType::Right => left,
        _ => (0..join.schema().fields().len()).collect(),
    };
    let is_filled = |expr: &Arc<dyn PhysicalExpr>| {
        collect_columns(expr).iter().any(|column| filled.contains(&column.index()))
    };
    let claimed = properties.equivalence_properties();
    let orderings = claimed.oeq_class().iter().map(|ordering| ordering.iter().cloned());
    let mut known = EquivalenceProperties::new_with_orderings(join.schema(), orderings);
    for class in claimed.eq_group().iter() {
        let mut members = class.iter();
        let Some(first) = members.next() else { continue };
        for other in members {
            // What is computed of NULLs need not be NULL, so only columns stay equal when they are filled.
            let columns = first.is::<Column>() && other.is::<Column>();
            if columns || !is_filled(first) && !is_filled(other) {
                known.add_equal_conditions(first.clone(), other.clone())?;
            }
        }
    }
    known.add_constants(claimed.constants().into_iter().filter(|constant| !is_filled(&constant.expr)))?;
    Ok(Arc::new(properties.as_ref().clone().with_eq_properties(known)))
}

/// The plan as it was before [`interruptible`].
pub(crate) fn uninterruptible(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        Ok(match wrapped(&node) {
            Some(inner) => Transformed::yes(inner.clone()),
            None => Transformed::no(node),
        })
    })
    .data()
}

impl InterruptibleExec {
    fn new(join: Arc<dyn ExecutionPlan>) -> Result<InterruptibleExec> {
        let properties = honest(&join)?;
        Ok(InterruptibleExec { join, properties, running: OnceLock::new() })
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
    let tied: Arc<dyn ExecutionPlan> = if let Some(join) = joined(join).downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(Some(with_stop(filter))).build()?)
    } else if let Some(hash_join) = hash_join(join)
        && let Some(filter) = hash_join.filter()
    {
        Arc::new(hash_join.builder().with_filter(Some(with_stop(filter))).build()?)
    } else {
        return Ok(join.clone());
    };
    Ok(match join.is::<SpillingJoinExec>() {
        true => Arc::new(SpillingJoinExec::new(tied)),
        false => tied,
    })
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
    one_child!(
        InterruptibleExec,
        |exec| exec.current(),
        keeps_order: true,
        |_, join| Ok(Arc::new(InterruptibleExec::new(join)?))
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stop = QueryState::of(&context)?.stop().clone();
        let batches = self.tied(&stop)?.execute(partition, context)?;
        Ok(Box::pin(Stoppable { batches, stop }))
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
