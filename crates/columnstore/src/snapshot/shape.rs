//! What reads of few rows need of a table's definition. It depends on the columns alone that are read and
//! shown, and working it out takes longer than such a read, so each thread keeps what it used last.

use crate::StoreError;
use crate::scan::{ScanSpec, output_schema};
use arrow::datatypes::SchemaRef;
use std::cell::RefCell;
use std::sync::Arc;
use types::{ColumnId, TableDef};

/// Shapes that a thread keeps.
const MOST: usize = 32;

pub(super) struct Shape {
    of: Arc<TableDef>,
    columns: Vec<ColumnId>,
    row_refs: bool,
    /// The columns that are read, in the order of the definition.
    reads: Vec<ColumnId>,
    /// The definition with only these.
    pub(super) def: TableDef,
    /// Their schema.
    pub(super) read: SchemaRef,
    /// The schema of the answer.
    pub(super) shown: SchemaRef,
}

thread_local! {
    /// The one that was used last comes last.
    static KNOWN: RefCell<Vec<Arc<Shape>>> = const { RefCell::new(Vec::new()) };
}

impl Shape {
    pub(super) fn of(def: &Arc<TableDef>, spec: &ScanSpec) -> Result<Arc<Shape>, StoreError> {
        let mut reads: Vec<ColumnId> = spec.columns.clone();
        spec.predicates.iter().for_each(|predicate| predicate.columns(&mut |id| reads.push(id)));
        reads.sort_unstable();
        reads.dedup();
        KNOWN.with_borrow_mut(|known| {
            let is_it = |shape: &Arc<Shape>| {
                Arc::ptr_eq(&shape.of, def)
                    && shape.row_refs == spec.row_refs
                    && shape.columns == spec.columns
                    && shape.reads == reads
            };
            if let Some(at) = known.iter().rposition(is_it) {
                let last = known.len() - 1;
                known.swap(at, last);
                return Ok(known[last].clone());
            }
            let shape = Arc::new(Shape::make(def, spec, reads)?);
            if known.len() >= MOST {
                known.remove(0);
            }
            known.push(shape.clone());
            Ok(shape)
        })
    }

    fn make(def: &Arc<TableDef>, spec: &ScanSpec, reads: Vec<ColumnId>) -> Result<Shape, StoreError> {
        let mut narrow = TableDef::clone(def);
        narrow.columns.retain(|column| reads.contains(&column.id));
        let ids: Vec<ColumnId> = narrow.columns.iter().map(|column| column.id).collect();
        Ok(Shape {
            of: def.clone(),
            columns: spec.columns.clone(),
            row_refs: spec.row_refs,
            read: output_schema(&narrow, &ids, false)?,
            shown: output_schema(&narrow, &spec.columns, spec.row_refs)?,
            reads,
            def: narrow,
        })
    }
}
