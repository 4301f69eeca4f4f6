//! Mathematical functions. Those of integers and decimals keep the kind of their argument; the others
//! are of DOUBLE, NULL outside of their domain and an error where they overflow.

use super::arithmetic::{pow10, round_quotient};
use super::failure::out_of_range;
use super::kernel::{Arguments, Function, Nulls, Returns, build_numbers, build_text, functions};
use super::warnings;
use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::{cmp, zip::zip};
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

const DOUBLE: Returns = Returns::Type(DataType::Float64);
const INT: Returns = Returns::Type(DataType::Int64);
const TEXT: Returns = Returns::Type(DataType::Utf8View);

functions! {
    abs, "abs", Returns::Argument(0), Propagate, abs_kernel;
    ceil, "ceil", Returns::By(whole_result), Propagate, |args| to_whole(args, Rounding::Up);
    floor, "floor", Returns::By(whole_result), Propagate, |args| to_whole(args, Rounding::Down);
    /// round(number, digits)
    round, "round", Returns::By(rounded_result), Propagate, |args| round_kernel(args, false);
    /// truncate(number, digits)
    truncate, "truncate", Returns::By(rounded_result), Propagate, |args| round_kernel(args, true);
    sign, "sign", INT, Propagate, sign_kernel;
    power, "power", DOUBLE, Propagate, |args| {
        let (base, exponent) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
        build_numbers::<Float64Type>(args, |row| {
            let (Some(base), Some(exponent)) = (base.get(row), exponent.get(row)) else { return Ok(None) };
            finite(base.powf(exponent), || format!("pow({base},{exponent})"))
        })
    };
    sqrt, "sqrt", DOUBLE, Always, |args| partial(args, |x| (x >= 0.0).then(|| x.sqrt()));
    exp, "exp", DOUBLE, Propagate, |args| {
        let values = args.numbers::<Float64Type>(0)?;
        build_numbers::<Float64Type>(args, |row| match values.get(row) {
            Some(x) => finite(x.exp(), || format!("exp({x})")),
            None => Ok(None),
        })
    };
    ln, "ln", DOUBLE, Always, |args| partial(args, |x| logarithm(x, f64::ln));
    log2, "log2", DOUBLE, Always, |args| partial(args, |x| logarithm(x, f64::log2));
    log10, "log10", DOUBLE, Always, |args| partial(args, |x| logarithm(x, f64::log10));
    /// log(base, number)
    log, "log", DOUBLE, Always, |args| {
        let (base, value) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
        build_numbers::<Float64Type>(args, |row| {
            let (Some(base), Some(x)) = (base.get(row), value.get(row)) else { return Ok(None) };
            // None has the base 1.
            let base = if base == 1.0 { 0.0 } else { base };
            Ok(logarithm(base, f64::ln).and_then(|base| Some(logarithm(x, f64::ln)? / base)))
        })
    };
    sin, "sin", DOUBLE, Propagate, |args| partial(args, |x| Some(x.sin()));
    cos, "cos", DOUBLE, Propagate, |args| partial(args, |x| Some(x.cos()));
    tan, "tan", DOUBLE, Propagate, |args| partial(args, |x| Some(x.tan()));
    cot, "cot", DOUBLE, Propagate, |args| {
        let values = args.numbers::<Float64Type>(0)?;
        build_numbers::<Float64Type>(args, |row| match values.get(row) {
            Some(x) => finite(1.0 / x.tan(), || format!("cot({x})")),
            None => Ok(None),
        })
    };
    asin, "asin", DOUBLE, Always, |args| partial(args, |x| (-1.0..=1.0).contains(&x).then(|| x.asin()));
    acos, "acos", DOUBLE, Always, |args| partial(args, |x| (-1.0..=1.0).contains(&x).then(|| x.acos()));
    atan, "atan", DOUBLE, Propagate, |args| partial(args, |x| Some(x.atan()));
    atan2, "atan2", DOUBLE, Propagate, |args| {
        let (y, x) = (args.numbers::<Float64Type>(0)?, args.numbers::<Float64Type>(1)?);
        build_numbers::<Float64Type>(args, |row| Ok(y.get(row).zip(x.get(row)).map(|(y, x)| y.atan2(x))))
    };
    radians, "radians", DOUBLE, Propagate, |args| partial(args, |x| Some(x.to_radians()));
    degrees, "degrees", DOUBLE, Propagate, |args| partial(args, |x| Some(x.to_degrees()));
    greatest, "greatest", Returns::Argument(0), Propagate, |args| extreme(args, true);
    least, "least", Returns::Argument(0), Propagate, |args| extreme(args, false);
    /// conv(text, from base, to base)
    conv, "conv", TEXT, Always, conv_kernel;
    /// in_base(BIGINT UNSIGNED, base)
    in_base, "in_base", TEXT, Propagate, |args| {
        let (values, bases) = (args.numbers::<UInt64Type>(0)?, args.numbers::<Int64Type>(1)?);
        build_text(args.rows, |row, out| {
            Ok(values.get(row).zip(bases.get(row)).map(|(value, base)| write_in_base(out, value, base as u64)))
        })
    };
    crc32, "crc32", INT, Propagate, |args| {
        let values = args.blobs(0)?;
        build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|bytes| i64::from(crc(bytes)))))
    };
    /// interval_position(number, bound, ..): INTERVAL(n, a, b, ..)
    interval_position, "interval_position", INT, Never, |args| {
        let numbers = (0..args.len()).map(|at| args.numbers::<Float64Type>(at)).collect::<Result<Vec<_>>>()?;
        build_numbers::<Int64Type>(args, |row| {
            let Some(value) = numbers.first().and_then(|first| first.get(row)) else { return Ok(Some(-1)) };
            let passed = numbers[1..].iter().take_while(|bound| bound.get(row).is_some_and(|b| b <= value));
            Ok(Some(passed.count() as i64))
        })
    };
}

