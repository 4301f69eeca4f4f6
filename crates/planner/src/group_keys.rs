//! Joins with grouped rows, on the groups' keys alone.
//!
//! A correlated subquery such as `cost = (SELECT MIN(cost) .. WHERE part = p)` becomes a join on the
//! group's key *and* on the aggregate's result. There is at most one row for each group, so the result
//! as a second key finds nothing faster, and a filter from the other side that names both cannot go
//! below the aggregation, where it would spare most groups. Such equalities become conditions of the
//! join, which mean the same.

use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

/// Rewrites all joins of a plan whose keys stand in their final order.
pub(crate) fn join_on_group_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) => rewrite(join),
        node => Ok(Transformed::no(node)),
    })
    .data()
}

fn rewrite(join: Join) -> Result<Transformed<LogicalPlan>> {
    if join.null_aware || join.null_equality != NullEquality::NullEqualsNothing {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let computed = |(left, right): &(Expr, Expr)| {
        origin(left, &join.left) == Some(Origin::Computed)
            || origin(right, &join.right) == Some(Origin::Computed)
    };
    let grouped = |pair: &(Expr, Expr)| {
        !computed(pair)
            && (origin(&pair.0, &join.left) == Some(Origin::Key)
                || origin(&pair.1, &join.right) == Some(Origin::Key))
    };
    if !join.on.iter().any(computed) || !join.on.iter().any(grouped) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let (conditions, on): (Vec<_>, Vec<_>) = join.on.iter().cloned().partition(computed);
    let filter = conjunction(
        join.filter.iter().cloned().chain(conditions.into_iter().map(|(left, right)| left.eq(right))),
    );
    Ok(Transformed::yes(LogicalPlan::Join(Join { on, filter, ..join })))
}

/// What a column of an aggregation's output is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Key,
    Computed,
}

/// None if `plan` is no aggregation below projections, or `expr` no column of it.
fn origin(expr: &Expr, plan: &LogicalPlan) -> Option<Origin> {
    let column = plain(expr)?;
    match plan {
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.maybe_index_of_column(column)?;
            match unaliased(&projection.expr[at]) {
                inner @ Expr::Column(_) => origin(inner, &projection.input),
                // Computed from the aggregation's columns, if there is one.
                _ => is_grouping(&projection.input).then_some(Origin::Computed),
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = alias.schema.maybe_index_of_column(column)?;
            let (qualifier, field) = alias.input.schema().qualified_field(at);
            origin(&Expr::Column(Column::from((qualifier, field))), &alias.input)
        }
        LogicalPlan::Filter(filter) => origin(expr, &filter.input),
        LogicalPlan::Aggregate(aggregate) => {
            let at = aggregate.schema.maybe_index_of_column(column)?;
            // With grouping sets the keys are not columns of the input.
            let keys = match aggregate.group_expr.as_slice() {
                [Expr::GroupingSet(_)] => return None,
                keys => keys.len(),
            };
            Some(if at < keys { Origin::Key } else { Origin::Computed })
        }
        _ => None,
    }
}

/// Whether it is an aggregation below projections.
fn is_grouping(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Projection(projection) => is_grouping(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_grouping(&alias.input),
        LogicalPlan::Filter(filter) => is_grouping(&filter.input),
        _ => false,
    }
}

fn plain(expr: &Expr) -> Option<&Column> {
    match unaliased(expr) {
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

pub(crate) fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}
