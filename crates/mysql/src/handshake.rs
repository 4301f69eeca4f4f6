//! The packets before the first command: the server's greeting, the client's wish for TLS, and its
//! answer. The packet of COM_CHANGE_USER, which says the same again, is here too.

use crate::auth::Nonce;
use crate::packet::compression::{Compression, ZSTD_LEVELS};
use crate::packet::reader::{FieldReader, Malformed};
use crate::packet::writer::{put_null_terminated, put_u16, put_u32};
use crate::protocol::{Capabilities, StatusFlags, charset};

const PROTOCOL_VERSION: u8 = 10;
/// The length of an SSLRequest: the first four fields of an answer.
const SSL_REQUEST: usize = 32;
/// The level of zstd for a client that names none.
const ZSTD_LEVEL: i32 = 3;

/// Writes the greeting, "Handshake v10".
pub(crate) fn put_greeting(
    out: &mut Vec<u8>,
    version: &str,
    connection: u32,
    nonce: &Nonce,
    plugin: &str,
    offered: Capabilities,
) {
    let offered = offered.bits();
    let (first, second) = nonce.bytes().split_at(8);
    out.push(PROTOCOL_VERSION);
    put_null_terminated(out, version.as_bytes());
    put_u32(out, connection);
    put_null_terminated(out, first);
    put_u16(out, offered as u16);
    out.push(charset::UTF8MB4_0900_AI_CI as u8);
    put_u16(out, StatusFlags::AUTOCOMMIT.bits());
    put_u16(out, (offered >> 16) as u16);
    out.push(nonce.bytes().len() as u8 + 1);
    out.extend_from_slice(&[0; 10]);
    put_null_terminated(out, second);
    put_null_terminated(out, plugin.as_bytes());
}

/// Whether the client asks for TLS before it says anything of itself.
pub(crate) fn is_ssl_request(payload: &[u8]) -> bool {
    let capabilities = FieldReader::new(payload).u32().map_or(Capabilities::empty(), Capabilities::from_bits);
    payload.len() == SSL_REQUEST && capabilities.contains(Capabilities::SSL)
}

/// What a client says of itself when it logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// What both sides can do.
    pub capabilities: Capabilities,
    pub collation: u16,
    pub user: String,
    /// The first answer to the nonce.
    pub response: Vec<u8>,
    pub database: Option<String>,
    /// The authentication method that made `response`; without a name it is the native one.
    pub plugin: Option<String>,
    pub attributes: Vec<(String, String)>,
    /// The level of zstd, if the client names one.
    zstd_level: Option<u8>,
}

