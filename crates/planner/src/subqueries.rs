//! Whether a plan's correlated subqueries stand where DataFusion's rules make joins of them.
//!
//! DataFusion knows the forms ([`check_subquery_expr`]), but looks at the subqueries within a subquery too. Those are
//! plans like any other here, whose turn comes; so each is looked at once, with nothing in the places of the others.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::check_subquery_expr;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use std::borrow::Cow;

pub(crate) fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

/// Whether `holds` is true of any expression of the plan, those of subqueries left out.
pub(crate) fn any(plan: &LogicalPlan, mut holds: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    // Invariant: the closures never fail (here and below).
    let _ = plan.apply(|node| {
        node.apply_expressions(|expr| {
            found = found || expr.exists(|expr| Ok(holds(expr)))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    found
}

/// Whether an expression of the plan is a subquery.
pub(crate) fn has_subqueries(plan: &LogicalPlan) -> bool {
    any(plan, |expr| subquery_of(expr).is_some())
}

/// Whether a subquery looks at columns of the query around it.
pub(crate) fn is_correlated(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found = found || expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    found
}

/// Fails if a subquery stands where no rule makes a join of it.
pub(crate) fn check_subqueries(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some(subquery) = subquery_of(expr) {
                    check_subquery_expr(node, alone(&subquery.subquery)?.as_ref(), expr)?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map(|_| ())
}

/// The plan with NULL in the place of each subquery in it.
fn alone(plan: &LogicalPlan) -> Result<Cow<'_, LogicalPlan>> {
    if !has_subqueries(plan) {
        return Ok(Cow::Borrowed(plan));
    }
    let nothing = |expr: Expr| {
        Ok(match subquery_of(&expr) {
            Some(_) => Transformed::yes(Expr::Literal(ScalarValue::Null, None)),
            None => Transformed::no(expr),
        })
    };
    let plan = plan.clone().transform_down(|node| node.map_expressions(|expr| expr.transform_down(nothing)));
    plan.data().map(Cow::Owned)
}
