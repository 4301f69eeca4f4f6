//! One value of any type into a column.

use super::builder::{
    Values, binary_limit, bits, checked_decimal, checked_float, fit_text, numbered, push_bytes, range, year,
};
use super::number::{POWERS, format_decimal, format_double, format_float, parse_decimal, parse_double};
use super::{ColumnBuilder, Context, Wrong};
use crate::temporal::{
    MAX_DATETIME, MAX_TIME, MAX_TIMESTAMP, MICROS_PER_DAY, MICROS_PER_SECOND, MIN_TIMESTAMP, civil_from_days,
    date_from_number, datetime_from_number, format_date, format_datetime, format_time, round_micros,
    split_datetime, time_from_number,
};
use std::borrow::Cow;
use types::{SqlType, Value};

/// A value to be converted. Temporal ones are in the units of their Arrow types.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    Null,
    Int(i128),
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Float(f32),
    Double(f64),
    Date(i32),
    Time {
        micros: i64,
        fsp: u8,
    },
    DateTime {
        micros: i64,
        fsp: u8,
    },
    Timestamp {
        micros: i64,
        fsp: u8,
    },
    /// Known to be UTF-8.
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// The fewest fractional digits that show a time whole.
fn needed_fsp(micros: i64) -> u8 {
    (0..6).find(|fsp| micros % crate::temporal::fsp_unit(*fsp) == 0).unwrap_or(6)
}

/// A temporal value as the number that MySQL makes of it: the digits, and millionths after them.
struct Digits {
    number: i64,
    micros: i64,
}

fn clock_digits(micros: i64) -> i64 {
    let seconds = micros / MICROS_PER_SECOND;
    seconds / 3600 * 10_000 + seconds / 60 % 60 * 100 + seconds % 60
}

fn date_digits(days: i32) -> i64 {
    let (year, month, day) = civil_from_days(days);
    i64::from(year) * 10_000 + i64::from(month) * 100 + i64::from(day)
}

impl<'a> Scalar<'a> {
    pub fn of(value: &'a Value) -> Scalar<'a> {
        match value {
            Value::Null => Scalar::Null,
            Value::Int(v) => Scalar::Int(i128::from(*v)),
            Value::UInt(v) => Scalar::Int(i128::from(*v)),
            Value::Decimal { unscaled, scale } => Scalar::Decimal { unscaled: *unscaled, scale: *scale },
            Value::Float(v) => Scalar::Float(*v),
            Value::Double(v) => Scalar::Double(*v),
            Value::Date(v) => Scalar::Date(*v),
            Value::Time(v) => Scalar::Time { micros: *v, fsp: needed_fsp(*v) },
            Value::DateTime(v) => Scalar::DateTime { micros: *v, fsp: needed_fsp(*v) },
            Value::Timestamp(v) => Scalar::Timestamp { micros: *v, fsp: needed_fsp(*v) },
            Value::Text(v) => Scalar::Text(v),
            Value::Bytes(v) => Scalar::Bytes(v),
        }
    }

    /// The value as text, in UTC: for messages and for strings.
    pub fn text(&self) -> Cow<'a, [u8]> {
        let owned = match *self {
            Scalar::Null => "NULL".to_string(),
            Scalar::Int(v) => v.to_string(),
            Scalar::Decimal { unscaled, scale } => format_decimal(unscaled, scale),
            Scalar::Float(v) => format_float(v),
            Scalar::Double(v) => format_double(v),
            Scalar::Date(v) => format_date(v),
            Scalar::Time { micros, fsp } => format_time(micros, fsp),
            Scalar::DateTime { micros, fsp } | Scalar::Timestamp { micros, fsp } => {
                format_datetime(micros, fsp)
            }
            Scalar::Text(text) => return Cow::Borrowed(text.as_bytes()),
            Scalar::Bytes(bytes) => return Cow::Borrowed(bytes),
        };
        Cow::Owned(owned.into_bytes())
    }

