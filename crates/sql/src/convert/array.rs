//! Whole Arrow columns into a column's type, and back to single values.

use super::{ColumnBuilder, Context, Scalar};
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::*;
use types::{ColumnDef, ErrorKind, Result, SqlError, SqlType, Value};

/// Converts a column of an INSERT .. SELECT or UPDATE. `from` describes it, with its SQL type in its
/// metadata where there is one; `first_row`, from 1, numbers its first row in errors.
pub fn convert_column(
    array: &ArrayRef,
    from: &Field,
    to: &ColumnDef,
    context: &Context,
    first_row: u64,
) -> Result<ArrayRef> {
    let array = plain(array)?;
    let is_own = array.data_type() == from.data_type()
        && *array.data_type() == to.ty.arrow()
        && SqlType::of_field(from) == Some(to.ty);
    if !is_own {
        return convert_slow(&array, from, to, context, first_row);
    }
    if !to.nullable && array.null_count() > 0 {
        if context.lenient {
            return convert_slow(&array, from, to, context, first_row);
        }
        return Err(super::Wrong::Null.at(to, b"NULL", first_row));
    }
    let fits = match to.ty {
        // These hold no value that is none of the type, as far as Arrow's type says it all.
        SqlType::Bool
        | SqlType::TinyInt { .. }
        | SqlType::SmallInt { .. }
        | SqlType::Int { .. }
        | SqlType::BigInt { .. }
        | SqlType::Bit(_)
        | SqlType::Float
        | SqlType::Double
        | SqlType::Json
        | SqlType::Enum(_)
        | SqlType::Set(_)
        | SqlType::Date
        | SqlType::DateTime { fsp: 6 }
        | SqlType::Timestamp { fsp: 6 }
        | SqlType::Time { fsp: 6 } => true,
        SqlType::VarChar(limit) => {
            let texts = array.as_string_view();
            texts.lengths().all(|length| length <= limit)
        }
        SqlType::Text(size) => {
            array.as_string_view().lengths().all(|length| u64::from(length) <= size.max_bytes())
        }
        SqlType::VarBinary(limit) => array.as_binary_view().lengths().all(|length| length <= limit),
        SqlType::Blob(size) => {
            array.as_binary_view().lengths().all(|length| u64::from(length) <= size.max_bytes())
        }
        _ => false,
    };
    if fits { Ok(array) } else { convert_slow(&array, from, to, context, first_row) }
}

/// The array without dictionaries and with views for strings: the Arrow types that [`SqlType`] uses.
fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    let target = match array.data_type() {
        DataType::Dictionary(_, value) => match value.as_ref() {
            DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
            DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
            other => other.clone(),
        },
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Duration(unit) if *unit != TimeUnit::Microsecond => {
            DataType::Duration(TimeUnit::Microsecond)
        }
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        _ => return Ok(array.clone()),
    };
    arrow::compute::cast(array, &target).map_err(SqlError::internal)
}

/// Value by value.
fn convert_slow(
    array: &ArrayRef,
    from: &Field,
    to: &ColumnDef,
    context: &Context,
    first_row: u64,
) -> Result<ArrayRef> {
    let own = SqlType::of_field(from);
    let fsp = match own {
        Some(SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp }) => fsp,
        _ => 6,
    };
    let mut builder = ColumnBuilder::new(to, array.len());
    let numbers = own.filter(|_| to.ty.takes_numbers()).and_then(SqlType::label_numbers);
    for row in 0..array.len() {
        let scalar = match (scalar_at(array, row, fsp)?, &numbers) {
            (Scalar::Text(text), Some(number)) => Scalar::Int(number(text).into()),
            (scalar, _) => scalar,
        };
        builder.assign(&scalar, to, context, first_row + row as u64)?;
    }
    Ok(builder.finish())
}

fn native<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

