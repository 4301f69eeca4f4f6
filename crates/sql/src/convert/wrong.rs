//! Why a value is none of its column, and MySQL's texts for it.

use types::{ColumnDef, ErrorKind, SqlError, SqlType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// NULL for a column that is NOT NULL.
    Null,
    OutOfRange,
    TooLong,
    /// No value of the type at all.
    Incorrect,
    /// A number with something else after it.
    Truncated,
    /// Not UTF-8.
    NotUtf8,
    /// No JSON, for which reason, and at which byte.
    NotJson {
        why: &'static str,
        at: usize,
    },
}

/// MySQL quotes at most so many characters of a value.
const QUOTED: usize = 128;

impl Wrong {
    /// The error, for a value whose text is `text`.
    pub fn at(self, column: &ColumnDef, text: &[u8], row: u64) -> SqlError {
        let name = &column.name;
        match self {
            Wrong::Null => {
                SqlError::new(ErrorKind::ColumnCannotBeNull, format!("Column '{name}' cannot be null"))
            }
            Wrong::OutOfRange => SqlError::new(
                ErrorKind::OutOfRange,
                format!("Out of range value for column '{name}' at row {row}"),
            ),
            Wrong::TooLong => SqlError::new(
                ErrorKind::DataTooLong,
                format!("Data too long for column '{name}' at row {row}"),
            ),
            Wrong::Truncated => SqlError::new(
                ErrorKind::DataTruncated,
                format!("Data truncated for column '{name}' at row {row}"),
            ),
            Wrong::Incorrect => {
                let (kind, word) = word_of(column.ty);
                SqlError::new(
                    kind,
                    format!("Incorrect {word} value: '{}' for column '{name}' at row {row}", shown(text)),
                )
            }
            Wrong::NotJson { why, at } => SqlError::new(
                ErrorKind::InvalidJsonText,
                format!(
                    "Invalid JSON text: \"{why}\" at position {at} in value for column '{name}' at row {row}."
                ),
            ),
            Wrong::NotUtf8 => SqlError::new(
                ErrorKind::IncorrectValue,
                format!("Incorrect string value: '{}' for column '{name}' at row {row}", shown_bytes(text)),
            ),
        }
    }
}

fn word_of(ty: SqlType) -> (ErrorKind, &'static str) {
    match ty {
        SqlType::Date => (ErrorKind::WrongValue, "date"),
        SqlType::Time { .. } => (ErrorKind::WrongValue, "time"),
        SqlType::DateTime { .. } | SqlType::Timestamp { .. } => (ErrorKind::WrongValue, "datetime"),
        SqlType::Decimal { .. } => (ErrorKind::IncorrectValue, "decimal"),
        SqlType::Float => (ErrorKind::IncorrectValue, "float"),
        SqlType::Double => (ErrorKind::IncorrectValue, "double"),
        _ if ty.is_integer() => (ErrorKind::IncorrectValue, "integer"),
        _ => (ErrorKind::IncorrectValue, "string"),
    }
}

fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(QUOTED).collect()
}

/// From the first byte that is not UTF-8 on, at most six bytes, as MySQL shows them.
fn shown_bytes(text: &[u8]) -> String {
    let valid = std::str::from_utf8(text).err().map_or(0, |error| error.valid_up_to());
    let mut out = String::new();
    for byte in text[valid..].iter().take(6) {
        match byte {
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02X}")),
        }
    }
    if text.len() - valid > 6 {
        out.push_str("...");
    }
    out
}
