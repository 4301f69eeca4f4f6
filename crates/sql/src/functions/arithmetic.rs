//! `+ - * / DIV %` and negation, as MySQL computes them: exact, and an error instead of a wrap.
//!
//! Operands are Int64, UInt64, Decimal128 or Float64; both of one family. Results:
//!
//! | | integers | decimals | floats |
//! |---|---|---|---|
//! | + - * | Int64, or UInt64 if an operand is unsigned | Decimal128, see [`decimal_result`] | Float64 |
//! | / | (operands come as decimals) | scale of the left operand + 4, see [`quotient`] | Float64 |
//! | DIV | Int64 or UInt64 | Int64 | Int64 |
//! | % | type of the left operand | larger scale | Float64 |
//!
//! Division by zero is NULL, or an error in the strict functions. Decimal products are computed from 64-bit halves when a batch's values
//! allow it, which is nearly always and several times faster than checked 128-bit multiplication.

use super::failure::{out_of_range, raise};
use super::kernel::{Arguments, Function, Nulls, Returns, build_numbers};
use super::{quotient, warnings};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, UInt64Type, i256,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    IntegerDivide,
    Modulo,
}

/// MySQL's greatest scale.
pub(crate) const MAX_SCALE: u8 = 30;
/// div_precision_increment.
pub(crate) const DIVISION_DIGITS: u8 = 4;

impl Operation {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::IntegerDivide => "DIV",
            Operation::Modulo => "%",
        }
    }

    /// The function; `strict`: a division by zero is an error.
    pub(crate) fn udf_by(self, strict: bool) -> Arc<ScalarUDF> {
        Arc::clone(match self {
            Operation::Divide if strict => &DIVIDE_STRICT,
            Operation::IntegerDivide if strict => &INTEGER_DIVIDE_STRICT,
            Operation::Modulo if strict => &MODULO_STRICT,
            _ => return self.udf(),
        })
    }

    pub(crate) fn udf(self) -> Arc<ScalarUDF> {
        Arc::clone(match self {
            Operation::Add => &ADD,
            Operation::Subtract => &SUBTRACT,
            Operation::Multiply => &MULTIPLY,
            Operation::Divide => &DIVIDE,
            Operation::IntegerDivide => &INTEGER_DIVIDE,
            Operation::Modulo => &MODULO,
        })
    }
}

macro_rules! operation {
    ($static:ident, $name:literal, $operation:ident, $nulls:ident) => {
        static $static: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
            Function::new(
                $name,
                Returns::By(|fields, _| result_of(Operation::$operation, fields)),
                Nulls::$nulls,
                |args| compute(Operation::$operation, args),
            )
            .udf()
        });
    };
}

operation!(ADD, "add", Add, Propagate);
operation!(SUBTRACT, "subtract", Subtract, Propagate);
operation!(MULTIPLY, "multiply", Multiply, Propagate);

macro_rules! division {
    ($static:ident, $name:literal, $operation:ident, $strict:literal) => {
        static $static: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
            Function::new(
                $name,
                Returns::By(|fields, _| result_of(Operation::$operation, fields)),
                Nulls::Always,
                |args| noting_zeros($strict, args, compute(Operation::$operation, args)?),
            )
            .udf()
        });
    };
}

division!(DIVIDE, "divide", Divide, false);
division!(INTEGER_DIVIDE, "div", IntegerDivide, false);
division!(MODULO, "modulo", Modulo, false);
division!(DIVIDE_STRICT, "divide_strict", Divide, true);
division!(INTEGER_DIVIDE_STRICT, "div_strict", IntegerDivide, true);
division!(MODULO_STRICT, "modulo_strict", Modulo, true);

/// Quotients or remainders. NULL of two values is a division by zero: a warning, or strictly an error.
pub(super) fn noting_zeros(strict: bool, args: &Arguments<'_>, result: ArrayRef) -> Result<ArrayRef> {
    if result.null_count() > 0 && (strict || warnings::are_gathered()) {
        let (left, right) = (args.array(0)?, args.array(1)?);
        for row in (0..args.rows).filter(|row| result.is_null(*row)) {
            if left.is_null(row) || right.is_null(row) {
                continue;
            }
            if strict {
                return Err(raise(SqlError::new(ErrorKind::DivisionByZero, "Division by 0")));
            }
            warnings::division_by_zero();
        }
    }
    Ok(result)
}