/// The value in a row of an array that [`plain`] gave.
fn scalar_at(array: &ArrayRef, row: usize, fsp: u8) -> Result<Scalar<'_>> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok(Scalar::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Scalar::Int(i128::from(array.as_boolean().value(row))),
        DataType::Int8 => Scalar::Int(native::<Int8Type>(array, row).into()),
        DataType::Int16 => Scalar::Int(native::<Int16Type>(array, row).into()),
        DataType::Int32 => Scalar::Int(native::<Int32Type>(array, row).into()),
        DataType::Int64 => Scalar::Int(native::<Int64Type>(array, row).into()),
        DataType::UInt8 => Scalar::Int(native::<UInt8Type>(array, row).into()),
        DataType::UInt16 => Scalar::Int(native::<UInt16Type>(array, row).into()),
        DataType::UInt32 => Scalar::Int(native::<UInt32Type>(array, row).into()),
        DataType::UInt64 => Scalar::Int(native::<UInt64Type>(array, row).into()),
        DataType::Decimal128(_, scale) => {
            let unscaled = native::<Decimal128Type>(array, row);
            match u8::try_from(*scale) {
                Ok(scale) => Scalar::Decimal { unscaled, scale },
                Err(_) => {
                    let power = super::number::POWERS.get(scale.unsigned_abs() as usize);
                    let value = power.and_then(|p| unscaled.checked_mul(*p));
                    Scalar::Int(value.ok_or_else(|| {
                        SqlError::new(ErrorKind::NumericOverflow, "DECIMAL value is out of range")
                    })?)
                }
            }
        }
        DataType::Float32 => Scalar::Float(native::<Float32Type>(array, row)),
        DataType::Float64 => Scalar::Double(native::<Float64Type>(array, row)),
        DataType::Date32 => Scalar::Date(native::<Date32Type>(array, row)),
        DataType::Duration(_) => Scalar::Time { micros: native::<DurationMicrosecondType>(array, row), fsp },
        DataType::Time64(_) => Scalar::Time { micros: native::<Time64MicrosecondType>(array, row), fsp },
        DataType::Timestamp(_, None) => {
            Scalar::DateTime { micros: native::<TimestampMicrosecondType>(array, row), fsp }
        }
        DataType::Timestamp(_, Some(_)) => {
            Scalar::Timestamp { micros: native::<TimestampMicrosecondType>(array, row), fsp }
        }
        DataType::Utf8View => Scalar::Text(array.as_string_view().value(row)),
        DataType::BinaryView => Scalar::Bytes(array.as_binary_view().value(row)),
        other => return Err(SqlError::unsupported(format!("storing values of the Arrow type {other}"))),
    })
}

/// A value of an array whose Arrow type is that of `ty`.
pub fn value_at(array: &ArrayRef, ty: SqlType, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    fn int<T: ArrowPrimitiveType>(array: &ArrayRef, row: usize) -> T::Native {
        array.as_primitive::<T>().value(row)
    }
    match ty.arrow() {
        DataType::Int8 => Value::Int(int::<Int8Type>(array, row).into()),
        DataType::Int16 => Value::Int(int::<Int16Type>(array, row).into()),
        DataType::Int32 => Value::Int(int::<Int32Type>(array, row).into()),
        DataType::Int64 => Value::Int(int::<Int64Type>(array, row)),
        DataType::UInt8 => Value::UInt(int::<UInt8Type>(array, row).into()),
        DataType::UInt16 => Value::UInt(int::<UInt16Type>(array, row).into()),
        DataType::UInt32 => Value::UInt(int::<UInt32Type>(array, row).into()),
        DataType::UInt64 => Value::UInt(int::<UInt64Type>(array, row)),
        DataType::Decimal128(_, scale) => {
            Value::Decimal { unscaled: int::<Decimal128Type>(array, row), scale: scale.unsigned_abs() }
        }
        DataType::Float32 => Value::Float(int::<Float32Type>(array, row)),
        DataType::Float64 => Value::Double(int::<Float64Type>(array, row)),
        DataType::Date32 => Value::Date(int::<Date32Type>(array, row)),
        DataType::Duration(_) => Value::Time(int::<DurationMicrosecondType>(array, row)),
        DataType::Timestamp(_, None) => Value::DateTime(int::<TimestampMicrosecondType>(array, row)),
        DataType::Timestamp(_, Some(_)) => Value::Timestamp(int::<TimestampMicrosecondType>(array, row)),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).to_string()),
        // Invariant: SqlType::arrow gives no type that is not above, except this one.
        _ => Value::Bytes(array.as_binary_view().value(row).to_vec()),
    }
}

/// `rows` times a value that is one of the column already, or NULL.
pub fn constant_column(value: &Value, to: &ColumnDef, rows: usize) -> Result<ArrayRef> {
    let mut one = ColumnBuilder::of(to.ty, true, 1);
    // The value is in the column's own terms, so the zone does not matter.
    let context = Context::fixed();
    let scalar = Scalar::of(value);
    one.append(&scalar, &context).map_err(|wrong| wrong.at(to, &scalar.text(), 1))?;
    let one = one.finish();
    let indices = arrow::array::UInt32Array::from(vec![0u32; rows]);
    arrow::compute::take(&one, &indices, None).map_err(SqlError::internal)
}
