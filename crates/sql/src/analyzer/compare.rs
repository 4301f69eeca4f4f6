//! Comparisons. MySQL compares as numbers, strings or dates by both operands' types; a constant
//! compared with anything else is brought to the other side's own type when that changes nothing, so
//! that `column op constant` keeps the column bare and a scan can use it.

use super::collated::{by_key, key};
use super::convert::Rules;
use super::fold::call;
use super::typed::BIGINT;
use super::unify::{common_decimal, common_integer, decimal_of};
use super::{Collated, Family, Typed};
use crate::functions::arithmetic::pow10;
use crate::temporal::{MICROS_PER_DAY, days_from_civil};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};
use types::sql_type::LobSize;
use types::{ErrorKind, SqlError, SqlType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `<=>`
    NullSafeEqual,
}

impl Comparison {
    pub(crate) fn operator(self) -> Operator {
        match self {
            Comparison::Equal => Operator::Eq,
            Comparison::NotEqual => Operator::NotEq,
            Comparison::Less => Operator::Lt,
            Comparison::LessOrEqual => Operator::LtEq,
            Comparison::Greater => Operator::Gt,
            Comparison::GreaterOrEqual => Operator::GtEq,
            Comparison::NullSafeEqual => Operator::IsNotDistinctFrom,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::NullSafeEqual => "<=>",
        }
    }

    /// The comparison with its sides exchanged.
    pub(crate) fn mirrored(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }

    /// For a constant between two values of the column's type: the comparison with the lower one.
    /// `None` for equality, which such a constant never reaches.
    fn with_floor(self) -> Option<Comparison> {
        match self {
            Comparison::Less | Comparison::LessOrEqual => Some(Comparison::LessOrEqual),
            Comparison::Greater | Comparison::GreaterOrEqual => Some(Comparison::Greater),
            _ => None,
        }
    }
}

/// A constant in the other side's type, and how to compare with it.
type Adapted = Option<(Comparison, ScalarValue)>;

impl Rules {
    /// JSON beside text that is none: a JSON string compares as its text.
    fn json_as_text(&self, value: Typed, other: &Typed) -> Result<Typed, SqlError> {
        if value.ty != SqlType::Json || other.ty == SqlType::Json || other.family() != Family::Text {
            return Ok(value);
        }
        let ty = SqlType::Text(LobSize::Long);
        call(crate::functions::json::json_unquote(), vec![value], ty)
    }

    pub(crate) fn compare(&self, op: Comparison, left: Typed, right: Typed) -> Result<Typed, SqlError> {
        let left = self.json_as_text(left, &right)?;
        let right = self.json_as_text(right, &left)?;
        let (left, right) = self.collate_pair(op.sign(), left, right)?;
        if left.as_literal().is_some() && right.as_literal().is_none() {
            return self.compare(op.mirrored(), right, left);
        }
        if let Some(range) = self.compare_year(op, &left, &right)? {
            return Ok(range);
        }
        if left.as_literal().is_none()
            && right.as_literal().is_some()
            && let Some((op, constant)) = self.adapt(op, &left, &right)?
        {
            return Ok(finish(op, left, &constant));
        }
        let (left, right) = self.comparable(left, right)?;
        let nullable = op != Comparison::NullSafeEqual && (left.nullable || right.nullable);
        Ok(Typed::boolean(binary_expr(left.expr, op.operator(), right.expr), nullable))
    }

