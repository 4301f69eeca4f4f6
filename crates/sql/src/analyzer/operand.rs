//! Operands of arithmetic: a quotient of decimals keeps its digits until the whole expression is computed.
//!
//! Of `1 / 3 * 3` the quotient is computed to nine digits (see [`quotient`]), the product has them too, and what
//! comes out is rounded to the four that its type has. What does not go into further arithmetic is rounded as soon
//! as it is computed: `1 / 3` alone is one call.
//!
//! Some functions see all the digits too: ROUND and its like, CAST to DECIMAL, BETWEEN, IN, functions of doubles, and
//! SUM and AVG where all rows are one group. MySQL keeps the sums of groups in columns with the digits that are seen.

use super::convert::Rules;
use super::fold::{call, cast};
use super::{Family, Typed};
use crate::functions::arithmetic::{DIVISION_DIGITS, MAX_SCALE, Operation, average_udf, decimal_result};
use crate::functions::quotient::{
    self, Rounding, average_unrounded, divide_unrounded, quotient_scale, rounded_result, shape,
    unrounded_type,
};
use crate::functions::sum::sum_type;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use types::{SqlError, SqlType};

/// Precision and scale.
pub(crate) type Shape = (u8, u8);

/// Decimal digits that a sum may have more than what is added.
const SUM_DIGITS: u8 = 9;

#[derive(Debug)]
pub(crate) enum Operand {
    Value(Typed),
    /// `left / right`, both decimals.
    Quotient {
        left: Typed,
        right: Typed,
    },
    /// A decimal with more digits than the expression's type has.
    Unrounded {
        value: Typed,
        rounded: Shape,
    },
}

/// A side of an operation that is to be computed: unrounded if it has a shape to be rounded to.
struct Side {
    value: Typed,
    rounded: Option<Shape>,
}

impl Side {
    fn is_float(&self) -> bool {
        self.value.family() == Family::Float
    }

    /// What the side is where it is seen.
    fn shape(&self) -> Result<Shape, SqlError> {
        self.rounded.or_else(|| shape(&self.value.arrow)).ok_or_else(no_decimal)
    }
}

impl Rules {
    pub(crate) fn operate(
        &self,
        operation: Operation,
        left: Operand,
        right: Operand,
    ) -> Result<Operand, SqlError> {
        let (left, right) = (self.side(left)?, self.side(right)?);
        let unrounded = left.rounded.is_some() || right.rounded.is_some();
        if !unrounded && operation != Operation::Divide {
            return self.arithmetic(operation, left.value, right.value).map(Operand::Value);
        }
        let (left, right) = (self.number_of(left)?, self.number_of(right)?);
        if left.is_float() || right.is_float() || operation == Operation::IntegerDivide {
            return self.arithmetic(operation, left.value, right.value).map(Operand::Value);
        }
        let (left, right) = (self.decimal_of(left)?, self.decimal_of(right)?);
        if !unrounded {
            return Ok(Operand::Quotient { left: left.value, right: right.value });
        }
        self.unrounded(operation, left, right)
    }

    /// The value of a whole expression.
    pub(crate) fn finished(&self, operand: Operand) -> Result<Typed, SqlError> {
        match operand {
            Operand::Value(value) => Ok(value),
            Operand::Quotient { left, right } => self.arithmetic(Operation::Divide, left, right),
            Operand::Unrounded { value, rounded } => rounded_to(value, rounded),
        }
    }

    pub(crate) fn negated(&self, operand: Operand) -> Result<Operand, SqlError> {
        let side = self.side(operand)?;
        let value = self.negate(side.value)?;
        Ok(match side.rounded {
            Some(rounded) => Operand::Unrounded { value, rounded },
            None => Operand::Value(value),
        })
    }

    /// The value of an operand with the digits that it is computed to, if 38 hold them; else with at most `scale`
    /// behind the point, and no more than are seen.
    pub(crate) fn with_digits(&self, operand: Operand, scale: u8) -> Result<Typed, SqlError> {
        let side = self.side(operand)?;
        match (side.rounded, &side.value.arrow) {
            (Some(seen), DataType::Decimal256(..)) => rounded_to(side.value, cut(seen, scale)),
            _ => Ok(side.value),
        }
    }

