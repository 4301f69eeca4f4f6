//! Brings an array to an Arrow type that the encoders of its column's SQL type know.

use crate::column::ColumnMeta;
use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use types::{SqlError, SqlType};

/// The array itself if its type fits, else a copy cast to `meta`'s type. Fails if a value does not
/// fit there.
pub(super) fn adapt(array: &ArrayRef, meta: &ColumnMeta) -> Result<ArrayRef, SqlError> {
    if fits(array.data_type(), meta.ty) {
        return Ok(array.clone());
    }
    let target = meta.ty.arrow();
    let cast = |array: &ArrayRef, to: &DataType| {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(array, to, &strict).map_err(|error| {
            SqlError::internal(format!(
                "result column '{}' is {} and not {}: {error}",
                meta.name,
                array.data_type(),
                meta.ty
            ))
        })
    };
    match array.data_type() {
        DataType::Dictionary(_, values) => {
            let plain = cast(array, values)?;
            if fits(plain.data_type(), meta.ty) { Ok(plain) } else { cast(&plain, &target) }
        }
        // There is no direct cast from a time of day to a duration.
        DataType::Time32(_) | DataType::Time64(_) if target == DataType::Duration(TimeUnit::Microsecond) => {
            let micros = cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
            cast(&cast(&micros, &DataType::Int64)?, &target)
        }
        _ => cast(array, &target),
    }
}

fn fits(array: &DataType, ty: SqlType) -> bool {
    use DataType as D;
    match ty {
        SqlType::Bool => matches!(array, D::Boolean | D::Int8 | D::Null),
        SqlType::Decimal { scale, .. } => match array {
            D::Decimal128(_, s) => *s >= 0 && *s as u8 == scale && scale <= SqlType::MAX_PRECISION,
            other => *other == D::Null,
        },
        SqlType::DateTime { .. } | SqlType::Timestamp { .. } => {
            matches!(array, D::Timestamp(TimeUnit::Microsecond, _) | D::Null)
        }
        ty if ty.takes_strings() || ty.is_string() => matches!(
            array,
            D::Utf8
                | D::LargeUtf8
                | D::Utf8View
                | D::Binary
                | D::LargeBinary
                | D::BinaryView
                | D::FixedSizeBinary(_)
                | D::Null
        ),
        _ => *array == ty.arrow() || *array == D::Null,
    }
}
