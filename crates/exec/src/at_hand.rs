//! Plans over rows that are at hand: what a query makes of few rows that were read by keys.
//!
//! Such a plan has no scans, no stages and no exchanges. It is made once and run any number of times, each
//! time over other rows, on the thread of whoever asks. Its rows come by the task's context, so the plan's
//! nodes stay as they are; what they count of their runs is thrown away with them every [`RUNS`] runs.

mod steps;
#[cfg(test)]
mod tests;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::TaskContext;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::TryStreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use steps::Steps;
use types::SqlError;

/// Runs after which a plan's nodes are made anew.
const RUNS: usize = 256;

static RUNTIME: LazyLock<Arc<RuntimeEnv>> = LazyLock::new(Arc::default);

/// The rows of one run.
struct AtHand(Vec<RecordBatch>);

/// A table whose rows come with each run of a plan.
#[derive(Debug)]
pub struct RowsAtHand {
    schema: SchemaRef,
}

impl RowsAtHand {
    pub fn new(schema: SchemaRef) -> RowsAtHand {
        RowsAtHand { schema }
    }
}

#[async_trait]
impl TableProvider for RowsAtHand {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !filters.is_empty() {
            return internal_err!("rows at hand are filtered already");
        }
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        Ok(Arc::new(AtHandExec::new(schema)))
    }
}

#[derive(Debug)]
struct AtHandExec {
    properties: Arc<PlanProperties>,
}

impl AtHandExec {
    fn new(schema: SchemaRef) -> AtHandExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        AtHandExec { properties: Arc::new(properties) }
    }
}

impl DisplayAs for AtHandExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtHandExec")
    }
}

impl ExecutionPlan for AtHandExec {
    fn name(&self) -> &str {
        "AtHandExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = context
            .session_config()
            .get_extension::<AtHand>()
            .ok_or_else(|| internal_datafusion_err!("a plan over rows at hand runs without rows"))?;
        Ok(Box::pin(MemoryStream::try_new(rows.0.clone(), self.schema(), None)?))
    }
}

/// A plan over rows of one table.
#[derive(Debug)]
pub struct PlanAtHand {
    /// Places of the columns that the rows have, in their order.
    columns: Vec<usize>,
    /// What the plan does, if that is simple.
    steps: Option<Steps>,
    config: SessionConfig,
    /// The plan, and how often it has run.
    plan: Mutex<(Arc<dyn ExecutionPlan>, usize)>,
}

impl PlanAtHand {
    /// `plan` reads these columns of a [`RowsAtHand`].
    pub fn new(plan: Arc<dyn ExecutionPlan>, columns: Vec<usize>, options: ConfigOptions) -> PlanAtHand {
        let steps = Steps::of(&plan);
        PlanAtHand { columns, steps, config: SessionConfig::from(options), plan: Mutex::new((plan, 0)) }
    }

    /// The places of the columns that the rows are to have.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Runs the plan over `rows`.
    pub async fn run(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, SqlError> {
        let result = match &self.steps {
            Some(steps) => steps.run(&rows).map(|rows| vec![rows]),
            None => self.start(rows).await,
        };
        result.map_err(|error| crate::to_sql_error(&error))
    }

    /// Whether it runs without the operators of its plan.
    pub fn is_simple(&self) -> bool {
        self.steps.is_some()
    }

    async fn start(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let plan = {
            let mut plan = self.plan.lock();
            plan.1 += 1;
            if plan.1 >= RUNS {
                *plan = (reset_plan_states(plan.0.clone())?, 0);
            }
            plan.0.clone()
        };
        let context = TaskContext::new(
            None,
            String::new(),
            self.config.clone().with_extension(Arc::new(AtHand(rows))),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            RUNTIME.clone(),
        );
        plan.execute(0, Arc::new(context))?.try_collect().await
    }
}
