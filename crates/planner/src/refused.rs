//! What is said of a plan with subqueries that DataFusion does not plan: what to write instead.

use crate::subqueries::{any, subquery_of};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use types::{ErrorKind, SqlError};

/// The error of planning, in words of SQL: others than our own speak of plans. `correlated`: the plan, if it has
/// correlated subqueries.
pub(crate) fn reword(error: SqlError, correlated: Option<&LogicalPlan>) -> SqlError {
    let is_debug_text = error.message.contains("logical expression");
    let speaks_of_plans = match error.kind {
        ErrorKind::Unknown => is_debug_text || correlated.is_some(),
        ErrorKind::NotSupportedYet => is_debug_text,
        _ => false,
    };
    if !speaks_of_plans {
        return error;
    }
    SqlError::unsupported(match correlated {
        None => "a subquery in this place; compute it in a derived table or a join",
        Some(plan) if holds_somewhere(plan, looks_past) => {
            "a subquery that refers past the query right around it, which alone it may refer to; join the tables in a \
             derived table instead"
        }
        Some(plan) if holds_somewhere(plan, is_limited) => {
            "LIMIT in a correlated subquery; number the rows with ROW_NUMBER() in a derived table and join that"
        }
        Some(_) => "a correlated subquery of this form; join a derived table instead",
    })
}

/// Whether `holds` is true of any node of the plan and its subqueries.
fn holds_somewhere(plan: &LogicalPlan, holds: fn(&LogicalPlan) -> bool) -> bool {
    let mut found = false;
    // Invariant: the closures never fail (here and below).
    let _ = plan.apply_with_subqueries(|node| {
        found = holds(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Whether a subquery in the node's expressions refers to what is no column of its inputs.
fn looks_past(node: &LogicalPlan) -> bool {
    let inputs = node.inputs();
    let is_past = |expr: &Expr| match expr {
        Expr::OuterReferenceColumn(_, column) => {
            !inputs.iter().any(|input| input.schema().has_column(column))
        }
        _ => false,
    };
    let has_past = |expr: &Expr| Ok(subquery_of(expr).is_some_and(|inner| any(&inner.subquery, is_past)));
    let mut found = false;
    let _ = node.apply_expressions(|expr| {
        found = found || expr.exists(has_past)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

/// Whether the node is a correlated subquery with a LIMIT.
fn is_limited(node: &LogicalPlan) -> bool {
    let LogicalPlan::Subquery(Subquery { subquery, .. }) = node else { return false };
    let is_limit = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Limit(_)));
    !subquery.all_out_ref_exprs().is_empty() && subquery.exists(is_limit).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_speak_of_sql() {
        let missing = || SqlError::internal("Schema error: No field named c.id.");
        let debug = || SqlError::unsupported("Physical plan does not support logical expression Exists(..)");
        let plan = LogicalPlan::default();
        for error in [missing(), debug()] {
            let reworded = reword(error, Some(&plan));
            assert_eq!(reworded.kind, ErrorKind::NotSupportedYet);
            assert!(reworded.message.contains("derived table"), "{reworded}");
        }
        assert_eq!(reword(missing(), None), missing());
        assert_eq!(reword(debug(), None).kind, ErrorKind::NotSupportedYet);
        let own = || SqlError::unsupported("a window function in this place");
        assert_eq!(reword(own(), Some(&plan)), own());
        let killed = SqlError::new(ErrorKind::QueryInterrupted, "killed");
        assert_eq!(reword(killed.clone(), Some(&plan)), killed);
    }
}
