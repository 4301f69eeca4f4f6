//! How the rows of a table become rows of its new definition, where ALTER TABLE cannot leave them as they are.
//!
//! The new definition is that of a new table: its rows have a value in each column, so no column says any more
//! what rows from before it have, and its keys have the collation keys that they need. What was stored is
//! converted as an assignment would do it; a column that is new gets its default, computed for each row if it
//! has to be, or the next number.

use super::{collations, keys};
use crate::convert::{Scalar, zero};
use crate::statement::{AlterAlgorithm, AlterLock, AlterTable};
use std::sync::Arc;
use types::{ColumnDefault, ErrorKind, Result, SqlError, SqlType, TableDef};

/// Why rows have to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrite {
    /// A column gets another type.
    Type,
    /// A column takes no NULL any more.
    Null,
    /// Keys, or new values.
    Other,
    /// They could stay, but the statement says ALGORITHM=COPY.
    Asked,
}

/// A column whose values come from the old table.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    /// Its name in the old table.
    pub from: String,
    /// Its place in the new one.
    pub place: usize,
    /// Both are texts: what does not fit counts as cut off, as in MySQL.
    pub cuts: bool,
    /// A label becomes its number.
    pub numbers: bool,
}

/// How rows are copied.
#[derive(Debug, Clone)]
pub struct Rebuild {
    pub copied: Vec<Copied>,
    /// The new definition, with the defaults that new columns have in the rows that are there.
    pub filled: Arc<TableDef>,
    /// What is wrong with the first row if there is one: a column has no value for it.
    pub refused: Option<SqlError>,
    /// Columns by which the rows are to come, so that their numbers follow: those of the old primary key.
    pub ordered: Vec<String>,
    /// The new table computes or asks of its rows what the old one did not.
    pub has_new_rules: bool,
}

impl Rebuild {
    /// `new` is of the table that the rows of `old` are to go to.
    pub fn of(old: &TableDef, new: &TableDef) -> Rebuild {
        let mut filled = new.clone();
        let (mut copied, mut refused, mut ordered) = (Vec::new(), None, Vec::new());
        for (place, column) in filled.columns.iter_mut().enumerate() {
            let computed =
                matches!(column.default, ColumnDefault::Generated { .. } | ColumnDefault::CollationKey(_));
            let before = old.column(column.id).filter(|_| !computed);
            if let Some(before) = before {
                let is_text = |ty: SqlType| {
                    matches!(
                        ty,
                        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Binary(_) | SqlType::VarBinary(_)
                    )
                };
                let cuts = is_text(before.ty) && is_text(column.ty);
                let is_number = column.ty.is_integer()
                    || matches!(column.ty, SqlType::Decimal { .. } | SqlType::Float | SqlType::Double);
                let numbers = is_number && matches!(before.ty, SqlType::Enum(_) | SqlType::Set(_));
                copied.push(Copied { from: before.name.clone(), place, cuts, numbers });
                // What stands in a column of numbers stays, be it 0.
                column.auto_increment &= !before.auto_increment;
            } else if !computed
                && !column.auto_increment
                && !column.nullable
                && column.default == ColumnDefault::None
                && !matches!(column.ty, SqlType::Enum(_))
            {
                match zero(column.ty) {
                    Some(zero) => {
                        let text = String::from_utf8_lossy(&Scalar::of(&zero).text()).into_owned();
                        column.default = ColumnDefault::Literal(text);
                    }
                    None => {
                        refused = Some(no_value(&column.name, column.ty));
                        (column.nullable, column.default) = (true, ColumnDefault::Null);
                    }
                }
            }
        }
        if filled.auto_increment().is_some() {
            ordered = old.shown_columns(&old.primary_key).map(|column| column.name.clone()).collect();
        }
        let has_new_rules = has_new_rules(old, new);
        Rebuild { copied, filled: Arc::new(filled), refused, ordered, has_new_rules }
    }

    /// An error of a row, in the words that it has for a row that was there before.
    pub fn in_copied_row(&self, error: SqlError) -> SqlError {
        match error.kind {
            ErrorKind::ColumnCannotBeNull => {
                SqlError::new(ErrorKind::InvalidUseOfNull, "Invalid use of NULL value")
            }
            ErrorKind::DataTooLong => match self.cut_off(&error.message) {
                Some(message) => SqlError::new(ErrorKind::DataTruncated, message),
                None => error,
            },
            _ => error,
        }
    }

    /// What is said of a text that is cut, given what is said of one that is too long.
    fn cut_off(&self, message: &str) -> Option<String> {
        let rest = message.strip_prefix("Data too long for column '")?;
        let is_it = |copied: &&Copied| {
            let name = &self.filled.columns[copied.place].name;
            rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('\''))
        };
        self.copied.iter().find(is_it)?.cuts.then(|| format!("Data truncated for column '{rest}"))
    }

    /// The query for the values of a row, without those that are computed; of a table that nothing is copied
    /// from it only counts the rows.
    pub fn query(&self, database: &str, table: &str) -> String {
        let list = |names: Vec<String>| names.join(", ");
        let quoted = |name: &String| super::quote_name(name);
        let value = |copied: &Copied| match copied.numbers {
            true => format!("{} + 0", quoted(&copied.from)),
            false => quoted(&copied.from),
        };
        let values = match self.copied.is_empty() {
            true => "1".to_string(),
            false => list(self.copied.iter().map(value).collect()),
        };
        let order = match self.ordered.is_empty() {
            true => String::new(),
            false => format!(" ORDER BY {}", list(self.ordered.iter().map(quoted).collect())),
        };
        format!("SELECT {values} FROM {}.{}{order}", super::quote_name(database), super::quote_name(table))
    }
}

