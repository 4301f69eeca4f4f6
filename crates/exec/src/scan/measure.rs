//! The statistics of a small table, by looking at its rows: for tables that are still in memory, of
//! which the storage keeps none.

use super::estimate::{ColumnEstimate, TableEstimate};
use super::source::TableSnapshot;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{SortOptions, rank};
use columnstore::{ScanSpec, StoreError};
use datafusion::common::ScalarValue;
use std::collections::HashSet;
use std::sync::Arc;
use types::{SqlType, TableDef, Value, shard};

/// Reads a whole partition of a table and says what is in it; `None` if it has more than `most`
/// rows. Takes about a microsecond for ten values.
pub fn measure(
    def: &TableDef,
    snapshot: Arc<dyn TableSnapshot>,
    most: usize,
) -> Result<Option<TableEstimate>, StoreError> {
    let spec = ScanSpec { columns: def.columns.iter().map(|c| c.id).collect(), ..ScanSpec::default() };
    let mut rows = 0;
    let mut columns: Vec<Measured> = def.columns.iter().map(|_| Measured::default()).collect();
    for morsel in snapshot.morsels(&[]) {
        morsel.scan(&spec, &mut |batch| {
            rows += batch.num_rows();
            if rows <= most {
                look_at(&batch, def, &mut columns)?;
            }
            Ok(rows <= most)
        })?;
        if rows > most {
            return Ok(None);
        }
    }
    let columns = def.columns.iter().zip(columns).map(|(column, measured)| {
        let estimate = ColumnEstimate {
            min: measured.min,
            max: measured.max,
            nulls: measured.nulls,
            distinct: measured.hashes.len() as u64,
            bytes: measured.bytes,
        };
        (column.id, estimate)
    });
    Ok(Some(TableEstimate { rows: rows as u64, columns: columns.collect() }))
}

#[derive(Default)]
struct Measured {
    min: Option<Value>,
    max: Option<Value>,
    nulls: u64,
    hashes: HashSet<u64>,
    bytes: u64,
}

fn look_at(batch: &RecordBatch, def: &TableDef, columns: &mut [Measured]) -> Result<(), StoreError> {
    for ((array, column), measured) in batch.columns().iter().zip(&def.columns).zip(columns) {
        measured.nulls += array.null_count() as u64;
        measured.bytes += crate::memory::array_bytes(array.as_ref()) as u64;
        let hashes =
            shard::hash_columns(std::slice::from_ref(array), array.len()).map_err(StoreError::internal)?;
        measured
            .hashes
            .extend(hashes.iter().enumerate().filter(|(row, _)| array.is_valid(*row)).map(|(_, h)| *h));
        if let Some((least, greatest)) = extremes(array)? {
            let known = TableEstimate {
                rows: 0,
                columns: [(
                    column.id,
                    ColumnEstimate {
                        min: measured.min.take(),
                        max: measured.max.take(),
                        ..Default::default()
                    },
                )]
                .into(),
            };
            let found = ColumnEstimate {
                min: from_scalar(&least, column.ty),
                max: from_scalar(&greatest, column.ty),
                ..Default::default()
            };
            let mut both = known;
            both.add(&TableEstimate { rows: 0, columns: [(column.id, found)].into() }, &[]);
            if let Some(both) = both.columns.remove(&column.id) {
                (measured.min, measured.max) = (both.min, both.max);
            }
        }
    }
    Ok(())
}

/// The least and the greatest value that is not NULL.
fn extremes(array: &ArrayRef) -> Result<Option<(ScalarValue, ScalarValue)>, StoreError> {
    let ranks = rank(array, Some(SortOptions { descending: false, nulls_first: true }))?;
    let valid = || ranks.iter().enumerate().filter(|(row, _)| array.is_valid(*row));
    let (Some((least, _)), Some((greatest, _))) =
        (valid().min_by_key(|(_, r)| **r), valid().max_by_key(|(_, r)| **r))
    else {
        return Ok(None);
    };
    let scalar = |row| ScalarValue::try_from_array(array, row).map_err(StoreError::internal);
    Ok(Some((scalar(least)?, scalar(greatest)?)))
}

/// A value of a column of type `ty`, as DataFusion holds it, as ours.
fn from_scalar(value: &ScalarValue, ty: SqlType) -> Option<Value> {
    use ScalarValue as S;
    Some(match value {
        S::Decimal128(Some(unscaled), _, scale) => {
            Value::Decimal { unscaled: *unscaled, scale: u8::try_from(*scale).ok()? }
        }
        S::Float32(Some(v)) => Value::Float(*v),
        S::Float64(Some(v)) => Value::Double(*v),
        S::Date32(Some(v)) => Value::Date(*v),
        S::DurationMicrosecond(Some(v)) => Value::Time(*v),
        S::TimestampMicrosecond(Some(v), None) => Value::DateTime(*v),
        S::TimestampMicrosecond(Some(v), Some(_)) => Value::Timestamp(*v),
        S::Utf8View(Some(v)) => Value::Text(v.clone()),
        S::BinaryView(Some(v)) => Value::Bytes(v.clone()),
        integer if ty.is_unsigned() => match integer.cast_to(&arrow::datatypes::DataType::UInt64) {
            Ok(S::UInt64(Some(v))) => Value::UInt(v),
            _ => return None,
        },
        integer => match integer.cast_to(&arrow::datatypes::DataType::Int64) {
            Ok(S::Int64(Some(v))) => Value::Int(v),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Snapshots;
    use crate::testing::{TestTables, table_def};
    use arrow::array::{Int32Array, StringViewArray};
    use arrow::datatypes::Schema;
    use types::PartitionId;

    #[test]
    fn small_tables_are_measured_and_large_ones_are_not() {
        let int = SqlType::Int { unsigned: false };
        let def = Arc::new(table_def(1, "t", &[("a", int, true), ("s", SqlType::VarChar(9), true)], &["a"]));
        let fields: Vec<_> = def.columns.iter().map(|c| c.ty.field(&c.name, c.nullable)).collect();
        let a = Int32Array::from(vec![Some(3), None, Some(-5), Some(3)]);
        let s = StringViewArray::from(vec![Some("b"), Some("a"), None, Some("zz")]);
        let rows =
            RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(a), Arc::new(s)]).unwrap();
        let mut tables = TestTables::new(1, 2);
        tables.add(&def, &rows);
        let snapshot = || tables.snapshot(PartitionId(100), def.id).unwrap();
        let found = measure(&def, snapshot(), 4).unwrap().unwrap();
        assert_eq!(found.rows, 4);
        let a = &found.columns[&def.columns[0].id];
        assert_eq!(
            (a.min.clone(), a.max.clone(), a.nulls, a.distinct),
            (Some(Value::Int(-5)), Some(Value::Int(3)), 1, 2)
        );
        let s = &found.columns[&def.columns[1].id];
        assert_eq!(
            (s.min.clone(), s.max.clone()),
            (Some(Value::Text("a".into())), Some(Value::Text("zz".into())))
        );
        assert_eq!(measure(&def, snapshot(), 3).unwrap(), None);
    }
}
