//! COMPRESS and its family: four bytes of length, the least first, then zlib's format. The empty text
//! stays empty.

use super::kernel::{Function, MAX_STRING, Nulls, Returns, build_binary, build_numbers, functions};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ScalarUDF;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read;
use std::sync::{Arc, LazyLock};

functions! {
    compress, "compress", Returns::Type(DataType::BinaryView), Propagate, |args| {
        let values = args.blobs(0)?;
        build_binary(args.rows, |row, out| {
            let Some(value) = values.get(row) else { return Ok(None) };
            if !value.is_empty() {
                out.extend_from_slice(&(value.len() as u32 & LENGTH_MASK).to_le_bytes());
                ZlibEncoder::new(value, Compression::default())
                    .read_to_end(out)
                    .map_err(|error| DataFusionError::External(Box::new(error)))?;
                // A blank at the end would be lost in a CHAR column.
                if out.last() == Some(&b' ') {
                    out.push(b'.');
                }
            }
            Ok(Some(()))
        })
    };
    uncompress, "uncompress", Returns::Type(DataType::BinaryView), Always, |args| {
        let values = args.blobs(0)?;
        build_binary(args.rows, |row, out| {
            let Some(value) = values.get(row) else { return Ok(None) };
            if value.is_empty() {
                return Ok(Some(()));
            }
            let (Some(length), Some(packed)) = (length_of(value), value.get(4..)) else { return Ok(None) };
            if length > MAX_STRING as u64 {
                return Ok(None);
            }
            // No more than it says is read, whatever the bytes would unpack to.
            let read = ZlibDecoder::new(packed).take(length + 1).read_to_end(out);
            Ok((read.is_ok() && out.len() as u64 == length).then_some(()))
        })
    };
    uncompressed_length, "uncompressed_length", Returns::Type(DataType::Int64), Propagate, |args| {
        let values = args.blobs(0)?;
        build_numbers::<Int64Type>(args, |row| {
            Ok(values.get(row).map(|value| length_of(value).unwrap_or(0) as i64))
        })
    };
}

/// The two top bits are not part of the length.
const LENGTH_MASK: u32 = 0x3fff_ffff;

fn length_of(value: &[u8]) -> Option<u64> {
    let bytes = <[u8; 4]>::try_from(value.get(..4)?).ok()?;
    Some(u64::from(u32::from_le_bytes(bytes) & LENGTH_MASK))
}
