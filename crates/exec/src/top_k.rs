//! The first rows of an order, however many are wanted.
//!
//! DataFusion's top-k keeps as many rows in memory as are wanted and cannot write them to files. So where
//! those may be more than a part of the query's limit, [`SpillingTopKExec`] has all rows sorted instead,
//! over files if need be, and hands on the first of them. Which of the two is known before the first row:
//! from the limit, the number of rows and the width of their columns.
//!
//! The node is put in place when a plan is about to run, and is neither sent nor shown.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// The part of a query's limit that the rows of one partition may take: so many partitions run at a time,
/// and other operators want memory too.
const PART: usize = 16;

/// What a string or another value without a fixed width is taken for, in bytes.
const WIDTH_OF_STRINGS: usize = 48;

/// See the module.
#[derive(Debug)]
pub struct SpillingTopKExec {
    top_k: Arc<dyn ExecutionPlan>,
    /// The same order of all rows.
    whole: SortExec,
    wanted: usize,
}

impl SpillingTopKExec {
    /// Over a sort; None if it wants all rows.
    pub(crate) fn over(plan: &Arc<dyn ExecutionPlan>) -> Option<SpillingTopKExec> {
        let sort = plan.downcast_ref::<SortExec>()?;
        let wanted = sort.fetch()?;
        let whole = SortExec::new(sort.expr().clone(), sort.input().clone())
            .with_preserve_partitioning(sort.preserve_partitioning());
        Some(SpillingTopKExec { top_k: plan.clone(), whole, wanted })
    }

    pub(crate) fn top_k(&self) -> &Arc<dyn ExecutionPlan> {
        &self.top_k
    }

    fn is_large(&self, context: &TaskContext) -> bool {
        match context.memory_pool().memory_limit() {
            // It keeps a row and its encoded key.
            MemoryLimit::Finite(limit) => {
                self.wanted.saturating_mul(2 * row_bytes(&self.top_k.schema())) > limit / PART
            }
            _ => false,
        }
    }
}

fn row_bytes(schema: &Schema) -> usize {
    let width = |ty: &DataType| ty.primitive_width().unwrap_or(WIDTH_OF_STRINGS);
    schema.fields().iter().map(|field| width(field.data_type())).sum::<usize>().max(1)
}

impl DisplayAs for SpillingTopKExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpillingTopKExec")
    }
}

impl ExecutionPlan for SpillingTopKExec {
    fn name(&self) -> &'static str {
        "SpillingTopKExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.top_k.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.top_k]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [sort] => Ok(match SpillingTopKExec::over(sort) {
                Some(over) => Arc::new(over),
                None => sort.clone(),
            }),
            _ => internal_err!("SpillingTopKExec has one child"),
        }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if !self.is_large(&context) {
            return self.top_k.execute(partition, context);
        }
        let rows = self.whole.execute(partition, context)?;
        // The sort below counts the rows.
        let uncounted = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), partition);
        Ok(Box::pin(LimitStream::new(rows, 0, Some(self.wanted), uncounted)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.whole.metrics()
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
            None => internal_err!("SpillingTopKExec has one child"),
        }
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