static AVERAGE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Function::new("average", Returns::By(average_result), Nulls::Always, average).udf());

static NEGATE_UNSIGNED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("negate_unsigned", Returns::Type(DataType::Int64), Nulls::Propagate, |args| {
        let values = args.numbers::<UInt64Type>(0)?;
        build_numbers::<Int64Type>(args, |row| match values.get(row) {
            None => Ok(None),
            Some(value) => match i64::try_from(-i128::from(value)) {
                Ok(negated) => Ok(Some(negated)),
                Err(_) => Err(out_of_range("BIGINT", format_args!("-({value})"))),
            },
        })
    })
    .udf()
});

static NOT_NEGATIVE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("not_negative", Returns::Type(DataType::UInt64), Nulls::Propagate, |args| {
        let values = args.numbers::<Int64Type>(0)?;
        build_numbers::<UInt64Type>(args, |row| match values.get(row).map(u64::try_from) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(out_of_range("BIGINT UNSIGNED", "DIV")),
        })
    })
    .udf()
});

/// negate_unsigned(BIGINT UNSIGNED): BIGINT, or 1690 below its range.
pub(crate) fn negate_unsigned() -> Arc<ScalarUDF> {
    Arc::clone(&NEGATE_UNSIGNED)
}

/// not_negative(BIGINT): the same as BIGINT UNSIGNED, or 1690.
pub(crate) fn not_negative() -> Arc<ScalarUDF> {
    Arc::clone(&NOT_NEGATIVE)
}

/// average(sum, count): the decimal quotient with four digits more.
pub(crate) fn average_udf() -> Arc<ScalarUDF> {
    Arc::clone(&AVERAGE)
}

pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let plain = [&ADD, &SUBTRACT, &MULTIPLY, &DIVIDE, &INTEGER_DIVIDE, &MODULO, &AVERAGE];
    let strict = [&DIVIDE_STRICT, &INTEGER_DIVIDE_STRICT, &MODULO_STRICT];
    let signs = [&NEGATE_UNSIGNED, &NOT_NEGATIVE];
    plain.into_iter().chain(strict).chain(signs).map(|udf| Arc::clone(udf)).collect()
}

/// Precision and scale of a decimal result: MySQL's, with the precision cut at 38 instead of 65.
pub(crate) fn decimal_result(operation: Operation, (p1, s1): (u8, u8), (p2, s2): (u8, u8)) -> (u8, u8) {
    let whole = (p1 - s1.min(p1)).max(p2 - s2.min(p2));
    let (precision, scale) = match operation {
        Operation::Add | Operation::Subtract => {
            let scale = s1.max(s2);
            (whole + 1 + scale, scale)
        }
        Operation::Multiply => (p1 + p2, (s1 + s2).min(MAX_SCALE)),
        Operation::Divide => {
            let scale = (s1 + DIVISION_DIGITS).min(MAX_SCALE).max(s1.min(MAX_SCALE));
            (p1.saturating_sub(s1) + s2 + scale, scale)
        }
        Operation::IntegerDivide => (19, 0),
        Operation::Modulo => {
            let scale = s1.max(s2);
            (whole + scale, scale)
        }
    };
    (precision.clamp(1, DECIMAL128_MAX_PRECISION), scale)
}

pub(crate) fn result_type(operation: Operation, left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match (left, right) {
        (D::Float64, D::Float64) if operation == Operation::IntegerDivide => D::Int64,
        (D::Float64, D::Float64) => D::Float64,
        (D::Decimal128(..), D::Decimal128(..)) if operation == Operation::IntegerDivide => D::Int64,
        (D::Decimal128(p1, s1), D::Decimal128(p2, s2)) => {
            let (precision, scale) = decimal_result(operation, (*p1, *s1 as u8), (*p2, *s2 as u8));
            D::Decimal128(precision, scale as i8)
        }
        (D::Decimal256(..), D::Decimal128(..) | D::Decimal256(..))
        | (D::Decimal128(..), D::Decimal256(..)) => {
            return quotient::unrounded_type(operation, left, right);
        }
        (_, _) if operation == Operation::Divide => return None,
        (D::Int64, D::Int64) => D::Int64,
        (D::Int64, D::UInt64) if operation == Operation::Modulo => D::Int64,
        (D::Int64 | D::UInt64, D::Int64 | D::UInt64) => D::UInt64,
        _ => return None,
    })
}