/// RAND(): a number from 0 to below 1, another for each row.
pub(crate) fn rand() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::volatile("rand", DOUBLE, |args| {
            use rand::Rng;
            let mut source = rand::rng();
            build_numbers::<Float64Type>(args, |_| Ok(Some(source.random::<f64>())))
        })
        .udf()
    });
    Arc::clone(&UDF)
}

fn finite(value: f64, text: impl FnOnce() -> String) -> Result<Option<f64>> {
    if value.is_finite() { Ok(Some(value)) } else { Err(out_of_range("DOUBLE", text())) }
}

/// The logarithm of a positive number; of another one none, and a warning.
fn logarithm(x: f64, function: impl Fn(f64) -> f64) -> Option<f64> {
    if x > 0.0 {
        return Some(function(x));
    }
    warnings::no_logarithm();
    None
}

fn partial(args: &Arguments<'_>, function: impl Fn(f64) -> Option<f64>) -> Result<ArrayRef> {
    let values = args.numbers::<Float64Type>(0)?;
    build_numbers::<Float64Type>(args, |row| Ok(values.get(row).and_then(&function)))
}

fn unsupported(args: &Arguments<'_>) -> DataFusionError {
    match args.data_type(0) {
        Ok(ty) => DataFusionError::Internal(format!("a numeric function got {ty}")),
        Err(error) => error,
    }
}

