//! The order of rows in a segment: by the table's sort key, else its primary key; NULLs first,
//! strings as bytes.

use crate::StoreError;
use crate::encoding::bytes::Strings;
use crate::filter::values::{check_type, numbers, strings, wide_numbers};
use crate::keys::{NULL_CODE, number_code, string_code};
use arrow::array::{Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use std::cmp::Ordering;
use types::{ColumnId, Physical, TableDef};

/// One column of the order.
enum SortColumn<'a> {
    Numbers(Vec<i64>, Option<&'a NullBuffer>),
    Wide(&'a [i128], Option<&'a NullBuffer>),
    Strings(Strings<'a>),
}

fn nulls_first(nulls: Option<&NullBuffer>, a: usize, b: usize) -> Option<Ordering> {
    let nulls = nulls?;
    match (nulls.is_null(a), nulls.is_null(b)) {
        (false, false) => None,
        (a, b) => Some(b.cmp(&a)),
    }
}

impl SortColumn<'_> {
    #[inline]
    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            SortColumn::Numbers(values, nulls) => {
                nulls_first(*nulls, a, b).unwrap_or_else(|| values[a].cmp(&values[b]))
            }
            SortColumn::Wide(values, nulls) => {
                nulls_first(*nulls, a, b).unwrap_or_else(|| values[a].cmp(&values[b]))
            }
            SortColumn::Strings(values) => match (values.is_null(a), values.is_null(b)) {
                (false, false) => values.get(a).cmp(values.get(b)),
                (a, b) => b.cmp(&a),
            },
        }
    }

    /// The row's code in a run of a key; see [`crate::keys`].
    fn code(&self, row: usize) -> i64 {
        match self {
            SortColumn::Numbers(_, Some(nulls)) | SortColumn::Wide(_, Some(nulls)) if nulls.is_null(row) => {
                NULL_CODE
            }
            SortColumn::Numbers(values, _) => values[row],
            SortColumn::Wide(values, _) => number_code(values[row]),
            SortColumn::Strings(values) if values.is_null(row) => NULL_CODE,
            SortColumn::Strings(values) => string_code(values.get(row)),
        }
    }

    /// A number that is no greater for a row that comes earlier.
    fn prefix(&self, row: usize) -> u64 {
        const VALID: u64 = 1 << 63;
        let flipped = |value: i64| value as u64 ^ 1 << 63;
        let null = |nulls: &Option<&NullBuffer>| nulls.is_some_and(|nulls| nulls.is_null(row));
        match self {
            SortColumn::Numbers(values, None) => flipped(values[row]),
            SortColumn::Numbers(_, nulls) | SortColumn::Wide(_, nulls) if null(nulls) => 0,
            SortColumn::Numbers(values, _) => VALID | flipped(values[row]) >> 1,
            SortColumn::Wide(values, _) => VALID | flipped((values[row] >> 64) as i64) >> 1,
            SortColumn::Strings(values) if values.is_null(row) => 0,
            SortColumn::Strings(values) => {
                let bytes = values.get(row);
                let mut first = [0u8; 8];
                let length = bytes.len().min(8);
                first[..length].copy_from_slice(&bytes[..length]);
                VALID | u64::from_be_bytes(first) >> 1
            }
        }
    }
}

fn sort_columns<'a>(
    def: &TableDef,
    order: &[ColumnId],
    rows: &'a RecordBatch,
) -> Result<Vec<SortColumn<'a>>, StoreError> {
    let mut columns = Vec::new();
    for &id in order {
        let at = def.position(id).ok_or_else(|| crate::scan::unknown_column(def, id))?;
        let column = &def.columns[at];
        let array = rows.columns().get(at).ok_or_else(|| {
            StoreError::internal(format_args!("a batch for table {} lacks column {}", def.name, column.name))
        })?;
        check_type(array, column.ty, &column.name)?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        columns.push(match column.ty.physical() {
            Physical::Bytes => SortColumn::Strings(strings(array)),
            Physical::I128 => SortColumn::Wide(wide_numbers(array), nulls),
            _ => {
                let mut values = Vec::with_capacity(rows.num_rows());
                numbers(array, column.ty, 0, rows.num_rows(), &mut values)?;
                SortColumn::Numbers(values, nulls)
            }
        });
    }
    Ok(columns)
}

fn compare_rows(columns: &[SortColumn<'_>], a: usize, b: usize) -> Ordering {
    for column in columns {
        let ordering = column.compare(a, b);
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

fn in_order(columns: &[SortColumn<'_>], rows: usize) -> bool {
    (1..rows).all(|row| compare_rows(columns, row - 1, row).is_le())
}

/// Sorts rows whose first 64 bits are sorted by all columns, then by their numbers.
fn sort_ties<T: PartialEq>(order: &mut [(T, u32)], columns: &[SortColumn<'_>]) {
    for tied in order.chunk_by_mut(|a, b| a.0 == b.0) {
        if tied.len() > 1 {
            tied.sort_unstable_by(|a, b| {
                compare_rows(columns, a.1 as usize, b.1 as usize).then(a.1.cmp(&b.1))
            });
        }
    }
}

/// Whether the rows stand in the table's segment order. True for a table without one.
pub(super) fn is_sorted(def: &TableDef, rows: &RecordBatch) -> Result<bool, StoreError> {
    Ok(in_order(&sort_columns(def, def.segment_order(), rows)?, rows.num_rows()))
}

/// The rows in the table's segment order; rows that compare equal keep theirs. `rows` has the
/// columns of `def` in its order. Cheap if they are sorted.
pub fn sort_to_segment_order(def: &TableDef, rows: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let columns = sort_columns(def, def.segment_order(), rows)?;
    let count = rows.num_rows();
    if in_order(&columns, count) {
        return Ok(rows.clone());
    }
    let count = u32::try_from(count).map_err(|_| StoreError::internal("too many rows to sort at once"))?;
    // Most comparisons are decided by 64 bits of the first column.
    let mut order: Vec<(u64, u32)> = (0..count).map(|row| (columns[0].prefix(row as usize), row)).collect();
    order.sort_unstable();
    sort_ties(&mut order, &columns);
    let order = UInt32Array::from_iter_values(order.into_iter().map(|(_, row)| row));
    Ok(take_record_batch(rows, &order)?)
}

/// The run of a key over rows: (code, row) in the order of the key's columns, then of the rows.
pub(crate) fn key_run(
    def: &TableDef,
    key: &[ColumnId],
    rows: &RecordBatch,
) -> Result<Vec<(i64, u32)>, StoreError> {
    let columns = sort_columns(def, key, rows)?;
    let count =
        u32::try_from(rows.num_rows()).map_err(|_| StoreError::internal("too many rows to sort at once"))?;
    let Some(first) = columns.first() else {
        return Err(StoreError::internal(format_args!("a key of table {} without columns", def.name)));
    };
    let mut run: Vec<(i64, u32)> = (0..count).map(|row| (first.code(row as usize), row)).collect();
    run.sort_unstable();
    sort_ties(&mut run, &columns);
    Ok(run)
}
