//! Functions that see the digits that a quotient is computed to, see [`crate::analyzer::operand`].

use super::binder::{Binder, Env};
use crate::analyzer::Typed;
use crate::analyzer::convert::CastTarget;
use crate::analyzer::fold::cast;
use crate::analyzer::typed::BIGINT;
use crate::functions::quotient::Rounding;
use arrow::datatypes::DataType;
use sqlparser::ast;
use types::{SqlError, SqlType};

/// Functions of doubles, and FORMAT. Sorted.
const OF_DIGITS: &[&str] = &[
    "ACOS", "ASIN", "ATAN", "ATAN2", "COS", "COT", "DEGREES", "EXP", "FORMAT", "LN", "LOG", "LOG10", "LOG2",
    "POW", "POWER", "RADIANS", "SIN", "SQRT", "TAN",
];

/// Whether a function takes all digits of its arguments.
pub(super) fn takes_digits(name: &str) -> bool {
    OF_DIGITS.binary_search(&name).is_ok()
}

impl Binder<'_> {
    /// A value with all its digits, if 38 hold them; else with those that are seen.
    pub(super) fn with_digits(&mut self, expr: &ast::Expr, env: Env<'_>) -> Result<Typed, SqlError> {
        let operand = self.operand(expr, env)?;
        self.rules.with_digits(operand, u8::MAX)
    }

    /// CAST and CONVERT.
    pub(super) fn cast_to(
        &mut self,
        expr: &ast::Expr,
        target: CastTarget,
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let CastTarget::Decimal { scale, .. } = target else {
            let value = self.expr(expr, env)?;
            return self.rules.cast(value, target);
        };
        let operand = self.operand(expr, env)?;
        let value = self.rules.with_digits(operand, scale)?;
        self.rules.cast(value, target)
    }

    /// ROUND, TRUNCATE, FLOOR and CEIL. They give no more digits than are seen of their argument.
    pub(super) fn rounding_call(
        &mut self,
        name: &str,
        value: &ast::Expr,
        more: &[&ast::Expr],
        env: Env<'_>,
    ) -> Result<Typed, SqlError> {
        let operand = self.operand(value, env)?;
        let more = self.exprs(more.iter().copied(), env)?;
        let (rounding, whole) = match name {
            "TRUNCATE" => (Rounding::ToZero, false),
            "FLOOR" => (Rounding::Down, true),
            "CEIL" | "CEILING" => (Rounding::Up, true),
            _ => (Rounding::Nearest, false),
        };
        let digits = match more.as_slice() {
            [] if name != "TRUNCATE" => Some(0),
            [digits] if !whole => digits.as_integer_literal().filter(|digits| *digits >= 0),
            _ => None,
        };
        let scale = digits.map(|digits| u8::try_from(digits).unwrap_or(SqlType::MAX_PRECISION));
        let value = match scale {
            None => self.rules.finished(operand)?,
            Some(scale) => match self.rules.rounded_once(rounding, operand, scale)? {
                Ok(rounded) if whole => return Ok(as_whole(rounded)),
                Ok(rounded) => return Ok(rounded),
                Err(value) => value,
            },
        };
        self.native_call(name, std::iter::once(value).chain(more).collect())
    }
}

/// FLOOR and CEIL give a BIGINT where it holds every value.
fn as_whole(value: Typed) -> Typed {
    match value.arrow {
        DataType::Decimal128(..=18, 0) => cast(value, DataType::Int64, BIGINT),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_sorted() {
        assert!(OF_DIGITS.is_sorted());
    }
}
