//! UUIDs as text and as bytes.

use super::failure::raise;
use super::kernel::{Function, Nulls, Returns, build_binary, build_booleans, build_text, functions};
use super::text::write_hex;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

functions! {
    is_uuid, "is_uuid", Returns::Type(DataType::Boolean), Propagate, |args| {
        let texts = args.texts(0)?;
        build_booleans(args.rows, |row| Ok(texts.get(row).map(|text| read_uuid(text).is_some())))
    };
    /// uuid_to_bin(text, 1 to put the time first)
    uuid_to_bin, "uuid_to_bin", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let (texts, swaps) = (args.texts(0)?, args.numbers::<Int64Type>(1)?);
        build_binary(args.rows, |row, out| {
            let (Some(text), Some(swap)) = (texts.get(row), swaps.get(row)) else { return Ok(None) };
            let bytes = read_uuid(text).ok_or_else(|| wrong(text, "uuid_to_bin"))?;
            if swap == 0 {
                out.extend_from_slice(&bytes);
            } else {
                for part in [&bytes[6..8], &bytes[4..6], &bytes[..4], &bytes[8..]] {
                    out.extend_from_slice(part);
                }
            }
            Ok(Some(()))
        })
    };
    /// bin_to_uuid(16 bytes, 1 if the time stands first)
    bin_to_uuid, "bin_to_uuid", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let (values, swaps) = (args.blobs(0)?, args.numbers::<Int64Type>(1)?);
        build_text(args.rows, |row, out| {
            let (Some(value), Some(swap)) = (values.get(row), swaps.get(row)) else { return Ok(None) };
            let bytes = <[u8; 16]>::try_from(value).map_err(|_| {
                let mut hex = String::new();
                write_hex(&mut hex, value, b'A');
                wrong(&hex, "bin_to_uuid")
            })?;
            if swap == 0 {
                write_uuid(out, [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]]);
            } else {
                write_uuid(out, [&bytes[4..8], &bytes[2..4], &bytes[..2], &bytes[8..10], &bytes[10..]]);
            }
            Ok(Some(()))
        })
    };
}

fn wrong(value: &str, function: &str) -> DataFusionError {
    raise(SqlError::new(
        ErrorKind::WrongValueForFunction,
        format!("Incorrect string value: '{value}' for function {function}"),
    ))
}

/// Five groups of hexadecimal digits with hyphens between, 32 digits without, or the first in braces.
fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let digits = match text.len() {
        32 => text.to_string(),
        36 | 38 => {
            let inner = if text.len() == 38 { text.strip_prefix('{')?.strip_suffix('}')? } else { text };
            let groups: Vec<&str> = inner.split('-').collect();
            if groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]) {
                return None;
            }
            groups.concat()
        }
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

/// Groups of bytes with hyphens between.
pub(super) fn write_uuid(out: &mut String, groups: [&[u8]; 5]) {
    for (at, group) in groups.into_iter().enumerate() {
        if at > 0 {
            out.push('-');
        }
        write_hex(out, group, b'a');
    }
}