    /// The digits that an operand is computed to, brought to `scale` behind the point or as many as are seen.
    /// `Err`: there are only those that are seen.
    pub(crate) fn rounded_once(
        &self,
        rounding: Rounding,
        operand: Operand,
        scale: u8,
    ) -> Result<Result<Typed, Typed>, SqlError> {
        let side = self.side(operand)?;
        match side.rounded {
            Some(seen) => rounded_by(rounding, side.value, cut(seen, scale)).map(Ok),
            None => Ok(Err(side.value)),
        }
    }

    /// An argument of SUM or AVG: with the digits that it is computed to and what is seen of it, if 38 digits hold the
    /// sum of very many such and their average too.
    pub(crate) fn summand(&self, operand: Operand) -> Result<(Typed, Option<Shape>), SqlError> {
        let arrow = match &operand {
            Operand::Quotient { left, right } => unrounded_type(Operation::Divide, &left.arrow, &right.arrow),
            Operand::Unrounded { value, .. } => Some(value.arrow.clone()),
            Operand::Value(_) => None,
        };
        let Some(DataType::Decimal128(precision, scale)) = arrow else {
            return Ok((self.finished(operand)?, None));
        };
        let whole = precision.saturating_sub(scale as u8);
        let average = quotient_scale(scale as u8, 0);
        let sum = whole + SUM_DIGITS + scale as u8;
        if sum > SqlType::MAX_PRECISION || average > MAX_SCALE || whole + average > SqlType::MAX_PRECISION {
            return Ok((self.finished(operand)?, None));
        }
        let side = self.side(operand)?;
        Ok((side.value, side.rounded))
    }

    /// What is seen of a SUM of such arguments.
    pub(crate) fn sum_seen(&self, total: Typed, (precision, scale): Shape) -> Result<Typed, SqlError> {
        let seen = sum_type(&DataType::Decimal128(precision, scale as i8));
        let seen = seen.as_ref().and_then(shape).ok_or_else(no_decimal)?;
        rounded_to(total, seen)
    }

    /// What is seen of their average.
    pub(crate) fn average_seen(
        &self,
        total: Typed,
        count: Typed,
        (precision, seen): Shape,
    ) -> Result<Typed, SqlError> {
        let (_, scale) = shape(&total.arrow).ok_or_else(no_decimal)?;
        let ty = SqlType::Decimal { precision: SqlType::MAX_PRECISION, scale: quotient_scale(scale, 0) };
        let digits = [SqlType::MAX_PRECISION, quotient_scale(scale, 0)].map(|n| Typed::int(i64::from(n)));
        let args = [total, count].into_iter().chain(digits).collect();
        let average = call(average_unrounded(), args, ty)?;
        let more = DIVISION_DIGITS.min(MAX_SCALE.saturating_sub(seen));
        rounded_to(average, ((precision + more).min(SqlType::MAX_PRECISION), seen + more))
    }

    fn unrounded(&self, operation: Operation, left: Side, right: Side) -> Result<Operand, SqlError> {
        let rounded = decimal_result(operation, left.shape()?, right.shape()?);
        let Some(arrow) = unrounded_type(operation, &left.value.arrow, &right.value.arrow) else {
            // More digits than there are: the operands are rounded.
            let [left, right] = [left, right].map(|side| match side.rounded {
                Some(rounded) => rounded_to(side.value, rounded),
                None => Ok(side.value),
            });
            return Ok(match operation {
                Operation::Divide => Operand::Quotient { left: left?, right: right? },
                _ => Operand::Value(self.arithmetic(operation, left?, right?)?),
            });
        };
        let (left, right) = (left.value, right.value);
        let value = match operation {
            Operation::Divide => {
                let ty = decimal_type(&arrow)?;
                call(divide_unrounded(self.strict_division), vec![left, right], ty)?
            }
            _ => self.arithmetic(operation, wide_as(&arrow, left), right)?,
        };
        Ok(Operand::Unrounded { value, rounded })
    }

    /// An operand as what is computed with: quotients unrounded, unless they would have more digits than there are.
    fn side(&self, operand: Operand) -> Result<Side, SqlError> {
        let (left, right) = match operand {
            Operand::Unrounded { value, rounded } => return Ok(Side { value, rounded: Some(rounded) }),
            Operand::Quotient { left, right } => (left, right),
            Operand::Value(value) => return Ok(average(value)),
        };
        let (Some(l), Some(r)) = (shape(&left.arrow), shape(&right.arrow)) else { return Err(no_decimal()) };
        let Some(arrow) = unrounded_type(Operation::Divide, &left.arrow, &right.arrow) else {
            let value = self.arithmetic(Operation::Divide, left, right)?;
            return Ok(Side { value, rounded: None });
        };
        let ty = decimal_type(&arrow)?;
        let value = call(divide_unrounded(self.strict_division), vec![left, right], ty)?;
        Ok(Side { value, rounded: Some(decimal_result(Operation::Divide, l, r)) })
    }

