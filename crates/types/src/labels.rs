//! The values of an ENUM or SET column, in the order of their declaration.
//!
//! A type is copied everywhere, so its labels are shared for the life of the process: each list that any
//! definition ever had is kept once. Definitions are few and small beside data.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

static KNOWN: LazyLock<Mutex<HashSet<&'static [String]>>> = LazyLock::new(Mutex::default);

/// Two are equal if they hold the same labels in the same order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Labels(&'static [String]);

impl Labels {
    pub fn new(labels: Vec<String>) -> Labels {
        // The set is whole after any panic: it is only looked up and added to.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = known.get(labels.as_slice()) {
            return Labels(kept);
        }
        let kept: &'static [String] = Vec::leak(labels);
        known.insert(kept);
        Labels(kept)
    }

    pub fn as_slice(self) -> &'static [String] {
        self.0
    }

    /// The place of a label, from 0.
    pub fn position(self, label: &str) -> Option<usize> {
        self.0.iter().position(|own| own == label)
    }

    /// The bits of a SET's text: bit n for the label at place n. `None`: it has another member.
    pub fn bits(self, text: &str) -> Option<u64> {
        if text.is_empty() {
            return Some(0);
        }
        text.split(',')
            .try_fold(0, |bits, label| Some(bits | 1u64.checked_shl(self.position(label)? as u32)?))
    }

    /// The text of a SET with these bits. `None`: it has no such labels.
    pub fn text_of_bits(self, bits: u64) -> Option<String> {
        if self.0.len() < 64 && bits >> self.0.len() != 0 {
            return None;
        }
        let chosen = self.0.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
        Some(chosen.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(","))
    }

    /// Characters of the longest label.
    pub fn longest(self) -> u32 {
        self.0.iter().map(|label| label.chars().count() as u32).max().unwrap_or(0)
    }

    /// Characters of all labels with commas between them.
    pub fn all_together(self) -> u32 {
        let characters: usize = self.0.iter().map(|label| label.chars().count() + 1).sum();
        (characters as u32).saturating_sub(1)
    }

    /// Whether values of `other` are values of this too, with the same numbers.
    pub fn extends(self, other: Labels) -> bool {
        self.0.starts_with(other.0)
    }

    /// Parses what is displayed.
    pub(crate) fn parse(text: &str) -> Option<Labels> {
        let mut labels = Vec::new();
        let mut chars = text.chars().peekable();
        loop {
            if chars.next()? != '\'' {
                return None;
            }
            let mut label = String::new();
            loop {
                match chars.next()? {
                    '\'' if chars.peek() == Some(&'\'') => {
                        chars.next();
                        label.push('\'');
                    }
                    '\'' => break,
                    '\\' => label.push(match chars.next()? {
                        'n' => '\n',
                        'r' => '\r',
                        '0' => '\0',
                        other => other,
                    }),
                    other => label.push(other),
                }
            }
            labels.push(label);
            match chars.next() {
                None => return Some(Labels::new(labels)),
                Some(',') => {}
                Some(_) => return None,
            }
        }
    }
}

/// `'a','b'`, as a definition writes them.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "'" } else { ",'" })?;
            for c in label.chars() {
                match c {
                    '\'' => f.write_str("''")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\0' => f.write_str("\\0")?,
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            f.write_str("'")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        Vec::<String>::deserialize(deserializer).map(Labels::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_kept_once_and_read_back() {
        let labels = || Labels::new(vec!["a".into(), "it's".into(), "x,\\\n".into(), String::new()]);
        assert!(std::ptr::eq(labels().as_slice(), labels().as_slice()));
        assert_eq!(labels().to_string(), "'a','it''s','x,\\\\\\n',''");
        assert_eq!(Labels::parse(&labels().to_string()), Some(labels()));
        for bad in ["", "a", "'a", "'a''", "'a' 'b'", "'a',"] {
            assert_eq!(Labels::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sets_are_bits() {
        let labels = Labels::new(vec!["a".into(), "b".into(), "c".into()]);
        assert_eq!(labels.bits("c,a"), Some(5));
        assert_eq!(labels.bits(""), Some(0));
        assert_eq!(labels.bits("a,d"), None);
        assert_eq!(labels.text_of_bits(5).as_deref(), Some("a,c"));
        assert_eq!(labels.text_of_bits(8), None);
        assert!(Labels::new(vec!["a".into(), "b".into(), "c".into(), "d".into()]).extends(labels));
    }
}
