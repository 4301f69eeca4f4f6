//! AES_ENCRYPT and AES_DECRYPT in the modes of `block_encryption_mode`: blocks by themselves (ECB) or chained (CBC),
//! with the last one padded (PKCS #7). A key of another length than the mode's is folded onto it.

use super::failure::raise;
use super::kernel::{Arguments, Blobs, Function, Nulls, Returns, build_binary, fits, functions};
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::common::{InnerInit, InnerIvInit};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use std::sync::{Arc, LazyLock};
use types::{ErrorKind, SqlError};

const BINARY: Returns = Returns::Type(DataType::BinaryView);

functions! {
    /// aes_encrypt(text or binary, key, mode [, initialization vector])
    aes_encrypt, "aes_encrypt", BINARY, Always, |args| crypt(args, Way::Encrypt);
    /// aes_decrypt(text or binary, key, mode [, initialization vector]): NULL for what cannot be decrypted.
    aes_decrypt, "aes_decrypt", BINARY, Always, |args| crypt(args, Way::Decrypt);
}

/// Bytes of a block, and of an initialization vector.
pub(crate) const BLOCK: usize = 16;

/// How blocks are encrypted: a value of `block_encryption_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    key_bits: u16,
    /// Each block is mixed with the one before, the first with an initialization vector.
    pub(crate) chained: bool,
}

impl Mode {
    pub(crate) fn of(name: &str) -> Option<Mode> {
        let (key_bits, mode) = name.strip_prefix("aes-")?.split_once('-')?;
        let key_bits = key_bits.parse().ok().filter(|bits| matches!(bits, 128 | 192 | 256))?;
        let chained = match mode {
            "ecb" => false,
            "cbc" => true,
            _ => return None,
        };
        Some(Mode { key_bits, chained })
    }
}

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Encrypt => "aes_encrypt",
            Way::Decrypt => "aes_decrypt",
        }
    }
}

fn crypt(args: &Arguments<'_>, way: Way) -> Result<ArrayRef> {
    let mode = args.texts(2)?.constant().flatten().and_then(Mode::of);
    let mode = mode.ok_or_else(|| DataFusionError::Internal("encryption in a mode that is none".into()))?;
    match mode.key_bits {
        128 => crypt_by::<aes::Aes128>(args, mode.chained, way),
        192 => crypt_by::<aes::Aes192>(args, mode.chained, way),
        _ => crypt_by::<aes::Aes256>(args, mode.chained, way),
    }
}

/// The cipher of the last row's key: most calls have one key for all rows.
struct Keyed<C> {
    key: Vec<u8>,
    cipher: Option<C>,
}

impl<C: KeyInit> Keyed<C> {
    fn of(&mut self, key: &[u8]) -> &C {
        if self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.cipher = None;
        }
        self.cipher.get_or_insert_with(|| {
            let mut folded = aes::cipher::Key::<C>::default();
            let length = folded.len();
            for (at, byte) in key.iter().enumerate() {
                folded[at % length] ^= byte;
            }
            C::new(&folded)
        })
    }
}

