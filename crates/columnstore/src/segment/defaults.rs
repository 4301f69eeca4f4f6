//! Values of a column that a segment was written without, since it was added later.

use crate::StoreError;
use crate::encoding::dictionary::Dictionary;
use crate::encoding::fixed::{FixedBlock, FixedKind};
use crate::encoding::ints::IntBlock;
use crate::filter::values::number_of;
use crate::segment::block::BlockColumn;
use crate::segment::format::Zone;
use std::sync::Arc;
use types::value::PhysicalValue;
use types::{ColumnDef, ColumnDefault, SqlType, Value};

/// What rows from before the column have, as a value of its type; NULL if there is no default and the
/// column takes NULLs.
pub fn default_value(column: &ColumnDef) -> Result<Value, StoreError> {
    match column.initial.as_ref().unwrap_or(&column.default) {
        ColumnDefault::Null => Ok(Value::Null),
        ColumnDefault::None if column.nullable => Ok(Value::Null),
        ColumnDefault::None => implicit(column.ty).ok_or_else(|| unusable(column)),
        ColumnDefault::Literal(text) => parse(text, column.ty).ok_or_else(|| unusable(column)),
        // No column is added with a value that depends on its row.
        ColumnDefault::Expression(_) | ColumnDefault::Generated { .. } | ColumnDefault::CollationKey(_) => {
            Err(unusable(column))
        }
        // The schema change must have put the time at which it ran into the definition.
        ColumnDefault::CurrentTimestamp => Err(unusable(column)),
    }
}

fn unusable(column: &ColumnDef) -> StoreError {
    StoreError::internal(format_args!(
        "column {} of type {} was added with a default that rows written before it cannot take: {:?}",
        column.name, column.ty, column.default
    ))
}

/// MySQL's implicit default. None for times, whose zero is no date.
fn implicit(ty: SqlType) -> Option<Value> {
    Some(match ty {
        _ if ty.is_unsigned() => Value::UInt(0),
        _ if ty.is_integer() => Value::Int(0),
        SqlType::Decimal { scale, .. } => Value::Decimal { unscaled: 0, scale },
        SqlType::Float => Value::Float(0.0),
        SqlType::Double => Value::Double(0.0),
        SqlType::Time { .. } => Value::Time(0),
        SqlType::Enum(labels) => Value::Text(labels.as_slice().first()?.clone()),
        _ if ty.is_string() => Value::Text(String::new()),
        SqlType::Binary(length) => Value::Bytes(vec![0; length as usize]),
        SqlType::VarBinary(_) | SqlType::Blob(_) => Value::Bytes(Vec::new()),
        _ => return None,
    })
}

fn parse(text: &str, ty: SqlType) -> Option<Value> {
    let value = match ty {
        _ if ty.is_unsigned() => Value::UInt(text.trim().parse().ok()?),
        _ if ty.is_integer() => Value::Int(text.trim().parse().ok()?),
        SqlType::Decimal { scale, .. } => {
            let (unscaled, digits) = decimal(text.trim())?;
            Value::Decimal { unscaled: rescale(unscaled, digits, scale)?, scale }
        }
        SqlType::Float => Value::Float(text.trim().parse().ok()?),
        SqlType::Double => Value::Double(text.trim().parse().ok()?),
        SqlType::Date => Value::Date(i32::try_from(days(text.trim())?).ok()?),
        SqlType::Time { .. } => Value::Time(time(text.trim())?),
        SqlType::DateTime { .. } => Value::DateTime(date_time(text.trim())?),
        SqlType::Timestamp { .. } => Value::Timestamp(date_time(text.trim())?),
        SqlType::Binary(length) => {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(bytes.len().max(length as usize), 0);
            Value::Bytes(bytes)
        }
        SqlType::VarBinary(_) | SqlType::Blob(_) => Value::Bytes(text.as_bytes().to_vec()),
        _ => Value::Text(text.to_string()),
    };
    value.to_physical(ty).is_some().then_some(value)
}

/// The digits as an integer, and how many of them stand behind the point.
fn decimal(text: &str) -> Option<(i128, u8)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    Some((digits.parse().ok()?, u8::try_from(fraction.len()).ok()?))
}

fn rescale(unscaled: i128, from: u8, to: u8) -> Option<i128> {
    if from <= to {
        return unscaled.checked_mul(10i128.checked_pow(u32::from(to - from))?);
    }
    let divisor = 10i128.checked_pow(u32::from(from - to))?;
    // Half away from zero.
    Some(unscaled / divisor + (unscaled % divisor * 2) / divisor)
}

