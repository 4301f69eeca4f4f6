//! Decimals within an expression that divides: MySQL computes a quotient to more digits than it shows, and rounds
//! what comes out of the whole expression.
//!
//! It keeps nine digits to a word. A quotient has as many words behind the point as hold the fractions of both
//! operands, and one more if those do not leave room for four digits more; what is behind is cut off. So 1 / 3 is
//! 0.333333333 where it is computed with, and 0.3333 where it is seen. What is computed of it keeps all digits too,
//! in a Decimal256 where 38 are too few.

use super::arithmetic::{
    DIVISION_DIGITS, LIMIT, MAX_SCALE, Operation, bad_operands, divide_cut, noting_zeros, pow10,
    round_quotient, wide_quotient,
};
use super::failure::out_of_range;
use super::kernel::{Arguments, Function, Nulls, Numbers, Returns, build_numbers};
use arrow::array::ArrayRef;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal128Type, Decimal256Type,
    DecimalType, FieldRef, Int64Type, i256,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

/// Decimal digits in a word of MySQL's decimals.
const WORD: u8 = 9;

macro_rules! division {
    ($static:ident, $name:literal, $strict:literal) => {
        static $static: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
            let kernel = |args: &Arguments<'_>| noting_zeros($strict, args, divide(args)?);
            Function::new($name, Returns::By(quotient_type), Nulls::Always, kernel).udf()
        });
    };
}

division!(DIVIDE_UNROUNDED, "divide_unrounded", false);
division!(DIVIDE_UNROUNDED_STRICT, "divide_unrounded_strict", true);

static AVERAGE_UNROUNDED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new("average_unrounded", Returns::By(average_type), Nulls::Always, average).udf()
});

/// Where a decimal goes that has more digits than its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Half away from zero.
    Nearest,
    ToZero,
    Down,
    Up,
}

macro_rules! rounding {
    ($static:ident, $name:expr, $rounding:expr) => {
        static $static: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
            let kernel = |args: &Arguments<'_>| round_result_kernel(args, $rounding);
            Function::new($name, Returns::By(rounded_type), Nulls::Propagate, kernel).udf()
        });
    };
}

rounding!(ROUND_RESULT, ROUNDING, Rounding::Nearest);
rounding!(TRUNCATE_RESULT, "truncate_result", Rounding::ToZero);
rounding!(FLOOR_RESULT, "floor_result", Rounding::Down);
rounding!(CEIL_RESULT, "ceil_result", Rounding::Up);

/// The name of that to the nearest in plans.
pub(crate) const ROUNDING: &str = "round_result";

/// divide_unrounded(decimal, decimal): the quotient with the digits that it is computed with. `strict`: a division by
/// zero is an error.
pub(crate) fn divide_unrounded(strict: bool) -> Arc<ScalarUDF> {
    Arc::clone(if strict { &DIVIDE_UNROUNDED_STRICT } else { &DIVIDE_UNROUNDED })
}

/// average_unrounded(sum, count, precision, scale): the quotient with the digits that it is computed with.
pub(crate) fn average_unrounded() -> Arc<ScalarUDF> {
    Arc::clone(&AVERAGE_UNROUNDED)
}

/// round_result(decimal, precision, scale): what is seen of a decimal that has more digits, half away from zero; and
/// truncate_result, floor_result and ceil_result, which go elsewhere.
pub(crate) fn rounded_result(rounding: Rounding) -> Arc<ScalarUDF> {
    Arc::clone(match rounding {
        Rounding::Nearest => &ROUND_RESULT,
        Rounding::ToZero => &TRUNCATE_RESULT,
        Rounding::Down => &FLOOR_RESULT,
        Rounding::Up => &CEIL_RESULT,
    })
}

pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let roundings = [Rounding::Nearest, Rounding::ToZero, Rounding::Down, Rounding::Up];
    let quotients = [divide_unrounded(false), divide_unrounded(true), average_unrounded()];
    quotients.into_iter().chain(roundings.map(rounded_result)).collect()
}

/// Digits behind the point that a quotient is computed to, by those of its operands.
pub(crate) fn quotient_scale(s1: u8, s2: u8) -> u8 {
    let (f1, f2) = (s1.next_multiple_of(WORD), s2.next_multiple_of(WORD));
    let more = DIVISION_DIGITS.saturating_sub((f1 - s1) + (f2 - s2));
    (f1 + f2 + more).next_multiple_of(WORD)
}

