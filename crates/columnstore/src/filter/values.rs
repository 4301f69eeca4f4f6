//! Values and Arrow columns as the numbers that conditions compare: integers, decimals and times by
//! their physical form, floats by their order-preserving key.

use crate::StoreError;
use crate::encoding::bytes::Strings;
use crate::encoding::ranges::{float_bounds, float_key, key_float};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{self as dt, ArrowPrimitiveType, DataType};
use types::value::{PhysicalValue, flip_u64, unflip_u64};
use types::{Physical, SqlType, Value};

/// The number by which a physical value compares; None for strings and NaN.
pub(crate) fn number_of(value: &PhysicalValue) -> Option<i128> {
    let float = |v: f64| (!v.is_nan()).then(|| i128::from(float_key(v)));
    match value {
        PhysicalValue::I64(v) => Some((*v).into()),
        PhysicalValue::I128(v) => Some(*v),
        PhysicalValue::F32(v) => float(f64::from(*v)),
        PhysicalValue::F64(v) => float(*v),
        PhysicalValue::Bytes(_) => None,
    }
}

/// The value of type `ty` that compares as `number` does. None for a number out of its range.
pub(crate) fn value_of(ty: SqlType, number: i128) -> Option<Value> {
    use SqlType as S;
    let narrow = i64::try_from(number);
    Some(match ty {
        _ if ty.is_flipped() => Value::UInt(unflip_u64(narrow.ok()?)),
        S::Decimal { scale, .. } => Value::Decimal { unscaled: number, scale },
        S::Float | S::Double => {
            let key = narrow.ok()?;
            let (low, high) = float_bounds();
            if key < low || key > high {
                return None;
            }
            match ty {
                S::Float => Value::Float(key_float(key) as f32),
                _ => Value::Double(key_float(key)),
            }
        }
        S::Date => Value::Date(i32::try_from(number).ok()?),
        S::Time { .. } => Value::Time(narrow.ok()?),
        S::DateTime { .. } => Value::DateTime(narrow.ok()?),
        S::Timestamp { .. } => Value::Timestamp(narrow.ok()?),
        _ if ty.is_unsigned() => Value::UInt(u64::try_from(number).ok()?),
        _ if ty.is_integer() => Value::Int(narrow.ok()?),
        _ => return None,
    })
}

/// Refuses an array that is not of the type's Arrow form.
pub(crate) fn check_type(array: &dyn Array, ty: SqlType, name: &str) -> Result<(), StoreError> {
    if *array.data_type() == ty.arrow() {
        return Ok(());
    }
    Err(StoreError::internal(format_args!(
        "column {name} of type {ty} came as Arrow {}, not {}",
        array.data_type(),
        ty.arrow()
    )))
}

/// Sets `out` to the numbers of rows `from..from + count` of a column whose physical type is I64,
/// F32 or F64 and whose Arrow form was checked. NULL rows give anything.
pub(crate) fn numbers(
    array: &dyn Array,
    ty: SqlType,
    from: usize,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), StoreError> {
    out.clear();
    fn values<T: ArrowPrimitiveType>(array: &dyn Array, from: usize, count: usize) -> &[T::Native] {
        &array.as_primitive::<T>().values()[from..from + count]
    }
    macro_rules! integers {
        ($ty:ty) => {
            out.extend(values::<$ty>(array, from, count).iter().map(|v| i64::from(*v)))
        };
    }
    match array.data_type() {
        DataType::Int8 => integers!(dt::Int8Type),
        DataType::Int16 => integers!(dt::Int16Type),
        DataType::Int32 => integers!(dt::Int32Type),
        DataType::Int64 => out.extend_from_slice(values::<dt::Int64Type>(array, from, count)),
        DataType::UInt8 => integers!(dt::UInt8Type),
        DataType::UInt16 => integers!(dt::UInt16Type),
        DataType::UInt32 => integers!(dt::UInt32Type),
        DataType::UInt64 => {
            out.extend(values::<dt::UInt64Type>(array, from, count).iter().map(|v| flip_u64(*v)));
        }
        DataType::Date32 => integers!(dt::Date32Type),
        DataType::Timestamp(..) => {
            out.extend_from_slice(values::<dt::TimestampMicrosecondType>(array, from, count));
        }
        DataType::Duration(_) => {
            out.extend_from_slice(values::<dt::DurationMicrosecondType>(array, from, count));
        }
        DataType::Float32 => {
            out.extend(values::<dt::Float32Type>(array, from, count).iter().map(|v| float_key(f64::from(*v))))
        }
        DataType::Float64 => {
            out.extend(values::<dt::Float64Type>(array, from, count).iter().map(|v| float_key(*v)));
        }
        DataType::Decimal128(..) if ty.physical() == Physical::I64 => {
            let decimals = values::<dt::Decimal128Type>(array, from, count);
            out.extend(decimals.iter().map(|v| *v as i64));
            let wrong = |(v, cut): (&i128, &i64)| i128::from(*cut) != *v;
            if decimals.iter().zip(out.iter()).fold(false, |any, pair| any | wrong(pair))
                && let Some(at) =
                    (0..count).find(|&i| array.is_valid(from + i) && wrong((&decimals[i], &out[i])))
            {
                return Err(StoreError::internal(format_args!(
                    "a {ty} holds {}, which has more than 18 digits",
                    decimals[at]
                )));
            }
        }
        other => {
            return Err(StoreError::internal(format_args!("no 64-bit form of {ty} as Arrow {other}")));
        }
    }
    Ok(())
}

/// The numbers of a column whose physical type is I128.
pub(crate) fn wide_numbers(array: &dyn Array) -> &[i128] {
    array.as_primitive::<dt::Decimal128Type>().values()
}

/// The strings of a column whose physical type is Bytes.
pub(crate) fn strings(array: &dyn Array) -> Strings<'_> {
    match array.data_type() {
        DataType::Utf8View => {
            let array = array.as_string_view();
            Strings::new(array.views(), array.data_buffers(), array.nulls())
        }
        _ => {
            let array = array.as_binary_view();
            Strings::new(array.views(), array.data_buffers(), array.nulls())
        }
    }
}