fn result_of(operation: Operation, fields: &[FieldRef]) -> Result<DataType> {
    match fields {
        [left, right] => {
            result_type(operation, left.data_type(), right.data_type()).ok_or_else(|| bad_operands(operation))
        }
        _ => Err(bad_operands(operation)),
    }
}

pub(super) fn bad_operands(operation: Operation) -> DataFusionError {
    DataFusionError::Internal(format!(
        "'{}' got operands of other types than the binder gives",
        operation.symbol()
    ))
}

/// One side: an array's values, or one value for all rows.
struct Side<'a, T> {
    values: &'a [T],
    step: usize,
    nulls: Option<&'a NullBuffer>,
}

impl<T: Copy> Side<'_, T> {
    #[inline]
    fn at(&self, row: usize) -> T {
        self.values[row * self.step]
    }

    fn is_one(&self) -> bool {
        self.step == 0
    }
}

/// Calls `$body` with both arguments as [`Side`]s, or answers all NULL if one is a NULL constant.
macro_rules! with_sides {
    ($args:expr, $ty:ty, |$left:ident, $right:ident| $body:expr) => {{
        let (left, right) = (Operand::of($args, 0)?, Operand::of($args, 1)?);
        if left.is_null_constant() || right.is_null_constant() {
            return Ok(arrow::array::new_null_array($args.result, $args.rows));
        }
        let $left = left.side::<$ty>()?;
        let $right = right.side::<$ty>()?;
        $body
    }};
}

struct Operand {
    array: ArrayRef,
    one: bool,
}

impl Operand {
    fn of(args: &Arguments<'_>, at: usize) -> Result<Operand> {
        Ok(match args.value(at)? {
            ColumnarValue::Array(array) => Operand { array: Arc::clone(array), one: false },
            ColumnarValue::Scalar(value) => Operand { array: value.to_array()?, one: true },
        })
    }

    fn is_null_constant(&self) -> bool {
        self.one && self.array.is_null(0)
    }

    fn side<T: arrow::datatypes::ArrowPrimitiveType>(&self) -> Result<Side<'_, T::Native>> {
        let array = self.array.as_primitive_opt::<T>().ok_or_else(|| {
            DataFusionError::Internal(format!(
                "an operand is {}, not {}",
                self.array.data_type(),
                T::DATA_TYPE
            ))
        })?;
        Ok(Side {
            values: array.values(),
            step: usize::from(!self.one),
            nulls: if self.one { None } else { array.nulls() },
        })
    }
}

fn compute(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    use DataType as D;
    match (args.data_type(0)?, args.data_type(1)?) {
        (D::Float64, D::Float64) => floats(operation, args),
        (D::Decimal128(_, s1), D::Decimal128(_, s2)) => match operation {
            Operation::Add | Operation::Subtract => add_decimals(operation, s1, s2, args),
            Operation::Multiply => multiply_decimals(s1, s2, args),
            _ => divide_decimals(operation, s1, s2, args),
        },
        (D::Decimal256(..), _) | (_, D::Decimal256(..)) => quotient::compute(operation, args),
        (D::Int64, D::Int64) => signed(operation, args),
        (D::Int64 | D::UInt64, D::Int64 | D::UInt64) => unsigned(operation, args),
        _ => Err(bad_operands(operation)),
    }
}

/// The array of `values`, NULL where an operand is.
fn finish<T: arrow::datatypes::ArrowPrimitiveType>(
    args: &Arguments<'_>,
    values: Vec<T::Native>,
    left: Option<&NullBuffer>,
    right: Option<&NullBuffer>,
) -> ArrayRef {
    let nulls = NullBuffer::union(left, right);
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls).with_data_type(args.result.clone()))
}

fn overflow(
    ty: &str,
    operation: Operation,
    left: impl std::fmt::Display,
    right: impl std::fmt::Display,
) -> DataFusionError {
    out_of_range(ty, format_args!("({left} {} {right})", operation.symbol()))
}

fn valid(row: usize, left: Option<&NullBuffer>, right: Option<&NullBuffer>) -> bool {
    left.is_none_or(|nulls| nulls.is_valid(row)) && right.is_none_or(|nulls| nulls.is_valid(row))
}

