//! Scans of blocks, reads of single rows.

use super::Segment;
use super::block::{BlockColumn, Chunk, gather};
use super::filter::{Node, Source};
use super::format::{self, HIDDEN_BEGIN, Zone};
use crate::encoding::bits;
use crate::encoding::{BLOCK_ROWS, VECTOR};
use crate::filter::condition::{Condition, Known};
use crate::scan::{BATCH_ROWS, output_schema, row_ref, unknown_column};
use crate::vectors::{VECTORS_ROWS, Vectors};
use crate::{Predicate, ScanSpec, StoreError};
use arrow::array::{ArrayRef, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use types::value::unflip_u64;
use types::{ColumnId, SqlType, TableDef, Timestamp};

/// The columns of one block that a scan's conditions look at.
struct BlockSource<'a> {
    segment: &'a Segment,
    def: &'a TableDef,
    block: u32,
    rows: usize,
    /// Of the columns of the conditions.
    zones: Vec<(ColumnId, usize, Zone)>,
}

impl Source for BlockSource<'_> {
    fn known(&self, column: ColumnId) -> Option<Known<'_>> {
        let (_, nulls, zone) = self.zones.iter().find(|(id, ..)| *id == column)?;
        Some(Known { rows: self.rows, nulls: *nulls, zone })
    }

    fn load(&self, column: ColumnId) -> Result<BlockColumn, StoreError> {
        self.segment.column(self.def, column, self.block)
    }

    fn ty(&self, column: ColumnId) -> Result<SqlType, StoreError> {
        type_of(self.def, column)
    }
}

fn type_of(def: &TableDef, column: ColumnId) -> Result<SqlType, StoreError> {
    def.column(column).map(|c| c.ty).ok_or_else(|| unknown_column(def, column))
}

impl Segment {
    /// Whether any row of a block may pass, by its zone maps. True for what cannot be told from
    /// them, unfit predicates included.
    pub fn may_match(&self, block: u32, predicates: &[Predicate]) -> bool {
        let rows = self.block_rows(block) as usize;
        if rows == 0 {
            return false;
        }
        // A column that the segment lacks has its default, which only the table's definition tells;
        // its conditions are decided by the scan.
        let mut known_columns = true;
        for predicate in predicates {
            predicate.columns(&mut |id| known_columns &= self.stored(id).is_some());
        }
        let stored: Vec<Predicate>;
        let predicates = if known_columns {
            predicates
        } else {
            let of_stored = |predicate: &&Predicate| {
                let mut all = true;
                predicate.columns(&mut |id| all &= self.stored(id).is_some());
                all
            };
            stored = predicates.iter().filter(of_stored).cloned().collect();
            &stored
        };
        let type_of = |id| {
            self.stored(id)
                .and_then(|(_, column)| column.ty)
                .ok_or_else(|| StoreError::internal("no such column"))
        };
        let Ok(condition) = Condition::of(predicates, &type_of) else { return true };
        let known = |id| {
            let (_, column) = self.stored(id)?;
            let entry = column.blocks.get(block as usize)?;
            Some(Known { rows, nulls: entry.nulls as usize, zone: &entry.zone })
        };
        condition.decide(&known) != Some(false)
    }

    /// Visits the rows of a block that pass the predicates and `visible` (None: all are; else a bit
    /// for each row of the block), in the order of the segment, in batches of at most 8,192 rows. Columns that
    /// the segment lacks, since they were added later, have the default of `def`. Ends with
    /// `Ok(false)` as soon as `emit` returns it.
    pub fn scan_block(
        &self,
        block: u32,
        def: &TableDef,
        spec: &ScanSpec,
        visible: Option<&BooleanBuffer>,
        emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let mut output = Output { segment: self, def, spec, block, loaded: None };
        self.select(block, def, spec, visible, BATCH_ROWS, &mut |chunk| emit(output.batch(chunk)?))
    }

    /// As [`Segment::scan_block`], with the rows as [`Vectors`], which are good until `emit` returns.
    pub fn scan_block_vectors(
        &self,
        block: u32,
        def: &TableDef,
        spec: &ScanSpec,
        visible: Option<&BooleanBuffer>,
        vectors: &mut Vectors,
        emit: &mut dyn FnMut(&Vectors) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let mut loaded: Option<Vec<VectorSource>> = None;
        self.select(block, def, spec, visible, VECTORS_ROWS, &mut |chunk| {
            let sources = match &mut loaded {
                Some(sources) => sources,
                none => none.insert(self.vector_sources(block, def, spec)?),
            };
            vectors.reset(chunk.rows(), sources.len());
            for (source, to) in sources.iter().zip(vectors.columns_mut()) {
                chunk.vector(&source.column, source.ty, source.range, to)?;
            }
            emit(vectors)
        })
    }