impl Introduction {
    /// The client's answer to the greeting, "HandshakeResponse41".
    pub fn parse(payload: &[u8], offered: Capabilities) -> Result<Introduction, Malformed> {
        let mut r = FieldReader::new(payload);
        let capabilities = Capabilities::from_bits(r.u32()?).intersection(offered);
        if !capabilities.contains(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
            return Err(Malformed);
        }
        let _largest_packet = r.u32()?;
        let collation = u16::from(r.u8()?);
        r.bytes(23)?;
        let user = text(r.null_terminated()?)?;
        let response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            r.lenenc_bytes()?
        } else {
            let len = usize::from(r.u8()?);
            r.bytes(len)?
        };
        let database = match capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            true => named(r.null_terminated_or_rest())?,
            false => None,
        };
        let mut answer = Introduction {
            capabilities,
            collation,
            user,
            response: response.to_vec(),
            database,
            plugin: None,
            attributes: Vec::new(),
            zstd_level: None,
        };
        answer.read_tail(&mut r)?;
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION) && !r.is_empty() {
            answer.zstd_level = Some(r.u8()?);
        }
        Ok(answer)
    }

    /// How the connection is compressed after login. A client that can do both gets zlib, as in MySQL.
    pub fn compression(&self) -> Option<Compression> {
        if self.capabilities.contains(Capabilities::COMPRESS) {
            return Some(Compression::Zlib);
        }
        let level = self.zstd_level.map_or(ZSTD_LEVEL, i32::from);
        let level = if ZSTD_LEVELS.contains(&level) { level } else { ZSTD_LEVEL };
        self.capabilities.contains(Capabilities::ZSTD_COMPRESSION).then_some(Compression::Zstd { level })
    }

    /// The payload of COM_CHANGE_USER behind its command byte; `capabilities` and `collation` are
    /// those that the connection has.
    pub fn parse_change_user(
        payload: &[u8],
        capabilities: Capabilities,
        collation: u16,
    ) -> Result<Introduction, Malformed> {
        let mut r = FieldReader::new(payload);
        let user = text(r.null_terminated()?)?;
        let len = usize::from(r.u8()?);
        let response = r.bytes(len)?.to_vec();
        let database = named(r.null_terminated()?)?;
        let collation = if r.is_empty() { collation } else { r.u16()? };
        let mut answer = Introduction {
            capabilities,
            collation,
            user,
            response,
            database,
            plugin: None,
            attributes: Vec::new(),
            zstd_level: None,
        };
        answer.read_tail(&mut r)?;
        Ok(answer)
    }

    fn read_tail(&mut self, r: &mut FieldReader<'_>) -> Result<(), Malformed> {
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) && !r.is_empty() {
            self.plugin = named(r.null_terminated_or_rest())?;
        }
        if self.capabilities.contains(Capabilities::CONNECT_ATTRS) && !r.is_empty() {
            let mut pairs = FieldReader::new(r.lenenc_bytes()?);
            while !pairs.is_empty() {
                let key = String::from_utf8_lossy(pairs.lenenc_bytes()?).into_owned();
                let value = String::from_utf8_lossy(pairs.lenenc_bytes()?).into_owned();
                self.attributes.push((key, value));
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

fn named(bytes: &[u8]) -> Result<Option<String>, Malformed> {
    Ok(Some(text(bytes)?).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn greeting_bytes() {
        let mut out = Vec::new();
        let nonce = Nonce::from_bytes(*b"abcdefghijklmnopqrst");
        let offered = Capabilities::OFFERED | Capabilities::SSL;
        put_greeting(&mut out, "8.0.36-Pando", 0x0102_0304, &nonce, "caching_sha2_password", offered);
        let expected: &[&[u8]] = &[
            b"\x0a8.0.36-Pando\0",
            b"\x04\x03\x02\x01",
            b"abcdefgh\0",
            b"\xaf\xae",
            b"\xff",
            b"\x02\0",
            b"\xbf\x0d",
            b"\x15",
            &[0; 10],
            b"ijklmnopqrst\0",
            b"caching_sha2_password\0",
        ];
        assert_eq!(out, expected.concat());
    }

    fn answer_bytes() -> Vec<u8> {
        let capabilities = Capabilities::OFFERED.bits() & !Capabilities::INTERACTIVE.bits();
        let mut bytes = capabilities.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 1, 45]);
        bytes.extend_from_slice(&[0; 23]);
        bytes.extend_from_slice(b"anna\0\x03xyzshop\0mysql_native_password\0");
        bytes.extend_from_slice(b"\x10\x04_pid\x0212\x01k\x05value");
        bytes.push(7);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Introduction, Malformed> {
        Introduction::parse(bytes, Capabilities::OFFERED)
    }

    #[test]
    fn answer_with_everything() {
        let answer = parse(&answer_bytes()).unwrap();
        assert_eq!(answer.user, "anna");
        assert_eq!(answer.collation, 45);
        assert_eq!(answer.response, b"xyz");
        assert_eq!(answer.database.as_deref(), Some("shop"));
        assert_eq!(answer.plugin.as_deref(), Some("mysql_native_password"));
        assert_eq!(answer.attributes, [("_pid".into(), "12".into()), ("k".into(), "value".into())]);
        assert!(!answer.capabilities.contains(Capabilities::INTERACTIVE));
        assert_eq!(answer.compression(), Some(Compression::Zlib));
        let without = |flags: Capabilities| {
            let mut bytes = answer_bytes();
            let capabilities = Capabilities::OFFERED.bits() & !flags.bits();
            bytes[..4].copy_from_slice(&capabilities.to_le_bytes());
            parse(&bytes).unwrap().compression()
        };
        assert_eq!(without(Capabilities::COMPRESS), Some(Compression::Zstd { level: 7 }));
        assert_eq!(without(Capabilities::COMPRESS | Capabilities::ZSTD_COMPRESSION), None);
    }

    #[test]
    fn ssl_request() {
        let mut bytes = (Capabilities::OFFERED | Capabilities::SSL).bits().to_le_bytes().to_vec();
        bytes.resize(SSL_REQUEST, 0);
        assert!(is_ssl_request(&bytes));
        assert!(!is_ssl_request(&bytes[1..]) && !is_ssl_request(&[0; SSL_REQUEST]) && !is_ssl_request(b""));
    }

    #[test]
    fn no_prefix_of_an_answer_panics_and_old_protocols_are_refused() {
        let bytes = answer_bytes();
        for end in 0..bytes.len() {
            // Some prefixes are answers of their own: the tail is optional.
            let _ = parse(&bytes[..end]);
        }
        assert_eq!(parse(&[0; 64]), Err(Malformed));
    }

    #[test]
    fn change_user() {
        let all = Capabilities::OFFERED;
        let answer =
            Introduction::parse_change_user(b"bob\0\x02ab\0\x2e\0caching_sha2_password\0\0", all, 255)
                .unwrap();
        assert_eq!(answer.user, "bob");
        assert_eq!(answer.response, b"ab");
        assert_eq!(answer.database, None);
        assert_eq!(answer.collation, 46);
        assert_eq!(answer.plugin.as_deref(), Some("caching_sha2_password"));
        let short = Introduction::parse_change_user(b"bob\0\0db\0", all, 255).unwrap();
        assert_eq!((short.database.as_deref(), short.collation), (Some("db"), 255));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), fix: bool) {
            if fix && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&Capabilities::OFFERED.bits().to_le_bytes());
            }
            let _ = parse(&bytes);
            is_ssl_request(&bytes);
            let _ = Introduction::parse_change_user(&bytes, Capabilities::OFFERED, 45);
        }
    }
}
