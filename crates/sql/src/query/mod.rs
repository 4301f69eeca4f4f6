//! Binding: sqlparser's tree of a query becomes a logical plan with MySQL's types made explicit.
//!
//! Names are looked up by MySQL's rules (columns without case, tables as written, aliases in GROUP
//! BY, HAVING and ORDER BY), every expression gets its MySQL type as it is built (see
//! [`crate::analyzer`]), and every conversion is an explicit cast or call, so that DataFusion's own
//! type coercion finds nothing to do. Constants are folded and brought to the type of the column
//! that they are compared with: `column op literal` reaches the scan as it is.

mod aggregate;
mod aggregates;
mod below;
mod binder;
mod calls;
mod calls_bytes;
mod calls_json;
mod calls_math;
mod calls_regexp;
mod calls_rounding;
mod calls_series;
mod calls_session;
mod calls_text;
mod calls_time;
mod change;
mod charsets;
mod context;
mod distinct;
mod early;
mod errors;
mod expr;
mod from;
mod function_names;
mod json_table;
mod literals;
mod locking;
mod momentary;
mod named_values;
mod on_duplicate;
mod open;
mod operators;
mod percentile;
mod readable;
mod row_rules;
mod rows;
mod scope;
mod select;
mod subquery;
#[cfg(test)]
mod tests;
mod titles;
mod views;
mod window;

pub use crate::functions::warnings::Warning;
pub use context::{
    BindContext, Modes, PARTITION_COLUMN, ROW_COLUMN, SessionView, Tables, VariableScope, Variables, View,
};
pub use early::{
    EarlyCall, early_calls, early_calls_of_query, early_result, has_early_calls, may_have_early_calls,
    query_before_calls, without_early_calls,
};
pub use errors::{execution_error, nearest};
pub use locking::{BoundLock, RowLock, WhenLocked};
pub use momentary::{Momentary, momentary, note_momentary};
pub(crate) use named_values::{PartialRow, RowValue, names_columns};
pub use on_duplicate::{OnDuplicateUpdate, bind_on_duplicate};
pub use open::{Open, OpenQuery, bind_open};
pub use readable::ReadableColumns;
pub use row_rules::{RowRules, with_rules};
pub(crate) use row_rules::{check_rules, mentions, refuse_dependent};
pub use views::{BoundView, bind_view, describe_view};

use crate::analyzer::Typed;
use crate::analyzer::fold::keeping_warned;
use crate::functions::warnings;
use crate::statement::{Delete, DeleteJoined, Update, UpdateJoined};
use binder::{Binder, Env, Output, Rows, planning};
use datafusion::logical_expr::LogicalPlan;
use errors::Clause;
use scope::Scope;
use sqlparser::ast;
use std::sync::Arc;
use types::{Collation, ColumnDef, ColumnDefault, SqlError, SqlType, TableDef, Value};

/// A column of a result, for its metadata. `table`, `org_table`, `org_name` and `schema` are empty
/// unless it is a plain column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputColumn {
    /// The title: alias, column name, or the expression as written.
    pub name: String,
    pub ty: SqlType,
    pub nullable: bool,
    pub collation: Collation,
    /// Database.
    pub schema: String,
    /// Alias of the table.
    pub table: String,
    pub org_table: String,
    pub org_name: String,
    pub marks: ColumnMarks,
}

/// What a plain column is in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColumnMarks {
    pub key: crate::ddl::KeyMark,
    pub auto_increment: bool,
    pub on_update_now: bool,
    /// INSERT must give it a value.
    pub no_default: bool,
}

impl ColumnMarks {
    fn of(def: &TableDef, column: &ColumnDef) -> ColumnMarks {
        ColumnMarks {
            key: crate::ddl::key_of(def, column.id),
            auto_increment: column.auto_increment,
            on_update_now: column.on_update_now,
            no_default: column.default == ColumnDefault::None && !column.nullable && !column.auto_increment,
        }
    }
}

