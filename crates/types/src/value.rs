//! One SQL value outside of a column: a constant in a predicate, a parameter, a key.

use crate::{Physical, SqlType};
use serde::{Deserialize, Serialize};

/// Temporal values are numbers in the unit of their Arrow type (see [`crate::sql_type`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    /// Every signed integer type.
    Int(i64),
    /// Every unsigned integer type, YEAR.
    UInt(u64),
    /// `unscaled / 10^scale`.
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Float(f32),
    Double(f64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds, negative before midnight.
    Time(i64),
    /// Microseconds since 1970-01-01 00:00:00, no zone.
    DateTime(i64),
    /// Microseconds since 1970-01-01 00:00:00 UTC.
    Timestamp(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A value as storage holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum PhysicalValue {
    I64(i64),
    I128(i128),
    F32(f32),
    F64(f64),
    Bytes(Vec<u8>),
}

/// Maps an unsigned 64-bit integer to a signed one so that the order is kept; its own inverse up to
/// the cast.
pub const fn flip_u64(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

/// Inverse of [`flip_u64`].
pub const fn unflip_u64(value: i64) -> u64 {
    value as u64 ^ (1 << 63)
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// This value as a column of type `ty` stores it. `None` for NULL and for a value that is not of
    /// that type's family or does not fit it exactly: convert first, by MySQL's rules (crate `sql`).
    pub fn to_physical(&self, ty: SqlType) -> Option<PhysicalValue> {
        Some(match (ty.physical(), self) {
            (Physical::F32, Value::Float(v)) => PhysicalValue::F32(*v),
            (Physical::F64, Value::Double(v)) => PhysicalValue::F64(*v),
            (Physical::F64, Value::Float(v)) => PhysicalValue::F64(f64::from(*v)),
            (Physical::Bytes, Value::Text(v)) => PhysicalValue::Bytes(v.clone().into_bytes()),
            (Physical::Bytes, Value::Bytes(v)) => PhysicalValue::Bytes(v.clone()),
            (Physical::I64 | Physical::I128, _) => {
                let wide = self.to_i128(ty)?;
                match ty.physical() {
                    Physical::I128 => PhysicalValue::I128(wide),
                    _ if ty.is_flipped() => PhysicalValue::I64(flip_u64(u64::try_from(wide).ok()?)),
                    _ => PhysicalValue::I64(i64::try_from(wide).ok()?),
                }
            }
            _ => return None,
        })
    }

    fn to_i128(&self, ty: SqlType) -> Option<i128> {
        let integer = match *self {
            Value::Int(v) => Some(i128::from(v)),
            Value::UInt(v) => Some(i128::from(v)),
            _ => None,
        };
        match ty {
            SqlType::Decimal { scale, .. } => {
                let (unscaled, from) = match *self {
                    Value::Decimal { unscaled, scale } => (unscaled, scale),
                    _ => (integer?, 0),
                };
                if from <= scale {
                    unscaled.checked_mul(10i128.checked_pow(u32::from(scale - from))?)
                } else {
                    let divisor = 10i128.checked_pow(u32::from(from - scale))?;
                    (unscaled % divisor == 0).then_some(unscaled / divisor)
                }
            }
            SqlType::Date => match *self {
                Value::Date(v) => Some(i128::from(v)),
                _ => None,
            },
            SqlType::Time { .. } => match *self {
                Value::Time(v) => Some(i128::from(v)),
                _ => None,
            },
            SqlType::DateTime { .. } => match *self {
                Value::DateTime(v) => Some(i128::from(v)),
                Value::Date(v) => Some(i128::from(v) * 86_400_000_000),
                _ => None,
            },
            SqlType::Timestamp { .. } => match *self {
                Value::Timestamp(v) => Some(i128::from(v)),
                _ => None,
            },
            _ => {
                let (low, high) = ty.integer_range()?;
                integer.filter(|v| (low..=high).contains(v))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_form_keeps_order_and_refuses_what_does_not_fit() {
        assert!(flip_u64(3) < flip_u64(u64::MAX));
        assert_eq!(unflip_u64(flip_u64(u64::MAX)), u64::MAX);
        let decimal = SqlType::Decimal { precision: 15, scale: 2 };
        assert_eq!(Value::Int(7).to_physical(decimal), Some(PhysicalValue::I64(700)));
        assert_eq!(Value::Decimal { unscaled: 1234, scale: 3 }.to_physical(decimal), None);
        assert_eq!(Value::Int(300).to_physical(SqlType::TinyInt { unsigned: false }), None);
    }
}
