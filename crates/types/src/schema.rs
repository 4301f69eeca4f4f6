//! Table definitions, as the catalog keeps them and every process reads them.

use crate::{Collation, ColumnId, DatabaseId, SqlType, TableId};
use serde::{Deserialize, Serialize};

/// What a column takes when an INSERT does not name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColumnDefault {
    /// No DEFAULT clause: NULL if the column takes it, else an error in strict mode.
    None,
    /// DEFAULT NULL.
    Null,
    /// A literal, as text; converted to the column's type like a string constant.
    Literal(String),
    /// DEFAULT CURRENT_TIMESTAMP.
    CurrentTimestamp,
    /// DEFAULT (expression), over the columns of the row.
    Expression(String),
    /// GENERATED ALWAYS AS (expression): no other value is taken.
    Generated {
        expression: String,
        /// STORED as opposed to VIRTUAL, which changes only what is shown.
        stored: bool,
    },
    /// The key of this column's text under that column's collation. Such a column is hidden: keys of the
    /// table have it in the place of the text, so that they compare as the text does.
    CollationKey(ColumnId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    pub id: ColumnId,
    pub name: String,
    pub ty: SqlType,
    /// How a string compares; unused by other types.
    #[serde(default, skip_serializing_if = "Collation::is_default")]
    pub collation: Collation,
    pub nullable: bool,
    pub default: ColumnDefault,
    /// What rows have that were written before the column was added, where later changes of the
    /// default could no longer tell. None: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<ColumnDefault>,
    pub auto_increment: bool,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub on_update_now: bool,
    pub comment: String,
}

/// A secondary key, declared with KEY or UNIQUE KEY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDef {
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub unique: bool,
}

/// A condition that no row may make false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDef {
    pub name: String,
    pub expression: String,
    /// False: NOT ENFORCED.
    pub enforced: bool,
}

/// FOREIGN KEY .. REFERENCES, as it was declared. It is kept for those who ask how tables belong together;
/// nothing enforces it, and what it names need not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeyDef {
    pub name: String,
    pub columns: Vec<ColumnId>,
    /// `None`: the table's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub table: String,
    /// As many as `columns`.
    pub referenced: Vec<String>,
    #[serde(default, skip_serializing_if = "ReferentialAction::is_default")]
    pub on_delete: ReferentialAction,
    #[serde(default, skip_serializing_if = "ReferentialAction::is_default")]
    pub on_update: ReferentialAction,
}

/// What a foreign key says of changes to the rows that it refers to. Both are the same; only the word differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferentialAction {
    #[default]
    NoAction,
    Restrict,
}

impl ReferentialAction {
    fn is_default(&self) -> bool {
        *self == ReferentialAction::default()
    }

    /// As SQL writes it.
    pub const fn name(self) -> &'static str {
        match self {
            ReferentialAction::NoAction => "NO ACTION",
            ReferentialAction::Restrict => "RESTRICT",
        }
    }
}

/// One version of a table's definition. A schema change makes another with `version + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDef {
    pub id: TableId,
    pub database: DatabaseId,
    pub name: String,
    /// From 1.
    pub version: u64,
    /// In the order of SELECT *; behind those that it shows, the hidden ones.
    pub columns: Vec<ColumnDef>,
    /// The id that the next added column takes.
    pub next_column_id: ColumnId,
    /// Columns whose hash places a row; empty: rows are spread by batches, or the table is a reference table.
    pub shard_key: Vec<ColumnId>,
    /// Order of rows in segments; empty: the primary key, or the order of arrival without one.
    pub sort_key: Vec<ColumnId>,
    /// Empty: none.
    pub primary_key: Vec<ColumnId>,
    pub keys: Vec<KeyDef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckDef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKeyDef>,
    pub comment: String,
    /// What string columns get that are added without one of their own.
    #[serde(default, skip_serializing_if = "Collation::is_default")]
    pub collation: Collation,
    /// The table that is about to take the place of this one, with all of its rows: until it has, or is given
    /// up, no row of this one may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<TableId>,
    /// A REFERENCE table: all its rows lie in the first partition of its database, and it has no shard key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference: bool,
}

/// How names of tables begin that are there for one session alone. No statement can give such a name.
pub const TEMPORARY_PREFIX: &str = "#temporary-";

impl ColumnDef {
    /// Whether nobody sees the column: it has no name in statements and none shows it.
    pub fn is_hidden(&self) -> bool {
        matches!(self.default, ColumnDefault::CollationKey(_))
    }
}

impl TableDef {
    /// Whether the table is kept for one session alone; such are not listed.
    pub fn is_temporary(&self) -> bool {
        self.name.starts_with(TEMPORARY_PREFIX)
    }

    /// The columns that statements see, in the order of SELECT *.
    pub fn shown(&self) -> &[ColumnDef] {
        let hidden = self.columns.iter().rev().take_while(|column| column.is_hidden()).count();
        &self.columns[..self.columns.len() - hidden]
    }

    /// What a key compares in the place of this column: its collation key, if the table keeps it.
    pub fn compared(&self, id: ColumnId) -> ColumnId {
        let key = self.columns.iter().find(|column| column.default == ColumnDefault::CollationKey(id));
        key.map_or(id, |key| key.id)
    }

    /// The column that statements know a column of a key by: the reverse of [`TableDef::compared`].
    pub fn shown_as(&self, id: ColumnId) -> ColumnId {
        match self.column(id).map(|column| &column.default) {
            Some(ColumnDefault::CollationKey(shown)) => *shown,
            _ => id,
        }
    }

    /// Whether a key has the column, as itself or as its collation key.
    pub fn has_column(&self, key: &[ColumnId], id: ColumnId) -> bool {
        key.contains(&id) || key.contains(&self.compared(id))
    }

    /// The columns of a key as statements know them.
    pub fn shown_columns<'d>(&'d self, key: &'d [ColumnId]) -> impl Iterator<Item = &'d ColumnDef> {
        key.iter().filter_map(|id| self.column(self.shown_as(*id)))
    }

    /// The column with this id.
    pub fn column(&self, id: ColumnId) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.id == id)
    }

    /// The column with this name, compared without case, and its place in SELECT *.
    pub fn column_named(&self, name: &str) -> Option<(usize, &ColumnDef)> {
        self.shown().iter().enumerate().find(|(_, c)| c.name.eq_ignore_ascii_case(name))
    }

    /// The place in SELECT * of the column with this id.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|c| c.id == id)
    }

    /// The order that segments are written in: the sort key, else the primary key.
    pub fn segment_order(&self) -> &[ColumnId] {
        if self.sort_key.is_empty() { &self.primary_key } else { &self.sort_key }
    }

    /// Whether values of the column are only computed.
    pub fn is_generated(&self, place: usize) -> bool {
        self.columns.get(place).is_some_and(|c| matches!(c.default, ColumnDefault::Generated { .. }))
    }

    pub fn auto_increment(&self) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.auto_increment)
    }
}
