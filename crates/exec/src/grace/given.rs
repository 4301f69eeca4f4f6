//! Rows that are there already, as the input of an operator.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Yields for each partition the stream that it was given, once.
pub(crate) struct GivenExec {
    /// The operator that would yield them; what looks for filters in a plan finds them in it.
    shape: Option<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    given: Mutex<HashMap<usize, SendableRecordBatchStream>>,
}

impl GivenExec {
    pub(crate) fn in_place_of(shape: Arc<dyn ExecutionPlan>) -> GivenExec {
        GivenExec { properties: shape.properties().clone(), shape: Some(shape), given: Mutex::default() }
    }

    /// In one partition, of which nothing else is known.
    pub(crate) fn of_schema(schema: SchemaRef) -> GivenExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        GivenExec { shape: None, properties: Arc::new(properties), given: Mutex::default() }
    }

    pub(crate) fn give(&self, partition: usize, rows: SendableRecordBatchStream) {
        self.given.lock().insert(partition, rows);
    }

    /// Batches as a stream that lets go of each when it is read.
    pub(crate) fn stream(&self, batches: Vec<RecordBatch>) -> SendableRecordBatchStream {
        let batches = stream::iter(batches).map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches))
    }
}

impl fmt::Debug for GivenExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenExec")
    }
}

impl DisplayAs for GivenExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenExec")
    }
}

impl ExecutionPlan for GivenExec {
    fn name(&self) -> &'static str {
        "GivenExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.shape.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("GivenExec stays as it is")
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let given = self.given.lock().remove(&partition);
        given.ok_or_else(|| internal_datafusion_err!("partition {partition} of a join was not given"))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }
}
