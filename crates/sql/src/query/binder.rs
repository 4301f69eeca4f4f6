//! The state of binding one statement, and what its parts hand to each other.

use super::context::{BindContext, SessionView, VariableScope};
use super::distinct::Compared;
use super::errors::Clause;
use super::open::Open;
use super::scope::{Origin, Scope};
use super::views::{OpenViews, Rewrites};
use crate::analyzer::convert::Rules;
use crate::analyzer::{Collated, Typed};
use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::expr::Alias as AliasExpr;
use datafusion::logical_expr::logical_plan::Projection;
use datafusion::logical_expr::{Expr, LogicalPlan, SubqueryAlias};
use sqlparser::ast;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use types::{Collation, ErrorKind, SqlError, SqlType, TableDef, Value};

/// How deep queries and expressions may nest.
const MAX_DEPTH: usize = 600;
/// How many relations a plan may read.
const MAX_RELATIONS: usize = 4_096;
/// A level of binding takes less stack than this; where less is left, another piece is taken.
const STACK_RESERVE: usize = 256 << 10;
const STACK_PIECE: usize = 4 << 20;

pub(super) struct Binder<'a> {
    pub(super) ctx: &'a BindContext<'a>,
    pub(super) rules: Rules,
    /// Names of relations in the plan, each with how often it was asked for: no two relations of one
    /// plan share a name, so a column of an outer query is never taken for one of an inner query.
    names: HashMap<String, usize>,
    /// The visible common table expressions, the nearest last.
    pub(super) ctes: Vec<Cte>,
    /// Scopes of the enclosing queries, the nearest last.
    pub(super) outer: Vec<Arc<Scope>>,
    /// While it is there, the tables of FROM are read with the places of their rows, and listed here.
    pub(super) located: Option<Vec<LocatedTable>>,
    /// VALUES(column) of ON DUPLICATE KEY UPDATE: the columns of the new row.
    pub(super) inserted: Option<Scope>,
    /// What is read through views.
    pub(super) views: OpenViews,
    /// While it is there: a view is being made.
    pub(super) rewrites: Option<Rewrites>,
    /// In FROM of a query that locks rows.
    pub(super) refuses_views: bool,
    /// Relations that the plan reads so far, those in common table expressions each time that they are named.
    pub(super) relations: usize,
    /// The most levels of a common table expression that was named, see [`Cte::levels`].
    pub(super) cte_levels: usize,
    /// While it is there: values may stay open.
    pub(super) open: Option<Open>,
    depth: usize,
}

/// A table of FROM whose rows are to be locked or changed.
#[derive(Debug, Clone)]
pub(super) struct LocatedTable {
    /// The database as the session would name it.
    pub(super) database: Option<String>,
    /// Alias, or name.
    pub(super) shown: String,
    /// Its name in the plan.
    pub(super) relation: String,
    pub(super) definition: Arc<TableDef>,
    /// Columns of the plan that are in no scope.
    pub(super) partition: Column,
    pub(super) row: Column,
}

/// A common table expression.
#[derive(Clone)]
pub(super) struct Cte {
    pub(super) name: String,
    pub(super) rows: Rows,
    /// How many relations are read wherever it is named.
    pub(super) relations: usize,
    /// How many of them stand one within the other, this one included.
    pub(super) levels: usize,
}

/// A bound query: a plan and its columns.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) plan: LogicalPlan,
    pub(super) columns: Vec<Output>,
}

#[derive(Debug, Clone)]
pub(super) struct Output {
    pub(super) name: String,
    /// In the plan.
    pub(super) column: Column,
    pub(super) ty: SqlType,
    pub(super) arrow: DataType,
    pub(super) nullable: bool,
    pub(super) collation: Collated,
    pub(super) table: String,
    pub(super) origin: Option<Arc<Origin>>,
}

/// A SELECT item that later clauses may name.
#[derive(Debug, Clone)]
pub(super) struct Alias {
    pub(super) name: String,
    pub(super) value: Typed,
}

/// What an expression may use where it stands.
#[derive(Clone, Copy)]
pub(super) struct Env<'e> {
    pub(super) scope: &'e Scope,
    pub(super) clause: Clause,
    pub(super) aliases: &'e [Alias],
    /// Whether an alias hides a column of the same name.
    pub(super) aliases_first: bool,
    pub(super) aggregates: bool,
    pub(super) windows: bool,
    /// Whether SUM and AVG are of all rows, since there is no GROUP BY.
    pub(super) one_group: bool,
    /// WINDOW w AS (..).
    pub(super) named_windows: &'e [ast::NamedWindowDefinition],
    pub(super) truth: Truth,
}

/// What becomes of a condition, which decides how an IN in it may be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    /// Rows for which it is not TRUE are left out.
    Conjunct,
    /// It is part of an OR of such: FALSE and NULL are the same.
    Disjunct,
    /// TRUE, FALSE and NULL are three values.
    Exact,
}

