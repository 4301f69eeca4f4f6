//! JSON_TABLE: the rows of an operator, each as often as the JSON document in it makes rows.
//!
//! A document is read whole, and its rows are made at once, in batches that wait to be asked for. Both are counted to
//! the query's memory, so that a document of more rows than fit fails its query.

use crate::error::from_sql_error;
use crate::memory::TaskMemory;
use crate::one_child::one_child;
use crate::query::{QueryState, Stop};
use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use columnstore::batch_bytes;
use datafusion::common::stats::Precision;
use datafusion::common::{Constraints, Result, Statistics, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, stream};
use sql::json_table::{JsonRows, JsonTable, MadeRows, ROWS_OF_DOCUMENT};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Bytes of made rows at which a batch ends before it is full.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes of a column of the input in a row that is made: the number, or where the text lies.
const COPIED_BYTES: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct JsonTableExec {
    input: Arc<dyn ExecutionPlan>,
    table: Arc<JsonTable>,
    /// The column of the documents, which ends here.
    document: usize,
    /// A row of the input whose document makes none stays, with NULLs.
    outer: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl JsonTableExec {
    pub fn try_new(
        input: Arc<dyn ExecutionPlan>,
        table: Arc<JsonTable>,
        document: usize,
        outer: bool,
    ) -> Result<JsonTableExec> {
        let of_input = input.schema();
        if document >= of_input.fields().len() {
            return internal_err!("JSON_TABLE reads a column that is not there");
        }
        let kept: Vec<usize> = (0..of_input.fields().len()).filter(|at| *at != document).collect();
        let mut fields: Vec<Arc<Field>> = kept.iter().map(|at| of_input.fields()[*at].clone()).collect();
        fields.extend(table.columns().into_iter().map(|(name, ty)| Arc::new(ty.field(name, true))));
        let schema = Arc::new(Schema::new_with_metadata(fields, of_input.metadata().clone()));
        let column = |at: &usize| {
            let name = of_input.field(*at).name();
            (Arc::new(Column::new(name, *at)) as Arc<dyn PhysicalExpr>, name.clone())
        };
        let mapping = ProjectionMapping::try_new(kept.iter().map(column), &of_input)?;
        let known = input.equivalence_properties();
        let partitioning = input.output_partitioning().project(&mapping, known);
        // What is a key of the input stands in many rows.
        let properties = PlanProperties::new(
            known.project(&mapping, schema).with_constraints(Constraints::default()),
            partitioning,
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(JsonTableExec {
            input,
            table,
            document,
            outer,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    pub fn table(&self) -> &Arc<JsonTable> {
        &self.table
    }

    pub fn document(&self) -> usize {
        self.document
    }

    pub fn is_outer(&self) -> bool {
        self.outer
    }
}

impl DisplayAs for JsonTableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.table.columns().into_iter().map(|(name, _)| name).collect();
        write!(f, "JsonTableExec: path={}, columns=[{}]", self.table.rows.path, names.join(", "))?;
        if self.outer { f.write_str(", outer") } else { Ok(()) }
    }
}

impl ExecutionPlan for JsonTableExec {
    // The order stays, as the properties say. But of an operator that claims so, DataFusion's pushdown of sorts takes
    // the first columns for the input's at the same places, and the document's is not there.
    one_child!(
        JsonTableExec,
        |exec| &exec.input,
        keeps_order: false,
        statistics: |exec, of_input| {
            let mut all = Statistics::new_unknown(&exec.schema());
            if let Some(documents) = of_input.num_rows.get_value() {
                all.num_rows = Precision::Inexact(documents.saturating_mul(ROWS_OF_DOCUMENT));
            }
            Arc::new(all)
        },
        |exec, input| {
            Ok(Arc::new(JsonTableExec::try_new(input, exec.table.clone(), exec.document, exec.outer)?))
        }
    );

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = JsonRows::try_new(&self.table).map_err(from_sql_error)?;
        let making = Making {
            stop: QueryState::of(&context)?.stop().clone(),
            input: self.input.execute(partition, context.clone())?,
            made: rows.start(),
            rows,
            document: self.document,
            outer: self.outer,
            schema: self.schema(),
            most: context.session_config().batch_size(),
            read: None,
            sources: Vec::new(),
            ready: VecDeque::new(),
            memory: TaskMemory::new("JSON_TABLE", partition, &context, &self.metrics),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::try_unfold(making, |mut making| async move {
            Ok::<_, DataFusionError>(making.next().await?.map(|batch| (batch, making)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Unknown
    }
}

/// Rows on their way through the operator.
struct Making {
    input: SendableRecordBatchStream,
    rows: JsonRows,
    document: usize,
    outer: bool,
    schema: SchemaRef,
    /// Rows of a full batch.
    most: usize,
    /// The batch that was read last.
    read: Option<Read>,
    made: MadeRows,
    /// The row of what was read that each row in `made` is of.
    sources: Vec<u32>,
    /// Made and not handed on, with what is counted for them.
    ready: VecDeque<(RecordBatch, usize)>,
    memory: TaskMemory,
    stop: Stop,
    metrics: BaselineMetrics,
}

struct Read {
    batch: RecordBatch,
    /// Texts.
    documents: Arc<dyn Array>,
    /// The first row whose document has not been read.
    next: usize,
}

impl Making {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((batch, bytes)) = self.ready.pop_front() {
                self.memory.held.shrink(bytes);
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            match self.read.take() {
                Some(read) => self.go_on(read)?,
                None => {
                    let Some(batch) = self.input.next().await.transpose()? else { return Ok(None) };
                    let documents = match batch.column(self.document) {
                        texts if *texts.data_type() == DataType::Utf8View => texts.clone(),
                        other => cast(other, &DataType::Utf8View)?,
                    };
                    self.read = Some(Read { batch, documents, next: 0 });
                }
            }
        }
    }

    /// Makes rows of the next documents until there is a batch of them or no more document.
    fn go_on(&mut self, mut read: Read) -> Result<()> {
        let elapsed = self.metrics.elapsed_compute().clone();
        let _timer = elapsed.timer();
        let documents = read.documents.as_string_view();
        while read.next < documents.len() && self.ready.is_empty() {
            self.stop.check()?;
            let row = read.next;
            read.next += 1;
            let mut count = 0;
            if documents.is_valid(row) {
                let document = documents.value(row);
                let held = JsonRows::held_for(document);
                self.memory.try_grow(held)?;
                let Making { rows, made, sources, ready, memory, stop, schema, document: at, most, .. } =
                    &mut *self;
                rows.make(document, made, &mut |made| {
                    count += 1;
                    sources.push(row as u32);
                    if made.rows() < *most && made.bytes() < BATCH_BYTES {
                        return Ok(());
                    }
                    stop.check()?;
                    let batch = batch_of(&read.batch, *at, sources, made, schema)?;
                    memory.try_grow(batch.1)?;
                    ready.push_back(batch);
                    Ok(())
                })?;
                self.memory.held.shrink(held);
            }
            if self.outer && count == 0 {
                self.made.push_nulls();
                self.sources.push(row as u32);
            }
            if self.made.rows() >= self.most {
                self.finish(&read.batch)?;
            }
        }
        if read.next < read.batch.num_rows() {
            self.read = Some(read);
        } else if self.made.rows() > 0 {
            self.finish(&read.batch)?;
        }
        Ok(())
    }

    /// Ends a batch.
    fn finish(&mut self, read: &RecordBatch) -> Result<()> {
        let batch = batch_of(read, self.document, &mut self.sources, &mut self.made, &self.schema)?;
        self.memory.try_grow(batch.1)?;
        self.ready.push_back(batch);
        Ok(())
    }
}

/// The rows that were made beside those of what was read that they are of; the bytes that they take. Texts of what
/// was read stay where they are.
fn batch_of(
    read: &RecordBatch,
    document: usize,
    sources: &mut Vec<u32>,
    made: &mut MadeRows,
    schema: &SchemaRef,
) -> Result<(RecordBatch, usize)> {
    let rows = made.rows();
    let sources = UInt32Array::from(std::mem::take(sources));
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, column) in read.columns().iter().enumerate() {
        if at != document {
            columns.push(take(column, &sources, None)?);
        }
    }
    let kept = columns.len();
    columns.extend(made.take());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let new: Vec<usize> = (kept..batch.num_columns()).collect();
    let bytes = batch_bytes(&batch.project(&new)?) + rows * kept * COPIED_BYTES;
    Ok((batch, bytes))
}
