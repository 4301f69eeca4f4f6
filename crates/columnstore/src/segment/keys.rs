//! Finding rows by primary key.
//!
//! Where rows are sorted by the key, by binary search on its columns: nothing is stored for it.
//! Else by the hidden columns (32 bits of the key's hash, row), which are sorted: binary search for
//! the hash, then the key itself is compared.

use super::Segment;
use super::block::BlockColumn;
use super::format::{HIDDEN_HASH, HIDDEN_ROW, KeySearch, Zone};
use crate::StoreError;
use crate::encoding::BLOCK_ROWS;
use crate::filter::values::{number_of, value_of};
use crate::keys::search::Part;
use crate::scan::unknown_column;
use std::ops::Range;
use types::value::PhysicalValue;
use types::{ColumnId, TableDef, Value, shard};

impl Part {
    /// How a block's rows may compare: (is the least one not above, is the greatest one not below).
    fn within(&self, zone: &Zone) -> (bool, bool) {
        match (self, zone) {
            (Part::Number(number), Zone::Numbers(low, high)) => (low <= number, high >= number),
            (Part::String(string), Zone::Strings(low, high)) => {
                (**low <= **string, high.as_deref().is_none_or(|high| high >= string.as_slice()))
            }
            _ => (true, true),
        }
    }

    /// Of `rows`, in which the values of a column ascend, those whose value equals this one.
    fn equal_rows(&self, column: &BlockColumn, rows: Range<usize>) -> Range<usize> {
        let first = match (self, column) {
            (Part::Number(number), BlockColumn::Ints(ints))
                if rows == (0..ints.rows()) && ints.validity().is_none() =>
            {
                match i64::try_from(*number) {
                    Ok(number) => ints.lower_bound(number),
                    // Beyond all that this block can hold: above or below its rows.
                    Err(_) if *number > 0 => rows.end,
                    Err(_) => rows.start,
                }
            }
            _ => lower_bound(rows.clone(), |row| self.compare(column, row).is_lt()),
        };
        let is_equal = |row: usize| row < rows.end && self.compare(column, row).is_eq();
        // Mostly there is one.
        let end = match is_equal(first) {
            true if is_equal(first + 1) => {
                lower_bound(first + 2..rows.end, |row| self.compare(column, row).is_le())
            }
            true => first + 1,
            false => first,
        };
        first..end
    }
}

impl Segment {
    /// The rows whose primary key is `key`, given in the key's column order: ascending, deleted ones
    /// and older versions included. None for a key with a NULL.
    pub fn find_key(&self, def: &TableDef, key: &[Value]) -> Result<Vec<u32>, StoreError> {
        if key.len() != def.primary_key.len() || key.is_empty() {
            return Err(StoreError::internal(format_args!(
                "a key of {} values for table {}, whose primary key has {} columns",
                key.len(),
                def.name,
                def.primary_key.len()
            )));
        }
        let mut parts = Vec::with_capacity(key.len());
        let mut canonical = Vec::with_capacity(key.len());
        for (&id, value) in def.primary_key.iter().zip(key) {
            if value.is_null() {
                return Ok(Vec::new());
            }
            let ty = def.column(id).ok_or_else(|| unknown_column(def, id))?.ty;
            let physical = value.to_physical(ty).ok_or_else(|| {
                StoreError::internal(format_args!("the key value {value:?} is not of type {ty}"))
            })?;
            match number_of(&physical) {
                Some(number) => {
                    canonical.push(value_of(ty, number).unwrap_or_else(|| value.clone()));
                    parts.push((id, Part::Number(number)));
                }
                None => match physical {
                    PhysicalValue::Bytes(bytes) => {
                        canonical.push(value.clone());
                        parts.push((id, Part::String(bytes)));
                    }
                    // NaN equals nothing.
                    _ => return Ok(Vec::new()),
                },
            }
        }
        match self.footer.key_search {
            KeySearch::Sorted => self.find_sorted(def, parts),
            KeySearch::Hashed => self.find_hashed(def, &parts, shard::hash_values(&canonical) as u32),
            KeySearch::None if self.meta.rows == 0 => Ok(Vec::new()),
            KeySearch::None => Err(StoreError::internal(format_args!(
                "segment {} of table {} was written without a primary key",
                self.meta.id, def.name
            ))),
        }
    }

    fn find_sorted(&self, def: &TableDef, mut parts: Vec<(ColumnId, Part)>) -> Result<Vec<u32>, StoreError> {
        // Compared in the order that rows are sorted by.
        let order = def.segment_order();
        parts.sort_by_key(|(id, _)| order.iter().position(|column| column == id));
        let mut found = Vec::new();
        for block in 0..self.blocks() {
            let (_, zone) = self.known(def, parts[0].0, block)?;
            match parts[0].1.within(&zone) {
                (true, true) => {}
                (true, false) => continue,
                // Later blocks lie above.
                (false, _) => break,
            }
            let rows = self.block_rows(block) as usize;
            let mut equal = 0..rows;
            let mut is_last = false;
            for (id, part) in &parts {
                equal = part.equal_rows(&self.column(def, *id, block)?, equal);
                is_last |= equal.end < rows;
                if equal.is_empty() {
                    break;
                }
            }
            let first = block * BLOCK_ROWS as u32;
            found.extend(equal.map(|row| first + row as u32));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    fn find_hashed(
        &self,
        def: &TableDef,
        parts: &[(ColumnId, Part)],
        hash: u32,
    ) -> Result<Vec<u32>, StoreError> {
        let missing = || StoreError::corrupt(&self.path, 0, "the index of key hashes is missing");
        let (hashes, entry) = self.stored(HIDDEN_HASH).ok_or_else(missing)?;
        let (numbers, _) = self.stored(HIDDEN_ROW).ok_or_else(missing)?;
        let hash = i64::from(hash);
        let mut candidates = Vec::new();
        for block in 0..self.blocks() {
            if let Zone::Numbers(low, high) = entry.blocks[block as usize].zone {
                if high < hash.into() {
                    continue;
                }
                if low > hash.into() {
                    break;
                }
            }
            let (BlockColumn::Ints(hashes), BlockColumn::Ints(numbers)) =
                (self.block_column(hashes, block)?, self.block_column(numbers, block)?)
            else {
                return Err(missing());
            };
            let rows = self.block_rows(block) as usize;
            let first = hashes.lower_bound(hash);
            for at in (first..rows).take_while(|at| hashes.get(*at) == hash) {
                // A number out of range comes from no writer.
                candidates.extend(u32::try_from(numbers.get(at)).ok().filter(|row| *row < self.meta.rows));
            }
        }
        let mut found = Vec::new();
        for row in candidates {
            let (block, within) = (row / BLOCK_ROWS as u32, row as usize % BLOCK_ROWS);
            let mut equal = true;
            for (id, part) in parts {
                let column = self.column(def, *id, block)?;
                if part.compare(&column, within).is_ne() {
                    equal = false;
                    break;
                }
            }
            if equal {
                found.push(row);
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// The first of the rows, in which those come first for which `before` is true, for which it is false.
fn lower_bound(rows: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let Range { start: mut low, end: mut high } = rows;
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