    /// `YEAR(date) op constant` as a range of the date, which a scan can use.
    fn compare_year(&self, op: Comparison, left: &Typed, right: &Typed) -> Result<Option<Typed>, SqlError> {
        let Expr::ScalarFunction(call) = &left.expr else { return Ok(None) };
        let ([Expr::Column(_)], "year") = (call.args.as_slice(), call.func.name()) else { return Ok(None) };
        let Some(year @ 1..=9998) = right.as_integer_literal() else { return Ok(None) };
        let date = Typed {
            expr: call.args[0].clone(),
            ty: SqlType::Date,
            arrow: DataType::Date32,
            nullable: left.nullable,
            collation: Collated::NUMBER,
        };
        let first = Typed::date(days_from_civil(year as i32, 1, 1));
        let next = Typed::date(days_from_civil(year as i32 + 1, 1, 1));
        let range = match op {
            Comparison::Less => self.compare(Comparison::Less, date, first)?,
            Comparison::LessOrEqual => self.compare(Comparison::Less, date, next)?,
            Comparison::Greater => self.compare(Comparison::GreaterOrEqual, date, next)?,
            Comparison::GreaterOrEqual => self.compare(Comparison::GreaterOrEqual, date, first)?,
            Comparison::Equal => {
                let after = self.compare(Comparison::GreaterOrEqual, date.clone(), first)?;
                let before = self.compare(Comparison::Less, date, next)?;
                Typed::boolean(after.expr.and(before.expr), left.nullable)
            }
            Comparison::NotEqual | Comparison::NullSafeEqual => return Ok(None),
        };
        Ok(Some(range))
    }

    /// Both sides in the type that they are compared in.
    pub(crate) fn comparable(&self, left: Typed, right: Typed) -> Result<(Typed, Typed), SqlError> {
        use Family as F;
        let (l, r) = (left.family(), right.family());
        let both = |ty, arrow: DataType| -> Result<(Typed, Typed), SqlError> {
            Ok((self.bring(left.clone(), ty, &arrow)?, self.bring(right.clone(), ty, &arrow)?))
        };
        match (l, r) {
            (F::Null, F::Null) => both(BIGINT, DataType::Int64),
            (F::Null, _) => {
                let (ty, arrow) = (right.ty, right.arrow.clone());
                Ok((self.bring(left, ty, &arrow)?, right))
            }
            (_, F::Null) => {
                let (ty, arrow) = (left.ty, left.arrow.clone());
                Ok((left, self.bring(right, ty, &arrow)?))
            }
            (F::Boolean, F::Boolean) => Ok((left, right)),
            (F::Integer | F::Boolean, F::Integer | F::Boolean) => {
                let plain =
                    |ty: &DataType| if *ty == DataType::Boolean { DataType::Int64 } else { ty.clone() };
                let arrow = common_integer(&plain(&left.arrow), &plain(&right.arrow));
                both(SqlType::of_arrow(&arrow).unwrap_or(BIGINT), arrow)
            }
            (F::Float, _) | (_, F::Float) => both(SqlType::Double, DataType::Float64),
            (F::Integer | F::Boolean | F::Decimal, F::Integer | F::Boolean | F::Decimal) => {
                let (precision, scale) = common_decimal([decimal_of(&left), decimal_of(&right)]);
                let fraction = decimal_of(&left).1.max(decimal_of(&right).1);
                if fraction > scale {
                    // More than 38 digits may be needed: the fraction decides, and what is too large to
                    // have it is cut to a number that is still greater than all others.
                    let precision = SqlType::MAX_PRECISION;
                    return Ok((
                        self.decimal_as(left, precision, fraction)?,
                        self.decimal_as(right, precision, fraction)?,
                    ));
                }
                both(SqlType::Decimal { precision, scale }, DataType::Decimal128(precision, scale as i8))
            }
            (F::Text, F::Text) => self.collate_pair("=", left, right),
            (F::Text | F::Binary, F::Text | F::Binary) => Ok((self.binary(left)?, self.binary(right)?)),
            (F::Date, F::Date) | (F::Time, F::Time) | (F::Timestamp, F::Timestamp) => Ok((left, right)),
            (F::Time, F::Text) | (F::Text, F::Time) => {
                both(SqlType::Time { fsp: 6 }, super::typed::time_arrow())
            }
            (l, r) if (l.is_temporal() || r.is_temporal()) && !l.is_numeric() && !r.is_numeric() => {
                both(SqlType::DateTime { fsp: 6 }, super::typed::datetime_arrow())
            }
            _ => both(SqlType::Double, DataType::Float64),
        }
    }

