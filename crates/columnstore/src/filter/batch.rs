//! Evaluation on Arrow batches: frozen runs and snapshots of the tail.

use super::condition::Condition;
use super::values::{check_type, numbers, strings, wide_numbers};
use crate::encoding::VECTOR;
use crate::encoding::bits::{self, Bits};
use crate::encoding::ranges::{Ranges, float_bounds};
use crate::encoding::string_test::all_pass;
use crate::scan::{BATCH_ROWS, unknown_column};
use crate::{Compare, ScanSpec, StoreError};
use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use types::{ColumnId, Physical, SqlType, TableDef};

/// Visits the rows of `batch`, which holds all columns of `def` in its order, that pass the spec's
/// predicates and `visible` (None: all), in batches of at most 8,192 rows, with the same meaning as
/// [`crate::Segment::scan_block`]. `first_row` is the row reference of the batch's first row; the
/// others follow. Ends with `Ok(false)` as soon as `emit` returns it.
pub fn filter_batch(
    def: &TableDef,
    batch: &RecordBatch,
    spec: &ScanSpec,
    visible: Option<&BooleanBuffer>,
    first_row: u64,
    emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    filter_batch_as(def, batch, spec, &spec.schema(def)?, visible, first_row, emit)
}

/// The same for a caller that has the schema of the spec's answer.
pub(crate) fn filter_batch_as(
    def: &TableDef,
    batch: &RecordBatch,
    spec: &ScanSpec,
    schema: &SchemaRef,
    visible: Option<&BooleanBuffer>,
    first_row: u64,
    emit: &mut dyn FnMut(RecordBatch) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let rows = batch.num_rows();
    if batch.num_columns() != def.columns.len() || visible.is_some_and(|v| v.len() < rows) {
        return Err(StoreError::internal(format_args!(
            "a batch of {} columns and {rows} rows does not fit table {} or its visibility",
            batch.num_columns(),
            def.name
        )));
    }
    let type_of = |id| def.column(id).map(|c| c.ty).ok_or_else(|| unknown_column(def, id));
    let condition = Condition::of(&spec.predicates, &type_of)?;
    if matches!(condition, Condition::Fail) || rows == 0 {
        return Ok(true);
    }
    let rows_of = Rows { def, batch };
    let mut outputs: Vec<ArrayRef> = Vec::with_capacity(spec.columns.len());
    for &id in &spec.columns {
        outputs.push(rows_of.column(id)?.1.clone());
    }
    let mut send = |from: usize, count: usize, picked: Option<UInt32Array>| -> Result<bool, StoreError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(outputs.len() + 1);
        for array in &outputs {
            columns.push(match &picked {
                Some(picked) => take(array, picked, None)?,
                None => array.slice(from, count),
            });
        }
        if spec.row_refs {
            columns.push(Arc::new(match &picked {
                Some(picked) => {
                    UInt64Array::from_iter_values(picked.values().iter().map(|r| first_row + u64::from(*r)))
                }
                None => UInt64Array::from_iter_values((from..from + count).map(|r| first_row + r as u64)),
            }));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        emit(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    };
    if matches!(condition, Condition::Pass) && visible.is_none() {
        for from in (0..rows).step_by(BATCH_ROWS) {
            if !send(from, (rows - from).min(BATCH_ROWS), None)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let mut picked: Vec<u32> = Vec::with_capacity(BATCH_ROWS.min(rows));
    for start in (0..rows).step_by(VECTOR) {
        let count = (rows - start).min(VECTOR);
        let mut selected = match visible {
            Some(visible) => bits::load(visible, start, count),
            None => bits::first(count),
        };
        if bits::is_empty(&selected) {
            continue;
        }
        rows_of.apply(&condition, start, count, &mut selected)?;
        if picked.len() + bits::count(&selected) > BATCH_ROWS {
            let full = std::mem::take(&mut picked);
            if !send(0, full.len(), Some(full.into()))? {
                return Ok(false);
            }
        }
        bits::for_each(&selected, |row| picked.push((start + row) as u32));
    }
    match picked.len() {
        0 => Ok(true),
        all if all == rows => send(0, rows, None),
        some => send(0, some, Some(picked.into())),
    }
}

struct Rows<'a> {
    def: &'a TableDef,
    batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    fn column(&self, id: ColumnId) -> Result<(SqlType, &'a ArrayRef), StoreError> {
        let at = self.def.position(id).ok_or_else(|| unknown_column(self.def, id))?;
        let (column, array) = (&self.def.columns[at], self.batch.column(at));
        check_type(array, column.ty, &column.name)?;
        Ok((column.ty, array))
    }

    /// Keeps of `selected`, which stands for `count` rows from `start`, those that pass.
    fn apply(
        &self,
        condition: &Condition,
        start: usize,
        count: usize,
        selected: &mut Bits,
    ) -> Result<(), StoreError> {
        match condition {
            Condition::Pass => {}
            Condition::Fail => *selected = bits::NONE,
            Condition::Numbers { column, set } => {
                let (ty, array) = self.column(*column)?;
                drop_nulls(array, start, count, selected);
                if ty.physical() == Physical::I128 {
                    let values = &wide_numbers(array)[start..];
                    bits::retain(selected, |row| set.contains(values[row]));
                } else {
                    let mut values = Vec::with_capacity(count);
                    numbers(array, ty, start, count, &mut values)?;
                    keep_in(&values, set, selected);
                }
            }
            Condition::Keys { column, keys } => {
                let (ty, array) = self.column(*column)?;
                drop_nulls(array, start, count, selected);
                let mut values = Vec::with_capacity(count);
                numbers(array, ty, start, count, &mut values)?;
                bits::retain(selected, |row| keys.contains(values[row]));
            }
            Condition::Strings { column, tests } => {
                let (_, array) = self.column(*column)?;
                drop_nulls(array, start, count, selected);
                let strings = strings(array);
                bits::retain(selected, |row| all_pass(tests, strings.get(start + row)));
            }
            Condition::Null { column, null } => {
                let (_, array) = self.column(*column)?;
                let mut valid = *selected;
                drop_nulls(array, start, count, &mut valid);
                if *null {
                    bits::and_not(selected, &valid);
                } else {
                    *selected = valid;
                }
            }
            Condition::Columns { left, op, right } => {
                let ((ty, left), (_, right)) = (self.column(*left)?, self.column(*right)?);
                drop_nulls(left, start, count, selected);
                drop_nulls(right, start, count, selected);
                match ty.physical() {
                    Physical::Bytes => {
                        let (left, right) = (strings(left), strings(right));
                        bits::retain(selected, |row| {
                            op.holds(left.get(start + row).cmp(right.get(start + row)))
                        });
                    }
                    Physical::I128 => {
                        let (left, right) = (&wide_numbers(left)[start..], &wide_numbers(right)[start..]);
                        bits::retain(selected, |row| op.holds(left[row].cmp(&right[row])));
                    }
                    physical => {
                        let (mut a, mut b) = (Vec::with_capacity(count), Vec::with_capacity(count));
                        numbers(left, ty, start, count, &mut a)?;
                        numbers(right, ty, start, count, &mut b)?;
                        keep_compared(
                            &a,
                            *op,
                            &b,
                            matches!(physical, Physical::F32 | Physical::F64),
                            selected,
                        );
                    }
                }
            }
            Condition::All(parts) => {
                for part in parts {
                    if bits::is_empty(selected) {
                        break;
                    }
                    self.apply(part, start, count, selected)?;
                }
            }
            Condition::Any(parts) => {
                let mut passed = bits::NONE;
                for part in parts {
                    let mut rest = *selected;
                    bits::and_not(&mut rest, &passed);
                    self.apply(part, start, count, &mut rest)?;
                    bits::or(&mut passed, &rest);
                }
                *selected = passed;
            }
        }
        Ok(())
    }
}

fn drop_nulls(array: &dyn Array, start: usize, count: usize, selected: &mut Bits) {
    if let Some(nulls) = array.nulls() {
        bits::and(selected, &bits::load(nulls.inner(), start, count));
    }
}

/// Keeps the rows whose number is in the set. `values` has at most 1,024.
fn keep_in(values: &[i64], set: &Ranges, selected: &mut Bits) {
    if set.ranges().len() > 4 {
        bits::retain(selected, |row| set.contains(values[row].into()));
        return;
    }
    let mut mask = [0u8; VECTOR];
    for &(low, high) in set.ranges() {
        if low > i128::from(i64::MAX) || high < i128::from(i64::MIN) {
            continue;
        }
        let low = low.max(i64::MIN.into()) as i64;
        let high = high.min(i64::MAX.into()) as i64;
        for (byte, value) in mask.iter_mut().zip(values) {
            *byte |= (u8::from(*value >= low) & u8::from(*value <= high)).wrapping_neg();
        }
    }
    bits::and(selected, &bits::from_mask(&mask));
}

/// Keeps the rows where `left op right` holds. Float keys of NaNs pass nothing.
pub(crate) fn keep_compared(left: &[i64], op: Compare, right: &[i64], floats: bool, selected: &mut Bits) {
    let mut mask = [0u8; VECTOR];
    macro_rules! compare {
        ($op:tt) => {
            for ((byte, left), right) in mask.iter_mut().zip(left).zip(right) {
                *byte = u8::from(left $op right).wrapping_neg();
            }
        };
    }
    match op {
        Compare::Eq => compare!(==),
        Compare::NotEq => compare!(!=),
        Compare::Less => compare!(<),
        Compare::LessEq => compare!(<=),
        Compare::Greater => compare!(>),
        Compare::GreaterEq => compare!(>=),
    }
    bits::and(selected, &bits::from_mask(&mask));
    if floats {
        let (low, high) = float_bounds();
        let number = |key: i64| (low..=high).contains(&key);
        bits::retain(selected, |row| number(left[row]) && number(right[row]));
    }
}