/// The type of an unrounded result: it holds every value. `None`: it would have more digits than there are.
pub(crate) fn unrounded_type(operation: Operation, left: &DataType, right: &DataType) -> Option<DataType> {
    let ((p1, s1), (p2, s2)) = (shape(left)?, shape(right)?);
    let (w1, w2) = (p1.saturating_sub(s1), p2.saturating_sub(s2));
    let larger = s1.max(s2);
    let (whole, scale) = match operation {
        Operation::Add | Operation::Subtract => (w1.max(w2) + 1, larger),
        Operation::Multiply => (w1 + w2, s1 + s2),
        Operation::Divide => (w1 + s2, quotient_scale(s1, s2)),
        Operation::Modulo => (w1.max(w2), larger),
        Operation::IntegerDivide => return Some(DataType::Int64),
    };
    // Of at most 76 + 76 and 81 + 81 + 9 digits.
    let precision = whole.checked_add(scale)?.max(1);
    let narrow = |ty: &DataType| matches!(ty, DataType::Decimal128(..));
    if precision <= DECIMAL128_MAX_PRECISION && scale <= MAX_SCALE && narrow(left) && narrow(right) {
        return Some(DataType::Decimal128(precision, scale as i8));
    }
    (precision <= DECIMAL256_MAX_PRECISION).then_some(DataType::Decimal256(precision, scale as i8))
}

/// Precision and scale of a decimal type.
pub(crate) fn shape(ty: &DataType) -> Option<(u8, u8)> {
    match ty {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((*precision, u8::try_from(*scale).ok()?))
        }
        _ => None,
    }
}

fn quotient_type(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match fields {
        [left, right] => unrounded_type(Operation::Divide, left.data_type(), right.data_type()),
        _ => None,
    }
    .ok_or_else(|| bad_operands(Operation::Divide))
}

fn rounded_type(_: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    match scalars {
        [_, precision, scale] => constant_type(*precision, *scale),
        _ => constant_type(None, None),
    }
}

fn average_type(_: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    match scalars {
        [_, _, precision, scale] => constant_type(*precision, *scale),
        _ => constant_type(None, None),
    }
}

fn constant_type(precision: Option<&ScalarValue>, scale: Option<&ScalarValue>) -> Result<DataType> {
    match (precision, scale) {
        (Some(ScalarValue::Int64(Some(precision))), Some(ScalarValue::Int64(Some(scale)))) => {
            Ok(DataType::Decimal128(*precision as u8, *scale as i8))
        }
        _ => {
            Err(DataFusionError::Internal("a rounded decimal needs constants for precision and scale".into()))
        }
    }
}

/// A decimal argument by rows.
enum Decimals<'a> {
    Narrow(Numbers<'a, Decimal128Type>),
    Wide(Numbers<'a, Decimal256Type>),
}

impl<'a> Decimals<'a> {
    fn of(args: &Arguments<'a>, at: usize) -> Result<Decimals<'a>> {
        Ok(match args.data_type(at)? {
            DataType::Decimal256(..) => Decimals::Wide(args.numbers(at)?),
            _ => Decimals::Narrow(args.numbers(at)?),
        })
    }

    #[inline]
    fn get(&self, row: usize) -> Option<i256> {
        match self {
            Decimals::Narrow(values) => values.get(row).map(i256::from_i128),
            Decimals::Wide(values) => values.get(row),
        }
    }
}

/// 10^n; `None` above the 76 digits of a Decimal256.
fn wide_pow10(n: u32) -> Option<i256> {
    if n > u32::from(DECIMAL256_MAX_PRECISION) { None } else { i256::from_i128(10).checked_pow(n) }
}

/// The product or quotient by `narrow`, where both sides and the result have 128 bits, as nearly all have.
fn by_halves(l: i256, r: i256, narrow: impl Fn(i128, i128) -> Option<i128>) -> Option<i256> {
    let (l, r) = l.to_i128().zip(r.to_i128())?;
    narrow(l, r).map(i256::from_i128)
}

fn product(l: i256, r: i256) -> Option<i256> {
    by_halves(l, r, i128::checked_mul).or_else(|| l.checked_mul(r))
}

/// Cut off behind the point. `r` is not zero.
fn whole_quotient(l: i256, r: i256) -> Option<i256> {
    by_halves(l, r, i128::checked_div).or_else(|| l.checked_div(r))
}

fn divide(args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right, result) = (args.data_type(0)?, args.data_type(1)?, args.result);
    let Some(((_, s1), (_, s2))) = shape(&left).zip(shape(&right)) else {
        return Err(bad_operands(Operation::Divide));
    };
    // l / 10^s1 : r / 10^s2 = l * 10^(scale - s1 + s2) / r / 10^scale, and scale is at least s1.
    let shift = |scale: i8| (scale as u32).saturating_sub(u32::from(s1)) + u32::from(s2);
    match *result {
        // The result has as many digits as l * 10^shift, so that fits.
        DataType::Decimal128(_, scale) => {
            let (left, right) = (args.numbers::<Decimal128Type>(0)?, args.numbers::<Decimal128Type>(1)?);
            let factor = pow10(shift(scale).min(u32::from(DECIMAL128_MAX_PRECISION)));
            build_numbers::<Decimal128Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == 0 {
                    return Ok(None);
                }
                let quotient = l.checked_mul(factor).and_then(|dividend| dividend.checked_div(r));
                quotient.map(Some).ok_or_else(|| too_large(i256::from_i128(l), s1))
            })
        }
        DataType::Decimal256(_, scale) => {
            let (left, right) = (Decimals::of(args, 0)?, Decimals::of(args, 1)?);
            let factor = wide_pow10(shift(scale)).ok_or_else(|| bad_operands(Operation::Divide))?;
            build_numbers::<Decimal256Type>(args, |row| {
                let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
                if r == i256::ZERO {
                    return Ok(None);
                }
                let quotient = product(l, factor).and_then(|dividend| whole_quotient(dividend, r));
                quotient.map(Some).ok_or_else(|| too_large(l, s1))
            })
        }
        _ => Err(bad_operands(Operation::Divide)),
    }
}

