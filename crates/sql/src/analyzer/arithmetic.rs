//! Types of `+ - * / DIV %`, negation and bit operators.

use super::convert::Rules;
use super::fold;
use super::typed::{BIGINT, BIGINT_UNSIGNED, is_unsigned};
use super::{Family, Typed};
use crate::functions::arithmetic::Operation;
use crate::functions::bits;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Expr;
use types::{SqlError, SqlType};

impl Rules {
    pub(crate) fn arithmetic(
        &self,
        operation: Operation,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, SqlError> {
        let (left, right) = (self.number(left)?, self.number(right)?);
        let unsigned = is_unsigned(&left.arrow) || is_unsigned(&right.arrow);
        let either = |family| left.family() == family || right.family() == family;
        let (left, right) = if either(Family::Float) {
            (self.double(left)?, self.double(right)?)
        } else if either(Family::Decimal) || operation == Operation::Divide {
            (self.decimal(left)?, self.decimal(right)?)
        } else {
            (wide_integer(left), wide_integer(right))
        };
        let (left, right) = if self.modes.no_unsigned_subtraction && operation == Operation::Subtract {
            (self.signed_if_unsigned(left)?, self.signed_if_unsigned(right)?)
        } else {
            (left, right)
        };
        let arrow = crate::functions::arithmetic::result_type(operation, &left.arrow, &right.arrow)
            .ok_or_else(|| SqlError::internal("operands of an arithmetic operator have no common type"))?;
        let ty = match &arrow {
            DataType::Float64 => SqlType::Double,
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                SqlType::Decimal { precision: *precision, scale: *scale as u8 }
            }
            DataType::UInt64 => BIGINT_UNSIGNED,
            _ => BIGINT,
        };
        let result = fold::call(operation.udf_by(self.strict_division), vec![left, right], ty)?;
        let result = if operation == Operation::IntegerDivide && unsigned && result.arrow == DataType::Int64 {
            let not_negative = crate::functions::arithmetic::not_negative();
            fold::call(not_negative, vec![result], BIGINT_UNSIGNED)?
        } else {
            result
        };
        // A constant may be NULL too, for all that the types say: what is divided by zero.
        let divides = matches!(operation, Operation::Divide | Operation::IntegerDivide | Operation::Modulo);
        Ok(Typed { nullable: result.nullable || divides, ..result })
    }

    fn signed_if_unsigned(&self, value: Typed) -> Result<Typed, SqlError> {
        if value.arrow == DataType::UInt64 { self.signed(value) } else { Ok(value) }
    }

    pub(crate) fn negate(&self, value: Typed) -> Result<Typed, SqlError> {
        let value = self.number(value)?;
        match value.family() {
            Family::Decimal | Family::Float => {
                let literal = value.as_literal().and_then(|literal| literal.arithmetic_negate().ok());
                let expr = match literal {
                    Some(negated) => Expr::Literal(negated, None),
                    None => Expr::Negative(Box::new(value.expr)),
                };
                Ok(Typed { expr, ..value })
            }
            _ if value.arrow == DataType::UInt64 => {
                fold::call(crate::functions::arithmetic::negate_unsigned(), vec![value], BIGINT)
            }
            _ => self.arithmetic(Operation::Subtract, Typed::int(0), wide_integer(value)),
        }
    }

    /// `& | ^ << >>`: on BIGINT UNSIGNED.
    pub(crate) fn bits(
        &self,
        operation: bits::Operation,
        left: Typed,
        right: Typed,
    ) -> Result<Typed, SqlError> {
        let args = vec![self.unsigned(left)?, self.unsigned(right)?];
        fold::call(operation.udf(), args, BIGINT_UNSIGNED)
    }

    pub(crate) fn invert_bits(&self, value: Typed) -> Result<Typed, SqlError> {
        let all = Typed::uint(u64::MAX);
        self.bits(bits::Operation::Xor, value, all)
    }
}

/// BIGINT or BIGINT UNSIGNED.
pub(crate) fn wide_integer(value: Typed) -> Typed {
    // A BIGINT UNSIGNED makes the result unsigned, narrower unsigned types too, as in MySQL.
    if is_unsigned(&value.arrow) {
        fold::cast(value, DataType::UInt64, BIGINT_UNSIGNED)
    } else {
        fold::cast(value, DataType::Int64, BIGINT)
    }
}
