//! Functions of bytes: digests, encryption, UUIDs, compression, addresses of the Internet.

use super::binder::Binder;
use super::calls::Args;
use super::context::VariableScope;
use crate::analyzer::fold::call;
use crate::analyzer::typed::{BIGINT, BIGINT_UNSIGNED, text_type};
use crate::analyzer::{Family, Typed};
use crate::functions::encryption::{BLOCK, Mode};
use crate::functions::{compress, encryption, hashes, math, network, uuid, warnings};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;
use types::sql_type::LobSize;
use types::{ErrorKind, SqlError, SqlType, Value};

/// MySQL's default of block_encryption_mode.
const DEFAULT_MODE: &str = "aes-128-ecb";

impl Binder<'_> {
    pub(super) fn bytes_call(&mut self, args: Args) -> Result<Result<Typed, Args>, SqlError> {
        let rules = self.rules.clone();
        match args.name.as_str() {
            "MD5" => self.of_bytes(hashes::md5(), args, SqlType::VarChar(32)),
            "SHA" | "SHA1" => self.of_bytes(hashes::sha1(), args, SqlType::VarChar(40)),
            "SHA2" => {
                let [value, bits] = args.exactly()?;
                let values = vec![rules.string(value)?, rules.signed(bits)?];
                self.kernel(hashes::sha2(), values, SqlType::VarChar(128))
            }
            "AES_ENCRYPT" | "AES_DECRYPT" => self.encryption(args).map(Ok),
            "CRC32" => self.of_bytes(math::crc32(), args, BIGINT),
            "RANDOM_BYTES" => {
                let [length] = args.exactly()?;
                self.kernel(hashes::random_bytes(), vec![rules.signed(length)?], SqlType::VarBinary(1024))
            }
            "UUID" => {
                args.count(0, 0)?;
                self.kernel(hashes::uuid(), Vec::new(), SqlType::VarChar(36))
            }
            "UUID_SHORT" => {
                args.count(0, 0)?;
                self.kernel(hashes::uuid_short(), Vec::new(), BIGINT_UNSIGNED)
            }
            "IS_UUID" => {
                let [value] = args.exactly()?;
                self.kernel(uuid::is_uuid(), vec![rules.text(value)?], BIGINT)
            }
            "UUID_TO_BIN" => {
                args.count(1, 2)?;
                let value = rules.text(args.or(0, Typed::null()))?;
                let swap = rules.signed(args.or(1, Typed::int(0)))?;
                self.kernel(uuid::uuid_to_bin(), vec![value, swap], SqlType::VarBinary(16))
            }
            "BIN_TO_UUID" => {
                args.count(1, 2)?;
                let value = rules.string(args.or(0, Typed::null()))?;
                let swap = rules.signed(args.or(1, Typed::int(0)))?;
                self.kernel(uuid::bin_to_uuid(), vec![value, swap], SqlType::VarChar(36))
            }
            "COMPRESS" => self.of_bytes(compress::compress(), args, SqlType::Blob(LobSize::Long)),
            "UNCOMPRESS" => self.of_bytes(compress::uncompress(), args, SqlType::Blob(LobSize::Long)),
            "UNCOMPRESSED_LENGTH" => self.of_bytes(compress::uncompressed_length(), args, BIGINT),
            "INET_ATON" => {
                let [value] = args.exactly()?;
                self.kernel(network::inet_aton(), vec![rules.text(value)?], BIGINT)
            }
            "INET_NTOA" => {
                let [value] = args.exactly()?;
                self.kernel(network::inet_ntoa(), vec![rules.signed(value)?], text_type(15))
            }
            "INET6_ATON" => {
                let [value] = args.exactly()?;
                self.kernel(network::inet6_aton(), vec![rules.text(value)?], SqlType::VarBinary(16))
            }
            "INET6_NTOA" => self.of_bytes(network::inet6_ntoa(), args, text_type(39)),
            "IS_IPV4" => {
                let [value] = args.exactly()?;
                self.kernel(network::is_ipv4(), vec![rules.text(value)?], BIGINT)
            }
            "IS_IPV6" => {
                let [value] = args.exactly()?;
                self.kernel(network::is_ipv6(), vec![rules.text(value)?], BIGINT)
            }
            "IS_IPV4_COMPAT" => self.of_bytes(network::is_ipv4_compat(), args, BIGINT),
            "IS_IPV4_MAPPED" => self.of_bytes(network::is_ipv4_mapped(), args, BIGINT),
            _ => Ok(Err(args)),
        }
    }

    /// AES_ENCRYPT and AES_DECRYPT, in the session's block_encryption_mode.
    fn encryption(&mut self, args: Args) -> Result<Typed, SqlError> {
        args.count(2, 6)?;
        if args.len() > 3 {
            return Err(SqlError::unsupported(format_args!("{} with a key derivation function", args.name)));
        }
        let name = match self.ctx.session.variables.system(VariableScope::Any, "block_encryption_mode") {
            Ok(Value::Text(name)) => name,
            _ => DEFAULT_MODE.to_string(),
        };
        let mode = Mode::of(&name)
            .ok_or_else(|| SqlError::unsupported(format_args!("block_encryption_mode = '{name}'")))?;
        if mode.chained {
            args.count(3, 3)?;
        } else if args.len() == 3 {
            warnings::warn(ErrorKind::OptionIgnored, || "<IV> option ignored".to_string());
        }
        let value = self.rules.string(args.or(0, Typed::null()))?;
        let key = self.rules.string(args.or(1, Typed::null()))?;
        let bytes = match value.family() {
            Family::Text => value.characters().saturating_mul(4),
            _ => value.characters(),
        };
        let (udf, bytes) = match args.name.as_str() {
            "AES_ENCRYPT" => {
                (encryption::aes_encrypt(), (bytes / BLOCK as u64 + 1).saturating_mul(BLOCK as u64))
            }
            _ => (encryption::aes_decrypt(), bytes),
        };
        let ty = match u32::try_from(bytes) {
            Ok(bytes @ ..=65_535) => SqlType::VarBinary(bytes),
            _ => SqlType::Blob(LobSize::Long),
        };
        let mut values = vec![value, key, Typed::text(name)];
        if mode.chained {
            values.push(self.rules.string(args.or(2, Typed::null()))?);
        }
        call(udf, values, ty)
    }

    /// A function of one text or binary value.
    fn of_bytes(
        &mut self,
        udf: Arc<ScalarUDF>,
        args: Args,
        ty: SqlType,
    ) -> Result<Result<Typed, Args>, SqlError> {
        let [value] = args.exactly()?;
        let value = self.rules.string(value)?;
        self.kernel(udf, vec![value], ty)
    }
}