fn signed(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    if matches!(operation, Operation::IntegerDivide | Operation::Modulo) {
        let (left, right) = (args.numbers::<Int64Type>(0)?, args.numbers::<Int64Type>(1)?);
        return build_numbers::<Int64Type>(args, |row| {
            let (Some(left), Some(right)) = (left.get(row), right.get(row)) else { return Ok(None) };
            if right == 0 {
                return Ok(None);
            }
            if operation == Operation::Modulo {
                return Ok(Some(left.wrapping_rem(right)));
            }
            match left.checked_div(right) {
                Some(quotient) => Ok(Some(quotient)),
                None => Err(overflow("BIGINT", operation, left, right)),
            }
        });
    }
    with_sides!(args, Int64Type, |left, right| {
        match operation {
            Operation::Add => checked(args, operation, &left, &right, i64::overflowing_add),
            Operation::Subtract => checked(args, operation, &left, &right, i64::overflowing_sub),
            _ => checked(args, operation, &left, &right, i64::overflowing_mul),
        }
    })
}

/// One function for each operation, so that `apply` is inlined.
fn checked(
    args: &Arguments<'_>,
    operation: Operation,
    left: &Side<'_, i64>,
    right: &Side<'_, i64>,
    apply: impl Fn(i64, i64) -> (i64, bool),
) -> Result<ArrayRef> {
    let mut values = Vec::with_capacity(args.rows);
    let mut overflowed = false;
    let mut take = |l: i64, r: i64| {
        let (value, over) = apply(l, r);
        overflowed |= over;
        value
    };
    match (left.is_one(), right.is_one()) {
        (false, false) => values.extend(left.values.iter().zip(right.values).map(|(l, r)| take(*l, *r))),
        (true, false) => {
            let l = left.at(0);
            values.extend(right.values.iter().map(|r| take(l, *r)));
        }
        (false, true) => {
            let r = right.at(0);
            values.extend(left.values.iter().map(|l| take(*l, r)));
        }
        (true, true) => values.push(take(left.at(0), right.at(0))),
    }
    if overflowed {
        // Values below NULL mean nothing: only a row of two values makes it an error.
        for row in 0..args.rows {
            let (l, r) = (left.at(row), right.at(row));
            if apply(l, r).1 && valid(row, left.nulls, right.nulls) {
                return Err(overflow("BIGINT", operation, l, r));
            }
        }
    }
    Ok(finish::<Int64Type>(args, values, left.nulls, right.nulls))
}

/// At least one operand is unsigned: computed in 128 bits, and the result must fit its type.
fn unsigned(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (wide_integers(args, 0)?, wide_integers(args, 1)?);
    let row = |row: usize| -> Result<Option<i128>> {
        let (Some(l), Some(r)) = (left(row), right(row)) else { return Ok(None) };
        let value = match operation {
            Operation::Add => Some(l + r),
            Operation::Subtract => Some(l - r),
            Operation::Multiply => l.checked_mul(r),
            _ if r == 0 => return Ok(None),
            Operation::IntegerDivide | Operation::Divide => Some(l / r),
            Operation::Modulo => Some(l % r),
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(overflow("BIGINT UNSIGNED", operation, l, r)),
        }
    };
    let refuse = |at: usize| {
        overflow("BIGINT UNSIGNED", operation, left(at).unwrap_or_default(), right(at).unwrap_or_default())
    };
    if *args.result == DataType::Int64 {
        build_numbers::<Int64Type>(args, |at| match row(at)? {
            Some(value) => i64::try_from(value).map(Some).map_err(|_| refuse(at)),
            None => Ok(None),
        })
    } else {
        build_numbers::<UInt64Type>(args, |at| match row(at)? {
            Some(value) => u64::try_from(value).map(Some).map_err(|_| refuse(at)),
            None => Ok(None),
        })
    }
}

fn wide_integers<'a>(args: &Arguments<'a>, at: usize) -> Result<Box<dyn Fn(usize) -> Option<i128> + 'a>> {
    Ok(if args.data_type(at)? == DataType::UInt64 {
        let numbers = args.numbers::<UInt64Type>(at)?;
        Box::new(move |row| numbers.get(row).map(i128::from))
    } else {
        let numbers = args.numbers::<Int64Type>(at)?;
        Box::new(move |row| numbers.get(row).map(i128::from))
    })
}

