//! Conversions that Arrow's cast does otherwise or not at all: to and from text, rounding to integers
//! and decimals, dates as numbers, time zones.
//!
//! What cannot be read is NULL for dates and 0 for numbers; numbers out of range are cut to it.

use super::arithmetic::{pow10, round_quotient};
use super::calendar::{Clock, date_number, round_datetime as round_to};
use super::kernel::{
    Arguments, Function, Nulls, Returns, build_binary, build_numbers, build_slices, build_text, functions,
};
use super::numerals::{
    decimal_at_front, decimal_of_double, double_at_front, integer_at_front, is_number, write_decimal,
    write_double, write_float,
};
use super::text::byte_of;
use super::warnings;
use crate::temporal::{
    self, MAX_DATETIME, MAX_TIME, MICROS_PER_DAY, MICROS_PER_SECOND, MIN_DATETIME, Zone, split_datetime,
};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, FieldRef, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use std::sync::{Arc, LazyLock};

const DATETIME: Returns = Returns::Type(DataType::Timestamp(TimeUnit::Microsecond, None));
const TIME: Returns = Returns::Type(DataType::Duration(TimeUnit::Microsecond));

functions! {
    /// Of a comparison: 1, 0 or NULL.
    truth_number, "truth_number", Returns::Type(DataType::Int64), Propagate, |args| {
        Ok(arrow::compute::cast(&args.array(0)?, &DataType::Int64)?)
    };
    /// to_text(value, fractional second digits)
    to_text, "to_text", Returns::Type(DataType::Utf8View), Propagate, text_kernel;
    to_double, "to_double", Returns::Type(DataType::Float64), Propagate, double_kernel;
    to_signed, "to_signed", Returns::Type(DataType::Int64), Propagate, |args| {
        let read = integers(args)?;
        build_numbers::<Int64Type>(args, |row| {
            // BIGINT UNSIGNED keeps its bits, anything else is cut.
            Ok(read(row).map(|value| match value {
                Integer::Bits(bits) => bits as i64,
                Integer::Wide(value) => value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
                // Digits are read as BIGINT UNSIGNED if they are too many for a BIGINT.
                Integer::Text(value) => value.clamp(i128::from(i64::MIN), i128::from(u64::MAX)) as i64,
            }))
        })
    };
    to_unsigned, "to_unsigned", Returns::Type(DataType::UInt64), Propagate, |args| {
        let read = integers(args)?;
        build_numbers::<UInt64Type>(args, |row| {
            Ok(read(row).map(|value| match value {
                Integer::Bits(bits) => bits,
                Integer::Wide(value) | Integer::Text(value) if value < 0 => {
                    value.max(i128::from(i64::MIN)) as i64 as u64
                }
                Integer::Wide(value) | Integer::Text(value) => value.min(i128::from(u64::MAX)) as u64,
            }))
        })
    };
    /// to_decimal(value, precision, scale)
    to_decimal, "to_decimal", Returns::By(decimal_result), Propagate, decimal_kernel;
    /// cast_decimal(value, precision, scale, name): as to_decimal, with a warning of what is cut to the range. It names
    /// the call as a column.
    cast_decimal, "cast_decimal", Returns::By(decimal_result), Propagate, decimal_kernel;
    /// cast_chars(text, characters): cut, with a warning.
    cast_chars, "cast_chars", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let (texts, lengths) = (args.texts(0)?, args.numbers::<Int64Type>(1)?);
        build_slices(args.rows, |row| {
            let (text, length) = (texts.get(row)?, lengths.get(row)?);
            let end = byte_of(text, usize::try_from(length).unwrap_or(0));
            if end < text.len() {
                note_cut("CHAR", length, text.as_bytes());
            }
            Some(&text[..end])
        })
    };
    to_date, "to_date", Returns::Type(DataType::Date32), Always, |args| {
        match args.data_type(0)? {
            DataType::Int64 => {
                let numbers = args.numbers::<Int64Type>(0)?;
                build_numbers::<Date32Type>(args, |row| Ok(numbers.get(row).and_then(|n| {
                    match temporal::date_from_number(n) {
                        Some(day) => Some(day),
                        None => Some(split_datetime(temporal::datetime_from_number(n, 0, 0)?).0),
                    }
                })))
            }
            _ => {
                let texts = args.texts(0)?;
                build_numbers::<Date32Type>(args, |row| {
                    Ok(texts.get(row).and_then(|text| {
                        noted("datetime", text, temporal::parse_date(text.as_bytes()))
                    }))
                })
            }
        }
    };
    /// to_datetime(text or number, fsp)
    to_datetime, "to_datetime", DATETIME, Always, |args| {
        let fsp = fsp(args, 1)?;
        match args.data_type(0)? {
            DataType::Int64 => {
                let numbers = args.numbers::<Int64Type>(0)?;
                build_numbers::<TimestampMicrosecondType>(args, |row| {
                    Ok(numbers.get(row).and_then(|n| temporal::datetime_from_number(n, 0, fsp)))
                })
            }
            _ => {
                let texts = args.texts(0)?;
                build_numbers::<TimestampMicrosecondType>(args, |row| {
                    Ok(texts.get(row).and_then(|text| {
                        noted("datetime", text, temporal::parse_datetime(text.as_bytes(), fsp))
                    }))
                })
            }
        }
    };
    /// to_time(value, fsp)
    to_time, "to_time", TIME, Always, time_kernel;
    /// round_datetime(datetime, fsp)
    round_datetime, "round_datetime", DATETIME, Always, |args| {
        let (values, fsp) = (args.numbers::<TimestampMicrosecondType>(0)?, fsp(args, 1)?);
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            Ok(values.get(row).map(|micros| round_to(micros, fsp)).filter(|micros| *micros <= MAX_DATETIME))
        })
    };
    /// time_on_day(time, day as a datetime)
    time_on_day, "time_on_day", DATETIME, Always, |args| {
        let times = args.numbers::<DurationMicrosecondType>(0)?;
        let days = args.numbers::<TimestampMicrosecondType>(1)?;
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            Ok(times
                .get(row)
                .zip(days.get(row))
                .map(|(time, day)| day + time)
                .filter(|micros| (MIN_DATETIME..=MAX_DATETIME).contains(micros)))
        })
    };
    /// utc_to_local(datetime, zone)
    utc_to_local, "utc_to_local", DATETIME, Always, |args| {
        let (values, zone) = (args.numbers::<TimestampMicrosecondType>(0)?, zone(args, 1)?);
        build_numbers::<TimestampMicrosecondType>(args, |row| Ok(values.get(row).map(|utc| zone.to_local(utc))))
    };
    /// local_to_utc(datetime, zone)
    local_to_utc, "local_to_utc", DATETIME, Always, |args| {
        let (values, zone) = (args.numbers::<TimestampMicrosecondType>(0)?, zone(args, 1)?);
        build_numbers::<TimestampMicrosecondType>(args, |row| {
            Ok(values.get(row).and_then(|local| zone.to_utc(local)))
        })
    };
    /// to_year(number): 0, 1901 to 2155; 1 to 69 and 70 to 99 mean 2001 to 1999.
    to_year, "to_year", Returns::Type(DataType::UInt16), Always, |args| {
        let numbers = args.numbers::<Int64Type>(0)?;
        build_numbers::<UInt16Type>(args, |row| {
            Ok(numbers.get(row).and_then(|year| match year {
                0 | 1901..=2155 => Some(year as u16),
                1..=69 => Some(2000 + year as u16),
                70..=99 => Some(1900 + year as u16),
                _ => None,
            }))
        })
    };
    /// pad_binary(binary, length): cut, with a warning, or filled with zero bytes.
    pad_binary, "pad_binary", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let (values, lengths) = (args.blobs(0)?, args.numbers::<Int64Type>(1)?);
        build_binary(args.rows, |row, out| {
            let (Some(value), Some(length)) = (values.get(row), lengths.get(row)) else { return Ok(None) };
            let length = length.clamp(0, 1 << 26) as usize;
            if length < value.len() {
                note_cut("BINARY", length as i64, value);
            }
            out.extend_from_slice(&value[..length.min(value.len())]);
            out.resize(length, 0);
            Ok(Some(()))
        })
    };
}

