//! What `sql_safe_updates` and `sql_select_limit` keep people from: changing a whole table by a forgotten condition,
//! and reading all of one.

use crate::session::State;
use sql::query::ChangedTable;
use sqlparser::ast::{self, Visit, Visitor};
use std::ops::ControlFlow;
use types::{ErrorKind, Result, SqlError};

/// The value of `sql_select_limit` that limits nothing.
const NO_LIMIT: u64 = u64::MAX;

impl State {
    /// In the safe mode a change of rows names a column of a key in its conditions, whose names `named` gives, or has
    /// a LIMIT. Error: 1175.
    pub(super) fn check_safe(
        &self,
        tables: &[ChangedTable],
        named: impl FnOnce() -> Vec<String>,
        has_limit: bool,
    ) -> Result<()> {
        if has_limit || self.variables.number("sql_safe_updates") != Some(1) {
            return Ok(());
        }
        let named = named();
        let is_named = |column: &str| named.iter().any(|name| name.eq_ignore_ascii_case(column));
        let is_found_by_key = |table: &ChangedTable| {
            let def = &table.definition;
            let keys = def.keys.iter().flat_map(|key| &key.columns).chain(&def.primary_key);
            keys.chain(&def.shard_key).filter_map(|id| def.column(*id)).any(|column| is_named(&column.name))
        };
        if tables.iter().all(is_found_by_key) {
            return Ok(());
        }
        Err(SqlError::new(
            ErrorKind::UpdateWithoutKeyInSafeMode,
            "You are using safe update mode and you tried to update a table without a WHERE that uses a KEY column; \
             name a column of a key in WHERE, add a LIMIT, or SET sql_safe_updates = 0",
        ))
    }

    /// The query with the limit that the session gives those without one; `None`: as it stands.
    pub(super) fn with_select_limit(&self, query: &ast::Query) -> Option<ast::Query> {
        let limit = self.variables.number("sql_select_limit").filter(|limit| *limit != NO_LIMIT)?;
        if query.limit_clause.is_some() {
            return None;
        }
        let limit = ast::Expr::value(ast::Value::Number(limit.to_string(), false));
        let clause = ast::LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by: Vec::new() };
        Some(ast::Query { limit_clause: Some(clause), ..query.clone() })
    }

    /// Whether a query without a LIMIT gives all of its rows.
    pub(super) fn selects_all(&self) -> bool {
        self.variables.number("sql_select_limit") == Some(NO_LIMIT)
    }
}

/// The last parts of the names that stand in expressions.
pub(super) fn names_of(conditions: &impl Visit) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Identifier(name) => self.0.push(name.value.clone()),
                ast::Expr::CompoundIdentifier(parts) => {
                    self.0.extend(parts.last().map(|name| name.value.clone()));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = conditions.visit(&mut names);
    names.0
}
