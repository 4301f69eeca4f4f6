//! LIKE patterns on UTF-8 bytes.

use memchr::memmem;

/// A compiled pattern: `%` any number of characters, `_` one, the escape character makes the next
/// one plain.
#[derive(Debug, Clone)]
pub(crate) struct LikePattern {
    /// The pieces between `%`s. The first is anchored at the start, the last at the end.
    pieces: Vec<Piece>,
}

/// Characters in a row: plain bytes, and `_`s.
#[derive(Debug, Clone)]
struct Piece(Vec<Token>);

#[derive(Debug, Clone)]
enum Token {
    Bytes(Box<memmem::Finder<'static>>),
    AnyChar,
}

impl LikePattern {
    pub(crate) fn new(pattern: &str, escape: Option<char>) -> LikePattern {
        let mut pieces = vec![Piece(Vec::new())];
        let mut plain = String::new();
        let mut chars = pattern.chars();
        fn flush(pieces: &mut [Piece], plain: &mut String) {
            if !plain.is_empty()
                && let Some(piece) = pieces.last_mut()
            {
                let bytes = std::mem::take(plain).into_bytes();
                piece.0.push(Token::Bytes(Box::new(memmem::Finder::new(&bytes).into_owned())));
            }
        }
        while let Some(c) = chars.next() {
            match c {
                // A trailing escape character stands for itself.
                c if Some(c) == escape => plain.push(chars.next().unwrap_or(c)),
                '%' => {
                    flush(&mut pieces, &mut plain);
                    pieces.push(Piece(Vec::new()));
                }
                '_' => {
                    flush(&mut pieces, &mut plain);
                    if let Some(piece) = pieces.last_mut() {
                        piece.0.push(Token::AnyChar);
                    }
                }
                c => plain.push(c),
            }
        }
        flush(&mut pieces, &mut plain);
        LikePattern { pieces }
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let (first, rest) = match self.pieces.split_first() {
            Some(split) => split,
            None => return text.is_empty(),
        };
        let Some(mut at) = first.match_at(text, 0) else { return false };
        let Some((last, middle)) = rest.split_last() else {
            return at == text.len();
        };
        for piece in middle {
            match piece.find(text, at) {
                Some(end) => at = end,
                None => return false,
            }
        }
        last.ends(text, at)
    }

    /// The plain text that every match starts with.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        match self.pieces.first()?.0.first()? {
            Token::Bytes(bytes) => Some(bytes.needle()),
            Token::AnyChar => None,
        }
    }

    /// The same if the pattern is that and one `%` behind it.
    pub(crate) fn only_prefix(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [first, last] if last.0.is_empty() => match first.0.as_slice() {
                [Token::Bytes(bytes)] => Some(bytes.needle()),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Piece {
    /// Where a match that starts at `at` ends.
    fn match_at(&self, text: &[u8], mut at: usize) -> Option<usize> {
        for token in &self.0 {
            match token {
                Token::Bytes(bytes) => {
                    let bytes = bytes.needle();
                    if !text.get(at..)?.starts_with(bytes) {
                        return None;
                    }
                    at += bytes.len();
                }
                Token::AnyChar => at += char_len(*text.get(at)?),
            }
        }
        (at <= text.len()).then_some(at)
    }

    /// The end of the first match at or after `from`.
    fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        match self.0.first() {
            None => Some(from),
            Some(Token::Bytes(first)) => {
                let mut from = from;
                loop {
                    let start = from + first.find(text.get(from..)?)?;
                    if let Some(end) = self.match_at(text, start) {
                        return Some(end);
                    }
                    from = start + 1;
                }
            }
            Some(Token::AnyChar) => {
                let mut start = from;
                while start < text.len() {
                    if let Some(end) = self.match_at(text, start) {
                        return Some(end);
                    }
                    start += char_len(text[start]);
                }
                None
            }
        }
    }

    /// Whether a match that starts at or after `from` ends where the text does.
    fn ends(&self, text: &[u8], from: usize) -> bool {
        if self.0.is_empty() {
            return true;
        }
        // Walk back from the end: the length in bytes of `_` depends on the text.
        let mut end = text.len();
        for token in self.0.iter().rev() {
            match token {
                Token::Bytes(bytes) => {
                    let bytes = bytes.needle();
                    if !text[..end].ends_with(bytes) {
                        return false;
                    }
                    end -= bytes.len();
                }
                Token::AnyChar => {
                    if end == 0 {
                        return false;
                    }
                    end -= 1;
                    while end > 0 && text[end] & 0xC0 == 0x80 {
                        end -= 1;
                    }
                }
            }
        }
        end >= from
    }
}

/// The length of the UTF-8 character that starts with this byte.
pub(crate) fn char_len(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

/// The characters of `text` from number `from` (0 is the first), at most `count`.
pub(crate) fn substring(text: &[u8], from: usize, count: Option<usize>) -> &[u8] {
    let skip = |text: &[u8], n: usize| {
        let mut at = 0;
        for _ in 0..n {
            match text.get(at) {
                Some(first) => at += char_len(*first),
                None => break,
            }
        }
        at.min(text.len())
    };
    let rest = &text[skip(text, from)..];
    match count {
        Some(count) => &rest[..skip(rest, count)],
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIKE by the definition, slowly.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            Some(('_', rest)) => !text.is_empty() && slow(rest, &text[1..]),
            Some(('\\', rest)) if !rest.is_empty() => {
                text.first() == Some(&rest[0]) && slow(&rest[1..], &text[1..])
            }
            Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let mut random = |letters: &[char], max: usize| -> String {
            (0..rng.random_range(0..=max)).map(|_| letters[rng.random_range(0..letters.len())]).collect()
        };
        for _ in 0..20_000 {
            let pattern = random(&['a', 'b', 'é', '%', '_', '\\'], 6);
            let text = random(&['a', 'b', 'é', '%', '_', '\\'], 7);
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            assert_eq!(
                LikePattern::new(&pattern, Some('\\')).matches(text.as_bytes()),
                slow(&chars(&pattern), &chars(&text)),
                "{text:?} LIKE {pattern:?}"
            );
        }
    }

    #[test]
    fn prefixes_and_substrings() {
        let only_prefix =
            |pattern: &str| LikePattern::new(pattern, Some('\\')).only_prefix().map(|prefix| prefix.to_vec());
        assert_eq!(only_prefix("abc%"), Some(b"abc".to_vec()));
        assert_eq!(only_prefix("a\\%c%"), Some(b"a%c".to_vec()));
        assert_eq!((only_prefix("a_c%"), only_prefix("a%c%"), only_prefix("abc")), (None, None, None));
        let prefix =
            |pattern: &str| LikePattern::new(pattern, Some('\\')).prefix().map(|prefix| prefix.to_vec());
        assert_eq!(prefix("a\\%c_d%"), Some(b"a%c".to_vec()));
        assert_eq!(prefix("abc"), Some(b"abc".to_vec()));
        assert_eq!((prefix("%abc"), prefix("_abc"), prefix("")), (None, None, None));
        assert_eq!(substring("aébc".as_bytes(), 1, Some(2)), "éb".as_bytes());
        assert_eq!(substring(b"abc", 5, Some(2)), b"");
        assert_eq!(substring(b"abc", 1, None), b"bc");
    }
}