    pub(crate) fn between(&self, value: Typed, low: Typed, high: Typed) -> Result<Typed, SqlError> {
        let low = self.compare(Comparison::GreaterOrEqual, self.copy(&value)?, low)?;
        let high = self.compare(Comparison::LessOrEqual, value, high)?;
        let nullable = low.nullable || high.nullable;
        Ok(Typed::boolean(low.expr.and(high.expr), nullable))
    }

    /// `value IN (list)`. Constants that fit the value's type make one list, others are compared
    /// one by one.
    pub(crate) fn in_list(&self, value: Typed, list: Vec<Typed>) -> Result<Typed, SqlError> {
        let texts: Vec<&Typed> = std::iter::once(&value).chain(&list).collect();
        let collation = self.common_collation("IN", &texts)?;
        if value.ty != SqlType::Json && texts.iter().all(|text| by_key(&text.arrow, text.ty, collation)) {
            let list = list.into_iter().map(|item| key(item, collation)).collect::<Result<_, _>>()?;
            return self.in_list(key(value, collation)?, list);
        }
        let mut constants = Vec::new();
        let mut others = Vec::new();
        let mut has_null = false;
        let mut nullable = value.nullable;
        for item in list {
            nullable |= item.nullable;
            let adapted = if value.ty != SqlType::Json
                && !by_key(&value.arrow, value.ty, collation)
                && value.as_literal().is_none()
                && item.as_literal().is_some()
            {
                self.adapt(Comparison::Equal, &value, &item)?
            } else {
                None
            };
            match adapted {
                // Beside the list: DataFusion joins two lists to one and forgets a NULL in either.
                Some((Comparison::Equal, constant)) if constant.is_null() => has_null = true,
                Some((Comparison::Equal, constant)) if !constant.data_type().is_nested() => {
                    constants.push(Expr::Literal(constant, None));
                }
                _ => others.push(item),
            }
        }
        // A Boolean `column = 1` adapts to the column itself, which no list can say.
        if value.family() == Family::Boolean {
            others.extend(constants.drain(..).map(|expr| match expr {
                Expr::Literal(literal, _) => Typed::literal(literal, BIGINT),
                other => Typed::boolean(other, true),
            }));
        }
        let mut any: Vec<Expr> = Vec::new();
        for item in others {
            any.push(self.compare(Comparison::Equal, self.copy(&value)?, item)?.expr);
        }
        if constants.len() == 1 {
            let constant = constants.remove(0);
            any.insert(0, binary_expr(value.expr, Operator::Eq, constant));
        } else if !constants.is_empty() {
            any.insert(0, Expr::InList(InList::new(Box::new(value.expr), constants, false)));
        }
        if has_null {
            any.push(lit(ScalarValue::Boolean(None)));
        }
        let any = balanced(any, Operator::Or)
            .ok_or_else(|| SqlError::new(ErrorKind::ParseError, "IN needs at least one value"))?;
        Ok(Typed::boolean(any, nullable))
    }

    /// The constant `literal` in the type of `column`, if the comparison then means the same.
    fn adapt(&self, op: Comparison, column: &Typed, literal: &Typed) -> Result<Adapted, SqlError> {
        if literal.is_null_literal() {
            return Ok(ScalarValue::try_from(&column.arrow).ok().map(|null| (op, null)));
        }
        if literal.arrow == column.arrow && column.family() != Family::Decimal {
            return Ok(literal.as_literal().map(|value| (op, value.clone())));
        }
        Ok(match column.family() {
            Family::Integer | Family::Decimal => match number_beside(column, literal) {
                Some((unscaled, scale)) => adapt_number(op, &column.arrow, unscaled, scale),
                None => None,
            },
            Family::Float => self.adapt_float(op, column, literal)?,
            Family::Binary if literal.family() == Family::Text => {
                self.binary(literal.clone())?.as_literal().map(|value| (op, value.clone()))
            }
            Family::Date | Family::DateTime | Family::Timestamp => self.adapt_date(op, column, literal)?,
            Family::Time if matches!(literal.family(), Family::Text | Family::Integer) => {
                let time = self.time(literal.clone())?;
                match time.as_literal() {
                    Some(value) if !value.is_null() => Some((op, value.clone())),
                    _ => return Err(incorrect("TIME", literal)),
                }
            }
            Family::Boolean => match literal.as_integer_literal() {
                Some(0) => Some((op, ScalarValue::Boolean(Some(false)))),
                Some(1) => Some((op, ScalarValue::Boolean(Some(true)))),
                _ => None,
            },
            _ => None,
        })
    }

