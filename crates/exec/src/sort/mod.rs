//! Sorts within a query's memory.
//!
//! [`SpillingSortExec`] stands above one of DataFusion's sorts and does its work, in files where the rows do not
//! fit ([`external`]). It takes them in batches of the usual size that hold no more than their rows. Otherwise each
//! would be counted with the block that it is a part of, and each part of a larger one, once sorted, with the
//! whole.
//!
//! DataFusion's top-k keeps as many rows in memory as are wanted and cannot write them to files. So where
//! those may be more than a part of the query's limit, all rows are sorted instead, and the first of them
//! handed on. Which of the two is known before the first row: from the limit, the number of rows and the
//! width of their columns.
//!
//! The node is put in place when a plan is about to run, and is neither sent nor shown.

mod external;

use crate::compact::compacted;
use crate::one_child::one_child;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
pub(crate) use external::sorted;
use std::fmt;
use std::sync::Arc;

/// The part of a query's limit that the rows of one partition may take: so many partitions run at a time,
/// and other operators want memory too.
const PART: usize = 16;

/// What a string or another value without a fixed width is taken for, in bytes.
const WIDTH_OF_STRINGS: usize = 48;

/// See the module.
#[derive(Debug)]
pub struct SpillingSortExec {
    sort: Arc<dyn ExecutionPlan>,
    ordering: LexOrdering,
    wanted: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
}

impl SpillingSortExec {
    /// Over a sort; None over anything else.
    pub(crate) fn over(plan: &Arc<dyn ExecutionPlan>) -> Option<SpillingSortExec> {
        let sort = plan.downcast_ref::<SortExec>()?;
        Some(SpillingSortExec {
            sort: plan.clone(),
            ordering: sort.expr().clone(),
            wanted: sort.fetch(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub(crate) fn sort(&self) -> &Arc<dyn ExecutionPlan> {
        &self.sort
    }

    /// Whether so many rows may be more than fits.
    fn is_large(&self, wanted: usize, context: &TaskContext) -> bool {
        match context.memory_pool().memory_limit() {
            // It keeps a row and its encoded key.
            MemoryLimit::Finite(limit) => {
                wanted.saturating_mul(2 * row_bytes(&self.sort.schema())) > limit / PART
            }
            _ => false,
        }
    }
}

/// The rows of a batch in batches of so many.
fn pieces(batch: RecordBatch, rows: usize) -> impl Iterator<Item = Result<RecordBatch>> {
    let from = (0..batch.num_rows()).step_by(rows.max(1));
    from.map(move |at| compacted(batch.slice(at, rows.min(batch.num_rows() - at))))
}

fn row_bytes(schema: &Schema) -> usize {
    let width = |ty: &DataType| ty.primitive_width().unwrap_or(WIDTH_OF_STRINGS);
    schema.fields().iter().map(|field| width(field.data_type())).sum::<usize>().max(1)
}

impl DisplayAs for SpillingSortExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpillingSortExec")
    }
}

impl ExecutionPlan for SpillingSortExec {
    one_child!(
        SpillingSortExec,
        |exec| &exec.sort,
        keeps_order: true,
        |_, sort| Ok(match SpillingSortExec::over(&sort) {
            Some(over) => Arc::new(over),
            None => sort,
        })
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        self.sort.properties()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if let Some(wanted) = self.wanted
            && !self.is_large(wanted, &context)
        {
            return self.sort.execute(partition, context);
        }
        let input = self.sort.children()[0].execute(partition, context.clone())?;
        Ok(sorted(input, self.ordering.clone(), self.wanted, &context, &self.metrics, partition))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
