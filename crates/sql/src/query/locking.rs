//! SELECT .. FOR UPDATE and FOR SHARE: where the rows are that the query reads.
//!
//! Where each row of the result is a row of FROM, the plan says so itself, in columns behind those of
//! the result: two for each locked table, its partition and its row there, NULL where an outer join
//! found none. Where rows of FROM go into one of the result (GROUP BY, DISTINCT), a query of its own
//! finds their places; the result is to be read once they are locked.

use super::binder::{Binder, LocatedTable, Rows, named};
use super::context::{PARTITION_COLUMN, ROW_COLUMN};
use datafusion::logical_expr::{Expr, LogicalPlan};
use sqlparser::ast;
use std::sync::Arc;
use types::{ErrorKind, SqlError, TableDef};

/// FOR UPDATE and FOR SHARE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLock {
    Share,
    Update,
}

/// What becomes of rows that others have locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenLocked {
    #[default]
    Wait,
    /// NOWAIT
    Fail,
    /// SKIP LOCKED
    Skip,
}

/// The rows that a query locks.
#[derive(Debug, Clone)]
pub struct BoundLock {
    pub lock: RowLock,
    pub when_locked: WhenLocked,
    /// The tables, in the order of their pairs of columns.
    pub tables: Vec<Arc<TableDef>>,
    /// A plan whose columns are the pairs, all of them. `None`: they are the last columns of the
    /// query's own plan.
    pub apart: Option<LogicalPlan>,
    /// With SKIP LOCKED: rows of the result to leave out, and how many to take then, of those that
    /// could be locked.
    pub skip: u64,
    pub fetch: Option<u64>,
}

/// The columns of places on their way through a SELECT.
pub(super) struct Places {
    pub(super) columns: Vec<Expr>,
    pub(super) apart: Option<LogicalPlan>,
}

/// The lock of a query while it is bound.
pub(super) struct LockedRows {
    /// Names of FOR UPDATE OF; empty: all tables.
    of: Vec<String>,
    /// LIMIT counts rows that could be locked.
    pub(super) limits_later: bool,
    pub(super) tables: Vec<Arc<TableDef>>,
    pub(super) apart: Option<LogicalPlan>,
    pub(super) skip: u64,
    pub(super) fetch: Option<u64>,
}

/// The columns of these tables' places, named by their number.
pub(super) fn place_columns<'t>(tables: impl Iterator<Item = &'t LocatedTable>) -> Vec<Expr> {
    tables
        .enumerate()
        .flat_map(|(at, table)| {
            let column = |column: &datafusion::common::Column, name: &str| {
                named(Expr::Column(column.clone()), &format!("{name}:{at}"))
            };
            [column(&table.partition, PARTITION_COLUMN), column(&table.row, ROW_COLUMN)]
        })
        .collect()
}

impl Binder<'_> {
    /// A SELECT with the places of its rows.
    pub(super) fn locking_select(
        &mut self,
        select: &ast::Select,
        order: &[ast::OrderByExpr],
        titles: Option<&[String]>,
        lock: &mut LockedRows,
    ) -> Result<Rows, SqlError> {
        super::select::refuse_unsupported(select)?;
        let refused = std::mem::replace(&mut self.refuses_views, true);
        let located = self.located_from(&select.from);
        self.refuses_views = refused;
        let (source, tables) = located?;
        if let Some(unknown) = lock.of.iter().find(|name| !tables.iter().any(|table| table.shown == **name)) {
            return Err(SqlError::new(
                ErrorKind::UnresolvedTableLock,
                format!("Unresolved table name `{unknown}` in locking clause."),
            ));
        }
        let locked: Vec<&LocatedTable> =
            tables.iter().filter(|table| lock.of.is_empty() || lock.of.contains(&table.shown)).collect();
        lock.tables = locked.iter().map(|table| Arc::clone(&table.definition)).collect();
        let columns = place_columns(locked.into_iter());
        let mut places = Some(Places { columns, apart: None });
        let rows = self.select_from(source, select, order, titles, &mut places)?;
        lock.apart = places.and_then(|places| places.apart);
        Ok(rows)
    }

    /// A whole query with a clause FOR UPDATE or FOR SHARE.
    pub(super) fn locking_query(
        &mut self,
        query: &ast::Query,
        titles: Option<&[String]>,
    ) -> Result<(Rows, BoundLock), SqlError> {
        let [clause] = query.locks.as_slice() else {
            return Err(SqlError::unsupported("several FOR UPDATE and FOR SHARE clauses in one query"));
        };
        let when_locked = match clause.nonblock {
            None => WhenLocked::Wait,
            Some(ast::NonBlock::Nowait) => WhenLocked::Fail,
            Some(ast::NonBlock::SkipLocked) => WhenLocked::Skip,
        };
        let of = match &clause.of {
            None => Vec::new(),
            Some(name) => vec![super::from::table_name(name)?.1.to_string()],
        };
        let mut locked = LockedRows {
            of,
            limits_later: when_locked == WhenLocked::Skip,
            tables: Vec::new(),
            apart: None,
            skip: 0,
            fetch: None,
        };
        let rows = self.whole_query(query, titles, Some(&mut locked))?;
        let lock = match clause.lock_type {
            ast::LockType::Share => RowLock::Share,
            ast::LockType::Update => RowLock::Update,
        };
        let LockedRows { tables, apart, skip, fetch, .. } = locked;
        Ok((rows, BoundLock { lock, when_locked, tables, apart, skip, fetch }))
    }
}