    fn adapt_float(&self, op: Comparison, column: &Typed, literal: &Typed) -> Result<Adapted, SqlError> {
        if !literal.family().is_numeric() {
            return Ok(None);
        }
        let double = self.double(literal.clone())?;
        let Some(ScalarValue::Float64(Some(value))) = double.as_literal() else { return Ok(None) };
        Ok(if column.arrow == DataType::Float64 {
            Some((op, ScalarValue::Float64(Some(*value))))
        } else if f64::from(*value as f32) == *value {
            Some((op, ScalarValue::Float32(Some(*value as f32))))
        } else {
            None
        })
    }

    fn adapt_date(&self, op: Comparison, column: &Typed, literal: &Typed) -> Result<Adapted, SqlError> {
        let name = if column.family() == Family::Date { "DATE" } else { "DATETIME" };
        match literal.family() {
            Family::Text | Family::Integer | Family::Date | Family::DateTime | Family::Timestamp => {}
            _ => return Ok(None),
        }
        let datetime = self.datetime_as(literal.clone(), 6)?;
        let Some(ScalarValue::TimestampMicrosecond(Some(micros), _)) = datetime.as_literal() else {
            return if literal.family() == Family::Integer {
                Ok(None)
            } else {
                Err(incorrect(name, literal))
            };
        };
        Ok(match column.family() {
            Family::Date => {
                let Ok(day) = i32::try_from(micros.div_euclid(MICROS_PER_DAY)) else { return Ok(None) };
                let day = ScalarValue::Date32(Some(day));
                if micros.rem_euclid(MICROS_PER_DAY) == 0 {
                    Some((op, day))
                } else {
                    op.with_floor().map(|op| (op, day))
                }
            }
            Family::DateTime => Some((op, ScalarValue::TimestampMicrosecond(Some(*micros), None))),
            _ => {
                let utc = self.zone.to_utc(*micros);
                utc.map(|utc| (op, ScalarValue::TimestampMicrosecond(Some(utc), Some("+00:00".into()))))
            }
        })
    }
}

/// AND or OR of all, as a tree that is no deeper than it must be.
pub(crate) fn balanced(mut level: Vec<Expr>, operator: Operator) -> Option<Expr> {
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut pairs = level.into_iter();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => binary_expr(left, operator, right),
                None => left,
            });
        }
        level = next;
    }
    level.pop()
}

/// The number that a constant is beside a column. One of two digits beside a YEAR is the year that the column would
/// store.
fn number_beside(column: &Typed, literal: &Typed) -> Option<(i128, u8)> {
    let number = exact_number(literal)?;
    if column.ty != SqlType::Year || !matches!(column.expr, Expr::Column(_)) {
        return Some(number);
    }
    let mut number = number;
    while number.1 > 0 && number.0 % 10 == 0 {
        number = (number.0 / 10, number.1 - 1);
    }
    let is_short_text = literal.as_text_literal().is_some_and(|text| text.len() <= 2);
    Some(match number {
        (0, 0) if is_short_text => (2000, 0),
        (short @ 1..=69, 0) => (2000 + short, 0),
        (short @ 70..=99, 0) => (1900 + short, 0),
        other => other,
    })
}

