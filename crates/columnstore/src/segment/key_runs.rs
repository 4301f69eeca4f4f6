//! The runs of keys in a segment, see [`crate::keys`]: codes and rows are hidden columns.

use super::Segment;
use super::block::BlockColumn;
use super::format::{KeySearch, Zone, key_run_columns};
use crate::StoreError;
use crate::encoding::BLOCK_ROWS;
use crate::encoding::ints::IntBlock;
use crate::keys::search::{KeyRange, KeyRun, Part, rows_in};
use crate::keys::{NULL_CODE, number_code, string_code};
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
            codes: Lane { at: codes, loaded: None },
            rows: Lane { at: rows, loaded: None },
            columns: Columns::new(self, def, key),
        };
        rows_in(&mut run, ranges, most)
    }

    /// The rows in these ranges of the primary key, if the segment is sorted by it, as [`Segment::rows_by_key`]
    /// gives them.
    pub(crate) fn rows_by_order(
        &self,
        def: &TableDef,
        ranges: &[KeyRange],
        most: usize,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        let key = &def.primary_key;
        let is_sorted = self.footer.key_search == KeySearch::Sorted && def.segment_order().starts_with(key);
        let Some(first) = key.first().filter(|_| is_sorted) else { return Ok(None) };
        let Some((first, _)) = self.stored(*first) else { return Ok(None) };
        let mut run = Ordered { segment: self, first, columns: Columns::new(self, def, key) };
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

/// The columns of a key, of each of which the last block looked at is kept.
struct Columns<'a> {
    segment: &'a Segment,
    def: &'a TableDef,
    key: &'a [ColumnId],
    loaded: Vec<Option<(u32, BlockColumn)>>,
}

impl<'a> Columns<'a> {
    fn new(segment: &'a Segment, def: &'a TableDef, key: &'a [ColumnId]) -> Columns<'a> {
        Columns { segment, def, key, loaded: vec![None; key.len()] }
    }

    /// The block that a row's value in the n-th column of the key is in, and where there.
    fn at(&mut self, row: u32, column: usize) -> Result<(&BlockColumn, usize), StoreError> {
        let (block, within) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
        if !matches!(&self.loaded[column], Some((loaded, _)) if *loaded == block) {
            let values = self.segment.column(self.def, self.key[column], block)?;
            self.loaded[column] = Some((block, values));
        }
        // Invariant: it was just loaded.
        Ok((self.loaded[column].as_ref().map_or(&BlockColumn::Null, |(_, values)| values), within))
    }

    fn compare(&mut self, row: u32, column: usize, part: &Part) -> Result<Ordering, StoreError> {
        let (values, within) = self.at(row, column)?;
        Ok(part.compare(values, within))
    }
}

struct Run<'a> {
    segment: &'a Segment,
    codes: Lane,
    rows: Lane,
    columns: Columns<'a>,
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
        self.columns.compare(row, column, part)
    }
}

/// The rows themselves, where they are sorted by the key.
struct Ordered<'a> {
    segment: &'a Segment,
    /// The place of the key's first column in the footer.
    first: usize,
    columns: Columns<'a>,
}

impl KeyRun for Ordered<'_> {
    fn len(&self) -> usize {
        self.segment.meta.rows as usize
    }

    fn codes_around(&self, at: usize) -> Option<(i64, i64)> {
        match self.segment.footer.columns[self.first].blocks.get(at / BLOCK_ROWS)?.zone {
            Zone::Numbers(low, high) => Some((number_code(low), number_code(high))),
            _ => None,
        }
    }

    fn code(&mut self, at: usize) -> Result<i64, StoreError> {
        let (values, within) = self.columns.at(at as u32, 0)?;
        Ok(match values {
            _ if !values.is_valid(within) => NULL_CODE,
            BlockColumn::Strings(_) | BlockColumn::Codes(..) | BlockColumn::Fsst(..) => {
                string_code(values.string(within, &mut Vec::new()))
            }
            _ => number_code(values.number(within)),
        })
    }

    fn row(&mut self, at: usize) -> Result<u32, StoreError> {
        Ok(at as u32)
    }

    fn compare(&mut self, row: u32, column: usize, part: &Part) -> Result<Ordering, StoreError> {
        self.columns.compare(row, column, part)
    }
}