/// Days since 1970-01-01 of "YYYY-MM-DD".
fn days(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(0..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day comes last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Microseconds of "[-]HH:MM:SS[.ffffff]".
fn time(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if hours > 838 || minutes > 59 || seconds > 59 || fraction.len() > 6 {
        return None;
    }
    let micros: u32 = format!("{fraction:0<6}").parse().ok()?;
    let total = (i64::from(hours) * 3_600 + i64::from(minutes) * 60 + i64::from(seconds)) * 1_000_000;
    let total = total + i64::from(micros);
    Some(if negative { -total } else { total })
}

/// Microseconds since 1970 of "YYYY-MM-DD[ HH:MM:SS[.ffffff]]".
fn date_time(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let clock = time(clock)?;
    if !(0..86_400_000_000).contains(&clock) {
        return None;
    }
    Some(days(date)? * 86_400_000_000 + clock)
}

/// The default for `rows` rows of a block.
pub(super) fn default_column(column: &ColumnDef, rows: usize) -> Result<BlockColumn, StoreError> {
    let value = default_value(column)?;
    if value.is_null() {
        return Ok(BlockColumn::Null);
    }
    let fixed = |kind, bits| BlockColumn::Fixed(Arc::new(FixedBlock::constant(kind, rows, bits)));
    Ok(match value.to_physical(column.ty).ok_or_else(|| unusable(column))? {
        PhysicalValue::I64(v) => BlockColumn::Ints(Arc::new(IntBlock::constant(rows, v))),
        PhysicalValue::I128(v) => fixed(FixedKind::I128, v),
        PhysicalValue::F32(v) => fixed(FixedKind::F32, v.to_bits().into()),
        PhysicalValue::F64(v) => fixed(FixedKind::F64, v.to_bits().into()),
        PhysicalValue::Bytes(v) => {
            BlockColumn::Codes(Arc::new(IntBlock::constant(rows, 0)), Arc::new(Dictionary::of_one(&v)))
        }
    })
}

/// What is known of the default's rows: whether they are NULL, and their zone.
pub(super) fn default_zone(column: &ColumnDef) -> Result<(bool, Zone), StoreError> {
    let value = default_value(column)?;
    if value.is_null() {
        return Ok((true, Zone::None));
    }
    Ok((
        false,
        match value.to_physical(column.ty) {
            Some(PhysicalValue::Bytes(v)) => {
                Zone::Strings(v.clone().into_boxed_slice(), Some(v.into_boxed_slice()))
            }
            Some(number) => number_of(&number).map_or(Zone::None, |number| Zone::Numbers(number, number)),
            None => Zone::None,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ColumnId;

    fn of(ty: SqlType, nullable: bool, default: ColumnDefault) -> Option<Value> {
        default_value(&ColumnDef {
            id: ColumnId(1),
            name: "c".into(),
            ty,
            nullable,
            default,
            auto_increment: false,
            initial: None,
            collation: types::Collation::default(),
            on_update_now: false,
            comment: String::new(),
        })
        .ok()
    }

    #[test]
    fn literals_become_values() {
        use ColumnDefault::Literal;
        let literal = |ty, text: &str| of(ty, false, Literal(text.into()));
        assert_eq!(literal(SqlType::Int { unsigned: false }, "-5"), Some(Value::Int(-5)));
        assert_eq!(literal(SqlType::TinyInt { unsigned: true }, "300"), None);
        let decimal = SqlType::Decimal { precision: 10, scale: 2 };
        assert_eq!(literal(decimal, "-1.5"), Some(Value::Decimal { unscaled: -150, scale: 2 }));
        assert_eq!(literal(decimal, "1.005"), Some(Value::Decimal { unscaled: 101, scale: 2 }));
        assert_eq!(literal(SqlType::Date, "1970-01-02"), Some(Value::Date(1)));
        assert_eq!(literal(SqlType::Date, "2000-02-29"), Some(Value::Date(11_016)));
        assert_eq!(literal(SqlType::Date, "1900-02-29"), None);
        assert_eq!(
            literal(SqlType::DateTime { fsp: 6 }, "1970-01-02 00:00:01.5"),
            Some(Value::DateTime(86_401_500_000))
        );
        assert_eq!(literal(SqlType::Time { fsp: 0 }, "-01:00:00"), Some(Value::Time(-3_600_000_000)));
        assert_eq!(literal(SqlType::VarChar(3), "ab"), Some(Value::Text("ab".into())));
        assert_eq!(of(SqlType::Date, true, ColumnDefault::None), Some(Value::Null));
        assert_eq!(of(SqlType::Date, false, ColumnDefault::None), None);
        assert_eq!(of(SqlType::Double, false, ColumnDefault::None), Some(Value::Double(0.0)));
        assert_eq!(of(SqlType::Date, false, ColumnDefault::CurrentTimestamp), None);
    }
}
