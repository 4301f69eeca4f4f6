//! The logical plan: DataFusion's rules, then the order of joins.

use crate::group_keys::join_on_group_keys;
use crate::join_order::order_joins;
use crate::settings::Settings;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use exec::to_sql_error;
use std::sync::Arc;
use types::SqlError;

/// Rules that put projections between joins; they come after the joins are in order.
const LATE: &[&str] = &[
    "common_sub_expression_eliminate",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
    "optimize_projections",
];

/// Optimizes an analyzed plan.
pub fn optimize(
    logical: LogicalPlan,
    settings: &Settings,
    partitions: usize,
) -> Result<LogicalPlan, SqlError> {
    rewrite(logical, settings, partitions).map_err(|error| to_sql_error(&error))
}

fn rewrite(
    logical: LogicalPlan,
    settings: &Settings,
    partitions: usize,
) -> datafusion::common::Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(Arc::new(settings.options(partitions)));
    let (late, early): (Vec<_>, Vec<_>) =
        Optimizer::new().rules.into_iter().partition(|rule| LATE.contains(&rule.name()));
    let plan = Optimizer::with_rules(early).optimize(logical, &context, |_, _| {})?;
    let plan = join_on_group_keys(order_joins(plan)?)?;
    Optimizer::with_rules(late).optimize(plan, &context.with_max_passes(1), |_, _| {})
}
