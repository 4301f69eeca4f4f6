//! Conversions between types: implicit ones by what an operation takes, and CAST.
//!
//! Arrow's cast is used where it does exactly what MySQL does; everything else is a call of
//! [`crate::functions::cast`]. Constants are converted at once.

use super::collated::{by_key, key};
use super::fold::{call, cast};
use super::typed::{
    BIGINT, BIGINT_UNSIGNED, datetime_arrow, integer_digits, text_type, time_arrow, timestamp_arrow,
};
use super::unify::{common_type, decimal_of};
use super::{Collated, Family, Typed};
use crate::functions::{byte_texts, cast as casts};
use crate::query::{Modes, Momentary};
use crate::temporal::{MICROS_PER_DAY, Zone};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Operator, binary_expr};
use std::cell::Cell;
use std::rc::Rc;
use types::{Collation, ErrorKind, SqlError, SqlType};

/// What conversions depend on besides the value: the session's clock, zone and modes.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) zone: Zone,
    /// When the statement began: microseconds since 1970 on the session's clock.
    pub(crate) now: Momentary<i64>,
    pub(crate) modes: Modes,
    /// collation_connection.
    pub(crate) connection: Collation,
    /// A division by zero is an error: in what is written to a table, by sql_mode.
    pub(crate) strict_division: bool,
    /// Nodes of expressions that [`Rules::copy`] has made.
    pub(crate) copied: Rc<Cell<usize>>,
}

/// Nodes of expressions that a statement may have copied.
const MOST_COPIED: usize = 500_000;

/// The target of CAST and CONVERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CastTarget {
    Signed,
    Unsigned,
    Decimal { precision: u8, scale: u8 },
    Double,
    Float,
    Date,
    DateTime { fsp: u8 },
    Time { fsp: u8 },
    Year,
    Char(Option<u32>),
    Binary(Option<u32>),
}

/// What warnings of a CAST to DECIMAL call it.
fn name_of_cast(value: &Typed, precision: u8, scale: u8) -> String {
    const LONGEST: usize = 64;
    let value = match (&value.expr, value.as_text_literal(), value.as_integer_literal()) {
        (Expr::Column(column), ..) => column.name.clone(),
        (_, Some(text), _) if text.len() <= LONGEST => format!("'{text}'"),
        (.., Some(number)) => number.to_string(),
        _ => "..".to_string(),
    };
    format!("CAST({value} AS DECIMAL({precision},{scale}))")
}