    fn vector_sources(
        &self,
        block: u32,
        def: &TableDef,
        spec: &ScanSpec,
    ) -> Result<Vec<VectorSource>, StoreError> {
        spec.columns
            .iter()
            .map(|&id| {
                let range = match self.known(def, id, block)?.1 {
                    Zone::Numbers(low, high) => i64::try_from(low).ok().zip(i64::try_from(high).ok()),
                    _ => None,
                };
                Ok(VectorSource { column: self.column(def, id, block)?, ty: type_of(def, id)?, range })
            })
            .collect()
    }

    /// Calls `emit` with the rows of a block that pass, at most `limit` (at least 1,024) at a time.
    fn select(
        &self,
        block: u32,
        def: &TableDef,
        spec: &ScanSpec,
        visible: Option<&BooleanBuffer>,
        limit: usize,
        emit: &mut dyn FnMut(&Chunk) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let rows = self.block_rows(block) as usize;
        if rows == 0 {
            return Ok(true);
        }
        if visible.is_some_and(|visible| visible.len() < rows) {
            return Err(StoreError::internal("fewer visibility bits than rows of the block"));
        }
        let condition = Condition::of(&spec.predicates, &|id| type_of(def, id))?;
        let mut columns = Vec::new();
        spec.predicates.iter().for_each(|predicate| predicate.columns(&mut |id| columns.push(id)));
        columns.sort_unstable();
        columns.dedup();
        let mut zones = Vec::with_capacity(columns.len());
        for id in columns {
            let (nulls, zone) = self.known(def, id, block)?;
            zones.push((id, nulls, zone));
        }
        let source = BlockSource { segment: self, def, block, rows, zones };
        let mut node = Node::new(condition, &source);
        if matches!(node, Node::Fail) {
            return Ok(true);
        }
        let mut chunk = Chunk::default();
        for vector in 0..rows.div_ceil(VECTOR) {
            let start = vector * VECTOR;
            let vector_rows = (rows - start).min(VECTOR);
            let mut selected = match visible {
                Some(visible) => bits::load(visible, start, vector_rows),
                None => bits::first(vector_rows),
            };
            node.apply(vector, &mut selected, &source)?;
            let count = bits::count(&selected);
            if count == 0 {
                continue;
            }
            if chunk.rows() + count > limit {
                if !emit(&chunk)? {
                    return Ok(false);
                }
                chunk.clear();
            }
            chunk.push(vector, vector_rows, &selected, count);
        }
        if chunk.rows() == 0 { Ok(true) } else { emit(&chunk) }
    }

    /// The commit timestamps of a block's rows, into `out`, which is cleared first. Needed only by a
    /// reader whose timestamp is below `max_ts` of the segment.
    pub fn begin_timestamps(&self, block: u32, out: &mut Vec<Timestamp>) -> Result<(), StoreError> {
        out.clear();
        let rows = self.block_rows(block) as usize;
        let Some((at, _)) = self.stored(HIDDEN_BEGIN) else {
            out.resize(rows, self.meta.max_ts);
            return Ok(());
        };
        if rows == 0 {
            return Ok(());
        }
        let BlockColumn::Ints(stamps) = self.block_column(at, block)? else {
            return Err(StoreError::corrupt(&self.path, 0, "commit timestamps are missing"));
        };
        let mut values: Vec<i64> = Vec::with_capacity(rows.next_multiple_of(VECTOR));
        for vector in 0..rows.div_ceil(VECTOR) {
            stamps.extend(vector, 0, (rows - vector * VECTOR).min(VECTOR), 0, &mut values);
        }
        out.extend(values.iter().map(|value| Timestamp(unflip_u64(*value))));
        Ok(())
    }

    /// The commit timestamps of few rows, all in one block.
    pub(crate) fn begin_timestamps_of(&self, rows: &[u32]) -> Result<Vec<Timestamp>, StoreError> {
        let (Some((at, _)), Some(first)) = (self.stored(HIDDEN_BEGIN), rows.first()) else {
            return Ok(vec![self.meta.max_ts; rows.len()]);
        };
        let BlockColumn::Ints(stamps) = self.block_column(at, first / BLOCK_ROWS as u32)? else {
            return Err(StoreError::corrupt(&self.path, 0, "commit timestamps are missing"));
        };
        let stamp = |row: &u32| Timestamp(unflip_u64(stamps.get(*row as usize % BLOCK_ROWS)));
        Ok(rows.iter().map(stamp).collect())
    }