fn abs_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    match args.data_type(0)? {
        DataType::Int64 => {
            let values = args.numbers::<Int64Type>(0)?;
            build_numbers::<Int64Type>(args, |row| match values.get(row) {
                Some(value) => match value.checked_abs() {
                    Some(value) => Ok(Some(value)),
                    None => Err(out_of_range("BIGINT", format_args!("abs({value})"))),
                },
                None => Ok(None),
            })
        }
        DataType::UInt64 => args.array(0),
        DataType::Decimal128(..) => {
            let values = args.numbers::<Decimal128Type>(0)?;
            build_numbers::<Decimal128Type>(args, |row| Ok(values.get(row).map(i128::saturating_abs)))
        }
        DataType::Float64 => partial(args, |x| Some(x.abs())),
        _ => Err(unsupported(args)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Up,
    Down,
}

/// CEIL and FLOOR: a DECIMAL becomes BIGINT if all its values fit.
pub(crate) fn whole_type(ty: &DataType) -> DataType {
    match ty {
        DataType::Decimal128(p, s) if p.saturating_sub(*s as u8) < 18 => DataType::Int64,
        DataType::Decimal128(p, s) => DataType::Decimal128((p.saturating_sub(*s as u8) + 1).min(38), 0),
        other => other.clone(),
    }
}

fn whole_result(fields: &[FieldRef], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match fields.first() {
        Some(field) => Ok(whole_type(field.data_type())),
        None => Err(DataFusionError::Internal("ceil and floor need an argument".into())),
    }
}

fn to_whole(args: &Arguments<'_>, rounding: Rounding) -> Result<ArrayRef> {
    match args.data_type(0)? {
        DataType::Decimal128(_, scale) => {
            let divisor = pow10(scale.max(0) as u32);
            let values = args.numbers::<Decimal128Type>(0)?;
            let whole = |value: i128| match rounding {
                Rounding::Down => value.div_euclid(divisor),
                Rounding::Up => -(-value).div_euclid(divisor),
            };
            if *args.result == DataType::Int64 {
                // Invariant: the result type is BIGINT only if 18 digits suffice.
                build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|value| whole(value) as i64)))
            } else {
                build_numbers::<Decimal128Type>(args, |row| Ok(values.get(row).map(whole)))
            }
        }
        DataType::Float64 => {
            partial(args, |x| Some(if rounding == Rounding::Up { x.ceil() } else { x.floor() }))
        }
        _ => args.array(0),
    }
}

/// ROUND and TRUNCATE: a constant number of digits sets the scale of a DECIMAL.
pub(crate) fn rounded_type(ty: &DataType, digits: Option<i64>) -> DataType {
    match (ty, digits) {
        (DataType::Decimal128(p, s), Some(digits)) => {
            let scale = digits.clamp(0, i64::from(*s)) as u8;
            // Rounding may add a digit before the point.
            let whole = p.saturating_sub(*s as u8) + 1;
            DataType::Decimal128((whole + scale).min(38), scale as i8)
        }
        (other, _) => other.clone(),
    }
}

fn rounded_result(fields: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    let digits = match scalars.get(1) {
        Some(Some(ScalarValue::Int64(digits))) => *digits,
        _ => None,
    };
    match fields.first() {
        Some(field) => Ok(rounded_type(field.data_type(), digits)),
        None => Err(DataFusionError::Internal("round needs an argument".into())),
    }
}

fn round_kernel(args: &Arguments<'_>, truncate: bool) -> Result<ArrayRef> {
    let digits = args.numbers::<Int64Type>(1)?;
    // Rounds in units of 10^drop, and gives the value in the same unit as before.
    let drop_digits = |value: i128, drop: i64| -> i128 {
        if drop <= 0 {
            return value;
        }
        if drop > 38 {
            return 0;
        }
        let divisor = pow10(drop as u32);
        let quotient = if truncate { value / divisor } else { round_quotient(value, divisor) };
        quotient.saturating_mul(divisor)
    };
    match (args.data_type(0)?, args.result) {
        (DataType::Int64, _) => {
            let values = args.numbers::<Int64Type>(0)?;
            build_numbers::<Int64Type>(args, |row| {
                let (Some(value), Some(digits)) = (values.get(row), digits.get(row)) else { return Ok(None) };
                let rounded = drop_digits(i128::from(value), digits.saturating_neg());
                i64::try_from(rounded)
                    .map(Some)
                    .map_err(|_| out_of_range("BIGINT", format_args!("round({value},{digits})")))
            })
        }
        (DataType::UInt64, _) => {
            let values = args.numbers::<UInt64Type>(0)?;
            build_numbers::<UInt64Type>(args, |row| {
                let (Some(value), Some(digits)) = (values.get(row), digits.get(row)) else { return Ok(None) };
                let rounded = drop_digits(i128::from(value), digits.saturating_neg());
                u64::try_from(rounded)
                    .map(Some)
                    .map_err(|_| out_of_range("BIGINT UNSIGNED", format_args!("round({value},{digits})")))
            })
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
            let values = args.numbers::<Decimal128Type>(0)?;
            let cut = pow10((from - to).max(0) as u32);
            build_numbers::<Decimal128Type>(args, |row| {
                let (Some(value), Some(digits)) = (values.get(row), digits.get(row)) else { return Ok(None) };
                Ok(Some(drop_digits(value, i64::from(from).saturating_sub(digits)) / cut))
            })
        }
        (DataType::Float64, _) => {
            let values = args.numbers::<Float64Type>(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(values
                    .get(row)
                    .zip(digits.get(row))
                    .map(|(value, digits)| round_double(value, digits, truncate)))
            })
        }
        _ => Err(unsupported(args)),
    }
}