    /// Temporal values as digits: 20240105, 102030, 20240105102030.
    fn digits(&self, context: &Context) -> Option<Digits> {
        Some(match *self {
            Scalar::Date(days) => Digits { number: date_digits(days), micros: 0 },
            Scalar::Time { micros, .. } => {
                let sign = if micros < 0 { -1 } else { 1 };
                let magnitude = micros.saturating_abs();
                Digits {
                    number: sign * clock_digits(magnitude),
                    micros: sign * (magnitude % MICROS_PER_SECOND),
                }
            }
            Scalar::DateTime { micros, .. } => moment_digits(micros),
            Scalar::Timestamp { micros, .. } => moment_digits(context.zone.to_local(micros)),
            _ => return None,
        })
    }

    fn to_integer(self, context: &Context) -> Result<i128, Wrong> {
        match self {
            Scalar::Int(value) => Ok(value),
            Scalar::Decimal { unscaled, scale } => rescale(unscaled, scale, 0),
            Scalar::Float(value) => rounded(f64::from(value)),
            Scalar::Double(value) => rounded(value),
            _ => {
                let digits = self.digits(context).ok_or(Wrong::Incorrect)?;
                let carry = (digits.micros * 2 / MICROS_PER_SECOND).clamp(-1, 1);
                Ok(i128::from(digits.number + carry))
            }
        }
    }

    fn to_decimal(self, scale: u8, context: &Context) -> Result<i128, Wrong> {
        match self {
            Scalar::Int(value) => rescale(value, 0, scale),
            Scalar::Decimal { unscaled, scale: from } => rescale(unscaled, from, scale),
            Scalar::Float(value) => parse_decimal(format_float(value).as_bytes(), scale),
            Scalar::Double(value) => parse_decimal(format_double(value).as_bytes(), scale),
            _ => {
                let digits = self.digits(context).ok_or(Wrong::Incorrect)?;
                let unscaled =
                    i128::from(digits.number) * i128::from(MICROS_PER_SECOND) + i128::from(digits.micros);
                rescale(unscaled, 6, scale)
            }
        }
    }

    fn to_double(self, context: &Context) -> Result<f64, Wrong> {
        match self {
            Scalar::Int(value) => Ok(value as f64),
            Scalar::Decimal { unscaled, scale } => parse_double(format_decimal(unscaled, scale).as_bytes()),
            Scalar::Float(value) => Ok(f64::from(value)),
            Scalar::Double(value) => Ok(value),
            _ => {
                let digits = self.digits(context).ok_or(Wrong::Incorrect)?;
                Ok(digits.number as f64 + digits.micros as f64 / MICROS_PER_SECOND as f64)
            }
        }
    }

    /// A number as digits of a date or time: its whole part and its millionths.
    fn number_parts(self) -> Result<(i64, u32), Wrong> {
        let micros = match self {
            Scalar::Int(value) => return Ok((i64::try_from(value).map_err(|_| Wrong::Incorrect)?, 0)),
            Scalar::Decimal { unscaled, scale } => rescale(unscaled, scale, 6)?,
            Scalar::Float(_) | Scalar::Double(_) => {
                let text = self.text();
                parse_decimal(&text, 6).map_err(|_| Wrong::Incorrect)?
            }
            _ => return Err(Wrong::Incorrect),
        };
        let second = i128::from(MICROS_PER_SECOND);
        let whole = i64::try_from(micros / second).map_err(|_| Wrong::Incorrect)?;
        Ok((whole, (micros % second).unsigned_abs() as u32))
    }

    fn to_date(self, context: &Context) -> Result<i32, Wrong> {
        match self {
            Scalar::Date(days) => Ok(days),
            Scalar::DateTime { micros, .. } => Ok(split_datetime(micros).0),
            Scalar::Timestamp { micros, .. } => Ok(split_datetime(context.zone.to_local(micros)).0),
            Scalar::Time { micros, .. } => Ok(split_datetime(today(context) + micros).0),
            number => date_from_number(number.number_parts()?.0).ok_or(Wrong::Incorrect),
        }
    }

