//! Views: a query under a name.

use crate::UserName;
use serde::{Deserialize, Serialize};
use types::DatabaseId;

/// With whose rights a view reads what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewSecurity {
    Definer,
    Invoker,
}

/// ALGORITHM of CREATE VIEW: recorded and shown; views are always merged into the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewAlgorithm {
    Undefined,
    Merge,
    TempTable,
}

/// A view shares the names of its database with the tables.
///
/// Its query is kept as text that means the same for ever: `*` was replaced by the columns that it
/// stood for, and names without a database are of the view's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    pub database: DatabaseId,
    pub name: String,
    /// The names of its columns, one for each column of the query.
    pub columns: Vec<String>,
    pub query: String,
    pub definer: UserName,
    pub security: ViewSecurity,
    pub algorithm: ViewAlgorithm,
    /// `sql_mode` when it was made, since some modes change what a text means.
    pub sql_mode: String,
}
