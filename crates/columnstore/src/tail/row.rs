//! A row as bytes, in memory and in the log.
//!
//! | part | bytes |
//! |---|---|
//! | nulls | one bit a column, least significant first, 1 = NULL; rounded up to bytes |
//! | fixed | for each column in the order of the definition its value, little-endian, in the width of its Arrow type; DECIMAL of up to 18 digits in 8 bytes; for strings 4 bytes: where the value ends in the last part |
//! | variable | the strings one after the other |
//!
//! NULL takes its place in the fixed part as zeros (a string: the end of the one before).
//! A [`RowLayout`] belongs to one version of a definition; readers map columns by id, so rows of an
//! older version yield the defaults of columns that were added later.

use crate::StoreError;
use crate::segment::default_value;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, NullBufferBuilder, StringViewBuilder, make_array,
};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::datatypes::{self as dt, DataType, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use types::value::PhysicalValue;
use types::{ColumnDef, ColumnId, Physical, SqlType, TableDef, Value};

/// How a column stands in the fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// The Arrow value in so many bytes.
    Fixed(usize),
    /// A Decimal128 in 8 bytes.
    Narrow,
    /// The end of a string.
    End,
}

impl Slot {
    fn of(ty: SqlType) -> Slot {
        match ty.physical() {
            Physical::Bytes => Slot::End,
            Physical::I64 if matches!(ty, SqlType::Decimal { .. }) => Slot::Narrow,
            Physical::I128 => Slot::Fixed(16),
            Physical::F32 => Slot::Fixed(4),
            Physical::F64 => Slot::Fixed(8),
            Physical::I64 => Slot::Fixed(ty.arrow().primitive_width().unwrap_or(8)),
        }
    }

    fn width(self) -> usize {
        match self {
            Slot::Fixed(width) => width,
            Slot::Narrow => 8,
            Slot::End => 4,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct LayoutColumn {
    id: ColumnId,
    slot: Slot,
    /// Where its slot begins in the row.
    at: usize,
    /// For strings: where the slot of the string before begins.
    before: Option<usize>,
}

/// The places of the columns in the rows of one version of a table's definition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowLayout {
    pub(crate) version: u64,
    /// Id and type of each column, in order: what a manifest keeps of it.
    pub(crate) types: Vec<(ColumnId, SqlType)>,
    columns: Vec<LayoutColumn>,
    fixed_end: usize,
}

impl RowLayout {
    pub(crate) fn of(def: &TableDef) -> RowLayout {
        RowLayout::new(def.version, def.columns.iter().map(|c| (c.id, c.ty)).collect())
    }

    pub(crate) fn new(version: u64, types: Vec<(ColumnId, SqlType)>) -> RowLayout {
        let mut at = types.len().div_ceil(8);
        let mut before = None;
        let columns = types
            .iter()
            .map(|(id, ty)| {
                let slot = Slot::of(*ty);
                let column = LayoutColumn { id: *id, slot, at, before };
                if slot == Slot::End {
                    before = Some(at);
                }
                at += slot.width();
                column
            })
            .collect();
        RowLayout { version, types, columns, fixed_end: at }
    }

    fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }

    fn end(&self, row: &[u8], at: usize) -> usize {
        // Invariant: `check` passed, so the slot is there.
        u32::from_le_bytes(row[at..at + 4].try_into().expect("four bytes")) as usize
    }

    fn is_null(row: &[u8], column: usize) -> bool {
        row[column / 8] & (1 << (column % 8)) != 0
    }

    fn string<'a>(&self, row: &'a [u8], column: &LayoutColumn) -> &'a [u8] {
        let from = column.before.map_or(0, |at| self.end(row, at));
        let to = self.end(row, column.at);
        &row[self.fixed_end + from..self.fixed_end + to]
    }

    /// The value of a column as storage holds it, `Some(None)` for NULL; None if there is no such column.
    pub(crate) fn value(&self, row: &[u8], id: ColumnId) -> Option<Option<PhysicalValue>> {
        let at = self.position(id)?;
        if RowLayout::is_null(row, at) {
            return Some(None);
        }
        let (place, ty) = (&self.columns[at], self.types[at].1);
        if place.slot == Slot::End {
            return Some(Some(PhysicalValue::Bytes(self.string(row, place).to_vec())));
        }
        let bytes = &row[place.at..place.at + place.slot.width()];
        let mut wide = [0; 16];
        wide[..bytes.len()].copy_from_slice(bytes);
        let unsigned = u128::from_le_bytes(wide);
        let unused = 128 - 8 * bytes.len() as u32;
        let signed = ((unsigned << unused) as i128) >> unused;
        Some(Some(match ty.physical() {
            Physical::F32 => PhysicalValue::F32(f32::from_bits(unsigned as u32)),
            Physical::F64 => PhysicalValue::F64(f64::from_bits(unsigned as u64)),
            Physical::I128 => PhysicalValue::I128(signed),
            _ if ty.is_flipped() => PhysicalValue::I64(types::value::flip_u64(unsigned as u64)),
            _ if ty.is_unsigned() => PhysicalValue::I64(unsigned as i64),
            _ => PhysicalValue::I64(signed as i64),
        }))
    }

    /// Whether bytes from the log can be read as a row. Everything else relies on it.
    pub(crate) fn check(&self, row: &[u8]) -> Result<(), &'static str> {
        let variable = row.len().checked_sub(self.fixed_end).ok_or("a row is too short")?;
        let mut last = 0;
        for (column, (_, ty)) in self.columns.iter().zip(&self.types) {
            if column.slot == Slot::End {
                let end = self.end(row, column.at);
                if end < last || end > variable {
                    return Err("a string of a row lies outside of it");
                }
                if ty.is_string() && std::str::from_utf8(self.string(row, column)).is_err() {
                    return Err("a string of a row is not UTF-8");
                }
                last = end;
            }
        }
        if last == variable { Ok(()) } else { Err("a row is too long") }
    }
}