/// A bound query. The plan's fields stand in the order of `columns`; their names are unique and may
/// differ from the titles.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    pub plan: LogicalPlan,
    pub columns: Vec<OutputColumn>,
    pub lock: Option<BoundLock>,
    /// What its constants raised.
    pub warnings: Vec<Warning>,
}

/// The rows that an UPDATE or DELETE changes.
#[derive(Debug, Clone)]
pub struct BoundChange {
    pub plan: LogicalPlan,
    pub tables: Vec<ChangedTable>,
    /// What its constants raised.
    pub warnings: Vec<Warning>,
    /// What those in assigned values did, which counts where there is a row to change.
    pub of_assigned: Vec<Warning>,
}

/// A table's part of the plan of a [`BoundChange`].
#[derive(Debug, Clone)]
pub struct ChangedTable {
    pub definition: Arc<TableDef>,
    /// Where its columns begin: partition and row, both NULL where an outer join found no row. Of an
    /// UPDATE then all columns of the table in order, the assigned ones with their new values, not yet
    /// converted to the column's type, and the old values of those.
    pub first: usize,
    /// Places in the table's definition of the assigned columns.
    pub assigned: Vec<usize>,
}

pub fn bind_query(query: &ast::Query, ctx: &BindContext<'_>) -> Result<BoundQuery, SqlError> {
    let titles = titles::titles(ctx.text);
    let (bound, warnings) = warnings::gather(|| {
        if query.locks.is_empty() {
            return Ok(bound(Binder::new(ctx).titled_query(query, titles.as_deref())?, None));
        }
        let (rows, lock) = Binder::new(ctx).locking_query(query, titles.as_deref())?;
        Ok(bound(rows, Some(lock)))
    });
    bound.map(|bound: BoundQuery| BoundQuery { warnings, ..bound })
}

/// The same of a query whose rows are written to a table. In the strict modes, unless the statement says IGNORE, what
/// its constants raise comes where a row reaches them.
pub fn bind_written_query(
    query: &ast::Query,
    ctx: &BindContext<'_>,
    ignore: bool,
) -> Result<BoundQuery, SqlError> {
    writing(ctx, ignore, || bind_query(query, ctx))
}

/// Binds what a statement writes to a table.
fn writing<T>(ctx: &BindContext<'_>, ignore: bool, bind: impl FnOnce() -> T) -> T {
    keeping_warned(!ignore && ctx.session.modes.strict, bind)
}

/// One row of expressions that need no table of their own: SELECT without FROM.
pub fn bind_expressions(exprs: &[ast::Expr], ctx: &BindContext<'_>) -> Result<BoundQuery, SqlError> {
    let mut binder = Binder::new(ctx);
    let source = binder.from(&[])?;
    let mut columns = Vec::with_capacity(exprs.len());
    let mut values = Vec::with_capacity(exprs.len());
    for (at, expr) in exprs.iter().enumerate() {
        let value = binder.expr(expr, Env::new(&source.scope, Clause::FieldList))?;
        let name = format!("column_{at}");
        values.push(binder::named(value.expr.clone(), &name));
        columns.push(Output {
            name: expr.to_string(),
            column: datafusion::common::Column::from_name(name),
            ty: value.ty,
            collation: binder.rules.output(&value),
            arrow: value.arrow,
            nullable: value.nullable,
            table: String::new(),
            origin: None,
        });
    }
    let plan = binder::project(source.plan, values)?;
    Ok(bound(Rows { plan, columns }, None))
}

/// The same for values of INSERT .. VALUES, of which some are read from tables by subqueries; see
/// [`bind_written_query`].
pub fn bind_written_expressions(
    exprs: &[ast::Expr],
    ctx: &BindContext<'_>,
    ignore: bool,
) -> Result<BoundQuery, SqlError> {
    let (bound, warnings) = warnings::gather(|| writing(ctx, ignore, || bind_expressions(exprs, ctx)));
    bound.map(|bound| BoundQuery { warnings, ..bound })
}

