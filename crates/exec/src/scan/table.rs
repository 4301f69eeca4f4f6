//! A table spread over the partitions of its database, as DataFusion sees it.

use super::estimate::TableEstimate;
use super::filter::translate;
use super::node::{Output, ScanExec};
use super::open::{OpenValues, closed};
use crate::query::Cancel;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use columnstore::Predicate;
use datafusion::catalog::Session;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;
use types::{PartitionId, TableDef};

/// The hidden column that names the partition of a row, by its place in the database's list.
pub const PARTITION_COLUMN: &str = "__partition";

/// See the module.
#[derive(Debug)]
pub struct ShardedTable {
    def: Arc<TableDef>,
    partitions: Arc<[PartitionId]>,
    estimate: Arc<TableEstimate>,
    row_refs: bool,
    schema: SchemaRef,
    open: OpenValues,
}

impl ShardedTable {
    /// `partitions`: those of the table's database in which its rows may lie, in the order of their ranges of
    /// the hash space.
    pub fn new(
        def: Arc<TableDef>,
        partitions: impl Into<Arc<[PartitionId]>>,
        estimate: impl Into<Arc<TableEstimate>>,
    ) -> ShardedTable {
        let schema = schema(&def, false);
        ShardedTable {
            def,
            partitions: partitions.into(),
            estimate: estimate.into(),
            row_refs: false,
            schema,
            open: OpenValues::default(),
        }
    }

    /// With or without two hidden columns after the real ones: [`PARTITION_COLUMN`], the PartitionId,
    /// and `__row`, the reference of the row in it.
    pub fn with_row_refs(self, row_refs: bool) -> ShardedTable {
        ShardedTable { schema: schema(&self.def, row_refs), row_refs, ..self }
    }

    /// With the values that conditions of the plan leave open.
    pub fn with_open_values(self, open: OpenValues) -> ShardedTable {
        ShardedTable { open, ..self }
    }

    pub fn def(&self) -> &Arc<TableDef> {
        &self.def
    }

    pub fn partitions(&self) -> &Arc<[PartitionId]> {
        &self.partitions
    }

    pub fn estimate(&self) -> &Arc<TableEstimate> {
        &self.estimate
    }

    pub fn has_row_refs(&self) -> bool {
        self.row_refs
    }

    /// The filter as predicates, for the values at hand where it leaves some open; `None`: it has no translation.
    pub fn translate(&self, filter: &Expr) -> Option<Vec<Predicate>> {
        translate(closed(filter, self.open.get()).ok()?.as_ref(), &self.def)
    }

    /// The filters as predicates; those without a translation are left out.
    pub fn predicates<'a>(&self, filters: impl IntoIterator<Item = &'a Expr>) -> Vec<Predicate> {
        filters.into_iter().filter_map(|filter| self.translate(filter)).flatten().collect()
    }
}

fn schema(def: &TableDef, row_refs: bool) -> SchemaRef {
    let mut fields: Vec<Field> =
        def.columns.iter().map(|column| column.ty.field(&column.name, column.nullable)).collect();
    if row_refs {
        fields.push(Field::new(PARTITION_COLUMN, DataType::UInt32, false));
        fields.push(Field::new(columnstore::ROW_COLUMN, DataType::UInt64, false));
    }
    Arc::new(Schema::new(fields))
}

#[async_trait]
impl TableProvider for ShardedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The statement that is planned.
        if let Some(cancel) = session.config().get_extension::<Cancel>() {
            cancel.check()?;
        }
        let width = self.def.columns.len();
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let output = projection
            .unwrap_or(&all)
            .iter()
            .map(|&i| match self.def.columns.get(i) {
                Some(column) => Ok(Output::Column(column.id)),
                None if self.row_refs && i == width => Ok(Output::Partition),
                None if self.row_refs && i == width + 1 => Ok(Output::Row),
                None => internal_err!("table {} has no column {i}", self.def.name),
            })
            .collect::<Result<Vec<_>>>()?;
        let predicates = self.predicates(filters);
        let all_translated = filters.iter().all(|filter| self.translate(filter).is_some());
        let scan = ScanExec::new(
            self.def.clone(),
            self.partitions.clone(),
            self.estimate.clone(),
            output,
            predicates,
        )?
        .with_open(filters);
        // A limit holds for the rows after all filters.
        Ok(Arc::new(if all_translated { scan.with_limit(limit) } else { scan }))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.translate(filter) {
                Some(_) => TableProviderFilterPushDown::Exact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let outputs: Vec<Output> = self.def.columns.iter().map(|c| Output::Column(c.id)).collect();
        let mut statistics = super::node::statistics(&self.def, &self.estimate, &outputs, 1.0);
        if self.row_refs {
            statistics.column_statistics.extend([Default::default(), Default::default()]);
        }
        Some(statistics)
    }
}
