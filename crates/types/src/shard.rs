//! The shard hash: which partition a row belongs to. Storage, routing and shuffles all use this
//! one, and it never changes: the vectors in the tests are part of the on-disk format.
//!
//! It is defined on SQL values, not on their storage: an integer hashes alike in every integer
//! type, a decimal by its unscaled value and scale, a string by its bytes, a temporal value by its
//! number of days or microseconds. NULL is a value of its own. Several columns fold from the left:
//! `h = fold(h, value)`, starting at [`SEED`].
//!
//! The mixer is the 64-bit finalizer of MurmurHash3 (Appleby, public domain) with David Stafford's
//! "Mix13" constants; bytes are folded eight at a time, little-endian, the length last.

use crate::Value;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes as dt;
use arrow::datatypes::{DataType, TimeUnit};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const NULL: u64 = 0x6e75_6c6c;
const MULTIPLIER: u64 = 0xff51_afd7_ed55_8ccd;

#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[inline]
const fn fold(hash: u64, word: u64) -> u64 {
    mix(hash.wrapping_mul(MULTIPLIER) ^ word)
}

#[inline]
fn fold_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        // Invariant: chunks_exact gives eight bytes.
        hash = fold(hash, u64::from_le_bytes(word.try_into().expect("eight bytes")));
    }
    let mut last = [0u8; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    fold(fold(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

#[inline]
fn fold_decimal(hash: u64, unscaled: i128, scale: i8) -> u64 {
    fold(fold(fold(hash, unscaled as u64), (unscaled >> 64) as u64), scale as u64)
}

/// Hash of one row's shard key values.
pub fn hash_values(values: &[Value]) -> u64 {
    values.iter().fold(SEED, |hash, value| match value {
        Value::Null => fold(hash, NULL),
        Value::Int(v) | Value::Time(v) | Value::DateTime(v) | Value::Timestamp(v) => fold(hash, *v as u64),
        Value::UInt(v) => fold(hash, *v),
        Value::Date(v) => fold(hash, i64::from(*v) as u64),
        Value::Decimal { unscaled, scale } => fold_decimal(hash, *unscaled, *scale as i8),
        // -0.0 = 0.0 in SQL.
        Value::Float(v) => fold(hash, (f64::from(*v) + 0.0).to_bits()),
        Value::Double(v) => fold(hash, (v + 0.0).to_bits()),
        Value::Text(v) => fold_bytes(hash, v.as_bytes()),
        Value::Bytes(v) => fold_bytes(hash, v),
    })
}

/// Hashes of `rows` rows whose shard key values stand in `columns` (each of `rows` rows). A column
/// type that no table can have (a list, say) is an error.
pub fn hash_columns(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, String> {
    let mut hashes = vec![SEED; rows];
    for column in columns {
        fold_column(&mut hashes, column.as_ref())?;
    }
    Ok(hashes)
}

fn fold_column(hashes: &mut [u64], column: &dyn Array) -> Result<(), String> {
    macro_rules! primitive {
        ($ty:ty, $value:ident => $word:expr) => {{
            let array = column.as_primitive::<$ty>();
            if array.null_count() == 0 {
                for (hash, &$value) in hashes.iter_mut().zip(array.values()) {
                    *hash = fold(*hash, $word);
                }
            } else {
                for (hash, value) in hashes.iter_mut().zip(array.iter()) {
                    *hash = fold(
                        *hash,
                        match value {
                            Some($value) => $word,
                            None => NULL,
                        },
                    );
                }
            }
        }};
    }
    macro_rules! bytes {
        ($iter:expr) => {
            for (hash, value) in hashes.iter_mut().zip($iter) {
                *hash = match value {
                    Some(value) => fold_bytes(*hash, value.as_ref()),
                    None => fold(*hash, NULL),
                };
            }
        };
    }
    match column.data_type() {
        DataType::Boolean => {
            for (hash, value) in hashes.iter_mut().zip(column.as_boolean().iter()) {
                *hash = fold(*hash, value.map_or(NULL, u64::from));
            }
        }
        DataType::Int8 => primitive!(dt::Int8Type, v => i64::from(v) as u64),
        DataType::Int16 => primitive!(dt::Int16Type, v => i64::from(v) as u64),
        DataType::Int32 => primitive!(dt::Int32Type, v => i64::from(v) as u64),
        DataType::Int64 => primitive!(dt::Int64Type, v => v as u64),
        DataType::UInt8 => primitive!(dt::UInt8Type, v => u64::from(v)),
        DataType::UInt16 => primitive!(dt::UInt16Type, v => u64::from(v)),
        DataType::UInt32 => primitive!(dt::UInt32Type, v => u64::from(v)),
        DataType::UInt64 => primitive!(dt::UInt64Type, v => v),
        DataType::Date32 => primitive!(dt::Date32Type, v => i64::from(v) as u64),
        DataType::Float32 => primitive!(dt::Float32Type, v => (f64::from(v) + 0.0).to_bits()),
        DataType::Float64 => primitive!(dt::Float64Type, v => (v + 0.0).to_bits()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive!(dt::TimestampMicrosecondType, v => v as u64)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            primitive!(dt::DurationMicrosecondType, v => v as u64)
        }
        DataType::Decimal128(_, scale) => {
            for (hash, value) in hashes.iter_mut().zip(column.as_primitive::<dt::Decimal128Type>().iter()) {
                *hash = match value {
                    Some(value) => fold_decimal(*hash, value, *scale),
                    None => fold(*hash, NULL),
                };
            }
        }
        DataType::Utf8 => bytes!(column.as_string::<i32>().iter()),
        DataType::LargeUtf8 => bytes!(column.as_string::<i64>().iter()),
        DataType::Utf8View => bytes!(column.as_string_view().iter()),
        DataType::Binary => bytes!(column.as_binary::<i32>().iter()),
        DataType::LargeBinary => bytes!(column.as_binary::<i64>().iter()),
        DataType::BinaryView => bytes!(column.as_binary_view().iter()),
        DataType::Null => {
            for hash in hashes.iter_mut() {
                *hash = fold(*hash, NULL);
            }
        }
        other => return Err(format!("no shard hash is defined for {other}")),
    }
    Ok(())
}

/// Which of `partitions` equal ranges of the hash space holds `hash`: 0 to `partitions - 1`.
#[inline]
pub const fn ordinal(hash: u64, partitions: u32) -> u32 {
    ((hash as u128 * partitions as u128) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Int32Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    #[test]
    fn vectors_are_pinned() {
        assert_eq!(hash_values(&[Value::Int(1)]), 0x7ce0_8062_3cf5_2064);
        assert_eq!(hash_values(&[Value::Text("pando".into()), Value::Null]), 0xfcfb_0e93_f956_00f8);
    }

    #[test]
    fn columns_and_values_hash_alike() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringViewArray::from(vec!["a rather long string", ""])),
            Arc::new(Decimal128Array::from(vec![-5, 7]).with_precision_and_scale(15, 2).unwrap()),
        ];
        let expected = [
            hash_values(&[
                Value::Int(1),
                Value::Text("a rather long string".into()),
                Value::Decimal { unscaled: -5, scale: 2 },
            ]),
            hash_values(&[Value::Null, Value::Text(String::new()), Value::Decimal { unscaled: 7, scale: 2 }]),
        ];
        assert_eq!(hash_columns(&columns, 2).unwrap(), expected);
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![-1]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![-1]));
        assert_eq!(hash_columns(&[narrow], 1), hash_columns(&[wide], 1));
    }

    #[test]
    fn ordinals_cover_the_partitions_evenly() {
        for partitions in [1, 3, 8] {
            let mut counts = vec![0u32; partitions as usize];
            for key in 0..10_000 {
                counts[ordinal(hash_values(&[Value::Int(key)]), partitions) as usize] += 1;
            }
            let expected = 10_000 / partitions;
            assert!(counts.iter().all(|c| c.abs_diff(expected) < expected / 5), "{counts:?}");
        }
    }
}
