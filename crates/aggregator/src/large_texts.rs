//! What a large text takes while it is a statement.
//!
//! A text becomes tokens, a syntax tree and bound expressions, which together are many times its size: an INSERT of
//! rows of three values takes 340 bytes for each of its tokens, a list of values after IN 460. So a large text is
//! counted by its tokens, and their memory taken from the budget, before it is read.

use env::{MemoryBudget, Reservation};
use std::sync::Arc;
use types::{ErrorKind, Result, SqlError};

/// Bytes from which a text is large.
const LARGE_TEXT: usize = 32 << 10;
/// What a token takes.
const TOKEN: usize = 400;

pub(crate) fn is_large_text(text: &str) -> bool {
    text.len() >= LARGE_TEXT
}

/// Takes from the budget what the statement takes while it is read, which is given back on drop; nothing for one that
/// is not large.
pub(crate) fn hold_for(text: &str, memory: &Arc<MemoryBudget>) -> Result<Reservation> {
    let bytes = if is_large_text(text) { text.len() + TOKEN * tokens(text.as_bytes()) } else { 0 };
    memory.try_reserve(bytes).map_err(|over| {
        let mib = text.len().div_ceil(1 << 20);
        SqlError::new(ErrorKind::OutOfMemory, format!("A statement of {mib} MiB is too large: {over}"))
    })
}

/// About as many as there are: words and numbers, quoted strings, and every other character that is no space.
fn tokens(text: &[u8]) -> usize {
    let mut tokens = 0;
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        at += 1;
        match first {
            quote @ (b'\'' | b'"' | b'`') => {
                while let Some(&next) = text.get(at) {
                    at += if next == b'\\' { 2 } else { 1 };
                    if next == quote {
                        break;
                    }
                }
            }
            space if space.is_ascii_whitespace() => continue,
            word if is_of_word(word) => {
                while text.get(at).is_some_and(|next| is_of_word(*next)) {
                    at += 1;
                }
            }
            _ => {}
        }
        tokens += 1;
    }
    tokens
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'@') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted() {
        for (text, expected) in [
            ("", 0),
            ("  \n", 0),
            ("SELECT 1", 2),
            ("INSERT INTO t VALUES (1,'a''b', -2.5)", 13),
            (r"'it\'s one'", 1),
            ("'not closed", 1),
            (r"'ends in \", 1),
            ("größe=@x", 3),
        ] {
            assert_eq!(tokens(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_large_text_is_held_by_its_tokens_or_refused() {
        let memory = MemoryBudget::new(8 << 20);
        let one_string = format!("SELECT '{}'", "a".repeat(4 << 20));
        let held = hold_for(&one_string, &memory).unwrap();
        assert_eq!(held.bytes(), one_string.len() + 2 * TOKEN);
        drop(held);
        let many = format!("SELECT 1{}", ",1".repeat(100_000));
        let error = hold_for(&many, &memory).unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutOfMemory);
        assert!(error.message.contains("statement of 1 MiB"), "{error}");
        assert_eq!(memory.used(), 0);
        assert_eq!(hold_for("SELECT 1", &MemoryBudget::new(0)).unwrap().bytes(), 0);
    }
}