/// The value that was read, and a warning if there is none.
fn noted<T>(ty: &str, text: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        warnings::incorrect(ty, text);
    }
    value
}

/// The time that a text begins with, where the whole is none: 00:20:24 of '2024-01-01'.
pub(super) fn leading_time(text: &str, fsp: u8) -> Option<i64> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let length = text[sign..].bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.')).count();
    let time = &text[..sign + length];
    if time.len() == text.len() || length == 0 {
        return None;
    }
    temporal::parse_time(time.trim_end_matches([':', '.']).as_bytes(), fsp)
}

/// A warning that a value was cut to a length.
fn note_cut(ty: &str, length: i64, value: &[u8]) {
    if warnings::are_gathered() {
        warnings::truncated(&format!("{ty}({length})"), value);
    }
}

/// A warning if a text is no number as a whole.
fn note_number(ty: &str, text: &[u8]) {
    if warnings::are_gathered() && !is_number(text) {
        warnings::truncated(ty, text);
    }
}

fn note_integer(text: &[u8]) {
    if warnings::are_gathered() {
        let digits = text.trim_ascii();
        let digits = digits.strip_prefix(b"-").or(digits.strip_prefix(b"+")).unwrap_or(digits);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            warnings::truncated("INTEGER", text);
        }
    }
}

