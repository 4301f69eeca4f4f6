//! Tests of strings that the storage carries out for a scan, as data: they are compared, printed and
//! sent to other processes.

use super::like::{LikePattern, substring};
use columnstore::{BytesTest, Compare, Predicate};
use std::collections::HashSet;
use std::sync::Arc;
use types::ColumnId;

/// See the module. A value passes if the test is TRUE for it.
#[derive(Debug, Clone)]
pub(crate) enum TextTest {
    StartsWith { prefix: Vec<u8> },
    Like { text: String, escape: char, negated: bool, pattern: LikePattern },
    Substring { part: Part, op: Compare, text: Vec<u8> },
    SubstringIn { part: Part, texts: HashSet<Vec<u8>>, negated: bool },
    NotIn { texts: HashSet<Vec<u8>> },
}

/// The characters from number `from` (0 is the first), at most `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: usize,
    pub(crate) count: Option<usize>,
}

impl TextTest {
    pub(crate) fn like(text: &str, escape: char, negated: bool) -> TextTest {
        let pattern = LikePattern::new(text, Some(escape));
        TextTest::Like { text: text.to_string(), escape, negated, pattern }
    }

    /// This test of a column.
    pub(crate) fn on(self, column: ColumnId) -> Predicate {
        let label = self.label();
        Predicate::Bytes { column, test: Arc::new(self), label }
    }

    /// What EXPLAIN shows, and what estimates go by.
    fn label(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            TextTest::StartsWith { prefix } => format!("starts with {}", String::from_utf8_lossy(prefix)),
            TextTest::Like { text, negated, .. } => format!("{}LIKE '{text}'", not(negated)),
            TextTest::Substring { op, text, .. } => {
                format!("substring {op:?} {}", String::from_utf8_lossy(text))
            }
            TextTest::SubstringIn { texts, negated, .. } => {
                format!("substring {}IN {} values", not(negated), texts.len())
            }
            TextTest::NotIn { texts } => format!("NOT IN {} values", texts.len()),
        }
    }
}

impl BytesTest for TextTest {
    fn prefix(&self) -> Option<&[u8]> {
        match self {
            TextTest::StartsWith { prefix } => Some(prefix.as_slice()).filter(|prefix| !prefix.is_empty()),
            TextTest::Like { negated: false, pattern, .. } => pattern.prefix(),
            _ => None,
        }
    }

    fn passes(&self, bytes: &[u8]) -> bool {
        match self {
            TextTest::StartsWith { prefix } => bytes.starts_with(prefix),
            TextTest::Like { negated, pattern, .. } => {
                let matches = match pattern.only_prefix() {
                    Some(prefix) => bytes.starts_with(prefix),
                    None => pattern.matches(bytes),
                };
                matches != *negated
            }
            TextTest::Substring { part, op, text } => {
                op.holds(substring(bytes, part.from, part.count).cmp(text.as_slice()))
            }
            TextTest::SubstringIn { part, texts, negated } => {
                texts.contains(substring(bytes, part.from, part.count)) != *negated
            }
            TextTest::NotIn { texts } => !texts.contains(bytes),
        }
    }
}
