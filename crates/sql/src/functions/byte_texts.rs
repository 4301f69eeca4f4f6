//! Bytes as texts of as many characters and back: so the functions of texts work on bytes, too.

use super::kernel::{Function, Nulls, Returns, build_binary, build_text, functions};
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};

functions! {
    /// bytes_as_text(text or binary): each byte is the character of its number.
    bytes_as_text, "bytes_as_text", Returns::Type(DataType::Utf8View), Propagate, |args| {
        let values = args.blobs(0)?;
        build_text(args.rows, |row, out| {
            Ok(values.get(row).map(|bytes| out.extend(bytes.iter().copied().map(char::from))))
        })
    };
    /// text_as_bytes(text), of a text that was made of bytes.
    text_as_bytes, "text_as_bytes", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let values = args.texts(0)?;
        build_binary(args.rows, |row, out| {
            let Some(text) = values.get(row) else { return Ok(None) };
            for character in text.chars() {
                let byte = u8::try_from(character).map_err(|_| {
                    DataFusionError::Internal(format!("'{character}' was not made of a byte"))
                })?;
                out.push(byte);
            }
            Ok(Some(()))
        })
    };
}