/// The value of an expression that needs no table and no subquery: SET, LIMIT, KILL.
pub fn evaluate(expr: &ast::Expr, ctx: &BindContext<'_>) -> Result<(Value, SqlType), SqlError> {
    evaluate_by(Binder::new(ctx), expr)
}

/// The same for what is written to a table, INSERT .. VALUES: a division by zero may be an error there.
/// `ignore`: it is not.
pub fn evaluate_assigned(
    expr: &ast::Expr,
    ctx: &BindContext<'_>,
    ignore: bool,
) -> Result<(Value, SqlType), SqlError> {
    let mut binder = Binder::new(ctx);
    binder.rules.strict_division = !ignore && ctx.session.modes.strict_division;
    writing(ctx, ignore, || evaluate_by(binder, expr))
}

fn evaluate_by(mut binder: Binder<'_>, expr: &ast::Expr) -> Result<(Value, SqlType), SqlError> {
    let scope = Scope::default();
    let value = binder.expr(expr, Env::new(&scope, Clause::FieldList))?;
    Ok((constant(&value)?, value.ty))
}

/// The value of a bound expression that looks at no row.
fn constant(value: &Typed) -> Result<Value, SqlError> {
    if from::has_subquery(&value.expr) {
        return Err(SqlError::unsupported("a subquery in this place"));
    }
    let scalar = crate::analyzer::fold::evaluate(&value.expr).map_err(planning)?;
    rows::value_of(&scalar)
        .ok_or_else(|| SqlError::unsupported(format_args!("a value of type {}", scalar.data_type())))
}

/// UPDATE of one table. Columns with ON UPDATE CURRENT_TIMESTAMP that are not assigned follow from the others, see
/// [`with_rules`].
pub fn bind_update_source(update: &Update, ctx: &BindContext<'_>) -> Result<BoundChange, SqlError> {
    let mut binder = Binder::new(ctx);
    binder.rules.strict_division = !update.ignore && ctx.session.modes.strict_division;
    warned(|| writing(ctx, update.ignore, || binder.update(update)))
}

/// UPDATE of a join: only tables with assigned columns are in the result.
pub fn bind_update_joined(update: &UpdateJoined, ctx: &BindContext<'_>) -> Result<BoundChange, SqlError> {
    warned(|| writing(ctx, update.ignore, || Binder::new(ctx).update_joined(update)))
}

pub fn bind_delete_source(delete: &Delete, ctx: &BindContext<'_>) -> Result<BoundChange, SqlError> {
    warned(|| writing(ctx, delete.ignore, || Binder::new(ctx).delete(delete)))
}

pub fn bind_delete_joined(delete: &DeleteJoined, ctx: &BindContext<'_>) -> Result<BoundChange, SqlError> {
    warned(|| writing(ctx, delete.ignore, || Binder::new(ctx).delete_joined(delete)))
}

fn warned(bind: impl FnOnce() -> Result<BoundChange, SqlError>) -> Result<BoundChange, SqlError> {
    let (bound, warnings) = warnings::gather(bind);
    bound.map(|bound| BoundChange { warnings, ..bound })
}

fn bound(rows: Rows, lock: Option<BoundLock>) -> BoundQuery {
    let columns = rows.columns.into_iter().map(|column| {
        let origin = column.origin.as_deref();
        OutputColumn {
            schema: origin.map(|origin| origin.schema.clone()).unwrap_or_default(),
            org_table: origin.map(|origin| origin.org_table.clone()).unwrap_or_default(),
            org_name: origin.map(|origin| origin.org_name.clone()).unwrap_or_default(),
            marks: origin.map(|origin| origin.marks).unwrap_or_default(),
            name: column.name,
            ty: column.ty,
            nullable: column.nullable,
            collation: column.collation.named(),
            table: column.table,
        }
    });
    BoundQuery { columns: columns.collect(), plan: rows.plan, lock, warnings: Vec::new() }
}

/// A broken invariant of binding.
fn planning_bug(what: impl std::fmt::Display) -> SqlError {
    SqlError::internal(format_args!("The statement cannot be planned: {what}"))
}
