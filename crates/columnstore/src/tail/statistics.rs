//! What is known of the columns of recent rows, in the same terms as of a segment's.
//!
//! Of a large tail a sample is looked at, evenly spread; the number of distinct values is extended to
//! all rows by how often values repeated in the sample.

use crate::StoreError;
use crate::encoding::{bytes_hash, number_hash};
use crate::filter::values::{numbers, strings, value_of, wide_numbers};
use crate::segment::ColumnStatistics;
use crate::segment::sketch::DistinctSketch;
use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use types::{ColumnDef, Physical, TableDef, Value};

/// The most rows of a tail that are looked at.
pub(crate) const SAMPLE: usize = 16_384;

/// Statistics of a tail when it had so many entries.
pub(crate) type Known = (usize, Arc<Vec<ColumnStatistics>>);

/// Whether statistics of so many entries do no longer describe `now` many.
pub(crate) fn is_stale(known: usize, now: usize) -> bool {
    now < known || now - known > known / 4
}

/// `batch` holds all columns of `def` in its order, of some of the `rows` rows that there are.
pub(crate) fn of_batch(
    def: &TableDef,
    batch: &RecordBatch,
    rows: usize,
) -> Result<Vec<ColumnStatistics>, StoreError> {
    def.columns.iter().zip(batch.columns()).map(|(column, array)| of_column(column, array, rows)).collect()
}

fn of_column(column: &ColumnDef, array: &dyn Array, rows: usize) -> Result<ColumnStatistics, StoreError> {
    let sampled = array.len();
    let valid = |row: &usize| array.is_valid(*row);
    let mut sketch = DistinctSketch::default();
    let mut range: Option<(i128, i128)> = None;
    let mut widen = |number: i128| {
        range = Some(range.map_or((number, number), |(low, high)| (low.min(number), high.max(number))));
    };
    let mut text: Option<(&[u8], &[u8])> = None;
    let mut bytes = 0;
    match column.ty.physical() {
        Physical::Bytes => {
            let strings = strings(array);
            for row in (0..sampled).filter(valid) {
                let value = strings.get(row);
                bytes += value.len() as u64;
                sketch.insert(bytes_hash(value));
                text = Some(text.map_or((value, value), |(low, high)| (low.min(value), high.max(value))));
            }
        }
        Physical::I128 => {
            let values = wide_numbers(array);
            for row in (0..sampled).filter(valid) {
                let value = values[row];
                sketch.insert(number_hash(value as u64 ^ number_hash((value >> 64) as u64)));
                widen(value);
            }
            bytes = 16 * sampled as u64;
        }
        _ => {
            let mut values = Vec::with_capacity(sampled);
            numbers(array, column.ty, 0, sampled, &mut values)?;
            for row in (0..sampled).filter(valid) {
                sketch.insert(number_hash(values[row] as u64));
                widen(values[row].into());
            }
            bytes = 8 * sampled as u64;
        }
    }
    let of_text = |value: &[u8]| match std::str::from_utf8(value) {
        Ok(text) if column.ty.is_string() => Value::Text(text.into()),
        _ => Value::Bytes(value.into()),
    };
    let (min, max) = match (range, text) {
        (Some((low, high)), _) => (value_of(column.ty, low), value_of(column.ty, high)),
        (None, Some((low, high))) => (Some(of_text(low)), Some(of_text(high))),
        (None, None) => (None, None),
    };
    let present = sampled - array.null_count();
    let whole = |part: u64| if sampled == 0 { 0 } else { part * rows as u64 / sampled as u64 };
    let seen = sketch.estimate().min(present as u64);
    Ok(ColumnStatistics {
        column: column.id,
        min,
        max,
        nulls: whole(array.null_count() as u64),
        distinct: extended(seen, present, whole(present as u64)),
        sketch,
        bytes: whole(bytes),
    })
}

/// Of `sampled` values `seen` are distinct; so many may be of `all`. Values that are all different stay
/// so, values that repeat often have all been seen.
fn extended(seen: u64, sampled: usize, all: u64) -> u64 {
    if sampled == 0 || all <= sampled as u64 {
        return seen;
    }
    let unique = seen as f64 / sampled as f64;
    let more = (all as f64 / sampled as f64 - 1.0) * unique * unique;
    ((seen as f64 * (1.0 + more)) as u64).min(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn columns_of_recent_rows_are_known() {
        let def = testing::kv_table(1);
        let names: Vec<String> = (0..1000).map(|i| format!("name {}", i % 20)).collect();
        let rows: Vec<(i64, Option<&str>)> =
            (0..1000).map(|i| (i - 5, (i % 4 > 0).then_some(names[i as usize].as_str()))).collect();
        let known = of_batch(&def, &testing::kv_rows(&def, &rows), 1000).unwrap();
        assert_eq!((&known[0].min, &known[0].max), (&Some(Value::Int(-5)), &Some(Value::Int(994))));
        assert!(known[0].distinct.abs_diff(1000) < 60, "{}", known[0].distinct);
        assert_eq!((known[0].nulls, known[1].nulls), (0, 250));
        assert_eq!(known[1].min, Some(Value::Text("name 1".into())));
        assert_eq!(known[1].distinct, 15);
        let none = of_batch(&def, &testing::kv_rows(&def, &[]), 0).unwrap();
        assert_eq!((&none[0].min, none[0].distinct), (&None, 0));
    }

    #[test]
    fn a_sample_stands_for_all_rows() {
        assert_eq!(extended(10, 1000, 50_000), 10);
        assert_eq!(extended(1000, 1000, 50_000), 50_000);
        assert_eq!(extended(7, 10, 10), 7);
        assert!((500..25_000).contains(&extended(500, 1000, 50_000)));
        assert!(is_stale(0, 1) && is_stale(100, 126) && is_stale(100, 99) && !is_stale(100, 120));
    }
}
