//! The runs of keys in a segment, see [`crate::keys`]: codes and rows are hidden columns.

use super::Segment;
use super::block::BlockColumn;
use super::format::{Zone, key_run_columns};
use crate::StoreError;
use crate::encoding::BLOCK_ROWS;
use crate::encoding::ints::IntBlock;
use crate::keys::search::{KeyRange, KeyRun, Part, rows_in};
use std::cmp::Ordering;
use std::sync::Arc;
use types::{ColumnId, TableDef};

impl Segment {
    /// The rows in these ranges of a key, ascending, deleted ones and older versions included. None if
    /// there are more than `most`, or if the segment has no run of the key.
    pub(crate) fn rows_by_key(
        &self,
        def: &TableDef,
        key: &[ColumnId],
        ranges: &[KeyRange],
        most: usize,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let Some(at) = self.footer.key_runs.iter().position(|run| run == key) else { return Ok(None) };
        let (codes, rows) = key_run_columns(at);
        let (Some((codes, _)), Some((rows, _))) = (self.stored(codes), self.stored(rows)) else {
            return Err(self.broken());
        };
        let mut run = Run {
            segment: self,
            def,
            key,
            codes: Lane { at: codes, loaded: None },
            rows: Lane { at: rows, loaded: None },
            columns: vec![None; key.len()],
        };
        rows_in(&mut run, ranges, most)
    }

    pub(crate) fn has_run(&self, key: &[ColumnId]) -> bool {
        self.footer.key_runs.iter().any(|run| run == key)
    }

    fn broken(&self) -> StoreError {
        StoreError::corrupt(&self.path, 0, "the run of a key is missing")
    }
}

/// A hidden column, of which the last block looked at is kept.
struct Lane {
    at: usize,
    loaded: Option<(u32, Arc<IntBlock>)>,
}

impl Lane {
    fn get(&mut self, segment: &Segment, at: usize) -> Result<i64, StoreError> {
        let block = (at / BLOCK_ROWS) as u32;
        let ints = match &self.loaded {
            Some((loaded, ints)) if *loaded == block => ints,
            _ => match segment.block_column(self.at, block)? {
                BlockColumn::Ints(ints) => &self.loaded.insert((block, ints)).1,
                _ => return Err(segment.broken()),
            },
        };
        Ok(ints.get(at % BLOCK_ROWS))
    }
}

struct Run<'a> {
    segment: &'a Segment,
    def: &'a TableDef,
    key: &'a [ColumnId],
    codes: Lane,
    rows: Lane,
    /// Of each column of the key the last block looked at.
    columns: Vec<Option<(u32, BlockColumn)>>,
}

impl KeyRun for Run<'_> {
    fn len(&self) -> usize {
        self.segment.meta.rows as usize
    }

    fn codes_around(&self, at: usize) -> Option<(i64, i64)> {
        match self.segment.footer.columns[self.codes.at].blocks.get(at / BLOCK_ROWS)?.zone {
            Zone::Numbers(low, high) => i64::try_from(low).ok().zip(i64::try_from(high).ok()),
            _ => None,
        }
    }

    fn code(&mut self, at: usize) -> Result<i64, StoreError> {
        self.codes.get(self.segment, at)
    }

    fn row(&mut self, at: usize) -> Result<u32, StoreError> {
        let row = self.rows.get(self.segment, at)?;
        // A number out of range comes from no writer.
        u32::try_from(row)
            .ok()
            .filter(|row| *row < self.segment.meta.rows)
            .ok_or_else(|| self.segment.broken())
    }

    fn compare(&mut self, row: u32, column: usize, part: &Part) -> Result<Ordering, StoreError> {
        let (block, within) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
        let kept = &mut self.columns[column];
        let values = match kept {
            Some((loaded, values)) if *loaded == block => values,
            _ => &mut kept.insert((block, self.segment.column(self.def, self.key[column], block)?)).1,
        };
        Ok(part.compare(values, within))
    }
}