fn average(args: &Arguments<'_>) -> Result<ArrayRef> {
    let wrong = || bad_operands(Operation::Divide);
    let DataType::Decimal128(_, scale) = *args.result else { return Err(wrong()) };
    let (_, from) = shape(&args.data_type(0)?).ok_or_else(wrong)?;
    let shift = i32::from(scale) - i32::from(from);
    if shift < 0 {
        return Err(wrong());
    }
    let (sum, count) = (args.numbers::<Decimal128Type>(0)?, args.numbers::<Int64Type>(1)?);
    build_numbers::<Decimal128Type>(args, |row| match (sum.get(row), count.get(row)) {
        (Some(sum), Some(count)) if count != 0 => {
            let value = divide_cut(sum, i128::from(count), shift);
            value.map(Some).ok_or_else(|| too_large(i256::from_i128(sum), from))
        }
        _ => Ok(None),
    })
}

/// `+ - * DIV %` of decimals of which one has 256 bits.
pub(super) fn compute(operation: Operation, args: &Arguments<'_>) -> Result<ArrayRef> {
    let (left, right) = (args.data_type(0)?, args.data_type(1)?);
    let Some(((_, s1), (_, s2))) = shape(&left).zip(shape(&right)) else {
        return Err(bad_operands(operation));
    };
    let larger = s1.max(s2);
    let factors = wide_pow10(u32::from(larger - s1)).zip(wide_pow10(u32::from(larger - s2)));
    let (m1, m2) = factors.ok_or_else(|| bad_operands(operation))?;
    let (left, right) = (Decimals::of(args, 0)?, Decimals::of(args, 1)?);
    let aligned = |l: i256, r: i256| product(l, m1).zip(product(r, m2));
    match *args.result {
        DataType::Int64 if operation == Operation::IntegerDivide => build_numbers::<Int64Type>(args, |row| {
            let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
            if r == i256::ZERO {
                return Ok(None);
            }
            let quotient = aligned(l, r).and_then(|(l, r)| whole_quotient(l, r));
            let quotient = quotient.and_then(i256::to_i128).and_then(|value| i64::try_from(value).ok());
            quotient
                .map(Some)
                .ok_or_else(|| out_of_range("BIGINT", format_args!("({} DIV {})", text(l, s1), text(r, s2))))
        }),
        DataType::Decimal256(..) => build_numbers::<Decimal256Type>(args, |row| {
            let (Some(l), Some(r)) = (left.get(row), right.get(row)) else { return Ok(None) };
            let value = match operation {
                Operation::Multiply => product(l, r),
                Operation::Add => aligned(l, r).and_then(|(l, r)| l.checked_add(r)),
                Operation::Subtract => aligned(l, r).and_then(|(l, r)| l.checked_sub(r)),
                Operation::Modulo if r == i256::ZERO => return Ok(None),
                Operation::Modulo => aligned(l, r).and_then(|(l, r)| l.checked_rem(r)),
                Operation::Divide | Operation::IntegerDivide => return Err(bad_operands(operation)),
            };
            value.map(Some).ok_or_else(|| too_large(l, s1))
        }),
        _ => Err(bad_operands(operation)),
    }
}

