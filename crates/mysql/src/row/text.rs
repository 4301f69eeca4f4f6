//! Values of the text protocol: each a length-encoded string.

use super::{Encode, Nothing};
use crate::column::{ColumnMeta, NOT_FIXED};
use crate::format::{float, integer, temporal};
use crate::packet::writer::put_lenenc_bytes;
use ::types::{SqlError, SqlType};
use arrow::array::*;
use arrow::datatypes::*;

pub(super) fn encoder(array: &ArrayRef, meta: &ColumnMeta) -> Result<Box<dyn Encode>, SqlError> {
    let fixed = meta.decimals < NOT_FIXED;
    let fsp = meta.decimals;
    Ok(match array.data_type() {
        DataType::Null => Box::new(Nothing),
        DataType::Boolean => Box::new(Booleans(array.as_boolean().clone())),
        DataType::Int8 => Box::new(Signed(of::<Int8Type>(array))),
        DataType::Int16 => Box::new(Signed(of::<Int16Type>(array))),
        DataType::Int32 => Box::new(Signed(of::<Int32Type>(array))),
        DataType::Int64 => Box::new(Signed(of::<Int64Type>(array))),
        DataType::UInt8 => Box::new(Unsigned(of::<UInt8Type>(array))),
        DataType::UInt16 if meta.ty == SqlType::Year => Box::new(Years(of::<UInt16Type>(array))),
        DataType::UInt16 => Box::new(Unsigned(of::<UInt16Type>(array))),
        DataType::UInt32 => Box::new(Unsigned(of::<UInt32Type>(array))),
        DataType::UInt64 => match meta.ty {
            SqlType::Bit(bits) => Box::new(Bits { bits, values: of::<UInt64Type>(array) }),
            _ => Box::new(Unsigned(of::<UInt64Type>(array))),
        },
        DataType::Decimal128(_, scale) => {
            Box::new(Decimals { scale: *scale as u8, values: of::<Decimal128Type>(array) })
        }
        DataType::Float32 if fixed => {
            Box::new(FixedFloats { decimals: meta.decimals, values: of::<Float32Type>(array) })
        }
        DataType::Float32 => Box::new(Floats(of::<Float32Type>(array))),
        DataType::Float64 if fixed => {
            Box::new(FixedDoubles { decimals: meta.decimals, values: of::<Float64Type>(array) })
        }
        DataType::Float64 => Box::new(Doubles(of::<Float64Type>(array))),
        DataType::Date32 => Box::new(Dates(of::<Date32Type>(array))),
        DataType::Duration(TimeUnit::Microsecond) => {
            Box::new(Times { fsp, values: of::<DurationMicrosecondType>(array) })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Box::new(DateTimes { fsp, values: of::<TimestampMicrosecondType>(array) })
        }
        _ => return strings(array),
    })
}

fn of<T: ArrowPrimitiveType>(array: &ArrayRef) -> PrimitiveArray<T> {
    array.as_primitive::<T>().clone()
}

/// Strings and bytes, of which both protocols make the same.
pub(super) fn strings(array: &ArrayRef) -> Result<Box<dyn Encode>, SqlError> {
    Ok(match array.data_type() {
        DataType::Utf8 => Box::new(Strings(array.as_string::<i32>().clone())),
        DataType::LargeUtf8 => Box::new(Strings(array.as_string::<i64>().clone())),
        DataType::Utf8View => Box::new(Views(array.as_string_view().clone())),
        DataType::Binary => Box::new(Strings(array.as_binary::<i32>().clone())),
        DataType::LargeBinary => Box::new(Strings(array.as_binary::<i64>().clone())),
        DataType::BinaryView => Box::new(Views(array.as_binary_view().clone())),
        DataType::FixedSizeBinary(_) => Box::new(FixedBytes(array.as_fixed_size_binary().clone())),
        other => return Err(SqlError::unsupported(format_args!("result column of type {other}"))),
    })
}

struct Booleans(BooleanArray);

impl Encode for Booleans {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, b'0' + u8::from(self.0.value(row))]);
    }
}

struct Signed<T: ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: ArrowPrimitiveType<Native: Into<i64>>> Encode for Signed<T> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        integer::put_i64(out, self.0.value(row).into());
    }
}

struct Unsigned<T: ArrowPrimitiveType>(PrimitiveArray<T>);

impl<T: ArrowPrimitiveType<Native: Into<u64>>> Encode for Unsigned<T> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        integer::put_u64(out, self.0.value(row).into());
    }
}

struct Years(UInt16Array);

impl Encode for Years {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, format!("{:04}", self.0.value(row)).as_bytes());
    }
}

pub(super) struct Decimals {
    pub scale: u8,
    pub values: Decimal128Array,
}

impl Encode for Decimals {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        integer::put_decimal(out, self.values.value(row), self.scale);
    }
}

struct Floats(Float32Array);

impl Encode for Floats {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        float::put_float(out, self.0.value(row));
    }
}

struct Doubles(Float64Array);

impl Encode for Doubles {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        float::put_double(out, self.0.value(row));
    }
}

struct FixedFloats {
    decimals: u8,
    values: Float32Array,
}

impl Encode for FixedFloats {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        float::put_fixed(out, self.values.value(row).into(), self.decimals);
    }
}

struct FixedDoubles {
    decimals: u8,
    values: Float64Array,
}

impl Encode for FixedDoubles {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        float::put_fixed(out, self.values.value(row), self.decimals);
    }
}

struct Dates(Date32Array);

impl Encode for Dates {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        temporal::put_date(out, self.0.value(row).into());
    }
}

struct Times {
    fsp: u8,
    values: DurationMicrosecondArray,
}

impl Encode for Times {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        temporal::put_time(out, self.values.value(row), self.fsp);
    }
}

struct DateTimes {
    fsp: u8,
    values: TimestampMicrosecondArray,
}

impl Encode for DateTimes {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        temporal::put_datetime(out, self.values.value(row), self.fsp);
    }
}

/// BIT(n): as many bytes as it takes, in both protocols.
pub(super) struct Bits {
    pub(super) bits: u8,
    pub(super) values: UInt64Array,
}

impl Encode for Bits {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, ::types::bits::bytes(self.values.value(row), self.bits).as_slice());
    }
}

struct Strings<T: ByteArrayType>(GenericByteArray<T>);

impl<T: ByteArrayType> Encode for Strings<T> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, self.0.value(row).as_ref());
    }
}

struct Views<T: ByteViewType + ?Sized>(GenericByteViewArray<T>);

impl<T: ByteViewType + ?Sized> Encode for Views<T> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, self.0.value(row).as_ref());
    }
}

struct FixedBytes(FixedSizeBinaryArray);

impl Encode for FixedBytes {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_lenenc_bytes(out, self.0.value(row));
    }
}
