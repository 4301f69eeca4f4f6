//! The logical plan: DataFusion's rules, then the order of joins.

use crate::careful::{careful, null_safe_keys};
use crate::correlated::tell_apart;
use crate::group_keys::join_on_group_keys;
use crate::join_order::order_joins;
use crate::settings::Settings;
use crate::wanted::while_wanted;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{Optimizer, OptimizerContext};
use exec::{Cancel, to_sql_error};
use std::sync::Arc;
use types::{ErrorKind, SqlError};

/// Rules that put projections between joins; they come after the joins are in order.
const LATE: &[&str] = &[
    "common_sub_expression_eliminate",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
    "optimize_projections",
];

/// Optimizes an analyzed plan, unless the statement is cancelled.
pub fn optimize(
    logical: LogicalPlan,
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> Result<LogicalPlan, SqlError> {
    let correlated = is_correlated(&logical);
    rewrite(logical, settings, partitions, cancel).map_err(|error| match to_sql_error(&error) {
        // DataFusion takes some correlated subqueries apart in ways that do not fit together.
        error if correlated && error.kind == ErrorKind::Unknown => {
            SqlError::unsupported(format_args!("a correlated subquery of this form: {}", error.message))
        }
        error => error,
    })
}

/// Whether a subquery looks at columns of the query around it.
fn is_correlated(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // Invariant: the closures never fail.
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))))?;
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found
}

fn rewrite(
    logical: LogicalPlan,
    settings: &Settings,
    partitions: usize,
    cancel: &Cancel,
) -> datafusion::common::Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::new(settings.options(partitions)));
    let (late, early): (Vec<_>, Vec<_>) =
        Optimizer::new().rules.into_iter().map(careful).partition(|rule| LATE.contains(&rule.name()));
    let (early, late) = (while_wanted(early, cancel), while_wanted(late, cancel));
    let plan = Optimizer::with_rules(early).optimize(tell_apart(logical)?, &context, |_, _| {})?;
    let plan = order_joins(plan)?;
    cancel.check()?;
    let context = context.with_max_passes(1);
    let plan = Optimizer::with_rules(while_wanted(vec![null_safe_keys()], cancel)).optimize(
        plan,
        &context,
        |_, _| {},
    )?;
    // Last of what decides on keys: the rule before takes every equality for one.
    let plan = join_on_group_keys(plan)?;
    Optimizer::with_rules(late).optimize(plan, &context, |_, _| {})
}