impl Rounding {
    /// `divisor` is a power of ten.
    fn narrow(self, value: i128, divisor: i128) -> i128 {
        match self {
            Rounding::Nearest => round_quotient(value, divisor),
            Rounding::ToZero => value / divisor,
            Rounding::Down => value.div_euclid(divisor),
            Rounding::Up => -(-value).div_euclid(divisor),
        }
    }

    /// `None` if it needs more than 128 bits. `divisor` is a power of ten.
    fn wide(self, value: i256, divisor: i256) -> Option<i128> {
        if self == Rounding::Nearest {
            return wide_quotient(value, divisor);
        }
        let (quotient, rest) = (value.checked_div(divisor)?, value.checked_rem(divisor)?);
        let step = match self {
            Rounding::Down if rest < i256::ZERO => -1,
            Rounding::Up if rest > i256::ZERO => 1,
            _ => 0,
        };
        quotient.to_i128()?.checked_add(step)
    }
}

fn round_result_kernel(args: &Arguments<'_>, rounding: Rounding) -> Result<ArrayRef> {
    let wrong =
        || DataFusionError::Internal("round_result got a value of fewer digits than its result".into());
    let DataType::Decimal128(_, scale) = *args.result else { return Err(wrong()) };
    let from = args.data_type(0)?;
    let (_, more) = shape(&from).ok_or_else(wrong)?;
    let cut = u32::try_from(i32::from(more) - i32::from(scale)).map_err(|_| wrong())?;
    if let DataType::Decimal128(..) = from {
        let values = args.numbers::<Decimal128Type>(0)?;
        let divisor = pow10(cut);
        return build_numbers::<Decimal128Type>(args, |row| {
            Ok(values.get(row).map(|value| rounding.narrow(value, divisor)))
        });
    }
    let values = args.numbers::<Decimal256Type>(0)?;
    let (divisor, narrow) = (wide_pow10(cut).ok_or_else(wrong)?, (cut <= 38).then(|| pow10(cut)));
    build_numbers::<Decimal128Type>(args, |row| {
        let Some(value) = values.get(row) else { return Ok(None) };
        let rounded = match value.to_i128().zip(narrow) {
            Some((value, divisor)) => Some(rounding.narrow(value, divisor)),
            None => rounding.wide(value, divisor),
        };
        match rounded {
            Some(rounded) if rounded.unsigned_abs() < LIMIT as u128 => Ok(Some(rounded)),
            _ => Err(too_large(value, more)),
        }
    })
}

fn text(unscaled: i256, scale: u8) -> String {
    Decimal256Type::format_decimal(unscaled, DECIMAL256_MAX_PRECISION, scale as i8)
}

