//! Schemas on the wire.
//!
//! ```text
//! schema := count u32, fields, pairs
//! field  := name, nullable u8, type, pairs
//! type   := number u8 of [`PLAIN`]
//!         | 64 + kind, what it is of
//! pairs  := count u32, (text, text)
//! text   := size u32, UTF-8
//! ```

use super::cursor::Cursor;
use super::{Result, damaged, unsupported, write_count};
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use std::collections::HashMap;
use std::sync::Arc;

/// The types that are of nothing, by their numbers.
const PLAIN: [DataType; 36] = [
    DataType::Null,
    DataType::Boolean,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float16,
    DataType::Float32,
    DataType::Float64,
    DataType::Date32,
    DataType::Date64,
    DataType::Time32(TimeUnit::Second),
    DataType::Time32(TimeUnit::Millisecond),
    DataType::Time64(TimeUnit::Microsecond),
    DataType::Time64(TimeUnit::Nanosecond),
    DataType::Timestamp(TimeUnit::Second, None),
    DataType::Timestamp(TimeUnit::Millisecond, None),
    DataType::Timestamp(TimeUnit::Microsecond, None),
    DataType::Timestamp(TimeUnit::Nanosecond, None),
    DataType::Duration(TimeUnit::Second),
    DataType::Duration(TimeUnit::Millisecond),
    DataType::Duration(TimeUnit::Microsecond),
    DataType::Duration(TimeUnit::Nanosecond),
    DataType::Interval(IntervalUnit::YearMonth),
    DataType::Interval(IntervalUnit::DayTime),
    DataType::Interval(IntervalUnit::MonthDayNano),
    DataType::Utf8,
    DataType::LargeUtf8,
    DataType::Utf8View,
    DataType::Binary,
    DataType::LargeBinary,
    DataType::BinaryView,
];

const TIMESTAMP: u8 = 64;
const DECIMAL32: u8 = 65;
const DECIMAL64: u8 = 66;
const DECIMAL128: u8 = 67;
const DECIMAL256: u8 = 68;
const FIXED_SIZE_BINARY: u8 = 69;
const LIST: u8 = 70;
const LARGE_LIST: u8 = 71;
const STRUCT: u8 = 72;
const DICTIONARY: u8 = 73;

const UNITS: [TimeUnit; 4] =
    [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];

/// How deep types are within others.
const DEEPEST: usize = 32;

pub(super) fn write_schema(schema: &Schema, out: &mut Vec<u8>) -> Result<()> {
    write_fields(&schema.fields, out)?;
    write_pairs(&schema.metadata, out)
}

pub(super) fn read_schema(cursor: &mut Cursor) -> Result<Schema> {
    let fields = read_fields(DEEPEST, cursor)?;
    Ok(Schema::new_with_metadata(fields, read_pairs(cursor)?))
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) -> Result<()> {
    write_count(fields.len(), out)?;
    fields.iter().try_for_each(|field| write_field(field, out))
}

fn read_fields(depth: usize, cursor: &mut Cursor) -> Result<Fields> {
    let count = cursor.count()?;
    (0..count).map(|_| read_field(depth, cursor)).collect()
}

fn write_field(field: &Field, out: &mut Vec<u8>) -> Result<()> {
    write_text(field.name(), out)?;
    out.push(u8::from(field.is_nullable()));
    write_type(field.data_type(), out)?;
    write_pairs(field.metadata(), out)
}

fn read_field(depth: usize, cursor: &mut Cursor) -> Result<Field> {
    cursor.room(size_of::<Field>())?;
    let name = read_text(cursor)?;
    let nullable = cursor.u8()? == 1;
    let ty = read_type(depth, cursor)?;
    let pairs = read_pairs(cursor)?;
    let field = Field::new(name, ty, nullable);
    Ok(if pairs.is_empty() { field } else { field.with_metadata(pairs) })
}

