//! Rows on the wire: columns as narrow as their values.
//!
//! What leaves send each other is made, sent and read once, by processes of the same version, so the format
//! has no numbers of versions, no alignment, and says nothing twice. Most of what a query moves are keys, amounts
//! and dates that need a quarter of the bytes in which they are computed with, and copying bytes is most of what
//! a shuffle between processes costs ([`numbers`]; [`strings`]).
//!
//! ```text
//! message  := 0 | 1 schema, rows u32, body of each column     the schema comes with the first and if it changes
//! schema   := fields, pairs                                   see [`types`]
//! body     := nothing, of type Null
//!           | nulls, values
//! nulls    := 0 | 1 bits                                      a bit for each row: there is a value
//! values   := bits                                            BOOL
//!           | numbers                                         integers, decimals, dates and times
//!           | bytes of fixed width each                       floating point, wide decimals, fixed binary
//!           | strings                                         all kinds of strings
//!           | lengths as numbers, body of the elements        lists
//!           | body of each field                              structs
//!           | keys as numbers, values u32, body of the values dictionaries
//! ```
//!
//! All integers are little-endian. Where there is NULL, any value may stand.
//!
//! Bytes that were damaged decode to an error or to other rows, never to a panic, and never take more than
//! [`LARGEST`] of memory.

mod cursor;
mod numbers;
mod strings;
#[cfg(test)]
mod tests;
mod types;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, NullArray, RecordBatch, RecordBatchOptions, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{BinaryType, DataType, FieldRef, LargeBinaryType, LargeUtf8Type, SchemaRef, Utf8Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use cursor::Cursor;
use std::ops::Range;
use std::sync::Arc;

type Result<T> = std::result::Result<T, ArrowError>;

/// Bytes that the rows of one message may take once they are decoded.
const LARGEST: usize = 1 << 30;

/// Writes the batches of one stream.
#[derive(Default)]
pub(crate) struct Encoder {
    sent: Option<SchemaRef>,
}

impl Encoder {
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        let mut out = Vec::with_capacity(64 + batch.num_rows() * batch.num_columns() * 4);
        let schema = batch.schema_ref();
        let known = self.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, schema) || sent == schema);
        out.push(u8::from(!known));
        if !known {
            types::write_schema(schema, &mut out)?;
            self.sent = Some(schema.clone());
        }
        write_count(batch.num_rows(), &mut out)?;
        for column in batch.columns() {
            write(column.as_ref(), &mut out)?;
        }
        Ok(out.into())
    }
}

/// Reads the batches of one stream.
#[derive(Default)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
}

impl Decoder {
    pub(crate) fn decode(&mut self, message: Bytes) -> Result<RecordBatch> {
        let mut cursor = Cursor::new(message, LARGEST);
        if cursor.u8()? == 1 {
            self.schema = Some(Arc::new(types::read_schema(&mut cursor)?));
        }
        let schema = self.schema.clone().ok_or_else(|| damaged("rows came before what they are"))?;
        let rows = cursor.count()?;
        let columns = schema.fields().iter().map(|field| read(field.data_type(), rows, &mut cursor));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        cursor.at_end()?;
        RecordBatch::try_new_with_options(
            schema,
            columns,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )
    }
}

fn damaged(what: &str) -> ArrowError {
    ArrowError::IpcError(what.to_string())
}

fn unsupported(ty: &DataType) -> ArrowError {
    ArrowError::NotYetImplemented(format!("values of type {ty} between nodes"))
}

fn write_count(count: usize, out: &mut Vec<u8>) -> Result<()> {
    let count = u32::try_from(count).map_err(|_| damaged("more than 4 G of rows or bytes in one batch"))?;
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

fn write(column: &dyn Array, out: &mut Vec<u8>) -> Result<()> {
    let ty = column.data_type();
    if *ty == DataType::Null {
        return Ok(());
    }
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    match nulls {
        None => out.push(0),
        Some(nulls) => {
            out.push(1);
            write_bits(nulls.inner(), out);
        }
    }
    match ty {
        DataType::Boolean => write_bits(column.as_boolean().values(), out),
        DataType::Utf8View => strings::write_views(column.as_string_view(), nulls, out)?,
        DataType::BinaryView => strings::write_views(column.as_binary_view(), nulls, out)?,
        DataType::Utf8 => strings::write(column.as_string::<i32>(), out)?,
        DataType::LargeUtf8 => strings::write(column.as_string::<i64>(), out)?,
        DataType::Binary => strings::write(column.as_binary::<i32>(), out)?,
        DataType::LargeBinary => strings::write(column.as_binary::<i64>(), out)?,
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            write_list(list.offsets(), list.values(), out)?;
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            write_list(list.offsets(), list.values(), out)?;
        }
        DataType::Struct(_) => {
            for field in column.as_struct().columns() {
                write(field.as_ref(), out)?;
            }
        }
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            write_fixed(dictionary.keys(), nulls, out)?;
            write_count(dictionary.values().len(), out)?;
            write(dictionary.values().as_ref(), out)?;
        }
        _ => write_fixed(column, nulls, out)?,
    }
    Ok(())
}

