//! INSERT .. VALUES whose values are more than literals: expressions, subqueries, columns of the row by name.

use crate::convert::{ColumnBuilder, Context, DefaultValue, Scalar, default_value, value_at};
use crate::insert::{named_default, of_rows};
use crate::query::{BindContext, PartialRow, RowValue, evaluate_assigned, names_columns};
use crate::rows::{NewRows, Target};
use crate::statement::{Insert, InsertSource, InsertValue};
use sqlparser::ast::{self, Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use types::{ColumnDef, Result, SqlError, TableDef, Value};

/// The values that subqueries gave, as values of their columns or NULL; by row, and by place among the statement's
/// columns.
pub type Queried = HashMap<(usize, usize), Value>;

/// The expressions of a row that have subqueries in them.
pub struct RowQueries {
    /// From 0.
    pub row: usize,
    /// Their places among the statement's columns.
    pub places: Vec<usize>,
    pub exprs: Vec<ast::Expr>,
}

/// What of the rows is to be read from tables.
pub fn queries_in(insert: &Insert) -> Vec<RowQueries> {
    let InsertSource::Values(rows) = &insert.source else { return Vec::new() };
    let mut queries = Vec::new();
    for (row, values) in rows.iter().enumerate() {
        let with_queries = values.iter().enumerate().filter_map(|(place, value)| match value {
            InsertValue::Expr(expr) if has_query(expr) => Some((place, expr.clone())),
            InsertValue::Expr(_) | InsertValue::Default => None,
        });
        let (places, exprs): (Vec<_>, Vec<_>) = with_queries.unzip();
        if !exprs.is_empty() {
            queries.push(RowQueries { row, places, exprs });
        }
    }
    queries
}

/// Whether some values are columns of the row by name.
pub fn names_own_columns(insert: &Insert) -> bool {
    let InsertSource::Values(rows) = &insert.source else { return false };
    rows.iter().flatten().any(|value| match value {
        InsertValue::Expr(expr) => names_columns(expr) && !has_query(expr),
        InsertValue::Default => false,
    })
}

/// Whether an expression has a subquery in it.
pub fn has_query(expr: &ast::Expr) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    !matches!(expr, ast::Expr::Value(_)) && expr.visit(&mut Finder).is_break()
}

/// Rows of all columns for an INSERT .. VALUES. Errors beside those of the values: see [`Target::of_values`].
pub fn evaluated_rows(
    insert: &Insert,
    def: &Arc<TableDef>,
    queried: &Queried,
    ctx: &BindContext<'_>,
    context: &Context,
) -> Result<NewRows> {
    let InsertSource::Values(rows) = &insert.source else {
        return Err(SqlError::internal("only VALUES have rows to evaluate"));
    };
    let target = Target::of_values(insert, def.clone(), context)?;
    let mut builders: Vec<_> = (0..target.listed.len()).map(|at| target.builder(at, rows.len())).collect();
    for (number, row) in rows.iter().enumerate() {
        let named = |(at, value)| has_names(value) && !queried.contains_key(&(number, at));
        let mut partial = match row.iter().enumerate().any(named) {
            true => Some(PartialRow::new(def, context)?),
            false => None,
        };
        let line = number as u64 + 1;
        for (at, builder) in builders.iter_mut().enumerate() {
            let column = target.column(at);
            let mut value = match (row.get(at).unwrap_or(&InsertValue::Default), queried.get(&(number, at))) {
                (_, Some(value)) => RowValue::Converted(value.clone()),
                (InsertValue::Default, _) => RowValue::Given(default_of(column, context)?),
                (InsertValue::Expr(expr), _) => match (named_default(expr, def, context)?, &partial) {
                    (Some(value), _) => RowValue::Given(value),
                    (None, Some(partial)) if names_columns(expr) => {
                        partial.value(expr, &insert.table, (column, line), ctx, context)?
                    }
                    (None, _) => RowValue::Given(evaluate_assigned(expr, ctx, insert.ignore)?.0),
                },
            };
            let of_null = of_rows(context, rows.len(), &Scalar::Null);
            if let Some(partial) = partial.as_mut().filter(|_| !target.is_computed(at)) {
                let mut one = target.builder(at, 1);
                put(&mut one, &value, column, (context, &of_null), line)?;
                let array = one.finish();
                value = RowValue::Converted(value_at(&array, column.ty, 0));
                partial.keep(target.listed[at], array);
            }
            put(builder, &value, column, (context, &of_null), line)?;
        }
    }
    target.complete(builders.into_iter().map(ColumnBuilder::finish).collect(), rows.len())
}

fn has_names(value: &InsertValue) -> bool {
    matches!(value, InsertValue::Expr(expr) if names_columns(expr))
}

/// The word DEFAULT; NULL where the table is still to give a value.
fn default_of(column: &ColumnDef, context: &Context) -> Result<Value> {
    Ok(match default_value(column, context)? {
        DefaultValue::Value(value) => value,
        DefaultValue::Generated | DefaultValue::Computed => Value::Null,
    })
}

/// Adds a value to its column; NULL by `of_null`.
fn put(
    builder: &mut ColumnBuilder,
    value: &RowValue,
    column: &ColumnDef,
    (context, of_null): (&Context, &Context),
    line: u64,
) -> Result<()> {
    match value {
        RowValue::Given(Value::Null) | RowValue::Converted(Value::Null) => {
            builder.assign(&Scalar::Null, column, of_null, line)
        }
        RowValue::Given(value) => builder.assign(&Scalar::of(value), column, context, line),
        // In the column's own terms, so the zone does not matter.
        RowValue::Converted(value) => {
            let scalar = Scalar::of(value);
            builder.append(&scalar, &Context::fixed()).map_err(|wrong| wrong.at(column, &scalar.text(), line))
        }
    }
}
