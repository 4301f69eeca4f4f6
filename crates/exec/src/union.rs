//! UNION ALL that keeps partitions where they are.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, CardinalityEffect, EmissionType, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// Partition `i` yields what partition `i` of every child yields, one child after the other; a child
/// with fewer partitions has nothing for the last ones. (DataFusion's `UnionExec` puts the partitions
/// of its children side by side instead, which would move them to other nodes.)
#[derive(Debug)]
pub struct CollocatedUnionExec {
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CollocatedUnionExec {
    /// `schema`: that of the result; the children have the same types in the same order.
    pub fn try_new(inputs: Vec<Arc<dyn ExecutionPlan>>, schema: SchemaRef) -> Result<CollocatedUnionExec> {
        let same_types = |input: &Arc<dyn ExecutionPlan>| {
            let theirs = input.schema();
            theirs.fields().len() == schema.fields().len()
                && theirs.fields().iter().zip(schema.fields()).all(|(a, b)| a.data_type() == b.data_type())
        };
        if !inputs.iter().all(same_types) {
            return internal_err!("the inputs of a union have different types");
        }
        let partitions = inputs.iter().map(|i| i.output_partitioning().partition_count()).max().unwrap_or(0);
        let partitioning = match common_hash(&inputs, &schema) {
            Some(keys) => Partitioning::Hash(keys, partitions),
            None => Partitioning::UnknownPartitioning(partitions),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(CollocatedUnionExec {
            inputs,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

/// The columns by whose hash every child is placed over the same number of partitions.
fn common_hash(inputs: &[Arc<dyn ExecutionPlan>], schema: &SchemaRef) -> Option<Vec<Arc<dyn PhysicalExpr>>> {
    let positions = |input: &Arc<dyn ExecutionPlan>| match input.output_partitioning() {
        Partitioning::Hash(keys, n) => {
            let positions: Option<Vec<usize>> =
                keys.iter().map(|key| key.downcast_ref::<Column>().map(Column::index)).collect();
            Some((positions?, *n))
        }
        _ => None,
    };
    let first = positions(inputs.first()?)?;
    if !inputs.iter().all(|input| positions(input).as_ref() == Some(&first)) {
        return None;
    }
    let column = |&at: &usize| Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>;
    Some(first.0.iter().map(column).collect())
}

impl DisplayAs for CollocatedUnionExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollocatedUnionExec")
    }
}

impl ExecutionPlan for CollocatedUnionExec {
    fn name(&self) -> &'static str {
        "CollocatedUnionExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(CollocatedUnionExec::try_new(children, self.schema())?))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let streams = self
            .inputs
            .iter()
            .filter(|input| partition < input.output_partitioning().partition_count())
            .map(|input| input.execute(partition, context.clone()))
            .collect::<Result<Vec<_>>>()?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let named = schema.clone();
        // The children may call their columns differently.
        let rows = stream::iter(streams).flatten().and_then(move |batch| {
            metrics.record_output(batch.num_rows());
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let renamed =
                RecordBatch::try_new_with_options(named.clone(), batch.columns().to_vec(), &options);
            futures::future::ready(renamed.map_err(Into::into))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, _: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(None); self.inputs.len()]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut all = Statistics::new_unknown(&self.schema());
        if args.partition().is_none() {
            let sum = |of: fn(&Statistics) -> Option<usize>| {
                inputs
                    .iter()
                    .map(|s| of(s))
                    .sum::<Option<usize>>()
                    .map_or(Precision::Absent, Precision::Inexact)
            };
            all.num_rows = sum(|s| s.num_rows.get_value().copied());
            all.total_byte_size = sum(|s| s.total_byte_size.get_value().copied());
        }
        Ok(Arc::new(all))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::GreaterEqual
    }
}
