//! The one type of several results: CASE, IF, COALESCE, UNION, GREATEST.

use super::Typed;
use super::typed::{BIGINT, Family, datetime_arrow, integer_digits, is_unsigned, text_type};
use arrow::datatypes::DataType;
use types::SqlType;

/// Digits of a fraction that are kept whatever whole digits a type claims.
const KEPT_FRACTION: u8 = 18;

/// Precision and scale that hold values of all shapes. If there are too many digits, whole ones win over the
/// fraction, but for its first: sums claim whole digits that no sum has, and a value that does not fit is an
/// error, while a lost fraction would go unseen.
pub(crate) fn common_decimal(shapes: impl IntoIterator<Item = (u8, u8)>) -> (u8, u8) {
    let (mut whole, mut scale) = (0, 0);
    for (p, s) in shapes {
        whole = whole.max(p.saturating_sub(s));
        scale = scale.max(s);
    }
    let whole = whole.min(SqlType::MAX_PRECISION);
    let scale = scale.min((SqlType::MAX_PRECISION - whole).max(KEPT_FRACTION));
    let whole = whole.min(SqlType::MAX_PRECISION - scale);
    ((whole + scale).max(1), scale)
}

/// Precision and scale of a number that is not floating.
pub(crate) fn decimal_of(value: &Typed) -> (u8, u8) {
    match &value.arrow {
        DataType::Decimal128(p, s) => (*p, *s as u8),
        _ => match value.as_integer_literal() {
            Some(number) => {
                let (p, _) = super::typed::decimal_shape(number, 0);
                (p, 0)
            }
            None => (integer_digits(&value.arrow), 0),
        },
    }
}

fn bits(ty: &DataType) -> u8 {
    match ty {
        DataType::Int8 | DataType::UInt8 => 8,
        DataType::Int16 | DataType::UInt16 => 16,
        DataType::Int32 | DataType::UInt32 => 32,
        _ => 64,
    }
}

/// The integer type that holds both, or DECIMAL(20,0) for BIGINT with BIGINT UNSIGNED.
pub(crate) fn common_integer(left: &DataType, right: &DataType) -> DataType {
    let (l, r) = (bits(left), bits(right));
    match (is_unsigned(left), is_unsigned(right)) {
        (false, false) => signed_of(l.max(r)),
        (true, true) => match l.max(r) {
            8 => DataType::UInt8,
            16 => DataType::UInt16,
            32 => DataType::UInt32,
            _ => DataType::UInt64,
        },
        (unsigned, _) => {
            let (u, s) = if unsigned { (l, r) } else { (r, l) };
            if u == 64 { DataType::Decimal128(20, 0) } else { signed_of(s.max(u * 2)) }
        }
    }
}

fn signed_of(bits: u8) -> DataType {
    match bits {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        _ => DataType::Int64,
    }
}

/// The types that all `values` take together. NULLs take part only if there is nothing else.
pub(crate) fn common_type(values: &[&Typed]) -> (SqlType, DataType) {
    let values: Vec<&Typed> = values.iter().copied().filter(|value| value.family() != Family::Null).collect();
    let Some(first) = values.first() else { return (SqlType::Binary(0), DataType::Null) };
    let all = |test: fn(Family) -> bool| values.iter().all(|value| test(value.family()));
    let any = |test: fn(Family) -> bool| values.iter().any(|value| test(value.family()));
    let longest = || values.iter().map(|value| value.characters()).max().unwrap_or(0);
    if all(|f| f == Family::Boolean) {
        return (BIGINT, DataType::Boolean);
    }
    if all(|f| matches!(f, Family::Boolean | Family::Integer)) {
        return common_of_integers(&values);
    }
    if all(Family::is_numeric) {
        if any(|f| f == Family::Float) {
            return if values.iter().all(|value| value.arrow == DataType::Float32) {
                (SqlType::Float, DataType::Float32)
            } else {
                (SqlType::Double, DataType::Float64)
            };
        }
        let (precision, scale) = common_decimal(values.iter().map(|value| decimal_of(value)));
        return (SqlType::Decimal { precision, scale }, DataType::Decimal128(precision, scale as i8));
    }
    if all(Family::is_temporal) {
        let fsp = values.iter().map(|value| value.fsp()).max().unwrap_or(0);
        return match first.family() {
            Family::Date if all(|f| f == Family::Date) => (SqlType::Date, DataType::Date32),
            Family::Time if all(|f| f == Family::Time) => (SqlType::Time { fsp }, first.arrow.clone()),
            Family::Timestamp if all(|f| f == Family::Timestamp) => {
                (SqlType::Timestamp { fsp }, first.arrow.clone())
            }
            _ => (SqlType::DateTime { fsp }, datetime_arrow()),
        };
    }
    if any(|f| f == Family::Binary) || values.iter().any(|value| value.is_bits()) {
        let bytes = longest();
        return match u32::try_from(bytes) {
            Ok(n) if n <= 65_535 => (SqlType::VarBinary(n), DataType::BinaryView),
            _ => (SqlType::Blob(types::sql_type::LobSize::Long), DataType::BinaryView),
        };
    }
    if values.iter().all(|value| value.ty == first.ty) && first.family() == Family::Text {
        return (first.ty, DataType::Utf8View);
    }
    (text_type(longest()), DataType::Utf8View)
}

fn common_of_integers(values: &[&Typed]) -> (SqlType, DataType) {
    // A literal that is not negative takes the signedness of the others.
    let fits_unsigned = |value: &Typed| value.as_integer_literal().is_some_and(|number| number >= 0);
    let columns_unsigned = values.iter().all(|value| is_unsigned(&value.arrow) || fits_unsigned(value))
        && values.iter().any(|value| is_unsigned(&value.arrow));
    let mut arrow = None::<DataType>;
    for value in values {
        let own = match &value.arrow {
            _ if columns_unsigned && !is_unsigned(&value.arrow) => DataType::UInt64,
            DataType::Boolean => DataType::Int64,
            own => own.clone(),
        };
        arrow = Some(match arrow {
            None => own,
            Some(DataType::Decimal128(p, s)) => DataType::Decimal128(p, s),
            Some(arrow) => common_integer(&arrow, &own),
        });
    }
    let arrow = arrow.unwrap_or(DataType::Int64);
    let widths = values.iter().map(|value| match value.ty {
        SqlType::Bit(bits) if value.is_bits() => Some(bits),
        _ => None,
    });
    if let Some(widths) = widths.collect::<Option<Vec<u8>>>() {
        return (SqlType::Bit(widths.into_iter().max().unwrap_or(1)), arrow);
    }
    let declared =
        values.iter().find(|value| value.arrow == arrow && value.ty != SqlType::Bool && !value.is_bits());
    let ty = match declared {
        Some(value) => value.ty,
        None => SqlType::of_arrow(&arrow).unwrap_or(BIGINT),
    };
    (ty, arrow)
}
