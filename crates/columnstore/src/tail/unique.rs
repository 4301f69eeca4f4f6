//! Values of unique keys beside the primary one. As in the primary key, equal values give equal bytes;
//! a value with a NULL in it equals none and is no value here.
//!
//! A unique key is known by its columns, not by its place among the table's keys, so that making or
//! dropping another key changes nothing for it.

use super::entry::Entry;
use super::key::{ShownKeys, encode_value, key_hash, value_at};
use super::row::Row;
use super::slab::Tail;
use crate::StoreError;
use crate::scan::unknown_column;
use crate::segment::default_value;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use types::{ColumnId, TableDef, TxnId, Value};

/// The value that a row has in a unique key.
#[derive(Debug, Clone)]
pub(crate) struct UniqueValue {
    pub(crate) bytes: Box<[u8]>,
    /// Of the bytes and the key's columns.
    pub(crate) hash: u64,
    pub(crate) values: Vec<Value>,
}

/// The values that rows have in one unique key.
#[derive(Debug)]
pub(crate) struct UniqueValues {
    /// The key is the n-th of the table's, from 1.
    pub(crate) number: u32,
    pub(crate) columns: Vec<ColumnId>,
    pub(crate) values: Vec<Option<UniqueValue>>,
    pub(crate) shown: ShownKeys,
}

/// The unique keys of a table with their numbers.
fn unique_keys(def: &TableDef) -> impl Iterator<Item = (u32, &[ColumnId])> {
    (1..).zip(&def.keys).filter(|(_, key)| key.unique).map(|(number, key)| (number, key.columns.as_slice()))
}

/// The columns of the keys whose values are indexed in the tail: unique ones, to be checked, and those
/// that scans use.
fn indexed_keys(def: &TableDef) -> impl Iterator<Item = &[ColumnId]> {
    let plain = crate::keys::with_runs(def).filter(|key| !key.unique);
    unique_keys(def).map(|(_, columns)| columns).chain(plain.map(|key| key.columns.as_slice()))
}

pub(crate) fn has_unique_keys(def: &TableDef) -> bool {
    def.keys.iter().any(|key| key.unique)
}

