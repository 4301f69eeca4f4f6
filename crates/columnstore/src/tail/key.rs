//! Primary keys as bytes: equal keys give equal bytes, and bytes compare like keys.
//!
//! Each column in turn: 0 for NULL, or 1 and the value: numbers big-endian with the sign bit flipped
//! (floats: all bits flipped if negative), strings with each zero byte written as `00 ff` and an end of
//! `00 00`.

use super::row::Row;
use crate::StoreError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes as dt;
use arrow::record_batch::RecordBatch;
use types::value::PhysicalValue;
use types::{ColumnId, SqlType, TableDef, Value};

pub(super) fn encode_value(value: &PhysicalValue, out: &mut Vec<u8>) {
    out.push(1);
    match value {
        PhysicalValue::I64(v) => out.extend_from_slice(&(*v as u64 ^ (1 << 63)).to_be_bytes()),
        PhysicalValue::I128(v) => out.extend_from_slice(&(*v as u128 ^ (1 << 127)).to_be_bytes()),
        PhysicalValue::F32(v) => encode_float(f64::from(*v), out),
        PhysicalValue::F64(v) => encode_float(*v, out),
        PhysicalValue::Bytes(v) => {
            for byte in v {
                out.push(*byte);
                if *byte == 0 {
                    out.push(0xff);
                }
            }
            out.extend_from_slice(&[0, 0]);
        }
    }
}

