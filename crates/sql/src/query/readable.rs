//! Which columns a statement may read of a table whose account was granted SELECT on some of them only.
//!
//! Every name that means a column is checked where it is looked up ([`super::scope::Scope::find`]), and `*` where
//! it becomes columns, so a column counts wherever it stands: in the list, WHERE, ON, USING, ORDER BY and
//! subqueries. A view's columns are its own; what its query reads is checked by the rights that it has.

use types::{ErrorKind, SqlError};

/// The columns of one table, or view, that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadableColumns {
    pub table: String,
    pub columns: Vec<String>,
    /// Who asks, as errors name them.
    pub user: String,
    pub host: String,
}

impl ReadableColumns {
    fn allow(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own.eq_ignore_ascii_case(column))
    }

    /// Error: 1143.
    pub(super) fn check(&self, column: &str) -> Result<(), SqlError> {
        if self.allow(column) { Ok(()) } else { Err(self.denied(column)) }
    }

    fn denied(&self, column: &str) -> SqlError {
        SqlError::new(
            ErrorKind::ColumnAccessDenied,
            format!(
                "SELECT command denied to user '{}'@'{}' for column '{column}' in table '{}'",
                self.user, self.host, self.table
            ),
        )
    }

    /// The column of `*` that may not be read. Once one was that may, no name is told: 1142.
    pub(super) fn denied_of_star(&self, column: &str, others_passed: bool) -> SqlError {
        if !others_passed {
            return self.denied(column);
        }
        SqlError::new(
            ErrorKind::TableAccessDenied,
            format!(
                "SELECT command denied to user '{}'@'{}' for table '{}'",
                self.user, self.host, self.table
            ),
        )
    }
}