fn floats(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    match operation {
        Operation::Divide | Operation::Modulo => {
            let (left, right) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
            build_numbers::<Float64Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0.0 {
                    return Ok(None);
                }
                let value = if operation == Operation::Divide { l / r } else { l % r };
                if value.is_finite() { Ok(Some(value)) } else { Err(overflow("DOUBLE", operation, l, r)) }
            })
        }
        Operation::IntegerDivide => {
            let (left, right) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
            build_numbers::<Int64Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0.0 {
                    return Ok(None);
                }
                let value = (l / r).trunc();
                // The bounds are exact powers of two.
                if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
                    Ok(Some(value as i64))
                } else {
                    Err(overflow("BIGINT", operation, l, r))
                }
            })
        }
        _ => with_sides!(args, Float64Type, |left, right| {
            let mut values = Vec::with_capacity(args.rows);
            for row in 0..args.rows {
                let (l, r) = (left.at(row), right.at(row));
                values.push(match operation {
                    Operation::Add => l + r,
                    Operation::Subtract => l - r,
                    _ => l * r,
                });
            }
            for (row, value) in values.iter().enumerate() {
                if !value.is_finite() && valid(row, left.nulls, right.nulls) {
                    return Err(overflow("DOUBLE", operation, left.at(row), right.at(row)));
                }
            }
            Ok(finish::<Float64Type>(args, values, left.nulls, right.nulls))
        }),
    }
}

/// 10^n. Invariant: n is at most 38, as scales and precisions are.
pub(crate) const fn pow10(n: u32) -> i128 {
    10i128.pow(n)
}

pub(super) const LIMIT: i128 = pow10(DECIMAL128_MAX_PRECISION as u32);

/// A decimal as a person writes it.
pub(crate) fn decimal_text(unscaled: i128, scale: i8) -> String {
    Decimal128Type::format_decimal(unscaled, DECIMAL128_MAX_PRECISION, scale)
}

use arrow::datatypes::DecimalType;

fn decimal_overflow(operation: Operation, (l, s1): (i128, i8), (r, s2): (i128, i8)) -> DataFusionError {
    overflow("DECIMAL", operation, decimal_text(l, s1), decimal_text(r, s2))
}

fn add_decimals(operation: Operation, s1: i8, s2: i8, args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *args.result else { return Err(bad_operands(operation)) };
    let (m1, m2) = (pow10((scale - s1) as u32), pow10((scale - s2) as u32));
    with_sides!(args, Decimal128Type, |left, right| {
        let mut values = Vec::with_capacity(args.rows);
        if precision < DECIMAL128_MAX_PRECISION {
            // The result's precision was not cut, so every pair of operands fits.
            let sign = if operation == Operation::Add { 1 } else { -1 };
            match (left.is_one(), right.is_one(), m1, m2) {
                (true, false, _, 1) => {
                    let l = left.at(0).wrapping_mul(m1);
                    values.extend(right.values.iter().map(|r| l.wrapping_add(sign * r)));
                }
                (false, true, 1, _) => {
                    let r = right.at(0).wrapping_mul(sign * m2);
                    values.extend(left.values.iter().map(|l| l.wrapping_add(r)));
                }
                (false, false, 1, 1) => {
                    values
                        .extend(left.values.iter().zip(right.values).map(|(l, r)| l.wrapping_add(sign * r)));
                }
                _ => {
                    let m2 = sign * m2;
                    values.extend((0..args.rows).map(|row| {
                        left.at(row).wrapping_mul(m1).wrapping_add(right.at(row).wrapping_mul(m2))
                    }));
                }
            }
            values.truncate(args.rows);
        } else {
            for row in 0..args.rows {
                if !valid(row, left.nulls, right.nulls) {
                    values.push(0);
                    continue;
                }
                let (l, r) = (left.at(row), right.at(row));
                let sum = l.checked_mul(m1).zip(r.checked_mul(m2)).and_then(|(l, r)| {
                    if operation == Operation::Add { l.checked_add(r) } else { l.checked_sub(r) }
                });
                match sum {
                    Some(sum) if sum.unsigned_abs() < LIMIT as u128 => values.push(sum),
                    _ => return Err(decimal_overflow(operation, (l, s1), (r, s2))),
                }
            }
        }
        Ok(finish::<Decimal128Type>(args, values, left.nulls, right.nulls))
    })
}

/// Whether all values fit 64 bits. Values below NULL count too: they only cost the fast path.
pub(crate) fn fit_64_bits(values: &[i128]) -> bool {
    let mut outside = 0i128;
    for value in values {
        outside |= value ^ i128::from(*value as i64);
    }
    outside == 0
}

