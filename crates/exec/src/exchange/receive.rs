//! The consumer's end of an exchange, a leaf of its stage's plan.

use super::{ExchangeId, ExchangeKind};
use crate::query::QueryState;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// Reads partition `i` of an exchange. The stage that feeds it starts when its first consumer is
/// first polled, so that a join's probe side does not run before the build side is complete and
/// the filters that come from it are known.
#[derive(Debug)]
pub struct ReceiveExec {
    exchange: ExchangeId,
    kind: ExchangeKind,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
    /// Dynamic filters that the producing stage applies. They are shared with it within a process;
    /// a join looks for them below itself before it takes the trouble to fill them.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// The stream that each partition reads.
    streams: Arc<[usize]>,
    metrics: ExecutionPlanMetricsSet,
}

impl ReceiveExec {
    pub(crate) fn new(
        exchange: ExchangeId,
        kind: ExchangeKind,
        properties: Arc<PlanProperties>,
        statistics: Arc<Statistics>,
        filters: Vec<Arc<dyn PhysicalExpr>>,
    ) -> ReceiveExec {
        let streams = (0..properties.partitioning.partition_count()).collect();
        ReceiveExec {
            exchange,
            kind,
            properties,
            statistics,
            filters,
            streams,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub fn exchange(&self) -> ExchangeId {
        self.exchange
    }

    pub fn kind(&self) -> &ExchangeKind {
        &self.kind
    }

    /// What is expected to come.
    pub(crate) fn expected(&self) -> &Statistics {
        &self.statistics
    }

    pub(crate) fn streams(&self) -> &[usize] {
        &self.streams
    }

    /// The same with these streams as its partitions, knowing nothing of filters elsewhere.
    pub(crate) fn of_streams(&self, streams: Vec<usize>) -> ReceiveExec {
        let partitioning = match &self.properties.partitioning {
            Partitioning::Hash(keys, _) => Partitioning::Hash(keys.clone(), streams.len()),
            _ => Partitioning::UnknownPartitioning(streams.len()),
        };
        let properties = self.properties.as_ref().clone().with_partitioning(partitioning);
        ReceiveExec {
            exchange: self.exchange,
            kind: self.kind.clone(),
            properties: Arc::new(properties),
            statistics: self.statistics.clone(),
            filters: Vec::new(),
            streams: streams.into(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for ReceiveExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveExec: stage {}, {}", self.exchange, self.kind)
    }
}

impl ExecutionPlan for ReceiveExec {
    fn name(&self) -> &'static str {
        "ReceiveExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("ReceiveExec has no children") }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(ReceiveExec {
            exchange: self.exchange,
            kind: self.kind.clone(),
            properties: self.properties.clone(),
            statistics: self.statistics.clone(),
            filters: self.filters.clone(),
            streams: self.streams.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(&self.filters, f)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let query = QueryState::of(&context)?;
        let exchange = self.exchange;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        // The receiver is opened at once, so that a consumer that is dropped before its first poll
        // closes its end and the producers do not wait for it.
        let Some(stream) = self.streams.get(partition) else {
            return internal_err!("exchange {exchange} has no partition {partition} here");
        };
        let mut receiver = query.transport().receiver(exchange, *stream)?;
        // Another operator's task may be the one that polls this.
        let ear = query.ear().clone();
        let receiver = futures::stream::poll_fn(move |cx| ear.listen(|| receiver.poll_next_unpin(cx)));
        let stream = futures::stream::once(async move {
            query.start(exchange, &context)?;
            Ok::<_, datafusion::error::DataFusionError>(receiver)
        })
        .try_flatten()
        .inspect(move |batch| {
            if let Ok(batch) = batch {
                metrics.record_output(batch.num_rows());
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(match args.partition() {
            None => self.statistics.clone(),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
