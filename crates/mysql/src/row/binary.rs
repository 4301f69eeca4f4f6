//! Values of the binary protocol: numbers little-endian in the width of their type, dates and times
//! as fields, all else as a length-encoded string.

use super::text::{Bits, Decimals, strings};
use super::{Encode, Nothing};
use crate::column::ColumnMeta;
use crate::format::temporal::{Day, MICROS_PER_DAY, MICROS_PER_SECOND, truncate};
use ::types::{SqlError, SqlType};
use arrow::array::*;
use arrow::datatypes::*;

pub(super) fn encoder(array: &ArrayRef, meta: &ColumnMeta) -> Result<Box<dyn Encode>, SqlError> {
    let fsp = meta.decimals;
    Ok(match array.data_type() {
        DataType::Null => Box::new(Nothing),
        DataType::Boolean => Box::new(Booleans(array.as_boolean().clone())),
        DataType::Int8 => numbers::<Int8Type, 1>(array),
        DataType::Int16 => numbers::<Int16Type, 2>(array),
        DataType::Int32 => numbers::<Int32Type, 4>(array),
        DataType::Int64 => numbers::<Int64Type, 8>(array),
        DataType::UInt8 => numbers::<UInt8Type, 1>(array),
        DataType::UInt16 => numbers::<UInt16Type, 2>(array),
        DataType::UInt32 => numbers::<UInt32Type, 4>(array),
        DataType::UInt64 => match meta.ty {
            SqlType::Bit(bits) => Box::new(Bits { bits, values: array.as_primitive::<UInt64Type>().clone() }),
            _ => numbers::<UInt64Type, 8>(array),
        },
        DataType::Float32 => numbers::<Float32Type, 4>(array),
        DataType::Float64 => numbers::<Float64Type, 8>(array),
        DataType::Decimal128(_, scale) => {
            Box::new(Decimals { scale: *scale as u8, values: array.as_primitive::<Decimal128Type>().clone() })
        }
        DataType::Date32 => Box::new(Dates(array.as_primitive::<Date32Type>().clone())),
        DataType::Duration(TimeUnit::Microsecond) => {
            Box::new(Times { fsp, values: array.as_primitive::<DurationMicrosecondType>().clone() })
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Box::new(DateTimes { fsp, values: array.as_primitive::<TimestampMicrosecondType>().clone() })
        }
        _ => return strings(array),
    })
}

fn numbers<T, const N: usize>(array: &ArrayRef) -> Box<dyn Encode>
where
    T: ArrowPrimitiveType<Native: LittleEndian<N>>,
{
    Box::new(Numbers::<T, N>(array.as_primitive::<T>().clone()))
}

/// A number of `N` bytes.
trait LittleEndian<const N: usize> {
    fn bytes(self) -> [u8; N];
}

macro_rules! little_endian {
    ($($ty:ty: $n:literal),*) => {
        $(impl LittleEndian<$n> for $ty {
            fn bytes(self) -> [u8; $n] {
                self.to_le_bytes()
            }
        })*
    };
}

little_endian!(i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, f32: 4, i64: 8, u64: 8, f64: 8);

struct Numbers<T: ArrowPrimitiveType, const N: usize>(PrimitiveArray<T>);

impl<T: ArrowPrimitiveType<Native: LittleEndian<N>>, const N: usize> Encode for Numbers<T, N> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.value(row).bytes());
    }
}

struct Booleans(BooleanArray);

impl Encode for Booleans {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        out.push(u8::from(self.0.value(row)));
    }
}

/// Length, year u16, month, day.
fn put_day(out: &mut Vec<u8>, len: u8, days: i64) {
    let Day { year, month, day } = Day::of_days(days);
    let [low, high] = (year.clamp(0, 9999) as u16).to_le_bytes();
    out.extend_from_slice(&[len, low, high, month, day]);
}

struct Dates(Date32Array);

impl Encode for Dates {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        put_day(out, 4, self.0.value(row).into());
    }
}

/// Hours, minutes and seconds of a day.
fn clock(seconds: i64) -> [u8; 3] {
    [(seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8]
}

struct DateTimes {
    fsp: u8,
    values: TimestampMicrosecondArray,
}

impl Encode for DateTimes {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        let value = self.values.value(row);
        let of_day = truncate(value.rem_euclid(MICROS_PER_DAY), self.fsp);
        let (seconds, micros) = (of_day / MICROS_PER_SECOND, of_day % MICROS_PER_SECOND);
        let len = match (seconds, micros) {
            (0, 0) => 4,
            (_, 0) => 7,
            _ => 11,
        };
        put_day(out, len, value.div_euclid(MICROS_PER_DAY));
        if len >= 7 {
            out.extend_from_slice(&clock(seconds));
        }
        if len == 11 {
            out.extend_from_slice(&(micros as u32).to_le_bytes());
        }
    }
}

struct Times {
    fsp: u8,
    values: DurationMicrosecondArray,
}

impl Encode for Times {
    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        let value = truncate(self.values.value(row), self.fsp);
        if value == 0 {
            return out.push(0);
        }
        let total = value.unsigned_abs();
        let micros = (total % MICROS_PER_SECOND as u64) as u32;
        let of_day = (total % MICROS_PER_DAY as u64) as i64 / MICROS_PER_SECOND;
        out.extend_from_slice(&[if micros == 0 { 8 } else { 12 }, u8::from(value < 0)]);
        out.extend_from_slice(&((total / MICROS_PER_DAY as u64) as u32).to_le_bytes());
        out.extend_from_slice(&clock(of_day));
        if micros != 0 {
            out.extend_from_slice(&micros.to_le_bytes());
        }
    }
}