fn multiply_decimals(s1: i8, s2: i8, args: &Arguments<'_>) -> Result<ArrayRef> {
    let operation = Operation::Multiply;
    let DataType::Decimal128(_, scale) = *args.result else { return Err(bad_operands(operation)) };
    let cut = (s1 + s2 - scale) as u32;
    with_sides!(args, Decimal128Type, |left, right| {
        let mut values = Vec::with_capacity(args.rows);
        let narrow = |side: &Side<'_, i128>| {
            if side.is_one() { fit_64_bits(&side.values[..1]) } else { fit_64_bits(side.values) }
        };
        if cut == 0 && narrow(&left) && narrow(&right) {
            // Two 64-bit factors make at most 127 bits and 38 digits.
            let product = |l: i128, r: i128| i128::from(l as i64) * i128::from(r as i64);
            match (left.is_one(), right.is_one()) {
                (false, false) => {
                    values.extend(left.values.iter().zip(right.values).map(|(l, r)| product(*l, *r)));
                }
                (true, false) => {
                    let l = left.at(0);
                    values.extend(right.values.iter().map(|r| product(l, *r)));
                }
                (false, true) => {
                    let r = right.at(0);
                    values.extend(left.values.iter().map(|l| product(*l, r)));
                }
                (true, true) => values.push(product(left.at(0), right.at(0))),
            }
        } else {
            for row in 0..args.rows {
                if !valid(row, left.nulls, right.nulls) {
                    values.push(0);
                    continue;
                }
                let (l, r) = (left.at(row), right.at(row));
                let product = match l.checked_mul(r) {
                    Some(product) => Some(round_quotient(product, pow10(cut))),
                    None if cut > 0 => wide_quotient(wide(l).wrapping_mul(wide(r)), wide(pow10(cut))),
                    None => None,
                };
                match product {
                    Some(product) if product.unsigned_abs() < LIMIT as u128 => values.push(product),
                    _ => return Err(decimal_overflow(operation, (l, s1), (r, s2))),
                }
            }
        }
        Ok(finish::<Decimal128Type>(args, values, left.nulls, right.nulls))
    })
}

fn wide(value: i128) -> i256 {
    i256::from_i128(value)
}

/// Rounded half away from zero. `divisor` is not zero.
pub(crate) fn round_quotient(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    // `rest` is smaller than `divisor`, so this comparison cannot overflow.
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() && rest != 0 {
        quotient + if (value < 0) == (divisor < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// Rounded half away from zero; `None` if it needs more than 128 bits. `divisor` is not zero.
pub(super) fn wide_quotient(value: i256, divisor: i256) -> Option<i128> {
    let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
    let abs = |v: i256| if v.is_negative() { v.wrapping_neg() } else { v };
    let (rest, size) = (abs(rest), abs(divisor));
    let rounded = if rest != i256::ZERO && rest >= size.wrapping_sub(rest) {
        let one = if value.is_negative() == divisor.is_negative() { i256::ONE } else { i256::MINUS_ONE };
        quotient.wrapping_add(one)
    } else {
        quotient
    };
    rounded.to_i128()
}

fn divide_decimals(operation: Operation, s1: i8, s2: i8, args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.numbers::<Decimal128Type>(0)?, args.numbers::<Decimal128Type>(1)?);
    let fits = |l: i128, r: i128, value: Option<i128>| match value {
        Some(value) if value.unsigned_abs() < LIMIT as u128 => Ok(Some(value)),
        _ => Err(decimal_overflow(operation, (l, s1), (r, s2))),
    };
    match (operation, args.result) {
        (Operation::Divide, DataType::Decimal128(_, scale)) => {
            // l / 10^s1 : r / 10^s2 = l * 10^(scale - s1 + s2) / r / 10^scale
            let shift = i32::from(*scale) - i32::from(s1) + i32::from(s2);
            // MySQL cuts off what it has no room for, and rounds only what it has more digits of.
            let cut = quotient::quotient_scale(s1 as u8, s2 as u8) == *scale as u8;
            let divide = if cut { divide_cut } else { divide_shifted };
            build_numbers::<Decimal128Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0 {
                    return Ok(None);
                }
                fits(l, r, divide(l, r, shift))
            })
        }
        (Operation::Modulo, DataType::Decimal128(_, scale)) => {
            let (m1, m2) = (pow10((scale - s1) as u32), pow10((scale - s2) as u32));
            build_numbers::<Decimal128Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0 {
                    return Ok(None);
                }
                let rest = match l.checked_mul(m1).zip(r.checked_mul(m2)) {
                    Some((l, r)) => Some(l % r),
                    None => wide(l)
                        .checked_mul(wide(m1))
                        .zip(wide(r).checked_mul(wide(m2)))
                        .and_then(|(l, r)| l.checked_rem(r))
                        .and_then(i256::to_i128),
                };
                fits(l, r, rest)
            })
        }
        (Operation::IntegerDivide, DataType::Int64) => {
            let scale = s1.max(s2);
            let (m1, m2) = (wide(pow10((scale - s1) as u32)), wide(pow10((scale - s2) as u32)));
            build_numbers::<Int64Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0 {
                    return Ok(None);
                }
                let quotient = wide(l)
                    .checked_mul(m1)
                    .zip(wide(r).checked_mul(m2))
                    .and_then(|(l, r)| l.checked_div(r))
                    .and_then(i256::to_i128)
                    .and_then(|value| i64::try_from(value).ok());
                match quotient {
                    Some(value) => Ok(Some(value)),
                    None => Err(overflow("BIGINT", operation, decimal_text(l, s1), decimal_text(r, s2))),
                }
            })
        }
        _ => Err(bad_operands(operation)),
    }
}

