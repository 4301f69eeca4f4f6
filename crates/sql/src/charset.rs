//! Character sets and collations: which names clients may say, and what SHOW tells them.
//!
//! Text is UTF-8 everywhere; [`types::collation`] says how it compares.

use types::{Collation, ErrorKind, SqlError};

pub const DEFAULT_CHARSET: &str = "utf8mb4";
pub const DEFAULT_COLLATION: &str = "utf8mb4_bin";

/// A row of SHOW CHARACTER SET.
pub struct Charset {
    pub name: &'static str,
    pub description: &'static str,
    pub default_collation: &'static str,
    pub max_bytes: u32,
}

pub const CHARSETS: &[Charset] = &[
    Charset {
        name: "binary",
        description: "Binary pseudo charset",
        default_collation: "binary",
        max_bytes: 1,
    },
    Charset {
        name: "utf8mb4",
        description: "UTF-8 Unicode",
        default_collation: DEFAULT_COLLATION,
        max_bytes: 4,
    },
];

/// A row of SHOW COLLATION.
pub struct CollationRow {
    pub name: &'static str,
    pub charset: &'static str,
    pub id: u16,
    pub is_default: bool,
    pub pad_space: bool,
}

/// The rows of SHOW COLLATION.
pub fn collations() -> impl Iterator<Item = CollationRow> {
    let binary =
        CollationRow { name: "binary", charset: "binary", id: 63, is_default: true, pad_space: false };
    let text = Collation::ALL.iter().map(|collation| CollationRow {
        name: collation.name(),
        charset: DEFAULT_CHARSET,
        id: collation.id(),
        is_default: *collation == Collation::default(),
        pad_space: collation.pads(),
    });
    std::iter::once(binary).chain(text)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One of UTF-8's names.
    Utf8,
    /// MySQL has it, we do not.
    Other,
    No,
}

pub fn known(name: &str) -> Known {
    match name.to_ascii_lowercase().as_str() {
        "utf8mb4" | "utf8" | "utf8mb3" => Known::Utf8,
        "armscii8" | "ascii" | "big5" | "binary" | "cp1250" | "cp1251" | "cp1256" | "cp1257" | "cp850"
        | "cp852" | "cp866" | "cp932" | "dec8" | "eucjpms" | "euckr" | "gb18030" | "gb2312" | "gbk"
        | "geostd8" | "greek" | "hebrew" | "hp8" | "keybcs2" | "koi8r" | "koi8u" | "latin1" | "latin2"
        | "latin5" | "latin7" | "macce" | "macroman" | "sjis" | "swe7" | "tis620" | "ucs2" | "ujis"
        | "utf16" | "utf16le" | "utf32" => Known::Other,
        _ => Known::No,
    }
}

/// Looks a collation up: 1273 for an unknown name, 1235 for those that MySQL has and we have not.
pub fn collation(name: &str) -> Result<Collation, SqlError> {
    if let Some(collation) = Collation::of_name(name) {
        return Ok(collation);
    }
    let lower = name.to_ascii_lowercase();
    let charset = lower.split('_').next().unwrap_or("");
    match known(charset) {
        Known::Utf8 if is_suffix(&lower[charset.len()..]) => {
            let ours: Vec<&str> = Collation::ALL.iter().map(|collation| collation.name()).collect();
            Err(SqlError::unsupported(format!("the collation {name}; there are {}", ours.join(", "))))
        }
        Known::Other => Err(SqlError::unsupported(format!("the collation {name}"))),
        _ => Err(SqlError::new(ErrorKind::UnknownCollation, format!("Unknown collation: '{name}'"))),
    }
}

/// Whether a collation of UTF-8 may end so: `_general_ci`, `_0900_ai_ci`, `_unicode_520_ci`.
fn is_suffix(suffix: &str) -> bool {
    let known_end = ["_bin", "_ci", "_cs", "_as"].iter().any(|end| suffix.ends_with(end));
    known_end && suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(collation("utf8mb4_bin"), Ok(Collation::Bytes));
        assert_eq!(collation("utf8mb4_0900_ai_ci"), Ok(Collation::Uca0900AiCi));
        assert_eq!(collation("utf8mb4_0900_as_cs").unwrap_err().kind, ErrorKind::NotSupportedYet);
        assert_eq!(collation("latin1_swedish_ci").unwrap_err().kind, ErrorKind::NotSupportedYet);
        let unknown = collation("klingon_ci").unwrap_err();
        assert_eq!(unknown.message, "Unknown collation: 'klingon_ci'");
        assert_eq!(known("UTF8"), Known::Utf8);
    }
}