fn unsupported(args: &Arguments<'_>) -> DataFusionError {
    match args.data_type(0) {
        Ok(ty) => DataFusionError::Internal(format!("no conversion from {ty}")),
        Err(error) => error,
    }
}

/// A constant argument that says how many fractional digits.
fn fsp(args: &Arguments<'_>, at: usize) -> Result<u8> {
    Ok(args.numbers::<Int64Type>(at)?.get(0).unwrap_or(0).clamp(0, 6) as u8)
}

fn zone(args: &Arguments<'_>, at: usize) -> Result<Zone> {
    let texts = args.texts(at)?;
    let name = texts.get(0).unwrap_or_default();
    Zone::parse(name).ok_or_else(|| DataFusionError::Internal(format!("there is no time zone '{name}'")))
}

fn text_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    use std::fmt::Write;
    let fsp = fsp(args, 1)?;
    macro_rules! write {
        ($ty:ty, |$value:ident, $out:ident| $body:expr) => {{
            let values = args.numbers::<$ty>(0)?;
            build_text(args.rows, |row, $out| {
                let Some($value) = values.get(row) else { return Ok(None) };
                $body;
                Ok(Some(()))
            })
        }};
    }
    macro_rules! integer {
        ($ty:ty) => {
            write!($ty, |value, out| {
                // A String takes every write.
                let _ = std::write!(out, "{value}");
            })
        };
    }
    match args.data_type(0)? {
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Decimal128(_, scale) => {
            write!(Decimal128Type, |value, out| write_decimal(out, value, scale))
        }
        DataType::Float32 => write!(Float32Type, |value, out| write_float(out, value)),
        DataType::Float64 => write!(Float64Type, |value, out| write_double(out, value)),
        DataType::Date32 => write!(Date32Type, |value, out| temporal::push_date(out, value)),
        DataType::Timestamp(..) => {
            write!(TimestampMicrosecondType, |value, out| temporal::push_datetime(out, value, fsp))
        }
        DataType::Duration(_) => {
            write!(DurationMicrosecondType, |value, out| temporal::push_time(out, value, fsp))
        }
        DataType::BinaryView => {
            let values = args.blobs(0)?;
            build_text(args.rows, |row, out| {
                Ok(values.get(row).map(|bytes| out.push_str(&String::from_utf8_lossy(bytes))))
            })
        }
        _ => Err(unsupported(args)),
    }
}

/// An array of any type as text.
pub(super) fn texts_of(values: &ArrayRef, fsp: i64) -> Result<ArrayRef> {
    if *values.data_type() == DataType::Utf8View {
        return Ok(Arc::clone(values));
    }
    let args =
        [ColumnarValue::Array(Arc::clone(values)), ColumnarValue::Scalar(ScalarValue::Int64(Some(fsp)))];
    text_kernel(&Arguments::of(&args, values.len(), &DataType::Utf8View))
}

fn double_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    match args.data_type(0)? {
        DataType::Utf8View | DataType::BinaryView | DataType::Null => {
            let values = args.blobs(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(values.get(row).map(|text| {
                    let (value, is_whole) = double_at_front(text);
                    if !is_whole {
                        note_number("DOUBLE", text);
                    }
                    value
                }))
            })
        }
        DataType::Date32 => {
            let values = args.numbers::<Date32Type>(0)?;
            build_numbers::<Float64Type>(args, |row| Ok(values.get(row).map(|day| date_number(day) as f64)))
        }
        DataType::Timestamp(..) => {
            let values = args.numbers::<TimestampMicrosecondType>(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(values.get(row).map(|micros| {
                    let clock = Clock::of_datetime(micros);
                    datetime_number(micros) as f64 + clock.micro as f64 / 1e6
                }))
            })
        }
        DataType::Duration(_) => {
            let values = args.numbers::<DurationMicrosecondType>(0)?;
            build_numbers::<Float64Type>(args, |row| {
                Ok(values.get(row).map(|micros| {
                    let clock = Clock::of_time(micros);
                    let number = clock.number() as f64 + clock.micro as f64 / 1e6;
                    if micros < 0 { -number } else { number }
                }))
            })
        }
        _ => Err(unsupported(args)),
    }
}

