//! Cuts a text into statements at its semicolons.

use memchr::{memchr, memmem};

/// The statements of a text, without their semicolons. Pieces without a word are dropped, unless
/// there is nothing else. Never fails: what is wrong in a piece shows when it is parsed.
pub fn split(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let (mut start, mut at, mut empty) = (0, 0, true);
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        match bytes[at] {
            b';' => {
                if !empty {
                    pieces.push(&text[start..at]);
                }
                at += 1;
                (start, empty) = (at, true);
            }
            b'#' => at = line_end(bytes, at),
            b'-' if next == b'-' && bytes.get(at + 2).copied().unwrap_or(0) <= b' ' => {
                at = line_end(bytes, at);
            }
            b'/' if next == b'*' => {
                empty &= bytes.get(at + 2) != Some(&b'!');
                at = memmem::find(&bytes[at + 2..], b"*/").map_or(bytes.len(), |n| at + n + 4);
            }
            quote @ (b'\'' | b'"' | b'`') => {
                empty = false;
                at = quoted_end(bytes, at, quote);
            }
            byte => {
                empty &= byte.is_ascii_whitespace() || byte == 0x0b;
                at += 1;
            }
        }
    }
    if !empty || pieces.is_empty() {
        pieces.push(&text[start..]);
    }
    pieces
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n + 1)
}

/// The place after the closing quote. A doubled quote reads as two strings side by side, which comes
/// to the same.
fn quoted_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote != b'`' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_split() {
        assert_eq!(split("a; b ;"), ["a", " b "]);
        assert_eq!(
            split("a ';' \"\\\";\" `;` /* ; */ -- ;\n# ;\n; b"),
            ["a ';' \"\\\";\" `;` /* ; */ -- ;\n# ;\n", " b"]
        );
        assert_eq!(split("/*!40101 SET NAMES utf8 */; ; -- end"), ["/*!40101 SET NAMES utf8 */"]);
        assert_eq!(split("a 'it''s;' ; b"), ["a 'it''s;' ", " b"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("-- x"), ["-- x"]);
        assert_eq!(split("a 'open ; b"), ["a 'open ; b"]);
    }
}