    /// The given rows of the segment, in the order given; repeats are allowed.
    pub fn gather(
        &self,
        def: &TableDef,
        rows: &[u32],
        columns: &[ColumnId],
    ) -> Result<RecordBatch, StoreError> {
        if let Some(row) = rows.iter().find(|row| **row >= self.meta.rows) {
            return Err(StoreError::internal(format_args!(
                "row {row} of segment {}, which has {}",
                self.meta.id, self.meta.rows
            )));
        }
        let schema = self.schema(def, columns, false)?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
        if let &[row] = rows {
            // What a statement on one key reads.
            let (block, row) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
            for &id in columns {
                let column = self.column(def, id, block)?;
                arrays.push(gather(type_of(def, id)?, 1, std::iter::once((&column, row)))?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            return Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?);
        }
        let block_of = |row: &u32| row / BLOCK_ROWS as u32;
        if let (Some(first), Some(last)) = (rows.first(), rows.last())
            && block_of(first) == block_of(last)
            && rows.is_sorted_by(|a, b| a < b)
        {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let arrays = self.gather_ascending(def, rows, columns)?;
            return Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?);
        }
        let mut blocks: Vec<Option<BlockColumn>> = Vec::new();
        for &id in columns {
            blocks.clear();
            blocks.resize(self.blocks() as usize, None);
            for &row in rows {
                let block = row as usize / BLOCK_ROWS;
                if blocks[block].is_none() {
                    blocks[block] = Some(self.column(def, id, block as u32)?);
                }
            }
            let at = rows.iter().map(|&row| {
                let column = blocks[row as usize / BLOCK_ROWS].as_ref().unwrap_or(&BlockColumn::Null);
                (column, row as usize % BLOCK_ROWS)
            });
            arrays.push(gather(type_of(def, id)?, rows.len(), at)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    }

    /// The schema of an output, kept from an earlier one where it is the same.
    fn schema(&self, def: &TableDef, columns: &[ColumnId], row_refs: bool) -> Result<SchemaRef, StoreError> {
        /// Statements on few rows alternate between so many outputs.
        const KEPT: usize = 8;
        let mut kept = self.schemas.lock();
        let is_it = |kept: &KeptSchema| {
            kept.version == def.version && kept.row_refs == row_refs && kept.columns == columns
        };
        if let Some(kept) = kept.iter().find(|kept| is_it(kept)) {
            return Ok(kept.schema.clone());
        }
        let schema = output_schema(def, columns, row_refs)?;
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let columns = columns.to_vec();
        kept.push(KeptSchema { version: def.version, columns, row_refs, schema: schema.clone() });
        Ok(schema)
    }

    /// The rows of one block, which are ascending and each there once, taken a vector at a time: unpacking
    /// the lengths or codes of one costs as much for a row as for all.
    fn gather_ascending(
        &self,
        def: &TableDef,
        rows: &[u32],
        columns: &[ColumnId],
    ) -> Result<Vec<ArrayRef>, StoreError> {
        // Invariant: the caller has seen that there are some.
        let block = rows[0] / BLOCK_ROWS as u32;
        let block_rows = self.block_rows(block) as usize;
        let within = |row: u32| row as usize % BLOCK_ROWS;
        let mut chunk = Chunk::default();
        for group in rows.chunk_by(|a, b| within(*a) / VECTOR == within(*b) / VECTOR) {
            let vector = within(group[0]) / VECTOR;
            let mut selected = bits::NONE;
            for row in group {
                let at = within(*row) % VECTOR;
                selected[at / 64] |= 1 << (at % 64);
            }
            chunk.push(vector, (block_rows - vector * VECTOR).min(VECTOR), &selected, group.len());
        }
        columns.iter().map(|&id| chunk.own_array(&self.column(def, id, block)?, type_of(def, id)?)).collect()
    }

    /// Rows of a block.
    pub fn block_rows(&self, block: u32) -> u32 {
        format::block_rows(self.meta.rows, block) as u32
    }
}

/// The schema of an output.
pub(super) struct KeptSchema {
    version: u64,
    columns: Vec<ColumnId>,
    row_refs: bool,
    schema: SchemaRef,
}

/// A column of a block on its way into vectors.
struct VectorSource {
    column: BlockColumn,
    ty: SqlType,
    /// Lowest and greatest number of the block.
    range: Option<(i64, i64)>,
}

/// Makes batches; loads the columns with the first.
struct Output<'a> {
    segment: &'a Segment,
    def: &'a TableDef,
    spec: &'a ScanSpec,
    block: u32,
    loaded: Option<(SchemaRef, Vec<(BlockColumn, SqlType)>)>,
}

impl Output<'_> {
    fn batch(&mut self, chunk: &Chunk) -> Result<RecordBatch, StoreError> {
        if self.loaded.is_none() {
            let schema = self.segment.schema(self.def, &self.spec.columns, self.spec.row_refs)?;
            let mut columns = Vec::with_capacity(self.spec.columns.len());
            for &id in &self.spec.columns {
                columns.push((self.segment.column(self.def, id, self.block)?, type_of(self.def, id)?));
            }
            self.loaded = Some((schema, columns));
        }
        // Invariant: set above.
        let Some((schema, columns)) = &self.loaded else { return Err(StoreError::internal("no columns")) };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
        for (column, ty) in columns {
            arrays.push(chunk.array(column, *ty)?);
        }
        if self.spec.row_refs {
            let first = row_ref(self.segment.meta.id, self.block * BLOCK_ROWS as u32);
            let mut refs = Vec::with_capacity(chunk.rows());
            chunk.row_numbers(|row| refs.push(first + row as u64));
            arrays.push(Arc::new(UInt64Array::from(refs)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?)
    }
}
