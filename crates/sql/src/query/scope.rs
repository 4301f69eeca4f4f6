//! The columns that names may mean, and how a name is looked up among them.

use super::ColumnMarks;
use super::errors::{Clause, ambiguous_column, unknown_column};
use super::readable::ReadableColumns;
use crate::analyzer::{Collated, Typed};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use std::sync::Arc;
use types::{SqlError, SqlType};

/// The table that a column comes from, for the metadata of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) schema: String,
    pub(super) org_table: String,
    pub(super) org_name: String,
    pub(super) marks: ColumnMarks,
}

/// A column of a relation in FROM.
#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    /// Alias of its table, or its name.
    pub(super) table: String,
    /// The table's database; `None` for derived tables and under an alias.
    pub(super) database: Option<String>,
    pub(super) name: String,
    /// In the plan.
    pub(super) column: Column,
    pub(super) ty: SqlType,
    pub(super) arrow: DataType,
    pub(super) nullable: bool,
    pub(super) collation: Collated,
    pub(super) origin: Option<Arc<Origin>>,
    /// What may be read of its table, if that is not every column.
    pub(super) readable: Option<Arc<ReadableColumns>>,
    /// False for the second of two columns that USING or NATURAL made one: only a qualified name
    /// means it.
    pub(super) visible: bool,
    /// The place in the order in which tables have their columns, for `t.*`.
    pub(super) ordinal: usize,
}

/// A relation of FROM, for what depends on whole tables.
#[derive(Debug, Clone)]
pub(super) struct ScopeRelation {
    /// Name in the plan.
    pub(super) relation: String,
    /// Names of its primary key's columns; empty if it has none.
    pub(super) primary_key: Vec<String>,
}

/// What FROM offers, in the order of `SELECT *`.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
    pub(super) relations: Vec<ScopeRelation>,
}

/// A column name, perhaps qualified.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnName<'a> {
    pub(super) database: Option<&'a str>,
    pub(super) table: Option<&'a str>,
    pub(super) name: &'a str,
}

impl std::fmt::Display for ColumnName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(database) = self.database {
            write!(f, "{database}.")?;
        }
        if let Some(table) = self.table {
            write!(f, "{table}.")?;
        }
        f.write_str(self.name)
    }
}

impl ScopeColumn {
    pub(super) fn typed(&self) -> Typed {
        Typed {
            expr: Expr::Column(self.column.clone()),
            ty: self.ty,
            arrow: self.arrow.clone(),
            nullable: self.nullable,
            collation: self.collation,
        }
    }

    /// The same column seen from a subquery.
    pub(super) fn outer(&self) -> Typed {
        let field = Field::new(&self.column.name, self.arrow.clone(), self.nullable);
        Typed {
            expr: Expr::OuterReferenceColumn(Arc::new(field), self.column.clone()),
            ty: self.ty,
            arrow: self.arrow.clone(),
            nullable: self.nullable,
            collation: self.collation,
        }
    }

    fn is_of(&self, database: Option<&str>, table: &str) -> bool {
        self.table == table
            && database.is_none_or(|database| self.database.as_deref().is_none_or(|own| own == database))
    }
}

impl Scope {
    /// The column that a name means, which is read; `None` if there is none. Error: 1143 if it may not be.
    pub(super) fn find(
        &self,
        name: ColumnName<'_>,
        clause: Clause,
    ) -> Result<Option<&ScopeColumn>, SqlError> {
        let found = self.find_unread(name, clause)?;
        if let Some(ScopeColumn { name, readable: Some(readable), .. }) = found {
            readable.check(name)?;
        }
        Ok(found)
    }

    /// The column that a name means, whether or not it may be read: one that is written.
    pub(super) fn find_unread(
        &self,
        name: ColumnName<'_>,
        clause: Clause,
    ) -> Result<Option<&ScopeColumn>, SqlError> {
        let mut found = self.columns.iter().filter(|column| {
            let named = column.name.eq_ignore_ascii_case(name.name);
            named
                && match name.table {
                    None => column.visible,
                    Some(table) => column.is_of(name.database, table),
                }
        });
        let first = found.next();
        if found.next().is_some() {
            return Err(ambiguous_column(&name.to_string(), clause));
        }
        Ok(first)
    }

    /// The columns of `table.*`.
    pub(super) fn of_table(&self, database: Option<&str>, table: &str) -> Vec<&ScopeColumn> {
        let mut columns: Vec<&ScopeColumn> =
            self.columns.iter().filter(|column| column.is_of(database, table)).collect();
        columns.sort_by_key(|column| column.ordinal);
        columns
    }

    /// The columns of `*`.
    pub(super) fn all(&self) -> impl Iterator<Item = &ScopeColumn> {
        self.columns.iter().filter(|column| column.visible)
    }

    /// That all columns of a `*` may be read. Errors: 1142, 1143.
    pub(super) fn check_star<'c>(columns: impl Iterator<Item = &'c ScopeColumn>) -> Result<(), SqlError> {
        let mut passed: Vec<&Arc<ReadableColumns>> = Vec::new();
        for column in columns {
            let Some(readable) = &column.readable else { continue };
            let others_passed = passed.iter().any(|other| Arc::ptr_eq(other, readable));
            if readable.check(&column.name).is_err() {
                return Err(readable.denied_of_star(&column.name, others_passed));
            }
            if !others_passed {
                passed.push(readable);
            }
        }
        Ok(())
    }

    /// The column that stands in the plan as `column`.
    pub(super) fn of_plan(&self, column: &Column) -> Option<&ScopeColumn> {
        self.columns.iter().find(|own| own.column == *column)
    }

    pub(super) fn unknown(&self, name: ColumnName<'_>, clause: Clause) -> SqlError {
        let names = self
            .columns
            .iter()
            .filter(|column| name.table.is_none_or(|table| column.table == table))
            .map(|column| column.name.as_str());
        unknown_column(&name.to_string(), clause, names)
    }

    /// This scope beside another: a join.
    pub(super) fn join(mut self, right: Scope) -> Scope {
        let shift = self.columns.iter().map(|column| column.ordinal + 1).max().unwrap_or(0);
        self.columns.extend(
            right.columns.into_iter().map(|column| ScopeColumn { ordinal: column.ordinal + shift, ..column }),
        );
        self.relations.extend(right.relations);
        self
    }

    /// This scope without the one that it begins with.
    pub(super) fn without(mut self, first: &Scope) -> Scope {
        self.columns.drain(..first.columns.len().min(self.columns.len()));
        self.relations.drain(..first.relations.len().min(self.relations.len()));
        self
    }

    /// All columns may be NULL: the outer side of a join.
    pub(super) fn nullable(mut self) -> Scope {
        for column in &mut self.columns {
            column.nullable = true;
        }
        // A missing row has no key.
        for relation in &mut self.relations {
            relation.primary_key.clear();
        }
        self
    }
}