/// By which the tail knows a value of the key of these columns.
pub(crate) fn hash_of(columns: &[ColumnId], bytes: &[u8]) -> u64 {
    let columns = columns.iter().fold(0u64, |hash, id| hash.rotate_left(7) ^ u64::from(id.0));
    key_hash(bytes) ^ columns.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// None if one of the values is NULL.
pub(crate) fn encode(
    def: &TableDef,
    columns: &[ColumnId],
    values: &[Value],
) -> Result<Option<Box<[u8]>>, StoreError> {
    let mut out = Vec::with_capacity(values.len() * 10);
    for (id, value) in columns.iter().zip(values) {
        if value.is_null() {
            return Ok(None);
        }
        let column = def.column(*id).ok_or_else(|| unknown_column(def, *id))?;
        let physical = value.to_physical(column.ty).ok_or_else(|| {
            StoreError::internal(format_args!("a key of table {} has an impossible value", def.name))
        })?;
        encode_value(&physical, &mut out);
    }
    Ok(Some(out.into_boxed_slice()))
}

impl UniqueValues {
    /// Of the rows of a batch with all columns of the table: one for each unique key.
    pub(crate) fn of(def: &TableDef, batch: &RecordBatch) -> Result<Vec<UniqueValues>, StoreError> {
        let mut all = Vec::new();
        for (number, columns) in unique_keys(def) {
            let mut arrays = Vec::with_capacity(columns.len());
            for id in columns {
                let at = def.position(*id).ok_or_else(|| unknown_column(def, *id))?;
                arrays.push((batch.column(at), def.columns[at].ty));
            }
            let shown = ShownKeys::of(def, columns, batch)?;
            let mut values = Vec::with_capacity(batch.num_rows());
            for row in 0..batch.num_rows() {
                let of_row = arrays
                    .iter()
                    .map(|(array, ty)| value_at(array.as_ref(), *ty, row))
                    .collect::<Result<Vec<Value>, _>>()?;
                let bytes = encode(def, columns, &of_row)?;
                values.push(bytes.map(|bytes| UniqueValue {
                    hash: hash_of(columns, &bytes),
                    bytes,
                    values: of_row,
                }));
            }
            all.push(UniqueValues { number, columns: columns.to_vec(), values, shown });
        }
        Ok(all)
    }
}

/// The bytes of a row's value in the key of these columns.
pub(crate) fn value_of(
    def: &TableDef,
    columns: &[ColumnId],
    row: &Row,
) -> Result<Option<Box<[u8]>>, StoreError> {
    let mut out = Vec::with_capacity(columns.len() * 10);
    for id in columns {
        let physical = match row.layout.value(&row.bytes, *id) {
            Some(value) => value,
            // The column is younger than the row.
            None => {
                let column = def.column(*id).ok_or_else(|| unknown_column(def, *id))?;
                default_value(column)?.to_physical(column.ty)
            }
        };
        match physical {
            Some(physical) => encode_value(&physical, &mut out),
            None => return Ok(None),
        }
    }
    Ok(Some(out.into_boxed_slice()))
}

/// The hashes of a row's values in all unique keys.
pub(crate) fn hashes_of(def: &TableDef, row: &Row) -> Result<Vec<u64>, StoreError> {
    let mut hashes = Vec::new();
    for (_, columns) in unique_keys(def) {
        if let Some(bytes) = value_of(def, columns, row)? {
            hashes.push(hash_of(columns, &bytes));
        }
    }
    Ok(hashes)
}

/// The hashes of the values that a transaction brought to an entry and took away from it.
pub(crate) fn hashes_written(def: &TableDef, entry: &Entry, txn: TxnId) -> Result<Vec<u64>, StoreError> {
    let mut hashes = Vec::new();
    if !has_unique_keys(def) {
        return Ok(hashes);
    }
    let versions = entry.versions();
    for version in versions.iter() {
        if let Some(row) = &version.row {
            hashes.extend(hashes_of(def, row)?);
        }
        if version.intent_of() != Some(txn) {
            // What was there before.
            break;
        }
    }
    Ok(hashes)
}

/// Lets an entry be found in the tail by the values of a version that is written to it.
pub(crate) fn note_row(tail: &Tail, def: &TableDef, entry: &Arc<Entry>, row: &Row) -> Result<(), StoreError> {
    for columns in indexed_keys(def) {
        if let Some(bytes) = value_of(def, columns, row)? {
            tail.note_value(hash_of(columns, &bytes), entry);
        }
    }
    Ok(())
}

/// Lets the values of all versions of an entry be found in the tail.
pub(crate) fn note_entry(tail: &Tail, def: &TableDef, entry: &Arc<Entry>) -> Result<(), StoreError> {
    note_new_keys(tail, None, def, entry)
}

/// As [`note_entry`], of the keys that `before` has not.
pub(crate) fn note_new_keys(
    tail: &Tail,
    before: Option<&TableDef>,
    def: &TableDef,
    entry: &Arc<Entry>,
) -> Result<(), StoreError> {
    for columns in indexed_keys(def) {
        if before.is_some_and(|before| indexed_keys(before).any(|known| known == columns)) {
            continue;
        }
        for version in entry.versions().iter() {
            if let Some(row) = &version.row
                && let Some(bytes) = value_of(def, columns, row)?
            {
                tail.note_value(hash_of(columns, &bytes), entry);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::row::{RowEncoder, RowLayout};
    use crate::testing;
    use types::{ColumnDefault, KeyDef};

    #[test]
    fn a_batch_and_a_row_have_the_same_values_and_null_is_none() {
        let mut def = testing::kv_table(1);
        let key = |name: &str, columns: &[u32], unique| KeyDef {
            name: name.into(),
            columns: columns.iter().map(|id| ColumnId(*id)).collect(),
            unique,
        };
        def.keys = vec![key("plain", &[2], false), key("v", &[2], true), key("vk", &[2, 1], true)];
        let batch = testing::kv_rows(&def, &[(1, Some("a")), (2, None), (3, Some("a"))]);
        let unique = UniqueValues::of(&def, &batch).unwrap();
        assert_eq!(unique.iter().map(|u| u.number).collect::<Vec<_>>(), [2, 3]);
        let bytes = |key: usize, row: usize| unique[key].values[row].as_ref().map(|v| v.bytes.clone());
        assert_eq!(bytes(0, 0), bytes(0, 2));
        assert_ne!(bytes(1, 0), bytes(1, 2));
        assert_eq!((bytes(0, 1), bytes(1, 1)), (None, None));
        let layout = Arc::new(RowLayout::of(&def));
        let encoder = RowEncoder::new(&def, &layout, &batch).unwrap();
        for row in 0..3 {
            let encoded = Row { layout: layout.clone(), bytes: encoder.encode(row) };
            let hashes: Vec<u64> =
                unique.iter().filter_map(|u| u.values[row].as_ref().map(|v| v.hash)).collect();
            assert_eq!(hashes_of(&def, &encoded).unwrap(), hashes);
            for (key, unique) in unique.iter().enumerate() {
                assert_eq!(value_of(&def, &unique.columns, &encoded).unwrap(), bytes(key, row));
            }
        }
        let mut added = def.columns[1].clone();
        (added.id, added.default) = (ColumnId(9), ColumnDefault::Literal("x".into()));
        let mut new = def.clone();
        new.columns.push(added);
        let old_row = Row { layout: layout.clone(), bytes: encoder.encode(0) };
        let expected = encode(&new, &[ColumnId(9)], &[Value::Text("x".into())]).unwrap();
        assert_eq!(value_of(&new, &[ColumnId(9)], &old_row).unwrap(), expected);
    }
}