/// Exact value of a numeric constant, or of a string that is a plain number as a whole.
fn exact_number(literal: &Typed) -> Option<(i128, u8)> {
    if let Some(integer) = literal.as_integer_literal() {
        return Some((integer, 0));
    }
    match literal.as_literal()? {
        ScalarValue::Decimal128(Some(unscaled), _, scale) => Some((*unscaled, *scale as u8)),
        ScalarValue::Float64(Some(value))
            if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 =>
        {
            Some((*value as i128, 0))
        }
        ScalarValue::Utf8View(Some(text)) => plain_number(text.trim_matches(' ')),
        // A hexadecimal or bit literal.
        ScalarValue::BinaryView(Some(bytes)) if matches!(literal.ty, SqlType::Binary(_)) => {
            types::bits::number(bytes).map(|number| (i128::from(number), 0))
        }
        _ => None,
    }
}

/// `[+-]digits[.digits]`.
pub(crate) fn plain_number(text: &str) -> Option<(i128, u8)> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let scale = u8::try_from(fraction.len()).ok().filter(|scale| *scale <= 38)?;
    Some((if negative { -value } else { value }, scale))
}

fn adapt_number(op: Comparison, ty: &DataType, unscaled: i128, scale: u8) -> Adapted {
    let target = match ty {
        DataType::Decimal128(_, s) => *s as u8,
        _ => 0,
    };
    let (op, value) = if scale <= target {
        (op, unscaled.checked_mul(pow10(u32::from(target - scale)))?)
    } else {
        let divisor = pow10(u32::from(scale - target));
        let floor = unscaled.div_euclid(divisor);
        if unscaled.rem_euclid(divisor) == 0 { (op, floor) } else { (op.with_floor()?, floor) }
    };
    Some((op, number_of_type(ty, value)?))
}

/// `value` (unscaled, for a decimal) as a scalar of the type, if it is in its range.
pub(crate) fn number_of_type(ty: &DataType, value: i128) -> Option<ScalarValue> {
    Some(match ty {
        DataType::Int8 => ScalarValue::Int8(Some(i8::try_from(value).ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(value).ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(value).ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(i64::try_from(value).ok()?)),
        DataType::UInt8 => ScalarValue::UInt8(Some(u8::try_from(value).ok()?)),
        DataType::UInt16 => ScalarValue::UInt16(Some(u16::try_from(value).ok()?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(u32::try_from(value).ok()?)),
        DataType::UInt64 => ScalarValue::UInt64(Some(u64::try_from(value).ok()?)),
        DataType::Decimal128(precision, scale) => {
            if value.unsigned_abs() >= pow10(u32::from(*precision)).unsigned_abs() {
                return None;
            }
            ScalarValue::Decimal128(Some(value), *precision, *scale)
        }
        _ => return None,
    })
}

fn finish(op: Comparison, column: Typed, constant: &ScalarValue) -> Typed {
    let nullable = op != Comparison::NullSafeEqual && (column.nullable || constant.is_null());
    if let (ScalarValue::Boolean(Some(truth)), Comparison::Equal | Comparison::NotEqual) = (constant, op) {
        let expr =
            if *truth == (op == Comparison::Equal) { column.expr } else { Expr::Not(Box::new(column.expr)) };
        return Typed::boolean(expr, nullable);
    }
    Typed::boolean(binary_expr(column.expr, op.operator(), Expr::Literal(constant.clone(), None)), nullable)
}

/// 1525: "Incorrect DATE value: 'abc'".
fn incorrect(ty: &str, literal: &Typed) -> SqlError {
    let text = match (literal.as_integer_literal(), literal.as_text_literal()) {
        (Some(number), _) => number.to_string(),
        (None, Some(text)) => text.to_string(),
        (None, None) => literal.expr.to_string(),
    };
    SqlError::new(ErrorKind::InvalidDateTime, format!("Incorrect {ty} value: '{text}'"))
}