fn round_double(value: f64, digits: i64, truncate: bool) -> f64 {
    if digits.abs() > 308 {
        return if digits > 0 { value } else { 0.0 };
    }
    let factor = 10f64.powi(digits.unsigned_abs() as i32);
    let whole = |x: f64| if truncate { x.trunc() } else { x.round_ties_even() };
    let result = if digits < 0 { whole(value / factor) * factor } else { whole(value * factor) / factor };
    // A product too large has no digits to lose.
    if result.is_finite() { result } else { value }
}

fn sign_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    match args.data_type(0)? {
        DataType::Decimal128(..) => {
            let values = args.numbers::<Decimal128Type>(0)?;
            build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|value| value.signum() as i64)))
        }
        DataType::Int64 => {
            let values = args.numbers::<Int64Type>(0)?;
            build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(i64::signum)))
        }
        DataType::UInt64 => {
            let values = args.numbers::<UInt64Type>(0)?;
            build_numbers::<Int64Type>(args, |row| Ok(values.get(row).map(|value| i64::from(value > 0))))
        }
        _ => {
            let values = args.numbers::<Float64Type>(0)?;
            build_numbers::<Int64Type>(args, |row| {
                Ok(values.get(row).map(|x| i64::from(x > 0.0) - i64::from(x < 0.0)))
            })
        }
    }
}

/// The greatest or least of arguments of one type; NULL if one is NULL.
fn extreme(args: &Arguments<'_>, greatest: bool) -> Result<ArrayRef> {
    let mut best = args.array(0)?;
    let mut nulls = best.logical_nulls();
    for at in 1..args.len() {
        let next = args.array(at)?;
        nulls = NullBuffer::union(nulls.as_ref(), next.logical_nulls().as_ref());
        let better: BooleanArray = if greatest { cmp::gt(&next, &best)? } else { cmp::lt(&next, &best)? };
        best = zip(&better, &next, &best)?;
    }
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => {
            let mask = BooleanArray::new(nulls.into_inner(), None);
            Ok(zip(&mask, &best, &arrow::array::new_null_array(best.data_type(), args.rows))?)
        }
        _ => Ok(best),
    }
}

fn write_in_base(out: &mut String, mut value: u64, base: u64) {
    let mut digits = [0u8; 64];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = (value % base) as u8;
        digits[at] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
        value /= base;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

fn conv_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let texts = args.texts(0)?;
    let (from, to) = (args.numbers::<Int64Type>(1)?, args.numbers::<Int64Type>(2)?);
    build_text(args.rows, |row, out| {
        let (Some(text), Some(from), Some(to)) = (texts.get(row), from.get(row), to.get(row)) else {
            return Ok(None);
        };
        let (from_base, to_base) = (from.unsigned_abs(), to.unsigned_abs());
        if !(2..=36).contains(&from_base) || !(2..=36).contains(&to_base) {
            return Ok(None);
        }
        if text.is_empty() {
            return Ok(None);
        }
        let text = text.trim_start();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let mut value = 0u64;
        for digit in digits.chars().map_while(|c| c.to_digit(from_base as u32)) {
            value = value.saturating_mul(from_base).saturating_add(u64::from(digit));
        }
        if negative {
            value = value.wrapping_neg();
        }
        if to < 0 && (value as i64) < 0 {
            out.push('-');
            value = value.wrapping_neg();
        }
        write_in_base(out, value, to_base);
        Ok(Some(()))
    })
}

/// CRC-32 of ISO 3309, as zlib computes it.
fn crc(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<[u32; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| {
            (0..8).fold(
                byte as u32,
                |value, _| if value & 1 != 0 { 0xedb8_8320 ^ value >> 1 } else { value >> 1 },
            )
        })
    });
    !bytes.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}