fn write_type(ty: &DataType, out: &mut Vec<u8>) -> Result<()> {
    if let Some(number) = PLAIN.iter().position(|plain| plain == ty) {
        out.push(number as u8);
        return Ok(());
    }
    let mut decimal = |kind, precision: &u8, scale: &i8| {
        out.extend_from_slice(&[kind, *precision, *scale as u8]);
        Ok(())
    };
    match ty {
        DataType::Decimal32(precision, scale) => return decimal(DECIMAL32, precision, scale),
        DataType::Decimal64(precision, scale) => return decimal(DECIMAL64, precision, scale),
        DataType::Decimal128(precision, scale) => return decimal(DECIMAL128, precision, scale),
        DataType::Decimal256(precision, scale) => return decimal(DECIMAL256, precision, scale),
        _ => {}
    }
    match ty {
        DataType::Timestamp(unit, Some(zone)) => {
            let unit = UNITS.iter().position(|known| known == unit).unwrap_or_default();
            out.extend_from_slice(&[TIMESTAMP, unit as u8]);
            write_text(zone, out)
        }
        DataType::FixedSizeBinary(width) => {
            out.push(FIXED_SIZE_BINARY);
            out.extend_from_slice(&width.to_le_bytes());
            Ok(())
        }
        DataType::List(element) => {
            out.push(LIST);
            write_field(element, out)
        }
        DataType::LargeList(element) => {
            out.push(LARGE_LIST);
            write_field(element, out)
        }
        DataType::Struct(fields) => {
            out.push(STRUCT);
            write_fields(fields, out)
        }
        DataType::Dictionary(key, value) => {
            out.push(DICTIONARY);
            write_type(key, out)?;
            write_type(value, out)
        }
        _ => Err(unsupported(ty)),
    }
}

fn read_type(depth: usize, cursor: &mut Cursor) -> Result<DataType> {
    let depth = depth.checked_sub(1).ok_or_else(|| damaged("a type within too many others"))?;
    let kind = cursor.u8()?;
    if let Some(plain) = PLAIN.get(usize::from(kind)) {
        return Ok(plain.clone());
    }
    Ok(match kind {
        TIMESTAMP => {
            let unit = UNITS.get(usize::from(cursor.u8()?)).ok_or_else(|| damaged("a unit that is none"))?;
            DataType::Timestamp(*unit, Some(read_text(cursor)?.into()))
        }
        DECIMAL32 => DataType::Decimal32(cursor.u8()?, cursor.u8()? as i8),
        DECIMAL64 => DataType::Decimal64(cursor.u8()?, cursor.u8()? as i8),
        DECIMAL128 => DataType::Decimal128(cursor.u8()?, cursor.u8()? as i8),
        DECIMAL256 => DataType::Decimal256(cursor.u8()?, cursor.u8()? as i8),
        FIXED_SIZE_BINARY => DataType::FixedSizeBinary(cursor.u32()? as i32),
        LIST => DataType::List(Arc::new(read_field(depth, cursor)?)),
        LARGE_LIST => DataType::LargeList(Arc::new(read_field(depth, cursor)?)),
        STRUCT => DataType::Struct(read_fields(depth, cursor)?),
        DICTIONARY => {
            let key = read_type(depth, cursor)?;
            if !key.is_dictionary_key_type() {
                return Err(damaged("keys of a dictionary that are no integers"));
            }
            DataType::Dictionary(Box::new(key), Box::new(read_type(depth, cursor)?))
        }
        _ => return Err(damaged("a type that is not known")),
    })
}

fn write_pairs(pairs: &HashMap<String, String>, out: &mut Vec<u8>) -> Result<()> {
    write_count(pairs.len(), out)?;
    pairs.iter().try_for_each(|(key, value)| {
        write_text(key, out)?;
        write_text(value, out)
    })
}

fn read_pairs(cursor: &mut Cursor) -> Result<HashMap<String, String>> {
    let count = cursor.count()?;
    (0..count).map(|_| Ok((read_text(cursor)?, read_text(cursor)?))).collect()
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    write_count(text.len(), out)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn read_text(cursor: &mut Cursor) -> Result<String> {
    let size = cursor.count()?;
    cursor.room(size_of::<String>() + size)?;
    let bytes = cursor.take(size)?.to_vec();
    String::from_utf8(bytes).map_err(|_| damaged("a name that is not UTF-8"))
}
