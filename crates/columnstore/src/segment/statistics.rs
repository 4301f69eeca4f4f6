//! What a segment knows of its columns, for the planner.

use super::format::{Bound, ColumnEntry, Footer};
use super::sketch::DistinctSketch;
use crate::filter::values::value_of;
use types::{ColumnId, SqlType, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct ColumnStatistics {
    pub column: ColumnId,
    /// None if all rows are NULL. Strings are cut to 64 bytes.
    pub min: Option<Value>,
    pub max: Option<Value>,
    pub nulls: u64,
    /// Estimated number of distinct values.
    pub distinct: u64,
    /// For the estimate over several segments.
    pub sketch: DistinctSketch,
    /// Numbers and codes of dictionaries as in the file, other strings as they are.
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SegmentStatistics {
    pub rows: u64,
    /// In the order of the table's definition when the segment was written.
    pub columns: Vec<ColumnStatistics>,
}

impl SegmentStatistics {
    pub fn column(&self, id: ColumnId) -> Option<&ColumnStatistics> {
        self.columns.iter().find(|column| column.column == id)
    }

    pub(super) fn of(footer: &Footer) -> SegmentStatistics {
        let rows = u64::from(footer.rows);
        let columns = footer.columns.iter().filter_map(|c| c.ty.map(|ty| column_statistics(c, ty, rows)));
        SegmentStatistics { rows, columns: columns.collect() }
    }
}

fn column_statistics(column: &ColumnEntry, ty: SqlType, rows: u64) -> ColumnStatistics {
    let (min, max) = match &column.range {
        Some((low, high)) => (bound_value(low, ty), bound_value(high, ty)),
        None => (None, None),
    };
    let exact = column.dictionary.map(|dictionary| u64::from(dictionary.entries));
    let present = rows.saturating_sub(column.nulls);
    ColumnStatistics {
        column: column.id,
        min,
        max,
        nulls: column.nulls,
        distinct: exact.unwrap_or_else(|| column.sketch.estimate()).min(present),
        sketch: column.sketch.clone(),
        bytes: column.bytes(),
    }
}

fn bound_value(bound: &Bound, ty: SqlType) -> Option<Value> {
    match bound {
        Bound::Number(number) => value_of(ty, *number),
        Bound::String(bytes) if ty.is_string() => {
            Some(Value::Text(String::from_utf8_lossy(bytes).into_owned()))
        }
        Bound::String(bytes) => Some(Value::Bytes(bytes.clone())),
    }
}
