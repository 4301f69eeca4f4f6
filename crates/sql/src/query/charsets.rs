//! Character sets in expressions: introducers, CONVERT .. USING, and CAST to CHAR of a character set.
//!
//! Texts are utf8mb4 and nothing else; to bytes and back is all there is to convert.

use super::binder::Binder;
use super::literals::{bit_literal, cast_target, hex_literal};
use crate::analyzer::Typed;
use crate::analyzer::convert::CastTarget;
use crate::charset::{Known, known};
use datafusion::common::ScalarValue;
use sqlparser::ast;
use types::{ErrorKind, SqlError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    Text,
    Binary,
}

/// Errors: 1115, and 1235 for one that MySQL has and we have not.
fn charset(name: &str) -> Result<Charset, SqlError> {
    if name.eq_ignore_ascii_case("binary") {
        return Ok(Charset::Binary);
    }
    match known(name) {
        Known::Utf8 => Ok(Charset::Text),
        Known::Other => {
            Err(SqlError::unsupported(format_args!("CONVERT to the character set {name}: texts are utf8mb4")))
        }
        Known::No => {
            Err(SqlError::new(ErrorKind::UnknownCharacterSet, format!("Unknown character set: '{name}'")))
        }
    }
}

impl Binder<'_> {
    /// `CONVERT(value USING charset)`
    pub(super) fn convert_using(&mut self, value: Typed, name: &str) -> Result<Typed, SqlError> {
        match charset(name)? {
            Charset::Text => self.rules.text(value),
            Charset::Binary => self.rules.binary(value),
        }
    }

    /// `CAST(value AS type CHARACTER SET charset)`
    pub(super) fn cast_of_charset(
        &mut self,
        value: Typed,
        data_type: &ast::DataType,
        name: &str,
    ) -> Result<Typed, SqlError> {
        let CastTarget::Char(length) = cast_target(data_type)? else {
            return Err(SqlError::new(
                ErrorKind::ParseError,
                format!("{data_type} has no character set; CHAR has one"),
            ));
        };
        match charset(name)? {
            Charset::Text => self.rules.cast(value, CastTarget::Char(length)),
            Charset::Binary => self.rules.cast(value, CastTarget::Binary(length)),
        }
    }
}

/// `_charset X'41'`: the bytes of the literal, as text of that character set. Error: 1300 if they are none.
pub(super) fn introduced(prefix: &ast::Ident, literal: &ast::Expr) -> Result<Typed, SqlError> {
    let name = prefix.value.strip_prefix('_').unwrap_or(&prefix.value);
    let bytes = match literal {
        ast::Expr::Value(value) => literal_bytes(&value.value)?,
        _ => None,
    };
    let is_ascii = name.eq_ignore_ascii_case("ascii");
    let charset = if is_ascii { Some(Charset::Text) } else { charset(name).ok() };
    let (Some(bytes), Some(charset)) = (bytes, charset) else {
        return Err(SqlError::unsupported(format_args!("{prefix} before a literal: texts are utf8mb4")));
    };
    if charset == Charset::Binary {
        return Ok(Typed::binary(bytes));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.is_ascii() || !is_ascii => Ok(Typed::text(text)),
        Ok(text) => Err(not_of(name, text.as_bytes(), text.bytes().take_while(u8::is_ascii).count())),
        Err(error) => Err(not_of(name, error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

/// The bytes of a hexadecimal or bit literal.
fn literal_bytes(value: &ast::Value) -> Result<Option<Vec<u8>>, SqlError> {
    let literal = match value {
        ast::Value::HexStringLiteral(digits) => hex_literal(digits)?,
        ast::Value::SingleQuotedByteStringLiteral(bits) => bit_literal(bits)?,
        _ => return Ok(None),
    };
    Ok(match literal.as_literal() {
        Some(ScalarValue::BinaryView(Some(bytes))) => Some(bytes.clone()),
        _ => None,
    })
}

/// 1300, with the first of the bytes that are no text.
fn not_of(charset: &str, bytes: &[u8], from: usize) -> SqlError {
    let shown: String = bytes[from..].iter().take(3).map(|byte| format!("{byte:02X}")).collect();
    SqlError::new(
        ErrorKind::InvalidCharacterString,
        format!("Invalid {} character string: '{shown}'", charset.to_ascii_lowercase()),
    )
}
