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
use std::cmp::Ordering;
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
            let mut columns = Vec::with_capacity(parts.len());
            for (id, _) in &parts {
                columns.push(self.column(def, *id, block)?);
            }
            let compare = |row: usize| {
                parts
                    .iter()
                    .zip(&columns)
                    .map(|((_, part), column)| part.compare(column, row))
                    .find(|ordering| ordering.is_ne())
                    .unwrap_or(Ordering::Equal)
            };
            let rows = self.block_rows(block) as usize;
            let first = lower_bound(rows, |row| compare(row).is_lt());
            let mut row = first;
            while row < rows && compare(row).is_eq() {
                found.push((block as usize * BLOCK_ROWS + row) as u32);
                row += 1;
            }
            if row < rows {
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
            let first = lower_bound(rows, |row| hashes.get(row) < hash);
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

/// The first of `rows` rows for which `before` is false.
fn lower_bound(rows: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = (low + high) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
