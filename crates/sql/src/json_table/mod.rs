//! JSON_TABLE: rows made of JSON documents.
//!
//! [`JsonTable`] says what rows are made of a document; it travels with plans. [`JsonTableNode`] puts it into a
//! logical plan, and [`JsonRows`] makes the rows.

mod node;
mod rows;
#[cfg(test)]
mod tests;

pub use node::JsonTableNode;
pub use rows::{JsonRows, MadeRows, check_default};

use serde::{Deserialize, Serialize};
use types::SqlType;

/// How many rows a document is taken for, of which nothing is known before it is read.
pub const ROWS_OF_DOCUMENT: usize = 10;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JsonTable {
    /// The time zone of texts with an offset and of TIMESTAMP, as `time_zone` is set.
    pub zone: String,
    pub rows: RowsAt,
}

/// A row for each value that a path finds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RowsAt {
    pub path: String,
    pub columns: Vec<JsonColumn>,
}

/// What follows COLUMNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JsonColumn {
    /// FOR ORDINALITY: the number of the row among those of its path, from 1.
    Ordinality { name: String },
    /// EXISTS PATH: 1 or 0.
    Exists { name: String, ty: SqlType, path: String },
    /// PATH
    Value { name: String, ty: SqlType, path: String, on_empty: Otherwise, on_error: Otherwise },
    /// NESTED PATH
    Nested(RowsAt),
}

/// What a column has in place of a value that is not there, or that it does not take.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Otherwise {
    Null,
    /// A JSON text.
    Default(String),
    Error,
}

/// The type of FOR ORDINALITY.
const ORDINALITY: SqlType = SqlType::BigInt { unsigned: false };

impl JsonTable {
    /// Names and types of the columns in the order of `SELECT *`.
    pub fn columns(&self) -> Vec<(&str, SqlType)> {
        let mut all = Vec::new();
        self.rows.list(&mut all);
        all
    }
}

impl RowsAt {
    fn list<'t>(&'t self, all: &mut Vec<(&'t str, SqlType)>) {
        for column in &self.columns {
            match column {
                JsonColumn::Ordinality { name } => all.push((name, ORDINALITY)),
                JsonColumn::Exists { name, ty, .. } | JsonColumn::Value { name, ty, .. } => {
                    all.push((name, *ty));
                }
                JsonColumn::Nested(nested) => nested.list(all),
            }
        }
    }
}
