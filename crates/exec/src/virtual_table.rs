//! Tables that are not stored: their rows are made when a query reads them, on the node that was asked.
//!
//! A [`VirtualTable`] has a [`VirtualRows`] behind it, which says what the columns are and makes the rows.
//! In a plan it is a [`VirtualScanExec`], of one partition. That never leaves its process: it knows what
//! the session knows, so it has no encoded form. A stage with one in it runs on the asking node, which
//! the planner sees to (`planner::stages`) by giving every scan of stored rows a stage of its own there.

use crate::error::from_sql_error;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use columnstore::batch_bytes;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, Statistics, internal_err};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;

/// How many rows such a table is taken for, which is only found out when they are made.
const GUESSED_ROWS: usize = 200;

/// What a query wants of a virtual table. To make more is allowed: what is not wanted is dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Places of columns. The others may hold anything of their type, NULL where they take it.
    pub columns: Vec<usize>,
    /// Columns with the only text that rows are looked for with.
    pub equal: Vec<(usize, String)>,
}

impl Wanted {
    /// The only text that rows are looked for with in this column, if there is one.
    pub fn only(&self, column: usize) -> Option<&str> {
        self.equal.iter().find(|(at, _)| *at == column).map(|(_, text)| text.as_str())
    }

    pub fn has(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }
}

/// Makes the rows of a table.
#[async_trait]
pub trait VirtualRows: fmt::Debug + Send + Sync {
    fn name(&self) -> &str;

    fn schema(&self) -> SchemaRef;

    /// The rows, with all columns of the schema.
    async fn rows(&self, wanted: &Wanted) -> Result<RecordBatch, types::SqlError>;
}

/// See the module.
#[derive(Debug)]
pub struct VirtualTable(Arc<dyn VirtualRows>);

impl VirtualTable {
    pub fn new(rows: Arc<dyn VirtualRows>) -> VirtualTable {
        VirtualTable(rows)
    }

    /// The place of a column and the text that it must be equal to.
    fn equality(&self, filter: &Expr) -> Option<(usize, String)> {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
        let (column, value) = match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column)) => (column, value),
            _ => return None,
        };
        let text = match value {
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
                text.clone()?
            }
            _ => return None,
        };
        Some((self.0.schema().index_of(&column.name).ok()?, text))
    }
}

#[async_trait]
impl TableProvider for VirtualTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns =
            projection.cloned().unwrap_or_else(|| (0..self.0.schema().fields().len()).collect::<Vec<_>>());
        let equal = filters.iter().filter_map(|filter| self.equality(filter)).collect();
        Ok(Arc::new(VirtualScanExec::new(self.0.clone(), Wanted { columns, equal })?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.equality(filter) {
                // Told to who makes the rows, who need not listen.
                Some(_) => TableProviderFilterPushDown::Inexact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(guessed(&self.0.schema()))
    }
}

fn guessed(schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(GUESSED_ROWS);
    statistics
}

/// Yields the rows of a virtual table. See the module.
#[derive(Debug)]
pub struct VirtualScanExec {
    rows: Arc<dyn VirtualRows>,
    wanted: Wanted,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl VirtualScanExec {
    fn new(rows: Arc<dyn VirtualRows>, wanted: Wanted) -> Result<VirtualScanExec> {
        let schema = Arc::new(rows.schema().project(&wanted.columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(VirtualScanExec {
            rows,
            wanted,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for VirtualScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtualScanExec: {}", self.rows.name())?;
        let schema = self.rows.schema();
        for (column, text) in &self.wanted.equal {
            write!(f, ", {} = '{text}'", schema.field(*column).name())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for VirtualScanExec {
    fn name(&self) -> &'static str {
        "VirtualScanExec"
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
        if children.is_empty() { Ok(self) } else { internal_err!("VirtualScanExec has no children") }
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return internal_err!("VirtualScanExec has one partition");
        }
        let (rows, wanted) = (self.rows.clone(), self.wanted.clone());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let memory = MemoryConsumer::new(rows.name()).register(context.memory_pool());
        let most = context.session_config().batch_size().max(1);
        let batches = stream::once(async move {
            let batch = rows.rows(&wanted).await.map_err(from_sql_error)?.project(&wanted.columns)?;
            memory.try_grow(batch_bytes(&batch))?;
            metrics.record_output(batch.num_rows());
            let starts = (0..batch.num_rows()).step_by(most);
            // The reservation lasts as long as the rows are handed out.
            Ok::<_, datafusion::error::DataFusionError>(stream::iter(starts.map(move |start| {
                let _ = &memory;
                Ok(batch.slice(start, most.min(batch.num_rows() - start)))
            })))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(match args.partition() {
            None => guessed(&self.schema()),
            Some(_) => Statistics::new_unknown(&self.schema()),
        }))
    }
}