fn encode_float(value: f64, out: &mut Vec<u8>) {
    // -0.0 = 0.0 in SQL.
    let bits = (value + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// A key given as values. None if a value does not fit its column: then no row has this key.
pub(crate) fn encode_key(def: &TableDef, key: &[Value]) -> Option<Box<[u8]>> {
    if key.len() != def.primary_key.len() {
        return None;
    }
    let mut out = Vec::with_capacity(key.len() * 10);
    for (id, value) in def.primary_key.iter().zip(key) {
        match value {
            Value::Null => out.push(0),
            value => encode_value(&value.to_physical(def.column(*id)?.ty)?, &mut out),
        }
    }
    Some(out.into_boxed_slice())
}

/// The value at a row of a column of this type.
pub(crate) fn value_at(array: &dyn Array, ty: SqlType, row: usize) -> Result<Value, StoreError> {
    if *array.data_type() != ty.arrow() {
        return Err(StoreError::internal(format_args!("a {ty} came as Arrow {}", array.data_type())));
    }
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    macro_rules! at {
        ($ty:ty) => {
            array.as_primitive::<$ty>().value(row)
        };
    }
    use dt::DataType as D;
    Ok(match (array.data_type(), ty) {
        (D::Int8, _) => Value::Int(at!(dt::Int8Type).into()),
        (D::Int16, _) => Value::Int(at!(dt::Int16Type).into()),
        (D::Int32, _) => Value::Int(at!(dt::Int32Type).into()),
        (D::Int64, _) => Value::Int(at!(dt::Int64Type)),
        (D::UInt8, _) => Value::UInt(at!(dt::UInt8Type).into()),
        (D::UInt16, _) => Value::UInt(at!(dt::UInt16Type).into()),
        (D::UInt32, _) => Value::UInt(at!(dt::UInt32Type).into()),
        (D::UInt64, _) => Value::UInt(at!(dt::UInt64Type)),
        (D::Decimal128(..), SqlType::Decimal { scale, .. }) => {
            Value::Decimal { unscaled: at!(dt::Decimal128Type), scale }
        }
        (D::Float32, _) => Value::Float(at!(dt::Float32Type)),
        (D::Float64, _) => Value::Double(at!(dt::Float64Type)),
        (D::Date32, _) => Value::Date(at!(dt::Date32Type)),
        (D::Duration(_), _) => Value::Time(at!(dt::DurationMicrosecondType)),
        (D::Timestamp(..), SqlType::Timestamp { .. }) => Value::Timestamp(at!(dt::TimestampMicrosecondType)),
        (D::Timestamp(..), _) => Value::DateTime(at!(dt::TimestampMicrosecondType)),
        (D::Utf8View, _) => Value::Text(array.as_string_view().value(row).to_string()),
        (D::BinaryView, _) => Value::Bytes(array.as_binary_view().value(row).to_vec()),
        (other, _) => return Err(StoreError::internal(format_args!("no value of Arrow {other}"))),
    })
}

/// The primary keys of the rows of a batch, as values and as bytes. None for a table without one.
pub(crate) struct Keys {
    pub(crate) values: Vec<Vec<Value>>,
    pub(crate) bytes: Vec<Box<[u8]>>,
    pub(crate) shown: ShownKeys,
}

/// The values of rows in a key as statements know them: a text in the place of its collation key.
#[derive(Debug)]
pub(crate) struct ShownKeys(Vec<(ArrayRef, SqlType)>);

impl ShownKeys {
    /// `batch`: all columns of the table.
    pub(crate) fn of(
        def: &TableDef,
        columns: &[ColumnId],
        batch: &RecordBatch,
    ) -> Result<ShownKeys, StoreError> {
        let shown = columns.iter().map(|id| {
            let id = def.shown_as(*id);
            let at = def.position(id).ok_or_else(|| crate::scan::unknown_column(def, id))?;
            Ok((batch.column(at).clone(), def.columns[at].ty))
        });
        shown.collect::<Result<_, _>>().map(ShownKeys)
    }

    /// The value of a row in an error message.
    pub(crate) fn text(&self, row: usize) -> String {
        let types: Vec<SqlType> = self.0.iter().map(|(_, ty)| *ty).collect();
        let values: Result<Vec<Value>, _> =
            self.0.iter().map(|(array, ty)| value_at(array.as_ref(), *ty, row)).collect();
        values.map(|values| key_text(&values, &types)).unwrap_or_default()
    }
}

impl Keys {
    pub(crate) fn of(def: &TableDef, batch: &RecordBatch) -> Result<Option<Keys>, StoreError> {
        if def.primary_key.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(def.primary_key.len());
        for id in &def.primary_key {
            let at = def.position(*id).ok_or_else(|| crate::scan::unknown_column(def, *id))?;
            columns.push((batch.column(at), def.columns[at].ty));
        }
        let mut keys = Keys {
            values: Vec::with_capacity(batch.num_rows()),
            bytes: Vec::with_capacity(batch.num_rows()),
            shown: ShownKeys::of(def, &def.primary_key, batch)?,
        };
        for row in 0..batch.num_rows() {
            let values = columns
                .iter()
                .map(|(array, ty)| value_at(array.as_ref(), *ty, row))
                .collect::<Result<Vec<_>, _>>()?;
            keys.bytes.push(encode_key(def, &values).ok_or_else(|| {
                StoreError::internal(format_args!("a key of table {} has an impossible value", def.name))
            })?);
            keys.values.push(values);
        }
        Ok(Some(keys))
    }
}

/// The key of a row; None in a table without one.
pub(crate) fn row_key(def: &TableDef, row: &Row) -> Result<Option<Box<[u8]>>, StoreError> {
    if def.primary_key.is_empty() {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(def.primary_key.len() * 10);
    for id in &def.primary_key {
        let value = row.layout.value(&row.bytes, *id).ok_or_else(|| crate::scan::unknown_column(def, *id))?;
        match value {
            Some(value) => encode_value(&value, &mut out),
            None => out.push(0),
        }
    }
    Ok(Some(out.into_boxed_slice()))
}

/// 64 bits of a key's bytes.
pub(crate) fn key_hash(key: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = key.len() as u64;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        // Invariant: chunks_exact gives eight bytes.
        hash = mix(hash ^ u64::from_le_bytes(word.try_into().expect("eight bytes"))).wrapping_mul(MULTIPLIER);
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(hash ^ u64::from_le_bytes(last))
}

const fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// A key as MySQL names it in an error: its values joined by '-'.
pub(crate) fn key_text(key: &[Value], types: &[SqlType]) -> String {
    let mut text = String::new();
    for (i, (value, ty)) in key.iter().zip(types).enumerate() {
        if i > 0 {
            text.push('-');
        }
        match value {
            Value::Null => text.push_str("NULL"),
            Value::Int(v) => text.push_str(&v.to_string()),
            Value::UInt(v) => text.push_str(&v.to_string()),
            Value::Decimal { unscaled, scale } => text.push_str(&decimal_text(*unscaled, *scale)),
            Value::Float(v) => text.push_str(&v.to_string()),
            Value::Double(v) => text.push_str(&v.to_string()),
            Value::Date(v) => text.push_str(&date_text(i64::from(*v))),
            Value::Time(v) => text.push_str(&time_text(*v, *ty)),
            Value::DateTime(v) | Value::Timestamp(v) => {
                let (days, micros) = (v.div_euclid(DAY_MICROS), v.rem_euclid(DAY_MICROS));
                text.push_str(&format!("{} {}", date_text(days), time_text(micros, *ty)));
            }
            Value::Text(v) => text.push_str(v),
            Value::Bytes(v) => text.push_str(&String::from_utf8_lossy(v)),
        }
    }
    text
}

const DAY_MICROS: i64 = 86_400_000_000;

fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The civil date of a number of days since 1970-01-01, counted in years that begin in March.
fn date_text(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_text(micros: i64, ty: SqlType) -> String {
    let digits = match ty {
        SqlType::Time { fsp } | SqlType::DateTime { fsp } | SqlType::Timestamp { fsp } => usize::from(fsp),
        _ => 0,
    };
    let (sign, micros) = if micros < 0 { ("-", micros.unsigned_abs()) } else { ("", micros as u64) };
    let seconds = micros / 1_000_000;
    let clock = format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if digits == 0 {
        return clock;
    }
    let fraction = format!("{:06}", micros % 1_000_000);
    format!("{clock}.{}", &fraction[..digits.min(6)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::row::{RowEncoder, RowLayout};
    use crate::testing;

    #[test]
    fn bytes_compare_like_values() {
        let groups: [Vec<PhysicalValue>; 3] = [
            [i64::MIN, -1, 0, 1, 256, i64::MAX].map(PhysicalValue::I64).to_vec(),
            [f64::NEG_INFINITY, -1.5, 0.0, 1e-9, 3.0, f64::INFINITY].map(PhysicalValue::F64).to_vec(),
            [&b""[..], b"\0", b"\0\0", b"\0\x01", b"a", b"a\0b", b"ab"]
                .map(|v| PhysicalValue::Bytes(v.to_vec()))
                .to_vec(),
        ];
        for group in groups {
            let bytes: Vec<Vec<u8>> = group
                .iter()
                .map(|v| {
                    let mut out = Vec::new();
                    encode_value(v, &mut out);
                    out.push(1);
                    out
                })
                .collect();
            assert!(bytes.is_sorted() && bytes.windows(2).all(|w| w[0] != w[1]), "{group:?}");
        }
    }

    #[test]
    fn keys_of_a_batch_and_of_values_agree() {
        let def = testing::wide_table();
        let batch = testing::wide_rows(&def, 50, 3);
        let keys = Keys::of(&def, &batch).unwrap().unwrap();
        for (values, bytes) in keys.values.iter().zip(&keys.bytes) {
            assert_eq!(encode_key(&def, values).as_ref(), Some(bytes));
        }
        let layout = std::sync::Arc::new(RowLayout::of(&def));
        let encoder = RowEncoder::new(&def, &layout, &batch).unwrap();
        for (i, bytes) in keys.bytes.iter().enumerate() {
            let row = Row { layout: layout.clone(), bytes: encoder.encode(i) };
            assert_eq!(row_key(&def, &row).unwrap().as_ref(), Some(bytes));
        }
        assert!(encode_key(&def, &[Value::Text("x".into())]).is_none());
    }

    #[test]
    fn key_texts_are_as_mysql_prints_them() {
        let text = |value: Value, ty: SqlType| key_text(&[value], &[ty]);
        let decimal = SqlType::Decimal { precision: 10, scale: 2 };
        assert_eq!(text(Value::Decimal { unscaled: -5, scale: 2 }, decimal), "-0.05");
        assert_eq!(text(Value::Date(11_016), SqlType::Date), "2000-02-29");
        assert_eq!(text(Value::Date(-1), SqlType::Date), "1969-12-31");
        let ty = SqlType::DateTime { fsp: 3 };
        assert_eq!(text(Value::DateTime(86_401_500_000), ty), "1970-01-02 00:00:01.500");
        assert_eq!(text(Value::Time(-3_600_000_000), SqlType::Time { fsp: 0 }), "-01:00:00");
        let types = [SqlType::Int { unsigned: false }, SqlType::VarChar(9)];
        assert_eq!(key_text(&[Value::Int(1), Value::Text("a".into())], &types), "1-a");
    }
}
