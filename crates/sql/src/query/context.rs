//! What binding needs from outside: the tables, the session and the parameters.

use super::momentary::Momentary;
use super::readable::ReadableColumns;
use crate::temporal::Zone;
use datafusion::logical_expr::TableSource;
use std::sync::Arc;
use types::{SqlError, TableDef, Value};

/// The tables that names in a statement may mean.
pub trait Tables: Send + Sync {
    /// The table as SELECT sees it. Errors: 1146, 1049, 1046.
    fn table(&self, database: Option<&str>, name: &str) -> Result<Arc<dyn TableSource>, SqlError>;

    /// The table with two columns more after its own: [`PARTITION_COLUMN`] UInt32 and [`ROW_COLUMN`] UInt64.
    fn table_with_row_refs(
        &self,
        database: Option<&str>,
        name: &str,
    ) -> Result<Arc<dyn TableSource>, SqlError>;

    /// The view of this name; `None`: there is none, perhaps a table. Errors: 1142 if it may not be
    /// read, 1449, 1046.
    fn view(&self, _database: Option<&str>, _name: &str) -> Result<Option<View>, SqlError> {
        Ok(None)
    }

    /// The definition; `None` for what has none, such as a view of information_schema.
    fn definition(&self, database: Option<&str>, name: &str) -> Result<Option<Arc<TableDef>>, SqlError>;

    /// Which columns of a table or view may be read, where these are not all of them.
    fn readable(&self, _database: Option<&str>, _name: &str) -> Result<Option<ReadableColumns>, SqlError> {
        Ok(None)
    }

    /// An error once nobody wants the statement any more. Binding asks this at each level of its way.
    fn check_wanted(&self) -> Result<(), SqlError> {
        Ok(())
    }
}

/// A view with all that its query is bound by.
pub struct View {
    pub database: String,
    pub name: String,
    pub columns: Vec<String>,
    /// The text that [`super::bind_view`] gave.
    pub query: String,
    /// What CURRENT_USER() gives in it.
    pub current_user: String,
    /// By the sql_mode of when it was made.
    pub modes: Modes,
    /// The tables by the rights of its definer, or of who reads it.
    pub tables: Box<dyn Tables>,
}

/// The hidden column that says in which partition a row lives.
pub const PARTITION_COLUMN: &str = "__partition";
/// The hidden column that names a row within its partition.
pub const ROW_COLUMN: &str = "__row";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableScope {
    /// `@@name`: the session's value where there is one, else the global one.
    Any,
    Session,
    Global,
}

/// Variables of the session.
pub trait Variables: Send + Sync {
    /// `@@name`, the name in lower case. Error: 1193.
    fn system(&self, scope: VariableScope, name: &str) -> Result<Value, SqlError>;

    /// `@name`, the name in lower case. NULL if it was never set.
    fn user(&self, name: &str) -> Value;
}

/// The flags of sql_mode that change what a statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    pub only_full_group_by: bool,
    pub pipes_as_concat: bool,
    pub no_unsigned_subtraction: bool,
    pub no_backslash_escapes: bool,
    pub no_auto_value_on_zero: bool,
    /// A strict mode.
    pub strict: bool,
    /// A strict mode with ERROR_FOR_DIVISION_BY_ZERO: what is written to a table divides by no zero.
    pub strict_division: bool,
}

impl Default for Modes {
    fn default() -> Modes {
        Modes {
            only_full_group_by: true,
            pipes_as_concat: false,
            no_unsigned_subtraction: false,
            no_backslash_escapes: false,
            no_auto_value_on_zero: false,
            strict: true,
            strict_division: true,
        }
    }
}

/// The session as a statement sees it, fixed for the statement.
#[derive(Clone, Copy)]
pub struct SessionView<'a> {
    /// What DATABASE() gives; unqualified tables are looked up by [`Tables`] itself.
    pub database: Option<&'a str>,
    /// `name@host` as the client gave it.
    pub user: Momentary<&'a str>,
    /// `name@host` as the account is declared.
    pub current_user: Momentary<&'a str>,
    /// The roles that the session has taken, as CURRENT_ROLE() shows them.
    pub current_role: Momentary<&'a str>,
    pub connection_id: Momentary<u64>,
    pub last_insert_id: Momentary<u64>,
    pub row_count: Momentary<i64>,
    pub found_rows: Momentary<u64>,
    pub version: &'a str,
    /// When the statement began: microseconds since 1970 UTC.
    pub now: Momentary<i64>,
    pub zone: Zone,
    pub modes: Modes,
    pub variables: &'a dyn Variables,
}

/// Everything that binding takes.
#[derive(Clone, Copy)]
pub struct BindContext<'a> {
    pub tables: &'a dyn Tables,
    pub session: SessionView<'a>,
    /// The values of `?` (`$1`, `$2`, ..). To describe a statement before they are known, give NULLs.
    pub parameters: &'a [Value],
    /// The statement's text, from which result columns without alias take their names; may be empty.
    pub text: &'a str,
}
