//! The plan node that reads a table.

use super::dynamic::RuntimeFilter;
use super::estimate::TableEstimate;
use super::filter::translate;
use super::open::{closed, is_open};
use super::source::{TableMorsel, TableSnapshot};
use crate::build_keys::KeysOfFilters;
use crate::error::from_sql_error;
use crate::query::QueryState;
use crate::shared_keys::WantedKey;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use columnstore::{Predicate, READ_AHEAD, ROW_COLUMN, ScanSpec, StoreError, Vectors};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, EvaluationType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use types::{ColumnId, PartitionId, SqlError, SqlType, TableDef};

/// Other values than a plan was made for want another plan where a scan expects so many times more or fewer rows, unless
/// that comes to few rows.
const MUCH_MORE: f64 = 3.0;
const FEW_ROWS: f64 = 10_000.0;

/// One column of a scan's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Column(ColumnId),
    /// The PartitionId.
    Partition,
    /// The row's reference within its partition.
    Row,
}

/// What a scan is for other values.
pub(crate) enum ForValues {
    /// It leaves none open.
    Same,
    Other(Arc<ScanExec>),
    /// The scan does not do all of its conditions with them, or another plan may be better.
    Unfit,
}

/// Reads a table: partition `i` of the node is the `i`th of the partitions in which its rows lie.
#[derive(Debug, Clone)]
pub struct ScanExec {
    def: Arc<TableDef>,
    partitions: Arc<[PartitionId]>,
    estimate: Arc<TableEstimate>,
    output: Arc<[Output]>,
    predicates: Arc<[Predicate]>,
    /// All that the predicates were made of, if values in it are open.
    open: Option<Arc<[Expr]>>,
    /// Filters that become known while the query runs.
    runtime_filters: Vec<Arc<dyn PhysicalExpr>>,
    /// Those of them whose producer's partition `i` is fed by this scan's partition `i`.
    aligned: Arc<HashSet<u64>>,
    /// The keys of build sides that have integer ones.
    keys: Arc<KeysOfFilters>,
    /// Keys of build sides of other stages, some of them on other nodes.
    shared_keys: Arc<[WantedKey]>,
    /// A partition yields at most so many rows.
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    pub(crate) fn new(
        def: Arc<TableDef>,
        partitions: Arc<[PartitionId]>,
        estimate: Arc<TableEstimate>,
        output: Vec<Output>,
        predicates: Vec<Predicate>,
    ) -> Result<ScanExec> {
        let schema = schema(&def, &output)?;
        let partitioning = partitioning(&def, &output, &schema, partitions.len());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_evaluation_type(EvaluationType::Lazy)
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(ScanExec {
            def,
            partitions,
            estimate,
            output: output.into(),
            predicates: predicates.into(),
            open: None,
            runtime_filters: Vec::new(),
            aligned: Arc::default(),
            keys: Arc::default(),
            shared_keys: Arc::default(),
            limit: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Notes what the predicates were made of, if that leaves values open.
    pub(crate) fn with_open(mut self, conditions: &[Expr]) -> ScanExec {
        self.open = conditions.iter().any(is_open).then(|| conditions.into());
        self
    }

    /// The scan for other values than those at hand when it was planned.
    pub(crate) fn for_values(&self, values: &[ScalarValue]) -> Result<ForValues> {
        let Some(conditions) = &self.open else { return Ok(ForValues::Same) };
        let mut predicates = Vec::with_capacity(self.predicates.len());
        for condition in conditions.iter() {
            match translate(closed(condition, values)?.as_ref(), &self.def) {
                Some(translated) => predicates.extend(translated),
                None => return Ok(ForValues::Unfit),
            }
        }
        let rows = |predicates: &[Predicate]| {
            self.estimate.rows as f64 * self.estimate.selectivity(&self.def, predicates)
        };
        let (before, now) = (rows(&self.predicates), rows(&predicates));
        if (before - now).abs() > FEW_ROWS && before.max(now) > MUCH_MORE * before.min(now) {
            return Ok(ForValues::Unfit);
        }
        Ok(ForValues::Other(Arc::new(ScanExec { predicates: predicates.into(), ..self.clone() })))
    }

    pub(crate) fn with_limit(mut self, limit: Option<usize>) -> ScanExec {
        self.limit = limit;
        self
    }

    pub fn def(&self) -> &Arc<TableDef> {
        &self.def
    }

    pub fn partitions(&self) -> &[PartitionId] {
        &self.partitions
    }

    pub fn estimate(&self) -> &Arc<TableEstimate> {
        &self.estimate
    }

    pub fn output(&self) -> &[Output] {
        &self.output
    }

    pub fn predicates(&self) -> &[Predicate] {
        &self.predicates
    }

    pub fn runtime_filters(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.runtime_filters
    }

    pub(crate) fn has_limit(&self) -> bool {
        self.limit.is_some()
    }

    /// The SQL type of each column, if all are columns of the table.
    pub(crate) fn types(&self) -> Option<Vec<SqlType>> {
        self.output
            .iter()
            .map(|output| match output {
                Output::Column(id) => self.def.column(*id).map(|column| column.ty),
                Output::Partition | Output::Row => None,
            })
            .collect()
    }

    /// Begins to read a partition. Nothing is read yet.
    pub(crate) fn open(&self, partition: usize, context: &TaskContext) -> Result<Scan> {
        let query = QueryState::of(context)?;
        let Some(&id) = self.partitions.get(partition) else {
            return internal_err!("table {} has no partition {partition}", self.def.name);
        };
        let spec = ScanSpec {
            columns: self
                .output
                .iter()
                .filter_map(|output| match output {
                    Output::Column(id) => Some(*id),
                    Output::Partition | Output::Row => None,
                })
                .collect(),
            predicates: self.predicates.to_vec(),
            row_refs: self.output.contains(&Output::Row),
        };
        let filter = (!self.runtime_filters.is_empty() || !self.shared_keys.is_empty()).then(|| {
            let (aligned, keys) = (self.aligned.clone(), self.keys.clone());
            let shared = self.shared_keys.iter().filter_map(|wanted| {
                let known = query.shared_keys(wanted.number)?;
                Some((known, wanted.clone()))
            });
            RuntimeFilter::new(self.runtime_filters.clone(), aligned, keys, partition)
                .with_shared(shared.collect())
        });
        Ok(Scan {
            query,
            partition: id,
            def: self.def.clone(),
            output: self.output.clone(),
            schema: self.schema(),
            base: self.predicates.clone(),
            spec,
            filter,
            remaining: self.limit.unwrap_or(usize::MAX),
            snapshot: None,
            morsels: VecDeque::new(),
            ahead: 0..if self.limit.is_some() { 0 } else { 1 + READ_AHEAD },
            ready: VecDeque::new(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            scanned: MetricBuilder::new(&self.metrics).counter("morsels_scanned", partition),
        })
    }

    /// The same with only these of its partitions, by place, and no runtime filters: those are tied to
    /// other operators once the whole plan is cut.
    pub(crate) fn of_partitions(&self, places: &[usize]) -> Result<ScanExec> {
        let partitions = places.iter().map(|place| self.partitions[*place]).collect();
        let (output, predicates) = (self.output.to_vec(), self.predicates.to_vec());
        let scan = ScanExec::new(self.def.clone(), partitions, self.estimate.clone(), output, predicates)?;
        Ok(scan.with_limit(self.limit).with_shared_keys(self.shared_keys.clone()))
    }

    pub(crate) fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Says which of the runtime filters come from a join that has this scan's partition `i` in its
    /// own partition `i`. Only of those may a branch for one partition be taken.
    pub fn with_aligned(&self, aligned: HashSet<u64>) -> ScanExec {
        ScanExec { aligned: Arc::new(aligned), ..self.clone() }
    }

    /// Has it look for keys of build sides of other stages.
    pub(crate) fn with_shared_keys(mut self, wanted: Arc<[WantedKey]>) -> ScanExec {
        self.shared_keys = wanted;
        self
    }

    pub(crate) fn shared_keys(&self) -> &[WantedKey] {
        &self.shared_keys
    }

    /// Gives it the keys that its runtime filters ask for.
    pub(crate) fn with_keys(&self, keys: KeysOfFilters) -> ScanExec {
        ScanExec { keys: Arc::new(keys), ..self.clone() }
    }
}

fn schema(def: &TableDef, output: &[Output]) -> Result<SchemaRef> {
    let fields = output
        .iter()
        .map(|output| match output {
            Output::Column(id) => match def.column(*id) {
                Some(column) => Ok(column.ty.field(&column.name, column.nullable)),
                None => internal_err!("table {} has no column {id}", def.name),
            },
            Output::Partition => Ok(Field::new(super::PARTITION_COLUMN, DataType::UInt32, false)),
            Output::Row => Ok(Field::new(ROW_COLUMN, DataType::UInt64, false)),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The shard hash of the shard key places the rows, if the whole key is in the output.
fn partitioning(def: &TableDef, output: &[Output], schema: &Schema, partitions: usize) -> Partitioning {
    let key: Option<Vec<Arc<dyn PhysicalExpr>>> = def
        .shard_key
        .iter()
        .map(|id| {
            let at = output.iter().position(|output| *output == Output::Column(*id))?;
            Some(Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>)
        })
        .collect();
    match key {
        Some(key) if !key.is_empty() => Partitioning::Hash(key, partitions),
        _ => Partitioning::UnknownPartitioning(partitions),
    }
}

/// What is known of a scan's output if `share` of the rows pass its predicates.
pub(crate) fn statistics(
    def: &TableDef,
    estimate: &TableEstimate,
    output: &[Output],
    share: f64,
) -> Statistics {
    let rows = ((estimate.rows as f64 * share).ceil() as usize).min(estimate.rows as usize);
    let column_statistics: Vec<ColumnStatistics> = output
        .iter()
        .map(|output| match output {
            Output::Column(id) => match (def.column(*id), estimate.columns.get(id)) {
                (Some(column), Some(known)) => known.to_statistics(column.ty, rows, estimate.rows),
                _ => ColumnStatistics::new_unknown(),
            },
            Output::Partition | Output::Row => ColumnStatistics::new_unknown(),
        })
        .collect();
    let width: usize = output
        .iter()
        .zip(&column_statistics)
        .map(|(output, column)| match (column.byte_size.get_value(), output) {
            (Some(bytes), _) if rows > 0 => bytes / rows,
            (_, Output::Column(id)) => {
                def.column(*id).and_then(|c| c.ty.arrow().primitive_width()).unwrap_or(24)
            }
            _ => 8,
        })
        .sum();
    Statistics {
        num_rows: Precision::Inexact(rows),
        total_byte_size: Precision::Inexact(rows * width),
        column_statistics,
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScanExec: {}, columns=[", self.def.name)?;
        for (i, field) in self.properties.eq_properties.schema().fields().iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { ", " }, field.name())?;
        }
        f.write_str("]")?;
        if !self.predicates.is_empty() {
            f.write_str(", where ")?;
            for (i, predicate) in self.predicates.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { " AND " })?;
                super::describe::describe(predicate, &self.def, f)?;
            }
        }
        if let Some(key) = columnstore::key_used(&self.def, &self.predicates) {
            write!(f, ", key={key}")?;
        }
        if !self.runtime_filters.is_empty() {
            f.write_str(", runtime filter on ")?;
            let mut names: Vec<String> = self
                .runtime_filters
                .iter()
                .flat_map(|filter| filter.children().into_iter().map(|child| child.to_string()))
                .map(|name| name.split('@').next().unwrap_or_default().to_string())
                .collect();
            names.dedup();
            f.write_str(&names.join(", "))?;
        }
        if let Some(limit) = self.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &'static str {
        "ScanExec"
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
        if children.is_empty() { Ok(self) } else { internal_err!("ScanExec has no children") }
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(&self.runtime_filters, f)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(ScanExec {
            runtime_filters: Vec::new(),
            aligned: Arc::default(),
            keys: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
            ..self.as_ref().clone()
        }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scan = self.open(partition, &context)?;
        let rows = stream::try_unfold(scan, |mut scan| async move {
            scan.turn().await;
            Ok::<_, DataFusionError>(scan.next()?.map(|batch| (batch, scan)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut share = self.estimate.selectivity(&self.def, &self.predicates);
        if args.partition().is_some() {
            share /= self.partitions.len().max(1) as f64;
        }
        let all = statistics(&self.def, &self.estimate, &self.output, share);
        let limit = match args.partition() {
            Some(_) => self.limit,
            None => self.limit.map(|limit| limit.saturating_mul(self.partitions.len())),
        };
        Ok(Arc::new(all.with_fetch(limit, 0, 1)?))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(self.clone().with_limit(limit)))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // A limit holds for the rows after all filters, so a scan that has one takes no more filters.
        if phase == FilterPushdownPhase::Pre || self.limit.is_some() || result.parent_filters.is_empty() {
            return Ok(FilterPushdownPropagation::all_unsupported(result));
        }
        let mut scan = self.clone();
        let taken = vec![PushedDown::Yes; result.parent_filters.len()];
        scan.runtime_filters.extend(result.parent_filters.into_iter().map(|parent| parent.filter));
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(taken).with_updated_node(Arc::new(scan)))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()))
    }
}

/// A scan of one partition on its way.
pub(crate) struct Scan {
    query: Arc<QueryState>,
    partition: PartitionId,
    def: Arc<TableDef>,
    output: Arc<[Output]>,
    schema: SchemaRef,
    /// The predicates without those of the runtime filters.
    base: Arc<[Predicate]>,
    spec: ScanSpec,
    filter: Option<RuntimeFilter>,
    remaining: usize,
    snapshot: Option<Arc<dyn TableSnapshot>>,
    morsels: VecDeque<Box<dyn TableMorsel>>,
    /// Which of the morsels the disk is to begin with when the next is taken.
    ahead: Range<usize>,
    ready: VecDeque<RecordBatch>,
    metrics: BaselineMetrics,
    scanned: Count,
}

impl Scan {
    /// To be awaited before each morsel: the keys of other stages' joins come before the first, and other tasks
    /// have their turn now and then. Reading itself does not wait.
    pub(crate) async fn turn(&mut self) {
        if self.snapshot.is_none()
            && let Some(filter) = &self.filter
        {
            filter.shared_known().await;
        }
        tokio::task::coop::consume_budget().await;
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            if self.remaining == 0 {
                return Ok(None);
            }
            self.query.cancel().check()?;
            let elapsed = self.metrics.elapsed_compute().clone();
            let _timer = elapsed.timer();
            self.refresh()?;
            let Some(morsel) = self.take_morsel() else { return Ok(None) };
            self.scan(morsel)?;
        }
    }

    /// Visits the rows of the next morsel as vectors; false if there is no morsel left. Of a scan of
    /// plain columns without a limit.
    pub(crate) fn next_vectors(
        &mut self,
        vectors: &mut Vectors,
        visit: &mut dyn FnMut(&Vectors) -> Result<()>,
    ) -> Result<bool> {
        self.query.cancel().check()?;
        let elapsed = self.metrics.elapsed_compute().clone();
        let _timer = elapsed.timer();
        self.refresh()?;
        let Some(morsel) = self.take_morsel() else { return Ok(false) };
        if self.filter.as_ref().is_some_and(|filter| !filter.is_predicates()) {
            // What the storage cannot evaluate is evaluated on batches.
            self.scan(morsel)?;
            let types = self.spec.types(&self.def).map_err(from_store_error)?;
            for batch in std::mem::take(&mut self.ready) {
                self.metrics.record_output(batch.num_rows());
                vectors.set_batch(&batch, &types).map_err(from_store_error)?;
                visit(vectors)?;
            }
            return Ok(true);
        }
        let Scan { query, spec, def, metrics, .. } = self;
        let mut failed = None;
        let scanned = morsel.scan_vectors(def, spec, vectors, &mut |vectors| {
            metrics.record_output(vectors.rows());
            if let Err(error) = visit(vectors) {
                failed = Some(error);
                return Ok(false);
            }
            Ok(!query.cancel().is_cancelled())
        });
        if let Some(error) = failed {
            return Err(error);
        }
        query.cancel().check()?;
        scanned.map_err(from_store_error)?;
        Ok(true)
    }

    /// Takes the snapshot the first time, and what the runtime filters say by now.
    fn refresh(&mut self) -> Result<()> {
        let changed = match &mut self.filter {
            Some(filter) => filter.refresh(&self.def, &self.output)?,
            None => false,
        };
        if changed && let Some(filter) = &self.filter {
            self.spec.predicates = self.base.iter().chain(filter.predicates()).cloned().collect();
        }
        if self.snapshot.is_none() {
            let snapshot =
                self.query.snapshots().snapshot(self.partition, self.def.id).map_err(from_sql_error)?;
            self.morsels = snapshot.clone().morsels(&self.spec.predicates).into();
            self.snapshot = Some(snapshot);
        }
        Ok(())
    }

    /// The next morsel, with the disk busy with those behind it. Under a limit they may not be needed.
    fn take_morsel(&mut self) -> Option<Box<dyn TableMorsel>> {
        crate::runtime::pause();
        for morsel in self.morsels.iter().take(self.ahead.end).skip(self.ahead.start) {
            morsel.read_ahead(&self.spec);
        }
        let morsel = self.morsels.pop_front()?;
        self.ahead.start = self.ahead.end.saturating_sub(1);
        self.scanned.add(1);
        Some(morsel)
    }

    fn scan(&mut self, morsel: Box<dyn TableMorsel>) -> Result<()> {
        let Scan { query, spec, filter, remaining, ready, partition, output, schema, .. } = self;
        let mut failed = None;
        let scanned = morsel.scan(spec, &mut |batch| {
            let filtered = arrange(batch, *partition, output, schema).and_then(|batch| match filter {
                Some(filter) => filter.apply(batch),
                None => Ok(batch),
            });
            let batch = match filtered {
                Ok(batch) => batch,
                Err(error) => {
                    failed = Some(error);
                    return Ok(false);
                }
            };
            let rows = batch.num_rows().min(*remaining);
            if rows > 0 {
                *remaining -= rows;
                ready.push_back(batch.slice(0, rows));
            }
            Ok(*remaining > 0 && !query.cancel().is_cancelled())
        });
        if let Some(error) = failed {
            return Err(error);
        }
        scanned.map_err(from_store_error)
    }
}

pub(crate) fn from_store_error(error: StoreError) -> DataFusionError {
    from_sql_error(SqlError::from(error))
}

/// Puts what the storage yields (the columns, then the row reference) in the order of the output.
fn arrange(
    batch: RecordBatch,
    partition: PartitionId,
    output: &[Output],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut stored = batch.columns().iter();
    let mut next = || match stored.next() {
        Some(column) => Ok(column.clone()),
        None => internal_err!("the storage yielded too few columns"),
    };
    let mut columns: Vec<Option<ArrayRef>> = vec![None; output.len()];
    for pass_rows in [false, true] {
        for (at, output) in columns.iter_mut().zip(output) {
            match output {
                Output::Column(_) if !pass_rows => *at = Some(next()?),
                Output::Row if pass_rows => *at = Some(next()?),
                Output::Partition if pass_rows => {
                    *at = Some(Arc::new(UInt32Array::from(vec![partition.0; rows])));
                }
                _ => {}
            }
        }
    }
    let columns = columns.into_iter().flatten().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
