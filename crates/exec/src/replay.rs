//! Rows that are read once and asked for many times: what a recursive query joins with in each of its
//! rounds.

use crate::exchange::ExchangeExec;
use crate::one_child::one_child;
use arrow::array::RecordBatch;
use columnstore::batch_bytes;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Yields the rows of its child, of one partition, whenever it is executed. They are kept, counted to
/// the query's memory, until the plan goes; `reset_state` keeps them, since a recursive query resets
/// the plan of its term before each round.
#[derive(Debug)]
pub struct ReplayExec {
    input: Arc<dyn ExecutionPlan>,
    kept: Arc<OnceCell<Kept>>,
}

#[derive(Debug)]
struct Kept {
    batches: Vec<RecordBatch>,
    _memory: MemoryReservation,
}

impl ReplayExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> ReplayExec {
        ReplayExec { input, kept: Arc::default() }
    }
}

async fn read(input: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Kept> {
    let memory = MemoryConsumer::new("recursive query").register(context.memory_pool());
    let mut rows = input.execute(0, context)?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await.transpose()? {
        memory.try_grow(batch_bytes(&batch))?;
        batches.push(batch);
    }
    Ok(Kept { batches, _memory: memory })
}

impl DisplayAs for ReplayExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayExec")
    }
}

impl ExecutionPlan for ReplayExec {
    one_child!(ReplayExec, |exec| &exec.input, keeps_order: true, |exec, input| {
        // A plan that is about to run gets its receiving end in the exchange's place: that run keeps rows of
        // its own.
        let before = exec.input.is::<ExchangeExec>();
        let kept = if before { Arc::default() } else { exec.kept.clone() };
        Ok(Arc::new(ReplayExec { input, kept }))
    });

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition > 0 || self.input.output_partitioning().partition_count() > 1 {
            return internal_err!("ReplayExec has one partition");
        }
        let (input, kept) = (self.input.clone(), self.kept.clone());
        let rows = stream::once(async move {
            let batches = kept.get_or_try_init(|| read(input, context)).await?.batches.clone();
            Ok::<_, datafusion::error::DataFusionError>(stream::iter(batches.into_iter().map(Ok)))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