    /// A moment without a zone, as the session's clock shows it.
    fn to_datetime(self, fsp: u8, context: &Context) -> Result<i64, Wrong> {
        let micros = match self {
            Scalar::Date(days) => i64::from(days) * MICROS_PER_DAY,
            Scalar::DateTime { micros, .. } => round_micros(micros, fsp),
            Scalar::Timestamp { micros, .. } => round_micros(context.zone.to_local(micros), fsp),
            Scalar::Time { micros, .. } => round_micros(today(context) + micros, fsp),
            number => {
                let (whole, micros) = number.number_parts()?;
                datetime_from_number(whole, micros, fsp).ok_or(Wrong::Incorrect)?
            }
        };
        if micros <= MAX_DATETIME { Ok(micros) } else { Err(Wrong::Incorrect) }
    }

    fn to_timestamp(self, fsp: u8, context: &Context) -> Result<i64, Wrong> {
        let utc = match self {
            Scalar::Timestamp { micros, .. } => round_micros(micros, fsp),
            other => context.zone.to_utc(other.to_datetime(fsp, context)?).ok_or(Wrong::Incorrect)?,
        };
        if (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&utc) { Ok(utc) } else { Err(Wrong::Incorrect) }
    }

    fn to_time(self, fsp: u8, context: &Context) -> Result<i64, Wrong> {
        let micros = match self {
            Scalar::Time { micros, .. } => round_micros(micros, fsp),
            Scalar::Date(_) => 0,
            Scalar::DateTime { micros, .. } => round_micros(split_datetime(micros).1, fsp),
            Scalar::Timestamp { micros, .. } => {
                round_micros(split_datetime(context.zone.to_local(micros)).1, fsp)
            }
            number => {
                let (whole, micros) = number.number_parts()?;
                time_from_number(whole, micros, fsp).ok_or(Wrong::Incorrect)?
            }
        };
        if micros.abs() <= MAX_TIME { Ok(micros) } else { Err(Wrong::Incorrect) }
    }

    fn to_year(self, context: &Context) -> Result<u16, Wrong> {
        match self {
            Scalar::Date(_) | Scalar::DateTime { .. } | Scalar::Timestamp { .. } => {
                Ok(civil_from_days(self.to_date(context)?).0 as u16)
            }
            number => year(number.to_integer(context)?, false),
        }
    }
}

/// Midnight of the statement's day, in the session's zone.
fn today(context: &Context) -> i64 {
    context.zone.to_local(context.now).div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY
}

fn moment_digits(local: i64) -> Digits {
    let (days, of_day) = split_datetime(local);
    Digits {
        number: date_digits(days) * 1_000_000 + clock_digits(of_day),
        micros: of_day % MICROS_PER_SECOND,
    }
}

fn rounded(value: f64) -> Result<i128, Wrong> {
    let value = value.round_ties_even();
    // Beyond 2^65 no integer column holds it.
    if value.abs() < 4e19 { Ok(value as i128) } else { Err(Wrong::OutOfRange) }
}

/// Another scale, rounded half away from zero.
pub(super) fn rescale(unscaled: i128, from: u8, to: u8) -> Result<i128, Wrong> {
    if to >= from {
        let power = POWERS.get(usize::from(to - from)).ok_or(Wrong::OutOfRange)?;
        return unscaled.checked_mul(*power).ok_or(Wrong::OutOfRange);
    }
    let Some(&power) = POWERS.get(usize::from(from - to)) else { return Ok(0) };
    let (whole, rest) = (unscaled / power, unscaled % power);
    Ok(whole + if rest.abs() >= power / 2 { rest.signum() } else { 0 })
}

fn in_range<T: TryFrom<i128>>(value: i128, (low, high): (i128, i128)) -> Result<T, Wrong> {
    if value < low || value > high {
        return Err(Wrong::OutOfRange);
    }
    T::try_from(value).map_err(|_| Wrong::OutOfRange)
}