fn has_new_rules(old: &TableDef, new: &TableDef) -> bool {
    let has_computed = |expression: &str| {
        old.columns.iter().any(|column| match &column.default {
            ColumnDefault::Generated { expression: known, .. } => known == expression,
            _ => false,
        })
    };
    let is_new = new.columns.iter().any(|column| match &column.default {
        ColumnDefault::Generated { expression, .. } => !has_computed(expression),
        ColumnDefault::Expression(_) => old.column(column.id).is_none(),
        _ => false,
    });
    // What is computed of a column is another thing once that is of another type.
    let retyped = |expression: &str| {
        new.columns.iter().any(|column| {
            old.column(column.id).is_some_and(|before| before.ty != column.ty)
                && expression.to_lowercase().contains(&column.name.to_lowercase())
        })
    };
    let generated = new.columns.iter().filter_map(|column| match &column.default {
        ColumnDefault::Generated { expression, .. } => Some(expression),
        _ => None,
    });
    let enforced = new.checks.iter().filter(|check| check.enforced).map(|check| &check.expression);
    is_new
        || generated.chain(enforced).any(|expression| retyped(expression))
        || new.checks.iter().filter(|check| check.enforced).any(|check| {
            !old.checks.iter().any(|known| known.enforced && known.expression == check.expression)
        })
}

fn no_value(name: &str, ty: SqlType) -> SqlError {
    let zero = match ty {
        SqlType::Date => "date value: '0000-00-00'",
        SqlType::DateTime { .. } | SqlType::Timestamp { .. } => "datetime value: '0000-00-00 00:00:00'",
        _ => {
            return SqlError::unsupported(format!(
                "adding column '{name}' of type {ty} NOT NULL without a default to a table that has rows"
            ));
        }
    };
    SqlError::new(ErrorKind::WrongValue, format!("Incorrect {zero} for column '{name}' at row 1"))
}

/// Makes a definition that of a new table.
pub(super) fn renew(def: &mut TableDef) -> Result<()> {
    collations::unkey_texts(def);
    for column in &mut def.columns {
        column.initial = None;
    }
    keys::refuse_lob_keys(def)?;
    collations::key_texts(def);
    Ok(())
}

/// That the rows may be treated as ALGORITHM and LOCK want it. Errors: 1221, 1845, 1846.
pub(super) fn check_clauses(alter: &AlterTable, rewrites: Option<Rewrite>) -> Result<()> {
    if alter.algorithm == Some(AlterAlgorithm::Instant)
        && let Some(lock) = alter.lock
    {
        let text = format!("Incorrect usage of ALGORITHM=INSTANT and LOCK={}", lock.name());
        return Err(SqlError::new(ErrorKind::WrongUsage, text));
    }
    let Some(why) = rewrites else { return Ok(()) };
    let clause = match (alter.algorithm, alter.lock) {
        (Some(algorithm @ (AlterAlgorithm::Instant | AlterAlgorithm::Inplace)), _) => {
            let clause = format!("ALGORITHM={}", algorithm.name());
            let reason = match why {
                Rewrite::Type => "Cannot change column type INPLACE",
                Rewrite::Null => "cannot silently convert NULL values, as required in this SQL_MODE",
                Rewrite::Other | Rewrite::Asked => {
                    return Err(SqlError::new(
                        ErrorKind::AlterNotSupported,
                        format!("{clause} is not supported for this operation. Try ALGORITHM=COPY."),
                    ));
                }
            };
            (clause, reason, "ALGORITHM=COPY")
        }
        (_, Some(AlterLock::None)) => {
            ("LOCK=NONE".to_string(), "COPY algorithm requires a lock", "LOCK=SHARED")
        }
        (_, Some(AlterLock::Exclusive)) => {
            ("LOCK=EXCLUSIVE".to_string(), "Readers are never kept waiting", "LOCK=SHARED")
        }
        (None | Some(AlterAlgorithm::Copy), None | Some(AlterLock::Shared)) => return Ok(()),
    };
    let (clause, reason, other) = clause;
    Err(SqlError::new(
        ErrorKind::AlterNotSupportedReason,
        format!("{clause} is not supported. Reason: {reason}. Try {other}."),
    ))
}

impl AlterAlgorithm {
    fn name(self) -> &'static str {
        match self {
            AlterAlgorithm::Instant => "INSTANT",
            AlterAlgorithm::Inplace => "INPLACE",
            AlterAlgorithm::Copy => "COPY",
        }
    }
}

impl AlterLock {
    fn name(self) -> &'static str {
        match self {
            AlterLock::None => "NONE",
            AlterLock::Shared => "SHARED",
            AlterLock::Exclusive => "EXCLUSIVE",
        }
    }
}
