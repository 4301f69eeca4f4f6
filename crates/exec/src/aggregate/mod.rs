//! Aggregation of our own, fused with the scan below it.
//!
//! [`FusedAggregateExec`] stands above DataFusion's aggregation of a scan, with nothing but projections
//! between, and does the work of all of them in one pass over the vectors of the scan: keys are packed
//! from codes and integers ([`keys`]), decimals are computed in 64 bits where ranges prove that they fit
//! ([`number`]), and sums are gathered in 64 bits into 128 ([`totals`]). [`recipe`] says what can be
//! fused; what cannot runs as it is.
//!
//! The node has no data of its own: its child is the whole description, so whatever can carry the child
//! to another process can carry it.
//!
//! Memory: a partial aggregation that gets no more hands on the states of the groups that it has and
//! begins anew. One that must yield whole groups does the same into DataFusion's final aggregation,
//! which spills.

mod groups;
mod keys;
mod number;
mod recipe;
mod run;
mod totals;

#[cfg(test)]
mod tests;

use crate::one_child::one_child;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use groups::Word;
use parking_lot::Mutex;
use recipe::Recipe;
use run::{Running, Step};
use std::fmt;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct FusedAggregateExec {
    aggregate: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl FusedAggregateExec {
    /// Over an aggregation. Whether it can be fused is looked at when it runs.
    pub fn new(aggregate: Arc<dyn ExecutionPlan>) -> FusedAggregateExec {
        FusedAggregateExec { aggregate, metrics: ExecutionPlanMetricsSet::new() }
    }

    fn recipe(&self) -> Result<Option<Recipe>> {
        match self.aggregate.downcast_ref::<AggregateExec>() {
            Some(aggregate) => Recipe::of(aggregate),
            None => Ok(None),
        }
    }
}

/// Puts a [`FusedAggregateExec`] above every aggregation that can be fused with its scan.
pub fn fuse_aggregates(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let Some(aggregate) = node.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
        Ok(match Recipe::of(aggregate)? {
            Some(_) => Transformed::yes(Arc::new(FusedAggregateExec::new(node)) as _),
            None => Transformed::no(node),
        })
    })
    .data()
}

impl DisplayAs for FusedAggregateExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FusedAggregateExec")
    }
}

impl ExecutionPlan for FusedAggregateExec {
    one_child!(
        FusedAggregateExec,
        |exec| &exec.aggregate,
        keeps_order: false,
        |_, aggregate| Ok(Arc::new(FusedAggregateExec::new(aggregate)))
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(recipe) = self.recipe()? else { return self.aggregate.execute(partition, context) };
        let recipe = Arc::new(recipe);
        if recipe.key_bits() <= 64 {
            self.start::<u64>(recipe, partition, context)
        } else {
            self.start::<u128>(recipe, partition, context)
        }
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl FusedAggregateExec {
    fn start<W: Word>(
        &self,
        recipe: Arc<Recipe>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let spilled = MetricBuilder::new(&self.metrics).spill_count(partition);
        let running = Running::<W>::new(recipe.clone(), partition, &context, metrics, spilled)?;
        let (schema, states) = (recipe.schema.clone(), recipe.state_schema.clone());
        if !recipe.single {
            return Ok(adapt(schema, partial(running, states).boxed()));
        }
        let aggregate = self.aggregate.clone();
        let whole = stream::once(async move {
            let mut running = running;
            loop {
                match next(&mut running).await? {
                    Step::Read => {}
                    Step::End => {
                        let batches = running.take(&recipe.schema)?;
                        running.metrics.record_output(batches.iter().map(|batch| batch.num_rows()).sum());
                        return Ok(stream::iter(batches.into_iter().map(Ok)).boxed());
                    }
                    Step::Full => return finish(&aggregate, running, states, &context),
                }
            }
        })
        .try_flatten();
        Ok(adapt(schema, whole.boxed()))
    }
}

type Batches = stream::BoxStream<'static, Result<arrow::array::RecordBatch>>;

fn adapt(schema: SchemaRef, batches: Batches) -> SendableRecordBatchStream {
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

async fn next<W: Word>(running: &mut Running<W>) -> Result<Step> {
    running.turn().await;
    running.step()
}

/// The states of all groups, from what `running` has on.
fn partial<W: Word>(running: Running<W>, schema: SchemaRef) -> Batches {
    stream::try_unfold(Some(running), move |running| {
        let schema = schema.clone();
        async move {
            let Some(mut running) = running else { return Ok::<_, DataFusionError>(None) };
            loop {
                let step = next(&mut running).await?;
                if matches!(step, Step::Read) {
                    continue;
                }
                let batches = running.take(&schema)?;
                running.metrics.record_output(batches.iter().map(|batch| batch.num_rows()).sum());
                let rest = if matches!(step, Step::End) { None } else { Some(running) };
                return Ok(Some((stream::iter(batches.into_iter().map(Ok)), rest)));
            }
        }
    })
    .try_flatten()
    .boxed()
}

/// Goes on with DataFusion's final aggregation, which spills, over the states of what `running` has and
/// will have.
fn finish<W: Word>(
    aggregate: &Arc<dyn ExecutionPlan>,
    mut running: Running<W>,
    schema: SchemaRef,
    context: &Arc<TaskContext>,
) -> Result<Batches> {
    let Some(single) = aggregate.downcast_ref::<AggregateExec>() else {
        return internal_err!("a fused aggregation stands above an aggregation");
    };
    let first = running.take(&schema)?;
    let states = stream::iter(first.into_iter().map(Ok)).chain(partial(running, schema.clone())).boxed();
    let source = States { schema: schema.clone(), stream: Mutex::new(Some(adapt(schema.clone(), states))) };
    let input = StreamingTableExec::try_new(schema, vec![Arc::new(source)], None, [], false, None)?;
    let last = AggregateExec::try_new(
        AggregateMode::Final,
        single.group_expr().as_final(),
        single.aggr_expr().to_vec(),
        single.filter_expr().to_vec(),
        Arc::new(input),
        single.input_schema(),
    )?;
    let schema = aggregate.schema();
    let rows = last.execute(0, context.clone())?;
    Ok(rows.map(move |batch| Ok(batch?.with_schema(schema.clone())?)).boxed())
}

/// A stream as a plan's only partition, once.
struct States {
    schema: SchemaRef,
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("States")
    }
}

impl PartitionStream for States {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.stream.lock().take() {
            Some(stream) => stream,
            None => {
                let twice = internal_err!("the states of an aggregation are read once");
                adapt(self.schema.clone(), stream::iter([twice]).boxed())
            }
        }
    }
}