/// A hexadecimal or bit literal as the number that its bytes are, the most significant first.
fn bytes_as_number(value: Typed) -> Typed {
    match (value.ty, value.as_literal()) {
        (SqlType::Binary(_), Some(ScalarValue::BinaryView(Some(bytes)))) if bytes.len() <= 8 => {
            Typed::uint(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        _ => value,
    }
}

/// What has a number beside its text, where MySQL takes the number: literals of bytes, ENUM and SET.
fn as_number(value: Typed) -> Result<Typed, SqlError> {
    if value.ty.labels().is_some() && value.family() == Family::Text {
        return label_number(value);
    }
    Ok(bytes_as_number(value))
}

/// The number of an ENUM or SET.
fn label_number(value: Typed) -> Result<Typed, SqlError> {
    let ty = Typed::text(value.ty.to_string());
    call(crate::functions::sets::label_number(), vec![value, ty], BIGINT_UNSIGNED)
}

/// What values are put into order by: an ENUM or SET by its number, a text by its collation.
pub(crate) fn order_value(value: Typed, collation: Collation) -> Result<Typed, SqlError> {
    if value.ty.labels().is_some() && value.family() == Family::Text && value.as_literal().is_none() {
        return label_number(value);
    }
    if by_key(&value.arrow, value.ty, collation) { key(value, collation) } else { Ok(value) }
}

impl Rules {
    /// A value that stands at one more place than in the text. Every such operation around another one doubles
    /// what is in it, so a short text could grow without end: 3170 before it does.
    pub(crate) fn copy(&self, value: &Typed) -> Result<Typed, SqlError> {
        let mut copied = self.copied.get();
        let counted = value.expr.apply(|_| {
            copied += 1;
            Ok(if copied > MOST_COPIED { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        counted.map_err(SqlError::internal)?;
        self.copied.set(copied);
        if copied > MOST_COPIED {
            return Err(SqlError::new(
                ErrorKind::CapacityExceeded,
                format!(
                    "The statement's expressions grow to more than {MOST_COPIED} parts: NULLIF, COALESCE, BETWEEN \
                     and the like repeat what is in them; nest them less deeply, or compute the inner value in a \
                     derived table"
                ),
            ));
        }
        Ok(value.clone())
    }

    /// A count of characters or rows: BIGINT, where a greater number is as good as the greatest.
    pub(crate) fn count(&self, value: Typed) -> Result<Typed, SqlError> {
        if value.arrow == DataType::UInt64 {
            let decimal = self.decimal(value)?;
            return self.signed(decimal);
        }
        self.signed(value)
    }

    /// As a condition: NULL, FALSE or TRUE, numbers by whether they are not 0.
    pub(crate) fn condition(&self, value: Typed) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Boolean => Ok(value),
            Family::Null => Ok(Typed::typed_null(BIGINT, DataType::Boolean)),
            Family::Integer | Family::Decimal | Family::Float => {
                let zero = ScalarValue::new_zero(&value.arrow).map_err(SqlError::internal)?;
                if let Some(literal) = value.as_literal() {
                    let truth = if literal.is_null() { None } else { Some(*literal != zero) };
                    return Ok(Typed::literal(ScalarValue::Boolean(truth), BIGINT));
                }
                let expr = binary_expr(value.expr, Operator::NotEq, Expr::Literal(zero, None));
                Ok(Typed::boolean(expr, value.nullable))
            }
            _ => {
                let double = self.double(value)?;
                self.condition(double)
            }
        }
    }

    /// As a number of its own kind: what an arithmetic operator sees.
    pub(crate) fn number(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        match value.family() {
            Family::Null => Ok(Typed::typed_null(BIGINT, DataType::Int64)),
            Family::Boolean => Ok(cast(value, DataType::Int64, BIGINT)),
            Family::Integer | Family::Decimal | Family::Float => Ok(value),
            Family::Text | Family::Binary => self.double(value),
            _ if value.fsp() > 0 => {
                let scale = value.fsp();
                self.decimal_as(value, 14 + scale, scale)
            }
            _ => self.signed(value),
        }
    }

    pub(crate) fn double(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        match value.family() {
            Family::Null => Ok(Typed::typed_null(SqlType::Double, DataType::Float64)),
            Family::Boolean | Family::Integer | Family::Decimal | Family::Float => {
                Ok(cast(value, DataType::Float64, SqlType::Double))
            }
            _ => {
                let value = self.local(value)?;
                call(casts::to_double(), vec![value], SqlType::Double)
            }
        }
    }

    /// As a DECIMAL that holds every value of a numeric type exactly.
    pub(crate) fn decimal(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        match value.family() {
            Family::Decimal => Ok(value),
            Family::Null => {
                Ok(Typed::typed_null(SqlType::Decimal { precision: 1, scale: 0 }, DataType::Decimal128(1, 0)))
            }
            Family::Integer | Family::Boolean => {
                let (precision, _) = decimal_of(&value);
                self.decimal_as(value, precision, 0)
            }
            _ => self.decimal_as(value, 38, 10),
        }
    }

    /// As DECIMAL(precision, scale): rounded, and cut to the greatest value if too large.
    pub(crate) fn decimal_as(&self, value: Typed, precision: u8, scale: u8) -> Result<Typed, SqlError> {
        self.to_decimal(value, precision, scale, None)
    }

    /// `name`: what a warning calls the value if it is cut; without one there is none.
    fn to_decimal(
        &self,
        value: Typed,
        precision: u8,
        scale: u8,
        name: Option<String>,
    ) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        let arrow = DataType::Decimal128(precision, scale as i8);
        let ty = SqlType::Decimal { precision, scale };
        let whole = precision.saturating_sub(scale);
        let exact = match &value.arrow {
            DataType::Decimal128(p, s) => *s as u8 <= scale && p.saturating_sub(*s as u8) <= whole,
            other => match value.family() {
                Family::Null => return Ok(Typed::typed_null(ty, arrow)),
                Family::Integer => decimal_of(&value).0.min(integer_digits(other)) <= whole,
                _ => false,
            },
        };
        if exact {
            return Ok(cast(value, arrow, ty));
        }
        let value = match value.family() {
            Family::Boolean => cast(value, DataType::Int64, BIGINT),
            _ => self.local(value)?,
        };
        let mut args = vec![value, Typed::int(i64::from(precision)), Typed::int(i64::from(scale))];
        let Some(name) = name else { return call(casts::to_decimal(), args, ty) };
        args.push(Typed::text(name));
        call(casts::cast_decimal(), args, ty)
    }

    /// BIGINT: rounded, cut to its range.
    pub(crate) fn signed(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        match value.family() {
            Family::Null => Ok(Typed::typed_null(BIGINT, DataType::Int64)),
            Family::Boolean => Ok(cast(value, DataType::Int64, BIGINT)),
            Family::Integer if value.arrow != DataType::UInt64 => Ok(cast(value, DataType::Int64, BIGINT)),
            _ => {
                let value = self.local(value)?;
                call(casts::to_signed(), vec![value], BIGINT)
            }
        }
    }

    /// BIGINT UNSIGNED; negative numbers wrap, as CAST does it.
    pub(crate) fn unsigned(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = as_number(value)?;
        match value.family() {
            Family::Null => Ok(Typed::typed_null(BIGINT_UNSIGNED, DataType::UInt64)),
            Family::Boolean => Ok(cast(value, DataType::UInt64, BIGINT_UNSIGNED)),
            Family::Integer if super::typed::is_unsigned(&value.arrow) => {
                Ok(cast(value, DataType::UInt64, BIGINT_UNSIGNED))
            }
            Family::Integer => {
                let value = cast(value, DataType::Int64, BIGINT);
                call(casts::to_unsigned(), vec![value], BIGINT_UNSIGNED)
            }
            _ => {
                let value = self.local(value)?;
                call(casts::to_unsigned(), vec![value], BIGINT_UNSIGNED)
            }
        }
    }

    /// The bytes of a BIT; anything else as it is.
    pub(crate) fn bits_as_bytes(&self, value: Typed) -> Result<Typed, SqlError> {
        let SqlType::Bit(bits) = value.ty else { return Ok(value) };
        if !value.is_bits() {
            return Ok(value);
        }
        let ty = SqlType::VarBinary(u32::from(bits).div_ceil(8));
        call(crate::functions::bits::bit_bytes(), vec![value, Typed::int(i64::from(bits))], ty)
    }

    pub(crate) fn text(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.bits_as_bytes(value)?;
        match value.family() {
            Family::Text => Ok(value),
            Family::Null => Ok(Typed::typed_null(text_type(0), DataType::Utf8View)),
            Family::Boolean => {
                let value = cast(value, DataType::Int64, BIGINT);
                call(casts::to_text(), vec![value, Typed::int(0)], text_type(1))
            }
            _ => {
                let ty = text_type(value.characters());
                let fsp = value.fsp();
                let value = self.local(value)?;
                call(casts::to_text(), vec![value, Typed::int(i64::from(fsp))], ty)
            }
        }
    }

    pub(crate) fn binary(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.bits_as_bytes(value)?;
        if value.family() == Family::Binary {
            return Ok(value);
        }
        let text = self.text(value)?;
        let ty = match u32::try_from(text.characters() * 4) {
            Ok(n) if n <= 65_535 => SqlType::VarBinary(n),
            _ => SqlType::Blob(types::sql_type::LobSize::Long),
        };
        Ok(cast(text, DataType::BinaryView, ty))
    }

    /// A text with a character for each byte of the value, compared by them.
    pub(crate) fn bytes_as_text(&self, value: Typed) -> Result<Typed, SqlError> {
        let bytes = self.string(value)?;
        let length = match bytes.family() {
            Family::Binary => bytes.characters(),
            _ => bytes.characters().saturating_mul(4),
        };
        let text = call(byte_texts::bytes_as_text(), vec![bytes], text_type(length))?;
        Ok(Typed { collation: Collated::explicit(Collation::Bytes), ..text })
    }

    /// The bytes that such a text stands for.
    pub(crate) fn text_as_bytes(&self, text: Typed) -> Result<Typed, SqlError> {
        let ty = match u32::try_from(text.characters()) {
            Ok(length @ ..=65_535) => SqlType::VarBinary(length),
            _ => SqlType::Blob(types::sql_type::LobSize::Long),
        };
        call(byte_texts::text_as_bytes(), vec![text], ty)
    }

    /// Text or binary as it is, anything else as text.
    pub(crate) fn string(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.bits_as_bytes(value)?;
        if value.family() == Family::Binary { Ok(value) } else { self.text(value) }
    }

    pub(crate) fn date(&self, value: Typed) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Date => Ok(value),
            Family::Null => Ok(Typed::typed_null(SqlType::Date, DataType::Date32)),
            Family::DateTime => Ok(cast(value, DataType::Date32, SqlType::Date)),
            Family::Timestamp | Family::Time => {
                let value = self.datetime(value)?;
                Ok(cast(value, DataType::Date32, SqlType::Date))
            }
            _ => call(casts::to_date(), vec![self.parseable(value)?], SqlType::Date),
        }
    }

    pub(crate) fn datetime(&self, value: Typed) -> Result<Typed, SqlError> {
        let fsp = value.fsp();
        self.datetime_as(value, fsp)
    }

    /// DATETIME(fsp), rounded to it.
    pub(crate) fn datetime_as(&self, value: Typed, fsp: u8) -> Result<Typed, SqlError> {
        let ty = SqlType::DateTime { fsp };
        match value.family() {
            Family::Null => Ok(Typed::typed_null(ty, datetime_arrow())),
            Family::Date => Ok(cast(value, datetime_arrow(), ty)),
            Family::DateTime | Family::Timestamp => {
                let from = value.fsp();
                let value = self.local(value)?;
                if from <= fsp {
                    return Ok(Typed { ty, ..value });
                }
                call(casts::round_datetime(), vec![value, Typed::int(i64::from(fsp))], ty)
            }
            Family::Time => {
                let today = self.now.get().div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY;
                let args = vec![value, Typed::datetime(today, 0)];
                call(casts::time_on_day(), args, ty)
            }
            _ => {
                let args = vec![self.parseable(value)?, Typed::int(i64::from(fsp))];
                call(casts::to_datetime(), args, ty)
            }
        }
    }

    pub(crate) fn timestamp(&self, value: Typed) -> Result<Typed, SqlError> {
        if value.family() == Family::Timestamp {
            return Ok(value);
        }
        let value = self.datetime(value)?;
        let ty = SqlType::Timestamp { fsp: value.fsp() };
        let utc = if self.zone == Zone::UTC {
            value
        } else {
            let declared = value.ty;
            call(casts::local_to_utc(), vec![value, Typed::text(self.zone.to_string())], declared)?
        };
        Ok(cast(utc, timestamp_arrow(), ty))
    }

    pub(crate) fn time(&self, value: Typed) -> Result<Typed, SqlError> {
        let fsp = value.fsp();
        self.time_as(value, fsp)
    }

    pub(crate) fn time_as(&self, value: Typed, fsp: u8) -> Result<Typed, SqlError> {
        let ty = SqlType::Time { fsp };
        match value.family() {
            Family::Time if value.fsp() <= fsp => Ok(Typed { ty, ..value }),
            Family::Null => Ok(Typed::typed_null(ty, time_arrow())),
            _ => {
                let value = match value.family() {
                    Family::Time => value,
                    Family::Date => self.datetime(value)?,
                    Family::DateTime | Family::Timestamp => self.local(value)?,
                    _ => self.parseable(value)?,
                };
                call(casts::to_time(), vec![value, Typed::int(i64::from(fsp))], ty)
            }
        }
    }

    /// A temporal value as it is; numbers and text in the form that the parsers of dates take.
    fn parseable(&self, value: Typed) -> Result<Typed, SqlError> {
        match value.family() {
            Family::Boolean => Ok(cast(value, DataType::Int64, BIGINT)),
            Family::Integer if value.arrow == DataType::UInt64 => self.signed(value),
            Family::Integer => Ok(cast(value, DataType::Int64, BIGINT)),
            Family::Decimal | Family::Float | Family::Binary => self.text(value),
            _ => Ok(value),
        }
    }

    /// A TIMESTAMP as the DATETIME that the session's clock showed; anything else as it is.
    pub(crate) fn local(&self, value: Typed) -> Result<Typed, SqlError> {
        if value.family() != Family::Timestamp {
            return Ok(value);
        }
        let ty = SqlType::DateTime { fsp: value.fsp() };
        let utc = cast(value, datetime_arrow(), ty);
        if self.zone == Zone::UTC {
            return Ok(utc);
        }
        call(casts::utc_to_local(), vec![utc, Typed::text(self.zone.to_string())], ty)
    }

    /// A value as one of the results whose common type is `ty` and `arrow`.
    pub(crate) fn bring(&self, value: Typed, ty: SqlType, arrow: &DataType) -> Result<Typed, SqlError> {
        if value.arrow == *arrow {
            return Ok(Typed { ty, ..value });
        }
        let brought = match Family::of(arrow) {
            Family::Null => return Ok(value),
            _ if value.family() == Family::Null => Typed::typed_null(ty, arrow.clone()),
            Family::Boolean => self.condition(value)?,
            Family::Integer if value.family() == Family::Integer || value.family() == Family::Boolean => {
                cast(value, arrow.clone(), ty)
            }
            Family::Integer => {
                let value = self.signed(value)?;
                cast(value, arrow.clone(), ty)
            }
            Family::Decimal => match arrow {
                DataType::Decimal128(precision, scale) => self.decimal_as(value, *precision, *scale as u8)?,
                _ => cast(value, arrow.clone(), ty),
            },
            Family::Float => {
                let value = self.double(value)?;
                cast(value, arrow.clone(), ty)
            }
            Family::Text => self.text(value)?,
            Family::Binary => self.binary(value)?,
            Family::Date => self.date(value)?,
            Family::Time => self.time(value)?,
            Family::DateTime => self.datetime(value)?,
            Family::Timestamp => self.timestamp(value)?,
        };
        Ok(Typed { ty, ..brought })
    }

    /// All `values` brought to their common type.
    pub(crate) fn unify(&self, values: Vec<Typed>) -> Result<(Vec<Typed>, SqlType, DataType), SqlError> {
        let (ty, arrow) = common_type(&values.iter().collect::<Vec<_>>());
        let values =
            values.into_iter().map(|value| self.bring(value, ty, &arrow)).collect::<Result<Vec<_>, _>>()?;
        Ok((values, ty, arrow))
    }

    pub(crate) fn cast(&self, value: Typed, target: CastTarget) -> Result<Typed, SqlError> {
        match target {
            CastTarget::Signed => self.signed(value),
            CastTarget::Unsigned => self.unsigned(value),
            CastTarget::Decimal { precision, scale } => {
                let name = name_of_cast(&value, precision, scale);
                self.to_decimal(value, precision, scale, Some(name))
            }
            CastTarget::Double => self.double(value),
            CastTarget::Float => {
                let value = self.double(value)?;
                Ok(cast(value, DataType::Float32, SqlType::Float))
            }
            CastTarget::Date => self.date(value),
            CastTarget::DateTime { fsp } => self.datetime_as(value, fsp),
            CastTarget::Time { fsp } => self.time_as(value, fsp),
            CastTarget::Year => {
                let value = if value.family().is_temporal() {
                    let date = self.date(value)?;
                    call(crate::functions::datetime::year(), vec![date], BIGINT)?
                } else {
                    self.signed(value)?
                };
                call(casts::to_year(), vec![value], SqlType::Year)
            }
            CastTarget::Char(None) => Ok(Typed { collation: Collated::CONNECTION, ..self.text(value)? }),
            CastTarget::Char(Some(length)) => {
                let text = self.text(value)?;
                // One that is never longer is cut without looking at it.
                let fits = text.as_literal().is_none() && text.characters() <= u64::from(length);
                let udf = if fits { crate::functions::text::left() } else { casts::cast_chars() };
                let args = vec![text, Typed::int(i64::from(length))];
                let cut = call(udf, args, SqlType::VarChar(length))?;
                Ok(Typed { collation: Collated::CONNECTION, ..cut })
            }
            CastTarget::Binary(None) => self.binary(value),
            CastTarget::Binary(Some(length)) => {
                let binary = self.binary(value)?;
                let args = vec![binary, Typed::int(i64::from(length))];
                call(casts::pad_binary(), args, SqlType::VarBinary(length))
            }
        }
    }

    /// `NOT`, with what folds folded.
    pub(crate) fn not(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.condition(value)?;
        if let Some(ScalarValue::Boolean(truth)) = value.as_literal() {
            return Ok(Typed::literal(ScalarValue::Boolean(truth.map(|t| !t)), BIGINT));
        }
        Ok(Typed::boolean(Expr::Not(Box::new(value.expr)), value.nullable))
    }
}