fn crypt_by<C>(args: &Arguments<'_>, chained: bool, way: Way) -> Result<ArrayRef>
where
    C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt,
{
    let (values, keys) = (args.blobs(0)?, args.blobs(1)?);
    let vectors = match chained {
        true => args.blobs(3)?,
        false => Blobs::One(None),
    };
    let mut keyed = Keyed { key: Vec::new(), cipher: None };
    build_binary(args.rows, |row, out| {
        let (Some(value), Some(key)) = (values.get(row), keys.get(row)) else { return Ok(None) };
        let cipher: &C = keyed.of(key);
        let vector = match vectors.get(row).and_then(|vector| vector.get(..BLOCK)) {
            Some(vector) => vector,
            None if chained => return Err(raise(short_vector(way))),
            None => &[],
        };
        match way {
            Way::Encrypt => {
                fits(way.name(), value.len(), BLOCK)?;
                out.resize((value.len() / BLOCK + 1) * BLOCK, 0);
                let written = if chained {
                    let mode = cbc::Encryptor::inner_iv_slice_init(cipher, vector).map_err(internal)?;
                    mode.encrypt_padded_b2b::<Pkcs7>(value, out).map_err(internal)?.len()
                } else {
                    let mode = ecb::Encryptor::inner_init(cipher);
                    mode.encrypt_padded_b2b::<Pkcs7>(value, out).map_err(internal)?.len()
                };
                out.truncate(written);
                Ok(Some(()))
            }
            Way::Decrypt => {
                out.resize(value.len(), 0);
                let plain = if chained {
                    let mode = cbc::Decryptor::inner_iv_slice_init(cipher, vector).map_err(internal)?;
                    mode.decrypt_padded_b2b::<Pkcs7>(value, out).map(<[u8]>::len)
                } else {
                    ecb::Decryptor::inner_init(cipher)
                        .decrypt_padded_b2b::<Pkcs7>(value, out)
                        .map(<[u8]>::len)
                };
                Ok(plain.ok().map(|length| out.truncate(length)))
            }
        }
    })
}

/// 1882.
fn short_vector(way: Way) -> SqlError {
    SqlError::new(
        ErrorKind::ShortInitializationVector,
        format!(
            "The initialization vector supplied to {} is too short. Must be at least {BLOCK} bytes long",
            way.name()
        ),
    )
}

/// Lengths are right by what is above.
fn internal(error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Internal(format!("encryption failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::ColumnarValue;

    fn run(way: Way, value: &[u8], key: &[u8], mode: &str, vector: &[u8]) -> Option<Vec<u8>> {
        let bytes = |bytes: &[u8]| ColumnarValue::Scalar(ScalarValue::BinaryView(Some(bytes.to_vec())));
        let mode = ColumnarValue::Scalar(ScalarValue::Utf8View(Some(mode.to_string())));
        let values = [bytes(value), bytes(key), mode, bytes(vector)];
        let array = crypt(&Arguments::of(&values, 1, &DataType::BinaryView), way).unwrap();
        let array = array.as_binary_view();
        array.is_valid(0).then(|| array.value(0).to_vec())
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// NIST SP 800-38A, F.1 and F.2: the first block of each.
    #[test]
    fn known_answers() {
        let plain = hex("6bc1bee22e409f96e93d7e117393172a");
        let vector = hex("000102030405060708090a0b0c0d0e0f");
        for (mode, key, expected) in [
            ("aes-128-ecb", "2b7e151628aed2a6abf7158809cf4f3c", "3ad77bb40d7a3660a89ecaf32466ef97"),
            (
                "aes-192-ecb",
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "bd334f1d6e45f25ff712a214571fa5cc",
            ),
            (
                "aes-256-ecb",
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f3eed1bdb5d2a03c064b5a7e3db181f8",
            ),
            ("aes-128-cbc", "2b7e151628aed2a6abf7158809cf4f3c", "7649abac8119b246cee98e9b12e9197d"),
            (
                "aes-192-cbc",
                "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
                "4f021db243bc633d7178183a9fa071e8",
            ),
            (
                "aes-256-cbc",
                "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6",
            ),
        ] {
            let encrypted = run(Way::Encrypt, &plain, &hex(key), mode, &vector).unwrap();
            assert_eq!(encrypted.len(), 2 * BLOCK, "a whole block of padding follows");
            assert_eq!(encrypted[..BLOCK], hex(expected), "{mode}");
            assert_eq!(run(Way::Decrypt, &encrypted, &hex(key), mode, &vector), Some(plain.clone()));
            assert_eq!(run(Way::Decrypt, &encrypted[1..], &hex(key), mode, &vector), None);
            assert_eq!(run(Way::Decrypt, b"", &hex(key), mode, &vector), None);
        }
    }

    #[test]
    fn keys_are_folded() {
        let mut long = vec![7; 40];
        let folded = run(Way::Encrypt, b"abc", &long, "aes-128-ecb", b"");
        // Bytes 0 to 7 are met three times, the others twice.
        let mut short = vec![0; 16];
        short[..8].fill(7);
        assert_eq!(folded, run(Way::Encrypt, b"abc", &short, "aes-128-ecb", b""));
        long.push(1);
        assert_ne!(folded, run(Way::Encrypt, b"abc", &long, "aes-128-ecb", b""));
    }

    #[test]
    fn modes() {
        assert_eq!(Mode::of("aes-192-cbc"), Some(Mode { key_bits: 192, chained: true }));
        for name in ["", "aes-64-ecb", "aes-128", "aes-128-ofb", "des-128-ecb"] {
            assert_eq!(Mode::of(name), None, "{name}");
        }
    }
}
