//! Patterns of SHOW .. LIKE: `%` is any text, `_` any character, a backslash takes the next one as it
//! is. Case does not matter.

/// Whether `text` matches, without regard to case.
pub fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let (mut t, mut p) = (0, 0);
    // After the last `%`: its place in the pattern, and where in the text it was tried to end.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        let literal = match pattern.get(p) {
            Some('\\') if p + 1 < pattern.len() => Some((pattern[p + 1], 2)),
            Some('%') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some('_') => Some((text[t], 1)),
            Some(c) => Some((*c, 1)),
            None => None,
        };
        match literal {
            Some((c, length)) if c == text[t] => {
                t += 1;
                p += length;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        assert!(like("version_comment", "version%"));
        assert!(like("Version", "%SION"));
        assert!(like("tx_isolation", "tx\\_isolation"));
        assert!(!like("txaisolation", "tx\\_isolation"));
        assert!(like("abc", "a_c") && !like("abbc", "a_c"));
        assert!(like("", "%") && like("", "") && !like("", "_"));
        assert!(like("aXbXc", "%x%x%") && !like("ab", "%x%"));
    }

    /// The same by trying everything.
    fn simple(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skip| simple(&text[skip..], rest)),
            Some((c, rest)) => {
                text.split_first().is_some_and(|(t, more)| (*c == '_' || c == t) && simple(more, rest))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_trying_everything(text in "[ab]{0,8}", pattern in "[ab%_]{0,6}") {
            let (t, p): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
            prop_assert_eq!(like(&text, &pattern), simple(&t, &p));
        }
    }
}