fn read(ty: &DataType, rows: usize, cursor: &mut Cursor) -> Result<ArrayRef> {
    if *ty == DataType::Null {
        return Ok(Arc::new(NullArray::new(rows)));
    }
    let nulls = match cursor.u8()? {
        0 => None,
        _ => Some(NullBuffer::new(read_bits(rows, cursor)?)),
    };
    Ok(match ty {
        DataType::Boolean => Arc::new(BooleanArray::new(read_bits(rows, cursor)?, nulls)),
        DataType::Utf8View => strings::read_text_views(rows, nulls, cursor)?,
        DataType::BinaryView => strings::read_binary_views(rows, nulls, cursor)?,
        DataType::Utf8 => strings::read::<Utf8Type>(rows, nulls, cursor)?,
        DataType::LargeUtf8 => strings::read::<LargeUtf8Type>(rows, nulls, cursor)?,
        DataType::Binary => strings::read::<BinaryType>(rows, nulls, cursor)?,
        DataType::LargeBinary => strings::read::<LargeBinaryType>(rows, nulls, cursor)?,
        DataType::List(element) => read_list::<i32>(element, rows, nulls, cursor)?,
        DataType::LargeList(element) => read_list::<i64>(element, rows, nulls, cursor)?,
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|field| read(field.data_type(), rows, cursor));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Arc::new(arrow::array::StructArray::try_new_with_length(fields.clone(), columns, nulls, rows)?)
        }
        DataType::Dictionary(key, value) => {
            let keys = read_fixed(key, rows, nulls.clone(), cursor)?;
            let count = cursor.count()?;
            let values = read(value, count, cursor)?;
            let data = keys.to_data().into_builder().data_type(ty.clone()).add_child_data(values.to_data());
            make_array(data.build()?)
        }
        _ => read_fixed(ty, rows, nulls, cursor)?,
    })
}

fn write_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    out.extend_from_slice(&bits.sliced()[..bits.len().div_ceil(8)]);
}

fn read_bits(rows: usize, cursor: &mut Cursor) -> Result<BooleanBuffer> {
    let bits = cursor.take(rows.div_ceil(8))?;
    cursor.room(bits.len())?;
    Ok(BooleanBuffer::new(Buffer::from(bits.as_ref()), 0, rows))
}

/// Values of fixed width: those that are integers as numbers, others as they are.
fn write_fixed(column: &dyn Array, nulls: Option<&NullBuffer>, out: &mut Vec<u8>) -> Result<()> {
    let data = column.to_data();
    if numbers::write_integers(&data, nulls, out) {
        return Ok(());
    }
    let width = width(column.data_type())?;
    let from = data.offset() * width;
    out.extend_from_slice(&data.buffers()[0].as_slice()[from..from + data.len() * width]);
    Ok(())
}

fn read_fixed(
    ty: &DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
    cursor: &mut Cursor,
) -> Result<ArrayRef> {
    let values = match numbers::read_integers(ty, rows, cursor)? {
        Some(values) => values,
        None => {
            let bytes = rows.checked_mul(width(ty)?).ok_or_else(|| damaged("too many rows"))?;
            let values = cursor.take(bytes)?;
            cursor.room(bytes)?;
            // A copy, which is aligned as its type wants it.
            Buffer::from(values.as_ref())
        }
    };
    Ok(make_array(ArrayData::builder(ty.clone()).len(rows).nulls(nulls).add_buffer(values).build()?))
}

fn width(ty: &DataType) -> Result<usize> {
    match ty {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).map_err(|_| unsupported(ty)),
        _ => ty.primitive_width().ok_or_else(|| unsupported(ty)),
    }
}

fn write_list<O: arrow::array::OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    elements: &ArrayRef,
    out: &mut Vec<u8>,
) -> Result<()> {
    let places = write_offsets(offsets, out);
    write(elements.slice(places.start, places.len()).as_ref(), out)
}

fn read_list<O: arrow::array::OffsetSizeTrait>(
    element: &FieldRef,
    rows: usize,
    nulls: Option<NullBuffer>,
    cursor: &mut Cursor,
) -> Result<ArrayRef> {
    let (offsets, count) = read_offsets::<O>(rows, cursor)?;
    let elements = read(element.data_type(), count, cursor)?;
    let list = arrow::array::GenericListArray::<O>::try_new(element.clone(), offsets, elements, nulls)?;
    Ok(Arc::new(list))
}

/// Offsets as lengths; the places between the first and the last.
fn write_offsets<O: arrow::array::OffsetSizeTrait>(
    offsets: &OffsetBuffer<O>,
    out: &mut Vec<u8>,
) -> Range<usize> {
    let lengths: Vec<u64> = offsets.lengths().map(|length| length as u64).collect();
    numbers::write(&lengths, out);
    offsets[0].as_usize()..offsets[offsets.len() - 1].as_usize()
}

/// Offsets from lengths; the last of them.
fn read_offsets<O: arrow::array::OffsetSizeTrait>(
    rows: usize,
    cursor: &mut Cursor,
) -> Result<(OffsetBuffer<O>, usize)> {
    let lengths = numbers::read::<u64>(rows, cursor)?;
    cursor.room(rows.saturating_add(1).saturating_mul(size_of::<O>()))?;
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut at = 0usize;
    offsets.push(O::zero());
    for length in lengths {
        let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
        let end = end.filter(|end| *end <= u32::MAX as usize && *end <= O::MAX_OFFSET);
        at = end.ok_or_else(|| damaged("values are longer than can be"))?;
        offsets.push(O::usize_as(at));
    }
    // They begin at zero and never fall.
    Ok((OffsetBuffer::new(offsets.into()), at))
}
