//! A column under construction. Appending converts; what it holds is always right for its column.

use super::number::{
    POWERS, parse_decimal, parse_double, parse_integer, parse_short, parse_short_decimal, scan_decimal,
};
use super::view::ViewBuilder;
use super::{Context, Wrong};
use crate::temporal::{parse_date, parse_datetime, parse_time, parse_timestamp};
use arrow::array::{ArrayRef, ArrowPrimitiveType, NullBufferBuilder, PrimitiveArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::sync::Arc;
use types::{ColumnDef, SqlType};

#[derive(Debug)]
pub(super) enum Values {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    Decimal(Vec<i128>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Date(Vec<i32>),
    /// TIME, DATETIME, TIMESTAMP.
    Micros(Vec<i64>),
    Text(ViewBuilder),
    Bytes(ViewBuilder),
}

#[derive(Debug)]
pub struct ColumnBuilder {
    pub(super) ty: SqlType,
    pub(super) nullable: bool,
    pub(super) values: Values,
    pub(super) nulls: NullBufferBuilder,
}

/// Appends the texts of some rows through `parse`, NULL where there is none.
#[inline]
fn fill<'a, T: Default>(
    out: &mut Vec<T>,
    nulls: &mut NullBufferBuilder,
    nullable: bool,
    rows: usize,
    get: impl Fn(usize) -> Option<&'a [u8]>,
    parse: impl Fn(&'a [u8]) -> Result<T, Wrong>,
) -> Result<(), (usize, Wrong)> {
    out.reserve(rows);
    let mut run = 0;
    for row in 0..rows {
        match get(row) {
            Some(text) => {
                match parse(text) {
                    Ok(value) => out.push(value),
                    Err(wrong) => {
                        nulls.append_n_non_nulls(run);
                        return Err((row, wrong));
                    }
                }
                run += 1;
            }
            None if nullable => {
                nulls.append_n_non_nulls(run);
                nulls.append_null();
                run = 0;
                out.push(T::default());
            }
            None => {
                nulls.append_n_non_nulls(run);
                return Err((row, Wrong::Null));
            }
        }
    }
    nulls.append_n_non_nulls(run);
    Ok(())
}

/// The integers of a column's type.
pub(super) fn range(ty: SqlType) -> (i128, i128) {
    // Invariant: only asked for integer types.
    ty.integer_range().unwrap_or((0, 0))
}

#[inline]
fn integer<T: TryFrom<i64> + TryFrom<i128>>(text: &[u8], range: (i128, i128)) -> Result<T, Wrong> {
    // 18 digits are within 64 bits, so a comparison with the range cut to them says the same.
    let (low, high) = (range.0 as i64, range.1.min(i128::from(i64::MAX)) as i64);
    if let Some(value) = parse_short(text)
        && (low..=high).contains(&value)
    {
        return T::try_from(value).map_err(|_| Wrong::OutOfRange);
    }
    long_integer(text, range)
}

#[cold]
fn long_integer<T: TryFrom<i128>>(text: &[u8], (low, high): (i128, i128)) -> Result<T, Wrong> {
    let value = match parse_integer(text) {
        // What comes first may be out of range, which comes before what follows it.
        Err(Wrong::Truncated) => {
            let length = scan_decimal(text).map_or(0, |number| number.length);
            match parse_integer(&text[..length])? {
                value if (low..=high).contains(&value) => return Err(Wrong::Truncated),
                value => value,
            }
        }
        value => value?,
    };
    if value < low || value > high {
        return Err(Wrong::OutOfRange);
    }
    T::try_from(value).map_err(|_| Wrong::OutOfRange)
}

/// A YEAR from its digits as a number: 1901 to 2155, 0, and 1 to 99 as 1970 to 2069. `text`: it was a
/// string, where zero means 2000.
pub(super) fn year(value: i128, text: bool) -> Result<u16, Wrong> {
    match value {
        0 if text => Ok(2000),
        0 => Ok(0),
        1..=69 => Ok(value as u16 + 2000),
        70..=99 => Ok(value as u16 + 1900),
        1901..=2155 => Ok(value as u16),
        _ => Err(Wrong::OutOfRange),
    }
}

/// A number of a BIT whose greatest is `most`.
pub(super) fn bits(number: Option<u64>, most: i128) -> Result<u64, Wrong> {
    number.filter(|number| i128::from(*number) <= most).ok_or(Wrong::TooLong)
}

pub(super) fn checked_decimal(value: i128, precision: u8) -> Result<i128, Wrong> {
    let limit = POWERS[usize::from(precision).min(POWERS.len() - 1)];
    if value.abs() < limit { Ok(value) } else { Err(Wrong::OutOfRange) }
}

pub(super) fn checked_float(value: f64) -> Result<f32, Wrong> {
    let narrow = value as f32;
    if narrow.is_finite() { Ok(narrow) } else { Err(Wrong::OutOfRange) }
}

/// The one form of a JSON text.
fn json_form(text: &[u8]) -> Result<String, Wrong> {
    let text = std::str::from_utf8(text).map_err(|_| Wrong::NotUtf8)?;
    let document =
        crate::json::parse(text).map_err(|invalid| Wrong::NotJson { why: invalid.why, at: invalid.at })?;
    let mut form = String::with_capacity(text.len());
    document.write(&mut form);
    Ok(form)
}

/// The text of an ENUM or SET that `text` means: labels, or a number.
fn labelled(text: &[u8], ty: SqlType) -> Result<std::borrow::Cow<'_, str>, Wrong> {
    use std::borrow::Cow;
    let text = std::str::from_utf8(text).map_err(|_| Wrong::NotUtf8)?;
    let text = text.trim_end_matches(' ');
    match ty {
        SqlType::Enum(labels) if labels.position(text).is_some() => Ok(Cow::Borrowed(text)),
        SqlType::Set(labels) => match labels.bits(text) {
            Some(bits) => labels.text_of_bits(bits).map(Cow::Owned).ok_or(Wrong::Truncated),
            None => numbered(text.parse().map_err(|_| Wrong::Truncated)?, ty).map(Cow::Owned),
        },
        _ => numbered(text.parse().map_err(|_| Wrong::Truncated)?, ty).map(Cow::Owned),
    }
}

/// The text of an ENUM or SET of this number.
pub(super) fn numbered(number: i128, ty: SqlType) -> Result<String, Wrong> {
    let found = match ty {
        SqlType::Enum(labels) => {
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            place.and_then(|place| labels.as_slice().get(place)).cloned()
        }
        SqlType::Set(labels) => u64::try_from(number).ok().and_then(|bits| labels.text_of_bits(bits)),
        _ => None,
    };
    found.ok_or(Wrong::Truncated)
}

/// The text that a string column stores of `text`: blanks at the end of a CHAR are no part of it, and
/// those past the length of a VARCHAR are cut. `ascii`: it is known to have only ASCII.
#[inline]
pub(super) fn fit_text(text: &[u8], ty: SqlType, ascii: bool) -> Result<&[u8], Wrong> {
    let valid = ascii || std::str::from_utf8(text).is_ok();
    if !valid {
        return Err(Wrong::NotUtf8);
    }
    let (text, limit) = match ty {
        SqlType::Char(limit) => (text.trim_ascii_end_spaces(), limit),
        SqlType::VarChar(limit) => (text, limit),
        SqlType::Text(size) => {
            return if text.len() as u64 <= size.max_bytes() { Ok(text) } else { Err(Wrong::TooLong) };
        }
        _ => return Ok(text),
    };
    if text.len() <= limit as usize { Ok(text) } else { fit_long_text(text, limit as usize) }
}

/// Counts the characters of a text with more bytes than characters allowed.
fn fit_long_text(text: &[u8], limit: usize) -> Result<&[u8], Wrong> {
    // Every byte that does not go on from the one before begins a character.
    let mut starts = text.iter().enumerate().filter(|(_, b)| (**b as i8) >= -0x40).map(|(at, _)| at);
    match starts.nth(limit) {
        None => Ok(text),
        Some(end) if text[end..].iter().all(|b| *b == b' ') => Ok(&text[..end]),
        Some(_) => Err(Wrong::TooLong),
    }
}

trait TrimSpaces {
    fn trim_ascii_end_spaces(&self) -> &[u8];
}

impl TrimSpaces for [u8] {
    #[inline]
    fn trim_ascii_end_spaces(&self) -> &[u8] {
        let end = self.iter().rposition(|b| *b != b' ').map_or(0, |at| at + 1);
        &self[..end]
    }
}

/// How many bytes a binary column allows, and whether shorter values are padded to it.
pub(super) fn binary_limit(ty: SqlType) -> (u64, bool) {
    match ty {
        SqlType::Binary(n) => (u64::from(n), true),
        SqlType::VarBinary(n) => (u64::from(n), false),
        SqlType::Blob(size) => (size.max_bytes(), false),
        _ => (u64::MAX, false),
    }
}

impl ColumnBuilder {
    pub fn new(column: &ColumnDef, rows: usize) -> ColumnBuilder {
        ColumnBuilder::of(column.ty, column.nullable, rows)
    }

    pub fn of(ty: SqlType, nullable: bool, rows: usize) -> ColumnBuilder {
        use SqlType::*;
        let values = match ty {
            Bool | TinyInt { unsigned: false } => Values::I8(Vec::with_capacity(rows)),
            TinyInt { unsigned: true } => Values::U8(Vec::with_capacity(rows)),
            SmallInt { unsigned: false } => Values::I16(Vec::with_capacity(rows)),
            SmallInt { unsigned: true } | Year => Values::U16(Vec::with_capacity(rows)),
            MediumInt { unsigned: false } | Int { unsigned: false } => Values::I32(Vec::with_capacity(rows)),
            MediumInt { unsigned: true } | Int { unsigned: true } => Values::U32(Vec::with_capacity(rows)),
            BigInt { unsigned: false } => Values::I64(Vec::with_capacity(rows)),
            BigInt { unsigned: true } | Bit(_) => Values::U64(Vec::with_capacity(rows)),
            Decimal { .. } => Values::Decimal(Vec::with_capacity(rows)),
            Float => Values::F32(Vec::with_capacity(rows)),
            Double => Values::F64(Vec::with_capacity(rows)),
            Date => Values::Date(Vec::with_capacity(rows)),
            Time { .. } | DateTime { .. } | Timestamp { .. } => Values::Micros(Vec::with_capacity(rows)),
            Char(_) | VarChar(_) | Text(_) | Json | Enum(_) | Set(_) => {
                Values::Text(ViewBuilder::with_capacity(rows))
            }
            Binary(_) | VarBinary(_) | Blob(_) => Values::Bytes(ViewBuilder::with_capacity(rows)),
        };
        ColumnBuilder { ty, nullable, values, nulls: NullBufferBuilder::new(rows) }
    }

    pub fn ty(&self) -> SqlType {
        self.ty
    }

    pub fn len(&self) -> usize {
        match &self.values {
            Values::I8(v) => v.len(),
            Values::I16(v) => v.len(),
            Values::I32(v) | Values::Date(v) => v.len(),
            Values::I64(v) | Values::Micros(v) => v.len(),
            Values::U8(v) => v.len(),
            Values::U16(v) => v.len(),
            Values::U32(v) => v.len(),
            Values::U64(v) => v.len(),
            Values::Decimal(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::Text(v) | Values::Bytes(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the texts that `get` gives for rows `0..rows`, `None` for NULL. `ascii`: all of them are
    /// known to be ASCII. On an error, with the row that is wrong, the builder has the rows before that one.
    pub fn append_many<'a>(
        &mut self,
        rows: usize,
        ascii: bool,
        context: &Context,
        get: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<(), (usize, Wrong)> {
        let ty = self.ty;
        let (nulls, nullable) = (&mut self.nulls, self.nullable);
        match &mut self.values {
            Values::I8(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::I16(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::I32(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::I64(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::U8(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::U16(out) if ty == SqlType::Year => fill(out, nulls, nullable, rows, get, |text| {
                // '0000' is the year zero, '0' and '00' are 2000.
                year(parse_integer(text)?, text.trim_ascii().len() < 4)
            }),
            Values::U16(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::U32(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::U64(out) if matches!(ty, SqlType::Bit(_)) => {
                let (_, most) = range(ty);
                fill(out, nulls, nullable, rows, get, |bytes| bits(types::bits::number(bytes), most))
            }
            Values::U64(out) => {
                let range = range(ty);
                fill(out, nulls, nullable, rows, get, |text| integer(text, range))
            }
            Values::Decimal(out) => {
                let SqlType::Decimal { precision, scale } = ty else { return Ok(()) };
                let limit = POWERS[usize::from(precision).min(18)] as u64;
                fill(out, nulls, nullable, rows, get, |text| match parse_short_decimal(text, scale) {
                    Some(value) if value.unsigned_abs() < limit => Ok(i128::from(value)),
                    _ => checked_decimal(parse_decimal(text, scale)?, precision),
                })
            }
            Values::F32(out) => {
                fill(out, nulls, nullable, rows, get, |text| checked_float(parse_double(text)?))
            }
            Values::F64(out) => fill(out, nulls, nullable, rows, get, parse_double),
            Values::Date(out) => {
                fill(out, nulls, nullable, rows, get, |text| parse_date(text).ok_or(Wrong::Incorrect))
            }
            Values::Micros(out) => match ty {
                SqlType::Time { fsp } => fill(out, nulls, nullable, rows, get, |text| {
                    parse_time(text, fsp).ok_or(Wrong::Incorrect)
                }),
                SqlType::Timestamp { fsp } => fill(out, nulls, nullable, rows, get, |text| {
                    parse_timestamp(text, fsp, context.zone).ok_or(Wrong::Incorrect)
                }),
                SqlType::DateTime { fsp } => fill(out, nulls, nullable, rows, get, |text| {
                    // A text that names its offset means that moment, shown in the session's zone.
                    parse_datetime_in(text, fsp, context).ok_or(Wrong::Incorrect)
                }),
                _ => Ok(()),
            },
            Values::Text(out) if ty == SqlType::Json => {
                fill_views(out, nulls, nullable, rows, get, |out, text| {
                    out.push(json_form(text)?.as_bytes());
                    Ok(())
                })
            }
            Values::Text(out) if ty.labels().is_some() => {
                fill_views(out, nulls, nullable, rows, get, |out, text| {
                    out.push(labelled(text, ty)?.as_bytes());
                    Ok(())
                })
            }
            Values::Text(out) => fill_views(out, nulls, nullable, rows, get, |out, text| {
                out.push(fit_text(text, ty, ascii)?);
                Ok(())
            }),
            Values::Bytes(out) => {
                let (limit, padded) = binary_limit(ty);
                fill_views(out, nulls, nullable, rows, get, |out, bytes| {
                    push_bytes(out, bytes, limit, padded)
                })
            }
        }
    }

    /// Ends the column.
    pub fn finish(mut self) -> ArrayRef {
        fn primitive<T: ArrowPrimitiveType>(
            values: Vec<T::Native>,
            nulls: &mut NullBufferBuilder,
            ty: SqlType,
        ) -> ArrayRef {
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls.finish()).with_data_type(ty.arrow()))
        }
        let (nulls, ty) = (&mut self.nulls, self.ty);
        match self.values {
            Values::I8(v) => primitive::<Int8Type>(v, nulls, ty),
            Values::I16(v) => primitive::<Int16Type>(v, nulls, ty),
            Values::I32(v) => primitive::<Int32Type>(v, nulls, ty),
            Values::I64(v) => primitive::<Int64Type>(v, nulls, ty),
            Values::U8(v) => primitive::<UInt8Type>(v, nulls, ty),
            Values::U16(v) => primitive::<UInt16Type>(v, nulls, ty),
            Values::U32(v) => primitive::<UInt32Type>(v, nulls, ty),
            Values::U64(v) => primitive::<UInt64Type>(v, nulls, ty),
            Values::Decimal(v) => primitive::<Decimal128Type>(v, nulls, ty),
            Values::F32(v) => primitive::<Float32Type>(v, nulls, ty),
            Values::F64(v) => primitive::<Float64Type>(v, nulls, ty),
            Values::Date(v) => primitive::<Date32Type>(v, nulls, ty),
            Values::Micros(v) if matches!(ty, SqlType::Time { .. }) => {
                primitive::<DurationMicrosecondType>(v, nulls, ty)
            }
            Values::Micros(v) => primitive::<TimestampMicrosecondType>(v, nulls, ty),
            Values::Text(v) => v.finish_text(self.nulls),
            Values::Bytes(v) => v.finish_binary(self.nulls),
        }
    }
}

fn parse_datetime_in(text: &[u8], fsp: u8, context: &Context) -> Option<i64> {
    let offset_possible = text.len() > 19 && text[19..].iter().any(|b| matches!(b, b'+' | b'-'));
    if offset_possible {
        let broken = crate::temporal::parse_broken(text)?;
        if broken.offset.is_some() {
            return parse_datetime(text, fsp).map(|utc| context.zone.to_local(utc));
        }
    }
    parse_datetime(text, fsp)
}

pub(super) fn push_bytes(out: &mut ViewBuilder, bytes: &[u8], limit: u64, padded: bool) -> Result<(), Wrong> {
    if bytes.len() as u64 > limit {
        return Err(Wrong::TooLong);
    }
    let padding = if padded { limit as usize - bytes.len() } else { 0 };
    out.push_padded(bytes, padding);
    Ok(())
}

#[inline]
fn fill_views<'a>(
    out: &mut ViewBuilder,
    nulls: &mut NullBufferBuilder,
    nullable: bool,
    rows: usize,
    get: impl Fn(usize) -> Option<&'a [u8]>,
    push: impl Fn(&mut ViewBuilder, &'a [u8]) -> Result<(), Wrong>,
) -> Result<(), (usize, Wrong)> {
    let mut run = 0;
    for row in 0..rows {
        match get(row) {
            Some(text) => {
                if let Err(wrong) = push(out, text) {
                    nulls.append_n_non_nulls(run);
                    return Err((row, wrong));
                }
                run += 1;
            }
            None if nullable => {
                nulls.append_n_non_nulls(run);
                nulls.append_null();
                run = 0;
                out.push_empty();
            }
            None => {
                nulls.append_n_non_nulls(run);
                return Err((row, Wrong::Null));
            }
        }
    }
    nulls.append_n_non_nulls(run);
    Ok(())
}
