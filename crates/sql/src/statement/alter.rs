//! ALTER TABLE as a statement says it.

use super::{CheckSpec, ColumnSpec, DefaultSpec, ForeignKeySpec, KeySpec, TableName};
use sqlparser::ast;
use types::Collation;

/// ALTER TABLE as written; [`crate::ddl::altered`] makes a definition of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlterTable {
    pub table: TableName,
    pub actions: Vec<AlterAction>,
    /// ALGORITHM = .. and LOCK = .., unless DEFAULT.
    pub algorithm: Option<AlterAlgorithm>,
    pub lock: Option<AlterLock>,
    /// ENABLE KEYS or DISABLE KEYS, which change nothing here: for a note to the client.
    pub switches_keys: bool,
    /// Clauses that change nothing here: for a note to the client.
    pub accepted: Vec<String>,
}

/// How an ALTER TABLE is to be done: at once, without copying all rows, or by copying them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterAlgorithm {
    Instant,
    Inplace,
    Copy,
}

/// Whom an ALTER TABLE may keep waiting meanwhile: nobody, writers, or readers, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlterLock {
    None,
    Shared,
    Exclusive,
}

/// Where a column goes.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnPlace {
    /// Behind all others if it is new, else where it was.
    Unsaid,
    First,
    After(ast::Ident),
}

#[derive(Debug, Clone, PartialEq)]
pub enum AlterAction {
    AddColumn {
        column: ColumnSpec,
        place: ColumnPlace,
    },
    DropColumn(ast::Ident),
    /// MODIFY and CHANGE.
    ChangeColumn {
        name: ast::Ident,
        column: ColumnSpec,
        place: ColumnPlace,
    },
    RenameColumn {
        from: ast::Ident,
        to: ast::Ident,
    },
    /// ALTER COLUMN .. SET DEFAULT; None: DROP DEFAULT.
    SetDefault {
        column: ast::Ident,
        default: Option<DefaultSpec>,
    },
    AddKey(KeySpec),
    AddForeignKey(ForeignKeySpec),
    AddCheck(CheckSpec),
    /// PRIMARY among them.
    DropKey(String),
    DropShardKey,
    DropSortKey,
    DropCheck(String),
    DropForeignKey(String),
    /// A unique key, a foreign key or a check.
    DropConstraint(String),
    RenameKey {
        from: String,
        to: String,
    },
    RenameTable(TableName),
    AutoIncrement(u64),
    Comment(String),
    /// \[DEFAULT\] COLLATE; `columns`: CONVERT TO, which changes the columns as well.
    Collation {
        collation: Collation,
        columns: bool,
    },
}
