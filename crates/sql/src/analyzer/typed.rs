//! An expression with its types.

use super::Collated;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use types::{SqlType, Value};

/// An expression with its MySQL type (what the client is told, what decides further typing) and the
/// Arrow type that it evaluates to. The two may differ in three ways: comparisons are Arrow Boolean
/// and MySQL BIGINT; a bare NULL is Arrow Null; a DECIMAL may be narrower in Arrow than declared.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) ty: SqlType,
    pub(crate) arrow: DataType,
    pub(crate) nullable: bool,
    /// Means something if it is text.
    pub(crate) collation: Collated,
}

/// Groups of types that behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Null,
    Boolean,
    Integer,
    Decimal,
    Float,
    Text,
    Binary,
    Date,
    Time,
    DateTime,
    Timestamp,
}

impl Family {
    pub(crate) fn of(ty: &DataType) -> Family {
        use DataType as D;
        match ty {
            D::Null => Family::Null,
            D::Boolean => Family::Boolean,
            D::Int8 | D::Int16 | D::Int32 | D::Int64 => Family::Integer,
            D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Family::Integer,
            D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => Family::Decimal,
            D::Float16 | D::Float32 | D::Float64 => Family::Float,
            D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Family::Binary,
            D::Date32 | D::Date64 => Family::Date,
            D::Duration(_) | D::Time32(_) | D::Time64(_) => Family::Time,
            D::Timestamp(_, None) => Family::DateTime,
            D::Timestamp(_, Some(_)) => Family::Timestamp,
            D::Dictionary(_, value) => Family::of(value),
            _ => Family::Text,
        }
    }

    pub(crate) fn is_numeric(self) -> bool {
        matches!(self, Family::Boolean | Family::Integer | Family::Decimal | Family::Float)
    }

    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, Family::Date | Family::Time | Family::DateTime | Family::Timestamp)
    }

    pub(crate) fn is_string(self) -> bool {
        matches!(self, Family::Text | Family::Binary)
    }
}

pub(crate) const BIGINT: SqlType = SqlType::BigInt { unsigned: false };
pub(crate) const BIGINT_UNSIGNED: SqlType = SqlType::BigInt { unsigned: true };

/// The greatest declared VARCHAR length; longer results are LONGTEXT.
const MAX_VARCHAR: u32 = 16_383;

/// VARCHAR of up to `characters`, or LONGTEXT.
pub(crate) fn text_type(characters: u64) -> SqlType {
    match u32::try_from(characters) {
        Ok(n) if n <= MAX_VARCHAR => SqlType::VarChar(n),
        _ => SqlType::Text(types::sql_type::LobSize::Long),
    }
}

/// Decimal digits that hold every value of an integer Arrow type.
pub(crate) fn integer_digits(ty: &DataType) -> u8 {
    match ty {
        DataType::Boolean => 1,
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::UInt64 => 20,
        _ => 19,
    }
}

