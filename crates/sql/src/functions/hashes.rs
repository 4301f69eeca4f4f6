//! Digests and identifiers.

use super::kernel::{
    Arguments, Function, Nulls, Returns, build_binary, build_numbers, build_text, functions,
};
use super::text::write_hex;
use super::uuid::write_uuid;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

const TEXT: Returns = Returns::Type(DataType::Utf8View);

functions! {
    md5, "md5", TEXT, Propagate, |args| hex_of(args, |bytes, out| write_hex(out, &md5_digest(bytes), b'a'));
    sha1, "sha1", TEXT, Propagate, |args| hex_of(args, |bytes, out| write_hex(out, &Sha1::digest(bytes), b'a'));
    /// sha2(text or binary, bits)
    sha2, "sha2", TEXT, Always, |args| {
        let (values, bits) = (args.blobs(0)?, args.numbers::<Int64Type>(1)?);
        build_text(args.rows, |row, out| {
            let (Some(bytes), Some(bits)) = (values.get(row), bits.get(row)) else { return Ok(None) };
            match bits {
                224 => write_hex(out, &Sha224::digest(bytes), b'a'),
                0 | 256 => write_hex(out, &Sha256::digest(bytes), b'a'),
                384 => write_hex(out, &Sha384::digest(bytes), b'a'),
                512 => write_hex(out, &Sha512::digest(bytes), b'a'),
                _ => return Ok(None),
            }
            Ok(Some(()))
        })
    };
}

/// RANDOM_BYTES(n): that many bytes.
pub(crate) fn random_bytes() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::volatile_of("random_bytes", 1, Returns::Type(DataType::BinaryView), |args| {
            use rand::Rng;
            let lengths = args.numbers::<Int64Type>(0)?;
            let mut source = rand::rng();
            build_binary(args.rows, |row, out| {
                let Some(length) = lengths.get(row) else { return Ok(None) };
                if !(1..=1024).contains(&length) {
                    return Err(super::failure::raise(SqlError::new(
                        ErrorKind::NumericOverflow,
                        "length value is out of range in 'random_bytes'",
                    )));
                }
                out.resize(length as usize, 0);
                source.fill(out.as_mut_slice());
                Ok(Some(()))
            })
        })
        .udf()
    });
    Arc::clone(&UDF)
}

/// UUID(): random, version 4.
pub(crate) fn uuid() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::volatile("uuid", TEXT, |args| {
            use rand::Rng;
            let mut source = rand::rng();
            build_text(args.rows, |_, out| {
                let mut bytes = source.random::<u128>().to_be_bytes();
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                write_uuid(out, [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]]);
                Ok(Some(()))
            })
        })
        .udf()
    });
    Arc::clone(&UDF)
}

/// UUID_SHORT(): counted on from a random number of 40 bits, so that another process hardly has it.
pub(crate) fn uuid_short() -> Arc<ScalarUDF> {
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new((rand::random::<u64>() >> 24) << 24));
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let mut function = Function::volatile("uuid_short", Returns::Type(DataType::UInt64), |args| {
            let mut next = NEXT.fetch_add(args.rows as u64, Ordering::Relaxed);
            build_numbers::<UInt64Type>(args, |_| {
                next += 1;
                Ok(Some(next - 1))
            })
        });
        function.nulls = Nulls::Never;
        function.udf()
    });
    Arc::clone(&UDF)
}

fn hex_of(args: &Arguments<'_>, digest: impl Fn(&[u8], &mut String)) -> Result<ArrayRef> {
    let values = args.blobs(0)?;
    build_text(args.rows, |row, out| Ok(values.get(row).map(|bytes| digest(bytes, out))))
}

/// MD5 (RFC 1321).
fn md5_digest(bytes: &[u8]) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    static SINES: LazyLock<[u32; 64]> =
        LazyLock::new(|| std::array::from_fn(|i| (((i + 1) as f64).sin().abs() * 4_294_967_296.0) as u32));
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() < bytes.len() + 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let end = padded.len();
    padded[end - 8..].copy_from_slice(&(bytes.len() as u64).wrapping_mul(8).to_le_bytes());
    for block in padded.chunks_exact(64) {
        let word = |i: usize| {
            let at = i * 4;
            u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        };
        let [mut a, mut b, mut c, mut d] = state;
        for i in 0..64 {
            let (mix, at) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((d & b) | (!d & c), (5 * i + 1) % 16),
                2 => (b ^ c ^ d, (3 * i + 5) % 16),
                _ => (c ^ (b | !d), (7 * i) % 16),
            };
            let sum = a.wrapping_add(mix).wrapping_add(SINES[i]).wrapping_add(word(at));
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[i / 16][i % 4]));
        }
        for (part, value) in state.iter_mut().zip([a, b, c, d]) {
            *part = part.wrapping_add(value);
        }
    }
    let mut digest = [0; 16];
    for (bytes, part) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&part.to_le_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_of_known_texts() {
        for (text, expected) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let mut hex = String::new();
            write_hex(&mut hex, &md5_digest(text.as_bytes()), b'a');
            assert_eq!(hex, expected);
        }
        assert_eq!(md5_digest(&[b'a'; 56]).len(), 16);
    }
}