/// `l * 10^shift / r`, rounded; `None` if it needs more than 128 bits. `r` is not zero.
fn divide_shifted(l: i128, r: i128, shift: i32) -> Option<i128> {
    let factor = pow10(shift.unsigned_abs().min(38));
    if shift < 0 {
        return match r.checked_mul(factor) {
            Some(divisor) => Some(round_quotient(l, divisor)),
            None => wide_quotient(wide(l), wide(r).wrapping_mul(wide(factor))),
        };
    }
    match l.checked_mul(factor) {
        Some(dividend) => Some(round_quotient(dividend, r)),
        None => wide_quotient(wide(l).checked_mul(wide(factor))?, wide(r)),
    }
}

/// `l * 10^shift / r` without what is behind the point; `None` if it needs more than 128 bits. `r` is not zero, and
/// `shift` not negative.
pub(super) fn divide_cut(l: i128, r: i128, shift: i32) -> Option<i128> {
    let factor = pow10(shift.unsigned_abs().min(38));
    match l.checked_mul(factor) {
        Some(dividend) => dividend.checked_div(r),
        None => wide(l).checked_mul(wide(factor))?.checked_div(wide(r))?.to_i128(),
    }
}

fn average_result(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match fields {
        [sum, count] if count.data_type() == &DataType::Int64 => match sum.data_type() {
            DataType::Decimal128(precision, scale) => {
                let more = DIVISION_DIGITS.min(MAX_SCALE.saturating_sub(*scale as u8));
                Ok(DataType::Decimal128((precision + more).min(DECIMAL128_MAX_PRECISION), scale + more as i8))
            }
            DataType::Float64 => Ok(DataType::Float64),
            _ => Err(bad_operands(Operation::Divide)),
        },
        _ => Err(bad_operands(Operation::Divide)),
    }
}

fn average(args: &Arguments<'_>) -> Result<ArrayRef> {
    let count = args.numbers::<Int64Type>(1)?;
    match (args.data_type(0)?, args.result) {
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
            let sum = args.numbers::<Decimal128Type>(0)?;
            let cut = quotient::quotient_scale(from as u8, 0) == *to as u8;
            let divide = if cut { divide_cut } else { divide_shifted };
            build_numbers::<Decimal128Type>(args, |row| match (sum.get(row), count.get(row)) {
                (Some(sum), Some(count)) if count != 0 => {
                    let value = divide(sum, i128::from(count), i32::from(to - from));
                    match value {
                        Some(value) if value.unsigned_abs() < LIMIT as u128 => Ok(Some(value)),
                        _ => Err(decimal_overflow(Operation::Divide, (sum, from), (i128::from(count), 0))),
                    }
                }
                _ => Ok(None),
            })
        }
        (DataType::Float64, DataType::Float64) => {
            let sum = args.numbers::<Float64Type>(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(match (sum.get(row), count.get(row)) {
                    (Some(sum), Some(count)) if count != 0 => Some(sum / count as f64),
                    _ => None,
                })
            })
        }
        _ => Err(bad_operands(Operation::Divide)),
    }
}