pub(crate) fn is_unsigned(ty: &DataType) -> bool {
    matches!(ty, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}

/// Precision and scale of the smallest DECIMAL for an unscaled value.
pub(crate) fn decimal_shape(unscaled: i128, scale: u8) -> (u8, i8) {
    let digits = match unscaled.unsigned_abs() {
        0 => 1,
        n => n.ilog10() as u8 + 1,
    };
    (digits.max(scale).max(1), scale as i8)
}

impl Typed {
    /// A condition: TRUE, FALSE or NULL.
    pub(crate) fn boolean(expr: Expr, nullable: bool) -> Typed {
        Typed { expr, ty: BIGINT, arrow: DataType::Boolean, nullable, collation: Collated::NUMBER }
    }

    pub(crate) fn null() -> Typed {
        Typed {
            expr: Expr::Literal(ScalarValue::Null, None),
            ty: SqlType::Binary(0),
            arrow: DataType::Null,
            nullable: true,
            collation: Collated::of_constant(&DataType::Null),
        }
    }

    /// NULL of an Arrow type.
    pub(crate) fn typed_null(ty: SqlType, arrow: DataType) -> Typed {
        let expr = match ScalarValue::try_from(&arrow) {
            Ok(value) => Expr::Literal(value, None),
            // Invariant: only plain types come here; a bare NULL is right for any other.
            Err(_) => Expr::Literal(ScalarValue::Null, None),
        };
        Typed { expr, ty, arrow, nullable: true, collation: Collated::of_constant(&DataType::Null) }
    }

    pub(crate) fn literal(value: ScalarValue, ty: SqlType) -> Typed {
        let arrow = value.data_type();
        let nullable = value.is_null();
        let collation = Collated::of_constant(&arrow);
        Typed { expr: Expr::Literal(value, None), ty, arrow, nullable, collation }
    }

    pub(crate) fn int(value: i64) -> Typed {
        Typed::literal(ScalarValue::Int64(Some(value)), BIGINT)
    }

    pub(crate) fn uint(value: u64) -> Typed {
        Typed::literal(ScalarValue::UInt64(Some(value)), BIGINT_UNSIGNED)
    }

    pub(crate) fn text(value: impl Into<String>) -> Typed {
        let value = value.into();
        let ty = text_type(value.chars().count() as u64);
        Typed::literal(ScalarValue::Utf8View(Some(value)), ty)
    }

    pub(crate) fn binary(value: Vec<u8>) -> Typed {
        let ty = SqlType::VarBinary(value.len().min(65_535) as u32);
        Typed::literal(ScalarValue::BinaryView(Some(value)), ty)
    }

    pub(crate) fn double(value: f64) -> Typed {
        Typed::literal(ScalarValue::Float64(Some(value)), SqlType::Double)
    }

    pub(crate) fn decimal(unscaled: i128, scale: u8) -> Typed {
        let (precision, _) = decimal_shape(unscaled, scale);
        Typed::literal(
            ScalarValue::Decimal128(Some(unscaled), precision, scale as i8),
            SqlType::Decimal { precision, scale },
        )
    }

    pub(crate) fn date(days: i32) -> Typed {
        Typed::literal(ScalarValue::Date32(Some(days)), SqlType::Date)
    }

    pub(crate) fn datetime(micros: i64, fsp: u8) -> Typed {
        Typed::literal(ScalarValue::TimestampMicrosecond(Some(micros), None), SqlType::DateTime { fsp })
    }

    pub(crate) fn time(micros: i64, fsp: u8) -> Typed {
        Typed::literal(ScalarValue::DurationMicrosecond(Some(micros)), SqlType::Time { fsp })
    }

    /// A parameter or a variable.
    pub(crate) fn value(value: &Value) -> Typed {
        match value {
            Value::Null => Typed::null(),
            Value::Int(v) => Typed::int(*v),
            Value::UInt(v) => Typed::uint(*v),
            Value::Decimal { unscaled, scale } => Typed::decimal(*unscaled, *scale),
            Value::Float(v) => Typed::double(f64::from(*v)),
            Value::Double(v) => Typed::double(*v),
            Value::Date(days) => Typed::date(*days),
            Value::Time(micros) => Typed::time(*micros, fsp_of(*micros)),
            Value::DateTime(micros) => Typed::datetime(*micros, fsp_of(*micros)),
            Value::Timestamp(micros) => Typed::literal(
                ScalarValue::TimestampMicrosecond(Some(*micros), Some("+00:00".into())),
                SqlType::Timestamp { fsp: fsp_of(*micros) },
            ),
            Value::Text(text) => Typed::text(text.clone()),
            Value::Bytes(bytes) => Typed::binary(bytes.clone()),
        }
    }

    pub(crate) fn family(&self) -> Family {
        Family::of(&self.arrow)
    }

    pub(crate) fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }

    /// Whether it is the number of a BIT, whose bytes it is as a string.
    pub(crate) fn is_bits(&self) -> bool {
        matches!(self.ty, SqlType::Bit(_)) && self.arrow == DataType::UInt64
    }

    /// What a BIT is on its way to a column of another type: the number.
    pub(crate) fn into_kept(self) -> Typed {
        if self.is_bits() { Typed { ty: BIGINT_UNSIGNED, ..self } } else { self }
    }

    pub(crate) fn is_null_literal(&self) -> bool {
        self.as_literal().is_some_and(ScalarValue::is_null)
    }

    /// The value of an integer literal.
    pub(crate) fn as_integer_literal(&self) -> Option<i128> {
        Some(match self.as_literal()? {
            ScalarValue::Boolean(Some(v)) => i128::from(*v),
            ScalarValue::Int8(Some(v)) => i128::from(*v),
            ScalarValue::Int16(Some(v)) => i128::from(*v),
            ScalarValue::Int32(Some(v)) => i128::from(*v),
            ScalarValue::Int64(Some(v)) => i128::from(*v),
            ScalarValue::UInt8(Some(v)) => i128::from(*v),
            ScalarValue::UInt16(Some(v)) => i128::from(*v),
            ScalarValue::UInt32(Some(v)) => i128::from(*v),
            ScalarValue::UInt64(Some(v)) => i128::from(*v),
            _ => return None,
        })
    }

    /// The text of a string literal.
    pub(crate) fn as_text_literal(&self) -> Option<&str> {
        match self.as_literal()? {
            ScalarValue::Utf8View(Some(text)) | ScalarValue::Utf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// Fractional second digits of a temporal type; what another type needs when it becomes one.
    pub(crate) fn fsp(&self) -> u8 {
        match self.ty {
            SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => fsp,
            SqlType::Decimal { scale, .. } => scale.min(6),
            SqlType::Float | SqlType::Double => 6,
            ty if ty.is_string() => match self.as_text_literal() {
                Some(text) => text_fsp(text),
                None => 6,
            },
            _ => 0,
        }
    }

    /// The greatest number of characters that the value has as text.
    pub(crate) fn characters(&self) -> u64 {
        let fraction = |fsp: u8| if fsp == 0 { 0 } else { u64::from(fsp) + 1 };
        match self.ty {
            SqlType::Bool => 4,
            SqlType::TinyInt { .. } => 4,
            SqlType::SmallInt { .. } => 6,
            SqlType::MediumInt { .. } => 8,
            SqlType::Int { .. } => 11,
            SqlType::BigInt { .. } if self.arrow == DataType::Boolean => 1,
            SqlType::BigInt { .. } => match self.as_integer_literal() {
                Some(value) => value.to_string().len() as u64,
                None => 20,
            },
            SqlType::Bit(bits) => u64::from(bits).div_ceil(8),
            SqlType::Decimal { precision, scale } => u64::from(precision) + 1 + u64::from(scale.min(1)),
            SqlType::Float => 12,
            SqlType::Double => 22,
            SqlType::Date => 10,
            SqlType::Time { fsp } => 10 + fraction(fsp),
            SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => 19 + fraction(fsp),
            SqlType::Year => 4,
            SqlType::Char(n) | SqlType::VarChar(n) | SqlType::Binary(n) | SqlType::VarBinary(n) => {
                u64::from(n)
            }
            SqlType::Text(size) | SqlType::Blob(size) => size.max_bytes(),
            SqlType::Json => u64::from(u32::MAX),
            SqlType::Enum(labels) => u64::from(labels.longest()),
            SqlType::Set(labels) => u64::from(labels.all_together()),
        }
    }
}

/// Fractional digits that a number of microseconds needs: none or six.
pub(crate) fn fsp_of(micros: i64) -> u8 {
    if micros % 1_000_000 == 0 { 0 } else { 6 }
}

/// Fractional digits that stand at the end of a date or time as text.
fn text_fsp(text: &str) -> u8 {
    match text.rsplit_once('.') {
        Some((head, digits)) if head.contains(':') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.len().min(6) as u8
        }
        _ => 0,
    }
}

pub(crate) const MICROS: TimeUnit = TimeUnit::Microsecond;

pub(crate) fn datetime_arrow() -> DataType {
    DataType::Timestamp(MICROS, None)
}

pub(crate) fn timestamp_arrow() -> DataType {
    DataType::Timestamp(MICROS, Some("+00:00".into()))
}

pub(crate) fn time_arrow() -> DataType {
    DataType::Duration(MICROS)
}