/// One row's bytes and how to read them.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) layout: Arc<RowLayout>,
    pub(crate) bytes: Box<[u8]>,
}

enum Source<'a> {
    Fixed { width: usize, bytes: &'a [u8] },
    Narrow(&'a [i128]),
    Text(&'a arrow::array::StringViewArray),
    Binary(&'a arrow::array::BinaryViewArray),
}

/// Turns the rows of a batch, which has the columns of the layout's definition, into bytes.
pub(crate) struct RowEncoder<'a> {
    layout: &'a RowLayout,
    columns: Vec<(Source<'a>, Option<&'a NullBuffer>)>,
}

fn primitive_bytes(array: &dyn Array) -> Option<&[u8]> {
    macro_rules! bytes {
        ($ty:ty) => {
            array.as_primitive_opt::<$ty>()?.values().inner().as_slice()
        };
    }
    Some(match array.data_type() {
        DataType::Int8 => bytes!(dt::Int8Type),
        DataType::Int16 => bytes!(dt::Int16Type),
        DataType::Int32 => bytes!(dt::Int32Type),
        DataType::Int64 => bytes!(dt::Int64Type),
        DataType::UInt8 => bytes!(dt::UInt8Type),
        DataType::UInt16 => bytes!(dt::UInt16Type),
        DataType::UInt32 => bytes!(dt::UInt32Type),
        DataType::UInt64 => bytes!(dt::UInt64Type),
        DataType::Float32 => bytes!(dt::Float32Type),
        DataType::Float64 => bytes!(dt::Float64Type),
        DataType::Date32 => bytes!(dt::Date32Type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => bytes!(dt::TimestampMicrosecondType),
        DataType::Duration(TimeUnit::Microsecond) => bytes!(dt::DurationMicrosecondType),
        DataType::Decimal128(..) => bytes!(dt::Decimal128Type),
        _ => return None,
    })
}

impl<'a> RowEncoder<'a> {
    pub(crate) fn new(
        def: &TableDef,
        layout: &'a RowLayout,
        batch: &'a RecordBatch,
    ) -> Result<RowEncoder<'a>, StoreError> {
        if batch.num_columns() != def.columns.len() || layout.columns.len() != def.columns.len() {
            return Err(StoreError::internal(format_args!(
                "{} columns came for table {}, which has {}",
                batch.num_columns(),
                def.name,
                def.columns.len()
            )));
        }
        let mut columns = Vec::with_capacity(batch.num_columns());
        for ((array, column), place) in batch.columns().iter().zip(&def.columns).zip(&layout.columns) {
            if *array.data_type() != column.ty.arrow() {
                return Err(StoreError::internal(format_args!(
                    "column {} of type {} came as Arrow {}",
                    column.name,
                    column.ty,
                    array.data_type()
                )));
            }
            let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
            if !column.nullable && nulls.is_some() {
                return Err(StoreError::internal(format_args!("column {} came with NULL", column.name)));
            }
            let source = match place.slot {
                Slot::Narrow => Source::Narrow(array.as_primitive::<dt::Decimal128Type>().values()),
                Slot::Fixed(width) => Source::Fixed {
                    width,
                    bytes: primitive_bytes(array).ok_or_else(|| {
                        StoreError::internal(format_args!("no row form of Arrow {}", array.data_type()))
                    })?,
                },
                Slot::End if column.ty.is_string() => Source::Text(array.as_string_view()),
                Slot::End => Source::Binary(array.as_binary_view()),
            };
            columns.push((source, nulls));
        }
        Ok(RowEncoder { layout, columns })
    }

    pub(crate) fn encode(&self, row: usize) -> Box<[u8]> {
        let mut out = vec![0u8; self.layout.fixed_end];
        for (i, ((source, nulls), place)) in self.columns.iter().zip(&self.layout.columns).enumerate() {
            let null = nulls.is_some_and(|nulls| nulls.is_null(row));
            if null {
                out[i / 8] |= 1 << (i % 8);
            }
            let slot = place.at..place.at + place.slot.width();
            match source {
                Source::Fixed { .. } | Source::Narrow(_) if null => {}
                Source::Fixed { width, bytes } => {
                    out[slot].copy_from_slice(&bytes[row * width..(row + 1) * width]);
                }
                Source::Narrow(values) => out[slot].copy_from_slice(&(values[row] as i64).to_le_bytes()),
                Source::Text(_) | Source::Binary(_) => {
                    if !null {
                        out.extend_from_slice(match source {
                            Source::Text(array) => array.value(row).as_bytes(),
                            Source::Binary(array) => array.value(row),
                            _ => &[],
                        });
                    }
                    let end = (out.len() - self.layout.fixed_end) as u32;
                    out[slot].copy_from_slice(&end.to_le_bytes());
                }
            }
        }
        out.into_boxed_slice()
    }
}

enum Values {
    /// Values of an Arrow type with so many bytes each.
    Fixed(DataType, usize, MutableBuffer, NullBufferBuilder),
    Text(StringViewBuilder),
    Binary(BinaryViewBuilder),
}

struct OutputColumn {
    id: ColumnId,
    slot: Slot,
    values: Values,
    default: Option<PhysicalValue>,
}

/// Collects rows, of whatever versions, into the columns of one definition.
pub(crate) struct RowCollector {
    schema: SchemaRef,
    columns: Vec<OutputColumn>,
    rows: usize,
    /// The layout of the last row, and for each output column its place in it.
    mapped: Option<(Arc<RowLayout>, Vec<Option<usize>>)>,
}

fn output_column(column: &ColumnDef) -> Result<OutputColumn, StoreError> {
    let slot = Slot::of(column.ty);
    let values = match column.ty.physical() {
        Physical::Bytes if column.ty.is_string() => Values::Text(StringViewBuilder::new()),
        Physical::Bytes => Values::Binary(BinaryViewBuilder::new()),
        _ => {
            let arrow = column.ty.arrow();
            let width = arrow.primitive_width().unwrap_or(8);
            Values::Fixed(arrow, width, MutableBuffer::new(0), NullBufferBuilder::new(0))
        }
    };
    Ok(OutputColumn { id: column.id, slot, values, default: None })
}

impl OutputColumn {
    fn append_null(&mut self) {
        match &mut self.values {
            Values::Fixed(_, width, bytes, nulls) => {
                bytes.extend_zeros(*width);
                nulls.append_null();
            }
            Values::Text(builder) => builder.append_null(),
            Values::Binary(builder) => builder.append_null(),
        }
    }

    fn append(&mut self, layout: &RowLayout, row: &[u8], position: usize) -> Result<(), StoreError> {
        if RowLayout::is_null(row, position) {
            self.append_null();
            return Ok(());
        }
        let place = &layout.columns[position];
        match &mut self.values {
            Values::Fixed(_, _, bytes, nulls) => {
                let value = &row[place.at..place.at + place.slot.width()];
                if self.slot == Slot::Narrow {
                    // Invariant: a narrow slot has eight bytes.
                    let narrow = i64::from_le_bytes(value.try_into().expect("eight bytes"));
                    bytes.extend_from_slice(&i128::from(narrow).to_le_bytes());
                } else {
                    bytes.extend_from_slice(value);
                }
                nulls.append_non_null();
            }
            Values::Text(builder) => builder.append_value(
                std::str::from_utf8(layout.string(row, place))
                    .map_err(|_| StoreError::internal("a string of the tail is not UTF-8"))?,
            ),
            Values::Binary(builder) => builder.append_value(layout.string(row, place)),
        }
        Ok(())
    }

    fn append_physical(&mut self, value: &PhysicalValue) -> Result<(), StoreError> {
        match (&mut self.values, value) {
            (Values::Fixed(ty, width, bytes, nulls), value) => {
                let wide: i128 = match value {
                    // BIGINT UNSIGNED and BIT are physical with their top bit flipped.
                    PhysicalValue::I64(v) if *ty == DataType::UInt64 => types::value::unflip_u64(*v).into(),
                    PhysicalValue::I64(v) => i128::from(*v),
                    PhysicalValue::I128(v) => *v,
                    PhysicalValue::F32(v) => i128::from(v.to_bits()),
                    PhysicalValue::F64(v) => i128::from(v.to_bits()),
                    PhysicalValue::Bytes(_) => return Err(StoreError::internal("a default of another type")),
                };
                bytes.extend_from_slice(&wide.to_le_bytes()[..*width]);
                nulls.append_non_null();
            }
            (Values::Text(builder), PhysicalValue::Bytes(v)) => builder.append_value(
                std::str::from_utf8(v).map_err(|_| StoreError::internal("a default is not UTF-8"))?,
            ),
            (Values::Binary(builder), PhysicalValue::Bytes(v)) => builder.append_value(v),
            _ => return Err(StoreError::internal("a default of another type")),
        }
        Ok(())
    }
}

/// The default of a column as storage holds it; None: NULL.
fn physical_default(column: &ColumnDef) -> Result<Option<PhysicalValue>, StoreError> {
    match default_value(column)? {
        Value::Null => Ok(None),
        value => value
            .to_physical(column.ty)
            .map(Some)
            .ok_or_else(|| StoreError::internal(format_args!("the default of {} does not fit", column.name))),
    }
}

/// The default of a column, `rows` times.
pub(crate) fn default_array(column: &ColumnDef, rows: usize) -> Result<ArrayRef, StoreError> {
    let mut output = output_column(column)?;
    let value = physical_default(column)?;
    for _ in 0..rows {
        match &value {
            None => output.append_null(),
            Some(value) => output.append_physical(value)?,
        }
    }
    finish_column(output, rows)
}

fn finish_column(column: OutputColumn, rows: usize) -> Result<ArrayRef, StoreError> {
    Ok(match column.values {
        Values::Fixed(ty, _, bytes, mut nulls) => {
            let data = arrow::array::ArrayData::builder(ty)
                .len(rows)
                .add_buffer(bytes.into())
                .nulls(nulls.finish())
                .build()?;
            make_array(data)
        }
        Values::Text(mut builder) => Arc::new(builder.finish()),
        Values::Binary(mut builder) => Arc::new(builder.finish()),
    })
}

impl RowCollector {
    pub(crate) fn new(def: &TableDef) -> Result<RowCollector, StoreError> {
        let ids: Vec<ColumnId> = def.columns.iter().map(|c| c.id).collect();
        RowCollector::of_schema(def, crate::scan::output_schema(def, &ids, false)?)
    }

    /// `schema`: of all columns of the definition.
    pub(crate) fn of_schema(def: &TableDef, schema: SchemaRef) -> Result<RowCollector, StoreError> {
        Ok(RowCollector {
            schema,
            columns: def.columns.iter().map(output_column).collect::<Result<_, _>>()?,
            rows: 0,
            mapped: None,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    fn map(&mut self, def: &TableDef, layout: &Arc<RowLayout>) -> Result<(), StoreError> {
        let places: Vec<Option<usize>> = self.columns.iter().map(|c| layout.position(c.id)).collect();
        for (at, place) in places.iter().enumerate() {
            if place.is_none() && self.columns[at].default.is_none() {
                self.columns[at].default = physical_default(&def.columns[at])?;
            }
        }
        self.mapped = Some((layout.clone(), places));
        Ok(())
    }

    /// Appends a row. `def` is the one that the collector was made with.
    pub(crate) fn push(&mut self, def: &TableDef, row: &Row) -> Result<(), StoreError> {
        if !self.mapped.as_ref().is_some_and(|(layout, _)| Arc::ptr_eq(layout, &row.layout)) {
            self.map(def, &row.layout)?;
        }
        let Some((layout, places)) = &self.mapped else { return Ok(()) };
        for (column, place) in self.columns.iter_mut().zip(places) {
            match place {
                Some(position) => column.append(layout, &row.bytes, *position)?,
                None => match column.default.take() {
                    None => column.append_null(),
                    Some(value) => {
                        column.append_physical(&value)?;
                        column.default = Some(value);
                    }
                },
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<RecordBatch, StoreError> {
        let rows = self.rows;
        let columns = self.columns.into_iter().map(|c| finish_column(c, rows)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema, columns, &options)?)
    }
}

/// The columns of `batch`, which was made under `from`, as `to` has them: by id, with defaults for
/// columns that were added since.
pub(crate) fn adapt(from: &TableDef, to: &TableDef, batch: &RecordBatch) -> Result<RecordBatch, StoreError> {
    if from.version == to.version {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let ids: Vec<ColumnId> = to.columns.iter().map(|c| c.id).collect();
    let columns = to
        .columns
        .iter()
        .map(|column| match from.position(column.id) {
            Some(at) => Ok(batch.column(at).clone()),
            None => default_array(column, rows),
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let schema = crate::scan::output_schema(to, &ids, false)?;
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use arrow::array::{Int32Array, StringViewArray};
    use types::ColumnDefault;

    #[test]
    fn rows_of_every_type_round_trip() {
        let def = testing::wide_table();
        let batch = testing::wide_rows(&def, 100, 7);
        let layout = Arc::new(RowLayout::of(&def));
        let encoder = RowEncoder::new(&def, &layout, &batch).unwrap();
        let mut collector = RowCollector::new(&def).unwrap();
        for row in 0..batch.num_rows() {
            let bytes = encoder.encode(row);
            layout.check(&bytes).unwrap();
            collector.push(&def, &Row { layout: layout.clone(), bytes }).unwrap();
        }
        assert_eq!(collector.finish().unwrap(), batch);
    }

    #[test]
    fn a_column_added_later_has_its_default_and_a_dropped_one_is_left_out() {
        let old = testing::kv_table(1);
        let batch = testing::kv_rows(&old, &[(1, Some("a")), (2, None)]);
        let mut new = old.clone();
        new.version = 2;
        new.columns.remove(1);
        let mut added = old.columns[1].clone();
        (added.id, added.name) = (ColumnId(9), "n".into());
        (added.ty, added.nullable) = (SqlType::Int { unsigned: false }, false);
        added.default = ColumnDefault::Literal("-7".into());
        new.columns.push(added);
        let layout = Arc::new(RowLayout::of(&old));
        let encoder = RowEncoder::new(&old, &layout, &batch).unwrap();
        let mut collector = RowCollector::new(&new).unwrap();
        for row in 0..2 {
            collector.push(&new, &Row { layout: layout.clone(), bytes: encoder.encode(row) }).unwrap();
        }
        let read = collector.finish().unwrap();
        assert_eq!(read, adapt(&old, &new, &batch).unwrap());
        assert_eq!(read.column(1).as_ref(), &Int32Array::from(vec![-7, -7]) as &dyn Array);
    }

    #[test]
    fn bytes_that_are_no_row_are_refused() {
        let def = testing::kv_table(1);
        let layout = RowLayout::of(&def);
        let batch = testing::kv_rows(&def, &[(1, Some("abc"))]);
        let good = RowEncoder::new(&def, &layout, &batch).unwrap().encode(0);
        layout.check(&good).unwrap();
        for cut in 0..good.len() {
            assert!(layout.check(&good[..cut]).is_err());
        }
        let mut long = good.to_vec();
        long.push(0);
        assert!(layout.check(&long).is_err());
        let mut wrong = good.to_vec();
        *wrong.last_mut().unwrap() = 0xff;
        assert!(layout.check(&wrong).is_err());
        let text = batch.column(1).as_any().downcast_ref::<StringViewArray>().unwrap();
        assert_eq!(text.value(0), "abc");
    }
}
