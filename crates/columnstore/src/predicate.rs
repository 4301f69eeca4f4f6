//! Conditions on one table's rows, as scans evaluate them: on encoded blocks, zone maps and Arrow
//! batches alike.
//!
//! A row passes a predicate if it is TRUE; NULL does not pass. Strings compare as bytes: a
//! condition under another collation comes as [`Predicate::Bytes`]. A NaN passes no comparison.

use crate::encoding::key_set::KeySet;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use types::{ColumnId, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    Eq,
    NotEq,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

impl Compare {
    /// Whether `left op right` holds, given how they compare.
    #[inline]
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Compare::Eq => ordering.is_eq(),
            Compare::NotEq => ordering.is_ne(),
            Compare::Less => ordering.is_lt(),
            Compare::LessEq => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterEq => ordering.is_ge(),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Compare::Eq => "=",
            Compare::NotEq => "<>",
            Compare::Less => "<",
            Compare::LessEq => "<=",
            Compare::Greater => ">",
            Compare::GreaterEq => ">=",
        }
    }
}

/// A test of a string or binary value; called once per dictionary entry where there is a
/// dictionary, so it must depend on nothing but the bytes. Whoever sends predicates elsewhere finds
/// their own type of test again by `Any`.
pub trait BytesTest: Any + Send + Sync {
    fn passes(&self, bytes: &[u8]) -> bool;

    /// What every value that passes begins with, if that is known; not empty. A key finds such values.
    fn prefix(&self) -> Option<&[u8]> {
        None
    }
}

impl<F: Fn(&[u8]) -> bool + Send + Sync + 'static> BytesTest for F {
    fn passes(&self, bytes: &[u8]) -> bool {
        self(bytes)
    }
}

#[derive(Clone)]
pub enum Predicate {
    /// `value` is of the column's own SQL type, exactly representable in it.
    Compare {
        column: ColumnId,
        op: Compare,
        value: Value,
    },
    /// Equal to one of `values`, of which NULLs match nothing.
    In {
        column: ColumnId,
        values: Vec<Value>,
    },
    /// An integer in the set, by its stored form. Only while a query runs, from the other side of a join.
    Keys {
        column: ColumnId,
        keys: Arc<KeySet>,
    },
    IsNull(ColumnId),
    IsNotNull(ColumnId),
    /// Two columns of the same SQL type.
    Columns {
        left: ColumnId,
        op: Compare,
        right: ColumnId,
    },
    /// For example LIKE. `label` is for people.
    Bytes {
        column: ColumnId,
        test: Arc<dyn BytesTest>,
        label: String,
    },
    /// A disjunction of conjunctions. Without branches: no row passes.
    Or(Vec<Vec<Predicate>>),
}

impl Predicate {
    /// Calls `visit` with every column that this predicate reads, repeats included.
    pub fn columns(&self, visit: &mut dyn FnMut(ColumnId)) {
        match self {
            Predicate::Compare { column, .. }
            | Predicate::In { column, .. }
            | Predicate::Keys { column, .. }
            | Predicate::IsNull(column)
            | Predicate::IsNotNull(column)
            | Predicate::Bytes { column, .. } => visit(*column),
            Predicate::Columns { left, right, .. } => {
                visit(*left);
                visit(*right);
            }
            Predicate::Or(branches) => {
                for predicate in branches.iter().flatten() {
                    predicate.columns(visit);
                }
            }
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Predicate::Compare { column, op, value } => write!(f, "{column} {} {value:?}", op.symbol()),
            Predicate::In { column, values } => write!(f, "{column} IN {values:?}"),
            Predicate::Keys { column, keys } => write!(f, "{column} IN {keys:?}"),
            Predicate::IsNull(column) => write!(f, "{column} IS NULL"),
            Predicate::IsNotNull(column) => write!(f, "{column} IS NOT NULL"),
            Predicate::Columns { left, op, right } => write!(f, "{left} {} {right}", op.symbol()),
            Predicate::Bytes { column, label, .. } => write!(f, "{column} {label}"),
            Predicate::Or(branches) => {
                f.write_str("(")?;
                for (i, branch) in branches.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" OR ")?;
                    }
                    write!(f, "{branch:?}")?;
                }
                f.write_str(")")
            }
        }
    }
}