impl ColumnBuilder {
    /// Appends one value.
    pub fn append(&mut self, scalar: &Scalar<'_>, context: &Context) -> Result<(), Wrong> {
        match *scalar {
            Scalar::Null => return self.append_null(),
            Scalar::Text(text) => {
                return self
                    .append_many(1, true, context, |_| Some(text.as_bytes()))
                    .map_err(|(_, wrong)| wrong);
            }
            Scalar::Bytes(bytes) => {
                return self.append_many(1, false, context, |_| Some(bytes)).map_err(|(_, wrong)| wrong);
            }
            _ => {}
        }
        let (value, ty) = (*scalar, self.ty);
        match &mut self.values {
            Values::I8(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::I16(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::I32(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::I64(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::U8(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::U16(out) if ty == SqlType::Year => out.push(value.to_year(context)?),
            Values::U16(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::U32(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::U64(out) if matches!(ty, SqlType::Bit(_)) => {
                let number = match value {
                    // The bits of a negative number are those of a BIGINT; a fraction of a DOUBLE is cut.
                    Scalar::Int(number) => {
                        i64::try_from(number).map(|n| n as u64).or(u64::try_from(number)).ok()
                    }
                    Scalar::Float(_) | Scalar::Double(_) => Some(value.to_double(context)? as i64 as u64),
                    Scalar::Decimal { .. } => {
                        let number = value.to_integer(context)?;
                        Some(u64::try_from(number).map_err(|_| Wrong::OutOfRange)?)
                    }
                    _ => types::bits::number(&local(value, context).text()),
                };
                out.push(bits(number, range(ty).1)?);
            }
            Values::U64(out) => out.push(in_range(value.to_integer(context)?, range(ty))?),
            Values::Decimal(out) => {
                if let SqlType::Decimal { precision, scale } = ty {
                    out.push(checked_decimal(value.to_decimal(scale, context)?, precision)?);
                }
            }
            Values::F32(out) => out.push(checked_float(value.to_double(context)?)?),
            Values::F64(out) => out.push(value.to_double(context)?),
            Values::Date(out) => out.push(value.to_date(context)?),
            Values::Micros(out) => out.push(match ty {
                SqlType::Time { fsp } => value.to_time(fsp, context)?,
                SqlType::Timestamp { fsp } => value.to_timestamp(fsp, context)?,
                SqlType::DateTime { fsp } => value.to_datetime(fsp, context)?,
                _ => return Err(Wrong::Incorrect),
            }),
            Values::Text(_) if ty == SqlType::Json => {
                return Err(Wrong::NotJson { why: "not a JSON text, may need CAST", at: 0 });
            }
            Values::Text(out) if ty.labels().is_some() => {
                let number = value.to_integer(context).map_err(|_| Wrong::Truncated)?;
                out.push(numbered(number, ty)?.as_bytes());
            }
            Values::Text(out) => out.push(fit_text(&local(value, context).text(), ty, true)?),
            Values::Bytes(out) => {
                let (limit, padded) = binary_limit(ty);
                push_bytes(out, &local(value, context).text(), limit, padded)?;
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    pub fn append_null(&mut self) -> Result<(), Wrong> {
        if !self.nullable {
            return Err(Wrong::Null);
        }
        match &mut self.values {
            Values::I8(v) => v.push(0),
            Values::I16(v) => v.push(0),
            Values::I32(v) | Values::Date(v) => v.push(0),
            Values::I64(v) | Values::Micros(v) => v.push(0),
            Values::U8(v) => v.push(0),
            Values::U16(v) => v.push(0),
            Values::U32(v) => v.push(0),
            Values::U64(v) => v.push(0),
            Values::Decimal(v) => v.push(0),
            Values::F32(v) => v.push(0.0),
            Values::F64(v) => v.push(0.0),
            Values::Text(v) | Values::Bytes(v) => v.push_empty(),
        }
        self.nulls.append_null();
        Ok(())
    }
}

/// A TIMESTAMP as the session's clock shows it, which is what its text says.
fn local<'a>(scalar: Scalar<'a>, context: &Context) -> Scalar<'a> {
    match scalar {
        Scalar::Timestamp { micros, fsp } => Scalar::DateTime { micros: context.zone.to_local(micros), fsp },
        other => other,
    }
}