    fn number_of(&self, side: Side) -> Result<Side, SqlError> {
        Ok(Side { value: self.number(side.value)?, ..side })
    }

    fn decimal_of(&self, side: Side) -> Result<Side, SqlError> {
        Ok(Side { value: self.decimal(side.value)?, ..side })
    }
}

/// An AVG over a group's decimals is computed without rounding; any other value stays what it is.
fn average(value: Typed) -> Side {
    match unrounded_average(&value) {
        Some((expr, arrow, ty)) => {
            let rounded = shape(&value.arrow);
            Side { value: Typed { expr, arrow, ty, ..value }, rounded }
        }
        None => Side { value, rounded: None },
    }
}

fn unrounded_average(value: &Typed) -> Option<(Expr, DataType, SqlType)> {
    let Expr::ScalarFunction(function) = &value.expr else { return None };
    let [sum @ Expr::AggregateFunction(_), count] = function.args.as_slice() else { return None };
    let (DataType::Decimal128(..), SqlType::Decimal { precision, scale }) = (&value.arrow, value.ty) else {
        return None;
    };
    // No average is greater than all its values, whose digits the type tells, unless it was cut.
    if function.func != average_udf() || precision == SqlType::MAX_PRECISION {
        return None;
    }
    let whole = precision.checked_sub(scale)?;
    let scale = quotient_scale(scale.checked_sub(DIVISION_DIGITS)?, 0);
    let precision = whole + scale;
    if scale > MAX_SCALE || precision > SqlType::MAX_PRECISION {
        return None;
    }
    let digits = [precision, scale].map(|n| Typed::int(i64::from(n)).expr);
    let args = [sum.clone(), count.clone()].into_iter().chain(digits).collect();
    let ty = SqlType::Decimal { precision, scale };
    Some((average_unrounded().call(args), DataType::Decimal128(precision, scale as i8), ty))
}

/// `value`, with as many bits as the result of an operation on it needs.
fn wide_as(result: &DataType, value: Typed) -> Typed {
    match (result, &value.arrow) {
        (DataType::Decimal256(..), DataType::Decimal128(precision, scale)) => {
            let ty = value.ty;
            let arrow = DataType::Decimal256(*precision, *scale);
            cast(value, arrow, ty)
        }
        _ => value,
    }
}

/// The shape of a value of shape `seen` that is brought to `scale` digits behind the point: rounding may add one
/// before it.
fn cut((precision, seen): Shape, scale: u8) -> Shape {
    let scale = scale.min(seen);
    ((precision.saturating_sub(seen) + 1 + scale).min(SqlType::MAX_PRECISION), scale)
}

fn rounded_to(value: Typed, seen: Shape) -> Result<Typed, SqlError> {
    rounded_by(Rounding::Nearest, value, seen)
}

fn rounded_by(rounding: Rounding, value: Typed, (precision, scale): Shape) -> Result<Typed, SqlError> {
    let args = vec![value, Typed::int(i64::from(precision)), Typed::int(i64::from(scale))];
    call(rounded_result(rounding), args, SqlType::Decimal { precision, scale })
}

fn decimal_type(arrow: &DataType) -> Result<SqlType, SqlError> {
    let (precision, scale) = shape(arrow).ok_or_else(no_decimal)?;
    Ok(SqlType::Decimal { precision, scale })
}

fn no_decimal() -> SqlError {
    SqlError::internal("an operand of a division of decimals is none")
}

/// Whether `key` is what is seen of `unrounded`.
pub(crate) fn is_rounded_of(key: &Expr, unrounded: &Expr) -> bool {
    let Expr::ScalarFunction(key) = key else { return false };
    if key.name() == quotient::ROUNDING {
        return key.args.first() == Some(unrounded);
    }
    let Expr::ScalarFunction(inner) = unrounded else { return false };
    let same =
        |strict| inner.func == divide_unrounded(strict) && key.func == Operation::Divide.udf_by(strict);
    (same(false) || same(true)) && key.args == inner.args
}