/// 1690 for a result that has more than 38 digits; the value is what it was made of.
fn too_large(unscaled: i256, scale: u8) -> DataFusionError {
    out_of_range("DECIMAL", text(unscaled, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::common::config::ConfigOptions;
    use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

    /// The value of a call on constants.
    fn called(udf: Arc<ScalarUDF>, args: &[ScalarValue]) -> ScalarValue {
        let arg_fields: Vec<FieldRef> =
            args.iter().map(|arg| Arc::new(Field::new("", arg.data_type(), true))).collect();
        let scalars: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
        let fields = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars };
        let return_field = udf.return_field_from_args(fields).unwrap();
        let args = args.iter().cloned().map(ColumnarValue::Scalar).collect();
        let config_options = Arc::new(ConfigOptions::new());
        let call = ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options };
        match udf.invoke_with_args(call).unwrap() {
            ColumnarValue::Scalar(value) => value,
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).unwrap(),
        }
    }

    fn decimal(unscaled: i128, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal128(Some(unscaled), precision, scale)
    }

    fn rounded(value: ScalarValue, precision: i64, scale: i64) -> ScalarValue {
        let int = |n| ScalarValue::Int64(Some(n));
        called(rounded_result(Rounding::Nearest), &[value, int(precision), int(scale)])
    }

    #[test]
    fn quotients_have_words_of_nine_digits() {
        for (s1, s2, scale) in
            [(0, 0, 9), (2, 0, 9), (5, 0, 9), (6, 0, 18), (9, 0, 18), (0, 5, 9), (2, 2, 18), (14, 0, 18)]
        {
            assert_eq!(quotient_scale(s1, s2), scale, "{s1} {s2}");
        }
    }

    #[test]
    fn a_quotient_is_cut_and_what_is_made_of_it_is_rounded() {
        let third = called(divide_unrounded(false), &[decimal(1, 1, 0), decimal(3, 1, 0)]);
        assert_eq!(third, decimal(333_333_333, 10, 9));
        let whole = called(Operation::Multiply.udf(), &[third.clone(), decimal(3, 1, 0)]);
        assert_eq!(whole, decimal(999_999_999, 11, 9));
        assert_eq!(rounded(whole, 6, 4), decimal(10_000, 6, 4));
        let two_thirds = called(divide_unrounded(false), &[decimal(-2, 1, 0), decimal(3, 1, 0)]);
        assert_eq!(rounded(two_thirds, 5, 4), decimal(-6_667, 5, 4));
    }

    #[test]
    fn many_digits_take_256_bits() {
        // SUM(total) / 7 * 7
        let seventh = called(divide_unrounded(false), &[decimal(21_055, 34, 2), decimal(7, 1, 0)]);
        assert_eq!(seventh, ScalarValue::Decimal256(Some(i256::from_i128(30_078_571_428)), 41, 9));
        let seven = called(Operation::Multiply.udf(), &[seventh.clone(), decimal(7, 1, 0)]);
        assert_eq!(seven.data_type(), DataType::Decimal256(42, 9));
        assert_eq!(rounded(seven.clone(), 38, 6), decimal(210_550_000, 38, 6));
        let sum = called(Operation::Add.udf(), &[seven.clone(), decimal(1, 1, 0)]);
        assert_eq!(rounded(sum, 38, 6), decimal(211_550_000, 38, 6));
        let difference = called(Operation::Subtract.udf(), &[decimal(1, 1, 0), seven.clone()]);
        assert_eq!(rounded(difference, 38, 6), decimal(-209_550_000, 38, 6));
        let rest = called(Operation::Modulo.udf(), &[seven.clone(), decimal(2, 1, 0)]);
        assert_eq!(rounded(rest, 38, 6), decimal(550_000, 38, 6));
        let times = called(Operation::IntegerDivide.udf(), &[seven.clone(), decimal(5, 1, 1)]);
        assert_eq!(times, ScalarValue::Int64(Some(421)));
        let again = called(divide_unrounded(false), &[seven, seventh]);
        assert_eq!(rounded(again, 38, 6), decimal(7_000_000, 38, 6));
    }

    #[test]
    fn an_average_keeps_its_digits() {
        let int = |n| ScalarValue::Int64(Some(n));
        let average = |sum, count| called(average_unrounded(), &[sum, int(count), int(19), int(9)]);
        assert_eq!(average(decimal(2_000, 34, 2), 3), decimal(6_666_666_666, 19, 9));
        assert!(average(ScalarValue::Decimal128(None, 34, 2), 0).is_null());
    }

    #[test]
    fn results_go_where_their_function_says() {
        let int = |n| ScalarValue::Int64(Some(n));
        let all = |value: &ScalarValue, precision, scale| {
            [Rounding::Nearest, Rounding::ToZero, Rounding::Down, Rounding::Up].map(|rounding| {
                let args = [value.clone(), int(precision), int(scale)];
                match called(rounded_result(rounding), &args) {
                    ScalarValue::Decimal128(value, ..) => value,
                    other => panic!("{other}"),
                }
            })
        };
        assert_eq!(all(&decimal(999_999_999, 10, 9), 2, 0), [1, 0, 0, 1].map(Some));
        assert_eq!(all(&decimal(-666_666_666, 10, 9), 4, 2), [-67, -66, -67, -66].map(Some));
        assert_eq!(all(&decimal(2_000_000_000, 10, 9), 2, 0), [2; 4].map(Some));
        // Few digits and many in 256 bits.
        let third = ScalarValue::Decimal256(Some(i256::from_i128(-333_333_333)), 41, 9);
        assert_eq!(all(&third, 3, 1), [-3, -3, -4, -3].map(Some));
        let many = i256::from_i128(10).wrapping_pow(45);
        let many = |more: i128| ScalarValue::Decimal256(Some(many + i256::from_i128(more)), 60, 18);
        let whole = 10i128.pow(27);
        assert_eq!(all(&many(1), 38, 0), [whole, whole, whole, whole + 1].map(Some));
        assert_eq!(all(&many(-1), 38, 0), [whole, whole - 1, whole - 1, whole].map(Some));
    }

    #[test]
    fn nothing_divides_by_zero() {
        let none = called(divide_unrounded(false), &[decimal(1, 1, 0), decimal(0, 1, 0)]);
        assert_eq!(none, ScalarValue::Decimal128(None, 10, 9));
        assert!(rounded(none, 5, 4).is_null());
    }
}
