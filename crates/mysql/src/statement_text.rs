//! The text of a statement from its bytes, which need not be text: drivers that put values into statements
//! themselves write a BLOB as `_binary'..'` with its bytes as they are.
//!
//! Such strings become `x'..'`, which means the same; all else stays as it was and must be UTF-8. So
//! nothing behind this file sees anything but text. A statement that is UTF-8 is not looked at: its
//! `_binary'..'` is the parser's to read.
//!
//! Backslashes are taken for escapes, as in every `sql_mode` but NO_BACKSLASH_ESCAPES. In that one a client
//! that sends bytes of no text is refused or, if one of its strings ends with a backslash, finds an
//! unclosed string: nothing is stored that was not sent.

use bytes::Bytes;
use types::{ErrorKind, SqlError};

/// The statement that these bytes are. Error: 1064, with the place of the first byte that is of no text.
pub(crate) fn statement_text(bytes: Bytes) -> Result<String, SqlError> {
    let bytes: Vec<u8> = bytes.into();
    String::from_utf8(bytes).or_else(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        String::from_utf8(without_binary_strings(&bytes)).map_err(|_| not_text(&bytes, at))
    })
}

/// The text that these bytes are, where there is no string in it.
pub(crate) fn plain_text(bytes: Bytes) -> Result<String, SqlError> {
    String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        not_text(error.as_bytes(), at)
    })
}

fn not_text(bytes: &[u8], at: usize) -> SqlError {
    let wrong: String = bytes[at..].iter().take(6).map(|byte| format!("\\x{byte:02X}")).collect();
    SqlError::new(
        ErrorKind::ParseError,
        format!("Invalid utf8mb4 character string: '{wrong}' at byte {at} of the statement"),
    )
}

const INTRODUCER: &[u8] = b"_binary";

/// The same bytes, but for the strings behind [`INTRODUCER`] that are no text.
fn without_binary_strings(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = at + length_of_token(&bytes[at..]);
        let token = &bytes[at..end];
        let introducer = if matches!(byte, b'\'' | b'"') { introducer_at_end(&out) } else { None };
        match introducer {
            Some(from) if std::str::from_utf8(token).is_err() => {
                out.truncate(from);
                out.extend_from_slice(b"x'");
                for byte in content(token) {
                    out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
                }
                out.push(b'\'');
            }
            _ => out.extend_from_slice(token),
        }
        at = end;
    }
    out
}

const fn hex_digit(value: u8) -> u8 {
    b"0123456789ABCDEF"[value as usize & 15]
}

/// How long what begins here is: a quoted string or name, a comment, or one byte of anything else. What
/// is not closed goes to the end.
fn length_of_token(rest: &[u8]) -> usize {
    let line_end = || rest.iter().position(|byte| *byte == b'\n');
    let to_end = |found: Option<usize>, length: usize| found.map_or(rest.len(), |at| at + length);
    match rest {
        [quote @ (b'\'' | b'"' | b'`'), ..] => {
            let mut at = 1;
            while let Some(&byte) = rest.get(at) {
                at += match byte {
                    b'\\' if *quote != b'`' => 2,
                    // Doubled it stands for itself.
                    byte if byte == *quote && rest.get(at + 1) == Some(quote) => 2,
                    byte if byte == *quote => return at + 1,
                    _ => 1,
                };
            }
            rest.len()
        }
        [b'/', b'*', ..] => to_end(rest[2..].windows(2).position(|end| end == b"*/"), 4),
        [b'#', ..] => to_end(line_end(), 1),
        [b'-', b'-'] => 2,
        [b'-', b'-', b' ' | b'\t' | b'\n' | b'\r', ..] => to_end(line_end(), 1),
        _ => 1,
    }
}

/// Where the introducer begins, if nothing but blanks follows it.
fn introducer_at_end(out: &[u8]) -> Option<usize> {
    let end = out.trim_ascii_end();
    let from = end.len().checked_sub(INTRODUCER.len())?;
    let is_whole = from == 0 || !(end[from - 1].is_ascii_alphanumeric() || b"_$@`".contains(&end[from - 1]));
    (is_whole && end[from..].eq_ignore_ascii_case(INTRODUCER)).then_some(from)
}

/// The bytes that a string stands for.
fn content(token: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let quote = token[0];
    let inner = token.strip_suffix(&[quote]).unwrap_or(token).get(1..).unwrap_or_default();
    let mut bytes = inner.iter().copied();
    std::iter::from_fn(move || match bytes.next()? {
        b'\\' => Some(match bytes.next()? {
            b'0' => 0,
            b'b' => 8,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'Z' => 26,
            other => other,
        }),
        byte if byte == quote => bytes.next(),
        byte => Some(byte),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> Result<String, SqlError> {
        statement_text(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn binary_strings_become_hexadecimal() {
        for (sent, read) in [
            (&b"SELECT _binary'\xff'"[..], "SELECT x'FF'"),
            (
                b"INSERT INTO t VALUES (_binary '\\0\\\\\\'''\xfe\\Z', _BINARY\"\xff\\\"\")",
                "INSERT INTO t VALUES (x'005C2727FE1A', x'FF22')",
            ),
            // What is text stays for the parser.
            (b"SELECT _binary'\xff', _binary'text'", "SELECT x'FF', _binary'text'"),
            (b"SELECT _binary'\xff' /* _binary'*/ -- '", "SELECT x'FF' /* _binary'*/ -- '"),
            (b"SELECT '_binary', _binary'\xff', `it's`", "SELECT '_binary', x'FF', `it's`"),
            (b"SELECT _binary''' \xff'", "SELECT x'2720FF'"),
        ] {
            assert_eq!(text(sent).as_deref(), Ok(read));
        }
    }

    #[test]
    fn other_bytes_of_no_text_are_refused() {
        for wrong in [
            &b"SELECT '\xff'"[..],
            b"SELECT a_binary'\xff'",
            b"SELECT \xff",
            b"SELECT _binary'\xff', '\xff'",
            b"SELECT `_binary`'\xff'",
            b"/* \xff */ SELECT 1",
        ] {
            assert_eq!(text(wrong).unwrap_err().kind, ErrorKind::ParseError, "{wrong:?}");
        }
        assert!(text(b"SELECT _binary'\xff', '\xfe'").unwrap_err().message.contains("byte 15"));
    }

    /// As drivers escape.
    fn escaped(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            match byte {
                0 => out.extend_from_slice(b"\\0"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                26 => out.extend_from_slice(b"\\Z"),
                b'\'' | b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                byte => out.push(byte),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn every_value_arrives(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bytes = [&bytes[..], b"\xff"].concat();
            let sent = [b"SELECT _binary'", &escaped(&bytes)[..], b"' AS v"].concat();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            prop_assert_eq!(text(&sent), Ok(format!("SELECT x'{hex}' AS v")));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"_binary'\"`\\-#/* \xff".to_vec())], 0..60)) {
            let _ = text(&bytes);
        }
    }
}