/// 20240105102030.
fn datetime_number(micros: i64) -> i64 {
    date_number(split_datetime(micros).0) * 1_000_000 + Clock::of_datetime(micros).number()
}

enum Integer {
    Bits(u64),
    Wide(i128),
    Text(i128),
}

/// Reads the first argument as integers, rounded.
fn integers<'a>(args: &Arguments<'a>) -> Result<Box<dyn Fn(usize) -> Option<Integer> + 'a>> {
    let wide = |value: i64| Integer::Wide(i128::from(value));
    Ok(match args.data_type(0)? {
        DataType::UInt64 => {
            let values = args.numbers::<UInt64Type>(0)?;
            Box::new(move |row| values.get(row).map(Integer::Bits))
        }
        DataType::Int64 => {
            let values = args.numbers::<Int64Type>(0)?;
            Box::new(move |row| values.get(row).map(wide))
        }
        DataType::Decimal128(_, scale) => {
            let values = args.numbers::<Decimal128Type>(0)?;
            let divisor = pow10(scale.max(0) as u32);
            Box::new(move |row| values.get(row).map(|value| Integer::Wide(round_quotient(value, divisor))))
        }
        DataType::Float64 => {
            let values = args.numbers::<Float64Type>(0)?;
            Box::new(move |row| values.get(row).map(|value| Integer::Wide(value.round_ties_even() as i128)))
        }
        DataType::Float32 => {
            let values = args.numbers::<Float32Type>(0)?;
            Box::new(move |row| {
                values.get(row).map(|value| Integer::Wide(f64::from(value).round_ties_even() as i128))
            })
        }
        DataType::Date32 => {
            let values = args.numbers::<Date32Type>(0)?;
            Box::new(move |row| values.get(row).map(|day| wide(date_number(day))))
        }
        DataType::Timestamp(..) => {
            let values = args.numbers::<TimestampMicrosecondType>(0)?;
            Box::new(move |row| values.get(row).map(|micros| wide(datetime_number(round_to(micros, 0)))))
        }
        DataType::Duration(_) => {
            let values = args.numbers::<DurationMicrosecondType>(0)?;
            Box::new(move |row| {
                values.get(row).map(|micros| {
                    let rounded = temporal::round_micros(micros, 0);
                    let number = Clock::of_time(rounded).number();
                    wide(if micros < 0 { -number } else { number })
                })
            })
        }
        _ => {
            let values = args.blobs(0)?;
            Box::new(move |row| {
                values.get(row).map(|text| {
                    let (value, is_whole) = integer_at_front(text);
                    if !is_whole {
                        note_integer(text);
                    }
                    Integer::Text(value)
                })
            })
        }
    })
}

fn decimal_result(_: &[FieldRef], scalars: &[Option<&ScalarValue>]) -> Result<DataType> {
    match scalars {
        [_, Some(ScalarValue::Int64(Some(precision))), Some(ScalarValue::Int64(Some(scale))), ..] => {
            Ok(DataType::Decimal128(*precision as u8, *scale as i8))
        }
        _ => Err(DataFusionError::Internal("to_decimal needs constants for precision and scale".into())),
    }
}

