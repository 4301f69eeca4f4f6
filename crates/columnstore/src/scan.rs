//! What a scan reads and what it yields.

use crate::StoreError;
use crate::predicate::Predicate;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use types::{ColumnId, SqlType, TableDef};

/// The name of the column of row references that [`ScanSpec::row_refs`] adds.
pub const ROW_COLUMN: &str = "__row";

/// The greatest number of rows in a batch that a scan yields.
pub const BATCH_ROWS: usize = 8_192;

#[derive(Debug, Clone, Default)]
pub struct ScanSpec {
    /// The columns of the output, in order.
    pub columns: Vec<ColumnId>,
    /// All must be TRUE.
    pub predicates: Vec<Predicate>,
    /// Adds a UInt64 column [`ROW_COLUMN`] last: `source << 32 | row`.
    pub row_refs: bool,
}

impl ScanSpec {
    /// The schema of the batches that a scan with this spec yields.
    pub fn schema(&self, def: &TableDef) -> Result<SchemaRef, StoreError> {
        output_schema(def, &self.columns, self.row_refs)
    }

    /// The types of the columns.
    pub fn types(&self, def: &TableDef) -> Result<Vec<SqlType>, StoreError> {
        let of = |&id| def.column(id).map(|column| column.ty).ok_or_else(|| unknown_column(def, id));
        self.columns.iter().map(of).collect()
    }
}

/// The schema of `columns` of `def`, then [`ROW_COLUMN`] if `row_refs`.
pub(crate) fn output_schema(
    def: &TableDef,
    columns: &[ColumnId],
    row_refs: bool,
) -> Result<SchemaRef, StoreError> {
    let mut fields = Vec::with_capacity(columns.len() + usize::from(row_refs));
    for &id in columns {
        let column = def.column(id).ok_or_else(|| unknown_column(def, id))?;
        fields.push(column.ty.field(&column.name, column.nullable));
    }
    if row_refs {
        fields.push(Field::new(ROW_COLUMN, DataType::UInt64, false));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A column that the caller's version of the definition has and this one has not: it was dropped.
pub(crate) fn unknown_column(def: &TableDef, id: ColumnId) -> StoreError {
    tracing::debug!(table = %def.name, version = def.version, %id, "a column is asked for that is not there");
    StoreError::TableDefinitionChanged
}

/// The reference of a row: which segment, frozen run or tail it stands in, and where.
pub const fn row_ref(source: u32, row: u32) -> u64 {
    (source as u64) << 32 | row as u64
}