impl<'e> Env<'e> {
    pub(super) fn new(scope: &'e Scope, clause: Clause) -> Env<'e> {
        Env {
            scope,
            clause,
            aliases: &[],
            aliases_first: false,
            aggregates: false,
            windows: false,
            one_group: false,
            named_windows: &[],
            truth: match clause {
                Clause::Where | Clause::Having | Clause::On => Truth::Conjunct,
                _ => Truth::Exact,
            },
        }
    }
}

impl<'a> Binder<'a> {
    pub(super) fn new(ctx: &'a BindContext<'a>) -> Binder<'a> {
        let session = &ctx.session;
        let rules = Rules {
            zone: session.zone,
            now: session.now.map(|now| session.zone.to_local(now)),
            modes: session.modes,
            connection: connection_collation(session),
            strict_division: false,
            copied: Rc::default(),
        };
        Binder {
            ctx,
            rules,
            names: HashMap::new(),
            ctes: Vec::new(),
            outer: Vec::new(),
            located: None,
            inserted: None,
            views: OpenViews::default(),
            rewrites: None,
            refuses_views: false,
            relations: 0,
            cte_levels: 0,
            open: None,
            depth: 0,
        }
    }

    /// A binder for a query of another context within the plan of `outer`, which takes back what it
    /// lent with [`Binder::give_back`].
    pub(super) fn inside(ctx: &'a BindContext<'a>, outer: &mut Binder<'_>) -> Binder<'a> {
        let mut inner = Binder::new(ctx);
        inner.rules.strict_division = outer.rules.strict_division;
        inner.names = std::mem::take(&mut outer.names);
        inner.views = std::mem::take(&mut outer.views);
        inner.depth = outer.depth;
        inner.relations = outer.relations;
        inner.rules.copied = outer.rules.copied.clone();
        inner
    }

    pub(super) fn give_back(self, outer: &mut Binder<'_>) {
        outer.names = self.names;
        outer.views = self.views;
        outer.relations = self.relations;
    }

    /// Counts relations that the plan reads. Each common table expression that names another one twice doubles
    /// what is read, so a short text could read without end.
    pub(super) fn reads(&mut self, relations: usize) -> Result<(), SqlError> {
        self.relations = self.relations.saturating_add(relations.max(1));
        if self.relations <= MAX_RELATIONS {
            return Ok(());
        }
        Err(SqlError::new(
            ErrorKind::CapacityExceeded,
            format!(
                "The statement reads more than {MAX_RELATIONS} relations, those in common table expressions counted \
                 each time"
            ),
        ))
    }

    /// A name for a relation in the plan: `wanted`, or with a number if that is taken.
    pub(super) fn relation_name(&mut self, wanted: &str) -> String {
        let count = self.names.entry(wanted.to_string()).or_insert(0);
        *count += 1;
        if *count == 1 {
            return wanted.to_string();
        }
        let name = format!("{wanted}:{count}");
        self.names.insert(name.clone(), 1);
        name
    }

    /// Runs `body` one level deeper, on more stack if need be, unless the statement is to end.
    pub(super) fn nested<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.depth >= MAX_DEPTH {
            return Err(SqlError::new(
                ErrorKind::StackOverrun,
                format!("The statement nests deeper than {MAX_DEPTH} levels; make it flatter"),
            ));
        }
        self.ctx.tables.check_wanted()?;
        self.depth += 1;
        let result = stacker::maybe_grow(STACK_RESERVE, STACK_PIECE, || body(self));
        self.depth -= 1;
        result
    }

    /// Runs `body` as a subquery of `scope`.
    pub(super) fn within<T>(
        &mut self,
        scope: &Scope,
        body: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        self.outer.push(Arc::new(scope.clone()));
        let result = self.nested(body);
        self.outer.pop();
        result
    }
}

pub(super) fn planning(error: datafusion::error::DataFusionError) -> SqlError {
    super::execution_error(error)
}

/// Gives every name once: a repeated one gets its place behind it.
pub(super) fn unique_names<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut seen = HashSet::new();
    names
        .enumerate()
        .map(|(at, name)| {
            let mut unique = name.to_string();
            while !seen.insert(unique.clone()) {
                unique = format!("{name}:{}", at + 1);
                if !seen.contains(&unique) {
                    seen.insert(unique.clone());
                    break;
                }
                unique.push(':');
            }
            unique
        })
        .collect()
}

pub(super) fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan, SqlError> {
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection).map_err(planning)
}

pub(super) fn alias_plan(plan: LogicalPlan, name: &str) -> Result<LogicalPlan, SqlError> {
    let relation = datafusion::common::TableReference::bare(name);
    SubqueryAlias::try_new(Arc::new(plan), relation).map(LogicalPlan::SubqueryAlias).map_err(planning)
}

/// `expr AS name`.
pub(super) fn named(expr: Expr, name: &str) -> Expr {
    match &expr {
        Expr::Column(column) if column.relation.is_none() && column.name == name => expr,
        _ => Expr::Alias(AliasExpr::new(expr, None::<&str>, name)),
    }
}

impl Output {
    pub(super) fn typed(&self) -> Typed {
        Typed {
            expr: Expr::Column(self.column.clone()),
            ty: self.ty,
            arrow: self.arrow.clone(),
            nullable: self.nullable,
            collation: self.collation,
        }
    }

    pub(super) fn compared(&self) -> Compared {
        Compared {
            column: self.column.clone(),
            ty: self.ty,
            arrow: self.arrow.clone(),
            collation: self.collation.named(),
        }
    }
}

/// collation_connection; where there is no session, that of bytes.
fn connection_collation(session: &SessionView<'_>) -> Collation {
    match session.variables.system(VariableScope::Any, "collation_connection") {
        Ok(Value::Text(name)) => Collation::of_name(&name).unwrap_or_default(),
        _ => Collation::default(),
    }
}