fn decimal_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *args.result else { return Err(unsupported(args)) };
    let scale = scale.max(0) as u8;
    let limit = pow10(u32::from(precision)) - 1;
    let unit = pow10(u32::from(scale));
    // What is read as one beyond the limit is out of range.
    let beyond = limit + 1;
    let name = if args.len() > 3 { args.texts(3)?.get(0) } else { None };
    let fit = |value: i128| {
        if value.unsigned_abs() > limit.unsigned_abs()
            && let Some(name) = name
        {
            warnings::out_of_range(name);
        }
        value.clamp(-limit, limit)
    };
    macro_rules! number {
        ($ty:ty, |$value:ident| $body:expr) => {{
            let values = args.numbers::<$ty>(0)?;
            build_numbers::<Decimal128Type>(args, |row| Ok(values.get(row).map(|$value| fit($body))))
        }};
    }
    let whole = |value: i64| i128::from(value).saturating_mul(unit);
    let with_micros = |number: i64, micros: i64| {
        (i128::from(number) * i128::from(MICROS_PER_SECOND) + i128::from(micros))
            .checked_mul(unit)
            .map_or(beyond, |value| round_quotient(value, i128::from(MICROS_PER_SECOND)))
    };
    match args.data_type(0)? {
        DataType::Int8 => number!(Int8Type, |value| whole(i64::from(value))),
        DataType::Int16 => number!(Int16Type, |value| whole(i64::from(value))),
        DataType::Int32 => number!(Int32Type, |value| whole(i64::from(value))),
        DataType::Int64 => number!(Int64Type, |value| whole(value)),
        DataType::UInt8 => number!(UInt8Type, |value| whole(i64::from(value))),
        DataType::UInt16 => number!(UInt16Type, |value| whole(i64::from(value))),
        DataType::UInt32 => number!(UInt32Type, |value| whole(i64::from(value))),
        DataType::UInt64 => number!(UInt64Type, |value| i128::from(value).saturating_mul(unit)),
        DataType::Float32 => {
            number!(Float32Type, |value| decimal_of_double(f64::from(value), scale, beyond))
        }
        DataType::Float64 => number!(Float64Type, |value| decimal_of_double(value, scale, beyond)),
        DataType::Decimal128(_, from) => {
            let from = from.max(0) as u8;
            if from > scale {
                let divisor = pow10(u32::from(from - scale));
                number!(Decimal128Type, |value| round_quotient(value, divisor))
            } else {
                let factor = pow10(u32::from(scale - from));
                number!(Decimal128Type, |value| value.saturating_mul(factor))
            }
        }
        DataType::Date32 => number!(Date32Type, |day| whole(date_number(day))),
        DataType::Timestamp(..) => number!(TimestampMicrosecondType, |micros| {
            with_micros(datetime_number(micros), Clock::of_datetime(micros).micro)
        }),
        DataType::Duration(_) => number!(DurationMicrosecondType, |micros| {
            let clock = Clock::of_time(micros);
            let value = with_micros(clock.number(), clock.micro);
            if micros < 0 { -value } else { value }
        }),
        _ => {
            let values = args.blobs(0)?;
            build_numbers::<Decimal128Type>(args, |row| {
                Ok(values.get(row).map(|text| {
                    let (value, is_whole) = decimal_at_front(text, scale, beyond);
                    if !is_whole {
                        note_number("DECIMAL", text);
                    }
                    fit(value)
                }))
            })
        }
    }
}

fn time_kernel(args: &Arguments<'_>) -> Result<ArrayRef> {
    let fsp = fsp(args, 1)?;
    let within = |micros: i64| Some(micros).filter(|micros| micros.abs() <= MAX_TIME);
    match args.data_type(0)? {
        DataType::Duration(_) => {
            let values = args.numbers::<DurationMicrosecondType>(0)?;
            build_numbers::<DurationMicrosecondType>(args, |row| {
                Ok(values.get(row).and_then(|micros| within(temporal::round_micros(micros, fsp))))
            })
        }
        DataType::Timestamp(..) => {
            let values = args.numbers::<TimestampMicrosecondType>(0)?;
            build_numbers::<DurationMicrosecondType>(args, |row| {
                Ok(values
                    .get(row)
                    .map(|micros| temporal::round_micros(micros.rem_euclid(MICROS_PER_DAY), fsp)))
            })
        }
        DataType::Int64 => {
            let values = args.numbers::<Int64Type>(0)?;
            build_numbers::<DurationMicrosecondType>(args, |row| {
                Ok(values.get(row).and_then(|number| temporal::time_from_number(number, 0, fsp)))
            })
        }
        _ => {
            let values = args.texts(0)?;
            build_numbers::<DurationMicrosecondType>(args, |row| {
                Ok(values.get(row).and_then(|text| {
                    let time = temporal::parse_time(text.as_bytes(), fsp);
                    noted("time", text, time.or_else(|| leading_time(text, fsp)))
                }))
            })
        }
    }
}
